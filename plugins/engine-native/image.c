/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - finds or makes the lower layer of a workspace: a skeleton of the host, or an extracted
 * archive.
 *
 * Made once, beside, and renamed, under a lock: several servers and workers may want the same
 * one. */
#include "native.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static const struct {
    const char *name;
    mode_t mode;
} folders[] = {
    { "etc", 0755 },          { "dev", 0755 },
    { "proc", 0755 },         { "sys", 0755 },
    { "run", 0755 },          { "tmp", 01777 },
    { "root", 0755 },         { "home", 0755 },
    { "home/agent", 0755 },   { "workspace", 0755 },
    { "opt", 0755 },          { "srv", 0755 },
    { "mnt", 0755 },          { "media", 0755 },
    { "boot", 0755 },         { "var", 0755 },
    { "var/lib", 0755 },      { "var/lib/dpkg", 0755 },
    { "var/lib/apt", 0755 },  { "var/lib/apt/lists", 0755 },
    { "var/cache", 0755 },    { "var/cache/apt", 0755 },
    { "var/log", 0755 },      { "var/tmp", 01777 },
    { "var/mail", 0755 },     { "var/spool", 0755 },
    { "var/opt", 0755 },      { "var/local", 0755 },
    { "etc/nanoterm", 0755 },
};

static const struct {
    const char *name, *text;
    bool always; /* also over what an archive brings */
} files[] = {
    { "etc/passwd",
      "root:x:0:0:root:/root:/usr/sbin/nologin\n"
      "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
      "agent:x:1000:1000:agent:/home/agent:/bin/bash\n",
      false },
    { "etc/group", "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\nagent:x:1000:\n", false },
    { "etc/shadow", "root:*:19000:0:99999:7:::\nagent:*:19000:0:99999:7:::\n", true },
    { "etc/gshadow", "root:*::\nagent:!::\n", true },
    { "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n", true },
    { "etc/hostname", "workspace\n", true },
    { "etc/resolv.conf", "# The only way out is the proxy in http_proxy.\n", true },
    { "etc/machine-id", "", true },
    { "etc/fstab", "", true },
};

