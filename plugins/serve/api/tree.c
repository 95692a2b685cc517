/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - /v1/sandboxes/{}/tree (wide only): a folder as the frames of TREE_READ and TREE_WRITE
 * (guest.h), between a client and the guest. Each frame is checked before it is passed on, in both
 * directions, and nothing is kept but the one that is not whole yet. */
#include <stdlib.h>
#include <string.h>

#include "plugins/guest/copy/copy.h"
#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/server.h"
#include "sdk/buf.h"
#include "sdk/error.h"

#define WINDOW (512u * 1024) /* bytes of an upload that are on their way */
#define FRAME_MEMORY 8192
#define CONTENT_TYPE "application/vnd.nanoterm.tree"

struct tree {
    struct net_request *req; /* NULL: done */
    struct guest_op *op;     /* NULL: ended */
    char request_id[72];
    bool has_head, is_answered;
    bool is_held; /* GET: bytes of op wait for the client */
    bool is_up;
    unsigned oks;            /* PUT */
    bool has_room;           /* PUT: the guest's queue takes more */
    uint64_t owed;           /* PUT: to be granted when there is room again */
    struct nt_buf body;      /* PUT: the frame that is not whole yet */
    struct nt_buf notes;     /* PUT: the answer */
    struct copy_order order; /* of the frames that pass */
};

static void tree_check(struct tree *t)
{
    if (t->req || t->op)
        return;
    copy_order_done(&t->order);
    nt_buf_done(&t->body);
    nt_buf_done(&t->notes);
    free(t);
}

static void fail(struct tree *t, uint32_t status, const char *code, const char *message)
{
    if (!t->req || t->is_answered)
        return;
    t->is_answered = true;
    if (t->has_head)
        net_respond_abort(t->req);
    else
        answer_raw_error(t->req, t->request_id, status, code, message);
}

static uint32_t tree_headers(const struct tree *t, struct net_header ret[EXCHANGE_HEADERS + 1])
{
    uint32_t count = exchange_headers_for(t->request_id, ret);
    ret[count++] = (struct net_header){ "Content-Type", CONTENT_TYPE };
    return count;
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct tree *t = data;
    t->req = NULL;
    if (t->op)
        guest_op_cancel(t->op);
    tree_check(t);
}

/* --- GET ----------------------------------------------------------------------------------- */

/* A frame to the client; false: it has no room for more. */
static bool pass_down(struct tree *t, uint16_t type, const void *payload, size_t size)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, type, (uint32_t)size);
    if (!t->has_head) {
        struct net_header headers[EXCHANGE_HEADERS + 1];
        uint32_t count = tree_headers(t, headers);
        t->has_head = true;
        net_respond_head(t->req, 200, headers, count, -1);
    }
    uint64_t room = net_respond_write(t->req, (struct nt_bytes){ head, sizeof(head) });
    if (size)
        room = net_respond_write(t->req, (struct nt_bytes){ payload, size });
    return room > 0;
}

/* Whether the frame keeps to the order of a tree; else both sides are ended. */
static bool is_fine(struct tree *t, const struct nt_g_frame *frame)
{
    struct copy_entry entry;
    unsigned up;
    const char *why = NULL;
    if (copy_order_take(&t->order, frame, &entry, &up, &why) == 0)
        return true;
    fail(t, t->is_up ? 400 : 502, t->is_up ? "invalid_request" : "internal_error", why);
    if (t->op)
        guest_op_cancel(t->op);
    return false;
}

/* NT_G_ERROR as the last frame: the client must know why the tree is not whole. */
static void pass_error(struct tree *t, const struct nt_error *error)
{
    uint8_t memory[1024];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ERROR);
    nt_g_add_number(&w, NT_GT_CODE, error->attempt ? error->attempt : NT_GE_SYSTEM);
    nt_g_add_number(&w, NT_GT_ERRNO, error->sys > 0 ? (uint64_t)error->sys : 0);
    nt_g_add_text(&w, NT_GT_MESSAGE, error->message);
    net_respond_write(t->req, (struct nt_bytes){ memory, nt_g_done(&w) });
    t->is_answered = true;
    net_respond_end(t->req);
}

