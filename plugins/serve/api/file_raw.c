/* SPDX-License-Identifier: Apache-2.0 */
/* file_raw.c - /v1/sandboxes/{}/file: one file as bytes, streamed between the client and the guest.
 * Nothing is kept here: a piece is read from one side when the other has taken the one before.
 * There is never a Content-Encoding: clients would unpack a .gz file. A body that is cut short
 * leaves the old file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/file_json.h"
#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define WINDOW (256u * 1024) /* bytes of an upload that are on their way */
#define FRAME_MEMORY 8192

/* One transfer; lives until both sides have ended. */
struct transfer {
    struct net_request *req; /* NULL: done */
    struct guest_op *op;     /* NULL: ended */
    char request_id[72];
    bool is_wide, is_head;
    bool has_head; /* GET: the answer has begun */
    bool is_lent;  /* GET: bytes of op are in the socket's queue: op must stay */
    bool is_answered;
    bool has_length;
    bool is_part;      /* GET: only some of the bytes were asked for */
    uint64_t left;     /* GET: bytes that the announced length still needs */
    unsigned oks;      /* PUT */
    bool has_room;     /* PUT: the guest's queue takes more */
    uint64_t owed;     /* PUT: to be granted when there is room again */
    uint64_t received; /* PUT */
};

static void transfer_check(struct transfer *t)
{
    if (!t->req && !t->op && !t->is_lent)
        free(t);
}

static void fail(struct transfer *t, uint32_t status, const char *code, const char *message)
{
    if (!t->req || t->is_answered)
        return;
    t->is_answered = true;
    if (t->has_head)
        net_respond_abort(t->req); /* the peer must see that bytes are missing */
    else
        answer_raw_error(t->req, t->request_id, status, code, message);
}

static void fail_guest(struct transfer *t, const struct nt_error *error)
{
    struct guest_failure f = guest_failure_of(error, GUEST_FILE);
    bool is_folder = t->is_wide && f.status == 400 && error->sys == EISDIR;
    fail(t, f.status, is_folder ? "is_a_folder" : f.code, error->message);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct transfer *t = data;
    t->req = NULL;
    if (t->op && !t->is_lent)
        guest_op_cancel(t->op);
    transfer_check(t);
}

/* --- GET and HEAD -------------------------------------------------------------------------- */

static void send_head(struct transfer *t, const struct guest_fields *f, const char *id)
{
    char mode[8], mtime[24], size[24];
    file_json_mode(f->mode, mode);
    snprintf(mtime, sizeof(mtime), "%lld", (long long)f->mtime_ns);
    snprintf(size, sizeof(size), "%llu", (unsigned long long)f->size);
    struct net_header headers[EXCHANGE_HEADERS + 5];
    uint32_t count = exchange_headers_for(t->request_id, headers);
    headers[count++] = (struct net_header){ "Content-Type", "application/octet-stream" };
    if (t->is_wide) {
        headers[count++] = (struct net_header){ "X-Nanoterm-Mode", mode };
        headers[count++] = (struct net_header){ "X-Nanoterm-Mtime-Ns", mtime };
        headers[count++] = (struct net_header){ "X-Nanoterm-Size", size };
        if (*id)
            headers[count++] = (struct net_header){ "X-Nanoterm-File-Id", id };
    }
    /* Files of /proc have bytes and no size: their length is not announced. */
    t->has_length = !t->is_part && S_ISREG((mode_t)f->mode) && f->size > 0;
    t->left = t->has_length ? f->size : 0;
    t->has_head = true;
    net_respond_head(t->req, 200, headers, count, t->has_length ? (int64_t)f->size : -1);
}

/* The file itself, whatever its name; "" when the guest does not say. */
static void read_id(const struct nt_g_frame *frame, char ret[41])
{
    struct nt_g_field f;
    ret[0] = '\0';
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;)
        if (f.tag == NT_GT_ID && f.size <= 40) {
            memcpy(ret, f.data, f.size);
            ret[f.size] = '\0';
        }
    if (strspn(ret, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(ret))
        ret[0] = '\0';
}

static void get_frame(void *data, const struct nt_g_frame *frame)
{
    struct transfer *t = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (frame->type != NT_G_OK || !t->req || t->has_head)
        return;
    if (guest_fields_read(frame, &f, &error) < 0 || f.size > INT64_MAX) {
        fail(t, 502, "internal_error", "the workspace sent a malformed answer");
        guest_op_cancel(t->op);
    } else if (S_ISDIR((mode_t)f.mode)) {
        fail(t, 400, t->is_wide ? "is_a_folder" : "file_error", "it is a folder");
        guest_op_cancel(t->op);
    } else {
        char id[41];
        read_id(frame, id);
        send_head(t, &f, id);
    }
}

static void get_sent(void *data)
{
    struct transfer *t = data;
    t->is_lent = false;
    if (t->op && !t->req)
        guest_op_cancel(t->op);
    else if (t->op)
        guest_op_consumed(t->op);
    transfer_check(t);
}

