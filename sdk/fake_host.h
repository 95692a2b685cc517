/* SPDX-License-Identifier: Apache-2.0 */
/* fake_host.h - a host for the unit tests of a plugin: the test types the words, writes the answers
 * of the API and looks at what the command did.
 *
 * One fake_host is one call of one command. Words go through the command's own table: a value out
 * of its bounds is refused as the real parser would. Requests must come in the order in which their
 * answers were written; any other is an error of the command, and an answer that nobody asked for
 * is counted by fake_host_unasked. There is no loop and no stream: open, upgrade_local, loop and
 * wait answer NT_E_UNSUPPORTED. Not thread-safe; needs libc alone. */
#ifndef NT_SDK_FAKE_HOST_H
#define NT_SDK_FAKE_HOST_H

#include "nanoterm/host.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fake_host;

/* A call of the plugin's command of that path ("hello greet"). The plugin's start is called with
 * this host. NULL with reterr: there is no such command, start failed, or out of memory. */
struct fake_host *fake_host_new(const struct nt_plugin *plugin, const char *command,
                                struct nt_error *reterr);
/* Frees it with all it gave out. NULL is nothing. */
void fake_host_free(struct fake_host *fake);

/* Gives an argument or an option, by the name in the table, as a user would type it; a flag takes
 * "1" or "0". Once more adds another value where the row has NT_MANY. NT_E_USAGE: no such row, or
 * not a value of its type. */
int fake_host_set(struct fake_host *fake, const char *name, const char *value,
                  struct nt_error *reterr);
/* NT_CALL_* of the call; none at the start. */
void fake_host_flags(struct fake_host *fake, uint32_t flags);
/* What nt_host.config says for that key. -1: out of memory. */
int fake_host_config(struct fake_host *fake, const char *key, const char *value);
/* What the next nt_host.connect hands over, to a host that the plugin declares: one end of a
 * socketpair, say. Without it there is nobody to connect to. */
void fake_host_connection(struct fake_host *fake, int fd);
/* The next request must be this one and gets this answer: a status >= 400 is the error that the
 * real host makes of it. All texts are copied. -1: out of memory. */
int fake_host_answer(struct fake_host *fake, const char *method, const char *path, uint32_t status,
                     const char *body);

/* Runs the command: what its run returns. A value that the table requires and the test did not give
 * is NT_E_USAGE. */
int fake_host_run(struct fake_host *fake, struct nt_error *reterr);

/* Rows that were emitted; a JSON text given to emit_json counts as one. */
uint32_t fake_host_rows(const struct fake_host *fake);
/* A cell as text ("42", "true"), by the name of its column. NULL: null, no such row or column, or a
 * row of emit_json. */
const char *fake_host_cell(const struct fake_host *fake, uint32_t row, const char *column);
/* The JSON of a row that came by emit_json; NULL otherwise. */
const char *fake_host_json(const struct fake_host *fake, uint32_t row);
/* Lines for the person, each with a newline; "" when there were none. */
const char *fake_host_messages(const struct fake_host *fake);
/* What set_status said; 0 before. */
uint32_t fake_host_status(const struct fake_host *fake);
/* Body of the index-th request that came; NULL: no such request. */
const char *fake_host_sent(const struct fake_host *fake, uint32_t index);
/* Answers that no request has asked for. */
uint32_t fake_host_unasked(const struct fake_host *fake);

#ifdef __cplusplus
}
#endif

#endif
