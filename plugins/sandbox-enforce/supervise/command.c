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
#include "plugins/sandbox-enforce/explain/script.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/program.h"

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

static int fail(const char *name, int sys, struct nt_error *reterr)
{
    if (sys == EACCES)
        return nt_fail(reterr, ENFORCE_E_REFUSED, "'%.150s' is not executable", name);
    return nt_fail(reterr, ENFORCE_E_COMMAND, "'%.150s' is not there", name);
}

/* The program starts in another folder: what is relative here is made absolute. */
static int take_path(struct supervise *s, const char *name, struct nt_error *reterr)
{
    char folder[PATH_MAX] = "";
    const char *typed = name;
    while (name[0] == '.' && name[1] == '/')
        name += 1 + strspn(name + 1, "/");
    if (name[0] != '/' && !getcwd(folder, sizeof(folder)))
        return nt_fail_sys(reterr, errno, "the current folder");
    int n = snprintf(s->program, sizeof(s->program), "%s%s%s", folder, *folder ? "/" : "", name);
    if (n < 0 || (size_t)n >= sizeof(s->program))
        return nt_fail(reterr, NT_E_LIMIT, "the program's path is too long");
    int sys = nt_program_try(s->program);
    return sys ? fail(typed, sys, reterr) : 0;
}

int command_find(struct supervise *s, struct nt_error *reterr)
{
    const char *name = s->options.argv[0];
    if (s->options.executable)
        return take_path(s, s->options.executable, reterr);
    if (!*name)
        return nt_fail(reterr, ENFORCE_E_COMMAND, "the program's name is empty");
    if (!s->options.is_shell && check_name(s->options.policy, name, reterr) < 0)
        return -1;
    if (strchr(name, '/'))
        return take_path(s, name, reterr);
    const char *path = environment_get(s, "PATH");
    if (!path)
        path = NT_PROGRAM_USUAL_PATH;
    int sys = nt_program_next(&path, name, s->program);
    return sys ? fail(name, sys, reterr) : 0;
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

int command_fail(const struct supervise *s, int sys, struct nt_error *reterr)
{
    char missing[SCRIPT_PATH_MAX];
    if (sys == ENOENT) {
        bool is_known = find_missing(s->program, missing);
        nt_fail(reterr, ENFORCE_E_COMMAND, "cannot start %.100s: %.100s%s", s->program,
                is_known ? missing : strerror(sys),
                is_known ? ", which runs it, is not there" : "");
        return is_known ? nt_hint(reterr, "install it, or mend the file's first line") : -1;
    }
    nt_fail(reterr, ENFORCE_E_REFUSED, "cannot start %.160s: %s", s->program, strerror(sys));
    reterr->sys = sys;
    if (sys == EACCES)
        return nt_hint(reterr, "it, or what interprets it, is not among what was granted: "
                               "--read-file, --read");
    if (sys == ENOEXEC)
        return nt_hint(reterr, "it is no program of this machine; a script's first line says what "
                               "runs it: #!/bin/sh");
    return nt_hint(reterr, "this is the kernel's answer to the program's start");
}
