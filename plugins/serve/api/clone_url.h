/* SPDX-License-Identifier: Apache-2.0 */
/* clone_url.h - checks what a client wants to have cloned, before git sees it. */
#ifndef NT_SERVE_API_CLONE_URL_H
#define NT_SERVE_API_CLONE_URL_H

#include <stdint.h>

#include "nanoterm/error.h"

/* Where the URL points; only http:// and https:// without user or password, in characters that git
 * and we read the same way. NT_E_INVALID says why not. */
struct clone_url {
    char host[256]; /* without the brackets of an IPv6 address */
    uint16_t port;
};
int clone_url_check(const char *url, struct clone_url *ret, struct nt_error *reterr);
/* A branch or tag name that git cannot take for an option (git-check-ref-format(1)). */
int clone_branch_check(const char *branch, struct nt_error *reterr);

#endif
