/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - the names of bound local sockets, as the program wrote them.
 *
 * The kernel keeps the words of bind as the name of a socket, and ours are the last part of a path
 * in a folder that is named by descriptor. Many programs pass on what getsockname says as the
 * address (Python's managers, Go's listeners), so that is answered with what they had asked for.
 * Others see the short name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "plugins/sandbox-enforce/notify/inner.h"

#define NAMES 64u /* the oldest is forgotten */

struct name {
    uint64_t cookie; /* of the socket, unique while the machine runs; 0: none */
    char given[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char asked[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
};

struct notify_names {
    size_t next;
    struct name names[NAMES];
};

struct notify_names *names_new(void)
{
    return calloc(1, sizeof(struct notify_names));
}

void names_free(struct notify_names *names)
{
    free(names);
}

static uint64_t cookie_of(int socket)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}

void names_add(struct notify_names *names, int socket, const char *short_name, const char *path)
{
    struct name *name = &names->names[names->next++ % NAMES];
    *name = (struct name){ .cookie = cookie_of(socket) };
    memcpy(name->given, short_name, strlen(short_name) + 1);
    memcpy(name->asked, path, strlen(path) + 1);
}

/* By the socket; an accepted one has the name of its listener, which then must be the only one. */
static const struct name *find(const struct notify_names *names, uint64_t cookie, const char *given)
{
    const struct name *found = NULL;
    size_t same = 0;
    for (size_t i = 0; i < NAMES; i++) {
        const struct name *name = &names->names[i];
        if (!name->cookie || strcmp(name->given, given) != 0)
            continue;
        if (name->cookie == cookie)
            return name;
        found = name;
        same++;
    }
    return same == 1 ? found : NULL;
}

int64_t names_answer(const struct notify_ask *ask)
{
    struct sockaddr_un at = { 0 };
    socklen_t size = sizeof(at);
    if (ask->domain != AF_UNIX || getsockname(ask->socket, (struct sockaddr *)&at, &size) < 0
        || size <= offsetof(struct sockaddr_un, sun_path) || !at.sun_path[0])
        return NOTIFY_NATIVE;
    char given[sizeof(at.sun_path) + 1] = "";
    memcpy(given, at.sun_path, size - offsetof(struct sockaddr_un, sun_path));
    const struct name *name = find(notify_names_of(ask->n), cookie_of(ask->socket), given);
    if (!name)
        return NOTIFY_NATIVE;
    /* As move_addr_to_user does it: cut to the room there is, the whole size told. */
    int32_t room;
    if (program_read(ask->pid, ask->args[2], &room, sizeof(room)) != 0)
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    unsigned char answer[sizeof(struct sockaddr_un) + 1] = { 0 };
    sa_family_t family = AF_UNIX;
    memcpy(answer, &family, sizeof(family));
    size_t length = strlen(name->asked);
    memcpy(answer + offsetof(struct sockaddr_un, sun_path), name->asked, length);
    int32_t whole = (int32_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    size_t cut = (size_t)(room < whole ? room : whole);
    if (!notify_is_valid(ask->n, ask->id))
        return NOTIFY_NOBODY;
    if (program_write(ask->pid, ask->args[1], answer, cut) != 0
        || program_write(ask->pid, ask->args[2], &whole, sizeof(whole)) != 0)
        return -EFAULT;
    return 0;
}
