/* SPDX-License-Identifier: Apache-2.0 */
/* http_head_fuzz.c - any bytes as requests: whole and in pieces they must mean the same, and never
 * break the parser. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was understood, as a number. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t piece)
{
    struct net_limits limits = { .head_bytes = 4096, .header_count = 20 };
    struct http_parse *p = http_parse_new(false, &limits);
    uint64_t seen = 14695981039346656037u;
    size_t begin = 0, end = 0;
    if (!p)
        abort();
    while (end < size) {
        end = size - end < piece ? size : end + piece;
        for (;;) {
            struct http_step s;
            http_parse_step(p, data + begin, end - begin, piece, &s);
            if (s.used > end - begin)
                abort();
            begin += s.used;
            if (s.event == GOT_NOTHING)
                break;
            if (s.event == GOT_BAD) {
                http_parse_free(p);
                return seen * 3 + 1; /* the status may depend on what was seen first */
            }
            if (s.event == GOT_HEAD) {
                struct net_header h;
                for (uint32_t i = 0; http_parse_header_at(p, i, &h); i++)
                    seen = seen * 1099511628211u + strlen(h.name) * 7 + strlen(h.value);
                if (strpbrk(http_parse_target(p), " \r\n") || http_parse_length(p) < -1)
                    abort();
            }
            if (s.event == GOT_BODY) {
                if (s.body.size == 0 || s.body.size > piece)
                    abort();
                for (size_t i = 0; i < s.body.size; i++)
                    seen = (seen ^ ((const uint8_t *)s.body.data)[i]) * 1099511628211u;
            }
            if (s.event == GOT_END)
                http_parse_reset(p, false);
        }
    }
    http_parse_free(p);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole = read_all(data, size, size ? size : 1);
    if (whole != read_all(data, size, 1) || whole != read_all(data, size, 7))
        abort();
    return 0;
}
