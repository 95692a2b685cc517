/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - results on stdout, messages on stderr. */
#include "output.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/output/cell.h"
#include "core/output/columns.h"
#include "core/output/progress.h"
#include "core/output/table.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"

/* What may wait for the end of a list. */
#define PENDING_MAX (256u * 1024 * 1024)

struct output {
    struct output_options options;
    const struct nt_command *command;
    struct columns columns;
    struct table table;    /* people: LIST and STREAM */
    struct nt_buf pending; /* JSON: the array so far */
    struct progress progress;
    uint64_t rows;
    int64_t start_ms;
    bool is_closed;
    bool is_json; /* the result, whatever the flags say */
};

int output_new(const struct output_options *options, struct output **ret, struct nt_error *reterr)
{
    struct output *output = calloc(1, sizeof(*output));
    if (!output)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    output->options = *options;
    output->pending = (struct nt_buf)NT_BUF(PENDING_MAX);
    output->start_ms = nt_now_ms();
    *ret = output;
    return 0;
}

void output_free(struct output *output)
{
    if (!output)
        return;
    output_clear_progress(output);
    table_done(&output->table);
    nt_buf_done(&output->pending);
    free(output);
}

void output_set_color(struct output *output, bool color)
{
    output->options.flags = (output->options.flags & ~NT_CALL_COLOR) | (color ? NT_CALL_COLOR : 0);
}

/* --- writing ------------------------------------------------------------------------------- */

