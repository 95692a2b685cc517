/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - decides every setting: flag, environment, ./.env, config file, default.
 *
 * A key belongs to the API that its source names: the key of an environment, .env or config file
 * that also names an API URL is never sent to another origin. A source that names no URL lends its
 * key to the API in force. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/credentials.h"
#include "core/config/dotenv.h"
#include "core/config/file.h"
#include "core/config/settings.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define ORIGIN_TEXT_MAX (PATH_MAX + 32)

struct slot {
    struct config_value value; /* value.value NULL: not set */
    char *text;
    char origin[ORIGIN_TEXT_MAX];
};

struct config {
    uint32_t personality;
    char *flag_api, *flag_org; /* NULL: not given */
    char file[PATH_MAX];
    struct slot slots[SETTINGS];
    struct origin origin;
    struct nt_error origin_error; /* code 0: origin is good, or there is no API URL */
    bool api_trusted;
    char warning[PATH_MAX + 128];
};

/* Names that come together: a key and the URLs it belongs to. */
struct names {
    const char *urls[2];
    const char *key;
};

static const struct names as_nanoterm[] = {
    { { "NANOTERM_API_URL", NULL }, "NANOTERM_API_KEY" },
    { { "NULLSPACE_API_URL", NULL }, "NULLSPACE_API_KEY" },
    { { NULL, NULL }, NULL },
};
static const struct names as_nullspace[] = {
    { { "NULLSPACE_API_URL", "NULLSPACE_BASE_URL" }, "NULLSPACE_API_KEY" },
    { { NULL, NULL }, NULL },
};

/* Where names are looked up: the environment or a .env. */
struct source {
    enum config_origin origin;
    const struct dotenv *dotenv;
};

static const char *look_up(const struct source *source, const char *name)
{
    if (!name)
        return NULL;
    const char *value = source->dotenv ? dotenv_get(source->dotenv, name) : getenv(name);
    return value && *value ? value : NULL;
}

/* --- slots --------------------------------------------------------------------------------- */

static struct slot *slot_of(struct config *config, const char *key)
{
    for (uint32_t i = 0; i < SETTINGS; i++)
        if (strcmp(setting_at(i)->key, key) == 0)
            return &config->slots[i];
    return NULL;
}

static void slot_clear(struct slot *slot)
{
    if (slot->text)
        explicit_bzero(slot->text, strlen(slot->text));
    free(slot->text);
    *slot = (struct slot){ .text = NULL };
}

/* Copies without the white space around it. Out of memory leaves it unset. */
static bool slot_set(struct config *config, const char *key, const char *text,
                     enum config_origin origin, const char *where, const char *name)
{
    struct slot *slot = slot_of(config, key);
    size_t start = strspn(text, " \t\r\n"), size = strlen(text + start);
    while (size > 0 && strchr(" \t\r\n", text[start + size - 1]))
        size--;
    if (size == 0)
        return false;
    slot_clear(slot);
    slot->text = strndup(text + start, size);
    snprintf(slot->origin, sizeof(slot->origin), "%s%s", where, name);
    const struct setting *setting = setting_find(key);
    slot->value = (struct config_value){ .key = setting->key,
                                         .value = slot->text,
                                         .origin = origin,
                                         .secret = setting->secret,
                                         .origin_text = slot->origin };
    return slot->text != NULL;
}

static bool slot_from(struct config *config, const char *key, const struct source *source,
                      const char *name)
{
    const char *value = look_up(source, name);
    if (!value)
        return false;
    if (source->dotenv)
        return slot_set(config, key, value, CONFIG_DOTENV, source->dotenv->path, "");
    return slot_set(config, key, value, CONFIG_ENVIRONMENT, "environment ", name);
}

/* A value of the config file: a text, or a number or flag that a person wrote there. */
static bool slot_from_json(struct config *config, const char *key, const json_t *value)
{
    char number[32];
    const char *text = json_string_value(value);
    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = number;
    } else if (json_is_true(value)) {
        text = "1";
    }
    return text && slot_set(config, key, text, CONFIG_FILE, config->file, "");
}

static const char *slot_text(struct config *config, const char *key)
{
    return slot_of(config, key)->value.value;
}

/* --- the API URL --------------------------------------------------------------------------- */

static const struct names *names_of(const struct config *config)
{
    return config->personality == NT_AS_NULLSPACE ? as_nullspace : as_nanoterm;
}

static bool url_from(struct config *config, const struct source *source)
{
    for (const struct names *names = names_of(config); names->key; names++)
        for (size_t i = 0; i < 2; i++)
            if (slot_from(config, "api_url", source, names->urls[i]))
                return true;
    return false;
}

