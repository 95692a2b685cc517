/* SPDX-License-Identifier: Apache-2.0 */
/* routes.h - the tables of routes of this room; those of what happens inside a workspace are in data_routes.h. */
#ifndef NT_SERVE_API_ROUTES_H
#define NT_SERVE_API_ROUTES_H

#include "plugins/serve/http/exchange.h"

extern const struct routes health_routes;        /* health.c: /healthz */
extern const struct routes local_routes;         /* handover.c: /v1/local/… */
extern const struct routes sandbox_routes;       /* sandboxes.c: create, list, get, remove, timeout, metrics */
extern const struct routes sandbox_state_routes; /* sandbox_state.c: stop, start, hibernate, resume */

#endif
