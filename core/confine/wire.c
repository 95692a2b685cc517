/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - frames between the core and a confined plugin. */
#include "wire.h"

#include <string.h>

#include "sdk/error.h"

#define NONE UINT32_MAX

void wire_begin(struct nt_buf *b, enum wire_type type)
{
    const struct wire_head head = { type, 0 };
    nt_buf_reset(b);
    nt_buf_add_bytes(b, &head, sizeof(head));
}

void wire_u32(struct nt_buf *b, uint32_t value)
{
    nt_buf_add_bytes(b, &value, sizeof(value));
}

void wire_u64(struct nt_buf *b, uint64_t value)
{
    nt_buf_add_bytes(b, &value, sizeof(value));
}

void wire_bytes(struct nt_buf *b, struct nt_bytes bytes)
{
    if (bytes.size >= NONE) {
        b->failed = true;
        return;
    }
    wire_u32(b, (uint32_t)bytes.size);
    if (bytes.size)
        nt_buf_add_bytes(b, bytes.data, bytes.size);
}

/* With its NUL, so that it can be used where it lies. */
void wire_text(struct nt_buf *b, const char *text)
{
    if (text)
        wire_bytes(b, (struct nt_bytes){ text, strlen(text) + 1 });
    else
        wire_u32(b, NONE);
}

void wire_error(struct nt_buf *b, const struct nt_error *error)
{
    wire_u32(b, error->code);
    wire_u32(b, error->retryable);
    wire_u32(b, error->request_sent);
    wire_u32(b, error->status);
    wire_u32(b, error->attempt);
    wire_u32(b, (uint32_t)error->sys);
    wire_text(b, error->message);
    wire_text(b, error->server_code);
    wire_text(b, error->upstream);
    wire_text(b, error->request_id);
    wire_text(b, error->hint);
}

void wire_end(struct nt_buf *b)
{
    if (!nt_buf_ok(b))
        return;
    uint32_t size = (uint32_t)(b->size - sizeof(struct wire_head));
    memcpy(b->data + offsetof(struct wire_head, size), &size, sizeof(size));
}

/* `size` bytes of the frame; NULL: there are not so many. */
static const char *take(struct wire_reader *r, size_t size)
{
    if (r->failed || r->left < size) {
        r->failed = true;
        return NULL;
    }
    const char *at = r->at;
    r->at += size;
    r->left -= size;
    return at;
}

uint32_t wire_get_u32(struct wire_reader *r)
{
    uint32_t value = 0;
    const char *at = take(r, sizeof(value));
    if (at)
        memcpy(&value, at, sizeof(value));
    return value;
}

uint64_t wire_get_u64(struct wire_reader *r)
{
    uint64_t value = 0;
    const char *at = take(r, sizeof(value));
    if (at)
        memcpy(&value, at, sizeof(value));
    return value;
}

struct nt_bytes wire_get_bytes(struct wire_reader *r)
{
    uint32_t size = wire_get_u32(r);
    const char *at = take(r, size);
    return at ? (struct nt_bytes){ at, size } : (struct nt_bytes){ "", 0 };
}

const char *wire_get_text(struct wire_reader *r, size_t max)
{
    uint32_t size = wire_get_u32(r);
    if (r->failed || size == NONE)
        return NULL;
    const char *at = take(r, size);
    if (!at || size == 0 || size - 1 > max || memchr(at, '\0', size) != at + size - 1) {
        r->failed = true;
        return NULL;
    }
    return at;
}

const char *wire_need_text(struct wire_reader *r, size_t max)
{
    const char *text = wire_get_text(r, max);
    r->failed = r->failed || !text;
    return text ? text : "";
}

#define TAKE(r, member) nt_copy_text(member, sizeof(member), wire_need_text(r, sizeof(member)))

void wire_get_error(struct wire_reader *r, struct nt_error *ret)
{
    *ret = (struct nt_error)NT_ERROR_INIT;
    ret->code = wire_get_u32(r);
    ret->retryable = wire_get_u32(r) != 0;
    ret->request_sent = wire_get_u32(r) != 0;
    ret->status = (uint16_t)wire_get_u32(r);
    ret->attempt = wire_get_u32(r);
    ret->sys = (int32_t)wire_get_u32(r);
    TAKE(r, ret->message);
    TAKE(r, ret->server_code);
    TAKE(r, ret->upstream);
    TAKE(r, ret->request_id);
    TAKE(r, ret->hint);
}

bool wire_is_whole(const struct wire_reader *r)
{
    return !r->failed && r->left == 0;
}
