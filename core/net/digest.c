/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - SHA-1, SHA-256 and base64, for the WebSocket handshake and for a login by way of a
 * browser (RFC 7636 section 4.2). By nettle, which costs a tenth of libcrypto; it is opened when it
 * is needed, as a command that talks to the server of this machine needs none of it. */
#include "core/net/digest.h"

#include <dlfcn.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <string.h>

#include "core/net/net.h"
#include "sdk/symbol.h"

static struct {
    pthread_once_t once;
    bool ok;
    __typeof__(&base64_encode_raw) encode;
    __typeof__(&sha1_init) begin1;
    __typeof__(&sha1_update) add1;
    __typeof__(&sha1_digest) end1;
    __typeof__(&sha256_init) begin256;
    __typeof__(&sha256_update) add256;
    __typeof__(&sha256_digest) end256;
} lib = { .once = PTHREAD_ONCE_INIT };

static void open_library(void)
{
    void *h = dlopen("libnettle.so.8", RTLD_LAZY | RTLD_LOCAL);
    lib.ok = h && nt_symbol(h, "nettle_base64_encode_raw", &lib.encode)
             && nt_symbol(h, "nettle_sha1_init", &lib.begin1)
             && nt_symbol(h, "nettle_sha1_update", &lib.add1)
             && nt_symbol(h, "nettle_sha1_digest", &lib.end1)
             && nt_symbol(h, "nettle_sha256_init", &lib.begin256)
             && nt_symbol(h, "nettle_sha256_update", &lib.add256)
             && nt_symbol(h, "nettle_sha256_digest", &lib.end256);
}

static bool is_open(void)
{
    return pthread_once(&lib.once, open_library) == 0 && lib.ok;
}

bool digest_sha1(const char *first, const char *second, uint8_t ret[20])
{
    struct sha1_ctx context;
    if (!is_open())
        return false;
    lib.begin1(&context);
    lib.add1(&context, strlen(first), (const uint8_t *)first);
    lib.add1(&context, strlen(second), (const uint8_t *)second);
    lib.end1(&context, SHA1_DIGEST_SIZE, ret);
    return true;
}

bool digest_base64(const uint8_t *data, size_t size, char *ret)
{
    if (!is_open())
        return false;
    lib.encode(ret, size, data);
    ret[BASE64_ENCODE_RAW_LENGTH(size)] = '\0';
    return true;
}

bool net_base64url(const uint8_t data[32], size_t size, char ret[44])
{
    char text[BASE64_ENCODE_RAW_LENGTH(32) + 1];
    size = size < 32 ? size : 32;
    if (!digest_base64(data, size, text))
        return false;
    size_t length = strcspn(text, "=");
    for (size_t i = 0; i < length; i++)
        ret[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    ret[length] = '\0';
    return true;
}

bool net_sha256_base64url(const char *text, char ret[44])
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    if (!is_open())
        return false;
    lib.begin256(&context);
    lib.add256(&context, strlen(text), (const uint8_t *)text);
    lib.end256(&context, sizeof(digest), digest);
    return net_base64url(digest, sizeof(digest), ret);
}
