/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c - the keys of a profile: one table, in which each has its place, its type and, for those
 * of earlier versions, its name of today. */
#include "plugins/sandbox-enforce/policy/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/intercept.h"
#include "plugins/sandbox-enforce/policy/jsonc.h"
#include "sdk/error.h"
#include "sdk/json.h"

void parse_error(struct parser *p, const char *path, const char *format, ...)
{
    char text[512], line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (p->errors->count >= PARSE_ERRORS_MAX)
        return;
    int size = snprintf(line, sizeof(line), "%s%s: %s", p->prefix ? p->prefix : "", path, text);
    if (size > 0)
        texts_add(p->m, p->errors, memory_text(p->m, line));
}

const char *parse_text(struct parser *p, const char *path, const json_t *value)
{
    const char *text = json_string_value(value);
    if (!text || !*text) {
        parse_error(p, path, "a text is needed");
        return NULL;
    }
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            parse_error(p, path, "control characters are not allowed");
            return NULL;
        }
    if (strlen(text) > 4096) {
        parse_error(p, path, "the text is too long");
        return NULL;
    }
    return memory_text(p->m, text);
}

bool parse_bool(struct parser *p, const char *path, const json_t *value)
{
    if (!json_is_boolean(value))
        parse_error(p, path, "true or false is needed");
    return json_is_true(value);
}

/* "PATH.KEY" */
static const char *below(struct parser *p, const char *path, const char *key)
{
    const char *whole = *path ? memory_format(p->m, "%s.%s", path, key) : memory_text(p->m, key);
    return whole ? whole : path;
}

void parse_texts(struct parser *p, const char *path, const json_t *value, struct policy_texts *ret)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        parse_error(p, path, "a list is needed: [ … ]");
        return;
    }
    json_array_foreach(value, i, item)
    {
        const char *text = parse_text(p, path, item);
        if (text)
            texts_add_new(p->m, ret, text);
    }
}

/* One condition or a list of them, of which one must hold. */
static bool holds(struct parser *p, const char *path, const json_t *when)
{
    size_t count = json_is_array(when) ? json_array_size(when) : 1;
    bool is_true = false;
    if (!count)
        parse_error(p, path, "when: an empty list holds nowhere");
    if (!p->system && (p->system = memory_room(p->m, sizeof(*p->system))))
        when_find(p->system);
    for (size_t i = 0; i < count && p->system; i++) {
        const json_t *item = json_is_array(when) ? json_array_get(when, i) : when;
        const char *text = json_string_value(item);
        const char *wrong = text ? when_check(text) : "it is a text, or a list of texts";
        if (wrong)
            parse_error(p, path, "when \"%.64s\": %s", text ? text : "", wrong);
        else
            is_true = when_holds(text, p->system) || is_true;
    }
    return is_true;
}

const char *parse_entry(struct parser *p, const char *path, const json_t *value, const char *member)
{
    if (!json_is_object(value))
        return parse_text(p, path, value);
    const json_t *when = json_object_get(value, "when");
    const char *text = parse_text(p, path, json_object_get(value, member));
    if (json_object_size(value) != (when ? 2u : 1u))
        parse_error(p, path, "an entry has a %s and a when, nothing else", member);
    return when && !holds(p, path, when) ? NULL : text;
}

/* The lists whose entries may have conditions. */
static const char *member_of(const char *section)
{
    return strcmp(section, "filesystem") == 0 ? "path"
           : strcmp(section, "groups") == 0   ? "name"
                                              : NULL;
}

static void read_entries(struct parser *p, const struct key *key, const char *path,
                         const json_t *value)
{
    const char *member = member_of(key->section);
    size_t i;
    json_t *item;
    if (!member || !json_is_array(value)) {
        parse_texts(p, path, value, &p->profile->lists[key->target]);
        return;
    }
    json_array_foreach(value, i, item)
    {
        const char *text = parse_entry(p, path, item, member);
        if (text)
            texts_add_new(p->m, &p->profile->lists[key->target], text);
    }
}

/* --- the table ------------------------------------------------------------------------------- */

static void read_extends(struct parser *p, const char *path, const json_t *value)
{
    const char *one = json_is_string(value) ? parse_text(p, path, value) : NULL;
    if (one)
        texts_add(p->m, &p->profile->lists[PROFILE_EXTENDS], one);
    else if (!json_is_string(value) && !json_is_null(value))
        parse_texts(p, path, value, &p->profile->lists[PROFILE_EXTENDS]);
}