int output_write_fd(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t wrote = write(fd, data, size);
        if (wrote >= 0) {
            data += wrote;
            size -= (size_t)wrote;
        } else if (errno == EAGAIN) {
            /* Someone who shares the terminal has made it non-blocking. */
            struct pollfd wait = { .fd = fd, .events = POLLOUT };
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int output_write(struct output *output, const char *text, size_t size, struct nt_error *reterr)
{
    output_clear_progress(output);
    int sys = output_write_fd(output->options.out_fd, text, size);
    if (sys == 0)
        return 0;
    output->is_closed = output->is_closed || sys == EPIPE;
    return nt_fail_sys(reterr, sys, "cannot write the result");
}

static int write_buf(struct output *output, struct nt_buf *b, struct nt_error *reterr)
{
    if (!nt_buf_ok(b))
        return nt_fail(reterr, NT_E_LIMIT, "the result is too long");
    int status = b->size ? output_write(output, b->data, b->size, reterr) : 0;
    nt_buf_reset(b);
    return status;
}

bool output_is_closed(const struct output *output)
{
    return output->is_closed;
}

static bool has(const struct output *output, uint32_t flag)
{
    return output->options.flags & flag;
}

/* --- rows ---------------------------------------------------------------------------------- */

int output_begin(struct output *output, const struct nt_command *command, const char *fields,
                 struct nt_error *reterr)
{
    if (columns_pick(command, fields, has(output, NT_CALL_JSON), &output->columns, reterr) < 0)
        return -1;
    output->command = command;
    if (!table_init(&output->table, output->columns.count))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return 0;
}

void output_always_json(struct output *output)
{
    output->is_json = true;
}

static bool wants_json(const struct output *output)
{
    return output->is_json || has(output, NT_CALL_JSON);
}

static bool is_table(const struct output *output)
{
    return !wants_json(output) && output->command->result != NT_RESULT_ONE;
}

static void add_heading(struct output *output)
{
    for (uint32_t i = 0; i < output->columns.count; i++) {
        nt_auto(nt_buf_done) struct nt_buf title = NT_BUF(256);
        columns_add_title(output->columns.shown[i].row, true, &title);
        table_add(&output->table, i, nt_buf_text(&title));
    }
}

static int flush_table(struct output *output, bool has_heading, struct nt_error *reterr)
{
    if (!table_ok(&output->table))
        return nt_fail(reterr, NT_E_LIMIT, "the result is too long");
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(2 * (size_t)TABLE_BYTES_MAX);
    table_render(&output->table, has_heading && has(output, NT_CALL_COLOR) ? 1 : 0, &text);
    return write_buf(output, &text, reterr);
}

static int show_row(struct output *output, json_t *const *cells, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(PENDING_MAX);
    if (is_table(output) && output->rows == 0)
        add_heading(output);
    for (uint32_t i = 0; i < output->columns.count; i++) {
        const struct nt_column *row = output->columns.shown[i].row;
        if (is_table(output)) {
            nt_buf_reset(&text);
            cell_add_text(&text, cells[i], row->type);
            table_add(&output->table, i, nt_buf_text(&text));
            if (!nt_buf_ok(&text))
                return nt_fail(reterr, NT_E_LIMIT, "the result is too long");
        } else {
            columns_add_title(row, false, &text);
            nt_buf_add(&text, ": ");
            cell_add_text(&text, cells[i], row->type);
            nt_buf_add_char(&text, '\n');
        }
    }
    if (!is_table(output))
        return write_buf(output, &text, reterr);
    return output->command->result == NT_RESULT_STREAM
               ? flush_table(output, output->rows == 0, reterr)
               : 0;
}

static int put_json(const char *data, size_t size, void *buffer)
{
    nt_buf_add_bytes(buffer, data, size);
    return nt_buf_ok(buffer) ? 0 : -1;
}

static int json_row(struct output *output, json_t *const *cells, struct nt_error *reterr)
{
    json_t *row = json_object();
    bool ok = row != NULL;
    for (uint32_t i = 0; ok && i < output->columns.count; i++)
        ok = json_object_set_new(row, output->columns.shown[i].row->name,
                                 cells[i] ? json_incref(cells[i]) : json_null())
             == 0;
    bool is_list = output->command->result == NT_RESULT_LIST;
    if (is_list)
        nt_buf_add_char(&output->pending, output->rows ? ',' : '[');
    /* On a terminal no byte of a foreign text may be a control character of ISO 6429 (C1). */
    size_t flags = JSON_COMPACT | (has(output, NT_CALL_STDOUT_TTY) ? JSON_ENSURE_ASCII : 0);
    ok = ok && json_dump_callback(row, put_json, &output->pending, flags) == 0;
    json_decref(row);
    if (!ok)
        return nt_fail(reterr, nt_buf_ok(&output->pending) ? NT_E_MEMORY : NT_E_LIMIT,
                       "the result is too long");
    if (is_list)
        return 0;
    nt_buf_add_char(&output->pending, '\n');
    return write_buf(output, &output->pending, reterr);
}

static int check_row(const struct output *output, struct nt_error *reterr)
{
    const char *path = output->command ? output->command->path : "";
    if (!output->command || output->command->result == NT_RESULT_NONE)
        return nt_fail(reterr, NT_E_INTERNAL, "'%s' has no result by its table", path);
    if (output->command->result == NT_RESULT_ONE && output->rows)
        return nt_fail(reterr, NT_E_INTERNAL, "'%s' has one result by its table, and gave two",
                       path);
    return 0;
}

static int add_row(struct output *output, json_t *const *cells, struct nt_error *reterr)
{
    int status =
        wants_json(output) ? json_row(output, cells, reterr) : show_row(output, cells, reterr);
    output->rows++;
    return status;
}

int output_emit(struct output *output, const struct nt_value *values, uint32_t count,
                struct nt_error *reterr)
{
    if (check_row(output, reterr) < 0)
        return -1;
    if (count > output->command->columns.count)
        return nt_fail(reterr, NT_E_INTERNAL, "'%s' gave more values than it has columns",
                       output->command->path);
    json_t *cells[COLUMNS_MAX] = { NULL };
    for (uint32_t i = 0; i < output->columns.count; i++) {
        uint32_t index = output->columns.shown[i].index;
        cells[i] = index < count ? cell_of_value(&values[index]) : NULL;
    }
    int status = add_row(output, cells, reterr);
    for (uint32_t i = 0; i < output->columns.count; i++)
        json_decref(cells[i]);
    return status;
}

int output_emit_value(struct output *output, json_t *object, struct nt_error *reterr)
{
    if (check_row(output, reterr) < 0)
        return -1;
    if (!json_is_object(object))
        return nt_fail(reterr, NT_E_RESPONSE, "the answer is not a JSON object");
    json_t *cells[COLUMNS_MAX] = { NULL };
    for (uint32_t i = 0; i < output->columns.count; i++) {
        const struct nt_column *row = output->columns.shown[i].row;
        cells[i] = cell_at(object, row->path ? row->path : row->name);
    }
    return add_row(output, cells, reterr);
}

int output_emit_json(struct output *output, struct nt_bytes json, struct nt_error *reterr)
{
    json_error_t at;
    json_t *root = json_loadb(json.data ? json.data : "", json.size, JSON_DECODE_ANY, &at);
    if (!root)
        return nt_fail(reterr, NT_E_RESPONSE, "the answer is not JSON (byte %d: %s)", at.position,
                       at.text);
    int status = 0;
    if (json_is_array(root))
        for (size_t i = 0; status == 0 && i < json_array_size(root); i++)
            status = output_emit_value(output, json_array_get(root, i), reterr);
    else
        status = output_emit_value(output, root, reterr);
    json_decref(root);
    return status;
}

int output_finish(struct output *output, struct nt_error *reterr)
{
    output_clear_progress(output);
    if (!output->command || output->command->result != NT_RESULT_LIST)
        return 0;
    if (wants_json(output)) {
        nt_buf_add(&output->pending, output->rows ? "]\n" : "[]\n");
        return write_buf(output, &output->pending, reterr);
    }
    if (output->rows == 0)
        add_heading(output);
    return flush_table(output, true, reterr);
}

/* --- lines for the person ------------------------------------------------------------------ */

static void write_line(struct output *output, struct nt_buf *b)
{
    output_clear_progress(output);
    /* A lost stderr has nobody to be told about. */
    if (nt_buf_ok(b) && b->size)
        output_write_fd(output->options.err_fd, b->data, b->size);
}

static void write_json_line(struct output *output, json_t *object)
{
    nt_autofree char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(object);
    if (!text)
        return;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(64 * 1024);
    nt_buf_add(&line, text);
    nt_buf_add_char(&line, '\n');
    write_line(output, &line);
}

void output_message(struct output *output, uint32_t level, const char *text)
{
    if (level != NT_SAY_WARN && has(output, NT_CALL_QUIET | NT_CALL_JSON))
        return;
    if (has(output, NT_CALL_JSON)) {
        write_json_line(
            output, json_pack("{s:s, s:o*}", "level", "warning", "message", cell_of_text(text)));
        return;
    }
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(64 * 1024);
    if (level == NT_SAY_WARN)
        nt_buf_addf(
            &line, "%s: warning: ", output->options.program ? output->options.program : "nanoterm");
    else if (level == NT_SAY_DONE)
        nt_buf_add(&line, has(output, NT_CALL_COLOR) && has(output, NT_CALL_STDERR_TTY)
                              ? "\033[32m✓\033[0m "
                              : "✓ ");
    nt_buf_add_printable(&line, text, true);
    nt_buf_add_char(&line, '\n');
    write_line(output, &line);
}

void output_progress(struct output *output, const char *label, uint64_t done, uint64_t total)
{
    if (!has(output, NT_CALL_STDERR_TTY) || has(output, NT_CALL_QUIET | NT_CALL_JSON))
        return;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(1024);
    if (progress_step(&output->progress, label, done, total, nt_now_ms(), &line)
        && nt_buf_ok(&line))
        output_write_fd(output->options.err_fd, nt_buf_text(&line), line.size);
}

void output_clear_progress(struct output *output)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(64);
    if (progress_clear(&output->progress, &line))
        output_write_fd(output->options.err_fd, nt_buf_text(&line), line.size);
}

void output_debug(struct output *output, const char *event, const char *fields)
{
    write_json_line(output,
                    json_pack("{s:s, s:I, s:o*, s:o*}", "level", "debug", "ms",
                              (json_int_t)(nt_now_ms() - output->start_ms), "event",
                              cell_of_text(event), "fields", cell_of_text(fields ? fields : "")));
}
