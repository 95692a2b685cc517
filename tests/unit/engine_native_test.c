/* SPDX-License-Identifier: Apache-2.0 */
/* engine_native_test.c - the engine's life of a workspace, with a real launcher and a small
 * guest. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine_fixture.h"
#include "engine_loop.h"
#include "plugins/engine-native/native.h"

static struct fixture f;
static char text[64 * 1024];

#define ID "ws_test0001"

static void must(const struct outcome *o)
{
    if (o->outcome != NT_OP_DONE)
        fail_msg("outcome %u: %s (%s)", o->outcome, o->error.message, o->error.hint);
}

static void a_workspace_lives_and_leaves_nothing(void **state)
{
    struct outcome o;
    struct stat st;
    char path[256];
    (void)state;
    fixture_create(&f, ID, "host", NT_SPEC_WAY_OUT, &o);
    must(&o);
    assert_int_equal(o.state.state, NT_WS_RUNNING);
    assert_int_equal(
        fixture_sh(&f, ID, "echo hello; id -un; hostname; pwd; echo $HOME", text, sizeof(text)), 0);
    assert_string_equal(text, "hello\nagent\nws-test\n/workspace\n/home/agent\n");
    assert_int_equal(
        fixture_sh(&f, ID, "echo kept > /workspace/a && echo e > /etc/own && touch /usr/bin/own",
                   text, sizeof(text)),
        0);
    fixture_call(&f, 'p', ID, &o);
    must(&o);
    assert_int_equal(o.state.state, NT_WS_STOPPED);
    fixture_call(&f, 'p', ID, &o); /* twice is once */
    must(&o);
    fixture_call(&f, 's', ID, &o);
    must(&o);
    assert_int_equal(
        fixture_sh(&f, ID, "cat /workspace/a /etc/own; ls /usr/bin/own", text, sizeof(text)), 0);
    assert_string_equal(text, "kept\ne\n/usr/bin/own\n");
    fixture_call(&f, 'r', ID, &o);
    must(&o);
    snprintf(path, sizeof(path), "%s/ws/" ID, f.data);
    assert_int_not_equal(stat(path, &st), 0);
    fixture_call(&f, 'i', ID, &o);
    must(&o);
    assert_int_equal(o.state.state, NT_WS_ABSENT);
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

