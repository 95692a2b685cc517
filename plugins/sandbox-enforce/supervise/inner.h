/* SPDX-License-Identifier: Apache-2.0 */
/* inner.h - what the files of this room share: one sandbox that is planned, then started. */
#ifndef NT_ENFORCE_SUPERVISE_INNER_H
#define NT_ENFORCE_SUPERVISE_INNER_H

#include <limits.h>
#include <signal.h>
#include <termios.h>

#include <linux/filter.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/sandbox-enforce/enforce/namespaces.h"
#include "plugins/sandbox-enforce/mediate/mediate.h"
#include "plugins/sandbox-enforce/proxy/proxy.h"
#include "plugins/sandbox-enforce/supervise/hooks.h"
#include "plugins/sandbox-enforce/notify/notify.h"
#include "plugins/sandbox-enforce/supervise/supervise.h"
#include "sdk/buf.h"

#define ROWS_MAX 32u
#define FRONT_MAX 256u

/* How a sandbox is built here: what was wanted, what may be missing, what there is. */
struct supervise {
    struct supervise_options options;
    bool is_wrap;
    uint32_t wanted, needed; /* ENFORCE_SPACE_; needed: refuse without */
    uint32_t spaces;         /* what there is */
    bool has_spaces;         /* `spaces` is known: after a trial, or a start */
    bool no_notification;    /* goes on without */
    bool has_own_proc, has_own_terminals;
    const char *why; /* half a sentence: why namespaces are missing */
    char **hidden;   /* paths to be covered, malloc'ed, each too */
    size_t hidden_count;
    char **pinned; /* folders that it must not rename; the same */
    size_t pinned_count;
    struct enforce_place *writable; /* what is not made read-only; malloc'ed */
    size_t writable_count;
    bool is_all_writable; /* the root is granted: nothing is left to be made read-only */
    bool is_readonly;     /* the rest is, in mounts of its own; known when has_spaces is */
    struct supervise_row rows[ROWS_MAX];
    size_t row_count;

    char program[PATH_MAX]; /* what is executed, absolute */
    char **environment;     /* malloc'ed, each entry too */
    size_t environment_count, environment_max;
    char cap_file[PATH_MAX]; /* empty: none yet */
    int cap_fd;
    struct bundle *bundle; /* NULL: TLS is not ended here */

    struct mediate *mediate; /* NULL: what is started stays in this sandbox */
    struct hooks *hooks;     /* NULL: none */
    bool has_run;            /* the program was executed */
    int run_status;          /* how it ended: 128+n for signals */
    int run_signal;          /* that ended it; 0: none */

    char session_name[17]; /* for what runs outside; empty: nothing does */
    const char **captures; /* of each route its command, canonical, or NULL; malloc'ed, each too */
    const struct proxy_ops *proxy_ops; /* of the module; NULL: not opened */
    char proxy_token[PROXY_TOKEN_SIZE];
    uint16_t proxy_port; /* 0: no proxy */
    int proxy_listener;  /* without a network namespace it is made here; -1 */
};

/* --- fence.c: from a policy to layers ------------------------------------------------------ */

/* What the policy needs, without asking the kernel. */
void fence_want(struct supervise *s);
/* Layers of the program, ready to be entered. After it enforce_done is due. */
int fence_prepare(struct supervise *s, struct enforce *e, struct nt_error *reterr);
/* Whether /dev/pts is to be the program's own: not for who grants that of outside by name. */
bool fence_owns_terminals(const struct supervise *s);
/* Rules for what can only be named in the program itself: /proc. 0 or errno. */
int fence_add_inner(const struct supervise *s, struct enforce *e);
/* Refuses what is missing of `needed`, unless it was accepted by name. */
int fence_check_spaces(const struct supervise *s, struct nt_error *reterr);
bool fence_accepts(const struct supervise *s, const char *layer);
/* Whether something does not hold without the notification: what, or NULL. */
const char *fence_needs_notification(const struct supervise *s);
void fence_describe(struct supervise *s);

/* --- hidden.c ------------------------------------------------------------------------------ */

/* Fills s->hidden and s->pinned; refuses patterns that would not hold. */
int hidden_find(struct supervise *s, struct nt_error *reterr);
/* A folder that is not there, and that hidden_make makes. */
bool hidden_is_to_come(const struct policy_deny *deny);
/* Before the program starts, and outside of its sandbox. */
int hidden_make(const struct supervise *s, struct nt_error *reterr);
void hidden_free(struct supervise *s);

/* --- writable.c ---------------------------------------------------------------------------- */

/* Fills s->writable: grants for writing that lie in no other. */
int writable_find(struct supervise *s, struct nt_error *reterr);
void writable_free(struct supervise *s);

