/* SPDX-License-Identifier: Apache-2.0 */
/* server_conn.c - one accepted connection: requests strictly one after the other, their bodies by
 * credit. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "core/net/http_text.h"
#include "core/net/server_private.h"
#include "core/net/ws.h"
#include "core/net/ws_parse.h"
#include "sdk/error.h"

/* Of all servers: a pool may hold connections for those of several. */
static atomic_uint_fast64_t last_id;

enum { HANDSHAKE_MS = 10000, LINGER_MS = 2000, LINGER_BYTES = 4 * 1024 * 1024 };

static void end(struct peer_conn *p)
{
    struct conn *c = p->c;
    http_parse_free(p->parse);
    free(p);
    conn_close(c);
}

static void call_done(struct peer_conn *p, const struct nt_error *reason)
{
    struct net_request *req = &p->req;
    if (!req->is_active)
        return;
    req->is_active = false;
    if (req->is_upgrade && req->taken) {
        void (*taken)(void *data, int fd) = req->taken;
        req->taken = NULL;
        taken(req->taken_data, -1);
    }
    if (req->events.done)
        req->events.done(req->data, req, reason);
}

/* The current request, if any, ends with this reason, and so does the connection. */
static void lose(struct peer_conn *p, const struct nt_error *reason)
{
    conn_drop_queue(p->c);
    call_done(p, reason);
    end(p);
}

static void lose_closed(struct peer_conn *p, int sys)
{
    struct nt_error reason = NT_ERROR_INIT;
    char name[32];
    if (sys == 0)
        nt_fail(&reason, NT_E_CLOSED, "the client closed the connection");
    else
        nt_fail_sys(&reason, sys, "the client's connection was lost");
    if (sys != 0)
        reason.code = sys == ETIMEDOUT   ? NT_E_TIMEOUT
                      : sys == ECANCELED ? NT_E_CANCELLED
                                         : NT_E_CLOSED;
    nt_copy_text(reason.upstream, sizeof(reason.upstream),
                 sys ? nt_errno_name(sys, name, sizeof(name)) : "");
    lose(p, &reason);
}

/* Nothing is answered any more: the sending side ends now, what still comes is dropped. Closing at
 * once would reset the connection, and the answer could be lost on its way. */
static void linger(struct peer_conn *p)
{
    if (p->c->out_first || p->has_shut)
        return;
    p->has_shut = true;
    if (p->c->transport->end)
        p->c->transport->end(p->c->transport_data, p->c->fd);
    shutdown(p->c->fd, SHUT_WR);
    conn_due(p->c, DUE_CLOSE, LINGER_MS);
}

static bool is_websocket(struct http_parse *parse)
{
    const char *version = http_parse_header(parse, "sec-websocket-version");
    const char *key = http_parse_header(parse, "sec-websocket-key");
    return strcmp(http_parse_method(parse), "GET") == 0 && http_parse_minor(parse) == 1
           && http_parse_length(parse) == 0
           && http_list_has(http_parse_header(parse, "upgrade"), "websocket")
           && http_list_has(http_parse_header(parse, "connection"), "upgrade") && version
           && strcmp(version, "13") == 0 && key && ws_key_is_valid(key);
}

static void begin_request(struct peer_conn *p)
{
    struct net_request *req = &p->req;
    conn_due(p->c, DUE_HEAD, -1);
    conn_due(p->c, DUE_IDLE, -1);
    const char *expect = http_parse_header(p->parse, "expect");
    if (expect && strcasecmp(expect, "100-continue") != 0) {
        answer_bad(p, 417);
        return;
    }
    *req = (struct net_request){ .conn = p, .is_active = true };
    int64_t length = http_parse_length(p->parse);
    req->body_done = length == 0;
    req->body_left = length;
    req->expects_continue = expect && length != 0 && http_parse_minor(p->parse) == 1;
    req->is_websocket = is_websocket(p->parse);
    p->server->options.request(p->server->options.data, req);
}

/* The answer is out; true: the next request may come (or the connection is gone: p must not be
 * touched). */
