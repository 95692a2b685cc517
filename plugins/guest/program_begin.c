/* SPDX-License-Identifier: Apache-2.0 */
/* program_begin.c - from EXEC to a program that runs: its request, its log file, its supervisor.
 * What is refused or fails on the way is answered here, and leaves nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/guest/jobs.h"
#include "plugins/guest/launch.h"
#include "plugins/guest/program.h"
#include "plugins/guest/sidecar.h"
#include "plugins/guest/supervisor.h"
#include "plugins/guest/terminal.h"

#define OOM_OF_PROGRAMS "300"

/* --- start --------------------------------------------------------------------------------- */

static void oom_adjust(const char *text)
{
    if (guest.oom_fd >= 0 && text[0]) {
        ssize_t n = pwrite(guest.oom_fd, text, strlen(text), 0);
        (void)n; /* without it, programs are killed as late as the guest: worse, but no failure */
    }
}

static int start(struct program *p, struct launch *l, struct conn *c)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    struct supervisor_plan plan = { .argv = launch_argv(l),
                                    .argv_else = l->argv_else,
                                    .env = l->env,
                                    .cwd = l->cwd,
                                    .fds = { l->child[0], l->child[1], l->child[2] },
                                    .files = &guest.files,
                                    .control = pair[1],
                                    .is_terminal = p->terminal != NULL };
    /* Inherited by the program. /proc/self of the child could not be written: it is not
     * dumpable. */
    oom_adjust(OOM_OF_PROGRAMS);
    p->supervisor = supervisor_start(&plan);
    int sys = errno;
    oom_adjust(guest.oom_own);
    close(pair[1]);
    if (p->supervisor < 0 || loop_add(&p->control, pair[0], EPOLLIN, program_hear) < 0) {
        close(pair[0]);
        errno = sys;
        return -1;
    }
    p->conn = c;
    return 0;
}

/* Frees what never ran, with its launch. */
static void program_drop(struct program *p, struct launch *l)
{
    sidecar_close(p->side);
    job_failed(p->job);
    terminal_free(p->terminal);
    launch_done(l);
    if (l == p->launch)
        free(l);
    free(p);
}

/* Starts it, or answers why not. */
static void begin(struct program *p, struct launch *l, struct conn *c)
{
    if (start(p, l, c) < 0) {
        conn_error(c, NT_GE_SYSTEM, errno, "the program cannot be started: %s", strerror(errno));
        program_drop(p, l);
        return;
    }
    p->job->program = p;
    p->in_fd = l->own[0];
    for (int i = 0; i < 2; i++) {
        p->out[i].fd = l->own[i + 1];
        p->out[i].is_done = p->out[i].fd < 0;
    }
    if (p->terminal)
        p->out[0].is_done = false;
    l->own[0] = l->own[1] = l->own[2] = -1;
    program_join(p, c);
    if (p->terminal)
        terminal_begin(p->terminal, p, c);
    conn_beat(c, p->beat_ms);
    launch_done(l);
    if (l == p->launch)
        free(l);
    p->launch = NULL;
    guest_busy();
}

/* --- its log file -------------------------------------------------------------------------- */

static void on_side_opened(void *data, int sys)
{
    struct program *p = data;
    struct conn *c = p->conn;
    if (sys)
        p->side = NULL;
    if (!sys && !guest.is_ending && programs_have_room()) {
        begin(p, p->launch, c);
        conn_resume(c);
        return;
    }
    if (sys)
        conn_error(c, NT_GE_INVALID, sys, "the log file cannot be written: %s", strerror(sys));
    else
        conn_error(c, NT_GE_LIMIT, 0, "the workspace is ending, or too many programs are running");
    program_drop(p, p->launch);
}

static void on_side_writable(void *data)
{
    struct program *p = data;
    if (p->terminal)
        terminal_resume(p->terminal);
    program_pump(p);
}