static void read_credentials(struct parser *p, const char *path, const json_t *value)
{
    parse_texts(p, path, value, &p->profile->lists[PROFILE_CREDENTIALS]);
    if (json_is_array(value) && json_array_size(value) == 0)
        p->profile->flags |= PROFILE_CLEARS_CREDENTIALS;
}

static void read_allow_vars(struct parser *p, const char *path, const json_t *value)
{
    parse_texts(p, path, value, &p->profile->lists[PROFILE_ALLOW_VARS]);
    p->profile->flags |= PROFILE_HAS_ALLOW_VARS;
}

/* auto is what is done here anyway. landlock asks for more: a start that cannot have Landlock's
 * rules for TCP is refused. external asks for less, and nobody here could tell whether anything
 * else closes the network then. */
static void read_sandbox_policy(struct parser *p, const char *path, const json_t *value)
{
    const char *text = json_is_null(value) ? NULL : parse_text(p, path, value);
    if (!text)
        return;
    if (strcmp(text, "external") == 0)
        parse_error(p, path,
                    "external would leave the program's network open, and nothing here can see "
                    "whether another fence closes it; write auto, which needs no such fence");
    else if (strcmp(text, "auto") != 0 && strcmp(text, "landlock") != 0)
        parse_error(p, path, "\"%.64s\" is not one of auto|landlock", text);
    else
        p->profile->texts[PROFILE_SANDBOX_POLICY] = text;
}

/* What a sandbox has here wherever the machine gives it; said, it is no start without. */
static void read_isolate(struct parser *p, const char *path, const json_t *value)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } spaces[] = { { "network", PROFILE_ISOLATE_NETWORK },
                   { "ipc", PROFILE_ISOLATE_IPC },
                   { "uts", PROFILE_ISOLATE_UTS },
                   { "loopback", 0 } };
    const size_t count = sizeof(spaces) / sizeof(spaces[0]);
    const char *name;
    json_t *item;
    if (!json_is_object(value)) {
        parse_error(p, path, "an object is needed: { \"network\": true, … }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        const char *place = below(p, path, name);
        size_t i = 0;
        while (i < count && strcmp(spaces[i].name, name) != 0)
            i++;
        if (i == count)
            parse_error(p, place, "there is no such key");
        else if (parse_bool(p, place, item) && spaces[i].flag == 0)
            parse_error(p, place,
                        "ports of the program's own loopback are not opened as a whole; name those "
                        "that it needs in network.open_port, without isolate.network");
        else if (json_is_true(item))
            p->profile->flags |= spaces[i].flag;
    }
}

static void read_section(struct parser *p, const char *section, const json_t *object);

/* What counts on one system. All of them are checked; the others' are then forgotten. */
static void read_override(struct parser *p, const char *path, const json_t *object, bool is_ours)
{
    struct profile *patch = memory_room(p->m, sizeof(*patch));
    if (!patch)
        return;
    struct parser inner = { .m = p->m,
                            .profile = patch,
                            .errors = p->errors,
                            .prefix = memory_format(p->m, "%s.", path),
                            .system = p->system };
    static const char *const not_here[] = { "extends", "platform_overrides" };
    for (size_t i = 0; i < sizeof(not_here) / sizeof(not_here[0]); i++) {
        const json_t *value = json_object_get(object, not_here[i]);
        if (value && !json_is_null(value))
            parse_error(&inner, not_here[i], "what counts on one system cannot have it");
    }
    read_section(&inner, "", object);
    if (!is_ours)
        return;
    if (patch->name || patch->version || patch->description || patch->author)
        texts_add_new(p->m, &p->profile->warnings,
                      memory_format(p->m, "the key %s.meta has no effect", path));
    for (size_t i = 0; i < patch->warnings.count; i++)
        texts_add_new(p->m, &p->profile->warnings, patch->warnings.at[i]);
    for (size_t i = 0; i < patch->deprecated.count; i++)
        texts_add_new(p->m, &p->profile->deprecated,
                      memory_format(p->m, "%s.%s", path, patch->deprecated.at[i]));
    patch->name = NULL; /* it stays the profile that it is in */
    patch->warnings = patch->deprecated = (struct policy_texts){ 0 };
    p->profile->patch = patch;
}

