/* SPDX-License-Identifier: Apache-2.0 */
/* exec_spec.h - what a client wants to run, from its JSON to the guest's NT_G_EXEC frame. */
#ifndef NT_SERVE_API_EXEC_SPEC_H
#define NT_SERVE_API_EXEC_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "nanoterm/stream.h"

struct principal;
struct server;
struct workspace;

/* Texts and lists are borrowed from the JSON. */
struct exec_spec {
    const char *command; /* NULL: argv is the whole of it */
    json_t *argv;        /* arguments behind command; or the whole argv; NULL: none */
    const char *cwd;     /* NULL: the workspace's own */
    json_t *envs;        /* object of texts; NULL: none */
    bool shell;          /* command is a line for a shell */
    bool background;
    /* wide form only */
    bool keep;          /* it goes on when the client is lost */
    const char *log;    /* file of the workspace; NULL: none */
    int64_t beat_ms;    /* signs of life; 0: none */
    int64_t timeout_ms; /* 0: none */
};

/* Default of timeout_secs, which its clients also send where no limit was asked for. */
#define EXEC_DEFAULT_TIMEOUT_MS 30000

/* Narrow form: {command, args, cwd, envs, shell, timeout_secs, background}. NT_E_INVALID. */
int exec_spec_read(json_t *json, struct exec_spec *ret, struct nt_error *reterr);
/* Wide form: {argv or argv_latin1, cwd, env, timeout_ms, background, keep, log, beat_ms}.
 * NT_E_INVALID. */
int exec_spec_read_wide(json_t *json, struct exec_spec *ret, struct nt_error *reterr);

/* The shells that are tried for spec.shell, in this order; NULL behind the last one. */
const char *exec_shell(unsigned attempt);

/**
 * Makes the NT_G_EXEC frame, with the per-exec environment (exec_env.h).
 *
 * @param shell  for spec->shell: the shell to use; else ignored
 * @param flags  NT_GX_*
 * @param ret    free(ret->data); on success
 * @return 0 or -1 (NT_E_INVALID: does not fit into a
 * frame) */
int exec_spec_frame(const struct exec_spec *spec, struct server *server, const struct workspace *ws,
                    const struct principal *principal, const char *shell, uint32_t flags,
                    struct nt_bytes *ret, struct nt_error *reterr);

/* What the client wants to run, for messages. */
const char *exec_spec_name(const struct exec_spec *spec);

/* True when the error of a start with that shell means: try the next one. */
bool exec_shell_is_missing(const struct exec_spec *spec, const struct nt_error *error);

#endif
