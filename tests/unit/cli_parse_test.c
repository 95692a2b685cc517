/* SPDX-License-Identifier: Apache-2.0 */
/* cli_parse_test.c - every rule of the parser, on a small tree. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli_table.h"
#include "core/cli/parse.h"
#include "sdk/close.h"

#define WORDS_MAX 40

struct words {
    int argc;
    const char *argv[WORDS_MAX];
};

/* Words are separated by one space; `_` alone is the empty word. */
static void split(char *line, struct words *ret)
{
    *ret = (struct words){ 1, { "nanoterm" } };
    char *rest = line, *word;
    while ((word = strsep(&rest, " ")) != NULL) {
        assert_true(ret->argc < WORDS_MAX);
        ret->argv[ret->argc++] = strcmp(word, "_") == 0 ? "" : word;
    }
}

static char line_copy[1024];
static const char *stock_file = "/nonexistent"; /* no list of packages */

static int parse(const char *line, struct parsed *ret, struct nt_error *reterr)
{
    struct words words;
    snprintf(line_copy, sizeof(line_copy), "%s", line);
    split(line_copy, &words);
    char *argv[WORDS_MAX];
    memcpy(argv, words.argv, sizeof(argv));
    *ret = (struct parsed){ .what = PARSED_RUN };
    struct tree tree = table_tree;
    tree.stock = stock_file;
    return parse_words(&tree, words.argc, argv, ret, reterr);
}

static struct parsed good(const char *line)
{
    struct parsed p;
    struct nt_error e = NT_ERROR_INIT;
    if (parse(line, &p, &e) < 0)
        fail_msg("'%s': %s", line, e.message);
    return p;
}

static struct nt_error bad(const char *line, const char *part)
{
    struct parsed p;
    struct nt_error e = NT_ERROR_INIT;
    if (parse(line, &p, &e) == 0)
        fail_msg("'%s' was understood", line);
    if (!strstr(e.message, part))
        fail_msg("'%s': '%s' is not in '%s'", line, part, e.message);
    assert_true(e.hint[0] != '\0');
    return e;
}

static const char *value(const struct parsed *p, const char *name, uint32_t index)
{
    const struct slot *slot = parsed_slot(p, name);
    assert_non_null(slot);
    return index < slot->count ? slot->texts[index] : NULL;
}

static int64_t number(const struct parsed *p, const char *name)
{
    return parsed_slot(p, name)->number;
}

static void all_four_spellings_of_exec_are_the_same(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "exec ws_a1b2c3d4 --cwd /workspace/api -- pnpm build",
        "exec --cwd /workspace/api ws_a1b2c3d4 -- pnpm build",
        "exec --cwd=/workspace/api ws_a1b2c3d4 -- pnpm build",
        "--json exec --cwd=/workspace/api ws_a1b2c3d4 -- pnpm build",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct parsed p = good(lines[i]);
        assert_ptr_equal(p.command, &exec_command);
        assert_string_equal(value(&p, "workspace-id", 0), "ws_a1b2c3d4");
        assert_string_equal(value(&p, "cwd", 0), "/workspace/api");
        assert_string_equal(value(&p, "command", 0), "pnpm");
        assert_string_equal(value(&p, "command", 1), "build");
        assert_null(value(&p, "command", 2));
        parsed_done(&p);
    }
    struct parsed p = good("exec ws_a1b2c3d4 -- pnpm build");
    assert_string_equal(value(&p, "cwd", 0), "/workspace");
    assert_false(parsed_slot(&p, "cwd")->is_given);
    parsed_done(&p);
}

static void words_behind_the_dashes_are_untouched(void **state)
{
    (void)state;
    struct parsed p = good("exec ws_x -- ls --cwd /x -- --json -h _");
    const char *const expected[] = { "ls", "--cwd", "/x", "--", "--json", "-h", "" };
    for (uint32_t i = 0; i < 7; i++)
        assert_string_equal(value(&p, "command", i), expected[i]);
    assert_false(p.globals.json);
    assert_string_equal(value(&p, "cwd", 0), "/workspace");
    parsed_done(&p);
}

static void a_program_without_dashes_must_have_no_options(void **state)
{
    (void)state;
    struct parsed p = good("exec ws_x cat - b");
    assert_string_equal(value(&p, "command", 1), "-");
    parsed_done(&p);
    bad("exec ws_x ls -la", "put '--' before the command");
    bad("exec ws_x ls --cwd /x", "put '--' before the command");
    bad("exec ws_x ls -- x", "put '--' before the command");
    bad("exec ws_x", "<command> is missing; put it behind '--'");
    bad("exec ws_x --", "<command> is missing");
    bad("exec -- ls", "<workspace-id> is missing");
}

