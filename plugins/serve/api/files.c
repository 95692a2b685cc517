/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - /v1/sandboxes/{}/files: the file calls whose requests and answers are JSON. Whole files
 * as bytes are in file_raw.c. All paths are looked up by the guest, inside the workspace; a
 * relative one is made whole in
 * file_request.c. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/file_json.h"
#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define READ_MAX (8u * 1024 * 1024) /* of files/read; more goes through GET file */
/* body of files/write: clients put whole files there, as base64 */
#define WRITE_MAX (64u * 1024 * 1024)
#define ENTRIES_MAX 100000u /* of one listing */
#define DEPTH_MAX 64u

enum kind {
    KIND_EMPTY,  /* 204 */
    KIND_INFO,   /* FileInfo of the OK frame */
    KIND_EXISTS, /* {"exists"} */
    KIND_READ,
    KIND_WRITE,
    KIND_LIST,
};

/* One request about files. */
struct call {
    struct exchange *x;
    struct guest_op *op;
    json_t *answer;
    enum kind kind;
    unsigned oks;      /* OK frames that came */
    const char *wrong; /* why it was ended from here; NULL: it was not */
    uint32_t wrong_status;
    bool is_sending;
    struct nt_buf content; /* READ: what came; WRITE: what is to be sent */
    size_t sent;
};

static void call_free(struct call *c)
{
    json_decref(c->answer);
    nt_buf_done(&c->content);
    free(c);
}

static void call_stop(struct call *c, uint32_t status, const char *why)
{
    if (!c->wrong) {
        c->wrong = why;
        c->wrong_status = status;
    }
    guest_op_cancel(c->op);
}

/* Sends what is left of the content as far as the queue takes it; then the end. */
static void call_send(struct call *c)
{
    bool room = true;
    while (room && c->sent < c->content.size) {
        size_t n = c->content.size - c->sent;
        n = n < NT_G_CHUNK ? n : NT_G_CHUNK;
        room = guest_op_send(c->op, NT_G_DATA, (struct nt_bytes){ c->content.data + c->sent, n });
        c->sent += n;
    }
    if (!room)
        return; /* goes on in on_sent */
    c->is_sending = false;
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    nt_g_add_number(&w, NT_GT_COUNT, c->content.size);
    guest_op_send(c->op, 0, (struct nt_bytes){ memory, nt_g_done(&w) });
}

static void on_sent(void *data)
{
    struct call *c = data;
    if (c->is_sending)
        call_send(c);
}

static void on_ok(struct call *c, const struct guest_fields *f)
{
    c->oks++;
    if (c->kind == KIND_WRITE && c->oks == 1) {
        c->is_sending = true;
        call_send(c);
    } else if (c->kind == KIND_INFO || c->kind == KIND_WRITE) {
        json_decref(c->answer);
        c->answer = file_json(f, exchange_is_wide(c->x));
    } else if (c->kind == KIND_READ && f->size > READ_MAX) {
        call_stop(c, 400, "the file is larger than 8 MiB: read it with GET file");
    }
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct call *c = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (guest_fields_read(frame, &f, &error) < 0) {
        call_stop(c, 502, "the workspace sent a malformed answer");
        return;
    }
    if (frame->type == NT_G_OK)
        on_ok(c, &f);
    if (frame->type == NT_G_ENTRY && c->kind == KIND_LIST) {
        if (json_array_size(c->answer) >= ENTRIES_MAX)
            call_stop(c, 400, "the folder has more than 100000 entries: ask for less depth");
        else
            json_array_append_new(c->answer, file_json(&f, exchange_is_wide(c->x)));
    }
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct call *c = data;
    nt_buf_add_bytes(&c->content, bytes.data, bytes.size);
    if (!nt_buf_ok(&c->content)) /* more than its size said: it grows, or is one of /proc */
        call_stop(c, 400, "the file is larger than 8 MiB: read it with GET file");
    guest_op_consumed(c->op);
}

static void answer_read(struct call *c)
{
    const char *bytes = nt_buf_text(&c->content);
    if (!utf8_is_valid(bytes, c->content.size)) {
        exchange_fail(c->x, 400, "file_error", "the file is not UTF-8 text: read it with GET file");
        return;
    }
    json_t *body = json_object();
    if (json_object_set_new(body, "content", json_stringn_nocheck(bytes, c->content.size)) < 0) {
        json_decref(body);
        exchange_fail(c->x, 500, "internal_error", "out of memory");
        return;
    }
    json_object_set_new(body, "encoding", json_string("utf8"));
    json_object_set_new(body, "size", json_integer((json_int_t)c->content.size));
    exchange_send_json(c->x, 200, body);
}

