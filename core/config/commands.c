/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - the group `config`: settings with their origin; a secret is never shown whole. */
#include "commands.h"

#include <string.h>

#include "core/cli/call.h"
#include "core/config/credentials.h"
#include "core/config/settings.h"
#include "sdk/error.h"

static int emit(struct nt_call *call, const struct config_value *value, struct nt_error *reterr)
{
    char masked[64];
    if (value->secret)
        config_mask(value->value, masked, sizeof(masked));
    const struct nt_value cells[] = {
        { .type = NT_TEXT, .text = value->key },
        { .type = NT_TEXT, .text = value->secret ? masked : value->value },
        { .type = NT_TEXT, .text = value->origin_text },
    };
    return call->host->emit(call, cells, 3, reterr);
}

static void warn(struct nt_call *call)
{
    const char *warning = config_warning(call_config(call));
    if (*warning)
        call->host->message(call, NT_SAY_WARN, warning);
}

static int run_list(struct nt_call *call, struct nt_error *reterr)
{
    const struct config_value *value;
    warn(call);
    for (uint32_t i = 0; (value = config_at(call_config(call), i)); i++)
        if (emit(call, value, reterr) < 0)
            return -1;
    return 0;
}

static int run_get(struct nt_call *call, struct nt_error *reterr)
{
    const char *key = call->host->text(call, "key");
    if (!setting_need(key, reterr))
        return -1;
    const struct config_value *value = config_get(call_config(call), key);
    if (!value)
        return nt_fail(reterr, NT_E_NOT_FOUND, "%s is not set", key);
    return emit(call, value, reterr);
}

/* A setting that a stronger source overrides is stored all the same, but the user has to know. */
static void say_overridden(struct nt_call *call, const char *key)
{
    const struct config_value *value = config_get(call_config(call), key);
    char line[512] = "";
    if (!value || value->origin == CONFIG_FILE || value->origin == CONFIG_DEFAULT)
        return;
    nt_copy_text(line, sizeof(line), value->origin_text);
    struct nt_error text = NT_ERROR_INIT;
    nt_fail(&text, NT_OK, "%s stays overridden by %s", key, line);
    call->host->message(call, NT_SAY_NOTE, text.message);
}

static int run_set(struct nt_call *call, struct nt_error *reterr)
{
    const char *key = call->host->text(call, "key");
    if (config_set(call_config(call), key, call->host->text(call, "value"), reterr) < 0)
        return -1;
    say_overridden(call, key);
    const struct config_value *value = config_get(call_config(call), key);
    return value ? emit(call, value, reterr) : 0;
}

static int run_unset(struct nt_call *call, struct nt_error *reterr)
{
    const char *key = call->host->text(call, "key");
    if (config_set(call_config(call), key, NULL, reterr) < 0)
        return -1;
    say_overridden(call, key);
    return 0;
}

#define KEY_ARG                                                                                    \
    {                                                                                              \
        .name = "key", .help = "Name of the setting", .type = NT_TEXT, .complete = "config.keys"   \
    }

static const struct nt_arg key_args[] = { KEY_ARG };
static const struct nt_arg set_args[] = {
    KEY_ARG,
    { .name = "value", .help = "Its new value", .type = NT_TEXT },
};
static const struct nt_column columns[] = {
    { .name = "key", .help = "Name of the setting", .type = NT_TEXT },
    { .name = "value", .help = "Its value; of a secret only the beginning", .type = NT_TEXT },
    { .name = "origin",
      .help = "Flag, environment variable or file that it comes from",
      .type = NT_TEXT },
};
static const struct nt_example list_examples[] = {
    { "config list", "Every setting in force and where it comes from" },
    { "config list --json", "The same for a program" },
};
static const struct nt_example get_examples[] = { { "config get output.color", "One setting" } };
static const struct nt_example set_examples[] = {
    { "config set output.color never", "Never use colour" },
    { "config set api_url https://nanoterm.example.com",
      "Talk to a server instead of the embedded one" },
};
static const struct nt_example unset_examples[] = { { "config unset api_url",
                                                      "Back to the embedded server" } };
static const uint32_t get_errors[] = { NT_E_USAGE, NT_E_NOT_FOUND, NT_E_CONFIG };
static const uint32_t set_errors[] = { NT_E_USAGE, NT_E_CONFIG, NT_E_SYSTEM };
static const uint32_t list_errors[] = { NT_E_CONFIG };

static const struct nt_command commands[] = {
    { .path = "config list",
      .summary = "Show every setting in force and where it comes from",
      .run = run_list,
      .examples = NT_TABLE(list_examples),
      .columns = NT_TABLE(columns),
      .errors = NT_TABLE(list_errors),
      .effects = NT_LOCAL | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "config get",
      .summary = "Show one setting",
      .run = run_get,
      .args = NT_TABLE(key_args),
      .examples = NT_TABLE(get_examples),
      .columns = NT_TABLE(columns),
      .errors = NT_TABLE(get_errors),
      .effects = NT_LOCAL | NT_IDEMPOTENT,
      .result = NT_RESULT_ONE },
    { .path = "config set",
      .summary = "Write a setting into the config file",
      .run = run_set,
      .args = NT_TABLE(set_args),
      .examples = NT_TABLE(set_examples),
      .columns = NT_TABLE(columns),
      .errors = NT_TABLE(set_errors),
      .effects = NT_LOCAL | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_ONE },
    { .path = "config unset",
      .summary = "Remove a setting from the config file",
      .run = run_unset,
      .args = NT_TABLE(key_args),
      .examples = NT_TABLE(unset_examples),
      .errors = NT_TABLE(set_errors),
      .effects = NT_LOCAL | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_NONE },
};

static const struct nt_group groups[] = { { .name = "config",
                                            .summary = "Settings and where they come from" } };

const struct nt_plugin config_plugin = {
    NT_PLUGIN_HEAD,
    .name = "config",
    .version = NT_VERSION,
    .summary = "Settings",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
};
