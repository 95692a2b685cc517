/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.c - what the scripts before and after a program are told, and what becomes of what they
 * say. */
#include "hooks.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hook.h"
#include "plugins/sandbox-enforce/policy/outside.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

extern char **environ;

static const char *const told[] = { "NONO_SESSION_ID", "NONO_WORKDIR", "NONO_HOOK_TYPE",
                                    "NONO_ENV_FILE", "NONO_EXIT_CODE" };
#define TOLD (sizeof(told) / sizeof(told[0]))
#define PATH_IS "PATH="

void hooks_warn(const struct hooks *hooks, const char *format, ...)
{
    char text[2048];
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(16 * 1024);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    nt_buf_add_printable(&line, text, false);
    if (!hooks->is_silent)
        hooks->call->host->message(hooks->call, NT_SAY_WARN, nt_buf_text(&line));
}

/* --- the whole ----------------------------------------------------------------------------- */

static void hooks_freep(struct hooks **hooks)
{
    hooks_free(*hooks);
}

void hooks_free(struct hooks *hooks)
{
    if (!hooks)
        return;
    for (size_t i = 0; i < POLICY_HOOKS; i++)
        if (hooks->scripts[i] >= 0)
            close(hooks->scripts[i]);
    for (size_t i = 0; i < hooks->line_count; i++) {
        explicit_bzero(hooks->lines[i], strlen(hooks->lines[i]));
        free(hooks->lines[i]);
    }
    free(hooks->lines);
    free(hooks->path);
    free(hooks);
}

/* What they start by name is looked for where the program can put nothing. */
static int make_path(struct hooks *hooks, struct nt_error *reterr)
{
    nt_autofree char *path = NULL;
    if (outside_path(hooks->policy, NULL, &path, reterr) < 0)
        return -1;
    if (asprintf(&hooks->path, PATH_IS "%s", path) < 0) {
        hooks->path = NULL;
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    return 0;
}

int hooks_open(const struct policy *policy, struct nt_call *call, bool is_silent,
               const char *session, struct hooks **ret, struct nt_error *reterr)
{
    if (!policy_has_hooks(policy))
        return 0;
    nt_auto(hooks_freep) struct hooks *hooks = calloc(1, sizeof(*hooks));
    if (!hooks)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *hooks = (struct hooks){
        .policy = policy, .call = call, .is_silent = is_silent, .scripts = { -1, -1 }
    };
    nt_copy_text(hooks->session, sizeof(hooks->session), session);
    if (make_path(hooks, reterr) < 0)
        return -1;
    for (size_t i = 0; i < POLICY_HOOKS; i++) {
        const struct outside what = { .policy = policy,
                                      .key = i == POLICY_HOOK_BEFORE ? "session_hooks.before"
                                                                     : "session_hooks.after",
                                      .path = policy->hooks[i].script,
                                      .file = policy->hooks[i].file,
                                      .search = hooks->path + sizeof(PATH_IS) - 1 };
        if (what.path && outside_open(&what, &hooks->scripts[i], reterr) < 0)
            return -1;
    }
    *ret = nt_take(hooks);
    return 0;
}

/* --- one script ---------------------------------------------------------------------------- */

static bool is_ours(const char *entry)
{
    for (size_t i = 0; i < TOLD; i++) {
        size_t size = strlen(told[i]);
        if (strncmp(entry, told[i], size) == 0 && entry[size] == '=')
            return true;
    }
    return false;
}

/* Runs it with VALUES, in the order of `told`; NULL: not told. */
static enum hook_outcome run(const struct hooks *hooks, size_t when, const char *const values[TOLD],
                             struct nt_call *deadline, const struct hook_signals *signals,
                             int *ret_status)
{
    const struct policy_hook *hook = &hooks->policy->hooks[when];
    size_t count = 0, own = 0, kept = 0;
    char *made[TOLD];
    while (environ[count])
        count++;
    nt_autofree char **all = calloc(count + TOLD + 2, sizeof(*all));
    bool is_full = !all;
    for (size_t i = 0; all && i < count; i++)
        if (outside_keeps(environ[i]) && !is_ours(environ[i]))
            all[kept++] = environ[i];
    if (all)
        all[kept++] = hooks->path;
    for (size_t i = 0; i < TOLD && !is_full; i++)
        if (values[i] && asprintf(&made[own], "%s=%s", told[i], values[i]) < 0)
            is_full = true;
        else if (values[i])
            all[kept++] = made[own++];
    enum hook_outcome outcome = HOOK_NOT_STARTED;
    *ret_status = ENOMEM;
    const struct hook_start start = {
        .script = hooks->scripts[when],
        .folder = hooks->policy->workdir_fd,
        .path = hook->script,
        .environment = all,
        .timeout_ms = hook->timeout_s ? (int64_t)hook->timeout_s * 1000 : -1,
        .call = deadline,
        .signals = signals,
    };
    if (!is_full)
        outcome = hook_run(&start, ret_status);
    for (size_t i = 0; i < own; i++)
        free(made[i]);
    return outcome;
}

/* That it did not end well, and what follows from that. */
static void warn_end(const struct hooks *hooks, size_t when, enum hook_outcome outcome, int status,
                     const char *so)
{
    const struct policy_hook *hook = &hooks->policy->hooks[when];
    const char *name = policy_hook_name(when);
    if (outcome == HOOK_NOT_STARTED)
        hooks_warn(hooks, "session_hooks.%s: %.1000s cannot be started: %s%s", name, hook->script,
                   strerror(status), so);
    else if (outcome == HOOK_LATE)
        hooks_warn(hooks, "session_hooks.%s: %.1000s was ended after %u s%s", name, hook->script,
                   hook->timeout_s, so);
    else if (outcome != HOOK_ENDED)
        hooks_warn(hooks, "session_hooks.%s: %.1000s was interrupted%s", name, hook->script, so);
    else if (status)
        hooks_warn(hooks, "session_hooks.%s: %.1000s ended with status %d%s", name, hook->script,
                   status, so);
}

/* --- before -------------------------------------------------------------------------------- */

/* NAME=value, of a name that a shell takes. */
static bool is_assignment(const char *line)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return line[0] && strchr(first, line[0]) && line[strspn(line, rest)] == '=';
}

