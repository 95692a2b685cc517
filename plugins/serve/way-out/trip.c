/* SPDX-License-Identifier: Apache-2.0 */
/* trip.c - one request on its way out: it is judged, its host resolved, each address judged, and it
 * is carried to the very address that was allowed - as a tunnel (CONNECT) or as a forwarded request
 * (http://…). */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "plugins/serve/way-out/address.h"
#include "plugins/serve/way-out/way_out_private.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum { AUTHORITY_MAX = 320, CONNECT_MS = 10 * 1000, HEADERS_MAX = 100 };

/* It waits for one of these at a time. */
struct trip {
    struct space *space;
    struct trip *next, *prev;
    struct net_request *req; /* NULL when it is done */
    bool is_tunnel, is_cancelled, is_answered;
    char memory[AUTHORITY_MAX + 16];
    char authority[AUTHORITY_MAX];
    struct net_address to;
    enum verdict verdict;

    struct net_lookup *lookup;
    struct net_dial *dial;
    int fd; /* outside */
    struct net_tunnel *tunnel;
    struct net_forward *forward;
    struct nt_error error;
};

struct trip *trip_next(struct trip *trip)
{
    return trip->next;
}

static void try_free(struct trip *t)
{
    if (t->req || t->tunnel || t->forward)
        return;
    struct space *space = t->space;
    net_lookup_cancel(t->lookup);
    net_dial_cancel(t->dial);
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
    t->tunnel = net_tunnel_new(t->space->out->uv, inside, nt_take_fd(t->fd), on_tunnel_ended, t);
    if (!t->tunnel)
        t->space->tunnels--;
}

static void on_dialled(void *data, int fd, const struct nt_error *error)
{
    struct trip *t = data;
    t->dial = NULL;
    if (fd < 0) {
        t->error = *error;
        nt_wrap(&t->error, "%s", t->authority);
        fail(t);
        return;
    }
    t->fd = fd;
    t->is_answered = true;
    net_upgrade(t->req, NULL, NULL, on_taken, t);
}

/* --- a forwarded request ------------------------------------------------------------------- */

static void on_forward_failed(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct trip *t = data;
    t->error = *reason;
    t->is_answered = false;
    fail(t);
}

static void on_forwarded(void *data, uint32_t answered)
{
    struct trip *t = data;
    t->forward = NULL;
    t->req = NULL;
    try_free(t);
}

static void begin_forward(struct trip *t, const char *path,
                          const struct sockaddr_storage *addresses, uint32_t found)
{
    char pinned[NET_PINNED_MAX];
    struct net_header headers[HEADERS_MAX + 1], h;
    uint32_t count = 0;
    headers[count++] = (struct net_header){ "Host", t->authority };
    for (uint32_t i = 0; net_request_header_at(t->req, i, &h) && count < HEADERS_MAX; i++)
        if (!net_request_is_hop(t->req, h.name))
            headers[count++] = h;
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(96 * 1024);
    nt_buf_add(&target, path[0] == '/' ? "" : "/");
    nt_buf_add(&target, path);
    struct net_forward_options options = {
        /* The numeric addresses that were checked: nothing is resolved a second time. */
        .to = { .kind = NET_TCP, .port = t->to.port, .host = t->to.host, .pinned = pinned },
        .connect_ms = CONNECT_MS,
        .target = nt_buf_text(&target),
        .headers = headers,
        .count = count,
        .failed = on_forward_failed,
        .done = on_forwarded,
        .data = t,
    };
    if (!nt_buf_ok(&target) || !net_pinned_text(addresses, found, pinned)
        || net_forward_new(t->space->out->uv, t->req, &options, &t->forward, &t->error) < 0) {
        fail(t);
        return;
    }
    t->is_answered = true; /* by the forward */
}

/* Nothing was granted yet, so nothing comes; without it the body would be drained. */
static void on_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct trip *t = data;
    t->req = NULL;
    try_free(t);
}

/* --- judging ------------------------------------------------------------------------------- */

static bool may_go(void *data, const struct sockaddr *address)
{
    struct trip *t = data;
    return t->verdict == ANYWHERE || address_is_public(address);
}

static void on_looked(void *data, const struct sockaddr_storage *addresses, uint32_t count,
                      uint32_t refused, const struct nt_error *error)
{
    struct trip *t = data;
    const char *path;
    t->lookup = NULL;
    if (error) {
        t->error = *error;
        fail(t);
    } else if (count == 0) {
        deny(t);
    } else if (t->is_tunnel) {
        if (net_dial_new(t->space->out->uv, addresses, count, CONNECT_MS, on_dialled, t, &t->dial,
                         &t->error)
            < 0)
            fail(t);
    } else if (parse_target(t, net_request_target(t->req), &path)) {
        begin_forward(t, path, addresses, count);
    }
}

void trip_begin(struct space *space, struct net_request *req)
{
    static const struct net_request_events events = { .body = on_body, .done = on_done };
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
    struct net_lookup_options options = { .host = t->to.host,
                                          .port = t->to.port,
                                          .timeout_ms = CONNECT_MS,
                                          .may = may_go,
                                          .done = on_looked,
                                          .data = t };
    if (net_lookup_new(space->out->uv, &options, &t->lookup, &t->error) < 0)
        fail(t);
}

void trip_cancel(struct trip *t)
{
    t->is_cancelled = true;
    net_lookup_cancel(nt_take(t->lookup));
    net_dial_cancel(nt_take(t->dial));
    net_tunnel_close(t->tunnel);
    net_forward_cancel(t->forward);
}
