/* SPDX-License-Identifier: Apache-2.0 */
/* file_watch.h - file events of a workspace over a WebSocket. */
#ifndef NT_SERVE_API_FILE_WATCH_H
#define NT_SERVE_API_FILE_WATCH_H

#include "plugins/serve/http/exchange.h"

/* Takes the exchange of GET /v1/sandboxes/{}/ws when it names no channel. */
void file_watch_accept(struct exchange *x);

#endif
