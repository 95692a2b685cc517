/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_namespaces_test.c - processes in namespaces of their own, as root and as a normal user:
 * what they see, what is hidden from them, and what happens where none can be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/sandbox-enforce/enforce/namespaces.h"

static char folder[] = "/tmp/nt-spaces-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[8][160];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    mkdir(in_folder("closed"), 0755);
    put("closed/key", "key");
    put(".env", "secret");
    put("open", "open");
    return symlink(".env", in_folder("link"));
}

static int teardown(void **state)
{
    (void)state;
    char command[160];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static int reap(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What WORK returns in a child with those namespaces. */
static int within(uint32_t spaces, int (*work)(void))
{
    const char *why = "";
    pid_t pid;
    int pidfd, sys = enforce_spaces_fork(spaces, &pid, &pidfd, &why);
    if (sys)
        fail_msg("fork: %s: %s", strerror(sys), why);
    if (pid == 0)
        _exit(work());
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 30000), 1);
    close(pidfd);
    return reap(pid);
}

static bool can_read(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool readable = fd >= 0 && read(fd, &byte, 1) == 1;
    if (fd >= 0)
        close(fd);
    return readable;
}

/* --- who one is, and what one sees --------------------------------------------------------- */

static uid_t own_user;
static gid_t own_group;

static int is_first(void)
{
    return getpid() == 1 && getuid() == own_user && getgid() == own_group ? 0 : 1;
}

static int is_anybody(void)
{
    return getpid() != 1 ? 0 : 1;
}

static void the_child_is_first_and_the_same_user(void **state)
{
    (void)state;
    own_user = getuid(), own_group = getgid();
    assert_int_equal(within(ENFORCE_SPACE_PID, is_first), 0);
    assert_int_equal(within(0, is_anybody), 0);
    /* The files of /proc, where maps are written, are root's then. */
    assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
    assert_int_equal(within(ENFORCE_SPACE_PID | ENFORCE_SPACE_MOUNT, is_first), 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
    assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0);
}

static char parent_status[64];

static int sees_itself_only(void)
{
    if (!can_read(parent_status))
        return 2;
    if (enforce_spaces_proc(false))
        return 3;
    return !can_read(parent_status) && can_read("/proc/1/status") ? 0 : 1;
}

static void proc_shows_the_namespace_only(void **state)
{
    (void)state;
    snprintf(parent_status, sizeof(parent_status), "/proc/%d/status", (int)getpid());
    assert_int_equal(within(ENFORCE_SPACE_PID | ENFORCE_SPACE_MOUNT, sees_itself_only), 0);
    assert_true(can_read(parent_status));
}

/* --- hiding -------------------------------------------------------------------------------- */

static int privileges_dropped(void)
{
    struct enforce e;
    enum enforce_layer layer;
    enforce_init(&e);
    e.calls = ENFORCE_CALLS_NAMESPACES;
    return enforce_prepare(&e, &layer) || enforce_enter(&e, &layer);
}

/* 0: hidden from everybody inside, by every way that is left to one without privilege. */
static int is_hidden(void)
{
    const char *const paths[] = { in_folder("closed"), in_folder(".env"), in_folder("missing") };
    char dots[200];
    size_t failed;
    if (enforce_spaces_hide(paths, 3, &failed))
        return 2;
    if (privileges_dropped())
        return 3;
    snprintf(dots, sizeof(dots), "%s/../%s/.env", folder, folder + 5);
    if (can_read(paths[0]) || can_read(in_folder("closed/key")) || can_read(paths[1])
        || can_read(in_folder("link")) || can_read(dots) || open(paths[0], O_RDONLY) >= 0)
        return 4;
    if (chmod(paths[1], 0644) == 0 || chmod(paths[0], 0755) == 0
        || open(paths[1], O_WRONLY | O_TRUNC) >= 0)
        return 5;
    if (umount2(paths[1], MNT_DETACH) == 0 || unshare(CLONE_NEWUSER) == 0)
        return 6;
    if (unlink(paths[1]) == 0 || rename(paths[1], in_folder("moved")) == 0
        || rename(in_folder("open"), paths[1]) == 0 || rmdir(paths[0]) == 0)
        return 7;
    if (link(paths[1], in_folder("linked")) == 0)
        return 8;
    /* Nothing of the cover is left to be seen from the root. */
    if (open("/../file", O_PATH) >= 0 || open("/../folder", O_PATH) >= 0)
        return 9;
    return can_read(in_folder("open")) ? 0 : 10;
}

