/* SPDX-License-Identifier: Apache-2.0 */
/* secret.h - where credentials come from, and how they are kept. Values never appear in errors,
 * arguments or logs. */
#ifndef NT_ENFORCE_PROXY_SECRET_H
#define NT_ENFORCE_PROXY_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/policy/policy.h"

#define SECRET_MAX (64u * 1024u)

/* A text in pages of its own: locked, not in core dumps, not in children, wiped at its end. */
struct secret {
    char *text; /* NULL: none */
    size_t size, mapped;
};
int secret_keep(struct secret *secret, const char *text, struct nt_error *reterr);
int secret_keep_bytes(struct secret *secret, const char *bytes, size_t size,
                      struct nt_error *reterr); /* a NUL stands behind them */
void secret_done(struct secret *secret);

/* The value of a reference: NAME (keyring, service "nono"), keyring://SERVICE/ACCOUNT, env://NAME,
 * file:///PATH, op://…, bw://…. May wait. Malloc'ed; secret_free it. ENFORCE_E_CREDENTIAL. POLICY:
 * of the program that it is for, which must not choose what is run to read it. */
int secret_read(const struct policy *policy, const char *reference, char **ret,
                struct nt_error *reterr);
void secret_free(char *text);

/* The sources, a file each. The part behind "scheme://". */
int secret_of_file(const char *path, char **ret, struct nt_error *reterr);
int secret_of_keyring(const char *service, const char *account, char **ret,
                      struct nt_error *reterr);
int secret_of_op(const struct policy *policy, const char *reference, char **ret,
                 struct nt_error *reterr);
int secret_of_bw(const struct policy *policy, const char *reference, const char *rest, char **ret,
                 struct nt_error *reterr);
/* Of an item as `bw get item` prints it; NULL: it has none. Malloc'ed. */
char *secret_bw_field(const char *item, const char *field);
/* What the program argv[0] prints, which is found in PATH and may run outside (policy/outside.h);
 * ABOUT: what it is. */
int secret_of_program(const struct policy *policy, const char *const argv[], const char *about,
                      const char *reference, char **ret, struct nt_error *reterr);

/* What came over a pipe from a child (PID, killed when the time is over and reaped): its output,
 * without one newline at the end, and its status. -1 with reterr: too long, too late. WHAT names it
 * in errors. */
int secret_collect(int fd, int pid, const char *what, char **ret, int *ret_status,
                   struct nt_error *reterr);

#endif
