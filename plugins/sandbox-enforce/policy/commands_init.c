/* SPDX-License-Identifier: Apache-2.0 */
/* commands_init.c - profile init, schema, guide: for those who write profiles. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/commands.h"
#include "plugins/sandbox-enforce/policy/find.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/guide.h"
#include "plugins/sandbox-enforce/policy/show.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/json.h"

/* --- init ------------------------------------------------------------------------------------ */

/* All sections, to be filled in; what stands here is what holds without it. */
static void add_all_sections(json_t *object)
{
    json_object_set_new(object, "security",
                        json_pack("{s:s, s:s, s:b}", "signal_mode", "isolated", "ipc_mode",
                                  "shared_memory_only", "capability_elevation", 0));
    json_object_set_new(json_object_get(object, "groups"), "exclude", json_array());
    json_t *filesystem = json_object_get(object, "filesystem");
    static const char *const lists[] = { "write",
                                         "allow_file",
                                         "read_file",
                                         "write_file",
                                         "unix_socket",
                                         "unix_socket_bind",
                                         "unix_socket_dir",
                                         "unix_socket_dir_bind",
                                         "unix_socket_subtree",
                                         "unix_socket_subtree_bind",
                                         "deny",
                                         "bypass_protection" };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        json_object_set_new(filesystem, lists[i], json_array());
    json_object_set_new(object, "commands", json_pack("{s:[], s:[]}", "allow", "deny"));
    json_t *network = json_pack("{s:b, s:n, s:n, s:{}}", "block", 0, "network_profile",
                                "upstream_proxy", "custom_credentials");
    static const char *const of_network[] = { "allow_domain",     "deny_domain",  "credentials",
                                              "no_proxy",         "open_port",    "listen_port",
                                              "open_port_range",  "connect_port", "upstream_bypass",
                                              "listen_port_range" };
    for (size_t i = 0; i < sizeof(of_network) / sizeof(of_network[0]); i++)
        json_object_set_new(network, of_network[i], json_array());
    json_object_set_new(object, "network", network);
    json_object_set_new(
        object, "linux",
        json_pack("{s:s, s:s}", "af_unix_mediation", "off", "sandbox_policy", "auto"));
    json_object_set_new(object, "command_args", json_array());
    json_object_set_new(object, "env_credentials", json_object());
    json_object_set_new(object, "session_hooks", json_object());
    json_object_set_new(object, "credential_capture", json_object());
    json_object_set_new(object, "command_policies", json_object());
    json_object_set_new(object, "environment", json_pack("{s:[], s:{}}", "deny_vars", "set_vars"));
}

static json_t *skeleton(struct nt_call *call, const char *name)
{
    const struct nt_host *host = call->host;
    const char *extends = host->text(call, "extends"), *about = host->text(call, "description");
    json_t *object = json_object(), *include = json_array();
    if (extends)
        json_object_set_new(object, "extends", json_string(extends));
    json_object_set_new(object, "meta",
                        json_pack("{s:s, s:s, s:s}", "name", name, "version", "1.0.0",
                                  "description", about ? about : "What it is for"));
    for (uint32_t i = 0; i < host->count(call, "groups"); i++)
        json_array_append_new(include, json_string(host->text_at(call, "groups", i)));
    json_object_set_new(object, "groups", json_pack("{s:o}", "include", include));
    json_object_set_new(object, "workdir", json_pack("{s:s}", "access", "readwrite"));
    json_object_set_new(object, "filesystem", json_pack("{s:[], s:[]}", "allow", "read"));
    if (host->number(call, "full"))
        add_all_sections(object);
    return object;
}

static int check_names(struct nt_call *call, struct memory *m, const struct places *places,
                       const char *name, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    const char *extends = host->text(call, "extends");
    struct profile parent;
    if (!profile_is_name(name))
        return nt_fail(reterr, NT_E_USAGE,
                       "\"%s\" cannot be the name of a profile: letters, digits, _ . - only", name);
    if (extends && profile_resolve(m, places, extends, &parent, reterr) < 0)
        return nt_wrap(reterr, "--extends");
    for (uint32_t i = 0; i < host->count(call, "groups"); i++)
        if (!group_find(host->text_at(call, "groups", i)))
            return group_fail("--groups", host->text_at(call, "groups", i), false, reterr);
    return 0;
}

