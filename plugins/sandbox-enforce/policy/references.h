/* SPDX-License-Identifier: Apache-2.0 */
/* references.h - what names a secret, and which variables may be set: their form, nothing is read
 * here. */
#ifndef NT_ENFORCE_POLICY_REFERENCES_H
#define NT_ENFORCE_POLICY_REFERENCES_H

#include <stdbool.h>

#include "nanoterm/error.h"

/* Of the credential of a service alone: what a command of credential_capture prints. */
#define REFERENCE_CAPTURE "cmd://"
#define REFERENCE_CAPTURE_SIZE (sizeof(REFERENCE_CAPTURE) - 1)

/* An account of the keyring ("openai_api_key"), env://NAME, file:///path, op://vault/item/field,
 * bw://item, bw://item/field or keyring://service/account. ENFORCE_E_CREDENTIAL otherwise. */
int reference_check(const char *reference, struct nt_error *reterr);

/* A variable that may be given a secret: a name, and not one that steers loaders, shells or
 * nanoterm. ENFORCE_E_CREDENTIAL. */
int variable_check(const char *name, struct nt_error *reterr);

bool is_variable_name(const char *name);

#endif
