/* SPDX-License-Identifier: Apache-2.0 */
/* json_file.h - reads a small JSON file of others: of the cache, of an external command. */
#ifndef NT_CORE_JSON_FILE_H
#define NT_CORE_JSON_FILE_H

#include <jansson.h>

#include "nanoterm/error.h"

/* A file that is larger is not read. */
#define JSON_FILE_MAX_BYTES ((size_t)8 * 1024 * 1024)

/* Bounded in size, and in depth by jansson (2048). NULL: reterr says why. */
json_t *json_file_read(int fd, struct nt_error *reterr);

#endif
