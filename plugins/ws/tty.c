/* SPDX-License-Identifier: Apache-2.0 */
/* tty.c - one session in a terminal: from our keys to the program, from the program to our screen,
 * until it ends or we leave. Leaving works whatever the other side does: keys are always read. */
#include "tty.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/reader.h"
#include "ws.h"

#define PIECE 4096
#define WAITS_MAX (1024u * 1024) /* of input, for a program that does not read */
#define TERM_MAX 64u

static const char *const help =
    "\r\nAt the start of a line:\r\n  ~.  leave\r\n  ~~  type the character itself\r\n  ~?  this "
    "help\r\n";

const char *tty_variable(unsigned index, char *ret, size_t size)
{
    static const char *const names[] = { "TERM", "COLORTERM" };
    for (unsigned i = 0, at = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        size_t length = value ? strlen(value) : 0;
        if (!length || length > TERM_MAX || value[0] == '.'
            || strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
                   != length)
            continue;
        if (at++ == index) {
            struct nt_buf text = NT_BUF(size);
            nt_buf_addf(&text, "%s=%s", names[i], value);
            if (nt_buf_ok(&text))
                nt_copy_text(ret, size, nt_buf_text(&text));
            nt_buf_done(&text);
            return ret;
        }
    }
    return NULL;
}

/* --- what the way tells -------------------------------------------------------------------- */

static void check_done(struct tty *t)
{
    t->done = t->has_exited || t->has_failed || t->has_left;
}

void tty_on_started(struct tty *t, const char *job, int64_t pid)
{
    t->has_started = true;
    if (job)
        nt_copy_text(t->started.job, sizeof(t->started.job), job);
    t->started.pid = pid;
    if (t->spec->is_detach)
        t->has_left = true;
    check_done(t);
}

void tty_on_output(struct tty *t, const void *bytes, size_t size)
{
    if (t->has_left || t->has_failed)
        return;
    if (tty_screen_write(t->screen, bytes, size) < 0)
        t->has_left = true; /* nobody looks any more */
    check_done(t);
}

void tty_on_exit(struct tty *t, uint32_t status, uint32_t reason)
{
    t->has_exited = true;
    t->status = status;
    t->reason = reason;
    check_done(t);
}

void tty_on_refused(struct tty *t, uint32_t code, int sys, bool is_not_started, const char *text)
{
    if (t->has_failed)
        return;
    /* whoever says it may be hostile: its control characters do not reach our terminal */
    nt_auto(nt_buf_done) struct nt_buf printable = NT_BUF(1024);
    nt_buf_add_printable(&printable, text, false);
    const char *safe = nt_buf_text(&printable);
    t->has_failed = true;
    if (is_not_started) {
        static const char *const shell[] = { "bash -l" };
        struct exec_spec spec = { .id = t->spec->id,
                                  .argv = t->spec->count ? t->spec->argv : shell };
        exec_not_started(&spec, sys, safe, t->reterr);
    } else if (t->spec->is_attach && code == NT_E_NOT_FOUND) {
        nt_fail(t->reterr, NT_E_NOT_FOUND, "cannot attach to %s: %s", t->spec->id, safe);
        if (!t->spec->job)
            nt_hint(t->reterr, "start one with: nanoterm exec --foreground %s -- COMMAND",
                    t->spec->id);
    } else {
        nt_fail(t->reterr, code, "the workspace refused: %s", safe);
    }
    t->reterr->request_sent = 1;
    check_done(t);
}

void tty_on_lost(struct tty *t, const char *text)
{
    if (t->has_exited || t->has_failed || t->has_left)
        return;
    nt_fail(t->reterr, NT_E_CLOSED, "%s", text);
    nt_auto(nt_buf_done) struct nt_buf job = NT_BUF(128);
    nt_buf_add_printable(&job, t->started.job, false);
    if (t->outlives_server)
        nt_hint(t->reterr, "the program may still run; look with: nanoterm attach %s --job %s",
                t->spec->id, nt_buf_text(&job));
    else if (t->spec->is_attach || t->spec->is_kept)
        nt_hint(t->reterr, "the program may still run; look with: nanoterm attach %s", t->spec->id);
    t->reterr->request_sent = 1;
    t->has_failed = true;
    check_done(t);
}

void tty_on_sent(struct tty *t)
{
    if (t->input && !t->input_ended)
        nt_reader_resume(t->input, 0);
}

/* --- its silence --------------------------------------------------------------------------- */

