/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - what the server must not forget: keys, workspaces, intents, answers already given,
 * events.
 *
 * SQLite on a thread of its own, behind functions that say what is wanted, so that another database
 * can stand in. Each function but store_open and store_close is async: its callback comes once,
 * later, on the loop's thread, and for a change only after it is on the disk (synchronous=FULL;
 * what waits is committed together). -1: no callback will come. Calls take effect in the order they
 * were made. */
#ifndef NT_SERVE_STORE_H
#define NT_SERVE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "nanoterm/error.h"

#define STORE_SCHEMA 4 /* of this program; the newest migration */
#define STORE_KEY_HASH 32u
#define STORE_LIST_MAX 500u

struct store;
struct workspace; /* server.h */

/* --- opening ------------------------------------------------------------------------------- */

enum store_origin {
    STORE_FOUND, /* the database was there */
    STORE_MADE,  /* there was none */
    /* there was one that does not open: moved aside; rows of workspaces are to be made from the
       engine */
    STORE_REBUILT,
};

struct store_opened {
    enum store_origin origin;
    char owner_org[44];
    bool made_owner_key; /* DIR/owner.key is new */
    char moved_to[4096]; /* STORE_REBUILT: where the broken one is */
};

#define STORE_HERE "." /* the current folder, whose path this process may not walk */

/* Where a store is, and who keeps the owner's key. */
struct store_place {
    const char *dir;
    /* Finds the owner's key or makes one, and gives its hash; NULL: owner_key_file for dir. */
    int (*owner_key)(void *data, uint8_t ret_hash[STORE_KEY_HASH], bool *ret_made,
                     struct nt_error *reterr);
    void *data;
};

/* Opens or makes DIR/nanoterm.db and brings it to STORE_SCHEMA. *Waits.* NT_E_CONFIG: it is newer
 * than this program. */
int store_open(uv_loop_t *uv, const struct store_place *place, struct store **ret,
               struct store_opened *ret_opened, struct nt_error *reterr);
/* The key in DIR/owner.key, or a new one: written and on the disk before it returns. */
int owner_key_file(const char *dir, uint8_t ret_hash[STORE_KEY_HASH], bool *ret_made,
                   struct nt_error *reterr);
/* Finishes what was asked (callbacks are not called any more), closes the database, then calls
 * closed. */
void store_close(struct store *store, void (*closed)(void *data), void *data);
/* Calls that have not called back yet. */
uint32_t store_in_flight(const struct store *store);

/* --- keys ---------------------------------------------------------------------------------- */

struct store_key {
    char id[44];
    char org_id[44];
    char name[68];   /* for people */
    char prefix[12]; /* how the key begins; empty: nobody has looked */
    int64_t created_at_ms;
    int64_t last_used_at_ms; /* to the minute; 0: not yet */
};
/* key NULL and error NULL: there is none. */
typedef void store_key_done(void *data, const struct store_key *key, const struct nt_error *error);
typedef void store_done(void *data, const struct nt_error *error);

/* The text of a new key. */
void store_key_make(char ret[64]);
void store_key_hash(const char *key, uint8_t ret[STORE_KEY_HASH]);
/* Not one that was revoked. */
int store_key_find(struct store *store, const uint8_t hash[STORE_KEY_HASH], store_key_done *done,
                   void *data, struct nt_error *reterr);
/* Notes that it was used now; nobody waits for it. */
int store_key_used(struct store *store, const char *id, struct nt_error *reterr);
/* Stores the hash and the beginning of a new key of the organisation's owner. */
int store_key_add(struct store *store, const char *org_id, const char *key, const char *name,
                  store_key_done *done, void *data, struct nt_error *reterr);
/* From the answer on the key is not found any more. */
int store_key_revoke(struct store *store, const char *org_id, const char *id, store_key_done *done,
                     void *data, struct nt_error *reterr);
/* each: once per key that was not revoked, oldest first; then done. */
int store_key_list(struct store *store, const char *org_id,
                   void (*each)(void *data, const struct store_key *key), store_done *done,
                   void *data, struct nt_error *reterr);
/* Another organisation, its owner, and the owner's first key. */
int store_org_add(struct store *store, const char *name, const char *key, store_key_done *done,
                  void *data, struct nt_error *reterr);

/* --- workspaces ---------------------------------------------------------------------------- */

