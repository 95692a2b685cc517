/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - settings and where each came from; the folders of this user and this installation.
 *
 * Order: flag, environment, ./.env (api_url, api_key and org_id only; hostile input, see dotenv.h),
 * config file, built-in default. A project's .env never becomes trusted by being read: its API URL
 * is marked, and whoever sends data asks config_api_is_trusted first. */
#ifndef NT_CORE_CONFIG_H
#define NT_CORE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/error.h"

struct config;

enum config_origin {
    CONFIG_FLAG,
    CONFIG_ENVIRONMENT,
    CONFIG_DOTENV,
    CONFIG_FILE,
    CONFIG_DEFAULT,
};

struct config_value {
    const char *key;
    const char *value; /* a secret's value is never printed by anyone */
    enum config_origin origin;
    bool secret;
    /* "--api", "environment NANOTERM_API_URL", "/home/u/.nanoterm/config.json" */
    const char *origin_text;
};

struct config_options {
    uint32_t personality; /* NT_AS_* of host.h: whose variables and files are read */
    const char *flag_api; /* --api; NULL: not given */
    const char *flag_org; /* --org */
};

/* Reads all of it. A broken config file is NT_E_CONFIG with its path and line, and a hint. */
int config_load(const struct config_options *options, struct config **ret, struct nt_error *reterr);
void config_free(struct config *config);

/* A setting: api_url, api_key, org_id, ...; NULL: not set. api_url NULL: the embedded server of
 * this machine. api_key is the key for the API in force only (credentials are keyed by origin). */
const struct config_value *config_get(const struct config *config, const char *key);
/* The index-th setting that is set, sorted by key; NULL: no more. */
const struct config_value *config_at(const struct config *config, uint32_t index);
/* Writes one setting into the config file (0600, atomic, other keys and order kept); value NULL
 * removes it. */
int config_set(struct config *config, const char *key, const char *value, struct nt_error *reterr);

/* False when the API URL in force came from a .env and is not known (auth trust URL). */
bool config_api_is_trusted(const struct config *config);

/* A path, NT_PATH_* of host.h; valid for ever; NULL only without a home. The runtime folder is made
 * (0700) and its owner checked by whoever uses it (core/api/local.c). */
const char *config_path(uint32_t which);

#endif
