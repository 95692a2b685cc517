/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c - what the kernel gives, tried by the call that will need it, in a child of its own that
 * leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/seccomp.h>

#include "doctor.h"
#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* What a probe child ends with: the step that failed, and errno. */
struct outcome {
    int step, sys;
};

static int write_text(const char *path, const char *text)
{
    nt_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static bool read_text(const char *path, char *ret, size_t size)
{
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    return n >= 0;
}

/* Runs a probe in a child; step 0: all went well. */
static struct outcome probe(int (*fn)(void))
{
    struct outcome outcome = { -1, EAGAIN };
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return outcome;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        errno = 0;
        struct outcome mine = { .step = fn() };
        mine.sys = errno;
        ssize_t n = write(ends[1], &mine, sizeof(mine));
        _exit(n < 0);
    }
    close(ends[1]);
    if (pid > 0) {
        if (read(ends[0], &outcome, sizeof(outcome)) != (ssize_t)sizeof(outcome))
            outcome = (struct outcome){ -1, EIO };
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    close(ends[0]);
    return outcome;
}

enum { STEP_USERNS = 1, STEP_MAPS, STEP_MOUNT, STEP_OVERLAY };

/* As the launcher does: one uid is mapped, by the process itself; newuidmap is not needed. */
static int enter_namespaces(void)
{
    char map[64], groups[64];
    snprintf(map, sizeof(map), "1000 %u 1", geteuid());
    snprintf(groups, sizeof(groups), "1000 %u 1", getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return STEP_USERNS;
    if (write_text("/proc/self/setgroups", "deny") < 0 || write_text("/proc/self/uid_map", map) < 0
        || write_text("/proc/self/gid_map", groups) < 0)
        return STEP_MAPS;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
        || mount("probe", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") < 0)
        return STEP_MOUNT;
    return 0;
}

static int try_namespaces(void)
{
    return enter_namespaces();
}

static int try_overlay(void)
{
    int step = enter_namespaces();
    if (step)
        return step;
    if (mkdir("/tmp/l", 0755) < 0 || mkdir("/tmp/u", 0755) < 0 || mkdir("/tmp/w", 0755) < 0
        || mkdir("/tmp/m", 0755) < 0
        || mount("probe", "/tmp/m", "overlay", 0,
                 "userxattr,lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w")
               < 0)
        return STEP_OVERLAY;
    return 0;
}

static uint64_t mount_of_root(void)
{
    struct statx st;
    return statx(AT_FDCWD, "/", 0, STATX_MNT_ID, &st) == 0 ? st.stx_mnt_id : 0;
}

/* Entering our own mount namespace once more leads to its root: another mount than ours, then ours
 * was changed. Only root may try. */
static int try_own_root(void)
{
    nt_autoclose int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    uint64_t before = mount_of_root();
    if (fd < 0 || !before || setns(fd, CLONE_NEWNS) < 0)
        return 2;
    return mount_of_root() != before;
}

/* Whether our root is not the root of its mount namespace: the kernel makes no user namespace
 * there. Without rights only a root that is no mount's gives it away. */
static bool is_chroot(void)
{
    struct statx root;
    if (probe(try_own_root).step == 1)
        return true;
    return statx(AT_FDCWD, "/", 0, STATX_TYPE, &root) == 0
           && root.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT
           && !(root.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int say_namespaces(struct nt_call *call, struct nt_error *reterr)
{
    char detail[256], value[32], name[64];
    struct outcome o = probe(try_namespaces);
    bool is_restricted =
        read_text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", value, sizeof(value))
        && strcmp(value, "1") == 0;
    int status = 0;
    if (o.step == 0) {
        status = doctor_say(call, "user namespaces", FINE,
                            "made, mapped and mounted in; newuidmap is not needed", "", -1, reterr);
    } else if (o.step == STEP_USERNS && o.sys == EPERM && is_chroot()) {
        status = doctor_say(call, "user namespaces", geteuid() == 0 ? WARN : FAIL,
                            "refused: this process runs in a chroot, where the kernel makes none",
                            geteuid() == 0 ? "as root nanoterm leaves the chroot for its workspaces"
                                           : "run the server outside of the chroot, or as root",
                            -1, reterr);
    } else {
        const char *remedy =
            o.sys == ENOSPC || o.sys == EUSERS
                ? "raise user.max_user_namespaces and user.max_mnt_namespaces"
            : o.step != STEP_USERNS && is_restricted
                ? "AppArmor keeps their rights back: install the profile of nanoterm, or set "
                  "kernel.apparmor_restrict_unprivileged_userns=0"
                : "allow them (kernel.unprivileged_userns_clone=1), or leave the chroot, or the "
                  "container's profile, that refuses them";
        snprintf(detail, sizeof(detail), "%s: %s",
                 o.step == STEP_USERNS ? "refused"
                 : o.step == STEP_MAPS ? "made, but ids cannot be mapped"
                                       : "made, but nothing can be mounted in them",
                 nt_errno_name(o.sys, name, sizeof(name)));
        status = doctor_say(call, "user namespaces", FAIL, detail, remedy, -1, reterr);
    }
    if (status == 0 && is_restricted && o.step == 0)
        status =
            doctor_say(call, "apparmor", FINE,
                       "restricts user namespaces, but not those of this program", "", -1, reterr);
    return status;
}

static int say_overlay(struct nt_call *call, struct nt_error *reterr)
{
    char detail[160], name[64];
    struct outcome o = probe(try_overlay);
    if (o.step == 0)
        return doctor_say(call, "overlayfs", FINE, "mounted in a user namespace, with userxattr",
                          "", -1, reterr);
    bool is_overlay = o.step == STEP_OVERLAY;
    snprintf(detail, sizeof(detail), "%s: %s",
             is_overlay ? "refused in a user namespace" : "could not be tried, see user namespaces",
             nt_errno_name(o.sys, name, sizeof(name)));
    return doctor_say(call, "overlayfs", is_overlay || geteuid() != 0 ? FAIL : WARN, detail,
                      is_overlay ? "load the module overlay, or use a kernel that has it"
                                 : "solve that first",
                      -1, reterr);
}

/* Only root's server needs them. The namespace is that of a child with a map of its own. */
static int try_idmap(void)
{
    int go[2];
    char path[64], byte;
    if (pipe2(go, O_CLOEXEC) < 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        close(go[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWUSER) == 0 && write(go[1], "g", 1) == 1)
            pause();
        _exit(1);
    }
    close(go[1]);
    bool is_made = pid > 0 && read(go[0], &byte, 1) == 1;
    int userns = -1;
    snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
    if (is_made && write_text(path, "0 1000 1") == 0) {
        snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
        is_made = write_text(path, "0 1000 1") == 0;
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
        userns = is_made ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    }
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/tmp", OPEN_TREE_CLONE | O_CLOEXEC);
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (__u64)userns };
    int sys = userns < 0 ? EPERM : tree < 0 ? errno : 0;
    if (!sys && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        sys = errno;
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    errno = sys;
    return sys ? 1 : 0;
}

static int say_idmap(struct nt_call *call, struct nt_error *reterr)
{
    char detail[160], name[64];
    if (geteuid() != 0)
        return doctor_say(call, "idmapped mounts", FINE, "not needed: only root's server uses them",
                          "", -1, reterr);
    struct outcome o = probe(try_idmap);
    if (o.step == 0)
        return doctor_say(call, "idmapped mounts", FINE, "made", "", -1, reterr);
    snprintf(detail, sizeof(detail), "refused: %s", nt_errno_name(o.sys, name, sizeof(name)));
    return doctor_say(call, "idmapped mounts", WARN, detail,
                      "run the server as a normal user, or on a file system that has them", -1,
                      reterr);
}

static int say_filters(struct nt_call *call, struct nt_error *reterr)
{
    char detail[64];
    int abi = enforce_landlock_version();
    snprintf(detail, sizeof(detail), "ABI %d: files%s%s", abi, abi >= 4 ? ", TCP ports" : "",
             abi >= 6 ? ", signals and abstract sockets" : "");
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    bool has_notify = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    if (doctor_say(call, "landlock", abi > 0 ? FINE : WARN,
                   abi > 0 ? detail : "not offered by this kernel",
                   abi > 0 ? ""
                           : "boot with lsm=landlock,…: --harden and plugins of third parties need "
                             "it, and root's server is fenced less without",
                   -1, reterr)
        < 0)
        return -1;
    return doctor_say(call, "seccomp notify", has_notify ? FINE : WARN,
                      has_notify ? "offered" : "not offered by this kernel",
                      has_notify ? "" : "what was refused inside cannot be told as it happens", -1,
                      reterr);
}

static int say_cgroups(struct nt_call *call, struct nt_error *reterr)
{
    char controllers[512], detail[700];
    struct statfs fs;
    bool is_v2 = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
    if (is_v2) {
        read_text("/sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers));
        snprintf(detail, sizeof(detail), "v2: %s", controllers);
        return doctor_say(call, "control groups", FINE, detail, "", -1, reterr);
    }
    bool memory = access("/sys/fs/cgroup/memory/cgroup.procs", W_OK) == 0;
    bool pids = access("/sys/fs/cgroup/pids/cgroup.procs", W_OK) == 0;
    bool cpu = access("/sys/fs/cgroup/cpu/cgroup.procs", W_OK) == 0;
    snprintf(detail, sizeof(detail), "v1: memory %s, pids %s, cpu %s",
             memory ? "writable" : "not writable", pids ? "writable" : "not writable",
             cpu ? "writable" : "not writable");
    bool is_fine = memory && pids && cpu;
    return doctor_say(call, "control groups", is_fine ? FINE : WARN, detail,
                      is_fine
                          ? ""
                          : "only root can use v1; boot with systemd.unified_cgroup_hierarchy=1 "
                            "for limits that are hard",
                      -1, reterr);
}

int doctor_kernel(struct nt_call *call, struct nt_error *reterr)
{
    if (say_namespaces(call, reterr) < 0 || say_overlay(call, reterr) < 0
        || say_idmap(call, reterr) < 0 || say_filters(call, reterr) < 0
        || say_cgroups(call, reterr) < 0)
        return -1;
    return 0;
}
