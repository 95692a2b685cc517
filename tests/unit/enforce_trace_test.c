/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of strace, as it writes them and as a hostile program would like them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/sandbox-enforce/explain/trace.h"
#include "plugins/sandbox-enforce/explain/trace_dns.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* What was told, one line an event. */
static char told[8192];

static void on_event(void *data, const struct trace_event *e)
{
    (void)data;
    static const char *const acts[] = { "open", "execute", "change", "connect",
                                        "bind", "name",    "unseen" };
    size_t size = strlen(told);
    snprintf(told + size, sizeof(told) - size, "%s%s%s%s %s%s%s:%u error=%d\n", acts[e->act],
             e->access & POLICY_READ ? " r" : "", e->access & POLICY_WRITE ? " w" : "",
             e->is_made     ? " made"
             : e->is_folder ? " folder"
                            : "",
             e->path   ? e->path
             : e->call ? e->call
                       : "",
             e->host    ? e->host
             : e->since ? e->since
                        : "",
             e->address ? e->address : "", e->port, e->error);
}

/* Writes {text} as \xHH. */
static void say(struct trace *t, const char *line)
{
    char text[8192];
    size_t size = 0;
    int is_hex = 0;
    for (const char *c = line; *c; c++) {
        if (*c == '{' || *c == '}')
            is_hex = *c == '{';
        else if (is_hex)
            size +=
                (size_t)snprintf(text + size, sizeof(text) - size, "\\x%02x", (unsigned char)*c);
        else
            text[size++] = *c == '[' ? '{' : *c == ']' ? '}' : *c;
    }
    trace_line(t, text, size);
}

static int begin(void **state)
{
    *state = trace_new("/base", on_event, NULL);
    told[0] = '\0';
    return *state == NULL;
}

static int end(void **state)
{
    trace_free(*state);
    return 0;
}

static void files(void **state)
{
    say(*state, "7  execve(\"{/bin/sh}\", [\"{sh}\"], 0x7ffc /* 35 vars */) = 0");
    say(*state, "7  openat(AT_FDCWD<{/base}>, \"{../etc/./x}\", O_RDONLY|O_CLOEXEC) = 3<{/etc/x}>");
    say(*state, "7  openat(AT_FDCWD<{/base}>, \"{out, \"(}\", O_WRONLY|O_CREAT|O_TRUNC, 0666) = "
                "3<{/base/out, \"(}>");
    say(*state,
        "7  openat(4<{/base/d}>, \"{e}\", O_RDONLY|O_NONBLOCK|O_DIRECTORY) = 5<{/base/d/e}>");
    say(*state, "7  openat(AT_FDCWD<{/base}>, \"{nope}\", O_RDWR) = -1 ENOENT (No such file or "
                "directory)");
    say(*state, "7  openat(AT_FDCWD<{/base}>, \"{p}\", O_RDONLY|O_PATH) = 3<{/base/p}>");
    say(*state, "7  newfstatat(AT_FDCWD<{/base}>, \"{secret}\", 0x7f, 0) = 0");
    assert_string_equal(told, "execute /bin/sh:0 error=0\n"
                              "open r /etc/x:0 error=0\n"
                              "open w made /base/out, \"(:0 error=0\n"
                              "open r folder /base/d/e:0 error=0\n"
                              "open r w /base/nope:0 error=2\n");
}

/* Of a file that is not opened; of a link itself. */
static void modes_and_times(void **state)
{
    say(*state, "7  chmod(\"{a}\", 0755) = 0");
    say(*state, "7  fchmodat(4<{/d}>, \"{b}\", 0600) = 0");
    say(*state, "7  utimensat(AT_FDCWD<{/base}>, \"{c}\", NULL, 0) = 0");
    say(*state, "7  fchownat(AT_FDCWD<{/base}>, \"{e}\", 0, 0, AT_SYMLINK_NOFOLLOW) = 0");
    say(*state, "7  lsetxattr(\"{f}\", \"{user.x}\", \"{1}\", 1, 0) = 0");
    say(*state, "7  setxattr(\"{g}\", \"{user.x}\", \"{1}\", 1, 0) = -1 EROFS (Read-only file "
                "system)");
    assert_string_equal(told, "open w /base/a:0 error=0\n"
                              "open w /d/b:0 error=0\n"
                              "open w /base/c:0 error=0\n"
                              "change /base/e:0 error=0\n"
                              "change /base/f:0 error=0\n"
                              "open w /base/g:0 error=30\n");
}

