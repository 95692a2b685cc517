/* SPDX-License-Identifier: Apache-2.0 */
/* child.c - the half of the launcher that becomes the guest: one ordered table of steps, each tried
 * once set.
 *
 * It starts with all capabilities in its own new user namespace and none outside. The last step but
 * one takes everything away; then the guest is executed as the one uid of the workspace. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/securebits.h>

#include "nanoterm/engine.h"
#include "plugins/sandbox-enforce/enforce/namespaces.h"
#include "sdk/fds.h"

static int child_wait(struct launch *l)
{
    char go;
    /* The launcher dies: so does everything half built. Cleared just before exec. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return errno;
    ssize_t n;
    do
        n = read(l->go_fd, &go, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? 0 : ECANCELED; /* the launcher has ended or given up */
}

static int child_user(struct launch *l)
{
    (void)l;
    /* Keep the capabilities of the namespace over the change of uid; exec takes them. */
    if (prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP) < 0)
        return errno;
    if (setresgid(INSIDE_GID, INSIDE_GID, INSIDE_GID) < 0
        || setresuid(INSIDE_UID, INSIDE_UID, INSIDE_UID) < 0)
        return errno;
    /* The change of uid cleared it (prctl(2)). */
    return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? errno : 0;
}

static int child_user_verify(struct launch *l)
{
    (void)l;
    if (getuid() != INSIDE_UID || geteuid() != INSIDE_UID || getgid() != INSIDE_GID)
        return ENOTRECOVERABLE;
    /* No other uid is mapped. */
    return setresuid((uid_t)-1, 0, (uid_t)-1) < 0 ? 0 : ENOTRECOVERABLE;
}

static int child_trees(struct launch *l)
{
    return l->flags & PLAN_AS_ROOT ? 0 : trees_open(l);
}

static int child_attach(struct launch *l)
{
    return l->flags & PLAN_AS_ROOT ? trees_attach(l) : 0;
}

static int child_names(struct launch *l)
{
    umask(022);
    return sethostname(l->hostname, strlen(l->hostname)) < 0 ? errno : 0;
}

/* Lets the one uid inside use low ports and ping, as on a machine of one's own. Not vital. */
static void open_ports(void)
{
    static const char *const values[][2] = {
        { "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0" },
        { "/proc/sys/net/ipv4/ping_group_range", "0 1000" },
    };
    for (size_t i = 0; i < 2; i++) {
        int fd = open(values[i][0], O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (write(fd, values[i][1], strlen(values[i][1])) < 0) { /* the kernel's default stays */
        }
        close(fd);
    }
}

static int child_network(struct launch *l)
{
    uint16_t port = NT_WAY_OUT_PORT;
    int sys = enforce_spaces_loopback();
    open_ports();
    if (sys || !(l->flags & PLAN_WAY_OUT))
        return sys;
    return enforce_spaces_listen(&port, &l->listener_fd);
}

/* Sends the listener out; the engine accepts from it, the guest keeps it for the next engine. */
static int child_listener(struct launch *l)
{
    if (l->listener_fd < 0)
        return 0;
    struct launch_report report = { .kind = REPORT_LISTENER };
    ssize_t sent = nt_send_fds(LAUNCH_FD_REPORT, &report, sizeof(report), &l->listener_fd, 1, 0);
    return sent < 0 ? errno : 0;
}

static int child_limits(struct launch *l)
{
    (void)l;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return errno;
    files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
    return setrlimit(RLIMIT_NOFILE, &files) < 0 ? errno : 0;
}

/* Puts a descriptor on its number for the guest; it outlives the exec, also when it has that number
 * already. */
static int place(int fd, int target)
{
    if (fd < 0)
        return 0;
    return (fd == target ? fcntl(fd, F_SETFD, 0) : dup2(fd, target)) < 0 ? errno : 0;
}

static int child_descriptors(struct launch *l)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return errno;
    /* Out of the way first: numbers 3 to 10 are sources and targets. */
    int from[6 + LIMITS_COUNTERS] = { LAUNCH_FD_SOCKET, l->listener_fd, LAUNCH_FD_READY,
                                      l->jobs_fd,       l->guest_fd,    l->status_fd };
    memcpy(from + 6, l->counters, sizeof(l->counters));
    for (size_t i = 0; i < 6 + LIMITS_COUNTERS; i++)
        if (from[i] >= 0 && (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 32)) < 0)
            return errno;
    int sys = 0;
    for (int i = 0; i < 3 && !sys; i++)
        sys = place(null, i);
    for (int i = 3; i < 16; i++)
        close(i);
    if (!sys)
        sys = place(from[0], 3);
    if (!sys)
        sys = place(from[1], 4);
    if (!sys)
        sys = place(from[2], 5);
    l->status_fd = from[5];
    l->guest_fd = from[4];
    /* A descriptor that can be listed and written through, not only named: opened from inside the
     * new root. */
    int jobs = openat(from[3], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!sys && jobs < 0)
        sys = errno;
    if (!sys)
        sys = place(jobs, GUEST_FD_JOBS);
    for (int i = 0; i < LIMITS_COUNTERS && !sys; i++)
        sys = place(from[6 + i], 7 + i);
    if (!sys
        && syscall(SYS_close_range, 7 + LIMITS_COUNTERS, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) < 0)
        sys = errno;
    return sys;
}

