/* SPDX-License-Identifier: Apache-2.0 */
/* show.h - the answer of a raw call on stdout. */
#ifndef NT_CORE_RAW_SHOW_H
#define NT_CORE_RAW_SHOW_H

#include <stdbool.h>

#include "nanoterm/host.h"
#include "sdk/buf.h"

struct raw_show {
    struct nt_call *call;
    struct nt_buf kept; /* --json: the whole body. A terminal: the line that is not whole yet */
    bool has_head;      /* --include */
    bool has_shown_head;
};

void raw_show_init(struct raw_show *show, struct nt_call *call);
void raw_show_done(struct raw_show *show);
/* Some bytes of the body, behind its head. */
int raw_show_bytes(struct raw_show *show, const struct nt_response *head, struct nt_bytes bytes,
                   struct nt_error *reterr);
/* The body is whole. */
int raw_show_end(struct raw_show *show, const struct nt_response *head, struct nt_error *reterr);

#endif
