/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - the table of all settings: name, where it may come from, what it may be. */
#ifndef NT_CORE_SETTINGS_H
#define NT_CORE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/error.h"

enum setting_type {
    SETTING_TEXT,
    SETTING_URL,
    SETTING_NUMBER, /* between min and max */
    SETTING_CHOICE, /* one of choices */
    SETTING_PATH,   /* absolute: it must not mean something else in every folder */
};

struct setting {
    const char *key;
    const char *help;
    /* of the nanoterm personality; NULL: none. api_url, api_key: see config.c */
    const char *env;
    const char *fallback; /* NULL: none */
    const char *choices;  /* "auto|always|never" */
    int64_t min, max;
    enum setting_type type;
    bool secret;
};

#define SETTINGS 9

/* The index-th of SETTINGS, sorted by key; NULL: no more. */
const struct setting *setting_at(uint32_t index);
/* NULL: there is no such setting. */
const struct setting *setting_find(const char *key);
/* The same, and NT_E_USAGE with the names that there are as the hint. */
const struct setting *setting_need(const char *key, struct nt_error *reterr);
/* NT_E_USAGE: the value is not one for this setting. */
int setting_check(const struct setting *setting, const char *value, struct nt_error *reterr);

#endif