static void get_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct transfer *t = data;
    if (t->has_length && bytes.size > t->left)
        bytes.size = (size_t)t->left; /* the file has grown meanwhile */
    if (!t->req || t->is_answered || !t->has_head || !bytes.size) {
        guest_op_consumed(t->op);
        return;
    }
    t->left -= t->has_length ? bytes.size : 0;
    t->is_lent = true;
    net_respond_write_borrowed(t->req, bytes, get_sent, t);
}

static void get_end(void *data, const struct nt_error *error)
{
    struct transfer *t = data;
    t->op = NULL;
    if (error && !(t->is_head && t->has_head)) {
        fail_guest(t, error);
    } else if (t->left && !t->is_head) {
        fail(t, 500, "file_error", "the file became shorter while it was read");
    } else if (t->has_head && t->req && !t->is_answered) {
        t->is_answered = true;
        net_respond_end(t->req);
    } else {
        fail(t, 502, "internal_error", "the workspace sent no entry");
    }
    transfer_check(t);
}

static const struct guest_events get_events = { .frame = get_frame,
                                                .bytes = get_bytes,
                                                .end = get_end };
static const struct net_request_events get_request = { .done = on_done };

/* --- PUT ----------------------------------------------------------------------------------- */

static void put_send_end(struct transfer *t)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    nt_g_add_number(&w, NT_GT_COUNT, t->received);
    guest_op_send(t->op, 0, (struct nt_bytes){ memory, nt_g_done(&w) });
}

static void put_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct transfer *t = data;
    if (!t->op || t->is_answered)
        return;
    t->received += bytes.size;
    t->owed += bytes.size;
    if (bytes.size)
        t->has_room = guest_op_send(t->op, NT_G_DATA, bytes);
    if (t->has_room) {
        net_request_grant(req, t->owed);
        t->owed = 0;
    }
}

static void put_body_end(void *data, struct net_request *req)
{
    struct transfer *t = data;
    if (t->op && !t->is_answered)
        put_send_end(t);
}

static void put_sent(void *data)
{
    struct transfer *t = data;
    t->has_room = true;
    if (t->req && t->owed && !t->is_answered) {
        uint64_t owed = t->owed;
        t->owed = 0;
        net_request_grant(t->req, owed);
    }
}

static void put_answer(struct transfer *t, const struct guest_fields *f)
{
    t->is_answered = true;
    if (!t->is_wide) {
        answer_raw_empty(t->req, t->request_id);
        return;
    }
    char mode[8], time[40], ns[24];
    file_json_mode(f->mode, mode);
    snprintf(ns, sizeof(ns), "%lld", (long long)f->mtime_ns);
    json_t *body = json_object();
    json_object_set_new(body, "path", utf8_json(f->path.data, f->path.size));
    json_object_set_new(body, "bytes", json_integer((json_int_t)(f->size & INT64_MAX)));
    json_object_set_new(body, "mtime",
                        file_json_time(f->mtime_ns, time) == 0 ? json_string(time) : json_null());
    json_object_set_new(body, "mtime_ns", json_string(ns));
    json_object_set_new(body, "mode", json_string(mode));
    answer_raw_json(t->req, t->request_id, 200, body);
}

static void put_frame(void *data, const struct nt_g_frame *frame)
{
    struct transfer *t = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (frame->type != NT_G_OK || !t->req || t->is_answered)
        return;
    t->oks++;
    if (t->oks == 1 && net_request_length(t->req) == 0) {
        put_send_end(t);
    } else if (t->oks == 1) {
        net_request_grant(t->req, WINDOW);
    } else if (guest_fields_read(frame, &f, &error) < 0) {
        fail(t, 502, "internal_error", "the workspace sent a malformed answer");
        guest_op_cancel(t->op);
    } else {
        put_answer(t, &f);
    }
}

static void put_end(void *data, const struct nt_error *error)
{
    struct transfer *t = data;
    t->op = NULL;
    if (error)
        fail_guest(t, error);
    else
        fail(t, 502, "internal_error", "the workspace did not confirm the file");
    transfer_check(t);
}

static const struct guest_events put_events = { .frame = put_frame,
                                                .sent = put_sent,
                                                .end = put_end };
static const struct net_request_events put_request = { .body = put_body,
                                                       .body_end = put_body_end,
                                                       .done = on_done };

/* --- requests ------------------------------------------------------------------------------ */

/* The path asked for; NULL: the exchange was answered. */
static const char *path_of(struct exchange *x, const struct workspace *ws,
                           char memory[FILE_PATH_MAX])
{
    if (!exchange_request(x)) {
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
        return NULL;
    }
    const char *path = exchange_query(x, "path"), *user = exchange_query(x, "user");
    path = path ? file_path_resolve(ws, path, strlen(path), user, memory) : NULL;
    if (!file_user_is_fine(user))
        exchange_fail(x, 400, "invalid_request", "a workspace has one user: agent");
    else if (!path)
        exchange_fail(x, 400, "invalid_request", "path must have 1 to 4095 bytes");
    else
        return path;
    return NULL;
}