static bool is_known(const json_t *root, const char *url)
{
    const char *own = nt_json_text(root, "api_url");
    size_t index;
    json_t *trusted;
    if (own && origin_is_same(own, url))
        return true;
    json_array_foreach(json_object_get(root, "trusted_apis"), index, trusted)
    {
        const char *text = json_string_value(trusted);
        if (text && origin_is_same(text, url))
            return true;
    }
    return false;
}

static void resolve_url(struct config *config, const struct source *sources, const json_t *root)
{
    config->api_trusted = true;
    config->origin = (struct origin){ .port = 0 };
    config->origin_error = (struct nt_error)NT_ERROR_INIT;
    if (config->flag_api)
        slot_set(config, "api_url", config->flag_api, CONFIG_FLAG, "--api", "");
    else if (!url_from(config, &sources[0]) && !url_from(config, &sources[1]))
        slot_from_json(config, "api_url", json_object_get(root, "api_url"));
    struct slot *slot = slot_of(config, "api_url");
    if (!slot->value.value)
        return;
    if (origin_parse(slot->value.value, &config->origin, &config->origin_error) < 0)
        nt_wrap(&config->origin_error, "%s", slot->origin);
    if (slot->value.origin == CONFIG_DOTENV)
        config->api_trusted = is_known(root, slot->value.value);
}

/* --- key and organisation ------------------------------------------------------------------ */

/* Whether the names of one source speak of the API in force: they name it, or no API at all. */
static bool is_about_us(const struct config *config, const struct source *source,
                        const struct names *names)
{
    struct origin origin;
    struct nt_error unused = NT_ERROR_INIT;
    const char *url = look_up(source, names->urls[0]);
    if (!url)
        url = look_up(source, names->urls[1]);
    return !url
           || (origin_parse(url, &origin, &unused) == 0
               && strcmp(origin.text, config->origin.text) == 0);
}

static bool key_from(struct config *config, const struct source *source)
{
    for (const struct names *names = names_of(config); names->key; names++)
        if (is_about_us(config, source, names) && slot_from(config, "api_key", source, names->key))
            return true;
    return false;
}

static const json_t *credential_of(const struct config *config, const json_t *root)
{
    return json_object_get(json_object_get(root, "credentials"), config->origin.text);
}

static bool is_api_of_file(const struct config *config, const json_t *root)
{
    const char *own = nt_json_text(root, "api_url");
    struct origin origin;
    struct nt_error unused = NT_ERROR_INIT;
    return own && origin_parse(own, &origin, &unused) == 0
           && strcmp(origin.text, config->origin.text) == 0;
}

static void resolve_key(struct config *config, const struct source *sources, const json_t *root)
{
    if (!config->origin.text[0] || !config->api_trusted)
        return; /* the embedded server needs none, and what is not trusted gets none */
    if (key_from(config, &sources[0]) || key_from(config, &sources[1]))
        return;
    if (slot_from_json(config, "api_key", json_object_get(credential_of(config, root), "api_key")))
        return;
    if (is_api_of_file(config, root))
        slot_from_json(config, "api_key", json_object_get(root, "api_key"));
}

static void resolve_org(struct config *config, const struct source *sources, const json_t *root)
{
    if (config->flag_org && slot_set(config, "org_id", config->flag_org, CONFIG_FLAG, "--org", ""))
        return;
    if (config->personality == NT_AS_NANOTERM
        && (slot_from(config, "org_id", &sources[0], "NANOTERM_ORG_ID")
            || (is_about_us(config, &sources[1], names_of(config))
                && slot_from(config, "org_id", &sources[1], "NANOTERM_ORG_ID"))))
        return;
    if (!slot_from_json(config, "org_id", json_object_get(credential_of(config, root), "org_id")))
        slot_from_json(config, "org_id", json_object_get(root, "org_id"));
}

/* --- all of it ----------------------------------------------------------------------------- */

static void resolve_rest(struct config *config, const struct source *environment,
                         const json_t *root)
{
    struct nt_error unused = NT_ERROR_INIT;
    for (uint32_t i = 0; i < SETTINGS; i++) {
        const struct setting *setting = setting_at(i);
        if (strcmp(setting->key, "api_url") == 0 || strcmp(setting->key, "api_key") == 0
            || strcmp(setting->key, "org_id") == 0)
            continue;
        if (!slot_from(config, setting->key, environment, setting->env))
            slot_from_json(config, setting->key, json_object_get(root, setting->key));
        /* A value that cannot be is as if it were not there; config_set would not have written
         * it. */
        if (slot_text(config, setting->key)
            && setting_check(setting, slot_text(config, setting->key), &unused) < 0)
            slot_clear(&config->slots[i]);
        if (!slot_text(config, setting->key) && setting->fallback)
            slot_set(config, setting->key, setting->fallback, CONFIG_DEFAULT, "default", "");
    }
}

