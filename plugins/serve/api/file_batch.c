/* SPDX-License-Identifier: Apache-2.0 */
/* file_batch.c - files written from a multipart/form-data body: files/batch-write (a manifest, then
 * a part per file) and POST file (the one field "file"). The body is streamed: a piece is asked for
 * when the guest has taken the one before. One file after the other is written, each as a whole;
 * one that cannot be written does not stop the others. */
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/file_json.h"
#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/multipart.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/http/json_text.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define WINDOW (256u * 1024) /* bytes of the body that are on their way */
#define MANIFEST_MAX (1024u * 1024)
#define FILES_MAX 1000u

enum place { IN_NOTHING, IN_MANIFEST, IN_FILE, IN_REFUSED };

/* One body; lives until the request and the guest's operation have ended. */
struct batch {
    struct net_request *req; /* NULL: done */
    struct guest_op *op;     /* of the file being written; NULL: none */
    struct server *server;
    struct workspace ws;
    char request_id[72];
    bool is_single; /* POST file */
    bool is_wide;
    bool is_answered;
    bool is_over; /* the body has come */
    bool has_room;
    bool is_ending; /* the file's END was sent */
    bool is_pumping;
    enum place place;
    struct multipart parts;
    struct nt_buf pending; /* of the body, not used yet */
    struct nt_buf text;    /* of the manifest */
    uint64_t owed;         /* used, and not asked for again */
    json_t *files;         /* of the manifest: path, field; NULL: it has not come */
    char *user;            /* of the manifest */
    json_t *results;       /* as many; null: nothing yet */
    size_t current;
    unsigned oks;
    uint64_t sent;
    uint32_t fail_status; /* is_single */
    char fail_code[40];
};

static void batch_check(struct batch *b)
{
    if (b->req || b->op || b->is_pumping)
        return;
    nt_buf_done(&b->pending);
    nt_buf_done(&b->text);
    json_decref(b->files);
    json_decref(b->results);
    free(b->user);
    free(b);
}

static void batch_fail(struct batch *b, uint32_t status, const char *code, const char *message)
{
    if (b->req && !b->is_answered) {
        b->is_answered = true;
        answer_raw_error(b->req, b->request_id, status, code, message);
    }
    if (b->op)
        guest_op_cancel(b->op); /* the old file stays */
}

static void result_error(struct batch *b, size_t i, const char *message)
{
    json_t *r = json_object(), *path = json_object_get(json_array_get(b->files, i), "path");
    json_object_set_new(r, "status", json_string("error"));
    json_object_set(r, "path", path);
    json_object_set_new(r, "error", utf8_json(message, strlen(message)));
    json_array_set_new(b->results, i, r);
}

static void result_fail(struct batch *b, const struct nt_error *error)
{
    struct guest_failure f = guest_failure_of(error, GUEST_FILE);
    b->fail_status = f.status;
    nt_copy_text(b->fail_code, sizeof(b->fail_code), f.code);
    result_error(b, b->current, error->message[0] ? error->message : "the workspace is gone");
}

/* --- the manifest -------------------------------------------------------------------------- */

static int files_take(struct batch *b, json_t *files)
{
    size_t i;
    json_t *file;
    char memory[FILE_PATH_MAX];
    json_array_foreach(files, i, file)
    {
        json_t *path = json_object_get(file, "path");
        const char *field = json_string_value(json_object_get(file, "field"));
        if (!file_path_resolve(&b->ws, json_string_value(path), json_string_length(path), b->user,
                               memory)
            || !field || !strcmp(field, "manifest"))
            return -1;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(json_string_value(json_object_get(json_array_get(files, k), "field")),
                        field))
                return -1;
        json_array_append_new(b->results, json_null());
    }
    b->files = json_incref(files);
    return 0;
}

static int manifest_read(struct batch *b)
{
    json_t *manifest = b->text.size ? json_text_parse(b->text.data, b->text.size) : NULL;
    json_t *files = json_object_get(manifest, "files"), *user = json_object_get(manifest, "user");
    bool is_fine = json_is_array(files) && json_array_size(files) <= FILES_MAX;
    if (user && !json_is_null(user))
        is_fine = is_fine && json_is_string(user) && file_user_is_fine(json_string_value(user));
    if (is_fine && json_is_string(user))
        b->user = strdup(json_string_value(user));
    int rc = is_fine ? files_take(b, files) : -1;
    json_decref(manifest);
    nt_buf_done(&b->text);
    return rc;
}

/* --- one file ------------------------------------------------------------------------------ */