static int own(bool as_root, int dir, const char *name)
{
    return as_root && fchownat(dir, name, DISK_UID, DISK_UID, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

/* Opens a folder of the image for writing into it, however it is named there; never through a
 * link. */
static int open_parent(int root, const char *name, const char **ret_leaf)
{
    const char *slash = strrchr(name, '/');
    char text[64];
    *ret_leaf = slash ? slash + 1 : name;
    if (!slash)
        return openat(root, ".", FOLDER);
    snprintf(text, sizeof(text), "%.*s", (int)(slash - name), name);
    nt_autoclose int at = openat(root, ".", FOLDER);
    char *save = NULL;
    for (char *part = strtok_r(text, "/", &save); part && at >= 0;
         part = strtok_r(NULL, "/", &save)) {
        int next = openat(at, part, FOLDER);
        close(at);
        at = next;
    }
    return nt_take_fd(at);
}

static int put_file(int root, const char *name, const char *text, bool as_root,
                    struct nt_error *reterr)
{
    const char *leaf;
    nt_autoclose int dir = open_parent(root, name, &leaf);
    if (dir < 0)
        return nt_fail_sys(reterr, errno, "cannot open the folder of %s", name);
    if (unlinkat(dir, leaf, 0) < 0 && errno != ENOENT)
        return nt_fail_sys(reterr, errno, "cannot replace %s", name);
    nt_autoclose int fd =
        openat(dir, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make %s", name);
    size_t size = strlen(text);
    if (write(fd, text, size) != (ssize_t)size || fchmod(fd, 0644) < 0
        || own(as_root, dir, leaf) != 0)
        return nt_fail_sys(reterr, errno, "cannot write %s", name);
    return 0;
}

/* Adds the line of agent to a file that an archive brought. */
static int add_line(int root, const char *name, const char *line, bool as_root,
                    struct nt_error *reterr)
{
    const char *leaf;
    struct stat st;
    nt_autoclose int dir = open_parent(root, name, &leaf);
    nt_autoclose int fd =
        dir < 0 ? -1 : openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > 1024 * 1024)
        return nt_fail(reterr, NT_E_INVALID, "the image's %s cannot be read", name);
    size_t have = (size_t)st.st_size, add = strlen(line);
    nt_autofree char *text = malloc(have + add + 2);
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (pread(fd, text, have, 0) != (ssize_t)have || memchr(text, 0, have))
        return nt_fail(reterr, NT_E_INVALID, "the image's %s is not text", name);
    text[have] = '\0';
    if (strncmp(text, "agent:", 6) == 0 || strstr(text, "\nagent:"))
        return 0;
    if (have && text[have - 1] != '\n')
        text[have++] = '\n';
    memcpy(text + have, line, add + 1);
    return put_file(root, name, text, as_root, reterr);
}

int image_finish_root(int root, bool as_root, bool whole, struct nt_error *reterr)
{
    struct stat st;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        const char *leaf;
        nt_autoclose int dir = open_parent(root, folders[i].name, &leaf);
        if (dir < 0)
            return nt_fail_sys(reterr, errno, "cannot open the folder of %s", folders[i].name);
        if (mkdirat(dir, leaf, 0700) < 0) {
            if (errno != EEXIST)
                return nt_fail_sys(reterr, errno, "cannot make %s", folders[i].name);
            if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
                /* /var/run and such may be links; what must be a folder fails at the mount */
                continue;
        }
        if (fchmodat(dir, leaf, folders[i].mode, 0) < 0 || own(as_root, dir, leaf) != 0)
            return nt_fail_sys(reterr, errno, "cannot make %s", folders[i].name);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (!whole && !files[i].always
            && fstatat(root, files[i].name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        if (put_file(root, files[i].name, files[i].text, as_root, reterr) < 0)
            return -1;
    }
    if (whole
        && (symlinkat("/run", root, "var/run") < 0 || symlinkat("/run/lock", root, "var/lock") < 0
            || symlinkat("/proc/mounts", root, "etc/mtab") < 0))
        return nt_fail_sys(reterr, errno, "cannot make links");
    if (whole)
        return own(as_root, root, ".") ? nt_fail_sys(reterr, errno, "cannot hand over the root")
                                       : 0;
    if (add_line(root, "etc/passwd", "agent:x:1000:1000:agent:/home/agent:/bin/bash\n", as_root,
                 reterr)
            < 0
        || add_line(root, "etc/group", "agent:x:1000:\n", as_root, reterr) < 0)
        return -1;
    return own(as_root, root, ".") ? nt_fail_sys(reterr, errno, "cannot hand over the root") : 0;
}

/* --- archives ------------------------------------------------------------------------------ */

#define ENTRIES_MAX 2000000u
#define BYTES_MAX (64ull * 1024 * 1024 * 1024)

static int tar_identity(const char *path, char ret[68], struct nt_error *reterr)
{
    struct stat st;
    char text[4400];
    unsigned char sum[32];
    if (stat(path, &st) < 0)
        return errno == ENOENT ? nt_fail(reterr, NT_E_NOT_FOUND, "there is no image %s", path)
                               : nt_fail_sys(reterr, errno, "cannot look at the image %s", path);
    if (!S_ISREG(st.st_mode))
        return nt_fail(reterr, NT_E_INVALID, "the image %s is not a file", path);
    snprintf(text, sizeof(text), "1 %s %lld %lld %lld %lld.%09ld", path, (long long)st.st_dev,
             (long long)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec);
    crypto_generichash(sum, sizeof(sum), (const unsigned char *)text, strlen(text), NULL, 0);
    sodium_bin2hex(ret, 65, sum, sizeof(sum));
    return 0;
}

/* Puts a path of the archive below the folder: "./usr/bin" → "PREFIX/usr/bin". False: not one that
 * may be there. */
static bool place(const char *prefix, const char *path, char *ret, size_t size)
{
    while (*path == '/' || (path[0] == '.' && path[1] == '/'))
        path++;
    if (strcmp(path, ".") == 0)
        path = "";
    for (const char *p = path; *p; p++)
        if ((p == path || p[-1] == '/') && p[0] == '.' && p[1] == '.'
            && (p[2] == '/' || p[2] == '\0'))
            return false;
    int n = snprintf(ret, size, "%s/%s", prefix, path);
    return n > 0 && (size_t)n < size;
}

/* 1: extract it, 0: leave it out, -1: the archive is refused. */
static int adapt(struct archive_entry *e, const char *prefix, bool as_root)
{
    char path[8192];
    const char *name = archive_entry_pathname(e), *link = archive_entry_hardlink(e);
    mode_t type = archive_entry_filetype(e), mode = archive_entry_perm(e);
    if (!name || !place(prefix, name, path, sizeof(path)))
        return -1;
    archive_entry_set_pathname(e, path);
    if (link) {
        if (!place(prefix, link, path, sizeof(path)))
            return -1;
        archive_entry_set_hardlink(e, path);
    } else if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
        return 0; /* devices, pipes and sockets */
    }
    /* One uid owns everything; without these bits it could not even be read or removed again. */
    archive_entry_set_perm(e, (mode & 0777) | (type == AE_IFDIR ? 0700 : 0400));
    archive_entry_set_uid(e, as_root ? DISK_UID : geteuid());
    archive_entry_set_gid(e, as_root ? DISK_UID : getegid());
    archive_entry_set_uname(e, NULL);
    archive_entry_set_gname(e, NULL);
    archive_entry_xattr_clear(e);
    archive_entry_acl_clear(e);
    archive_entry_set_fflags(e, 0, 0);
    return 1;
}

static int fail_archive(struct archive *a, const char *path, struct nt_error *reterr)
{
    const char *why = archive_error_string(a);
    char text[160];
    nt_copy_text(text, sizeof(text), why ? why : "unknown error");
    return nt_fail(reterr, NT_E_INVALID, "cannot extract %s: %s", path, text);
}

static int extract_all(struct archive *in, struct archive *out, const char *path,
                       const char *prefix, bool as_root, struct nt_error *reterr)
{
    struct archive_entry *e;
    uint64_t entries = 0, bytes = 0;
    int r;
    while ((r = archive_read_next_header(in, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
        if (++entries > ENTRIES_MAX)
            return nt_fail(reterr, NT_E_LIMIT, "%s has more than %u entries", path, ENTRIES_MAX);
        int use = adapt(e, prefix, as_root);
        if (use < 0)
            return nt_fail(reterr, NT_E_INVALID, "%s names a file outside of itself", path);
        if (!use)
            continue;
        if (archive_write_header(out, e) < ARCHIVE_WARN)
            return fail_archive(out, path, reterr);
        const void *block;
        size_t size;
        la_int64_t offset;
        if (archive_entry_hardlink(e) || archive_entry_size(e) <= 0)
            continue;
        while ((r = archive_read_data_block(in, &block, &size, &offset)) == ARCHIVE_OK) {
            bytes += size;
            if (bytes > BYTES_MAX)
                return nt_fail(reterr, NT_E_LIMIT, "%s is too large", path);
            if (archive_write_data_block(out, block, size, offset) < ARCHIVE_WARN)
                return fail_archive(out, path, reterr);
        }
        if (r != ARCHIVE_EOF)
            return fail_archive(in, path, reterr);
        if (archive_write_finish_entry(out) < ARCHIVE_WARN)
            return fail_archive(out, path, reterr);
    }
    if (r != ARCHIVE_EOF)
        return fail_archive(in, path, reterr);
    return archive_write_close(out) < ARCHIVE_WARN ? fail_archive(out, path, reterr) : 0;
}

static int extract(const char *path, const char *images, int dir, const char *name, bool as_root,
                   struct nt_error *reterr)
{
    char prefix[4400];
    if (snprintf(prefix, sizeof(prefix), "%s/images/%s/root", images, name) >= (int)sizeof(prefix))
        return nt_fail(reterr, NT_E_LIMIT, "the engine's folder has too long a name");
    if (mkdirat(dir, name, 0755) < 0)
        return nt_fail_sys(reterr, errno, "cannot make the image's folder");
    nt_autoclose int image = openat(dir, name, FOLDER);
    if (image < 0 || fchmod(image, 0755) < 0 || mkdirat(image, "root", 0755) < 0)
        return nt_fail_sys(reterr, errno, "cannot make the image's folder");
    nt_autoclose int root = openat(image, "root", FOLDER);
    if (root < 0 || fchmod(root, 0755) < 0)
        return nt_fail_sys(reterr, errno, "cannot open the image's folder");
    struct archive *in = archive_read_new(), *out = archive_write_disk_new();
    int result = -1;
    if (!in || !out) {
        nt_fail(reterr, NT_E_MEMORY, "out of memory");
    } else {
        archive_read_support_filter_all(in);
        archive_read_support_format_tar(in);
        /* Not SECURE_NOABSOLUTEPATHS: the prefix is absolute, ours and without links; place() has
         * taken care of the rest. SECURE_SYMLINKS refuses an entry whose way leads through a link
         * that came before it. */
        int flags = ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_NODOTDOT
                    | ARCHIVE_EXTRACT_SECURE_SYMLINKS | (as_root ? ARCHIVE_EXTRACT_OWNER : 0);
        archive_write_disk_set_options(out, flags);
        if (archive_read_open_filename(in, path, 256 * 1024) != ARCHIVE_OK)
            fail_archive(in, path, reterr);
        else
            result = extract_all(in, out, path, prefix, as_root, reterr);
    }
    archive_read_free(in);
    archive_write_free(out);
    return result < 0 ? -1 : image_finish_root(root, as_root, false, reterr);
}

/* --- both ---------------------------------------------------------------------------------- */

static int make_once(const struct disk *disk, const char *kind, const char *tar, const char *base,
                     struct nt_error *reterr)
{
    char name[100], lock_name[80];
    struct stat st;
    nt_autoclose int dir = openat(disk->data_fd, kind, FOLDER);
    if (dir < 0)
        return nt_fail_sys(reterr, errno, "cannot open the folder of images");
    if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    snprintf(lock_name, sizeof(lock_name), "%s.lock", base);
    nt_autoclose int lock = openat(dir, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return nt_fail_sys(reterr, errno, "cannot lock the image");
    if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    /* What a builder that was killed has left. */
    snprintf(name, sizeof(name), "%s.new", base);
    int sys = disk_delete(dir, name);
    if (sys)
        return nt_fail_sys(reterr, sys, "cannot remove a half-made image");
    if ((tar ? extract(tar, disk->data_dir, dir, name, disk->as_root, reterr)
             : skeleton_build(dir, name, disk->as_root, reterr))
        < 0) {
        disk_delete(dir, name);
        return -1;
    }
    if (renameat(dir, name, dir, base) < 0)
        return nt_fail_sys(reterr, errno, "cannot put the image in place");
    unlinkat(dir, lock_name, 0);
    return 0;
}

int image_ready(const struct disk *disk, const char *name, struct image *ret,
                struct nt_error *reterr)
{
    struct image image = { .is_host = strcmp(name, "host") == 0 };
    const char *tar = strncmp(name, "file:/", 6) == 0 ? name + 5 : NULL,
               *kind = tar ? "images" : "skeleton";
    if (!image.is_host && !tar)
        return nt_fail(reterr, NT_E_INVALID, "image '%s' is neither host nor file:/absolute/path",
                       name);
    if ((tar ? tar_identity(tar, image.base, reterr) : skeleton_identity(image.base, reterr)) < 0
        || make_once(disk, kind, tar, image.base, reterr) < 0)
        return -1;
    if (snprintf(image.path, sizeof(image.path), "%s/%s/%s", disk->data_dir, kind, image.base)
        >= (int)sizeof(image.path))
        return nt_fail(reterr, NT_E_LIMIT, "the engine's folder has too long a name");
    for (const char *const *layer = image_layer_names; image.is_host && *layer; layer++) {
        char path[4400];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", image.path, *layer);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            image.layers[image.layer_count++] = *layer;
    }
    *ret = image;
    return 0;
}
