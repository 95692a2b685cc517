/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - nt_engine_ops as requests to the monitor. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/monitor/channel.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define WAIT_MS 10000 /* for what is answered at once */

/* A call of the engine, or a stream that is being opened. */
struct nt_engine_op {
    struct nt_engine_op *next;
    uint64_t number;
    nt_engine_done *done;
    nt_engine_each *each;
    void *data;
    const struct nt_stream_events *events; /* a stream */
    char *record;                          /* RECALL: it comes before the result */
};

struct nt_engine {
    struct nt_engine_host host;
    struct nt_engine_op *ops;
};

static struct {
    struct channel *channel;
    struct nt_loop *loop;
    struct client_events events;
    void *data;
    struct nt_engine_state abilities;
    struct nt_engine engine;
    bool is_open;
    uint64_t number;
} client;

/* --- streams: a descriptor that must be taken at once -------------------------------------- */

struct fd_stream {
    struct nt_stream head;
    int fd;
};

static int stream_take_fd(struct nt_stream *stream, struct nt_error *reterr)
{
    struct fd_stream *s = (struct fd_stream *)stream;
    return s->fd >= 0 ? nt_take_fd(s->fd)
                      : nt_fail(reterr, NT_E_NOT_LOCAL, "the descriptor was taken already");
}

static void stream_grant(struct nt_stream *stream, uint64_t bytes)
{
    (void)stream; /* it is closed when the callback returns */
    (void)bytes;
}

static int stream_write(struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags,
                        struct nt_error *reterr)
{
    (void)stream;
    (void)bytes;
    (void)flags;
    return nt_fail(reterr, NT_E_UNSUPPORTED, "this stream is a descriptor: take it");
}

static void stream_nothing(struct nt_stream *stream)
{
    (void)stream; /* not taken: it is closed when the callback returns */
}

static const struct nt_stream_ops stream_ops = {
    .size = sizeof(stream_ops),
    .grant = stream_grant,
    .write = stream_write,
    .finish = stream_nothing,
    .cancel = stream_nothing,
    .take_fd = stream_take_fd,
};

static struct fd_stream stream_of(int fd, uint32_t flags)
{
    return (struct fd_stream){ .head = { sizeof(struct nt_stream), flags, &stream_ops }, .fd = fd };
}

/* --- what the monitor says ----------------------------------------------------------------- */

/* Takes the call of that number out of those in flight. */
static struct nt_engine_op *take(uint64_t number)
{
    for (struct nt_engine_op **at = &client.engine.ops; *at; at = &(*at)->next)
        if ((*at)->number == number) {
            struct nt_engine_op *op = *at;
            *at = op->next;
            return op;
        }
    return NULL;
}

static void op_free(struct nt_engine_op *op)
{
    if (op)
        free(op->record);
    free(op);
}

static void on_result(const struct wire_result *word)
{
    struct nt_engine_op *op = take(word->head.number);
    if (!op)
        return;
    struct nt_engine_result result = {
        .size = sizeof(result),
        .outcome = word->outcome,
        .error = word->error,
        .state = word->state,
        .receipt = { word->receipt, word->receipt_size },
    };
    if (op->record)
        result.record = (struct nt_bytes){ op->record, strlen(op->record) };
    op->done(op->data, &result);
    op_free(op);
}

static void on_record(const struct wire_record *word)
{
    for (struct nt_engine_op *op = client.engine.ops; op; op = op->next)
        if (op->number == word->head.number && !op->record && !op->events)
            op->record = strndup(word->record, sizeof(word->record));
}

static void on_each(const struct wire_each *word)
{
    for (struct nt_engine_op *op = client.engine.ops; op; op = op->next)
        if (op->number == word->head.number && op->each) {
            op->each(op->data, &word->state);
            return;
        }
}

static void tell_closed(const struct nt_engine_op *op, struct fd_stream *stream,
                        const struct nt_error *reason)
{
    if (op->events->close)
        op->events->close(op->data, &stream->head, reason);
}

static void on_stream(const struct wire_error *word, int fd)
{
    struct fd_stream stream = stream_of(fd, NT_STREAM_FD | NT_STREAM_PASS_FDS);
    struct nt_engine_op *op = take(word->head.number);
    struct nt_error error = NT_ERROR_INIT;
    if (op && fd >= 0) {
        op->events->open(op->data, &stream.head);
        if (stream.fd >= 0) {
            nt_fail(&error, NT_E_CANCELLED, "the stream was not taken");
            tell_closed(op, &stream, &error);
        }
    } else if (op) {
        tell_closed(op, &stream, &word->error);
    }
    nt_closep(&stream.fd);
    op_free(op);
}

