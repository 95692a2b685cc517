/* SPDX-License-Identifier: Apache-2.0 */
/* complete_values.c - values that completion asks others for; see complete_values.h. */
#include "complete_values.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "core/api/api.h"
#include "nanoterm/local.h"
#include "sdk/json.h"

#define ASK_MS 500

static void config_freep(struct config **config)
{
    config_free(*config);
}

static void api_freep(struct api **api)
{
    api_free(*api);
}

/* An API that was named, or the embedded server where it runs already. */
static bool is_there(const struct config *config)
{
    const struct config_value *url = config_get(config, "api_url");
    const char *runtime = config_path(NT_PATH_RUNTIME);
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    if (url && url->value)
        return config_api_is_trusted(config);
    nt_buf_addf(&path, "%s/" NT_LOCAL_SOCKET, runtime ? runtime : "");
    return runtime && nt_buf_ok(&path) && access(nt_buf_text(&path), F_OK) == 0;
}

static void add_workspaces(void (*add)(void *to, const char *value, const char *note), void *to)
{
    struct config_options wanted = { .personality = NT_AS_NANOTERM };
    struct nt_error unused = NT_ERROR_INIT;
    nt_auto(config_freep) struct config *config = NULL;
    nt_auto(api_freep) struct api *api = NULL;
    if (config_load(&wanted, &config, &unused) < 0 || !is_there(config))
        return;
    struct api_options options = { .config = config, .timeout_ms = ASK_MS };
    struct nt_request request = { .size = sizeof(request),
                                  .flags = NT_REQ_NO_RETRY,
                                  .method = "GET",
                                  .path = "/v1/sandboxes?limit=200" };
    struct nt_response answer = { .size = sizeof(answer) };
    if (api_new(&options, &api, &unused) < 0 || api_request(api, &request, &answer, &unused) < 0)
        return;
    nt_auto_json json_t *page = json_loadb(answer.body.data, answer.body.size, 0, NULL);
    const json_t *items = json_object_get(page, "items"), *row;
    size_t i;
    json_array_foreach(items, i, row)
    {
        const char *id = nt_json_text(row, "id"), *name = nt_json_text(row, "name");
        if (id)
            add(to, id, name ? name : "");
        if (name && *name)
            add(to, name, id ? id : "");
    }
}

void complete_values(void *data, const char *kind,
                     void (*add)(void *to, const char *value, const char *note), void *to)
{
    const struct plugins *plugins = data;
    struct plugin_info info;
    if (strcmp(kind, "ws.ids") == 0) {
        add_workspaces(add, to);
    } else if (strcmp(kind, "plugins") == 0) {
        for (uint32_t i = 0; plugins_info_at(plugins, i, &info); i++)
            if (*info.name)
                add(to, info.name, info.summary ? info.summary : "");
    }
}
