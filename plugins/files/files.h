/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - what the files of this group share: its commands, and the ways in and out. */
#ifndef NT_FILES_H
#define NT_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

#include "nanoterm/host.h"
#include "plugins/guest/copy/copy.h"
#include "sdk/buf.h"

enum {
    FILES_E_NOT_A_FILE = NT_E_PLUGIN_FIRST,
};

int files_cp(struct nt_call *call, struct nt_error *reterr);
int files_write(struct nt_call *call, struct nt_error *reterr);
int files_tail(struct nt_call *call, struct nt_error *reterr);

/* The workspace's side of a copy. */
struct files_route {
    const char *id, *path;
    const char *name; /* what it is called in there when path is a folder; NULL: path is the name */
    bool is_merge;
};

/* What a transfer has moved. */
struct files_moved {
    uint64_t bytes;
    char mtime[40];  /* RFC 3339; empty: not told */
    char path[4096]; /* where the other side has written it; empty: not told */
};

/* How a copy has gone. */
struct files_report {
    struct files_moved moved;
    uint64_t entries;
    struct copy_notes notes;
};

/* Sends everything from fd into a file of a workspace; it is replaced when all has arrived.
 * size: bytes that will come, -1: unknown. mode: permission bits, -1: the server's own. mtime_ns:
 * INT64_MIN: now. NT_E_BYTE_MISMATCH when the server has written another number of bytes than were
 * sent. upload.c */
int upload(struct nt_call *call, const struct files_route *route, int fd, int64_t size, int mode,
           int64_t mtime_ns, struct files_moved *ret, struct nt_error *reterr);

/* Fetches a file of a workspace to target, which is replaced when all has arrived; or, with target
 * NULL, to fd. *ret_is_folder: it is a folder, and nothing has happened. download.c */
int download(struct nt_call *call, const struct files_route *route,
             const struct copy_target *target, int fd, struct files_moved *ret, bool *ret_is_folder,
             struct nt_error *reterr);

/* The same where the guest itself can be spoken to; NT_E_NOT_LOCAL, NT_E_UNSUPPORTED: not here.
 * file.c */
int file_in(struct nt_call *call, const struct files_route *route, int local, const struct stat *st,
            struct files_report *report, struct nt_error *reterr);
int file_out(struct nt_call *call, const struct files_route *route,
             const struct copy_target *target, struct files_report *report, bool *ret_is_folder,
             struct nt_error *reterr);

/* Folders; local is taken. tree.c */
int tree_in(struct nt_call *call, const struct files_route *route, int local,
            struct files_report *report, struct nt_error *reterr);
int tree_out(struct nt_call *call, const struct files_route *route,
             const struct copy_target *target, struct files_report *report,
             struct nt_error *reterr);

/* Writes "/v1/sandboxes/{id}{resource}?path=…", with &name= and &merge= of the route. */
int files_target(struct nt_buf *ret, const char *resource, const struct files_route *route,
                 struct nt_error *reterr);
/* RFC 3339 in UTC, with nanoseconds; empty when it is out of range. */
void files_time(int64_t ns, char ret[40]);

/* Waits for a transfer's stream, then hands on its error. */
int transfer_end(struct nt_call *call, const uint32_t *done, const struct nt_error *failure,
                 struct nt_error *reterr);

#endif
