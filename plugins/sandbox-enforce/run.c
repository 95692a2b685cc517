/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - run, shell and wrap: from options to a policy, from a policy to a program. */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/explain/footer.h"
#include "plugins/sandbox-enforce/options.h"
#include "plugins/sandbox-enforce/summary.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* One invocation. */
struct start {
    struct nt_call *call;
    struct options options;
    struct policy *policy;
    struct supervise *supervise;
    struct denials *denials;
    char **argv;
    bool is_wrap, is_shell;
};

static void start_done(struct start *start)
{
    supervise_free(start->supervise);
    denials_free(start->denials);
    policy_free(start->policy);
    options_done(&start->options);
    free(start->argv);
}

static bool has_flag(const struct start *start, uint32_t flag)
{
    return start->call->flags & flag;
}

static void say(const struct start *start, uint32_t level, const char *text)
{
    if (!start->options.is_silent)
        start->call->host->message(start->call, level, text);
}

static bool explains(const struct start *start)
{
    return !start->is_wrap && !start->options.is_silent && !start->options.no_diagnostics;
}

/* --- the program --------------------------------------------------------------------------- */

static const char *shell_of(const struct start *start)
{
    const char *shell = start->options.shell ? start->options.shell : getenv("SHELL");
    return shell && *shell ? shell : "/bin/sh";
}

static int make_argv(struct start *start, struct nt_error *reterr)
{
    const struct policy_texts *words = &start->options.program;
    const struct policy_texts none = { 0 };
    const struct policy_texts *more = start->is_shell ? &none : &start->policy->command_args;
    const char *first = start->is_shell     ? shell_of(start)
                        : words->count == 0 ? start->policy->binary
                                            : words->at[0];
    size_t given = words->count > 1 && !start->is_shell ? words->count - 1 : 0, count = 0;
    if (!first) {
        nt_fail(reterr, NT_E_USAGE, "<command> is missing; put it behind '--'");
        return nt_hint(reterr, "or name a profile that has a binary");
    }
    start->argv = calloc(1 + given + more->count + 1, sizeof(*start->argv));
    if (!start->argv)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (size_t i = 0; i < 1 + given + more->count; i++) {
        const char *word = i == 0 ? first : i <= given ? words->at[i] : more->at[i - given - 1];
        memcpy(&start->argv[count++], &word, sizeof(word)); /* execve takes them without const */
    }
    return 0;
}

/* --- the working folder ---------------------------------------------------------------------- */

/* A folder that the policy would share: --allow-cwd has shared it already. */
static int share_workdir(struct start *start, struct nt_error *reterr)
{
    struct policy *policy = start->policy;
    const char *answer = NULL;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(16 * 1024);
    if (policy->is_workdir_covered || !policy->workdir_access)
        return 0;
    if (start->options.is_silent)
        return nt_fail(
            reterr, NT_E_USAGE,
            "the folder it starts in is not shared: give --allow-cwd, --silent asks not");
    const char *how = policy->workdir_access == POLICY_BOTH    ? "to read and write"
                      : policy->workdir_access == POLICY_WRITE ? "to write"
                                                               : "to read";
    if (!has_flag(start, NT_CALL_STDIN_TTY) || !has_flag(start, NT_CALL_STDERR_TTY)
        || start->options.is_dry_run || has_flag(start, NT_CALL_JSON)) {
        nt_buf_add(&line, "the folder ");
        nt_buf_add_printable(&line, policy->workdir, false);
        nt_buf_add(&line, " is not shared (--allow-cwd shares it); the program starts in /");
        say(start, NT_SAY_NOTE, nt_buf_text(&line));
        return 0;
    }
    nt_buf_add(&line, "Share the folder ");
    nt_buf_add_printable(&line, policy->workdir, false);
    nt_buf_addf(&line, " with the program, %s? [y/N] ", how);
    if (start->call->host->prompt(start->call, nt_buf_text(&line), "--allow-cwd", 0, &answer,
                                  reterr)
        < 0)
        return -1;
    return options_bool(answer) == 1 ? policy_share_workdir(policy, reterr) : 0;
}

/* wrap becomes the program: what needs somebody outside is refused by its name, also when nothing
 * would come of it. */
