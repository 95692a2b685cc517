/* SPDX-License-Identifier: Apache-2.0 */
/* http_parse.c - the only file that knows http-parser.
 *
 * The library is built without its strict mode in common distributions (spaces in header names, any
 * bytes behind a chunk), so each byte passes a check of its own (RFC 9112) before the library sees
 * it. Two parsers that read one message differently are request smuggling; whatever is ambiguous is
 * refused. */
#include "core/net/http_parse.h"

#include <assert.h>
#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sdk/buf.h"

enum { LIBRARY_HEAD_MAX = 80 * 1024 - 1 }; /* HTTP_MAX_HEADER_SIZE is compiled into the library */

enum phase {
    IN_HEAD,
    IN_LENGTH,
    IN_CHUNK_LINE,
    IN_CHUNK,
    IN_CHUNK_END,
    IN_TRAILER,
    IN_REST,
    AT_END,
    IS_BAD
};
enum scan {
    AT_START,
    IN_START_LINE,
    AT_START_CR,
    AT_NAME,
    IN_NAME,
    IN_VALUE,
    AT_VALUE_CR,
    AT_LAST_CR,
    SCAN_DONE,
};

struct header_at {
    uint32_t name, value; /* offsets in text */
};

struct http_parse {
    http_parser parser;
    bool response, no_body, head_done, in_value, keeps_alive, chunk_known, chunk_digits, chunk_ext;
    enum phase phase;
    enum scan scan;
    uint32_t head_max, header_max;
    uint32_t seen; /* bytes of the head or of one framing line */
    uint32_t spaces;
    uint64_t left; /* of the body or the chunk */
    int64_t length;
    struct nt_buf text;
    struct header_at *headers;
    uint32_t count;
    bool too_many;
    struct nt_bytes piece;
};

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *p = parser->data;
    nt_buf_add_bytes(&p->text, at, size);
    return nt_buf_ok(&p->text) ? 0 : 1;
}

static int on_name(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *p = parser->data;
    if (p->head_done)
        return 0; /* trailers are read and dropped */
    if (p->count == 0 || p->in_value) {
        if (p->count == p->header_max) {
            p->too_many = true;
            return 1;
        }
        nt_buf_add_char(&p->text, '\0');
        p->headers[p->count++] = (struct header_at){ (uint32_t)p->text.size, 0 };
        p->in_value = false;
    }
    nt_buf_add_bytes(&p->text, at, size);
    return nt_buf_ok(&p->text) ? 0 : 1;
}

static int on_value(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *p = parser->data;
    if (p->head_done)
        return 0;
    if (!p->in_value) {
        nt_buf_add_char(&p->text, '\0');
        p->headers[p->count - 1].value = (uint32_t)p->text.size;
        p->in_value = true;
    }
    nt_buf_add_bytes(&p->text, at, size);
    return nt_buf_ok(&p->text) ? 0 : 1;
}

static int on_head(http_parser *parser)
{
    struct http_parse *p = parser->data;
    p->head_done = true;
    p->keeps_alive = http_should_keep_alive(parser) != 0;
    return p->no_body ? 1 : 0;
}

static int on_piece(http_parser *parser, const char *at, size_t size)
{
    struct http_parse *p = parser->data;
    p->piece = (struct nt_bytes){ at, size };
    return 0;
}

static int on_chunk(http_parser *parser)
{
    struct http_parse *p = parser->data;
    p->chunk_known = true;
    p->left = parser->content_length;
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_piece,
    .on_chunk_header = on_chunk,
};

struct http_parse *http_parse_new(bool response, const struct net_limits *limits)
{
    struct http_parse *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->response = response;
    p->head_max = limits->head_bytes < LIBRARY_HEAD_MAX ? limits->head_bytes : LIBRARY_HEAD_MAX;
    p->header_max = limits->header_count;
    p->headers = calloc(p->header_max, sizeof(*p->headers));
    /* Each header adds two NULs to what came, and its colon and line end are not kept. */
    p->text = (struct nt_buf)NT_BUF(p->head_max + 64);
    if (!p->headers) {
        free(p);
        return NULL;
    }
    http_parse_reset(p, false);
    return p;
}

void http_parse_free(struct http_parse *p)
{
    if (!p)
        return;
    nt_buf_done(&p->text);
    free(p->headers);
    free(p);
}

void http_parse_reset(struct http_parse *p, bool no_body)
{
    http_parser_init(&p->parser, p->response ? HTTP_RESPONSE : HTTP_REQUEST);
    p->parser.data = p;
    p->phase = IN_HEAD;
    p->scan = AT_START;
    p->no_body = no_body;
    p->head_done = p->in_value = p->keeps_alive = p->chunk_known = p->chunk_digits = p->chunk_ext =
        false;
    p->too_many = false;
    p->seen = p->spaces = p->count = 0;
    p->left = 0;
    p->length = 0;
    nt_buf_reset(&p->text);
}

