/* SPDX-License-Identifier: Apache-2.0 */
/* api.c - one command's conversation with the API: the loop, the deadline, Ctrl-C, and what a
 * plugin asks for. */
#include "api.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/api_state.h"
#include "core/api/conv.h"
#include "core/api/link.h"
#include "core/config/credentials.h"
#include "sdk/error.h"

#define BODY_MAX (8u * 1024 * 1024)
#define FOREVER_MS (3600 * (int64_t)1000)
#define END_MS 500 /* for streams to hear that they have ended, and for connections to close */

static const int signos[API_SIGNALS] = { SIGINT, SIGTERM, SIGHUP };

/* Bytes that came behind an upgrade's head; they live as long as the command. */
struct early {
    struct early *next;
    struct nt_buf bytes;
};

/* --- time and signals ---------------------------------------------------------------------- */

int64_t api_now_ms(const struct api *api)
{
    (void)api;
    return (int64_t)(uv_hrtime() / 1000000);
}

int64_t api_earlier(int64_t a, int64_t b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

static void on_alarm(uv_timer_t *timer)
{
    (void)timer; /* it has ended the wait of the loop, which is all */
}

static void on_signal(uv_signal_t *handle, int signo)
{
    struct api *api = handle->data;
    if (api->loop.watched[signo] == 0)
        api->caught = signo;
}

/* Only while we wait: between two waits a signal does what it does to any program. One that whoever
 * started us has switched off (nohup, a shell's background job) stays off. */
static void catch_signals(struct api *api, bool on)
{
    for (int i = 0; i < API_SIGNALS; i++) {
        struct sigaction now;
        if (!on)
            uv_signal_stop(&api->signals[i]);
        else if (sigaction(signos[i], NULL, &now) == 0
                 && ((now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_IGN))
            uv_signal_start(&api->signals[i], on_signal, signos[i]);
    }
}

int api_pump(struct api *api, const uint32_t *done, int64_t until_ms, struct nt_error *reterr)
{
    catch_signals(api, true);
    api->is_running = true;
    while (!*done && !api->caught) {
        int64_t left = until_ms < 0 ? FOREVER_MS : until_ms - api_now_ms(api);
        if (left <= 0)
            break;
        uv_update_time(&api->uv);
        uv_timer_start(&api->alarm, on_alarm, (uint64_t)left, 0);
        uv_run(&api->uv, UV_RUN_ONCE);
    }
    api->is_running = false;
    uv_timer_stop(&api->alarm);
    catch_signals(api, false);
    if (*done)
        return 0;
    if (api->caught) {
        api->caught = 0;
        return nt_fail(reterr, NT_E_CANCELLED, "interrupted");
    }
    return nt_fail(reterr, NT_E_TIMEOUT, "out of time");
}

int api_sleep(struct api *api, int64_t ms, struct nt_error *reterr)
{
    const uint32_t never = 0;
    struct nt_error over = NT_ERROR_INIT;
    if (api_pump(api, &never, api_now_ms(api) + ms, &over) < 0 && over.code == NT_E_TIMEOUT)
        return 0;
    return nt_fail(reterr, over.code, "%s", over.message);
}

void api_debug(struct api *api, const char *event, const char *format, ...)
{
    if (!api->options.debug)
        return;
    char fields[512];
    va_list args;
    va_start(args, format);
    vsnprintf(fields, sizeof(fields), format, args);
    va_end(args);
    api->options.debug(api->options.data, event, fields);
}

/* --- birth and end ------------------------------------------------------------------------- */

int api_new(const struct api_options *options, struct api **ret, struct nt_error *reterr)
{
    struct api *api = calloc(1, sizeof(*api));
    if (!api)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    api->options = *options;
    api->origin_error = (struct nt_error)NT_ERROR_INIT;
    api->deadline_ms = options->timeout_ms < 0 ? -1 : api_now_ms(api) + options->timeout_ms;
    int rc = uv_loop_init(&api->uv);
    if (rc < 0) {
        free(api);
        return nt_fail_sys(reterr, -rc, "cannot make a loop");
    }
    uv_timer_init(&api->uv, &api->alarm);
    for (int i = 0; i < API_SIGNALS && rc == 0; i++) {
        rc = uv_signal_init(&api->uv, &api->signals[i]);
        api->signals[i].data = api;
    }
    if (rc < 0 || api_loop_init(&api->loop, &api->uv, reterr) < 0) {
        if (rc < 0)
            nt_fail_sys(reterr, -rc, "cannot watch for signals");
        return -1; /* no descriptors or memory are left: the command ends with this */
    }
    /* A URL that cannot be read is told by what needs it, so that all else works. */
    config_origin(options->config, &api->origin, &api->origin_error);
    *ret = api;
    return 0;
}

/* Ends every stream with this reason and lets the plugin hear of it. */
static void end_streams(struct api *api, const struct nt_error *reason)
{
    for (struct conv *conv = api->convs; conv; conv = conv->next)
        stream_end(conv, reason);
    int64_t until = api_now_ms(api) + END_MS;
    api->is_running = true;
    while (api->convs && api_now_ms(api) < until) {
        uv_update_time(&api->uv);
        uv_timer_start(&api->alarm, on_alarm, END_MS, 0);
        uv_run(&api->uv, UV_RUN_ONCE);
    }
    api->is_running = false;
    uv_timer_stop(&api->alarm);
}

/* Runs what is left of the loop, for a moment. */
static bool wind_up(struct api *api)
{
    int64_t until = api_now_ms(api) + END_MS;
    while (uv_run(&api->uv, UV_RUN_NOWAIT) != 0 && api_now_ms(api) < until) {
        int wait = uv_backend_timeout(&api->uv);
        int64_t left = until - api_now_ms(api);
        struct pollfd ready = { .fd = uv_backend_fd(&api->uv), .events = POLLIN };
        poll(&ready, 1, wait < 0 || wait > left ? (int)(left > 0 ? left : 0) : wait);
    }
    return uv_loop_close(&api->uv) == 0;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    struct nt_error reason = NT_ERROR_INIT;
    nt_fail(&reason, NT_E_CANCELLED, "the command has ended");
    reason.request_sent = 1;
    end_streams(api, &reason);
    for (struct link *link = api->links; link; link = link->next)
        if (link->client)
            net_client_close(link->client);
    api_loop_done(&api->loop);
    uv_close((uv_handle_t *)&api->alarm, NULL);
    for (int i = 0; i < API_SIGNALS; i++)
        uv_close((uv_handle_t *)&api->signals[i], NULL);
    if (!wind_up(api))
        /* a peer does not let go: the end of the process does, and the memory stays until then */
        return;
    while (api->answers) {
        struct answer *answer = api->answers;
        api->answers = answer->next;
        answer_free(answer);
    }
    answer_free(api->brief);
    while (api->earlies) {
        struct early *early = api->earlies;
        api->earlies = early->next;
        nt_buf_done(&early->bytes);
        free(early);
    }
    free(api);
}

/* --- what a plugin asks for ---------------------------------------------------------------- */

static int64_t until_of(const struct api *api, int64_t timeout_ms)
{
    return timeout_ms > 0 ? api_earlier(api->deadline_ms, api_now_ms(api) + timeout_ms)
                          : api->deadline_ms;
}

int api_request(struct api *api, const struct nt_request *req, struct nt_response *ret,
                struct nt_error *reterr)
{
    struct conv *conv = NULL;
    uint64_t max = req->max_body_bytes ? req->max_body_bytes : BODY_MAX;
    const char *type = req->content_type ? req->content_type : "application/json";
    const struct conv_spec spec = {
        .kind = CONV_REQUEST,
        .flags = req->flags,
        .method = req->method,
        .path = req->path,
        .content_type = req->body.size ? type : NULL,
        .headers = req->headers,
        .body = req->body,
        .max_body_bytes = max < SIZE_MAX / 2 ? (size_t)max : SIZE_MAX / 2,
        .until_ms = until_of(api, req->timeout_ms),
    };
    if (req->flags & NT_REQ_BRIEF) {
        answer_free(api->brief);
        api->brief = NULL;
    }
    if (converse(api, &spec, &conv, reterr) < 0)
        return -1;
    struct answer *answer = conv->answer;
    conv->answer = NULL;
    conv_free(conv);
    if (req->flags & NT_REQ_BRIEF) {
        api->brief = answer;
    } else {
        answer->next = api->answers;
        api->answers = answer;
    }
    answer_give(answer, ret);
    return 0;
}

const char *api_header(struct api *api, const struct nt_response *response, const char *name)
{
    (void)api;
    return response->headers ? answer_header(response->headers, name) : NULL;
}

bool api_header_at(struct api *api, const struct nt_response *response, uint32_t index,
                   const char **ret_name, const char **ret_value)
{
    (void)api;
    return response->headers && answer_header_at(response->headers, index, ret_name, ret_value);
}

int api_open(struct api *api, const struct nt_open *open, struct nt_stream **ret,
             struct nt_response *ret_head, struct nt_error *reterr)
{
    struct conv *conv = NULL;
    bool is_ws = open->kind == NT_OPEN_WS;
    if (!is_ws && open->kind != NT_OPEN_BODY)
        return nt_fail(reterr, NT_E_UNSUPPORTED, "this version knows no stream of kind %u",
                       open->kind);
    /* Since 1.1. */
    bool has_body = NT_HAS(struct nt_open, open, body) && open->body.size > 0;
    if (has_body && (is_ws || open->body_bytes != (int64_t)open->body.size))
        return nt_fail(reterr, NT_E_INTERNAL, "a body that is not as long as it was announced");
    const struct conv_spec spec = {
        .kind = is_ws                   ? CONV_WS
                : has_body              ? CONV_DOWN
                : open->body_bytes != 0 ? CONV_UP
                                        : CONV_DOWN,
        .flags = open->flags,
        .method = is_ws ? "GET" : open->method,
        .path = open->path,
        .content_type = has_body                          ? "application/json"
                        : !is_ws && open->body_bytes != 0 ? "application/octet-stream"
                                                          : NULL,
        .headers = open->headers,
        .body = has_body ? open->body : (struct nt_bytes){ NULL, 0 },
        .length = open->body_bytes,
        .max_body_bytes = BODY_MAX,
        .until_ms = api->deadline_ms,
        .events = open->events,
        .data = open->data,
        .ret_head = open->flags & NT_REQ_BEGIN ? NULL : ret_head,
    };
    bool is_begun = (open->flags & NT_REQ_BEGIN) != 0;
    if (is_begun && !is_ws)
        return nt_fail(reterr, NT_E_UNSUPPORTED, "only a WebSocket can be begun without waiting");
    if ((is_begun ? converse_begin : converse)(api, &spec, &conv, reterr) < 0)
        return -1;
    if (stream_lend(conv, reterr) < 0) {
        conv_free(conv);
        return -1;
    }
    *ret = &conv->stream;
    return 0;
}

int api_upgrade_local(struct api *api, const char *path, const char *protocol, int *ret_fd,
                      struct nt_bytes *ret_early, struct nt_error *reterr)
{
    struct conv *conv = NULL;
    if (api->origin || api->origin_error.code)
        return nt_fail(reterr, NT_E_NOT_LOCAL, "the API is not the server of this machine");
    const struct conv_spec spec = {
        .kind = CONV_UPGRADE,
        .method = "GET",
        .path = path,
        .protocol = protocol,
        .until_ms = api->deadline_ms,
    };
    if (converse(api, &spec, &conv, reterr) < 0)
        return -1;
    struct early *early = calloc(1, sizeof(*early));
    if (!early || !nt_buf_ok(&conv->early)) {
        free(early);
        conv_free(conv);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    early->bytes = conv->early;
    conv->early = (struct nt_buf)NT_BUF(0);
    early->next = api->earlies;
    api->earlies = early;
    *ret_early = (struct nt_bytes){ early->bytes.data, early->bytes.size };
    *ret_fd = conv->fd;
    conv->fd = -1;
    conv_free(conv);
    return 0;
}

struct nt_loop *api_loop(struct api *api)
{
    return &api->loop.head;
}

int api_wait(struct api *api, const uint32_t *done, struct nt_error *reterr)
{
    if (api->is_running)
        return nt_fail(reterr, NT_E_INTERNAL, "a command waited inside a callback");
    if (api_pump(api, done, api->deadline_ms, reterr) == 0)
        return 0;
    reterr->request_sent = 1; /* the streams of the command have talked to the server */
    end_streams(api, reterr);
    return -1;
}