static void short_options_bundle_and_take_values(void **state)
{
    (void)state;
    struct parsed p = good("exec -dv ws_x -- true");
    assert_int_equal(number(&p, "detach"), 1);
    assert_int_equal(number(&p, "verbose"), 1);
    parsed_done(&p);
    p = good("ws create -smedium -p 1:2 -p3 -qp 4");
    assert_string_equal(value(&p, "size", 0), "medium");
    assert_int_equal(parsed_slot(&p, "port")->count, 3);
    assert_string_equal(value(&p, "port", 1), "3");
    assert_string_equal(value(&p, "port", 2), "4");
    assert_true(p.globals.quiet);
    parsed_done(&p);
    bad("exec -dz ws_x -- true", "unknown option -z");
    bad("ws create -s", "needs a value");
    bad("ws create -p", "-p (--port) needs a value");
}

static void names_are_never_abbreviated(void **state)
{
    (void)state;
    struct nt_error e =
        bad("ws create --siz small", "unknown option --siz (did you mean '--size'?)");
    assert_int_equal(e.code, NT_E_USAGE);
    assert_string_equal(e.hint, "see nanoterm ws create --help");
    bad("--jso ws list", "unknown option --jso (did you mean '--json'?)");
}

static void flags_can_be_unset_and_the_last_one_wins(void **state)
{
    (void)state;
    struct parsed p = good("exec --detach --no-detach ws_x -- a");
    assert_int_equal(number(&p, "detach"), 0);
    assert_int_equal(parsed_slot(&p, "detach")->count, 0);
    assert_true(parsed_slot(&p, "detach")->is_given);
    parsed_done(&p);
    p = good("ws create --size small --size large");
    assert_string_equal(value(&p, "size", 0), "large");
    assert_int_equal(parsed_slot(&p, "size")->count, 1);
    parsed_done(&p);
    p = good("--json --no-json --no-color ws list");
    assert_false(p.globals.json);
    assert_true(p.globals.no_color);
    parsed_done(&p);
    bad("exec --detach=yes ws_x -- a", "--detach takes no value");
    bad("ws create --no-size", "unknown option --no-size");
}

static void a_repeated_flag_is_counted(void **state)
{
    (void)state;
    struct parsed p = good("ws create -ll --loud");
    assert_int_equal(parsed_slot(&p, "loud")->number, 3);
    assert_int_equal(parsed_slot(&p, "loud")->count, 1);
    parsed_done(&p);
    p = good("ws create -ll --no-loud -l");
    assert_int_equal(parsed_slot(&p, "loud")->number, 1);
    parsed_done(&p);
}

