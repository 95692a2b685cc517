/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_check_test.c - each rule of the table check, by one table that breaks it and by the good
 * one that does not. */
#include "core/plugin/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "core/plugin/commands.h"
#include "sdk/error.h"

static int run(struct nt_call *call, struct nt_error *reterr)
{
    (void)call;
    (void)reterr;
    return 0;
}

/* A good plugin whose rows a test may change. */
struct sample {
    struct nt_arg args[3];
    struct nt_opt opts[2];
    struct nt_example examples[1];
    struct nt_column columns[2];
    struct nt_alias aliases[1];
    uint32_t codes[2];
    struct nt_error_row errors[2];
    struct nt_command commands[2];
    struct nt_group groups[2];
    struct nt_service services[2];
    struct nt_plugin plugin;
};

static void make(struct sample *s)
{
    *s = (struct sample){
        .args = { { .name = "id", .help = "h", .type = NT_ID },
                  { .name = "more", .help = "h", .flags = NT_OPTIONAL },
                  { .name = "command", .help = "h", .flags = NT_REST } },
        .opts = { { .name = "grace",
                    .help = "h",
                    .type = NT_DURATION_MS,
                    .fallback = "10s",
                    .max = 60000,
                    .letter = 'g' },
                  { .name = "size",
                    .help = "h",
                    .type = NT_CHOICE,
                    .choices = "small|large",
                    .fallback = "small",
                    .conflicts = "grace" } },
        .examples = { { "thing rm th_1", "n" } },
        .columns = { { .name = "id" }, { .name = "state" } },
        .aliases = { { .path = "thing remove" } },
        .codes = { NT_E_NOT_FOUND, NT_E_PLUGIN_FIRST },
        .errors = { { .text = "vendor.lost",
                      .kind = "api",
                      .help = "h",
                      .number = NT_E_PLUGIN_FIRST,
                      .exit_status = 1 },
                    { .text = "vendor.late",
                      .kind = "api",
                      .help = "h",
                      .number = NT_E_PLUGIN_FIRST + 1,
                      .exit_status = 1 } },
        .groups = { { .name = "thing", .summary = "s" }, { .name = "stuff", .summary = "s" } },
        .services = { { "a.b/1", "one", s }, { "a.b/1", "two", s } },
    };
    s->commands[0] = (struct nt_command){ .path = "thing rm",
                                          .summary = "s",
                                          .run = run,
                                          .args = NT_TABLE(s->args),
                                          .opts = NT_TABLE(s->opts),
                                          .examples = NT_TABLE(s->examples),
                                          .columns = NT_TABLE(s->columns),
                                          .errors = NT_TABLE(s->codes),
                                          .aliases = NT_TABLE(s->aliases) };
    s->commands[1] = s->commands[0];
    s->plugin = (struct nt_plugin){ NT_PLUGIN_HEAD,
                                    .name = "thing",
                                    .version = "1",
                                    .summary = "s",
                                    .groups = NT_TABLE(s->groups),
                                    .commands = { s->commands, 1, sizeof(s->commands[0]) },
                                    .errors = NT_TABLE(s->errors),
                                    .services = NT_TABLE(s->services) };
}

static void is_good(struct sample *s)
{
    struct nt_error e = NT_ERROR_INIT;
    if (check_tables(&s->plugin, true, &e) < 0)
        fail_msg("%s", e.message);
}

/* Checks that the table is refused with that text, and makes it good again. */
static void is_bad(struct sample *s, const char *text)
{
    struct nt_error e = NT_ERROR_INIT;
    if (check_tables(&s->plugin, true, &e) == 0)
        fail_msg("not noticed: %s", text);
    if (!strstr(e.message, text))
        fail_msg("'%s' instead of '%s'", e.message, text);
    assert_int_equal(e.code, NT_E_PLUGIN_FAILED);
    make(s);
}