static int resolve(struct config *config, struct nt_error *reterr)
{
    nt_auto(config_file_drop) json_t *root = NULL;
    bool is_shared = false;
    const char *folder = config_path(NT_PATH_CONFIG);
    if (folder && config_file_read(folder, &root, &is_shared, reterr) < 0)
        return -1;
    nt_auto(dotenv_done) struct dotenv dotenv;
    dotenv_read(&dotenv);
    const struct source sources[2] = { { CONFIG_ENVIRONMENT, NULL }, { CONFIG_DOTENV, &dotenv } };
    for (uint32_t i = 0; i < SETTINGS; i++)
        slot_clear(&config->slots[i]);
    resolve_url(config, sources, root);
    resolve_key(config, sources, root);
    resolve_org(config, sources, root);
    resolve_rest(config, &sources[0], root);
    config->warning[0] = '\0';
    if (dotenv.ignored[0])
        snprintf(config->warning, sizeof(config->warning), "%s", dotenv.ignored);
    else if (is_shared)
        snprintf(config->warning, sizeof(config->warning),
                 "others can read %s (run chmod 600 on it)", config->file);
    return 0;
}

static int set_flags(struct config *config, const struct config_options *options,
                     struct nt_error *reterr)
{
    struct origin origin;
    if (options->flag_api) {
        if (origin_parse(options->flag_api, &origin, reterr) < 0)
            return nt_wrap(reterr, "--api");
        config->flag_api = strdup(options->flag_api);
    }
    if (options->flag_org)
        config->flag_org = strdup(options->flag_org);
    if ((options->flag_api && !config->flag_api) || (options->flag_org && !config->flag_org))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return 0;
}

static void config_freep(struct config **config)
{
    config_free(*config);
}

int config_load(const struct config_options *options, struct config **ret, struct nt_error *reterr)
{
    nt_auto(config_freep) struct config *config = calloc(1, sizeof(*config));
    if (!config)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    config->personality = options->personality;
    const char *folder = config_path(NT_PATH_CONFIG);
    if (folder)
        snprintf(config->file, sizeof(config->file), "%s/config.json", folder);
    if (set_flags(config, options, reterr) < 0 || resolve(config, reterr) < 0)
        return -1;
    *ret = nt_take(config);
    return 0;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (uint32_t i = 0; i < SETTINGS; i++)
        slot_clear(&config->slots[i]);
    free(config->flag_api);
    free(config->flag_org);
    free(config);
}

const struct config_value *config_get(const struct config *config, const char *key)
{
    for (uint32_t i = 0; i < SETTINGS; i++)
        if (config->slots[i].value.value && strcmp(config->slots[i].value.key, key) == 0)
            return &config->slots[i].value;
    return NULL;
}

const struct config_value *config_at(const struct config *config, uint32_t index)
{
    for (uint32_t i = 0; i < SETTINGS; i++)
        if (config->slots[i].value.value && index-- == 0)
            return &config->slots[i].value;
    return NULL;
}

bool config_api_is_trusted(const struct config *config)
{
    return config->api_trusted;
}

const char *config_file(const struct config *config)
{
    return config->file;
}

const char *config_warning(const struct config *config)
{
    return config->warning;
}

int config_origin(const struct config *config, const struct origin **ret, struct nt_error *reterr)
{
    if (config->origin_error.code) {
        nt_fail(reterr, NT_E_CONFIG, "%s", config->origin_error.message);
        return nt_hint(reterr, "%s", config->origin_error.hint);
    }
    *ret = config->origin.text[0] ? &config->origin : NULL;
    return 0;
}

int config_require_trust(const struct config *config, struct nt_error *reterr)
{
    const struct config_value *url = config_get(config, "api_url");
    if (config->api_trusted || !url)
        return 0;
    nt_fail(reterr, NT_E_UNTRUSTED_API,
            "the API URL %.100s comes from %.100s and is not known; nothing was sent", url->value,
            url->origin_text);
    return nt_hint(reterr, "if it is right: nanoterm auth trust %.180s (or give it with --api)",
                   url->value);
}

/* --- changes ------------------------------------------------------------------------------- */