static void on_event(const struct wire_event *word)
{
    struct nt_engine_event event = {
        .size = sizeof(event), .kind = word->what, .id = word->id, .reason = word->reason
    };
    client.engine.host.event(client.engine.host.data, &event);
}

static void on_accepted(const struct wire_accepted *word, int fd)
{
    struct fd_stream stream = stream_of(fd, NT_STREAM_FD);
    const struct nt_stream_events *events = NULL;
    void *data = NULL;
    if (fd >= 0)
        client.engine.host.accept_stream(client.engine.host.data, word->id, &stream.head, &events,
                                         &data);
    nt_closep(&stream.fd);
}

static size_t size_of(uint32_t kind)
{
    switch (kind) {
    case WIRE_RESULT:
        return sizeof(struct wire_result);
    case WIRE_EACH:
        return sizeof(struct wire_each);
    case WIRE_RECORD:
        return sizeof(struct wire_record);
    case WIRE_STREAM:
    case WIRE_SOCKET: /* it came too late: nobody waits for it */
        return sizeof(struct wire_error);
    case WIRE_EVENT:
        return sizeof(struct wire_event);
    case WIRE_ACCEPTED:
        return sizeof(struct wire_accepted);
    case WIRE_END:
        return sizeof(struct wire_head);
    case WIRE_TLS:
        return sizeof(struct wire_tls);
    default:
        return 0;
    }
}

static bool on_message(void *data, const void *message, size_t size, int fd)
{
    const struct wire_head *head = message;
    (void)data;
    bool takes_fd = false;
    if (size < sizeof(*head) || size != size_of(head->kind)) {
        nt_closep(&fd);
        return false;
    }
    if (head->kind == WIRE_END) {
        client.events.stop(client.data);
    } else if (head->kind == WIRE_TLS) {
        takes_fd = true;
        client.events.tls(client.data, message, fd);
    } else if (client.is_open) {
        takes_fd = head->kind == WIRE_STREAM || head->kind == WIRE_ACCEPTED;
        if (head->kind == WIRE_RESULT)
            on_result(message);
        else if (head->kind == WIRE_EACH)
            on_each(message);
        else if (head->kind == WIRE_RECORD)
            on_record(message);
        else if (head->kind == WIRE_STREAM)
            on_stream(message, fd);
        else if (head->kind == WIRE_EVENT)
            on_event(message);
        else if (head->kind == WIRE_ACCEPTED)
            on_accepted(message, fd);
    }
    if (!takes_fd)
        nt_closep(&fd);
    return true;
}

static void on_closed(void *data)
{
    (void)data;
    client.events.ended(client.data);
}

static const struct channel_events channel_events = { .message = on_message, .closed = on_closed };

/* --- the engine ---------------------------------------------------------------------------- */

static int engine_open(const struct nt_engine_host *host, struct nt_engine **ret,
                       struct nt_error *reterr)
{
    if (!client.channel)
        return nt_fail(reterr, NT_E_INTERNAL, "there is no monitor");
    memcpy(&client.engine.host, host,
           host->size < sizeof(client.engine.host) ? host->size : sizeof(client.engine.host));
    client.is_open = true;
    *ret = &client.engine;
    return 0;
}

static void engine_close(struct nt_engine *engine)
{
    struct nt_engine_op *op;
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_CANCELLED, "the server is ending");
    client.is_open = false;
    while ((op = engine->ops)) {
        engine->ops = op->next;
        if (op->events) {
            struct fd_stream none = stream_of(-1, 0);
            tell_closed(op, &none, &error);
        } else {
            struct nt_engine_result result = { .size = sizeof(result),
                                               .outcome = NT_OP_UNKNOWN,
                                               .error = error };
            op->done(op->data, &result);
        }
        op_free(op);
    }
}

static struct nt_engine_op *op_new(struct nt_engine *engine, const struct nt_engine_call *call)
{
    struct nt_engine_op *op = calloc(1, sizeof(*op));
    if (!op)
        return NULL;
    op->number = ++client.number;
    if (call) {
        op->done = call->done;
        op->data = call->data;
    }
    op->next = engine->ops;
    engine->ops = op;
    return op;
}

/* Sends the request of op; NULL: it could not be sent, and op is gone. */
static struct nt_engine_op *send_op(struct nt_engine_op *op, const void *request, size_t size)
{
    if (channel_send(client.channel, request, size, -1) == 0)
        return op;
    op_free(take(op->number));
    return NULL;
}

static struct wire_call request_of(uint32_t kind, const struct nt_engine_call *call, const char *id)
{
    struct wire_call request = { .head = { .kind = kind } };
    if (call && call->deadline_ms) {
        int64_t left = call->deadline_ms - client.loop->ops->now_ms(client.loop);
        request.wait_ms = left < 1 ? 1 : left > WIRE_WAIT_MS ? WIRE_WAIT_MS : left;
    }
    if (call)
        wire_text(request.key, sizeof(request.key), call->key);
    wire_text(request.id, sizeof(request.id), id);
    return request;
}

