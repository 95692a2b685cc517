/* SPDX-License-Identifier: Apache-2.0 */
/* sigv4.h - AWS Signature Version 4 of one request, in its headers. Pure: no clock, no files.
 * Source: "Create a signed AWS API request" of the IAM user guide. Private to this folder. */
#ifndef NT_ENFORCE_PROXY_SIGV4_H
#define NT_ENFORCE_PROXY_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sdk/buf.h"

#define SIGV4_HASH_SIZE 65 /* hex, and the end */
#define SIGV4_TIME_SIZE 17 /* 20150830T123600Z, and the end */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct net_header;

struct sigv4 {
    const char *method;
    const char *target; /* of sigv4_target */
    /* As they are sent, with Host and x-amz-date. Signed are those two, Content-Type and all
     * x-amz-…; each must be there once. */
    const struct net_header *headers;
    uint32_t count;
    const char *payload; /* hash in hex, or SIGV4_UNSIGNED */
    const char *time;    /* as in x-amz-date */
    const char *region, *service;
    const char *id, *key;
};

void sigv4_hash(const void *bytes, size_t size, char ret[SIGV4_HASH_SIZE]);
void sigv4_time(int64_t unix_s, char ret[SIGV4_TIME_SIZE]);

/* TARGET written in the one way that both sides sign: escapes only where they are needed, the query
 * in order, and without a signature that stands there already. Its meaning stays. NULL: fine; else
 * what is wrong: static. */
const char *sigv4_target(const char *target, struct nt_buf *ret);

/* The value of Authorization. NULL: fine; else what is wrong: static. */
const char *sigv4_sign(const struct sigv4 *request, struct nt_buf *ret);

#endif
