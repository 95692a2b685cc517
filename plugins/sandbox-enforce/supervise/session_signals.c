/* SPDX-License-Identifier: Apache-2.0 */
/* session_signals.c - signals and the terminal: the program runs in a process group of its own,
 * which gets the terminal when ours has it; what is sent to us goes on to it; and when it stops we
 * stop, so that a shell sees one job. */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "sdk/error.h"
#include "session.h"

static const int forwarded[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                 SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP };

int session_block_signals(struct session *session, struct nt_error *reterr)
{
    sigset_t watched, blocked;
    sigemptyset(&watched);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
        sigaddset(&watched, forwarded[i]);
    sigaddset(&watched, SIGCONT);
    blocked = watched;
    /* A process in the background that hands the terminal on is not to be stopped for it. */
    sigaddset(&blocked, SIGTTOU);
    sigaddset(&blocked, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &blocked, &session->old_signals) < 0)
        return nt_fail_sys(reterr, errno, "signals");
    session->has_old_signals = true;
    session->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    return session->signals < 0 ? nt_fail_sys(reterr, errno, "signals") : 0;
}

void session_unblock_signals(struct session *session)
{
    if (session->has_old_signals)
        sigprocmask(SIG_SETMASK, &session->old_signals, NULL);
    session->has_old_signals = false;
}

static bool is_in_front(const struct session *session)
{
    return session->terminal >= 0 && tcgetpgrp(session->terminal) == getpgrp();
}

void session_find_terminal(struct session *session)
{
    session->terminal = -1;
    if (session->s->options.channel)
        return; /* it is the business of who asked */
    for (int fd = 0; fd <= 2 && session->terminal < 0; fd++)
        if (isatty(fd) && tcgetpgrp(fd) > 0)
            session->terminal = fd;
    session->has_modes =
        session->terminal >= 0 && tcgetattr(session->terminal, &session->modes) == 0;
}

void session_take_terminal(struct session *session, bool restore_modes)
{
    if (session->terminal < 0)
        return;
    /* A shell that has taken it meanwhile keeps it. */
    if (session->program > 0 && tcgetpgrp(session->terminal) == session->program)
        tcsetpgrp(session->terminal, getpgrp());
    if (restore_modes && session->has_modes && is_in_front(session))
        tcsetattr(session->terminal, TCSADRAIN, &session->modes);
}

void session_tell(struct session *session, enum inside_kind kind, int value)
{
    const struct inside_message message = { kind, 0, value, 0 };
    inside_send(session->socket, &message, -1); /* when nobody is there, the pidfd tells */
}

void session_on_signals(struct session *session)
{
    struct signalfd_siginfo info;
    while (read(session->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCONT)
            session_tell(session, INSIDE_TERMINAL, is_in_front(session));
        else
            session_tell(session, INSIDE_SIGNAL, (int)info.ssi_signo);
    }
}

void session_on_stop(struct session *session, int signal)
{
    struct signalfd_siginfo info;
    sigset_t stop;
    bool had_terminal = session->terminal >= 0 && tcgetpgrp(session->terminal) == session->program;
    session_take_terminal(session, false);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    /* The others of our job would have got it, too, had the program been one of us. Where nobody
     * could continue us the kernel throws it away, and with it the program's stop. */
    if (had_terminal)
        kill(0, SIGTSTP);
    else
        raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &stop, NULL); /* stops here */
    sigprocmask(SIG_BLOCK, &stop, NULL);
    bool was_continued = false;
    while (read(session->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCONT)
            was_continued = true;
        else
            session_tell(session, INSIDE_SIGNAL, (int)info.ssi_signo);
    }
    if (was_continued || signal != SIGSTOP)
        session_tell(session, INSIDE_TERMINAL, is_in_front(session));
}
