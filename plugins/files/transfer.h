/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.h - a copy in a thread of its own, which blocks on the disk and on the guest, while the
 * loop shows its progress and hears Ctrl-C; and the two ways to the guest. */
#ifndef NT_FILES_TRANSFER_H
#define NT_FILES_TRANSFER_H

#include <pthread.h>

#include "files.h"
#include "plugins/guest/copy/copy.h"

/* What the guest says of a file. */
struct transfer_entry {
    uint64_t mode, size, count, bytes;
    int64_t mtime_ns;
    bool has_mtime;
    char path[4096];
};

struct transfer {
    struct nt_call *call;
    const char *label;
    uint64_t total; /* bytes; 0: not known */
    /* The guest itself speaks (nanoterm-fd/1); else the server, which carries only what follows the
     * guest's first OK, or (upwards) what precedes it. */
    bool is_direct;
    bool is_silent; /* its connection ended before the guest had said anything */
    /* Runs in the thread. -1: error is filled. */
    int (*run)(struct transfer *t);
    void *data;
    /* for run */
    struct copy_link link;
    struct copy_error error;
    /* own */
    atomic_int stop;
    _Atomic uint64_t moved;
    uint32_t done;
    int event;
    struct nt_error lost; /* why the way through the server has ended; code 0: it has not failed */
};

/* The guest's connection is handed over: runs t. NT_E_NOT_LOCAL or NT_E_UNSUPPORTED: nothing has
 * happened, go through the server. */
int transfer_direct(struct transfer *t, const char *id, struct nt_error *reterr);
/* The frames go through the server: method and target of /v1. */
int transfer_remote(struct transfer *t, const char *method, const char *target,
                    struct nt_error *reterr);

/* --- for run ------------------------------------------------------------------------------- */

/* Waits for HELLO and checks that the guest can do that (NT_GC_*). */
int transfer_greet(struct transfer *t, uint64_t caps);
/* Sends a request. */
int transfer_say(struct transfer *t, struct nt_g_writer *w);
/* Waits for OK and reads it; entries before it become notes. */
int transfer_ok(struct transfer *t, struct copy_notes *notes, struct transfer_entry *ret);
/* After a failed send: the guest may have said why before it closed the connection. */
int transfer_why(struct transfer *t);

/* In transfer_link.c: starts the thread, waits, joins. Used by the two functions above. */
int transfer_wait(struct transfer *t, const uint32_t *also, struct nt_error *reterr);
int transfer_failed(const struct transfer *t, struct nt_error *reterr);

#endif