struct change {
    const char *key, *value;     /* config_set */
    const struct origin *origin; /* the others */
    bool trusted;
};

static int stored(int failed, struct nt_error *reterr)
{
    return failed ? nt_fail(reterr, NT_E_MEMORY, "out of memory") : 0;
}

static int update(struct config *config, int (*how)(json_t *, void *, struct nt_error *),
                  struct change *change, struct nt_error *reterr)
{
    const char *folder = config_path(NT_PATH_CONFIG);
    if (!folder) {
        nt_fail(reterr, NT_E_CONFIG, "there is no home folder to keep settings in");
        return nt_hint(reterr, "set HOME");
    }
    if (config_file_update(folder, how, change, reterr) < 0)
        return -1;
    return resolve(config, reterr);
}

static int change_setting(json_t *root, void *data, struct nt_error *reterr)
{
    const struct change *change = data;
    if (change->value)
        return stored(json_object_set_new(root, change->key, json_string(change->value)), reterr);
    json_object_del(root, change->key); /* not there: as it should be */
    return 0;
}

int config_set(struct config *config, const char *key, const char *value, struct nt_error *reterr)
{
    const struct setting *setting = setting_need(key, reterr);
    if (!setting)
        return -1;
    if (setting->secret && value) {
        nt_fail(reterr, NT_E_USAGE, "a key is stored for the API that it belongs to");
        return nt_hint(reterr, "nanoterm auth set-key");
    }
    if (value && setting_check(setting, value, reterr) < 0)
        return -1;
    struct change change = { .key = key, .value = value };
    return update(config, change_setting, &change, reterr);
}

static json_t *child(json_t *root, const char *key, json_t *empty)
{
    json_t *found = json_object_get(root, key);
    if (found && json_typeof(found) == json_typeof(empty)) {
        json_decref(empty);
        return found;
    }
    return json_object_set_new(root, key, empty) < 0 ? NULL : empty;
}

static int change_credential(json_t *root, void *data, struct nt_error *reterr)
{
    const struct change *change = data;
    const char *own = nt_json_text(root, "api_url");
    if (!change->origin || (own && origin_is_same(own, change->origin->text)))
        json_object_del(root, "api_key"); /* the older place of a key */
    if (!change->origin) {
        json_object_del(root, "credentials");
        return 0;
    }
    json_t *all = child(root, "credentials", json_object());
    if (!all)
        return stored(1, reterr);
    if (!change->value) {
        json_object_del(all, change->origin->text);
        return 0;
    }
    json_t *credential = child(all, change->origin->text, json_object());
    return stored(!credential
                      || json_object_set_new(credential, "api_key", json_string(change->value)) < 0,
                  reterr);
}

int config_set_credential(struct config *config, const struct origin *origin, const char *key,
                          struct nt_error *reterr)
{
    struct change change = { .value = key, .origin = origin };
    if (key && config_check_key(key, reterr) < 0)
        return -1;
    return update(config, change_credential, &change, reterr);
}

static int change_trust(json_t *root, void *data, struct nt_error *reterr)
{
    const struct change *change = data;
    json_t *list = child(root, "trusted_apis", json_array());
    if (!list)
        return stored(1, reterr);
    for (size_t i = json_array_size(list); i > 0; i--) {
        const char *text = json_string_value(json_array_get(list, i - 1));
        if (text && origin_is_same(text, change->origin->text))
            json_array_remove(list, i - 1);
    }
    return change->trusted
               ? stored(json_array_append_new(list, json_string(change->origin->text)) < 0, reterr)
               : 0;
}

int config_trust(struct config *config, const struct origin *origin, bool trusted,
                 struct nt_error *reterr)
{
    struct change change = { .origin = origin, .trusted = trusted };
    return update(config, change_trust, &change, reterr);
}

int config_check_key(const char *key, struct nt_error *reterr)
{
    size_t size = strlen(key);
    if (size == 0 || size > 4096)
        return nt_fail(reterr, NT_E_USAGE, "an API key has between 1 and 4096 characters");
    for (size_t i = 0; i < size; i++)
        if (key[i] <= 0x20 || key[i] >= 0x7f)
            return nt_fail(reterr, NT_E_USAGE, "the API key contains a character that no key has");
    return 0;
}

void config_mask(const char *secret, char *ret, size_t size)
{
    size_t length = strlen(secret);
    size_t shown = length >= 32 ? 15 : length * 3 / 5 < 11 ? length * 3 / 5 : 11;
    if (length < 8)
        shown = 0;
    snprintf(ret, size, "%.*s...", (int)shown, secret);
}
