/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c - `doctor`: its table, and the order of its checks. */
#include "doctor.h"

#include "sdk/error.h"

int doctor_say(struct nt_call *call, const char *check, enum verdict verdict, const char *detail,
               const char *remedy, int64_t ms, struct nt_error *reterr)
{
    static const char *const words[] = { "ok", "warn", "fail" };
    struct nt_value values[] = {
        { .type = NT_TEXT, .text = check },
        { .type = NT_TEXT, .text = words[verdict] },
        { .type = NT_TEXT, .text = detail },
        { .type = NT_TEXT, .text = remedy, .is_null = !*remedy },
        { .type = NT_INT, .number = ms, .is_null = ms < 0 },
    };
    return call->host->emit(call, values, sizeof(values) / sizeof(values[0]), reterr);
}

static int run(struct nt_call *call, struct nt_error *reterr)
{
    bool works = true;
    if (doctor_kernel(call, reterr) < 0 || doctor_machine(call, reterr) < 0)
        return -1;
    if (!call->host->number(call, "look-only") && doctor_operation(call, &works, reterr) < 0)
        return -1;
    if (!works)
        call->host->set_status(call, 1, NT_BY_TOOL);
    return 0;
}

static const struct nt_opt opts[] = {
    { .name = "look-only", .type = NT_FLAG, .help = "Only look at the machine: make no workspace" },
};
static const struct nt_column columns[] = {
    { .name = "check", .help = "What was looked at, or done", .type = NT_TEXT },
    { .name = "status", .help = "ok, warn or fail", .type = NT_TEXT },
    { .name = "detail", .help = "What was found", .type = NT_TEXT },
    { .name = "remedy", .help = "What helps", .type = NT_TEXT },
    { .name = "ms", .help = "Milliseconds that it took", .type = NT_INT, .flags = NT_WIDE },
};
static const struct nt_example examples[] = {
    { "doctor", "Does it work here, and if not, why" },
    { "doctor --look-only --json", "What the kernel offers, for a program" },
};
static const uint32_t errors[] = { NT_E_SYSTEM, NT_E_MEMORY };

static const struct nt_command commands[] = {
    { .path = "doctor",
      .summary = "Check that workspaces work here, and say why if not",
      .description =
          "Makes a workspace, runs a program in it, writes and reads a file and removes "
          "it again, and reports what the kernel and the machine give for it. Exit "
          "status 1 when one of these steps fails; a missing feature alone is a warning.",
      .run = run,
      .opts = NT_TABLE(opts),
      .columns = NT_TABLE(columns),
      .examples = NT_TABLE(examples),
      .errors = NT_TABLE(errors),
      .effects = NT_LOCAL | NT_REMOTE | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST,
      .timeout_ms = 5 * 60 * 1000 },
};

static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,        .name = "doctor",
    .version = NT_VERSION, .summary = "Checks that workspaces work here",
    .vendor = "nanoterm",  .commands = NT_TABLE(commands),
};
NT_PLUGIN(plugin);
