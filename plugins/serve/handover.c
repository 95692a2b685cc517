/* SPDX-License-Identifier: Apache-2.0 */
/* handover.c - an older embedded server becomes a newer one: it stops accepting, finishes, and
 * executes the new program with the listening socket and the lock. Clients that connect meanwhile
 * wait in the backlog. */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nanoterm/local.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/trust.h"

static int kept_listener = -1;

int handover_open(const char *path, struct nt_error *reterr)
{
    const char *name = strrchr(path, '/');
    nt_autoclose int folder = -1;
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf parent = NT_BUF(PATH_MAX);
    struct stat st;
    if (path[0] != '/' || !name)
        return nt_fail(reterr, NT_E_INVALID, "the program's path is not absolute");
    nt_buf_add_bytes(&parent, path, (size_t)(name - path) + 1);
    if (!nt_buf_ok(&parent))
        return nt_fail(reterr, NT_E_LIMIT, "the program's path is too long");
    if (nt_trust_open_folder(nt_buf_text(&parent), &folder, reterr) < 0
        || nt_trust_open_file(folder, name + 1, &fd, &st, reterr) < 0) {
        if (reterr->code == NT_E_PLUGIN_FAILED)
            reterr->code = NT_E_FORBIDDEN; /* it is no plugin here */
        return nt_wrap(reterr, "the program to go on with");
    }
    if (!(st.st_mode & 0111))
        return nt_fail(reterr, NT_E_INVALID, "the program is not an executable file");
    return nt_take_fd(fd);
}

void handover_keep_listener(int fd)
{
    nt_closep(&kept_listener);
    kept_listener = fd;
}

int handover_exec(const struct server_options *options, int program_fd, int lock_fd,
                  struct nt_error *reterr)
{
    if (kept_listener < 0)
        return nt_fail(reterr, NT_E_INTERNAL, "there is no listener to hand over");
    /* 3 and 4 have a meaning (local.h); the listener goes above, the program's own descriptor
     * closes at exec. */
    int listener = fcntl(kept_listener, F_DUPFD, 10);
    int program = fcntl(program_fd, F_DUPFD_CLOEXEC, 10);
    if (listener < 0 || program < 0)
        return nt_fail_sys(reterr, errno, "cannot hand the listener over");
    if (lock_fd != NT_LOCAL_FD_LOCK && dup2(lock_fd, NT_LOCAL_FD_LOCK) < 0)
        return nt_fail_sys(reterr, errno, "cannot hand the lock over");
    if (fcntl(NT_LOCAL_FD_LOCK, F_SETFD, 0) < 0)
        return nt_fail_sys(reterr, errno, "cannot hand the lock over");
    char listen_fd[16], idle[32];
    snprintf(listen_fd, sizeof(listen_fd), "%d", listener);
    snprintf(idle, sizeof(idle), "%" PRId64 "ms", options->idle_ms);
    const char *arguments[] = { "nanoterm",        "serve",    "--embedded",
                                "--listen-fd",     listen_fd,  "--data",
                                options->data_dir, "--engine", options->engine_name,
                                "--idle-exit",     idle,       NULL };
    char *argv[sizeof(arguments) / sizeof(arguments[0])];
    memcpy(argv, arguments, sizeof(arguments)); /* execveat does not write to them */
    execveat(program, "", argv, environ, AT_EMPTY_PATH);
    return nt_fail_sys(reterr, errno, "cannot become the new program");
}
