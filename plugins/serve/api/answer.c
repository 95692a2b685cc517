/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - error answers in the API's envelope, also for handlers that write on the connection
 * themselves. */
#include "plugins/serve/api/answer.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/utf8_text.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

void answer_guest_error(struct exchange *x, const struct nt_error *error,
                        enum guest_subject subject)
{
    struct guest_failure f = guest_failure_of(error, subject);
    if (error->server_code[0]) { /* made here, with a code and a hint of its own */
        exchange_fail_error(x, error);
        return;
    }
    exchange_fail(x, f.status, f.code, "%s",
                  error->message[0] ? error->message : "the workspace did not answer");
}

void answer_raw_json(struct net_request *req, const char *request_id, uint32_t status, json_t *body)
{
    nt_autofree char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    struct net_header headers[EXCHANGE_HEADERS + 1];
    uint32_t count = exchange_headers_for(request_id, headers);
    headers[count++] = (struct net_header){ "Content-Type", "application/json" };
    if (!text) {
        net_respond_abort(req);
        return;
    }
    net_respond(req, status, headers, count, (struct nt_bytes){ text, strlen(text) });
}

void answer_raw_empty(struct net_request *req, const char *request_id)
{
    struct net_header headers[EXCHANGE_HEADERS];
    uint32_t count = exchange_headers_for(request_id, headers);
    net_respond(req, 204, headers, count, (struct nt_bytes){ NULL, 0 });
}

void answer_raw_error(struct net_request *req, const char *request_id, uint32_t status,
                      const char *code, const char *message)
{
    json_t *body = json_object();
    json_object_set_new(body, "error", utf8_json(message, strlen(message)));
    json_object_set_new(body, "code", json_string(code));
    json_object_set_new(body, "request_id", json_string(request_id));
    json_object_set_new(body, "retryable", json_boolean(status == 503));
    answer_raw_json(req, request_id, status, body);
}

uint64_t answer_pid(struct exchange *x, unsigned index)
{
    struct nt_error error = NT_ERROR_INIT;
    uint64_t pid;
    if (nt_parse_u64(exchange_param(x, index), 1, INT32_MAX, &pid, &error) == 0)
        return pid;
    exchange_fail(x, 400, "invalid_request", "the process id must be a number");
    return 0;
}
