/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - manifests of plugins that ship none: $XDG_CACHE_HOME/nanoterm/plugins.json, else
 * ~/.nanoterm/cache/. */
#include "cache.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin/json_file.h"
#include "sdk/buf.h"
#include "sdk/json.h"
#include "sdk/trust.h"

#define FILE_NAME "plugins.json"
#define ENTRIES_MAX 256u

/* Opens the folder of the cache, making it when `make`; -1: there is none that only this user can
 * write to. */
static int open_folder(bool make)
{
    const char *xdg = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");
    bool by_xdg = xdg && xdg[0] == '/';
    const char *base = by_xdg ? xdg : home;
    if (!base || base[0] != '/')
        return -1;
    static const char *const in_home[] = { "/.nanoterm", "/cache" };
    static const char *const in_cache[] = { "", "/nanoterm" };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_buf_add(&path, base);
    for (unsigned i = 0; i < 2; i++) {
        nt_buf_add(&path, by_xdg ? in_cache[i] : in_home[i]);
        if (make && nt_buf_ok(&path) && mkdir(nt_buf_text(&path), 0700) < 0 && errno != EEXIST)
            return -1;
    }
    int fd;
    struct nt_error e = NT_ERROR_INIT;
    if (!nt_buf_ok(&path) || nt_trust_open_folder(nt_buf_text(&path), &fd, &e) < 0)
        return -1;
    /* Root with somebody's HOME (sudo) leaves that cache alone: its files would be lost to their
     * owner. */
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
        close(fd);
        return -1;
    }
    return fd;
}

static void read_file(struct cache *cache)
{
    cache->entries = json_object();
    nt_autoclose int folder = open_folder(false);
    nt_autoclose int fd = -1;
    struct stat st;
    struct nt_error e = NT_ERROR_INIT;
    if (folder < 0 || nt_trust_open_file(folder, FILE_NAME, &fd, &st, &e) < 0)
        return;
    nt_auto_json json_t *file = json_file_read(fd, &e);
    const char *version = nt_json_text(file, "nanoterm");
    json_t *entries = json_object_get(file, "plugins");
    if (!version || strcmp(version, NT_VERSION) != 0 || !json_is_object(entries))
        return; /* broken, or of another version, which may check tables otherwise */
    json_decref(cache->entries);
    cache->entries = json_incref(entries);
}

/* What makes it that very file. */
static json_t *identity(const struct stat *st)
{
    return json_pack("[I, I, I, I, I]", (json_int_t)st->st_size, (json_int_t)st->st_mtim.tv_sec,
                     (json_int_t)st->st_mtim.tv_nsec, (json_int_t)st->st_ino,
                     (json_int_t)st->st_dev);
}

const json_t *cache_find(struct cache *cache, const char *path, const struct stat *st)
{
    if (!cache->entries)
        read_file(cache);
    const json_t *entry = json_object_get(cache->entries, path);
    nt_auto_json json_t *wanted = identity(st);
    bool is_of_it = entry && wanted && json_equal(json_object_get(entry, "file"), wanted);
    bool says_it = nt_json_text(entry, "manifest") || nt_json_text(entry, "failure");
    return is_of_it && says_it ? entry : NULL;
}

const json_t *cache_put(struct cache *cache, const char *path, const struct stat *st,
                        const char *manifest, const char *failure)
{
    if (!cache->entries)
        read_file(cache);
    /* Full: those of files that are gone are among them, and one more run finds out which are
     * needed. */
    if (json_object_size(cache->entries) >= ENTRIES_MAX)
        json_object_clear(cache->entries);
    json_t *entry = json_pack("{s:o, s:s}", "file", identity(st), manifest ? "manifest" : "failure",
                              manifest ? manifest : failure);
    if (!entry || json_object_set_new(cache->entries, path, entry) < 0)
        return NULL;
    cache->is_dirty = true;
    return entry;
}

void cache_save(struct cache *cache)
{
    if (!cache->is_dirty)
        return;
    cache->is_dirty = false;
    nt_auto_json json_t *file =
        json_pack("{s:s, s:O}", "nanoterm", NT_VERSION, "plugins", cache->entries);
    nt_autofree char *text = file ? json_dumps(file, JSON_COMPACT) : NULL;
    nt_autoclose int folder = text && strlen(text) < JSON_FILE_MAX_BYTES ? open_folder(true) : -1;
    if (folder < 0)
        return;
    char name[64];
    snprintf(name, sizeof(name), "." FILE_NAME ".%d", (int)getpid());
    unlinkat(folder, name, 0); /* left by a process of this number that was killed */
    nt_autoclose int fd =
        openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    size_t size = strlen(text);
    if (write(fd, text, size) != (ssize_t)size || renameat(folder, name, folder, FILE_NAME) < 0)
        unlinkat(folder, name, 0);
}

void cache_done(struct cache *cache)
{
    json_decref(cache->entries);
    cache->entries = NULL;
}
