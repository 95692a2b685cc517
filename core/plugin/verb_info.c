/* SPDX-License-Identifier: Apache-2.0 */
/* verb_info.c - `plugin info`: all that is known of one plugin. */
#include <jansson.h>
#include <string.h>

#include "core/cli/call.h"
#include "core/plugin/files.h"
#include "core/plugin/needs.h"
#include "core/plugin/registry.h"
#include "core/plugin/verbs.h"
#include "sdk/error.h"
#include "sdk/json.h"

static json_t *texts_of(const struct nt_table *table, size_t offset)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < table->count; i++) {
        const char *text;
        memcpy(&text, (const char *)table->rows + (size_t)i * table->stride + offset, sizeof(text));
        json_array_append_new(list, json_string(text));
    }
    return list;
}

/* Who signed, as the file beside it says; it was verified when it was installed. */
static void add_signer(json_t *object, const struct plugin *plugin)
{
    struct signature signature;
    if (!plugin->folder || files_read_signer(plugin->folder, plugin->name, &signature) < 0)
        return;
    json_object_set_new(object, "signer", json_string(signature.signer));
    json_object_set_new(object, "key", json_string(signature.key));
}

int verb_info(struct nt_call *call, struct nt_error *reterr)
{
    const char *name = call->host->text(call, "name");
    const struct plugins *plugins = call_plugins(call);
    const struct plugin *found = NULL;
    for (uint32_t i = 0; i < plugins->count; i++)
        if (strcmp(plugins->items[i]->name, name) == 0 && (!found || found->is_skipped))
            found = plugins->items[i];
    if (!found) {
        nt_fail(reterr, NT_E_NOT_FOUND, "there is no plugin '%s'", name);
        return nt_hint(reterr, "nanoterm plugin list shows those that were found");
    }
    struct plugin_info info;
    plugins_info_of(plugins, found, &info);
    nt_auto_json json_t *object = json_pack(
        "{s:s, s:s?, s:s?, s:s?, s:s?, s:s?}", "name", info.name, "version", info.version, "state",
        info.state, "reason", info.reason, "file", info.file, "summary", info.summary);
    if (!object)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    const struct nt_plugin *tables = found->tables;
    if (tables) {
        json_object_set_new(object, "vendor", tables->vendor ? json_string(tables->vendor) : NULL);
        json_object_set_new(object, "commands",
                            texts_of(&tables->commands, offsetof(struct nt_command, path)));
        json_object_set_new(object, "groups",
                            texts_of(&tables->groups, offsetof(struct nt_group, name)));
        json_object_set_new(object, "errors",
                            texts_of(&tables->errors, offsetof(struct nt_error_row, text)));
        json_object_set_new(object, "services",
                            texts_of(&tables->services, offsetof(struct nt_service, name)));
        json_object_set_new(object, "needs", needs_to_json(tables));
    }
    json_object_set_new(object, "confined", json_boolean(found->is_confined));
    if (found->manifest.build_id[0])
        json_object_set_new(object, "build_id", json_string(found->manifest.build_id));
    add_signer(object, found);
    nt_autofree char *text = json_dumps(object, JSON_COMPACT);
    return text ? call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr)
                : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}
