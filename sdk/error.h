/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - fills and reads a struct nt_error. */
#ifndef NT_SDK_ERROR_H
#define NT_SDK_ERROR_H

#include "nanoterm/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes an error: code, its row's retry, and a message; what was in reterr is lost.
 *
 * @param reterr  of the caller's size; never NULL
 * @param code    NT_E_* or a number of the plugin's own table
 * @return -1, so that it can be
 * returned */
int nt_fail(struct nt_error *reterr, uint32_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with code NT_E_SYSTEM, reterr->sys and ": " with the text of the errno value. */
int nt_fail_sys(struct nt_error *reterr, int sys, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "text: " before the message; all else stays. Returns -1. */
int nt_wrap(struct nt_error *reterr, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets the hint (the next step for the user). Returns -1. */
int nt_hint(struct nt_error *reterr, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies text into a member of a struct nt_error (or any char array), cut between UTF-8 characters;
 * control characters become spaces. */
void nt_copy_text(char *ret, size_t size, const char *text);

/* One row of NT_ERRORS. */
struct nt_error_info {
    uint32_t code;
    uint32_t exit_status;
    const char *text;
    const char *kind;
    uint32_t retry;
    uint32_t reserved;
};

/* The row of a code of the core; NULL for 0 and for a plugin's own number. */
const struct nt_error_info *nt_error_row_of(uint32_t code);

/* The code for an HTTP status >= 400 and the server's own code (may be NULL); the text wins. */
uint32_t nt_error_code_of_status(uint32_t status, const char *server_code);

/* The name of an errno value ("ECONNREFUSED"); "errno N" in a buffer of the caller for an unknown
 * one. */
const char *nt_errno_name(int sys, char *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif
