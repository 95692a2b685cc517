/* SPDX-License-Identifier: Apache-2.0 */
/* parse_command_sandbox.c - what a command has in its sandbox: read into a profile, which is laid
 * over `default` when the command is started. */
#include <string.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/sandbox-enforce/policy/parse_commands.h"
#include "plugins/sandbox-enforce/policy/references.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"

/* --- a sandbox ------------------------------------------------------------------------------- */

static void read_paths(struct parser *p, const char *path, const json_t *value,
                       enum profile_list list)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
    {
        const char *text = json_string_value(item);
        if (text && text[0] == '@')
            parse_error(p, path,
                        "%.64s: places that git would be asked for are not known here; "
                        "write the path",
                        text);
    }
    parse_texts(p, path, value, &p->profile->lists[list]);
}

static void read_network(struct parser *p, const char *path, const json_t *object)
{
    const char *name;
    json_t *value;
    bool is_open = false;
    static const struct other_key others[] = {
        { "tcp_connect_ports", OTHER_REFUSED,
          "a port of every host cannot be allowed; use allow_domain" },
        { NULL, 0, NULL },
    };
    if (!commands_is_object(p, path, object))
        return;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(p, path, name);
        if (strcmp(name, "allow_all") == 0)
            is_open = parse_bool(p, at, value);
        else if (strcmp(name, "allow_domain") == 0)
            parse_domains(p, at, value);
        else if (strcmp(name, "tcp_bind_ports") == 0)
            parse_ports(p, at, value, &p->profile->lists[PROFILE_LISTEN_PORTS]);
        else if (!commands_take_other(p, others, at, name, value))
            parse_error(p, at, "there is no such key");
    }
    if (is_open && p->profile->domain_count)
        parse_error(p, path, "allow_all and allow_domain exclude each other");
    if (is_open)
        p->profile->flags &= ~(uint32_t)PROFILE_BLOCK;
}

void commands_read_passed(struct parser *p, const char *path, const json_t *value,
                          struct policy_texts *ret)
{
    size_t before = ret->count;
    parse_texts(p, path, value, ret);
    for (size_t i = before; i < ret->count; i++) {
        const char *name = ret->at[i];
        size_t length = strlen(name);
        bool is_star = length && name[length - 1] == '*';
        if (strcspn(name, "*=") != length - is_star)
            parse_error(p, path, "%.64s is not NAME, PREFIX* or *", name);
        else if (!is_star
                 && (strcmp(name, "PATH") == 0 || strncmp(name, "NONO_", 5) == 0
                     || enforce_variable_is_unsafe(name)))
            parse_error(p, path,
                        "%.64s steers which code runs, or is the sandbox's own: no "
                        "command gets it from the program",
                        name);
    }
}

static void read_environment(struct parser *p, const char *path, const json_t *object,
                             struct command_edge *ret)
{
    const char *name;
    json_t *value;
    if (!commands_is_object(p, path, object))
        return;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(p, path, name);
        if (strcmp(name, "allow_vars") == 0)
            commands_read_passed(p, at, value, &ret->passed);
        else if (strcmp(name, "set_vars") == 0)
            parse_set_vars(p, at, value);
        else
            parse_error(p, at, "there is no such key");
    }
}

/* --- its credentials ------------------------------------------------------------------------- */

/* A variable that says where it is. The path is made final later, with the one that is granted. */
static void tell_path(struct parser *p, const char *at, const char *variable, const char *path)
{
    struct nt_error e = NT_ERROR_INIT;
    if (variable_check(variable, &e) < 0)
        parse_error(p, at, "%s", e.message);
    else
        texts_add(p->m, &p->profile->lists[PROFILE_SET_VARS],
                  memory_format(p->m, "%s=%s", variable, path));
}

