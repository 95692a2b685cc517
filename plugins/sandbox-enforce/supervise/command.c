/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - which file is started, and whether its name is on the list of those that are not.
 * The list is a help against slips, no fence: a program that was started may start any other. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inner.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/script.h"
#include "plugins/sandbox-enforce/supervise/search.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static int check_name(const struct policy *policy, const char *name, struct nt_error *reterr)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    for (size_t i = 0; i < policy->blocked_commands.count; i++)
        if (strcmp(policy->blocked_commands.at[i], base) == 0) {
            nt_fail(reterr, ENFORCE_E_REFUSED,
                    "'%.100s' is on the list of commands that are not started", base);
            return nt_hint(reterr, "--allow-command %.100s starts it all the same", base);
        }
    return 0;
}

int command_find(struct supervise *s, struct nt_error *reterr)
{
    const char *name = s->options.argv[0];
    if (s->options.executable)
        return search_program(s->options.executable, NULL, s->program, reterr);
    if (!s->options.is_shell && check_name(s->options.policy, name, reterr) < 0)
        return -1;
    return search_program(name, environment_get(s, "PATH"), s->program, reterr);
}

/* The first that is not there of what runs PROGRAM; false: all is. */
static bool find_missing(const char *program, char ret[SCRIPT_PATH_MAX])
{
    nt_autoclose int file = open(program, O_PATH | O_CLOEXEC);
    for (int i = 0; i < SCRIPT_DEPTH && file >= 0 && script_runner(file, ret); i++) {
        int next = open(ret, O_PATH | O_CLOEXEC);
        close(file);
        file = next;
        if (file < 0)
            return true;
    }
    return false;
}

/* EACCES: by which file? The policy knows, unless it comes from a mode or a mount. */
static int fail_access(const struct supervise *s, struct nt_error *reterr)
{
    struct policy_answer answer;
    char path[PATH_MAX], next[SCRIPT_PATH_MAX];
    snprintf(path, sizeof(path), "%s", s->program);
    for (int i = 0; i <= SCRIPT_DEPTH; i++) {
        policy_ask_path(s->options.policy, path, POLICY_READ, &answer);
        if (!answer.is_allowed) {
            nt_fail(reterr, ENFORCE_E_REFUSED, "cannot start %.100s: %s%.100s%s", s->program,
                    i > 0 ? path : "it", i > 0 ? ", which runs it, " : " ", "is not granted");
            return *answer.flag ? nt_hint(reterr, "add %s", answer.flag) : -1;
        }
        nt_autoclose int file = open(path, O_PATH | O_CLOEXEC);
        if (file < 0 || !script_runner(file, next))
            break;
        snprintf(path, sizeof(path), "%s", next);
    }
    nt_fail(reterr, ENFORCE_E_REFUSED, "cannot start %.160s: %s", s->program, strerror(EACCES));
    return nt_hint(reterr, "its mode or a mount (noexec) forbids it, not the policy");
}

int command_fail(const struct supervise *s, int sys, struct nt_error *reterr)
{
    char missing[SCRIPT_PATH_MAX];
    if (sys == EACCES) {
        fail_access(s, reterr);
        reterr->sys = sys;
        return -1;
    }
    if (sys == ENOENT) {
        bool is_known = find_missing(s->program, missing);
        nt_fail(reterr, ENFORCE_E_COMMAND, "cannot start %.100s: %.100s%s", s->program,
                is_known ? missing : strerror(sys),
                is_known ? ", which runs it, is not there" : "");
        return is_known ? nt_hint(reterr, "install it, or mend the file's first line") : -1;
    }
    nt_fail(reterr, ENFORCE_E_REFUSED, "cannot start %.160s: %s", s->program, strerror(sys));
    reterr->sys = sys;
    if (sys == ENOEXEC)
        return nt_hint(reterr, "it is no program of this machine; a script's first line says what "
                               "runs it: #!/bin/sh");
    return nt_hint(reterr, "this is the kernel's answer to the program's start");
}
