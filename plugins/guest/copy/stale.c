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

/* What a stage holds, by its descriptor: the name may lead elsewhere by now. Where the file system
 * cannot exchange, both can be there: then the old one is at no other place, and stays. */
static void empty_stage(int stage)
{
    struct stat st;
    if (fstatat(stage, COPY_FRESH, &st, AT_SYMLINK_NOFOLLOW) == 0
        && fstatat(stage, COPY_OLD, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return;
    copy_remove(stage, COPY_FRESH);
    copy_remove(stage, COPY_OLD);
}

/* Made by us and locked by nobody: then we hold it until it is gone. */
static void remove_stale(int dir, const char *name)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (S_ISDIR(st.st_mode)) {
            empty_stage(fd);
            unlinkat(dir, name, AT_REMOVEDIR);
        } else if (S_ISREG(st.st_mode)) {
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
