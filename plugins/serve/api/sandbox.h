/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h - inside api/: a workspace as it comes in (create) and as it goes out (SandboxInfo,
 * narrow and wide). */
#ifndef NT_SERVE_API_SANDBOX_H
#define NT_SERVE_API_SANDBOX_H

#include "plugins/serve/http/exchange.h"
#include "plugins/serve/ports.h"
#include "plugins/serve/server.h"

/* --- sandbox_body.c ------------------------------------------------------------------------ */

struct sandbox_body {
    /* id, organisation and times are not set; envs and metadata are owned by the two below */
    struct workspace ws;
    char *envs, *metadata;
    bool has_name;
    uint32_t spec_flags; /* NT_SPEC_* */
    struct port_wish ports[PORTS_MAX];
    uint32_t port_count;
};

/* Checks and takes in the body of a create. Errors carry the code for the wire (template_not_found,
 * …). */
int sandbox_body_parse(const json_t *body, bool is_wide, bool is_local, struct sandbox_body *ret,
                       struct nt_error *reterr);
void sandbox_body_done(struct sandbox_body *body);
/* "brave-otter", from the system's randomness. */
void sandbox_name_make(char *ret, size_t size);
/* False for a name that could be taken for an id or needs escaping in a path. */
bool sandbox_name_is_fine(const char *name);
/* Milliseconds of a time to live in a body; absent or null: fallback. */
int sandbox_timeout_parse(const json_t *body, int64_t fallback_ms, int64_t *ret,
                          struct nt_error *reterr);
/* timeout_action or lifecycle.on_timeout, when there is one. */
int sandbox_action_parse(const json_t *body, bool *ret_hibernate, struct nt_error *reterr);

/* "ports" of the body, into ret->ports; no socket is made yet. */
int sandbox_ports_parse(const struct server *server, const json_t *body, bool is_local,
                        struct sandbox_body *ret, struct nt_error *reterr);

/* --- sandbox_json.c ------------------------------------------------------------------------ */

/* The one encoder. fields: names separated by commas, only these; NULL: all of the form. */
json_t *sandbox_json(const struct workspace *ws, bool is_wide, const char *fields);
/* SnapshotInfo of the stopped layer; strict: exactly these keys. */
json_t *sandbox_snapshot_json(const struct workspace *ws, uint64_t size_bytes);
/* RFC 3339 with milliseconds and Z; 0: null. */
json_t *sandbox_time_json(int64_t unix_ms);
/* Between the id of a workspace ("ws_x") and of its stopped layer ("sn_x"). */
void sandbox_snapshot_id(const char *ws_id, char *ret, size_t size);
void sandbox_id_of_snapshot(const char *snapshot_id, char *ret, size_t size);
/* A word of `state=` as a bit (1u << enum workspace_status); 0: no such word. */
uint32_t sandbox_state_bit(const char *word, size_t size);

/* --- sandbox_create.c ---------------------------------------------------------------------- */

void sandbox_create(struct server *server, struct exchange *x);

#endif
