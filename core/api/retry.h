/* SPDX-License-Identifier: Apache-2.0 */
/* retry.h - decides whether a failed request may be sent again, and when. */
#ifndef NT_CORE_RETRY_H
#define NT_CORE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/error.h"

#define RETRY_STOP (-1)
#define RETRY_ATTEMPTS 4     /* of one request, the first one counted */
#define RETRY_RATE_LIMITED 3 /* answers with 429 that are waited out */
#define RETRY_AFTER_NONE (-1)

struct retry {
    const struct nt_error *error; /* of the last attempt */
    uint32_t attempt;             /* its number, from 1 */
    uint32_t rate_limited;        /* answers with 429 so far, that one counted */
    int64_t retry_after_ms;       /* what the server asked for, or RETRY_AFTER_NONE */
    int64_t left_ms;              /* of the deadline; -1: there is none */
    uint32_t random;              /* any number: the jitter */
    bool is_idempotent;           /* the method is, or it carries an Idempotency-Key */
    /* it went over a kept connection, and no byte of an answer came */
    bool is_reused;
};

/* Milliseconds to wait before the next attempt, or RETRY_STOP. Pure. */
int64_t retry_delay_ms(const struct retry *retry);
/* True for methods that may be repeated as they are (RFC 9110 section 9.2.2). */
bool retry_is_idempotent(const char *method);
/* The value of a Retry-After header (NULL: none) in milliseconds: a decimal number of seconds that
 * is not negative. RETRY_AFTER_NONE for anything else, dates among them. */
int64_t retry_after_ms(const char *value);

#endif