static void bad(struct http_parse *p, uint32_t status, const char *why, struct http_step *ret)
{
    p->phase = IS_BAD;
    ret->event = GOT_BAD;
    ret->status = status;
    ret->why = why;
}

static bool is_token_char(uint8_t ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch && strchr("!#$%&'*+-.^_`|~", ch));
}

/* One byte of a head or of trailers. NULL: fine. */
static const char *scan_byte(struct http_parse *p, uint8_t ch)
{
    bool is_text = (ch >= 0x20 && ch != 0x7f) || ch == '\t';
    switch (p->scan) {
    case AT_START:
        /* An empty line before a request is skipped (RFC 9112 section 2.2); it counts as head. */
        if (ch == '\r')
            return p->response ? "an empty status line" : NULL;
        if (ch == '\n')
            return p->response ? "an empty status line" : NULL;
        p->scan = IN_START_LINE;
        /* fall through */
    case IN_START_LINE:
        if (ch == '\r')
            p->scan = AT_START_CR;
        else if (p->response ? !is_text : (ch < 0x20 || ch >= 0x7f))
            return "a control character in the first line";
        else if (ch == ' ')
            p->spaces++;
        else if (ch == '#' && !p->response)
            return "a fragment in the request target";
        return NULL;
    case AT_START_CR:
        if (ch != '\n')
            return "a bare carriage return";
        if (!p->response && p->spaces != 2)
            return "not a request line";
        p->scan = AT_NAME;
        return NULL;
    case AT_NAME:
        if (ch == '\r') {
            p->scan = AT_LAST_CR;
            return NULL;
        }
        p->scan = IN_NAME;
        return is_token_char(ch) ? NULL : "a folded or broken header line";
    case IN_NAME:
        if (ch == ':') {
            p->scan = IN_VALUE;
            return NULL;
        }
        return is_token_char(ch) ? NULL : "a broken header name";
    case IN_VALUE:
        if (ch == '\r') {
            p->scan = AT_VALUE_CR;
            return NULL;
        }
        return is_text ? NULL : "a control character in a header";
    case AT_VALUE_CR:
        if (ch != '\n')
            return "a bare carriage return";
        p->scan = AT_NAME;
        return NULL;
    case AT_LAST_CR:
        if (ch != '\n')
            return "a bare carriage return";
        p->scan = SCAN_DONE;
        return NULL;
    case SCAN_DONE:
        break;
    }
    return "bytes behind the head";
}

const char *http_parse_header(const struct http_parse *p, const char *name)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (strcasecmp(p->text.data + p->headers[i].name, name) == 0)
            return p->text.data + p->headers[i].value;
    return NULL;
}

static uint32_t count_headers(const struct http_parse *p, const char *name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++)
        n += strcasecmp(p->text.data + p->headers[i].name, name) == 0;
    return n;
}

static bool parse_length(const char *text, int64_t *ret)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 18 || text[n])
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (text[i] - '0');
    *ret = value;
    return true;
}

static bool is_host(const char *text)
{
    return text[strspn(
               text,
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~%!$&'()*+;=:[]")]
           == '\0';
}

/* The library leaves blanks at the end of a value. */
static void trim_values(struct http_parse *p)
{
    nt_buf_add_char(&p->text, '\0');
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->headers[i].value == 0)
            p->headers[i].value = (uint32_t)(p->text.size - 1);
        char *value = p->text.data + p->headers[i].value;
        size_t n = strlen(value);
        while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
            value[--n] = '\0';
    }
}

/* Lengths and Host, after the whole head. */
static const char *check_head(struct http_parse *p, uint32_t *ret_status)
{
    *ret_status = 400;
    if (p->parser.http_major != 1 || p->parser.http_minor > 1) {
        *ret_status = p->parser.http_major > 1 ? 505 : 400;
        return "not HTTP/1.0 or HTTP/1.1";
    }
    const char *coding = http_parse_header(p, "transfer-encoding");
    const char *length = http_parse_header(p, "content-length");
    if (coding && length)
        return "both Content-Length and Transfer-Encoding";
    if (count_headers(p, "content-length") > 1 || count_headers(p, "transfer-encoding") > 1)
        return "more than one length";
    if (coding && (strcasecmp(coding, "chunked") != 0 || p->parser.http_minor == 0))
        return "a Transfer-Encoding other than chunked";
    if (length && !parse_length(length, &p->length))
        return "a broken Content-Length";
    if (coding)
        p->length = -1;
    if (p->response) {
        uint32_t status = p->parser.status_code;
        if (status < 100 || status > 599)
            return "a broken status";
        if (p->no_body || status < 200 || status == 204 || status == 304)
            p->length = 0;
        else if (!coding && !length)
            p->length = -2;
        return NULL;
    }
    uint32_t hosts = count_headers(p, "host");
    if (hosts > 1 || (hosts == 0 && p->parser.http_minor == 1))
        return "not exactly one Host";
    if (hosts && !is_host(http_parse_header(p, "host")))
        return "a broken Host";
    if (p->parser.method == HTTP_CONNECT && p->length != 0)
        return "a body of CONNECT";
    return NULL;
}

