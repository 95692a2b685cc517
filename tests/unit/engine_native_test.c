/* SPDX-License-Identifier: Apache-2.0 */
/* engine_native_test.c - the engine's life of a workspace, with a real launcher and a small guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine_fixture.h"
#include "engine_loop.h"

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
    assert_int_equal(fixture_sh(&f, ID, "echo hello; id -un; hostname; pwd; echo $HOME", text, sizeof(text)), 0);
    assert_string_equal(text, "hello\nagent\nws-test\n/workspace\n/home/agent\n");
    assert_int_equal(fixture_sh(&f, ID, "echo kept > /workspace/a && echo e > /etc/own && touch /usr/bin/own", text,
                                sizeof(text)), 0);
    fixture_call(&f, 'p', ID, &o);
    must(&o);
    assert_int_equal(o.state.state, NT_WS_STOPPED);
    fixture_call(&f, 'p', ID, &o); /* twice is once */
    must(&o);
    fixture_call(&f, 's', ID, &o);
    must(&o);
    assert_int_equal(fixture_sh(&f, ID, "cat /workspace/a /etc/own; ls /usr/bin/own", text, sizeof(text)), 0);
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
    };
    r = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end(&f);
    return r;
}
