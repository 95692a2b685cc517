/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - nanoterm-launch: makes the namespaces of one workspace, puts the guest into them,
 * reports, and exits.
 *
 * In: a plan on descriptor 3 and the descriptors of plan.h. Out: reports on descriptor 4. A fresh
 * program of one thread, so that nothing of the server's memory or locks is in what becomes the
 * guest. The guest is nobody's child that matters: it outlives the launcher and the server. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nanoterm/engine.h"
#include "nanoterm/guest.h"
#include "plugins/sandbox-enforce/enforce/namespaces.h"
#include "sdk/fds.h"

#define NAMESPACES                                                                                 \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS       \
     | CLONE_NEWCGROUP)

static void send_report(const struct launch_report *report, int fd)
{
    if (nt_send_fds(LAUNCH_FD_REPORT, report, sizeof(*report), &fd, fd >= 0 ? 1 : 0, 0) < 0)
        _exit(3); /* the engine is gone: what was made dies with us */
}

static _Noreturn void fail(const char *step, int sys, const char *message)
{
    struct launch_report report = { .kind = REPORT_FAILED, .sys = sys };
    snprintf(report.step, sizeof(report.step), "%s", step);
    snprintf(report.message, sizeof(report.message), "%s", message ? message : "");
    send_report(&report, -1);
    _exit(1);
}

static bool take_text(const struct nt_g_field *f, const char **ret)
{
    char *text = memchr(f->data, 0, f->size) ? NULL : malloc((size_t)f->size + 1);
    if (!text)
        return false;
    memcpy(text, f->data, f->size);
    text[f->size] = '\0';
    *ret = text;
    return true;
}

static bool take_field(struct launch *l, const struct nt_g_field *f)
{
    int ok = 1;
    switch (f->tag) {
    case PLAN_ID:
        return take_text(f, &l->id);
    case PLAN_HOSTNAME:
        return take_text(f, &l->hostname);
    case PLAN_IMAGE:
        return take_text(f, &l->image);
    case PLAN_WORKSPACE:
        return take_text(f, &l->workspace);
    case PLAN_GUEST:
        return take_text(f, &l->guest);
    case PLAN_STOP_AT:
        return take_text(f, &l->stop_at);
    case PLAN_LAYER:
        return l->layer_count < LAYERS_MAX && take_text(f, &l->layers[l->layer_count++]);
    case PLAN_FLAGS:
        l->flags = (uint32_t)nt_g_number(f, &ok);
        return ok;
    case PLAN_UID:
        l->uid = (uid_t)nt_g_number(f, &ok);
        return ok;
    case PLAN_GID:
        l->gid = (gid_t)nt_g_number(f, &ok);
        return ok;
    case PLAN_CPU_MILLIS:
        l->limits.cpu_millis = (uint32_t)nt_g_number(f, &ok);
        return ok;
    case PLAN_PIDS:
        l->limits.pids = (uint32_t)nt_g_number(f, &ok);
        return ok;
    case PLAN_MEMORY:
        l->limits.memory_bytes = nt_g_number(f, &ok);
        return ok;
    default:
        return false;
    }
}

static void read_plan(struct launch *l)
{
    static uint8_t memory[PLAN_MAX];
    struct nt_g_frame frame;
    struct nt_g_field field;
    size_t at = 0;
    int more;
    ssize_t n = pread(LAUNCH_FD_PLAN, memory, sizeof(memory), 0);
    if (n <= 0 || nt_g_next(memory, (size_t)n, &frame) != n || frame.type != PLAN_FRAME)
        fail("plan", EINVAL, NULL);
    while ((more = nt_g_each(frame.payload, frame.size, &at, &field)) == 1)
        if (!take_field(l, &field))
            fail("plan", EINVAL, NULL);
    if (more < 0 || !l->id || !l->hostname || !l->image || !l->workspace || !l->guest)
        fail("plan", EINVAL, NULL);
    l->limits.id = l->id;
}

static _Noreturn void idle(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        pause();
}

/* As root: can a user namespace be made here? In a chroot only once its tree is the root. */
static void ensure_namespaces(void)
{
    long pid = enforce_spaces_clone(CLONE_NEWUSER, -1, NULL);
    if (pid == 0)
        _exit(0);
    if (pid > 0) {
        waitpid((pid_t)pid, NULL, 0);
        return;
    }
    int refused = errno, sys = refused == EPERM ? chroot_leave() : refused;
    if (sys)
        fail("namespaces", refused, enforce_spaces_remedy(refused));
}

/* As root: a user namespace whose only use is its map, DISK_UID → the workspace's uid, for the
 * idmapped mounts. */