static void read_overrides(struct parser *p, const char *path, const json_t *value)
{
    const char *name;
    json_t *object;
    if (json_is_null(value))
        return;
    if (!json_is_object(value)) {
        parse_error(p, path, "an object is needed: { \"linux\": { … } }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, object)
    {
        bool is_ours = strcmp(name, "linux") == 0;
        const char *place = below(p, path, name);
        if (!is_ours && strcmp(name, "macos") != 0 && strcmp(name, "windows") != 0)
            parse_error(p, place, "there is no such system: linux, macos or windows");
        else if (json_is_object(object))
            read_override(p, place, object, is_ours);
        else if (!json_is_null(object))
            parse_error(p, place, "an object is needed: { … }");
    }
}

#define NOBODY_IS_ASKED                                                                            \
    "nobody is asked while a program runs; allow or deny it by the other keys of this section"
#define MODES "isolated|allow_same_sandbox|allow_all"

/* clang-format off */
static const struct key keys[] = {
    { "", "$schema", KEY_FREE, 0, NULL, NULL, NULL },
    { "", "extends", KEY_OWN, 0, NULL, NULL, read_extends },
    { "meta", "name", KEY_META, 0, NULL, NULL, NULL },
    { "meta", "version", KEY_META, 1, NULL, NULL, NULL },
    { "meta", "description", KEY_META, 2, NULL, NULL, NULL },
    { "meta", "author", KEY_META, 3, NULL, NULL, NULL },
    { "groups", "include", KEY_LIST, PROFILE_INCLUDE, NULL, NULL, NULL },
    { "groups", "exclude", KEY_LIST, PROFILE_EXCLUDE, NULL, NULL, NULL },
    { "security", "signal_mode", KEY_TEXT, PROFILE_SIGNAL_MODE, MODES, NULL, NULL },
    { "security", "process_info_mode", KEY_TEXT, PROFILE_PROCESS_INFO_MODE, MODES, NULL, NULL },
    { "security", "ipc_mode", KEY_TEXT, PROFILE_IPC_MODE, "shared_memory_only|full", NULL, NULL },
    { "security", "capability_elevation", KEY_FLAG, PROFILE_CAPABILITY_ELEVATION, NULL, NULL, NULL },
    { "security", "wsl2_proxy_policy", KEY_TEXT, PROFILE_WSL2_PROXY_POLICY, "error|insecure_proxy", NULL, NULL },
    { "security", "approval_backends", KEY_REFUSED, 0, NOBODY_IS_ASKED, NULL, NULL },
    { "security", "approval_defaults", KEY_REFUSED, 0, NOBODY_IS_ASKED, NULL, NULL },
    { "security", "groups", KEY_LIST, PROFILE_INCLUDE, NULL, "groups.include", NULL },
    { "security", "allowed_commands", KEY_LIST, PROFILE_COMMANDS_ALLOW, NULL, "commands.allow", NULL },
    { "filesystem", "allow", KEY_LIST, PROFILE_ALLOW, NULL, NULL, NULL },
    { "filesystem", "read", KEY_LIST, PROFILE_READ, NULL, NULL, NULL },
    { "filesystem", "write", KEY_LIST, PROFILE_WRITE, NULL, NULL, NULL },
    { "filesystem", "allow_file", KEY_LIST, PROFILE_ALLOW_FILE, NULL, NULL, NULL },
    { "filesystem", "read_file", KEY_LIST, PROFILE_READ_FILE, NULL, NULL, NULL },
    { "filesystem", "write_file", KEY_LIST, PROFILE_WRITE_FILE, NULL, NULL, NULL },
    { "filesystem", "unix_socket", KEY_LIST, PROFILE_UNIX, NULL, NULL, NULL },
    { "filesystem", "unix_socket_bind", KEY_LIST, PROFILE_UNIX_BIND, NULL, NULL, NULL },
    { "filesystem", "unix_socket_dir", KEY_LIST, PROFILE_UNIX_DIR, NULL, NULL, NULL },
    { "filesystem", "unix_socket_dir_bind", KEY_LIST, PROFILE_UNIX_DIR_BIND, NULL, NULL, NULL },
    { "filesystem", "unix_socket_subtree", KEY_LIST, PROFILE_UNIX_TREE, NULL, NULL, NULL },
    { "filesystem", "unix_socket_subtree_bind", KEY_LIST, PROFILE_UNIX_TREE_BIND, NULL, NULL, NULL },
    { "filesystem", "deny", KEY_LIST, PROFILE_DENY, NULL, NULL, NULL },
    { "filesystem", "bypass_protection", KEY_LIST, PROFILE_BYPASS, NULL, NULL, NULL },
    { "filesystem", "suppress_save_prompt", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "filesystem", "ignore", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "policy", "exclude_groups", KEY_LIST, PROFILE_EXCLUDE, NULL, "groups.exclude", NULL },
    { "policy", "add_allow_read", KEY_LIST, PROFILE_READ, NULL, "filesystem.read", NULL },
    { "policy", "add_allow_write", KEY_LIST, PROFILE_WRITE, NULL, "filesystem.write", NULL },
    { "policy", "add_allow_readwrite", KEY_LIST, PROFILE_ALLOW, NULL, "filesystem.allow", NULL },
    { "policy", "add_deny_access", KEY_LIST, PROFILE_DENY, NULL, "filesystem.deny", NULL },
    { "policy", "add_deny_commands", KEY_LIST, PROFILE_COMMANDS_DENY, NULL, "commands.deny", NULL },
    { "policy", "override_deny", KEY_LIST, PROFILE_BYPASS, NULL, "filesystem.bypass_protection", NULL },
    { "commands", "allow", KEY_LIST, PROFILE_COMMANDS_ALLOW, NULL, NULL, NULL },
    { "commands", "deny", KEY_LIST, PROFILE_COMMANDS_DENY, NULL, NULL, NULL },
    { "network", "block", KEY_FLAG, PROFILE_BLOCK, NULL, NULL, NULL },
    { "network", "network_profile", KEY_NULLABLE, PROFILE_NETWORK_PROFILE, NULL, NULL, NULL },
    { "network", "allow_domain", KEY_OWN, 0, NULL, NULL, parse_domains },
    { "network", "proxy_allow", KEY_OWN, 0, NULL, NULL, parse_domains },
    { "network", "allow_proxy", KEY_OWN, 0, NULL, NULL, parse_domains },
    { "network", "credentials", KEY_OWN, 0, NULL, NULL, read_credentials },
    { "network", "proxy_credentials", KEY_OWN, 0, NULL, NULL, read_credentials },
    { "network", "open_port", KEY_PORTS, PROFILE_OPEN_PORTS, NULL, NULL, NULL },
    { "network", "port_allow", KEY_PORTS, PROFILE_OPEN_PORTS, NULL, NULL, NULL },
    { "network", "allow_port", KEY_PORTS, PROFILE_OPEN_PORTS, NULL, NULL, NULL },
    { "network", "listen_port", KEY_PORTS, PROFILE_LISTEN_PORTS, NULL, NULL, NULL },
    { "network", "connect_port", KEY_PORTS, PROFILE_CONNECT_PORTS, NULL, NULL, NULL },
    { "network", "open_port_range", KEY_RANGES, PROFILE_OPEN_RANGES, NULL, NULL, NULL },
    { "network", "listen_port_range", KEY_RANGES, PROFILE_LISTEN_RANGES, NULL, NULL, NULL },
    { "network", "custom_credentials", KEY_OWN, 0, NULL, NULL, parse_services },
    { "network", "upstream_proxy", KEY_NULLABLE, PROFILE_UPSTREAM_PROXY, NULL, NULL, NULL },
    { "network", "external_proxy", KEY_NULLABLE, PROFILE_UPSTREAM_PROXY, NULL, NULL, NULL },
    { "network", "upstream_bypass", KEY_LIST, PROFILE_UPSTREAM_BYPASS, NULL, NULL, NULL },
    { "network", "deny_domain", KEY_LIST, PROFILE_DENY_DOMAINS, NULL, NULL, NULL },
    { "network", "no_proxy", KEY_OWN, 0, NULL, NULL, parse_no_proxy },
    { "network", "approval_backends", KEY_REFUSED, 0, NOBODY_IS_ASKED, NULL, NULL },
    { "network", "approval_defaults", KEY_REFUSED, 0, NOBODY_IS_ASKED, NULL, NULL },
    { "network", "tls_intercept", KEY_OWN, 0, NULL, NULL, parse_tls_intercept },
    { "network", "allow_http2", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "network", "outbound", KEY_FREE, 0, NULL, NULL, NULL }, /* as `learn` writes them: for people */
    { "network", "listening", KEY_FREE, 0, NULL, NULL, NULL },
    { "", "env_credentials", KEY_OWN, 0, NULL, NULL, parse_env_credentials },
    { "", "secrets", KEY_OWN, 0, NULL, NULL, parse_env_credentials },
    { "environment", "allow_vars", KEY_OWN, 0, NULL, NULL, read_allow_vars },
    { "environment", "deny_vars", KEY_LIST, PROFILE_DENY_VARS, NULL, NULL, NULL },
    { "environment", "case_insensitive_vars", KEY_FLAG, PROFILE_BLIND_VARS, NULL, NULL, NULL },
    { "environment", "set_vars", KEY_OWN, 0, NULL, NULL, parse_set_vars },
    { "workdir", "access", KEY_TEXT, PROFILE_WORKDIR_ACCESS, "none|read|write|readwrite", NULL, NULL },
    { "linux", "af_unix_mediation", KEY_TEXT, PROFILE_AF_UNIX_MEDIATION, "off|pathname", NULL, NULL },
    { "linux", "sandbox_policy", KEY_OWN, 0, NULL, NULL, read_sandbox_policy },
    { "linux", "isolate", KEY_OWN, 0, NULL, NULL, read_isolate },
    { "", "hooks", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "session_hooks", KEY_OWN, 0, NULL, NULL, parse_hooks },
    { "", "rollback", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "undo", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "open_urls", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "diagnostics", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "packs", KEY_REFUSED, 0, "there are no packs here to be verified at the start; write what they hold into this profile, or extend it", NULL, NULL },
    { "", "unsafe_macos_seatbelt_rules", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "credential_providers", KEY_REFUSED, 0, "credentials are not taken out of answers; name them for a service of network.custom_credentials", NULL, NULL },
    { "", "credential_routes", KEY_REFUSED, 0, "credentials are not taken out of answers; name them for a service of network.custom_credentials", NULL, NULL },
    { "", "skipdirs", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "binary", KEY_NULLABLE, PROFILE_BINARY, NULL, NULL, NULL },
    { "", "command_args", KEY_LIST, PROFILE_COMMAND_ARGS, NULL, NULL, NULL },
    { "", "interactive", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "allow_launch_services", KEY_OWN, 0, NULL, NULL, parse_inert },
    { "", "platform_overrides", KEY_OWN, 0, NULL, NULL, read_overrides },
    { "", "allow_gpu", KEY_FLAG, PROFILE_ALLOW_GPU, NULL, NULL, NULL },
    { "", "allow_parent_of_protected", KEY_FLAG, PROFILE_ALLOW_PARENT, NULL, NULL, NULL },
    { "", "command_policies", KEY_OWN, 0, NULL, NULL, parse_command_policies },
    { "", "credential_capture", KEY_OWN, 0, NULL, NULL, parse_captures },
};
/* clang-format on */
#define KEYS (sizeof(keys) / sizeof(keys[0]))

const struct key *parse_key_at(size_t index)
{
    return index < KEYS ? &keys[index] : NULL;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);
    for (; choices; choices = strchr(choices, '|') ? strchr(choices, '|') + 1 : NULL)
        if (strncmp(choices, text, size) == 0 && (choices[size] == '|' || !choices[size]))
            return true;
    return false;
}

void parse_ports(struct parser *p, const char *path, const json_t *value, struct policy_texts *ret)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        parse_error(p, path, "a list of ports is needed: [3000, …]");
        return;
    }
    json_array_foreach(value, i, item)
    {
        json_int_t port = json_is_integer(item) ? json_integer_value(item) : 0;
        if (port < 1 || port > 65535)
            parse_error(p, path, "a port is a number from 1 to 65535");
        else
            texts_add_new(p->m, ret, memory_format(p->m, "%d", (int)port));
    }
}

