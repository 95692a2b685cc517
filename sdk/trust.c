/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c - opens folders and files that only root or this user can have written.
 *
 * Each step is opened relative to the one before and judged by its descriptor, so that nothing can
 * be exchanged between the look and the use. A link is followed by hand: it stands in a folder that
 * was judged, so that its owner placed it. */
#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define LINKS_MAX 16u
#define OVERFLOW_UID 65534u /* user_namespaces(7): unmapped users */

/* In a user namespace without root, such as a sandbox of this very program makes, files of root
 * show as belonging to nobody, and so does "/": then who owns "/" is root. Others that are not
 * mapped look the same there; what only they can write is reached by a path that the user gives. */
static bool is_root_hidden(void)
{
    static int known = -1;
    struct stat st;
    unsigned first;
    if (known >= 0)
        return known;
    known = 0;
    if (stat("/", &st) < 0 || st.st_uid != OVERFLOW_UID)
        return false;
    FILE *map = fopen("/proc/self/uid_map", "re");
    if (!map)
        return false;
    known = 1;
    while (fscanf(map, "%u %*u %*u", &first) == 1)
        if (first == 0)
            known = 0;
    fclose(map);
    return known;
}

static bool is_of_root(const struct stat *st)
{
    return st->st_uid == 0 || (st->st_uid == OVERFLOW_UID && is_root_hidden());
}

bool nt_trust_is_ours(const struct stat *st)
{
    return is_of_root(st) || st->st_uid == geteuid();
}

static bool is_open_to_others(const struct stat *st)
{
    return (st->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* In a sticky folder of root others can add, but not rename or remove what is not theirs. */
static bool is_sticky_of_root(const struct stat *st)
{
    return is_of_root(st) && (st->st_mode & S_ISVTX);
}

static int judge(const struct stat *st, const char *path, struct nt_error *reterr)
{
    if (!nt_trust_is_ours(st))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s belongs to user %u, not to you or root",
                       path, st->st_uid);
    if (is_open_to_others(st))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "others can write to %s (chmod go-w)", path);
    return 0;
}

/* One walk from / to a folder. */
struct walk {
    struct nt_buf done; /* the path so far, without links */
    struct nt_buf rest; /* what is still to walk */
    int fd;             /* the folder reached */
    bool must_pass;     /* it is sticky: it may not be the end */
    unsigned links;
};

static void walk_done(struct walk *walk)
{
    nt_closep(&walk->fd);
    nt_buf_done(&walk->done);
    nt_buf_done(&walk->rest);
}

static int walk_to_root(struct walk *walk, struct nt_error *reterr)
{
    nt_closep(&walk->fd);
    nt_buf_reset(&walk->done);
    walk->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (walk->fd < 0 || fstat(walk->fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open /");
    walk->must_pass = false;
    return judge(&st, "/", reterr);
}

static int fail_at(const struct walk *walk, const char *name, int sys, struct nt_error *reterr)
{
    if (sys == ENOENT || sys == ENOTDIR)
        return nt_fail(reterr, NT_E_NOT_FOUND, "%s/%s: there is no such folder",
                       nt_buf_text(&walk->done), name);
    return nt_fail_sys(reterr, sys, "cannot open %s/%s", nt_buf_text(&walk->done), name);
}

/* `name` in the folder reached is a link: what it says comes before the rest. */
static int follow(struct walk *walk, const char *name, const struct stat *st,
                  struct nt_error *reterr)
{
    if (!nt_trust_is_ours(st))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "the link %s/%s belongs to user %u",
                       nt_buf_text(&walk->done), name, st->st_uid);
    if (++walk->links > LINKS_MAX)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "more than %u links on the way", LINKS_MAX);
    char target[PATH_MAX];
    ssize_t length = readlinkat(walk->fd, name, target, sizeof(target) - 1);
    if (length < 0)
        return fail_at(walk, name, errno, reterr);
    target[length] = '\0';
    nt_auto(nt_buf_done) struct nt_buf rest = NT_BUF(PATH_MAX);
    nt_buf_addf(&rest, "%s/%s", target, nt_buf_text(&walk->rest));
    nt_buf_reset(&walk->rest);
    nt_buf_add(&walk->rest, nt_buf_text(&rest));
    if (!nt_buf_ok(&rest) || !nt_buf_ok(&walk->rest))
        return nt_fail(reterr, NT_E_LIMIT, "the path is too long");
    return target[0] == '/' ? walk_to_root(walk, reterr) : 0;
}

