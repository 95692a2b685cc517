/* SPDX-License-Identifier: Apache-2.0 */
/* cell.c - one value of a result: from a plugin, as JSON, as text for a person. */
#include "cell.h"

#include <inttypes.h>
#include <string.h>

#include "sdk/cleanup.h"

#define KEY_MAX 128

json_t *cell_of_text(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    nt_auto(nt_buf_done) struct nt_buf safe = NT_BUF(64u * 1024 * 1024);
    nt_buf_add_printable(&safe, text, true);
    return nt_buf_ok(&safe) ? json_string(nt_buf_text(&safe)) : NULL;
}

json_t *cell_of_value(const struct nt_value *value)
{
    json_t *json = NULL;
    if (value->is_null)
        return json_null();
    switch (value->type) {
    case NT_INT:
    case NT_DURATION_MS:
    case NT_SIZE_BYTES:
        return json_integer(value->number);
    case NT_BOOL:
    case NT_FLAG:
        return json_boolean(value->number != 0);
    case NT_REAL:
        json = json_real(value->real);
        return json ? json : json_null(); /* not a number, infinite */
    case NT_JSON:
        if (!value->text)
            return json_null();
        json = json_loads(value->text, JSON_DECODE_ANY, NULL);
        return json ? json : cell_of_text(value->text);
    default:
        return value->text ? cell_of_text(value->text) : json_null();
    }
}

json_t *cell_at(json_t *object, const char *path)
{
    while (object && *path) {
        char key[KEY_MAX];
        size_t length = strcspn(path, ".");
        if (length >= sizeof(key))
            return NULL;
        memcpy(key, path, length);
        key[length] = '\0';
        object = json_object_get(object, key);
        path += length;
        path += *path == '.';
    }
    return object;
}

static void add_size(struct nt_buf *b, json_int_t bytes)
{
    static const char units[] = "KMGTPE";
    uint64_t left = bytes < 0 ? (uint64_t)0 - (uint64_t)bytes : (uint64_t)bytes;
    const char *sign = bytes < 0 ? "-" : "";
    unsigned unit = 0;
    uint64_t scale = 1;
    while (unit < sizeof(units) - 1 && left / scale >= 1024) {
        scale *= 1024;
        unit++;
    }
    if (unit == 0)
        nt_buf_addf(b, "%s%" PRIu64, sign, left);
    else if (left % scale == 0 || left / scale >= 100)
        nt_buf_addf(b, "%s%" PRIu64 "%c", sign, left / scale, units[unit - 1]);
    else
        nt_buf_addf(b, "%s%" PRIu64 ".%u%c", sign, left / scale,
                    (unsigned)(left % scale * 10 / scale), units[unit - 1]);
}

static void add_duration(struct nt_buf *b, json_int_t ms)
{
    if (ms < 1000)
        nt_buf_addf(b, "%" JSON_INTEGER_FORMAT "ms", ms);
    else if (ms < 60000 && ms % 1000)
        nt_buf_addf(b, "%" JSON_INTEGER_FORMAT ".%us", ms / 1000, (unsigned)(ms % 1000 / 100));
    else if (ms < 60000)
        nt_buf_addf(b, "%" JSON_INTEGER_FORMAT "s", ms / 1000);
    else if (ms < 3600000)
        nt_buf_addf(b, "%" JSON_INTEGER_FORMAT "m%02us", ms / 60000, (unsigned)(ms % 60000 / 1000));
    else
        nt_buf_addf(b, "%" JSON_INTEGER_FORMAT "h%02um", ms / 3600000,
                    (unsigned)(ms % 3600000 / 60000));
}

/* A list of plain values reads better as a,b than as JSON. */
static bool is_plain_list(json_t *value)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value))
        return false;
    json_array_foreach(value, i,
                       item) if (json_is_array(item) || json_is_object(item)) return false;
    return true;
}

void cell_add_text(struct nt_buf *b, json_t *value, uint32_t type)
{
    if (!value || json_is_null(value)) {
        nt_buf_add_char(b, '-');
    } else if (json_is_string(value)) {
        nt_buf_add_printable(b, json_string_value(value), false);
    } else if (json_is_boolean(value)) {
        nt_buf_add(b, json_is_true(value) ? "yes" : "no");
    } else if (json_is_integer(value) && type == NT_SIZE_BYTES) {
        add_size(b, json_integer_value(value));
    } else if (json_is_integer(value) && type == NT_DURATION_MS) {
        add_duration(b, json_integer_value(value));
    } else if (json_is_integer(value)) {
        nt_buf_addf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        nt_buf_addf(b, "%.6g", json_real_value(value));
    } else if (is_plain_list(value)) {
        size_t i;
        json_t *item;
        if (json_array_size(value) == 0)
            nt_buf_add_char(b, '-');
        json_array_foreach(value, i, item)
        {
            if (i)
                nt_buf_add_char(b, ',');
            cell_add_text(b, item, NT_TEXT);
        }
    } else {
        nt_autofree char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
        nt_buf_add_printable(b, text ? text : "?", false);
    }
}
