/* SPDX-License-Identifier: Apache-2.0 */
/* carry_remote.c - a connection through the API: a WebSocket whose binary messages are the bytes,
 * with {"type":"end"} for the end of one direction. Credit goes both ways: a slow reader on one
 * side stops the writer on the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PIECE (64u * 1024u)
#define WINDOW (512u * 1024u) /* bytes of the server that may wait here for the client */
#define END "{\"type\":\"end\"}"
#define ANSWER_MS 20000 /* the guest itself gives a port 10 s */
#define UNREACHABLE "port_unreachable"

struct remote {
    struct carried head;
    int fd;
    struct nt_watch *watch; /* NULL: the port has not answered yet */
    struct nt_timer *late;
    struct nt_stream *stream;
    struct nt_buf out; /* for the client */
    size_t out_at;
    uint64_t credit;
    bool in_ended, is_end_owed; /* the client sends no more */
    bool out_ended;             /* the server sends no more */
    bool is_shut, is_over;
};

static void remote_free(struct remote *r)
{
    nt_buf_done(&r->out);
    free(r);
}

/* The stream's close callback is still to come: it frees. */
static void remote_end(struct carried *c)
{
    struct remote *r = (struct remote *)c;
    if (r->is_over)
        return;
    r->is_over = true;
    r->head.proxy->loop->ops->watch_end(r->watch);
    r->watch = NULL;
    r->head.proxy->loop->ops->timer_end(r->late);
    r->late = NULL;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    carried_remove(c);
    if (r->stream)
        r->stream->ops->cancel(r->stream);
    else
        remote_free(r);
}

static void reset(struct remote *r)
{
    r->head.proxy->loop->ops->watch_end(r->watch);
    r->watch = NULL;
    nt_relay_reset(r->fd);
    r->fd = -1;
    r->head.proxy->has_suspicion = true;
    remote_end(&r->head);
}

static void update(struct remote *r)
{
    uint32_t wants = (!r->in_ended && r->credit > 0 ? NT_READABLE : 0)
                     | (r->out.size > r->out_at ? NT_WRITABLE : 0);
    r->head.proxy->loop->ops->watch_set(r->watch, wants);
}

/* What came from the server, as far as the client takes it. */
static bool flush(struct remote *r)
{
    while (r->out_at < r->out.size) {
        ssize_t n = send(r->fd, r->out.data + r->out_at, r->out.size - r->out_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n < 0) {
            reset(r);
            return false;
        }
        r->out_at += (size_t)n;
        if (r->stream)
            r->stream->ops->grant(r->stream, (uint64_t)n);
    }
    nt_buf_reset(&r->out);
    r->out_at = 0;
    if (r->out_ended && !r->is_shut) {
        r->is_shut = true;
        shutdown(r->fd, SHUT_WR);
    }
    if (r->is_shut && r->in_ended && !r->is_end_owed) {
        remote_end(&r->head);
        return false;
    }
    return true;
}

static void send_end(struct remote *r)
{
    struct nt_error error = NT_ERROR_INIT;
    r->is_end_owed = r->credit < strlen(END);
    if (!r->is_end_owed && r->stream) {
        r->stream->ops->write(r->stream, (struct nt_bytes){ END, strlen(END) }, NT_DATA_TEXT,
                              &error);
        r->credit -= strlen(END);
    }
}

