/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.c - the table of all requests that the API process can make, and what becomes of them. */
#include "monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

#define CALLS_MAX 1024u /* of the engine, in flight */

enum state {
    IN_SETUP = 1,   /* nobody is served yet: it looks for the workspaces there are */
    IN_SERVICE = 2, /* after READY */
    IN_DRAIN = 4,   /* after LEAVE or HANDOVER: what was accepted is finished */
    IN_ANY = 7,
};

/* One call of the engine, or a stream that is being opened. */
struct errand {
    struct monitor *monitor;
    struct errand *next;
    struct nt_engine_op *op; /* NULL: a stream */
    uint64_t number;
};

struct monitor {
    struct nt_loop *loop;
    const struct nt_engine_ops *ops;
    struct nt_engine *engine;
    struct monitor_acts acts;
    void *data;
    struct errand *errands;
    unsigned count;
    enum state state;
    uint32_t seen; /* a bit for each request that may come once */
};

/* --- what goes to the API process ---------------------------------------------------------- */

static struct wire_head head_of(uint32_t kind, uint64_t number)
{
    return (struct wire_head){ .kind = kind, .number = number };
}

static void send(struct monitor *m, const void *message, size_t size, int fd)
{
    /* That it is gone is the owner's to see: its channel has ended. */
    (void)m->acts.send(m->data, message, size, fd);
}

static void send_result(struct monitor *m, uint64_t number, const struct nt_engine_result *result)
{
    struct wire_result word = { .head = head_of(WIRE_RESULT, number),
                                .outcome = result->outcome,
                                .error = result->error,
                                .state = result->state };
    if (result->receipt.size <= sizeof(word.receipt)) {
        word.receipt_size = (uint32_t)result->receipt.size;
        if (word.receipt_size)
            memcpy(word.receipt, result->receipt.data, word.receipt_size);
    }
    send(m, &word, sizeof(word), -1);
}

static void send_record(struct monitor *m, uint64_t number, struct nt_bytes record)
{
    struct wire_record word = { .head = head_of(WIRE_RECORD, number) };
    if (record.size >= sizeof(word.record))
        return; /* an engine that breaks its promise: as if it had none */
    memcpy(word.record, record.data, record.size);
    send(m, &word, sizeof(word), -1);
}

static void refuse_call(struct monitor *m, uint64_t number, uint32_t code, const char *why)
{
    struct nt_engine_result result = { .size = sizeof(result),
                                       .outcome = NT_OP_FAILED,
                                       .error = NT_ERROR_INIT };
    nt_fail(&result.error, code, "%s", why);
    send_result(m, number, &result);
}

static void send_stream(struct monitor *m, uint64_t number, int fd, const struct nt_error *error)
{
    struct wire_error word = { .head = head_of(WIRE_STREAM, number), .error = NT_ERROR_INIT };
    if (error)
        word.error = *error;
    send(m, &word, sizeof(word), fd);
}

/* --- errands ------------------------------------------------------------------------------- */

static struct errand *find(struct monitor *m, uint64_t number)
{
    for (struct errand *e = m->errands; e; e = e->next)
        if (e->number == number)
            return e;
    return NULL;
}

static struct errand *errand_new(struct monitor *m, uint64_t number)
{
    struct errand *e = m->count < CALLS_MAX ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        return NULL;
    *e = (struct errand){ .monitor = m, .next = m->errands, .number = number };
    m->errands = e;
    m->count++;
    return e;
}

static void errand_end(struct errand *errand)
{
    struct monitor *m = errand->monitor;
    for (struct errand **at = &m->errands; *at; at = &(*at)->next)
        if (*at == errand) {
            *at = errand->next;
            break;
        }
    m->count--;
    free(errand);
}

static void on_done(void *data, const struct nt_engine_result *result)
{
    struct errand *e = data;
    if (NT_HAS(struct nt_engine_result, result, record) && result->record.size)
        send_record(e->monitor, e->number, result->record);
    send_result(e->monitor, e->number, result);
    errand_end(e);
}

