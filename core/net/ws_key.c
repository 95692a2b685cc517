/* SPDX-License-Identifier: Apache-2.0 */
/* ws_key.c - the keys of the WebSocket handshake (RFC 6455 section 4.2.2). */
#include <string.h>
#include <sys/random.h>

#include "core/net/digest.h"
#include "core/net/ws_parse.h"

static const char handshake_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool ws_key_accept(const char *key, char ret[32])
{
    uint8_t digest[20];
    return digest_sha1(key, handshake_guid, digest) && digest_base64(digest, sizeof(digest), ret);
}

bool ws_key_new(char ret[32])
{
    uint8_t nonce[16];
    return getrandom(nonce, sizeof(nonce), 0) == (ssize_t)sizeof(nonce)
           && digest_base64(nonce, sizeof(nonce), ret);
}

bool ws_key_is_valid(const char *key)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(key) == 24 && strspn(key, base64) == 22 && strcmp(key + 22, "==") == 0;
}
