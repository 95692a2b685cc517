/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the kernel about refusals, as Linux 6.18 writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/sandbox-enforce/explain/kernel_audit.h"

static bool parse(uint16_t type, const char *text, struct kernel_record *ret)
{
    return kernel_record_parse(type, text, strlen(text), ret);
}

static void a_refusal(void **state)
{
    (void)state;
    struct kernel_record r;
    assert_true(parse(1423,
                      "audit(1795292137.832:4): domain=10f24219e blockers=fs.read_file "
                      "path=\"/usr/bin/python3.11\" dev=\"vda\" ino=247702",
                      &r));
    assert_false(r.is_domain);
    assert_int_equal(r.domain, 0x10f24219e);
    assert_string_equal(r.blockers, "fs.read_file");
    assert_string_equal(r.path, "/usr/bin/python3.11");
    assert_true(parse(
        1423, "audit(1.2:4): domain=a blockers=fs.make_reg,fs.refer path=2F746D702F6120FF62", &r));
    assert_string_equal(r.path, "/tmp/a \xff"
                                "b");
    assert_true(
        parse(1423, "audit(1.2:4): domain=a blockers=net.connect_tcp daddr=127.0.0.1 dest=9", &r));
    assert_int_equal(r.port, 9);
    assert_string_equal(r.path, "");
}

/* What one record is told as. */
static void is_told(const char *text, const char *act, const char *target, const char *grant)
{
    struct kernel_record r;
    struct denials *denials = denials_new();
    assert_non_null(denials);
    assert_true(parse(1423, text, &r));
    kernel_record_tell(&r, denials);
    const struct denial *d = denials_at(denials, 0);
    assert_non_null(d);
    assert_int_equal(d->source, DENIAL_KERNEL);
    assert_string_equal(d->act, act);
    assert_string_equal(d->target, target);
    assert_string_equal(d->grant, grant);
    denials_free(denials);
}

/* Of a pair of folders none is said to be denied. */
static void acts(void **state)
{
    (void)state;
    is_told("audit(1.2:4): domain=a blockers=fs.execute path=\"/nowhere/x\"", "read", "/nowhere/x",
            "--read-file /nowhere/x");
    is_told("audit(1.2:4): domain=a blockers=fs.make_reg,fs.refer path=\"/dev\"", "write", "/dev",
            "--write /dev");
    is_told("audit(1.2:4): domain=a blockers=fs.ioctl_dev path=\"/dev/null\" ioctlcmd=0x5401",
            "ioctl", "/dev/null", "--write-file /dev/null");
    is_told("audit(1.2:4): domain=a blockers=fs.refer path=\"/dev\"", "link or rename", "/dev", "");
    is_told("audit(1.2:4): domain=a blockers=net.connect_tcp dest=9", "connect", "port 9",
            "--open-port 9");
}

static void a_domain(void **state)
{
    (void)state;
    struct kernel_record r;
    assert_true(parse(1424,
                      "audit(1795292137.824:2): domain=10f24219e status=allocated mode=enforcing "
                      "pid=6429 uid=0 exe=\"/usr/bin/x\" comm=\"pid=1\"",
                      &r));
    assert_true(r.is_domain);
    assert_int_equal(r.pid, 6429);
    assert_false(r.is_end);
    assert_true(parse(1424, "audit(1.2:6): domain=10f24219e status=deallocated denials=4", &r));
    assert_true(r.is_end);
}

static void nonsense(void **state)
{
    (void)state;
    struct kernel_record r;
    char many[20000];
    memset(many, 'a', sizeof(many) - 1);
    many[sizeof(many) - 1] = '\0';
    assert_false(parse(1300, "audit(1.2:4): domain=a blockers=fs.read_file", &r));
    assert_false(parse(1423, "", &r));
    assert_false(parse(1423, "domain=", &r));
    assert_false(parse(1423, "audit(1.2:4): xdomain=a blockers=fs.read_file", &r));
    assert_false(parse(1423, "audit(1.2:4): domain=a path=\"/x\"", &r));
    assert_false(parse(1423, many, &r));
    assert_true(parse(1423, "audit(1.2:4): domain=a blockers=fs.read_file path=2F7", &r));
    assert_string_equal(r.path, "");
    assert_true(parse(1423, "audit(1.2:4): domain=a blockers=fs.read_file path=2F0041", &r));
    assert_string_equal(r.path, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_refusal), cmocka_unit_test(acts),
                                        cmocka_unit_test(a_domain), cmocka_unit_test(nonsense) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
