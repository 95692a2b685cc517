/* SPDX-License-Identifier: Apache-2.0 */
/* variant.c - one plugin in many forms, compiled against the headers of an old version: good, old,
 * new, wrong and hostile ones. Each form is a macro of its own; NAME is that of the plugin. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "nanoterm/host.h"
#include "nanoterm/plugin.h"

#ifndef PATH
#define PATH NAME " hello"
#endif
#ifndef SUMMARY
#define SUMMARY "Say hello"
#endif
#ifndef GROUP
#define GROUP NAME
#endif
#ifndef GROUP_FLAGS
#define GROUP_FLAGS 0
#endif

static int run(struct nt_call *call, struct nt_error *reterr)
{
    (void)call;
    (void)reterr;
    return 0;
}

static const struct nt_opt opts[] = {
    { .name = "times",
      .letter = 't',
      .type = NT_INT,
      .arg = "n",
      .fallback = "1",
      .min = 1,
      .max = 9,
      .help = "How often" },
};
static const struct nt_example examples[] = { { PATH, "Once" } };
static const uint32_t codes[] = { NT_E_NOT_FOUND, NT_E_PLUGIN_FIRST + 1 };
static const struct nt_error_row errors[] = {
    { .text = "test.lost",
      .kind = "api",
      .help = "Look again",
      .number = NT_E_PLUGIN_FIRST + 1,
      .exit_status = 9 },
};
#ifdef ALIAS
static const struct nt_alias aliases[] = { { .path = ALIAS } };
#define ALIASES .aliases = NT_TABLE(aliases),
#else
#define ALIASES
#endif

#define ROW(p, s)                                                                                  \
    {                                                                                              \
        .path = p, .summary = s, .run = run, .opts = NT_TABLE(opts),                               \
        .examples = NT_TABLE(examples), ALIASES.errors = NT_TABLE(codes), .effects = NT_LOCAL,     \
        .timeout_ms = 1000                                                                         \
    }

#ifdef LONG_ROWS /* a newer plugin: its rows end with members that this nanoterm does not know */
struct row {
    struct nt_command known;
    uint64_t newer[2];
};
static const struct nt_example more_examples[] = { { NAME " more", "Again" } };
static const struct row commands[] = {
    { ROW(PATH, SUMMARY), { ~0ull, ~0ull } },
    { { .path = NAME " more",
        .summary = "Say more",
        .run = run,
        .examples = NT_TABLE(more_examples) },
      { ~0ull, 1 } },
};
#else
#ifndef COMMAND_PATH
#define COMMAND_PATH PATH
#endif
static const struct nt_command commands[] = { ROW(COMMAND_PATH, SUMMARY) };
#endif

static const struct nt_group groups[] = {
    { .name = GROUP, .summary = "A group", .flags = GROUP_FLAGS }
};

#ifdef SERVICE
static const struct nt_service services[] = { { SERVICE, INSTANCE, commands } };
#endif

#ifdef NEEDS /* since 1.1 */
static const struct nt_need needs[] = {
    { "GET /v1/sandboxes/{}", "to show one", NT_NEED_ROUTE, 0 },
    { "git", "to read the history", NT_NEED_PROGRAM, 0 },
};
#endif

#ifdef START
static int start(const struct nt_host *host, struct nt_error *reterr)
{
    (void)host;
    reterr->code = NT_E_SYSTEM;
    memcpy(reterr->message, "no wish", 8);
    return START;
}
#endif

#ifdef LONG_DESCRIPTOR /* a newer plugin: its descriptor ends with members that this nanoterm does \
                          not know */
struct descriptor {
    struct nt_plugin known;
    uint64_t needs[2]; /* of 1.1: none */
    uint64_t newer[4];
};
#else
#define descriptor nt_plugin
#endif

#ifndef SIZE
#define SIZE sizeof(struct descriptor)
#endif
#ifndef ABI
#define ABI NT_ABI
#endif
#ifndef COMMANDS
#define COMMANDS NT_TABLE(commands)
#endif
#ifndef PLUGIN_SUMMARY
#define PLUGIN_SUMMARY "A plugin of a test"
#endif
#ifndef CALLED
#define CALLED NAME
#endif

__attribute__((unused)) static const struct descriptor descriptor_of = {
#ifdef LONG_DESCRIPTOR
    .known = {
#endif
        .size = SIZE, .abi = ABI, .name = CALLED, .version = "1.0.0", .summary = PLUGIN_SUMMARY,
        .commands = COMMANDS, .errors = NT_TABLE(errors),
#ifndef NO_GROUP
        .groups = NT_TABLE(groups),
#endif
#ifdef SERVICE
        .services = NT_TABLE(services),
#endif
#ifdef START
        .start = start,
#endif
#ifdef NEEDS
        .needs = NT_TABLE(needs),
#endif
#ifdef LONG_DESCRIPTOR
    },
    .newer = { ~0ull, ~0ull, ~0ull, ~0ull },
#endif
};

#ifndef NO_SYMBOL
NT_EXPORT const struct nt_plugin *nt_plugin_v1(void);
const struct nt_plugin *nt_plugin_v1(void)
{
#ifdef NO_DESCRIPTOR
    return NULL;
#else
    return (const void *)&descriptor_of;
#endif
}
#endif

#ifdef CONSTRUCTOR
#define CRASH raise(SIGSEGV)
#define HANG                                                                                       \
    for (;;)                                                                                       \
    pause()
#define PRINT puts("{\"failure\":\"printed\"}"), fflush(stdout)
__attribute__((constructor)) static void before(void)
{
    CONSTRUCTOR;
}
#endif
