/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h - manifests of plugins that ship none, and why others could not be read: so that each
 * costs a load once. */
#ifndef NT_CORE_CACHE_H
#define NT_CORE_CACHE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "nanoterm/error.h"

struct cache {
    json_t *entries; /* by path; NULL: not read yet */
    bool is_dirty;
};

/* What is known of that very file: {"manifest": text} or {"failure": text}; NULL: nothing.
 * Borrowed. Reads the cache file when it is asked for the first time; a broken or foreign one
 * counts as empty. */
const json_t *cache_find(struct cache *cache, const char *path, const struct stat *st);
/* Keeps a manifest, or with NULL the failure. Returns the entry, borrowed; NULL: out of memory. */
const json_t *cache_put(struct cache *cache, const char *path, const struct stat *st,
                        const char *manifest, const char *failure);
/* Writes it when it has changed: 0600, atomic. A cache that cannot be written is not an error: it
 * is only slow. */
void cache_save(struct cache *cache);
void cache_done(struct cache *cache);

#endif
