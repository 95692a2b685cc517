/* SPDX-License-Identifier: Apache-2.0 */
/* trip.c - one request on its way out: it is judged, its host resolved, each address judged, and it
 * is carried to the very address that was allowed - as a tunnel (CONNECT) or as a forwarded request
 * (http://…). */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "plugins/serve/way-out/address.h"
#include "plugins/serve/way-out/tunnel.h"
#include "plugins/serve/way-out/way_out_private.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

enum {
    AUTHORITY_MAX = 320,
    CONNECT_MS = 10 * 1000,
    CREDIT = 256 * 1024,
    HEADERS_MAX = 100,
    ADDRESSES_MAX = 4
};

struct trip {
    struct space *space;
    struct trip *next, *prev;
    struct net_request *req; /* NULL when it is done */
    bool is_tunnel, is_cancelled, is_answered;
    char memory[AUTHORITY_MAX + 16];
    char authority[AUTHORITY_MAX];
    struct net_address to;
    enum verdict verdict;

    uv_getaddrinfo_t resolve;
    bool is_resolving;
    struct sockaddr_storage addresses[ADDRESSES_MAX]; /* that were allowed */
    uint32_t count, at;

    uv_poll_t poll; /* of the connecting socket of a tunnel */
    uv_timer_t timer;
    bool has_poll, has_timer, is_connecting;
    int fd; /* outside */
    struct tunnel *tunnel;

    struct net_client *client;
    bool has_body;
    struct nt_error error;
};

struct trip *trip_next(struct trip *trip)
{
    return trip->next;
}

static void try_free(struct trip *t)
{
    if (t->req || t->is_resolving || t->has_poll || t->has_timer || t->tunnel || t->client)
        return;
    struct space *space = t->space;
    if (t->fd >= 0)
        close(t->fd);
    if (t->prev)
        t->prev->next = t->next;
    else
        space->trips = t->next;
    if (t->next)
        t->next->prev = t->prev;
    free(t);
    space_settle(space);
}

static void answer_error(struct trip *t, uint32_t status, const char *code, const char *message)
{
    if (!t->req || t->is_answered)
        return;
    t->is_answered = true;
    json_t *body = json_pack("{s:s,s:s}", "error", message, "code", code);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    struct net_header type = { "Content-Type", "application/json" };
    net_respond(t->req, status, &type, 1, (struct nt_bytes){ text, text ? strlen(text) : 0 });
    free(text);
}

static void deny(struct trip *t)
{
    struct way_out *out = t->space->out;
    if (out->options.debug)
        out->options.debug(out->options.data, "way_out.denied", t->authority);
    answer_error(t, 403, "way_out_denied", "this workspace may not connect to that address");
}

static void fail(struct trip *t)
{
    answer_error(t, 502, "way_out_failed",
                 t->error.message[0] ? t->error.message : "cannot connect");
}

/* --- the target ---------------------------------------------------------------------------- */

/* "host:port" or "http://host:port/path?query". Fills authority and `to`; ret_path is what the
 * server is asked for. */
static bool parse_target(struct trip *t, const char *target, const char **ret_path)
{
    const char *at = target;
    if (!t->is_tunnel) {
        if (strncasecmp(target, "http://", 7) != 0)
            return false;
        at += 7;
    }
    size_t n = strcspn(at, "/?");
    if (n == 0 || n >= sizeof(t->authority) || (t->is_tunnel && at[n]))
        return false;
    memcpy(t->authority, at, n);
    t->authority[n] = '\0';
    *ret_path = at + n;
    if (t->is_tunnel) {
        const char *colon = strrchr(t->authority, ':');
        if (!colon || strchr(colon, ']')) /* the port has no default here */
            return false;
    }
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(AUTHORITY_MAX + 16);
    const char *prefix;
    struct nt_error ignored = NT_ERROR_INIT;
    nt_buf_addf(&url, "http://%s", t->authority);
    return nt_buf_ok(&url)
           && net_parse_url(nt_buf_text(&url), t->memory, sizeof(t->memory), &t->to, &prefix,
                            &ignored)
                  == 0;
}

