/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c - text to numbers, with bounds and an error that names what was wrong. */
#include "parse.h"

#include <inttypes.h>
#include <stdbool.h>
#include <strings.h>

#include "error.h"

/* Reads digits at *at; false: none there, or more than 64 bits hold. */
static bool digits(const char **at, uint64_t *ret)
{
    const char *p = *at;
    uint64_t value = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10u, &value)
            || __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    *at = p;
    *ret = value;
    return true;
}

int nt_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                 struct nt_error *reterr)
{
    const char *at = text;
    uint64_t value;
    if (!digits(&at, &value) || *at)
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not a whole number", text);
    if (value < min || value > max)
        return nt_fail(reterr, NT_E_USAGE, "%s is not between %" PRIu64 " and %" PRIu64, text, min,
                       max);
    *ret = value;
    return 0;
}

int nt_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret, struct nt_error *reterr)
{
    bool negative = text[0] == '-';
    const char *at = text + (negative ? 1 : 0);
    uint64_t value;
    if (!digits(&at, &value) || *at || value > (uint64_t)INT64_MAX)
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not a whole number", text);
    int64_t number = negative ? -(int64_t)value : (int64_t)value;
    if (number < min || number > max)
        return nt_fail(reterr, NT_E_USAGE, "%s is not between %" PRId64 " and %" PRId64, text, min,
                       max);
    *ret = number;
    return 0;
}

int nt_parse_duration_ms(const char *text, int64_t min_ms, int64_t max_ms, int64_t *ret,
                         struct nt_error *reterr)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = { { "", 1000 },   { "ms", 1 },      { "s", 1000 },
                  { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };

    const char *at = text;
    uint64_t whole, thousandths = 0, total = 0;
    bool ok = digits(&at, &whole);
    if (ok && *at == '.') {
        uint64_t scale = 100;
        at++;
        ok = *at >= '0' && *at <= '9';
        for (; *at >= '0' && *at <= '9'; at++, scale /= 10)
            thousandths += (uint64_t)(*at - '0') * scale;
    }
    bool known = false;
    for (size_t i = 0; ok && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(at, units[i].unit) != 0)
            continue;
        known = !__builtin_mul_overflow(whole, units[i].ms, &total)
                && !__builtin_add_overflow(total, thousandths * units[i].ms / 1000, &total)
                && total <= (uint64_t)INT64_MAX;
    }
    if (!known)
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not a duration such as 250ms, 10s, 5m or 2h",
                       text);
    if ((int64_t)total < min_ms || (int64_t)total > max_ms)
        return nt_fail(reterr, NT_E_USAGE, "%s is not between %" PRId64 "ms and %" PRId64 "ms",
                       text, min_ms, max_ms);
    *ret = (int64_t)total;
    return 0;
}

int nt_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                  struct nt_error *reterr)
{
    static const char letters[] = "kMGT";
    const char *at = text;
    uint64_t value;
    bool ok = digits(&at, &value);
    if (ok && *at && *at != 'B' && *at != 'b') {
        unsigned shift = 0;
        for (unsigned i = 0; letters[i]; i++)
            if (strncasecmp(at, &letters[i], 1) == 0)
                shift = 10 * (i + 1);
        ok = shift && value <= (UINT64_MAX >> shift);
        value <<= shift;
        at++;
        if (*at == 'i')
            at++;
    }
    if (ok && (*at == 'B' || *at == 'b'))
        at++;
    if (!ok || *at)
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not a size such as 512, 64k, 10M or 2G", text);
    if (value < min || value > max)
        return nt_fail(reterr, NT_E_USAGE, "%s is not between %" PRIu64 " and %" PRIu64 " bytes",
                       text, min, max);
    *ret = value;
    return 0;
}