static bool finish_request(struct peer_conn *p)
{
    struct net_request *req = &p->req;
    struct conn *c = p->c;
    if (!req->is_active || req->ws || req->answer != ANSWER_ENDED || c->out_first)
        return false;
    if (req->is_upgrade) {
        if (conn_waiting(c) > 0 || c->transport != &transport_socket) {
            struct nt_error reason = NT_ERROR_INIT;
            nt_fail(&reason, NT_E_RESPONSE,
                    conn_waiting(c) > 0 ? "bytes came before the upgrade was answered"
                                        : "a TLS connection cannot be handed over");
            lose(p, &reason);
            return true;
        }
        void (*taken)(void *data, int fd) = req->taken;
        req->taken = NULL;
        int fd = conn_detach(c);
        if (taken)
            taken(req->taken_data, fd);
        else
            close(fd);
        call_done(p, NULL);
        end(p);
        return true;
    }
    if (!req->body_done && req->keeps_alive)
        return false; /* its rest is small and drained first */
    bool keeps_alive = req->keeps_alive;
    call_done(p, NULL);
    http_parse_reset(p->parse, false);
    if (!keeps_alive) {
        p->is_closing = true;
        linger(p);
    } else {
        conn_due(c, DUE_IDLE, p->server->options.limits.idle_ms);
    }
    conn_kick(c);
    return true;
}

static void step(struct peer_conn *p, uint64_t credit, struct http_step *ret)
{
    static const uint8_t none[1];
    struct conn *c = p->c;
    http_parse_step(p->parse, c->in ? c->in + c->begin : none, conn_waiting(c), credit, ret);
}

/* True: look again. */
static bool take_head(struct peer_conn *p)
{
    struct conn *c = p->c;
    struct http_step s;
    step(p, 0, &s);
    conn_consume(c, s.used);
    if (s.event == GOT_HEAD) {
        begin_request(p);
        return true;
    }
    if (s.event == GOT_BAD) {
        answer_bad(p, s.status);
        return true;
    }
    bool begun = http_parse_has_begun(p->parse);
    if (c->eof || (p->server->is_stopped && !begun)) {
        end(p);
        return false;
    }
    if ((begun || s.used) && !c->due[DUE_HEAD]) {
        conn_due(c, DUE_IDLE, -1);
        conn_due(c, DUE_HEAD, p->server->options.limits.head_ms);
    }
    return false;
}

/* True: look again. False also when p is gone. */
static bool take_body(struct peer_conn *p)
{
    struct net_request *req = &p->req;
    struct conn *c = p->c;
    bool is_dropped = !req->events.body || req->answer == ANSWER_ENDED;
    struct http_step s;
    step(p, is_dropped ? UINT64_MAX : req->credit, &s);
    switch (s.event) {
    case GOT_BODY:
        if (req->body_left > 0)
            req->body_left -= (int64_t)s.body.size;
        req->expects_continue = false;
        if (!is_dropped) {
            req->credit -= s.body.size;
            req->events.body(req->data, req, s.body);
        }
        conn_consume(c, s.used);
        return true;
    case GOT_END:
        conn_consume(c, s.used);
        req->body_done = true;
        if (req->events.body_end && req->answer != ANSWER_ENDED)
            req->events.body_end(req->data, req);
        return true;
    case GOT_BAD: {
        struct nt_error reason = NT_ERROR_INIT;
        nt_fail(&reason, NT_E_INVALID, "the body is broken: %s", s.why);
        conn_consume(c, s.used);
        if (req->answer != ANSWER_NONE) {
            lose(p, &reason);
            return false;
        }
        call_done(p, &reason);
        answer_bad(p, s.status);
        return true;
    }
    default:
        conn_consume(c, s.used);
        if (c->eof && conn_waiting(c) == 0) {
            lose_closed(p, 0);
            return false;
        }
        return false;
    }
}

static void on_input(void *owner)
{
    struct peer_conn *p = owner;
    struct conn *c = p->c;
    struct net_request *req = &p->req;
    bool again = true;
    while (again) {
        if (p->is_closing) {
            p->dropped += conn_waiting(c);
            conn_consume(c, conn_waiting(c));
            if (c->eof || p->dropped > LINGER_BYTES)
                end(p);
            else
                linger(p);
            return;
        }
        if (!req->is_active) {
            again = take_head(p);
        } else if (req->wants_abort) {
            /* A reset tells an HTTP/1.0 peer too that the answer is not whole. */
            struct linger at_once = { .l_onoff = 1 };
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
            struct nt_error reason = NT_ERROR_INIT;
            nt_fail(&reason, NT_E_CANCELLED, "the answer was given up");
            lose(p, &reason);
            return;
        } else if (req->ws) {
            struct net_ws *ws = req->ws;
            call_done(p, NULL);
            http_parse_free(p->parse);
            free(p);
            ws_begin(ws);
            return;
        } else if (!req->body_done) {
            again = take_body(p);
        } else if (req->owes_end) {
            req->owes_end = false;
            if (req->answer != ANSWER_ENDED)
                req->events.body_end(req->data, req);
        } else {
            /* An answer that is complete may still be read by a peer that only ended its side. */
            if (c->eof && req->answer != ANSWER_ENDED) {
                lose_closed(p, 0);
                return;
            }
            finish_request(p);
            return;
        }
    }
    if (!c->closing && !req->body_done)
        finish_request(p); /* answered before the body was there */
}

