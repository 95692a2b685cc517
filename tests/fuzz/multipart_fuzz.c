/* SPDX-License-Identifier: Apache-2.0 */
/* multipart_fuzz.c - any bytes as a multipart/form-data body, in pieces of a size that the first
 * byte picks. Whatever comes, no more is used than was given, names are texts, and it comes to an
 * end; the same bytes are also tried as a Content-Type. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/multipart.h"

static void try_type(const uint8_t *data, size_t size)
{
    struct multipart m;
    char *text = malloc(size + 1);
    if (!text)
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    if (multipart_init(&m, text) == 0
        && (m.delimiter_size < 5 || m.delimiter_size != strlen(m.delimiter)))
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct multipart m;
    if (size < 1 || multipart_init(&m, "multipart/form-data; boundary=B") < 0)
        return 0;
    try_type(data, size);
    size_t piece = data[0] ? data[0] : size, at = 0, have = 0;
    data++;
    size--;
    for (size_t rounds = 0;; rounds++) {
        size_t used;
        struct nt_bytes bytes;
        /* a copy of exactly what has come: a look beyond it is seen by the sanitizer */
        char *pending = malloc(have - at + 1);
        if (!pending || rounds > 4 * size + 16)
            abort();
        memcpy(pending, data + at, have - at);
        char *exact = realloc(pending, have > at ? have - at : 1);
        enum multipart_event e = multipart_next(&m, exact, have - at, &used, &bytes);
        if (used > have - at || bytes.size > used || strlen(m.name) > MULTIPART_NAME_MAX)
            abort();
        free(exact);
        at += used;
        if (e == MULTIPART_BROKEN || e == MULTIPART_END)
            return 0;
        if (e == MULTIPART_MORE && have == size)
            return 0;
        if (e == MULTIPART_MORE)
            have = size - have < piece ? size : have + piece;
    }
}