static void on_side_failed(void *data, int sys)
{
    struct program *p = data;
    if (p->job)
        p->job->trouble = sys == ENOSPC || sys == EDQUOT
                              ? "the disk is full: the log file lacks the rest of the output"
                              : "the log file took no more: it lacks the rest of the output";
}

static const struct sidecar_events side_events = { .opened = on_side_opened,
                                                   .writable = on_side_writable,
                                                   .failed = on_side_failed };

static int opening_frame(struct conn *c, const struct nt_g_frame *frame)
{
    (void)c;
    (void)frame;
    return 0;
}

static void opening_lost(struct conn *c)
{
    struct program *p = c->op;
    program_drop(p, p->launch);
}

static const struct conn_ops opening_ops = { .frame = opening_frame, .lost = opening_lost };

static void open_side(struct program *p, const struct launch *l, struct conn *c)
{
    p->conn = c;
    p->launch = malloc(sizeof(*l));
    if (p->launch) {
        *p->launch = *l;
        p->side = sidecar_open(p->job->log_path, p->job->id, &side_events, p);
    }
    if (p->side) {
        c->op = p;
        c->ops = &opening_ops;
        return;
    }
    struct launch *mine = p->launch;
    struct launch rest = *l;
    conn_error(c, NT_GE_SYSTEM, errno, "the log file cannot be written: %s", strerror(errno));
    program_drop(p, mine ? mine : &rest);
}

/* --- the request --------------------------------------------------------------------------- */

/* Whether the flags fit together. Answers the error itself. */
static bool is_possible(struct conn *c, const struct request *r, uint64_t flags)
{
    bool is_passed = flags & (NT_GX_FD_STDOUT | NT_GX_FD_STDERR);
    if (c->is_adopted && flags & NT_GX_BACKGROUND)
        conn_error(c, NT_GE_NOT_ALLOWED, 0,
                   "a program in the background cannot be run on this connection");
    else if (is_passed && (flags & NT_GX_KEEP || request_has(r, NT_GT_LOG)))
        conn_error(c, NT_GE_INVALID, 0, "output that is kept cannot go to descriptors");
    else if (guest.is_ending)
        conn_error(c, NT_GE_LIMIT, 0, "the workspace is ending");
    else if (!programs_have_room())
        conn_error(c, NT_GE_LIMIT, 0, "too many programs are running");
    else
        return true;
    return false;
}

void program_exec(struct conn *c, const struct request *r, const struct nt_g_frame *frame)
{
    uint64_t flags = request_number(r, NT_GT_FLAGS, 0);
    if (!is_possible(c, r, flags))
        return;
    struct launch l = { .child = { -1, -1, -1 }, .own = { -1, -1, -1 } };
    struct job *job = NULL;
    struct terminal *terminal = NULL;
    if (launch_read(&l, c, r, frame) == 0
        && (flags & NT_GX_TTY ? (terminal = launch_terminal(&l, c, r)) != NULL
                              : launch_streams(&l, c, flags) == 0))
        job = job_new(c, r, launch_argv(&l));
    if (!job) {
        terminal_free(terminal);
        launch_done(&l);
        return;
    }
    struct program *p = calloc(1, sizeof(*p));
    if (!p) {
        conn_error(c, NT_GE_SYSTEM, ENOMEM, "out of memory");
        job_failed(job);
        terminal_free(terminal);
        launch_done(&l);
        return;
    }
    *p = (struct program){ .control.fd = -1,
                           .input.fd = -1,
                           .in_fd = -1,
                           .job = job,
                           .terminal = terminal,
                           .counters = counters_now(),
                           .beat_ms = request_number(r, NT_GT_BEAT_MS, 0),
                           .timeout_ms = request_number(r, NT_GT_TIMEOUT_MS, 0) };
    for (int i = 0; i < 2; i++)
        p->out[i] = (struct output){
            .source.fd = -1, .fd = -1, .left = -1, .type = i ? NT_G_STDERR : NT_G_STDOUT
        };
    if (job->log_path)
        open_side(p, &l, c);
    else
        begin(p, &l, c);
}