static void transfer_start(struct exchange *x, const struct workspace *ws, struct nt_g_writer *w,
                           bool is_head, bool is_part, const struct guest_events *events,
                           const struct net_request_events *request)
{
    struct nt_error error = NT_ERROR_INIT;
    size_t size = nt_g_done(w);
    struct transfer *t = calloc(1, sizeof(*t));
    if (!t || !size) {
        free(t);
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    t->req = exchange_request(x);
    t->is_wide = exchange_is_wide(x);
    t->is_head = is_head;
    t->is_part = is_part;
    nt_copy_text(t->request_id, sizeof(t->request_id), exchange_request_id(x));
    if (workspace_guest(exchange_server(x), ws, (struct nt_bytes){ w->data, size }, events, t,
                        &t->op, &error)
        < 0) {
        free(t);
        answer_guest_error(x, &error, GUEST_FILE);
        return;
    }
    exchange_detach(x);
    net_request_handle(t->req, request, t);
}

/* A number of bytes in the query of the wide form: 1: there, 0: not, -1: not valid. */
static int number_of(struct exchange *x, const char *name, uint64_t *ret)
{
    const char *text = exchange_is_wide(x) ? exchange_query(x, name) : NULL;
    struct nt_error ignored = NT_ERROR_INIT;
    if (!text)
        return 0;
    return nt_parse_u64(text, 0, INT64_MAX, ret, &ignored) < 0 ? -1 : 1;
}

static void get_found(struct exchange *x, const struct workspace *ws, void *data)
{
    char where[FILE_PATH_MAX];
    const char *path = path_of(x, ws, where);
    if (!path)
        return;
    bool is_head = !strcmp(net_request_method(exchange_request(x)), "HEAD");
    uint8_t memory[FRAME_MEMORY];
    /* HEAD asks for no bytes, but of the same file: where GET follows a link it does, too. */
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_READ);
    nt_g_add_text(&w, NT_GT_PATH, path);
    uint64_t offset = 0, length = UINT64_MAX;
    int has_offset = number_of(x, "offset", &offset), has_length = number_of(x, "length", &length);
    if (has_offset < 0 || has_length < 0) {
        exchange_fail(x, 400, "invalid_request", "offset and length are numbers of bytes");
        return;
    }
    nt_g_add_number(&w, NT_GT_OFFSET, offset);
    nt_g_add_number(&w, NT_GT_SIZE, is_head ? 0 : length);
    transfer_start(x, ws, &w, is_head, has_offset || has_length, &get_events, &get_request);
}

/* Octal permissions of the query; -1: the exchange was answered, -2: none. */
static int mode_of(struct exchange *x)
{
    const char *text = exchange_query(x, "mode");
    if (!text)
        return -2;
    size_t size = strlen(text);
    int mode = 0;
    for (size_t i = 0; i < size && i < 8; i++)
        mode = text[i] >= '0' && text[i] <= '7' && mode >= 0 ? mode * 8 + (text[i] - '0') : -1;
    if (size >= 1 && size <= 5 && mode >= 0 && mode <= 07777)
        return mode;
    exchange_fail(x, 400, "invalid_request", "mode must be octal, at most 7777");
    return -1;
}

static void put_found(struct exchange *x, const struct workspace *ws, void *data)
{
    char where[FILE_PATH_MAX];
    const char *path = path_of(x, ws, where);
    int mode = path ? mode_of(x) : -1;
    if (mode == -1)
        return;
    uint8_t memory[FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_WRITE);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_FLAGS, NT_GF_PARENTS);
    if (mode >= 0)
        nt_g_add_number(&w, NT_GT_MODE, (uint64_t)mode);
    const char *name = exchange_is_wide(x) ? exchange_query(x, "name") : NULL;
    const char *mtime = exchange_is_wide(x) ? exchange_query(x, "mtime_ns") : NULL;
    int64_t mtime_ns;
    struct nt_error ignored = NT_ERROR_INIT;
    if (name && *name)
        nt_g_add_text(&w, NT_GT_NAME, name);
    if (mtime && nt_parse_i64(mtime, INT64_MIN, INT64_MAX, &mtime_ns, &ignored) < 0) {
        exchange_fail(x, 400, "invalid_request", "mtime_ns is a number of nanoseconds");
        return;
    }
    if (mtime)
        nt_g_add_number(&w, NT_GT_MTIME_NS, (uint64_t)mtime_ns);
    transfer_start(x, ws, &w, false, false, &put_events, &put_request);
}

static void get_handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), get_found, NULL);
}

static void put_handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), put_found, NULL);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/file", get_handler, ROUTE_RAW | ROUTE_SIGNED, 0 },
    { "HEAD", "/v1/sandboxes/{}/file", get_handler, ROUTE_RAW | ROUTE_SIGNED, 0 },
    { "PUT", "/v1/sandboxes/{}/file", put_handler, ROUTE_RAW | ROUTE_SIGNED, 0 },
};
const struct routes file_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
