/* SPDX-License-Identifier: Apache-2.0 */
/* secret_op.c - a credential from 1Password by its program `op`. */
#include "plugins/sandbox-enforce/proxy/secret.h"

int secret_of_op(const struct policy *policy, const char *reference, char **ret,
                 struct nt_error *reterr)
{
    const char *const argv[] = { "op", "read", "--no-newline", reference, NULL };
    return secret_of_program(policy, argv, "1Password CLI", reference, ret, reterr);
}
