/* SPDX-License-Identifier: Apache-2.0 */
/* owners.c - attacks on modes, owners, times and attributes of files outside, which belong to the
 * attacker's own user: nothing but the sandbox protects them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attack.h"

#define FCHMODAT2 452 /* newer than the headers of some systems; one number everywhere */
#define OPEN_TREE_ATTR 467

static const char *secret(const struct target *t)
{
    return path_in(t->outside, "secret");
}

static int change_mode(const struct target *t)
{
    return through_if(chmod(secret(t), 0777));
}

static int change_mode_of_folder(const struct target *t)
{
    return through_if(chmod(t->outside, 0777));
}

static int change_mode_above(const struct target *t) /* of the folder that holds the granted one */
{
    return through_if(chmod(path_in(t->inside, ".."), 0777));
}

static int change_mode_by_symlink(const struct target *t)
{
    const char *name = path_in(t->inside, "to-secret");
    if (symlink(secret(t), name) < 0 && errno != EEXIST)
        return REFUSED;
    return through_if(chmod(name, 0777));
}

static int change_mode_by_hard_link(const struct target *t)
{
    const char *name = path_in(t->inside, "linked");
    if (through_if(link(secret(t), name)) != THROUGH)
        return REFUSED;
    return through_if(chmod(name, 0777));
}

/* A file that may be read, by a descriptor of it. */
static int change_mode_by_descriptor(const struct target *t)
{
    int fd = open(path_in(t->inside, "../granted-link"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return NOTHING;
    return through_if(fchmod(fd, 0777));
}

static int open_without_rights(const struct target *t)
{
    return open(secret(t), O_PATH | O_CLOEXEC);
}

static int change_mode_by_proc(const struct target *t)
{
    char path[64];
    int fd = open_without_rights(t);
    if (fd < 0)
        return REFUSED;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return through_if(chmod(path, 0777));
}

static int change_mode_of_path_descriptor(const struct target *t)
{
    int fd = open_without_rights(t);
    if (fd < 0)
        return REFUSED;
    long r = syscall(FCHMODAT2, fd, "", 0777, AT_EMPTY_PATH);
    return r < 0 && errno == ENOSYS ? NOTHING : through_if(r);
}

static int change_mode_by_inherited(const struct target *t)
{
    (void)t;
    return through_if(fchmod(8, 0777)) == THROUGH ? THROUGH
                                                  : through_if(fchmodat(9, "secret", 0777, 0));
}

static int change_mode_by_first(const struct target *t) /* by the folders of the first process */
{
    static const char *const roots[] = { "/proc/1/root", "/proc/1/cwd", "/proc/self/root" };
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
        if (through_if(chmod(path_in(roots[i], secret(t) + 1), 0777)) == THROUGH)
            return THROUGH;
    return REFUSED;
}

static int change_mode_by_handle(const struct target *t)
{
    union {
        struct file_handle head;
        char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = { .head.handle_bytes = MAX_HANDLE_SZ };
    int mount_id, folder = open(t->inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || name_to_handle_at(AT_FDCWD, secret(t), &handle.head, &mount_id, 0) < 0)
        return NOTHING;
    int fd = open_by_handle_at(folder, &handle.head, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? through_if(fd) : through_if(fchmod(fd, 0777));
}

/* The rights of the mounts first, then the file. Without a sandbox nothing of this changes the
 * machine: its root is writable, and the granted folder is no mount. */
static int change_mode_after_remount(const struct target *t)
{
    const struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };
    through_if(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)));
    through_if(mount(NULL, t->inside, NULL, MS_REMOUNT | MS_BIND, NULL));
    int tree = (int)syscall(OPEN_TREE_ATTR, AT_FDCWD, t->outside,
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, &attr, sizeof(attr));
    if (tree >= 0 && through_if(fchmodat(tree, "secret", 0777, 0)) == THROUGH)
        return THROUGH;
    return through_if(chmod(secret(t), 0777));
}

static int change_mode_after_umount(const struct target *t)
{
    /* The granted folder is a mount in a sandbox alone. */
    through_if(umount2(t->inside, MNT_DETACH));
    return through_if(chmod(secret(t), 0777));
}

static int change_owner(const struct target *t)
{
    return through_if(chown(secret(t), getuid(), getgid()));
}

static int change_times(const struct target *t)
{
    const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
    return through_if(utimensat(AT_FDCWD, secret(t), times, 0));
}

static int touch_now(const struct target *t) /* what also those may who may only write */
{
    return through_if(utimensat(AT_FDCWD, secret(t), NULL, 0));
}

static int set_attribute(const struct target *t)
{
    return through_if(setxattr(secret(t), "user.attack", "x", 1, 0));
}

static int remove_attribute(const struct target *t)
{
    return through_if(removexattr(secret(t), "user.note"));
}

const struct attack owner_attacks[] = {
    { "change-mode", change_mode },
    { "change-mode-of-folder", change_mode_of_folder },
    { "change-mode-above", change_mode_above },
    { "change-mode-by-symlink", change_mode_by_symlink },
    { "change-mode-by-hard-link", change_mode_by_hard_link },
    { "change-mode-by-descriptor", change_mode_by_descriptor },
    { "change-mode-by-proc", change_mode_by_proc },
    { "change-mode-of-path-descriptor", change_mode_of_path_descriptor },
    { "change-mode-by-inherited", change_mode_by_inherited },
    { "change-mode-by-first", change_mode_by_first },
    { "change-mode-by-handle", change_mode_by_handle },
    { "change-mode-after-remount", change_mode_after_remount },
    { "change-mode-after-umount", change_mode_after_umount },
    { "change-owner", change_owner },
    { "change-times", change_times },
    { "touch", touch_now },
    { "set-attribute", set_attribute },
    { "remove-attribute", remove_attribute },
    { NULL, NULL },
};
