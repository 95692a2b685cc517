/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.h - the commands, groups, errors and services of all plugins, known from manifests;
 * loaded when one runs.
 *
 * Tables are given in the row types of this build (plugin.h), full size: an older plugin's rows are
 * padded with zero, a newer one's cut. What is read from a manifest has run == NULL until
 * plugins_load. Order and ownership: the core's own (built-in) plugins first, then folders in the
 * order of plugins_open; the first owner of a name keeps it. */
#ifndef NT_CORE_PLUGINS_H
#define NT_CORE_PLUGINS_H

#include <stdbool.h>

#include "core/plugin/view.h"
#include "nanoterm/host.h"
#include "nanoterm/plugin.h"

struct plugins;
struct plugin; /* one plugin: found, perhaps broken, perhaps loaded */

struct plugins_options {
    const struct nt_host *host;              /* given to nt_plugin.start */
    const struct nt_plugin *const *built_in; /* the core's own, NULL at the end */
    /* Called for each plugin that is skipped, with one clear line; may be NULL. */
    void (*skipped)(void *data, const char *line);
    void *data;
    const struct view *view; /* the commands that there are; NULL: all */
    /* Of the installation's plugins only names are read from their manifests: of a command no more
     * than path, summary, aliases and flags, until plugins_fill. Those of others are read whole. */
    bool names_only;
    const char *called; /* the program's name for a person; NULL: nanoterm */
    /* For tests; zero: as said below. */
    /* folder of the installation's plugins; NULL: found from the program's own place */
    const char *installation;
    /* what reads a plugin without manifest in a child; NULL: this program itself */
    const char *program;
    int64_t load_ms; /* how long that may take; 0: 5 s */
};

/* Looks into the folders (NANOTERM_PLUGIN_PATH, the user's, /usr/local/lib/nanoterm/plugins, the
 * installation's) and reads manifests and the cache. Opens no plugin that has a manifest or a
 * cached one. Fails only when out of memory. */
int plugins_open(const struct plugins_options *options, struct plugins **ret,
                 struct nt_error *reterr);
void plugins_free(struct plugins *plugins);

/* The program's name, and its view or NULL. */
const char *plugins_called(const struct plugins *plugins);
const struct view *plugins_view(const struct plugins *plugins);
/* The index-th command of all, sorted by path; NULL: no more. Hidden ones are among them. */
const struct nt_command *plugins_command_at(const struct plugins *plugins, uint32_t index);
/* The index-th group, sorted by name. */
const struct nt_group *plugins_group_at(const struct plugins *plugins, uint32_t index);
/* The plugin that owns a command; never NULL for one that came from here, of a view or not. */
struct plugin *plugins_owner(const struct plugins *plugins, const struct nt_command *command);
/* Loads the plugin (once) and returns the command with run set: the tables must equal the manifest;
 * where only names were read, the names and this command, which is filled.
 * Errors: NT_E_PLUGIN_ABI, NT_E_PLUGIN_FAILED, with the file and the reason. */
int plugins_load(struct plugins *plugins, const struct nt_command *command,
                 const struct nt_command **ret, struct nt_error *reterr);
/* Reads the rest of a command into its row. -1: its manifest is not a good one, or was replaced;
 * opening all anew without names_only finds out what there is instead. */
int plugins_fill(struct plugins *plugins, const struct nt_command *command,
                 struct nt_error *reterr);
/* The row of an error code: of the core (code < NT_E_PLUGIN_FIRST) or of that plugin; false:
 * none. */
bool plugins_error_row(const struct plugins *plugins, const struct plugin *plugin, uint32_t code,
                       struct nt_error_row *ret);
/* true: a third party's plugin. Its commands run under core/confine, and it lends no services. */
bool plugins_is_confined(const struct plugin *plugin);
/* true: its commands are one program, which core/confine starts; nothing is loaded. */
bool plugins_is_external(const struct plugin *plugin);
/* Loads every plugin of the installation and gives the index-th service of that name; see
 * nt_host.service. */
const void *plugins_service(struct plugins *plugins, const char *name, uint32_t index,
                            const char **ret_instance);

/* What `plugin list` shows. state: "ok", "built in", "skipped". */
struct plugin_info {
    const char *name, *version, *summary, *file, *state, *reason;
};
/* Compares each manifest with the file that it is of, as loading does: one that is of another
 * becomes "skipped", with the reason. */
void plugins_compare(struct plugins *plugins);
bool plugins_info_at(const struct plugins *plugins, uint32_t index, struct plugin_info *ret);
/* The same for the owner of a command: named by the catalog and by the line about a crash. */
void plugins_info_of(const struct plugins *plugins, const struct plugin *plugin,
                     struct plugin_info *ret);

/* Loads FILE in this process, checks its tables and writes its manifest to OUT, atomically; used at
 * build time and, in a child with a time limit, for the cache. The error names the row that is
 * wrong. OUT "-" is for that child: the answer goes to descriptor 1 as {"manifest": text}, and so
 * does a failure of the plugin, as {"failure": text}. */
int plugins_write_manifest(const char *file, const char *out, struct nt_error *reterr);

#endif