static void on_flushed(void *owner)
{
    struct peer_conn *p = owner;
    struct net_request *req = &p->req;
    if (p->is_closing) {
        linger(p);
        return;
    }
    if (finish_request(p))
        return;
    uint32_t limit = p->server->options.limits.write_queue_bytes;
    uint64_t credit = conn_credit(p->c, limit);
    if (req->is_active && req->wants_writable && req->answer == ANSWER_BODY
        && credit >= limit / 2) {
        req->wants_writable = false;
        if (req->events.writable)
            req->events.writable(req->data, req, credit);
    }
}

static void on_broken(void *owner, int sys)
{
    struct peer_conn *p = owner;
    if (p->req.is_active && p->req.ws) {
        struct net_ws *ws = p->req.ws;
        struct conn *c = p->c;
        call_done(p, NULL);
        http_parse_free(p->parse);
        free(p);
        ws_begin(ws);
        c->events->broken(c->owner, sys);
        return;
    }
    lose_closed(p, sys);
}

static void on_due(void *owner, enum conn_due which)
{
    struct peer_conn *p = owner;
    if (which == DUE_HEAD && !p->req.is_active && !p->is_closing)
        answer_bad(p, 408);
    else if ((which == DUE_IDLE && !p->req.is_active) || (which == DUE_CLOSE && p->is_closing))
        end(p);
}

static const struct conn_events peer_conn_events = {
    .input = on_input,
    .flushed = on_flushed,
    .broken = on_broken,
    .due = on_due,
};

static void learn_peer(int fd, struct net_peer *ret)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    memset(&address, 0, sizeof(address));
    *ret = (struct net_peer){ .uid = (uid_t)-1, .pid = -1 };
    nt_copy_text(ret->address, sizeof(ret->address), "unknown");
    if (getpeername(fd, (struct sockaddr *)&address, &size) < 0)
        return;
    char host[INET6_ADDRSTRLEN];
    if (address.ss_family == AF_UNIX) {
        struct ucred cred;
        socklen_t cred_size = sizeof(cred);
        nt_copy_text(ret->address, sizeof(ret->address), "unix");
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_size) == 0) {
            ret->is_unix = true;
            ret->uid = cred.uid;
            ret->pid = cred.pid;
        }
    } else if (uv_ip_name((const struct sockaddr *)&address, host, sizeof(host)) == 0) {
        bool six = address.ss_family == AF_INET6;
        uint16_t port = six ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                            : ((struct sockaddr_in *)(void *)&address)->sin_port;
        struct nt_buf text = NT_BUF(sizeof(ret->address));
        nt_buf_addf(&text, six ? "[%s]:%u" : "%s:%u", host, (unsigned)ntohs(port));
        nt_copy_text(ret->address, sizeof(ret->address), nt_buf_text(&text));
        nt_buf_done(&text);
        int on = 1, idle_s = 30, every_s = 10, lost = 3;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        /* A host that vanished is noticed though nothing is read from the connection nor sent over
         * it, when no ping of a WebSocket can tell; one that only reads slowly is not harmed. */
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &lost, sizeof(lost));
    }
}

int peer_conn_new(struct net_server *server, int fd, const struct net_take *take,
                  struct nt_error *reterr)
{
    struct peer_conn *p = calloc(1, sizeof(*p));
    if (p)
        p->parse = http_parse_new(false, &server->options.limits);
    if (!p || !p->parse) {
        free(p);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
    }
    p->server = server;
    p->c = conn_new(server->uv, &peer_conn_events, p, reterr);
    if (!p->c) {
        http_parse_free(p->parse);
        free(p);
        return -1;
    }
    p->c->id = atomic_fetch_add(&last_id, 1) + 1;
    learn_peer(fd, &p->peer);
    struct net_tls *tls = take && take->tls ? take->tls : server->options.tls;
    struct tls_link *link = tls ? tls_link_new(tls, fd, reterr) : NULL;
    if ((tls && !link)
        || conn_attach(p->c, fd, tls ? &transport_tls : &transport_socket, link, reterr) < 0) {
        tls_link_free(link);
        end(p);
        return -1;
    }
    p->c->stall_ms = server->options.limits.stall_ms;
    p->c->gone = server_conn_gone;
    p->c->gone_data = server;
    p->c->link = take ? take->link : NULL;
    p->c->link_gone = take ? take->gone : NULL;
    int64_t head_ms = server->options.limits.head_ms;
    conn_due(p->c, DUE_IDLE, tls && head_ms > HANDSHAKE_MS ? HANDSHAKE_MS : head_ms);
    server_count(server, p->c, true);
    return 0;
}
