/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - how the workspace is: the server tells by a WebSocket, at each change. When it does not
 * (it ends, it is older), it is asked now and then, until it tells again. */
#include <stdlib.h>
#include <string.h>

#include "proxy.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define AGAIN_MS 100 /* after a server that told: it ends, and another takes its place */
#define LOOK_MS 3000 /* after one that did not */
#define MESSAGE_MAX 4096u
#define NOT_FOUND "sandbox_not_found"

uint32_t state_of(const char *status)
{
    return !status                            ? STATE_UNKNOWN
           : strcmp(status, "running") == 0   ? STATE_RUNS
           : strcmp(status, "destroyed") == 0 ? STATE_GONE
                                              : STATE_RESTS;
}

/* One conversation; it outlives the command's memory until it has closed. */
struct teller {
    struct proxy *proxy; /* NULL: the command has ended */
    struct nt_stream *stream;
    struct nt_buf message;
};

static void teller_free(struct teller *t)
{
    nt_buf_done(&t->message);
    free(t);
}

static void on_time(void *data)
{
    struct proxy *p = data;
    p->loop->ops->timer_end(p->state_timer);
    p->state_timer = NULL;
    p->is_look_due = true;
    p->wake = 1;
}

static void again(struct proxy *p, int64_t delay_ms)
{
    p->state_timer = p->loop->ops->timer(p->loop, delay_ms, 0, on_time, p);
}

static void on_open(void *data, struct nt_stream *stream)
{
    struct teller *t = data;
    if (!t->proxy)
        return;
    t->proxy->is_state_told = true;
    stream->ops->grant(stream, MESSAGE_MAX);
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    struct teller *t = data;
    stream->ops->grant(stream, bytes.size);
    nt_buf_add_bytes(&t->message, bytes.data, bytes.size);
    if ((flags & NT_DATA_PARTIAL) || !t->proxy)
        return;
    nt_auto_json json_t *json =
        nt_buf_ok(&t->message) ? json_loadb(t->message.data, t->message.size, 0, NULL) : NULL;
    uint32_t state = state_of(nt_json_text(json, "status"));
    nt_buf_reset(&t->message);
    if (state == STATE_UNKNOWN)
        return;
    t->proxy->state = state;
    t->proxy->wake = 1;
}

static void heard_end(struct proxy *p, const struct nt_error *reason)
{
    bool was_told = p->is_state_told;
    p->teller = NULL;
    p->is_state_told = false;
    if (reason && strcmp(reason->server_code, NOT_FOUND) == 0) {
        p->state = STATE_GONE;
    } else if (reason && (reason->code == NT_E_AUTH || reason->code == NT_E_FORBIDDEN)) {
        p->state = STATE_REFUSED;
        p->state_error = *reason;
        p->state_error.size = sizeof(p->state_error);
    } else if (p->state != STATE_GONE) {
        again(p, was_told ? AGAIN_MS : LOOK_MS);
        return;
    }
    p->wake = 1;
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct teller *t = data;
    if (t->proxy)
        heard_end(t->proxy, reason);
    teller_free(t);
}

static int begin(struct teller *t, struct nt_error *reterr)
{
    static const struct nt_stream_events events = {
        .size = sizeof(events), .open = on_open, .data = on_data, .close = on_close
    };
    struct nt_call *call = t->proxy->call;
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    struct nt_response head = { .size = sizeof(head) };
    nt_buf_add(&path, "/v1/sandboxes/");
    nt_buf_add_url_part(&path, t->proxy->id);
    nt_buf_add(&path, "/state");
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the workspace id is too long");
    const struct nt_open open = { .size = sizeof(open),
                                  .kind = NT_OPEN_WS,
                                  .flags = NT_REQ_NO_RETRY | NT_REQ_BEGIN,
                                  .path = nt_buf_text(&path),
                                  .events = &events,
                                  .data = t };
    return call->host->open(call, &open, &t->stream, &head, reterr);
}

void state_begin(struct proxy *p)
{
    struct nt_error error = NT_ERROR_INIT;
    struct teller *t = calloc(1, sizeof(*t));
    if (t) {
        *t = (struct teller){ .proxy = p, .message = NT_BUF(MESSAGE_MAX) };
        p->teller = t;
        if (begin(t, &error) == 0)
            return;
        teller_free(t);
    }
    p->call->host->debug(p->call, "proxy.no_state", error.message);
    heard_end(p, &error);
}

void state_end(struct proxy *p)
{
    p->loop->ops->timer_end(p->state_timer);
    p->state_timer = NULL;
    if (!p->teller)
        return;
    p->teller->proxy = NULL;
    p->teller->stream->ops->cancel(p->teller->stream);
    p->teller = NULL;
}
