/* SPDX-License-Identifier: Apache-2.0 */
/* file_search.c - files/find (lines), files/search (names) and files/replace. The guest does the
 * work, with limits; an answer that would not be whole is an error, for its form has no place to
 * say so. */
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "sdk/error.h"

#define RESULTS_MAX 10000u
#define RESULT_BYTES_MAX (16u * 1024 * 1024)
#define PATTERN_MAX 1024u
#define TEXT_MAX (64u * 1024)
#define FILES_MAX 1000u

/* One search or replacement. */
struct search {
    struct exchange *x;
    struct guest_op *op;
    uint16_t type; /* NT_G_GREP, NT_G_GLOB, NT_G_REPLACE */
    json_t *results;
    size_t bytes;
    uint64_t replacements;
    const char *wrong; /* why it was ended from here; NULL: it was not */
};

static void search_free(struct search *s)
{
    json_decref(s->results);
    free(s);
}

static json_t *result_of(const struct search *s, const struct guest_fields *f)
{
    json_t *path = utf8_json(f->path.data, f->path.size);
    if (s->type == NT_G_GLOB)
        return path;
    json_t *match = json_object(); /* a strict type: exactly these keys */
    json_object_set_new(match, "file", path);
    json_object_set_new(match, "line", json_integer((json_int_t)(f->line & INT64_MAX)));
    json_object_set_new(match, "content", utf8_json(f->text.data, f->text.size));
    return match;
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct search *s = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (s->wrong)
        return;
    if (guest_fields_read(frame, &f, &error) < 0)
        s->wrong = "the workspace sent a malformed answer";
    else if (frame->type == NT_G_OK)
        s->replacements = f.count;
    else if (frame->type == NT_G_ENTRY && s->type != NT_G_REPLACE) {
        s->bytes += f.path.size + f.text.size;
        if (json_array_size(s->results) >= RESULTS_MAX || s->bytes > RESULT_BYTES_MAX)
            s->wrong = "more than 10000 results or 16 MiB: search a part, or for something rarer";
        else
            json_array_append_new(s->results, result_of(s, &f));
    }
    if (s->wrong)
        guest_op_cancel(s->op);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct search *s = data;
    if (s->wrong)
        exchange_fail(s->x, 400, "file_error", "%s", s->wrong);
    else if (error)
        answer_guest_error(s->x, error, GUEST_FILE);
    else if (s->type == NT_G_REPLACE)
        exchange_send_json(
            s->x, 200,
            json_pack("{s:I}", "replacements", (json_int_t)(s->replacements & INT64_MAX)));
    else
        exchange_send_json(s->x, 200, json_incref(s->results));
    search_free(s);
}

static const struct guest_events events = { .frame = on_frame, .end = on_end };

static void on_lost(void *data)
{
    struct search *s = data;
    guest_op_cancel(s->op);
}

static void search_start(struct exchange *x, const struct workspace *ws, struct nt_g_writer *w,
                         uint16_t type)
{
    struct nt_error error = NT_ERROR_INIT;
    size_t size = nt_g_done(w);
    if (!size) {
        exchange_fail(x, 413, "invalid_request", "the request is too large");
        return;
    }
    struct search *s = calloc(1, sizeof(*s));
    json_t *results = s ? json_array() : NULL;
    if (!results) {
        free(s);
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *s = (struct search){ .x = x, .type = type, .results = results };
    if (workspace_guest(exchange_server(x), ws, (struct nt_bytes){ w->data, size }, &events, s,
                        &s->op, &error)
        < 0) {
        search_free(s);
        answer_guest_error(x, &error, GUEST_FILE);
        return;
    }
    exchange_on_lost(x, on_lost, s);
}

/* A text of the body without NUL; -1: the exchange was answered. */
static int add_text(struct exchange *x, struct nt_g_writer *w, uint16_t tag, const char *key,
                    size_t min, size_t max)
{
    json_t *value = json_object_get(exchange_json(x), key);
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (!text || size < min || size > max || memchr(text, 0, size)) {
        exchange_fail(x, 400, "invalid_request", "%s must be a text of %zu to %zu bytes", key, min,
                      max);
        return -1;
    }
    nt_g_add(w, tag, text, size);
    return 0;
}

static void look(struct exchange *x, const struct workspace *ws, uint16_t type)
{
    char path_memory[FILE_PATH_MAX];
    const char *path = file_path_of(x, ws, "path", path_memory);
    if (!path || !file_user_check(x))
        return;
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), type);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_COUNT, RESULTS_MAX + 1);
    if (add_text(x, &w, NT_GT_PATTERN, "pattern", 1, PATTERN_MAX) == 0)
        search_start(x, ws, &w, type);
}

static void find_found(struct exchange *x, const struct workspace *ws, void *data)
{
    look(x, ws, NT_G_GREP);
}

static void search_found(struct exchange *x, const struct workspace *ws, void *data)
{
    look(x, ws, NT_G_GLOB);
}

/* The paths of the body; -1: the exchange was answered. */
static int add_files(struct exchange *x, const struct workspace *ws, struct nt_g_writer *w)
{
    json_t *files = json_object_get(exchange_json(x), "files"), *file;
    const char *user = json_string_value(json_object_get(exchange_json(x), "user"));
    size_t i;
    if (!json_is_array(files) || json_array_size(files) > FILES_MAX) {
        exchange_fail(x, 400, "invalid_request", "files must be an array of at most 1000 paths");
        return -1;
    }
    json_array_foreach(files, i, file)
    {
        char memory[FILE_PATH_MAX];
        const char *path =
            file_path_resolve(ws, json_string_value(file), json_string_length(file), user, memory);
        if (!path) {
            exchange_fail(x, 400, "invalid_request", "files[%zu] must be a path of 1 to 4095 bytes",
                          i);
            return -1;
        }
        nt_g_add_text(w, NT_GT_ARG, path);
    }
    return 0;
}

static void replace_found(struct exchange *x, const struct workspace *ws, void *data)
{
    if (!file_user_check(x))
        return;
    uint8_t *memory = malloc(NT_G_HEAD + NT_G_FRAME_MAX);
    if (!memory) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    struct nt_g_writer w = nt_g_begin(memory, NT_G_HEAD + NT_G_FRAME_MAX, NT_G_REPLACE);
    if (add_files(x, ws, &w) == 0 && add_text(x, &w, NT_GT_PATTERN, "pattern", 1, PATTERN_MAX) == 0
        && add_text(x, &w, NT_GT_TEXT, "replacement", 0, TEXT_MAX) == 0)
        search_start(x, ws, &w, NT_G_REPLACE);
    free(memory);
}

#define HANDLER(name)                                                                              \
    static void name##_handler(struct server *server, struct exchange *x)                          \
    {                                                                                              \
        workspace_find(x, exchange_param(x, 0), name##_found, NULL);                               \
    }
HANDLER(find)
HANDLER(search)
HANDLER(replace)

static const struct route rows[] = {
    { "POST", "/v1/sandboxes/{}/files/find", find_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/search", search_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/replace", replace_handler, ROUTE_JSON, 0 },
};
const struct routes file_search_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
