/* SPDX-License-Identifier: Apache-2.0 */
/* many.c - a small plugin that a test makes fifty of: NAME, and what goes wrong as it is loaded
 * (AT_LOAD), its ABI and its size. Needs no library. */
#include <signal.h>
#include <unistd.h>

#include "nanoterm/host.h"
#include "nanoterm/plugin.h"

#ifndef PLUGIN_ABI
#define PLUGIN_ABI NT_ABI
#endif
#ifndef PLUGIN_SIZE
#define PLUGIN_SIZE sizeof(struct nt_plugin)
#endif

#ifdef AT_LOAD
__attribute__((constructor)) static void at_load(void)
{
    AT_LOAD;
}
#endif

static int run_hello(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_value row[] = { { .type = NT_TEXT, .text = NAME } };
    return call->host->emit(call, row, 1, reterr);
}

static const struct nt_column columns[] = {
    { .name = "name", .help = "Who it is", .type = NT_TEXT }
};
static const struct nt_example examples[] = { { NAME " hello", "Say who it is" } };
static const struct nt_command commands[] = {
    { .path = NAME " hello",
      .summary = "Say who it is",
      .run = run_hello,
      .examples = NT_TABLE(examples),
      .columns = NT_TABLE(columns),
      .effects = NT_LOCAL,
      .result = NT_RESULT_ONE },
};
static const struct nt_group groups[] = { { .name = NAME, .summary = "One of many" } };
static const struct nt_plugin plugin = {
    .size = PLUGIN_SIZE,
    .abi = PLUGIN_ABI,
    .name = NAME,
    .version = "1.0.0",
    .summary = "One of many",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
};
NT_PLUGIN(plugin);
