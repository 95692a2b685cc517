/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_body.c - takes in the body of POST /v1/sandboxes: every value has a bound, what cannot be
 * given is refused and never left out silently. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nanoterm/engine.h"
#include "plugins/serve/api/sandbox.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define NARROW_TIMEOUT_MS 300000
#define TIMEOUT_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)
#define ENVS_MAX 512u
#define ENVS_BYTES (128u * 1024u)
#define METADATA_BYTES (64u * 1024u)

static const struct {
    const char *name;
    uint32_t vcpus, memory_mb, pids;
} sizes[] = { { "small", 2, 2048, 512 }, { "medium", 4, 4096, 1024 }, { "large", 8, 8192, 2048 } };

/* --- names --------------------------------------------------------------------------------- */

void sandbox_name_make(char *ret, size_t size)
{
    static const char *const adjectives[] = {
        "amber", "bold",  "brave", "bright", "calm",   "clear", "clever", "cosmic",
        "crisp", "eager", "early", "fair",   "fleet",  "fresh", "gentle", "glad",
        "happy", "jolly", "keen",  "kind",   "lively", "lucid", "merry",  "mild",
        "neat",  "noble", "plain", "proud",  "quick",  "quiet", "rapid",  "sharp",
        "solid", "spry",  "still", "sunny",  "swift",  "tidy",  "vivid",  "warm"
    };
    static const char *const nouns[] = {
        "acorn", "aspen",  "badger", "beech",  "birch",   "brook",   "cedar",  "comet",
        "crane", "delta",  "eagle",  "ember",  "falcon",  "fern",    "finch",  "fjord",
        "grove", "hazel",  "heron",  "island", "juniper", "lake",    "larch",  "linden",
        "maple", "meadow", "otter",  "pebble", "pine",    "prairie", "raven",  "reef",
        "ridge", "river",  "robin",  "spruce", "summit",  "tundra",  "willow", "wren"
    };
    snprintf(ret, size, "%s-%s",
             adjectives[randombytes_uniform(sizeof(adjectives) / sizeof(adjectives[0]))],
             nouns[randombytes_uniform(sizeof(nouns) / sizeof(nouns[0]))]);
}

bool sandbox_name_is_fine(const char *name)
{
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");
    return size > 0 && size <= 63 && name[size] == '\0' && name[0] != '-' && name[0] != '.'
           && name[0] != '_' && strncmp(name, "ws_", 3) != 0 && strncmp(name, "sn_", 3) != 0;
}

/* --- single values ------------------------------------------------------------------------- */

/* A member that is there and not null. */
static json_t *member(const json_t *body, const char *name)
{
    json_t *value = json_object_get(body, name);
    return json_is_null(value) ? NULL : value;
}

static int take_number(const json_t *body, const char *name, int64_t min, int64_t max,
                       uint32_t *ret, struct nt_error *reterr)
{
    const json_t *value = member(body, name);
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < min
        || json_integer_value(value) > max)
        return nt_fail(reterr, NT_E_INVALID, "%s must be a whole number from %lld to %lld", name,
                       (long long)min, (long long)max);
    *ret = (uint32_t)json_integer_value(value);
    return 0;
}

/* Text without NUL that fits; absent leaves ret as it is. */
static int take_text(const json_t *body, const char *name, char *ret, size_t size,
                     struct nt_error *reterr)
{
    const json_t *value = member(body, name);
    if (!value)
        return 0;
    const char *text = json_string_value(value);
    if (!text || strlen(text) != json_string_length(value) || strlen(text) >= size)
        return nt_fail(reterr, NT_E_INVALID, "%s must be a text of at most %zu bytes", name,
                       size - 1);
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

static int take_flag(const json_t *body, const char *name, bool *ret, struct nt_error *reterr)
{
    const json_t *value = member(body, name);
    if (value && !json_is_boolean(value))
        return nt_fail(reterr, NT_E_INVALID, "%s must be true or false", name);
    if (value)
        *ret = json_is_true(value);
    return 0;
}

int sandbox_timeout_parse(const json_t *body, int64_t fallback_ms, int64_t *ret,
                          struct nt_error *reterr)
{
    const json_t *value = member(body, "timeout_ms");
    *ret = fallback_ms;
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0
        || json_integer_value(value) > TIMEOUT_MAX_MS)
        return nt_fail(reterr, NT_E_INVALID, "timeout_ms must be from 0 (none) to %lld",
                       (long long)TIMEOUT_MAX_MS);
    *ret = json_integer_value(value);
    return 0;
}

