/* SPDX-License-Identifier: Apache-2.0 */
/* helper.h - what runs in a process of its own, on a connection that is its own there
 * (blocking). */
#ifndef GUEST_HELPER_H
#define GUEST_HELPER_H

#include <limits.h>
#include <sys/stat.h>

#include "plugins/guest/state.h"

struct helper_io {
    int fd;
    uint8_t *rx; /* NT_G_HEAD + NT_G_FRAME_MAX */
    size_t rx_size;
    size_t used; /* of rx, by the frame given last */
};

/* All of these end the process when the peer has gone. */
void io_send(struct helper_io *io, struct nt_g_writer *w);
void io_raw(struct helper_io *io, uint16_t type, const void *bytes, size_t size);
/* NT_G_ERROR with the CODE for that errno value; the process ends. */
void io_fail(struct helper_io *io, int sys, const char *what) __attribute__((noreturn));
void io_refuse(struct helper_io *io, uint64_t code, int sys, const char *text)
    __attribute__((noreturn));
/* The same with a descriptor; -1: none. */
void io_send_fd(struct helper_io *io, struct nt_g_writer *w, int fd);
/* Waits for the next frame; -1 when the peer has gone. */
int io_try_next(struct helper_io *io, struct nt_g_frame *ret);

/* A path of the request, absolute; the process ends when it is missing or too long. */
void io_path(struct helper_io *io, const struct request *r, unsigned tag, char ret[PATH_MAX]);

/* Adds the entry fields of what lies at dir/name (not followed). -1: errno. files.c */
int entry_add(struct nt_g_writer *w, int dir, const char *name, const char *path);
/* Sends OK with the entry fields of path. files.c */
void entry_send(struct helper_io *io, const char *path);

/* Where something is written: a name in a folder that is held. */
struct destination {
    int dir;
    char path[PATH_MAX];
    const char *name; /* in path */
};
/* PATH of the request, or PATH/NAME when NAME is there and PATH is a folder (or, but for a tree,
 * ends with a slash). The process ends when it is not valid. files_write.c */
void destination_path(struct helper_io *io, const struct request *r, bool is_tree,
                      char ret[PATH_MAX]);
/* Opens the folder of path, made with all above it when `make`. -1: errno. files_write.c */
int destination_open(struct destination *d, bool make);

void trees_read(struct helper_io *io, const struct request *r);
void trees_write(struct helper_io *io, const struct request *r);
void files_serve(struct helper_io *io, const struct request *r);
void files_write(struct helper_io *io, const struct request *r);
void metrics_serve(struct helper_io *io);

/* Name of an owner or group, from /etc/passwd and /etc/group as they are; its number as text when
 * it has none. Valid until the next call of the same function. names.c */
const char *owner_name(uid_t uid);
const char *group_name(gid_t gid);

#endif