/* False: it is over. */
static bool pull(struct remote *r)
{
    char memory[PIECE];
    struct nt_error error = NT_ERROR_INIT;
    size_t want = r->credit < PIECE ? (size_t)r->credit : PIECE;
    ssize_t n = want ? recv(r->fd, memory, want, MSG_DONTWAIT) : -1;
    if (n < 0 && (!want || errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0) {
        reset(r);
        return false;
    }
    if (n == 0) {
        r->in_ended = true;
        send_end(r);
        return true;
    }
    if (r->stream->ops->write(r->stream, (struct nt_bytes){ memory, (size_t)n }, 0, &error) < 0) {
        reset(r);
        return false;
    }
    r->credit -= (uint64_t)n;
    return true;
}

static void on_ready(void *data, int fd, uint32_t events)
{
    (void)fd;
    struct remote *r = data;
    if (!r->stream)
        return;
    if ((events & (NT_READABLE | NT_HANGUP)) && !r->in_ended && !pull(r))
        return;
    if (flush(r))
        update(r);
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    struct remote *r = data;
    if (r->is_over)
        return;
    if (flags & NT_DATA_TEXT) {
        stream->ops->grant(stream, bytes.size);
        if (bytes.size == strlen(END) && memcmp(bytes.data, END, bytes.size) == 0)
            r->out_ended = true;
    } else {
        nt_buf_add_bytes(&r->out, bytes.data, bytes.size);
        if (!nt_buf_ok(&r->out)) {
            reset(r);
            return;
        }
    }
    if (r->watch && flush(r))
        update(r);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct remote *r = data;
    r->credit = credit;
    if (r->is_end_owed && !r->is_over)
        send_end(r);
    if (!r->is_over && r->watch && flush(r))
        update(r);
}

/* The port has not answered, or not well. */
static void refuse(struct remote *r, const struct nt_error *reason)
{
    struct proxy *p = r->head.proxy;
    p->call->host->debug(p->call, "proxy.refused", reason ? reason->message : "closed");
    if (!reason || strcmp(reason->server_code, UNREACHABLE) != 0) {
        p->has_suspicion = true; /* perhaps the workspace does not run */
        p->wake = 1;
    }
    nt_relay_reset(r->fd);
    r->fd = -1;
    remote_end(&r->head);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct remote *r = data;
    r->stream = NULL;
    if (r->is_over) {
        remote_free(r);
        return;
    }
    if (!r->watch) {
        refuse(r, reason);
        return;
    }
    r->head.proxy->has_suspicion = r->head.proxy->has_suspicion || reason;
    if (r->out_ended || !reason) { /* what waits for the client still goes to it */
        r->out_ended = r->in_ended = true;
        r->is_end_owed = false;
        if (flush(r))
            update(r);
        return;
    }
    reset(r);
}

/* The port has answered. A host that knows no NT_REQ_BEGIN comes here after that, too. */
static void on_open(void *data, struct nt_stream *stream)
{
    struct remote *r = data;
    struct nt_loop *loop = r->head.proxy->loop;
    if (r->is_over || r->fd < 0)
        return;
    loop->ops->timer_end(r->late);
    r->late = NULL;
    r->watch = loop->ops->watch(loop, r->fd, NT_READABLE, on_ready, r);
    if (!r->watch) {
        remote_end(&r->head);
        return;
    }
    r->credit = PIECE; /* until the stream says how much */
    stream->ops->grant(stream, WINDOW);
    update(r);
}

static void on_late(void *data)
{
    struct remote *r = data;
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_TIMEOUT, "the server has not answered in time");
    refuse(r, &error);
}

static const struct nt_stream_events events = { .size = sizeof(events),
                                                .open = on_open,
                                                .data = on_data,
                                                .writable = on_writable,
                                                .close = on_close };

/* Dials; with a client (which it is then) without waiting. */
static int dial(struct remote *r, struct nt_error *reterr)
{
    struct proxy *p = r->head.proxy;
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    struct nt_response head = { .size = sizeof(head) };
    nt_buf_add(&path, "/v1/sandboxes/");
    nt_buf_add_url_part(&path, p->id);
    nt_buf_addf(&path, "/ports/%u/connect", (unsigned)p->port);
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the workspace id is too long");
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_WS,
                            .flags = NT_REQ_NO_RETRY | (r->fd >= 0 ? NT_REQ_BEGIN : 0),
                            .path = nt_buf_text(&path),
                            .events = &events,
                            .data = r };
    if (p->call->host->open(p->call, &open, &r->stream, &head, reterr) == 0)
        return 0;
    r->stream = NULL;
    if (strcmp(reterr->server_code, UNREACHABLE) == 0) { /* one name for both ways */
        reterr->code = PROXY_E_UNREACHABLE;
        reterr->server_code[0] = '\0';
    }
    return -1;
}

int carry_remote(struct proxy *p, int client, struct nt_error *reterr)
{
    struct remote *r = calloc(1, sizeof(*r));
    if (!r) {
        nt_relay_reset(client);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a connection");
    }
    *r = (struct remote){ .fd = client, .out = NT_BUF(2 * WINDOW) };
    carried_add(p, &r->head, remote_end);
    int status = 0;
    if (client >= 0) {
        r->late = p->loop->ops->timer(p->loop, ANSWER_MS, 0, on_late, r);
        status = r->late ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for a connection");
    }
    if (status == 0)
        status = dial(r, reterr);
    if (status < 0) {
        nt_relay_reset(r->fd);
        r->fd = -1;
    }
    if (status < 0 || client < 0) /* failed, or pre-flight */
        remote_end(&r->head);
    return status;
}