static void pump(struct batch *b);

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct batch *b = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (frame->type != NT_G_OK || guest_fields_read(frame, &f, &error) < 0)
        return;
    if (++b->oks == 1) {
        b->has_room = true;
        pump(b);
    } else if (b->oks == 2 && b->is_ending) {
        json_t *r = json_object();
        json_object_set_new(r, "status", json_string("success"));
        json_object_set_new(r, "info", file_json(&f, b->is_wide));
        json_array_set_new(b->results, b->current, r);
    }
}

static void on_sent(void *data)
{
    struct batch *b = data;
    if (b->has_room || !b->oks)
        return;
    b->has_room = true;
    pump(b);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct batch *b = data;
    b->op = NULL;
    if (error)
        result_fail(b, error);
    else if (json_is_null(json_array_get(b->results, b->current)))
        result_error(b, b->current, "the workspace did not confirm the file");
    b->place = b->is_ending ? IN_NOTHING : IN_REFUSED;
    pump(b);
    batch_check(b);
}

static const struct guest_events events = { .frame = on_frame, .sent = on_sent, .end = on_end };

static void file_begin(struct batch *b)
{
    struct nt_error error = NT_ERROR_INIT;
    char where[FILE_PATH_MAX];
    json_t *path = json_object_get(json_array_get(b->files, b->current), "path");
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_WRITE);
    nt_g_add_text(&w, NT_GT_PATH,
                  file_path_resolve(&b->ws, json_string_value(path), json_string_length(path),
                                    b->user, where));
    nt_g_add_number(&w, NT_GT_FLAGS, NT_GF_PARENTS);
    b->oks = 0;
    b->sent = 0;
    b->has_room = b->is_ending = false;
    b->place = IN_FILE;
    if (workspace_guest(b->server, &b->ws, (struct nt_bytes){ memory, nt_g_done(&w) }, &events, b,
                        &b->op, &error)
        < 0) {
        b->op = NULL;
        result_fail(b, &error);
        b->place = IN_REFUSED;
    }
}

/* --- the body ------------------------------------------------------------------------------ */

static void part_begin(struct batch *b)
{
    if (!b->files) {
        if (strcmp(b->parts.name, "manifest"))
            batch_fail(b, 400, "invalid_request", "the first part must be the manifest");
        b->place = IN_MANIFEST;
        return;
    }
    for (size_t i = 0; i < json_array_size(b->files); i++) {
        const char *field =
            json_string_value(json_object_get(json_array_get(b->files, i), "field"));
        if (strcmp(field, b->parts.name) || !json_is_null(json_array_get(b->results, i)))
            continue;
        b->current = i;
        file_begin(b);
        return;
    }
    batch_fail(b, 400, "invalid_request", "a part is not in the manifest, or is there twice");
}

static void part_data(struct batch *b, struct nt_bytes bytes)
{
    if (b->place == IN_MANIFEST) {
        nt_buf_add_bytes(&b->text, bytes.data, bytes.size);
        if (!nt_buf_ok(&b->text))
            batch_fail(b, 413, "invalid_request", "the manifest is larger than 1 MiB");
    } else if (b->place == IN_FILE && b->op) {
        b->has_room = guest_op_send(b->op, NT_G_DATA, bytes);
        b->sent += bytes.size;
    }
}

static void part_end(struct batch *b)
{
    if (b->place == IN_MANIFEST && manifest_read(b) < 0)
        batch_fail(b, 400, "invalid_request",
                   "the manifest must name at most 1000 files, each with a path and a field of its "
                   "own, and the user agent or none");
    if (b->place == IN_FILE && b->op) {
        uint8_t memory[64];
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
        nt_g_add_number(&w, NT_GT_COUNT, b->sent);
        guest_op_send(b->op, 0, (struct nt_bytes){ memory, nt_g_done(&w) });
        b->is_ending = true; /* the next part waits for the guest's word */
    } else {
        b->place = IN_NOTHING;
    }
}

static void finish(struct batch *b)
{
    for (size_t i = 0; i < json_array_size(b->results); i++)
        if (json_is_null(json_array_get(b->results, i)))
            result_error(b, i, "its part is missing");
    json_t *first = json_array_get(b->results, 0);
    const char *why = json_string_value(json_object_get(first, "error"));
    if (b->is_single && why) {
        batch_fail(b, b->fail_status ? b->fail_status : 400,
                   b->fail_code[0] ? b->fail_code : "invalid_request", why);
        return;
    }
    b->is_answered = true;
    if (b->is_single)
        answer_raw_empty(b->req, b->request_id);
    else
        answer_raw_json(b->req, b->request_id, 200, json_pack("{s:O}", "results", b->results));
}

