/* SPDX-License-Identifier: Apache-2.0 */
/* file_watch.c - WS /v1/sandboxes/{}/ws without a channel: the first message says what it is for,
 * and that is file_watch. Ends when the socket closes, the time is over or what is watched has
 * gone.
 *
 * A folder may be quiet for days, a guest may not: it is asked for heartbeats, and one that stands
 * still ends the watch instead of looking like a quiet folder.
 *
 * Clients ignore an error without their id and then wait in vain, so every error carries it. A
 * client that reads too slowly loses events and is told to look again (resync_required). */
#include "plugins/serve/api/file_watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/channel.h"
#include "plugins/serve/api/exec_ws.h"
#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/http/json_text.h"
#include "sdk/error.h"

#define TIMEOUT_MAX_S 2592000.0 /* 30 days */
#define BEAT_MS 10000
#define SILENCE_MS 30000

/* One connection; lives until the socket is closed and the guest's operation has ended. */
struct watch {
    struct server *server;
    struct net_ws *sock;
    struct guest_op *op;
    struct nt_timer *first;
    struct workspace ws;
    struct nt_buf message;
    json_t *request;
    char root[FILE_PATH_MAX];
    bool has_begun;
    bool is_over;
    bool is_full;  /* the socket's queue takes no more */
    bool has_lost; /* events, meanwhile */
};

static void watch_check(struct watch *w)
{
    if (w->sock || w->op)
        return;
    w->server->loop->ops->timer_end(w->first);
    nt_buf_done(&w->message);
    json_decref(w->request);
    free(w);
}

static void watch_over(struct watch *w, uint16_t code, const char *reason)
{
    w->is_over = true;
    if (w->sock)
        net_ws_close(w->sock, code, reason);
    if (w->op)
        guest_op_cancel(w->op);
}

static json_t *message_new(const struct watch *w, const char *type)
{
    json_t *m = json_object(), *id = json_object_get(w->request, "id");
    json_object_set_new(m, "type", json_string(type));
    if (json_is_string(id))
        json_object_set(m, "id", id);
    return m;
}

static void watch_error(struct watch *w, uint16_t close_code, const char *code, const char *message)
{
    if (w->sock && !w->is_over) {
        json_t *m = message_new(w, "error");
        json_object_set_new(m, "message", utf8_json(message, strlen(message)));
        json_object_set_new(m, "code", json_string(code));
        exec_ws_send(w->sock, m);
    }
    watch_over(w, close_code, code);
}

/* --- what the guest says ------------------------------------------------------------------- */

static void send_event(struct watch *w, const char *event, struct nt_bytes name,
                       struct nt_bytes path)
{
    json_t *m = message_new(w, "file_event");
    json_object_set_new(m, "event", json_string(event));
    json_object_set_new(m, "name", utf8_json(name.data, name.size));
    json_object_set_new(m, "path", utf8_json(path.data, path.size));
    w->is_full = exec_ws_send(w->sock, m) == 0;
}

static void send_resync(struct watch *w)
{
    const char *slash = strrchr(w->root, '/'), *name = slash && slash[1] ? slash + 1 : w->root;
    send_event(w, "resync_required", (struct nt_bytes){ name, strlen(name) },
               (struct nt_bytes){ w->root, strlen(w->root) });
}

static void on_event(struct watch *w, const struct guest_fields *f)
{
    static const char *const names[] = {
        [NT_GW_CREATE] = "create", [NT_GW_WRITE] = "write", [NT_GW_REMOVE] = "remove",
        [NT_GW_RENAME] = "rename", [NT_GW_CHMOD] = "chmod", [NT_GW_RESYNC] = "resync_required"
    };
    bool is_known = f->event >= NT_GW_CREATE && f->event <= NT_GW_RESYNC;
    if (w->is_full || !is_known)
        w->has_lost = w->has_lost || is_known;
    else
        send_event(w, names[f->event], f->name, f->path);
}

static void on_hello(void *data, uint64_t version, uint64_t caps, const uint8_t nonce[16])
{
    struct watch *w = data;
    (void)version;
    (void)nonce;
    if (caps & NT_GC_BEAT) /* an older guest gives none */
        guest_op_expect_beats(w->op, SILENCE_MS);
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct watch *w = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (w->is_over || !w->sock)
        return;
    if (guest_fields_read(frame, &f, &error) < 0)
        watch_error(w, 1011, "internal_error", "the workspace sent a malformed answer");
    else if (frame->type == NT_G_OK)
        exec_ws_send(w->sock, message_new(w, "file_watch_started"));
    else if (frame->type == NT_G_ENTRY)
        on_event(w, &f);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct watch *w = data;
    w->op = NULL;
    if (!w->is_over && error)
        watch_error(w, 1011, guest_failure_of(error, GUEST_FILE).code,
                    error->message[0] ? error->message : "the workspace ended");
    else if (!w->is_over)
        watch_over(w, 1000, "");
    watch_check(w);
}