/* {type: local-socket | raw-file, path, env_var, mode} */
static void read_path_credential(struct parser *p, const char *at, const json_t *object,
                                 enum profile_list list)
{
    const char *path = nt_json_text(object, "path"), *variable = nt_json_text(object, "env_var");
    const char *mode = nt_json_text(object, "mode");
    size_t known = 1u + (path ? 1u : 0u) + (variable ? 1u : 0u) + (mode ? 1u : 0u);
    path = path ? parse_text(p, at, json_object_get(object, "path")) : NULL;
    if (!path || json_object_size(object) != known
        || (mode && (list != PROFILE_UNIX || strcmp(mode, "connect") != 0))) {
        parse_error(p, at,
                    "it has a type, a path, perhaps an env_var, and for a local-socket "
                    "perhaps the mode \"connect\"; nothing else");
        return;
    }
    texts_add_new(p->m, &p->profile->lists[list], path);
    if (variable)
        tell_path(p, at, variable, path);
}

/* {type: proxy, …}: a service, as in network.custom_credentials. */
static void read_service(struct parser *p, const char *at, const char *name, const json_t *object,
                         const json_t *endpoint_policy)
{
    nt_auto_json json_t *service = json_copy((json_t *)(uintptr_t)object);
    if (!profile_is_service_name(name)) {
        parse_error(p, at, "a credential of the type proxy has a name of letters, digits, _ and -");
        return;
    }
    json_object_del(service, "type");
    if (endpoint_policy)
        json_object_set(service, "endpoint_policy", (json_t *)(uintptr_t)endpoint_policy);
    nt_auto_json json_t *services = json_pack("{s:O}", name, service);
    if (!services) {
        p->m->failed = true;
        return;
    }
    parse_services(p, "command_policies.credentials", services);
    texts_add_new(p->m, &p->profile->lists[PROFILE_CREDENTIALS], memory_text(p->m, name));
    /* Without a list of hosts a filtered network would be open to all. */
    if (!p->profile->domain_count)
        parse_error(p, at,
                    "a credential of the type proxy needs network.allow_domain beside it, "
                    "with the host of its upstream at least");
}

/* An item of `credentials` or `use_credentials`. */
static void read_credential(const struct commands_parser *c, struct parser *p, const char *at,
                            const json_t *item, bool may_be_file)
{
    const char *name =
        json_string_value(json_is_object(item) ? json_object_get(item, "name") : item);
    const json_t *limits = json_object_get(item, "endpoint_policy");
    const json_t *object = name ? json_object_get(c->credentials, name) : NULL;
    const char *type = nt_json_text(object, "type");
    if (!name || (json_is_object(item) && json_object_size(item) != (limits ? 2u : 1u)) || !type) {
        parse_error(p, at,
                    "the name of one of command_policies.credentials is needed, or {name, "
                    "endpoint_policy}");
        return;
    }
    if (limits && strcmp(type, "proxy") != 0)
        parse_error(p, at, "endpoint_policy is for credentials of the type proxy");
    if (strcmp(type, "proxy") == 0)
        read_service(p, at, name, object, limits);
    else if (strcmp(type, "local-socket") == 0)
        read_path_credential(p, at, object, PROFILE_UNIX);
    else if (strcmp(type, "raw-file") != 0)
        parse_error(p, at, "\"%.32s\" is not one of local-socket, raw-file and proxy", type);
    else if (!may_be_file)
        parse_error(p, at,
                    "a raw-file for a command that another command starts needs "
                    "allow_raw_file_credentials_in_chained_policy");
    else
        read_path_credential(p, at, object, PROFILE_READ_FILE);
}

void commands_check_credentials(const struct commands_parser *c, const char *path)
{
    const char *name;
    json_t *value;
    if (!c->credentials || commands_is_nothing(c->credentials)
        || !commands_is_object(c->p, path, c->credentials))
        return;
    json_object_foreach((json_t *)(uintptr_t)c->credentials, name, value)
    {
        const char *type = nt_json_text(value, "type"), *at = commands_below(c->p, path, name);
        if (!commands_is_name(name) || !type)
            parse_error(c->p, at, "a name, and an object with a type are needed");
        else if (strcmp(type, "ambient") == 0)
            parse_error(c->p, at,
                        "what a command finds by itself cannot be replaced here: make it "
                        "a proxy credential");
        else if (strcmp(type, "local-socket") != 0 && strcmp(type, "raw-file") != 0
                 && strcmp(type, "proxy") != 0)
            parse_error(c->p, at, "\"%.32s\" is not one of local-socket, raw-file and proxy", type);
    }
}