static void an_option_can_take_two_words(void **state)
{
    (void)state;
    struct parsed p = good("ws create --map a b -m c --d --map=e f --pair x y --pair v w");
    const struct slot *map = parsed_slot(&p, "map"), *pair = parsed_slot(&p, "pair");
    static const char *const words[] = { "a", "b", "c", "--d", "e", "f" };
    assert_int_equal(map->count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_string_equal(map->texts[i], words[i]);
    assert_int_equal(pair->count, 2);
    assert_string_equal(pair->texts[0], "v");
    assert_string_equal(pair->texts[1], "w");
    parsed_done(&p);
    bad("ws create --map a", "--map needs two values");
    bad("ws create --map", "--map needs a value");
}

static void values_are_typed_and_bounded(void **state)
{
    (void)state;
    struct parsed p = good("ws create --cpus 64 --memory 64k --grace 1.5s --meta {\"a\":1}");
    assert_int_equal(number(&p, "cpus"), 64);
    assert_int_equal(number(&p, "memory"), 65536);
    assert_int_equal(number(&p, "grace"), 1500);
    parsed_done(&p);
    p = good("ws create");
    assert_int_equal(number(&p, "grace"), 10000);
    assert_int_equal(number(&p, "cpus"), 0);
    assert_null(value(&p, "cpus", 0));
    parsed_done(&p);
    bad("ws create --cpus 65", "--cpus: 65 is not between 1 and 64");
    bad("ws create --cpus 0", "--cpus");
    bad("ws create --cpus 1x", "not a whole number");
    bad("ws create --memory 12q", "--memory");
    bad("ws create --grace soon", "not a duration");
    bad("ws create --grace -1s", "not a duration");
    bad("ws create --size huge", "'huge' is not one of: small, medium, large");
    bad("ws create --size smal", "not one of");
    bad("ws create --size small|medium", "not one of");
    bad("ws create --meta {", "--meta: not JSON");
    bad("exec ws/../x -- a", "<workspace-id>: 'ws/../x' is not an id");
    bad("exec .. -- a", "not an id");
    bad("exec _ -- a", "not an id");
    bad("exec --cwd= ws_x -- a", "--cwd: an empty path");
}

static void a_secret_is_not_repeated_in_the_error(void **state)
{
    (void)state;
    struct nt_error e = bad("ws create --token hunter/2", "--token: not a valid value");
    assert_null(strstr(e.message, "hunter"));
    e = bad("ws create -Zhunter2", "unknown option -Z");
    assert_null(strstr(e.message, "hunter"));
    e = bad("ws create --tokn=hunter2", "unknown option --tokn (did you mean '--token'?)");
    assert_null(strstr(e.message, "hunter"));
}

static void options_that_exclude_each_other(void **state)
{
    (void)state;
    bad("ws create --keep --no-keep", "exclude each other"); /* not unset by it */
    bad("ws create --internet --offline", "exclude each other");
    bad("ws create --offline --internet", "exclude each other");
    struct parsed p = good("ws create --internet --no-offline");
    parsed_done(&p);
}

static void the_environment_stands_in_for_an_option(void **state)
{
    (void)state;
    setenv("NT_TEST_SIZE", "large", 1);
    struct parsed p = good("ws create");
    assert_string_equal(value(&p, "size", 0), "large");
    assert_true(parsed_slot(&p, "size")->is_given);
    parsed_done(&p);
    p = good("ws create --size medium");
    assert_string_equal(value(&p, "size", 0), "medium");
    parsed_done(&p);
    setenv("NT_TEST_SIZE", "huge", 1);
    bad("ws create", "NT_TEST_SIZE: 'huge' is not one of");
    setenv("NT_TEST_SIZE", "", 1);
    p = good("ws create");
    assert_string_equal(value(&p, "size", 0), "small");
    parsed_done(&p);
    unsetenv("NT_TEST_SIZE");

    setenv("NT_TEST_VERBOSE", "1", 1);
    p = good("exec ws_x -- a");
    assert_int_equal(number(&p, "verbose"), 1);
    parsed_done(&p);
    p = good("exec ws_x --no-verbose -- a");
    assert_int_equal(number(&p, "verbose"), 0);
    parsed_done(&p);
    setenv("NT_TEST_VERBOSE", "perhaps", 1);
    bad("exec ws_x -- a", "NT_TEST_VERBOSE: 'perhaps' is not 1 or 0");
    unsetenv("NT_TEST_VERBOSE");
}

static void what_is_required_must_be_there(void **state)
{
    (void)state;
    bad("ws rm ws_1", "--why is required (or set NT_TEST_WHY)");
    bad("ws rm --why x", "<id> is missing");
    setenv("NT_TEST_WHY", "because", 1);
    struct parsed p = good("ws rm ws_1 ws_2 ws_3");
    assert_int_equal(parsed_slot(&p, "id")->count, 3);
    assert_string_equal(value(&p, "why", 0), "because");
    parsed_done(&p);
    p = good("ws rm ws_1 -- -x");
    assert_string_equal(value(&p, "id", 1), "-x");
    parsed_done(&p);
    unsetenv("NT_TEST_WHY");
    bad("ws list extra", "one word too many: 'extra'");
}

static void global_options_stand_anywhere(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "--org org_1 --timeout 5s --fields id,name --api http://x ws list",
        "ws --org org_1 --timeout 5s list --fields=id,name --api http://x",
        "ws list --org=org_1 --timeout=5s --fields id,name --api=http://x",
    };
    for (size_t i = 0; i < 3; i++) {
        struct parsed p = good(lines[i]);
        assert_ptr_equal(p.command, &list_command);
        assert_string_equal(p.globals.org, "org_1");
        assert_string_equal(p.globals.fields, "id,name");
        assert_string_equal(p.globals.api, "http://x");
        assert_int_equal(p.globals.timeout_ms, 5000);
        parsed_done(&p);
    }
    bad("--timeout soon ws list", "--timeout: 'soon' is not a duration");
    bad("--timeout 0 ws list", "--timeout");
    bad("--org a/b ws list", "--org: 'a/b' is not an id");
    bad("--api= ws list", "--api needs a value");
    bad("ws list --org", "--org needs a value");
}

static void an_option_of_the_command_wins_over_the_global_one(void **state)
{
    (void)state;
    struct parsed p = good("--timeout 5s ws create --timeout 7s");
    assert_int_equal(p.globals.timeout_ms, 5000);
    assert_int_equal(number(&p, "timeout"), 7000);
    parsed_done(&p);
}

