/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - a credential that is asked for when a request needs it: one question for all requests
 * that wait, and its answer kept in memory for its time. Who is asked is the owner's matter.
 * Private to this folder. */
#ifndef NT_ENFORCE_PROXY_SOURCE_H
#define NT_ENFORCE_PROXY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_HEADERS_MAX 16u

struct net_header;
struct source;
struct visit;

/* What was answered: a text, or headers. Counted; wiped with the last reference. */
struct token;
/* NULL: out of memory. */
struct token *token_new(const char *text);
/* NAME, value, NAME, value … */
struct token *token_new_headers(const char *const *pairs, uint32_t count);
void token_unref(struct token *token);             /* NULL is nothing */
const char *token_text(const struct token *token); /* "" of headers */
/* How many; RET has room for SOURCE_HEADERS_MAX. */
uint32_t token_headers(const struct token *token, struct net_header *ret);

struct source {
    /* Asks; waits for nothing itself. source_tell or source_fail comes once, now or later. */
    void (*begin)(struct source *s);
    uint32_t status; /* of the answer when there is no credential */

    bool is_asking;
    unsigned telling; /* who waited is being told: it must stay */
    struct token *token;
    int64_t token_until; /* times of source_now_ms */
    int64_t quiet_until; /* the last failure is the answer */
    char failure[256];
    struct visit *waiting;
};

/* Goes on while the machine sleeps. */
int64_t source_now_ms(void);
/* Calls route_go_on with v->token set, now or later; or the visit is refused with the reason. */
void source_ask(struct source *s, struct visit *v);
/* It waits no longer; fine for one that does not. */
void source_leave(struct visit *v);
/* Takes TOKEN: all that wait go on with it. */
void source_tell(struct source *s, struct token *token, int64_t lifetime_ms);
/* All that wait are refused; for a while so are those that come. WHY is one line. */
void source_fail(struct source *s, const char *why);
void source_wipe(struct source *s); /* forgets the token */

#endif
