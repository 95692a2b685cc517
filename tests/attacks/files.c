/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - attacks on what a folder was granted for: other files by other names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attack.h"

static int read_outside(const struct target *t)
{
    return try_open(path_in(t->outside, "secret"), O_RDONLY);
}

static int write_outside(const struct target *t)
{
    return try_open(path_in(t->outside, "made"), O_WRONLY | O_CREAT);
}

static int cut_outside(const struct target *t)
{
    return through_if(truncate(path_in(t->outside, "secret"), 3));
}

static int remove_outside(const struct target *t)
{
    return through_if(unlink(path_in(t->outside, "spare")));
}

static int make_folder_outside(const struct target *t)
{
    return through_if(mkdir(path_in(t->outside, "folder"), 0700));
}

static int list_outside(const struct target *t)
{
    return try_open(t->outside, O_RDONLY | O_DIRECTORY);
}

static int symlink_to_outside(const struct target *t)
{
    if (symlink(t->outside, path_in(t->inside, "symlink")) < 0 && errno != EEXIST)
        return REFUSED;
    return try_open(path_in(t->inside, "symlink/secret"), O_RDONLY);
}

static int write_by_symlink(const struct target *t)
{
    if (symlink(path_in(t->outside, "by_link"), path_in(t->inside, "dangling")) < 0
        && errno != EEXIST)
        return REFUSED;
    return try_open(path_in(t->inside, "dangling"), O_WRONLY | O_CREAT);
}

static int hard_link(const struct target *t)
{
    const char *stolen = path_in(t->inside, "hard");
    if (link(path_in(t->outside, "secret"), stolen) < 0)
        return REFUSED;
    return try_open(stolen, O_RDONLY);
}

static int link_out(const struct target *t) /* what is inside gets a name outside */
{
    const char *own = path_in(t->inside, "own");
    if (try_open(own, O_WRONLY | O_CREAT))
        return 2;
    return through_if(link(own, path_in(t->outside, "linked")));
}

static int dots(const struct target *t)
{
    char path[4200];
    const char *name = strrchr(t->outside, '/');
    snprintf(path, sizeof(path), "%s/..%s/secret", t->inside, name ? name : "");
    return try_open(path, O_RDONLY);
}

