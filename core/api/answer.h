/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - the answer of the server as the command keeps it, and the error in it. */
#ifndef NT_CORE_ANSWER_H
#define NT_CORE_ANSWER_H

#include "core/net/net.h"
#include "nanoterm/host.h"
#include "sdk/buf.h"

struct answer {
    struct answer *next;
    uint32_t status;
    uint32_t count;
    struct nt_buf body;
    struct nt_buf memory; /* the texts of the headers: name, NUL, value, NUL, … */
};

/* Takes status and headers of the current answer. NULL: out of memory. */
struct answer *answer_new(const struct net_client *client, uint32_t status, size_t max_body_bytes);
void answer_free(struct answer *answer);
/* First header of that name, any case; NULL: none. */
const char *answer_header(const struct answer *answer, const char *name);
/* The index-th header; false: no more. */
bool answer_header_at(const struct answer *answer, uint32_t index, const char **ret_name,
                      const char **ret_value);
/* Writes what the caller's struct has room for. */
void answer_give(const struct answer *answer, struct nt_response *ret);
/* The error that an answer with a status of 300 and more is. Both envelopes of the API are read,
 * anything else is tolerated; what the server says is foreign text. */
void answer_error(const struct answer *answer, const char *method, struct nt_error *reterr);

#endif
