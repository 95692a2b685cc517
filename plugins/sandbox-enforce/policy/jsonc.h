/* SPDX-License-Identifier: Apache-2.0 */
/* jsonc.h - JSON with comments and commas before closing brackets, as people write it. */
#ifndef NT_ENFORCE_POLICY_JSONC_H
#define NT_ENFORCE_POLICY_JSONC_H

#include <jansson.h>

#include "nanoterm/error.h"
#include "nanoterm/stream.h"

#define JSONC_MAX (1024u * 1024) /* bytes of a text */

/* Parses an object. A key that stands twice is an error: which of them counts would depend on the
 * reader. ENFORCE_E_PROFILE with line and column; NT_E_LIMIT. */
int jsonc_parse(struct nt_bytes text, json_t **ret, struct nt_error *reterr);

#endif
