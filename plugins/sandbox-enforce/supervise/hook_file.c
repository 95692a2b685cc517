/* SPDX-License-Identifier: Apache-2.0 */
/* hook_file.c - the file that a script writes variables to (NONO_ENV_FILE): in a folder of
 * nanoterm's own, which every sandbox finds closed, so that no program can put anything in its
 * place while the script writes. It is opened once, before the script runs, and read by that
 * descriptor: another file under its name is nobody's business.
 *
 * Whose maker was killed it stays behind; the lock tells, and the next maker removes it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hook.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PREFIX "hook-"
#define HEX 16u
#define SWEEP_MAX 4096u /* entries of the folder that are looked at */
#define TRIES 16        /* another one that has ended may remove the folder under our feet */

static const char *name_of(const struct hook_file *file)
{
    return strrchr(file->path, '/') + 1;
}

/* Makes what is missing of PATH, a folder. 0 or errno. */
static int make_folders(const char *path, unsigned *ret_made)
{
    char part[PATH_MAX];
    *ret_made = 0;
    if (strlen(path) >= sizeof(part))
        return ENAMETOOLONG;
    memcpy(part, path, strlen(path) + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) == 0)
            ++*ret_made;
        *slash = '/'; /* what cannot be made fails below */
    }
    if (mkdir(part, 0700) == 0)
        ++*ret_made;
    else if (errno != EEXIST)
        return errno;
    return 0;
}

static void remove_folders(const char *path, unsigned count)
{
    char part[PATH_MAX];
    memcpy(part, path, strlen(path) + 1);
    for (; count; count--) {
        char *slash = strrchr(part, '/');
        if (rmdir(part) < 0 || !slash || slash == part)
            return; /* somebody else uses it by now */
        *slash = '\0';
    }
}

static bool is_name(const char *name)
{
    size_t prefix = sizeof(PREFIX) - 1;
    return strncmp(name, PREFIX, prefix) == 0 && strlen(name) == prefix + HEX
           && strspn(name + prefix, "0123456789abcdef") == HEX;
}

/* Removes files whose makers are gone. */
static void sweep(int folder)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *open_folder = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;
    if (!open_folder) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (unsigned i = 0; i < SWEEP_MAX && (entry = readdir(open_folder)); i++) {
        if (!is_name(entry->d_name))
            continue;
        nt_autoclose int fd =
            openat(folder, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(folder, entry->d_name, 0);
    }
    closedir(open_folder);
}

/* In the folder, which is there. 0, or errno: ENOENT or EAGAIN when somebody was in the way. */
static int make_file(const char *folder, struct hook_file *ret)
{
    uint64_t random;
    struct stat st;
    nt_autoclose int dir = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &st) < 0)
        return errno;
    if (st.st_uid != geteuid() || st.st_mode & (S_IWOTH | S_IWGRP))
        return EPERM; /* others could put a link in the file's place */
    sweep(dir);
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return errno;
    int size = snprintf(ret->path, sizeof(ret->path), "%s/" PREFIX "%016" PRIx64, folder, random);
    if (size < 0 || (size_t)size >= sizeof(ret->path))
        return ENAMETOOLONG;
    nt_autoclose int fd =
        openat(dir, name_of(ret), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    /* Another one's sweep may have been faster. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0) {
        unlinkat(dir, name_of(ret), 0);
        return EAGAIN;
    }
    ret->folder = nt_take_fd(dir);
    ret->fd = nt_take_fd(fd);
    return 0;
}

int hook_file_make(const char *folder, struct hook_file *ret, struct nt_error *reterr)
{
    int sys = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        unsigned made = 0;
        sys = make_folders(folder, &made);
        if (!sys)
            sys = make_file(folder, ret);
        ret->made = made;
        if (!sys)
            return 0;
        remove_folders(folder, made);
        if (sys != ENOENT && sys != EAGAIN)
            break;
    }
    return nt_fail_sys(reterr, sys, "session_hooks.before: a file for its variables in %.150s",
                       folder);
}

char *hook_file_read(const struct hook_file *file, size_t *ret_size, const char **ret_why)
{
    struct stat ours, there;
    nt_autofree char *text = malloc(HOOK_FILE_MAX + 1);
    size_t size = 0;
    *ret_why = text ? NULL : "there is no memory for it";
    while (text && size <= HOOK_FILE_MAX) {
        ssize_t n = pread(file->fd, text + size, HOOK_FILE_MAX + 1 - size, (off_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            *ret_why = "it cannot be read";
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    if (size > HOOK_FILE_MAX)
        *ret_why = "it has more than 64 KiB";
    else if (!*ret_why
             && (fstat(file->fd, &ours) < 0
                 || fstatat(file->folder, name_of(file), &there, AT_SYMLINK_NOFOLLOW) < 0
                 || ours.st_dev != there.st_dev || ours.st_ino != there.st_ino))
        *ret_why = "it is no more the file that it was told to write to";
    if (*ret_why || !size) {
        if (text)
            explicit_bzero(text, HOOK_FILE_MAX + 1);
        return NULL;
    }
    *ret_size = size;
    return nt_take(text);
}

void hook_file_remove(struct hook_file *file)
{
    char *slash = strrchr(file->path, '/');
    /* Whatever has its name now: a folder, too, when it is empty. */
    if (unlinkat(file->folder, slash + 1, 0) < 0)
        unlinkat(file->folder, slash + 1, AT_REMOVEDIR);
    close(file->fd);
    close(file->folder);
    *slash = '\0';
    remove_folders(file->path, file->made);
}