static int refuses_links(void)
{
    const char *const paths[] = { in_folder("open"), in_folder("link") };
    size_t failed = 9;
    return enforce_spaces_hide(paths, 2, &failed) == ELOOP && failed == 1 ? 0 : 1;
}

static void what_is_hidden_stays_so_inside_and_nothing_changes_outside(void **state)
{
    (void)state;
    struct stat before, after;
    assert_int_equal(stat(in_folder(".env"), &before), 0);
    assert_int_equal(within(ENFORCE_SPACE_MOUNT, is_hidden), 0);
    assert_int_equal(within(ENFORCE_SPACE_MOUNT, refuses_links), 0);
    assert_int_equal(stat(in_folder(".env"), &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_mode == after.st_mode);
    assert_true(can_read(in_folder(".env")) && can_read(in_folder("closed/key")));
}

/* Somebody outside saves the hidden file anew, as editors do; then says so on a pipe. */
static int said[2], asked[2];

static int stays_hidden(void)
{
    const char *const paths[] = { in_folder(".env"), in_folder("closed") };
    size_t failed, again;
    char byte;
    int watch;
    if (enforce_spaces_watch(paths, 2, &watch) || enforce_spaces_hide(paths, 2, &failed))
        return 2;
    if (enforce_spaces_hide_again(watch, NULL, 0, paths, 2, &again) || again != 0
        || can_read(paths[0]))
        return 3;
    if (write(asked[1], "r", 1) != 1 || read(said[0], &byte, 1) != 1)
        return 4;
    /* What makes the watch necessary. A kernel that keeps the cover would be welcome. */
    bool was_bare = can_read(paths[0]);
    struct pollfd p = { .fd = watch, .events = POLLIN };
    if (poll(&p, 1, 30000) != 1)
        return 5;
    if (enforce_spaces_hide_again(watch, NULL, 0, paths, 2, &again) || again != was_bare)
        return 6;
    if (can_read(paths[0]) || can_read(in_folder("closed/key")))
        return 7;
    /* A link, which nothing can be mounted on, is told. */
    if (write(asked[1], "l", 1) != 1 || read(said[0], &byte, 1) != 1)
        return 8;
    return enforce_spaces_hide_again(watch, NULL, 0, paths, 2, &again) == ELOOP ? 0 : 9;
}

static void what_is_saved_anew_outside_is_hidden_again(void **state)
{
    (void)state;
    const char *why;
    char byte;
    pid_t pid;
    int pidfd;
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    assert_int_equal(pipe2(asked, O_CLOEXEC), 0);
    assert_int_equal(enforce_spaces_fork(ENFORCE_SPACE_MOUNT, &pid, &pidfd, &why), 0);
    if (pid == 0)
        _exit(stays_hidden());
    close(asked[1]);
    close(said[0]);
    while (read(asked[0], &byte, 1) == 1) {
        if (byte == 'r')
            put("new", "secret");
        else
            assert_int_equal(symlink("open", in_folder("new")), 0);
        assert_int_equal(rename(in_folder("new"), in_folder(".env")), 0);
        assert_int_equal(write(said[1], "", 1), 1);
    }
    assert_int_equal(reap(pid), 0);
    close(pidfd);
    close(asked[0]);
    close(said[1]);
    assert_int_equal(unlink(in_folder(".env")), 0);
    put(".env", "secret");
}

/* --- read-only ----------------------------------------------------------------------------- */

static int open_path(const char *path)
{
    return open(path, O_PATH | O_CLOEXEC);
}

static bool is_refused(int r)
{
    return r < 0 && errno == EROFS;
}

/* 0: all is read-only but the folder, one file in the other, and what lies in them. */
static int is_readonly_but_places(void)
{
    struct enforce_place places[] = { { .path = in_folder("closed") },
                                      { .path = in_folder("open") },
                                      { .path = in_folder("moved-away") },
                                      { .path = "/dev/null" } };
    const size_t count = sizeof(places) / sizeof(places[0]);
    char key[160], there[64];
    snprintf(key, sizeof(key), "%s", in_folder("closed/key"));
    const char *const hidden[] = { key };
    size_t failed;
    for (size_t i = 0; i < count; i++)
        places[i].fd = open_path(i == 2 ? folder : places[i].path); /* something else by now */
    if (enforce_spaces_readonly(places, count))
        return 2;
    if (!is_refused(chmod(in_folder(".env"), 0644)) || !is_refused(chmod(folder, 0700))
        || !is_refused(utimensat(AT_FDCWD, in_folder(".env"), NULL, 0))
        || !is_refused(open(in_folder("new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600))
        || !is_refused(rename(in_folder(".env"), in_folder("moved"))))
        return 3;
    if (chmod(in_folder("closed"), 0755) || chmod(in_folder("open"), 0644)
        || open(in_folder("closed/new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0
        || unlink(in_folder("closed/new")) || open(in_folder("open"), O_RDWR | O_CLOEXEC) < 0)
        return 4;
    if (open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) < 0
        || !is_refused(chmod("/dev/null", 0666)))
        return 5;
    /* By a descriptor of the place that was opened before, as by that of another mount. */
    snprintf(there, sizeof(there), "/proc/self/fd/%d", places[0].fd);
    if (!is_refused(chmod(there, 0755)))
        return 6;
    /* What is hidden in a place is. */
    if (!can_read(hidden[0]) || enforce_spaces_hide(hidden, 1, &failed) || can_read(hidden[0])
        || !is_refused(chmod(hidden[0], 0644)))
        return 7;
    /* No way back for one without privilege. */
    const struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };
    if (privileges_dropped() || mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0
        || syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)) == 0
        || umount2(in_folder("closed"), MNT_DETACH) == 0)
        return 8;
    return is_refused(chmod(in_folder(".env"), 0644)) ? 0 : 9;
}

static void all_is_read_only_but_places(void **state)
{
    (void)state;
    struct stat before, after;
    assert_true(enforce_spaces_has_readonly());
    assert_int_equal(stat(in_folder(".env"), &before), 0);
    assert_int_equal(within(ENFORCE_SPACE_MOUNT, is_readonly_but_places), 0);
    assert_int_equal(stat(in_folder(".env"), &after), 0);
    assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    /* Outside nothing is. */
    assert_int_equal(chmod(in_folder(".env"), 0644), 0);
}

/* What was read-only before is not made writable by lying in a place. */
static int keeps_what_was_readonly(void)
{
    if (mount("none", in_folder("closed"), "tmpfs", MS_RDONLY, NULL) < 0)
        return 2;
    struct enforce_place place = { .path = folder, .fd = open_path(folder) };
    if (enforce_spaces_readonly(&place, 1))
        return 3;
    return is_refused(open(in_folder("closed/new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600))
                   && chmod(folder, 0700) == 0
               ? 0
               : 4;
}

static void a_mount_in_a_place_stays_what_it_was(void **state)
{
    (void)state;
    assert_int_equal(within(ENFORCE_SPACE_MOUNT, keeps_what_was_readonly), 0);
}

/* Where a mount namespace is not one's own, nothing changes. */
static int cannot_be_had(void)
{
    struct enforce_place place = { .path = in_folder("closed"), .fd = open_path(folder) };
    if (privileges_dropped() || enforce_spaces_has_readonly())
        return 2;
    if (enforce_spaces_readonly(&place, 1) != EOPNOTSUPP)
        return 3;
    return chmod(in_folder("open"), 0644);
}

static void where_it_cannot_be_had_nothing_changes(void **state)
{
    (void)state;
    assert_int_equal(within(0, cannot_be_had), 0);
}

/* --- network ------------------------------------------------------------------------------- */

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int sys = connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
    close(fd);
    return sys;
}

static uint16_t outer_port;

static int reaches_itself_only(void)
{
    uint16_t port = 0, same = outer_port;
    int fd, same_fd;
    if (connect_to(outer_port) == 0)
        return 2;
    if (enforce_spaces_loopback() || enforce_spaces_listen(&port, &fd))
        return 3;
    if (!port || connect_to(port))
        return 4;
    if (connect_to(outer_port) != ECONNREFUSED)
        return 5;
    /* A number that is taken outside is free here. */
    return enforce_spaces_listen(&same, &same_fd) || same != outer_port ? 6 : 0;
}

static void the_loopback_is_its_own(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(enforce_spaces_listen(&outer_port, &fd), 0);
    assert_int_equal(connect_to(outer_port), 0);
    assert_int_equal(within(ENFORCE_SPACE_NETWORK | ENFORCE_SPACE_IPC, reaches_itself_only), 0);
    close(fd);
}

/* --- where none can be had ------------------------------------------------------------------- */

static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    const struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    return (int)syscall(SYS_capset, &head, data);
}

/* In a user namespace that may have none beneath it: another number than the machine's. */
static int has_none(void)
{
    const char *why = NULL;
    pid_t pid = -5;
    int pidfd = -5;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) < 0 || enforce_spaces_map(getpid(), uid, uid, gid, gid))
        return 2;
    int fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        return 3;
    close(fd);
    if (drop_capabilities() < 0)
        return 4;
    if (enforce_spaces_fork(ENFORCE_SPACE_PID | ENFORCE_SPACE_MOUNT, &pid, &pidfd, &why) != ENOSPC)
        return 5;
    if (pid != -5 || pidfd != -5 || !why || !strstr(why, "max_user_namespaces"))
        return 6;
    if (waitpid(-1, NULL, 0) != -1 || errno != ECHILD)
        return 7;
    return enforce_spaces_probe(15, &why) == 0 ? 0 : 8;
}

static void where_none_can_be_had_the_remedy_is_named(void **state)
{
    (void)state;
    assert_int_equal(within(0, has_none), 0);
}

/* The kernel's reason there has no sysctl: the root is not that of the mount namespace. */
static int in_a_chroot(void)
{
    const char *why = NULL;
    pid_t pid;
    int pidfd;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) < 0 || enforce_spaces_map(getpid(), uid, uid, gid, gid))
        return 2;
    if (strstr(enforce_spaces_remedy(EPERM), "this process runs in a chroot"))
        return 3;
    if (chroot(folder) < 0 || chdir("/") < 0 || drop_capabilities() < 0)
        return 4;
    if (enforce_spaces_fork(ENFORCE_SPACE_PID, &pid, &pidfd, &why) != EPERM)
        return 5;
    return why && strstr(why, "this process runs in a chroot") ? 0 : 6;
}

