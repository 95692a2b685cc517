/* SPDX-License-Identifier: Apache-2.0 */
/* ws_key.c - the keys of the WebSocket handshake (RFC 6455 section 4.2.2); the only file that knows libcrypto. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "core/net/ws_parse.h"

static const char handshake_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool ws_key_accept(const char *key, char ret[32])
{
    char text[128];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    int n = snprintf(text, sizeof(text), "%s%s", key, handshake_guid);
    if (n < 0 || (size_t)n >= sizeof(text) || !EVP_Digest(text, (size_t)n, digest, &size, EVP_sha1(), NULL))
        return false;
    return EVP_EncodeBlock((unsigned char *)ret, digest, (int)size) > 0;
}

bool ws_key_new(char ret[32])
{
    uint8_t nonce[16];
    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        return false;
    return EVP_EncodeBlock((unsigned char *)ret, nonce, sizeof(nonce)) > 0;
}

bool ws_key_is_valid(const char *key)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(key) == 24 && strspn(key, base64) == 22 && strcmp(key + 22, "==") == 0;
}