static void the_status_descriptor_must_be_open_and_is_not_inherited(void **state)
{
    (void)state;
    int fd = dup(2);
    assert_true(fd > 2);
    char line[64];
    snprintf(line, sizeof(line), "--status-fd %d ws list", fd);
    struct parsed p = good(line);
    assert_int_equal(p.globals.status_fd, fd);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    parsed_done(&p);
    close(fd);
    bad(line, "is not open");
    bad("--status-fd 0 ws list", "--status-fd");
    bad("--status-fd x ws list", "--status-fd");
    p = good("ws list");
    assert_int_equal(p.globals.status_fd, -1);
    parsed_done(&p);
}

static void help_and_version_end_the_reading(void **state)
{
    (void)state;
    static const struct {
        const char *line, *path;
        const struct nt_command *command;
    } cases[] = {
        { "--help", "", NULL },
        { "ws", "ws", NULL },
        { "ws --help", "ws", NULL },
        { "ws create -h --bogus", "ws create", &create_command },
        { "exec --help", "exec", &exec_command },
        { "ws ls --help", "ws ls", &list_command },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed p = good(cases[i].line);
        assert_int_equal(p.what, PARSED_HELP);
        assert_string_equal(p.path, cases[i].path);
        assert_ptr_equal(p.command, cases[i].command);
        parsed_done(&p);
    }
    struct parsed p = good("--no-color --version");
    assert_int_equal(p.what, PARSED_VERSION);
    parsed_done(&p);

    char *argv[] = { (char[]){ "nanoterm" }, NULL };
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(parse_words(&table_tree, 1, argv, &p, &e), 0);
    assert_int_equal(p.what, PARSED_HELP);
    parsed_done(&p);
}

static void aliases_lead_to_the_command(void **state)
{
    (void)state;
    struct parsed p = good("ws ls");
    assert_ptr_equal(p.command, &list_command);
    parsed_done(&p);
    p = good("workspaces --json");
    assert_ptr_equal(p.command, &list_command);
    assert_true(p.globals.json);
    parsed_done(&p);
}

static void a_mistyped_command_gets_a_suggestion(void **state)
{
    (void)state;
    bad("ws lsit", "unknown command 'ws lsit' (did you mean 'ws list'");
    bad("exce ws_x", "did you mean 'exec'");
    bad("ws xyzzy", "unknown command 'ws xyzzy'");
    struct nt_error e = bad("wss list", "did you mean 'ws'?");
    assert_int_equal(e.code, NT_E_USAGE);
    e = bad("ws rmal", "unknown command 'ws rmal'");
    assert_null(strstr(e.message, "rmall")); /* hidden */
    bad("-- ws list", "a command must stand before '--'");
    bad("ws -x", "unknown option -x");
    bad("_", "unknown command ''");
}

static void a_group_of_ours_that_is_not_installed_is_named(void **state)
{
    (void)state;
    static const char list[] = "secrets secrets nanoterm-plugin-secrets\nshell ws nanoterm-all\n"
                               "ws ws nanoterm-plugin-ws\ncut cut\nodd odd $(reboot)\n";
    char file[] = "/tmp/nanoterm-stock-XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0 && write(fd, list, strlen(list)) == (ssize_t)strlen(list));
    stock_file = file;
    struct nt_error e = bad("secrets list", "'secrets' needs the plugin 'secrets', which is not");
    assert_int_equal(e.code, NT_E_PLUGIN_MISSING);
    assert_non_null(strstr(e.hint, "apt install nanoterm-plugin-secrets"));
    e = bad("secrets", "needs the plugin 'secrets'");
    e = bad("shell ws_x", "needs the plugin 'ws'");
    assert_non_null(strstr(e.hint, "apt install nanoterm-all"));
    e = bad("ws secrets", "unknown command"); /* only the first word counts */
    assert_int_equal(e.code, NT_E_USAGE);
    e = bad("secret list", "unknown command"); /* and the whole of it */
    e = bad("cut", "unknown command");         /* a line that is none */
    e = bad("odd", "unknown command");
    unlink(file);
    e = bad("secrets list", "unknown command 'secrets'"); /* without a list nothing is promised */
    assert_int_equal(e.code, NT_E_USAGE);
    close(fd);
}