static void read_ranges(struct parser *p, const struct key *key, const char *path,
                        const json_t *value)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        parse_error(p, path, "a list of pairs of ports is needed: [[3000, 3010], …]");
        return;
    }
    json_array_foreach(value, i, item)
    {
        const json_t *ends[] = { json_array_get(item, 0), json_array_get(item, 1) };
        bool is_pair =
            json_array_size(item) == 2 && json_is_integer(ends[0]) && json_is_integer(ends[1]);
        json_int_t first = is_pair ? json_integer_value(ends[0]) : 0;
        json_int_t last = is_pair ? json_integer_value(ends[1]) : 0;
        if (first < 1 || last > 65535 || first > last)
            parse_error(p, path, "each is a pair [first, last] of numbers from 1 to 65535");
        else
            texts_add_new(p->m, &p->profile->lists[key->target],
                          memory_format(p->m, "%d-%d", (int)first, (int)last));
    }
}

/* true for what says nothing: null, false, [] and {}. */
static bool is_nothing(const json_t *value)
{
    return json_is_null(value) || json_is_false(value)
           || (json_is_array(value) && json_array_size(value) == 0)
           || (json_is_object(value) && json_object_size(value) == 0);
}

/* null says nothing for these, so that what is inherited stays. */
static bool may_be_null(const struct key *key)
{
    static const char *const sections[] = { "meta", "security", "linux" };
    bool is_plain = key->type == KEY_TEXT || key->type == KEY_FLAG || key->type == KEY_META;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
        if (strcmp(key->section, sections[i]) == 0)
            return is_plain;
    return is_plain && !*key->section;
}