static int child_signals(struct launch *l)
{
    (void)l;
    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            signal(i, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return setsid() < 0 && errno != EPERM ? errno : 0;
}

static int child_exec(struct launch *l)
{
    char workspace[64];
    snprintf(workspace, sizeof(workspace), "NANOTERM_WORKSPACE=%.40s", l->id);
    static char proxy[] = "http://127.0.0.1:3128";
    /* Not literals below: what is made inside the braces of an if ends there. */
    static char direct[] = "no_proxy=localhost,127.0.0.1,::1",
                also_direct[] = "NO_PROXY=localhost,127.0.0.1,::1";
    _Static_assert(NT_WAY_OUT_PORT == 3128, "the environment names the port");
    char texts[5][64];
    static const char *const names[] = { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                                         "ALL_PROXY" };
    char *environment[24] = {
        (char[]){ "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
        (char[]){ "HOME=/home/agent" },
        (char[]){ "USER=agent" },
        (char[]){ "LOGNAME=agent" },
        (char[]){ "SHELL=/bin/bash" },
        (char[]){ "LANG=C.UTF-8" },
        workspace,
    };
    size_t count = 7;
    if (l->flags & PLAN_WAY_OUT) {
        for (size_t i = 0; i < 5; i++) {
            snprintf(texts[i], sizeof(texts[i]), "%s=%s", names[i], proxy);
            environment[count++] = texts[i];
        }
        environment[count++] = direct;
        environment[count++] = also_direct;
    }
    char id[48];
    snprintf(id, sizeof(id), "%.40s", l->id);
    static char listener[] = "--listener", memory[] = "--memory-bytes";
    char bytes[24];
    char *arguments[8] = { (char[]){ "nanoterm-guest" }, (char[]){ "--workspace" }, id };
    size_t words = 3;
    if (l->listener_fd >= 0)
        arguments[words++] = listener;
    if (l->watched_bytes) {
        snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)l->watched_bytes);
        arguments[words++] = memory;
        arguments[words++] = bytes;
    }
    if (chdir("/") < 0 || prctl(PR_SET_PDEATHSIG, 0) < 0)
        return errno;
    syscall(SYS_execveat, l->guest_fd, "", arguments, environment, AT_EMPTY_PATH);
    return errno;
}

static const struct launch_step steps[] = {
    { "wait for the maps", child_wait, NULL },
    { "user", child_user, child_user_verify },
    { "folders", child_trees, NULL },
    { "private mounts", root_private, NULL },
    { "attach", child_attach, NULL },
    { "network", child_network, NULL },
    { "root overlay", root_overlay, NULL },
    { "layers", root_layers, NULL },
    { "devices", root_devices, NULL },
    { "proc and sys", root_kernel, NULL },
    { "temporary folders", root_temporary, NULL },
    { "package database", root_packages, NULL },
    { "leave the host's root", root_pivot, root_pivot_verify },
    { "names", child_names, NULL },
    { "way out", child_listener, NULL },
    { "limits of the guest", child_limits, NULL },
    { "signals", child_signals, NULL },
    { "descriptors", child_descriptors, NULL },
    { "landlock", confine_landlock, confine_landlock_verify },
    { "capabilities", confine_capabilities, confine_capabilities_verify },
    { "system call filter", confine_calls, NULL },
    { "start the guest", child_exec, NULL },
};

/* Tests: the launcher is killed while this step is due. This process is PID 1 and cannot kill
 * itself. */
static _Noreturn void stop_launcher(struct launch *l)
{
    struct launch_report report = { .kind = REPORT_STOP };
    if (write(l->status_fd, &report, sizeof(report)) < 0)
        _exit(98);
    for (;;)
        pause();
}

_Noreturn void child_run(struct launch *l)
{
    umask(0);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (l->stop_at && strcmp(l->stop_at, steps[i].name) == 0)
            stop_launcher(l);
        int sys = steps[i].apply(l);
        if (!sys && steps[i].verify)
            sys = steps[i].verify(l);
        if (!sys)
            continue;
        struct launch_report report = { .kind = REPORT_FAILED, .sys = sys };
        snprintf(report.step, sizeof(report.step), "%s", steps[i].name);
        if (write(l->status_fd, &report, sizeof(report)) < 0)
            _exit(98);
        _exit(97);
    }
    _exit(96);
}
