/* SPDX-License-Identifier: Apache-2.0 */
/* converse.c - attempts until one succeeds: connects, sends, waits, and waits again when retry.c
 * says so. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/api/conv.h"
#include "core/api/head.h"
#include "core/api/link.h"
#include "core/api/local.h"
#include "core/api/retry.h"
#include "core/api/version.h"
#include "core/config/credentials.h"
#include "nanoterm/local.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define HAND_OVER_MS 5000

/* What is left of an attempt for the next one. */
struct outcome {
    int64_t retry_after_ms;
    bool is_reused;
    /* 401 of an embedded server that was replaced meanwhile: its token is another */
    bool has_new_token;
};

static struct conv *conv_new(struct api *api, const struct conv_spec *spec)
{
    struct conv *conv = calloc(1, sizeof(*conv));
    if (!conv)
        return NULL;
    conv->api = api;
    conv->kind = spec->kind;
    conv->method = spec->method;
    conv->max_body_bytes = spec->max_body_bytes;
    conv->error = (struct nt_error)NT_ERROR_INIT;
    conv->fd = -1;
    conv->early = (struct nt_buf)NT_BUF(1024 * 1024);
    conv->data = spec->data;
    conv->ret_head = spec->ret_head;
    conv->left = spec->kind == CONV_UP ? spec->length : 0;
    if (spec->events)
        memcpy(&conv->events, spec->events,
               spec->events->size < sizeof(conv->events) ? spec->events->size
                                                         : sizeof(conv->events));
    conv->finished = spec->kind == CONV_DOWN || spec->kind == CONV_REQUEST;
    return conv;
}

static int send_it(struct conv *conv, const struct conv_spec *spec, const char *key,
                   struct nt_error *reterr)
{
    struct api *api = conv->api;
    struct head head;
    const struct head_options options = {
        .config = api->options.config,
        .prefix = link_prefix(api),
        .path = spec->path,
        .local_token = conv->link->token[0] ? conv->link->token : NULL,
        .content_type = spec->content_type,
        .idempotency_key = key,
        .headers = spec->headers,
        .has_auth = !(spec->flags & NT_REQ_NO_AUTH),
    };
    if (head_make(&options, &head, reterr) < 0)
        return -1;
    const struct net_client_request request = {
        .method = spec->method,
        .target = head.target,
        .headers = head.headers,
        .count = head.count,
        .length = spec->kind == CONV_UP ? spec->length : (int64_t)spec->body.size,
        .body = spec->body,
    };
    struct net_client *client = conv->link->client;
    int status;
    if (spec->kind == CONV_WS)
        status = net_client_ws(client, &request, &stream_ws_events, conv, &conv->ws, reterr);
    else if (spec->kind == CONV_UPGRADE)
        status = net_client_upgrade(client, &request, spec->protocol, reterr);
    else
        status = net_client_request(client, &request, reterr);
    api_debug(api, "http.send", "method=%s path=%s request_id=%s", spec->method, spec->path,
              head.request_id);
    head_done(&head);
    if (status == 0 && spec->kind == CONV_UP)
        conv->done = 1;
    return status;
}

static void copy_error(struct nt_error *ret, const struct nt_error *error)
{
    uint32_t size = ret->size;
    memcpy(ret, error, size < sizeof(*error) ? size : sizeof(*error));
    ret->size = size;
}

/* The wait was cancelled or out of time; what is known of the request is told. */
static void wait_failed(struct conv *conv, struct nt_error *reterr)
{
    reterr->request_sent = conv->answer || (conv->link && net_client_was_sent(conv->link->client));
    if (conv->link && conv->ws) {
        /* The WebSocket object is the connection's until 101; without a conversation nobody may
         * call it. */
        conv->ws = NULL;
    }
}

static void look_back(const struct conv *conv, const char *token, struct outcome *ret)
{
    char now[72] = "";
    struct nt_error unused = NT_ERROR_INIT;
    if (!conv->answer)
        return;
    ret->retry_after_ms = retry_after_ms(answer_header(conv->answer, "Retry-After"));
    if (conv->answer->status == 401 && token[0] && local_read_token(now, sizeof(now), &unused) == 0)
        ret->has_new_token = strcmp(now, token) != 0;
    explicit_bzero(now, sizeof(now));
}

