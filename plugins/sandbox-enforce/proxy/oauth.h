/* SPDX-License-Identifier: Apache-2.0 */
/* oauth.h - credentials that are asked for: a token of OAuth 2 client credentials (RFC 6749 section
 * 4.4), kept until shortly before its end (source.h). Private to this folder. */
#ifndef NT_ENFORCE_PROXY_OAUTH_H
#define NT_ENFORCE_PROXY_OAUTH_H

#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"

#define OAUTH_ANSWER_MAX (64u * 1024u)

struct oauth;
struct proxy;
struct route;
struct visit;

/* Of a route with an auth; its secrets are read already. Nothing is asked before the first
 * request. */
int oauth_new(struct proxy *proxy, const struct route *route, struct oauth **ret,
              struct nt_error *reterr);
/* After the loop has ended. NULL is nothing. */
void oauth_free(struct oauth *oauth);
/* Ends an exchange, which nobody is told, and forgets the token. NULL is nothing. */
void oauth_end(struct oauth *oauth);
void oauth_wipe(struct oauth *oauth); /* forgets the token; NULL is nothing */

/* As source_ask. */
void oauth_ask(struct oauth *oauth, struct visit *v);

/* oauth_answer.c: what a token endpoint has answered with 200. NULL: fine; else what is wrong:
 * static. ret_token is malloc'ed, and wiped by the caller. */
const char *oauth_read(const char *answer, size_t size, char **ret_token, int64_t *ret_lifetime_ms);

#endif