static void the_way_out_works_and_survives_the_server(void **state)
{
    struct outcome o;
    char got[8] = "";
    (void)state;
    fixture_create(&f, ID, "host", NT_SPEC_WAY_OUT, &o);
    must(&o);
    assert_int_equal(fixture_sh(&f, ID, "echo $http_proxy $NANOTERM_WORKSPACE", text, sizeof(text)),
                     0);
    assert_string_equal(text, "http://127.0.0.1:3128 " ID "\n");
    for (int round = 0; round < 2; round++) {
        f.has_accepted = false;
        assert_int_equal(fixture_sh(&f, ID,
                                    "bash -c 'exec 9<>/dev/tcp/127.0.0.1/3128; echo hi >&9'", text,
                                    sizeof(text)),
                         0);
        assert_true(test_loop_run(f.loop, &f.has_accepted, 5000));
        assert_true(f.accepted >= 0);
        memset(got, 0, sizeof(got));
        assert_int_equal(read(f.accepted, got, sizeof(got) - 1), 3);
        assert_string_equal(got, "hi\n");
        if (round == 0) {
            /* The server ends; another one finds the workspace running, and its listener. */
            fixture_close(&f);
            fixture_open(&f);
            fixture_call(&f, 'i', ID, &o);
            must(&o);
            assert_int_equal(o.state.state, NT_WS_RUNNING);
            test_loop_run(f.loop, NULL, 100);
        }
    }
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

static void a_guest_that_dies_is_noticed(void **state)
{
    struct outcome o;
    (void)state;
    fixture_create(&f, ID, "host", 0, &o);
    must(&o);
    long pid = strtol(o.state.location + strlen("pid "), NULL, 10);
    assert_true(pid > 1);
    f.has_stopped = false;
    kill((pid_t)pid, SIGKILL);
    assert_true(test_loop_run(f.loop, &f.has_stopped, 5000));
    assert_string_equal(f.stopped, ID);
    fixture_call(&f, 'i', ID, &o);
    assert_int_equal(o.state.state, NT_WS_STOPPED);
    fixture_call(&f, 's', ID, &o);
    must(&o);
    /* Dies while no server is there. */
    pid = strtol(o.state.location + strlen("pid "), NULL, 10);
    fixture_close(&f);
    kill((pid_t)pid, SIGKILL);
    fixture_open(&f);
    f.has_stopped = false;
    fixture_call(&f, 'i', ID, &o);
    if (o.state.state == NT_WS_RUNNING) {
        assert_true(test_loop_run(f.loop, &f.has_stopped, 5000));
        fixture_call(&f, 'i', ID, &o);
    }
    assert_int_equal(o.state.state, NT_WS_STOPPED);
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

/* Kills the guest, which has left `what` as its word, and returns the reason that the engine
 * gives. */
static const char *reason_of(const char *what, const struct outcome *o)
{
    char path[256], other[256];
    snprintf(path, sizeof(path), "%s/ws/" ID "/jobs/ended", f.data);
    snprintf(other, sizeof(other), "%s/other", f.folder);
    if (strcmp(what, "fifo") == 0) {
        assert_int_equal(mkfifo(path, 0644), 0);
    } else if (strcmp(what, "folder") == 0) {
        assert_int_equal(mkdir(path, 0755), 0);
    } else {
        bool is_link = strcmp(what, "link") == 0;
        FILE *file = fopen(is_link ? other : path, "w");
        assert_non_null(file);
        fputs(is_link ? "ttl\n" : what, file);
        fclose(file);
        if (is_link)
            assert_int_equal(symlink(other, path), 0);
    }
    f.has_stopped = false;
    kill((pid_t)strtol(o->state.location + strlen("pid "), NULL, 10), SIGKILL);
    assert_true(test_loop_run(f.loop, &f.has_stopped, 5000));
    return f.reason;
}

/* The word of a guest is taken for two values and nothing else, and is not that of the next
 * guest. */
static void a_guest_says_why_it_ends(void **state)
{
    static const struct {
        const char *word, *reason;
    } cases[] = { { "ttl\n", "ttl" },        { "idle\n", "idle" }, { "ttl", "ended" },
                  { "ttl\nttl\n", "ended" }, { "", "ended" },      { "fifo", "ended" },
                  { "folder", "ended" },     { "link", "ended" },  { "\033]0;x", "ended" } };
    struct outcome o;
    (void)state;
    fixture_create(&f, ID, "host", 0, &o);
    must(&o);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(reason_of(cases[i].word, &o), cases[i].reason);
        fixture_call(&f, 's', ID, &o);
        must(&o);
    }
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

static void the_next_engine_knows_how_limits_hold(void **state)
{
    struct outcome before, after;
    (void)state;
    fixture_create(&f, ID, "host", 0, &before);
    must(&before);
    assert_int_not_equal(before.state.limit_pids, NT_LIMIT_NONE);
    fixture_close(&f);
    fixture_open(&f);
    fixture_call(&f, 'i', ID, &after);
    must(&after);
    assert_int_equal(after.state.limit_cpu, before.state.limit_cpu);
    assert_int_equal(after.state.limit_memory, before.state.limit_memory);
    assert_int_equal(after.state.limit_pids, before.state.limit_pids);
    fixture_call(&f, 'r', ID, &after);
    must(&after);
}

static bool is_there(const char *format, const char *part)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof(path), "%s%s", format, part);
    return lstat(path, &st) == 0;
}

/* A guest that ends by itself leaves no cgroup, no socket and no record, with and without an engine
 * that looks on. */
