/* SPDX-License-Identifier: Apache-2.0 */
/* serve_data_stage.c - the stage; stands in for http/exchange.c, guest/client.c, workspaces,
 * core/net and the way out. */
#include "serve_data_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/serve/way-out/way_out.h"
#include "sdk/error.h"

#define TIMERS 8

struct guest_op {
    struct guest_events events;
    void *data;
    uint8_t *request;
    size_t size;
    struct nt_buf sent;
    int fd;
    bool cancelled, waits, full;
    uint32_t beats_ms;
    /* lent to the consumer: freed when consumed, so that a later look is found out */
    uint8_t *bytes;
};

struct nt_timer {
    void (*fn)(void *data);
    void *data;
};

struct stage stage;
static struct guest_op *op;
static struct nt_timer *timers[TIMERS];
static struct principal principal = { .id = "key_1", .org_id = "org_1" };
static struct nt_buf texts = NT_BUF(65536);
static char here; /* an address for what is only passed around */

/* --- the loop ------------------------------------------------------------------------------ */

static struct nt_timer *timer_new(struct nt_loop *loop, int64_t delay_ms, int64_t repeat_ms,
                                  void (*fn)(void *data), void *data)
{
    for (int i = 0; i < TIMERS; i++)
        if (!timers[i]) {
            timers[i] = calloc(1, sizeof(*timers[i]));
            *timers[i] = (struct nt_timer){ fn, data };
            return timers[i];
        }
    return NULL;
}

static void timer_end(struct nt_timer *timer)
{
    for (int i = 0; timer && i < TIMERS; i++)
        if (timers[i] == timer)
            timers[i] = NULL;
    free(timer);
}

static const struct nt_loop_ops loop_ops = { .size = sizeof(loop_ops),
                                             .timer = timer_new,
                                             .timer_end = timer_end };
static struct nt_loop loop = { .size = sizeof(loop), .ops = &loop_ops };
static const struct nt_engine_ops engine = { .size = sizeof(engine), .caps = NT_ENGINE_PASS_FDS };
static struct server server = { .loop = &loop, .engine_ops = &engine };

void stage_timers(void)
{
    struct nt_timer copy[TIMERS] = { { 0 } };
    for (int i = 0; i < TIMERS; i++)
        if (timers[i])
            copy[i] = *timers[i];
    for (int i = 0; i < TIMERS; i++)
        if (copy[i].fn)
            copy[i].fn(copy[i].data);
}

void stage_open(void)
{
    stage = (struct stage){ .method = "GET",
                            .params = { "ws_1", "" },
                            .is_running = true,
                            .length = -1,
                            .credit = 1,
                            .upgraded_fd = -1,
                            .raw = NT_BUF(1 << 20),
                            .texts = NT_BUF(1 << 20),
                            .binary = NT_BUF(1 << 20) };
}

void stage_close(void)
{
    assert_null(op);
    for (int i = 0; i < TIMERS; i++)
        assert_null(timers[i]);
    assert_int_equal(stage.rules, stage.forgotten);
    json_decref(stage.json);
    json_decref(stage.body);
    nt_buf_done(&stage.raw);
    nt_buf_done(&stage.texts);
    nt_buf_done(&stage.binary);
    nt_buf_done(&texts);
}

void stage_call(const struct routes *routes, const char *method, const char *pattern)
{
    stage.method = method;
    for (size_t i = 0; i < routes->count; i++)
        if (!strcmp(routes->rows[i].method, method) && !strcmp(routes->rows[i].pattern, pattern)) {
            routes->rows[i].handler(&server, (struct exchange *)&here);
            return;
        }
    fail_msg("no route %s %s", method, pattern);
}

/* --- workspaces and the guest -------------------------------------------------------------- */

void workspace_find(struct exchange *x, const char *id_or_name,
                    void (*found)(struct exchange *x, const struct workspace *ws, void *data),
                    void *data)
{
    struct workspace *ws = calloc(1, sizeof(*ws)); /* gone after the call, as in the server */
    ws->status = stage.is_running ? WORKSPACE_RUNNING : WORKSPACE_STOPPED;
    snprintf(ws->id, sizeof(ws->id), "%s", id_or_name);
    found(x, ws, data);
    free(ws);
}

