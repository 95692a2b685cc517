/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - what the files of this room share: one finding, and who makes them. */
#ifndef NT_DOCTOR_H
#define NT_DOCTOR_H

#include <stdbool.h>

#include "nanoterm/host.h"

enum verdict { FINE, WARN, FAIL };

/* Emits one row. detail and remedy may be empty. ms < 0: no time. */
int doctor_say(struct nt_call *call, const char *check, enum verdict verdict, const char *detail,
               const char *remedy, int64_t ms, struct nt_error *reterr);

/* Each says its rows. -1 only when a row could not be said. */
int doctor_kernel(struct nt_call *call, struct nt_error *reterr);
int doctor_machine(struct nt_call *call, struct nt_error *reterr);
/* *ret_works: all steps were done. */
int doctor_operation(struct nt_call *call, bool *ret_works, struct nt_error *reterr);

#endif
