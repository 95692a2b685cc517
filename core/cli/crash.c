/* SPDX-License-Identifier: Apache-2.0 */
/* crash.c - says which plugin crashed, in one line, and lets the crash go on.
 *
 * The process still ends by its signal, so that a parent sees what happened; without a core dump,
 * for the memory of a command holds credentials. Not for -fsanitize builds to fear: the handler
 * that was there before runs afterwards. */
#include "crash.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/output/error_line.h"
#include "sdk/buf.h"
#include "sdk/error.h"

static const struct {
    int signo;
    const char *name;
} watched[] = { { SIGSEGV, "SIGSEGV" },
                { SIGBUS, "SIGBUS" },
                { SIGFPE, "SIGFPE" },
                { SIGILL, "SIGILL" },
                { SIGABRT, "SIGABRT" } };
#define WATCHED (sizeof(watched) / sizeof(watched[0]))

#define STACK_BYTES (64u * 1024)

static struct nt_buf lines[WATCHED]; /* one for each signal */
static struct sigaction before[WATCHED];
static void *stack;
static pid_t watching;

static void on_crash(int signo)
{
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a core_pattern with a pipe does not ask the limit */
    for (size_t i = 0; i < WATCHED; i++) {
        sigaction(watched[i].signo, &before[i], NULL);
        /* A child that the plugin forked is not this command. */
        if (watched[i].signo == signo && lines[i].data && getpid() == watching) {
            ssize_t ignored = write(2, lines[i].data, lines[i].size);
            (void)ignored;
        }
    }
    raise(signo);
}

static void make_line(struct nt_buf *b, const char *name, const char *plugin, const char *file,
                      bool is_json)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_PLUGIN_FAILED, "the plugin '%s' (%s) crashed: %s", plugin, file, name);
    error.request_sent = 1; /* not proven to be unsent */
    struct nt_error_row row = error_line_row(error.code, NULL);
    if (is_json)
        error_line_add_json(b, &error, &row);
    else
        error_line_add_text(b, &error, &row, "nanoterm", false);
}

void crash_watch(const char *plugin, const char *file, bool is_json)
{
    stack = malloc(STACK_BYTES);
    stack_t alternate = { .ss_sp = stack, .ss_size = STACK_BYTES };
    /* A stack of its own: the usual crash of deep recursion has none left. */
    bool has_stack = stack && sigaltstack(&alternate, NULL) == 0;
    watching = getpid();
    for (size_t i = 0; i < WATCHED; i++) {
        lines[i] = (struct nt_buf)NT_BUF(4096);
        make_line(&lines[i], watched[i].name, plugin, file, is_json);
        struct sigaction act = { .sa_handler = on_crash,
                                 .sa_flags = (has_stack ? SA_ONSTACK : 0) | SA_NODEFER };
        sigemptyset(&act.sa_mask);
        sigaction(watched[i].signo, &act, &before[i]);
    }
}

void crash_unwatch(void)
{
    if (!watching)
        return;
    for (size_t i = 0; i < WATCHED; i++) {
        sigaction(watched[i].signo, &before[i], NULL);
        nt_buf_done(&lines[i]);
    }
    stack_t none = { .ss_flags = SS_DISABLE };
    sigaltstack(&none, NULL);
    free(stack);
    stack = NULL;
    watching = 0;
}
