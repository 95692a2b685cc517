/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c - prepares a program before the fork; see launch.h. */
#include "plugins/guest/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/guest/pty.h"
#include "plugins/guest/terminal.h"

#define PIPE_SIZE (1024 * 1024)

extern char **environ;

static size_t name_size(const char *entry)
{
    return strcspn(entry, "=");
}

/* Puts an entry into env; one of the same name is replaced. */
static void put(char **env, size_t *count, char *entry)
{
    size_t size = name_size(entry);
    for (size_t i = 0; i < *count; i++) {
        if (strncmp(env[i], entry, size) == 0 && env[i][size] == '=') {
            env[i] = entry;
            return;
        }
    }
    env[(*count)++] = entry;
}

/* What a terminal without a command runs. */
static char *const login_bash[] = { (char *)"bash", (char *)"-l", NULL };
static char *const login_sh[] = { (char *)"sh", (char *)"-l", NULL };

/* TERM names a file of the terminal's description: anything but a name is replaced. */
static void set_term(char **env, size_t *count)
{
    static char fallback[] = "TERM=xterm-256color";
    for (size_t i = 0; i < *count; i++)
        if (strncmp(env[i], "TERM=", 5) == 0 && pty_is_term(env[i] + 5))
            return;
    put(env, count, fallback);
}

int launch_read(struct launch *l, struct conn *c, const struct request *r,
                const struct nt_g_frame *frame)
{
    struct nt_g_field f;
    size_t args = 0, envs = guest.env_count, bytes = 0;
    for (char **e = environ; *e; e++)
        envs++;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        if (f.tag == NT_GT_ENV && (!f.size || f.data[0] == '=' || !memchr(f.data, '=', f.size))) {
            conn_error(c, NT_GE_INVALID, 0, "an environment entry is not NAME=value");
            return -1;
        }
        args += f.tag == NT_GT_ARG;
        envs += f.tag == NT_GT_ENV;
        if (f.tag == NT_GT_ARG || f.tag == NT_GT_ENV || f.tag == NT_GT_CWD)
            bytes += f.size + 1;
    }
    bool is_terminal = request_number(r, NT_GT_FLAGS, 0) & NT_GX_TTY;
    if (!args && !is_terminal) {
        conn_error(c, NT_GE_INVALID, 0, "the program is missing");
        return -1;
    }
    l->argv = calloc(args + 1, sizeof(*l->argv));
    l->env = calloc(envs + 2, sizeof(*l->env));
    l->text = malloc(bytes + 1);
    l->cwd = guest.base;
    if (!l->argv || !l->env || !l->text) {
        conn_error(c, NT_GE_SYSTEM, ENOMEM, "out of memory");
        return -1;
    }
    args = envs = 0;
    for (char **e = environ; *e; e++)
        put(l->env, &envs, *e);
    for (size_t i = 0; i < guest.env_count; i++)
        put(l->env, &envs, guest.env[i]);
    char *text = l->text;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        if (f.tag != NT_GT_ARG && f.tag != NT_GT_ENV && f.tag != NT_GT_CWD)
            continue;
        if (f.size)
            memcpy(text, f.data, f.size);
        text[f.size] = '\0';
        if (f.tag == NT_GT_ARG)
            l->argv[args++] = text;
        else if (f.tag == NT_GT_ENV)
            put(l->env, &envs, text);
        else if (f.size)
            l->cwd = text;
        text += f.size + 1;
    }
    if (is_terminal)
        set_term(l->env, &envs);
    if (!args) {
        free(l->argv);
        l->argv = NULL;
        l->argv_else = login_sh;
    }
    return 0;
}

char *const *launch_argv(const struct launch *l)
{
    return l->argv ? l->argv : login_bash;
}

/* A pipe opened in the right direction, and nothing else: a file, a folder, a terminal or a socket
 * of the caller could be reopened or used for more than was meant. An O_PATH descriptor is none of
 * these. */
static bool is_right_pipe(int fd, int access)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    return fd >= 0 && flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) == access
           && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int make_pipe(struct launch *l, int i)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    l->child[i] = ends[i == 0 ? 0 : 1];
    l->own[i] = ends[i == 0 ? 1 : 0];
    if (i == 1)
        /* beyond a limit of the system it stays as it is */
        fcntl(l->own[i], F_SETPIPE_SZ, PIPE_SIZE);
    return fcntl(l->own[i], F_SETFL, O_NONBLOCK);
}

int launch_streams(struct launch *l, struct conn *c, uint64_t flags)
{
    static const uint64_t passed[3] = { NT_GX_FD_STDIN, NT_GX_FD_STDOUT, NT_GX_FD_STDERR };
    unsigned next = 0, wanted = 0;
    for (int i = 0; i < 3; i++)
        wanted += (flags & passed[i]) != 0;
    if (c->bad_fds || c->fd_count != wanted || (flags & NT_GX_STDIN && flags & NT_GX_FD_STDIN)) {
        conn_error(c, NT_GE_BAD_DESCRIPTOR, 0, "the descriptors are not those that the flags name");
        return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (flags & passed[i]) {
            l->child[i] = conn_take_fd(c, next++);
            if (is_right_pipe(l->child[i], i == 0 ? O_RDONLY : O_WRONLY))
                continue;
            conn_error(c, NT_GE_BAD_DESCRIPTOR, 0,
                       "descriptor %d is not a pipe in the right direction", i);
            return -1;
        }
        if (i == 0 && !(flags & NT_GX_STDIN)) {
            l->child[0] = fcntl(guest.null_fd, F_DUPFD_CLOEXEC, 7);
            if (l->child[0] >= 0)
                continue;
        } else if (make_pipe(l, i) == 0) {
            continue;
        }
        conn_error(c, NT_GE_SYSTEM, errno, "cannot make the pipes of the program: %s",
                   strerror(errno));
        return -1;
    }
    return 0;
}

struct terminal *launch_terminal(struct launch *l, struct conn *c, const struct request *r)
{
    static const uint64_t passed = NT_GX_FD_STDIN | NT_GX_FD_STDOUT | NT_GX_FD_STDERR;
    if (c->bad_fds || c->fd_count || request_number(r, NT_GT_FLAGS, 0) & passed) {
        conn_error(c, NT_GE_BAD_DESCRIPTOR, 0, "a program with a terminal takes no descriptors");
        return NULL;
    }
    return terminal_new(c, r, l->child);
}

void launch_done(struct launch *l)
{
    free(l->argv);
    free(l->env);
    free(l->text);
    for (int i = 0; i < 3; i++) {
        if (l->child[i] >= 0)
            close(l->child[i]);
        if (l->own[i] >= 0)
            close(l->own[i]);
    }
}
