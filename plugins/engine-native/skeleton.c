/* SPDX-License-Identifier: Apache-2.0 */
/* skeleton.c - builds the lower layer of image `host`: what the host has, owned by the workspace's
 * user.
 *
 * An overlay lets the one uid inside create files only in folders that it owns, so the skeleton
 * holds the folders (not the files) of /usr and /opt, a copy of what everybody may read in /etc,
 * and a /var of its own. Nothing that only some users of the host may read comes in, and nothing
 * that proves who this host is. */
#include "native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define LAYOUT "1" /* raise it when the skeleton is built differently */
#define DEPTH_MAX 64
#define FOLDERS_MAX 400000u
#define FILE_MAX (16u * 1024u * 1024u)
#define ETC_MAX (256u * 1024u * 1024u)

/* Folders of "/" that get an overlay of their own, when the host has them as folders. */
const char *const image_layer_names[] = { "usr",   "opt",   "bin",    "sbin", "lib",
                                          "lib32", "lib64", "libx32", NULL };

struct builder {
    bool as_root;
    bool copy_files; /* /etc; else folders only */
    uint32_t folders;
    uint64_t bytes;
    dev_t device;
};

/* Never copied from /etc, whatever their mode: keys, accounts, and what names this machine. Made
 * fresh or absent. */
static const char *const hidden[] = {
    "passwd*",
    "group*",
    "shadow*",
    "gshadow*",
    "subuid*",
    "subgid*",
    "sudoers*",
    "sudo.conf",
    "sudo_logsrvd.conf",
    "doas.conf",
    "ssh_host_*",
    "*.key",
    "private",
    "machine-id",
    "hostname",
    "hosts",
    "resolv.conf",
    "krb5.keytab",
    "*.keytab",
    "fstab",
    "crypttab",
    "mtab",
    "nanoterm",
    ".*.swp",
    "*.pem.key",
    "security.opasswd",
    "opasswd",
    ".git",
    "polkit-1",
    "wpa_supplicant",
    "NetworkManager",
    "wireguard",
    "openvpn",
    "ppp",
    "docker",
    "kubernetes",
};

static bool is_hidden(const char *name)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (fnmatch(hidden[i], name, 0) == 0)
            return true;
    return false;
}

static int own(const struct builder *b, int dir, const char *name)
{
    return b->as_root && fchownat(dir, name, DISK_UID, DISK_UID, AT_SYMLINK_NOFOLLOW) < 0 ? errno
                                                                                          : 0;
}

static int copy_file(struct builder *b, int from, int to, const char *name, const struct stat *st)
{
    char block[64 * 1024];
    if (st->st_size > FILE_MAX || b->bytes + (uint64_t)st->st_size > ETC_MAX)
        return 0;
    nt_autoclose int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return errno == EACCES || errno == ENOENT ? 0 : errno;
    /* Checked on what is open, not on what was listed. */
    struct stat now;
    if (fstat(in, &now) < 0 || !S_ISREG(now.st_mode) || !(now.st_mode & S_IROTH)
        || now.st_size > FILE_MAX)
        return 0;
    nt_autoclose int out =
        openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return errno;
    uint64_t copied = 0;
    ssize_t n;
    while ((n = read(in, block, sizeof(block))) > 0) {
        copied += (uint64_t)n;
        if (copied > FILE_MAX || write(out, block, (size_t)n) != n)
            return copied > FILE_MAX ? EFBIG : EIO;
    }
    b->bytes += copied;
    if (n < 0 || fchmod(out, now.st_mode & 0111 ? 0755 : 0644) < 0)
        return errno;
    return own(b, to, name);
}

static int copy_link(struct builder *b, int from, int to, const char *name)
{
    char target[4096];
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
    if (n < 0)
        return errno == ENOENT ? 0 : errno;
    target[n] = '\0';
    return symlinkat(target, to, name) < 0 ? errno : own(b, to, name);
}

static int copy_folder(struct builder *b, int from, int to, unsigned depth);

