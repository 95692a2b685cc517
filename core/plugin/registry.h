/* SPDX-License-Identifier: Apache-2.0 */
/* registry.h - what the files of this room share of struct plugins. */
#ifndef NT_CORE_REGISTRY_H
#define NT_CORE_REGISTRY_H

#include <stdbool.h>
#include <sys/stat.h>

#include "core/plugin/arena.h"
#include "core/plugin/cache.h"
#include "core/plugin/manifest.h"
#include "core/plugin/plugins.h"
#include "sdk/buf.h"

#define PLUGINS_MAX 256u

enum plugin_rank {
    RANK_BUILT_IN,
    RANK_INSTALLED, /* of the installation's folder: may own reserved names */
    RANK_OTHER,
};

struct plugin {
    struct arena arena;
    struct manifest manifest;       /* as read; pointers are set by loading */
    const struct nt_plugin *tables; /* NULL: skipped before they were known */
    enum plugin_rank rank;
    /* A third party's: its code runs in a process that is confined to what it declares
     * (core/confine), never in one that has credentials. */
    bool is_confined;
    bool is_external; /* a program (external.c): `file` is executed, never loaded */
    bool is_loaded;
    bool has_failed; /* loading did; `failure` says why */
    bool is_skipped;
    char *name;
    char *folder; /* NULL: built in */
    char *file;   /* folder/NAME.so; the folder alone when that was skipped */
    char *reason; /* why it was skipped */
    struct stat st;
    struct stat manifest_st;        /* of the file that `manifest` was read from, beside it */
    const struct nt_plugin *loaded; /* the plugin's own descriptor; NULL: it is not loaded */
    int opened;                     /* the file, for loading; -1: it is opened then */
    struct nt_error failure;
};

struct plugins {
    struct plugins_options options;
    struct plugin **items;
    uint32_t count;
    uint32_t command_count;
    uint32_t group_count;
    const struct nt_command **commands; /* of those that are not skipped, sorted by path */
    const struct nt_group **groups;
    struct view_row
        *view_rows; /* what commands and groups point to under a view; NULL: there is none */
    struct nt_group *view_groups;
    struct cache cache;
};

/* Adds one; NULL: out of memory or too many. */
struct plugin *registry_add(struct plugins *plugins, enum plugin_rank rank, const char *name,
                            const char *folder, const char *file);
/* plugins.c: opens its file now, as it was when its manifest was read: loading uses that, when the
 * folders cannot be walked any more. */
int registry_open(struct plugin *plugin, struct nt_error *reterr);
/* Marks it and tells whoever asked for it. Never fails: without memory the reason is lost. */
void registry_skip(struct plugins *plugins, struct plugin *plugin, const char *reason);

/* discover.c: the plugins of all folders, in order, with their manifests. -1: out of memory. */
int discover(struct plugins *plugins, struct nt_error *reterr);
/* discover.c: how long a plugin may take to load. */
int64_t registry_load_ms(const struct plugins *plugins);
/* discover.c: the user's own folder; false: there is no home. */
bool registry_users_folder(struct nt_buf *ret);
/* own.c: would these tables of a plugin of others be taken? One of that name in the user's folder
 * counts as replaced. NT_E_PLUGIN_FAILED names the owner of what is not free. */
int own_may_join(struct plugins *plugins, const char *name, const struct nt_plugin *tables,
                 struct nt_error *ret_why);
/* own.c: skips those that claim what is not theirs. -1: out of memory. */
int own(struct plugins *plugins, struct nt_error *reterr);

#endif
