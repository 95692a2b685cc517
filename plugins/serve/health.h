/* SPDX-License-Identifier: Apache-2.0 */
/* health.h - which guests answer: asked all at once, within a time that a person does not notice.
 *
 * A guest that hangs (frozen, or its machine is) makes its workspace unreachable, which never means
 * stopped. What is known of one is kept: a guest that has answered a moment ago is not asked again,
 * and the question to one that has not is left standing, so that its answer is heard when it thaws.
 * Loop's thread. */
#ifndef NT_SERVE_HEALTH_H
#define NT_SERVE_HEALTH_H

#include "plugins/serve/server.h"

struct health_check;

/* Asks the guests of these running workspaces; `done` comes once, later, at the latest after
 * HEALTH_MS. NULL: out of memory, no callback comes. */
#define HEALTH_MS 400
struct health_check *health_ask(struct server *server, const char *const *ids, size_t count,
                                void (*done)(void *data), void *data);
/* What is known now. */
bool health_is_unreachable(const struct server *server, const char *id);
uint32_t health_unreachable_count(const struct server *server);
/* Whether its guest has answered a moment ago. */
bool health_is_fresh(const struct server *server, const char *id);
/* What is known of it counts no more: the next health_ask asks in earnest. */
void health_doubt(struct server *server, const char *id);
/* Its guest has answered something. */
void health_heard(struct server *server, const char *id);
/* It does not run any more. */
void health_drop(struct server *server, const char *id);
/* The server ends: no callback comes any more. */
void health_close(struct server *server);

#endif
