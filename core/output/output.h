/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - all that the core writes for a command: results on stdout; messages, progress, errors
 * on stderr.
 *
 * Results are rows by the columns of the command: a table or `name: value` lines for a person, JSON
 * for a program. Everything is written with write(2), so that a full disk or a closed pipe is seen
 * where it happens. */
#ifndef NT_CORE_OUTPUT_H
#define NT_CORE_OUTPUT_H

#include <stdbool.h>

#include "nanoterm/host.h"

struct json_t;
struct output;

struct output_options {
    int out_fd, err_fd;  /* 1 and 2; others in tests */
    uint32_t flags;      /* NT_CALL_*: JSON, QUIET, COLOR and the terminals */
    const char *program; /* its name for a person; NULL: nanoterm */
};

int output_new(const struct output_options *options, struct output **ret, struct nt_error *reterr);
void output_free(struct output *output);
/* The configuration is known later than the terminal: sets or clears NT_CALL_COLOR. */
void output_set_color(struct output *output, bool color);

/* Says whose columns the rows will have. `fields` is "a,b" or NULL; an unknown one is
 * NT_E_USAGE. */
int output_begin(struct output *output, const struct nt_command *command, const char *fields,
                 struct nt_error *reterr);
int output_emit(struct output *output, const struct nt_value *values, uint32_t count,
                struct nt_error *reterr);
/* The same from a value that is in memory; borrowed. */
int output_emit_value(struct output *output, struct json_t *object, struct nt_error *reterr);
/* For a command whose result is JSON whether or not --json was given. */
void output_always_json(struct output *output);
int output_emit_json(struct output *output, struct nt_bytes json, struct nt_error *reterr);
/* Writes what waits for the end (a table, an array). Call after the command succeeded only: a list
 * that broke off is not shown as if it were whole. */
int output_finish(struct output *output, struct nt_error *reterr);

/* Bytes on stdout as they are (help, the catalog). */
int output_write(struct output *output, const char *text, size_t size, struct nt_error *reterr);
/* True when the reader of stdout is gone: the tool then ends like one killed by SIGPIPE. */
bool output_is_closed(const struct output *output);
/* A line on stderr, NT_SAY_*. */
void output_message(struct output *output, uint32_t level, const char *text);
void output_progress(struct output *output, const char *label, uint64_t done, uint64_t total);
/* Takes the line of progress away; before anything else is written to a terminal. */
void output_clear_progress(struct output *output);
/* A line for NANOTERM_DEBUG=1: JSON on stderr. */
void output_debug(struct output *output, const char *event, const char *fields);

/* Writes all of it, also where the descriptor does not block. 0, or an errno value. */
int output_write_fd(int fd, const char *data, size_t size);

#endif