/* One step down (or up: ".."). */
static int step(struct walk *walk, const char *name, struct nt_error *reterr)
{
    nt_autoclose int next = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (next < 0 || fstat(next, &st) < 0)
        return fail_at(walk, name, errno, reterr);
    if (S_ISLNK(st.st_mode))
        return follow(walk, name, &st, reterr);
    if (!S_ISDIR(st.st_mode))
        return fail_at(walk, name, ENOTDIR, reterr);
    if (strcmp(name, "..") == 0) {
        char *slash = walk->done.size ? strrchr(walk->done.data, '/') : NULL;
        if (slash) {
            *slash = '\0';
            walk->done.size = (size_t)(slash - walk->done.data);
        }
    } else {
        nt_buf_addf(&walk->done, "/%s", name);
    }
    if (!nt_buf_ok(&walk->done))
        return nt_fail(reterr, NT_E_LIMIT, "the path is too long");
    walk->must_pass = is_sticky_of_root(&st) && is_open_to_others(&st);
    if (!walk->must_pass && judge(&st, nt_buf_text(&walk->done), reterr) < 0)
        return -1;
    nt_closep(&walk->fd);
    walk->fd = nt_take_fd(next);
    return 0;
}

/* Takes the next component off the rest; false: none is left. */
static bool next_name(struct walk *walk, char ret[NAME_MAX + 1])
{
    const char *rest = nt_buf_text(&walk->rest);
    size_t skip = strspn(rest, "/"), length = strcspn(rest + skip, "/");
    if (length > NAME_MAX)
        length = NAME_MAX; /* the kernel refuses it by its own limit */
    memcpy(ret, rest + skip, length);
    ret[length] = '\0';
    nt_buf_drop(&walk->rest, skip + length);
    return length > 0;
}

int nt_trust_open_folder(const char *path, int *ret_fd, struct nt_error *reterr)
{
    if (path[0] != '/')
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s is not an absolute path", path);
    nt_auto(walk_done) struct walk walk = { NT_BUF(PATH_MAX), NT_BUF(PATH_MAX), -1, false, 0 };
    nt_buf_add(&walk.rest, path);
    if (!nt_buf_ok(&walk.rest))
        return nt_fail(reterr, NT_E_LIMIT, "the path is too long");
    if (walk_to_root(&walk, reterr) < 0)
        return -1;
    char name[NAME_MAX + 1];
    while (next_name(&walk, name))
        if (strcmp(name, ".") != 0 && step(&walk, name, reterr) < 0)
            return -1;
    if (walk.must_pass)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "others can write to %s",
                       nt_buf_text(&walk.done));
    int fd = openat(walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot read %s", path);
    *ret_fd = fd;
    return 0;
}

int nt_trust_open_file(int folder, const char *name, int *ret_fd, struct stat *ret_st,
                       struct nt_error *reterr)
{
    /* O_NONBLOCK: opening a fifo must not wait. */
    nt_autoclose int fd =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ELOOP)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s is a symbolic link", name);
    if (fd < 0 && errno == ENOENT)
        return nt_fail(reterr, NT_E_NOT_FOUND, "%s is not there", name);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", name);
    if (fstat(fd, ret_st) < 0)
        return nt_fail_sys(reterr, errno, "cannot look at %s", name);
    if (!S_ISREG(ret_st->st_mode))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s is not a regular file", name);
    if (judge(ret_st, name, reterr) < 0)
        return -1;
    *ret_fd = nt_take_fd(fd);
    return 0;
}
