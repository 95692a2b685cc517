/* SPDX-License-Identifier: Apache-2.0 */
/* operation.c - the user's operation from end to end, through the API, each step with its time.
 *
 * The workspace is given a time to live, so that it goes also when this command is killed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define LIFE "600000"
#define CONTENT "what is written is read"

/* One request: its JSON, or NULL with the error. */
static json_t *ask(struct nt_call *call, const char *method, const char *path, const char *body,
                   struct nt_error *reterr)
{
    struct nt_request request = { .size = sizeof(request),
                                  .method = method,
                                  .path = path,
                                  .body = { body, body ? strlen(body) : 0 } };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return NULL;
    json_t *json = json_loadb(response.body.data, response.body.size, JSON_DECODE_ANY, NULL);
    if (!json)
        json = json_null();
    return json;
}

static int say_failure(struct nt_call *call, const char *check, const struct nt_error *why,
                       int64_t begun_ms, struct nt_error *reterr)
{
    return doctor_say(call, check, FAIL, why->message,
                      why->hint[0] ? why->hint : "see the checks above", nt_now_ms() - begun_ms,
                      reterr);
}

static const char *word_of(const json_t *row, const char *limit)
{
    const char *word = nt_json_text(json_object_get(row, "limits"), limit);
    return word ? word : "none";
}

/* How firmly its limits hold: the truth of the server itself, whatever the kernel could do. */
static int say_limits(struct nt_call *call, const json_t *row, struct nt_error *reterr)
{
    char detail[160];
    const char *memory = word_of(row, "memory"), *pids = word_of(row, "pids"),
               *cpu = word_of(row, "cpu");
    snprintf(detail, sizeof(detail), "memory %.8s, processes %.8s, processors %.8s", memory, pids,
             cpu);
    bool is_hard = !strcmp(memory, "hard") && !strcmp(pids, "hard") && !strcmp(cpu, "hard");
    return doctor_say(call, "limits", is_hard ? FINE : WARN, detail,
                      is_hard ? ""
                              : "run the server in a unit with Delegate=yes, or as root: control "
                                "groups make them hard",
                      -1, reterr);
}

struct step {
    const char *check, *method, *rest, *body;
    const char *member, *expected; /* of the answer; NULL: any answer will do */
};

static const struct step steps[] = {
    { "run a program", "POST", "/exec", "{\"command\":\"true\"}", "exit_code", "0" },
    { "write a file", "POST", "/files/write",
      "{\"path\":\"/workspace/doctor\",\"content\":\"" CONTENT "\"}", NULL, NULL },
    { "read a file", "POST", "/files/read", "{\"path\":\"/workspace/doctor\"}", "content",
      CONTENT },
};

static bool is_expected(const json_t *answer, const struct step *step)
{
    char number[24];
    if (!step->member)
        return true;
    const json_t *value = json_object_get(answer, step->member);
    const char *text = json_string_value(value);
    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        text = number;
    }
    return text && strcmp(text, step->expected) == 0;
}

static int do_step(struct nt_call *call, const char *id, const struct step *step, bool *works,
                   struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(512);
    struct nt_error error = NT_ERROR_INIT;
    int64_t begun = nt_now_ms();
    nt_buf_add(&path, "/v1/sandboxes/");
    nt_buf_add_url_part(&path, id);
    nt_buf_add(&path, step->rest);
    nt_auto_json json_t *answer = ask(call, step->method, nt_buf_text(&path), step->body, &error);
    if (answer && is_expected(answer, step))
        return doctor_say(call, step->check, FINE, "", "", nt_now_ms() - begun, reterr);
    *works = false;
    if (answer)
        nt_fail(&error, NT_E_RESPONSE, "the answer is not what it should be");
    return say_failure(call, step->check, &error, begun, reterr);
}

int doctor_operation(struct nt_call *call, bool *ret_works, struct nt_error *reterr)
{
    static const struct step removal = { "remove the workspace", "DELETE", "", NULL, NULL, NULL };
    struct nt_error error = NT_ERROR_INIT;
    int64_t begun = nt_now_ms();
    *ret_works = true;
    nt_auto_json json_t *health = ask(call, "GET", "/healthz", NULL, &error);
    if (!health) {
        *ret_works = false;
        return say_failure(call, "server", &error, begun, reterr);
    }
    char detail[200];
    const char *build = nt_json_text(health, "build"), *engine = nt_json_text(health, "engine");
    json_int_t level = json_integer_value(json_object_get(health, "api_level"));
    snprintf(detail, sizeof(detail), "version %.40s, API level %lld, engine %.40s",
             build ? build : "?", (long long)level, engine ? engine : "?");
    bool is_same = build && strcmp(build, NT_VERSION) == 0;
    if (doctor_say(call, "server", is_same ? FINE : WARN, detail,
                   is_same ? "" : "it is not the version of this program (" NT_VERSION ")",
                   nt_now_ms() - begun, reterr)
        < 0)
        return -1;
    begun = nt_now_ms();
    nt_auto_json json_t *row =
        ask(call, "POST", "/v1/sandboxes",
            "{\"internet_access\":false,\"timeout_ms\":" LIFE ",\"timeout_action\":\"destroy\"}",
            &error);
    const char *id = nt_json_text(row, "id");
    if (!id) {
        *ret_works = false;
        if (row)
            nt_fail(&error, NT_E_RESPONSE, "the server named no workspace");
        return say_failure(call, "create a workspace", &error, begun, reterr);
    }
    int status = doctor_say(call, "create a workspace", FINE, id, "", nt_now_ms() - begun, reterr);
    if (status == 0)
        status = say_limits(call, row, reterr);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == 0; i++)
        status = do_step(call, id, &steps[i], ret_works, reterr);
    struct nt_error unsaid = NT_ERROR_INIT;
    int removed = do_step(call, id, &removal, ret_works, status == 0 ? reterr : &unsaid);
    return status < 0 ? status : removed;
}
