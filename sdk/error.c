/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - fills and reads a struct nt_error. */
#include "error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <strings.h>

#include "cleanup.h"

/* A place where a text may be cut: not inside a UTF-8 character. */
static size_t cut_at(const char *text, size_t size)
{
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

void nt_copy_text(char *ret, size_t size, const char *text)
{
    if (size == 0)
        return;
    size_t length = strlen(text);
    if (length >= size)
        length = cut_at(text, size - 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        ret[i] = c < 0x20 || c == 0x7f ? ' ' : text[i];
    }
    ret[length] = '\0';
}

__attribute__((format(printf, 3, 0))) static void format_into(char *ret, size_t size,
                                                              const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof(text), format, args);
    nt_copy_text(ret, size, text);
}

/* Empties the members of 1.0 and sets what every error has; a longer struct keeps its size. */
static void reset(struct nt_error *e, uint32_t code)
{
    uint32_t size = e->size;
    memset(e, 0, size < sizeof(*e) ? size : sizeof(*e));
    e->size = size;
    e->code = code;
    const struct nt_error_info *row = nt_error_row_of(code);
    e->retryable = row && row->retry;
}

int nt_fail(struct nt_error *reterr, uint32_t code, const char *format, ...)
{
    reset(reterr, code);
    va_list args;
    va_start(args, format);
    format_into(reterr->message, sizeof(reterr->message), format, args);
    va_end(args);
    return -1;
}

int nt_fail_sys(struct nt_error *reterr, int sys, const char *format, ...)
{
    reset(reterr, NT_E_SYSTEM);
    reterr->sys = sys;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    char reason[128];
    nt_autofree char *whole = NULL;
    if (asprintf(&whole, "%s: %s", text, strerror_r(sys, reason, sizeof(reason))) < 0)
        whole = NULL;
    nt_copy_text(reterr->message, sizeof(reterr->message), whole ? whole : text);
    return -1;
}

int nt_wrap(struct nt_error *reterr, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    nt_autofree char *whole = NULL;
    if (asprintf(&whole, "%s: %s", text, reterr->message) >= 0)
        nt_copy_text(reterr->message, sizeof(reterr->message), whole);
    else
        whole = NULL;
    return -1;
}

int nt_hint(struct nt_error *reterr, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    format_into(reterr->hint, sizeof(reterr->hint), format, args);
    va_end(args);
    return -1;
}

static const struct nt_error_info rows[] = {
#define X(id, number, text, kind, exit_status, retry) { number, exit_status, text, kind, retry, 0 },
    NT_ERRORS(X)
#undef X
};

const struct nt_error_info *nt_error_row_of(uint32_t code)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcasecmp(text + a - b, end) == 0;
}

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (strcasecmp(text, *list) == 0)
            return true;
    return false;
}

/* The classes of codes and their exit statuses are those of the nullspace client. */
static uint32_t code_of_text(const char *text)
{
    static const char *const auth[] = { "unauthorized", "unauthenticated", "missing_api_key",
                                        NULL };
    static const char *const forbidden[] = { "forbidden", "permission_denied", "volume_read_only",
                                             NULL };
    static const char *const conflict[] = { "conflict",
                                            "sandbox_not_ready",
                                            "snapshot_in_use",
                                            "rebuild_required",
                                            "incompatible_snapshot",
                                            "volume_busy",
                                            NULL };
    static const char *const runtime[] = { "exec_failed", NULL };
    static const char *const timeout[] = { "exec_timeout", "timeout", NULL };
    static const char *const invalid[] = { "invalid_request", "invalid_fields", NULL };
    if (strcmp(text, "CLI_VERSION_TOO_OLD") == 0)
        return NT_E_CLIENT_OLD;
    if (is_one_of(text, auth))
        return NT_E_AUTH;
    if (is_one_of(text, forbidden) || ends_with(text, "_permission_denied"))
        return NT_E_FORBIDDEN;
    if (strcasestr(text, "rate_limit"))
        return NT_E_RATE_LIMIT;
    if (strcasestr(text, "quota") || strcasecmp(text, "capacity_exceeded") == 0
        || strcasecmp(text, "volume_limit_exceeded") == 0)
        return NT_E_QUOTA;
    if (is_one_of(text, conflict) || ends_with(text, "_conflict"))
        return NT_E_CONFLICT;
    if (strcasecmp(text, "not_found") == 0 || ends_with(text, "_not_found"))
        return NT_E_NOT_FOUND;
    if (is_one_of(text, runtime))
        return NT_E_RUNTIME;
    if (is_one_of(text, timeout))
        return NT_E_TIMEOUT;
    if (is_one_of(text, invalid))
        return NT_E_INVALID;
    if (strcasecmp(text, "sandbox_unavailable") == 0)
        return NT_E_UNAVAILABLE;
    if (strcasecmp(text, "not_implemented") == 0 || strcasecmp(text, "not_supported") == 0)
        return NT_E_UNSUPPORTED;
    return 0;
}

uint32_t nt_error_code_of_status(uint32_t status, const char *server_code)
{
    uint32_t code = server_code && *server_code ? code_of_text(server_code) : 0;
    if (code)
        return code;
    switch (status) {
    case 401:
        return NT_E_AUTH;
    case 403:
        return NT_E_FORBIDDEN;
    case 404:
        return NT_E_NOT_FOUND;
    case 409:
        return NT_E_CONFLICT;
    case 429:
        return NT_E_RATE_LIMIT;
    case 501:
        return NT_E_UNSUPPORTED;
    case 504:
        return NT_E_TIMEOUT;
    default:
        return status >= 500 ? NT_E_SERVER : NT_E_INVALID;
    }
}

const char *nt_errno_name(int sys, char *buffer, size_t size)
{
    const char *name = strerrorname_np(sys);
    if (name)
        return name;
    snprintf(buffer, size, "errno %d", sys);
    return buffer;
}
