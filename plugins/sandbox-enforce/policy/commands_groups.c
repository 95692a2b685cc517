/* SPDX-License-Identifier: Apache-2.0 */
/* commands_groups.c - profile groups: the groups of paths and of hosts, and what each comes to on
 * this machine. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/commands.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/networks.h"
#include "plugins/sandbox-enforce/policy/registries.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

static size_t count_of(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

static const char *platform_of(const char *name)
{
    return strstr(name, "linux") ? "linux" : "cross-platform";
}

static json_t *entry(struct memory *m, const struct places *places, const char *access_name,
                     const char *path, const char *about)
{
    const char *missing, *expanded = expand(m, places, path, &missing);
    return json_pack("{s:s, s:s, s:s?, s:b, s:s?}", "access", access_name, "path", path, "expanded",
                     expanded, "exists", expanded && access(expanded, F_OK) == 0, "about", about);
}

static json_t *entries_of(struct memory *m, const struct places *places, const struct group *group)
{
    const struct {
        const char *name;
        const char *const *list;
    } lists[] = { { "read", group->read },
                  { "write", group->write },
                  { "readwrite", group->both } };
    json_t *array = json_array();
    for (size_t i = 0; i < 3; i++)
        for (const char *const *path = lists[i].list; path && *path; path++)
            json_array_append_new(array, entry(m, places, lists[i].name, *path, NULL));
    for (const struct group_deny *deny = group->deny; deny && deny->path; deny++)
        json_array_append_new(array, entry(m, places, "deny", deny->path, deny->about));
    for (const char *const *name = group->commands; name && *name; name++)
        json_array_append_new(array, json_pack("{s:s, s:s}", "access", "command", "path", *name));
    return array;
}

static int emit_group(struct nt_call *call, const struct group *group, json_t *entries,
                      struct nt_error *reterr)
{
    size_t denies = 0;
    while (group->deny && group->deny[denies].path)
        denies++;
    return profile_emit(
        call,
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:n, s:o}", "name", group->name, "kind",
                  "paths", "description", group->summary, "platform", platform_of(group->name),
                  "required", group->is_required, "allow",
                  (int)(count_of(group->read) + count_of(group->write) + count_of(group->both)),
                  "deny", (int)denies, "commands", (int)count_of(group->commands), "hosts",
                  "entries", entries),
        reterr);
}

/* ENTRIES NULL: not resolved, because that may take seconds. */
static int emit_network(struct nt_call *call, const struct network_group *group, json_t *entries,
                        struct nt_error *reterr)
{
    json_t *hosts = entries        ? json_integer((json_int_t)json_array_size(entries))
                    : group->hosts ? json_integer((json_int_t)count_of(group->hosts))
                                   : json_null();
    return profile_emit(call,
                        json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:o, s:o}", "name",
                                  group->name, "kind", "hosts", "description", group->summary,
                                  "platform", "cross-platform", "required", 0, "allow", 0, "deny",
                                  0, "commands", 0, "hosts", hosts, "entries",
                                  entries ? entries : json_null()),
                        reterr);
}

static json_t *hosts_of(struct memory *m, const struct places *places,
                        const struct network_group *group, struct nt_error *reterr)
{
    struct policy_texts hosts = { 0 }, origins = { 0 };
    json_t *array = json_array();
    for (const char *const *host = group->hosts; host && *host; host++)
        json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "access", "host", "path", *host,
                                               "about", "built in"));
    if (!group->hosts && registries_find(m, NULL, places, &hosts, &origins, reterr) < 0) {
        json_decref(array);
        return NULL;
    }
    for (size_t i = 0; i < hosts.count; i++)
        json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "access", "host", "path",
                                               hosts.at[i], "about", origins.at[i]));
    return array;
}

/* One group: its entries on a line each, above the row of the group. */
static int print_entries(struct nt_call *call, const json_t *entries, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024 * 1024);
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)entries, i, item)
    {
        const char *path = nt_json_text(item, "path"), *expanded = nt_json_text(item, "expanded");
        const char *about = nt_json_text(item, "about");
        nt_buf_addf(&b, "%-9s ", nt_json_text(item, "access"));
        nt_buf_add_printable(&b, path, false);
        if (expanded && strcmp(expanded, path) != 0) {
            nt_buf_add(&b, " = ");
            nt_buf_add_printable(&b, expanded, false);
        }
        if (about) {
            nt_buf_add(&b, "  (");
            nt_buf_add_printable(&b, about, false);
            nt_buf_add_char(&b, ')');
        }
        if (json_is_false(json_object_get(item, "exists")))
            nt_buf_add(&b, "  not there");
        nt_buf_add_char(&b, '\n');
    }
    return nt_buf_ok(&b) ? profile_print(call, nt_buf_text(&b), reterr)
                         : nt_fail(reterr, NT_E_LIMIT, "too much to print");
}

static int show_one(struct nt_call *call, struct memory *m, const char *name,
                    struct nt_error *reterr)
{
    struct places places;
    const struct group *group = group_find(name);
    const struct network_group *network = network_group_find(name);
    bool is_json = call->flags & NT_CALL_JSON;
    if (!group && !network)
        return group_fail("", name, true, reterr);
    if (profile_places(m, &places, reterr) < 0)
        return -1;
    json_t *entries = group ? entries_of(m, &places, group) : hosts_of(m, &places, network, reterr);
    if (!entries)
        return -1;
    if (!is_json && print_entries(call, entries, reterr) < 0) {
        json_decref(entries);
        return -1;
    }
    return group ? emit_group(call, group, entries, reterr)
                 : emit_network(call, network, entries, reterr);
}

int profile_run_groups(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(memory_done) struct memory m = { 0 };
    const char *name = call->host->text(call, "name");
    if (name)
        return show_one(call, &m, name, reterr);
    for (size_t i = 0; i < group_count; i++)
        if (emit_group(call, &groups[i], json_null(), reterr) < 0)
            return -1;
    for (size_t i = 0; i < network_group_count; i++)
        if (emit_network(call, &network_groups[i], NULL, reterr) < 0)
            return -1;
    return 0;
}
