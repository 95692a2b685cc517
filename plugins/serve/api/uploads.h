/* SPDX-License-Identifier: Apache-2.0 */
/* uploads.h - what the two files of upload sessions share: a session and a refusal as JSON. */
#ifndef NT_SERVE_API_UPLOADS_H
#define NT_SERVE_API_UPLOADS_H

#include "plugins/serve/uploads/uploads.h"

/* Strict: exactly the keys that clients know. */
json_t *upload_json(const struct upload *u);
/* The envelope, with error_detail where there is a reason. */
json_t *upload_error_json(const struct upload_error *e, const char *upload_id,
                          const char *request_id);
/* The session of {}/uploads/{}; NULL: the exchange was answered. */
struct upload *upload_of(struct exchange *x, const struct workspace *ws);
/* PUT parts/{}, in upload_part.c. */
void upload_part_found(struct exchange *x, const struct workspace *ws, void *data);
void upload_fail(struct exchange *x, const struct upload_error *e, const char *upload_id);
bool upload_is_digest(const char *text);

#endif
