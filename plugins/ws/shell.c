/* SPDX-License-Identifier: Apache-2.0 */
/* shell.c - `shell` and `attach`, and what `exec --tty`, `exec --foreground` and `ws create --cmd`
 * start in a terminal. */
#include <stdlib.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "tty.h"
#include "ws.h"

/* One object, or a line for a person with the way to it. */
static int tell_started(struct nt_call *call, const struct tty_spec *spec,
                        const struct tty_started *started, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(512);
    nt_auto(nt_buf_done) struct nt_buf job = NT_BUF(256);
    nt_buf_add_printable(&job, started->job, false);
    if (call->flags & NT_CALL_JSON) {
        nt_auto_json json_t *row =
            json_pack("{s:s,s:s,s:I,s:s?}", "id", nt_buf_text(&job), "workspace", spec->id, "pid",
                      (json_int_t)started->pid, "log", spec->log);
        nt_autofree char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
        if (!text)
            return nt_fail(reterr, NT_E_MEMORY, "no memory for the answer");
        return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
    }
    nt_buf_addf(&line, "Started; look with: nanoterm attach %s", spec->id);
    if (!spec->is_agent)
        nt_buf_addf(&line, " --job %s", nt_buf_text(&job));
    call->host->message(call, NT_SAY_DONE, nt_buf_text(&line));
    return 0;
}

static int run(struct nt_call *call, const struct tty_spec *spec, struct nt_error *reterr)
{
    struct tty_started started = { .job = "" };
    if (tty_run(call, spec, &started, reterr) < 0)
        return -1;
    return spec->is_detach ? tell_started(call, spec, &started, reterr) : 0;
}

static const char **words_of(struct nt_call *call, uint32_t count)
{
    const char **argv = calloc((size_t)count + 1, sizeof(*argv));
    for (uint32_t i = 0; argv && i < count; i++)
        argv[i] = call->host->text_at(call, "command", i);
    return argv;
}

int ws_shell(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    uint32_t count = host->count(call, "command");
    bool detach = host->number(call, "detach");
    if (!detach && host->text(call, "log"))
        return nt_fail(reterr, NT_E_USAGE, "--log needs --detach");
    if (detach && !count)
        return nt_fail(reterr, NT_E_USAGE, "--detach needs a command, behind --");
    nt_autofree const char **argv = words_of(call, count);
    if (!argv)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the command");
    struct tty_spec spec = { .id = host->text(call, "workspace-id"),
                             .argv = argv,
                             .count = count,
                             .cwd = host->text(call, "cwd"),
                             .log = host->text(call, "log"),
                             .escape = host->text(call, "escape"),
                             .is_kept = detach,
                             .is_detach = detach };
    return run(call, &spec, reterr);
}

int ws_attach(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    struct tty_spec spec = { .id = host->text(call, "workspace-id"),
                             .escape = host->text(call, "escape"),
                             .job = host->text(call, "job"),
                             .is_attach = true,
                             .is_read_only = host->number(call, "read-only") };
    return run(call, &spec, reterr);
}

int exec_terminal(struct nt_call *call, const struct exec_spec *exec, bool is_agent,
                  struct nt_error *reterr)
{
    struct tty_spec spec = { .id = exec->id,
                             .argv = exec->argv,
                             .count = exec->count,
                             .cwd = exec->cwd,
                             .is_agent = is_agent,
                             .is_kept = is_agent,
                             .is_detach = is_agent && !(call->flags & NT_CALL_STDIN_TTY) };
    return run(call, &spec, reterr);
}

int shell_start_agent(struct nt_call *call, const char *id, const char *line,
                      struct nt_error *reterr)
{
    const char *argv[] = { "sh", "-lc", line };
    struct tty_spec spec = {
        .id = id, .argv = argv, .count = 3, .is_agent = true, .is_kept = true, .is_detach = true
    };
    return tty_run(call, &spec, NULL, reterr);
}