static void what_a_dead_guest_leaves_is_cleared(void **state)
{
    static const char *const groups[] = { "/sys/fs/cgroup/memory/nanoterm/" ID,
                                          "/sys/fs/cgroup/pids/nanoterm/" ID,
                                          "/sys/fs/cgroup/cpu/nanoterm/" ID };
    struct outcome o;
    (void)state;
    fixture_create(&f, ID, "host", 0, &o);
    must(&o);
    for (int round = 0; round < 2; round++) {
        pid_t pid = (pid_t)strtol(o.state.location + strlen("pid "), NULL, 10);
        f.has_stopped = false;
        if (round == 1)
            fixture_close(&f);
        kill(pid, SIGKILL);
        if (round == 1) {
            for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
                test_loop_run(f.loop, NULL, 10);
            fixture_open(&f);
        }
        bool left = true;
        for (int i = 0; i < 300 && left; i++) {
            test_loop_run(f.loop, NULL, 10);
            left = is_there(f.data, "/ws/" ID "/run") || is_there(f.data, "/ws/" ID "/guest.sock");
            for (size_t g = 0; g < 3; g++)
                left = left || is_there(groups[g], "");
        }
        assert_false(left);
        fixture_call(&f, 's', ID, &o);
        must(&o);
    }
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

static void a_launcher_killed_midway_leaves_nothing(void **state)
{
    static const char *const steps[] = {
        "clone",
        "maps",
        "go",
        "user",
        "folders",
        "private mounts",
        "attach",
        "network",
        "root overlay",
        "layers",
        "devices",
        "proc and sys",
        "temporary folders",
        "package database",
        "leave the host's root",
        "names",
        "way out",
        "limits of the guest",
        "signals",
        "descriptors",
        "landlock",
        "capabilities",
        "system call filter",
        "start the guest",
    };
    struct outcome o;
    struct stat st;
    char path[256];
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        launch_stop_at = steps[i];
        fixture_create(&f, ID, "host", NT_SPEC_WAY_OUT, &o);
        launch_stop_at = NULL;
        if (o.outcome != NT_OP_FAILED)
            fail_msg("killed before '%s': outcome %u", steps[i], o.outcome);
        snprintf(path, sizeof(path), "%s/ws/" ID, f.data);
        assert_int_not_equal(stat(path, &st), 0);
        if (stat("/sys/fs/cgroup/memory/nanoterm/" ID, &st) == 0)
            fail_msg("killed before %s: a cgroup is left", steps[i]);
        assert_int_not_equal(stat("/sys/fs/cgroup/pids/nanoterm/" ID, &st), 0);
        /* No process is left that has our folder in one of its mounts, and no child of ours. */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
    fixture_create(&f, ID, "host", 0, &o);
    must(&o);
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

static void a_hostile_tree_is_removed(void **state)
{
    struct outcome o;
    (void)state;
    fixture_create(&f, ID, "host", 0, &o);
    must(&o);
    assert_int_equal(
        fixture_sh(
            &f, ID,
            "mkdir victim && ln -s /etc/passwd victim/l && ln -s / root && mkfifo pipe && touch -- "
            "'-rf' \"$(printf 'a\\nb')\" &&"
            "mkdir -p a/b/c && touch a/b/c/d && chmod 0 a/b/c && chmod 500 a/b && chmod 0 a &&"
            "perl -e 'for (1..3000) { mkdir \"deep\" or die; chdir \"deep\" or die }'",
            text, sizeof(text)),
        0);
    fixture_call(&f, 'r', ID, &o);
    must(&o);
    struct stat st;
    assert_int_equal(stat("/etc/passwd", &st), 0);
}

static void limits_are_reported_and_required(void **state)
{
    struct outcome o;
    struct nt_engine_state can = { .size = sizeof(can) };
    (void)state;
    f.ops->abilities(f.engine, &can);
    fixture_create(&f, ID, "host", NT_SPEC_REQUIRE_LIMITS, &o);
    if (can.limit_memory < NT_LIMIT_HARD || can.limit_pids < NT_LIMIT_HARD
        || can.limit_cpu < NT_LIMIT_HARD) {
        assert_int_equal(o.outcome, NT_OP_FAILED);
        assert_int_equal(o.error.code, NT_E_UNAVAILABLE);
        assert_true(o.error.hint[0]);
        fixture_create(&f, ID, "host", 0, &o);
        must(&o);
    } else {
        must(&o);
        assert_int_equal(o.state.limit_memory, NT_LIMIT_HARD);
        /* 512 MiB: a program that takes 1 GiB is killed. */
        assert_int_not_equal(fixture_sh(&f, ID, "perl -e '$x = \"a\" x (1 << 30); print length $x'",
                                        text, sizeof(text)),
                             0);
    }
    if (can.limit_pids) /* 200: not all of 300 processes can be started */
        assert_int_not_equal(fixture_sh(&f, ID,
                                        "i=0; while [ $i -lt 300 ]; do sleep 2 & i=$((i+1)); done",
                                        text, sizeof(text)),
                             0);
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

static void a_hardened_one_cannot_mount(void **state)
{
    struct outcome o;
    (void)state;
    fixture_create(&f, ID, "host", NT_SPEC_HARDEN, &o);
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1u) < 1) {
        assert_int_equal(o.error.code, NT_E_UNAVAILABLE); /* no Landlock here, and it says so */
        return;
    }
    must(&o);
    assert_int_equal(fixture_sh(&f, ID,
                                "! unshare -Um mount -t tmpfs x /mnt 2>/dev/null &&"
                                "echo a > b && mv b c && cat c && ls / >/dev/null",
                                text, sizeof(text)),
                     0);
    assert_string_equal(text, "a\n");
    fixture_call(&f, 'r', ID, &o);
    must(&o);
}

static void a_create_can_be_cancelled_at_any_time(void **state)
{
    struct outcome created, o;
    (void)state;
    for (int delay_ms = 0; delay_ms < 8; delay_ms++) {
        struct nt_engine_op *op = fixture_begin(&f, ID, &created);
        test_loop_run(f.loop, &created.done, delay_ms);
        if (!created.done)
            f.ops->cancel(op);
        assert_true(test_loop_run(f.loop, &created.done, 20000));
        fixture_call(&f, 'i', ID, &o);
        if (created.outcome == NT_OP_DONE) {
            assert_int_equal(o.state.state, NT_WS_RUNNING);
            fixture_call(&f, 'r', ID, &o);
        } else {
            assert_int_equal(created.outcome, NT_OP_FAILED);
            assert_int_equal(created.error.code, NT_E_CANCELLED);
            assert_int_equal(o.state.state, NT_WS_ABSENT);
        }
        /* Removing does not wait for a create that is under way. */
        fixture_begin(&f, ID, &created);
        fixture_call(&f, 'r', ID, &o);
        must(&o);
        assert_true(created.done);
        assert_int_equal(o.state.state, NT_WS_ABSENT);
    }
}

static void closing_ends_calls_and_the_next_engine_finds_what_is_there(void **state)
{
    struct outcome created, o;
    (void)state;
    for (int delay_ms = 0; delay_ms < 8; delay_ms++) {
        fixture_begin(&f, ID, &created);
        test_loop_run(f.loop, &created.done, delay_ms);
        fixture_close(&f);
        assert_true(created.done);
        test_loop_settle(f.loop); /* its worker comes back */
        fixture_open(&f);
        fixture_call(&f, 'i', ID, &o);
        must(&o);
        if (created.outcome == NT_OP_DONE)
            assert_int_equal(o.state.state, NT_WS_RUNNING);
        fixture_call(&f, 'r', ID, &o);
        must(&o);
    }
}

static void many_at_once(void **state)
{
    enum { MANY = 12 };
    static struct outcome created[MANY];
    char id[16];
    struct outcome o;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), "ws_many%04d", i);
        fixture_begin(&f, id, &created[i]);
    }
    for (int i = 0; i < MANY; i++) {
        assert_true(test_loop_run(f.loop, &created[i].done, 20000));
        must(&created[i]);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), "ws_many%04d", i);
        fixture_call(&f, 'r', id, &o);
        must(&o);
    }
}