/* By what is open: a path only while it has one. */
static void open_files(void **state)
{
    say(*state, "7  fchmod(3<{/d/a>, b}>, 0755) = 0");
    say(*state, "7  fchown(3<{/d/c}>, 0, 0) = 0");
    say(*state, "7  fsetxattr(3<{/d/e}>, \"{user.x}\", \"{1}\", 1, 0) = 0");
    say(*state, "7  fremovexattr(3<{/d/f}>, \"{user.x}\") = -1 EROFS (Read-only file system)");
    say(*state, "7  utimensat(3<{/d/g}>, NULL, [UTIME_NOW, UTIME_NOW], 0) = 0");
    say(*state, "7  futimesat(3<{/d/h}>, NULL, NULL) = 0");
    say(*state, "7  fchownat(3<{/d/i}>, \"\", 0, 0, AT_EMPTY_PATH) = 0");
    say(*state, "7  fchmodat2(AT_FDCWD<{/base}>, \"\", 0700, AT_EMPTY_PATH) = 0");
    say(*state, "7  fchownat(3<{/d/link}>, \"\", 0, 0, AT_SYMLINK_NOFOLLOW|AT_EMPTY_PATH) = 0");
    say(*state, "7  setxattrat(3<{/d}>, \"{j}\", AT_SYMLINK_NOFOLLOW, \"{user.x}\", "
                "[value=\"{1}\", size=1, flags=0], 16) = 0");
    say(*state, "7  file_setattr(3<{/d/k}>, NULL, [fa_xflags=0], 24, AT_EMPTY_PATH) = 0");
    say(*state, "7  execveat(3<{/d/run}>, \"\", [\"{run}\"], 0x7ffc, AT_EMPTY_PATH) = 0");
    say(*state, "7  fchmod(3<{/d/gone}>(deleted), 0600) = 0");
    say(*state, "7  fchmod(3<{/d/gone (deleted)}>, 0600) = 0");
    say(*state, "7  fchmod(3<{/memfd:x}>(deleted), 0600) = 0");
    say(*state, "7  fchmod(3<{pipe:[7]}>, 0600) = 0");
    say(*state, "7  fchmod(3<pipe:{7}>, 0600) = 0");
    say(*state, "7  fchmod(3, 0600) = -1 EBADF (Bad file descriptor)");
    assert_string_equal(told, "open w /d/a>, b:0 error=0\n"
                              "open w /d/c:0 error=0\n"
                              "open w /d/e:0 error=0\n"
                              "open w /d/f:0 error=30\n"
                              "open w /d/g:0 error=0\n"
                              "open w /d/h:0 error=0\n"
                              "open w /d/i:0 error=0\n"
                              "open w /base:0 error=0\n"
                              "change /d/link:0 error=0\n"
                              "change /d/j:0 error=0\n"
                              "open w /d/k:0 error=0\n"
                              "execute /d/run:0 error=0\n");
}

/* Attributes, and devices that are driven; what comes back with an error says so. */
static void requests(void **state)
{
    say(*state, "7  ioctl(3<{/d/a}>, FS_IOC_SETFLAGS, [FS_IMMUTABLE_FL]) = 0");
    say(*state, "7  ioctl(3<{/d/b}>, FS_IOC_GETFLAGS, [0]) = 0");
    say(*state, "7  ioctl(3<{/dev/urandom}>, RNDGETENTCNT, [[256]]) = 0");
    say(*state, "7  ioctl(3<{/dev/null}>, TCGETS, 0x7ffc) = -1 ENOTTY (Inappropriate ioctl for "
                "device)");
    say(*state, "7  ioctl(3<{/dev/fuse}>, FIONBIO, [1]) = 0");
    say(*state, "7  ioctl(3<{socket:[7]}>, FIONREAD, [0]) = 0");
    say(*state, "7  ioctl(3) = 0");
    assert_string_equal(told, "open w /d/a:0 error=0\n"
                              "open w /dev/urandom:0 error=0\n"
                              "open w /dev/null:0 error=5\n");
}

