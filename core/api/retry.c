/* SPDX-License-Identifier: Apache-2.0 */
/* retry.c - decides whether a failed request may be sent again, and when.
 * In: the error of the last attempt and what is known about it. Out: a delay in ms, or "stop".
 * Never sends, sleeps or prints: converse.c does the first two, main.c the last. */
#include "retry.h"

#include <string.h>
#include <strings.h>

#include "sdk/error.h"
#include "sdk/parse.h"

#define FIRST_DELAY_MS 250
#define RATE_LIMIT_MS 1000 /* when the server does not say */
#define RETRY_AFTER_MAX_MS (3600 * (int64_t)1000)

bool retry_is_idempotent(const char *method)
{
    static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS" };
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(methods[i], method) == 0)
            return true;
    return false;
}

int64_t retry_after_ms(const char *value)
{
    int64_t ms;
    struct nt_error unused = NT_ERROR_INIT;
    if (!value || !*value || strspn(value, "0123456789.") != strlen(value))
        return RETRY_AFTER_NONE; /* no unit either: a duration would take one */
    if (nt_parse_duration_ms(value, 0, RETRY_AFTER_MAX_MS, &ms, &unused) < 0)
        return RETRY_AFTER_NONE;
    return ms;
}

static int64_t within(const struct retry *retry, int64_t delay_ms)
{
    return retry->left_ms >= 0 && delay_ms >= retry->left_ms ? RETRY_STOP : delay_ms;
}

static int64_t backoff_ms(const struct retry *retry)
{
    int64_t delay = FIRST_DELAY_MS << (retry->attempt - 1);
    /* up to a quarter more, so that many do not come at once */
    return delay + delay * (retry->random % 256) / 1024;
}

int64_t retry_delay_ms(const struct retry *retry)
{
    const struct nt_error *e = retry->error;
    if (e->code == NT_E_CANCELLED || retry->left_ms == 0)
        return RETRY_STOP;
    if (e->status == 429) {
        bool is_rate =
            e->server_code[0] == '\0' || strcasecmp(e->server_code, "rate_limit_exceeded") == 0;
        if (!is_rate || retry->rate_limited > RETRY_RATE_LIMITED)
            return RETRY_STOP;
        return within(retry, retry->retry_after_ms >= 0 ? retry->retry_after_ms : RATE_LIMIT_MS);
    }
    if (retry->attempt >= RETRY_ATTEMPTS || !e->retryable
        || (e->request_sent && !retry->is_idempotent))
        return RETRY_STOP;
    if (e->status) {
        if (e->status < 502 || e->status > 504)
            return RETRY_STOP;
        return within(retry,
                      retry->retry_after_ms >= 0 ? retry->retry_after_ms : backoff_ms(retry));
    }
    if (e->code != NT_E_CONNECT && e->code != NT_E_CLOSED)
        return RETRY_STOP;
    /* A kept connection that the server had closed meanwhile says nothing about the server. */
    return within(retry, retry->is_reused ? 0 : backoff_ms(retry));
}
