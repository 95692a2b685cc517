/* SPDX-License-Identifier: Apache-2.0 */
/* ws_key.c - the keys of the WebSocket handshake (RFC 6455 section 4.2.2); by nettle, which
 * costs a tenth of libcrypto at every start of the program. */
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <string.h>
#include <sys/random.h>

#include "core/net/ws_parse.h"

static const char handshake_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static void encode(const uint8_t *data, size_t size, char ret[32])
{
    base64_encode_raw(ret, size, data);
    ret[BASE64_ENCODE_RAW_LENGTH(size)] = '\0';
}

bool ws_key_accept(const char *key, char ret[32])
{
    uint8_t digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx sha1;
    sha1_init(&sha1);
    sha1_update(&sha1, strlen(key), (const uint8_t *)key);
    sha1_update(&sha1, strlen(handshake_guid), (const uint8_t *)handshake_guid);
    sha1_digest(&sha1, sizeof(digest), digest);
    encode(digest, sizeof(digest), ret);
    return true;
}

bool ws_key_new(char ret[32])
{
    uint8_t nonce[16];
    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        return false;
    encode(nonce, sizeof(nonce), ret);
    return true;
}

bool ws_key_is_valid(const char *key)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(key) == 24 && strspn(key, base64) == 22 && strcmp(key + 22, "==") == 0;
}
