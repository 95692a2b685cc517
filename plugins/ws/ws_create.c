/* SPDX-License-Identifier: Apache-2.0 */
/* ws_create.c - `ws create`: one request, and the clone when there is a repository. */
#include "ws.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/error.h"
#include "sdk/json.h"

/* A local root filesystem is named by its absolute path: the server of this machine opens it. */
static int image_name(const char *image, char **ret, struct nt_error *reterr)
{
    bool is_path = image[0] == '/' || image[0] == '.';
    nt_autofree char *absolute = is_path ? realpath(image, NULL) : NULL;
    if (is_path && !absolute)
        return nt_fail_sys(reterr, errno, "cannot open the image %s", image);
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(PATH_MAX + 16);
    nt_buf_add(&name, is_path ? "file:" : "");
    nt_buf_add(&name, is_path ? absolute : image);
    *ret = nt_buf_take(&name);
    return *ret ? 0 : nt_fail(reterr, NT_E_LIMIT, "the image's name is too long");
}

static int request_body(struct nt_call *call, char **ret, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    nt_autofree char *image = NULL;
    if (image_name(host->text(call, "image"), &image, reterr) < 0)
        return -1;
    nt_auto_json json_t *body = json_pack(
        "{s:s, s:s, s:s*, s:b, s:b}", "image", image, "size", host->text(call, "size"), "name",
        host->text(call, "name"), "internet_access", host->number(call, "internet") != 0,
        "require_limits", host->number(call, "require-limits") != 0);
    json_t *ports = body ? json_array() : NULL;
    for (uint32_t i = 0; ports && i < host->count(call, "port"); i++) {
        nt_autofree char *text = NULL;
        if (port_mapping(host->text_at(call, "port", i), &text, reterr) < 0) {
            json_decref(ports);
            return -1;
        }
        json_array_append_new(ports, json_loads(text, 0, NULL));
    }
    if (json_array_size(ports) > 0)
        json_object_set(body, "ports", ports);
    json_decref(ports);
    *ret = body ? json_dumps(body, JSON_COMPACT) : NULL;
    return *ret ? 0 : nt_fail(reterr, NT_E_INVALID, "the name or the image is not valid UTF-8");
}

static void remind_of_secrets(struct nt_call *call, const char *image)
{
    if (strstr(image, "claude-code"))
        call->host->message(call, NT_SAY_NOTE,
                            "Run 'nanoterm secrets auth-claude' before the agent can sign in.");
    else if (strstr(image, "codex"))
        call->host->message(call, NT_SAY_NOTE,
                            "Run 'nanoterm secrets auth-codex' before the agent can sign in.");
}

/* Which ports were picked; best effort, `ws ports` says it again. */
static void say_ports(struct nt_call *call, const char *id)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(512);
    struct nt_error ignored = NT_ERROR_INIT;
    nt_auto_json json_t *answer = NULL;
    if (ws_path(&path, id, "/ports", &ignored) < 0
        || ws_get(call, nt_buf_text(&path), &answer, &ignored) < 0)
        return;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(answer, "items"), i, row)
    {
        const char *url = nt_json_text(row, "url");
        char line[256];
        if (!url)
            continue;
        snprintf(line, sizeof(line), "Port %d is %.200s",
                 (int)json_integer_value(json_object_get(row, "port")), url);
        call->host->message(call, NT_SAY_NOTE, line);
    }
}

/* A workspace without its repository is of no use: remove it, or say how. */
static int undo(struct nt_call *call, const char *id, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(512);
    struct nt_error ignored = NT_ERROR_INIT;
    struct nt_response response = { .size = sizeof(response) };
    if (ws_path(&path, id, "", &ignored) == 0) {
        struct nt_request request = { .size = sizeof(request),
                                      .method = "DELETE",
                                      .path = nt_buf_text(&path) };
        if (call->host->request(call, &request, &response, &ignored) == 0)
            return -1;
    }
    return nt_hint(reterr, "%s was made and is still there; remove it with: nanoterm ws rm %s", id,
                   id);
}

int ws_create(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    const char *repository = host->text(call, "repo");
    if (host->text(call, "branch") && !repository)
        return nt_fail(reterr, NT_E_USAGE, "--branch needs --repo");

    nt_autofree char *body = NULL;
    if (request_body(call, &body, reterr) < 0)
        return -1;
    struct nt_request request = { .size = sizeof(request),
                                  .method = "POST",
                                  .path = "/v1/sandboxes",
                                  .body = { body, strlen(body) } };
    struct nt_response response = { .size = sizeof(response) };
    if (host->request(call, &request, &response, reterr) < 0)
        return -1;

    nt_auto_json json_t *workspace = json_loadb(response.body.data, response.body.size, 0, NULL);
    const char *id = nt_json_text(workspace, "id");
    if (!id)
        return nt_fail(reterr, NT_E_RESPONSE, "the server's answer has no workspace id");
    if (repository && clone_into(call, id, repository, host->text(call, "branch"), reterr) < 0)
        return undo(call, id, reterr);
    if (host->text(call, "cmd") && shell_start_agent(call, id, host->text(call, "cmd"), reterr) < 0)
        return nt_hint(reterr,
                       "the workspace %s was made; start it again with: nanoterm exec "
                       "--foreground %s -- COMMAND",
                       id, id);
    host->message(call, NT_SAY_DONE, "Workspace created");
    if (host->count(call, "port") > 0)
        say_ports(call, id);
    remind_of_secrets(call, host->text(call, "image"));
    return host->emit_json(call, response.body, reterr);
}
