/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - trees of files as frames of guest.h (TREE_READ, TREE_WRITE), and files put in place.
 *
 * Linked by the guest and by the group files, which are the two ends, and by the server, which
 * checks what passes (copy_order). Only libc: the guest has nothing else. All but copy_order
 * blocks. The other end is hostile: a name is one component below a folder held by a descriptor,
 * nothing is followed, and what was not announced is refused. */
#ifndef GUEST_COPY_H
#define GUEST_COPY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "nanoterm/guest.h"

/* Bytes of a path in a tree. Two of them and a target of a link fit into one frame. */
#define COPY_PATH_MAX (100u * 1024u)
/* Folders in folders: each costs a descriptor. */
#define COPY_DEPTH_MAX 800u

/* What went wrong: NT_GE_* as code, or one of these two. */
#define COPY_LOST 1000u    /* the other end has gone */
#define COPY_STOPPED 1001u /* `stop` was set */
struct copy_error {
    uint64_t code;
    int sys;
    char message[256];
};
/* Fills it; returns -1. */
int copy_fail(struct copy_error *e, uint64_t code, int sys, const char *what);
/* The same for an errno value. */
int copy_fail_sys(struct copy_error *e, int sys, const char *what);

/* --- a connection that carries frames (link.c) ---------------------------------------------- */

struct copy_link {
    int fd;                  /* blocking; borrowed */
    const atomic_int *stop;  /* NULL: never */
    _Atomic uint64_t *moved; /* counts bytes of files; NULL: nobody looks */
    uint8_t *rx, *tx;
    size_t rx_size, rx_at, tx_size;
    int got_fd; /* a descriptor that came (SCM_RIGHTS), taken by whoever reads it; -1: none */
};
/* `early`: what was read already. -1: out of memory, or too much of it. */
int copy_link_init(struct copy_link *l, int fd, const void *early, size_t size);
void copy_link_done(struct copy_link *l);
/* The next frame, valid until the next call. */
int copy_link_next(struct copy_link *l, struct nt_g_frame *ret, struct copy_error *e);
/* Queues bytes; they leave when there are many, or with copy_link_flush. */
int copy_link_put(struct copy_link *l, const void *bytes, size_t size, struct copy_error *e);
int copy_link_flush(struct copy_link *l, struct copy_error *e);
/* Room for `size` bytes (at most NT_G_HEAD + NT_G_FRAME_MAX) at the end of the queue; then
 * tx_size += what was used. */
uint8_t *copy_link_room(struct copy_link *l, size_t size, struct copy_error *e);
/* Reads an NT_G_ERROR. Returns -1. */
int copy_link_refused(const struct nt_g_frame *frame, struct copy_error *e);

/* --- entries (order.c) --------------------------------------------------------------------- */

/* One ENTRY; texts point into the frame. */
struct copy_entry {
    const char *path, *link, *target, *message;
    size_t path_size, link_size, target_size, message_size;
    uint64_t mode, size, uid, gid;
    int64_t mtime_ns;
    int sys; /* not 0: it could not be read, and is not there */
    bool has_link, has_target;
};
/* Reads it and checks each field for itself. -1: *ret_why says what is wrong. */
int copy_entry_read(const struct nt_g_frame *frame, struct copy_entry *ret, const char **ret_why);

/* Checks the order of a tree's frames: ENTRY "" first, each folder directly followed by what is in
 * it, each file by its bytes. Memory: one path. */
struct copy_order {
    char *folder; /* path of the folder that is open */
    size_t folder_size;
    unsigned depth; /* of it; 0: no folder is open */
    uint64_t left;  /* bytes that the file still needs */
    uint64_t count, bytes;
    bool has_root, has_ended;
};
void copy_order_done(struct copy_order *o);
/* One frame (ENTRY, DATA, HOLE, END). With ENTRY: *ret is filled, and *ret_up is the number of
 * folders that are closed before it. */
int copy_order_take(struct copy_order *o, const struct nt_g_frame *frame, struct copy_entry *ret,
                    unsigned *ret_up, const char **ret_why);

/* --- from the disk (read.c) ---------------------------------------------------------------- */