static const struct guest_events guest_events = { .hello = on_hello,
                                                  .frame = on_frame,
                                                  .end = on_end };

/* --- what the client says ------------------------------------------------------------------ */

/* timeout_secs in milliseconds; 0: none; -1: not a number that can be one. */
static int64_t timeout_of(const json_t *request)
{
    json_t *value = json_object_get(request, "timeout_secs");
    double seconds = json_number_value(value);
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_number(value) || isnan(seconds) || seconds < 0)
        return -1;
    if (seconds > TIMEOUT_MAX_S)
        seconds = TIMEOUT_MAX_S;
    int64_t ms = (int64_t)(seconds * 1000);
    return seconds > 0 && ms == 0 ? 1 : ms;
}

static int watch_begin(struct watch *w, struct nt_error *reterr)
{
    json_t *path = json_object_get(w->request, "path");
    json_t *user = json_object_get(w->request, "user");
    json_t *recursive = json_object_get(w->request, "recursive");
    const char *type = json_string_value(json_object_get(w->request, "type"));
    int64_t timeout_ms = timeout_of(w->request);
    if (!type || strcmp(type, "file_watch"))
        return nt_fail(reterr, NT_E_INVALID, "the first message must be file_watch");
    if (user && !json_is_null(user)
        && (!json_is_string(user) || !file_user_is_fine(json_string_value(user))))
        return nt_fail(reterr, NT_E_INVALID, "a workspace has one user: agent");
    if (!file_path_resolve(&w->ws, json_string_value(path), json_string_length(path),
                           json_string_value(user), w->root))
        return nt_fail(reterr, NT_E_INVALID, "path must be a path of 1 to 4095 bytes");
    if ((recursive && !json_is_boolean(recursive) && !json_is_null(recursive)) || timeout_ms < 0)
        return nt_fail(reterr, NT_E_INVALID,
                       "recursive must be true or false, timeout_secs a number");
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer frame = nt_g_begin(memory, sizeof(memory), NT_G_WATCH);
    nt_g_add_text(&frame, NT_GT_PATH, w->root);
    nt_g_add_number(&frame, NT_GT_FLAGS, json_is_true(recursive) ? NT_GF_RECURSIVE : 0);
    nt_g_add_number(&frame, NT_GT_TIMEOUT_MS, (uint64_t)timeout_ms);
    nt_g_add_number(&frame, NT_GT_BEAT_MS, BEAT_MS);
    return workspace_guest(w->server, &w->ws, (struct nt_bytes){ memory, nt_g_done(&frame) },
                           &guest_events, w, &w->op, reterr);
}

static void on_message(void *data, struct net_ws *sock, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    struct watch *w = data;
    struct nt_error error = NT_ERROR_INIT;
    net_ws_grant(sock, bytes.size);
    if (w->has_begun || w->is_over)
        return; /* nothing else is known in this protocol */
    nt_buf_add_bytes(&w->message, bytes.data, bytes.size);
    if (!nt_buf_ok(&w->message)) {
        watch_error(w, 1009, "invalid_request", "the message is too long");
        return;
    }
    if (!last)
        return;
    w->has_begun = true;
    w->request = w->message.size ? json_text_parse(w->message.data, w->message.size) : NULL;
    nt_buf_done(&w->message);
    if (!json_is_object(w->request))
        watch_error(w, 1007, "invalid_request", "the first message must be a JSON object");
    else if (watch_begin(w, &error) < 0)
        watch_error(w, 1000, guest_failure_of(&error, GUEST_FILE).code, error.message);
}

static void on_writable(void *data, struct net_ws *sock, uint64_t credit)
{
    struct watch *w = data;
    w->is_full = false;
    if (w->has_lost && !w->is_over) {
        w->has_lost = false;
        send_resync(w);
    }
}

static void on_closed(void *data, struct net_ws *sock, uint16_t code, const struct nt_error *reason)
{
    struct watch *w = data;
    w->sock = NULL;
    w->is_over = true;
    if (w->op)
        guest_op_cancel(w->op);
    watch_check(w);
}

static const struct net_ws_events ws_events = { .message = on_message,
                                                .writable = on_writable,
                                                .closed = on_closed };

static void on_first_late(void *data)
{
    struct watch *w = data;
    if (!w->has_begun && w->sock)
        watch_over(w, 1008, "no message came");
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    if (!channel_can_begin(x, ws))
        return;
    struct watch *w = calloc(1, sizeof(*w));
    if (!w) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    w->server = exchange_server(x);
    w->ws = workspace_without_texts(ws);
    w->message.max = CHANNEL_TEXT_MAX;
    const struct channel_start start = { &ws_events, on_first_late, w, CHANNEL_TEXT_MAX };
    if (!channel_begin(x, &start, &w->sock, &w->first))
        watch_check(w);
}

void file_watch_accept(struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, NULL);
}