/* As an older strace writes what it does not know: the number, and where the path is. */
static void calls_without_a_name(void **state)
{
    say(*state, "7  syscall_0x1c4(0xffffffffffffff9c, 0x7fdedf21f740, 0x180, 0, 0, 0) = 0");
    say(*state, "7  syscall_0x1cf(0x3, 0x7fdedf21f740, 0, 0, 0, 0 <unfinished ...>");
    say(*state, "8  syscall_0x1b5(0xffffffffffffff9c, 0x7f, 0x7f, 0x18, 0, 0) = 3");
    say(*state, "7  <... syscall_0x1cf resumed>) = 0");
    say(*state, "7  syscall_0x1d5(0x3, 0x7f, 0, 0, 0, 0) = -1 EROFS (Read-only file system)");
    say(*state, "7  syscall_0x1c2(0, 0, 0, 0, 0, 0) = 0"); /* of processes, not of files */
    say(*state, "7  syscall_0x1d6(0, 0, 0, 0, 0, 0) = 0");
    say(*state, "7  setxattrat(0x3, 0x7fdedf21f740, 0, 0x7f, 0x7f, 0x10) = 0");
    say(*state, "7  chmod(0x7fdedf21f740, 0755) = -1 EFAULT (Bad address)");
    say(*state, "7  syscall_0x(0) = 0");
    say(*state, "7  syscall_0xzz(0) = 0");
    say(*state, "7  syscall_0x1c41c41c41c41c4(0) = 0");
    say(*state, "7  syscall_1c4(0) = 0");
    assert_string_equal(told, "unseen fchmodat26.6:0 error=0\n"
                              "unseen openat25.6:0 error=0\n"
                              "unseen setxattrat6.13:0 error=0\n"
                              "unseen :0 error=0\n"
                              "unseen setxattrat6.13:0 error=0\n");
}

static void working_folders(void **state)
{
    say(*state, "7  chdir(\"{sub}\") = 0");
    say(*state, "7  mkdir(\"{a}\", 0777) = 0");
    say(*state, "7  vfork( <unfinished ...>");
    say(*state, "8  rename(\"{b}\", \"{../c}\") = 0");
    say(*state, "7  <... vfork resumed>) = 8");
    say(*state, "8  fchdir(3<{/other}>) = 0");
    say(*state, "8  unlink(\"{d}\" <unfinished ...>");
    say(*state, "7  rmdir(\"{e}\") = -1 EACCES (Permission denied)");
    say(*state, "8  <... unlink resumed>)            = 0");
    say(*state, "8  +++ exited with 0 +++");
    assert_string_equal(told, "change /base/sub/a:0 error=0\n"
                              "change /base/sub/b:0 error=0\n"
                              "change /base/c:0 error=0\n"
                              "change /base/sub/e:0 error=13\n"
                              "change /other/d:0 error=0\n");
}

