/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c - carries one request to another server and its answer back: each side is read only as
 * fast as the other takes it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/net/http_parse.h"
#include "core/net/net.h"
#include "core/net/pool.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/parse.h"

enum { CREDIT = 256 * 1024, HEADERS_MAX = 100 };

/* What waits for a server that reads slowly: many may be asked at once. */
static const struct net_limits limits = { .write_queue_bytes = CREDIT };

struct net_forward {
    struct net_forward_options options;
    struct net_request *req;    /* NULL when it is done */
    struct net_client *client;  /* NULL when it has closed */
    uint32_t status;            /* of the answer; 0: none yet */
    bool is_answered, is_ended; /* by the server there; its answer came to its end */
    bool is_cancelled, is_reused;
    char *key; /* names the server for the pool */
    uint64_t peer;
    uint64_t body; /* bytes of the request so far */
};

static bool is_hop(const char *name)
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
    return false;
}

/* There may be several of them. */
static bool is_named_by(const struct net_header *h, const char *name)
{
    return strcasecmp(h->name, "connection") == 0 && http_list_has(h->value, name);
}

bool net_request_is_hop(const struct net_request *req, const char *name)
{
    struct net_header h;
    bool is_it = is_hop(name);
    for (uint32_t i = 0; !is_it && net_request_header_at(req, i, &h); i++)
        is_it = is_named_by(&h, name);
    return is_it;
}

static bool answer_is_hop(const struct net_client *client, const char *name)
{
    struct net_header h;
    bool is_it = is_hop(name);
    for (uint32_t i = 0; !is_it && net_client_header_at(client, i, &h); i++)
        is_it = is_named_by(&h, name);
    return is_it;
}

static void try_free(struct net_forward *f)
{
    if (f->req || f->client)
        return;
    struct net_forward_options o = f->options;
    uint32_t status = f->status;
    free(f->key);
    free(f);
    o.done(o.data, status);
}

/* --- the answer ---------------------------------------------------------------------------- */

static void on_head(void *data, struct net_client *client, uint32_t status)
{
    struct net_forward *f = data;
    if (!f->req || f->is_answered)
        return;
    struct net_header headers[HEADERS_MAX], h;
    uint32_t count = 0;
    for (uint32_t i = 0; net_client_header_at(client, i, &h) && count < HEADERS_MAX; i++)
        if (!answer_is_hop(client, h.name)
            && (!f->options.header || f->options.header(f->options.data, &h)))
            headers[count++] = h;
    const char *length = net_client_header(client, "content-length");
    int64_t size = -1;
    struct nt_error ignored = NT_ERROR_INIT;
    if (length && nt_parse_i64(length, 0, INT64_MAX, &size, &ignored) < 0)
        size = -1;
    f->is_answered = true;
    f->status = status;
    net_respond_head(f->req, status, headers, count, size);
    net_client_grant(client, CREDIT);
}

static void on_answer_body(void *data, struct net_client *client, struct nt_bytes bytes)
{
    struct net_forward *f = data;
    if (f->req && net_respond_write(f->req, bytes) > 0)
        net_client_grant(client, bytes.size);
    /* Else the credit is given when the peer has taken what waits. */
}

static void on_answered(void *data, struct net_client *client, bool reusable)
{
    struct net_forward *f = data;
    bool stays = f->req && net_request_stays(f->req);
    f->is_ended = true;
    if (f->req)
        net_respond_end(f->req);
    if (reusable && stays && f->key && !f->is_cancelled
        && pool_put(f->options.pool, client, f->peer, f->key)) {
        f->client = NULL;
        try_free(f);
    } else {
        net_client_close(client);
    }
}

static void on_client_writable(void *data, struct net_client *client, uint64_t credit)
{
    struct net_forward *f = data;
    if (f->req)
        net_request_grant(f->req, credit);
}

static void on_client_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    struct net_forward *f = data;
    f->client = NULL;
    if (f->req && !f->is_answered) {
        f->is_answered = true;
        if (f->is_reused)
            net_respond_abort(f->req);
        else
            f->options.failed(f->options.data, f->req, reason);
    } else if (f->req && !f->is_ended) {
        net_respond_abort(f->req);
    }
    try_free(f);
}

/* --- the request --------------------------------------------------------------------------- */

