/* SPDX-License-Identifier: Apache-2.0 */
/* stale.c - finds what copies that were killed have left beside their destination, and removes it;
 * see copy.h. What a living copy writes is locked by it: the kernel ends the lock with the process.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"

#define DIGITS 16
#define REMOVED ".nanoterm-remove-" /* copy_remove: of what was too deep */

int copy_hold(int fd)
{
    struct stat st;
    /* A file system without locks: nobody gets one, so nothing is ever thought to be stale. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return -1;
    return fstat(fd, &st) == 0 && st.st_nlink > 0 ? 0 : -1;
}

static bool is_ours(const char *name)
{
    static const char *const kinds[] = { COPY_STAGE_NAME, COPY_FILE_NAME };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t size = strlen(kinds[i]);
        if (strncmp(name, kinds[i], size) == 0 && strlen(name + size) == DIGITS
            && strspn(name + size, "0123456789abcdef") == DIGITS)
            return true;
    }
    return false;
}

/* Whether dir/name is what fd is. */
static bool is_same(int dir, const char *name, int fd)
{
    struct stat own, there;
    return fstat(fd, &own) == 0 && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0
           && own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

void copy_remove_stage(int dir, const char *name, int stage)
{
    struct stat st;
    if (fstatat(stage, COPY_FRESH, &st, AT_SYMLINK_NOFOLLOW) == 0
        && fstatat(stage, COPY_OLD, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return;
    copy_remove(stage, COPY_FRESH);
    copy_remove(stage, COPY_OLD);
    /* The name can still change between the two: then an empty folder is all that can go. */
    if (is_same(dir, name, stage))
        unlinkat(dir, name, AT_REMOVEDIR);
}

/* Whether nothing is in it but what a stage holds: what bears its name can be the user's, put there
 * by others. */
static bool is_stage(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    bool is_one = d;
    if (!d && again >= 0)
        close(again);
    for (struct dirent *e; is_one && (e = readdir(d));)
        is_one = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0
                 || strcmp(e->d_name, COPY_FRESH) == 0 || strcmp(e->d_name, COPY_OLD) == 0
                 || strncmp(e->d_name, REMOVED, strlen(REMOVED)) == 0;
    if (d)
        closedir(d);
    return is_one;
}

/* Made by us and locked by nobody: then we hold it until it is gone. */
static void remove_stale(int dir, const char *name)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (S_ISDIR(st.st_mode) && is_stage(fd)) {
            copy_remove_stage(dir, name, fd);
        } else if (S_ISREG(st.st_mode) && is_same(dir, name, fd)) {
            unlinkat(dir, name, 0);
        }
    }
    close(fd);
}

void copy_sweep(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (is_ours(e->d_name))
            remove_stale(dir, e->d_name);
    closedir(d);
}
