/* SPDX-License-Identifier: Apache-2.0 */
/* http_parse.h - takes HTTP/1.x messages apart, strictly, one event at a time. Private to
 * core/net. */
#ifndef NT_NET_HTTP_PARSE_H
#define NT_NET_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/net/net.h"

enum http_event {
    GOT_NOTHING, /* nothing more can be made of these bytes (or of this credit) */
    GOT_HEAD,
    GOT_BODY,
    GOT_END,
    GOT_BAD, /* answer `status` and close */
};

struct http_step {
    enum http_event event;
    uint32_t status;
    size_t used; /* bytes consumed, whatever the event */
    struct nt_bytes body;
    const char *why;
};

struct http_parse;

/* response: parse answers instead of requests. Limits: head_bytes and header_count, both set. NULL:
 * out of memory. */
struct http_parse *http_parse_new(bool response, const struct net_limits *limits);
void http_parse_free(struct http_parse *p);
/* Ready for the next message. no_body: the answer has none (to HEAD). */
void http_parse_reset(struct http_parse *p, bool no_body);
/* One event out of these bytes; a piece of the body is at most `credit`. */
void http_parse_step(struct http_parse *p, const uint8_t *data, size_t size, uint64_t credit,
                     struct http_step *ret);
/* The peer ended. True: that completes the message (an answer without a length). */
bool http_parse_eof(const struct http_parse *p);
/* True when a byte of a message came that is not complete. */
bool http_parse_has_begun(const struct http_parse *p);

/* Of the head that came; texts are valid until the reset. */
const char *http_parse_method(const struct http_parse *p);
const char *http_parse_target(const struct http_parse *p);
uint32_t http_parse_status(const struct http_parse *p);
uint32_t http_parse_minor(const struct http_parse *p); /* HTTP/1.minor */
bool http_parse_keeps_alive(const struct http_parse *p);
const char *http_parse_header(const struct http_parse *p, const char *name);
bool http_parse_header_at(const struct http_parse *p, uint32_t index, struct net_header *ret);
int64_t http_parse_length(
    const struct http_parse *p); /* -1: chunked; -2: until the end of the connection */

/* True when the comma-separated list has the token, any case. */
bool http_list_has(const char *list, const char *token);

#endif