static void commands_are_checked(void **state)
{
    (void)state;
    struct sample s;
    make(&s);
    is_good(&s);
    s.commands[0].run = NULL;
    is_bad(&s, "command 'thing rm': run is NULL");
    s.commands[0].run = NULL;
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(check_tables(&s.plugin, false, &e), 0); /* a manifest has none */
    make(&s);
    static const char *const paths[] = { "Thing", "thing  rm",  " thing",      "thing ",
                                         "-x",    "thing --rm", "th\303\244ng" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        s.commands[0].path = paths[i];
        is_bad(&s, "not a path");
    }
    s.plugin.commands.count = 2;
    is_bad(&s, "a second command or alias of this name");
    s.commands[0].examples.count = 0;
    is_bad(&s, "no example");
    s.examples[0].command = "thing rmx";
    is_bad(&s, "does not begin with 'thing rm'");
    s.examples[0].command = "thing remove th_1"; /* by an alias is fine */
    is_good(&s);
    make(&s);
    s.aliases[0].path = "thing rm";
    is_bad(&s, "alias 'thing rm': taken");
    s.codes[0] = 999;
    is_bad(&s, "error 999 has no row");
    s.codes[0] = 0;
    is_bad(&s, "error 0 has no row");
    s.codes[1] = NT_E_PLUGIN_FIRST + 7;
    is_bad(&s, "has no row");
    s.columns[1].name = "id";
    is_bad(&s, "column 'id': a second one");
    s.columns[1].name = "a.b";
    is_bad(&s, "column 'a.b': not a name");
    s.columns[1].schema = "{}";
    is_bad(&s, "column 'state': a schema, but it is no NT_JSON");
    s.columns[1].type = NT_JSON;
    s.columns[1].schema = "[]";
    is_bad(&s, "column 'state': its schema is not a JSON object");
    s.columns[1].type = NT_JSON;
    s.columns[1].schema = "{\"type\":";
    is_bad(&s, "column 'state': its schema is not a JSON object");
    s.columns[1].type = NT_JSON;
    s.columns[1].schema = "[]";
    e = (struct nt_error)NT_ERROR_INIT;
    assert_int_equal(check_tables(&s.plugin, false, &e), 0); /* of a manifest: not looked at */
    make(&s);
    s.commands[0].timeout_ms = -2;
    is_bad(&s, "timeout_ms -2");
    s.commands[0].timeout_ms = INT64_MAX;
    is_bad(&s, "timeout_ms");
    s.commands[0].result = 9;
    is_bad(&s, "result 9");
}

static void options_are_checked(void **state)
{
    (void)state;
    struct sample s;
    make(&s);
    s.opts[1].name = "grace";
    s.opts[1].conflicts = NULL;
    is_bad(&s, "option --grace: a second option of this name");
    s.opts[1].letter = 'g';
    is_bad(&s, "its letter 'g' is that of --grace");
    s.opts[0].letter = '7';
    is_bad(&s, "not an ASCII letter");
    s.opts[0].name = "--grace";
    is_bad(&s, "not a name");
    s.opts[0].fallback = "2h";
    is_bad(&s, "option --grace: fallback");
    s.opts[0].fallback = "soon";
    is_bad(&s, "option --grace: fallback");
    s.opts[0].min = 70000;
    is_bad(&s, "is above max");
    s.opts[0].min = -1;
    is_bad(&s, "is below 0");
    s.opts[0].flags = NT_REQUIRED;
    is_bad(&s, "required, but there is a fallback");
    s.opts[1].fallback = "medium";
    is_bad(&s, "fallback: 'medium' is not one of");
    s.opts[1].choices = "small||large";
    is_bad(&s, "an empty choice");
    s.opts[1].choices = NULL;
    is_bad(&s, "no choices");
    s.opts[0].choices = "a|b";
    is_bad(&s, "it is no NT_CHOICE");
    s.opts[1].conflicts = "grace nothing";
    is_bad(&s, "conflicts with 'nothing'");
    s.opts[1].conflicts = "size";
    is_bad(&s, "conflicts with 'size'");
    s.opts[0] = (struct nt_opt){ .name = "grace", .help = "h", .type = NT_FLAG, .fallback = "yes" };
    is_bad(&s, "the fallback of a flag");
    s.opts[0] = (struct nt_opt){ .name = "x", .help = "h", .type = NT_FLAG };
    s.opts[1] = (struct nt_opt){ .name = "no-x", .help = "h", .type = NT_FLAG };
    is_bad(&s, "--no-x unsets this flag already");
    s.opts[1].conflicts = s.opts[0].name; /* then it says another thing */
    is_good(&s);
}

static void arguments_are_checked(void **state)
{
    (void)state;
    struct sample s;
    make(&s);
    s.args[0].flags = NT_REST;
    is_bad(&s, "argument 'id': NT_REST must be the last row");
    s.args[0].flags = NT_MANY;
    is_bad(&s, "nothing is left behind 'id'");
    s.args[1].flags = NT_MANY | NT_OPTIONAL; /* before NT_REST is fine: `--` ends it */
    is_good(&s);
    make(&s);
    s.args[0].flags = NT_OPTIONAL;
    s.args[1].flags = 0;
    is_bad(&s, "required, but it follows 'id'");
    s.args[1].name = "id";
    is_bad(&s, "a second one of this name");
    s.args[1].name = "grace";
    is_bad(&s, "an option has this name");
    s.args[1].name = "ID";
    is_bad(&s, "not a name");
    s.args[0].type = NT_FLAG;
    is_bad(&s, "a flag is an option");
}