static void read_key(struct parser *p, const struct key *key, const char *path, const json_t *value)
{
    struct profile *profile = p->profile;
    const char *text = NULL;
    if (json_is_null(value) && may_be_null(key))
        return;
    if (key->canonical) {
        texts_add_new(p->m, &profile->deprecated, path);
        texts_add_new(p->m, &profile->warnings,
                      memory_format(p->m,
                                    "the key %s is deprecated and goes away in 1.0 (issue 594): "
                                    "write %s",
                                    path, key->canonical));
    }
    switch (key->type) {
    case KEY_LIST:
        read_entries(p, key, path, value);
        break;
    case KEY_NULLABLE:
        if (json_is_null(value)) {
            profile->texts[key->target] = "";
            break;
        }
        /* fall through */
    case KEY_TEXT:
        text = parse_text(p, path, value);
        if (text && key->choices && !is_choice(key->choices, text))
            parse_error(p, path, "\"%.64s\" is not one of %s", text, key->choices);
        else if (text)
            profile->texts[key->target] = text;
        break;
    case KEY_FLAG:
        if (parse_bool(p, path, value))
            profile->flags |= key->target;
        break;
    case KEY_PORTS:
        parse_ports(p, path, value, &profile->lists[key->target]);
        break;
    case KEY_RANGES:
        read_ranges(p, key, path, value);
        break;
    case KEY_META:
        text = parse_text(p, path, value);
        if (key->target == 0)
            profile->name = text;
        else if (key->target == 1)
            profile->version = text;
        else if (key->target == 2)
            profile->description = text;
        else
            profile->author = text;
        break;
    case KEY_FREE:
        if (!is_nothing(value) && key->name[0] != '$')
            texts_add_new(p->m, &profile->warnings,
                          memory_format(p->m, "the key %s has no effect here%s%s", path,
                                        key->choices ? ": " : "",
                                        key->choices ? key->choices : ""));
        break;
    case KEY_REFUSED:
        if (!is_nothing(value))
            parse_error(p, path, "%s", key->choices);
        break;
    case KEY_OWN:
        key->read(p, path, value);
        break;
    }
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < KEYS; i++)
        if (*keys[i].section && strcmp(keys[i].section, name) == 0)
            return true;
    return false;
}

