/* SPDX-License-Identifier: Apache-2.0 */
/* guest_fields.h - the fields of a guest's frame in one struct, and what its errors mean on the
 * wire of the API. */
#ifndef NT_SERVE_API_GUEST_FIELDS_H
#define NT_SERVE_API_GUEST_FIELDS_H

#include <jansson.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "nanoterm/guest.h"
#include "nanoterm/stream.h"

/* All that the handlers of this folder read. Texts point into the frame; absent ones are empty. */
struct guest_fields {
    uint64_t has; /* bit n: tag n was there */
    uint64_t pid, status, reason, signal, out_bytes, err_bytes, running;
    uint64_t size, mode, mtime_ns, uid, gid, hits;
    uint64_t count, line, event;
    struct nt_bytes path, command, owner, group, target;
    struct nt_bytes text, name;
    uint64_t flags, offset, started_ms, ended_ms;
    struct nt_bytes id, log, message;
};

/* NT_E_RESPONSE: malformed. */
int guest_fields_read(const struct nt_g_frame *frame, struct guest_fields *ret,
                      struct nt_error *reterr);

static inline int guest_fields_has(const struct guest_fields *f, unsigned tag)
{
    return (int)(f->has >> tag & 1u);
}

/* Exit status of a program as a shell would say it: 128 + n for a signal, 124 after its time
 * limit. */
int guest_exit_code(const struct guest_fields *exit);

/* NT_GH_* as a list of words: "memory", "pids", "disk". */
json_t *guest_hits_json(uint64_t hits);

/* What was asked of the guest; decides which codes its errors get. */
enum guest_subject {
    GUEST_FILE,
    GUEST_PROCESS,
    GUEST_EXEC,
};

/* HTTP status and code of the API for an error of workspace_guest or of guest_events.end. */
struct guest_failure {
    uint32_t status;
    uint32_t reserved;
    const char *code;
};
struct guest_failure guest_failure_of(const struct nt_error *error, enum guest_subject subject);
/* 127 or 126 when the error says that the program itself could not be started; else 0. */
int guest_not_started_status(const struct nt_error *error);

#endif