static int attempt(struct api *api, const struct conv_spec *spec, const char *key,
                   struct conv **ret, struct outcome *ret_outcome, struct nt_error *reterr)
{
    *ret_outcome = (struct outcome){ .retry_after_ms = RETRY_AFTER_NONE };
    struct link *link;
    /* A body that is streamed cannot be sent again: no risk with a kept connection that may be
     * closed by now. */
    if (link_get(api, spec->kind == CONV_UP, spec->until_ms, &link, reterr) < 0)
        return -1;
    struct conv *conv = conv_new(api, spec);
    if (!conv) {
        link_put(link, true);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    char token[sizeof(link->token)];
    memcpy(token, link->token, sizeof(token));
    conv->link = link;
    link->conv = conv;
    bool is_reused = link->is_reused;
    if (send_it(conv, spec, key, reterr) < 0) {
        explicit_bzero(token, sizeof(token));
        conv_free(conv);
        return -1;
    }
    int status = api_pump(api, &conv->done, spec->until_ms, reterr);
    if (status < 0)
        wait_failed(conv, reterr);
    else if (conv->error.code) {
        copy_error(reterr, &conv->error);
        status = -1;
    }
    if (status < 0) {
        ret_outcome->is_reused = is_reused && !conv->answer;
        look_back(conv, token, ret_outcome);
        conv_free(conv);
    } else {
        if (conv->ws)
            net_ws_keepalive(conv->ws, CONV_KEEPALIVE_MS);
        *ret = conv;
    }
    explicit_bzero(token, sizeof(token));
    return status;
}

/* An embedded server that is older than we are is asked, once, to let this program go on in its
 * place. Not while a stream of ours goes through it: it would be cut when the server leaves. */
static void hand_over(struct api *api, const struct conv *conv)
{
    const char *build = conv->answer ? answer_header(conv->answer, NT_BUILD_HEADER) : NULL;
    if (api->origin || api->asked_to_hand_over || conv->kind != CONV_REQUEST || !build
        || !version_is_older(build, NT_VERSION))
        return;
    api->asked_to_hand_over = true;
    const char *program =
        api->options.server_program ? api->options.server_program : config_path(NT_PATH_SELF);
    nt_auto_json json_t *json = program ? json_pack("{s:s}", "binary", program) : NULL;
    nt_autofree char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (!body)
        return;
    struct conv *answer = NULL;
    struct nt_error ignored = NT_ERROR_INIT; /* an older server serves on as well as it can */
    const struct conv_spec spec = {
        .kind = CONV_REQUEST,
        .flags = NT_REQ_NO_RETRY,
        .method = "POST",
        .path = "/v1/local/handover",
        .content_type = "application/json",
        .body = { body, strlen(body) },
        .max_body_bytes = 64 * 1024,
        .until_ms = api_earlier(api->deadline_ms, api_now_ms(api) + HAND_OVER_MS),
    };
    api_debug(api, "local.hand_over", "build=%s own=%s", build, NT_VERSION);
    if (converse(api, &spec, &answer, &ignored) == 0)
        conv_free(answer);
}

/* Whether anything may be sent there at all. */
static int may_begin(struct api *api, struct nt_error *reterr)
{
    if (api->origin_error.code) {
        copy_error(reterr, &api->origin_error);
        return -1;
    }
    return config_require_trust(api->options.config, reterr);
}

int converse_begin(struct api *api, const struct conv_spec *spec, struct conv **ret,
                   struct nt_error *reterr)
{
    struct link *link;
    if (may_begin(api, reterr) < 0 || link_begin(api, &link, reterr) < 0)
        return -1;
    struct conv *conv = conv_new(api, spec);
    if (!conv) {
        link_put(link, false);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    conv->is_begun = true;
    conv->link = link;
    link->conv = conv;
    if (send_it(conv, spec, NULL, reterr) < 0) {
        conv_free(conv);
        return -1;
    }
    *ret = conv;
    return 0;
}

static bool is_safe_twice(const struct conv_spec *spec, const char *key)
{
    return key || retry_is_idempotent(spec->method) || head_given(spec->headers, "Idempotency-Key");
}

int converse(struct api *api, const struct conv_spec *spec, struct conv **ret,
             struct nt_error *reterr)
{
    char uuid[HEAD_ID] = "";
    const char *key = NULL;
    uint32_t rate_limited = 0;
    bool has_asked_again = false;
    if (api->is_running)
        return nt_fail(reterr, NT_E_INTERNAL, "a command waited for the API inside a callback");
    if (may_begin(api, reterr) < 0)
        return -1;
    if (strcmp(spec->method, "POST") == 0 || (spec->flags & NT_REQ_KEY)) {
        if (head_uuid(uuid, reterr) < 0)
            return -1;
        key = uuid;
    }
    for (uint32_t number = 1;; number++) {
        struct outcome outcome;
        if (attempt(api, spec, key, ret, &outcome, reterr) == 0) {
            hand_over(api, *ret);
            return 0;
        }
        reterr->attempt = number;
        if (outcome.has_new_token && !has_asked_again) {
            has_asked_again = true;
            link_drop_idle(api); /* they carry the old token */
            continue;
        }
        uint32_t random = 0;
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
            random = 0; /* no jitter then */
        rate_limited += reterr->status == 429;
        struct retry retry = {
            .error = reterr,
            .attempt = number,
            .rate_limited = rate_limited,
            .retry_after_ms = outcome.retry_after_ms,
            .left_ms = spec->until_ms < 0                 ? -1
                       : spec->until_ms > api_now_ms(api) ? spec->until_ms - api_now_ms(api)
                                                          : 0,
            .random = random,
            .is_idempotent = is_safe_twice(spec, key),
            .is_reused = outcome.is_reused,
        };
        bool may = api->options.retries && !(spec->flags & NT_REQ_NO_RETRY);
        int64_t delay = may ? retry_delay_ms(&retry) : RETRY_STOP;
        api_debug(api, "http.failed", "attempt=%u code=%u status=%u sent=%u delay_ms=%lld", number,
                  reterr->code, reterr->status, reterr->request_sent, (long long)delay);
        if (delay == RETRY_STOP)
            return -1;
        uint8_t sent = reterr->request_sent;
        if (api_sleep(api, delay, reterr) < 0) {
            reterr->request_sent = sent;
            reterr->attempt = number;
            return -1;
        }
    }
}
