/* SPDX-License-Identifier: Apache-2.0 */
/* profile.c - the built-in profiles, and how one profile is laid over another. */
#include "plugins/sandbox-enforce/policy/profile.h"

#include <string.h>

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct builtin {
    const char *name, *description;
    const char *const *include, *const *allow, *const *allow_file, *const *read, *const *read_file;
    const char *network_profile, *workdir, *ipc;
};

static const struct builtin builtins[] = {
    /* What every run gets, whatever profile it has. */
    { .name = "default",
      .description = "Programs and libraries to read, temporary files to write, secrets closed",
      .include = LIST("deny_credentials", "deny_keychains_linux", "deny_browser_data_linux",
                      "deny_shell_history", "deny_shell_configs", "system_read_linux_core",
                      "system_write_linux", "user_tools", "homebrew_linux", "dangerous_commands",
                      "dangerous_commands_linux") },
    { .name = "linux-host-compat",
      .description = "The state of the running system, devices and temporary files to read",
      .include = LIST("linux_runtime_state", "linux_sysfs_read", "linux_temp_read") },
    { .name = "developer",
      .description = "Work on programs in any of the usual languages",
      .include =
          LIST("python_runtime", "node_runtime", "go_runtime", "go_runtime_linux", "java_runtime",
               "rust_runtime", "c_development", "git_config", "linux_temp_read"),
      .network_profile = "developer",
      .workdir = "readwrite" },
    { .name = "python-dev",
      .description = "Work on Python programs",
      .include = LIST("python_runtime"),
      .network_profile = "developer",
      .workdir = "readwrite",
      .ipc = "full" },
    { .name = "node-dev",
      .description = "Work on Node.js programs",
      .include = LIST("node_runtime"),
      .network_profile = "developer",
      .workdir = "readwrite" },
    { .name = "go-dev",
      .description = "Work on Go programs",
      .include = LIST("go_runtime", "go_runtime_linux"),
      .network_profile = "developer",
      .workdir = "readwrite" },
    { .name = "java-dev",
      .description = "Work on Java programs",
      .include = LIST("java_runtime"),
      .network_profile = "developer",
      .workdir = "readwrite" },
    { .name = "rust-dev",
      .description = "Work on Rust programs",
      .include = LIST("rust_runtime"),
      .network_profile = "developer",
      .workdir = "readwrite" },
    { .name = "claude-code",
      .description = "Claude Code at work on a project",
      .include = LIST("claude_code_linux", "claude_cache_linux", "node_runtime", "python_runtime",
                      "rust_runtime", "go_runtime", "nix_runtime", "git_config"),
      .allow = LIST("~/.claude"),
      .allow_file = LIST("~/.claude.json"),
      .network_profile = "claude-code",
      .workdir = "readwrite" },
    { .name = "codex",
      .description = "Codex at work on a project",
      .include = LIST("node_runtime", "python_runtime", "rust_runtime", "go_runtime", "nix_runtime",
                      "git_config"),
      .allow = LIST("~/.codex"),
      .network_profile = "codex",
      .workdir = "readwrite" },
    { .name = "opencode",
      .description = "OpenCode at work on a project",
      .include = LIST("opencode_linux", "node_runtime", "python_runtime", "rust_runtime",
                      "go_runtime", "nix_runtime", "git_config"),
      .allow = LIST("$XDG_CONFIG_HOME/opencode", "$XDG_DATA_HOME/opencode",
                    "$XDG_STATE_HOME/opencode", "$XDG_CACHE_HOME/opencode"),
      .network_profile = "opencode",
      .workdir = "readwrite" },
    { .name = "openclaw",
      .description = "The OpenClaw gateway",
      .include = LIST("node_runtime"),
      .allow = LIST("~/.openclaw", "~/.config/openclaw", "$TMPDIR/openclaw-$UID"),
      .workdir = "read" },
    { .name = "swival",
      .description = "Swival at work on a project",
      .include = LIST("python_runtime", "node_runtime", "user_caches_linux", "linux_sysfs_read",
                      "git_config"),
      .allow = LIST("~/.config/swival", "~/.local/share/swival"),
      .workdir = "readwrite" },
};
#define BUILTINS (sizeof(builtins) / sizeof(builtins[0]))

const char *profile_builtin_at(size_t index)
{
    return index < BUILTINS ? builtins[index].name : NULL;
}

static void add_all(struct memory *m, struct policy_texts *texts, const char *const *list)
{
    for (; list && *list; list++)
        texts_add(m, texts, *list);
}

bool profile_builtin(struct memory *m, const char *name, struct profile *ret)
{
    const struct builtin *b = NULL;
    for (size_t i = 0; i < BUILTINS && !b; i++)
        if (strcmp(builtins[i].name, name) == 0)
            b = &builtins[i];
    if (!b)
        return false;
    *ret = (struct profile){ .name = b->name, .description = b->description, .source = "built-in" };
    if (b != &builtins[0])
        texts_add(m, &ret->lists[PROFILE_EXTENDS], "default");
    add_all(m, &ret->lists[PROFILE_INCLUDE], b->include);
    add_all(m, &ret->lists[PROFILE_ALLOW], b->allow);
    add_all(m, &ret->lists[PROFILE_ALLOW_FILE], b->allow_file);
    add_all(m, &ret->lists[PROFILE_READ], b->read);
    add_all(m, &ret->lists[PROFILE_READ_FILE], b->read_file);
    ret->texts[PROFILE_NETWORK_PROFILE] = b->network_profile;
    ret->texts[PROFILE_WORKDIR_ACCESS] = b->workdir;
    ret->texts[PROFILE_IPC_MODE] = b->ipc;
    return true;
}