/* --- a tunnel ------------------------------------------------------------------------------ */

static void connect_next(struct trip *t);

static void on_tunnel_ended(void *data)
{
    struct trip *t = data;
    t->tunnel = NULL;
    t->space->tunnels--;
    try_free(t);
}

static void on_taken(void *data, int inside)
{
    struct trip *t = data;
    if (inside < 0)
        return;
    if (t->is_cancelled) {
        close(inside);
        return;
    }
    t->space->tunnels++;
    t->tunnel = tunnel_new(t->space->out->uv, inside, nt_take_fd(t->fd), on_tunnel_ended, t);
    if (!t->tunnel)
        t->space->tunnels--;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct trip *t = handle->data;
    t->has_poll = false;
    if (t->is_connecting && !t->is_cancelled && t->req) {
        if (t->fd >= 0)
            close(nt_take_fd(t->fd));
        connect_next(t);
    } else if (t->req && !t->is_cancelled && t->fd >= 0) {
        t->is_answered = true;
        net_upgrade(t->req, NULL, NULL, on_taken, t);
    } else {
        try_free(t);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct trip *t = handle->data;
    t->has_timer = false;
    try_free(t);
}

static void close_timer(struct trip *t)
{
    if (t->has_timer && !uv_is_closing((uv_handle_t *)&t->timer))
        uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

static void close_poll(struct trip *t)
{
    if (t->has_poll && !uv_is_closing((uv_handle_t *)&t->poll))
        uv_close((uv_handle_t *)&t->poll, on_poll_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct trip *t = timer->data;
    nt_fail(&t->error, NT_E_TIMEOUT, "cannot connect to %s in time", t->authority);
    t->at = t->count;
    close_timer(t);
    close_poll(t);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct trip *t = poll->data;
    int sys = 0;
    socklen_t size = sizeof(sys);
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &sys, &size) < 0)
        sys = errno;
    if (sys == 0 && status < 0)
        sys = ECONNRESET;
    if (sys)
        nt_fail_sys(&t->error, sys, "cannot connect to %s", t->authority);
    else
        t->is_connecting = false;
    if (!sys)
        close_timer(t);
    close_poll(t);
}

static void connect_next(struct trip *t)
{
    uv_loop_t *uv = t->space->out->uv;
    while (t->at < t->count) {
        const struct sockaddr *address = (const struct sockaddr *)&t->addresses[t->at++];
        socklen_t size = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                        : sizeof(struct sockaddr_in);
        nt_autoclose int fd =
            socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int sys = fd < 0 ? errno : 0;
        if (!sys && connect(fd, address, size) < 0 && errno != EINPROGRESS)
            sys = errno;
        if (!sys && uv_poll_init(uv, &t->poll, fd) < 0)
            sys = ENOMEM;
        if (sys) {
            nt_fail_sys(&t->error, sys, "cannot connect to %s", t->authority);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        t->fd = nt_take_fd(fd);
        t->poll.data = t;
        t->has_poll = true;
        t->is_connecting = true;
        uv_poll_start(&t->poll, UV_WRITABLE, on_writable);
        return;
    }
    t->is_connecting = false;
    close_timer(t);
    fail(t);
}

static void begin_tunnel(struct trip *t)
{
    uv_timer_init(t->space->out->uv, &t->timer);
    t->timer.data = t;
    t->has_timer = true;
    uv_timer_start(&t->timer, on_timer, CONNECT_MS, 0);
    connect_next(t);
}

/* --- a forwarded request ------------------------------------------------------------------- */

static bool list_has(const char *list, const char *name)
{
    size_t size = strlen(name);
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, " \t,");
        if (n == size && strncasecmp(list, name, n) == 0)
            return true;
        list += n;
    }
    return false;
}

