/* SPDX-License-Identifier: Apache-2.0 */
/* update.c - after a command: tell of a newer version, and look for one once a day; see update.h.
 */
#include "update.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/api/version.h"
#include "core/config/config.h"
#include "core/output/output.h"
#include "core/update/state.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/nono_config.h"

#define DAY_MS (24 * 3600 * (int64_t)1000)

static const struct update_names names[] = {
    [NT_AS_NANOTERM] = { .program = "nanoterm",
                         .off = "NANOTERM_NO_UPDATE_CHECK",
                         .url = "NANOTERM_UPDATE_URL",
                         .state = "update-check",
                         .package = "@nanoterm/cli",
                         .hint = NT_UPDATE_HINT },
    [NT_AS_NONO] = { .program = "nono",
                     .off = "NONO_NO_UPDATE_CHECK",
                     .off_when_empty = true,
                     .url = "NONO_UPDATE_URL",
                     .state = "update-check-nono",
                     .hint = NT_UPDATE_HINT },
};

const struct update_names *update_names(uint32_t personality)
{
    bool is_known = personality < sizeof(names) / sizeof(names[0]) && names[personality].program;
    return is_known ? &names[personality] : NULL;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Also when the clock was set back: a time to come is no time that has passed. */
static bool is_day_over(int64_t since_ms, int64_t now)
{
    return since_ms > now || now - since_ms >= DAY_MS;
}

static bool is_switched_off(uint32_t personality, const struct update_names *n)
{
    const char *off = getenv(n->off);
    bool is_off = off && (*off || n->off_when_empty);
    return is_off || (personality != NT_AS_NANOTERM && !getenv(n->url));
}

/* [updates] check of nono's own file: all but true is no. */
static bool is_refused_by_nono(void)
{
    char check[8];
    return nt_nono_config("updates", "check", check, sizeof(check)) && strcmp(check, "true") != 0;
}

/* A setting of the config file; a broken file asks for nothing. */
static bool is_refused_by_setting(uint32_t personality)
{
    if (personality == NT_AS_NONO && is_refused_by_nono())
        return true;
    struct config_options wanted = { .personality = personality };
    struct config *config = NULL;
    struct nt_error unused = NT_ERROR_INIT;
    if (config_load(&wanted, &config, &unused) < 0)
        return true;
    const struct config_value *value = config_get(config, "no_update_check");
    bool is_refused = value && value->value && *value->value && strcmp(value->value, "0") != 0;
    config_free(config);
    return is_refused;
}

static void tell(const struct update_names *n, const char *version, const char *own)
{
    char line[512];
    int size = snprintf(line, sizeof(line), "%s %s is available, this is %s; update with: %s\n",
                        n->program, version, own, n->hint);
    if (size > 0 && (size_t)size < sizeof(line))
        output_write_fd(2, line, (size_t)size);
}

/* In the grandchild: system calls only. It keeps nothing of the terminal, the folder or the
 * descriptors of the command. */
static _Noreturn void become_worker(uint32_t personality, int null_fd)
{
    char *const argv[] = { (char[]){ "nanoterm" }, (char[]){ "--internal-update-check" },
                           (char[]){ (char)('0' + personality), '\0' }, NULL };
    sigset_t none;
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir("/") < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(null_fd, 2) < 0)
        _exit(1);
    close_range(3, ~0u, 0);
    execve("/proc/self/exe", argv, environ);
    _exit(1);
}

static void start_worker(uint32_t personality)
{
    sigset_t all, before;
    nt_autoclose int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (fork() == 0)
            become_worker(personality, null_fd);
        _exit(0);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0)
        if (errno != EINTR)
            return;
}

void update_after(uint32_t personality, uint32_t flags, const char *version)
{
    const struct update_names *n = update_names(personality);
    struct update_state state;
    if (!n || !(flags & NT_CALL_STDERR_TTY) || (flags & (NT_CALL_JSON | NT_CALL_QUIET))
        || is_switched_off(personality, n))
        return;
    nt_autoclose int folder = update_folder();
    /* Someone else is at it. */
    if (folder < 0 || flock(folder, LOCK_EX | LOCK_NB) < 0)
        return;
    update_read(folder, n->state, &state);
    int64_t now = now_ms();
    bool is_due = is_day_over(state.checked_ms, now);
    bool is_news = state.version[0] && version_is_older(version, state.version)
                   && is_day_over(state.shown_ms, now);
    if ((!is_due && !is_news) || is_refused_by_setting(personality))
        return;
    if (is_news) {
        tell(n, state.version, version);
        state.shown_ms = now;
    }
    if (is_due)
        state.checked_ms = now; /* noted first: a check that fails is not repeated all day */
    update_write(folder, n->state, &state);
    if (is_due)
        start_worker(personality);
}