static int check_wrap(const struct policy_request *q, struct nt_error *reterr)
{
    const struct {
        const char *flag;
        bool is_given;
    } refused[] = {
        { "network-profile", q->network_profile },
        { "allow-domain", q->domains.count },
        { "deny-domain", q->deny_domains.count },
        { "credential", q->credentials.count },
        { "upstream-proxy", q->upstream_proxy },
        { "upstream-bypass", q->upstream_bypass.count },
        { "proxy-port", q->proxy_port },
        { "allow-connect-port", q->connect_port_count },
        { "allow-unix-socket", q->unix_socket.count },
        { "allow-unix-socket-bind", q->unix_socket_bind.count },
        { "allow-unix-socket-dir", q->unix_socket_dir.count },
        { "allow-unix-socket-dir-bind", q->unix_socket_dir_bind.count },
        { "allow-unix-socket-subtree", q->unix_socket_subtree.count },
        { "allow-unix-socket-subtree-bind", q->unix_socket_subtree_bind.count },
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (refused[i].is_given)
            return nt_fail(reterr, NT_E_USAGE,
                           "wrap does not know --%s, as no process stays outside: use run",
                           refused[i].flag);
    return 0;
}

/* --- the steps ----------------------------------------------------------------------------- */

static int make_policy(struct start *start, struct nt_error *reterr)
{
    if (options_read(start->call, &start->options, reterr) < 0)
        return -1;
    start->options.request.is_wrap = start->is_wrap;
    if (start->is_wrap && check_wrap(&start->options.request, reterr) < 0)
        return -1;
    if (policy_make(&start->options.request, &start->policy, reterr) < 0)
        return -1;
    for (size_t i = 0; i < start->policy->warnings.count; i++)
        say(start, NT_SAY_WARN, start->policy->warnings.at[i]);
    if (start->policy->capability_elevation)
        say(start, NT_SAY_WARN,
            "security.capability_elevation has no effect: nobody is asked while the program "
            "runs, it gets what is granted now");
    return make_argv(start, reterr) < 0 ? -1 : share_workdir(start, reterr);
}

static int show_trial(struct start *start, struct nt_error *reterr)
{
    size_t count;
    const struct supervise_row *rows = supervise_rows(start->supervise, &count);
    if (has_flag(start, NT_CALL_JSON))
        return summary_emit(start->call, start->policy, rows, count, start->argv, reterr);
    if (!start->options.is_silent)
        summary_print_trial(start->call, start->policy, &start->options, rows, count, start->argv);
    return 0;
}

static int run_program(struct start *start, struct nt_error *reterr)
{
    int status = 0;
    size_t count;
    start->denials = denials_new();
    if (!start->denials)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (supervise_run(start->supervise, start->denials, &status, reterr) < 0)
        return -1;
    start->call->host->set_status(start->call, (uint32_t)status, NT_BY_PROGRAM);
    bool is_told = !has_flag(start, NT_CALL_JSON | NT_CALL_QUIET) && !start->options.is_silent;
    if (is_told && start->options.verbosity > 2) {
        const struct supervise_row *each = supervise_rows(start->supervise, &count);
        summary_print_rows(start->call, &start->options, each, count);
    }
    if (!has_flag(start, NT_CALL_JSON)) {
        /* A shell ends with the status of whatever was typed last. */
        bool is_plain = start->is_shell && !denials_at(start->denials, 0);
        if (explains(start) && !is_plain && supervise_has_run(start->supervise))
            footer_print(start->call, start->policy, start->denials, start->options.is_diagnosed,
                         status);
        return 0;
    }
    const struct supervise_row *rows = supervise_rows(start->supervise, &count);
    return summary_end((uint32_t)status, rows, count, start->denials, reterr);
}

static int begin(struct nt_call *call, bool is_wrap, bool is_shell, struct nt_error *reterr)
{
    nt_auto(
        start_done) struct start start = { .call = call, .is_wrap = is_wrap, .is_shell = is_shell };
    if (make_policy(&start, reterr) < 0)
        return -1;
    const struct supervise_options options = { .call = call,
                                               .policy = start.policy,
                                               .argv = start.argv,
                                               .weaker = start.options.weaker.at,
                                               .weaker_count = start.options.weaker.count,
                                               .is_wrap = is_wrap,
                                               .is_shell = is_shell,
                                               .is_diagnosed = start.options.is_diagnosed,
                                               .is_explained = explains(&start),
                                               .is_silent = start.options.is_silent,
                                               .is_trial = start.options.is_dry_run };
    if (supervise_plan(&options, &start.supervise, reterr) < 0)
        return -1;
    if (start.options.is_dry_run)
        return show_trial(&start, reterr);
    if (!start.options.is_silent && !has_flag(&start, NT_CALL_JSON | NT_CALL_QUIET))
        summary_print(call, start.policy, &start.options);
    return is_wrap ? supervise_wrap(start.supervise, reterr) : run_program(&start, reterr);
}

int enforce_run(struct nt_call *call, struct nt_error *reterr)
{
    return begin(call, false, false, reterr);
}

int enforce_shell(struct nt_call *call, struct nt_error *reterr)
{
    return begin(call, false, true, reterr);
}

int enforce_wrap(struct nt_call *call, struct nt_error *reterr)
{
    return begin(call, true, false, reterr);
}
