/* SPDX-License-Identifier: Apache-2.0 */
/* file_urls.h - URLs that are their own credential: one file of one workspace, to read or to write,
 * for a quarter of an hour. */
#ifndef NT_SERVE_API_FILE_URLS_H
#define NT_SERVE_API_FILE_URLS_H

#include "plugins/serve/server.h"

#define FILE_URL_TOKEN_MAX 160u

enum file_url_verdict {
    FILE_URL_GOOD,
    FILE_URL_FORGED, /* or for something else */
    FILE_URL_EXPIRED,
};

/* Reads url.key from the folder of the store, or makes it (0600). Once, at the start. */
int file_url_key_load(const char *store_dir, uint8_t ret_key[FILE_URL_KEY],
                      struct nt_error *reterr);
/* The token for a file; is_write: PUT and POST, else GET and HEAD. -1: a text is too long. */
int file_url_sign(const uint8_t key[FILE_URL_KEY], bool is_write, const char *org_id,
                  const char *ws_id, const char *path, int64_t expires_unix,
                  char ret[FILE_URL_TOKEN_MAX]);
/* Whether the token is for this; ret_org: the organisation it was made for. */
enum file_url_verdict file_url_check(const uint8_t key[FILE_URL_KEY], const char *token,
                                     const char *method, const char *ws_id, const char *path,
                                     int64_t now_unix, char ret_org[44]);

#endif