static void read_credentials(const struct commands_parser *c, struct parser *p, const char *path,
                             const json_t *value, bool may_be_file)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value))
        parse_error(p, path, "a list is needed: [ … ]");
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
        read_credential(c, p, path, item, may_be_file);
}

void commands_read_sandbox(const struct commands_parser *c, const char *path, const json_t *object,
                           struct command_edge *ret)
{
    static const struct {
        const char *name;
        enum profile_list list;
    } lists[] = {
        { "fs_read", PROFILE_READ },
        { "fs_read_file", PROFILE_READ_FILE },
        { "fs_write", PROFILE_WRITE },
        { "fs_write_file", PROFILE_WRITE_FILE },
        { "unix_socket_bind", PROFILE_UNIX_BIND },
    };
    static const char of_macos[] = "it is of another system";
    static const struct other_key others[] = {
        { "credentials", OTHER_SILENT, NULL }, /* read last: they need the network */
        { "use_credentials", OTHER_SILENT, NULL },
        { "allow_raw_file_credentials_in_chained_policy", OTHER_SILENT, NULL },
        { "resources", OTHER_REFUSED,
          "what a command uses is not limited here: start the whole in a control group" },
        { "stdio", OTHER_REFUSED, "its output is not counted: pipe it through head" },
        { "keychain_access", OTHER_IDLE, of_macos },
        { "allow_launch_services", OTHER_IDLE, of_macos },
        { "unsafe_macos_seatbelt_rules", OTHER_IDLE, of_macos },
        { "open_urls", OTHER_IDLE, "no browser is started for a command" },
        { NULL, 0, NULL },
    };
    struct profile *sandbox = memory_room(c->p->m, sizeof(*sandbox));
    struct parser p = { .m = c->p->m, .profile = sandbox, .errors = c->p->errors };
    const char *name;
    json_t *value;
    if (!commands_is_object(c->p, path, object) || !sandbox)
        return;
    *sandbox = (struct profile){ .source = "file", .flags = PROFILE_BLOCK };
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(&p, path, name);
        size_t i = 0;
        while (i < sizeof(lists) / sizeof(lists[0]) && strcmp(lists[i].name, name) != 0)
            i++;
        if (i < sizeof(lists) / sizeof(lists[0]))
            read_paths(&p, at, value, lists[i].list);
        else if (strcmp(name, "network") == 0)
            read_network(&p, at, value);
        else if (strcmp(name, "environment") == 0)
            read_environment(&p, at, value, ret);
        else if (strcmp(name, "argv_prepend") == 0)
            commands_read_words(&p, at, value, &ret->prepended);
        else if (!commands_take_other(&p, others, at, name, value))
            parse_error(&p, at, "there is no such key");
    }
    bool may_be_file =
        strcmp(ret->caller, COMMAND_SESSION) == 0
        || json_is_true(json_object_get(object, "allow_raw_file_credentials_in_chained_policy"));
    static const char *const both[] = { "credentials", "use_credentials" };
    for (size_t i = 0; i < 2; i++)
        if ((value = json_object_get(object, both[i])))
            read_credentials(c, &p, commands_below(&p, path, both[i]), value, may_be_file);
    if (sandbox->domain_count)
        sandbox->flags &= ~(uint32_t)PROFILE_BLOCK;
    for (size_t i = 0; i < sandbox->warnings.count; i++)
        texts_add_new(p.m, &c->p->profile->warnings, sandbox->warnings.at[i]);
    ret->sandbox = sandbox;
}