static int copy_entry(struct builder *b, int from, int to, const struct dirent *e, unsigned depth)
{
    struct stat st;
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
        return 0;
    if (!b->copy_files && e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
        return 0;
    if (b->copy_files && is_hidden(e->d_name))
        return 0;
    if (fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == EACCES ? 0 : errno;
    if (b->copy_files && S_ISREG(st.st_mode))
        return st.st_mode & S_IROTH ? copy_file(b, from, to, e->d_name, &st) : 0;
    if (b->copy_files && S_ISLNK(st.st_mode))
        return copy_link(b, from, to, e->d_name);
    /* A folder that not everybody may enter stays the host's: unreadable inside. */
    if (!S_ISDIR(st.st_mode) || (st.st_mode & 05) != 05 || st.st_dev != b->device)
        return 0;
    if (++b->folders > FOLDERS_MAX || depth > DEPTH_MAX)
        return ELOOP;
    nt_autoclose int inner = openat(from, e->d_name, FOLDER);
    if (inner < 0)
        return errno == ENOENT || errno == EACCES ? 0 : errno;
    if (mkdirat(to, e->d_name, 0755) < 0)
        return errno;
    nt_autoclose int made = openat(to, e->d_name, FOLDER);
    if (made < 0)
        return errno;
    int sys = copy_folder(b, inner, made, depth + 1);
    if (!sys && fchmod(made, 0755) < 0)
        sys = errno;
    return sys ? sys : own(b, to, e->d_name);
}

static int copy_folder(struct builder *b, int from, int to, unsigned depth)
{
    int copy = openat(from, ".", FOLDER);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        int sys = errno;
        if (copy >= 0)
            close(copy);
        return sys;
    }
    struct dirent *e;
    int sys = 0;
    while (!sys && (e = readdir(list)) != NULL)
        sys = copy_entry(b, from, to, e, depth);
    closedir(list);
    return sys;
}

/* The folders (and for /etc the files) of /NAME as the folder NAME below `to`. */
static int copy_tree(struct builder *b, const char *name, int to, bool files,
                     struct nt_error *reterr)
{
    struct stat st;
    nt_autoclose int root = open("/", FOLDER);
    nt_autoclose int from = root < 0 ? -1 : openat(root, name, FOLDER);
    if (from < 0 || fstat(from, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open /%s", name);
    b->copy_files = files;
    b->device = st.st_dev;
    if (mkdirat(to, name, 0755) < 0)
        return nt_fail_sys(reterr, errno, "cannot make %s", name);
    nt_autoclose int made = openat(to, name, FOLDER);
    if (made < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", name);
    int sys = copy_folder(b, from, made, 0);
    if (!sys && fchmod(made, 0755) < 0)
        sys = errno;
    sys = sys ? sys : own(b, to, name);
    return sys ? nt_fail_sys(reterr, sys, "cannot copy /%s", name) : 0;
}

/* The host's /NAME as it is for everybody: a link stays a link, a folder gets a place and a layer
 * of its own. */
static int add_top(struct builder *b, const char *name, int skeleton, int root,
                   struct nt_error *reterr)
{
    char path[64], target[256];
    struct stat st;
    snprintf(path, sizeof(path), "/%s", name);
    if (lstat(path, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot read %s", path);
        target[n] = '\0';
        return symlinkat(target, root, name) < 0
                   ? nt_fail_sys(reterr, errno, "cannot make %s", path)
                   : 0;
    }
    if (!S_ISDIR(st.st_mode) || (st.st_mode & 05) != 05)
        return 0;
    if (mkdirat(root, name, 0755) < 0 || fchmodat(root, name, 0755, 0) < 0)
        return nt_fail_sys(reterr, errno, "cannot make %s", path);
    return copy_tree(b, name, skeleton, false, reterr);
}

int skeleton_build(int dir, const char *name, bool as_root, struct nt_error *reterr)
{
    struct builder b = { .as_root = as_root };
    if (mkdirat(dir, name, 0755) < 0)
        return nt_fail_sys(reterr, errno, "cannot make the skeleton");
    nt_autoclose int skeleton = openat(dir, name, FOLDER);
    if (skeleton < 0 || fchmod(skeleton, 0755) < 0 || mkdirat(skeleton, "root", 0755) < 0)
        return nt_fail_sys(reterr, errno, "cannot make the skeleton");
    nt_autoclose int root = openat(skeleton, "root", FOLDER);
    if (root < 0)
        return nt_fail_sys(reterr, errno, "cannot open the skeleton");
    for (const char *const *top = image_layer_names; *top; top++)
        if (add_top(&b, *top, skeleton, root, reterr) < 0)
            return -1;
    if (copy_tree(&b, "etc", root, true, reterr) < 0)
        return -1;
    for (const char *const *top = image_layer_names; *top; top++)
        if (faccessat(root, *top, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && own(&b, root, *top) != 0)
            return nt_fail_sys(reterr, errno, "cannot hand over %s", *top);
    return image_finish_root(root, as_root, true, reterr);
}

static int hash_file(crypto_generichash_state *state, const char *path)
{
    unsigned char block[64 * 1024];
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    while (fd >= 0 && (n = read(fd, block, sizeof(block))) > 0)
        crypto_generichash_update(state, block, (unsigned long long)n);
    return n < 0 ? errno : 0;
}

int skeleton_identity(char ret[68], struct nt_error *reterr)
{
    crypto_generichash_state state;
    unsigned char sum[32];
    struct stat st = { 0 };
    char text[160];
    crypto_generichash_init(&state, NULL, 0, sizeof(sum));
    /* The package database is megabytes: its time, size and inode say as much as its content. */
    if (stat("/var/lib/dpkg/status", &st) < 0 && stat("/usr", &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot look at the base system");
    snprintf(text, sizeof(text), LAYOUT " %lld %lld %lld.%09ld", (long long)st.st_ino,
             (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    crypto_generichash_update(&state, (const unsigned char *)text, strlen(text));
    int sys = hash_file(&state, "/etc/os-release");
    if (sys)
        return nt_fail_sys(reterr, sys, "cannot read /etc/os-release");
    crypto_generichash_final(&state, sum, sizeof(sum));
    sodium_bin2hex(ret, 65, sum, sizeof(sum));
    return 0;
}