static void on_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct net_forward *f = data;
    f->body += bytes.size;
    if (f->options.body_max && f->body > f->options.body_max) {
        if (!f->is_answered)
            net_respond(req, f->options.limit_status ? f->options.limit_status : 413, NULL, 0,
                        (struct nt_bytes){ 0 });
        f->is_answered = true;
        if (f->client)
            net_client_close(f->client);
        return;
    }
    if (f->client && net_client_write(f->client, bytes) > 0)
        net_request_grant(req, bytes.size);
}

static void on_body_end(void *data, struct net_request *req)
{
    struct net_forward *f = data;
    if (f->client && !f->options.has_body)
        net_client_write_end(f->client);
}

static void on_writable(void *data, struct net_request *req, uint64_t credit)
{
    struct net_forward *f = data;
    if (f->client)
        net_client_grant(f->client, credit < CREDIT ? credit : CREDIT);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct net_forward *f = data;
    f->req = NULL;
    if (f->client)
        net_client_close(f->client);
    try_free(f);
}

static void told_already(void *data, uint32_t answered)
{
}

/* Connections with the same key are the same to a request. The addresses stand last. */
static char *make_key(const struct net_address *to, const char *pinned)
{
    struct nt_buf b = NT_BUF(16 * 1024);
    const char *const texts[] = { to->host, to->authorities, to->proxy,
                                  to->identity ? to->identity->name : NULL, pinned };
    nt_buf_add_number(&b, (uint64_t)to->kind);
    nt_buf_add_char(&b, ' ');
    nt_buf_add_number(&b, to->port);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        nt_buf_add_char(&b, '\n');
        nt_buf_add(&b, texts[i] ? texts[i] : "\n");
    }
    char *ret = nt_buf_take(&b);
    nt_buf_done(&b);
    return ret;
}

uint32_t net_pool_addresses(const struct net_pool *pool, const struct net_request *req,
                            const struct net_address *to,
                            struct sockaddr_storage ret[NET_ADDRESSES_MAX])
{
    char *prefix = make_key(to, "");
    const char *at = prefix ? pool_find(pool, net_request_connection(req), prefix) : NULL;
    uint32_t count = at ? net_pinned_read(at, to->port, ret) : 0;
    free(prefix);
    return count;
}

static int find_client(uv_loop_t *uv, struct net_forward *f, struct nt_error *reterr)
{
    static const struct net_client_events events = {
        .head = on_head,
        .body = on_answer_body,
        .answered = on_answered,
        .writable = on_client_writable,
        .closed = on_client_closed,
    };
    if (f->options.pool) {
        f->key = make_key(&f->options.to, f->options.to.pinned);
        f->client = f->key ? pool_take(f->options.pool, f->peer, f->key) : NULL;
    }
    if (!f->client)
        return net_client_new(uv, &f->options.to, &limits, f->options.connect_ms, &events, f,
                              &f->client, reterr);
    f->is_reused = true;
    client_events(f->client, &events, f);
    return 0;
}

int net_forward_new(uv_loop_t *uv, struct net_request *req,
                    const struct net_forward_options *options, struct net_forward **ret,
                    struct nt_error *reterr)
{
    static const struct net_request_events events = {
        .body = on_body,
        .body_end = on_body_end,
        .writable = on_writable,
        .done = on_done,
    };
    struct net_forward *f = calloc(1, sizeof(*f));
    if (!f)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a request");
    struct net_client_request request = { .method = net_request_method(req),
                                          .target = options->target,
                                          .headers = options->headers,
                                          .count = options->count,
                                          .length = net_request_length(req) };
    if (options->has_body) {
        request.length = (int64_t)options->body.size;
        request.body = options->body;
    }
    f->options = *options;
    f->peer = net_request_connection(req);
    if (find_client(uv, f, reterr) < 0) {
        free(f->key);
        free(f);
        return -1;
    }
    if (net_client_request(f->client, &request, reterr) < 0) {
        f->options.done = told_already;
        net_client_close(f->client);
        return -1;
    }
    f->req = req;
    net_request_handle(req, &events, f);
    if (request.length != 0 && !options->has_body)
        net_request_grant(req, CREDIT);
    *ret = f;
    return 0;
}

void net_forward_cancel(struct net_forward *f)
{
    if (!f || f->is_cancelled)
        return;
    f->is_cancelled = true;
    if (f->req)
        net_respond_abort(f->req);
    if (f->client)
        net_client_close(f->client);
}
