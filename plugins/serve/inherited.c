/* SPDX-License-Identifier: Apache-2.0 */
/* inherited.c - takes the sockets that a manager has passed; see inherited.h. */
#include "inherited.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define FIRST 3 /* SD_LISTEN_FDS_START */

static int where_of_unix(const struct sockaddr_un *address, socklen_t size,
                         char ret[INHERITED_WHERE_MAX])
{
    /* Without a name, or with one that no file has: a client could not say it. */
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    if (size <= offset || address->sun_path[0] != '/')
        return -1;
    size_t length = strnlen(address->sun_path, size - offset);
    snprintf(ret, INHERITED_WHERE_MAX, "unix:%.*s", (int)length, address->sun_path);
    return 0;
}

int inherited_where(const struct sockaddr_storage *address, socklen_t size,
                    char ret[INHERITED_WHERE_MAX])
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } u = { .any = *address };
    char host[INET6_ADDRSTRLEN];
    switch (address->ss_family) {
    case AF_UNIX:
        return where_of_unix(&u.local, size, ret);
    case AF_INET:
        if (!inet_ntop(AF_INET, &u.v4.sin_addr, host, sizeof(host)))
            return -1;
        snprintf(ret, INHERITED_WHERE_MAX, "%s:%u", host, ntohs(u.v4.sin_port));
        return 0;
    case AF_INET6:
        if (!inet_ntop(AF_INET6, &u.v6.sin6_addr, host, sizeof(host)))
            return -1;
        snprintf(ret, INHERITED_WHERE_MAX, "[%s]:%u", host, ntohs(u.v6.sin6_port));
        return 0;
    default:
        return -1;
    }
}

static int option_of(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

static int take_one(int fd, char ret_where[INHERITED_WHERE_MAX], struct nt_error *reterr)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return nt_fail(reterr, NT_E_CONFIG, "LISTEN_FDS counts descriptor %d, which is not open",
                       fd);
    if (option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 1
        || getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        nt_fail(reterr, NT_E_CONFIG, "descriptor %d of LISTEN_FDS is no listening stream socket",
                fd);
        return nt_hint(reterr, "a unit names such sockets with ListenStream= and without Accept=");
    }
    if (inherited_where(&address, size, ret_where) < 0)
        return nt_fail(reterr, NT_E_CONFIG,
                       "descriptor %d of LISTEN_FDS is neither TCP nor a Unix socket with a path",
                       fd);
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return nt_fail_sys(reterr, errno, "cannot use descriptor %d of LISTEN_FDS", fd);
    return 0;
}

/* True when the variables are meant for this process: they outlive it in the environment of others
 * (of a shell in a unit, say). */
static bool is_meant(void)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *text = getenv("LISTEN_PID");
    uint64_t pid;
    return text && nt_parse_u64(text, 1, INT32_MAX, &pid, &error) == 0 && (pid_t)pid == getpid();
}

int inherited_take(struct inherited *ret, struct nt_error *reterr)
{
    *ret = (struct inherited){ .count = 0 };
    if (!is_meant())
        return 0;
    const char *text = getenv("LISTEN_FDS");
    uint64_t count;
    if (!text || nt_parse_u64(text, 1, INHERITED_MAX, &count, reterr) < 0)
        return nt_fail(reterr, NT_E_CONFIG, "LISTEN_FDS is no number from 1 to %u", INHERITED_MAX);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (; ret->count < count; ret->count++) {
        int fd = FIRST + (int)ret->count;
        if (take_one(fd, ret->where[ret->count], reterr) < 0) {
            inherited_done(ret);
            return -1;
        }
        ret->fds[ret->count] = fd;
    }
    return 0;
}

int inherited_get(struct inherited *inherited, const char *where)
{
    for (uint32_t i = 0; inherited && i < inherited->count; i++)
        if (inherited->fds[i] >= 0 && strcmp(inherited->where[i], where) == 0)
            return nt_take_fd(inherited->fds[i]);
    return -1;
}

void inherited_done(struct inherited *inherited)
{
    for (uint32_t i = 0; i < inherited->count; i++) {
        nt_closep(&inherited->fds[i]);
        inherited->fds[i] = -1;
    }
}