static void on_each(void *data, const struct nt_engine_state *state)
{
    struct errand *e = data;
    struct wire_each word = { .head = head_of(WIRE_EACH, e->number), .state = *state };
    send(e->monitor, &word, sizeof(word), -1);
}

static struct nt_engine_call call_of(struct monitor *m, const struct wire_call *request,
                                     struct errand *errand)
{
    return (struct nt_engine_call){
        .size = sizeof(struct nt_engine_call),
        .key = request->key,
        .deadline_ms = request->wait_ms ? m->loop->ops->now_ms(m->loop) + request->wait_ms : 0,
        .done = on_done,
        .data = errand,
    };
}

/* --- the engine's calls -------------------------------------------------------------------- */

static struct nt_engine_op *begin(struct monitor *m, const struct wire_call *request,
                                  struct errand *errand)
{
    struct nt_engine_call call = call_of(m, request, errand);
    switch (request->head.kind) {
    case WIRE_CREATE: {
        struct wire_create create;
        memcpy(&create, request, sizeof(create));
        struct nt_engine_spec spec = {
            .size = sizeof(spec),
            .flags = create.flags,
            .id = create.call.id,
            .hostname = create.hostname,
            .image = create.image,
            .cpu_millis = create.cpu_millis,
            .pids = create.pids,
            .memory_bytes = create.memory_bytes,
            .disk_bytes = create.disk_bytes,
            .record = create.record[0] ? create.record : NULL,
        };
        return m->ops->create(m->engine, &call, &spec);
    }
    case WIRE_KEEP:
        return m->ops->keep(m->engine, &call, request->id,
                            ((const struct wire_keep *)(const void *)request)->record);
    case WIRE_RECALL:
        return m->ops->recall(m->engine, &call, request->id);
    case WIRE_START:
        return m->ops->start(m->engine, &call, request->id);
    case WIRE_STOP:
        return m->ops->stop(m->engine, &call, request->id, request->grace_ms);
    case WIRE_REMOVE:
        return m->ops->remove(m->engine, &call, request->id);
    case WIRE_INSPECT:
        return m->ops->inspect(m->engine, &call, request->id);
    default:
        return m->ops->list(m->engine, &call, on_each);
    }
}

static const char *do_call(struct monitor *m, const void *message)
{
    const struct wire_call *request = message;
    uint64_t number = request->head.number;
    if (find(m, number))
        return "a number that is in flight";
    struct errand *e = errand_new(m, number);
    if (!e) {
        refuse_call(m, number, NT_E_LIMIT, "too many calls are in flight");
        return NULL;
    }
    bool is_record = request->head.kind == WIRE_KEEP || request->head.kind == WIRE_RECALL;
    if (is_record && !(m->ops->caps & NT_ENGINE_KEEP)) {
        errand_end(e);
        refuse_call(m, number, NT_E_UNSUPPORTED, "the engine keeps no records");
        return NULL;
    }
    e->op = begin(m, request, e);
    if (!e->op) {
        errand_end(e);
        refuse_call(m, number, NT_E_MEMORY, "the engine could not begin");
    }
    return NULL;
}

static const char *do_cancel(struct monitor *m, const void *message)
{
    const struct wire_call *request = message;
    struct errand *e = find(m, request->head.number);
    if (e && e->op) /* else: its answer is on the way */
        m->ops->cancel(e->op);
    return NULL;
}

static void on_stream_open(void *data, struct nt_stream *stream)
{
    struct errand *e = data;
    struct nt_error error = NT_ERROR_INIT;
    int fd = e->monitor ? stream->ops->take_fd(stream, &error) : -1;
    if (fd < 0) {
        stream->ops->cancel(stream); /* on_stream_close */
        return;
    }
    send_stream(e->monitor, e->number, fd, NULL);
    errand_end(e);
}

static void on_stream_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    struct errand *e = data;
    struct nt_error error = NT_ERROR_INIT;
    (void)stream;
    nt_fail(&error, NT_E_CLOSED, "the connection to the guest has ended");
    if (!e->monitor) {
        free(e);
        return;
    }
    send_stream(e->monitor, e->number, -1, reason ? reason : &error);
    errand_end(e);
}

