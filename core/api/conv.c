/* SPDX-License-Identifier: Apache-2.0 */
/* conv.c - one conversation over one connection: what comes back, and where it goes. */
#include "conv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/api/link.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define ERROR_BODY_MAX (64u * 1024)

static void set_error(struct conv *conv, const struct nt_error *error)
{
    if (conv->error.code == NT_OK)
        conv->error = *error;
}

/* Gives up on the connection: what comes is not what was asked for. */
static void drop(struct conv *conv, const struct nt_error *error)
{
    set_error(conv, error);
    conv->done = 1;
    conv->closed = true;
    struct link *link = conv->link;
    conv->link = NULL;
    if (link)
        link_put(link, false);
    stream_tell(conv);
}

static bool is_announced_too_long(const struct conv *conv)
{
    const char *length = answer_header(conv->answer, "Content-Length");
    uint64_t bytes;
    struct nt_error unused = NT_ERROR_INIT;
    return length && nt_parse_u64(length, 0, UINT64_MAX, &bytes, &unused) == 0
           && bytes > conv->max_body_bytes;
}

static void too_long(struct conv *conv)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_RESPONSE, "the answer is longer than %zu bytes", conv->max_body_bytes);
    error.request_sent = 1;
    error.status = (uint16_t)conv->answer->status;
    drop(conv, &error);
}

/* 101 to what we asked for: the connection is no longer HTTP. */
static void switch_protocol(struct conv *conv)
{
    struct link *link = conv->link;
    if (conv->kind == CONV_UPGRADE) {
        struct nt_bytes early = { NULL, 0 };
        conv->fd = net_client_take(link->client, &early);
        if (conv->fd < 0) {
            nt_fail(&conv->error, NT_E_RESPONSE, "the upgraded connection could not be taken over");
            conv->error.request_sent = 1;
            conv->done = 1;
            return; /* closed still comes */
        }
        nt_buf_add_bytes(&conv->early, early.data, early.size);
    }
    conv->is_switched = true;
    conv->link = NULL;
    link_gone(link);
    conv->done = 1;
    stream_tell_later(conv);
}

void conv_head(struct conv *conv, uint32_t status)
{
    struct nt_error error = NT_ERROR_INIT;
    bool is_good =
        status >= 200 && status < 300 && conv->kind != CONV_WS && conv->kind != CONV_UPGRADE;
    size_t max = is_good ? conv->max_body_bytes : ERROR_BODY_MAX;
    conv->answer = answer_new(conv->link->client, status, max);
    if (!conv->answer) {
        nt_fail(&error, NT_E_MEMORY, "out of memory");
        error.request_sent = 1;
        drop(conv, &error);
        return;
    }
    if (status == 101) {
        switch_protocol(conv);
        return;
    }
    conv->is_collecting = conv->kind == CONV_REQUEST || !is_good;
    if (conv->is_collecting && is_good && is_announced_too_long(conv))
        too_long(conv);
    else if (conv->is_collecting)
        net_client_grant(conv->link->client, max + 1);
    else if (conv->kind == CONV_DOWN)
        conv->done = 1;
    else
        stream_tell(conv);
}

void conv_body(struct conv *conv, struct nt_bytes bytes)
{
    if (!conv->is_collecting) {
        stream_tell(conv); /* open comes first */
        if (conv->is_lent && !conv->told_close && !conv->cancelled && conv->events.data)
            conv->events.data(conv->data, &conv->stream, bytes, 0);
        return;
    }
    size_t room = conv->answer->body.max - conv->answer->body.size;
    bool is_error = conv->answer->status >= 300;
    nt_buf_add_bytes(&conv->answer->body, bytes.data,
                     is_error && bytes.size > room ? room : bytes.size);
    if (!nt_buf_ok(&conv->answer->body)) {
        too_long(conv);
    } else if (is_error && bytes.size > room) { /* enough of it */
        struct nt_error error = NT_ERROR_INIT;
        answer_error(conv->answer, conv->method, &error);
        drop(conv, &error);
    }
}

void conv_answered(struct conv *conv, bool reusable)
{
    struct link *link = conv->link;
    struct nt_error error = NT_ERROR_INIT;
    /* A stream has given the head to the command, which it does only with good news. */
    uint32_t status = conv->answer ? conv->answer->status : 200;
    conv->answered = true;
    conv->link = NULL;
    link_put(link, reusable && conv->kind != CONV_WS && conv->kind != CONV_UPGRADE);
    if (conv->answer && status >= 300) {
        answer_error(conv->answer, conv->method, &error);
    } else if (conv->kind == CONV_WS || conv->kind == CONV_UPGRADE) {
        nt_fail(&error, NT_E_RESPONSE,
                "the server answered with status %u where it should have switched protocols",
                status);
        error.status = (uint16_t)status;
        error.request_sent = 1;
    } else if (conv->kind == CONV_UP && !conv->finished && conv->left != 0) {
        nt_fail(&error, NT_E_RESPONSE, "the server answered before it had the whole body");
        error.status = (uint16_t)status;
        error.request_sent = 1;
    }
    if (error.code)
        set_error(conv, &error);
    conv->done = 1;
    stream_tell(conv);
}

void conv_writable(struct conv *conv, uint64_t credit)
{
    conv->credit = credit + CONV_SURPLUS;
    conv->wants_writable = true;
    stream_tell(conv);
}

void conv_closed(struct conv *conv, const struct nt_error *reason)
{
    conv->link = NULL;
    conv->closed = true;
    set_error(conv, reason);
    conv->error.status = (uint16_t)(conv->answer ? conv->answer->status : 0);
    conv->done = 1;
    stream_tell(conv);
}

void conv_free(struct conv *conv)
{
    if (!conv)
        return;
    if (conv->link)
        link_put(conv->link, false);
    if (conv->fd >= 0)
        close(conv->fd);
    answer_free(conv->answer);
    nt_buf_done(&conv->partial);
    nt_buf_done(&conv->early);
    free(conv);
}