static void get_frame(void *data, const struct nt_g_frame *frame)
{
    struct tree *t = data;
    if (!t->req || t->is_answered || frame->type == NT_G_BEAT)
        return;
    if (frame->type != NT_G_OK && !is_fine(t, frame))
        return;
    if (!pass_down(t, frame->type, frame->payload, frame->size)) {
        t->is_held = true;
        guest_op_hold(t->op);
    }
}

static void get_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct tree *t = data;
    struct nt_g_frame frame = { bytes.data, (uint32_t)bytes.size, type, 0 };
    if (!t->req || t->is_answered || !bytes.size) {
        guest_op_consumed(t->op);
        return;
    }
    if (!is_fine(t, &frame))
        return;
    if (pass_down(t, type, bytes.data, bytes.size))
        guest_op_consumed(t->op);
    else
        t->is_held = true;
}

static void get_writable(void *data, struct net_request *req, uint64_t credit)
{
    struct tree *t = data;
    if (!t->is_held || !t->op)
        return;
    t->is_held = false;
    guest_op_consumed(t->op);
}

static void get_end(void *data, const struct nt_error *error)
{
    struct tree *t = data;
    t->op = NULL;
    if (t->req && !t->is_answered) {
        struct guest_failure f = { 502, 0, "internal_error" };
        if (error && !t->has_head)
            f = guest_failure_of(error, GUEST_FILE);
        if (error && t->has_head && error->attempt) {
            pass_error(t, error);
        } else if (error || !t->order.has_ended) {
            fail(t, f.status, f.code, error ? error->message : "the tree has no end");
        } else {
            t->is_answered = true;
            net_respond_end(t->req);
        }
    }
    tree_check(t);
}

static const struct guest_events get_events = { .frame = get_frame,
                                                .bytes = get_bytes,
                                                .end = get_end };
static const struct net_request_events get_request = { .writable = get_writable, .done = on_done };

/* --- PUT ----------------------------------------------------------------------------------- */

/* Passes on what is whole, in one piece. */
static void pass_up(struct tree *t)
{
    struct nt_g_frame frame;
    int64_t took = 0;
    size_t at = 0;
    const uint8_t *body = (const uint8_t *)nt_buf_text(&t->body);
    while ((took = nt_g_next(body + at, t->body.size - at, &frame)) > 0) {
        if (!is_fine(t, &frame))
            return;
        at += (size_t)took;
    }
    if (took < 0) {
        fail(t, 400, "invalid_request", "the body is no tree");
        guest_op_cancel(t->op);
        return;
    }
    if (at)
        t->has_room = guest_op_send(t->op, 0, (struct nt_bytes){ body, at });
    nt_buf_drop(&t->body, at);
}

static void put_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct tree *t = data;
    if (!t->op || t->is_answered)
        return;
    t->owed += bytes.size;
    nt_buf_add_bytes(&t->body, bytes.data, bytes.size);
    if (!nt_buf_ok(&t->body)) {
        fail(t, 500, "internal_error", "out of memory");
        guest_op_cancel(t->op);
        return;
    }
    pass_up(t);
    if (t->has_room && !t->is_answered) {
        uint64_t owed = t->owed;
        t->owed = 0;
        net_request_grant(req, owed);
    }
}

static void put_body_end(void *data, struct net_request *req)
{
    struct tree *t = data;
    if (t->order.has_ended || t->is_answered)
        return;
    fail(t, 400, "FILE_WRITE_BYTE_MISMATCH", "the body ended before the end of the tree");
    if (t->op)
        guest_op_cancel(t->op);
}

static void put_sent(void *data)
{
    struct tree *t = data;
    t->has_room = true;
    if (t->req && t->owed && !t->is_answered) {
        uint64_t owed = t->owed;
        t->owed = 0;
        net_request_grant(t->req, owed);
    }
}

static void keep_note(struct tree *t, const struct nt_g_frame *frame)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, frame->type, frame->size);
    nt_buf_add_bytes(&t->notes, head, sizeof(head));
    nt_buf_add_bytes(&t->notes, frame->payload, frame->size);
}

