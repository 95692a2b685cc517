/* SPDX-License-Identifier: Apache-2.0 */
/* helper.c - file operations and counters run in forked children; see state.h and helper.h.
 *
 * The guest keeps the connection only to see that the peer has gone: then the child has a while to
 * clean up. */
#include "plugins/guest/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/guest/ports.h"
#include "plugins/guest/search.h"
#include "sdk/fds.h"

#define LOST_MS 5000
#define WATCHES_MAX 64u /* they last: others must find a place */

struct helper {
    struct helper *next;
    struct conn *conn; /* NULL: the peer has gone */
    struct timer lost;
    pid_t pid;
    bool is_watch;
};

static struct helper *helpers;
static unsigned helper_count, watch_count;

/* --- in the child -------------------------------------------------------------------------- */

static void send_all(struct helper_io *io, struct iovec *iov, int count)
{
    while (count) {
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)count };
        ssize_t n = sendmsg(io->fd, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            _exit(1);
        while (count && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
}

void io_send(struct helper_io *io, struct nt_g_writer *w)
{
    struct iovec iov = { w->data, nt_g_done(w) };
    if (!iov.iov_len)
        _exit(1);
    send_all(io, &iov, 1);
}

void io_send_fd(struct helper_io *io, struct nt_g_writer *w, int fd)
{
    struct iovec iov = { w->data, nt_g_done(w) };
    ssize_t n;
    do
        n = nt_send_fds(io->fd, iov.iov_base, iov.iov_len, &fd, fd >= 0 ? 1 : 0, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        _exit(1);
    iov.iov_base = (char *)iov.iov_base + n;
    iov.iov_len -= (size_t)n;
    if (iov.iov_len)
        send_all(io, &iov, 1);
}

void io_raw(struct helper_io *io, uint16_t type, const void *bytes, size_t size)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, type, (uint32_t)size);
    struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)bytes, size } };
    send_all(io, iov, size ? 2 : 1);
}

void io_refuse(struct helper_io *io, uint64_t code, int sys, const char *text)
{
    uint8_t memory[1024];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ERROR);
    nt_g_add_number(&w, NT_GT_CODE, code);
    nt_g_add_number(&w, NT_GT_ERRNO, (uint64_t)sys);
    nt_g_add_text(&w, NT_GT_MESSAGE, text);
    io_send(io, &w);
    _exit(0);
}

void io_fail(struct helper_io *io, int sys, const char *what)
{
    char text[512];
    snprintf(text, sizeof(text), "%s: %s", what, strerror(sys));
    io_refuse(io, sys == ENOENT || sys == ENOTDIR ? NT_GE_NOT_FOUND : NT_GE_SYSTEM, sys, text);
}

