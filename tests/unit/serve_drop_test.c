/* SPDX-License-Identifier: Apache-2.0 */
/* serve_drop_test.c - what somebody who took the API process over could still do: tried from
 * inside, in a child that gave its privilege up the same way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/serve/monitor/drop.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/nt-drop-XXXXXX");
    return mkdtemp(folder) && chown(folder, API_UID, API_UID) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    char path[96];
    (void)state;
    snprintf(path, sizeof(path), "%s/file", folder);
    unlink(path);
    return rmdir(folder);
}

static void *nothing(void *data)
{
    return data;
}

#define TRY(good)                                                                                  \
    do                                                                                             \
        if (!(good)) {                                                                             \
            fprintf(stderr, "%s:%d: %s, errno %d\n", __FILE__, __LINE__, #good, errno);            \
            return 1;                                                                              \
        }                                                                                          \
    while (0)

static int opens(const char *path, int flags)
{
    nt_autoclose int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd >= 0;
}

static int attack(int store)
{
    struct drop drop = { .uid = API_UID, .gid = API_UID, .store_fd = store };
    struct nt_error error = NT_ERROR_INIT;
    char *argv[] = { NULL };
    TRY(drop_privileges(&drop, &error) == 0);
    TRY(getuid() == API_UID && setuid(0) < 0 && setgid(0) < 0);
    TRY(!opens("/etc/shadow", O_RDONLY) && !opens("/proc/1/environ", O_RDONLY));
    TRY(!opens("/proc/self/mem", O_RDWR));
    TRY(execve("/bin/true", argv, argv) < 0 && errno == EPERM);
    TRY(fork() < 0 && errno == EPERM);
    TRY(ptrace(PTRACE_ATTACH, getppid(), 0, 0) < 0 && errno == EPERM);
    TRY(kill(getppid(), SIGTERM) < 0 && errno == EPERM);
    TRY(chroot("/") < 0 && socket(AF_PACKET, SOCK_RAW, 0) < 0);
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1u) < 1)
        return 0; /* a kernel without that fence: the rest is the uid's */
    TRY(mkdir("sub", 0700) < 0 && symlink("/", "link") < 0);
    /* What everybody may write to is none of its business either. */
    TRY(!opens("/tmp/nt-drop-outside", O_WRONLY | O_CREAT)
        && !opens("/dev/shm/x", O_RDWR | O_CREAT));
    /* What it needs it can do. */
    TRY(symlinkat("/", store, "link") < 0 && mknodat(store, "pipe", S_IFIFO | 0600, 0) < 0);
    TRY(fchdir(store) == 0 && opens("file", O_RDWR | O_CREAT | O_EXCL));
    TRY(opens("/etc/passwd", O_RDONLY));
    pthread_t thread;
    TRY(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    nt_autoclose int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TRY(tcp >= 0);
    return 0;
}

static void what_is_given_up_is_gone(void **state)
{
    (void)state;
    nt_autoclose int store = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(store >= 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(attack(store));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_uid_of_root_is_refused(void **state)
{
    (void)state;
    nt_autoclose int store = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        struct drop drop = { .uid = 0, .gid = 0, .store_fd = store };
        struct nt_error error = NT_ERROR_INIT;
        _exit(drop_privileges(&drop, &error) < 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    if (geteuid() != 0) {
        fprintf(stderr, "skipped: only root has privilege to give up\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_given_up_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_uid_of_root_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
