/* SPDX-License-Identifier: Apache-2.0 */
/* oauth_answer_fuzz.c - any bytes as the answer of a token endpoint: a token that is accepted is
 * one word of a header, for a bounded time. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/oauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *token = NULL;
    int64_t lifetime_ms = -1;
    const char *why = oauth_read((const char *)data, size, &token, &lifetime_ms);
    if (!why == !token)
        abort();
    if (token && (!*token || lifetime_ms < 0 || lifetime_ms > 24 * 3600 * 1000))
        abort();
    for (const char *c = token; c && *c; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            abort();
    free(token);
    return 0;
}
