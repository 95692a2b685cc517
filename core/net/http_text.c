/* SPDX-License-Identifier: Apache-2.0 */
/* http_text.c - writes the text of heads: status, headers, date. */
#include "core/net/http_text.h"

#include <string.h>
#include <strings.h>
#include <time.h>

void net_limits_fill(struct net_limits *l)
{
    l->head_bytes = l->head_bytes ? l->head_bytes : 32 * 1024;
    l->header_count = l->header_count ? l->header_count : 100;
    l->connections = l->connections ? l->connections : 1024;
    l->message_bytes = l->message_bytes ? l->message_bytes : 1024 * 1024;
    l->write_queue_bytes = l->write_queue_bytes ? l->write_queue_bytes : 1024 * 1024;
    l->head_ms = l->head_ms ? l->head_ms : 30 * 1000;
    l->idle_ms = l->idle_ms ? l->idle_ms : 75 * 1000;
    l->stall_ms = l->stall_ms ? l->stall_ms : 120 * 1000;
}

const char *http_reason(uint32_t status)
{
    static const struct {
        uint32_t status;
        const char *reason;
    } rows[] = {
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 407, "Proxy Authentication Required" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Status";
}

static bool is_sendable(const char *name, const char *value)
{
    if (!name[0] || strpbrk(name, " \t\r\n:"))
        return false;
    for (const char *v = value; *v; v++)
        if (((unsigned char)*v < 0x20 && *v != '\t') || *v == 0x7f)
            return false;
    return true;
}

void http_add_header(struct nt_buf *b, const char *name, const char *value)
{
    if (!is_sendable(name, value))
        return;
    nt_buf_add(b, name);
    nt_buf_add(b, ": ");
    nt_buf_add(b, value);
    nt_buf_add(b, "\r\n");
}

void http_add_length(struct nt_buf *b, int64_t length)
{
    nt_buf_add(b, "Content-Length: ");
    nt_buf_add_number(b, (uint64_t)length);
    nt_buf_add(b, "\r\n");
}

void http_add_headers(struct nt_buf *b, const struct net_header *headers, uint32_t count,
                      const char *const *ours)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_ours = false;
        for (const char *const *o = ours; *o && !is_ours; o++)
            is_ours = strcasecmp(headers[i].name, *o) == 0;
        if (!is_ours)
            http_add_header(b, headers[i].name, headers[i].value);
    }
}

bool http_headers_have(const struct net_header *headers, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcasecmp(headers[i].name, name) == 0)
            return true;
    return false;
}

void http_add_date(struct nt_buf *b)
{
    /* Names of its own: strftime's follow the locale. */
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    static _Thread_local struct {
        time_t second;
        char text[64];
    } cache;
    time_t now = time(NULL);
    struct tm t;
    if (now != cache.second && gmtime_r(&now, &t)) {
        struct nt_buf line = NT_BUF(sizeof(cache.text) - 1);
        nt_buf_addf(&line, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[t.tm_wday],
                    t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
        if (nt_buf_ok(&line)) {
            memcpy(cache.text, nt_buf_text(&line), line.size + 1);
            cache.second = now;
        }
        nt_buf_done(&line);
    }
    nt_buf_add(b, cache.text);
}

void http_add_chunk_head(struct nt_buf *b, size_t size)
{
    nt_buf_addf(b, "%zx\r\n", size);
}