static void answer(struct call *c, const struct nt_error *error)
{
    struct guest_failure f =
        error ? guest_failure_of(error, GUEST_FILE) : (struct guest_failure){ 0 };
    bool is_absent = error && f.status == 404;
    if (c->wrong)
        exchange_fail(c->x, c->wrong_status, "file_error", "%s", c->wrong);
    else if (c->kind == KIND_EXISTS && (!error || is_absent || error->sys == ENOTDIR))
        exchange_send_json(c->x, 200, json_pack("{s:b}", "exists", !error));
    else if (error)
        answer_guest_error(c->x, error, GUEST_FILE);
    else if (c->kind == KIND_EMPTY)
        exchange_send_empty(c->x, 204);
    else if (c->kind == KIND_READ)
        answer_read(c);
    else if (c->answer)
        exchange_send_json(c->x, 200, json_incref(c->answer));
    else
        exchange_fail(c->x, 502, "internal_error", "the workspace sent no entry");
}

static void on_end(void *data, const struct nt_error *error)
{
    struct call *c = data;
    answer(c, error);
    call_free(c);
}

static const struct guest_events events = {
    .frame = on_frame, .bytes = on_bytes, .sent = on_sent, .end = on_end
};

static void on_lost(void *data)
{
    struct call *c = data;
    guest_op_cancel(c->op); /* a write that was cut leaves the old file */
}

/* --- requests ------------------------------------------------------------------------------ */

/* Sends the frame. content may be NULL (taken). */
static void call_start(struct exchange *x, const struct workspace *ws, enum kind kind,
                       struct nt_g_writer *w, struct nt_buf *content)
{
    struct nt_error error = NT_ERROR_INIT;
    size_t size = nt_g_done(w);
    struct call *c = calloc(1, sizeof(*c));
    if (!c || !size) {
        free(c);
        if (content)
            nt_buf_done(content);
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    c->x = x;
    c->kind = kind;
    c->content = content ? *content : (struct nt_buf)NT_BUF(READ_MAX);
    if (kind == KIND_LIST)
        c->answer = json_array();
    if (workspace_guest(exchange_server(x), ws, (struct nt_bytes){ w->data, size }, &events, c,
                        &c->op, &error)
        < 0) {
        call_free(c);
        answer_guest_error(x, &error, GUEST_FILE);
        return;
    }
    exchange_on_lost(x, on_lost, c);
}

/* The calls with one path and nothing else. */
static void one_path(struct exchange *x, const struct workspace *ws, uint16_t type, enum kind kind)
{
    char where[FILE_PATH_MAX];
    const char *path = file_path_of(x, ws, "path", where);
    if (!path || !file_user_check(x))
        return;
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), type);
    nt_g_add_text(&w, NT_GT_PATH, path);
    call_start(x, ws, kind, &w, NULL);
}

static void info_found(struct exchange *x, const struct workspace *ws, void *data)
{
    one_path(x, ws, NT_G_STAT, KIND_INFO);
}

static void exists_found(struct exchange *x, const struct workspace *ws, void *data)
{
    one_path(x, ws, NT_G_STAT, KIND_EXISTS);
}

static void remove_found(struct exchange *x, const struct workspace *ws, void *data)
{
    one_path(x, ws, NT_G_REMOVE, KIND_EMPTY);
}

static void mkdir_found(struct exchange *x, const struct workspace *ws, void *data)
{
    char where[FILE_PATH_MAX];
    const char *path = file_path_of(x, ws, "path", where);
    if (!path || !file_user_check(x))
        return;
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_MKDIR);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_MODE, 0755);
    call_start(x, ws, KIND_EMPTY, &w, NULL);
}

/* Octal permissions ("644", "0644", "0o644"): what FileInfo says can be sent back. -1: not that. */
static int mode_of(const char *text, size_t size)
{
    int mode = 0;
    if (size > 2 && text[0] == '0' && text[1] == 'o') {
        text += 2;
        size -= 2;
    }
    for (size_t i = 0; i < size && size <= 5; i++) {
        if (text[i] < '0' || text[i] > '7')
            return -1;
        mode = mode * 8 + (text[i] - '0');
    }
    return size >= 1 && size <= 5 && mode <= 07777 ? mode : -1;
}

static void permissions_found(struct exchange *x, const struct workspace *ws, void *data)
{
    char where[FILE_PATH_MAX];
    json_t *value = json_object_get(exchange_json(x), "permissions");
    const char *path = file_path_of(x, ws, "path", where);
    if (!path || !file_user_check(x))
        return;
    int mode =
        json_is_string(value) ? mode_of(json_string_value(value), json_string_length(value)) : -1;
    if (mode < 0) {
        exchange_fail(x, 400, "invalid_request",
                      "permissions must be octal text, \"0000\" to \"7777\"");
        return;
    }
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_CHMOD);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_MODE, (uint64_t)mode);
    call_start(x, ws, KIND_EMPTY, &w, NULL);
}