/* Texts of ws are copied. */
/* ws is valid in the call; NULL with error NULL: not there. */
typedef void store_found(void *data, const struct workspace *ws, const struct nt_error *error);

/* By id or by name among those that are not destroyed; org_id NULL: by id alone (the server's own
 * work). */
int store_workspace_find(struct store *store, const char *org_id, const char *id_or_name,
                         store_found *done, void *data, struct nt_error *reterr);

struct store_list {
    const char *org_id; /* NULL: of all (the server's own work) */
    /* created_at_ms and id of the last one seen, "123:ws_…"; NULL: from the newest */
    const char *after;
    uint32_t limit;            /* 1 … STORE_LIST_MAX */
    uint32_t states;           /* 1u << enum workspace_status, or'ed; 0: all but destroyed */
    const char *template_name; /* NULL: any */
};
/* each: once per row, newest first; then done. */
int store_workspace_list(struct store *store, const struct store_list *list,
                         void (*each)(void *data, const struct workspace *ws), store_done *done,
                         void *data, struct nt_error *reterr);

#define STORE_STATES 5u
/* How many workspaces of all organisations are in each enum workspace_status. */
int store_workspace_counts(struct store *store,
                           void (*done)(void *data, const uint64_t counts[STORE_STATES],
                                        const struct nt_error *error),
                           void *data, struct nt_error *reterr);
/* How long commits took; written by the store's thread. */
struct measure *store_commits(struct store *store);

/* An answer that is kept for a repeated request. */
struct store_answer {
    const char *key;        /* Idempotency-Key; NULL: none, nothing is kept */
    const char *route;      /* "POST /v1/sandboxes" */
    const uint8_t *request; /* STORE_KEY_HASH bytes: what was asked */
    uint32_t status;
    const char *body; /* JSON; NULL while it is not known */
};

enum store_begun {
    STORE_BEGUN,         /* the intent is on the disk: act */
    STORE_ANSWERED,      /* the same request was answered before: status and body */
    STORE_OTHER_REQUEST, /* the key was used for something else */
    STORE_PENDING,       /* the same request has begun and not ended */
    STORE_NAME_TAKEN,
};

/* First half of a create: the row (creating), its intent, and the place of the answer, in one
 * transaction. */
int store_workspace_begin(struct store *store, const struct workspace *ws,
                          const struct store_answer *answer,
                          void (*done)(void *data, enum store_begun begun, uint32_t status,
                                       const char *body, const struct nt_error *error),
                          void *data, struct nt_error *reterr);

/* Writes the row as it is now, with an event of that kind ("sandbox.created"), the answer (may be
 * NULL), and forgets the intents of the workspace, in one transaction. A destroyed one frees its
 * name. A row that is not there is made. */
int store_workspace_put(struct store *store, const struct workspace *ws, const char *event,
                        const struct store_answer *answer, store_done *done, void *data,
                        struct nt_error *reterr);
/* A create that came to nothing: the row becomes an error's or (removed) destroyed, and the key may
 * be used again. */
int store_workspace_undo(struct store *store, const struct workspace *ws, store_done *done,
                         void *data, struct nt_error *reterr);

/* What is about to be done to a workspace: "create", "remove", "stop", "start". */
int store_intent(struct store *store, const char *ws_id, const char *what, store_done *done,
                 void *data, struct nt_error *reterr);
/* Intents without outcome, at the start of the server. */
int store_intent_list(struct store *store,
                      void (*each)(void *data, const char *ws_id, const char *what),
                      store_done *done, void *data, struct nt_error *reterr);

/* --- published ports ----------------------------------------------------------------------- */

struct store_port {
    char ws_id[44];
    char org_id[44];
    uint16_t port;      /* inside */
    uint16_t host_port; /* a workspace has each once */
    char address[48];
    char notice[196]; /* why it is not published now; empty: it is, or the workspace is stopped */
};

/* Writes a row, or replaces the one of that host_port. Rows of a destroyed workspace go with it. */
int store_port_put(struct store *store, const struct store_port *port, store_done *done, void *data,
                   struct nt_error *reterr);
int store_port_remove(struct store *store, const char *ws_id, uint16_t host_port, store_done *done,
                      void *data, struct nt_error *reterr);
/* each once per row, by workspace and port; ws_id NULL: of all. */
int store_port_list(struct store *store, const char *ws_id,
                    void (*each)(void *data, const struct store_port *port), store_done *done,
                    void *data, struct nt_error *reterr);

#endif