static struct nt_engine_op *ask(struct nt_engine *engine, uint32_t kind,
                                const struct nt_engine_call *call, const char *id, int64_t grace_ms,
                                nt_engine_each *each)
{
    /* What the monitor would take for an attack must not come from here by accident. */
    if (kind != WIRE_LIST && !wire_is_id(id))
        return NULL;
    struct nt_engine_op *op = op_new(engine, call);
    if (!op)
        return NULL;
    op->each = each;
    struct wire_call request = request_of(kind, call, id);
    request.head.number = op->number;
    request.grace_ms = grace_ms < 0 ? 0 : grace_ms > WIRE_WAIT_MS ? WIRE_WAIT_MS : grace_ms;
    return send_op(op, &request, sizeof(request));
}

static struct nt_engine_op *engine_create(struct nt_engine *engine,
                                          const struct nt_engine_call *call,
                                          const struct nt_engine_spec *spec)
{
    struct wire_create request = {
        .call = request_of(WIRE_CREATE, call, spec->id),
        .flags = spec->flags,
        .cpu_millis = spec->cpu_millis,
        .pids = spec->pids,
        .memory_bytes = spec->memory_bytes,
        .disk_bytes = spec->disk_bytes,
    };
    if (strlen(spec->image) >= sizeof(request.image)
        || strlen(spec->hostname) >= sizeof(request.hostname)
        || (spec->record && strlen(spec->record) >= sizeof(request.record)))
        return NULL;
    wire_text(request.record, sizeof(request.record), spec->record);
    wire_text(request.hostname, sizeof(request.hostname), spec->hostname);
    wire_text(request.image, sizeof(request.image), spec->image);
    struct nt_engine_op *op = op_new(engine, call);
    if (!op)
        return NULL;
    request.call.head.number = op->number;
    if (!wire_request(&request, sizeof(request)))
        return send_op(op, &request, sizeof(request));
    op_free(take(op->number));
    return NULL;
}

static struct nt_engine_op *engine_keep(struct nt_engine *engine, const struct nt_engine_call *call,
                                        const char *id, const char *record)
{
    struct wire_keep request = { .call = request_of(WIRE_KEEP, call, id) };
    if (!wire_is_id(id) || !*record || strlen(record) >= sizeof(request.record))
        return NULL;
    memcpy(request.record, record, strlen(record) + 1);
    struct nt_engine_op *op = op_new(engine, call);
    if (!op)
        return NULL;
    request.call.head.number = op->number;
    return send_op(op, &request, sizeof(request));
}

static struct nt_engine_op *engine_recall(struct nt_engine *engine,
                                          const struct nt_engine_call *call, const char *id)
{
    return ask(engine, WIRE_RECALL, call, id, 0, NULL);
}

static struct nt_engine_op *engine_start(struct nt_engine *engine,
                                         const struct nt_engine_call *call, const char *id)
{
    return ask(engine, WIRE_START, call, id, 0, NULL);
}

static struct nt_engine_op *engine_stop(struct nt_engine *engine, const struct nt_engine_call *call,
                                        const char *id, int64_t grace_ms)
{
    return ask(engine, WIRE_STOP, call, id, grace_ms, NULL);
}

static struct nt_engine_op *engine_remove(struct nt_engine *engine,
                                          const struct nt_engine_call *call, const char *id)
{
    return ask(engine, WIRE_REMOVE, call, id, 0, NULL);
}

static struct nt_engine_op *engine_inspect(struct nt_engine *engine,
                                           const struct nt_engine_call *call, const char *id)
{
    return ask(engine, WIRE_INSPECT, call, id, 0, NULL);
}

static struct nt_engine_op *engine_list(struct nt_engine *engine, const struct nt_engine_call *call,
                                        nt_engine_each *each)
{
    return ask(engine, WIRE_LIST, call, "", 0, each);
}

static void engine_cancel(struct nt_engine_op *op)
{
    struct wire_call request = { .head = { .kind = WIRE_CANCEL, .number = op->number } };
    (void)channel_send(client.channel, &request, sizeof(request), -1);
}

static int engine_open_stream(struct nt_engine *engine, const char *id,
                              const struct nt_stream_events *events, void *data,
                              struct nt_error *reterr)
{
    if (!wire_is_id(id))
        return nt_fail(reterr, NT_E_NOT_FOUND, "there is no such workspace");
    struct nt_engine_op *op = op_new(engine, NULL);
    if (!op)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a stream");
    op->events = events;
    op->data = data;
    struct wire_call request = request_of(WIRE_OPEN_STREAM, NULL, id);
    request.head.number = op->number;
    if (!send_op(op, &request, sizeof(request)))
        return nt_fail(reterr, NT_E_UNAVAILABLE, "the engine's process is gone");
    return 0;
}