/* --- captures.c ---------------------------------------------------------------------------- */

/* Fills s->captures; refuses commands that the program could have chosen. */
int captures_find(struct supervise *s, struct nt_error *reterr);
void captures_free(struct supervise *s);

/* --- environment.c ------------------------------------------------------------------------- */

/* The variables of the program. */
int environment_make(struct supervise *s, struct nt_error *reterr);
void environment_free(struct supervise *s);
/* Adds the lines of the script that ran before, but for those that a warning names. */
int environment_add_lines(struct supervise *s, struct nt_error *reterr);
/* Of the entry NAME=; NULL: there is none. */
const char *environment_get(const struct supervise *s, const char *name);
/* Overwrites what this process was started with: a process that stays inside holds no secret. */
void environment_wipe_own(void);

/* --- command.c ----------------------------------------------------------------------------- */

/* Finds the program in the environment's PATH; refuses names on the list. */
int command_find(struct supervise *s, struct nt_error *reterr);
/* It was found, and execve said SYS: why, and what to do. Returns -1. */
int command_fail(const struct supervise *s, int sys, struct nt_error *reterr);

/* --- cap_file.c ---------------------------------------------------------------------------- */

/* An empty one, then what it says: only this takes time, and another process can do something else
 * meanwhile. Where there is no place for it (in a sandbox that may not write to /tmp) the program
 * is not told. */
void cap_file_make(struct supervise *s);
int cap_file_fill(struct supervise *s, struct nt_error *reterr);
/* Removes those of owners that are gone. */
void cap_file_sweep(const struct supervise *s);
void cap_file_remove(struct supervise *s);

/* --- bundle.c: the authorities that the program believes ------------------------------------ */

/* Where the proxy ends TLS itself: a folder of its own with an empty file in it. Then what that
 * says: the roots that there are here; the proxy adds its own. Elsewhere nothing. */
int bundle_make(struct supervise *s, struct nt_error *reterr);
int bundle_fill(struct supervise *s, struct nt_error *reterr);
void bundle_free(struct supervise *s);        /* removes it */
int bundle_folder(const struct supervise *s); /* O_PATH; -1: there is none */
int bundle_file(const struct supervise *s);
/* The index-th variable that gets its name; NULL: no more. What the variable said until then is
 * read as roots, too. */
const char *bundle_variable(const struct supervise *s, size_t index);
const char *bundle_path(const struct supervise *s);
void bundle_note(struct supervise *s, const char *variable, const char *value);

/* --- way_out.c: the proxy's module -------------------------------------------------------------
 */

int way_out_open(struct supervise *s, struct nt_error *reterr);

/* --- keeper.c, program.c: run inside ------------------------------------------------------- */

/* What goes over the socket between supervisor and inside: SOCK_SEQPACKET. */
enum inside_kind {
    INSIDE_READY = 1, /* keeper: namespaces are set up; a listener may come along */
    INSIDE_LISTENER,  /* program: value is the number of its listener, or -1; it waits for a byte */
    INSIDE_FAILED,    /* step and errno */
    INSIDE_STOPPED,   /* keeper: the program was stopped by signal value */
    INSIDE_ENDED,     /* keeper: with wait status value */
    INSIDE_GO,        /* to the keeper: start the program; value 1: in the keeper's group */
    INSIDE_SIGNAL,    /* to the keeper: send value to the program's group */
    INSIDE_TERMINAL,  /* to the keeper: continue the program's group; value 1: it gets the terminal
                       */
};
/* Bits of the value of INSIDE_READY: what the keeper found out. */
#define READY_PROC 1
#define READY_READONLY 2
#define READY_TERMINALS 4
enum inside_step {
    STEP_SPACE,
    STEP_READONLY,
    STEP_PROC,
    STEP_HIDE,
    STEP_COMMANDS,
    STEP_NETWORK,
    STEP_FORK,
    STEP_FOLDER,
    STEP_TERMINAL,
    STEP_LAYER,
    STEP_EXEC,
};
struct inside_message {
    uint32_t kind, step;
    int32_t value, sys;
};

struct inside {
    struct supervise *s;
    struct enforce *e;
    int socket;        /* to the supervisor */
    int go;            /* read end: a byte when the listener was taken */
    int terminal;      /* one of 0 to 2; -1: none */
    bool has_terminal; /* the program's group gets it at the start */
    bool is_joined;    /* the program's group is that of who asked for it */
    sigset_t signals;  /* of the program */
};

int inside_send(int socket, const struct inside_message *message, int fd);
_Noreturn void keeper_run(struct inside *in);
_Noreturn void program_run(struct inside *in);

#endif
