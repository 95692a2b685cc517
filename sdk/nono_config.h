/* SPDX-License-Identifier: Apache-2.0 */
/* nono_config.h - config.toml in the user's folder of nono: the one reader of it. */
#ifndef NT_SDK_NONO_CONFIG_H
#define NT_SDK_NONO_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* KEY of [TABLE]: a text without its quotes, else the word as it stands (true, 10). False: there is
 * no such file or setting, or it is longer than fits. */
bool nt_nono_config(const char *table, const char *key, char *ret, size_t max);
/* The same in TEXT, which is changed. */
bool nt_nono_config_in(char *text, const char *table, const char *key, char *ret, size_t max);

#ifdef __cplusplus
}
#endif

#endif
