/* SPDX-License-Identifier: Apache-2.0 */
/* unix.c - connect, bind and datagrams of local sockets.
 *
 * A path is looked up once, as the program sees it; the canonical path of what was found is
 * checked, and the call is made on what was found: through its descriptor for a socket that is
 * there, in the descriptor's folder for one to be made. What happens to the names meanwhile changes
 * nothing. Nor does what happened to them before: moved.c. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"

#define PATH_SIZE (sizeof(((struct sockaddr_un *)0)->sun_path) + 1)
#define TARGET_SIZE (NOTIFY_PATH_MAX + 8)
#define GRANT_SIZE (NOTIFY_PATH_MAX + 32)

enum kind { UNNAMED, ABSTRACT, PATHNAME };

/* The path, ended, or the abstract name with '@' in front. */
static enum kind read_name(const struct notify_address *address, char ret[PATH_SIZE])
{
    size_t at = offsetof(struct sockaddr_un, sun_path);
    if (address->size <= at)
        return UNNAMED;
    size_t size = address->size - at;
    if (size >= PATH_SIZE)
        size = PATH_SIZE - 1;
    memcpy(ret, address->bytes + at, size);
    ret[size] = '\0';
    if (ret[0])
        return PATHNAME;
    ret[0] = '@';
    for (size_t i = 1; i < size; i++)
        if ((unsigned char)ret[i] < 0x20 || ret[i] == 0x7f)
            ret[i] = '@'; /* for the person who reads it */
    return ABSTRACT;
}

static int64_t deny_unix(const struct notify_ask *ask, bool is_bind, const char *name,
                         const char *rule, const char *option)
{
    char target[TARGET_SIZE], grant[GRANT_SIZE] = "";
    snprintf(target, sizeof(target), "unix:%s", name);
    if (option)
        snprintf(grant, sizeof(grant), "%s %s", option, name);
    return notify_deny(ask->n, is_bind ? "unix-bind" : "unix-connect", target, rule, grant);
}

static int64_t deny_abstract(const struct notify_ask *ask, bool is_bind, const char *name)
{
    return deny_unix(ask, is_bind, name, "abstract sockets have no path to grant", NULL);
}

/* The socket at PATH, checked, and as *ret an address that leads to it alone. -errno. */
static int find(const struct notify_ask *ask, const char *path, struct notify_address *ret)
{
    char canonical[NOTIFY_PATH_MAX];
    nt_autoclose int fd = program_resolve(ask->pid, path, 0, canonical);
    if (!notify_is_valid(ask->n, ask->id)) /* the root and folder of somebody else */
        return -ESRCH;
    if (fd < 0)
        return fd;
    bool is_own = known_is_own(notify_known_of(ask->n), fd);
    if (!is_own && !policy_ask_unix(notify_options_of(ask->n)->policy, canonical, false))
        return (int)deny_unix(ask, false, canonical, "not granted", "--allow-unix-socket");
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode) || st.st_nlink == 0)
        return -ECONNREFUSED;
    if (!is_own && !known_is_in_place(ask, fd, canonical))
        return (int)deny_unix(
            ask, false, canonical,
            "neither there at the start nor the program's own, in a folder that it "
            "may write",
            NULL);
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int length = snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", fd);
    *ret = (struct notify_address){ .size = (socklen_t)(offsetof(struct sockaddr_un, sun_path)
                                                        + (size_t)length + 1) };
    memcpy(ret->bytes, &to, ret->size);
    return nt_take_fd(fd);
}

int64_t unix_connect(const struct notify_ask *ask, const struct notify_address *address)
{
    char name[PATH_SIZE];
    if (address->any.ss_family != AF_UNIX)
        return -EINVAL;
    switch (read_name(address, name)) {
    case UNNAMED:
        return -EINVAL;
    case ABSTRACT:
        if (commands_is_asked(ask, name))
            return commands_connect(ask);
        if (!notify_options_of(ask->n)->policy->abstract_sockets)
            return deny_abstract(ask, false, name);
        return wait_connect(ask, address, ask->socket, -1);
    case PATHNAME:
        break;
    }
    struct notify_address to;
    int fd = find(ask, name, &to);
    return fd < 0 ? fd : wait_connect(ask, &to, ask->socket, fd);
}

