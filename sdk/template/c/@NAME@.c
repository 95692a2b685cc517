/* @NAME@.c - the plugin @NAME@: its commands are tables, from which nanoterm derives parsing, help, completion and
 * the catalog. */
#include <stdio.h>

#include "nanoterm/host.h"
#include "nanoterm/plugin.h"
#include "sdk/error.h"

/* Numbers of our own errors begin at NT_E_PLUGIN_FIRST. */
enum { E_NOBODY = NT_E_PLUGIN_FIRST };

/* Arguments come parsed, typed and within their bounds. */
static int run_greet(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    const char *who = host->text(call, "who");
    int64_t times = host->number(call, "times");
    if (!*who)
        return nt_fail(reterr, E_NOBODY, "nobody to greet");
    for (int64_t i = 1; i <= times; i++) {
        char text[256];
        snprintf(text, sizeof(text), "Hello, %s!", who);
        const struct nt_value row[] = {
            { .type = NT_INT, .number = i },
            { .type = NT_TEXT, .text = text },
        };
        if (host->emit(call, row, sizeof(row) / sizeof(row[0]), reterr) < 0)
            return -1;
    }
    return 0;
}

static const struct nt_arg greet_args[] = {
    { .name = "who", .help = "Whom to greet", .type = NT_TEXT },
};
static const struct nt_opt greet_opts[] = {
    { .name = "times", .letter = 't', .type = NT_INT, .arg = "number", .fallback = "1", .min = 1, .max = 100,
      .help = "How often" },
};
static const struct nt_column greet_columns[] = {
    { .name = "number", .help = "Which greeting it is", .type = NT_INT },
    { .name = "text", .help = "What is said", .type = NT_TEXT },
};
static const struct nt_example greet_examples[] = {
    { "@NAME@ greet world", "Greet the world once" },
    { "@NAME@ greet world --times 3 --json", "Three times, for a program" },
};
static const uint32_t greet_errors[] = { E_NOBODY };

static const struct nt_command commands[] = {
    { .path = "@NAME@ greet", .summary = "Greet someone", .run = run_greet,
      .args = NT_TABLE(greet_args), .opts = NT_TABLE(greet_opts), .examples = NT_TABLE(greet_examples),
      .columns = NT_TABLE(greet_columns), .errors = NT_TABLE(greet_errors),
      .effects = NT_LOCAL | NT_IDEMPOTENT, .result = NT_RESULT_LIST },
};
static const struct nt_group groups[] = { { .name = "@NAME@", .summary = "What @NAME@ does" } };
static const struct nt_error_row errors[] = {
    { .text = "@NAME@.nobody", .kind = "usage", .help = "Name someone", .number = E_NOBODY, .exit_status = 2 },
};

/* Beyond its own memory a plugin gets what it declares, and nothing else; this one needs nothing. With rows like these,
 * and .needs = NT_TABLE(needs) below, whoever installs it is asked:
 *
 * static const struct nt_need needs[] = {
 *     { "GET /v1/sandboxes/{}", "to show one workspace", NT_NEED_ROUTE, 0 },
 *     { "api.example.com:443", "to look up prices", NT_NEED_HOST, 0 },
 *     { "~/.config/@NAME@", "its own settings", NT_NEED_READ, 0 },
 *     { "git", "to read the history", NT_NEED_PROGRAM, 0 },
 * }; */
static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD, .name = "@NAME@", .version = "0.1.0", .summary = "What @NAME@ does", .vendor = "you",
    .groups = NT_TABLE(groups), .commands = NT_TABLE(commands), .errors = NT_TABLE(errors),
};
NT_PLUGIN(plugin);
