/* SPDX-License-Identifier: Apache-2.0 */
/* api.h - one command's conversation with the API: requests, streams, the loop, the deadline,
 * Ctrl-C.
 *
 * Its functions are those of struct nt_host (host.h), which says what they do; this is where they
 * live. It picks the way (the embedded server's Unix socket, TCP, https), starts the embedded
 * server, adds credential, organisation, idempotency key, X-Nanoterm-Wire and X-Request-Id,
 * measures request_sent and retries. Nothing of it runs before the first call that needs it. */
#ifndef NT_CORE_API_H
#define NT_CORE_API_H

#include "core/config/config.h"
#include "nanoterm/host.h"

struct api;

struct api_options {
    const struct config *config;
    int64_t timeout_ms; /* what is left of the command's time, at api_new; -1: no end */
    bool retries;       /* false: one attempt (tests, --no-retry) */
    void (*debug)(void *data, const char *event, const char *fields);
    void *data;
    /* what is run as `serve --embedded`; NULL: this executable (another in tests) */
    const char *server_program;
};

int api_new(const struct api_options *options, struct api **ret, struct nt_error *reterr);
/* Ends every stream of the command, in order, and frees what was handed out. NULL is nothing. */
void api_free(struct api *api);

int api_request(struct api *api, const struct nt_request *req, struct nt_response *ret,
                struct nt_error *reterr);
const char *api_header(struct api *api, const struct nt_response *response, const char *name);
/* The index-th header of an answer; false: no more. */
bool api_header_at(struct api *api, const struct nt_response *response, uint32_t index,
                   const char **ret_name, const char **ret_value);
int api_open(struct api *api, const struct nt_open *open, struct nt_stream **ret,
             struct nt_response *ret_head, struct nt_error *reterr);
int api_upgrade_local(struct api *api, const char *path, const char *protocol, int *ret_fd,
                      struct nt_bytes *ret_early, struct nt_error *reterr);
struct nt_loop *api_loop(struct api *api);
int api_wait(struct api *api, const uint32_t *done, struct nt_error *reterr);

#endif
