/* SPDX-License-Identifier: Apache-2.0 */
/* capture_run.c - one process outside of the sandbox whose output is a credential: started by the
 * proxy's thread, ended with its group when its time or the proxy's is over.
 *
 * Its end is told by its pidfd: SIGCHLD is the supervisor's. It starts in "/", as the folder of the
 * program is full of files that the program wrote, and in a session of its own: the terminal is the
 * program's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"

struct capture_run {
    void (*done)(void *data, char *text, size_t size, const char *why);
    void *data;
    pid_t pid;
    int pidfd, out;
    uv_poll_t exit, output;
    uv_timer_t timer;
    unsigned handles; /* that are open */
    uint32_t timeout_s;
    size_t size;
    char text[CAPTURE_ANSWER_MAX + 2];
};

/* --- the start ------------------------------------------------------------------------------- */

static _Noreturn void become(const struct capture_start *start, int in, int out, pid_t parent)
{
    char *const *words;
    sigset_t none;
    memcpy(&words, &start->words, sizeof(words)); /* execve takes them without const */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    int nowhere = start->is_heard ? 2 : open("/dev/null", O_WRONLY | O_CLOEXEC);
    bool is_ready = getppid() == parent && chdir("/") == 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1
                    && nowhere >= 0 && dup2(nowhere, 2) == 2;
    if (is_ready) {
        /* Before Linux 5.11 what the caller had open stays so; ours is closed in any case. */
        syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
        sigemptyset(&none);
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(start->program, words, start->environment);
    }
    _exit(127);
}

/* A file in memory: a pipe could be full. */
static int make_input(const struct capture_start *start)
{
    if (!start->input)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    nt_autoclose int fd = memfd_create("request", MFD_CLOEXEC);
    if (fd < 0 || nt_write_all(fd, start->input, start->input_size) < 0
        || lseek(fd, 0, SEEK_SET) < 0)
        return -1;
    return nt_take_fd(fd);
}

