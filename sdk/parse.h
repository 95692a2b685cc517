/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - text to numbers, with bounds and an error that names what was wrong. */
#ifndef NT_SDK_PARSE_H
#define NT_SDK_PARSE_H

#include <stdint.h>

#include "nanoterm/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Decimal digits only (no sign, no space). NT_E_USAGE otherwise, or outside [min, max]. */
int nt_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                 struct nt_error *reterr);
/* The same with an optional '-'. */
int nt_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret, struct nt_error *reterr);
/* "250ms", "10s", "5m", "2h"; a bare number is seconds; one decimal fraction is fine ("1.5s"). */
int nt_parse_duration_ms(const char *text, int64_t min_ms, int64_t max_ms, int64_t *ret,
                         struct nt_error *reterr);
/* "512", "64k", "10M", "2G", "1T", also with B or iB behind; powers of 1024. */
int nt_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                  struct nt_error *reterr);

#ifdef __cplusplus
}
#endif

#endif