int workspace_guest(struct server *s, const struct workspace *ws, struct nt_bytes request,
                    const struct guest_events *events, void *data, struct guest_op **ret,
                    struct nt_error *reterr)
{
    assert_string_equal(ws->id, "ws_1");
    assert_null(op);
    if (!stage.is_running) {
        nt_copy_text(reterr->server_code, sizeof(reterr->server_code), "sandbox_not_ready");
        return nt_fail(reterr, NT_E_CONFLICT, "it does not run");
    }
    op = calloc(1, sizeof(*op));
    *op = (struct guest_op){
        .events = *events, .data = data, .size = request.size, .sent = NT_BUF(1 << 20), .fd = -1
    };
    op->request = malloc(request.size);
    memcpy(op->request, request.data, request.size);
    *ret = op;
    return 0;
}

void guest_op_hold(struct guest_op *o)
{
    assert_ptr_equal(o, op);
    op->waits = true;
}

void guest_op_consumed(struct guest_op *o)
{
    assert_ptr_equal(o, op);
    assert_true(op->waits);
    op->waits = false;
    free(op->bytes);
    op->bytes = NULL;
}

bool guest_op_send(struct guest_op *o, uint16_t type, struct nt_bytes bytes)
{
    assert_ptr_equal(o, op);
    struct nt_g_frame f = { bytes.data, (uint32_t)bytes.size, type, 0 };
    if (type == 0)
        assert_int_equal(nt_g_next(bytes.data, bytes.size, &f), (int64_t)bytes.size);
    nt_buf_addf(&op->sent, "%u:", f.type);
    if (type)
        nt_buf_add_bytes(&op->sent, f.payload, f.size);
    nt_buf_add_char(&op->sent, ' ');
    return !op->full;
}

void guest_op_attach_fd(struct guest_op *o, int fd)
{
    o->fd = fd;
}

void guest_op_expect_beats(struct guest_op *o, uint32_t ms)
{
    assert_ptr_equal(o, op);
    op->beats_ms = ms;
}

void guest_op_cancel(struct guest_op *o)
{
    assert_ptr_equal(o, op);
    op->cancelled = true;
}

struct guest_op *stage_op(void)
{
    return op;
}

static struct nt_g_frame request_frame(void)
{
    struct nt_g_frame f;
    assert_non_null(op);
    assert_int_equal(nt_g_next(op->request, op->size, &f), (int64_t)op->size);
    return f;
}

uint16_t stage_op_type(void)
{
    return request_frame().type;
}

const char *stage_op_texts(uint16_t tag)
{
    struct nt_g_frame f = request_frame();
    struct nt_g_field field;
    nt_buf_reset(&texts);
    for (size_t at = 0; nt_g_each(f.payload, f.size, &at, &field) > 0;)
        if (field.tag == tag) {
            nt_buf_add_bytes(&texts, field.data, field.size);
            nt_buf_add_char(&texts, '|');
        }
    return nt_buf_text(&texts);
}

uint64_t stage_op_number(uint16_t tag)
{
    struct nt_g_frame f = request_frame();
    struct nt_g_field field;
    int ok = 1;
    for (size_t at = 0; nt_g_each(f.payload, f.size, &at, &field) > 0;)
        if (field.tag == tag)
            return nt_g_number(&field, &ok);
    return 0;
}

const char *stage_op_sent(void)
{
    assert_non_null(op);
    return nt_buf_text(&op->sent);
}

void stage_hello(uint64_t caps)
{
    static const uint8_t nonce[16] = { 1 };
    if (op->events.hello)
        op->events.hello(op->data, NT_G_VERSION, caps, nonce);
}

uint32_t stage_op_beats_ms(void)
{
    return op->beats_ms;
}

bool stage_op_cancelled(void)
{
    return op && op->cancelled;
}

bool stage_op_waits(void)
{
    return op && op->waits;
}

void stage_op_full(bool full)
{
    op->full = full;
}

void stage_frame(uint16_t type, const struct stage_field *fields, unsigned count)
{
    uint8_t memory[4096];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), type);
    for (unsigned i = 0; i < count; i++)
        if (fields[i].text)
            nt_g_add_text(&w, fields[i].tag, fields[i].text);
        else
            nt_g_add_number(&w, fields[i].tag, fields[i].number);
    size_t size = nt_g_done(&w);
    assert_int_not_equal(size, 0);
    uint8_t *exact = malloc(size); /* so that a read beyond it is found out */
    memcpy(exact, memory, size);
    struct nt_g_frame f;
    assert_int_equal(nt_g_next(exact, size, &f), (int64_t)size);
    assert_false(op->waits || op->cancelled);
    if (op->events.frame)
        op->events.frame(op->data, &f);
    free(exact);
}