int sandbox_action_parse(const json_t *body, bool *ret_hibernate, struct nt_error *reterr)
{
    const json_t *action = member(body, "timeout_action");
    if (!action)
        action = member(member(body, "lifecycle"), "on_timeout");
    if (!action)
        return 0;
    const char *word = json_string_value(action);
    if (word && strcmp(word, "destroy") == 0)
        *ret_hibernate = false;
    else if (word && (strcmp(word, "hibernate") == 0 || strcmp(word, "pause") == 0))
        *ret_hibernate = true;
    else
        return nt_fail(reterr, NT_E_INVALID, "timeout_action must be destroy or hibernate");
    return 0;
}

/* --- objects ------------------------------------------------------------------------------- */

static int take_envs(const json_t *body, char **ret, struct nt_error *reterr)
{
    json_t *envs = member(body, "envs");
    if (envs && !json_is_object(envs))
        return nt_fail(reterr, NT_E_INVALID, "envs must be an object of texts");
    const char *name;
    json_t *value;
    size_t bytes = 0;
    if (json_object_size(envs) > ENVS_MAX)
        return nt_fail(reterr, NT_E_INVALID, "envs has more than %u members", ENVS_MAX);
    json_object_foreach(envs, name, value)
    {
        const char *text = json_string_value(value);
        if (!*name || strchr(name, '=') || !text || strlen(text) != json_string_length(value))
            return nt_fail(reterr, NT_E_INVALID,
                           "envs: names are without '=', values are texts without NUL");
        bytes += strlen(name) + strlen(text) + 2;
    }
    if (bytes > ENVS_BYTES)
        return nt_fail(reterr, NT_E_INVALID, "envs is larger than %u bytes", ENVS_BYTES);
    *ret = envs ? json_dumps(envs, JSON_COMPACT) : strdup("{}");
    return *ret ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for the environment");
}

static int take_metadata(const json_t *body, char **ret, struct nt_error *reterr)
{
    json_t *metadata = member(body, "metadata");
    if (metadata && !json_is_object(metadata))
        return nt_fail(reterr, NT_E_INVALID, "metadata must be an object");
    /* Clients read these two as the state of volumes, and fall over what is not. */
    if (json_object_get(metadata, "volume_attachments")
        || json_object_get(metadata, "shared_volume_mount"))
        return nt_fail(reterr, NT_E_INVALID,
                       "metadata: volume_attachments and shared_volume_mount are reserved");
    nt_autofree char *text = metadata ? json_dumps(metadata, JSON_COMPACT) : strdup("{}");
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the metadata");
    if (strlen(text) > METADATA_BYTES)
        return nt_fail(reterr, NT_E_INVALID, "metadata is larger than %u bytes", METADATA_BYTES);
    *ret = nt_take(text);
    return 0;
}

static int not_built(const char *what, struct nt_error *reterr)
{
    return nt_fail(reterr, NT_E_UNSUPPORTED, "%s is not built yet", what);
}

