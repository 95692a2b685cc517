/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - the answer of the server as the command keeps it, and the error in it. */
#include "answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sdk/error.h"
#include "sdk/json.h"

#define HEADERS_MAX (64 * 1024)

struct answer *answer_new(const struct net_client *client, uint32_t status, size_t max_body_bytes)
{
    struct answer *answer = calloc(1, sizeof(*answer));
    struct net_header header;
    if (!answer)
        return NULL;
    answer->status = status;
    answer->body = (struct nt_buf)NT_BUF(max_body_bytes);
    answer->memory = (struct nt_buf)NT_BUF(HEADERS_MAX);
    for (; net_client_header_at(client, answer->count, &header); answer->count++) {
        nt_buf_add_bytes(&answer->memory, header.name, strlen(header.name) + 1);
        nt_buf_add_bytes(&answer->memory, header.value, strlen(header.value) + 1);
    }
    if (!nt_buf_ok(&answer->memory)) {
        answer_free(answer);
        return NULL;
    }
    return answer;
}

void answer_free(struct answer *answer)
{
    if (!answer)
        return;
    nt_buf_done(&answer->body);
    nt_buf_done(&answer->memory);
    free(answer);
}

const char *answer_header(const struct answer *answer, const char *name)
{
    const char *at = nt_buf_text(&answer->memory);
    for (uint32_t i = 0; i < answer->count; i++) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

bool answer_header_at(const struct answer *answer, uint32_t index, const char **ret_name,
                      const char **ret_value)
{
    const char *at = nt_buf_text(&answer->memory);
    if (index >= answer->count)
        return false;
    for (uint32_t i = 0; i < 2 * index; i++)
        at += strlen(at) + 1;
    *ret_name = at;
    *ret_value = at + strlen(at) + 1;
    return true;
}

void answer_give(const struct answer *answer, struct nt_response *ret)
{
    const char *id = answer_header(answer, "X-Request-Id");
    struct nt_response whole = {
        .size = ret->size,
        .status = answer->status,
        .body = { nt_buf_text(&answer->body), answer->body.size },
        .request_id = id ? id : "",
        .headers = answer,
    };
    memcpy(ret, &whole, ret->size < sizeof(whole) ? ret->size : sizeof(whole));
}

/* --- errors -------------------------------------------------------------------------------- */

/* Foreign text into a member of the error: escapes stay visible, and nothing can break the line. */
static void put(char *ret, size_t size, const char *text)
{
    nt_auto(nt_buf_done) struct nt_buf safe = NT_BUF(8 * 1024);
    nt_auto(nt_buf_done) struct nt_buf start = NT_BUF(1024);
    nt_buf_add_bytes(&start, text, strnlen(text, 1023));
    nt_buf_add_printable(&safe, nt_buf_text(&start), true);
    nt_copy_text(ret, size, nt_buf_text(&safe));
}
#define PUT(member, text) put(member, sizeof(member), text)

/* A text of the inner object, else of the outer one. */
static const char *field(const json_t *inner, const json_t *outer, const char *key)
{
    const char *text = nt_json_text(inner, key);
    return text ? text : nt_json_text(outer, key);
}

static void read_envelope(const json_t *root, uint32_t status, struct nt_error *ret)
{
    const json_t *error = json_object_get(root, "error");
    const json_t *inner = json_is_object(error) ? error : root;
    const char *code = field(inner, root, "code");
    const char *message =
        json_is_object(error) ? nt_json_text(error, "message") : json_string_value(error);
    if (!message)
        message = nt_json_text(root, "message");
    nt_fail(ret, nt_error_code_of_status(status, code), "the server answered with status %u",
            status);
    if (message && *message)
        PUT(ret->message, message);
    if (code)
        PUT(ret->server_code, code);
    if (field(inner, root, "request_id"))
        PUT(ret->request_id, field(inner, root, "request_id"));
    if (field(inner, root, "suggested_action"))
        PUT(ret->hint, field(inner, root, "suggested_action"));
    const json_t *retryable = json_object_get(inner, "retryable");
    if (json_is_boolean(retryable))
        ret->retryable = json_is_true(retryable);
}

/* An API that says no more than that it is too new for us. */
static void explain_too_old(struct nt_error *ret)
{
    if (ret->code == NT_E_CLIENT_OLD && !ret->hint[0])
        nt_hint(ret, "update this program and try again: %s", NT_UPDATE_HINT);
}

static void read_text(const struct answer *answer, struct nt_error *ret)
{
    const char *text = nt_buf_text(&answer->body);
    nt_fail(ret, nt_error_code_of_status(answer->status, NULL),
            "the server answered with status %u", answer->status);
    ret->retryable = ret->retryable || (answer->status >= 502 && answer->status <= 504);
    if (*text == '\0' || *text == '<') /* a page of some proxy says nothing in one line */
        return;
    char said[160];
    PUT(said, text);
    nt_fail(ret, ret->code, "the server answered with status %u: %s", answer->status, said);
    ret->retryable = ret->retryable || (answer->status >= 502 && answer->status <= 504);
}

void answer_error(const struct answer *answer, const char *method, struct nt_error *reterr)
{
    if (answer->status < 400) {
        const char *to = answer_header(answer, "Location");
        char where[120] = "nowhere";
        if (to)
            PUT(where, to);
        nt_fail(reterr, NT_E_RESPONSE,
                "the server answered %s with a redirect to %s, which is not followed", method,
                where);
    } else {
        nt_auto_json json_t *root =
            json_loadb(nt_buf_text(&answer->body), answer->body.size, 0, NULL);
        if (json_is_object(root))
            read_envelope(root, answer->status, reterr);
        else
            read_text(answer, reterr);
        explain_too_old(reterr);
    }
    const char *id = answer_header(answer, "X-Request-Id");
    if (!reterr->request_id[0] && id)
        PUT(reterr->request_id, id);
    reterr->status = (uint16_t)answer->status;
    reterr->request_sent = 1;
}
