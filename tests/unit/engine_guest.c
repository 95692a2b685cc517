/* SPDX-License-Identifier: Apache-2.0 */
/* engine_guest.c - a guest for the tests of the engine: one connection at a time, EXEC, LISTENER,
 * PING, SHUTDOWN. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nanoterm/guest.h"

static uint8_t in[NT_G_HEAD + NT_G_FRAME_MAX], out[NT_G_HEAD + NT_G_FRAME_MAX];

static void put(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        p += n;
        size -= (size_t)n;
    }
}

static void answer(int fd, uint16_t type)
{
    struct nt_g_writer w = nt_g_begin(out, sizeof(out), type);
    if (type == NT_G_HELLO) {
        nt_g_add_number(&w, NT_GT_VERSION, NT_G_VERSION);
        nt_g_add_number(&w, NT_GT_CAPS, NT_GC_EXEC);
        nt_g_add(&w, NT_GT_NONCE, "0123456789abcdef", 16);
        nt_g_add_number(&w, NT_GT_PID, (uint64_t)getpid());
    }
    put(fd, out, nt_g_done(&w));
}

static void run(int fd, const struct nt_g_frame *frame)
{
    static char texts[NT_G_FRAME_MAX];
    char *arguments[64] = { NULL };
    struct nt_g_field field;
    size_t at = 0, used = 0, count = 0;
    int pipes[2], status = 0;
    while (nt_g_each(frame->payload, frame->size, &at, &field) == 1)
        if (field.tag == NT_GT_ARG && count < 63 && used + field.size + 1 <= sizeof(texts)) {
            arguments[count++] = memcpy(texts + used, field.data, field.size);
            texts[used + field.size] = '\0';
            used += field.size + 1;
        }
    if (count == 0 || pipe(pipes) < 0)
        _exit(9);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        for (int i = 3; i < 32; i++)
            close(i);
        if (chdir("/workspace") == 0)
            execvp(arguments[0], arguments);
        _exit(127);
    }
    close(pipes[1]);
    answer(fd, NT_G_STARTED);
    ssize_t n;
    while ((n = read(pipes[0], out + NT_G_HEAD, 4096)) > 0) {
        nt_g_head(out, NT_G_STDOUT, (uint32_t)n);
        put(fd, out, (size_t)n + NT_G_HEAD);
    }
    close(pipes[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    struct nt_g_writer w = nt_g_begin(out, sizeof(out), NT_G_EXIT);
    nt_g_add_number(&w, NT_GT_STATUS,
                    (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)));
    put(fd, out, nt_g_done(&w));
}

static void give_listener(int fd)
{
    int listener = 4;
    struct nt_g_writer w = nt_g_begin(out, sizeof(out), NT_G_OK);
    struct iovec iov = { out, nt_g_done(&w) };
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &listener, sizeof(int));
    sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void serve(int fd)
{
    size_t have = 0;
    struct nt_g_frame frame = { 0 };
    answer(fd, NT_G_HELLO);
    while (nt_g_next(in, have, &frame) == 0) {
        ssize_t n = recv(fd, in + have, sizeof(in) - have, 0);
        if (n <= 0)
            return;
        have += (size_t)n;
    }
    if (frame.type == NT_G_EXEC) {
        run(fd, &frame);
    } else if (frame.type == NT_G_LISTENER) {
        give_listener(fd);
    } else {
        answer(fd, NT_G_OK);
        if (frame.type == NT_G_SHUTDOWN)
            exit(0);
    }
}

/* --- what a hostile program inside tries; one line each that did not go as it must --------- */

static void expect(const char *what, long result, int sys)
{
    if (result >= 0 || errno != sys)
        printf("%s: %ld %d\n", what, result, result < 0 ? errno : 0);
}

static void refused(const char *what, long result)
{
    if (result >= 0)
        printf("%s: went through\n", what);
}

static void try_nesting(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        /* Workspaces can be nested into: a namespace of its own, and mounts there. But nothing of
         * the outside is revealed or made writable by it. */
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0
            || mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0)
            printf("nesting: %d\n", errno);
        refused("unmount /proc", umount2("/proc", MNT_DETACH));
        refused("unmount /dev/null", umount2("/dev/null", MNT_DETACH));
        refused("sys writable", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
        refused("suid", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static int probe(const char *abstract)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", abstract);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    expect("abstract socket of the host",
           connect(fd, (struct sockaddr *)&address,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract))),
           ECONNREFUSED);
    expect("TIOCSTI", ioctl(0, TIOCSTI, "x"), EPERM);
    expect("TIOCSTI, high bit", syscall(SYS_ioctl, 0, 0x100000000ul | TIOCSTI, "x"), EPERM);
    expect("TIOCLINUX", ioctl(0, 0x541C, "x"), EPERM);
    expect("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL), ENOSYS);
    expect("userfaultfd", syscall(SYS_userfaultfd, 0), ENOSYS);
    expect("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0), EPERM);
    expect("bpf", syscall(SYS_bpf, 0, NULL, 0), EPERM);
    expect("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0), EPERM);
    expect("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0), EPERM);
    expect("mount", mount("tmpfs", "/mnt", "tmpfs", 0, NULL), EPERM);
    expect("sethostname", sethostname("x", 1), EPERM);
    expect("setuid 0", setuid(0), EINVAL);
    expect("chown", chown("/workspace", 0, 0), EINVAL);
    expect("setgroups", setgroups(0, NULL), EPERM);
    expect("mknod", mknod("/tmp/d", S_IFBLK | 0666, makedev(254, 0)), EPERM);
    refused("write the guest's program", open("/proc/1/exe", O_RDWR));
    refused("write to /dev/mem", open("/dev/mem", O_RDONLY));
    refused("sysrq", open("/proc/sysrq-trigger", O_WRONLY));
    refused("core pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY));
    refused("kmsg", open("/dev/kmsg", O_RDONLY));
    refused("cgroups", open("/sys/fs/cgroup/cgroup.procs", O_WRONLY));
    try_nesting();
    puts("probed");
    return 0;
}

int main(int argc, char **argv)
{
    /* as the shell of an image that has nothing else: prints a file */
    if (argc == 3 && strcmp(argv[1], "-c") == 0) {
        int fd = open(argv[2], O_RDONLY);
        ssize_t n = fd < 0 ? -1 : read(fd, in, sizeof(in));
        return n < 0 || write(1, in, (size_t)n) != n;
    }
    if (argc == 3 && strcmp(argv[1], "--probe") == 0)
        return probe(argv[2]);
    if (write(5, "R", 1) != 1)
        return 1;
    close(5);
    for (;;) {
        struct pollfd poll_fd = { 3, POLLIN, 0 };
        int fd = poll(&poll_fd, 1, -1) > 0 ? accept(3, NULL, NULL) : -1;
        if (fd < 0)
            continue;
        serve(fd);
        close(fd);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
}
