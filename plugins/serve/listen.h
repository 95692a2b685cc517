/* SPDX-License-Identifier: Apache-2.0 */
/* listen.h - the places where clients connect: the embedded socket with its lock and token, and
 * those of --listen. */
#ifndef NT_SERVE_LISTEN_H
#define NT_SERVE_LISTEN_H

#include "plugins/serve/http/router.h"

struct server_options; /* server.h */

/* Binds one --listen value, or takes the inherited socket at that place, and says what it is.
 * Beyond loopback is NT_E_FORBIDDEN without a certificate, unless it was asked for. A listening
 * descriptor, or -1. */
int listen_bind(const char *where, const struct server_options *options, struct listener *ret_like,
                struct nt_error *reterr);
/* True when a --listen value means the place of an inherited socket. */
bool listen_is_at(const char *where, const char *place);
/* Serves a listening descriptor (takes it). */
int listen_serve(struct server *server, int fd, const struct listener *like,
                 struct nt_error *reterr);

/* The runtime folder and what is in it (local.h). */
struct embedded {
    int dir_fd; /* -1: not in use */
    int lock_fd;
    int ready_fd;  /* -1: nobody waits */
    bool is_bound; /* `sock` is ours */
    uint64_t socket_inode, socket_device;
    char name[32];  /* under which it was bound */
    char path[300]; /* of `sock`, for people */
};

#define EMBEDDED_INIT                                                                              \
    {                                                                                              \
        .dir_fd = -1, .lock_fd = -1, .ready_fd = -1                                                \
    }

/* First of all, in embedded mode: takes the pipe on which somebody waits. */
void embedded_claim(struct embedded *e);
/* Makes and checks the runtime folder, takes the lock (or the inherited one) and makes the token.
 * Nothing listens yet. */
int embedded_begin(struct embedded *e, const struct server_options *options, char ret_token[68],
                   struct nt_error *reterr);
/* Binds sock.<pid> and says what it is; listen_fd >= 0: `sock` is bound already. The listening
 * descriptor, or -1. */
int embedded_bind(struct embedded *e, const char *runtime_dir, int listen_fd,
                  struct listener *ret_like, struct nt_error *reterr);
/* Renames it to sock, and tells the one who waits. */
int embedded_name(struct embedded *e, struct nt_error *reterr);
/* Takes `sock` away, if it is ours: clients begin again with the next server. The lock stays. */
void embedded_unlink(struct embedded *e);
/* Tells the one who waits why there will be no server. */
void embedded_failed(struct embedded *e, const struct nt_error *error);
void embedded_done(struct embedded *e);

/* True inside a workspace: its PID 1 is the guest. */
bool embedded_is_in_workspace(void);
/* One server per data folder, whatever it listens on; the lock goes when the process does, or
 * becomes another program. A descriptor, or -1. */
int folder_lock(const char *data_dir, struct nt_error *reterr);
/* Makes a folder with its parents; the last one must be ours and 0700. */
int folder_make(const char *path, struct nt_error *reterr);

#endif
