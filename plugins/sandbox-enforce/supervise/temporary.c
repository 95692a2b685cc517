/* SPDX-License-Identifier: Apache-2.0 */
/* temporary.c - what a session leaves where programs put temporary files: how it is named, whose it
 * is, and the end of it when its owner is gone. */
#include "temporary.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sdk/cleanup.h"

#define PREFIX ".nono-"
#define HEX 16u
#define OWNER "{\"owner\":{\"pid\":%d,\"start\":%" PRIu64 ",\"space\":%" PRIu64 "}"
#define OWNER_READ "{\"owner\":{\"pid\":%9d,\"start\":%" SCNu64 ",\"space\":%" SCNu64 "}"
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

static bool is_name(const char *name, const char *suffix)
{
    size_t prefix = sizeof(PREFIX) - 1;
    return strlen(name) == prefix + HEX + strlen(suffix) && strncmp(name, PREFIX, prefix) == 0
           && strspn(name + prefix, "0123456789abcdef") == HEX
           && strcmp(name + prefix + HEX, suffix) == 0;
}

bool temporary_name(const char *suffix, char ret[PATH_MAX])
{
    uint64_t random;
    char real[PATH_MAX];
    const char *folder = getenv("TMPDIR");
    if (!folder || folder[0] != '/')
        folder = "/tmp";
    if (!realpath(folder, real) || getrandom(&random, sizeof(random), 0) != sizeof(random))
        return false;
    int n = snprintf(ret, PATH_MAX, "%s/" PREFIX "%016" PRIx64 "%s", real, random, suffix);
    return n > 0 && n < PATH_MAX;
}

void temporary_add_owner(struct nt_buf *b)
{
    nt_buf_addf(b, OWNER, (int)getpid(), start_of((int)getpid()), space());
}

bool temporary_is(int fd, const char *path)
{
    struct stat ours, there;
    return fd >= 0 && fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && there.st_uid == geteuid()
           && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* --- sweeping ------------------------------------------------------------------------------- */

/* Is the file NAME ours, and its owner of this PID namespace gone? */
static bool is_left(int folder, const char *name)
{
    char text[256];
    struct stat st;
    nt_autoclose int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return false;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    int pid;
    uint64_t start, where;
    /* Nobody wrote to it: its owner was killed at once, or has only just made it. */
    if (size <= 0)
        return size == 0 && time(NULL) - st.st_mtime > EMPTY_S;
    text[size] = '\0';
    const char *at = strncmp(text, TEMPORARY_COMMENT, sizeof(TEMPORARY_COMMENT) - 1) == 0
                         ? text + sizeof(TEMPORARY_COMMENT) - 1
                         : text;
    return sscanf(at, OWNER_READ, &pid, &start, &where) == 3 && where == space()
           && start_of(pid) != start;
}

/* The same for a folder, which has one file. */
static void sweep_folder(int above, const char *name)
{
    struct stat st;
    nt_autoclose int folder = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || fstat(folder, &st) < 0 || st.st_uid != geteuid())
        return;
    if (is_left(folder, TEMPORARY_FILE))
        unlinkat(folder, TEMPORARY_FILE, 0);
    else if (faccessat(folder, TEMPORARY_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0
             || time(NULL) - st.st_mtime <= EMPTY_S)
        return;
    unlinkat(above, name, AT_REMOVEDIR); /* not when there is anything else in it */
}

void temporary_sweep(const char *beside)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s", beside) >= (int)sizeof(path))
        return;
    char *slash = strrchr(path, '/');
    if (!slash)
        return;
    *slash = '\0';
    DIR *folder = opendir(path);
    const struct dirent *entry;
    for (unsigned i = 0; folder && i < SWEEP_MAX && (entry = readdir(folder)); i++) {
        const char *name = entry->d_name;
        if (is_name(name, TEMPORARY_CAP_FILE) && is_left(dirfd(folder), name))
            unlinkat(dirfd(folder), name, 0);
        else if (is_name(name, TEMPORARY_BUNDLE))
            sweep_folder(dirfd(folder), name);
    }
    if (folder)
        closedir(folder);
}
