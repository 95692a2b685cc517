/* SPDX-License-Identifier: Apache-2.0 */
/* show.c - the answer of a raw call; see show.h. */
#include "show.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "core/api/api.h"
#include "core/cli/call.h"
#include "core/output/cell.h"
#include "core/output/output.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

/* An answer that must be whole before it can be shown. */
#define WHOLE_MAX (64u * 1024 * 1024)
/* A longer line goes to a terminal in pieces. */
#define LINE_BYTES (64u * 1024)

void raw_show_init(struct raw_show *show, struct nt_call *call)
{
    *show = (struct raw_show){ .call = call,
                               .kept = NT_BUF(WHOLE_MAX),
                               .has_head = call->host->number(call, "include") != 0 };
}

void raw_show_done(struct raw_show *show)
{
    nt_buf_done(&show->kept);
}

/* --- bytes --------------------------------------------------------------------------------- */

static int put(const struct raw_show *show, const char *data, size_t size, struct nt_error *reterr)
{
    int sys = output_write_fd(show->call->host->descriptor(show->call, 1), data, size);
    return sys ? nt_fail_sys(reterr, sys, "cannot write the answer") : 0;
}

/* To a terminal: what is no text becomes visible. */
static int put_safe(const struct raw_show *show, const char *data, size_t size,
                    struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf piece = NT_BUF(WHOLE_MAX + 1);
    nt_auto(nt_buf_done) struct nt_buf safe = NT_BUF(8 * (size_t)WHOLE_MAX);
    for (size_t i = 0; i < size; i++) /* a NUL would end the text */
        nt_buf_add_char(&piece, data[i] ? data[i] : '\x7f');
    nt_buf_add_printable(&safe, nt_buf_text(&piece), true);
    if (!nt_buf_ok(&piece) || !nt_buf_ok(&safe))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return put(show, nt_buf_text(&safe), safe.size, reterr);
}

static bool is_terminal(const struct raw_show *show)
{
    return show->call->flags & NT_CALL_STDOUT_TTY;
}

static int put_head(struct raw_show *show, const struct nt_response *head, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(128 * 1024);
    struct api *api = call_api(show->call, reterr);
    const char *name, *value;
    if (show->has_shown_head || !show->has_head)
        return 0;
    show->has_shown_head = true;
    nt_buf_addf(&text, "HTTP/1.1 %u\n", head->status);
    for (uint32_t i = 0; api && api_header_at(api, head, i, &name, &value); i++)
        nt_buf_addf(&text, "%s: %s\n", name, value);
    nt_buf_add_char(&text, '\n');
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "the head of the answer is too long");
    return is_terminal(show) ? put_safe(show, nt_buf_text(&text), text.size, reterr)
                             : put(show, nt_buf_text(&text), text.size, reterr);
}

/* Whole lines only: a character or an escape may be cut between two pieces. */
static int put_lines(struct raw_show *show, struct nt_error *reterr)
{
    const char *end = show->kept.size ? memrchr(show->kept.data, '\n', show->kept.size) : NULL;
    size_t size = end ? (size_t)(end - show->kept.data) + 1 : 0;
    if (show->kept.size - size > LINE_BYTES)
        size = show->kept.size;
    if (size == 0)
        return 0;
    if (put_safe(show, show->kept.data, size, reterr) < 0)
        return -1;
    nt_buf_drop(&show->kept, size);
    return 0;
}

int raw_show_bytes(struct raw_show *show, const struct nt_response *head, struct nt_bytes bytes,
                   struct nt_error *reterr)
{
    bool is_json = show->call->flags & NT_CALL_JSON;
    if (!is_json && put_head(show, head, reterr) < 0)
        return -1;
    if (!is_json && !is_terminal(show))
        return put(show, bytes.data, bytes.size, reterr);
    nt_buf_add_bytes(&show->kept, bytes.data, bytes.size);
    if (!nt_buf_ok(&show->kept)) {
        nt_fail(reterr, NT_E_LIMIT, "the answer is longer than %u bytes", WHOLE_MAX);
        return nt_hint(reterr, "without --json it is written as it comes");
    }
    return is_json ? 0 : put_lines(show, reterr);
}

/* --- one object ---------------------------------------------------------------------------- */

static json_t *headers_of(struct raw_show *show, const struct nt_response *head)
{
    struct nt_error unused = NT_ERROR_INIT;
    struct api *api = call_api(show->call, &unused);
    json_t *object = json_object();
    const char *name, *value;
    for (uint32_t i = 0; api && api_header_at(api, head, i, &name, &value); i++) {
        nt_auto(nt_buf_done) struct nt_buf key = NT_BUF(64 * 1024), both = NT_BUF(128 * 1024);
        for (const char *at = name; *at; at++)
            nt_buf_add_char(&key, *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at);
        /* Several of one name are one list (RFC 9110 section 5.3). */
        const char *before = nt_json_text(object, nt_buf_text(&key));
        nt_buf_addf(&both, "%s%s%s", before ? before : "", before ? ", " : "", value);
        json_object_set_new(object, nt_buf_text(&key), cell_of_text(nt_buf_text(&both)));
    }
    return object;
}

static bool is_json_type(const char *type)
{
    size_t size = strcspn(type ? type : "", "; ");
    return size >= 4 && strncasecmp(type + size - 4, "json", 4) == 0
           && (size == 4 || type[size - 5] == '/' || type[size - 5] == '+');
}

/* The body as a JSON value; text where it is not JSON. NULL: neither. */
static json_t *body_of(const struct nt_buf *kept, const char *type)
{
    if (kept->size == 0)
        return json_null();
    json_t *body =
        is_json_type(type) ? json_loadb(kept->data, kept->size, JSON_DECODE_ANY, NULL) : NULL;
    return body ? body : json_stringn(kept->data, kept->size);
}

static int emit(struct raw_show *show, const struct nt_response *head, struct nt_error *reterr)
{
    const char *type = show->call->host->header(show->call, head, "Content-Type");
    json_t *body = body_of(&show->kept, type);
    if (!body) {
        nt_fail(reterr, NT_E_RESPONSE, "the answer is neither JSON nor text");
        reterr->request_sent = 1;
        reterr->status = (uint16_t)head->status;
        return nt_hint(reterr, "without --json its bytes are written as they come");
    }
    nt_auto_json json_t *object = json_pack(
        "{s:i, s:o*, s:o, s:o*, s:o}", "status", (int)head->status, "request_id",
        *head->request_id ? cell_of_text(head->request_id) : NULL, "content_type",
        type ? cell_of_text(type) : json_null(), "headers", headers_of(show, head), "body", body);
    nt_autofree char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return show->call->host->emit_json(show->call, (struct nt_bytes){ text, strlen(text) }, reterr);
}

int raw_show_end(struct raw_show *show, const struct nt_response *head, struct nt_error *reterr)
{
    if (show->call->flags & NT_CALL_JSON)
        return emit(show, head, reterr);
    if (put_head(show, head, reterr) < 0)
        return -1;
    return show->kept.size ? put_safe(show, show->kept.data, show->kept.size, reterr) : 0;
}
