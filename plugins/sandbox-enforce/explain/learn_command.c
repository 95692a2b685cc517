/* SPDX-License-Identifier: Apache-2.0 */
/* learn_command.c - `learn`: runs a program under strace, unconfined, and prints the profile that
 * would let it do the same again. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/explain/learn.h"
#include "plugins/sandbox-enforce/options.h"
#include "plugins/sandbox-enforce/supervise/search.h"
#include "plugins/sandbox-enforce/supervise/tree.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/json.h"
#include "sdk/program.h"

#define LINES_MAX (4u * TRACE_LINE_MAX)

struct run {
    struct trace *trace;
    int pipe_in, pidfd, signals;
    int64_t end_ms; /* of the monotonic clock; -1: none */
    char *text;     /* LINES_MAX: what was read and is no whole line yet */
    size_t size;
    bool is_skipping; /* the rest of a line that is too long */
    bool is_ended;    /* by the limit or by a signal */
};

/* --- lines --------------------------------------------------------------------------------- */

static void take_lines(struct run *r)
{
    char *begin = r->text, *end;
    size_t left = r->size;
    while ((end = memchr(begin, '\n', left))) {
        size_t length = (size_t)(end - begin);
        if (!r->is_skipping)
            trace_line(r->trace, begin, length);
        r->is_skipping = false;
        left -= length + 1;
        begin = end + 1;
    }
    if (left == LINES_MAX) {
        r->is_skipping = true;
        left = 0;
    }
    memmove(r->text, begin, left);
    r->size = left;
}

/* false: there is no more for now. */
static bool read_some(struct run *r)
{
    ssize_t got = read(r->pipe_in, r->text + r->size, LINES_MAX - r->size);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    r->size += (size_t)got;
    take_lines(r);
    return true;
}

/* --- the program --------------------------------------------------------------------------- */

/* Not in PATH, which may lead anywhere: it sees all that the program does. */
static int find_strace(char ret[PATH_MAX], struct nt_error *reterr)
{
    const char *folders = NT_PROGRAM_USUAL_PATH;
    if (nt_program_next(&folders, "strace", ret) == 0)
        return 0;
    nt_fail(reterr, ENFORCE_E_TRACE, "strace is not installed");
    return nt_hint(reterr, "install it: apt install strace");
}

/* In the child: system calls only. */
static _Noreturn void become_strace(const char *strace, char *const *argv, int output, bool is_json)
{
    sigset_t none;
    sigemptyset(&none);
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* stdout is for the one JSON value then. */
    if (fcntl(output, F_SETFD, 0) == 0 && (!is_json || dup2(2, 1) == 1))
        execv(strace, argv);
    _exit(127);
}

/* `strace OPTIONS -o /proc/self/fd/N -- PROGRAM…`; the program inherits N as well, which gives it
 * nothing but a way to spoil its own profile. */
static int start(const struct policy_texts *program, int output, bool is_json, pid_t *ret,
                 struct nt_error *reterr)
{
    char strace[PATH_MAX], file[64];
    if (find_strace(strace, reterr) < 0)
        return -1;
    snprintf(file, sizeof(file), "/proc/self/fd/%d", output);
    const char *const head[] = {
        strace, "-f", "-q", "-y", "-xx", "-s", "1024", "-e", "trace=" TRACE_CALLS, "-o", file, "--"
    };
    size_t count = sizeof(head) / sizeof(head[0]);
    nt_autofree char **argv = calloc(count + program->count + 1, sizeof(*argv));
    if (!argv)
        return nt_fail(reterr, NT_E_MEMORY, "no memory");
    for (size_t i = 0; i < count; i++)
        argv[i] = (char *)head[i];
    for (size_t i = 0; i < program->count; i++)
        argv[count + i] = (char *)program->at[i];
    *ret = fork();
    if (*ret == 0)
        become_strace(strace, argv, output, is_json);
    return *ret < 0 ? nt_fail_sys(reterr, errno, "cannot start strace") : 0;
}

/* A terminal has told the program by itself; what was sent to this process alone is passed on by
 * ending all. */