static void in_a_chroot_that_is_the_reason(void **state)
{
    (void)state;
    assert_int_equal(within(0, in_a_chroot), 0);
}

static int in_a_sandbox(void)
{
    const char *why = NULL;
    pid_t pid;
    int pidfd;
    if (privileges_dropped())
        return 2;
    int sys = enforce_spaces_fork(ENFORCE_SPACE_PID, &pid, &pidfd, &why);
    if (sys == 0)
        return 3;
    if (sys != EPERM || !why)
        return 4;
    /* Where clone3 is said to be missing, a fork is still to be had. */
    return within(0, is_anybody);
}

static void within_another_sandbox_it_is_refused(void **state)
{
    (void)state;
    assert_int_equal(within(0, in_a_sandbox), 0);
}

static void a_probe_says_what_there_is(void **state)
{
    (void)state;
    const char *why = NULL;
    const uint32_t all = ENFORCE_SPACE_MOUNT | ENFORCE_SPACE_PID | ENFORCE_SPACE_NETWORK;
    assert_int_equal(enforce_spaces_probe(all, &why), all);
    assert_int_equal(waitpid(-1, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const char *why = "";
    if (enforce_spaces_probe(ENFORCE_SPACE_PID, &why) == 0) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_child_is_first_and_the_same_user),
        cmocka_unit_test(proc_shows_the_namespace_only),
        cmocka_unit_test(what_is_hidden_stays_so_inside_and_nothing_changes_outside),
        cmocka_unit_test(what_is_saved_anew_outside_is_hidden_again),
        cmocka_unit_test(all_is_read_only_but_places),
        cmocka_unit_test(a_mount_in_a_place_stays_what_it_was),
        cmocka_unit_test(where_it_cannot_be_had_nothing_changes),
        cmocka_unit_test(the_loopback_is_its_own),
        cmocka_unit_test(where_none_can_be_had_the_remedy_is_named),
        cmocka_unit_test(in_a_chroot_that_is_the_reason),
        cmocka_unit_test(within_another_sandbox_it_is_refused),
        cmocka_unit_test(a_probe_says_what_there_is),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
