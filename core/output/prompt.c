/* SPDX-License-Identifier: Apache-2.0 */
/* prompt.c - asks the person at the terminal.
 *
 * /dev/tty and not stdin: the question must reach a person even where output is redirected. While
 * echo is off the signals that end or stop the tool are caught, so that the terminal is never left
 * silent. */
#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "core/output/output.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

/* The handler writes here: so poll wakes for what came before it, or to another thread. */
static volatile sig_atomic_t wake = -1;

static void on_signal(int signo)
{
    int saved = errno;
    const uint64_t one = 1;
    (void)!write(wake, &one, sizeof(one));
    errno = saved;
}

struct guard {
    int tty, wake;
    bool is_silent;
    struct termios before;
    struct sigaction old[CAUGHT];
};

static void guard_end(struct guard *guard)
{
    if (guard->is_silent)
        tcsetattr(guard->tty, TCSAFLUSH, &guard->before);
    for (size_t i = 0; guard->wake >= 0 && i < CAUGHT; i++)
        sigaction(caught[i], &guard->old[i], NULL);
    if (guard->wake >= 0)
        close(guard->wake);
}

static int guard_begin(struct guard *guard, int tty, bool secret, struct nt_error *reterr)
{
    *guard = (struct guard){ .tty = tty, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    if (guard->wake < 0)
        return nt_fail_sys(reterr, errno, "cannot ask");
    wake = guard->wake;
    struct sigaction act = { .sa_handler = on_signal }; /* no SA_RESTART: read must return */
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &act, &guard->old[i]);
    if (!secret)
        return 0;
    struct termios silent;
    if (tcgetattr(tty, &guard->before) == 0) {
        silent = guard->before;
        silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
        silent.c_lflag |= ECHONL | ICANON | ISIG;
        guard->is_silent = tcsetattr(tty, TCSAFLUSH, &silent) == 0;
    }
    /* A secret on the screen is worse than no answer. */
    return guard->is_silent ? 0 : nt_fail_sys(reterr, errno, "cannot silence the terminal");
}

static int read_line(const struct guard *guard, int64_t wait_ms, struct nt_buf *ret,
                     struct nt_error *reterr)
{
    int wait = wait_ms < 0 || wait_ms > PROMPT_WAIT_MS ? PROMPT_WAIT_MS : (int)wait_ms;
    struct pollfd ready[] = { { .fd = guard->tty, .events = POLLIN },
                              { .fd = guard->wake, .events = POLLIN } };
    for (;;) {
        int count = poll(ready, 2, wait);
        if ((count > 0 && ready[1].revents) || (count < 0 && errno == EINTR))
            return nt_fail(reterr, NT_E_CANCELLED, "interrupted");
        if (count == 0)
            return nt_fail(reterr, NT_E_TIMEOUT, "no answer came");
        char c;
        ssize_t size = count < 0 ? -1 : read(guard->tty, &c, 1);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return nt_fail_sys(reterr, errno, "cannot read the answer");
        if (size == 0)
            return nt_fail(reterr, NT_E_CANCELLED, "no answer");
        if (c == '\n')
            break;
        if (c == '\0')
            return nt_fail(reterr, NT_E_USAGE, "the answer has a NUL byte");
        nt_buf_add_char(ret, c);
    }
    if (!nt_buf_ok(ret))
        return nt_fail(reterr, NT_E_LIMIT, "the answer is too long");
    return 0;
}

int prompt_ask(const char *question, const char *instead, bool is_terminal, bool secret,
               int64_t wait_ms, struct nt_buf *ret, struct nt_error *reterr)
{
    nt_autoclose int tty = is_terminal ? open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY) : -1;
    if (tty < 0) {
        nt_fail(reterr, NT_E_USAGE, "cannot ask '%s': there is no terminal", question);
        return instead ? nt_hint(reterr, "give %s", instead) : -1;
    }
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(4096);
    nt_buf_add_printable(&line, question, false);
    nt_buf_add_char(&line, ' ');
    struct guard guard;
    int status = guard_begin(&guard, tty, secret, reterr);
    int sys = status == 0 ? output_write_fd(tty, nt_buf_text(&line), line.size) : 0;
    if (status == 0 && sys)
        status = nt_fail_sys(reterr, sys, "cannot ask");
    if (status == 0)
        status = read_line(&guard, wait_ms, ret, reterr);
    guard_end(&guard);
    return status;
}
