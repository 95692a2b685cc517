/* SPDX-License-Identifier: Apache-2.0 */
/* capture.h - credentials that a command of the person's prints (credential_capture): run outside
 * of the sandbox when the first request needs one, without a shell, one run for all requests that
 * wait. Private to this folder. */
#ifndef NT_ENFORCE_PROXY_CAPTURE_H
#define NT_ENFORCE_PROXY_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/policy/policy.h"

#define CAPTURE_ANSWER_MAX (64u * 1024u)
#define CAPTURE_SCOPE_MAX 256u

struct capture;
struct proxy;
struct route;
struct token;
struct visit;

/* Of a route with one. PROGRAM: checked by the supervisor. SESSION: its name. Both live longer.
 * Nothing is run before the first request. */
int capture_new(struct proxy *proxy, const struct route *route, const char *program,
                const char *session, struct capture **ret, struct nt_error *reterr);
/* After the loop has ended. NULL is nothing, as below. */
void capture_free(struct capture *capture);
/* Ends what runs, which nobody is told, and forgets all credentials. */
void capture_end(struct capture *capture);
void capture_wipe(struct capture *capture); /* forgets the credentials */
/* Calls route_go_on with v->token set, now or later; or the visit is refused with the reason. */
void capture_ask(struct capture *capture, struct visit *v);

/* --- capture_answer.c ---------------------------------------------------------------------- */

/* What a command has printed, and a NUL behind it; it is wiped by the caller. NULL: fine; else what
 * is wrong: static, without a word of it. */
const char *capture_read(const struct policy_capture *policy, char *answer, size_t size,
                         struct token **ret);

/* --- capture_run.c ------------------------------------------------------------------------- */

struct capture_start {
    const char *program;
    const char *const *words; /* ends with NULL */
    char *const *environment; /* the same */
    const char *input;        /* NULL: it reads nothing */
    size_t input_size;
    bool is_heard;
    uint32_t timeout_s;
};
struct capture_run;
/* The process is the leader of a session of its own, in "/". done comes once, later: text has a NUL
 * behind it, and is wiped after the call; WHY: what went wrong, or NULL. */
int capture_run_new(struct proxy *proxy, const struct capture_start *start,
                    void (*done)(void *data, char *text, size_t size, const char *why), void *data,
                    struct capture_run **ret, struct nt_error *reterr);
/* Ends its group; nobody is told. NULL is nothing. */
void capture_run_cancel(struct capture_run *run);

/* --- scope.c: which requests a credential is good for --------------------------------------- */

struct scope;
/* ENFORCE_E_PROFILE: PATTERN is none, or there is nothing that could match it. */
int scope_new(const char *pattern, struct scope **ret, struct nt_error *reterr);
void scope_free(struct scope *scope); /* NULL is nothing */
enum scope_answer { SCOPE_FOUND, SCOPE_NONE, SCOPE_TOO_LONG };
/* The first group of the pattern in PATH, or all that matched. */
enum scope_answer scope_of(const struct scope *scope, const char *path,
                           char ret[CAPTURE_SCOPE_MAX]);

#endif