static void step_head(struct http_parse *p, const uint8_t *data, size_t size, struct http_step *ret)
{
    size_t n = 0;
    while (n < size && p->scan != SCAN_DONE) {
        if (p->seen >= p->head_max) {
            bad(p, 431, "the head is too large", ret);
            return;
        }
        p->seen++;
        const char *why = scan_byte(p, data[n++]);
        if (why) {
            bad(p, 400, why, ret);
            return;
        }
    }
    size_t took = http_parser_execute(&p->parser, &settings, (const char *)data, n);
    ret->used = n;
    enum http_errno failed = HTTP_PARSER_ERRNO(&p->parser);
    if (p->too_many || !nt_buf_ok(&p->text) || failed == HPE_HEADER_OVERFLOW) {
        bad(p, 431, "too many headers", ret);
        return;
    }
    if (failed != HPE_OK || took != n) {
        bad(p, 400, failed != HPE_OK ? http_errno_description(failed) : "not HTTP", ret);
        return;
    }
    if (p->scan != SCAN_DONE)
        return;
    if (!p->head_done) {
        bad(p, 400, "not HTTP", ret);
        return;
    }
    uint32_t status;
    trim_values(p);
    const char *why = nt_buf_ok(&p->text) ? check_head(p, &status) : "the head is too large";
    if (why) {
        bad(p, nt_buf_ok(&p->text) ? status : 431, why, ret);
        return;
    }
    p->seen = 0;
    p->left = p->length > 0 ? (uint64_t)p->length : 0;
    p->phase = p->length == -1   ? IN_CHUNK_LINE
               : p->length == -2 ? IN_REST
               : p->length == 0  ? AT_END
                                 : IN_LENGTH;
    ret->event = GOT_HEAD;
}

/* Hands checked framing bytes or bytes of a chunk to the library. */
static bool feed(struct http_parse *p, const uint8_t *data, size_t size, struct http_step *ret)
{
    size_t took = http_parser_execute(&p->parser, &settings, (const char *)data, size);
    enum http_errno failed = HTTP_PARSER_ERRNO(&p->parser);
    if (failed != HPE_OK || took != size) {
        bad(p, 400, failed != HPE_OK ? http_errno_description(failed) : "broken chunks", ret);
        return false;
    }
    return true;
}

