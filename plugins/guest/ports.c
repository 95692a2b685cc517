/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - published ports: takes listening sockets of the host, accepts, hands on to relay.c. */
#include "plugins/guest/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/engine.h"
#include "plugins/guest/relay.h"

#define PUBLISHED_MAX 256u
#define ACCEPTS 16 /* of one turn: then others have theirs */

struct published {
    struct source source;
    struct published *next;
    uint16_t port, host_port;
    char address[48];
};

static struct published *published;
static unsigned published_count;

/* Given up to refuse a peer when no descriptor is left: else it would wait, and we spin. */
static int spare = -1;

static void keep_spare(void)
{
    if (spare < 0)
        spare = fcntl(guest.null_fd, F_DUPFD_CLOEXEC, GUEST_FD_LOGS + 1);
}

static void on_connection(struct source *source, uint32_t events)
{
    (void)events;
    struct published *p = (struct published *)(void *)source;
    for (int i = 0; i < ACCEPTS; i++) {
        keep_spare();
        int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare >= 0) {
            close(spare);
            spare = -1;
            fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                close(fd);
            return;
        }
        if (fd < 0)
            return;
        relay_accepted(fd, p->port, p);
    }
}

static struct published **find(uint64_t host_port)
{
    struct published **at = &published;
    while (*at && (*at)->host_port != host_port)
        at = &(*at)->next;
    return at;
}

/* Also cuts its connections: what is no longer published is no longer reached. */
static void withdraw(struct published **at)
{
    struct published *p = *at;
    *at = p->next;
    relay_end_of(p);
    loop_close(&p->source);
    free(p);
    published_count--;
}

/* A listening TCP socket, and nothing else. */
static bool is_listener(int fd)
{
    int type = 0, domain = 0, listens = 0;
    socklen_t size = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM
           && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0
           && (domain == AF_INET || domain == AF_INET6)
           && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

void ports_publish(struct conn *c, const struct request *r)
{
    uint64_t port = request_number(r, NT_GT_PORT, 0), host = request_number(r, NT_GT_HOST_PORT, 0);
    char address[sizeof(published->address)] = "";
    if (port < 1 || port > 65535 || host < 1 || host > 65535
        || !request_text(r, NT_GT_ADDRESS, address, sizeof(address))) {
        conn_error(c, NT_GE_INVALID, EINVAL, "that is not a port and an address");
        return;
    }
    if (guest.has_way_out && port == NT_WAY_OUT_PORT) {
        conn_error(c, NT_GE_NOT_ALLOWED, EACCES, "port %u is the workspace's own way out",
                   NT_WAY_OUT_PORT);
        return;
    }
    int fd = conn_take_fd(c, 0);
    if (fd < 0 || c->fd_count != 1 || c->bad_fds || !is_listener(fd)) {
        if (fd >= 0)
            close(fd);
        conn_error(c, NT_GE_BAD_DESCRIPTOR, 0, "that is not a listening TCP socket");
        return;
    }
    struct published **old = find(host);
    if (*old)
        withdraw(old);
    struct published *p = published_count < PUBLISHED_MAX ? calloc(1, sizeof(*p)) : NULL;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (!p || loop_add(&p->source, fd, EPOLLIN, on_connection) < 0) {
        free(p);
        close(fd);
        conn_error(c, NT_GE_LIMIT, EBUSY, "too many published ports");
        return;
    }
    keep_spare();
    p->port = (uint16_t)port;
    p->host_port = (uint16_t)host;
    memcpy(p->address, address, sizeof(address));
    p->next = published;
    published = p;
    published_count++;
    conn_ok(c);
}

void ports_unpublish(struct conn *c, const struct request *r)
{
    struct published **at = find(request_number(r, NT_GT_HOST_PORT, 0));
    if (*at)
        withdraw(at);
    conn_ok(c);
}

void ports_tell(struct helper_io *io)
{
    for (const struct published *p = published; p; p = p->next) {
        uint8_t memory[256];
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ENTRY);
        nt_g_add_number(&w, NT_GT_PORT, p->port);
        nt_g_add_number(&w, NT_GT_HOST_PORT, p->host_port);
        nt_g_add_text(&w, NT_GT_ADDRESS, p->address);
        io_send(io, &w);
    }
}
