/* SPDX-License-Identifier: Apache-2.0 */
/* head.h - the headers of one request: what the caller gives and what every request carries. */
#ifndef NT_CORE_HEAD_H
#define NT_CORE_HEAD_H

#include "core/config/config.h"
#include "core/net/net.h"
#include "nanoterm/stream.h"

#define HEAD_HEADERS 64
#define HEAD_ID 37 /* a UUID and its NUL */

struct head {
    struct net_header headers[HEAD_HEADERS];
    uint32_t count;
    char request_id[HEAD_ID];
    char *authorization; /* wiped by head_done */
    char *target;
};

struct head_options {
    const struct config *config;
    const char *prefix;          /* of the API's URL */
    const char *path;            /* "/v1/…" */
    const char *local_token;     /* of the embedded server; NULL: it is another API */
    const char *content_type;    /* NULL: none */
    const char *idempotency_key; /* NULL: none */
    struct nt_table headers;     /* of struct nt_header */
    bool has_auth;               /* send the credential */
};

/* A fresh UUID, version 4. */
int head_uuid(char ret[HEAD_ID], struct nt_error *reterr);
/* NT_E_USAGE: a path or header that would break the request. ret is freed with head_done; all else
 * is borrowed. */
int head_make(const struct head_options *options, struct head *ret, struct nt_error *reterr);
void head_done(struct head *head);
/* The caller's own header of that name; NULL: none. */
const char *head_given(struct nt_table headers, const char *name);

#endif