static const struct nt_stream_events stream_events = { .size = sizeof(stream_events),
                                                       .open = on_stream_open,
                                                       .close = on_stream_close };

static const char *do_open_stream(struct monitor *m, const void *message)
{
    const struct wire_call *request = message;
    uint64_t number = request->head.number;
    struct nt_error error = NT_ERROR_INIT;
    if (find(m, number))
        return "a number that is in flight";
    struct errand *e = errand_new(m, number);
    if (!e)
        nt_fail(&error, NT_E_LIMIT, "too many calls are in flight");
    if (e && m->ops->open_stream(m->engine, request->id, &stream_events, e, &error) == 0)
        return NULL;
    if (e)
        errand_end(e);
    send_stream(m, number, -1, &error);
    return NULL;
}

/* --- the acts of life ---------------------------------------------------------------------- */

static const char *do_owner_key(struct monitor *m, const void *message)
{
    const struct wire_head *request = message;
    struct wire_answer answer = { .head = head_of(WIRE_ANSWER, request->number),
                                  .error = NT_ERROR_INIT };
    bool made = false;
    if (m->acts.owner_key(m->data, answer.hash, &made, &answer.error) < 0)
        memset(answer.hash, 0, sizeof(answer.hash));
    answer.made = made;
    send(m, &answer, sizeof(answer), -1);
    return NULL;
}

static const char *do_ready(struct monitor *m, const void *message)
{
    (void)message;
    m->state = IN_SERVICE;
    m->acts.ready(m->data);
    return NULL;
}

static const char *do_failed(struct monitor *m, const void *message)
{
    const struct wire_error *request = message;
    struct nt_error error = NT_ERROR_INIT;
    /* The texts that are shown, and no more of its struct. */
    error.code = request->error.code;
    wire_text(error.message, sizeof(error.message), request->error.message);
    wire_text(error.hint, sizeof(error.hint), request->error.hint);
    m->acts.failed(m->data, &error);
    return NULL;
}

static const char *do_note(struct monitor *m, const void *message)
{
    const struct wire_note *request = message;
    m->acts.note(m->data, request->text);
    return NULL;
}

static const char *do_leave(struct monitor *m, const void *message)
{
    (void)message;
    m->state = IN_DRAIN;
    m->acts.leave(m->data);
    return NULL;
}

static const char *do_handover(struct monitor *m, const void *message)
{
    const struct wire_handover *request = message;
    struct wire_answer answer = { .head = head_of(WIRE_ANSWER, request->head.number),
                                  .error = NT_ERROR_INIT };
    if (m->acts.handover(m->data, request->program, &answer.error) == 0)
        m->state = IN_DRAIN;
    send(m, &answer, sizeof(answer), -1);
    return NULL;
}

/* Nothing of it is kept: what the API process does not take is closed with the channel, which holds
 * a bounded number of them. */
static const char *do_listen(struct monitor *m, const void *message)
{
    const struct wire_listen *request = message;
    struct wire_error word = { .head = head_of(WIRE_SOCKET, request->head.number),
                               .error = NT_ERROR_INIT };
    int fd = -1;
    if (m->acts.listen(m->data, request->address, (uint16_t)request->port, &fd, &word.error) < 0)
        fd = -1;
    send(m, &word, sizeof(word), fd);
    return NULL;
}

/* --- the table ----------------------------------------------------------------------------- */

