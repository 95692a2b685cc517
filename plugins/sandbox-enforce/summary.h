/* SPDX-License-Identifier: Apache-2.0 */
/* summary.h - what a person is told of a policy before the program starts, and what a program that
 * reads JSON gets. */
#ifndef NT_ENFORCE_SUMMARY_H
#define NT_ENFORCE_SUMMARY_H

#include "plugins/sandbox-enforce/explain/denials.h"
#include "plugins/sandbox-enforce/options.h"
#include "plugins/sandbox-enforce/policy/policy.h"
#include "plugins/sandbox-enforce/supervise/supervise.h"

/* The grants, one a line; those of groups are counted, with verbosity each. More verbosity: hosts
 * and what is denied. To stderr. */
void summary_print(const struct nt_call *call, const struct policy *policy,
                   const struct options *options);
/* What enforced it, when the program has ended. */
void summary_print_rows(const struct nt_call *call, const struct options *options,
                        const struct supervise_row *rows, size_t count);
/* The same with what enforces it and what would be started; starts with a heading. */
void summary_print_trial(const struct nt_call *call, const struct policy *policy,
                         const struct options *options, const struct supervise_row *rows,
                         size_t count, char *const *argv);

/* The row of run's columns. */
int summary_emit(struct nt_call *call, const struct policy *policy,
                 const struct supervise_row *rows, size_t count, char *const *argv,
                 struct nt_error *reterr);
/* One line on stderr, at the end of a program: {level "end", status, enforcement, denials}. */
int summary_end(uint32_t status, const struct supervise_row *rows, size_t count,
                const struct denials *denials, struct nt_error *reterr);

#endif