static void make_folders(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)!mkdir(path, 0700); /* what is missing in the end, open says */
        *slash = '/';
    }
}

/* Nobody reads half a profile. */
int profile_write(char *path, const char *text, bool force, struct nt_error *reterr)
{
    make_folders(path);
    nt_autofree char *draft = NULL;
    if (asprintf(&draft, "%s.XXXXXX", path) < 0)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    nt_autoclose int fd = mkostemp(draft, O_CLOEXEC);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot write beside %s", path);
    bool is_written = nt_write_all(fd, text, strlen(text)) == 0 && fchmod(fd, 0600) == 0;
    int failed = is_written ? 0 : errno;
    if (is_written && (force ? rename(draft, path) : link(draft, path)) < 0)
        failed = errno;
    if (failed || !force)
        unlink(draft);
    if (failed == EEXIST) {
        nt_fail(reterr, NT_E_CONFLICT, "%s is there already", path);
        return nt_hint(reterr, "--force replaces it");
    }
    return failed ? nt_fail_sys(reterr, failed, "cannot write %s", path) : 0;
}

static int init(struct nt_call *call, struct memory *m, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    const char *name = host->text(call, "name"), *output = host->text(call, "output");
    struct places places;
    name = name ? name : "my-profile";
    if (profile_places(m, &places, reterr) < 0 || check_names(call, m, &places, name, reterr) < 0)
        return -1;
    nt_auto_json json_t *object = skeleton(call, name);
    if (output && strcmp(output, "-") == 0)
        return profile_print_json(call, nt_take(object), reterr);
    nt_autofree char *text = json_dumps(object, JSON_INDENT(2));
    const char *folder = profile_folder(m, &places, call->personality == NT_AS_NONO ? 1 : 0);
    char *path = output ? memory_text(m, output) : folder ? profile_path(m, folder, name) : NULL;
    const char *whole = text ? memory_format(m, "%s\n", text) : NULL;
    if (!path || !whole)
        return memory_fail(m, reterr);
    if (profile_write(path, whole, host->number(call, "force") != 0, reterr) < 0)
        return -1;
    if (!(call->flags & NT_CALL_JSON)) {
        const char *line = memory_format(m, "Profile %s written to %s", name, path);
        host->message(call, NT_SAY_DONE, line ? line : path);
        return 0;
    }
    return profile_emit(call, json_pack("{s:s, s:s}", "name", name, "file", path), reterr);
}

int profile_run_init(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(memory_done) struct memory m = { 0 };
    return init(call, &m, reterr);
}

/* --- for readers ----------------------------------------------------------------------------- */

int profile_run_schema(struct nt_call *call, struct nt_error *reterr)
{
    return call->flags & NT_CALL_JSON ? profile_emit(call, profile_schema(), reterr)
                                      : profile_print_json(call, profile_schema(), reterr);
}

/* In nono's tree the group has nono's name. */
static void add_line(struct nt_buf *b, const char *line, uint32_t personality)
{
    static const char group[] = "enforce ";
    const char *at;
    for (; personality == NT_AS_NONO && (at = strstr(line, group)); line = at + sizeof(group) - 1) {
        nt_buf_add_bytes(b, line, (size_t)(at - line));
        nt_buf_add(b, "nono ");
    }
    nt_buf_add(b, line);
}

int profile_run_guide(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1 << 20);
    for (const char *const *line = profile_guide; *line; line++)
        add_line(&text, *line, call->personality);
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (call->flags & NT_CALL_JSON)
        return profile_emit(call, json_pack("{s:s}", "text", nt_buf_text(&text)), reterr);
    return profile_print(call, nt_buf_text(&text), reterr);
}