static void note(struct tty *t, const struct nt_buf *line)
{
    if (!tty_screen_note(t->screen, nt_buf_text(line)))
        t->call->host->message(t->call, NT_SAY_NOTE, nt_buf_text(line));
}

/* A person may wait for a workspace that is only frozen: the session is theirs to end. */
static void on_silent(void *data)
{
    struct tty *t = data;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(512);
    if (!t->has_started || !tty_screen_is_terminal(t->screen)) {
        exec_unreachable(t->spec->id, t->reterr);
        t->has_failed = true;
        check_done(t);
        return;
    }
    t->is_silent = true;
    nt_buf_addf(&line, "[no sign of life from %s for %d s", t->spec->id, SILENCE_LIMIT_MS / 1000);
    if (t->escape != TTY_NO_ESCAPE)
        nt_buf_addf(&line, "; %c. leaves", t->escape);
    nt_buf_add(&line, "]");
    note(t, &line);
}

static void listen_on(struct tty *t)
{
    silence_end(&t->silence);
    if (!t->is_without_beats)
        silence_start(&t->silence, t->loop, SILENCE_LIMIT_MS, on_silent, t);
}

void tty_on_heard(struct tty *t)
{
    if (t->is_silent) {
        nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(512);
        nt_buf_addf(&line, "[%s is back]", t->spec->id);
        t->is_silent = false;
        note(t, &line);
        listen_on(t);
    }
    silence_heard(&t->silence);
}

void tty_on_no_beats(struct tty *t)
{
    t->is_without_beats = true;
    silence_end(&t->silence);
}

/* --- our input ----------------------------------------------------------------------------- */

static void pass_on(struct tty *t, const struct nt_buf *keys)
{
    bool is_terminal = tty_screen_is_terminal(t->screen);
    size_t waits = t->way->input(t->link, NULL, 0);
    if (t->spec->is_read_only || !keys->size)
        return;
    if (waits + keys->size > WAITS_MAX && is_terminal)
        return; /* nothing is read there: only ~. is looked for */
    waits = t->way->input(t->link, keys->data, keys->size);
    if (waits > WAITS_MAX / 2 && !is_terminal)
        nt_reader_pause(t->input);
}

static void on_input(void *data, struct nt_bytes bytes)
{
    struct tty *t = data;
    const char *at = bytes.data;
    size_t left = bytes.size, used;
    while (left && !t->done) {
        nt_auto(nt_buf_done) struct nt_buf keys = NT_BUF(2 * PIECE + 2);
        enum tty_key key = tty_screen_keys(t->screen, at, left, &used, &keys);
        pass_on(t, &keys);
        at += used;
        left -= used;
        if (key == TTY_KEY_LEAVE)
            t->has_left = true;
        if (key == TTY_KEY_HELP)
            tty_screen_write(t->screen, help, strlen(help));
        check_done(t);
    }
}

static void on_input_end(void *data, int sys)
{
    (void)sys;
    struct tty *t = data;
    t->input_ended = true;
    if (!t->spec->is_read_only)
        t->way->input_end(t->link);
}

/* --- signals ------------------------------------------------------------------------------- */

static void send_size(struct tty *t)
{
    uint16_t cols, rows;
    if (tty_screen_size(t->screen, &cols, &rows) && !t->spec->is_read_only)
        t->way->resize(t->link, cols, rows);
}

static void on_winch(void *data, int signo, uint32_t zero)
{
    (void)signo;
    (void)zero;
    send_size(data);
}

/* After any stop, SIGSTOP too: a shell may have given the terminal its own mode, and written on it.
 * A size that is not new makes the program draw all of it. */
static void on_continue(void *data, int signo, uint32_t zero)
{
    (void)signo;
    (void)zero;
    struct tty *t = data;
    if (t->done)
        return;
    tty_screen_resume(t->screen);
    send_size(t);
}

/* Somebody stops us from outside: our terminal is its own again meanwhile. */
static void on_stop(void *data, int signo, uint32_t zero)
{
    struct tty *t = data;
    tty_screen_suspend(t->screen);
    raise(SIGSTOP);
    on_continue(t, signo, zero); /* at once: what comes from the program must not come before */
}

static void on_end_signal(void *data, int signo, uint32_t zero)
{
    (void)zero;
    struct tty *t = data;
    if (!t->done) {
        nt_fail(t->reterr, NT_E_CANCELLED, "ended by signal %d", signo);
        t->has_failed = true;
    }
    check_done(t);
}