void stage_bytes(uint16_t type, const char *bytes, size_t size)
{
    assert_false(op->waits || op->cancelled);
    op->bytes = malloc(size);
    memcpy(op->bytes, bytes, size);
    op->waits = true;
    op->events.bytes(op->data, type, (struct nt_bytes){ op->bytes, size });
}

void stage_sent(void)
{
    op->full = false;
    op->events.sent(op->data);
}

void stage_end(uint32_t code, uint32_t guest_code, int sys)
{
    struct guest_op *ended = op;
    struct nt_error error = NT_ERROR_INIT;
    if (ended->cancelled)
        code = NT_E_CANCELLED;
    if (code)
        nt_fail(&error, code, "the guest's reason");
    error.attempt = ended->cancelled ? 0 : guest_code;
    error.sys = ended->cancelled ? 0 : sys;
    assert_null(stage.lent); /* bytes that are lent must not go away */
    op = NULL;
    if (ended->fd >= 0)
        close(ended->fd);
    if (ended->events.end)
        ended->events.end(ended->data, code ? &error : NULL);
    free(ended->request);
    free(ended->bytes);
    nt_buf_done(&ended->sent);
    free(ended);
}

/* --- the exchange -------------------------------------------------------------------------- */

static void answered(uint32_t status, json_t *body)
{
    assert_false(stage.detached);
    stage.answers++;
    stage.status = stage.held_open ? 200 : status;
    json_decref(stage.body);
    stage.body = body;
    stage.lost = NULL;
}

const char *exchange_param(const struct exchange *x, unsigned index)
{
    return stage.params[index];
}

const char *exchange_query(const struct exchange *x, const char *name)
{
    return !strcmp(name, "path")      ? stage.query_path
           : !strcmp(name, "mode")    ? stage.query_mode
           : !strcmp(name, "channel") ? stage.query_channel
                                      : NULL;
}

json_t *exchange_json(const struct exchange *x)
{
    return stage.json;
}

bool exchange_is_wide(const struct exchange *x)
{
    return stage.wide;
}

const struct principal *exchange_principal(const struct exchange *x)
{
    principal.is_local = stage.local;
    return &principal;
}

const char *exchange_request_id(const struct exchange *x)
{
    return "req_1";
}

uint32_t exchange_headers_for(const char *request_id, struct net_header ret[EXCHANGE_HEADERS])
{
    assert_string_equal(request_id, "req_1");
    for (uint32_t i = 0; i < EXCHANGE_HEADERS; i++)
        ret[i] = (struct net_header){ "X-Request-Id", request_id };
    return EXCHANGE_HEADERS;
}

struct net_request *exchange_request(const struct exchange *x)
{
    return stage.detached ? NULL : (struct net_request *)&here;
}

struct server *exchange_server(const struct exchange *x)
{
    return &server;
}

void exchange_on_lost(struct exchange *x, void (*lost)(void *data), void *data)
{
    stage.lost = lost;
    stage.lost_data = data;
}

void exchange_send_json(struct exchange *x, uint32_t status, json_t *body)
{
    assert_non_null(body);
    answered(status, body);
}

void exchange_send_empty(struct exchange *x, uint32_t status)
{
    answered(status, NULL);
}

void exchange_fail(struct exchange *x, uint32_t status, const char *code, const char *format, ...)
{
    answered(status, json_pack("{s:s}", "code", code));
}

void exchange_fail_error(struct exchange *x, const struct nt_error *error)
{
    answered(error->code == NT_E_CONFLICT ? 409 : 500,
             json_pack("{s:s}", "code", error->server_code));
}

void exchange_hold_open(struct exchange *x)
{
    stage.held_open = true;
}

void exchange_detach(struct exchange *x)
{
    stage.detached = true;
}

/* --- the connection ------------------------------------------------------------------------ */

const char *net_request_method(const struct net_request *req)
{
    return stage.method;
}

const char *net_request_header(const struct net_request *req, const char *name)
{
    return !strcmp(name, "Upgrade") ? stage.upgrade : NULL;
}

const struct net_peer *net_request_peer(const struct net_request *req)
{
    static struct net_peer peer;
    peer.is_unix = stage.local;
    return &peer;
}

