/* SPDX-License-Identifier: Apache-2.0 */
/* complete_values.c - values that completion asks others for; see complete_values.h. */
#include "complete_values.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/config/settings.h"
#include "nanoterm/local.h"
#include "sdk/json.h"

#define ASK_MS 500
#define PROFILES_MAX 1000u

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

/* Calls `each` for the items of a list of the API. */
static void ask(const char *path, void (*each)(const json_t *row, void *data), void *data)
{
    struct config_options wanted = { .personality = NT_AS_NANOTERM };
    struct nt_error unused = NT_ERROR_INIT;
    nt_auto(config_freep) struct config *config = NULL;
    nt_auto(api_freep) struct api *api = NULL;
    if (config_load(&wanted, &config, &unused) < 0 || !is_there(config))
        return;
    struct api_options options = { .config = config, .timeout_ms = ASK_MS };
    struct nt_request request = {
        .size = sizeof(request), .flags = NT_REQ_NO_RETRY, .method = "GET", .path = path
    };
    struct nt_response answer = { .size = sizeof(answer) };
    if (api_new(&options, &api, &unused) < 0 || api_request(api, &request, &answer, &unused) < 0)
        return;
    nt_auto_json json_t *page = json_loadb(answer.body.data, answer.body.size, 0, NULL);
    const json_t *items = json_object_get(page, "items"), *row;
    size_t i;
    json_array_foreach(items, i, row)
    {
        each(row, data);
    }
}

/* Where values go. */
struct sink {
    void (*add)(void *to, const char *value, const char *note);
    void *to;
};

static void add_workspace(const json_t *row, void *data)
{
    const struct sink *sink = data;
    const char *id = nt_json_text(row, "id"), *name = nt_json_text(row, "name");
    if (id)
        sink->add(sink->to, id, name ? name : "");
    if (name && *name)
        sink->add(sink->to, name, id ? id : "");
}

static void add_job(const json_t *row, void *data)
{
    const struct sink *sink = data;
    const char *id = nt_json_text(row, "id"), *command = nt_json_text(row, "command");
    if (id)
        sink->add(sink->to, id, command ? command : "");
}

static void closedirp(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* The user's own profiles of sandboxes: names of files, which nobody reads here. */
static void add_profiles(const char *program, const struct sink *sink)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool is_set = config && config[0] == '/';
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_buf_addf(&path, "%s/%s%s/profiles",
                is_set ? config
                : home ? home
                       : "",
                is_set ? "" : ".config/", program);
    nt_auto(closedirp) DIR *folder = nt_buf_ok(&path) ? opendir(nt_buf_text(&path)) : NULL;
    const struct dirent *entry;
    for (unsigned i = 0; folder && i < PROFILES_MAX && (entry = readdir(folder)); i++) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || dot == entry->d_name
            || (strcmp(dot, ".json") != 0 && strcmp(dot, ".jsonc") != 0))
            continue;
        nt_autofree char *name = strndup(entry->d_name, (size_t)(dot - entry->d_name));
        if (name)
            sink->add(sink->to, name, "your own");
    }
}

void complete_values(void *data, const char *kind, const char *first,
                     void (*add)(void *to, const char *value, const char *note), void *to)
{
    const struct plugins *plugins = data;
    struct plugin_info info;
    struct sink sink = { add, to };
    const struct setting *setting;
    if (strcmp(kind, "ws.ids") == 0) {
        ask("/v1/sandboxes?limit=200", add_workspace, &sink);
    } else if (strcmp(kind, "job.ids") == 0 && first) {
        nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
        nt_buf_add(&path, "/v1/sandboxes/");
        nt_buf_add_url_part(&path, first);
        nt_buf_add(&path, "/jobs");
        if (nt_buf_ok(&path))
            ask(nt_buf_text(&path), add_job, &sink);
    } else if (strcmp(kind, "profiles") == 0) {
        add_profiles("nanoterm", &sink);
        add_profiles("nono", &sink);
    } else if (strcmp(kind, "plugins") == 0) {
        for (uint32_t i = 0; plugins_info_at(plugins, i, &info); i++)
            if (*info.name)
                add(to, info.name, info.summary ? info.summary : "");
    } else if (strcmp(kind, "config.keys") == 0) {
        for (uint32_t i = 0; (setting = setting_at(i)); i++)
            add(to, setting->key, setting->help);
    }
}
