/* SPDX-License-Identifier: Apache-2.0 */
/* guest_fields.c - reads frames of the guest for the handlers. Its bytes are hostile: sizes are
 * checked by nt_g_each. */
#include "plugins/serve/api/guest_fields.h"

#include <errno.h>

#include "sdk/error.h"

/* Where a number goes; NULL: not one that is read here. */
static uint64_t *number_of(struct guest_fields *f, uint16_t tag)
{
    switch (tag) {
    case NT_GT_PID:
        return &f->pid;
    case NT_GT_STATUS:
        return &f->status;
    case NT_GT_REASON:
        return &f->reason;
    case NT_GT_SIGNAL:
        return &f->signal;
    case NT_GT_OUT_BYTES:
        return &f->out_bytes;
    case NT_GT_ERR_BYTES:
        return &f->err_bytes;
    case NT_GT_RUNNING:
        return &f->running;
    case NT_GT_SIZE:
        return &f->size;
    case NT_GT_MODE:
        return &f->mode;
    case NT_GT_MTIME_NS:
        return &f->mtime_ns;
    case NT_GT_UID:
        return &f->uid;
    case NT_GT_GID:
        return &f->gid;
    case NT_GT_HITS:
        return &f->hits;
    case NT_GT_COUNT:
        return &f->count;
    case NT_GT_LINE:
        return &f->line;
    case NT_GT_EVENT:
        return &f->event;
    case NT_GT_FLAGS:
        return &f->flags;
    case NT_GT_OFFSET:
        return &f->offset;
    case NT_GT_STARTED_MS:
        return &f->started_ms;
    case NT_GT_ENDED_MS:
        return &f->ended_ms;
    default:
        return NULL;
    }
}

static struct nt_bytes *text_of(struct guest_fields *f, uint16_t tag)
{
    switch (tag) {
    case NT_GT_PATH:
        return &f->path;
    case NT_GT_COMMAND:
        return &f->command;
    case NT_GT_OWNER:
        return &f->owner;
    case NT_GT_GROUP:
        return &f->group;
    case NT_GT_TARGET:
        return &f->target;
    case NT_GT_TEXT:
        return &f->text;
    case NT_GT_NAME:
        return &f->name;
    case NT_GT_ID:
        return &f->id;
    case NT_GT_LOG:
        return &f->log;
    case NT_GT_MESSAGE:
        return &f->message;
    default:
        return NULL;
    }
}

int guest_fields_read(const struct nt_g_frame *frame, struct guest_fields *ret,
                      struct nt_error *reterr)
{
    struct guest_fields f = { 0 };
    size_t at = 0;
    int ok = 1, more;
    struct nt_g_field field;
    while ((more = nt_g_each(frame->payload, frame->size, &at, &field)) > 0) {
        uint64_t *number = number_of(&f, field.tag);
        struct nt_bytes *text = text_of(&f, field.tag);
        if (number)
            *number = nt_g_number(&field, &ok);
        else if (text)
            *text = (struct nt_bytes){ field.data, field.size };
        if (field.tag < 64)
            f.has |= UINT64_C(1) << field.tag;
    }
    if (more < 0 || !ok)
        return nt_fail(reterr, NT_E_RESPONSE, "the guest sent a malformed frame");
    *ret = f;
    return 0;
}

int guest_exit_code(const struct guest_fields *f)
{
    switch (f->reason) {
    case NT_GR_EXITED:
        return (int)(f->status & 0xFF);
    case NT_GR_TIMEOUT:
        return 124;
    case NT_GR_SIGNALED:
    case NT_GR_KILLED:
    case NT_GR_MEMORY:
        return f->signal && f->signal < 127 ? 128 + (int)f->signal : 137;
    default:
        return 255; /* lost: the status is not known, so it must not look like success */
    }
}

int guest_not_started_status(const struct nt_error *error)
{
    if (error->attempt != NT_GE_NOT_STARTED)
        return 0;
    return error->sys == ENOENT ? 127 : 126;
}

json_t *guest_hits_json(uint64_t hits)
{
    static const char *const names[] = { "memory", "pids", "disk" };
    _Static_assert(NT_GH_MEMORY == 1 && NT_GH_PIDS == 2 && NT_GH_DISK == 4, "names by bit");
    json_t *list = json_array();
    for (unsigned i = 0; i < 3; i++)
        if (hits & (UINT64_C(1) << i))
            json_array_append_new(list, json_string(names[i]));
    return list;
}

struct guest_failure guest_failure_of(const struct nt_error *error, enum guest_subject subject)
{
    /* what came about without the guest saying anything */
    switch (error->attempt ? 0 : error->code) {
    case NT_E_CONFLICT:
        return (struct guest_failure){ 409, 0, "sandbox_not_ready" };
    case NT_E_MEMORY:
        return (struct guest_failure){ 500, 0, "internal_error" };
    case NT_E_INVALID:
    case NT_E_USAGE:
        return (struct guest_failure){ 400, 0, "invalid_request" };
    case NT_E_TIMEOUT: /* it hangs: asking again at once would only take as long again */
        return (struct guest_failure){ 504, 0, "timeout" };
    default:
        break;
    }
    if (error->attempt == 0) /* no NT_G_ERROR: the guest could not be reached, or was lost */
        return (struct guest_failure){ 503, 0,
                                       subject == GUEST_EXEC ? "exec_failed"
                                                             : "sandbox_unavailable" };
    if (error->attempt == NT_GE_UNSUPPORTED)
        return (struct guest_failure){ 501, 0, "not_implemented" };
    if (subject == GUEST_FILE) {
        if (error->attempt == NT_GE_NOT_FOUND || error->sys == ENOENT)
            return (struct guest_failure){ 404, 0, "file_not_found" };
        if (error->attempt == NT_GE_MISMATCH)
            return (struct guest_failure){ 400, 0, "FILE_WRITE_BYTE_MISMATCH" };
        return (struct guest_failure){ 400, 0, "file_error" };
    }
    if (subject == GUEST_PROCESS) {
        if (error->attempt == NT_GE_NOT_FOUND || error->sys == ESRCH || error->sys == ENOENT)
            return (struct guest_failure){ 404, 0, "process_not_found" };
        return (struct guest_failure){ 400, 0, "invalid_request" };
    }
    if (error->attempt == NT_GE_NOT_STARTED)
        return (struct guest_failure){ 422, 0, "command_not_started" };
    if (error->attempt == NT_GE_INVALID)
        return (struct guest_failure){ 400, 0, "invalid_request" };
    return (struct guest_failure){ 502, 0, "exec_failed" };
}