int64_t unix_may_send(const struct notify_ask *ask, struct notify_address *address, int *ret_fd)
{
    char name[PATH_SIZE];
    if (address->any.ss_family != AF_UNIX)
        return -EINVAL;
    enum kind kind = read_name(address, name);
    if (kind == UNNAMED)
        return -EINVAL;
    if (kind == ABSTRACT)
        return notify_options_of(ask->n)->policy->abstract_sockets
                   ? 0
                   : deny_abstract(ask, false, name);
    struct notify_address to;
    int fd = find(ask, name, &to);
    if (fd < 0)
        return fd;
    *address = to;
    *ret_fd = fd;
    return 0;
}

static int64_t bind_as(const struct notify_ask *ask, const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    size_t size = strlen(path) + 1;
    if (size > sizeof(at.sun_path))
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, size);
    return bind(ask->socket, (const struct sockaddr *)&at,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size))
                   < 0
               ? -errno
               : 0;
}

/* Makes the socket in FOLDER, with the program's umask: both are of notify's thread alone, where a
 * container lets it have its own. The last part of a name is never followed when a socket is made.
 * *ret_given: the name that the kernel keeps. */
static int64_t bind_in(const struct notify_ask *ask, int folder, const char *name,
                       char ret_given[PATH_SIZE])
{
    if (!notify_has_own_folder(ask->n)) {
        snprintf(ret_given, PATH_SIZE, "/proc/self/fd/%d/%s", folder, name);
        return bind_as(ask, ret_given);
    }
    mode_t mask;
    snprintf(ret_given, PATH_SIZE, "%s", name);
    if (program_umask(ask->pid, &mask) != 0 || fchdir(folder) < 0)
        return -EACCES;
    mode_t old = umask(mask);
    int64_t answer = bind_as(ask, name);
    umask(old);
    if (chdir("/") < 0) /* it would keep the folder busy */
        answer = answer ? answer : -errno;
    return answer;
}

static int64_t bind_path(const struct notify_ask *ask, const char *path)
{
    char folder[PATH_SIZE + 1], canonical[NOTIFY_PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return slash && !name[0] ? -ENOENT : -EADDRINUSE;
    size_t size = slash ? (size_t)(slash - path) + 1 : 0;
    memcpy(folder, path, size); /* with its slash, so that "/name" has the folder "/" */
    folder[size] = '\0';
    nt_autoclose int fd = program_resolve(ask->pid, size ? folder : ".", O_DIRECTORY, canonical);
    if (!notify_is_valid(ask->n, ask->id))
        return NOTIFY_NOBODY;
    if (fd < 0)
        return fd;
    size_t length = strlen(canonical);
    if (length == 1)
        length = 0; /* "/" */
    if (length + strlen(name) + 2 > sizeof(canonical))
        return -ENAMETOOLONG;
    canonical[length] = '/';
    memcpy(canonical + length + 1, name, strlen(name) + 1);
    if (!policy_ask_unix(notify_options_of(ask->n)->policy, canonical, true))
        return deny_unix(ask, true, canonical, "not granted", "--allow-unix-socket-bind");
    char given[PATH_SIZE];
    struct timespec since;
    clock_gettime(CLOCK_REALTIME_COARSE, &since);
    int64_t answer = bind_in(ask, fd, name, given);
    if (answer == 0)
        known_add(notify_known_of(ask->n), fd, name, &since);
    if (answer == 0 && strcmp(given, path) != 0)
        names_add(notify_names_of(ask->n), ask->socket, given, path);
    return answer;
}

int64_t unix_bind(const struct notify_ask *ask, const struct notify_address *address)
{
    char name[PATH_SIZE];
    if (address->any.ss_family != AF_UNIX)
        return -EINVAL;
    switch (read_name(address, name)) {
    case UNNAMED: /* the kernel then chooses an abstract one */
        memcpy(name, "@", 2);
        /* fall through */
    case ABSTRACT:
        if (!notify_options_of(ask->n)->policy->abstract_sockets)
            return deny_abstract(ask, true, name);
        return bind(ask->socket, (const void *)address->bytes, address->size) < 0 ? -errno : 0;
    case PATHNAME:
        break;
    }
    return bind_path(ask, name);
}
