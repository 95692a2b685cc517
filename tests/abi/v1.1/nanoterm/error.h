/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - what a failed call hands back: one value, one code, one exit status.
 *
 * Errors are values. A function that can fail returns 0, or -1 with its last argument `reterr`
 * filled; `reterr` is never NULL. Only the core prints an error and picks the exit status.
 * Helpers that fill one (nt_fail, nt_fail_sys, nt_wrap) are in the SDK: sdk/error.h. */
#ifndef NANOTERM_ERROR_H
#define NANOTERM_ERROR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__cplusplus) && !defined(_Static_assert)
#define _Static_assert static_assert /* so that the headers can be read by C++ */
#endif

/* Rows are added at the end, never changed: the numbers, the texts and the exit statuses are a
 * contract with scripts. `retry` is the default of nt_error.retryable.
 * Exit statuses: 1 failure, 2 usage, 3 not found, 4 not authenticated, 5 not permitted,
 * 6 quota or rate limit, 7 conflict, 8 runtime, 130 interrupted. */
/* clang-format off */
#define NT_ERRORS(X)                                                        \
    /* id            number text                   kind        exit retry */ \
    X(USAGE,         1,  "usage",                "usage",     2,   0)        \
    X(NOT_FOUND,     2,  "not_found",            "api",       3,   0)        \
    X(CONFLICT,      3,  "conflict",             "api",       7,   0)        \
    X(CONNECT,       4,  "connect_failed",       "network",   1,   1)        \
    X(SYSTEM,        5,  "system",               "system",    1,   0)        \
    X(LIMIT,         6,  "limit",                "usage",     2,   0)        \
    X(PLUGIN_ABI,    7,  "plugin_abi",           "internal",  1,   0)        \
    X(QUOTA,         8,  "quota_exceeded",       "quota",     6,   0)        \
    X(AUTH,          9,  "unauthorized",         "auth",      4,   0)        \
    X(FORBIDDEN,     10, "forbidden",            "auth",      5,   0)        \
    X(RATE_LIMIT,    11, "rate_limit_exceeded",  "quota",     6,   1)        \
    X(TIMEOUT,       12, "timeout",              "timeout",   8,   1)        \
    X(CANCELLED,     13, "cancelled",            "cancelled", 130, 0)        \
    X(RESPONSE,      14, "invalid_response",     "protocol",  2,   0)        \
    X(INVALID,       15, "invalid_request",      "usage",     2,   0)        \
    X(SERVER,        16, "internal_error",       "api",       1,   1)        \
    X(RUNTIME,       17, "exec_failed",          "runtime",   8,   0)        \
    X(UNSUPPORTED,   18, "not_supported",        "api",       1,   0)        \
    X(CONFIG,        19, "config_invalid",       "config",    1,   0)        \
    X(UNTRUSTED_API, 20, "untrusted_api",        "auth",      5,   0)        \
    X(UNAVAILABLE,   21, "sandbox_unavailable",  "runtime",   8,   0)        \
    X(MEMORY,        22, "out_of_memory",        "system",    1,   0)        \
    X(INTERNAL,      23, "internal",             "internal",  1,   0)        \
    X(PLUGIN_FAILED, 24, "plugin_failed",        "internal",  1,   0)        \
    X(PLUGIN_MISSING,25, "plugin_missing",       "usage",     2,   0)        \
    X(NOT_LOCAL,     26, "not_local",            "internal",  1,   0)        \
    X(BYTE_MISMATCH, 27, "FILE_WRITE_BYTE_MISMATCH", "api",   1,   0)        \
    X(CLOSED,        28, "connection_closed",    "network",   1,   1)        \
    X(NOT_BUILT,     29, "not_built_yet",        "usage",     2,   0)        \
    X(CLIENT_OLD,    30, "CLI_VERSION_TOO_OLD",  "api",       1,   0)        \
    X(UNDECLARED,    31, "plugin_undeclared",    "auth",      5,   0)
/* clang-format on */

enum {
    NT_OK = 0,
#define X(id, number, text, kind, exit_status, retry) NT_E_##id = number,
    NT_ERRORS(X)
#undef X
};

/* A plugin's own error rows (struct nt_error_row) are numbered from here. */
#define NT_E_PLUGIN_FIRST 0x10000u

/* One failure. All texts are UTF-8, one line, NUL-terminated, without secrets; too long a text is
 * cut between characters. 1.0 ends with `hint`; newer members come after it and need NT_HAS. */
struct nt_error {
    uint32_t size;        /* sizeof of the caller's struct; a callee never writes beyond it */
    uint32_t code;        /* NT_E_*, or a plugin's own number; 0: no error */
    uint8_t retryable;    /* 1: the same request may succeed later */
    uint8_t request_sent; /* 1: the server may have seen it; 0 only when the opposite is proven */
    uint16_t status;      /* HTTP status; 0: no answer came */
    uint32_t attempt;     /* number of the attempt that failed, from 1; 0: no request was made */
    int32_t sys;          /* errno value; 0: none */
    uint32_t reserved;
    char message[256]; /* what failed and why */
    /* the server's own code when it is finer than the row ("sandbox_not_found") */
    char server_code[64];
    char upstream[64];   /* what the network said ("ECONNREFUSED"); empty: nothing */
    char request_id[64]; /* the server's name for the request; empty: none */
    char hint[256];      /* the next step for the user; empty: none */
};

#define NT_ERROR_SIZE_1_0 728u
_Static_assert(sizeof(struct nt_error) == NT_ERROR_SIZE_1_0, "nt_error of 1.0 has moved");
_Static_assert(offsetof(struct nt_error, message) == 24, "nt_error of 1.0 has moved");

/* An empty error of the caller's size: `struct nt_error e = NT_ERROR_INIT;` */
#define NT_ERROR_INIT                                                                              \
    {                                                                                              \
        .size = (uint32_t)sizeof(struct nt_error)                                                  \
    }

#endif
