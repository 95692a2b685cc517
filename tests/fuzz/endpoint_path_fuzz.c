/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint_path_fuzz.c - any text as the path of a request: what is accepted has one meaning, which
 * stays the same when the receiver reads it again, and never leaves its folder. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *target, bool is_strict)
{
    struct nt_buf plain = NT_BUF(1 << 16), wire = NT_BUF(1 << 18);
    struct nt_buf again = NT_BUF(1 << 16), same = NT_BUF(1 << 18);
    if (!endpoint_path(target, is_strict, &plain, &wire)) {
        const char *text = nt_buf_text(&plain);
        size_t end = plain.size;
        if (endpoint_path(nt_buf_text(&wire), is_strict, &again, &same) || again.size != plain.size
            || memcmp(nt_buf_text(&again), text, plain.size) != 0
            || strcmp(nt_buf_text(&same), nt_buf_text(&wire)) != 0)
            abort();
        if (strstr(text, "/../") || strstr(text, "/./")
            || (end >= 3 && strcmp(text + end - 3, "/..") == 0) || strlen(text) != plain.size)
            abort();
        if (is_strict && strstr(text, "//"))
            abort();
        if (strpbrk(nt_buf_text(&wire), "? \\\r\n#"))
            abort();
        struct policy_endpoint all = { "*", "/**" }, none = { "*", text };
        if (!endpoint_allows(&all, 1, "GET", text))
            abort();
        /* A path without stars is its own rule. */
        if (!strchr(text, '*') && !endpoint_allows(&none, 1, "GET", text))
            abort();
    }
    nt_buf_done(&plain);
    nt_buf_done(&wire);
    nt_buf_done(&again);
    nt_buf_done(&same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    check(text, true);
    check(text, false);
    /* The second half as a rule for the first: it must end. */
    char *rule = text + size / 2;
    struct policy_endpoint one = { "*", rule };
    (void)endpoint_allows(&one, 1, "GET", text);
    free(text);
    return 0;
}
