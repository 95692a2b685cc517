/* SPDX-License-Identifier: Apache-2.0 */
/* order.c - the order of frames within one operation, as one table; see order.h. */
#include "plugins/serve/guest/order.h"

#include "sdk/error.h"

/* What may come for a request: `first` once (0: nothing of the kind), then any of `middle`, then
 * `last`. */
struct row {
    uint16_t request, first, middle[3], last;
};

static const struct row rows[] = {
    { NT_G_EXEC, NT_G_STARTED, { NT_G_STDOUT, NT_G_STDERR }, NT_G_EXIT },
    { NT_G_ATTACH, NT_G_STARTED, { NT_G_STDOUT, NT_G_STDERR }, NT_G_EXIT },
    { NT_G_LOGS, 0, { NT_G_STDOUT, NT_G_STDERR }, NT_G_END },
    { NT_G_PROCS, 0, { NT_G_ENTRY, 0 }, NT_G_END },
    { NT_G_LIST, 0, { NT_G_ENTRY, 0 }, NT_G_END },
    { NT_G_READ, NT_G_OK, { NT_G_DATA, 0 }, NT_G_END },
    { NT_G_WRITE, NT_G_OK, { 0, 0 }, NT_G_OK },
    { NT_G_GREP, 0, { NT_G_ENTRY, 0 }, NT_G_END },
    { NT_G_GLOB, 0, { NT_G_ENTRY, 0 }, NT_G_END },
    { NT_G_WATCH, NT_G_OK, { NT_G_ENTRY, 0 }, NT_G_END },
    { NT_G_TREE_READ, NT_G_OK, { NT_G_ENTRY, NT_G_DATA, NT_G_HOLE }, NT_G_END },
    { NT_G_TREE_WRITE, NT_G_OK, { NT_G_ENTRY, 0 }, NT_G_OK },
    { NT_G_PORTS, 0, { NT_G_ENTRY, 0 }, NT_G_END },
    { NT_G_CONNECT, NT_G_OK, { 0, 0 }, 0 }, /* then bytes, no frames */
};

int guest_order_init(struct guest_order *o, const uint8_t *request, size_t size)
{
    struct nt_g_frame f = { 0 };
    if (nt_g_next(request, size, &f) != (int64_t)size || size == 0)
        return -1;
    *o = (struct guest_order){ .request = f.type };
    if (guest_frame_is_raw(f.type) || !guest_fields_ok(f.payload, f.size))
        return -1;
    struct nt_g_field field;
    for (size_t at = 0; nt_g_each(f.payload, f.size, &at, &field) > 0;)
        if (field.tag == NT_GT_FLAGS && f.type == NT_G_EXEC)
            o->background = nt_g_load(field.data, 8) & NT_GX_BACKGROUND;
    return 0;
}

int guest_order_next(struct guest_order *o, uint16_t type, bool *ret_last)
{
    *ret_last = false;
    if (o->stage == 0) {
        o->stage = 1;
        return type == NT_G_HELLO ? 0 : -1;
    }
    if (o->stage == 3 || type == 0)
        return -1;
    if (type == NT_G_BEAT)
        return 0;
    static const struct row simple = { 0, 0, { 0, 0 }, NT_G_OK };
    const struct row *r = &simple;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].request == o->request)
            r = &rows[i];
    if (type == NT_G_ERROR) {
        *ret_last = true;
    } else if (r->first && o->stage == 1) {
        if (type != r->first)
            return -1;
        o->stage = 2;
        *ret_last = o->background;
    } else if (type == r->last) {
        *ret_last = true;
    } else if (type != r->middle[0] && type != r->middle[1] && type != r->middle[2]) {
        return -1;
    }
    if (*ret_last)
        o->stage = 3;
    return 0;
}

/* Unknown tags may be anything. */
static bool is_number(uint16_t tag)
{
    return tag >= NT_GT_VERSION && tag <= NT_GT_LAST && !nt_g_is_text(tag);
}

bool guest_fields_ok(const uint8_t *payload, size_t size)
{
    struct nt_g_field field;
    size_t at = 0;
    int rc;
    while ((rc = nt_g_each(payload, size, &at, &field)) > 0) {
        if (is_number(field.tag) && field.size != 8)
            return false;
        if (field.tag == NT_GT_NONCE
                ? field.size != 16
                : !is_number(field.tag) && field.size && memchr(field.data, 0, field.size))
            return false; /* texts never hold NUL (guest.h): callers may treat them as such */
    }
    return rc == 0;
}

static uint32_t code_of(uint64_t guest_code)
{
    switch (guest_code) {
    case NT_GE_NOT_FOUND:
        return NT_E_NOT_FOUND;
    case NT_GE_INVALID:
    case NT_GE_BAD_DESCRIPTOR:
        return NT_E_INVALID;
    case NT_GE_UNSUPPORTED:
        return NT_E_UNSUPPORTED;
    case NT_GE_LIMIT:
        return NT_E_LIMIT;
    case NT_GE_NOT_STARTED:
        return NT_E_RUNTIME;
    case NT_GE_NOT_ALLOWED:
        return NT_E_FORBIDDEN;
    case NT_GE_MISMATCH:
        return NT_E_BYTE_MISMATCH;
    default:
        return NT_E_SYSTEM;
    }
}

void guest_error_read(const struct nt_g_frame *frame, struct nt_error *ret)
{
    uint64_t code = NT_GE_SYSTEM, sys = 0;
    char text[sizeof(ret->message)] = "the guest reported a failure";
    struct nt_g_field f;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        if (f.tag == NT_GT_CODE)
            code = nt_g_load(f.data, 8);
        if (f.tag == NT_GT_ERRNO)
            sys = nt_g_load(f.data, 8);
        if (f.tag == NT_GT_MESSAGE && f.size) {
            size_t n = f.size < sizeof(text) - 1 ? f.size : sizeof(text) - 1;
            memcpy(text, f.data, n);
            text[n] = '\0';
        }
    }
    nt_fail(ret, code_of(code), "%s", text);
    ret->sys = sys < 4096 ? (int32_t)sys : 0;
    ret->attempt = code && code < 256 ? (uint32_t)code : NT_GE_SYSTEM;
    ret->request_sent = 1;
}
