/* SPDX-License-Identifier: Apache-2.0 */
/* cap_file.c - the file that tells the program what it may do (NONO_CAP_FILE): its name, who owns
 * it, and the end of those whose owner is gone. It is a courtesy to the program, and no source of
 * truth for anybody outside. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "inner.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PREFIX ".nono-"
#define SUFFIX ".json"
#define HEX 16u
#define OWNER "{\"owner\":{\"pid\":%d,\"start\":%" PRIu64 ",\"space\":%" PRIu64 "},"
#define SWEEP_MAX 4096u /* entries of the folder that are looked at */
#define EMPTY_S 60      /* a start takes less */

/* When process PID began, in ticks; 0: it is not there. */
static uint64_t start_of(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    const char *at = strrchr(text, ')');
    for (unsigned field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* The PID namespace, in which a number means something. */
static uint64_t space(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static bool is_name(const char *name)
{
    size_t length = strlen(name), prefix = sizeof(PREFIX) - 1, suffix = sizeof(SUFFIX) - 1;
    if (length != prefix + HEX + suffix || strncmp(name, PREFIX, prefix) != 0
        || strcmp(name + prefix + HEX, SUFFIX) != 0)
        return false;
    return strspn(name + prefix, "0123456789abcdef") == HEX;
}

/* Removes NAME when it is ours and its owner of this PID namespace is gone. */
static void sweep_one(int folder, const char *name)
{
    char text[256];
    struct stat st;
    nt_autoclose int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    int pid;
    uint64_t start, where;
    /* Nobody wrote to it: its owner was killed at once, or has only just made it. */
    if (size == 0 && time(NULL) - st.st_mtime > EMPTY_S)
        unlinkat(folder, name, 0);
    if (size <= 0)
        return;
    text[size] = '\0';
    if (sscanf(text, "{\"owner\":{\"pid\":%9d,\"start\":%" SCNu64 ",\"space\":%" SCNu64 "}", &pid,
               &start, &where)
        != 3)
        return;
    if (where == space() && start_of(pid) != start)
        unlinkat(folder, name, 0);
}

void cap_file_sweep(const struct supervise *s)
{
    char path[PATH_MAX];
    memcpy(path, s->cap_file, sizeof(path));
    char *slash = strrchr(path, '/');
    if (!slash)
        return;
    *slash = '\0';
    DIR *folder = opendir(path);
    const struct dirent *entry;
    for (unsigned i = 0; folder && i < SWEEP_MAX && (entry = readdir(folder)); i++)
        if (is_name(entry->d_name))
            sweep_one(dirfd(folder), entry->d_name);
    if (folder)
        closedir(folder);
}

void cap_file_make(struct supervise *s)
{
    uint64_t random;
    char real[PATH_MAX];
    const char *folder = getenv("TMPDIR");
    if (!folder || folder[0] != '/')
        folder = "/tmp";
    if (!realpath(folder, real) || getrandom(&random, sizeof(random), 0) != sizeof(random))
        return;
    int n =
        snprintf(s->cap_file, sizeof(s->cap_file), "%s/" PREFIX "%016" PRIx64 SUFFIX, real, random);
    if (n > 0 && (size_t)n < sizeof(s->cap_file))
        s->cap_fd = open(s->cap_file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->cap_fd < 0)
        s->cap_file[0] = '\0';
}

int cap_file_fill(struct supervise *s, struct nt_error *reterr)
{
    nt_autofree char *json = NULL;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1024 * 1024);
    if (s->cap_fd < 0)
        return 0;
    if (policy_to_json(s->options.policy, &json, reterr) < 0)
        return -1;
    nt_buf_addf(&text, OWNER, (int)getpid(), start_of((int)getpid()), space());
    nt_buf_add(&text, json[0] == '{' ? json + 1 : json);
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "too many grants for one file");
    const char *data = nt_buf_text(&text);
    for (size_t done = 0; done < text.size;) {
        ssize_t wrote = pwrite(s->cap_fd, data + done, text.size - done, (off_t)done);
        if (wrote < 0 && errno != EINTR)
            return nt_fail_sys(reterr, errno, "writing %.200s", s->cap_file);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

/* Another file may have the name by now: the program may write to the folder. */
void cap_file_remove(struct supervise *s)
{
    struct stat ours, there;
    if (s->cap_file[0] && s->cap_fd >= 0 && fstat(s->cap_fd, &ours) == 0
        && lstat(s->cap_file, &there) == 0 && S_ISREG(there.st_mode) && there.st_uid == geteuid()
        && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
        unlink(s->cap_file);
    if (s->cap_fd >= 0)
        close(s->cap_fd);
    s->cap_fd = -1;
    s->cap_file[0] = '\0';
}
