/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - what the files of this group share: its commands, and the two directions of a
 * transfer. */
#ifndef NT_FILES_H
#define NT_FILES_H

#include <stdbool.h>

#include "nanoterm/host.h"
#include "sdk/buf.h"

enum {
    FILES_E_NOT_A_FILE = NT_E_PLUGIN_FIRST,
};

int files_cp(struct nt_call *call, struct nt_error *reterr);
int files_write(struct nt_call *call, struct nt_error *reterr);

/* What a transfer has moved. */
struct files_moved {
    uint64_t bytes;
    char mtime[40]; /* RFC 3339; empty: not told */
};

/* Sends everything from fd into a file of a workspace; it is replaced when all has arrived.
 * size: bytes that will come, -1: unknown. mode: permission bits, -1: the server's own.
 * NT_E_BYTE_MISMATCH when the server has written another number of bytes than were sent. */
int upload(struct nt_call *call, const char *id, const char *path, int fd, int64_t size, int mode,
           struct files_moved *ret, struct nt_error *reterr);

/* Fetches a file of a workspace to `local`, which is replaced when all has arrived. */
int download(struct nt_call *call, const char *id, const char *path, const char *local,
             struct files_moved *ret, struct nt_error *reterr);

/* Writes "/v1/sandboxes/{id}/file?path={path}". */
int file_path(struct nt_buf *ret, const char *id, const char *path, struct nt_error *reterr);

/* Waits for a transfer's stream, then hands on its error. */
int transfer_end(struct nt_call *call, const uint32_t *done, const struct nt_error *failure,
                 struct nt_error *reterr);

#endif
