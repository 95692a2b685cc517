/* SPDX-License-Identifier: Apache-2.0 */
/* serve_json_test.c - a workspace as it comes in and as it goes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "plugins/serve/api/sandbox.h"
#include "sdk/error.h"
#include "sdk/json.h"

static const struct workspace stopped = {
    .id = "ws_a1b2c3d4",
    .org_id = "org_1",
    .name = "brave-otter",
    .image = "host",
    .template_name = "base",
    .size = "small",
    .status = WORKSPACE_STOPPED,
    .vcpus = 2,
    .memory_mb = 2048,
    .pids = 512,
    .internet = true,
    .created_at_ms = INT64_C(1700000000123),
    .limit_memory = NT_LIMIT_HARD,
    .limit_cpu = NT_LIMIT_SOFT,
    .envs = "{\"SECRET\":\"x\"}",
    .metadata = "{\"a\":1}",
};

static void assert_keys(json_t *object, const char *const *keys)
{
    size_t count = 0;
    for (; keys[count]; count++)
        if (!json_object_get(object, keys[count]))
            fail_msg("%s is missing", keys[count]);
    assert_int_equal(json_object_size(object), count);
}

static void the_narrow_form_has_the_keys_of_the_reference(void **state)
{
    (void)state;
    static const char *const keys[] = { "id",          "status",     "config",         "template",
                                        "metadata",    "created_at", "started_at",     "timeout_at",
                                        "expires_at",  "timeout_ms", "timeout_action", "cwd",
                                        "snapshot_id", NULL };
    nt_auto_json json_t *json = sandbox_json(&stopped, false, NULL);
    assert_keys(json, keys);
    assert_string_equal(nt_json_text(json, "status"), "paused");
    assert_string_equal(nt_json_text(json, "snapshot_id"), "sn_a1b2c3d4");
    assert_string_equal(nt_json_text(json, "created_at"), "2023-11-14T22:13:20.123Z");
    assert_true(json_is_null(json_object_get(json, "timeout_at")));
    assert_string_equal(nt_json_text(json, "timeout_action"), "destroy");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json, "config"), "memory_mb")), 2048);
}

static void the_wide_form_is_a_superset_that_says_what_is(void **state)
{
    (void)state;
    nt_auto_json json_t *narrow = sandbox_json(&stopped, false, NULL),
                        *wide = sandbox_json(&stopped, true, NULL);
    const char *name;
    json_t *value;
    json_object_foreach(narrow, name, value) assert_non_null(json_object_get(wide, name));
    assert_string_equal(nt_json_text(wide, "status"), "stopped");
    assert_string_equal(nt_json_text(wide, "name"), "brave-otter");
    assert_string_equal(nt_json_text(json_object_get(wide, "limits"), "memory"), "hard");
    assert_string_equal(nt_json_text(json_object_get(wide, "limits"), "cpu"), "soft");
    assert_string_equal(nt_json_text(json_object_get(wide, "limits"), "pids"), "none");
    assert_null(json_object_get(wide, "envs")); /* they hold secrets */
}

static void narrow_status_words_are_a_closed_set(void **state)
{
    (void)state;
    static const char *const words[] = { "creating", "running", "paused", "destroyed", "error" };
    for (int status = WORKSPACE_CREATING; status <= WORKSPACE_ERROR; status++) {
        struct workspace ws = stopped;
        ws.status = (enum workspace_status)status;
        nt_auto_json json_t *json = sandbox_json(&ws, false, NULL);
        assert_string_equal(nt_json_text(json, "status"), words[status]);
    }
}

static void fields_pick(void **state)
{
    (void)state;
    static const char *const keys[] = { "id", "status", NULL };
    nt_auto_json json_t *json = sandbox_json(&stopped, true, "status,id,nothing");
    assert_keys(json, keys);
}

static void a_snapshot_has_exactly_its_keys(void **state)
{
    (void)state;
    static const char *const keys[] = { "id", "sandbox_id", "size_bytes", "created_at", NULL };
    nt_auto_json json_t *json = sandbox_snapshot_json(&stopped, 7);
    assert_keys(json, keys);
    char id[44];
    sandbox_id_of_snapshot("sn_a1b2c3d4", id, sizeof(id));
    assert_string_equal(id, "ws_a1b2c3d4");
    sandbox_id_of_snapshot("ws_a1b2c3d4", id, sizeof(id));
    assert_string_equal(id, "ws_a1b2c3d4");
}

static int parse(const char *text, bool wide, bool local, struct sandbox_body *ret,
                 struct nt_error *reterr)
{
    nt_auto_json json_t *body = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(body);
    return sandbox_body_parse(body, wide, local, ret, reterr);
}

