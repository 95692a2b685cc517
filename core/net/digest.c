/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - SHA-256 and base64url, for a login by way of a browser (RFC 7636 section 4.2). */
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <string.h>

#include "core/net/net.h"

void net_base64url(const uint8_t data[32], size_t size, char ret[44])
{
    char text[BASE64_ENCODE_RAW_LENGTH(32) + 1];
    size = size < 32 ? size : 32;
    base64_encode_raw(text, size, data);
    size_t length = BASE64_ENCODE_RAW_LENGTH(size);
    while (length > 0 && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++)
        ret[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    ret[length] = '\0';
}

void net_sha256_base64url(const char *text, char ret[44])
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    sha256_update(&context, strlen(text), (const uint8_t *)text);
    sha256_digest(&context, sizeof(digest), digest);
    net_base64url(digest, sizeof(digest), ret);
}
