/* SPDX-License-Identifier: Apache-2.0 */
/* paths.c - opens names once and asks the kernel what they were. */
#include "plugins/sandbox-enforce/policy/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/glob.h"
#include "sdk/cleanup.h"

/* readlink of /proc/self/fd is the one question that is answered for this very descriptor; realpath
 * would walk the name a second time, which somebody may have changed. 0 or errno. */
static int name_of(int fd, char ret[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, ret, PATH_MAX);
    if (size < 0)
        return errno;
    if (size >= PATH_MAX)
        return ENAMETOOLONG;
    ret[size] = '\0';
    return ret[0] == '/' ? 0 : EINVAL; /* a pipe, a socket, out of reach */
}

/* "/a/b": no part is empty, "." or "..". */
static bool is_plain(const char *path, size_t size)
{
    if (path[0] != '/' || size < 2 || size >= PATH_MAX || path[size - 1] == '/')
        return false;
    for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
        size_t part = strcspn(slash + 1, "/");
        if (!part || (part == 1 && slash[1] == '.') || (part == 2 && !memcmp(slash + 1, "..", 2)))
            return false;
    }
    return true;
}

/* A plain path that opens without any link on the way is its own canonical form, which saves the
 * question for it: most paths of the groups. *ret_is_canonical says so. */
static int open_path(int base, const char *path, size_t size, bool *ret_is_canonical)
{
    const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
    int fd = -1;
    *ret_is_canonical = false;
    if (is_plain(path, size)) {
        fd = (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
        *ret_is_canonical = fd >= 0;
        if (fd >= 0 || errno == ENOENT)
            return fd;
    }
    return openat(base, path, O_PATH | O_CLOEXEC);
}

int path_find(int base, const char *path, struct found *ret)
{
    size_t size = strlen(path);
    bool is_canonical;
    nt_autoclose int fd = open_path(base, path, size, &is_canonical);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno;
    int failed = is_canonical ? 0 : name_of(fd, ret->path);
    if (failed)
        return failed;
    if (is_canonical)
        memcpy(ret->path, path, size + 1);
    if (st.st_nlink == 0)
        return ENOENT; /* its name would be "… (deleted)" */
    ret->is_file = !S_ISDIR(st.st_mode);
    ret->dev = st.st_dev;
    ret->ino = st.st_ino;
    ret->mode = st.st_mode;
    ret->fd = nt_take_fd(fd);
    return 0;
}

/* Appends the parts of REST to the canonical path of SIZE bytes in RET. */
static bool append(char ret[PATH_MAX], size_t size, const char *rest)
{
    if (size == 1)
        size = 0; /* "/" */
    while (*rest) {
        size_t part = strcspn(rest, "/");
        if (part == 2 && rest[0] == '.' && rest[1] == '.') {
            while (size && ret[size - 1] != '/')
                size--;
            size -= size ? 1 : 0;
        } else if (part && !(part == 1 && rest[0] == '.')) {
            if (size + part + 2 > PATH_MAX)
                return false;
            ret[size++] = '/';
            memcpy(ret + size, rest, part);
            size += part;
        }
        rest += part;
        rest += strspn(rest, "/");
    }
    if (size == 0)
        ret[size++] = '/';
    ret[size] = '\0';
    return true;
}

bool path_resolve_into(const char *path, char ret[PATH_MAX])
{
    size_t size = strlen(path);
    char there[PATH_MAX];
    if (path[0] != '/' || size >= PATH_MAX)
        return false;
    for (;;) { /* the longest part that is there */
        memcpy(there, path, size);
        there[size] = '\0';
        nt_autoclose int fd = open(size ? there : "/", O_PATH | O_CLOEXEC);
        if (fd >= 0 && name_of(fd, ret) == 0)
            break;
        if (size == 0) {
            ret[0] = '/', ret[1] = '\0';
            break;
        }
        while (size && path[size - 1] == '/')
            size--;
        while (size && path[size - 1] != '/')
            size--;
        while (size && path[size - 1] == '/')
            size--;
    }
    return append(ret, strlen(ret), path + size);
}

const char *path_resolve(struct memory *m, const char *path)
{
    char real[PATH_MAX];
    return path_resolve_into(path, real) ? memory_text(m, real) : NULL;
}

bool path_is_below(const char *path, const char *folder)
{
    if (!folder[1])
        return true; /* "/" */
    /* Asked for each pair of a grant and a deny, which mostly differ at once: no call is made. */
    while (*folder && *folder == *path)
        folder++, path++;
    return !*folder && (*path == '/' || !*path);
}

bool path_matches(const char *pattern, const char *path)
{
    if (pattern[0] == '/' || strncmp(pattern, "**", 2) == 0)
        return path_glob(pattern, path, '?');
    char anywhere[PATH_MAX];
    int size = snprintf(anywhere, sizeof(anywhere), "**/%s", pattern);
    return size > 0 && (size_t)size < sizeof(anywhere) && path_glob(anywhere, path, '?');
}

bool path_is_matched(const char *pattern, const char *path)
{
    char above[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof(above))
        return true; /* longer than any path: closed */
    memcpy(above, path, size + 1);
    while (size > 1) {
        if (path_matches(pattern, above))
            return true;
        while (size > 1 && above[size - 1] != '/')
            size--;
        size -= size > 1;
        above[size] = '\0';
    }
    return false;
}