/* What one event of the body leads to; false: wait. */
static bool step(struct batch *b)
{
    size_t used;
    struct nt_bytes bytes;
    switch (multipart_next(&b->parts, nt_buf_text(&b->pending), b->pending.size, &used, &bytes)) {
    case MULTIPART_PART:
        part_begin(b);
        break;
    case MULTIPART_DATA:
        part_data(b, bytes);
        break;
    case MULTIPART_PART_END:
        part_end(b);
        break;
    case MULTIPART_END:
        if (b->is_over) {
            if (b->files)
                finish(b);
            else
                batch_fail(b, 400, "invalid_request", "the body has no manifest");
            return false;
        }
        net_request_grant(b->req, b->owed + 2);
        b->owed = 0;
        return false;
    case MULTIPART_MORE:
        if (b->is_over) {
            batch_fail(b, 400, "invalid_request", "the body ends before its last boundary");
        } else if (b->owed) {
            net_request_grant(b->req, b->owed);
            b->owed = 0;
        }
        return false;
    default:
        batch_fail(b, 400, "invalid_request", "the body is not the multipart/form-data it says");
        return false;
    }
    nt_buf_drop(&b->pending, used);
    b->owed += used;
    return true;
}

static void pump(struct batch *b)
{
    if (b->is_pumping)
        return;
    b->is_pumping = true; /* a callback in it must not free it, nor begin it anew */
    while (b->req && !b->is_answered && !(b->op && (!b->has_room || b->is_ending)) && step(b)) {
    }
    b->is_pumping = false;
}

static void on_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct batch *b = data;
    if (b->is_answered)
        return;
    nt_buf_add_bytes(&b->pending, bytes.data, bytes.size);
    if (!nt_buf_ok(&b->pending))
        batch_fail(b, 500, "internal_error", "out of memory");
    pump(b);
}

static void on_body_end(void *data, struct net_request *req)
{
    struct batch *b = data;
    b->is_over = true;
    pump(b);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct batch *b = data;
    b->req = NULL;
    if (b->op)
        guest_op_cancel(b->op);
    batch_check(b);
}

static const struct net_request_events request_events = { .body = on_body,
                                                          .body_end = on_body_end,
                                                          .done = on_done };

static struct batch *batch_new(struct exchange *x, const struct workspace *ws, bool is_single)
{
    struct batch *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->server = exchange_server(x);
    b->ws = workspace_without_texts(ws);
    b->is_single = is_single;
    b->is_wide = exchange_is_wide(x);
    b->pending = (struct nt_buf)NT_BUF(2 * WINDOW);
    b->text = (struct nt_buf)NT_BUF(MANIFEST_MAX);
    b->results = json_array();
    nt_copy_text(b->request_id, sizeof(b->request_id), exchange_request_id(x));
    if (is_single) {
        b->files = json_pack("[{s:s,s:s}]", "path", exchange_query(x, "path"), "field", "file");
        json_array_append_new(b->results, json_null());
    }
    if (b->results && (!is_single || b->files))
        return b;
    json_decref(b->results);
    free(b);
    return NULL;
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct net_request *req = exchange_request(x);
    bool is_single = data != NULL;
    struct multipart parts;
    char memory[FILE_PATH_MAX];
    if (!req) {
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
        return;
    }
    const char *path = exchange_query(x, "path"), *user = exchange_query(x, "user");
    if (is_single && (!path || !file_path_resolve(ws, path, strlen(path), user, memory))) {
        exchange_fail(x, 400, "invalid_request", "path must have 1 to 4095 bytes");
        return;
    }
    if (!file_user_is_fine(user)) {
        exchange_fail(x, 400, "invalid_request", "a workspace has one user: agent");
        return;
    }
    if (multipart_init(&parts, net_request_header(req, "Content-Type")) < 0) {
        exchange_fail(x, 400, "invalid_request", "the body must be multipart/form-data");
        return;
    }
    if (ws->status != WORKSPACE_RUNNING) {
        exchange_fail(x, 409, "sandbox_not_ready", "%s does not run", ws->id);
        return;
    }
    struct batch *b = batch_new(x, ws, is_single);
    if (!b) {
        exchange_fail(x, 400, "invalid_request", "the path is not UTF-8, or memory is short");
        return;
    }
    b->req = req;
    b->parts = parts;
    exchange_detach(x);
    net_request_handle(req, &request_events, b);
    if (net_request_length(req) == 0)
        on_body_end(b, req);
    else
        net_request_grant(req, WINDOW);
}

static void batch_handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, NULL);
}

static void post_handler(struct server *server, struct exchange *x)
{
    static char single;
    workspace_find(x, exchange_param(x, 0), found, &single);
}

static const struct route rows[] = {
    { "POST", "/v1/sandboxes/{}/files/batch-write", batch_handler, ROUTE_RAW, 0 },
    { "POST", "/v1/sandboxes/{}/file", post_handler, ROUTE_RAW | ROUTE_SIGNED, 0 },
};
const struct routes file_batch_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
