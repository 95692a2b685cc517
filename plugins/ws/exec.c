/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - `exec`: picks the way to the guest, and turns how the program ended into an exit
 * status. */
#include "ws.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "nanoterm/guest.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define NOT_FOUND_STATUS 127

const int exec_signals[EXEC_SIGNALS] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

/* What only a shell understands, in a command that was given to no shell. */
static bool is_shell_line(const struct exec_spec *spec)
{
    static const char *const words[] = { "|", "||", "&&", ";", ">", ">>", "<", "2>", "2>&1", "&" };
    for (uint32_t i = 0; i < spec->count; i++) {
        const char *word = spec->argv[i];
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
            if (strcmp(word, words[k]) == 0)
                return true;
        /* the program's own name tells more than its arguments */
        if (i == 0 && strpbrk(word, " \t\n|&;<>$`(){}*\"'"))
            return true;
        if (strstr(word, "$(") || strncmp(word, "2>", 2) == 0)
            return true;
    }
    return false;
}

#define SHELL_HINT                                                                                 \
    "a command is not read by a shell: give it to one with -- bash -lc '…', or open one with "   \
    "nanoterm shell %s"

int exec_not_started(const struct exec_spec *spec, int sys, const char *message,
                     struct nt_error *reterr)
{
    bool is_missing = sys == ENOENT || sys == ENOTDIR;
    nt_fail(reterr, is_missing ? WS_E_COMMAND_NOT_FOUND : WS_E_NOT_EXECUTABLE,
            "cannot run %s in %s: %s", spec->argv[0], spec->id, message);
    reterr->sys = sys;
    reterr->request_sent = 1;
    if (is_missing && is_shell_line(spec))
        nt_hint(reterr, SHELL_HINT, spec->id);
    return -1;
}

int exec_unreachable(const char *id, struct nt_error *reterr)
{
    nt_fail(reterr, WS_E_UNREACHABLE,
            "workspace %s is unreachable: it gave no sign of life for 30 s", id);
    reterr->request_sent = 1;
    return -1;
}

/* The program ran, and something in it was not found. */
static void hint_after(struct nt_call *call, const struct exec_spec *spec, uint32_t status)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(512);
    if (status != NOT_FOUND_STATUS || !is_shell_line(spec))
        return;
    nt_buf_addf(&text, SHELL_HINT, spec->id);
    if (nt_buf_ok(&text))
        call->host->message(call, NT_SAY_NOTE, nt_buf_text(&text));
}

int exec_ended(struct nt_call *call, const struct exec_spec *spec, uint32_t reason, uint32_t status,
               struct nt_error *reterr)
{
    switch (reason) {
    case NT_GR_TIMEOUT:
        return nt_fail(reterr, NT_E_TIMEOUT,
                       "the program did not end in time; it was killed with all it had started");
    case NT_GR_MEMORY:
        nt_fail(reterr, WS_E_OUT_OF_MEMORY,
                "the program was killed: the workspace ran out of memory");
        return nt_hint(reterr, "make a larger workspace: nanoterm ws create --size large");
    case NT_GR_LOST:
        return nt_fail(reterr, NT_E_RUNTIME,
                       "the program's supervisor was killed; its exit status is not known");
    default:
        hint_after(call, spec, status);
        call->host->set_status(call, status, NT_BY_PROGRAM);
        return 0;
    }
}

int exec_run(struct nt_call *call, const struct exec_spec *spec, struct nt_error *reterr)
{
    if (spec->keep || spec->detach || spec->log) /* what the API keeps a record of */
        return exec_remote(call, spec, NULL, reterr);
    if (exec_local(call, spec, reterr) == 0)
        return 0;
    return reterr->code == NT_E_NOT_LOCAL ? exec_remote(call, spec, NULL, reterr) : -1;
}

static int detach(struct nt_call *call, const struct exec_spec *spec, struct nt_error *reterr)
{
    struct exec_started started = { .pid = 0 };
    if (exec_remote(call, spec, &started, reterr) < 0)
        return -1;
    if (!started.job[0])
        return nt_fail(reterr, NT_E_UNSUPPORTED, "the server is too old for jobs");
    struct nt_value row[] = { { .type = NT_TEXT, .text = started.job },
                              { .type = NT_INT, .number = started.pid },
                              { .type = NT_TEXT, .text = spec->id },
                              { .type = NT_TEXT, .text = spec->log, .is_null = !spec->log } };
    if (call->flags & NT_CALL_JSON)
        return call->host->emit(call, row, 4, reterr);
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(128);
    nt_buf_add(&line, started.job);
    nt_buf_add_char(&line, '\n');
    return ws_write(call, nt_buf_text(&line), line.size, reterr);
}

int ws_exec(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    const char *on_disconnect = host->text(call, "on-disconnect");
    uint32_t count = host->count(call, "command");
    nt_autofree const char **argv = calloc((size_t)count + 1, sizeof(*argv));
    if (!argv)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the command");
    for (uint32_t i = 0; i < count; i++)
        argv[i] = host->text_at(call, "command", i);
    struct exec_spec spec = { .id = host->text(call, "workspace-id"),
                              .argv = argv,
                              .count = count,
                              .cwd = host->text(call, "cwd"),
                              .log = host->text(call, "log"),
                              .detach = host->number(call, "detach"),
                              .keep = on_disconnect && strcmp(on_disconnect, "keep") == 0 };
    if (spec.log && !spec.detach) {
        nt_fail(reterr, NT_E_USAGE, "--log needs --detach");
        return nt_hint(reterr, "without --detach, redirect the output here: > FILE");
    }
    bool in_terminal = host->number(call, "tty") || host->number(call, "foreground");
    if (in_terminal && (spec.detach || spec.keep))
        return nt_fail(reterr, NT_E_USAGE,
                       "a program in a terminal is detached by: nanoterm shell --detach");
    if (spec.detach)
        return detach(call, &spec, reterr);
    if (in_terminal)
        return exec_terminal(call, &spec, host->number(call, "foreground"), reterr);
    return exec_run(call, &spec, reterr);
}