static void on_signal(struct run *r)
{
    struct signalfd_siginfo info;
    if (read(r->signals, &info, sizeof(info)) == (ssize_t)sizeof(info) && info.ssi_signo != SIGINT
        && info.ssi_signo != SIGQUIT)
        r->is_ended = true;
}

static void follow(struct run *r)
{
    for (bool is_over = false; !is_over && !r->is_ended;) {
        struct pollfd ready[] = { { .fd = r->pipe_in, .events = POLLIN },
                                  { .fd = r->pidfd, .events = POLLIN },
                                  { .fd = r->signals, .events = POLLIN } };
        int64_t left = r->end_ms < 0 ? -1 : r->end_ms - nt_now_ms();
        if (r->end_ms >= 0 && left <= 0) {
            r->is_ended = true;
            break;
        }
        if (poll(ready, 3, left > INT_MAX ? INT_MAX : (int)left) < 0 && errno != EINTR)
            break;
        if (ready[0].revents)
            read_some(r);
        if (ready[2].revents)
            on_signal(r);
        is_over = ready[1].revents != 0;
    }
}

static int trace_program(struct nt_call *call, const struct options *options, struct learn *learn,
                         int *ret_status, bool *ret_ended, struct nt_error *reterr)
{
    int ends[2];
    pid_t pid = -1;
    sigset_t caught, before;
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof(cwd)) || pipe2(ends, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot begin the trace");
    nt_autoclose int in = ends[0], out = ends[1];
    nt_autofree char *text = malloc(LINES_MAX);
    struct run r = { .pipe_in = in, .text = text, .end_ms = -1 };
    int64_t seconds = call->host->number(call, "timeout");
    r.end_ms = seconds > 0 ? nt_now_ms() + seconds * 1000 : -1;
    r.trace = text ? trace_new(cwd, learn_event, learn) : NULL;
    if (!r.trace)
        return nt_fail(reterr, NT_E_MEMORY, "no memory");
    sigemptyset(&caught);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGQUIT);
    sigaddset(&caught, SIGTERM);
    sigaddset(&caught, SIGHUP);
    sigprocmask(SIG_BLOCK, &caught, &before);
    nt_autoclose int signals = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int status = start(&options->program, out, call->flags & NT_CALL_JSON, &pid, reterr);
    close(nt_take_fd(out));
    if (status == 0) {
        nt_autoclose int pidfd = pidfd_open(pid, 0);
        fcntl(in, F_SETFL, O_NONBLOCK);
        r.pidfd = pidfd;
        r.signals = signals;
        follow(&r);
        *ret_ended = r.is_ended;
        if (r.is_ended)
            tree_kill();
        while (read_some(&r))
            ;
        int wait_status = 0;
        if (!r.is_ended && waitpid(pid, &wait_status, 0) == pid)
            *ret_status =
                WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    trace_free(r.trace);
    return status;
}

/* --- the command --------------------------------------------------------------------------- */

static void add_text(const json_t *result, struct nt_buf *ret)
{
    static const char *const lists[][2] = {
        { "allow", "allow" },           { "read", "read" },           { "write", "write" },
        { "allow_file", "allow-file" }, { "read_file", "read-file" }, { "write_file", "write-file" }
    };
    size_t i;
    json_t *row;
    for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++)
        json_array_foreach(json_object_get(json_object_get(result, "filesystem"), lists[list][0]),
                           i, row)
        {
            nt_buf_addf(ret, "--%s ", lists[list][1]);
            nt_buf_add_printable(ret, json_string_value(row), false);
            nt_buf_add_char(ret, '\n');
        }
    json_array_foreach(json_object_get(json_object_get(result, "network"), "outbound"), i, row)
    {
        const char *host = nt_json_text(row, "hostname");
        nt_buf_addf(ret, "connects to %s port %lld\n", host ? host : nt_json_text(row, "addr"),
                    (long long)json_integer_value(json_object_get(row, "port")));
    }
    json_array_foreach(json_object_get(json_object_get(result, "network"), "listening"), i, row)
        nt_buf_addf(ret, "--listen-port %lld\n",
                    (long long)json_integer_value(json_object_get(row, "port")));
}