int io_try_next(struct helper_io *io, struct nt_g_frame *ret)
{
    memmove(io->rx, io->rx + io->used, io->rx_size - io->used);
    io->rx_size -= io->used;
    io->used = 0;
    for (;;) {
        int64_t n = nt_g_next(io->rx, io->rx_size, ret);
        if (n < 0)
            return -1;
        if (n > 0) {
            io->used = (size_t)n;
            return 0;
        }
        ssize_t got =
            recv(io->fd, io->rx + io->rx_size, NT_G_HEAD + NT_G_FRAME_MAX - io->rx_size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        io->rx_size += (size_t)got;
    }
}

void io_path(struct helper_io *io, const struct request *r, unsigned tag, char ret[PATH_MAX])
{
    char text[PATH_MAX];
    if (!request_text(r, tag, text, sizeof(text)))
        io_refuse(io, NT_GE_INVALID,
                  request_has(r, tag) && r->text_size[tag] ? ENAMETOOLONG : EINVAL,
                  "the path is missing or too long");
    int n = text[0] == '/' ? snprintf(ret, PATH_MAX, "%s", text)
                           : snprintf(ret, PATH_MAX, "%s/%s", guest.base, text);
    if (n >= PATH_MAX)
        io_refuse(io, NT_GE_INVALID, ENAMETOOLONG, "the path is too long");
    while (n > 1 && ret[n - 1] == '/')
        ret[--n] = '\0';
}

static void __attribute__((noreturn))
serve(struct conn *c, const struct request *r, const uint8_t *more, size_t more_size)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct helper_io io = { .fd = 3, .rx = malloc(NT_G_HEAD + NT_G_FRAME_MAX) };
    if (!io.rx
        || dup2(c->source.fd, 3) < 0) /* the listener's place: only this connection stays open */
        _exit(1);
    close_range(4, ~0u, 0);
    /* One that was adopted came from a loop. The guest itself never waits, whatever the flag says.
     */
    fcntl(3, F_SETFL, fcntl(3, F_GETFL) & ~O_NONBLOCK);
    struct iovec left = { c->tx + c->tx_at, c->tx_size - c->tx_at };
    if (left.iov_len)
        send_all(&io, &left, 1);
    if (more_size)
        memcpy(io.rx, more, more_size);
    io.rx_size = more_size;
    if (r->type == NT_G_METRICS)
        metrics_serve(&io);
    else if (r->type == NT_G_PORTS)
        listeners_serve(&io);
    else if (r->type == NT_G_WRITE)
        files_write(&io, r);
    else if (r->type == NT_G_GREP || r->type == NT_G_GLOB)
        search_serve(&io, r);
    else if (r->type == NT_G_REPLACE)
        replace_serve(&io, r);
    else if (r->type == NT_G_WATCH)
        watch_serve(&io, r);
    else if (r->type == NT_G_TREE_READ)
        trees_read(&io, r);
    else if (r->type == NT_G_TREE_WRITE)
        trees_write(&io, r);
    else
        files_serve(&io, r);
    _exit(0);
}

/* --- in the guest -------------------------------------------------------------------------- */

static void on_lost_ms(struct timer *timer)
{
    struct helper *h = (struct helper *)(void *)((char *)timer - offsetof(struct helper, lost));
    kill(h->pid, SIGKILL);
}

static void helper_lost(struct conn *c)
{
    struct helper *h = c->op;
    h->conn = NULL;
    loop_timer(&h->lost, LOST_MS, on_lost_ms);
}

/* Frames belong to the child: they are not even read here. */
static int helper_frame(struct conn *c, const struct nt_g_frame *frame)
{
    (void)c;
    (void)frame;
    return 0;
}

static const struct conn_ops helper_ops = { .frame = helper_frame, .lost = helper_lost };

void helper_start(struct conn *c, const struct request *r, const uint8_t *more, size_t more_size)
{
    bool is_watch = r->type == NT_G_WATCH;
    if (is_watch && watch_count >= WATCHES_MAX) {
        conn_error(c, NT_GE_LIMIT, EBUSY, "a workspace has %u watches at the most", WATCHES_MAX);
        return;
    }
    struct helper *h = helper_count < GUEST_HELPERS_MAX ? calloc(1, sizeof(*h)) : NULL;
    if (!h) {
        conn_error(c, NT_GE_LIMIT, EBUSY, "too many file operations at a time");
        return;
    }
    h->is_watch = is_watch;
    h->pid = fork();
    if (h->pid == 0)
        serve(c, r, more, more_size);
    if (h->pid < 0) {
        free(h);
        conn_error(c, NT_GE_SYSTEM, errno, "no process could be made: %s", strerror(errno));
        return;
    }
    c->tx_at = c->tx_size = 0; /* the child's now */
    c->is_blocked = true;
    c->op = h;
    c->ops = &helper_ops;
    h->conn = c;
    h->next = helpers;
    helpers = h;
    helper_count++;
    watch_count += is_watch;
}

bool helper_is(int pid)
{
    for (struct helper *h = helpers; h; h = h->next)
        if (h->pid == pid)
            return true;
    return false;
}

bool helper_reaped(int pid)
{
    for (struct helper **at = &helpers; *at; at = &(*at)->next) {
        struct helper *h = *at;
        if (h->pid != pid)
            continue;
        *at = h->next;
        loop_timer_end(&h->lost);
        if (h->conn) {
            h->conn->ops = NULL;
            conn_close(h->conn);
        }
        helper_count--;
        watch_count -= h->is_watch;
        free(h);
        return true;
    }
    return false;
}
