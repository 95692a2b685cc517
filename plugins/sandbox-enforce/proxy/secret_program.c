/* SPDX-License-Identifier: Apache-2.0 */
/* secret_program.c - what a password manager's own program prints: started directly, with a time
 * limit, outside of every sandbox. What it says on its standard error is the person's to see. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/outside.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/program.h"

extern char **environ;

/* Whatever it is refused for, it is this credential that cannot be read. */
static int find_program(const struct policy *policy, const char *name, const char *about,
                        const char *search, char ret[PATH_MAX], struct nt_error *reterr)
{
    char key[32], real[PATH_MAX];
    const char *folders = getenv("PATH");
    const struct outside what = { .policy = policy, .key = key, .path = ret, .search = search };
    snprintf(key, sizeof(key), "%s://", name);
    if (nt_program_next(&folders, name, ret)) {
        nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s needs the program %s (%s)", key, name, about);
        return nt_hint(reterr, "install it, or use another source for the credential");
    }
    if (outside_find(&what, real, reterr) < 0) {
        reterr->code = ENFORCE_E_CREDENTIAL;
        return -1;
    }
    return 0;
}

/* The person's variables that it may have, with that PATH. ret: to be freed; what it points to
 * belongs to others. */
static char **with_path(char *path)
{
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **all = calloc(count + 2, sizeof(*all));
    for (size_t i = 0; all && i < count; i++)
        if (outside_keeps(environ[i]))
            all[kept++] = environ[i];
    if (all)
        all[kept] = path;
    return all;
}

int secret_of_program(const struct policy *policy, const char *const argv[], const char *about,
                      const char *reference, char **ret, struct nt_error *reterr)
{
    char program[PATH_MAX];
    nt_autofree char *search = NULL, *path = NULL;
    char *const *words;
    memcpy(&words, &argv, sizeof(words)); /* posix_spawn takes them without const */
    for (const char *c = reference; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "a broken %s:// reference", argv[0]);
    if (outside_path(policy, NULL, &search, reterr) < 0
        || find_program(policy, argv[0], about, search, program, reterr) < 0)
        return -1;
    if (asprintf(&path, "PATH=%s", search) < 0)
        path = NULL;
    nt_autofree char **environment = path ? with_path(path) : NULL;
    if (!environment)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a credential");
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    nt_autoclose int out = pipe_fds[0];
    nt_autoclose int in = pipe_fds[1];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, in, 1);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &defaults);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = -1;
    int sys = posix_spawn(&pid, program, &files, &how, words, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (sys) {
        nt_fail_sys(reterr, sys, "cannot start %s", program);
        reterr->code = ENFORCE_E_CREDENTIAL;
        return -1;
    }
    close(nt_take_fd(in)); /* so that its end is seen */
    int status = 0;
    char *value = NULL;
    if (secret_collect(out, pid, argv[0], &value, &status, reterr) < 0)
        return -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        secret_free(value);
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s could not read %s (see its message)",
                       argv[0], reference);
    }
    *ret = value;
    return 0;
}