static void put_frame(void *data, const struct nt_g_frame *frame)
{
    struct tree *t = data;
    if (!t->req || t->is_answered || frame->type == NT_G_BEAT)
        return;
    if (frame->type == NT_G_OK && !t->oks++) {
        if (net_request_length(t->req) == 0)
            put_body_end(t, t->req); /* it does not come for a body that is not there */
        else
            net_request_grant(t->req, WINDOW);
        return;
    }
    keep_note(t, frame);
    if (frame->type != NT_G_OK)
        return;
    struct net_header headers[EXCHANGE_HEADERS + 1];
    uint32_t count = tree_headers(t, headers);
    if (!nt_buf_ok(&t->notes)) {
        fail(t, 502, "internal_error", "the workspace has sent too much");
        return;
    }
    t->is_answered = true;
    net_respond(t->req, 200, headers, count,
                (struct nt_bytes){ nt_buf_text(&t->notes), t->notes.size });
}

static void put_end(void *data, const struct nt_error *error)
{
    struct tree *t = data;
    t->op = NULL;
    if (error) {
        struct guest_failure f = guest_failure_of(error, GUEST_FILE);
        fail(t, f.status, f.code, error->message);
    } else {
        fail(t, 502, "internal_error", "the workspace did not confirm the tree");
    }
    tree_check(t);
}

static const struct guest_events put_events = { .frame = put_frame,
                                                .sent = put_sent,
                                                .end = put_end };
static const struct net_request_events put_request = { .body = put_body,
                                                       .body_end = put_body_end,
                                                       .done = on_done };

/* --- requests ------------------------------------------------------------------------------ */

static void start(struct exchange *x, const struct workspace *ws, struct nt_g_writer *w, bool is_up)
{
    struct nt_error error = NT_ERROR_INIT;
    size_t size = nt_g_done(w);
    struct tree *t = calloc(1, sizeof(*t));
    if (!t || !size) {
        free(t);
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    t->req = exchange_request(x);
    t->is_up = t->has_room = is_up;
    t->body = (struct nt_buf)NT_BUF(NT_G_HEAD + NT_G_FRAME_MAX + 2 * WINDOW);
    t->notes = (struct nt_buf)NT_BUF(4u * 1024 * 1024);
    nt_copy_text(t->request_id, sizeof(t->request_id), exchange_request_id(x));
    if (workspace_guest(exchange_server(x), ws, (struct nt_bytes){ w->data, size },
                        is_up ? &put_events : &get_events, t, &t->op, &error)
        < 0) {
        free(t);
        answer_guest_error(x, &error, GUEST_FILE);
        return;
    }
    exchange_detach(x);
    net_request_handle(t->req, is_up ? &put_request : &get_request, t);
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    bool is_up = data != NULL;
    if (!exchange_request(x)) {
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
        return;
    }
    const char *path = exchange_query(x, "path"), *name = exchange_query(x, "name");
    const char *merge = exchange_query(x, "merge");
    if (!exchange_is_wide(x)) {
        exchange_fail(x, 404, "not_found", "there is no such route");
        return;
    }
    if (!path || !*path || strlen(path) >= 4096) {
        exchange_fail(x, 400, "invalid_request", "path must have 1 to 4095 bytes");
        return;
    }
    if (name && (!*name || strlen(name) > 255)) {
        exchange_fail(x, 400, "invalid_request", "name must have 1 to 255 bytes");
        return;
    }
    if (merge && strcmp(merge, "true") && strcmp(merge, "false")) {
        exchange_fail(x, 400, "invalid_request", "merge is true or false");
        return;
    }
    uint8_t memory[FRAME_MEMORY];
    struct nt_g_writer w =
        nt_g_begin(memory, sizeof(memory), is_up ? NT_G_TREE_WRITE : NT_G_TREE_READ);
    nt_g_add_text(&w, NT_GT_PATH, path);
    if (is_up && name)
        nt_g_add_text(&w, NT_GT_NAME, name);
    if (is_up)
        nt_g_add_number(&w, NT_GT_FLAGS,
                        NT_GF_PARENTS | (merge && *merge == 't' ? NT_GF_MERGE : 0));
    start(x, ws, &w, is_up);
}

static void get_handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, NULL);
}

static void put_handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, x);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/tree", get_handler, ROUTE_RAW, 0 },
    { "PUT", "/v1/sandboxes/{}/tree", put_handler, ROUTE_RAW, 0 },
};
const struct routes tree_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