void profile_default(struct memory *m, struct profile *ret)
{
    profile_builtin(m, "default", ret);
}

/* --- merging --------------------------------------------------------------------------------- */

/* NAME=value: the later value of a name counts. */
static void merge_vars(struct memory *m, struct policy_texts *into, const struct policy_texts *from)
{
    for (size_t i = 0; i < from->count; i++) {
        size_t name = strcspn(from->at[i], "=") + 1, j = 0;
        while (j < into->count && strncmp(into->at[j], from->at[i], name) != 0)
            j++;
        if (j < into->count)
            into->at[j] = from->at[i];
        else
            texts_add(m, into, from->at[i]);
    }
}

static void merge_domains(struct memory *m, struct profile *into, const struct profile *child)
{
    for (size_t i = 0; i < child->domain_count; i++) {
        struct profile_domain *rows =
            memory_grow(m, into->domains, into->domain_count, sizeof(*rows));
        if (!rows)
            return;
        into->domains = rows;
        size_t j = 0;
        while (j < into->domain_count && strcmp(rows[j].name, child->domains[i].name) != 0)
            j++;
        rows[j] = child->domains[i];
        into->domain_count += j == into->domain_count;
    }
}

static void merge_services(struct memory *m, struct profile *into, const struct profile *child)
{
    for (size_t i = 0; i < child->service_count; i++) {
        struct policy_route *rows =
            memory_grow(m, into->services, into->service_count, sizeof(*rows));
        if (!rows)
            return;
        into->services = rows;
        size_t j = 0;
        while (j < into->service_count && strcmp(rows[j].name, child->services[i].name) != 0)
            j++;
        rows[j] = child->services[i];
        into->service_count += j == into->service_count;
    }
}

static void merge_env_credentials(struct memory *m, struct profile *into,
                                  const struct profile *child)
{
    for (size_t i = 0; i < child->env_credential_count; i++) {
        struct policy_env_credential *rows =
            memory_grow(m, into->env_credentials, into->env_credential_count, sizeof(*rows));
        if (!rows)
            return;
        into->env_credentials = rows;
        size_t j = 0;
        while (j < into->env_credential_count
               && strcmp(rows[j].reference, child->env_credentials[i].reference) != 0)
            j++;
        rows[j] = child->env_credentials[i];
        into->env_credential_count += j == into->env_credential_count;
    }
}

static void merge_captures(struct memory *m, struct profile *into, const struct profile *child)
{
    for (size_t i = 0; i < child->capture_count; i++) {
        struct policy_capture *rows =
            memory_grow(m, into->captures, into->capture_count, sizeof(*rows));
        if (!rows)
            return;
        into->captures = rows;
        size_t j = 0;
        while (j < into->capture_count && strcmp(rows[j].name, child->captures[i].name) != 0)
            j++;
        rows[j] = child->captures[i];
        into->capture_count += j == into->capture_count;
    }
}

/* To lay rules of one over those of another would open what one of the two had closed. */
static void merge_commands(struct profile *into, const struct profile *child)
{
    if (child->commands && into->commands)
        into->flags |= PROFILE_COMMANDS_TWICE;
    if (child->commands)
        into->commands = child->commands;
}

static void merge_hooks(struct profile *into, const struct profile *child)
{
    for (size_t i = 0; i < POLICY_HOOKS; i++)
        if (child->hooks[i].script)
            into->hooks[i] = child->hooks[i];
}

/* The parent's patch stays as it is: others may extend it, too. */
static void merge_patch(struct memory *m, struct profile *into, const struct profile *child)
{
    struct profile *both = child->patch ? memory_room(m, sizeof(*both)) : NULL;
    if (!both)
        return;
    if (into->patch)
        profile_merge(m, both, into->patch);
    profile_merge(m, both, child->patch);
    into->patch = both;
}

void profile_merge(struct memory *m, struct profile *into, const struct profile *child)
{
    if (child->flags & PROFILE_CLEARS_CREDENTIALS)
        into->lists[PROFILE_CREDENTIALS].count = 0;
    for (size_t i = 0; i < PROFILE_LISTS; i++) {
        if (i == PROFILE_EXTENDS)
            continue;
        if (i == PROFILE_SET_VARS) {
            merge_vars(m, &into->lists[i], &child->lists[i]);
            continue;
        }
        for (size_t j = 0; j < child->lists[i].count; j++)
            texts_add_new(m, &into->lists[i], child->lists[i].at[j]);
    }
    for (size_t i = 0; i < PROFILE_TEXTS; i++) {
        bool is_silent = i == PROFILE_WORKDIR_ACCESS && into->texts[i] && child->texts[i]
                         && strcmp(child->texts[i], "none") == 0;
        if (child->texts[i] && !is_silent)
            into->texts[i] = child->texts[i];
    }
    into->flags |= child->flags & ~(uint32_t)PROFILE_CLEARS_CREDENTIALS;
    merge_domains(m, into, child);
    merge_services(m, into, child);
    merge_env_credentials(m, into, child);
    merge_captures(m, into, child);
    merge_hooks(into, child);
    merge_commands(into, child);
    merge_patch(m, into, child);
    for (size_t i = 0; i < child->warnings.count; i++)
        texts_add_new(m, &into->warnings, child->warnings.at[i]);
    for (size_t i = 0; i < child->deprecated.count; i++)
        texts_add_new(m, &into->deprecated, child->deprecated.at[i]);
    if (child->name) {
        into->name = child->name;
        into->version = child->version;
        into->description = child->description;
        into->author = child->author;
        into->source = child->source;
        into->file = child->file;
        into->lists[PROFILE_EXTENDS] = child->lists[PROFILE_EXTENDS];
    }
}