/* The members of one section; "" for the profile itself, whose objects may be sections. */
static void read_section(struct parser *p, const char *section, const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct key *key = NULL;
        for (size_t i = 0; i < KEYS && !key; i++)
            if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
                key = &keys[i];
        const char *path = below(p, section, name);
        if (key)
            read_key(p, key, path, value);
        else if (*section || !is_section(name))
            parse_error(p, path, "there is no such key");
        else if (json_is_object(value))
            read_section(p, name, value);
        else if (!json_is_null(value) || strcmp(name, "environment") != 0)
            parse_error(p, path, "an object is needed: { … }");
    }
}

int profile_parse(struct memory *m, struct nt_bytes text, struct profile *ret,
                  struct policy_texts *errors, struct nt_error *reterr)
{
    *ret = (struct profile){ .source = "file" };
    struct parser p = { .m = m, .profile = ret, .errors = errors };
    struct nt_error e = NT_ERROR_INIT;
    nt_auto_json json_t *object = NULL;
    if (jsonc_parse(text, &object, &e) < 0) {
        if (e.code == NT_E_MEMORY)
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        texts_add(m, errors, memory_text(m, e.message));
        return m->failed ? memory_fail(m, reterr) : 0;
    }
    read_section(&p, "", object);
    if (!ret->name && !errors->count)
        parse_error(&p, "meta.name", "it is missing");
    return m->failed ? memory_fail(m, reterr) : 0;
}