static void hostile_words_stay_errors(void **state)
{
    (void)state;
    char longest[900];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    char line[1000];
    bad(longest, "unknown command");
    snprintf(line, sizeof(line), "ws create --%s", longest);
    bad(line, "unknown option");
    snprintf(line, sizeof(line), "ws create --%s=1", longest);
    bad(line, "unknown option");
    bad("ws create --=", "unknown option --");
    bad("ws create -\xc3\xa4", "unknown option");
    struct nt_error e = bad("\x1b[31m", "unknown command");
    assert_null(strchr(e.message, 0x1b));
    bad("ws\tlist", "unknown command");
}

static void json_is_seen_before_the_words_are_understood(void **state)
{
    (void)state;
    char *with[] = { (char[]){ "n" }, (char[]){ "bogus" }, (char[]){ "--json" } };
    char *behind[] = { (char[]){ "n" }, (char[]){ "--" }, (char[]){ "--json" } };
    assert_true(globals_wants_json(3, with));
    assert_false(globals_wants_json(3, behind));
}

static void the_status_descriptor_is_seen_before_the_words_are_understood(void **state)
{
    (void)state;
    char *apart[] = { (char[]){ "n" }, (char[]){ "bogus" }, (char[]){ "--status-fd" },
                      (char[]){ "2" } };
    char *joined[] = { (char[]){ "n" }, (char[]){ "--status-fd=1" }, (char[]){ "bogus" } };
    char *wrong[] = { (char[]){ "n" }, (char[]){ "--status-fd" }, (char[]){ "x" } };
    char *cut[] = { (char[]){ "n" }, (char[]){ "--status-fd" } };
    char *behind[] = { (char[]){ "n" }, (char[]){ "--" }, (char[]){ "--status-fd=2" } };
    assert_int_equal(globals_early_status_fd(4, apart), 2);
    assert_int_equal(globals_early_status_fd(3, joined), 1);
    assert_int_equal(globals_early_status_fd(3, wrong), -1);
    assert_int_equal(globals_early_status_fd(2, cut), -1);
    assert_int_equal(globals_early_status_fd(3, behind), -1);
}

static void distances_count_single_edits(void **state)
{
    (void)state;
    assert_int_equal(nt_distance("list", "list", 3), 0);
    assert_int_equal(nt_distance("lsit", "list", 3), 1);
    assert_int_equal(nt_distance("lst", "list", 3), 1);
    assert_int_equal(nt_distance("liste", "list", 3), 1);
    assert_int_equal(nt_distance("", "list", 3), 4);
    assert_int_equal(nt_distance("abcdef", "ghijkl", 2), 3);
    assert_true(nt_is_close("cre", "create"));
    assert_false(nt_is_close("rm", "ls"));
    assert_false(nt_is_close("x", "y"));
    struct nt_nearest n = { .typed = "develope" };
    nt_nearest_try(&n, "default");
    assert_null(n.name);
    nt_nearest_try(&n, "node-dev");
    nt_nearest_try(&n, "developer");
    nt_nearest_try(&n, "developers");
    assert_string_equal(n.name, "developer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_four_spellings_of_exec_are_the_same),
        cmocka_unit_test(words_behind_the_dashes_are_untouched),
        cmocka_unit_test(a_program_without_dashes_must_have_no_options),
        cmocka_unit_test(short_options_bundle_and_take_values),
        cmocka_unit_test(names_are_never_abbreviated),
        cmocka_unit_test(flags_can_be_unset_and_the_last_one_wins),
        cmocka_unit_test(a_repeated_flag_is_counted),
        cmocka_unit_test(an_option_can_take_two_words),
        cmocka_unit_test(values_are_typed_and_bounded),
        cmocka_unit_test(a_secret_is_not_repeated_in_the_error),
        cmocka_unit_test(options_that_exclude_each_other),
        cmocka_unit_test(the_environment_stands_in_for_an_option),
        cmocka_unit_test(what_is_required_must_be_there),
        cmocka_unit_test(global_options_stand_anywhere),
        cmocka_unit_test(an_option_of_the_command_wins_over_the_global_one),
        cmocka_unit_test(the_status_descriptor_must_be_open_and_is_not_inherited),
        cmocka_unit_test(help_and_version_end_the_reading),
        cmocka_unit_test(aliases_lead_to_the_command),
        cmocka_unit_test(a_mistyped_command_gets_a_suggestion),
        cmocka_unit_test(a_group_of_ours_that_is_not_installed_is_named),
        cmocka_unit_test(hostile_words_stay_errors),
        cmocka_unit_test(json_is_seen_before_the_words_are_understood),
        cmocka_unit_test(the_status_descriptor_is_seen_before_the_words_are_understood),
        cmocka_unit_test(distances_count_single_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
