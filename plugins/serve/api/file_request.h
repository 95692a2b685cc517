/* SPDX-License-Identifier: Apache-2.0 */
/* file_request.h - what all requests about files have in common: paths and the user they name. */
#ifndef NT_SERVE_API_FILE_REQUEST_H
#define NT_SERVE_API_FILE_REQUEST_H

#include <jansson.h>

#include "plugins/serve/server.h"

#define FILE_PATH_MAX 4096u     /* with the NUL */
#define FILE_HOME "/home/agent" /* of the user of every workspace */
#define FILE_FRAME_MEMORY 16384 /* a frame with two paths and a few numbers */

/* Where a path of a client leads: a relative one starts at the workspace's folder, else at the home
 * of the user that was named, else at /workspace (the guest does that). NULL: not 1 to 4095 bytes
 * without NUL. */
const char *file_path_resolve(const struct workspace *ws, const char *path, size_t size,
                              const char *user, char memory[FILE_PATH_MAX]);

/* The same for the text at a key of the exchange's JSON body. NULL: the exchange was answered. */
const char *file_path_of(struct exchange *x, const struct workspace *ws, const char *key,
                         char memory[FILE_PATH_MAX]);
/* Programs and file calls of a workspace run as one user, so only that one can be named, by name or
 * number. NULL and "" are fine, too. */
bool file_user_is_fine(const char *user);
/* The user of the JSON body. False: the exchange was answered. */
bool file_user_check(struct exchange *x);

#endif
