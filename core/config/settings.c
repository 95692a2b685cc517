/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - the table of all settings. A new one is a row here and nothing else. */
#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "core/config/origin.h"
#include "core/confine/rules.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define TEXT_MAX 1024

static const struct setting settings[SETTINGS] = {
    { .key = "api_key",
      .help = "The credential for the API in force",
      .env = "NANOTERM_API_KEY",
      .secret = true },
    { .key = "api_url",
      .help = "The API to talk to; not set: the embedded server of this machine",
      .env = "NANOTERM_API_URL",
      .type = SETTING_URL },
    { .key = "no_update_check",
      .help = "1: never ask whether there is a newer version",
      .env = "NANOTERM_NO_UPDATE_CHECK" },
    { .key = "org_id", .help = "The organisation to act in", .env = "NANOTERM_ORG_ID" },
    { .key = "output.color",
      .help = "auto, always or never",
      .fallback = "auto",
      .type = SETTING_CHOICE,
      .choices = "auto|always|never" },
    { .key = "plugin.weaker",
      .help = "What may be missing where a third party's plugin is confined: files, scopes",
      .env = RULES_WEAKER_VARIABLE },
    { .key = "server.idle_ms",
      .help = "The embedded server ends after so many milliseconds without work",
      .type = SETTING_NUMBER,
      .min = 100,
      .max = 24 * 3600 * (int64_t)1000 },
    { .key = "tls.ca_file",
      .help =
          "PEM file of the authorities that may vouch for an https API, instead of the system's",
      .type = SETTING_PATH },
    { .key = "update_url",
      .help = "Where to ask for a newer version",
      .env = "NANOTERM_UPDATE_URL",
      .type = SETTING_URL },
};

const struct setting *setting_at(uint32_t index)
{
    return index < SETTINGS ? &settings[index] : NULL;
}

const struct setting *setting_find(const char *key)
{
    for (uint32_t i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].key, key) == 0)
            return &settings[i];
    return NULL;
}

const struct setting *setting_need(const char *key, struct nt_error *reterr)
{
    const struct setting *setting = setting_find(key);
    char names[sizeof(reterr->hint)] = "";
    if (setting)
        return setting;
    nt_fail(reterr, NT_E_USAGE, "there is no setting '%.60s'", key);
    for (uint32_t i = 0; i < SETTINGS; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", settings[i].key);
    }
    nt_hint(reterr, "%s", names);
    return NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t size = strlen(value);
    while (*choices) {
        size_t length = strcspn(choices, "|");
        if (length == size && memcmp(choices, value, size) == 0)
            return true;
        choices += length + (choices[length] == '|');
    }
    return false;
}

int setting_check(const struct setting *setting, const char *value, struct nt_error *reterr)
{
    struct origin origin;
    int64_t number;
    if (strlen(value) > TEXT_MAX)
        return nt_fail(reterr, NT_E_USAGE, "the value of %s is too long", setting->key);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return nt_fail(reterr, NT_E_USAGE, "the value of %s contains a control character",
                           setting->key);
    switch (setting->type) {
    case SETTING_URL:
        return origin_parse(value, &origin, reterr);
    case SETTING_NUMBER:
        return nt_parse_i64(value, setting->min, setting->max, &number, reterr) < 0
                   ? nt_wrap(reterr, "%s", setting->key)
                   : 0;
    case SETTING_CHOICE:
        return is_choice(setting->choices, value)
                   ? 0
                   : nt_fail(reterr, NT_E_USAGE, "%s is one of %s", setting->key, setting->choices);
    case SETTING_PATH:
        return value[0] == '/'
                   ? 0
                   : nt_fail(reterr, NT_E_USAGE, "%s is an absolute path", setting->key);
    case SETTING_TEXT:
        break;
    }
    return 0;
}