/* TEXT ends with a line's end, or there is room for a NUL behind it. */
static int take_lines(struct hooks *hooks, char *text, size_t size, struct nt_error *reterr)
{
    unsigned number = 0;
    text[size] = '\0';
    hooks->lines = calloc(HOOKS_LINES_MAX, sizeof(*hooks->lines));
    if (!hooks->lines)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (char *line = text, *end; line < text + size; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + size - line));
        end = end ? end : text + size;
        *end = '\0';
        number++;
        if (line == end || *line == '#')
            continue;
        if (strlen(line) != (size_t)(end - line) || !is_assignment(line)) {
            hooks_warn(hooks, "session_hooks.before: line %u of NONO_ENV_FILE is not NAME=value",
                       number);
            continue;
        }
        if (hooks->line_count == HOOKS_LINES_MAX) {
            hooks_warn(hooks, "session_hooks.before: only the first %u variables count",
                       HOOKS_LINES_MAX);
            break;
        }
        hooks->lines[hooks->line_count] = strdup(line);
        if (!hooks->lines[hooks->line_count])
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        hooks->line_count++;
    }
    return 0;
}

static int take_file(struct hooks *hooks, const struct hook_file *file, struct nt_error *reterr)
{
    size_t size = 0;
    const char *why;
    char *text = hook_file_read(file, &size, &why);
    if (why)
        hooks_warn(hooks, "session_hooks.before: nothing of NONO_ENV_FILE is used: %s", why);
    int result = text ? take_lines(hooks, text, size, reterr) : 0;
    if (text)
        explicit_bzero(text, size);
    free(text);
    return result;
}

static int run_before(struct hooks *hooks, const struct hook_file *file,
                      const struct hook_signals *signals, struct nt_error *reterr)
{
    const char *const values[TOLD] = { hooks->session, hooks->policy->workdir, "before", file->path,
                                       NULL };
    int status;
    enum hook_outcome outcome =
        run(hooks, POLICY_HOOK_BEFORE, values, hooks->call, signals, &status);
    if (outcome == HOOK_INTERRUPTED)
        return nt_fail(reterr, NT_E_CANCELLED,
                       "interrupted in session_hooks.before: nothing was started");
    if (outcome == HOOK_CALL_LATE)
        return nt_fail(reterr, NT_E_TIMEOUT,
                       "session_hooks.before did not end in time: nothing was started");
    if (outcome == HOOK_ENDED && status == 0)
        return take_file(hooks, file, reterr);
    warn_end(hooks, POLICY_HOOK_BEFORE, outcome, status,
             "; the program starts all the same, without its variables");
    return 0;
}

int hooks_before(struct hooks *hooks, struct nt_error *reterr)
{
    struct hook_signals signals;
    struct hook_file file;
    if (hooks->scripts[POLICY_HOOK_BEFORE] < 0)
        return 0;
    /* First: what ends us from here on removes the file. */
    if (hook_signals_block(&signals, reterr) < 0)
        return -1;
    int result = hook_file_make(hooks->policy->own_state, &file, reterr);
    if (result == 0) {
        result = run_before(hooks, &file, &signals, reterr);
        hook_file_remove(&file);
    }
    hook_signals_unblock(&signals);
    return result;
}

/* --- after --------------------------------------------------------------------------------- */

void hooks_after(struct hooks *hooks, int status)
{
    struct hook_signals signals;
    struct nt_error error = NT_ERROR_INIT;
    char code[16];
    int ended;
    if (hooks->scripts[POLICY_HOOK_AFTER] < 0)
        return;
    if (hook_signals_block(&signals, &error) < 0) {
        hooks_warn(hooks, "session_hooks.after: %s", error.message);
        return;
    }
    snprintf(code, sizeof(code), "%d", status);
    const char *const values[TOLD] = { hooks->session, hooks->policy->workdir, "after", NULL,
                                       code };
    /* Not by the deadline of the command: what it shall tidy up may be there because that is over.
     */
    enum hook_outcome outcome = run(hooks, POLICY_HOOK_AFTER, values, NULL, &signals, &ended);
    hook_signals_unblock(&signals);
    warn_end(hooks, POLICY_HOOK_AFTER, outcome, ended, "");
}