static int reap(struct capture_run *r)
{
    int status = 0, n;
    do
        n = waitpid(r->pid, &status, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : status;
}

static int launch(struct capture_run *r, const struct capture_start *start, struct nt_error *reterr)
{
    int ends[2];
    nt_autoclose int in = make_input(start);
    if (in < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot start a command");
    nt_autoclose int out = ends[0], inside = ends[1];
    pid_t parent = getpid();
    fcntl(out, F_SETFL, O_NONBLOCK);
    r->pid = fork();
    if (r->pid == 0)
        become(start, in, inside, parent);
    if (r->pid < 0)
        return nt_fail_sys(reterr, errno, "cannot start a command");
    r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    if (r->pidfd < 0) {
        nt_fail_sys(reterr, errno, "cannot watch a command");
        kill(r->pid, SIGKILL);
        reap(r);
        return -1;
    }
    r->out = nt_take_fd(out);
    return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct capture_run *r = handle->data;
    if (--r->handles)
        return;
    close(r->out);
    close(r->pidfd);
    explicit_bzero(r->text, sizeof(r->text));
    free(r);
}

static void close_all(struct capture_run *r)
{
    uv_close((uv_handle_t *)&r->exit, on_handle_closed);
    uv_close((uv_handle_t *)&r->output, on_handle_closed);
    uv_close((uv_handle_t *)&r->timer, on_handle_closed);
}

/* Told at most once. */
static void tell(struct capture_run *r, const char *why)
{
    r->text[r->size] = '\0';
    if (r->done)
        r->done(r->data, r->text, r->size, why);
    r->done = NULL;
    explicit_bzero(r->text, sizeof(r->text));
}

/* Ends its group. Its end is seen as any other: nothing waits for it here. It is not waited for
 * yet, so that the number of its group is its own; it may not have one so early. */
static void end(struct capture_run *r, const char *why)
{
    kill(-r->pid, SIGKILL);
    kill(r->pid, SIGKILL);
    uv_timer_stop(&r->timer);
    uv_poll_stop(&r->output);
    tell(r, why);
}

void capture_run_cancel(struct capture_run *r)
{
    if (!r)
        return;
    r->done = NULL;
    end(r, NULL);
    /* The end of the proxy waits for nobody; who starts processes ends soon after it. */
    waitpid(r->pid, NULL, WNOHANG);
    close_all(r);
}

static void on_timer(uv_timer_t *timer)
{
    struct capture_run *r = timer->data;
    char why[64];
    snprintf(why, sizeof(why), "it did not end within %u s", r->timeout_s);
    end(r, why);
}

/* What there is now; false: it is too much. */
static bool read_output(struct capture_run *r)
{
    while (r->size <= CAPTURE_ANSWER_MAX) {
        ssize_t n = read(r->out, r->text + r->size, CAPTURE_ANSWER_MAX + 1 - r->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                uv_poll_stop(&r->output);
            return true;
        }
        r->size += (size_t)n;
    }
    return false;
}

static void on_output(uv_poll_t *poll, int status, int events)
{
    struct capture_run *r = poll->data;
    if (!read_output(r))
        end(r, "it printed more than 64 KiB");
}

/* What it has left running keeps its output open, perhaps: that is not waited for. */
static void on_exit_of(uv_poll_t *poll, int poll_status, int events)
{
    struct capture_run *r = poll->data;
    char why[96];
    bool fits = !r->done || read_output(r);
    int status = reap(r);
    if (!fits) {
        tell(r, "it printed more than 64 KiB");
    } else if (status == -1) {
        tell(r, "it was ended");
    } else if (WIFSIGNALED(status)) {
        snprintf(why, sizeof(why), "it was ended by signal %d", WTERMSIG(status));
        tell(r, why);
    } else if (WEXITSTATUS(status)) {
        snprintf(why, sizeof(why), "it ended with status %d", WEXITSTATUS(status));
        tell(r, why);
    } else {
        tell(r, NULL);
    }
    close_all(r);
}

/* --- the whole ------------------------------------------------------------------------------- */

int capture_run_new(struct proxy *proxy, const struct capture_start *start,
                    void (*done)(void *data, char *text, size_t size, const char *why), void *data,
                    struct capture_run **ret, struct nt_error *reterr)
{
    struct capture_run *r = calloc(1, sizeof(*r));
    if (!r)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a command");
    r->done = done;
    r->data = data;
    r->timeout_s = start->timeout_s;
    if (launch(r, start, reterr) < 0) {
        free(r);
        return -1;
    }
    r->exit.data = r->output.data = r->timer.data = r;
    uv_timer_init(&proxy->uv, &r->timer);
    r->handles = 1;
    int rc = uv_poll_init(&proxy->uv, &r->exit, r->pidfd);
    r->handles += rc == 0;
    if (rc == 0)
        rc = uv_poll_init(&proxy->uv, &r->output, r->out);
    r->handles += rc == 0;
    if (rc == 0)
        rc = uv_poll_start(&r->exit, UV_READABLE, on_exit_of);
    if (rc == 0)
        rc = uv_poll_start(&r->output, UV_READABLE, on_output);
    if (rc < 0) {
        kill(-r->pid, SIGKILL);
        kill(r->pid, SIGKILL);
        reap(r);
        uv_close((uv_handle_t *)&r->timer, on_handle_closed);
        if (r->handles > 1)
            uv_close((uv_handle_t *)&r->exit, on_handle_closed);
        if (r->handles > 2)
            uv_close((uv_handle_t *)&r->output, on_handle_closed);
        return nt_fail_sys(reterr, -rc, "cannot watch a command");
    }
    uv_update_time(&proxy->uv);
    uv_timer_start(&r->timer, on_timer, (uint64_t)start->timeout_s * 1000, 0);
    *ret = r;
    return 0;
}
