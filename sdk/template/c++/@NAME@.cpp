// @NAME@.cpp - the plugin @NAME@ in C++: its commands are tables, from which nanoterm derives parsing, help, completion
// and the catalog. No exception may leave run: the caller is C.
#include <exception>
#include <string>

#include "nanoterm/host.h"
#include "nanoterm/plugin.h"
#include "sdk/error.h"

namespace {

// Numbers of our own errors begin at NT_E_PLUGIN_FIRST.
constexpr std::uint32_t e_nobody = NT_E_PLUGIN_FIRST;

int greet(nt_call *call, nt_error *reterr)
{
    const nt_host *host = call->host;
    const std::string who = host->text(call, "who");
    if (who.empty())
        return nt_fail(reterr, e_nobody, "nobody to greet");
    const std::int64_t times = host->number(call, "times");
    for (std::int64_t i = 1; i <= times; i++) {
        const std::string text = "Hello, " + who + "!";
        const nt_value row[] = {
            { .type = NT_INT, .number = i },
            { .type = NT_TEXT, .text = text.c_str() },
        };
        if (host->emit(call, row, sizeof(row) / sizeof(row[0]), reterr) < 0)
            return -1;
    }
    return 0;
}

// Arguments come parsed, typed and within their bounds.
int run_greet(nt_call *call, nt_error *reterr)
{
    try {
        return greet(call, reterr);
    } catch (const std::exception &e) {
        return nt_fail(reterr, NT_E_INTERNAL, "%s", e.what());
    }
}

const nt_arg greet_args[] = {
    { .name = "who", .help = "Whom to greet", .type = NT_TEXT },
};
const nt_opt greet_opts[] = {
    { .name = "times", .help = "How often", .arg = "number", .fallback = "1", .min = 1, .max = 100, .letter = 't',
      .type = NT_INT },
};
const nt_column greet_columns[] = {
    { .name = "number", .help = "Which greeting it is", .type = NT_INT },
    { .name = "text", .help = "What is said", .type = NT_TEXT },
};
const nt_example greet_examples[] = {
    { "@NAME@ greet world", "Greet the world once" },
    { "@NAME@ greet world --times 3 --json", "Three times, for a program" },
};
const std::uint32_t greet_errors[] = { e_nobody };

const nt_command commands[] = {
    { .path = "@NAME@ greet", .summary = "Greet someone", .run = run_greet, .args = NT_TABLE(greet_args),
      .opts = NT_TABLE(greet_opts), .examples = NT_TABLE(greet_examples), .columns = NT_TABLE(greet_columns),
      .errors = NT_TABLE(greet_errors), .effects = NT_LOCAL | NT_IDEMPOTENT, .result = NT_RESULT_LIST },
};
const nt_group groups[] = { { .name = "@NAME@", .summary = "What @NAME@ does" } };
const nt_error_row errors[] = {
    { .text = "@NAME@.nobody", .kind = "usage", .help = "Name someone", .number = e_nobody, .exit_status = 2 },
};

/* Beyond its own memory a plugin gets what it declares, and nothing else; this one needs nothing. With rows like these,
 * and .needs = NT_TABLE(needs) below, whoever installs it is asked:
 *
 * const nt_need needs[] = {
 *     { "GET /v1/sandboxes/{}", "to show one workspace", NT_NEED_ROUTE, 0 },
 *     { "api.example.com:443", "to look up prices", NT_NEED_HOST, 0 },
 *     { "~/.config/@NAME@", "its own settings", NT_NEED_READ, 0 },
 *     { "git", "to read the history", NT_NEED_PROGRAM, 0 },
 * }; */
const nt_plugin plugin = {
    NT_PLUGIN_HEAD, .name = "@NAME@", .version = "0.1.0", .summary = "What @NAME@ does", .vendor = "you",
    .groups = NT_TABLE(groups), .commands = NT_TABLE(commands), .errors = NT_TABLE(errors),
};

} // namespace

NT_PLUGIN(plugin);
