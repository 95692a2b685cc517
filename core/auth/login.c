/* SPDX-License-Identifier: Apache-2.0 */
/* login.c - starts the user's browser, without a shell, as nobody's child. */
#include "core/auth/login.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk/cleanup.h"

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && value[0];
}

/* In the child: system calls only. */
static _Noreturn void become(const char *program, const char *url, int null_fd)
{
    char *argv[] = { (char *)program, (char *)url, NULL };
    setsid(); /* Ctrl-C is for us */
    pid_t pid = fork();
    if (pid != 0)
        _exit(pid < 0);
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL); /* fails for those that cannot be changed */
    if (dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(null_fd, 2) < 0)
        _exit(127);
    close_range(3, ~0u, 0);
    execvp(program, argv);
    _exit(127);
}

bool login_open_browser(const char *url)
{
    nt_autofree char *first = NULL;
    const char *program = "xdg-open";
    if (is_set("BROWSER")) {
        /* A list, with the first choice first. */
        first = strdup(getenv("BROWSER"));
        if (!first)
            return false;
        first[strcspn(first, ":")] = '\0';
        program = first;
    } else if (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY")) {
        return false;
    }
    nt_autoclose int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || !program[0])
        return false;
    pid_t pid = fork();
    if (pid == 0)
        become(program, url, null_fd);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