/* Headers for the next hop only (RFC 9110 section 7.6.1). */
static bool is_hop_by_hop(const char *name, const char *connection)
{
    static const char *const names[] = { "connection",
                                         "proxy-connection",
                                         "keep-alive",
                                         "te",
                                         "trailer",
                                         "transfer-encoding",
                                         "upgrade",
                                         "proxy-authorization",
                                         "proxy-authenticate",
                                         "host",
                                         "content-length",
                                         "expect" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return list_has(connection, name);
}

static void on_head(void *data, struct net_client *client, uint32_t status)
{
    struct trip *t = data;
    if (!t->req || t->is_answered)
        return;
    struct net_header headers[HEADERS_MAX], h;
    uint32_t count = 0;
    const char *connection = net_client_header(client, "connection");
    for (uint32_t i = 0; net_client_header_at(client, i, &h) && count < HEADERS_MAX; i++)
        if (!is_hop_by_hop(h.name, connection))
            headers[count++] = h;
    const char *length = net_client_header(client, "content-length");
    int64_t size = -1;
    struct nt_error ignored = NT_ERROR_INIT;
    if (length && nt_parse_i64(length, 0, INT64_MAX, &size, &ignored) < 0)
        size = -1;
    t->is_answered = true;
    net_respond_head(t->req, status, headers, count, size);
    net_client_grant(client, CREDIT);
}

static void on_answer_body(void *data, struct net_client *client, struct nt_bytes bytes)
{
    struct trip *t = data;
    if (t->req && net_respond_write(t->req, bytes) > 0)
        net_client_grant(client, bytes.size);
    /* Else the credit is given when the workspace has taken what waits. */
}

static void on_answered(void *data, struct net_client *client, bool reusable)
{
    struct trip *t = data;
    if (t->req)
        net_respond_end(t->req);
    net_client_close(client);
}

static void on_client_writable(void *data, struct net_client *client, uint64_t credit)
{
    struct trip *t = data;
    if (t->req)
        net_request_grant(t->req, credit);
}

static void on_client_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    struct trip *t = data;
    t->client = NULL;
    if (t->req && !t->is_answered) {
        t->error = *reason;
        fail(t);
    } else if (t->req && reason->code != NT_E_CANCELLED) {
        net_respond_abort(t->req);
    }
    try_free(t);
}

static void begin_forward(struct trip *t, const char *path)
{
    static const struct net_client_events events = {
        .head = on_head,
        .body = on_answer_body,
        .answered = on_answered,
        .writable = on_client_writable,
        .closed = on_client_closed,
    };
    char host[INET6_ADDRSTRLEN];
    struct net_header headers[HEADERS_MAX + 1], h;
    uint32_t count = 0;
    const char *connection = net_request_header(t->req, "connection");
    headers[count++] = (struct net_header){ "Host", t->authority };
    for (uint32_t i = 0; net_request_header_at(t->req, i, &h) && count < HEADERS_MAX; i++)
        if (!is_hop_by_hop(h.name, connection))
            headers[count++] = h;
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(96 * 1024);
    nt_buf_add(&target, path[0] == '/' ? "" : "/");
    nt_buf_add(&target, path);
    struct net_address to = { .kind = NET_TCP, .port = t->to.port, .host = host };
    struct net_client_request request = { .method = net_request_method(t->req),
                                          .target = nt_buf_text(&target),
                                          .headers = headers,
                                          .count = count,
                                          .length = net_request_length(t->req) };
    /* The numeric address that was checked: nothing is resolved a second time. */
    if (!nt_buf_ok(&target)
        || uv_ip_name((const struct sockaddr *)&t->addresses[0], host, sizeof(host)) < 0
        || net_client_new(t->space->out->uv, &to, NULL, CONNECT_MS, &events, t, &t->client,
                          &t->error)
               < 0) {
        fail(t);
        return;
    }
    if (net_client_request(t->client, &request, &t->error) < 0) {
        fail(t);
        net_client_close(t->client);
        return;
    }
    t->has_body = request.length != 0;
    if (t->has_body)
        net_request_grant(t->req, CREDIT);
}

