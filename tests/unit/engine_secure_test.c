/* SPDX-License-Identifier: Apache-2.0 */
/* engine_secure_test.c - what a program inside a workspace must not be able to do, tried from
 * inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine_fixture.h"
#include "engine_loop.h"

#define ID "ws_secure01"

static struct fixture f;
static char text[256 * 1024];

static void gives(const char *script, const char *expected)
{
    fixture_sh(&f, ID, script, text, sizeof(text));
    if (strcmp(text, expected) != 0)
        fail_msg("%s\n  gave: %s\n  not: %s", script, text, expected);
}

static void nothing_of_the_host_is_visible(void **state)
{
    char script[512];
    (void)state;
    gives("ls -A /home /root /mnt /media /srv",
          "/home:\nagent\n\n/media:\n\n/mnt:\n\n/root:\n\n/srv:\n");
    snprintf(script, sizeof(script),
             "ls -d %s %s /old_root 2>/dev/null; ls -A /tmp; find /run -type f", f.data, f.folder);
    gives(script, "/run/nanoterm/workspace\n");
    gives("cat /run/nanoterm/workspace", ID "\n");
    gives("cut -d: -f1,2 /etc/shadow", "root:*\nagent:*\n");
    gives("ls /etc/ssh/ssh_host* /etc/sudoers /etc/ssl/private /etc/machine-id.orig 2>/dev/null",
          "");
    gives("cat /etc/hostname; hostname", "workspace\nws-test\n");
    /* Its own processes only: the guest is 1. */
    gives("ls -d /proc/[0-9]* | wc -l | tr -d ' ' | sed 's/^[1-6]$/few/'", "few\n");
    gives("ls /sys/class/net", "lo\n");
    gives("cut -d' ' -f5,6 /proc/self/mountinfo | grep -v nosuid", "");
    gives("cut -d' ' -f5,6 /proc/self/mountinfo | grep -v nodev | grep -v '^/dev'", "");
    gives("ls -A /dev | sort | tr '\\n' ' '",
          "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
}

static void there_is_no_privilege(void **state)
{
    (void)state;
    gives("grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status",
          "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
          "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
    gives("tr -s ' ' </proc/self/uid_map | cut -d' ' -f2,4; tr -s ' ' </proc/self/gid_map | cut "
          "-d' ' -f2,4; "
          "cat /proc/self/setgroups",
          "1000 1\n1000 1\ndeny\n");
    if (geteuid() == 0)
        gives("grep ^Groups: /proc/self/status", "Groups:\t \n");
    gives("ulimit -c", "0\n");
    gives("cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && /tmp/id -u", "1000\n");
}

static void what_is_refused_is_refused(void **state)
{
    char script[128];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)state;
    int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "nanoterm-test-%d",
                     (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)),
                     0);
    assert_int_equal(listen(fd, 1), 0);
    snprintf(script, sizeof(script), "/proc/1/exe --probe %s", address.sun_path + 1);
    gives(script, "probed\n");
    close(fd);
}

static void changes_stay_inside(void **state)
{
    struct stat before, after;
    (void)state;
    assert_int_equal(stat("/usr/bin/sort", &before), 0);
    gives("rm -f /usr/bin/sort && echo 1; ls /usr/bin/sort 2>/dev/null; echo x >/usr/bin/sort && "
          "cat /usr/bin/sort",
          "1\nx\n");
    gives("echo 'a b' >/etc/passwd.new && mv /etc/passwd.new /etc/issue && cat /etc/issue",
          "a b\n");
    gives("mkdir -p /usr/local/lib/x /var/lib/y /opt/z && rmdir /opt/z && rm -rf /usr/share/doc && "
          "ls /usr/share/doc",
          "ls: cannot access '/usr/share/doc': No such file or directory\n");
    assert_int_equal(stat("/usr/bin/sort", &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_mtime == after.st_mtime
                && before.st_size == after.st_size);
    assert_int_equal(stat("/usr/share/doc", &after), 0);
    gives("(echo x >>/var/lib/dpkg/status) 2>/dev/null || echo refused", "refused\n");
}

static void its_network_is_its_own(void **state)
{
    (void)state;
    gives("cat /proc/net/route | wc -l; cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
          "1\n0\n");
}

int main(void)
{
    int r = fixture_make(&f);
    if (r)
        return r;
    struct outcome o;
    fixture_open(&f);
    fixture_create(&f, ID, "host", 0, &o);
    if (o.outcome != NT_OP_DONE) {
        fprintf(stderr, "%s\n", o.error.message);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_the_host_is_visible), cmocka_unit_test(there_is_no_privilege),
        cmocka_unit_test(what_is_refused_is_refused),     cmocka_unit_test(changes_stay_inside),
        cmocka_unit_test(its_network_is_its_own),
    };
    r = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_call(&f, 'r', ID, &o);
    fixture_end(&f);
    return r;
}
