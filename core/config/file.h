/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - the config file: checked before it is read, changed whole or not at all.
 *
 * ~/.nanoterm/config.json, 0600 in a folder of 0700. Writers take turns (flock on config.lock
 * beside it), write a new file, sync it and rename it over the old one. Unknown keys and the order
 * of all keys stay. */
#ifndef NT_CORE_CONFIG_FILE_H
#define NT_CORE_CONFIG_FILE_H

#include <jansson.h>
#include <stdbool.h>

#include "nanoterm/error.h"

/* Reads it. Not there: an empty object. NT_E_CONFIG: not JSON (with the line), not ours, a link,
 * too long. ret_is_shared: others can read it. The caller drops the reference with
 * config_file_drop. */
int config_file_read(const char *folder, json_t **ret_root, bool *ret_is_shared,
                     struct nt_error *reterr);
/* Wipes the secrets in it, then drops the reference; *root becomes NULL. */
void config_file_drop(json_t **root);
/* Reads, changes and writes under the lock. `change` returns 0, or -1 with reterr filled; then
 * nothing is written. */
int config_file_update(const char *folder,
                       int (*change)(json_t *root, void *data, struct nt_error *reterr), void *data,
                       struct nt_error *reterr);

#endif
