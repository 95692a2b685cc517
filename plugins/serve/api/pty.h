/* SPDX-License-Identifier: Apache-2.0 */
/* pty.h - terminals of programs, as the guest tells of them and as the API does. */
#ifndef NT_SERVE_API_PTY_H
#define NT_SERVE_API_PTY_H

#include <jansson.h>

#include "nanoterm/guest.h"
#include "plugins/serve/http/exchange.h"

struct workspace;

#define PTY_ID_SIZE 41 /* with its NUL */

/* What STARTED, or an ENTRY of PROCS, says of one. */
struct pty_row {
    char id[PTY_ID_SIZE];
    uint64_t pid, flags, cols, rows, offset, running;
};

/* -1: malformed. */
int pty_row_read(const struct nt_g_frame *frame, struct pty_row *ret);
bool pty_id_is_fine(const char *id);
/* A size in a body: absent or null is the fallback; -1: not a number from 1 to 65535. */
int pty_size_read(const json_t *body, const char *key, uint64_t fallback, uint64_t *ret);

/* WS ?channel=pty, in either form. pty_ws.c */
void pty_ws_found(struct exchange *x, const struct workspace *ws, void *data);

#endif