/* "1a;ext\r\n": hexadecimal digits, an extension that is dropped, and a whole line end. */
static void step_chunk_line(struct http_parse *p, const uint8_t *data, size_t size,
                            struct http_step *ret)
{
    size_t n = 0;
    bool done = false;
    while (n < size && !done) {
        uint8_t ch = data[n++];
        bool is_hex =
            (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
        const char *why = NULL;
        if (++p->seen > 4096)
            why = "a chunk line is too long";
        else if (p->scan == AT_LAST_CR)
            why = ch == '\n' ? NULL : "a bare carriage return";
        else if (ch == '\r')
            why = p->chunk_digits ? NULL : "a chunk without a size";
        else if (p->chunk_ext)
            why = (ch >= 0x20 && ch != 0x7f) || ch == '\t' ? NULL
                                                           : "a control character in a chunk line";
        else if (ch == ';')
            why = p->chunk_digits ? NULL : "a chunk without a size";
        else if (!is_hex)
            why = "a broken chunk size";
        if (why) {
            bad(p, 400, why, ret);
            return;
        }
        done = p->scan == AT_LAST_CR;
        p->scan = ch == '\r' ? AT_LAST_CR : SCAN_DONE;
        p->chunk_digits = true;
        p->chunk_ext = p->chunk_ext || ch == ';';
    }
    ret->used = n;
    if (!feed(p, data, n, ret) || !done)
        return;
    if (!p->chunk_known) {
        bad(p, 400, "a broken chunk size", ret);
        return;
    }
    p->chunk_known = p->chunk_digits = p->chunk_ext = false;
    p->seen = 0;
    p->phase = p->left ? IN_CHUNK : IN_TRAILER;
    p->scan = p->left ? SCAN_DONE : AT_NAME;
}

static void step_chunk_end(struct http_parse *p, const uint8_t *data, size_t size,
                           struct http_step *ret)
{
    if (data[0] != (p->seen ? '\n' : '\r')) {
        bad(p, 400, "a chunk longer than its size", ret);
        return;
    }
    ret->used = 1;
    if (!feed(p, data, 1, ret))
        return;
    p->seen++;
    if (p->seen == 2) {
        p->seen = 0;
        p->scan = SCAN_DONE;
        p->phase = IN_CHUNK_LINE;
    }
}

static void step_trailer(struct http_parse *p, const uint8_t *data, size_t size,
                         struct http_step *ret)
{
    size_t n = 0;
    while (n < size && p->scan != SCAN_DONE) {
        const char *why = ++p->seen > p->head_max ? "too many trailers" : scan_byte(p, data[n++]);
        if (why) {
            bad(p, 400, why, ret);
            return;
        }
    }
    ret->used = n;
    if (feed(p, data, n, ret) && p->scan == SCAN_DONE)
        p->phase = AT_END;
}

static void step_body(struct http_parse *p, const uint8_t *data, size_t size, uint64_t credit,
                      struct http_step *ret)
{
    uint64_t n = size < credit ? size : credit;
    if (p->phase != IN_REST && n > p->left)
        n = p->left;
    if (n == 0)
        return;
    p->piece = (struct nt_bytes){ data, (size_t)n };
    if (p->phase == IN_CHUNK && !feed(p, data, (size_t)n, ret))
        return;
    ret->used = (size_t)n;
    ret->event = GOT_BODY;
    ret->body = p->piece;
    if (p->phase == IN_REST)
        return;
    p->left -= n;
    if (p->left == 0)
        p->phase = p->phase == IN_CHUNK ? IN_CHUNK_END : AT_END;
}

void http_parse_step(struct http_parse *p, const uint8_t *data, size_t size, uint64_t credit,
                     struct http_step *ret)
{
    *ret = (struct http_step){ .event = GOT_NOTHING };
    size_t used = 0;
    /* Framing lines make no event: go on until something happened or nothing moves. */
    while (ret->event == GOT_NOTHING) {
        ret->used = 0;
        enum phase before = p->phase;
        const uint8_t *at = data + used;
        size_t left = size - used;
        if (p->phase == AT_END) {
            ret->event = GOT_END;
            break;
        }
        if (p->phase == IS_BAD) {
            bad(p, 400, "broken before", ret);
            break;
        }
        if (left == 0)
            break;
        switch (p->phase) {
        case IN_HEAD:
            step_head(p, at, left, ret);
            break;
        case IN_CHUNK_LINE:
            step_chunk_line(p, at, left, ret);
            break;
        case IN_CHUNK_END:
            step_chunk_end(p, at, left, ret);
            break;
        case IN_TRAILER:
            step_trailer(p, at, left, ret);
            break;
        case IN_LENGTH:
        case IN_CHUNK:
        case IN_REST:
            step_body(p, at, left, credit, ret);
            break;
        case AT_END:
        case IS_BAD:
            break;
        }
        used += ret->used;
        if (ret->event == GOT_NOTHING && ret->used == 0 && p->phase == before)
            break;
    }
    ret->used = used;
}

bool http_parse_eof(const struct http_parse *p)
{
    return p->phase == IN_REST || p->phase == AT_END;
}

bool http_parse_has_begun(const struct http_parse *p)
{
    return p->phase != IN_HEAD || p->scan != AT_START;
}

const char *http_parse_method(const struct http_parse *p)
{
    return http_method_str((enum http_method)p->parser.method);
}

const char *http_parse_target(const struct http_parse *p)
{
    return p->text.data ? p->text.data : "";
}

uint32_t http_parse_status(const struct http_parse *p)
{
    return p->parser.status_code;
}

uint32_t http_parse_minor(const struct http_parse *p)
{
    return p->parser.http_minor;
}

bool http_parse_keeps_alive(const struct http_parse *p)
{
    return p->keeps_alive && p->length != -2;
}

bool http_parse_header_at(const struct http_parse *p, uint32_t index, struct net_header *ret)
{
    if (index >= p->count)
        return false;
    ret->name = p->text.data + p->headers[index].name;
    ret->value = p->text.data + p->headers[index].value;
    return true;
}

int64_t http_parse_length(const struct http_parse *p)
{
    return p->length;
}

bool http_list_has(const char *list, const char *token)
{
    size_t size = strlen(token);
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, ",");
        size_t part = n;
        while (part > 0 && (list[part - 1] == ' ' || list[part - 1] == '\t'))
            part--;
        if (part == size && strncasecmp(list, token, size) == 0)
            return true;
        list += n;
    }
    return false;
}
