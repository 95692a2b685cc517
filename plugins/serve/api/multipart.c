/* SPDX-License-Identifier: Apache-2.0 */
/* multipart.c - see multipart.h. Pure: no memory but the struct, no descriptors; fuzzed alone. */
#include "plugins/serve/api/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 4096u /* of one part */

enum { AT_START, AT_HEAD, AT_BODY, AT_END, AT_BROKEN };

static bool is_boundary_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c && strchr("'()+_,-./:=?", c));
}

int multipart_init(struct multipart *m, const char *content_type)
{
    static const char type[] = "multipart/form-data";
    *m = (struct multipart){ .state = AT_START };
    if (!content_type || strncasecmp(content_type, type, sizeof(type) - 1) != 0)
        return -1;
    const char *p = content_type + sizeof(type) - 1;
    p += strspn(p, " \t");
    if (*p++ != ';')
        return -1;
    p += strspn(p, " \t");
    if (strncasecmp(p, "boundary=", 9) != 0)
        return -1;
    p += 9;
    bool is_quoted = *p == '"';
    p += is_quoted;
    size_t size = 0;
    while (is_boundary_char(p[size]))
        size++;
    const char *end = p + size + is_quoted;
    if (!size || size > MULTIPART_BOUNDARY_MAX || (is_quoted && p[size] != '"'))
        return -1;
    if (end[strspn(end, " \t")])
        return -1;
    int n = snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%.*s", (int)size, p);
    m->delimiter_size = (size_t)n;
    return 0;
}

/* The value of name="…" behind `form-data`; a backslash in it is refused, as browsers and clients
 * percent-encode instead. */
static bool read_name(struct multipart *m, const char *p, const char *end)
{
    bool has_name = false;
    if (end - p < 9 || strncasecmp(p, "form-data", 9) != 0)
        return false;
    for (p += 9; p < end;) {
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (p == end || *p++ != ';')
            return false;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        const char *key = p;
        while (p < end && *p != '=')
            p++;
        size_t key_size = (size_t)(p - key);
        if (end - p < 3 || p[1] != '"')
            return false;
        const char *value = p + 2;
        p = value;
        while (p < end && *p != '"' && *p != '\\')
            p++;
        if (p == end || *p != '"')
            return false;
        size_t size = (size_t)(p++ - value);
        if (key_size != 4 || strncasecmp(key, "name", 4) != 0)
            continue;
        if (has_name || !size || size > MULTIPART_NAME_MAX)
            return false;
        memcpy(m->name, value, size);
        m->name[size] = '\0';
        has_name = true;
    }
    return has_name;
}

/* The lines of a part's head, without the empty one. */
static bool read_head(struct multipart *m, const char *p, const char *end)
{
    static const char disposition[] = "content-disposition:";
    static const char encoding[] = "content-transfer-encoding:";
    bool has_name = false;
    while (p < end) {
        const char *stop = memmem(p, (size_t)(end - p), "\r\n", 2);
        stop = stop ? stop : end;
        size_t size = (size_t)(stop - p);
        if (memchr(p, 0, size) || *p == ' ' || *p == '\t' || !memchr(p, ':', size)
            || (size >= sizeof(encoding) - 1 && !strncasecmp(p, encoding, sizeof(encoding) - 1)))
            return false;
        if (size >= sizeof(disposition) - 1
            && !strncasecmp(p, disposition, sizeof(disposition) - 1)) {
            const char *value = p + sizeof(disposition) - 1;
            while (value < stop && (*value == ' ' || *value == '\t'))
                value++;
            if (has_name || !read_name(m, value, stop))
                return false;
            has_name = true;
        }
        p = stop == end ? end : stop + 2;
    }
    return has_name;
}

static enum multipart_event broken(struct multipart *m)
{
    m->state = AT_BROKEN;
    return MULTIPART_BROKEN;
}

static enum multipart_event next_start(struct multipart *m, const char *data, size_t size,
                                       size_t *ret_used)
{
    const char *first = m->delimiter + 2; /* without the line end before it */
    size_t want = m->delimiter_size - 2;
    size_t n = size < want ? size : want;
    if (memcmp(data, first, n) != 0 || (size > want && data[want] != '\r')
        || (size > want + 1 && data[want + 1] != '\n'))
        return broken(m);
    if (size < want + 2)
        return MULTIPART_MORE;
    *ret_used = want + 2;
    m->state = AT_HEAD;
    return MULTIPART_DATA; /* none: goes on with the head */
}

static enum multipart_event next_head(struct multipart *m, const char *data, size_t size,
                                      size_t *ret_used)
{
    const char *end = memmem(data, size < HEAD_MAX ? size : HEAD_MAX, "\r\n\r\n", 4);
    if (!end)
        return size >= HEAD_MAX ? broken(m) : MULTIPART_MORE;
    if (!read_head(m, data, end))
        return broken(m);
    *ret_used = (size_t)(end - data) + 4;
    m->state = AT_BODY;
    return MULTIPART_PART;
}

static enum multipart_event next_body(struct multipart *m, const char *data, size_t size,
                                      size_t *ret_used, struct nt_bytes *ret_data)
{
    const char *hit = memmem(data, size, m->delimiter, m->delimiter_size);
    if (hit == data) {
        const char *tail = data + m->delimiter_size;
        if (size < m->delimiter_size + 2)
            return MULTIPART_MORE;
        bool is_last = tail[0] == '-' && tail[1] == '-';
        if (!is_last && (tail[0] != '\r' || tail[1] != '\n'))
            return broken(m);
        *ret_used = m->delimiter_size + 2;
        m->state = is_last ? AT_END : AT_HEAD;
        return MULTIPART_PART_END;
    }
    /* what could be the beginning of a delimiter waits for more */
    size_t sure = hit                        ? (size_t)(hit - data)
                  : size < m->delimiter_size ? 0
                                             : size - m->delimiter_size + 1;
    if (!sure)
        return MULTIPART_MORE;
    *ret_used = sure;
    *ret_data = (struct nt_bytes){ data, sure };
    return MULTIPART_DATA;
}

enum multipart_event multipart_next(struct multipart *m, const char *data, size_t size,
                                    size_t *ret_used, struct nt_bytes *ret_data)
{
    *ret_used = 0;
    *ret_data = (struct nt_bytes){ NULL, 0 };
    if (m->state == AT_END)
        return size <= 2 && memcmp("\r\n", size ? data : "", size) == 0 ? MULTIPART_END : broken(m);
    if (m->state == AT_BROKEN)
        return MULTIPART_BROKEN;
    if (!size)
        return MULTIPART_MORE;
    if (m->state == AT_START)
        return next_start(m, data, size, ret_used);
    if (m->state == AT_HEAD)
        return next_head(m, data, size, ret_used);
    return next_body(m, data, size, ret_used, ret_data);
}