static const struct {
    const char *(*handler)(struct monitor *m, const void *message);
    unsigned allowed; /* enum state */
    bool once;
} table[WIRE_REQUESTS] = {
    [WIRE_OWNER_KEY] = { do_owner_key, IN_SETUP, true },
    [WIRE_READY] = { do_ready, IN_SETUP, true },
    [WIRE_FAILED] = { do_failed, IN_SETUP, true },
    [WIRE_NOTE] = { do_note, IN_ANY, false },
    [WIRE_LEAVE] = { do_leave, IN_SERVICE, true },
    [WIRE_HANDOVER] = { do_handover, IN_SERVICE, false },
    [WIRE_CREATE] = { do_call, IN_SERVICE | IN_DRAIN, false },
    [WIRE_START] = { do_call, IN_SERVICE | IN_DRAIN, false },
    [WIRE_STOP] = { do_call, IN_SERVICE | IN_DRAIN, false },
    [WIRE_REMOVE] = { do_call, IN_ANY, false },
    [WIRE_INSPECT] = { do_call, IN_ANY, false },
    [WIRE_LIST] = { do_call, IN_ANY, false },
    [WIRE_CANCEL] = { do_cancel, IN_ANY, false },
    [WIRE_OPEN_STREAM] = { do_open_stream, IN_SERVICE | IN_DRAIN, false },
    [WIRE_KEEP] = { do_call, IN_ANY, false },
    [WIRE_RECALL] = { do_call, IN_ANY, false },
    [WIRE_LISTEN] = { do_listen, IN_SETUP | IN_SERVICE, false },
};

const char *monitor_message(struct monitor *m, const void *message, size_t size)
{
    const char *wrong = wire_request(message, size);
    if (wrong)
        return wrong;
    uint32_t kind = ((const struct wire_head *)message)->kind;
    if (!(table[kind].allowed & m->state))
        return "a request that is not allowed now";
    if (table[kind].once && (m->seen & (1u << kind)))
        return "a request that may come once";
    m->seen |= 1u << kind;
    return table[kind].handler(m, message);
}

/* --- what the engine says by itself -------------------------------------------------------- */

static void on_event(void *data, const struct nt_engine_event *event)
{
    struct monitor *m = data;
    struct wire_event word = { .head = head_of(WIRE_EVENT, 0), .what = event->kind };
    wire_text(word.id, sizeof(word.id), event->id);
    wire_text(word.reason, sizeof(word.reason), event->reason);
    send(m, &word, sizeof(word), -1);
}

static void on_accept_stream(void *data, const char *id, struct nt_stream *stream,
                             const struct nt_stream_events **ret_events, void **ret_data)
{
    struct monitor *m = data;
    struct nt_error error = NT_ERROR_INIT;
    (void)ret_events;
    (void)ret_data;
    int fd = m->state == IN_SERVICE ? stream->ops->take_fd(stream, &error) : -1;
    if (fd < 0)
        return; /* the engine closes it */
    struct wire_accepted word = { .head = head_of(WIRE_ACCEPTED, 0) };
    wire_text(word.id, sizeof(word.id), id);
    send(m, &word, sizeof(word), fd);
}

static void on_debug(void *data, const char *event, const char *fields)
{
    struct monitor *m = data;
    m->acts.debug(m->data, event, fields);
}

int monitor_open_engine(struct monitor *m, const struct nt_engine_host *given,
                        struct nt_error *reterr)
{
    struct nt_engine_host host = *given;
    host.loop = m->loop;
    host.event = on_event;
    host.accept_stream = on_accept_stream;
    host.debug = on_debug;
    host.data = m;
    return m->ops->open(&host, &m->engine, reterr);
}

struct nt_engine *monitor_engine(struct monitor *m)
{
    return m->engine;
}

int monitor_new(struct nt_loop *loop, const struct nt_engine_ops *ops,
                const struct monitor_acts *acts, void *data, struct monitor **ret,
                struct nt_error *reterr)
{
    /* Streams of bytes would have to be pumped by root: an engine of that kind needs no root. */
    if (!(ops->caps & NT_ENGINE_LOCAL_FD)) {
        nt_fail(reterr, NT_E_UNSUPPORTED, "this engine cannot be used by a server of root");
        return nt_hint(reterr, "run the server as another user");
    }
    struct monitor *m = calloc(1, sizeof(*m));
    if (!m)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the monitor");
    *m = (struct monitor){
        .loop = loop, .ops = ops, .acts = *acts, .data = data, .state = IN_SETUP
    };
    *ret = m;
    return 0;
}

void monitor_free(struct monitor *m)
{
    if (!m)
        return;
    if (m->engine)
        m->ops->close(m->engine);
    /* What is left are streams that were being opened: they call back once more. */
    for (struct errand *e = m->errands; e; e = e->next)
        e->monitor = NULL;
    free(m);
}