static void nonsense_is_refused(void **state)
{
    static const char *const ids[] = {
        "", "..", "a/b", "UPPER", "_x", "ws_0123456789012345678901234567890123456789"
    };
    struct outcome o;
    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        fixture_create(&f, ids[i], "host", 0, &o);
        assert_int_equal(o.outcome, NT_OP_FAILED);
        assert_int_equal(o.error.code, NT_E_INVALID);
        fixture_call(&f, 's', ids[i], &o);
        assert_int_equal(o.error.code, NT_E_NOT_FOUND);
    }
    fixture_create(&f, ID, "docker.io/debian", 0, &o);
    assert_int_equal(o.error.code, NT_E_INVALID);
    fixture_create(&f, ID, "file:/nonexistent.tar", 0, &o);
    assert_int_equal(o.error.code, NT_E_NOT_FOUND);
    fixture_call(&f, 'i', ID, &o);
    assert_int_equal(o.state.state, NT_WS_ABSENT);
    struct nt_error error = NT_ERROR_INIT;
    static const struct nt_stream_events none = { .size = sizeof(none) };
    assert_int_equal(f.ops->open_stream(f.engine, ID, &none, NULL, &error), -1);
}

static int set_up(void **state)
{
    (void)state;
    fixture_open(&f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

int main(void)
{
    int r = fixture_make(&f);
    if (r)
        return r;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_workspace_lives_and_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_way_out_works_and_survives_the_server, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_guest_that_dies_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_guest_says_why_it_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_engine_knows_how_limits_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_dead_guest_leaves_is_cleared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_launcher_killed_midway_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hostile_tree_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_are_reported_and_required, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hardened_one_cannot_mount, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_create_can_be_cancelled_at_any_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_ends_calls_and_the_next_engine_finds_what_is_there,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, set_up, tear_down),
    };
    r = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end(&f);
    return r;
}
