/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_watch.h - those who want to hear how a workspace is. */
#ifndef NT_SERVE_API_SANDBOX_WATCH_H
#define NT_SERVE_API_SANDBOX_WATCH_H

struct server;
struct workspace;

/* The row was written like this. */
void sandbox_watch_note(struct server *server, const struct workspace *ws);
/* The server ends: so do they. */
void sandbox_watch_end(struct server *server);

#endif
