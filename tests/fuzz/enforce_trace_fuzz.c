/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_trace_fuzz.c - any text as what strace wrote: paths that are told are absolute and
 * bounded, and nothing breaks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/explain/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(void *data, const struct trace_event *e)
{
    (void)data;
    bool is_file = e->act <= TRACE_CHANGE;
    if (is_file && (!e->path || e->path[0] != '/' || strlen(e->path) >= PATH_MAX))
        abort();
    if (e->act == TRACE_NAME && (!e->host || !e->address))
        abort();
    if (e->act == TRACE_UNSEEN && (!e->call || !e->since || !e->number))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace *t = trace_new("/base", on_event, NULL);
    if (!t)
        abort();
    for (size_t begin = 0; begin < size;) {
        const uint8_t *line = data + begin, *end = memchr(line, '\n', size - begin);
        size_t length = end ? (size_t)(end - line) : size - begin;
        trace_line(t, (const char *)line, length);
        begin += length + 1;
    }
    trace_free(t);
    return 0;
}
