/* SPDX-License-Identifier: Apache-2.0 */
/* child.c - asks a plugin for its tables in a process of its own, which may crash or hang. */
#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/confine/rules.h"
#include "core/plugin/manifest.h"
#include "sdk/buf.h"
#include "sdk/clock.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define FILE_FD 3

/* Starts it in a process group of its own with the file as descriptor 3 and the pipe as 1. Returns
 * errno or 0. */
static int start(const char *program, int file, int answer, pid_t *ret)
{
    char self[] = "nanoterm", flag[] = "--internal-manifest", path[] = "/proc/self/fd/3",
         out[] = "-";
    char *argv[] = { self, flag, path, out, NULL };
    /* Nothing of the user's environment: LD_PRELOAD and the like would decide what a plugin's
     * tables say. */
    char lang[] = "LANG=C.UTF-8", sanitizer[] = "ASAN_OPTIONS=detect_leaks=0:handle_segv=0";
    nt_auto(nt_buf_done) struct nt_buf weaker = NT_BUF(256);
    const char *setting = secure_getenv(RULES_WEAKER_VARIABLE);
    nt_buf_addf(&weaker, RULES_WEAKER_VARIABLE "=%s", setting ? setting : "");
    char *env[] = { lang, sanitizer, nt_buf_ok(&weaker) ? weaker.data : NULL, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, normal;
    sigemptyset(&none);
    sigfillset(&normal);
    int sys = posix_spawn_file_actions_init(&actions);
    if (sys != 0)
        return sys;
    sys = posix_spawnattr_init(&attributes);
    if (sys == 0) {
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK
                                                  | POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &normal);
        sys = posix_spawn_file_actions_adddup2(&actions, answer, 1);
        sys = sys ? sys : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        sys = sys ? sys : posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        sys = sys ? sys : posix_spawn_file_actions_adddup2(&actions, file, FILE_FD);
        sys = sys ? sys : posix_spawn(ret, program, &actions, &attributes, argv, env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return sys;
}

/* Reads until the pipe ends or the process has; false: the time is over. */
static bool read_answer(int pipe_fd, int process, int64_t until, struct nt_buf *ret)
{
    for (;;) {
        int64_t left = until - nt_now_ms();
        if (left <= 0)
            return false;
        struct pollfd fds[2] = { { pipe_fd, POLLIN, 0 }, { process, POLLIN, 0 } };
        int ready = poll(fds, 2, left > 60000 ? 60000 : (int)left);
        if (ready < 0 && errno != EINTR)
            return true;
        if (ready <= 0)
            continue;
        if (!fds[0].revents)
            return true; /* it has ended; a process of its own may still hold the pipe open */
        char *room = nt_buf_room(ret, 16 * 1024);
        ssize_t n = room ? read(pipe_fd, room, 16 * 1024) : 0;
        if (n > 0)
            nt_buf_added(ret, (size_t)n);
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return true;
    }
}

/* Waits for the end of the process itself, which may follow that of its pipe; false: the time is
 * over. */
static bool wait_for_end(int process, int64_t until)
{
    for (;;) {
        int64_t left = until - nt_now_ms();
        struct pollfd fd = { process, POLLIN, 0 };
        if (left <= 0)
            return false;
        int ready = poll(&fd, 1, left > 60000 ? 60000 : (int)left);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
    }
}

static char *understand(const struct nt_buf *answer, int status, struct nt_error *reterr)
{
    if (WIFSIGNALED(status))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "crashed with signal %d while loading",
                       WTERMSIG(status)),
               NULL;
    json_error_t at;
    nt_auto_json json_t *json =
        json_loadb(nt_buf_text(answer), answer->size, JSON_REJECT_DUPLICATES, &at);
    const char *failure = nt_json_text(json, "failure"),
               *unavailable = nt_json_text(json, "unavailable");
    if (unavailable) {
        const char *hint = nt_json_text(json, "hint");
        nt_fail(reterr, NT_E_UNAVAILABLE, "%s", unavailable);
        nt_hint(reterr, "%s", hint ? hint : "");
        return NULL;
    }
    if (failure)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s", failure), NULL;
    const char *manifest = nt_json_text(json, "manifest");
    if (!manifest || !nt_buf_ok(answer))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "ended with status %d while loading",
                       WEXITSTATUS(status)),
               NULL;
    char *copy = strdup(manifest);
    if (!copy)
        nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return copy;
}

char *child_manifest(const char *program, int file, int64_t limit_ms, struct nt_error *reterr)
{
    int64_t until = nt_now_ms() + limit_ms;
    int pair[2];
    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe"), NULL;
    nt_autoclose int from = pair[0];
    nt_autoclose int to_low = pair[1];
    /* High numbers, so that setting up 0 to 3 in the child overwrites none of them. The writer's
     * end blocks: a copy of the description shares its flags, so they are cleared here. */
    nt_autoclose int to = fcntl(to_low, F_DUPFD_CLOEXEC, 10);
    nt_autoclose int given = fcntl(file, F_DUPFD_CLOEXEC, 10);
    if (to < 0 || given < 0 || fcntl(to, F_SETFL, 0) < 0)
        return nt_fail_sys(reterr, errno, "cannot set up the pipe"), NULL;
    pid_t pid;
    int sys = start(program, given, to, &pid);
    if (sys != 0)
        return nt_fail_sys(reterr, sys, "cannot start %s", program), NULL;
    nt_closep(&to);
    to = -1;
    nt_closep(&to_low);
    to_low = -1;

    nt_auto(nt_buf_done) struct nt_buf answer = NT_BUF(MANIFEST_MAX_BYTES * 2);
    /* Linux 5.3; close-on-exec by itself */
    nt_autoclose int process = (int)syscall(SYS_pidfd_open, pid, 0);
    bool ended =
        process >= 0 && read_answer(from, process, until, &answer) && wait_for_end(process, until);
    kill(-pid, SIGKILL); /* the group: not yet reaped, so that the number is still its own */
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (process < 0)
        return nt_fail(reterr, NT_E_UNSUPPORTED, "this kernel has no pidfd_open"), NULL;
    if (!ended && limit_ms >= 1000)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "did not finish loading in %d s",
                       (int)(limit_ms / 1000)),
               NULL;
    if (!ended)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "did not finish loading in %d ms",
                       (int)limit_ms),
               NULL;
    return understand(&answer, status, reterr);
}
