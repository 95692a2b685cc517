/* SPDX-License-Identifier: Apache-2.0 */
/* http_text.h - writes the text of heads. Private to core/net. */
#ifndef NT_NET_HTTP_TEXT_H
#define NT_NET_HTTP_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/net/net.h"
#include "sdk/buf.h"

enum { HTTP_TEXT_MAX = 256 * 1024 }; /* of a head that we write */

/* Zero members get their defaults. */
void net_limits_fill(struct net_limits *limits);
const char *http_reason(uint32_t status);
/* "name: value\r\n"; a header that would break the head (line ends, NUL, no token) is left out. */
void http_add_header(struct nt_buf *b, const char *name, const char *value);
void http_add_length(struct nt_buf *b, int64_t length);
/* Those of the caller but the ones in `ours` (lower case, ends with NULL): the connection makes
 * these itself. */
void http_add_headers(struct nt_buf *b, const struct net_header *headers, uint32_t count,
                      const char *const *ours);
bool http_headers_have(const struct net_header *headers, uint32_t count, const char *name);
/* The Date header of this second, "Date: …\r\n". Kept per thread. */
void http_add_date(struct nt_buf *b);
/* "1a\r\n" */
void http_add_chunk_head(struct nt_buf *b, size_t size);

#endif
