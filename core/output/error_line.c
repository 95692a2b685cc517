/* SPDX-License-Identifier: Apache-2.0 */
/* error_line.c - an error as it is told. */
#include "error_line.h"

#include <jansson.h>

#include "core/output/cell.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

struct nt_error_row error_line_row(uint32_t code, const struct nt_error_row *plugin)
{
    if (plugin)
        return *plugin;
    const struct nt_error_info *info = nt_error_row_of(code);
    if (!info)
        info = nt_error_row_of(NT_E_INTERNAL);
    return (struct nt_error_row){ .text = info->text,
                                  .kind = info->kind,
                                  .number = code,
                                  .exit_status = info->exit_status,
                                  .retry = info->retry };
}

void error_line_add_text(struct nt_buf *b, const struct nt_error *error,
                         const struct nt_error_row *row, const char *program, bool color)
{
    const char *hint = error->hint[0] ? error->hint : row->help;
    nt_buf_addf(b, color ? "\033[31;1m%s:\033[0m " : "%s: ", program);
    nt_buf_add_printable(b, error->message[0] ? error->message : row->text, false);
    nt_buf_add_char(b, '\n');
    if (hint && *hint) {
        nt_buf_add(b, "hint: ");
        nt_buf_add_printable(b, hint, false);
        nt_buf_add_char(b, '\n');
    }
}

static json_t *text_or_null(const char *text)
{
    json_t *value = text && *text ? cell_of_text(text) : NULL;
    return value ? value : json_null();
}

static void add_line(struct nt_buf *b, json_t *object)
{
    nt_autofree char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    if (text) {
        nt_buf_add(b, text);
        nt_buf_add_char(b, '\n');
    }
}

static const struct error_line_member members[] = {
    { "level", "string", "Always error", false },
    { "kind", "string", "What failed: usage, api, auth, quota, network, timeout, ...", true },
    { "code", "string", "Stable code; the server's own where it has a finer one", true },
    { "message", "string", "What failed and why, one line", true },
    { "retryable", "boolean", "The same request may succeed later", false },
    { "request_sent", "boolean", "The server may have seen it; false only when that is proven not",
      false },
    { "attempt", "integer", "Which attempt failed; null: no request was made", true },
    { "status", "integer", "HTTP status; null: no answer came", true },
    { "upstream", "string", "What the network said", true },
    { "request_id", "string", "The server's name for the request", true },
    { "hint", "string", "The next step", true },
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

bool error_line_member(uint32_t index, struct error_line_member *ret)
{
    if (index >= MEMBERS)
        return false;
    *ret = members[index];
    return true;
}

void error_line_add_json(struct nt_buf *b, const struct nt_error *error,
                         const struct nt_error_row *row)
{
    const char *code = error->server_code[0] ? error->server_code : row->text;
    /* In the order of the members. */
    json_t *const values[] = {
        json_string("error"),
        text_or_null(row->kind),
        text_or_null(code),
        text_or_null(error->message[0] ? error->message : row->text),
        json_boolean(error->retryable),
        json_boolean(error->request_sent),
        error->attempt ? json_integer(error->attempt) : json_null(),
        error->status ? json_integer(error->status) : json_null(),
        text_or_null(error->upstream),
        text_or_null(error->request_id),
        text_or_null(error->hint[0] ? error->hint : row->help),
    };
    _Static_assert(sizeof(values) / sizeof(values[0]) == MEMBERS, "a value for each member");
    json_t *object = json_object();
    for (size_t i = 0; i < MEMBERS; i++)
        json_object_set_new(object, members[i].name, values[i]);
    add_line(b, object);
}

/* In the order of the bits NT_LIMIT_*. */
static json_t *limits_json(uint32_t limits)
{
    static const char *const names[] = { "memory", "pids", "disk" };
    json_t *hit = json_array();
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (limits & (1u << i))
            json_array_append_new(hit, json_string(names[i]));
    return hit;
}

void error_line_add_status(struct nt_buf *b, uint32_t by, uint32_t status, const char *code,
                           uint32_t limits)
{
    static const char *const who[] = {
        [NT_BY_TOOL] = "tool", [NT_BY_RUNTIME] = "runtime", [NT_BY_PROGRAM] = "program"
    };
    json_t *object = json_object();
    json_object_set_new(object, "by", json_string(by <= NT_BY_PROGRAM ? who[by] : who[NT_BY_TOOL]));
    json_object_set_new(object, "status", json_integer(status));
    json_object_set_new(object, "code", text_or_null(code));
    json_object_set_new(object, "limits_hit", limits_json(limits));
    add_line(b, object);
}
