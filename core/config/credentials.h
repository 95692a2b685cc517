/* SPDX-License-Identifier: Apache-2.0 */
/* credentials.h - what core/auth and core/api ask of the settings beyond config.h: the origin in
 * force, the credentials by origin, the API URLs that the user trusts. */
#ifndef NT_CORE_CREDENTIALS_H
#define NT_CORE_CREDENTIALS_H

#include "core/config/config.h"
#include "core/config/origin.h"

/* The API in force; NULL: the embedded server. An API URL that cannot be read is NT_E_CONFIG (ret
 * untouched). */
int config_origin(const struct config *config, const struct origin **ret, struct nt_error *reterr);
/* NT_E_UNTRUSTED_API when the API in force came from a .env and is not known; else 0. */
int config_require_trust(const struct config *config, struct nt_error *reterr);
/* NT_E_USAGE: bytes that no key has, which would end up in a header line. */
int config_check_key(const char *key, struct nt_error *reterr);
/* Stores the key for that origin; NULL removes what is stored for it. origin NULL (with key NULL):
 * all of them. */
int config_set_credential(struct config *config, const struct origin *origin, const char *key,
                          struct nt_error *reterr);
/* Adds the origin to the known ones, or takes it away. */
int config_trust(struct config *config, const struct origin *origin, bool trusted,
                 struct nt_error *reterr);
/* Path of the config file. */
const char *config_file(const struct config *config);
/* One line about something that was left out or is not safe (a .env of others, a config file that
 * others can read);
 * "": nothing. */
const char *config_warning(const struct config *config);
/* A secret's first characters and "...", short enough that the rest cannot be guessed. */
void config_mask(const char *secret, char *ret, size_t size);

#endif
