/* SPDX-License-Identifier: Apache-2.0 */
/* routes.h - every table of routes of this room; router.c lists them. */
#ifndef NT_SERVE_API_ROUTES_H
#define NT_SERVE_API_ROUTES_H

#include "plugins/serve/http/exchange.h"

extern const struct routes health_routes;   /* health.c: /healthz */
extern const struct routes metrics_routes;  /* metrics.c: /metrics */
extern const struct routes stats_routes;    /* stats.c: /v1/stats */
extern const struct routes local_routes;    /* local.c: /v1/local/... */
extern const struct routes cli_auth_routes; /* cli_auth_routes.c: /cli-auth */
extern const struct routes key_routes;      /* keys.c: /v1/keys, /v1/orgs */
extern const struct routes openapi_routes;  /* openapi.c */
extern const struct routes
    sandbox_routes; /* sandboxes.c: create, list, get, remove, timeout, metrics */
extern const struct routes
    sandbox_state_routes; /* sandbox_state.c: stop, start, hibernate, resume */
extern const struct routes sandbox_watch_routes; /* sandbox_watch.c: WS state */
extern const struct routes exec_routes;          /* exec.c */
extern const struct routes exec_ws_routes;       /* exec_ws.c */
extern const struct routes process_routes;       /* processes.c */
extern const struct routes pty_routes;           /* pty.c */
extern const struct routes job_routes;           /* jobs.c */
extern const struct routes files_routes;         /* files.c: JSON */
extern const struct routes file_search_routes;   /* file_search.c: find, search, replace */
extern const struct routes file_batch_routes;    /* file_batch.c: batch-write, POST file */
extern const struct routes file_url_routes;      /* file_urls.c: download-url, upload-url */
extern const struct routes file_routes;          /* file_raw.c: bytes */
extern const struct routes tree_routes;          /* tree.c */
extern const struct routes upload_routes;        /* uploads.c: sessions; upload_part.c */
extern const struct routes fd_routes;            /* fd.c */
extern const struct routes port_routes;          /* ports.c */
extern const struct routes port_connect_routes;  /* ports_connect.c */
extern const struct routes port_ready_routes;    /* ports_ready.c */
extern const struct routes clone_routes;         /* clone.c */

#endif
