/* SPDX-License-Identifier: Apache-2.0 */
/* cli_help_test.c - help and the catalog, derived from a small tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "cli_table.h"
#include "core/cli/catalog.h"
#include "core/cli/schema.h"
#include "core/output/error_line.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"

static const struct nt_error_row own_row = { .text = "fake.broken",
                                             .kind = "api",
                                             .help = "mend it",
                                             .number = NT_E_PLUGIN_FIRST,
                                             .exit_status = 7 };

static bool row_of(void *data, const struct nt_command *command, uint32_t code,
                   struct nt_error_row *ret)
{
    (void)command;
    assert_string_equal(data, "mine");
    *ret = error_line_row(code, code >= NT_E_PLUGIN_FIRST ? &own_row : NULL);
    return true;
}

static const char *name_of(void *data, const struct nt_command *command)
{
    (void)data;
    return command == &exec_command ? "ws" : NULL;
}

static char mine[] = "mine";
static const struct catalog_source source = { { row_of, mine, NULL }, name_of, mine };

static void has_line(const struct nt_buf *b, const char *line)
{
    size_t length = strlen(line);
    for (const char *at = nt_buf_text(b); (at = strstr(at, line)); at++)
        if ((at == nt_buf_text(b) || at[-1] == '\n') && at[length] == '\n')
            return;
    fail_msg("no line '%s' in:\n%s", line, nt_buf_text(b));
}

static void no_line_is_wider_than_a_terminal(const struct nt_buf *b)
{
    for (const char *at = nt_buf_text(b); *at;) {
        size_t size = strcspn(at, "\n");
        if (size > 80)
            fail_msg("too wide: %.*s", (int)size, at);
        at += size + (at[size] != '\0');
    }
}

static void help_of_a_command_has_all_that_its_rows_say(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(64 * 1024);
    help_add_command(&b, &exec_command, &source.errors);
    assert_true(nt_buf_ok(&b));
    has_line(&b, "Run a command");
    has_line(&b, "Usage: nanoterm exec [options] <workspace-id> -- <command...>");
    has_line(&b, "  <workspace-id>            Workspace to run it in");
    has_line(&b, "      --cwd <path>          Working directory inside (default: /workspace)");
    has_line(&b, "  -d, --detach              Do not wait");
    has_line(&b, "  -v, --verbose             Say more (environment: NT_TEST_VERBOSE)");
    has_line(&b, "  -h, --help                Print this help");
    has_line(&b, "  0    success");
    has_line(&b, "  2    usage");
    has_line(&b, "  3    not_found");
    has_line(&b, "  7    fake.broken: mend it");
    has_line(&b, "  130  interrupted");
    has_line(&b, "  # See what is there");
    has_line(&b, "  nanoterm ws list");
    assert_null(strstr(nt_buf_text(&b), "--old"));
    no_line_is_wider_than_a_terminal(&b);

    nt_buf_reset(&b);
    help_add_command(&b, &create_command, &source.errors);
    has_line(&b, "  -s, --size <size>         How large (one of: small, medium, large; default:");
    has_line(&b, "  -p, --port <mapping>...   Port to pin");
    has_line(&b, "      --internet            May go out (not with --offline)");
    has_line(&b, "  name                      Its name");
    no_line_is_wider_than_a_terminal(&b);

    nt_buf_reset(&b);
    help_add_command(&b, &list_command, &source.errors);
    has_line(&b, "Also: nanoterm ws ls");
    assert_null(strstr(nt_buf_text(&b), "nanoterm workspaces"));

    nt_buf_reset(&b);
    help_add_command(&b, &rm_command, NULL);
    has_line(&b, "Usage: nanoterm ws rm [options] <id...>");
}

static void the_tree_shows_every_command_but_hidden_ones(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(64 * 1024);
    help_add_tree(&b, &table_tree);
    has_line(&b, "  exec                      Run a command");
    has_line(&b, "ws - Workspaces:");
    has_line(&b, "  ws create                 Create a workspace");
    has_line(&b, "  ws rm                     Remove a workspace for good");
    assert_null(strstr(nt_buf_text(&b), "rmall"));
    no_line_is_wider_than_a_terminal(&b);

    nt_buf_reset(&b);
    help_add_group(&b, &table_tree, "ws");
    has_line(&b, "Workspaces");
    has_line(&b, "  ws list                   List workspaces");
    assert_null(strstr(nt_buf_text(&b), "  exec "));
    assert_null(strstr(nt_buf_text(&b), "rmall"));
    assert_non_null(strstr(nt_buf_text(&b), "Examples:"));
}

static void long_text_is_broken_between_words(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(4096);
    help_add_wrapped(
        &b,
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen\n\nnext",
        10, 10);
    assert_string_equal(nt_buf_text(&b),
                        "one two three four five six seven eight nine ten eleven twelve\n"
                        "          thirteen fourteen\n\n          next");
    nt_buf_reset(&b);
    char word[200];
    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    help_add_wrapped(&b, word, 0, 4);
    assert_string_equal(nt_buf_text(&b), word);
}

static json_t *find(json_t *list, const char *key, const char *value)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i,
                       item) if (strcmp(json_string_value(json_object_get(item, key)), value)
                                 == 0) return item;
    fail_msg("no %s %s", key, value);
    return NULL;
}

static void the_catalog_is_json_and_complete(void **state)
{
    (void)state;
    json_t *all = json_array();
    for (uint32_t i = 0; i < table_tree.count; i++)
        assert_int_equal(json_array_append_new(all, catalog_of(table_tree.commands[i], &source)),
                         0);

    json_t *create = find(all, "path", "ws create");
    json_t *size = find(json_object_get(create, "options"), "name", "size");
    assert_string_equal(json_string_value(json_object_get(size, "letter")), "s");
    assert_string_equal(json_string_value(json_object_get(size, "type")), "choice");
    assert_string_equal(json_string_value(json_object_get(size, "default")), "small");
    assert_string_equal(json_string_value(json_object_get(size, "env")), "NT_TEST_SIZE");
    assert_int_equal(json_array_size(json_object_get(size, "choices")), 3);
    json_t *cpus = find(json_object_get(create, "options"), "name", "cpus");
    assert_int_equal(json_integer_value(json_object_get(cpus, "max")), 64);

    json_t *exec = find(all, "path", "exec");
    assert_string_equal(json_string_value(json_object_get(exec, "plugin")), "ws");
    json_t *command = find(json_object_get(exec, "arguments"), "name", "command");
    assert_true(json_is_true(json_object_get(command, "behind_dashes")));
    json_t *broken = find(json_object_get(exec, "errors"), "code", "fake.broken");
    assert_int_equal(json_integer_value(json_object_get(broken, "exit_status")), 7);
    assert_int_equal(json_array_size(json_object_get(exec, "effects")), 2);

    json_t *list = find(all, "path", "ws list");
    json_t *alias = find(json_object_get(list, "aliases"), "path", "workspaces");
    assert_true(json_is_true(json_object_get(alias, "hidden")));
    json_t *schema = json_object_get(json_object_get(list, "result"), "schema");
    assert_string_equal(json_string_value(json_object_get(schema, "type")), "array");
    json_t *properties = json_object_get(json_object_get(schema, "items"), "properties");
    assert_int_equal(json_object_size(properties), 5);
    assert_true(json_is_true(json_object_get(find(all, "path", "ws rmall"), "hidden")));
    json_decref(all);
}

static void a_schema_that_is_none_means_any_value(void **state)
{
    (void)state;
    static const char *const schemas[] = { NULL, "[]", "[1]", "5", "{", "" };
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        const struct nt_column columns[] = {
            { .name = "x", .type = NT_JSON, .schema = schemas[i] },
        };
        const struct nt_command command = { .path = "x",
                                            .columns = NT_TABLE(columns),
                                            .result = NT_RESULT_ONE };
        nt_auto_json json_t *schema = schema_of_result(&command);
        json_t *x = json_object_get(json_object_get(schema, "properties"), "x");
        assert_true(json_is_object(x));
        assert_int_equal(json_object_size(x), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_of_a_command_has_all_that_its_rows_say),
        cmocka_unit_test(the_tree_shows_every_command_but_hidden_ones),
        cmocka_unit_test(long_text_is_broken_between_words),
        cmocka_unit_test(the_catalog_is_json_and_complete),
        cmocka_unit_test(a_schema_that_is_none_means_any_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
