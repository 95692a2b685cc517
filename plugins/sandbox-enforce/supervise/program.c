/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - the last steps before the program: its folder, its process group, the layers, exec.
 * In a process of one thread; nothing is allocated. */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"

static _Noreturn void fail(const struct inside *in, enum inside_step step, int value, int sys)
{
    const struct inside_message message = { INSIDE_FAILED, step, value, sys };
    /* write: sendmsg may be one of the calls that are asked about, and nobody would answer. */
    (void)!write(in->socket, &message, sizeof(message));
    _exit(step == STEP_EXEC && sys == ENOENT ? 127 : 126);
}

/* By its path: the descriptor leads into the mounts of outside, where nothing is hidden. */
static int enter_folder(const struct policy *policy)
{
    struct stat here, wanted;
    if (!policy->is_workdir_covered)
        return chdir("/") < 0 ? errno : 0;
    if (chdir(policy->workdir) < 0)
        return errno;
    if (stat(".", &here) < 0 || fstat(policy->workdir_fd, &wanted) < 0)
        return errno;
    return here.st_dev == wanted.st_dev && here.st_ino == wanted.st_ino ? 0 : ESTALE;
}

/* The supervisor takes the listener by number: it is this process's ancestor, and this one says
 * that it may be looked into. */
static void hand_out_listener(struct inside *in)
{
    const struct inside_message message = { INSIDE_LISTENER, 0, in->e->listener, 0 };
    char byte;
    if (prctl(PR_SET_DUMPABLE, 1) < 0 || write(in->socket, &message, sizeof(message)) < 0)
        _exit(126);
    ssize_t n;
    do
        n = read(in->go, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(126); /* the supervisor is gone, or could not take it */
    if (in->e->listener >= 0)
        close(in->e->listener);
    in->e->listener = -1;
}

/* As whoever executes a program hands it on. */
static void take_over(const struct supervise_options *options)
{
    static const int known[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1,
                                 SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU };
    if (!options->channel)
        return;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (options->ignored & 1u << known[i])
            signal(known[i], SIG_IGN);
    umask(umask(0777) | (mode_t)options->mask); /* never less than the person's own */
}

void program_run(struct inside *in)
{
    struct supervise *s = in->s;
    enum enforce_layer layer = ENFORCE_PRIVILEGES;
    int sys = enter_folder(s->options.policy);
    if (sys)
        fail(in, STEP_FOLDER, 0, sys);
    /* Signals are blocked, SIGTTOU too: a process in the background may do this then. */
    if ((!in->is_joined && setpgid(0, 0) < 0)
        || (in->has_terminal && tcsetpgrp(in->terminal, getpid()) < 0))
        fail(in, STEP_TERMINAL, 0, errno);
    if ((sys = fence_add_inner(s, in->e)) != 0)
        fail(in, STEP_PROC, 0, sys);
    in->e->keep[in->e->keep_count++] = in->socket;
    in->e->keep[in->e->keep_count++] = in->go;
    if ((sys = enforce_enter(in->e, &layer)) != 0)
        fail(in, STEP_LAYER, (int)layer, sys);
    hand_out_listener(in);
    signal(SIGPIPE, SIG_DFL); /* the core ignores it */
    take_over(&s->options);
    sigprocmask(SIG_SETMASK, &in->signals, NULL);
    execve(s->program, s->options.argv, s->environment);
    fail(in, STEP_EXEC, 0, errno);
}
