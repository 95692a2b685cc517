/* SPDX-License-Identifier: Apache-2.0 */
/* inside_channel.c - the confined side of the channel: questions and their answers, and the news
 * that come in between. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/confine/inside_own.h"
#include "sdk/clock.h"
#include "sdk/error.h"
#include "sdk/fds.h"

#define TEXT_MAX (64u * 1024)

_Noreturn void inside_lost(void)
{
    _exit(1);
}

void inside_send(void)
{
    if (!nt_buf_ok(&inside.out))
        return; /* a line that is longer than any that is taken */
    wire_end(&inside.out);
    const char *at = nt_buf_text(&inside.out);
    for (size_t left = inside.out.size; left;) {
        ssize_t n = send(inside.channel, at, left, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            inside_lost();
        at += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
}

static void receive(void *data, size_t size, int *ret_fd)
{
    char *at = data;
    while (size) {
        int count;
        ssize_t n = nt_recv_fds(inside.channel, at, size, ret_fd, ret_fd ? 1 : 0, &count, 0);
        if (n == 0 || (n < 0 && errno != EINTR))
            inside_lost();
        if (n < 0)
            continue;
        at += n;
        size -= (size_t)n;
    }
}

static struct frame *read_any(int *ret_fd)
{
    struct wire_head head;
    receive(&head, sizeof(head), ret_fd);
    struct frame *frame = malloc(sizeof(*frame) + head.size);
    if (!frame)
        inside_lost();
    *frame = (struct frame){ .type = head.type, .size = head.size };
    receive(frame->data, head.size, NULL);
    return frame;
}

static void keep_news(struct frame *frame)
{
    if (inside.last_news)
        inside.last_news->next = frame;
    else
        inside.news = frame;
    inside.last_news = frame;
}

struct frame *inside_read(int *ret_fd)
{
    struct frame *frame;
    while (wire_is_news((frame = read_any(ret_fd))->type))
        keep_news(frame);
    frame->next = inside.frames;
    inside.frames = frame;
    return frame;
}

void inside_read_news(void)
{
    struct frame *frame = read_any(NULL);
    if (!wire_is_news(frame->type))
        inside_lost(); /* an answer that nobody waits for */
    keep_news(frame);
}

struct frame *inside_take_news(void)
{
    struct frame *frame = inside.news;
    if (frame)
        inside.news = frame->next;
    if (!inside.news)
        inside.last_news = NULL;
    return frame;
}

struct wire_reader inside_reader(const struct frame *frame)
{
    return (struct wire_reader){ frame->data, frame->size, false };
}

struct frame *inside_ask(uint32_t type, int *ret_fd, struct nt_error *reterr)
{
    if (!nt_buf_ok(&inside.out))
        return nt_fail(reterr, NT_E_LIMIT, "more than the core takes at once"), NULL;
    inside_send();
    struct frame *frame = inside_read(ret_fd);
    if (frame->type == type)
        return frame;
    struct wire_reader r = inside_reader(frame);
    struct nt_error error = NT_ERROR_INIT;
    if (frame->type == WIRE_FAILED)
        wire_get_error(&r, &error);
    else
        nt_fail(&error, NT_E_INTERNAL, "an answer of another kind");
    uint32_t size = reterr->size;
    memcpy(reterr, &error, size < sizeof(error) ? size : sizeof(error));
    reterr->size = size;
    return NULL;
}

struct frame *inside_ask_api(uint32_t type, int *ret_fd, struct nt_error *reterr)
{
    if (!inside.is_running)
        return inside_ask(type, ret_fd, reterr);
    nt_fail(reterr, NT_E_INTERNAL, "a command waited for the API inside a callback");
    return NULL;
}

int inside_read_head(struct wire_reader *r, struct nt_response *ret, struct nt_error *reterr)
{
    uint32_t status = wire_get_u32(r);
    const char *id = wire_need_text(r, TEXT_MAX);
    uint32_t count = wire_get_u32(r);
    struct headers *headers = malloc(sizeof(*headers) + count * sizeof(headers->rows[0]));
    if (!headers)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    headers->count = count;
    for (uint32_t i = 0; i < count; i++) {
        headers->rows[i].name = wire_need_text(r, TEXT_MAX);
        headers->rows[i].value = wire_need_text(r, TEXT_MAX);
    }
    struct nt_response answer = {
        .size = ret->size, .status = status, .request_id = id, .headers = headers
    };
    answer.body = wire_get_bytes(r);
    memcpy(ret, &answer, ret->size < sizeof(answer) ? ret->size : sizeof(answer));
    return 0; /* `headers` lives as long as the command, as all of it */
}