static void errors_groups_and_services_are_checked(void **state)
{
    (void)state;
    struct sample s;
    make(&s);
    s.errors[0].number = 7;
    is_bad(&s, "error 'vendor.lost': its number 7");
    s.errors[0].text = "lost";
    is_bad(&s, "not vendor.code");
    s.errors[0].help = NULL;
    is_bad(&s, "no help");
    s.errors[0].exit_status = 0;
    is_bad(&s, "exit status 0");
    s.errors[0].exit_status = 256;
    is_bad(&s, "exit status 256");
    s.errors[1].number = NT_E_PLUGIN_FIRST;
    is_bad(&s, "a second one of this number or text");
    s.groups[1].name = "thing";
    is_bad(&s, "group 'thing': a second one");
    s.groups[1].name = "Thing";
    is_bad(&s, "group 'Thing': not a name");
    s.services[1].instance = "one";
    is_bad(&s, "a second one with instance 'one'");
    s.services[1].ops = NULL;
    is_bad(&s, "ops is NULL");
    s.plugin.name = "Thing";
    is_bad(&s, "not a name");
    s.plugin.name = "../thing";
    is_bad(&s, "not a name");
    s.plugin.name = "";
    is_bad(&s, "not a name");
}

static void needs_are_checked(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        const char *value;
        bool good;
    } rows[] = {
        { NT_NEED_ROUTE, "GET /v1/sandboxes", true },
        { NT_NEED_ROUTE, "ANY /v1/sandboxes/{}/files/{...}", true },
        { NT_NEED_ROUTE, "UPGRADE /v1/sandboxes/{}/guest", true },
        { NT_NEED_ROUTE, "GET v1", false },
        { NT_NEED_ROUTE, "FETCH /v1", false },
        { NT_NEED_ROUTE, "GET /v1/../admin", false },
        { NT_NEED_ROUTE, "GET /v1//x", false },
        { NT_NEED_ROUTE, "GET /v1/", false },
        { NT_NEED_ROUTE, "GET /v1/{...}/x", false },
        { NT_NEED_ROUTE, "GET /v1/%2e", false },
        { NT_NEED_ROUTE, "GET /v1?x=1", false },
        { NT_NEED_HOST, "api.example.com:443", true },
        { NT_NEED_HOST, "[2001:db8::1]:443", true },
        { NT_NEED_HOST, "api.example.com", false },
        { NT_NEED_HOST, "*.example.com:443", false },
        { NT_NEED_HOST, "api.example.com:0", false },
        { NT_NEED_HOST, "api.example.com:70000", false },
        { NT_NEED_HOST, ":443", false },
        { NT_NEED_READ, "~/.config/thing", true },
        { NT_NEED_WRITE, "$PWD", true },
        { NT_NEED_WRITE, "$PWD/build", true },
        { NT_NEED_READ, "/etc/thing.conf", true },
        { NT_NEED_READ, "~", false },
        { NT_NEED_READ, "~other/x", false },
        { NT_NEED_READ, "/", false },
        { NT_NEED_READ, "~/../x", false },
        { NT_NEED_READ, "$PWDx", false },
        { NT_NEED_READ, "thing.conf", false },
        { NT_NEED_PROGRAM, "git", true },
        { NT_NEED_PROGRAM, "/opt/thing/bin/thing", true },
        { NT_NEED_PROGRAM, "bin/thing", false },
        { NT_NEED_PROGRAM, "..", false },
        { 77, "of a newer nanoterm", true },
        { 0, "nothing", false },
    };
    struct sample s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nt_need need = { rows[i].value, "why", rows[i].kind, 0 };
        make(&s);
        s.plugin.needs = (struct nt_table){ &need, 1, sizeof(need) };
        struct nt_error e = NT_ERROR_INIT;
        if ((check_tables(&s.plugin, true, &e) == 0) != rows[i].good)
            fail_msg("'%s': %s", rows[i].value, rows[i].good ? e.message : "not noticed");
        if (!rows[i].good)
            assert_non_null(strstr(e.message, rows[i].value));
    }
    const struct nt_need twice[] = { { "git", "why", NT_NEED_PROGRAM, 0 },
                                     { "git", "again", NT_NEED_PROGRAM, 0 } };
    s.plugin.needs = (struct nt_table){ twice, 2, sizeof(twice[0]) };
    is_bad(&s, "need 'git': a second one");
}

static void our_own_group_is_good(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    if (check_tables(&plugin_plugin, true, &e) < 0)
        fail_msg("%s", e.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_checked),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(errors_groups_and_services_are_checked),
        cmocka_unit_test(needs_are_checked),
        cmocka_unit_test(our_own_group_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
