/* SPDX-License-Identifier: Apache-2.0 */
/* trace_text.h - the text of one call as strace writes it: name, arguments, result. */
#ifndef NT_ENFORCE_TRACE_TEXT_H
#define NT_ENFORCE_TRACE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct trace_text {
    const char *at;
    size_t size;
};

#define TRACE_ARGS_MAX 8u

struct trace_call {
    struct trace_text name;
    struct trace_text args[TRACE_ARGS_MAX]; /* more are left out */
    size_t count;
    long result;             /* -1 with error */
    struct trace_text error; /* "ENOENT"; empty: none */
    struct trace_text path;  /* of a descriptor that was returned: between < and > */
};

/* NAME(ARG, ARG) = RESULT<PATH> ERRNO (text). false: it is something else. */
bool trace_parse(const char *line, size_t size, struct trace_call *ret);

bool trace_is(struct trace_text t, const char *word);
/* true when WORD stands in a list of flags: "O_RDONLY|O_CLOEXEC". */
bool trace_has_flag(struct trace_text t, const char *word);
/* The part between OPEN and the next CLOSE ("htons(" and ")"); empty: not there. */
struct trace_text trace_between(struct trace_text t, const char *open, const char *close);
/* The bytes of "\x2f\x61": of all between the first two quotes, or (no quotes) of the whole. False:
 * not such a text, cut by strace ("..."), or too long. *ret_size counts bytes; a NUL follows. */
bool trace_bytes(struct trace_text t, char *ret, size_t max, size_t *ret_size);

#endif
