/* SPDX-License-Identifier: Apache-2.0 */
/* tty.h - a program of a workspace in a terminal, and ours: `shell`, `attach`, `exec --tty`.
 *
 * tty.c holds the session; tty_screen.c is the caller's terminal; tty_local.c and tty_remote.c are
 * the two ways to the guest. */
#ifndef NT_WS_TTY_H
#define NT_WS_TTY_H

#include <stdbool.h>

#include "nanoterm/host.h"
#include "sdk/buf.h"
#include "silence.h"

/* --- the caller's terminal (tty_screen.c) --------------------------------------------------- */

#define TTY_NO_ESCAPE 0

enum tty_key { TTY_KEY_NONE, TTY_KEY_LEAVE, TTY_KEY_HELP };

struct tty_screen;

/* in and out are borrowed. escape: the character that is special at the start of a line;
 * TTY_NO_ESCAPE: none. NULL: out of memory. */
struct tty_screen *tty_screen_new(int in, int out, char escape);
/* Its input is a terminal: keys go through it one by one. */
bool tty_screen_is_terminal(const struct tty_screen *screen);
/* Raw mode, and back. Twice is fine. 0, or -1 with an errno value. */
int tty_screen_raw(struct tty_screen *screen);
void tty_screen_cooked(struct tty_screen *screen);
/* Before we are stopped: its own mode, and nothing of what the program switched on. */
void tty_screen_suspend(struct tty_screen *screen);
/* Afterwards, whoever changed it meanwhile. What was on the screen must be drawn anew. */
void tty_screen_resume(struct tty_screen *screen);
/* The size of the terminal; false: there is none. */
bool tty_screen_size(const struct tty_screen *screen, uint16_t *ret_cols, uint16_t *ret_rows);
/* Output of the program. -1: nobody reads it any more. */
int tty_screen_write(struct tty_screen *screen, const void *bytes, size_t size);
/* A line of ours between the program's; false: there is no terminal to show it. */
bool tty_screen_note(const struct tty_screen *screen, const char *text);
/* What the program left on is ended. */
void tty_screen_undo(struct tty_screen *screen);
/* Takes typed bytes: what is meant for the program is added to ret. Stops behind an escape:
 * *used tells how many were looked at. */
enum tty_key tty_screen_keys(struct tty_screen *screen, const char *bytes, size_t size,
                             size_t *used, struct nt_buf *ret);
/* Restores the terminal. NULL is nothing. */
void tty_screen_free(struct tty_screen *screen);

/* --- the session (tty.c) ------------------------------------------------------------------- */

struct tty_spec {
    const char *id;          /* of the workspace */
    const char *const *argv; /* count words; 0: the login shell */
    uint32_t count;
    const char *cwd;    /* NULL: the workspace's own */
    const char *log;    /* a file of the workspace that gets the output, too; NULL: none */
    const char *escape; /* one character, or "none" */
    const char *job;    /* attach: id; NULL: the agent */
    bool is_attach;
    bool is_read_only;
    bool is_kept;   /* goes on when the connection is lost */
    bool is_agent;  /* the one that `attach` finds */
    bool is_detach; /* leave when it has started */
};

/* What was started, for --detach. */
struct tty_started {
    char job[64];
    int64_t pid;
};

/* Runs it to its end, or until the caller leaves. With is_detach ret is filled when it has started
 * (else it may be NULL). */
int tty_run(struct nt_call *call, const struct tty_spec *spec, struct tty_started *ret,
            struct nt_error *reterr);

struct tty;
struct tty_link;

/* One way to the guest. */
struct tty_way {
    /* Connects and asks for the program. NT_E_NOT_LOCAL: not this way. */
    int (*open)(struct tty *tty, struct tty_link **ret, struct nt_error *reterr);
    /* Takes all; what cannot be sent yet is kept. Returns how much waits. */
    size_t (*input)(struct tty_link *link, const void *bytes, size_t size);
    void (*input_end)(struct tty_link *link);
    void (*resize)(struct tty_link *link, uint16_t cols, uint16_t rows);
    /* No call of the session's comes after it. */
    void (*close)(struct tty_link *link);
};
extern const struct tty_way tty_local, tty_remote;

struct tty {
    struct nt_call *call;
    struct nt_loop *loop;
    const struct tty_spec *spec;
    const struct tty_way *way;
    struct tty_link *link;
    struct tty_screen *screen;
    struct nt_reader *input;
    struct nt_watch *signals[8];
    struct nt_error *reterr;
    struct tty_started started;
    uint16_t cols, rows;
    struct silence silence;
    bool has_started, has_exited, has_failed, has_left, input_ended, wants_end;
    bool is_without_beats, is_silent;
    bool outlives_server; /* only its client's loss hangs it up */
    char escape;
    uint32_t status, reason, done;
};

/* What a way tells. Texts come from foreign hands: they are made safe here. */
void tty_on_started(struct tty *tty, const char *job, int64_t pid);
void tty_on_output(struct tty *tty, const void *bytes, size_t size);
void tty_on_exit(struct tty *tty, uint32_t status, uint32_t reason);
/* The program could not be started (sys, status 126 or 127), or attached to. */
void tty_on_refused(struct tty *tty, uint32_t code, int sys, bool is_not_started, const char *text);
void tty_on_lost(struct tty *tty, const char *text);
/* Something came, were it only a sign of life. */
void tty_on_heard(struct tty *tty);
/* The other side is older than signs of life: its silence proves nothing. */
void tty_on_no_beats(struct tty *tty);
/* Everything that was typed has left. */
void tty_on_sent(struct tty *tty);

/* Environment of the program's terminal: TERM and COLORTERM of ours, when they are names. NULL
 * behind the last. */
const char *tty_variable(unsigned index, char *ret, size_t size);

#endif
