/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c - starts nanoterm-launch with a plan, and reads what it reports.
 *
 * The program gets the descriptors of plan.h and nothing else: all others are close-on-exec. */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/fds.h"

const char *launch_stop_at;

static int make_plan(const struct disk *disk, const struct meta *m, const struct image *image,
                     struct nt_error *reterr)
{
    nt_autofree uint8_t *memory = malloc(PLAN_MAX);
    if (!memory)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    struct nt_g_writer w = nt_g_begin(memory, PLAN_MAX, PLAN_FRAME);
    char workspace[4200], guest[4200];
    if (snprintf(workspace, sizeof(workspace), "%s/ws/%s", disk->data_dir, m->id)
            >= (int)sizeof(workspace)
        || snprintf(guest, sizeof(guest), "%s/nanoterm-guest", disk->libexec_dir)
               >= (int)sizeof(guest))
        return nt_fail(reterr, NT_E_LIMIT, "a folder's name is too long");
    nt_g_add_text(&w, PLAN_ID, m->id);
    nt_g_add_text(&w, PLAN_HOSTNAME, m->hostname);
    nt_g_add_text(&w, PLAN_IMAGE, image->path);
    nt_g_add_text(&w, PLAN_WORKSPACE, workspace);
    nt_g_add_text(&w, PLAN_GUEST, guest);
    nt_g_add_number(
        &w, PLAN_FLAGS,
        (m->flags & NT_SPEC_WAY_OUT ? PLAN_WAY_OUT : 0) | (image->is_host ? PLAN_HOST_IMAGE : 0)
            | (disk->as_root ? PLAN_AS_ROOT : 0) | (m->flags & NT_SPEC_HARDEN ? PLAN_HARDEN : 0));
    nt_g_add_number(&w, PLAN_UID, disk->as_root ? m->uid : geteuid());
    nt_g_add_number(&w, PLAN_GID, disk->as_root ? m->uid : getegid());
    nt_g_add_number(&w, PLAN_CPU_MILLIS, m->cpu_millis);
    nt_g_add_number(&w, PLAN_PIDS, m->pids);
    nt_g_add_number(&w, PLAN_MEMORY, m->memory_bytes);
    for (uint32_t i = 0; i < image->layer_count; i++)
        nt_g_add_text(&w, PLAN_LAYER, image->layers[i]);
    if (launch_stop_at)
        nt_g_add_text(&w, PLAN_STOP_AT, launch_stop_at);
    size_t size = nt_g_done(&w);
    if (!size)
        return nt_fail(reterr, NT_E_LIMIT, "the plan is too long");
    nt_autoclose int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, memory, size) != (ssize_t)size
        || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return nt_fail_sys(reterr, errno, "cannot make the plan");
    return nt_take_fd(fd);
}

/* The guest's socket, through /proc/self/fd because the folder's path may be longer than
 * sun_path. */
static socklen_t socket_address(int dir, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/guest.sock", dir);
    return (socklen_t)sizeof(*ret);
}

static int make_socket(int dir, struct nt_error *reterr)
{
    struct sockaddr_un address;
    socklen_t size = socket_address(dir, &address);
    nt_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make the guest's socket");
    if (unlinkat(dir, "guest.sock", 0) < 0 && errno != ENOENT)
        return nt_fail_sys(reterr, errno, "cannot replace the guest's socket");
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 512) < 0)
        return nt_fail_sys(reterr, errno, "cannot bind the guest's socket");
    return nt_take_fd(fd);
}

int launch_connect(const struct disk *disk, const char *id, struct nt_error *reterr)
{
    nt_autoclose int all = openat(disk->data_fd, "ws", O_PATH | O_DIRECTORY | O_CLOEXEC);
    nt_autoclose int dir =
        all < 0 ? -1 : openat(all, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return nt_fail(reterr, NT_E_NOT_FOUND, "there is no workspace %s", id);
    struct sockaddr_un address;
    socklen_t size = socket_address(dir, &address);
    nt_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&address, size) < 0)
        /* EAGAIN: its backlog is full; it is flooded or stuck. */
        return errno == EAGAIN
                   ? nt_fail(reterr, NT_E_CONNECT, "the guest of %s takes no connection", id)
                   : nt_fail(reterr, NT_E_CONNECT, "the guest of %s does not answer: %s", id,
                             strerrordesc_np(errno));
    return nt_take_fd(fd);
}