/* network: only what comes to the same as internet_access. */
static int take_network(const json_t *body, bool *internet, struct nt_error *reterr)
{
    const json_t *network = member(body, "network");
    if (!network)
        return 0;
    if (!json_is_object(network))
        return nt_fail(reterr, NT_E_INVALID, "network must be an object");
    const json_t *egress = member(network, "egress");
    if (json_object_size(member(network, "deny_out"))
        || json_array_size(member(network, "deny_out")) > 0
        || json_array_size(member(network, "allow_out")) > 0
        || json_array_size(member(egress, "allow_cidrs")) > 0
        || json_array_size(member(egress, "deny_cidrs")) > 0 || member(egress, "rate_limit"))
        return not_built("network: rules for single addresses", reterr);
    const char *mode = nt_json_text(egress, "mode");
    if (mode && strcmp(mode, "custom") == 0)
        return not_built("network.egress: custom", reterr);
    if (egress && (!mode || (strcmp(mode, "allow_all") != 0 && strcmp(mode, "deny_all") != 0)))
        return nt_fail(reterr, NT_E_INVALID,
                       "network.egress.mode must be allow_all, deny_all or custom");
    if (mode && strcmp(mode, "deny_all") == 0)
        *internet = false;
    return 0;
}

static int refuse_what_is_not_built(const json_t *body, struct nt_error *reterr)
{
    if (member(body, "snapshot_id"))
        return not_built("a workspace from a snapshot", reterr);
    if (json_array_size(member(body, "volumes")) > 0)
        return not_built("volumes", reterr);
    if (member(body, "desktop"))
        return not_built("desktop", reterr);
    const char *mode = nt_json_text(member(body, "warm_pool"), "mode");
    if (mode && strcmp(mode, "require") == 0)
        return not_built("a warm pool", reterr);
    return 0;
}

/* --- image and size ------------------------------------------------------------------------ */

static int no_template(const char *name, struct nt_error *reterr)
{
    nt_fail(reterr, NT_E_NOT_FOUND, "there is no image or template %s", name);
    nt_copy_text(reterr->server_code, sizeof(reterr->server_code), "template_not_found");
    return nt_hint(reterr, "use the image host, or the path of a root filesystem as tar");
}

static int take_image(const json_t *body, bool is_local, struct workspace *ws,
                      struct nt_error *reterr)
{
    snprintf(ws->template_name, sizeof(ws->template_name), "base");
    snprintf(ws->image, sizeof(ws->image), "host");
    char image[sizeof(ws->image)] = "";
    if (take_text(body, "template", ws->template_name, sizeof(ws->template_name), reterr) < 0
        || take_text(body, "image", image, sizeof(image), reterr) < 0)
        return -1;
    if (strcmp(ws->template_name, "base") != 0 && strcmp(ws->template_name, "host") != 0)
        return no_template(ws->template_name, reterr);
    if (!*image || strcmp(image, "host") == 0)
        return 0;
    if (strncmp(image, "file:/", 6) != 0)
        return no_template(image, reterr);
    if (!is_local) /* the server would open a file of its own machine for somebody else */
        return nt_fail(reterr, NT_E_FORBIDDEN,
                       "an image from a file is for the user of this machine only");
    memcpy(ws->image, image, sizeof(image));
    return 0;
}

static int take_size(const json_t *body, bool is_wide, struct workspace *ws,
                     struct nt_error *reterr)
{
    ws->vcpus = 2;
    ws->memory_mb = is_wide ? 2048 : 512;
    ws->pids = 512;
    bool by_numbers = member(body, "vcpus") || member(body, "memory_mb");
    char size[sizeof(ws->size)] = "";
    if (take_text(body, "size", size, sizeof(size), reterr) < 0)
        return -1;
    if (!*size && is_wide && !by_numbers)
        snprintf(size, sizeof(size), "small");
    if (*size) {
        size_t i = 0;
        while (i < sizeof(sizes) / sizeof(sizes[0]) && strcmp(sizes[i].name, size) != 0)
            i++;
        if (i == sizeof(sizes) / sizeof(sizes[0]))
            return nt_fail(reterr, NT_E_INVALID, "size must be small, medium or large");
        ws->vcpus = sizes[i].vcpus;
        ws->memory_mb = sizes[i].memory_mb;
        ws->pids = sizes[i].pids;
        if (!by_numbers)
            snprintf(ws->size, sizeof(ws->size), "%s", size);
    }
    if (take_number(body, "vcpus", 1, 1024, &ws->vcpus, reterr) < 0
        || take_number(body, "memory_mb", 64, 64 * 1024 * 1024, &ws->memory_mb, reterr) < 0
        || take_number(body, "disk_mb", 0, INT64_C(1) << 30, &ws->disk_mb, reterr) < 0)
        return -1;
    return 0;
}