static void rename_found(struct exchange *x, const struct workspace *ws, void *data)
{
    char where[2][FILE_PATH_MAX];
    const char *from = file_path_of(x, ws, "old_path", where[0]);
    const char *to = from ? file_path_of(x, ws, "new_path", where[1]) : NULL;
    if (!to || !file_user_check(x))
        return;
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_RENAME);
    nt_g_add_text(&w, NT_GT_PATH, from);
    nt_g_add_text(&w, NT_GT_PATH2, to);
    call_start(x, ws, KIND_INFO, &w, NULL);
}

static void read_found(struct exchange *x, const struct workspace *ws, void *data)
{
    json_t *encoding = json_object_get(exchange_json(x), "encoding");
    const char *name = json_string_value(encoding);
    if (encoding && !json_is_null(encoding)
        && (!name || (strcmp(name, "utf8") && strcmp(name, "utf-8")))) {
        exchange_fail(x, 400, "invalid_request",
                      "encoding must be utf8; bytes are read with GET file");
        return;
    }
    one_path(x, ws, NT_G_READ, KIND_READ);
}

/* The content of a write; -1: the exchange was answered. */
static int content_of(struct exchange *x, struct nt_buf *ret)
{
    json_t *content = json_object_get(exchange_json(x), "content");
    json_t *encoding = json_object_get(exchange_json(x), "encoding");
    const char *name = json_is_string(encoding) ? json_string_value(encoding)
                       : encoding               ? ""
                                                : "utf8";
    if (json_is_null(encoding))
        name = "utf8";
    size_t size = json_string_length(content);
    if (!json_is_string(content)) {
        exchange_fail(x, 400, "invalid_request", "content must be a text");
        return -1;
    }
    if (!strcmp(name, "utf8") || !strcmp(name, "utf-8")) {
        nt_buf_add_bytes(ret, json_string_value(content), size);
    } else if (!strcmp(name, "base64")) {
        char *room = nt_buf_room(ret, size / 4 * 3 + 3);
        size_t decoded = 0;
        if (room
            && sodium_base642bin((unsigned char *)room, size / 4 * 3 + 3,
                                 json_string_value(content), size, "\r\n", &decoded, NULL,
                                 sodium_base64_VARIANT_ORIGINAL)
                   < 0) {
            exchange_fail(x, 400, "invalid_request", "content is not base64");
            return -1;
        }
        if (room)
            nt_buf_added(ret, decoded);
    } else {
        exchange_fail(x, 400, "invalid_request", "encoding must be utf8 or base64");
        return -1;
    }
    if (nt_buf_ok(ret))
        return 0;
    exchange_fail(x, 500, "internal_error", "out of memory");
    return -1;
}

static void write_found(struct exchange *x, const struct workspace *ws, void *data)
{
    char where[FILE_PATH_MAX];
    const char *path = file_path_of(x, ws, "path", where);
    if (!path || !file_user_check(x))
        return;
    struct nt_buf content = NT_BUF(WRITE_MAX);
    if (content_of(x, &content) < 0) {
        nt_buf_done(&content);
        return;
    }
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_WRITE);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_FLAGS, NT_GF_PARENTS);
    call_start(x, ws, KIND_WRITE, &w, &content);
}

static void list_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *path = exchange_query(x, "path"), *depth = exchange_query(x, "depth");
    const char *user = exchange_query(x, "user");
    uint64_t levels = 1;
    if (!path || !*path)
        path = "/";
    if (depth && nt_parse_u64(depth, 0, UINT32_MAX, &levels, &error) < 0) {
        exchange_fail(x, 400, "invalid_request", "depth must be a number");
        return;
    }
    if (!file_user_is_fine(user)) {
        exchange_fail(x, 400, "invalid_request", "a workspace has one user: agent");
        return;
    }
    char where[FILE_PATH_MAX];
    path = file_path_resolve(ws, path, strlen(path), user, where);
    if (!path) {
        exchange_fail(x, 400, "invalid_request", "path must have 1 to 4095 bytes");
        return;
    }
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_LIST);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_DEPTH, levels == 0 ? 1 : levels < DEPTH_MAX ? levels : DEPTH_MAX);
    call_start(x, ws, KIND_LIST, &w, NULL);
}

#define HANDLER(name)                                                                              \
    static void name##_handler(struct server *server, struct exchange *x)                          \
    {                                                                                              \
        workspace_find(x, exchange_param(x, 0), name##_found, NULL);                               \
    }
HANDLER(info)
HANDLER(exists)
HANDLER(remove)
HANDLER(mkdir)
HANDLER(rename)
HANDLER(permissions)
HANDLER(read)
HANDLER(write)
HANDLER(list)

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/files", list_handler, 0, 0 },
    { "POST", "/v1/sandboxes/{}/files/read", read_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/write", write_handler, ROUTE_JSON, WRITE_MAX },
    { "POST", "/v1/sandboxes/{}/files/info", info_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/exists", exists_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/remove", remove_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/rename", rename_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/mkdir", mkdir_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/permissions", permissions_handler, ROUTE_JSON, 0 },
};
const struct routes files_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
