/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - answers that several handlers of this folder share. */
#ifndef NT_SERVE_API_ANSWER_H
#define NT_SERVE_API_ANSWER_H

#include "plugins/serve/api/guest_fields.h"
#include "plugins/serve/http/exchange.h"

/* Fails the exchange with what workspace_guest or a guest operation ended with. */
void answer_guest_error(struct exchange *x, const struct nt_error *error,
                        enum guest_subject subject);

/* After exchange_detach: the error envelope of the API, written on the request itself. */
void answer_raw_error(struct net_request *req, const char *request_id, uint32_t status,
                      const char *code, const char *message);
void answer_raw_json(struct net_request *req, const char *request_id, uint32_t status,
                     json_t *body /* taken */);
void answer_raw_empty(struct net_request *req, const char *request_id);

/* The path segment {} of that index as a process id; 0: the exchange was answered 400. */
uint64_t answer_pid(struct exchange *x, unsigned index);

#endif