int sandbox_ports_parse(const struct server *server, const json_t *body, bool is_local,
                        struct sandbox_body *ret, struct nt_error *reterr)
{
    const json_t *ports = member(body, "ports");
    if (ports && (!json_is_array(ports) || json_array_size(ports) > PORTS_MAX))
        return nt_fail(reterr, NT_E_INVALID, "ports must be a list of at most %u", PORTS_MAX);
    for (size_t i = 0; i < json_array_size(ports); i++) {
        if (port_parse(server, json_array_get(ports, i), is_local, &ret->ports[i], reterr) < 0)
            return nt_wrap(reterr, "ports");
        ret->port_count++;
    }
    return 0;
}

/* --- all of it ----------------------------------------------------------------------------- */

static int parse(const json_t *body, bool is_wide, bool is_local, struct sandbox_body *b,
                 struct nt_error *reterr)
{
    struct workspace *ws = &b->ws;
    ws->internet = true;
    bool require_limits = false, harden = false;
    if (refuse_what_is_not_built(body, reterr) < 0 || take_image(body, is_local, ws, reterr) < 0
        || take_size(body, is_wide, ws, reterr) < 0
        || sandbox_timeout_parse(body, is_wide ? 0 : NARROW_TIMEOUT_MS, &ws->timeout_ms, reterr) < 0
        || sandbox_action_parse(body, &ws->on_timeout_hibernate, reterr) < 0
        || take_envs(body, &b->envs, reterr) < 0 || take_metadata(body, &b->metadata, reterr) < 0
        || take_flag(body, "internet_access", &ws->internet, reterr) < 0
        || take_network(body, &ws->internet, reterr) < 0
        || take_flag(body, "require_limits", &require_limits, reterr) < 0
        || take_flag(body, "harden", &harden, reterr) < 0
        || take_text(body, "cwd", ws->cwd, sizeof(ws->cwd), reterr) < 0
        || take_text(body, "name", ws->name, sizeof(ws->name), reterr) < 0)
        return -1;
    if (ws->cwd[0] && ws->cwd[0] != '/')
        return nt_fail(reterr, NT_E_INVALID, "cwd must be an absolute path");
    b->has_name = ws->name[0] != '\0';
    if (b->has_name && !sandbox_name_is_fine(ws->name))
        return nt_fail(reterr, NT_E_INVALID,
                       "a name has letters, digits, '-', '_' and '.', begins with a letter or "
                       "digit, is at most 63 long "
                       "and does not look like an id");
    b->spec_flags = (require_limits ? NT_SPEC_REQUIRE_LIMITS : 0) | (harden ? NT_SPEC_HARDEN : 0);
    ws->envs = b->envs;
    ws->metadata = b->metadata;
    return 0;
}

int sandbox_body_parse(const json_t *body, bool is_wide, bool is_local, struct sandbox_body *ret,
                       struct nt_error *reterr)
{
    if (body && !json_is_object(body))
        return nt_fail(reterr, NT_E_INVALID, "the body must be a JSON object");
    struct sandbox_body b = { 0 };
    if (parse(body, is_wide, is_local, &b, reterr) < 0) {
        sandbox_body_done(&b);
        return -1;
    }
    *ret = b;
    return 0;
}

void sandbox_body_done(struct sandbox_body *body)
{
    ports_close(body->ports, body->port_count);
    free(body->envs);
    free(body->metadata);
    *body = (struct sandbox_body){ 0 };
}
