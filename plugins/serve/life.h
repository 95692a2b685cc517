/* SPDX-License-Identifier: Apache-2.0 */
/* life.h - a server with what only its life needs: for server.c, which leads it, server_parts.c and
 * server_listen.c. */
#ifndef NT_SERVE_LIFE_H
#define NT_SERVE_LIFE_H

#include "plugins/serve/listen.h"
#include "plugins/serve/server.h"

struct life {
    struct server server; /* first */
    struct server_options options;
    struct embedded embedded;
    uv_loop_t uv;
    uv_prepare_t prepare; /* buries dead exchanges before the loop sleeps */
    uv_async_t wake;
    struct nt_watch *signals[3];
    struct nt_timer *idle, *drain;
    char engine_dir[4096];
    struct nt_error reconcile_error;
    int data_lock;
    bool drained; /* time for it is over */
    unsigned closing;
};

static inline struct life *life_of(struct server *server)
{
    return (struct life *)server;
}

/* --- server.c ----------------------------------------------------------------------------------
 */

/* To a person, and to who debugs (data: the life). */
void life_say(const struct life *life, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void life_debug(void *data, const char *event, const char *fields);

/* --- server_parts.c: what a server is made of --------------------------------------------------
 */

/* -1: nothing is open. */
int parts_open_loop(struct life *life, struct nt_error *reterr);
/* Store, uploads, way out, engine. What an error leaves open is closed by parts_close. */
int parts_open(struct life *life, struct nt_error *reterr);
/* Nobody is served before it is known what there is. */
int parts_reconcile(struct life *life, struct nt_error *reterr);
/* A start that failed half way: what was asked of the store still gets its answer, as who asked
 * waits for it to free what he has. */
void parts_finish_asked(struct life *life);
/* Listeners, way out, engine, store: each is waited for. */
void parts_close(struct life *life);
void parts_close_loop(struct life *life);

/* --- server_listen.c: where it listens ---------------------------------------------------------
 */

/* Certificate, logins and listeners, own ones or those of the monitor. */
int server_listen(struct life *life, struct nt_error *reterr);
/* Reads the certificate (again). -1: it goes on with the one it has. */
int server_read_tls(struct life *life, struct nt_error *reterr);

#endif
