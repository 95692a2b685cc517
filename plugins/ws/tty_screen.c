/* SPDX-License-Identifier: Apache-2.0 */
/* tty_screen.c - the caller's terminal: raw mode and back on every way out, the escape at the start
 * of a line, and what a program left on.
 *
 * A child of ours waits for our end: when we are killed without a chance to do it, it gives the
 * terminal its mode back. It touches a terminal only while that still has the very mode that we
 * gave it: a shell that has gone on meanwhile is not disturbed. */
#include "tty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "sdk/term_modes.h"

struct tty_screen {
    int in, out;
    char escape;
    bool is_terminal, is_raw;
    bool at_start;    /* of a line that is typed */
    bool has_escaped; /* the escape was typed there */
    struct termios cooked, raw;
    struct nt_term modes;
    pid_t guard;
    int guard_fd; /* its end of file is our end; -1: no guard */
};

struct tty_screen *tty_screen_new(int in, int out, char escape)
{
    struct tty_screen *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    *s = (struct tty_screen){ .in = in,
                              .out = out,
                              .escape = escape,
                              .at_start = true,
                              .is_terminal = isatty(in) && tcgetattr(in, &s->cooked) == 0,
                              .guard_fd = -1 };
    if (s->is_terminal)
        tcgetattr(in, &s->cooked);
    nt_term_init(&s->modes);
    return s;
}

bool tty_screen_is_terminal(const struct tty_screen *s)
{
    return s->is_terminal;
}

/* --- raw mode ------------------------------------------------------------------------------ */

static bool is_same(const struct termios *a, const struct termios *b)
{
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_lflag == b->c_lflag
           && a->c_cflag == b->c_cflag;
}

/* In the child, between fork and the end: only calls that are safe there. */
static void __attribute__((noreturn)) guard(const struct tty_screen *s, int fd)
{
    char byte;
    struct termios now;
    sigset_t all;
    sigfillset(&all); /* SIGTTOU too: we may be in the background by then */
    sigprocmask(SIG_SETMASK, &all, NULL);
    int kept = dup2(fd, 3); /* nothing of ours stays open: a pipe of the caller must see its end */
    if (s->in != 0)
        dup2(s->in, 0);
    close(1);
    close(2);
    close_range(4, ~0u, 0);
    while (read(kept, &byte, 1) < 0 && errno == EINTR) {
    }
    if (tcgetattr(0, &now) == 0 && is_same(&now, &s->raw))
        tcsetattr(0, TCSANOW, &s->cooked);
    _exit(0);
}

/* Without one, only a kill -9 leaves the terminal raw. */
static void start_guard(struct tty_screen *s)
{
    int ends[2];
    if (s->guard_fd >= 0 || pipe2(ends, O_CLOEXEC) < 0)
        return;
    s->guard = fork();
    if (s->guard == 0) {
        close(ends[1]);
        guard(s, ends[0]);
    }
    close(ends[0]);
    s->guard_fd = ends[1];
    if (s->guard < 0) {
        close(ends[1]);
        s->guard_fd = -1;
    }
}

static void end_guard(struct tty_screen *s)
{
    if (s->guard_fd < 0)
        return;
    close(s->guard_fd);
    s->guard_fd = -1;
    while (waitpid(s->guard, NULL, 0) < 0 && errno == EINTR) {
    }
}

int tty_screen_raw(struct tty_screen *s)
{
    if (!s->is_terminal || s->is_raw)
        return 0;
    s->raw = s->cooked;
    cfmakeraw(&s->raw);
    if (tcsetattr(s->in, TCSANOW, &s->raw) < 0)
        return -1;
    tcgetattr(s->in, &s->raw); /* what the terminal made of it */
    s->is_raw = true;
    start_guard(s);
    return 0;
}

void tty_screen_cooked(struct tty_screen *s)
{
    if (!s->is_raw)
        return;
    s->is_raw = false;
    tcsetattr(s->in, TCSANOW, &s->cooked);
}

bool tty_screen_size(const struct tty_screen *s, uint16_t *ret_cols, uint16_t *ret_rows)
{
    struct winsize size;
    if (ioctl(s->in, TIOCGWINSZ, &size) < 0 && ioctl(s->out, TIOCGWINSZ, &size) < 0)
        return false;
    *ret_cols = size.ws_col;
    *ret_rows = size.ws_row;
    return size.ws_col && size.ws_row;
}

/* --- output -------------------------------------------------------------------------------- */

static int put(const struct tty_screen *s, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(s->out, bytes, size);
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd room = { .fd = s->out, .events = POLLOUT };
            poll(&room, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

int tty_screen_write(struct tty_screen *s, const void *bytes, size_t size)
{
    nt_term_feed(&s->modes, bytes, size);
    return put(s, bytes, size);
}

bool tty_screen_note(const struct tty_screen *s, const char *text)
{
    if (!isatty(s->out))
        return false;
    put(s, "\r\n", 2);
    put(s, text, strlen(text));
    put(s, "\r\n", 2);
    return true;
}

void tty_screen_undo(struct tty_screen *s)
{
    char text[NT_TERM_TEXT_MAX];
    size_t size = isatty(s->out) ? nt_term_undo(&s->modes, text) : 0;
    if (size)
        put(s, text, size);
    nt_term_init(&s->modes);
}

void tty_screen_suspend(struct tty_screen *s)
{
    char text[NT_TERM_TEXT_MAX];
    size_t size = isatty(s->out) ? nt_term_undo(&s->modes, text) : 0;
    put(s, text, size);
    tty_screen_cooked(s);
}

void tty_screen_resume(struct tty_screen *s)
{
    char text[NT_TERM_TEXT_MAX];
    s->is_raw = false;
    tty_screen_raw(s); /* waits for the foreground: SIGTTOU stops us until then */
    size_t size = isatty(s->out) ? nt_term_redo(&s->modes, text) : 0;
    put(s, text, size);
}

/* --- keys ---------------------------------------------------------------------------------- */

static void pass(struct tty_screen *s, char c, struct nt_buf *ret)
{
    nt_buf_add_char(ret, c);
    s->at_start = c == '\r' || c == '\n';
}

enum tty_key tty_screen_keys(struct tty_screen *s, const char *bytes, size_t size, size_t *used,
                             struct nt_buf *ret)
{
    size_t i = 0;
    while (i < size) {
        char c = bytes[i++];
        if (s->has_escaped) {
            s->has_escaped = false;
            *used = i;
            if (c == '.')
                return TTY_KEY_LEAVE;
            if (c == '?')
                return TTY_KEY_HELP; /* still at the start of the line */
            pass(s, s->escape, ret);
            if (c != s->escape)
                pass(s, c, ret);
        } else if (s->at_start && s->escape != TTY_NO_ESCAPE && c == s->escape) {
            s->has_escaped = true;
        } else {
            pass(s, c, ret);
        }
    }
    *used = i;
    return TTY_KEY_NONE;
}

void tty_screen_free(struct tty_screen *s)
{
    if (!s)
        return;
    tty_screen_undo(s);
    tty_screen_cooked(s);
    end_guard(s);
    free(s);
}
