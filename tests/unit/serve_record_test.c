/* SPDX-License-Identifier: Apache-2.0 */
/* serve_record_test.c - the second copy of a workspace's row: what comes back is what went in, and
 * what somebody else has put in its place is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/record.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

static struct record record_of(void)
{
    return (struct record){
        .ws = { .id = "ws_a1b2c3d4",
                .org_id = "org_1",
                .name = "brave-otter",
                .image = "file:/srv/image.tar",
                .template_name = "base",
                .size = "medium",
                .cwd = "/srv",
                .vcpus = 4,
                .memory_mb = 4096,
                .disk_mb = 100,
                .pids = 512,
                .internet = true,
                .on_timeout_hibernate = true,
                .timeout_ms = 7200000,
                .created_at_ms = INT64_C(1700000000123),
                .envs = "{\"A\":\"b\\nc\"}",
                .metadata = "{\"team\":[1,2]}" },
        .ports = { { .port = 8080, .host_port = 18080, .address = "127.0.0.1" },
                   { .port = 9090, .host_port = 19090, .address = "::1" } },
        .port_count = 2,
        .is_owners = true,
    };
}

/* The text of a record, to be freed. */
static char *written(const struct record *record)
{
    struct nt_error error = NT_ERROR_INIT;
    char *text = NULL;
    assert_int_equal(record_write(record, &text, &error), 0);
    assert_true(strlen(text) < NT_RECORD_MAX);
    return text;
}

static int take(const char *text, struct record *ret, struct nt_error *reterr)
{
    return record_read((struct nt_bytes){ text, strlen(text) }, ret, reterr);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct nt_error error = NT_ERROR_INIT;
    struct record in = record_of(), out;
    nt_autofree char *text = written(&in);
    assert_int_equal(take(text, &out, &error), 0);
    assert_string_equal(out.ws.id, in.ws.id);
    assert_string_equal(out.ws.org_id, in.ws.org_id);
    assert_string_equal(out.ws.name, in.ws.name);
    assert_string_equal(out.ws.image, in.ws.image);
    assert_string_equal(out.ws.template_name, in.ws.template_name);
    assert_string_equal(out.ws.size, in.ws.size);
    assert_string_equal(out.ws.cwd, in.ws.cwd);
    assert_int_equal(out.ws.vcpus, in.ws.vcpus);
    assert_int_equal(out.ws.memory_mb, in.ws.memory_mb);
    assert_int_equal(out.ws.disk_mb, in.ws.disk_mb);
    assert_int_equal(out.ws.pids, in.ws.pids);
    assert_true(out.ws.internet && out.ws.on_timeout_hibernate && out.is_owners);
    assert_int_equal(out.ws.timeout_ms, in.ws.timeout_ms);
    assert_int_equal(out.ws.created_at_ms, in.ws.created_at_ms);
    assert_string_equal(out.ws.envs, in.ws.envs);
    assert_string_equal(out.ws.metadata, in.ws.metadata);
    assert_false(out.is_cut);
    assert_int_equal(out.port_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(out.ports[i].port, in.ports[i].port);
        assert_int_equal(out.ports[i].host_port, in.ports[i].host_port);
        assert_string_equal(out.ports[i].address, in.ports[i].address);
        assert_string_equal(out.ports[i].ws_id, in.ws.id);
        assert_string_equal(out.ports[i].org_id, in.ws.org_id);
    }
    record_done(&out);
}

static void one_too_long_goes_without_environment_and_metadata(void **state)
{
    (void)state;
    struct nt_error error = NT_ERROR_INIT;
    nt_autofree char *envs = calloc(1, NT_RECORD_MAX + 100);
    assert_non_null(envs);
    memset(envs, 'x', NT_RECORD_MAX);
    memcpy(envs, "{\"A\":\"", 6);
    memcpy(envs + NT_RECORD_MAX, "\"}", 3);
    struct record in = record_of(), out;
    in.ws.envs = envs;
    in.port_count = PORTS_MAX;
    for (unsigned i = 0; i < PORTS_MAX; i++)
        in.ports[i] = (struct store_port){ .port = 65535,
                                           .host_port = 65535,
                                           .address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
    nt_autofree char *text = written(&in);
    assert_int_equal(take(text, &out, &error), 0);
    assert_true(out.is_cut);
    assert_string_equal(out.ws.envs, "{}");
    assert_string_equal(out.ws.metadata, "{}");
    assert_string_equal(out.ws.name, in.ws.name);
    assert_int_equal(out.port_count, PORTS_MAX);
    record_done(&out);
}

/* Reads a good record in which one member is another one; NULL: it is missing. */
static int with(const char *key, json_t *value, struct record *ret)
{
    struct nt_error error = NT_ERROR_INIT;
    struct record in = record_of();
    nt_autofree char *text = written(&in);
    nt_auto_json json_t *root = json_loads(text, 0, NULL);
    if (value)
        assert_int_equal(json_object_set_new(root, key, value), 0);
    else
        assert_int_equal(json_object_del(root, key), 0);
    nt_autofree char *other = json_dumps(root, 0);
    int status = take(other, ret, &error);
    assert_int_equal(status < 0 ? error.code : NT_E_INVALID, NT_E_INVALID);
    return status;
}

static void a_damaged_one_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "{", "[]", "null", "{}", "{\"id\":\"ws_1\"}" };
    struct nt_error error = NT_ERROR_INIT;
    struct record out;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(take(bad[i], &out, &error), -1);
    struct record in = record_of();
    nt_autofree char *text = written(&in);
    for (size_t size = 0; size < strlen(text); size++)
        assert_int_equal(record_read((struct nt_bytes){ text, size }, &out, &error), -1);

    char longer[300];
    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    static const char *const texts[] = {
        "id", "org_id", "name", "image", "template", "size", "cwd"
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(with(texts[i], NULL, &out), -1);
        assert_int_equal(with(texts[i], json_integer(1), &out), -1);
        assert_int_equal(with(texts[i], json_string(longer), &out), -1);
    }
    assert_int_equal(with("name", json_string("../../etc"), &out), -1);
    static const char *const numbers[] = { "vcpus", "memory_mb",  "disk_mb",
                                           "pids",  "timeout_ms", "created_at_ms" };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_int_equal(with(numbers[i], NULL, &out), -1);
        assert_int_equal(with(numbers[i], json_integer(-1), &out), -1);
        assert_int_equal(with(numbers[i], json_string("1"), &out), -1);
    }
    assert_int_equal(with("memory_mb", json_integer(INT64_C(1) << 32), &out), -1);
    static const char *const ports[] = {
        "{}",
        "[1]",
        "[{\"port\":0,\"host_port\":1,\"address\":\"\"}]",
        "[{\"port\":65536,\"host_port\":1,\"address\":\"\"}]",
        "[{\"port\":1,\"host_port\":0,\"address\":\"\"}]",
        "[{\"port\":1,\"host_port\":1}]",
    };
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        assert_int_equal(with("ports", json_loads(ports[i], 0, NULL), &out), -1);
    json_t *many = json_array();
    for (unsigned i = 0; i <= PORTS_MAX; i++)
        json_array_append_new(many, json_object());
    assert_int_equal(with("ports", many, &out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(one_too_long_goes_without_environment_and_metadata),
        cmocka_unit_test(a_damaged_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