static void map_trees(struct launch *l)
{
    long pid = enforce_spaces_clone(CLONE_NEWUSER, -1, NULL);
    if (pid == 0)
        idle();
    if (pid < 0)
        fail("id map", errno, NULL);
    char path[64];
    int fd = -1, sys = enforce_spaces_map((pid_t)pid, DISK_UID, l->uid, DISK_UID, l->gid);
    snprintf(path, sizeof(path), "/proc/%ld/ns/user", pid);
    if (!sys && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        sys = errno;
    kill((pid_t)pid, SIGKILL);
    waitpid((pid_t)pid, NULL, 0);
    if (!sys)
        sys = trees_map(l, fd);
    if (sys)
        fail("id map", sys,
             "this kernel or file system has no idmapped mounts: run the server as a normal user");
    close(fd);
}

/* Ticks since boot at which the process started: with boot id and pid its identity. */
static int read_identity(pid_t pid, struct launch_report *ret)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return EIO;
    text[n] = '\0';
    char *p = strrchr(text, ')'); /* the name may contain anything */
    for (int i = 0; p && i < 20; i++)
        p = strchr(p + 1, ' ');
    if (!p)
        return EIO;
    ret->start = strtoull(p, NULL, 10);
    ret->pid = pid;
    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    n = read(fd, ret->boot, 36);
    close(fd);
    return n == 36 ? 0 : EIO;
}

/* Written before the guest starts, so that an engine that dies now finds it again, with how firmly
 * its limits hold. */
static int write_record(const struct launch_report *r, const struct limits_strength *strength)
{
    char text[128];
    int size =
        snprintf(text, sizeof(text), "%s %lld %llu %u %u %u\n", r->boot, (long long)r->pid,
                 (unsigned long long)r->start, strength->cpu, strength->memory, strength->pids);
    int fd = openat(LAUNCH_FD_WORKSPACE, "run.new",
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int sys = write(fd, text, (size_t)size) == size ? 0 : errno;
    close(fd);
    if (!sys && renameat(LAUNCH_FD_WORKSPACE, "run.new", LAUNCH_FD_WORKSPACE, "run") < 0)
        sys = errno;
    return sys;
}

static void stop_here(const struct launch *l, const char *step)
{
    if (l->stop_at && strcmp(l->stop_at, step) == 0)
        kill(getpid(), SIGKILL);
}

int main(void)
{
    struct launch l = { .image_fd = -1,
                        .layer_fd = -1,
                        .dpkg_fd = -1,
                        .guest_fd = -1,
                        .jobs_fd = -1,
                        .listener_fd = -1 };
    for (size_t i = 0; i < LAYERS_MAX; i++)
        l.host_fds[i] = -1;
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    for (int i = LAUNCH_FD_PLAN; i < LAUNCH_FD_COUNT; i++)
        if (fcntl(i, F_SETFD, FD_CLOEXEC) < 0)
            _exit(2);
    read_plan(&l);

    int sys;
    if (l.flags & PLAN_AS_ROOT) {
        /* Groups of root would stay inside, unmapped but with their rights. */
        if (setgroups(0, NULL) < 0)
            fail("groups", errno, NULL);
        ensure_namespaces();
        if ((sys = trees_open(&l)) != 0)
            fail("folders", sys, NULL);
        map_trees(&l);
    }
    int go[2], status[2], pidfd = -1;
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(status, O_CLOEXEC) < 0)
        fail("pipes", errno, NULL);
    stop_here(&l, "clone");
    struct limits_strength strength = { 0 };
    int group = -1;
    limits_enter(&l.limits, &strength, &group);
    limits_open_counters(l.id, l.counters);
    l.watched_bytes = strength.memory == NT_LIMIT_HARD ? 0 : l.limits.memory_bytes;
    long pid = enforce_spaces_clone(NAMESPACES, group, &pidfd);
    if (pid < 0)
        fail("namespaces", errno, enforce_spaces_remedy(errno));
    if (pid == 0) {
        close(go[1]);
        close(status[0]);
        l.go_fd = go[0];
        l.status_fd = status[1];
        child_run(&l);
    }
    close(go[0]);
    close(status[1]);
    struct launch_report report = { .kind = REPORT_PIDFD };
    sys = read_identity((pid_t)pid, &report);
    if (sys)
        fail("identity", sys, NULL);
    send_report(&report, pidfd);
    stop_here(&l, "maps");
    if ((sys = enforce_spaces_map((pid_t)pid, INSIDE_UID, l.uid, INSIDE_GID, l.gid)) != 0)
        fail("maps", sys, NULL);
    limits_apply(&l.limits, (pid_t)pid, &strength);
    if ((sys = write_record(&report, &strength)) != 0)
        fail("record", sys, NULL);
    stop_here(&l, "go");
    if (write(go[1], "g", 1) != 1)
        fail("start", errno, NULL);
    struct launch_report failed;
    ssize_t n = read(status[0], &failed, sizeof(failed));
    if (n == (ssize_t)sizeof(failed)) {
        if (failed.kind == REPORT_STOP)
            kill(getpid(), SIGKILL);
        waitpid((pid_t)pid, NULL, 0);
        fail(failed.step, failed.sys, failed.message);
    }
    /* End of file: the guest was executed, or the child was killed, which the engine sees on the
     * pidfd. */
    report.kind = REPORT_RUNNING;
    report.limit_cpu = strength.cpu;
    report.limit_memory = strength.memory;
    report.limit_pids = strength.pids;
    send_report(&report, -1);
    return 0;
}
