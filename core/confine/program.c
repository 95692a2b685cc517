/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - runs an external command; see program.h.
 *
 * What the forked process has in memory goes with its execve; until then only our own code runs
 * there. The rules hold the file that was checked by its inode: another one put in its place is not
 * executed. */
#include "program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cli/parse.h"
#include "core/config/config.h"
#include "core/confine/rules.h"
#include "core/confine/wait.h"
#include "core/plugin/registry.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"

#define END_MS 5000 /* for the program to end after a signal or its deadline */

struct program {
    const struct confine_options *options;
    const struct nt_call *call;
    const char *weaker;
    sigset_t signals; /* as they were blocked before */
    int failure;      /* where the child tells why it was not started */
    pid_t parent;
};

/* "NAME WORDS-BEHIND-THE-NAME… WORDS…"; freed with the process. */
static char **make_words(const struct program *p)
{
    const struct parsed *parsed = p->options->parsed;
    const struct slot *slot = parsed->slot_count ? &parsed->slots[0] : NULL;
    const char *path = p->options->command->path, *rest = strchr(path, ' ');
    size_t count = 0, given = slot ? slot->count : 0;
    char **words = calloc(given + strlen(path) + 2, sizeof(*words));
    char *copy = rest ? strdup(rest + 1) : NULL;
    const char *slash = strrchr(p->options->plugin->file, '/');
    if (!words || (rest && !copy))
        return NULL;
    words[count++] = strdup(slash + 1);
    for (char *word = copy; word;) {
        words[count++] = word;
        word = strchr(word, ' ');
        if (word)
            *word++ = '\0';
    }
    for (size_t i = 0; i < given; i++)
        words[count++] = strdup(slot->texts[i]);
    return words;
}

static void set_flag(const struct nt_call *call, uint32_t flag, const char *name)
{
    if (call->flags & flag)
        setenv(name, "1", 1);
    else
        unsetenv(name);
}

static void set_environment(const struct program *p)
{
    const char *self = config_path(NT_PATH_SELF);
    rules_clean_environment(NULL, 0);
    setenv("NANOTERM_COMMAND", p->options->command->path, 1);
    setenv("NANOTERM_PROGRAM", self ? self : "", 1);
    set_flag(p->call, NT_CALL_JSON, "NANOTERM_JSON");
    set_flag(p->call, NT_CALL_QUIET, "NANOTERM_QUIET");
    set_flag(p->call, NT_CALL_COLOR, "NANOTERM_COLOR");
}

static int start_here(const struct program *p, struct nt_error *reterr)
{
    struct plugin *plugin = p->options->plugin;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != p->parent)
        return nt_fail(reterr, NT_E_CANCELLED, "nobody waits for it");
    if (registry_open(plugin, reterr) < 0)
        return -1;
    set_environment(p);
    char **words = make_words(p);
    if (!words)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    const struct rules rules = {
        .needs = &plugin->tables->needs,
        .file = plugin->opened,
        .is_program = true,
        .keep = { p->failure },
        .keep_count = 1,
        .weaker = p->weaker,
    };
    if (rules_enter(&rules, reterr) < 0)
        return -1;
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &p->signals, NULL);
    execv(plugin->file, words);
    return nt_fail_sys(reterr, errno, "cannot run %s", plugin->file);
}

static _Noreturn void start(const struct program *p)
{
    struct nt_error error = NT_ERROR_INIT;
    start_here(p, &error);
    ssize_t ignored = write(p->failure, &error, sizeof(error)); /* less than a pipe holds */
    (void)ignored;
    _exit(1);
}

/* Until it has ended; its status as of waitpid. A signal to us is one to it. */
static int wait_for_end(pid_t pid, int process, int64_t timeout_ms, int *ret_status,
                        struct nt_error *reterr)
{
    int64_t until = timeout_ms < 0 ? WAIT_NEVER : nt_now_ms() + timeout_ms;
    bool is_late = false, is_interrupted = false;
    for (;;) {
        int signo = 0;
        enum woken woken = wait_for(-1, 0, process, until, &signo);
        if (woken == WOKEN_ENDED || woken == WOKEN_BROKEN)
            break;
        if (woken == WOKEN_LATE && (is_late || is_interrupted)) {
            kill(pid, SIGKILL);
            break;
        }
        is_late = is_late || woken == WOKEN_LATE;
        is_interrupted = is_interrupted || woken == WOKEN_INTERRUPTED;
        kill(pid, woken == WOKEN_LATE ? SIGTERM : signo);
        until = nt_now_ms() + END_MS;
    }
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        continue;
    if (is_late)
        return nt_fail(reterr, NT_E_TIMEOUT, "the program did not end in time");
    return 0;
}

/* What was written before the pipe closed at execve; 0: it was started. */
static int read_failure(int from, struct nt_error *reterr)
{
    struct nt_error error;
    ssize_t n;
    do
        n = read(from, &error, sizeof(error));
    while (n < 0 && errno == EINTR);
    if (n != sizeof(error))
        return 0;
    *reterr = error;
    return -1;
}

/* Waits for the process; `from` tells when it could not become the program. */
static int watch(pid_t pid, int from, struct nt_call *call, int64_t timeout_ms,
                 struct nt_error *reterr)
{
    nt_autoclose int process = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    int status = 0;
    struct nt_error late = NT_ERROR_INIT;
    bool was_not_started = read_failure(from, reterr) < 0;
    bool was_late = wait_for_end(pid, process, timeout_ms, &status, &late) < 0;
    if (was_not_started)
        return -1;
    if (was_late) {
        *reterr = late;
        return -1;
    }
    uint32_t code = (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    call->host->set_status(call, code, NT_BY_PROGRAM);
    return 0;
}

int program_run(const struct confine_options *options, struct nt_call *call, const char *weaker,
                int64_t timeout_ms, struct nt_error *reterr)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    nt_autoclose int from = pair[0];
    nt_autoclose int to = pair[1];
    struct program program = {
        .options = options, .call = call, .weaker = weaker, .failure = to, .parent = getpid()
    };
    /* None may end us and leave the program without somebody who waits. */
    wait_hold_signals(&program.signals);
    pid_t pid = fork();
    if (pid == 0)
        start(&program);
    int result = pid < 0 ? nt_fail_sys(reterr, errno, "cannot start a process for '%s'",
                                       options->plugin->name)
                         : 0;
    nt_closep(&to);
    to = -1;
    if (pid > 0)
        result = watch(pid, from, call, timeout_ms, reterr);
    sigprocmask(SIG_SETMASK, &program.signals, NULL);
    return result;
}
