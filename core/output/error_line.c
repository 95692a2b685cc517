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
                         const struct nt_error_row *row, bool color)
{
    const char *hint = error->hint[0] ? error->hint : row->help;
    nt_buf_add(b, color ? "\033[31;1mnanoterm:\033[0m " : "nanoterm: ");
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

void error_line_add_json(struct nt_buf *b, const struct nt_error *error,
                         const struct nt_error_row *row)
{
    json_t *object = json_object();
    const char *code = error->server_code[0] ? error->server_code : row->text;
    json_object_set_new(object, "level", json_string("error"));
    json_object_set_new(object, "kind", text_or_null(row->kind));
    json_object_set_new(object, "code", text_or_null(code));
    json_object_set_new(object, "message",
                        text_or_null(error->message[0] ? error->message : row->text));
    json_object_set_new(object, "retryable", json_boolean(error->retryable));
    json_object_set_new(object, "request_sent", json_boolean(error->request_sent));
    json_object_set_new(object, "attempt",
                        error->attempt ? json_integer(error->attempt) : json_null());
    json_object_set_new(object, "status",
                        error->status ? json_integer(error->status) : json_null());
    json_object_set_new(object, "upstream", text_or_null(error->upstream));
    json_object_set_new(object, "request_id", text_or_null(error->request_id));
    json_object_set_new(object, "hint", text_or_null(error->hint[0] ? error->hint : row->help));
    add_line(b, object);
}

void error_line_add_status(struct nt_buf *b, uint32_t by, uint32_t status, const char *code)
{
    static const char *const who[] = {
        [NT_BY_TOOL] = "tool", [NT_BY_RUNTIME] = "runtime", [NT_BY_PROGRAM] = "program"
    };
    json_t *object = json_object();
    json_object_set_new(object, "by", json_string(by <= NT_BY_PROGRAM ? who[by] : who[NT_BY_TOOL]));
    json_object_set_new(object, "status", json_integer(status));
    json_object_set_new(object, "code", text_or_null(code));
    add_line(b, object);
}
