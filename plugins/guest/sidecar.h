/* SPDX-License-Identifier: Apache-2.0 */
/* sidecar.h - LOG of an EXEC: a file of the workspace that gets what a program writes, and
 * FILE.exit with its status. A process of its own writes them: file systems of the workspace may
 * hang. */
#ifndef GUEST_SIDECAR_H
#define GUEST_SIDECAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIDECAR_PATH_MAX 1024

struct sidecar;

struct sidecar_events {
    /* Once: both files can be written, or the errno value why not (the sidecar is no more then). */
    void (*opened)(void *data, int sys);
    /* It takes bytes again. */
    void (*writable)(void *data);
    /* What it gets is not kept any more: an errno value. At most once. */
    void (*failed)(void *data, int sys);
};

/**
 * Opens path (absolute): the file is made or emptied, an older FILE.exit removed.
 *
 * @param id  unique: names the file that becomes FILE.exit
 * @return NULL: errno. Else `opened` comes later, never within this call. */
struct sidecar *sidecar_open(const char *path, const char *id, const struct sidecar_events *events,
                             void *data);
/* False: bytes wait; more should come only after `writable`. */
bool sidecar_can_write(const struct sidecar *s);
/* At most NT_G_CHUNK bytes; taken in any case. */
void sidecar_write(struct sidecar *s, const void *bytes, size_t size);
/* Once, after all that belongs before it: FILE.exit is written. Bytes may still follow. */
void sidecar_status(struct sidecar *s, unsigned status);
/* The owner wants no more events. What it was given is still delivered; without a status nothing
 * of FILE.exit stays. NULL is fine. */
void sidecar_close(struct sidecar *s);

/* A child was reaped: true when it was one of these. */
bool sidecar_reaped(int pid);
bool sidecar_is(int pid);
/* How many have not delivered all. */
unsigned sidecars_busy(void);

/* In the child: never returns. sidecar_file.c */
struct sidecar_plan {
    const char *path;
    const char *id;
    int socket;    /* SOCK_SEQPACKET */
    bool is_again; /* the process before this one was killed: nothing is emptied or removed */
};
void sidecar_serve(const struct sidecar_plan *plan) __attribute__((noreturn));

/* Packets to the child begin with one of these. */
#define SIDECAR_BYTES 'b'
#define SIDECAR_STATUS 's' /* one byte more: the status */
/* Packets from it: one of these, and an int32 errno value. */
#define SIDECAR_OPENED 'o' /* 0: it is */
#define SIDECAR_FAILED 'f'
#define SIDECAR_WRITTEN 'w' /* FILE.exit is there */

#endif
