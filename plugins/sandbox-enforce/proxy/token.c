/* SPDX-License-Identifier: Apache-2.0 */
/* token.c - finds the session's token in the headers of the program, and compares it without
 * telling by its time how much of it was right. */
#include <nettle/base64.h>
#include <nettle/memops.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"

enum { TOKEN = PROXY_TOKEN_SIZE - 1, BASIC_MAX = 8 * 1024 };

bool token_is(const struct proxy *proxy, const char *value, size_t size)
{
    return size == TOKEN && memeql_sec(value, proxy->token, TOKEN);
}

/* What stands behind the scheme; NULL: another scheme. */
static const char *behind(const char *value, const char *scheme)
{
    size_t size = strlen(scheme);
    if (strncasecmp(value, scheme, size) != 0 || value[size] != ' ')
        return NULL;
    value += size;
    return value + strspn(value, " ");
}

/* The decoded text of "Basic …". */
static bool decode_basic(const char *value, struct nt_buf *ret)
{
    const char *text = behind(value, "Basic");
    size_t size = text ? strlen(text) : 0;
    if (size == 0 || size > BASIC_MAX)
        return false;
    char *room = nt_buf_room(ret, BASE64_DECODE_LENGTH(size));
    struct base64_decode_ctx base64;
    size_t count = 0;
    base64_decode_init(&base64);
    if (!room || !base64_decode_update(&base64, &count, (uint8_t *)room, size, text)
        || !base64_decode_final(&base64))
        return false;
    nt_buf_added(ret, count);
    return true;
}

bool token_in_authorization(const struct proxy *proxy, const char *value)
{
    if (!value)
        return false;
    const char *bearer = behind(value, "Bearer");
    if (bearer)
        return token_is(proxy, bearer, strlen(bearer));
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(BASIC_MAX);
    if (!decode_basic(value, &text))
        return false;
    const char *colon = memchr(nt_buf_text(&text), ':', text.size);
    if (!colon)
        return false;
    colon++;
    return token_is(proxy, colon, text.size - (size_t)(colon - text.data));
}

bool token_in_header(const struct proxy *proxy, const char *value, const char *format)
{
    size_t size = value ? strlen(value) : 0;
    const char *hole = format ? strstr(format, "{}") : NULL;
    if (size < TOKEN)
        return false;
    const char *space = strchr(value, ' ');
    const char *word = space ? space + 1 : value;
    if (token_is(proxy, word, strlen(word)))
        return true;
    if (!hole)
        return false;
    size_t before = (size_t)(hole - format), after = strlen(hole + 2);
    return size == before + TOKEN + after && strncmp(value, format, before) == 0
           && strcmp(value + before + TOKEN, hole + 2) == 0
           && token_is(proxy, value + before, TOKEN);
}

bool token_basic_user(const char *value, struct nt_buf *ret)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(BASIC_MAX);
    if (!value || !decode_basic(value, &text))
        return false;
    const char *colon = memchr(nt_buf_text(&text), ':', text.size);
    nt_buf_add_bytes(ret, nt_buf_text(&text), colon ? (size_t)(colon - text.data) : text.size);
    return true;
}

void token_add_basic(struct nt_buf *b, const char *text, size_t size)
{
    nt_buf_add(b, "Basic ");
    char *room = nt_buf_room(b, BASE64_ENCODE_RAW_LENGTH(size));
    if (!room)
        return;
    base64_encode_raw(room, size, (const uint8_t *)text);
    nt_buf_added(b, BASE64_ENCODE_RAW_LENGTH(size));
}
