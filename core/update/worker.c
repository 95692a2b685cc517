/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - the detached process of the version check: where to ask, the question, the answer. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/update/npm.h"
#include "core/update/state.h"
#include "core/update/update.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"

/* All of it, npm included; the alarm ends the process. */
#define WORK_S 60
#define ASK_MS 15000
/* The short document of a package names all of its versions. */
#define ANSWER_MAX (8u * 1024 * 1024)

static void config_freep(struct config **config)
{
    config_free(*config);
}

static void api_freep(struct api **api)
{
    api_free(*api);
}

/* The newest version that an answer names: a registry's list of tags, its document of a package, or
 * that of one version; NULL: none. */
static const char *version_in(const json_t *answer)
{
    static const char *const keys[] = { "latest", "version", "latest_version" };
    const char *found = nt_json_text(json_object_get(answer, "dist-tags"), "latest");
    for (size_t i = 0; !found && i < sizeof(keys) / sizeof(keys[0]); i++)
        found = nt_json_text(answer, keys[i]);
    return found && update_is_version(found) ? found : NULL;
}

/* GET of a whole URL without a credential; redirects are not followed. */
static bool ask(uint32_t personality, const char *url, const char *accept, struct update_state *ret)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    nt_auto(nt_buf_done) struct nt_buf origin = NT_BUF(2048);
    nt_auto(config_freep) struct config *config = NULL;
    nt_auto(api_freep) struct api *api = NULL;
    struct nt_error unused = NT_ERROR_INIT;
    nt_buf_add_bytes(&origin, url, path ? (size_t)(path - url) : strlen(url));
    struct config_options wanted = { .personality = personality, .flag_api = nt_buf_text(&origin) };
    struct api_options options = { .timeout_ms = ASK_MS };
    const struct nt_header header = { "Accept", accept };
    struct nt_request request = { .size = sizeof(request),
                                  .flags = NT_REQ_NO_AUTH | NT_REQ_NO_RETRY,
                                  .method = "GET",
                                  .path = path ? path : "/",
                                  .headers = { &header, 1, sizeof(header) },
                                  .max_body_bytes = ANSWER_MAX };
    struct nt_response answer = { .size = sizeof(answer) };
    if (!host || !nt_buf_ok(&origin) || config_load(&wanted, &config, &unused) < 0)
        return false;
    options.config = config;
    if (api_new(&options, &api, &unused) < 0 || api_request(api, &request, &answer, &unused) < 0)
        return false;
    nt_auto_json json_t *root = json_loadb(answer.body.data, answer.body.size, 0, NULL);
    const char *version = version_in(root);
    if (version)
        memcpy(ret->version, version, strlen(version) + 1); /* update_is_version bounds it */
    return version != NULL;
}

/* A registry has a short list of tags; one that does not know it has the document of the package.
 */
static bool ask_registry(uint32_t personality, const char *package, struct update_state *ret)
{
    nt_auto(nt_buf_done) struct nt_buf registry = NT_BUF(2048), tags = NT_BUF(4096),
                                       document = NT_BUF(4096);
    const char *slash = strchr(package, '/');
    nt_autofree char *scope = slash ? strndup(package, (size_t)(slash - package)) : NULL;
    if (!scope)
        return false;
    npm_registry(scope, &registry);
    if (registry.size == 0)
        return false;
    nt_buf_addf(&tags, "%s/-/package/%s%%2f%s/dist-tags", nt_buf_text(&registry), scope, slash + 1);
    nt_buf_addf(&document, "%s/%s%%2f%s", nt_buf_text(&registry), scope, slash + 1);
    return ask(personality, nt_buf_text(&tags), "application/json", ret)
           || ask(personality, nt_buf_text(&document), "application/vnd.npm.install-v1+json", ret);
}

/* Variable, then setting, then what the distribution said; empty: npm's registry. */
static void find_url(uint32_t personality, const struct update_names *n, struct nt_buf *url)
{
    struct config_options wanted = { .personality = personality };
    struct nt_error unused = NT_ERROR_INIT;
    nt_auto(config_freep) struct config *config = NULL;
    const char *given = getenv(n->url);
    if (!given && n->package && config_load(&wanted, &config, &unused) == 0) {
        const struct config_value *value = config_get(config, "update_url");
        given = value ? value->value : NULL;
    }
    nt_buf_add(url, given && *given ? given : n->package ? NT_UPDATE_URL : "");
}

void update_work(uint32_t personality)
{
    const struct update_names *n = update_names(personality);
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(2048);
    struct update_state found = { .checked_ms = 0 }, state;
    if (!n)
        return;
    alarm(WORK_S);
    /* npm is a program of others. */
    unsetenv("NANOTERM_API_KEY");
    unsetenv("NULLSPACE_API_KEY");
    find_url(personality, n, &url);
    bool is_found = url.size ? ask(personality, nt_buf_text(&url), "application/json", &found)
                             : n->package && ask_registry(personality, n->package, &found);
    nt_autoclose int folder = is_found ? update_folder() : -1;
    if (folder < 0)
        return;
    update_read(folder, n->state, &state);
    memcpy(state.version, found.version, sizeof(state.version));
    update_write(folder, n->state, &state);
}