static void on_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct trip *t = data;
    if (t->client && net_client_write(t->client, bytes) > 0)
        net_request_grant(req, bytes.size);
}

static void on_body_end(void *data, struct net_request *req)
{
    struct trip *t = data;
    if (t->client)
        net_client_write_end(t->client);
}

static void on_writable_inside(void *data, struct net_request *req, uint64_t credit)
{
    struct trip *t = data;
    if (t->client)
        net_client_grant(t->client, credit < CREDIT ? credit : CREDIT);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct trip *t = data;
    t->req = NULL;
    if (!t->tunnel)
        trip_cancel(t);
    try_free(t);
}

/* --- judging ------------------------------------------------------------------------------- */

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *list)
{
    struct trip *t = resolve->data;
    t->is_resolving = false;
    for (const struct addrinfo *a = status < 0 ? NULL : list; a && t->count < ADDRESSES_MAX;
         a = a->ai_next) {
        if (a->ai_addrlen > sizeof(t->addresses[0])
            || (a->ai_family != AF_INET && a->ai_family != AF_INET6))
            continue;
        if (t->verdict == ANYWHERE || address_is_public(a->ai_addr))
            memcpy(&t->addresses[t->count++], a->ai_addr, a->ai_addrlen);
    }
    if (list)
        uv_freeaddrinfo(list);
    if (!t->req || t->is_cancelled) {
        try_free(t);
        return;
    }
    const char *path;
    if (status < 0) {
        nt_fail(&t->error, NT_E_CONNECT, "cannot find %s: %s", t->to.host, uv_strerror(status));
        fail(t);
    } else if (t->count == 0) {
        deny(t);
    } else if (t->is_tunnel) {
        begin_tunnel(t);
    } else if (parse_target(t, net_request_target(t->req), &path)) {
        begin_forward(t, path);
    }
}

void trip_begin(struct space *space, struct net_request *req)
{
    static const struct net_request_events events = {
        .body = on_body,
        .body_end = on_body_end,
        .writable = on_writable_inside,
        .done = on_done,
    };
    struct trip *t = calloc(1, sizeof(*t));
    if (!t) {
        static const struct net_request_events nothing;
        net_request_handle(req, &nothing, NULL);
        net_respond(req, 503, NULL, 0, (struct nt_bytes){ 0 });
        return;
    }
    t->space = space;
    t->req = req;
    t->fd = -1;
    t->error = (struct nt_error)NT_ERROR_INIT;
    t->next = space->trips;
    if (t->next)
        t->next->prev = t;
    space->trips = t;
    net_request_handle(req, &events, t);
    t->is_tunnel = strcmp(net_request_method(req), "CONNECT") == 0;
    const char *path;
    if (!parse_target(t, net_request_target(req), &path)) {
        answer_error(t, 400, "invalid_request", "not a request to a proxy");
        return;
    }
    t->verdict = way_out_ask(space, t->to.host, t->to.port);
    if (t->verdict == DENIED) {
        deny(t);
        return;
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    nt_auto(nt_buf_done) struct nt_buf port = NT_BUF(16);
    nt_buf_addf(&port, "%u", (unsigned)t->to.port);
    t->resolve.data = t;
    if (uv_getaddrinfo(space->out->uv, &t->resolve, on_resolved, t->to.host, nt_buf_text(&port),
                       &hints)
        < 0) {
        fail(t);
        return;
    }
    t->is_resolving = true;
}

void trip_cancel(struct trip *t)
{
    t->is_cancelled = true;
    if (t->is_resolving)
        uv_cancel((uv_req_t *)&t->resolve);
    close_timer(t);
    close_poll(t);
    tunnel_close(t->tunnel);
    if (t->client)
        net_client_close(t->client);
}