/* Numbers of posix_spawn's file actions: a source must not be overwritten before its turn. */
static int lift(int *fd)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, LAUNCH_FD_COUNT + 1);
    if (high < 0)
        return errno;
    close(*fd);
    *fd = high;
    return 0;
}

static int spawn(const struct disk *disk, int fds[5], pid_t *ret, struct nt_error *reterr)
{
    char path[4200];
    if (snprintf(path, sizeof(path), "%s/nanoterm-launch", disk->libexec_dir) >= (int)sizeof(path))
        return nt_fail(reterr, NT_E_LIMIT, "a folder's name is too long");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int sys = posix_spawn_file_actions_init(&actions);
    if (sys)
        return nt_fail_sys(reterr, sys, "cannot start nanoterm-launch");
    if ((sys = posix_spawnattr_init(&attributes)) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return nt_fail_sys(reterr, sys, "cannot start nanoterm-launch");
    }
    for (int i = 0; i < 3 && !sys; i++)
        sys = posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    for (int i = 0; i < 5 && !sys; i++)
        sys = posix_spawn_file_actions_adddup2(&actions, fds[i], LAUNCH_FD_PLAN + i);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    /* A group of its own: Ctrl-C at the server's terminal must not reach workspaces. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
                                              | POSIX_SPAWN_SETPGROUP);
    char *arguments[] = { (char[]){ "nanoterm-launch" }, NULL }, *environment[] = { NULL };
    if (!sys)
        sys = posix_spawn(ret, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return sys ? nt_fail_sys(reterr, sys, "cannot start %s", path) : 0;
}

int launch_spawn(const struct disk *disk, const struct meta *meta, const struct image *image,
                 int dir, struct launched *ret, struct nt_error *reterr)
{
    nt_autoclose int plan = make_plan(disk, meta, image, reterr);
    if (plan < 0)
        return -1;
    nt_autoclose int sock = make_socket(dir, reterr);
    if (sock < 0)
        return -1;
    int report[2], ready[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a socket pair");
    nt_autoclose int report_here = report[0];
    nt_autoclose int report_there = report[1];
    if (pipe2(ready, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    nt_autoclose int ready_here = ready[0];
    nt_autoclose int ready_there = ready[1];
    nt_autoclose int folder = fcntl(dir, F_DUPFD_CLOEXEC, LAUNCH_FD_COUNT + 1);
    if (folder < 0 || fcntl(report_here, F_SETFL, O_NONBLOCK) < 0
        || fcntl(ready_here, F_SETFL, O_NONBLOCK) < 0)
        return nt_fail_sys(reterr, errno, "cannot prepare descriptors");
    int sys = lift(&plan);
    sys = sys ? sys : lift(&report_there);
    sys = sys ? sys : lift(&sock);
    sys = sys ? sys : lift(&ready_there);
    if (sys)
        return nt_fail_sys(reterr, sys, "cannot prepare descriptors");
    int fds[5] = { plan, report_there, folder, sock, ready_there };
    pid_t pid;
    if (spawn(disk, fds, &pid, reterr) < 0)
        return -1;
    *ret = (struct launched){ pid, nt_take_fd(report_here), nt_take_fd(ready_here) };
    return 0;
}

int launch_read(int report_fd, struct launch_report *ret, int *ret_fd)
{
    int count;
    *ret_fd = -1;
    ssize_t n = nt_recv_fds(report_fd, ret, sizeof(*ret), ret_fd, 1, &count, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n != (ssize_t)sizeof(*ret)) {
        if (*ret_fd >= 0)
            close(*ret_fd);
        *ret_fd = -1;
        return -1;
    }
    ret->boot[sizeof(ret->boot) - 1] = ret->step[sizeof(ret->step) - 1] = '\0';
    ret->message[sizeof(ret->message) - 1] = '\0';
    return 1;
}