static void the_sdk_s_body_is_taken(void **state)
{
    (void)state;
    struct sandbox_body b;
    struct nt_error error = NT_ERROR_INIT;
    assert_int_equal(
        parse("{\"template\":\"base\",\"vcpus\":2,\"memory_mb\":512,\"timeout_ms\":300000,\"envs\":"
              "{\"A\":\"b\"},"
              "\"metadata\":{},\"network\":null,\"internet_access\":true,\"cwd\":null,\"desktop\":"
              "null,"
              "\"volumes\":null,\"auto_resume\":false,\"lifecycle\":{\"on_timeout\":\"pause\"}}",
              false, false, &b, &error),
        0);
    assert_int_equal(b.ws.memory_mb, 512);
    assert_int_equal(b.ws.timeout_ms, 300000);
    assert_true(b.ws.on_timeout_hibernate);
    assert_string_equal(b.ws.envs, "{\"A\":\"b\"}");
    assert_string_equal(b.ws.image, "host");
    assert_false(b.has_name);
    sandbox_body_done(&b);
}

static void defaults_follow_the_form(void **state)
{
    (void)state;
    struct sandbox_body b;
    struct nt_error error = NT_ERROR_INIT;
    assert_int_equal(parse("{}", true, true, &b, &error), 0);
    assert_string_equal(b.ws.size, "small");
    assert_int_equal(b.ws.timeout_ms, 0);
    assert_true(b.ws.internet);
    sandbox_body_done(&b);
    assert_int_equal(parse("{\"timeout_ms\":null}", false, false, &b, &error), 0);
    assert_int_equal(b.ws.timeout_ms, 300000);
    sandbox_body_done(&b);
    assert_int_equal(parse("{\"size\":\"large\",\"require_limits\":true,\"image\":\"file:/x.tar\"}",
                           true, true, &b, &error),
                     0);
    assert_int_equal(b.ws.vcpus, 8);
    assert_int_equal(b.ws.pids, 2048);
    assert_int_equal(b.spec_flags, NT_SPEC_REQUIRE_LIMITS);
    assert_string_equal(b.ws.image, "file:/x.tar");
    sandbox_body_done(&b);
}

static void what_cannot_be_given_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        uint32_t code;
    } bad[] = {
        { "[]", NT_E_INVALID },
        { "{\"vcpus\":0}", NT_E_INVALID },
        { "{\"vcpus\":1.5}", NT_E_INVALID },
        { "{\"memory_mb\":\"512\"}", NT_E_INVALID },
        { "{\"memory_mb\":-1}", NT_E_INVALID },
        { "{\"timeout_ms\":-1}", NT_E_INVALID },
        { "{\"timeout_action\":\"explode\"}", NT_E_INVALID },
        { "{\"envs\":[]}", NT_E_INVALID },
        { "{\"envs\":{\"A=B\":\"c\"}}", NT_E_INVALID },
        { "{\"envs\":{\"\":\"c\"}}", NT_E_INVALID },
        { "{\"envs\":{\"A\":1}}", NT_E_INVALID },
        { "{\"envs\":{\"A\":\"x\\u0000y\"}}", NT_E_INVALID },
        { "{\"metadata\":{\"volume_attachments\":[]}}", NT_E_INVALID },
        { "{\"cwd\":\"workspace\"}", NT_E_INVALID },
        { "{\"name\":\"a/b\"}", NT_E_INVALID },
        { "{\"name\":\"ws_a1b2c3d4\"}", NT_E_INVALID },
        { "{\"name\":\"..\"}", NT_E_INVALID },
        { "{\"size\":\"huge\"}", NT_E_INVALID },
        { "{\"internet_access\":\"no\"}", NT_E_INVALID },
        { "{\"template\":\"nothing\"}", NT_E_NOT_FOUND },
        { "{\"image\":\"debian:12\"}", NT_E_NOT_FOUND },
        { "{\"image\":\"file:/etc/shadow\"}", NT_E_FORBIDDEN },
        { "{\"volumes\":[{\"ref\":\"v\"}]}", NT_E_UNSUPPORTED },
        { "{\"desktop\":{}}", NT_E_UNSUPPORTED },
        { "{\"snapshot_id\":\"sn_1\"}", NT_E_UNSUPPORTED },
        { "{\"network\":{\"allow_out\":[\"10.0.0.0/8\"]}}", NT_E_UNSUPPORTED },
        { "{\"network\":{\"egress\":{\"mode\":\"custom\"}}}", NT_E_UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sandbox_body b;
        struct nt_error error = NT_ERROR_INIT;
        if (parse(bad[i].body, true, false, &b, &error) == 0)
            fail_msg("taken: %s", bad[i].body);
        assert_int_equal(error.code, bad[i].code);
    }
}

static void made_up_names_are_fine(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        char name[68];
        sandbox_name_make(name, sizeof(name));
        assert_true(sandbox_name_is_fine(name));
    }
    assert_false(sandbox_name_is_fine(""));
    assert_false(sandbox_name_is_fine("-a"));
    assert_false(sandbox_name_is_fine("a b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_narrow_form_has_the_keys_of_the_reference),
        cmocka_unit_test(the_wide_form_is_a_superset_that_says_what_is),
        cmocka_unit_test(narrow_status_words_are_a_closed_set),
        cmocka_unit_test(fields_pick),
        cmocka_unit_test(a_snapshot_has_exactly_its_keys),
        cmocka_unit_test(the_sdk_s_body_is_taken),
        cmocka_unit_test(defaults_follow_the_form),
        cmocka_unit_test(what_cannot_be_given_is_refused),
        cmocka_unit_test(made_up_names_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
