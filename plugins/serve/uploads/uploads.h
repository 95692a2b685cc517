/* SPDX-License-Identifier: Apache-2.0 */
/* uploads.h - upload sessions: bytes that come in parts, wait on the disk of the server, and go
 * into a workspace as a whole (api/uploads.c has the routes).
 *
 * DIR/uploads/ID/ holds `record` (JSON) and the accepted parts "p0", "p1"…; nothing else is needed
 * to go on after a crash. Loop's thread, but for what says *worker*. */
#ifndef NT_SERVE_UPLOADS_H
#define NT_SERVE_UPLOADS_H

#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"

struct server;
struct uploads;
struct exchange;
struct workspace;
struct upload_publish;

#define UPLOAD_PART_SIZE (8u * 1024 * 1024)
#define UPLOAD_MAX_BYTES (8ull * 1024 * 1024 * 1024)
#define UPLOAD_WS_BYTES (16ull * 1024 * 1024 * 1024)  /* staged for one workspace */
#define UPLOAD_ORG_BYTES (64ull * 1024 * 1024 * 1024) /* and for one organisation */
#define UPLOAD_ORG_OPEN 128u /* sessions of an organisation that are not over */
#define UPLOAD_ORG_KEPT 512u /* with those that are */
#define UPLOAD_CONCURRENCY 4u
#define UPLOAD_LIFE_MS (24 * 3600 * 1000)

enum upload_state {
    UPLOAD_OPEN,
    UPLOAD_COMPLETED,
    UPLOAD_ABORTED,
    UPLOAD_EXPIRED,
    UPLOAD_FAILED,
};

/* What a client asks for. */
struct upload_wish {
    const char *target, *user; /* as sent; user: "" for none */
    const char *key;           /* Idempotency-Key; "": none */
    const char *source_kind;   /* one of the words of the API, as are the next */
    const char *conflict;      /* merge, replace, error */
    const char *whole;         /* SHA-256 of all, 64 lower-case digits; "": not yet known */
    uint64_t length;
    bool is_tar;
};

struct upload {
    struct upload *next;
    struct server *server;
    char id[44], org_id[44], ws_id[44];
    char *target, *user, *key;
    char source_kind[24], conflict[12], whole[65];
    uint64_t length, accepted;
    uint32_t part_count, have_count;
    uint8_t *have; /* a byte for each part */
    bool is_tar;
    enum upload_state state;
    int64_t created_ms, updated_ms, expires_ms;
    uint64_t published_bytes, published_count;
    unsigned refs;
    unsigned writers; /* parts that are coming */
    struct upload_publish *publish;
    bool is_gone; /* no longer in the list */
};

/* A refusal of the API: code file_upload_error with this reason, unless code says something else.
 */
struct upload_error {
    uint32_t status;
    const char *reason, *code; /* literals; one is NULL */
    int64_t part;              /* -1: none */
    bool retryable;
    char message[256];
    char path[256]; /* of an archive's entry; empty: none */
};
#define UPLOAD_ERROR_INIT                                                                          \
    {                                                                                              \
        .part = -1                                                                                 \
    }
/* Fills it; returns -1. */
int upload_refuse(struct upload_error *e, uint32_t status, const char *reason, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));

/* Opens or makes DIR/uploads, takes up what is there and removes what is no longer needed. */
int uploads_open(struct server *server, const char *dir, struct nt_error *reterr);
/* Ends what is being published; its callbacks still come. */
void uploads_close(struct server *server);
/* After the loop's last round. */
void uploads_free(struct server *server);
/* Whether something must be finished before the server leaves. */
bool uploads_is_at_work(const struct server *server);
/* The workspace is gone: so is what waits for it. */
void uploads_forget_workspace(struct server *server, const char *ws_id);

/* A session of that organisation and workspace; NULL: none. */
struct upload *upload_find(struct server *server, const char *org_id, const char *ws_id,
                           const char *id);
/* The one with the same key, or a new one. NULL: refused. */
struct upload *upload_create(struct server *server, const char *org_id, const char *ws_id,
                             const struct upload_wish *wish, struct upload_error *e);
/* Whether it still takes parts; else e says why. */
int upload_is_open(const struct upload *u, struct upload_error *e);
/* It is over: what was staged is removed, the record stays until it expires. */
void upload_end(struct upload *u, enum upload_state state);
uint64_t upload_part_bytes(const struct upload *u, uint32_t part);
/* The part is on the disk. */
void upload_took(struct upload *u, uint32_t part);
struct upload *upload_ref(struct upload *u);
void upload_unref(struct upload *u);
/* Its folder; -1: errno. */
int upload_folder(const struct upload *u);
/* Counts work in flight, which keeps the server from leaving. */
void uploads_begin_work(struct server *server);
void uploads_end_work(struct server *server);

/* --- publish.c ----------------------------------------------------------------------------- */

/* Begins to put it in place, or waits for that with who came before; `done` comes once, later. */
void upload_publish(struct upload *u, const struct workspace *ws, const char *path,
                    void (*done)(void *data, struct upload *u, const struct upload_error *e),
                    void *data);
void upload_publish_cancel(struct upload *u);

/* --- staged.c: *worker* -------------------------------------------------------------------- */

/* The parts as one file. */
struct staged {
    int dir, fd; /* taken; fd: the part that is open, -1: none */
    uint32_t part;
    uint64_t length;
};
/* Bytes at that place, as many as there are up to size; 0: the end; -1: errno. */
ssize_t staged_read(struct staged *s, uint64_t at, void *ret, size_t size);
void staged_done(struct staged *s);
void upload_hex(const uint8_t digest[crypto_hash_sha256_BYTES], char ret[65]);

/* --- archive.c: *worker* ------------------------------------------------------------------- */

/* One entry of a tar, checked: its path lies inside, and so does where a link leads. */
struct archive_item {
    char *path, *target; /* target: of a symbolic link, else NULL */
    uint32_t mode;
    int64_t mtime_ns;
    uint64_t size, offset; /* of its bytes in the archive */
};
struct archive_index {
    struct archive_item *items; /* each folder directly before what is in it */
    size_t count, room;
    uint64_t path_bytes;
};
/* Reads all of it once: what is in it, and the SHA-256 of its bytes. */
int archive_index_read(struct staged *s, struct archive_index *ret, char ret_whole[65],
                       struct upload_error *e);
void archive_index_done(struct archive_index *index);
/* pax.c: the names in the PAX header at that place; NULL: it has none, or is none. Free them. */
void pax_names(struct staged *s, uint64_t header_at, char **ret_path, char **ret_target);

#endif