struct copy_totals {
    uint64_t count, bytes;
};
/* Sends the folder or regular file behind fd (taken) with all below it, and END. */
int copy_read(struct copy_link *l, int fd, struct copy_totals *ret, struct copy_error *e);

/* --- to the disk (write.c, settle.c) ------------------------------------------------------- */

/* What could not be kept: frames ENTRY with PATH and MESSAGE, and ERRNO when content is missing. */
struct copy_notes {
    uint8_t *frames;
    size_t size;
    uint64_t count; /* of all, also of those that found no room */
    uint64_t lost;  /* of those with ERRNO */
};
void copy_note(struct copy_notes *n, const char *path, size_t path_size, int sys, const char *what);

#define COPY_MERGE 0x1u     /* into the folder that is there (name may be ".") */
#define COPY_NO_SET_ID 0x2u /* no set-user-ID and set-group-ID bits */
#define COPY_FOLDER 0x4u    /* only a folder may be put there */
struct copy_target {
    int dir;          /* the folder of the destination, held */
    const char *name; /* one component */
    unsigned flags;   /* COPY_* */
};
/* Reads a tree's frames up to END and puts it in place of dir/name, when all of it is there and on
 * the disk. On failure the destination is what it was, and nothing else stays. */
int copy_write(struct copy_link *l, const struct copy_target *target, struct copy_notes *notes,
               struct copy_totals *ret, struct copy_error *e);
/* Whether dir/name may become a folder (or a file); before anything is sent. */
int copy_may_replace(const struct copy_target *target, bool is_folder, struct copy_error *e);
/* Puts the COPY_FRESH of the stage in place of the destination, or merges it into the open folder
 * `into` (-1: none); a folder (which its owner may write until then) then gets its mode. */
int copy_settle(int stage, const struct copy_target *target, int into, bool is_folder, mode_t mode,
                struct copy_notes *notes, struct copy_error *e);
/* Removes dir/name with all below it, of any depth. */
int copy_remove(int dir, const char *name);

/* --- what killed copies have left (stale.c) -------------------------------------------------- */

/* With 16 hexadecimal digits: the names of what is written beside a destination. */
#define COPY_STAGE_NAME ".nanoterm-copy-"
#define COPY_FILE_NAME ".nanoterm-write-"
/* In a stage: what has come, and what was there. */
#define COPY_FRESH "0"
#define COPY_OLD "1"
/* Says that fd is being written. -1: someone has taken it for stale, it is to be made anew. */
int copy_hold(int fd);
/* Removes dir/name, the stage that is open as `stage`: what it holds by the descriptor, and its
 * name only where that still leads to it, for who may write `dir` can put another folder there.
 * Where the file system cannot exchange, it can hold both: then the old one is at no other place,
 * and all of it stays. */
void copy_remove_stage(int dir, const char *name, int stage);
/* Removes from the folder what nobody writes any more. */
void copy_sweep(int dir);

/* --- one file (place.c) -------------------------------------------------------------------- */

/* A file that is written beside its destination. Without a name, where the file system can do that:
 * then nothing stays behind when we are killed. */
struct copy_place {
    int dir;       /* borrowed */
    int fd;        /* write-only; -1: none */
    char temp[48]; /* its name; empty: it has none yet */
};
/* -1: errno. */
int copy_place_open(struct copy_place *p, int dir);
/* Mode, then mtime_ns when it is not INT64_MIN, then to the disk, then over dir/name. */
int copy_place_commit(struct copy_place *p, const char *name, mode_t mode, int64_t mtime_ns);
/* Closes it, and removes it when it was not committed. */
void copy_place_done(struct copy_place *p);

/* Copies what `from` holds, holes as holes, into the empty file `to`, in the kernel where it can.
 * Works for files whose size is not known. *ret: its size. -1: errno; ECANCELED: *stop was set. */
int copy_content(int from, int to, const atomic_int *stop, _Atomic uint64_t *moved, uint64_t *ret);
int copy_set_time(int fd, int64_t mtime_ns);
/* Whether fd is a regular file of a file system that keeps files: reading or writing one of /proc,
 * or of a program (FUSE), does something else, or waits for ever. */
bool copy_is_plain(int fd);

#endif
