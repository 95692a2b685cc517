/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - the guest's side of a running program: its streams, its end, its tree; see
 * program.h. How it begins: program_begin.c. */
#include "plugins/guest/program.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/guest/jobs.h"
#include "plugins/guest/sidecar.h"
#include "plugins/guest/supervisor.h"
#include "plugins/guest/terminal.h"
#include "plugins/guest/tree.h"

#define PROGRAMS_MAX 1024
#define READS_A_TURN 4
#define RESCUE_MS 2000
#define HANG_UP_MS 1000

static struct program *programs;
static unsigned alive;
static uint8_t chunk[NT_G_CHUNK];

#define OWNER(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static void drain(struct program *p);
static void pump(struct program *p, struct output *o);
static void listen_to(struct output *o, bool on);
static void maybe_tell(struct program *p);

/* --- commands to the supervisor ------------------------------------------------------------ */

static void command(struct program *p, uint32_t kind, int value)
{
    struct supervisor_message m = { kind, value };
    if (p->control.fd >= 0)
        send(p->control.fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Programs run under our uid, so one may have stopped its supervisor. Without it, all of its tree
 * become our own children, and are killed as such. */
static void on_rescue(struct timer *timer)
{
    struct program *p = OWNER(timer, struct program, rescue);
    if (!p->is_gone && p->supervisor > 0)
        kill(p->supervisor, SIGKILL);
}

void program_kill(struct program *p, uint64_t reason)
{
    if (p->is_gone)
        return;
    if (!p->killed && !p->has_exited)
        p->killed = reason;
    if (p->supervisor)
        kill(p->supervisor, SIGCONT);
    command(p, SUPERVISOR_KILL, 0);
    if (!p->rescue.fn)
        loop_timer(&p->rescue, RESCUE_MS, on_rescue);
}

int program_signal(struct program *p, int signo)
{
    if (p->has_exited || p->is_gone)
        return -1;
    command(p, SUPERVISOR_SIGNAL, signo);
    return 0;
}

static void on_timeout(struct timer *timer)
{
    program_kill(OWNER(timer, struct program, timeout), NT_GR_TIMEOUT);
}

/* --- its end ------------------------------------------------------------------------------- */

static void close_output(struct output *o)
{
    if (o->fd < 0)
        return;
    loop_remove(&o->source);
    close(o->fd);
    o->fd = -1;
    o->is_done = true;
}

void program_close_input(struct program *p)
{
    loop_remove(&p->input);
    if (p->in_fd >= 0)
        close(p->in_fd);
    p->in_fd = -1;
    p->in_at = 0;
}

/* A killed tree is awaited to its last process; else the program's own end and what it wrote until
 * then. */
static bool is_over(const struct program *p)
{
    if (p->killed ? !p->is_gone : !p->has_exited && !p->is_gone)
        return false;
    return p->out[0].is_done && p->out[1].is_done;
}

static struct job_end end_of(const struct program *p)
{
    struct job_end end = { .bytes = { p->out[0].bytes, p->out[1].bytes }, .reason = NT_GR_EXITED };
    int status = p->wait_status;
    if (p->killed == NT_GR_TIMEOUT) {
        end.reason = NT_GR_TIMEOUT;
        end.status = 124;
        end.signal = SIGKILL;
    } else if (!p->has_exited) {
        end.reason = NT_GR_LOST;
        end.status = 128 + SIGKILL;
        end.signal = SIGKILL;
    } else if (WIFSIGNALED(status)) {
        end.signal = (uint64_t)WTERMSIG(status);
        end.status = 128 + end.signal;
        end.reason = NT_GR_SIGNALED;
        if (end.signal == SIGKILL && p->killed)
            end.reason = p->killed;
        else if (end.signal == SIGKILL && (counters_hits(&p->counters) & NT_GH_MEMORY))
            end.reason = NT_GR_MEMORY;
    } else {
        end.status = (uint64_t)WEXITSTATUS(status);
    }
    if (end.status) /* why, perhaps; who has succeeded is not asked */
        end.hits = counters_hits(&p->counters);
    return end;
}

static void maybe_tell(struct program *p)
{
    if (p->is_told || p->is_failed || !p->pid || !is_over(p))
        return;
    p->is_told = true;
    loop_timer_end(&p->timeout);
    program_close_input(p);
    struct job_end end = end_of(p);
    if (p->terminal) {
        end.bytes[0] = terminal_bytes(p->terminal);
        terminal_ended(p->terminal, &end);
        p->terminal = NULL;
    }
    struct conn *c = p->conn;
    p->conn = NULL;
    if (p->side)
        sidecar_status(p->side, (unsigned)end.status);
    if (c) {
        job_send_exit(c, &end);
        conn_end(c);
    }
    /* A process that lives on has nobody to write to. A job's outputs go on to its log. */
    for (int i = 0; i < 2; i++) {
        if (!job_has_log(p->job))
            close_output(&p->out[i]);
        else if (c)
            listen_to(&p->out[i], true);
    }
    job_ended(p->job, &end);
}

static void set_gone(struct program *p)
{
    if (p->is_gone)
        return;
    p->is_gone = true;
    loop_close(&p->control);
    loop_timer_end(&p->rescue);
    drain(p);
    maybe_tell(p);
    for (struct waiter *w = p->waiters; w; w = p->waiters) {
        p->waiters = w->next;
        w->conn->op = NULL;
        conn_ok(w->conn);
        free(w);
    }
    alive--;
    guest_busy();
}

void programs_sweep(void)
{
    for (struct program *p = programs, *next; p; p = next) {
        next = p->next;
        if (!p->is_gone || !(p->is_told || p->is_failed))
            continue;
        *(p->prev ? &p->prev->next : &programs) = p->next;
        if (p->next)
            p->next->prev = p->prev;
        loop_timer_end(&p->timeout);
        loop_timer_end(&p->rescue);
        program_close_input(p);
        close_output(&p->out[0]);
        close_output(&p->out[1]);
        terminal_free(p->terminal);
        if (p->feeder)
            conn_close(p->feeder);
        sidecar_close(p->side);
        if (p->job) {
            p->job->program = NULL;
            job_log_ended(p->job);
        }
        free(p);
    }
}

/* --- output -------------------------------------------------------------------------------- */

static void on_output(struct source *source, uint32_t events)
{
    (void)events;
    struct output *o = OWNER(source, struct output, source);
    struct program *p = o->type == NT_G_STDOUT ? OWNER(o, struct program, out[0])
                                               : OWNER(o, struct program, out[1]);
    pump(p, o);
    maybe_tell(p);
}

/* A pipe whose other end has closed is always ready: a paused one is not watched at all. */
static void listen_to(struct output *o, bool on)
{
    if (o->fd < 0 || on == (o->source.fd >= 0))
        return;
    if (on)
        loop_add(&o->source, o->fd, EPOLLIN, on_output);
    else
        loop_remove(&o->source);
}

/* What is in the pipe now is the program's; what comes later is of a process that it left
 * behind. */
static void count_rest(struct output *o)
{
    if (o->fd >= 0 && o->left < 0 && (ioctl(o->fd, FIONREAD, &o->left) < 0 || o->left < 0))
        o->left = 0;
}

/* Moves what is there, as long as the peer takes it. */
static void pump(struct program *p, struct output *o)
{
    bool to_job = job_has_log(p->job);
    for (int i = 0; o->fd >= 0; i++) {
        if (o->left == 0)
            o->is_done = true;
        /* whose stream lives, waits for it, also when its output is kept */
        if ((!to_job && o->is_done) || (p->conn && (o->is_done || !conn_can_send(p->conn)))) {
            listen_to(o, false);
            return;
        }
        if (p->side && !sidecar_can_write(p->side)) {
            listen_to(o, false);
            return;
        }
        if (i == READS_A_TURN)
            break;
        size_t want = !o->is_done && o->left > 0 && o->left < (int)sizeof(chunk) ? (size_t)o->left
                                                                                 : sizeof(chunk);
        ssize_t n = read(o->fd, chunk, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (o->left > 0)
                o->left = 0; /* someone else has read it */
            o->is_done = o->is_done || o->left == 0;
            break;
        }
        if (n <= 0) {
            close_output(o);
            return;
        }
        if (o->left > 0)
            o->left -= (int)n < o->left ? (int)n : o->left;
        if (to_job)
            job_append(p->job, o->type, chunk, (size_t)n);
        else if (p->job)
            p->job->bytes[o->type == NT_G_STDERR] += (uint64_t)n;
        if (p->conn)
            conn_send_raw(p->conn, o->type, chunk, (size_t)n);
        if (p->side)
            sidecar_write(p->side, chunk, (size_t)n);
        o->bytes += (uint64_t)n;
    }
    listen_to(o, true);
}

/* The program has ended: only the rest is still its own. */
static void drain(struct program *p)
{
    if (p->terminal)
        terminal_drain(p->terminal);
    for (int i = 0; i < 2; i++) {
        count_rest(&p->out[i]);
        if (p->out[i].fd >= 0 && !p->out[i].is_done)
            pump(p, &p->out[i]);
    }
}

/* --- input --------------------------------------------------------------------------------- */

static void on_input(struct source *source, uint32_t events)
{
    (void)events;
    struct program *p = OWNER(source, struct program, input);
    loop_remove(&p->input);
    struct conn *c = p->feeder ? p->feeder : p->conn;
    if (c)
        conn_resume(c);
}

int program_feed(struct program *p, struct conn *c, const uint8_t *bytes, size_t size)
{
    (void)c;
    while (p->in_fd >= 0 && p->in_at < size) {
        ssize_t n = write(p->in_fd, bytes + p->in_at, size - p->in_at);
        if (n >= 0) {
            p->in_at += (size_t)n;
        } else if (errno == EAGAIN) {
            if (p->input.fd < 0)
                loop_add(&p->input, p->in_fd, EPOLLOUT, on_input);
            return 0;
        } else if (errno != EINTR) {
            program_close_input(p); /* nobody reads it: that is the program's own affair */
        }
    }
    p->in_at = 0;
    return 1;
}

/* --- its connection ------------------------------------------------------------------------ */

static int exec_frame(struct conn *c, const struct nt_g_frame *frame)
{
    struct program *p = c->op;
    struct request r;
    switch (frame->type) {
    case NT_G_STDIN:
        return program_feed(p, c, frame->payload, frame->size);
    case NT_G_STDIN_END:
        program_close_input(p);
        return 1;
    case NT_G_SIGNAL:
        if (request_read(&r, frame) < 0)
            return -1;
        if (request_number(&r, NT_GT_FLAGS, 0) & NT_GX_TREE) {
            program_kill(p, NT_GR_KILLED);
            return 1;
        }
        uint64_t signo = request_number(&r, NT_GT_SIGNAL, 0);
        if (signo < 1 || signo >= NSIG)
            return -1;
        program_signal(p, (int)signo);
        return 1;
    default:
        return -1;
    }
}

static void exec_writable(struct conn *c)
{
    struct program *p = c->op;
    for (int i = 0; i < 2 && p->conn; i++)
        if (p->out[i].fd >= 0 && !p->out[i].is_done)
            pump(p, &p->out[i]);
    maybe_tell(p);
}

static void exec_lost(struct conn *c)
{
    struct program *p = c->op;
    p->conn = NULL;
    if (p->job && p->job->flags & NT_GX_KEEP) {
        p->in_at = 0;
        loop_remove(&p->input);
        for (int i = 0; i < 2; i++)
            listen_to(&p->out[i], true);
        maybe_tell(p);
        return;
    }
    close_output(&p->out[0]);
    close_output(&p->out[1]);
    program_close_input(p);
    program_kill(p, NT_GR_KILLED);
    maybe_tell(p);
}

static const struct conn_ops exec_ops = { .frame = exec_frame,
                                          .writable = exec_writable,
                                          .lost = exec_lost };

/* --- its terminal -------------------------------------------------------------------------- */

void program_terminal_done(struct program *p)
{
    p->out[0].is_done = true;
    maybe_tell(p);
}

static void on_hung_up(struct timer *timer)
{
    program_kill(OWNER(timer, struct program, timeout), NT_GR_KILLED);
}

void program_hang_up(struct program *p)
{
    if (p->is_gone || p->is_told)
        return;
    p->is_hung_up = true;
    loop_timer_end(&p->timeout);
    loop_timer(&p->timeout, HANG_UP_MS, on_hung_up);
    terminal_hang_up(p->terminal);
}

void program_terminal_lost(struct program *p)
{
    p->conn = NULL;
    if (!p->job || !(p->job->flags & (NT_GX_KEEP | NT_GX_BACKGROUND)))
        program_hang_up(p);
}

/* --- what the supervisor says -------------------------------------------------------------- */

static void on_started(struct program *p, int pid)
{
    p->pid = pid;
    job_started(p->job, pid);
    struct conn *c = p->conn;
    if (c) {
        uint8_t memory[128];
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_STARTED);
        nt_g_add_number(&w, NT_GT_PID, (uint64_t)pid);
        nt_g_add_text(&w, NT_GT_ID, p->job->id);
        conn_send_writer(c, &w);
        bool is_background = p->job->flags & NT_GX_BACKGROUND;
        if (p->terminal)
            terminal_started(p->terminal, !is_background);
        if (p->terminal || is_background)
            p->conn = NULL; /* the terminal's now, or nobody's */
        if (is_background)
            conn_end(c);
    }
    for (int i = 0; i < 2; i++)
        listen_to(&p->out[i], true);
}

static void on_failed(struct program *p, uint32_t kind, int sys)
{
    p->is_failed = true;
    struct conn *c = p->conn;
    p->conn = NULL;
    job_failed(p->job);
    p->job = NULL;
    if (!c)
        return;
    if (kind == SUPERVISOR_NO_CWD)
        conn_error(c, NT_GE_NOT_STARTED, sys, "the working directory cannot be entered: %s",
                   strerror(sys));
    else if (kind == SUPERVISOR_NO_EXEC)
        conn_error(c, NT_GE_NOT_STARTED, sys, "the program cannot be started: %s", strerror(sys));
    else
        conn_error(c, NT_GE_SYSTEM, sys, "no process could be made: %s", strerror(sys));
}

void program_hear(struct source *source, uint32_t events)
{
    (void)events;
    struct program *p = OWNER(source, struct program, control);
    for (;;) {
        struct supervisor_message m = { 0 };
        ssize_t n = recv(source->fd, &m, sizeof(m), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            break;
        if (m.kind == SUPERVISOR_STARTED) {
            on_started(p, m.value);
        } else if (m.kind == SUPERVISOR_EXITED) {
            p->has_exited = true;
            p->wait_status = m.value;
            loop_timer_end(&p->timeout);
            drain(p);
            if (p->is_hung_up)
                program_kill(p, NT_GR_KILLED);
            maybe_tell(p);
        } else if (m.kind == SUPERVISOR_BORN) {
            p->born = m.value;
        } else {
            on_failed(p, m.kind, m.value);
        }
    }
    if (!p->pid && !p->is_failed && p->born)
        on_started(p, p->born);
    if (!p->pid && !p->is_failed)
        on_failed(p, SUPERVISOR_NO_FORK, ECHILD);
    /* the supervisor was killed: what it kept becomes ours when it is reaped */
    if (p->pid && !p->has_exited) {
        loop_close(&p->control);
        p->is_lost = true;
        programs_sweep_orphans();
        return;
    }
    set_gone(p);
}

/* --- all of them --------------------------------------------------------------------------- */

bool programs_have_room(void)
{
    return alive < PROGRAMS_MAX;
}

void program_join(struct program *p, struct conn *c)
{
    p->next = programs;
    if (programs)
        programs->prev = p;
    programs = p;
    alive++;
    /* From here: a hostile program can stop its supervisor before that says anything. */
    if (p->timeout_ms)
        loop_timer(&p->timeout, p->timeout_ms > INT64_MAX ? INT64_MAX : (int64_t)p->timeout_ms,
                   on_timeout);
    c->op = p;
    c->ops = &exec_ops;
}

void program_pump(struct program *p)
{
    for (int i = 0; i < 2; i++)
        if (p->pid && p->out[i].fd >= 0)
            pump(p, &p->out[i]);
    maybe_tell(p);
}

static void waiter_lost(struct conn *c)
{
    struct waiter *w = c->op;
    for (struct waiter **at = &w->program->waiters; *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            break;
        }
    }
    free(w);
}
static const struct conn_ops waiter_ops = { .lost = waiter_lost };

void program_wait_gone(struct program *p, struct conn *c)
{
    struct waiter *w = malloc(sizeof(*w));
    if (!w) {
        conn_error(c, NT_GE_SYSTEM, ENOMEM, "out of memory");
        return;
    }
    *w = (struct waiter){ p->waiters, c, p };
    p->waiters = w;
    c->op = w;
    c->ops = &waiter_ops;
}

static bool is_ours(pid_t pid)
{
    if (helper_is(pid) || sidecar_is(pid))
        return true;
    for (struct program *p = programs; p; p = p->next)
        if (p->supervisor == pid && !p->is_gone)
            return true;
    return false;
}

/* A killed supervisor leaves its tree to us only in the course of its own end, after its control
 * socket has closed: before it is reaped, nothing can be said. */
void programs_sweep_orphans(void)
{
    bool any = false;
    for (struct program *p = programs; p; p = p->next)
        any = any || (p->is_lost && !p->is_gone && !p->supervisor);
    if (!any)
        return;
    tree_kill(getpid(), is_ours);
    if (tree_signal(getpid(), 0, is_ours) > 0)
        return; /* SIGCHLD brings us here again */
    for (struct program *p = programs; p; p = p->next)
        if (p->is_lost && !p->supervisor)
            set_gone(p);
}

void program_reaped(pid_t pid)
{
    for (struct program *p = programs; p; p = p->next)
        if (p->supervisor == pid)
            p->supervisor = 0; /* its end is told by the control socket, after its last words */
}

unsigned programs_alive(void)
{
    return alive;
}

void programs_signal_all(int signo)
{
    for (struct program *p = programs; p; p = p->next)
        if (!p->is_gone)
            command(p, SUPERVISOR_ALL, signo);
}

void programs_kill_all(void)
{
    for (struct program *p = programs; p; p = p->next)
        program_kill(p, NT_GR_KILLED);
}
