/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - the request that the words of `api` ask for. */
#ifndef NT_CORE_RAW_REQUEST_H
#define NT_CORE_RAW_REQUEST_H

#include "nanoterm/host.h"
#include "sdk/buf.h"

#define RAW_HEADERS 24

struct raw_request {
    char method[8]; /* capitals */
    struct nt_buf path;
    struct nt_buf body;  /* of --field; empty: none */
    struct nt_buf texts; /* names and values of the headers */
    struct nt_header headers[RAW_HEADERS];
    uint32_t header_count;
};

/* Reads method, path, --header, --field and --raw-field. raw_request_done in any case. */
int raw_request_make(struct nt_call *call, struct raw_request *ret, struct nt_error *reterr);
void raw_request_done(struct raw_request *request);

#endif