int64_t net_request_length(const struct net_request *req)
{
    return stage.length;
}

void net_request_handle(struct net_request *req, const struct net_request_events *events,
                        void *data)
{
    stage.req_events = *events;
    stage.req_data = data;
}

void net_request_grant(struct net_request *req, uint64_t bytes)
{
    stage.granted += bytes;
}

void net_respond(struct net_request *req, uint32_t status, const struct net_header *headers,
                 uint32_t count, struct nt_bytes body)
{
    assert_int_equal(stage.raw_status, 0);
    stage.raw_status = status;
    nt_buf_add_bytes(&stage.raw, body.data, body.size);
    stage.raw_ended = true;
}

void net_respond_head(struct net_request *req, uint32_t status, const struct net_header *headers,
                      uint32_t count, int64_t length)
{
    assert_int_equal(stage.raw_status, 0);
    stage.raw_status = status;
    stage.raw_length = length;
}

uint64_t net_respond_write(struct net_request *req, struct nt_bytes bytes)
{
    assert_false(stage.raw_ended);
    nt_buf_add_bytes(&stage.raw, bytes.data, bytes.size);
    return stage.credit;
}

uint64_t net_respond_write_borrowed(struct net_request *req, struct nt_bytes bytes,
                                    void (*sent)(void *data), void *data)
{
    assert_null(stage.lent);
    stage.lent = sent;
    stage.lent_data = data;
    return net_respond_write(req, bytes);
}

void net_respond_end(struct net_request *req)
{
    assert_false(stage.raw_ended);
    stage.raw_ended = true;
}

void net_respond_abort(struct net_request *req)
{
    stage.raw_aborted = stage.raw_ended = true;
}

void net_upgrade(struct net_request *req, const char *protocol, const struct net_header *header,
                 void (*taken)(void *data, int fd), void *data)
{
    stage.raw_status = 101;
    taken(data, stage.upgraded_fd);
}

struct net_ws *net_ws_accept(struct net_request *req, const struct net_ws_events *events,
                             void *data)
{
    stage.raw_status = 101;
    stage.ws_events = *events;
    stage.ws_data = data;
    return (struct net_ws *)&here;
}

void net_ws_grant(struct net_ws *ws, uint64_t bytes)
{
    stage.ws_granted += bytes;
}

uint64_t net_ws_send(struct net_ws *ws, struct nt_bytes message, bool is_text)
{
    assert_true(is_text);
    assert_int_equal(stage.ws_close_code, 0);
    nt_buf_add_bytes(&stage.texts, message.data, message.size);
    nt_buf_add_char(&stage.texts, '\n');
    return stage.credit;
}

uint64_t net_ws_send_borrowed(struct net_ws *ws, uint8_t first, struct nt_bytes bytes,
                              void (*sent)(void *data), void *data)
{
    assert_null(stage.lent);
    stage.lent = sent;
    stage.lent_data = data;
    nt_buf_add_char(&stage.binary, (char)first);
    nt_buf_add_bytes(&stage.binary, bytes.data, bytes.size);
    return stage.credit;
}

void net_ws_close(struct net_ws *ws, uint16_t code, const char *reason)
{
    if (!stage.ws_close_code)
        stage.ws_close_code = code;
}

void net_ws_keepalive(struct net_ws *ws, int64_t interval_ms)
{
}

void stage_message(const char *bytes, size_t size, bool is_text, bool last)
{
    char *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    stage.ws_events.message(stage.ws_data, (struct net_ws *)&here, (struct nt_bytes){ exact, size },
                            is_text, last);
    free(exact);
}

void stage_ws_closed(void)
{
    stage.ws_events.closed(stage.ws_data, (struct net_ws *)&here, 1000, NULL);
}

void stage_lent_back(void)
{
    void (*lent)(void *data) = stage.lent;
    assert_non_null(lent);
    stage.lent = NULL;
    lent(stage.lent_data);
}

/* --- the way out --------------------------------------------------------------------------- */

struct way_out_rule *way_out_allow(struct way_out *out, const char *workspace_id, const char *host,
                                   uint16_t port, bool private_too, struct nt_error *reterr)
{
    stage.rules++;
    return (struct way_out_rule *)&here;
}

void way_out_forget(struct way_out_rule *rule)
{
    stage.forgotten += rule != NULL;
}