static int dots_by_descriptor(const struct target *t)
{
    int fd = open(t->inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return 2;
    char path[4200];
    const char *name = strrchr(t->outside, '/');
    snprintf(path, sizeof(path), "..%s/secret", name ? name : "");
    return through_if(openat(fd, path, O_RDONLY | O_CLOEXEC));
}

static int proc_self_root(const struct target *t)
{
    return try_open(path_in("/proc/self/root", t->outside + 1), O_RDONLY | O_DIRECTORY);
}

static int proc_1_root(const struct target *t)
{
    return try_open(path_in(path_in("/proc/1/root", t->outside + 1), "secret"), O_RDONLY);
}

static int proc_parent_root(const struct target *t)
{
    char path[4200];
    snprintf(path, sizeof(path), "/proc/%d/root%s/secret", (int)getppid(), t->outside);
    return try_open(path, O_RDONLY);
}

static int proc_outsider(const struct target *t)
{
    char path[4200];
    snprintf(path, sizeof(path), "/proc/%d/root%s/secret", (int)t->pid, t->outside);
    return try_open(path, O_RDONLY);
}

static int proc_self_cwd(const struct target *t)
{
    (void)t;
    return try_open("/proc/self/cwd/../../../../../../etc/shadow", O_RDONLY);
}

static int rename_grant(const struct target *t) /* the granted folder gets another name */
{
    return through_if(rename(t->inside, path_in(t->outside, "moved")));
}

static int rename_out(const struct target *t)
{
    const char *own = path_in(t->inside, "own");
    if (try_open(own, O_WRONLY | O_CREAT))
        return 2;
    return through_if(rename(own, path_in(t->outside, "moved")));
}

static int rename_in(const struct target *t)
{
    return through_if(rename(path_in(t->outside, "spare"), path_in(t->inside, "spare")));
}

static int exchange(const struct target *t)
{
    const char *own = path_in(t->inside, "own");
    if (try_open(own, O_WRONLY | O_CREAT))
        return 2;
    return through_if(syscall(SYS_renameat2, AT_FDCWD, own, AT_FDCWD, path_in(t->outside, "spare"),
                              2u /* RENAME_EXCHANGE */));
}

static int repointed(const struct target *t) /* a link that was granted leads elsewhere by now */
{
    return try_open(path_in(t->inside, "../granted-link/secret"), O_RDONLY);
}

/* Descriptor 9 is a folder outside that was open when the sandbox was started. */
static int inherited(const struct target *t)
{
    (void)t;
    return through_if(openat(9, "secret", O_RDONLY | O_CLOEXEC));
}

static int inherited_file(const struct target *t)
{
    (void)t;
    char byte;
    return through_if(pread(8, &byte, 1, 0));
}

/* Standard input is a folder that is granted, in the mounts of outside: what is hidden in ours is
 * not there. */
static int input_is_a_folder(const struct target *t)
{
    (void)t;
    struct stat st;
    if (fstat(0, &st) < 0 || !S_ISDIR(st.st_mode))
        return REFUSED;
    return through_if(openat(0, "hidden/secret", O_RDONLY | O_CLOEXEC));
}

static int hidden(const struct target *t)
{
    return try_open(path_in(t->inside, "hidden/secret"), O_RDONLY);
}

static int uncover(const struct target *t)
{
    const char *path = path_in(t->inside, "hidden");
    umount2(path, MNT_DETACH);
    chmod(path, 0755);
    rename(path, path_in(t->inside, "shown"));
    if (try_open(path_in(t->inside, "shown/secret"), O_RDONLY) == THROUGH)
        return THROUGH;
    return try_open(path_in(path, "secret"), O_RDONLY);
}

static int overmount(const struct target *t)
{
    int r = through_if(mount(t->outside, t->inside, NULL, MS_BIND, NULL));
    if (r == THROUGH)
        umount2(t->inside, MNT_DETACH);
    return r;
}

static int by_handle(const struct target *t)
{
    union {
        struct file_handle head;
        char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = { .head.handle_bytes = MAX_HANDLE_SZ };
    int mount_id, folder = open(t->inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0
        || name_to_handle_at(AT_FDCWD, path_in(t->outside, "secret"), &handle.head, &mount_id, 0)
               < 0)
        return NOTHING;
    return through_if(open_by_handle_at(folder, &handle.head, O_RDONLY | O_CLOEXEC));
}

static int make_device(const struct target *t)
{
    const char *path = path_in(t->inside, "memory");
    if (mknod(path, S_IFCHR | 0600, makedev(1, 1)) < 0)
        return REFUSED;
    return try_open(path, O_RDONLY);
}

static int memory_device(const struct target *t)
{
    (void)t;
    static const char *const devices[] = { "/dev/mem",          "/dev/kmem",    "/dev/port",
                                           "/dev/kmsg",         "/dev/fuse",    "/dev/vda",
                                           "/dev/sda",          "/dev/nvme0n1", "/dev/kvm",
                                           "/dev/loop-control", "/dev/loop0" };
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
        if (try_open(devices[i], O_RDWR) == THROUGH || try_open(devices[i], O_RDONLY) == THROUGH)
            return THROUGH;
    return REFUSED;
}

const struct attack file_attacks[] = {
    { "read-outside", read_outside },
    { "write-outside", write_outside },
    { "cut-outside", cut_outside },
    { "remove-outside", remove_outside },
    { "make-folder-outside", make_folder_outside },
    { "list-outside", list_outside },
    { "symlink", symlink_to_outside },
    { "write-by-symlink", write_by_symlink },
    { "hard-link", hard_link },
    { "link-out", link_out },
    { "dots", dots },
    { "dots-by-descriptor", dots_by_descriptor },
    { "proc-self-root", proc_self_root },
    { "proc-1-root", proc_1_root },
    { "proc-parent-root", proc_parent_root },
    { "proc-outsider", proc_outsider },
    { "proc-self-cwd", proc_self_cwd },
    { "rename-grant", rename_grant },
    { "rename-out", rename_out },
    { "rename-in", rename_in },
    { "exchange", exchange },
    { "repointed-symlink", repointed },
    { "inherited-folder", inherited },
    { "inherited-file", inherited_file },
    { "input-is-a-folder", input_is_a_folder },
    { "hidden", hidden },
    { "uncover", uncover },
    { "overmount", overmount },
    { "by-handle", by_handle },
    { "make-device", make_device },
    { "memory-device", memory_device },
    { NULL, NULL },
};