static int print(struct nt_call *call, const json_t *result, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(64u << 20);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(result, "skipped"), i, row)
    {
        nt_buf_reset(&line);
        const char *path = nt_json_text(row, "path");
        nt_buf_add(&line, *path ? "not granted: " : "not known: ");
        nt_buf_add_printable(&line, path, false);
        nt_buf_addf(&line, "%s%s", *path ? ": " : "", nt_json_text(row, "reason"));
        call->host->message(call, NT_SAY_WARN, nt_buf_text(&line));
    }
    if (call->flags & NT_CALL_JSON) {
        nt_autofree char *text = json_dumps(result, JSON_COMPACT);
        if (!text)
            return nt_fail(reterr, NT_E_MEMORY, "no memory");
        return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
    }
    nt_buf_reset(&line);
    add_text(result, &line);
    if (!line.size)
        call->host->message(call, NT_SAY_DONE, "Nothing more is needed than what was granted.");
    if (!nt_buf_ok(&line))
        return nt_fail(reterr, NT_E_MEMORY, "no memory");
    if (nt_write_all(call->host->descriptor(call, 1), nt_buf_text(&line), line.size) < 0)
        return nt_fail_sys(reterr, errno, "cannot write the result");
    return 0;
}

/* 1: go on, 0: no, -1: error. Who cannot be asked has been warned. */
static int agree(struct nt_call *call, const struct options *options, struct nt_error *reterr)
{
    const char *answer;
    if (options->is_silent)
        return 1;
    call->host->message(call, NT_SAY_WARN, "learn runs the program without a sandbox.");
    if (!(call->flags & NT_CALL_STDIN_TTY) || !(call->flags & NT_CALL_STDERR_TTY))
        return 1;
    if (call->host->prompt(call, "Run it? [y/N]", "--silent", 0, &answer, reterr) < 0)
        return -1;
    return answer[0] == 'y' || answer[0] == 'Y';
}

/* A profile's name: letters, digits and dashes of the program's. */
static void name_of(const char *program, char *ret, size_t size)
{
    const char *slash = strrchr(program, '/');
    size_t count = 0;
    for (const char *c = slash ? slash + 1 : program; *c && count < size - 1; c++) {
        bool is_good = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')
                       || (*c >= '0' && *c <= '9') || (*c == '-' && count > 0);
        if (is_good)
            ret[count++] = *c;
    }
    while (count > 0 && ret[count - 1] == '-')
        count--;
    ret[count] = '\0';
    if (count == 0)
        snprintf(ret, size, "learnt");
}

static int learn_with(struct nt_call *call, const struct options *options, struct nt_error *reterr)
{
    struct policy *policy = NULL;
    json_t *result = NULL;
    char found[PATH_MAX];
    if (search_program(options->program.at[0], getenv("PATH"), found, reterr) < 0)
        return -1;
    int program_status = 0, status = agree(call, options, reterr);
    bool is_ended = false;
    if (status <= 0)
        return status;
    struct learn *learn = learn_new();
    if (!learn)
        return nt_fail(reterr, NT_E_MEMORY, "no memory");
    char name[64];
    name_of(options->program.at[0], name, sizeof(name));
    status = policy_make(&options->request, &policy, reterr);
    if (status == 0)
        status = trace_program(call, options, learn, &program_status, &is_ended, reterr);
    if (status == 0)
        status = learn_result(learn, policy, name, call->host->number(call, "all") != 0, &result,
                              reterr);
    if (status == 0 && is_ended)
        call->host->message(call, NT_SAY_WARN, "The trace was ended; the program was, too.");
    if (status == 0 && program_status != 0) {
        char line[96];
        snprintf(line, sizeof(line), "The program ended with status %d: what it did until then.",
                 program_status);
        call->host->message(call, NT_SAY_WARN, line);
    }
    if (status == 0)
        status = print(call, result, reterr);
    json_decref(result);
    policy_free(policy);
    learn_free(learn);
    return status;
}

int learn_run(struct nt_call *call, struct nt_error *reterr)
{
    struct options options;
    if (options_read(call, &options, reterr) < 0)
        return -1;
    int status = learn_with(call, &options, reterr);
    options_done(&options);
    return status;
}
