/* SPDX-License-Identifier: Apache-2.0 */
/* ws.h - what the files of this group share: its commands, its errors, paths of the API. */
#ifndef NT_WS_H
#define NT_WS_H

#include <jansson.h>
#include <stdbool.h>

#include "nanoterm/host.h"
#include "sdk/buf.h"

/* The errors of this group (ws.c has the rows). */
enum {
    WS_E_COMMAND_NOT_FOUND = NT_E_PLUGIN_FIRST,
    WS_E_NOT_EXECUTABLE,
    WS_E_CLONE_FAILED,
    WS_E_REPOSITORY,
    WS_E_OUT_OF_MEMORY,
    WS_E_UNREACHABLE,
};

int ws_create(struct nt_call *call, struct nt_error *reterr);
int ws_list(struct nt_call *call, struct nt_error *reterr);
int ws_stop(struct nt_call *call, struct nt_error *reterr);
int ws_start(struct nt_call *call, struct nt_error *reterr);
int ws_rm(struct nt_call *call, struct nt_error *reterr);
int ws_ports(struct nt_call *call, struct nt_error *reterr);
int ws_publish(struct nt_call *call, struct nt_error *reterr);
int ws_unpublish(struct nt_call *call, struct nt_error *reterr);
int ws_stats(struct nt_call *call, struct nt_error *reterr);
int ws_top(struct nt_call *call, struct nt_error *reterr);
int ws_exec(struct nt_call *call, struct nt_error *reterr);
int ws_exec_wait(struct nt_call *call, struct nt_error *reterr);
int ws_job_list(struct nt_call *call, struct nt_error *reterr);
int ws_job_logs(struct nt_call *call, struct nt_error *reterr);
int ws_job_wait(struct nt_call *call, struct nt_error *reterr);
int ws_job_kill(struct nt_call *call, struct nt_error *reterr);
int ws_shell(struct nt_call *call, struct nt_error *reterr);
int ws_attach(struct nt_call *call, struct nt_error *reterr);

/* Writes "/v1/sandboxes/{id}{rest}" into a buffer; id is escaped, rest is not. NT_E_USAGE for an
 * empty id. */
int ws_path(struct nt_buf *path, const char *id, const char *rest, struct nt_error *reterr);

/* What is at a path of the API, parsed; json_decref is the caller's. NULL where the answer is no
 * JSON: whoever looks into it says what it should have been. */
int ws_get(struct nt_call *call, const char *path, json_t **ret, struct nt_error *reterr);

/* A mapping as typed (container, host:container, address:host:container) as JSON text of the API.
 */
int port_mapping(const char *text, char **ret, struct nt_error *reterr);
/* Writes text of our own to standard output, as a command without a table does. */
int ws_write(struct nt_call *call, const char *text, size_t size, struct nt_error *reterr);

/* Runs a program in a workspace with this process's standard streams, and waits for it. */
struct exec_spec {
    const char *id;
    const char *const *argv; /* count words */
    uint32_t count;
    const char *cwd; /* NULL: the workspace's own */
    const char *log; /* file of the workspace that gets the output, too; NULL: none */
    bool detach;     /* it is started, and goes on */
    bool keep;       /* it goes on when this command is lost */
    /* instead of a command: a job that runs, or has ended */
    const char *job;
    int64_t offset; /* of its output */
    bool no_follow; /* only what is kept now */
    bool is_waited; /* its end is what matters, and its output is not written */
};

/* What is known of a program that was started. */
struct exec_started {
    char job[48];
    int64_t pid;
};
int exec_run(struct nt_call *call, const struct exec_spec *spec, struct nt_error *reterr);

/* The same in a terminal. is_agent: the long-running program that `attach` takes; it stays when we
 * leave, and without a terminal of ours we leave at once. shell.c */
int exec_terminal(struct nt_call *call, const struct exec_spec *spec, bool is_agent,
                  struct nt_error *reterr);
/* Starts a line of sh as the agent, and leaves. */
int shell_start_agent(struct nt_call *call, const char *id, const char *line,
                      struct nt_error *reterr);

/* The two ways of exec_run. exec_local: NT_E_NOT_LOCAL when there is no fast path here. */
int exec_local(struct nt_call *call, const struct exec_spec *spec, struct nt_error *reterr);
int exec_remote(struct nt_call *call, const struct exec_spec *spec,
                struct exec_started *ret_started, struct nt_error *reterr);

/* Signals that go on to the program, and how many Ctrl-C end it without asking it. */
#define EXEC_SIGNALS 4
#define EXEC_IMPATIENT 3
extern const int exec_signals[EXEC_SIGNALS];

/* How a program ended, for exec_local and exec_remote alike: sets the exit status of the call, or
 * makes the error of a program that did not end by itself. reason is NT_GR_* of guest.h. */
int exec_ended(struct nt_call *call, const struct exec_spec *spec, uint32_t reason, uint32_t status,
               struct nt_error *reterr);
/* A program has failed, and the workspace ran into limits meanwhile (NT_GH_* of guest.h): says
 * which, how large they are, and what helps. Before exec_ended. */
void exec_tell_limits(struct nt_call *call, const char *id, uint32_t reason, uint64_t hits);
/* The error of a program that did not start: sys is the errno value of exec or chdir. */
int exec_not_started(const struct exec_spec *spec, int sys, const char *message,
                     struct nt_error *reterr);
/* The error of a workspace that gives no sign of life. */
int exec_unreachable(const char *id, struct nt_error *reterr);

/* Clones url (https://…, http://… or a local repository) into /workspace of a new workspace. */
int clone_into(struct nt_call *call, const char *id, const char *url, const char *branch,
               struct nt_error *reterr);

#endif