static void hosts(void **state)
{
    say(*state, "7  connect(5<{socket:[1]}>, [sa_family=AF_INET, sin_port=htons(443), "
                "sin_addr=inet_addr(\"{192.0.2.1}\")], 16) = -1 EINPROGRESS (Operation now in "
                "progress)");
    say(*state, "7  connect(5<{s}>, [sa_family=AF_INET6, sin6_port=htons(80), "
                "sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"{2001:db8::1}\", &sin6_addr), "
                "sin6_scope_id=0], 28) = 0");
    say(*state, "7  connect(5<{s}>, [sa_family=AF_UNIX, sun_path=\"{/run/x}\"], 110) = -1 ENOENT "
                "(No such file or directory)");
    say(*state, "7  bind(5<{s}>, [sa_family=AF_INET, sin_port=htons(8080), "
                "sin_addr=inet_addr(\"{0.0.0.0}\")], 16) = 0");
    say(*state, "7  connect(5<{s}>, [sa_family=AF_UNIX, sun_path=@\"{abstract}\"], 110) = 0");
    say(*state, "7  sendto(5<{s}>, \"{x}\", 1, 0, NULL, 0) = 1");
    assert_string_equal(told, "connect 192.0.2.1:443 error=115\n"
                              "connect 2001:db8::1:80 error=0\n"
                              "connect /run/x:0 error=2\n"
                              "bind 0.0.0.0:8080 error=0\n");
}

static void on_name(void *data, const char *host, const char *address)
{
    snprintf(data, 128, "%s %s", host, address);
}

static void names(void **state)
{
    (void)state;
    static const unsigned char answer[] = "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\7example\3com\0\0\1\0\1"
                                          "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc0\0\2\7";
    char got[128] = "";
    trace_dns_answer(answer, sizeof(answer) - 1, on_name, got);
    assert_string_equal(got, "example.com 192.0.2.7");
    for (size_t size = 0; size < sizeof(answer) - 1; size++) {
        got[0] = '\0';
        trace_dns_answer(answer, size, on_name, got);
        assert_string_equal(got, "");
    }
}

/* None of these says anything, and none breaks what comes after. */
static void nonsense(void **state)
{
    static const char *const lines[] = {
        "",
        "7",
        "7 ",
        "x openat(",
        "7  openat(",
        "7  openat()",
        "7  openat() = 3",
        "7  openat(AT_FDCWD<{/w}>, \"{a}\"..., O_RDONLY) = 3",
        "7  openat(AT_FDCWD<{/w}>, \"a\", O_RDONLY) = 3",
        "7  openat(AT_FDCWD<{/w}>, \"{a}\", O_RDONLY) = ?",
        "7  openat(AT_FDCWD<{/w}>, \"{a}\", O_RDONLY",
        "7  <... openat resumed>) = 3",
        "7  --- SIGCHLD [si_signo=SIGCHLD] ---",
        "99999999999999  chdir(\"{/}\") = 0",
        "-3  chdir(\"{/}\") = 0",
        "7  chdir(\"{/gone}\") = -1 ENOENT (No such file)",
        "7  unlink(\"{}\") = 0",
        "7  unlink(\"{a\1b}\" <unfinished ...> x",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        say(*state, lines[i]);
    trace_line(*state, "7  unlink(\"\\x61\\x00\\x62\") = 0", 34);
    assert_string_equal(told, "");
    say(*state, "7  unlink(\"{a}\") = 0");
    assert_string_equal(told, "change /w/a:0 error=0\n"); /* a folder that it did say */
}

/* More processes than are remembered: the oldest are forgotten, their names are not guessed. */
static void many_processes(void **state)
{
    char line[64];
    for (int pid = 10; pid < 5000; pid++) {
        snprintf(line, sizeof(line), "%d  unlink(\"{/x}\"  <unfinished ...>", pid);
        say(*state, line);
    }
    say(*state, "10  unlink(\"{relative}\") = 0");
    assert_string_equal(told, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files, begin, end),
        cmocka_unit_test_setup_teardown(modes_and_times, begin, end),
        cmocka_unit_test_setup_teardown(open_files, begin, end),
        cmocka_unit_test_setup_teardown(requests, begin, end),
        cmocka_unit_test_setup_teardown(calls_without_a_name, begin, end),
        cmocka_unit_test_setup_teardown(working_folders, begin, end),
        cmocka_unit_test_setup_teardown(hosts, begin, end),
        cmocka_unit_test(names),
        cmocka_unit_test_setup_teardown(nonsense, begin, end),
        cmocka_unit_test_setup_teardown(many_processes, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
