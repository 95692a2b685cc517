/* SPDX-License-Identifier: Apache-2.0 */
/* connect_target_fuzz.c - any text as "host:port" of a CONNECT: a host that comes out of it is one
 * name or number in one spelling, with nothing else in it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/visit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t size, bool needs_port)
{
    struct visit v, again;
    memset(&v, 0, sizeof(v));
    memset(&again, 0, sizeof(again));
    if (!visit_target(&v, text, size, needs_port))
        return;
    const char *host = v.to.host;
    if (!host[0] || v.to.port == 0 || strpbrk(host, "/@?# \r\n\t%[]\\")
        || strlen(v.authority) != size)
        abort();
    for (const char *c = host; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            abort();
    /* What goes to an upstream proxy means the same there. */
    if (!visit_target(&again, v.authority, size, needs_port) || strcmp(again.to.host, host) != 0
        || again.to.port != v.to.port)
        abort();
    (void)policy_is_metadata(host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    /* The parser of requests lets no NUL in. */
    check(text, strlen(text), true);
    check(text, strlen(text), false);
    free(text);
    return 0;
}
