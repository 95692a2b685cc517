/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - checks one word against the type, the choices and the bounds of its row. */
#include "value.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = choices; at && *at;) {
        size_t size = strcspn(at, "|");
        if (size == length && memcmp(at, text, length) == 0)
            return true;
        at += size;
        at += *at == '|';
    }
    return false;
}

static int check_choice(const char *choices, const char *text, struct nt_error *reterr)
{
    if (is_choice(choices, text))
        return 0;
    nt_auto(nt_buf_done) struct nt_buf known = NT_BUF(256);
    for (const char *at = choices; at && *at; at++) {
        if (*at == '|')
            nt_buf_add(&known, ", ");
        else
            nt_buf_add_char(&known, *at);
    }
    return nt_fail(reterr, NT_E_USAGE, "'%s' is not one of: %s", text, nt_buf_text(&known));
}

/* A slash, a dot or an escape in an id would change the path of a request. */
static int check_id(const char *text, struct nt_error *reterr)
{
    size_t length = strlen(text);
    bool ok =
        length > 0 && length <= VALUE_ID_MAX && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
    for (size_t i = 0; ok && i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        ok = c > 0x20 && c != 0x7f && !strchr("/\\?#%", c);
    }
    if (!ok)
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not an id or a name", text);
    return 0;
}

static int check_json(const char *text, struct nt_error *reterr)
{
    json_error_t at;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
    if (!value)
        return nt_fail(reterr, NT_E_USAGE, "not JSON at character %d: %s", at.position, at.text);
    json_decref(value);
    return 0;
}

int value_check(const struct value_rule *rule, const char *text, int64_t *ret_number,
                struct nt_error *reterr)
{
    bool bounded = rule->min != rule->max;
    int64_t min = bounded ? rule->min : INT64_MIN;
    int64_t max = bounded ? rule->max : INT64_MAX;
    int64_t least = min < 0 ? 0 : min; /* durations and sizes have no sign */
    uint64_t size;
    *ret_number = 0;
    switch (rule->type) {
    case NT_INT:
        return nt_parse_i64(text, min, max, ret_number, reterr);
    case NT_DURATION_MS:
        return nt_parse_duration_ms(text, least, max, ret_number, reterr);
    case NT_SIZE_BYTES:
        if (nt_parse_size(text, (uint64_t)least, (uint64_t)max, &size, reterr) < 0)
            return -1;
        *ret_number = (int64_t)size;
        return 0;
    case NT_CHOICE:
        return check_choice(rule->choices, text, reterr);
    case NT_ID:
        return check_id(text, reterr);
    case NT_PATH:
        return *text ? 0 : nt_fail(reterr, NT_E_USAGE, "an empty path");
    case NT_JSON:
        return check_json(text, reterr);
    default:
        return 0;
    }
}

const char *value_type_word(uint32_t type)
{
    switch (type) {
    case NT_FLAG:
        return "flag";
    case NT_INT:
        return "number";
    case NT_DURATION_MS:
        return "time";
    case NT_SIZE_BYTES:
        return "size";
    case NT_CHOICE:
        return "choice";
    case NT_ID:
        return "id";
    case NT_PATH:
        return "path";
    case NT_JSON:
        return "json";
    default:
        return "text";
    }
}