static void watch_signals(struct tty *t)
{
    static const struct {
        int signo;
        void (*fn)(void *data, int signo, uint32_t zero);
    } rows[] = { { SIGWINCH, on_winch },    { SIGTSTP, on_stop },       { SIGCONT, on_continue },
                 { SIGINT, on_end_signal }, { SIGTERM, on_end_signal }, { SIGHUP, on_end_signal },
                 { SIGQUIT, on_end_signal } };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        t->signals[i] = t->loop->ops->signal(t->loop, rows[i].signo, rows[i].fn, t);
}

/* --- the session --------------------------------------------------------------------------- */

static int open_input(struct tty *t, struct nt_error *reterr)
{
    static const struct nt_reader_events events = { .bytes = on_input, .end = on_input_end };
    if (t->spec->is_detach)
        return 0;
    if (tty_screen_raw(t->screen) < 0)
        return nt_fail_sys(reterr, errno, "cannot set up the terminal");
    if (nt_reader_new(t->loop, t->call->host->descriptor(t->call, 0), PIECE, &events, t, &t->input,
                      reterr)
        < 0)
        return -1;
    nt_reader_resume(t->input, 0);
    return 0;
}

static int outcome(struct tty *t, struct nt_error *reterr)
{
    if (t->has_failed)
        return -1;
    struct exec_spec spec = { .id = t->spec->id, .argv = t->spec->argv, .count = t->spec->count };
    if (t->has_exited)
        return exec_ended(t->call, &spec, t->reason, t->status, reterr);
    if (t->spec->is_detach)
        return 0;
    if (t->spec->is_attach || t->spec->is_kept) {
        t->call->host->message(t->call, NT_SAY_NOTE, "Detached; the program goes on.");
        return 0;
    }
    return nt_fail(reterr, NT_E_CANCELLED, "disconnected; the program was hung up");
}

static int converse(struct tty *t, struct nt_error *reterr)
{
    t->way = &tty_local;
    if (t->way->open(t, &t->link, reterr) < 0) {
        if (reterr->code != NT_E_NOT_LOCAL)
            return -1;
        t->way = &tty_remote;
        if (t->way->open(t, &t->link, reterr) < 0)
            return -1;
    }
    listen_on(t);
    watch_signals(t);
    if (open_input(t, reterr) < 0)
        return -1;
    return t->call->host->wait(t->call, &t->done, reterr);
}

static int escape_of(const char *text, char *ret, struct nt_error *reterr)
{
    if (!text
        || (strlen(text) == 1 && text[0] > ' ' && text[0] < 0x7F && text[0] != '.'
            && text[0] != '?')) {
        *ret = text ? text[0] : '~';
        return 0;
    }
    *ret = TTY_NO_ESCAPE;
    if (strcmp(text, "none") == 0)
        return 0;
    return nt_fail(reterr, NT_E_USAGE, "--escape takes one character that is not . or ?, or none");
}

int tty_run(struct nt_call *call, const struct tty_spec *spec, struct tty_started *ret,
            struct nt_error *reterr)
{
    struct tty t = { .call = call, .spec = spec, .reterr = reterr, .cols = 80, .rows = 24 };
    if (escape_of(spec->escape, &t.escape, reterr) < 0)
        return -1;
    t.loop = call->host->loop(call);
    int in = call->host->descriptor(call, 0);
    t.screen = tty_screen_new(in, call->host->descriptor(call, 1), t.escape);
    if (!t.screen)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the terminal");
    if (!tty_screen_is_terminal(t.screen)) { /* no person: nothing in it is an escape */
        tty_screen_free(t.screen);
        t.screen = tty_screen_new(in, call->host->descriptor(call, 1), TTY_NO_ESCAPE);
        if (!t.screen)
            return nt_fail(reterr, NT_E_MEMORY, "no memory for the terminal");
    }
    tty_screen_size(t.screen, &t.cols, &t.rows);
    int rc = converse(&t, reterr);
    silence_end(&t.silence);
    nt_reader_free(t.input);
    for (unsigned i = 0; i < sizeof(t.signals) / sizeof(t.signals[0]); i++)
        t.loop->ops->watch_end(t.signals[i]);
    if (t.link)
        t.way->close(t.link);
    tty_screen_free(t.screen); /* before anything is said: lines begin at the left again */
    if (rc == 0)
        rc = outcome(&t, reterr);
    if (rc == 0 && ret)
        *ret = t.started;
    return rc;
}