static void engine_abilities(struct nt_engine *engine, struct nt_engine_state *ret)
{
    (void)engine;
    uint32_t size = ret->size && ret->size < sizeof(*ret) ? ret->size : (uint32_t)sizeof(*ret);
    memcpy(ret, &client.abilities, size);
    ret->size = size;
}

const struct nt_engine_ops *client_engine_ops(const struct wire_plan *plan)
{
    static struct nt_engine_ops ops = {
        .size = sizeof(ops),
        .open = engine_open,
        .close = engine_close,
        .create = engine_create,
        .start = engine_start,
        .stop = engine_stop,
        .remove = engine_remove,
        .inspect = engine_inspect,
        .list = engine_list,
        .cancel = engine_cancel,
        .open_stream = engine_open_stream,
        .abilities = engine_abilities,
        .keep = engine_keep,
        .recall = engine_recall,
    };
    ops.caps = plan->caps;
    return &ops;
}

/* --- the acts of life ---------------------------------------------------------------------- */

static void send_plain(uint32_t kind)
{
    struct wire_head request = { .kind = kind };
    (void)channel_send(client.channel, &request, sizeof(request), -1);
}

void client_ready(void)
{
    send_plain(WIRE_READY);
}

void client_leave(void)
{
    send_plain(WIRE_LEAVE);
}

void client_note(const char *line)
{
    struct wire_note request = { .head = { .kind = WIRE_NOTE } };
    wire_text(request.text, sizeof(request.text), line);
    if (client.channel && request.text[0])
        (void)channel_send(client.channel, &request, sizeof(request), -1);
}

static int wait_for(uint64_t number, struct wire_answer *answer, struct nt_error *reterr)
{
    if (channel_wait(client.channel, WIRE_ANSWER, number, answer, sizeof(*answer), NULL, WAIT_MS)
        < 0)
        return nt_fail(reterr, NT_E_UNAVAILABLE, "the engine's process does not answer");
    if (!answer->error.code)
        return 0;
    *reterr = answer->error;
    return -1;
}

int client_owner_key(uint8_t ret_hash[32], bool *ret_made, struct nt_error *reterr)
{
    struct wire_head request = { .kind = WIRE_OWNER_KEY, .number = ++client.number };
    struct wire_answer answer;
    (void)channel_send(client.channel, &request, sizeof(request), -1);
    if (wait_for(request.number, &answer, reterr) < 0)
        return -1;
    memcpy(ret_hash, answer.hash, sizeof(answer.hash));
    *ret_made = answer.made != 0;
    return 0;
}

int client_handover(const char *program, struct nt_error *reterr)
{
    struct wire_handover request = { .head = { WIRE_HANDOVER, 0, ++client.number } };
    struct wire_answer answer;
    if (strlen(program) >= sizeof(request.program))
        return nt_fail(reterr, NT_E_INVALID, "the program's path is too long");
    wire_text(request.program, sizeof(request.program), program);
    if (wire_request(&request, sizeof(request)))
        return nt_fail(reterr, NT_E_INVALID, "not the absolute path of a program");
    (void)channel_send(client.channel, &request, sizeof(request), -1);
    return wait_for(request.head.number, &answer, reterr);
}

int client_listen(const char *address, uint16_t port, int *ret_fd, struct nt_error *reterr)
{
    struct wire_listen request = { .head = { WIRE_LISTEN, 0, ++client.number }, .port = port };
    struct wire_error answer;
    int fd = -1;
    wire_text(request.address, sizeof(request.address), address);
    if (wire_request(&request, sizeof(request)))
        return nt_fail(reterr, NT_E_INVALID, "%s is not an address", address);
    (void)channel_send(client.channel, &request, sizeof(request), -1);
    if (channel_wait(client.channel, WIRE_SOCKET, request.head.number, &answer, sizeof(answer), &fd,
                     WAIT_MS)
        < 0)
        return nt_fail(reterr, NT_E_UNAVAILABLE, "the engine's process does not answer");
    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    *reterr = answer.error;
    return answer.error.code ? -1 : nt_fail(reterr, NT_E_INTERNAL, "no socket came");
}

int client_begin(struct nt_loop *loop, int fd, const struct wire_plan *plan,
                 const struct client_events *events, void *data, struct nt_error *reterr)
{
    client.loop = loop;
    client.events = *events;
    client.data = data;
    client.abilities = plan->abilities;
    client.channel = channel_new(loop, fd, true, &channel_events, NULL, reterr);
    return client.channel ? 0 : -1;
}

void client_end(void)
{
    channel_free(client.channel);
    client.channel = NULL;
}
