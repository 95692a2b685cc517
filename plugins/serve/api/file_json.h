/* SPDX-License-Identifier: Apache-2.0 */
/* file_json.h - a file's entry as the wire's FileInfo. */
#ifndef NT_SERVE_API_FILE_JSON_H
#define NT_SERVE_API_FILE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "plugins/serve/api/guest_fields.h"

/* Exactly the keys of the strict type; wide adds mtime_ns (text), uid and gid. NULL: out of
 * memory. */
json_t *file_json(const struct guest_fields *entry, bool wide);

/* "2024-01-02T03:04:05.123456789Z"; -1: beyond what that form can say. */
int file_json_time(uint64_t mtime_ns, char ret[40]);
/* "0644" */
void file_json_mode(uint64_t mode, char ret[8]);

#endif
