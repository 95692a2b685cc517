/* SPDX-License-Identifier: Apache-2.0 */
/* oauth_answer.c - reads the answer of a token endpoint (RFC 6749 section 5.1). */
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/proxy/oauth.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

enum { LIFETIME_S = 5 * 60, LIFETIME_MAX_S = 24 * 3600, MARGIN_MAX_S = 60 };

/* Seconds from now; some servers write them as a text. */
static int64_t lifetime_of(const json_t *answer)
{
    const json_t *value = json_object_get(answer, "expires_in");
    struct nt_error ignored = NT_ERROR_INIT;
    int64_t seconds = 0;
    if (!value || json_is_null(value))
        return LIFETIME_S;
    if (json_is_integer(value))
        seconds = json_integer_value(value);
    else if (json_is_real(value) && json_real_value(value) > 0)
        seconds = json_real_value(value) < LIFETIME_MAX_S ? (int64_t)json_real_value(value)
                                                          : LIFETIME_MAX_S;
    else if (!json_is_string(value)
             || nt_parse_i64(json_string_value(value), 0, LIFETIME_MAX_S, &seconds, &ignored) < 0)
        return 0;
    if (seconds < 0)
        return 0;
    return seconds < LIFETIME_MAX_S ? seconds : LIFETIME_MAX_S;
}

/* One word of a header (RFC 6750 section 2.1). */
static bool is_token(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            return false;
    return *text;
}

/* The library's copy is not left behind. */
static void wipe(const json_t *text)
{
    char *at = (char *)(uintptr_t)json_string_value(text);
    if (at)
        explicit_bzero(at, json_string_length(text));
}

static const char *take(const json_t *answer, char **ret_token)
{
    const char *token = nt_json_text(answer, "access_token");
    const json_t *type = json_object_get(answer, "token_type");
    if (!token)
        return "its answer has no access_token";
    if (!is_token(token))
        return "its access_token is not one word of a header";
    if (type && (!json_is_string(type) || strcasecmp(json_string_value(type), "Bearer") != 0))
        return "its token is not of the type Bearer";
    *ret_token = strdup(token);
    return *ret_token ? NULL : "out of memory";
}

const char *oauth_read(const char *answer, size_t size, char **ret_token, int64_t *ret_lifetime_ms)
{
    nt_auto_json json_t *object = json_loadb(answer, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object))
        return "its answer is no JSON object";
    int64_t seconds = lifetime_of(object);
    int64_t margin = (seconds + 9) / 10;
    const char *why = take(object, ret_token);
    wipe(json_object_get(object, "access_token"));
    wipe(json_object_get(object, "refresh_token"));
    *ret_lifetime_ms = (seconds - (margin < MARGIN_MAX_S ? margin : MARGIN_MAX_S)) * 1000;
    return why;
}
