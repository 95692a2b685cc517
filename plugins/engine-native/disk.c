/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c - the folders of workspaces: DATA/ws/ID/{meta.json, record.json, run, guest.sock, layer/,
 * jobs/}, DATA/trash.
 *
 * What is below layer/ and jobs/ was written by programs inside: it is hostile. Nothing here
 * follows a link or trusts a name there. Everything else is ours, below a folder that only we can
 * enter. */
#include "native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

bool disk_is_id(const char *id)
{
    size_t size = strlen(id);
    if (size < 1 || size > 40)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!((id[i] >= 'a' && id[i] <= 'z') || (id[i] >= '0' && id[i] <= '9')
              || (id[i] == '_' && i > 0)))
            return false;
    return true;
}

static int make_folder(int dir, const char *name, mode_t mode, struct nt_error *reterr)
{
    if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
        return nt_fail_sys(reterr, errno, "cannot make the folder %s", name);
    return 0;
}

int disk_open(const struct nt_engine_host *host, struct disk *ret, struct nt_error *reterr)
{
    static const char *const folders[] = { "ws", "trash", "skeleton", "images" };
    nt_autoclose int fd = open(host->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open the engine's folder %s", host->data_dir);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (make_folder(fd, folders[i], 0700, reterr) < 0)
            return -1;
    nt_autofree char *data_dir = realpath(host->data_dir, NULL);
    nt_autofree char *libexec_dir = strdup(host->libexec_dir);
    if (!data_dir || !libexec_dir)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *ret = (struct disk){ nt_take_fd(fd), nt_take(data_dir), nt_take(libexec_dir), geteuid() == 0 };
    return 0;
}

void disk_done(struct disk *disk)
{
    if (disk->data_fd >= 0)
        close(disk->data_fd);
    free(disk->data_dir);
    free(disk->libexec_dir);
    *disk = (struct disk){ .data_fd = -1 };
}

static int own(const struct disk *disk, int dir, const char *name, mode_t mode,
               struct nt_error *reterr)
{
    if (fchmodat(dir, name, mode, 0) < 0)
        return nt_fail_sys(reterr, errno, "cannot set the mode of %s", name);
    if (disk->as_root && fchownat(dir, name, DISK_UID, DISK_UID, AT_SYMLINK_NOFOLLOW) < 0)
        return nt_fail_sys(reterr, errno, "cannot hand over %s", name);
    return 0;
}

int disk_make_layer(const struct disk *disk, int dir, const char *name, struct nt_error *reterr)
{
    char work[80];
    nt_autoclose int layer = openat(dir, "layer", FOLDER);
    if (layer < 0)
        return nt_fail_sys(reterr, errno, "cannot open the layer");
    snprintf(work, sizeof(work), "work-%.64s", name);
    const char *names[] = { name, work };
    for (size_t i = 0; i < 2; i++) {
        if (mkdirat(layer, names[i], 0755) < 0) {
            if (errno == EEXIST)
                continue;
            return nt_fail_sys(reterr, errno, "cannot make the layer %s", name);
        }
        if (own(disk, layer, names[i], 0755, reterr) < 0)
            return -1;
    }
    return 0;
}

int disk_make(const struct disk *disk, const struct meta *meta, struct nt_error *reterr)
{
    nt_autoclose int all = openat(disk->data_fd, "ws", FOLDER);
    if (all < 0)
        return nt_fail_sys(reterr, errno, "cannot open the folder of workspaces");
    if (mkdirat(all, meta->id, 0700) < 0)
        return errno == EEXIST
                   ? nt_fail(reterr, NT_E_CONFLICT, "workspace %s is there already", meta->id)
                   : nt_fail_sys(reterr, errno, "cannot make the folder of %s", meta->id);
    nt_autoclose int dir = openat(all, meta->id, FOLDER);
    if (dir < 0)
        return nt_fail_sys(reterr, errno, "cannot open the folder of %s", meta->id);
    if (make_folder(dir, "layer", 0755, reterr) < 0 || make_folder(dir, "jobs", 0700, reterr) < 0
        || own(disk, dir, "layer", 0755, reterr) < 0 || own(disk, dir, "jobs", 0700, reterr) < 0)
        return -1;
    return disk_write_meta(dir, meta, reterr);
}

int disk_lock(const struct disk *disk, const char *id, struct nt_error *reterr)
{
    nt_autoclose int all = openat(disk->data_fd, "ws", FOLDER);
    nt_autoclose int dir = all < 0 ? -1 : openat(all, id, FOLDER);
    if (dir < 0)
        return errno == ENOENT ? nt_fail(reterr, NT_E_NOT_FOUND, "there is no workspace %s", id)
                               : nt_fail_sys(reterr, errno, "cannot open the folder of %s", id);
    if (flock(dir, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? nt_fail(reterr, NT_E_CONFLICT, "another server is at work on %s", id)
                   : nt_fail_sys(reterr, errno, "cannot lock %s", id);
    return nt_take_fd(dir);
}

/* Writes name.json of a workspace: the old one is there until the new one is on the disk. */
static int write_small(int dir, const char *name, const char *id, const char *text,
                       struct nt_error *reterr)
{
    char from[20], to[20];
    snprintf(from, sizeof(from), "%.12s.new", name);
    snprintf(to, sizeof(to), "%.12s.json", name);
    nt_autoclose int fd =
        openat(dir, from, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot write %s of %s", to, id);
    size_t size = strlen(text);
    ssize_t n = write(fd, text, size);
    if (n != (ssize_t)size) /* a short one has no errno: the disk filled up within it */
        return nt_fail_sys(reterr, n < 0 ? errno : ENOSPC, "cannot write %s of %s", to, id);
    if (fsync(fd) < 0 || renameat(dir, from, dir, to) < 0)
        return nt_fail_sys(reterr, errno, "cannot write %s of %s", to, id);
    return 0;
}

int disk_write_meta(int dir, const struct meta *m, struct nt_error *reterr)
{
    nt_auto_json json_t *root =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "version", 1,
                  "id", m->id, "hostname", m->hostname, "image", m->image, "key", m->key, "base",
                  m->base, "flags", (json_int_t)m->flags, "cpu_millis", (json_int_t)m->cpu_millis,
                  "pids", (json_int_t)m->pids, "uid", (json_int_t)m->uid, "memory_bytes",
                  (json_int_t)m->memory_bytes, "disk_bytes", (json_int_t)m->disk_bytes);
    nt_autofree char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_INTERNAL, "cannot write down %s", m->id);
    return write_small(dir, "meta", m->id, text, reterr);
}

int disk_write_record(int dir, const char *id, const char *record, struct nt_error *reterr)
{
    return write_small(dir, "record", id, record, reterr);
}

static bool take_text(const json_t *root, const char *key, char *ret, size_t size)
{
    const char *text = nt_json_text(root, key);
    if (!text || strlen(text) >= size)
        return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

static bool take_number(const json_t *root, const char *key, uint64_t max, uint64_t *ret)
{
    const json_t *value = json_object_get(root, key);
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || (uint64_t)n > max)
        return false;
    *ret = (uint64_t)n;
    return true;
}

/* Reads a small file of ours as text. 0 or errno. */
static int read_small(int dir, const char *name, char *ret, size_t size)
{
    nt_autoclose int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t n = read(fd, ret, size - 1);
    if (n < 0 || (size_t)n == size - 1)
        return n < 0 ? errno : EFBIG;
    ret[n] = '\0';
    return 0;
}

int disk_read_meta(int dir, struct meta *ret, struct nt_error *reterr)
{
    nt_autofree char *text = malloc(META_MAX);
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    int sys = read_small(dir, "meta.json", text, META_MAX);
    if (sys)
        return nt_fail_sys(reterr, sys, "cannot read meta.json");
    nt_auto_json json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    uint64_t flags, cpu, pids, uid, memory, disk;
    struct meta m = { .flags = 0 };
    if (!root || !take_text(root, "id", m.id, sizeof(m.id))
        || !take_text(root, "hostname", m.hostname, sizeof(m.hostname))
        || !take_text(root, "image", m.image, sizeof(m.image))
        || !take_text(root, "key", m.key, sizeof(m.key))
        || !take_text(root, "base", m.base, sizeof(m.base))
        || !take_number(root, "flags", UINT32_MAX, &flags)
        || !take_number(root, "cpu_millis", UINT32_MAX, &cpu)
        || !take_number(root, "pids", UINT32_MAX, &pids)
        || !take_number(root, "uid", UINT32_MAX, &uid)
        || !take_number(root, "memory_bytes", INT64_MAX, &memory)
        || !take_number(root, "disk_bytes", INT64_MAX, &disk) || !disk_is_id(m.id))
        return nt_fail(reterr, NT_E_INTERNAL, "meta.json is damaged");
    m.flags = (uint32_t)flags;
    m.cpu_millis = (uint32_t)cpu;
    m.pids = (uint32_t)pids;
    m.uid = (uint32_t)uid;
    m.memory_bytes = memory;
    m.disk_bytes = disk;
    *ret = m;
    return 0;
}

int disk_read_record(int dir, char **ret, struct nt_error *reterr)
{
    nt_autofree char *text = malloc(NT_RECORD_MAX + 1);
    *ret = NULL;
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    int sys = read_small(dir, "record.json", text, NT_RECORD_MAX + 1);
    if (sys && sys != ENOENT)
        return nt_fail_sys(reterr, sys, "cannot read record.json");
    *ret = sys ? NULL : nt_take(text);
    return 0;
}

/* Ticks since boot at which the process started; 0: there is none. */
static uint64_t start_of(int64_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    if (read_small(AT_FDCWD, path, text, sizeof(text)) != 0)
        return 0;
    char *p = strrchr(text, ')'); /* the name may contain anything */
    for (int i = 0; p && i < 20; i++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

int disk_find_guest(int dir, struct record *ret)
{
    char text[160], boot[64];
    struct record r = { .pid = 0 };
    if (read_small(dir, "run", text, sizeof(text)) != 0
        || read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) != 0)
        return -1;
    long long pid;
    unsigned long long start;
    int got = sscanf(text, "%39s %lld %llu %u %u %u", r.boot, &pid, &start, &r.strength.cpu,
                     &r.strength.memory, &r.strength.pids);
    if (got < 3 || strncmp(boot, r.boot, 36) != 0 || pid <= 1 || pid > INT32_MAX)
        return -1;
    if (got != 6 || r.strength.cpu > NT_LIMIT_HARD || r.strength.memory > NT_LIMIT_HARD
        || r.strength.pids > NT_LIMIT_HARD)
        r.strength = (struct limits_strength){ 0 }; /* an older launcher */
    /* First hold the process, then see whether it is the one: the number may have been used
     * again. */
    nt_autoclose int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd < 0 || start_of(pid) != start)
        return -1;
    r.pid = pid;
    r.start = start;
    *ret = r;
    return nt_take_fd(fd);
}

void disk_forget_guest(int dir)
{
    unlinkat(dir, "run", 0);
    unlinkat(dir, "guest.sock", 0);
}

bool disk_has_guest(int dir)
{
    struct stat st;
    return fstatat(dir, "run", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

const char *disk_end_reason(const struct disk *disk, const char *id)
{
    char text[8] = "";
    struct stat st;
    nt_autoclose int all = openat(disk->data_fd, "ws", FOLDER);
    nt_autoclose int dir = all < 0 ? -1 : openat(all, id, FOLDER);
    nt_autoclose int jobs = dir < 0 ? -1 : openat(dir, "jobs", FOLDER);
    /* O_NONBLOCK: neither a pipe nor a lease of its owner makes the loop wait. */
    nt_autoclose int fd =
        jobs < 0 ? -1
                 : openat(jobs, "ended", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)
        || read(fd, text, sizeof(text) - 1) < 0)
        return "ended";
    return strcmp(text, "ttl\n") == 0 ? "ttl" : strcmp(text, "idle\n") == 0 ? "idle" : "ended";
}

int disk_forget_reason(int dir, struct nt_error *reterr)
{
    nt_autoclose int jobs = openat(dir, "jobs", FOLDER);
    int sys = jobs < 0 ? errno : disk_delete(jobs, "ended");
    return sys ? nt_fail_sys(reterr, sys, "cannot remove the last guest's word") : 0;
}

/* --- deleting ------------------------------------------------------------------------------ */

/* Deeper ones are moved up instead of walked down: neither the stack nor the descriptors are the
 * depth's. */
#define DEPTH_MAX 40

struct deletion {
    int top;        /* the folder whose content goes */
    unsigned moved; /* folders moved up into it in this pass */
};

/* Opens a folder of hostile content for deleting in it: mode and all. -1 with errno. */
static int open_for_delete(int dir, const char *name)
{
    int fd = openat(dir, name, FOLDER);
    /* overlay's work folders have mode 0 and so may what a program made; they are ours to open up.
     * fchmodat follows a link, but what O_NOFOLLOW refuses with EACCES is none, and nobody else is
     * at work in the trash. */
    if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
        fd = openat(dir, name, FOLDER);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        fchmod(fd, 0700);
    return fd;
}

static int empty_folder(struct deletion *d, int dir, unsigned depth);

static int delete_folder(struct deletion *d, int dir, const char *name, unsigned depth)
{
    static _Atomic unsigned long counter;
    nt_autoclose int inner = open_for_delete(dir, name);
    if (inner < 0)
        return errno;
    if (depth >= DEPTH_MAX) {
        char up[64];
        snprintf(up, sizeof(up), "deep.%lu", ++counter);
        if (renameat(dir, name, d->top, up) < 0)
            return errno;
        d->moved++;
        return 0;
    }
    int sys = empty_folder(d, inner, depth + 1);
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? (sys ? sys : errno) : 0;
}

static int empty_folder(struct deletion *d, int dir, unsigned depth)
{
    int copy = openat(dir, ".", FOLDER), result = 0;
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        int sys = errno;
        if (copy >= 0)
            close(copy);
        return sys;
    }
    struct dirent *e;
    while ((errno = 0, e = readdir(list)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int sys = unlinkat(dir, e->d_name, 0) < 0 ? errno : 0;
        if (sys == EISDIR || sys == EPERM)
            sys = delete_folder(d, dir, e->d_name, depth);
        if (sys && sys != ENOENT) /* another worker may be at the same folder */
            result = sys;
    }
    closedir(list);
    return result;
}

int disk_delete(int dir, const char *name)
{
    nt_autoclose int top = open_for_delete(dir, name);
    if (top < 0) {
        if (errno == ENOENT)
            return 0;
        return unlinkat(dir, name, 0) < 0 ? errno : 0;
    }
    struct deletion d = { top, 0 };
    int sys;
    do {
        d.moved = 0;
        sys = empty_folder(&d, top, 0);
    } while (!sys && d.moved > 0);
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? (sys ? sys : errno) : 0;
}

int disk_discard(const struct disk *disk, const char *id, struct nt_error *reterr)
{
    nt_autoclose int all = openat(disk->data_fd, "ws", FOLDER);
    nt_autoclose int trash = openat(disk->data_fd, "trash", FOLDER);
    if (all < 0 || trash < 0)
        return nt_fail_sys(reterr, errno, "cannot open the engine's folders");
    /* The same id may wait there from before. */
    uint64_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return nt_fail_sys(reterr, errno, "no random number");
    char name[80];
    snprintf(name, sizeof(name), "%s.%016llx", id, (unsigned long long)random);
    if (renameat(all, id, trash, name) < 0)
        return errno == ENOENT ? 0 : nt_fail_sys(reterr, errno, "cannot remove %s", id);
    int sys = disk_delete(trash, name);
    return sys ? nt_fail_sys(reterr, sys, "cannot delete all of %s", id) : 0;
}

int disk_empty_trash(const struct disk *disk, struct nt_error *reterr)
{
    int trash = openat(disk->data_fd, "trash", FOLDER);
    DIR *list = trash < 0 ? NULL : fdopendir(trash);
    if (!list) {
        int sys = errno;
        if (trash >= 0)
            close(trash);
        return nt_fail_sys(reterr, sys, "cannot open the trash");
    }
    struct dirent *e;
    int sys = 0;
    while ((e = readdir(list)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int one = disk_delete(dirfd(list), e->d_name);
        sys = one ? one : sys;
    }
    closedir(list);
    return sys ? nt_fail_sys(reterr, sys, "cannot empty the trash") : 0;
}

int disk_each(const struct disk *disk, void (*each)(void *data, const char *id), void *data,
              struct nt_error *reterr)
{
    int all = openat(disk->data_fd, "ws", FOLDER);
    DIR *list = all < 0 ? NULL : fdopendir(all);
    if (!list) {
        int sys = errno;
        if (all >= 0)
            close(all);
        return nt_fail_sys(reterr, sys, "cannot list workspaces");
    }
    struct dirent *e;
    while ((e = readdir(list)) != NULL)
        if (disk_is_id(e->d_name))
            each(data, e->d_name);
    closedir(list);
    return 0;
}
