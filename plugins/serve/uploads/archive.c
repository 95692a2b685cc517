/* SPDX-License-Identifier: Apache-2.0 */
/* archive.c - what is in a staged tar, before any of it goes into a workspace.
 *
 * Nothing is extracted here. The archive is hostile: names must lie inside, links must not lead
 * out, a name stands there once, only files, folders and symbolic links, and no file has more bytes
 * than the archive holds (no sparse ones, no compression), so that it cannot swell. libarchive
 * reads headers; where a file's bytes lie follows from where the next header begins. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "plugins/serve/uploads/uploads.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define BLOCK (256u * 1024)
#define ITEMS_MAX 250000u
#define PATHS_MAX (64u * 1024 * 1024)
#define DEPTH_MAX 256u
#define BAD_PATH "directory_extract_invalid_path"
#define BAD_LINK "directory_extract_invalid_symlink"
#define BAD_ENTRY "directory_extract_unsupported_entry"

struct source {
    struct staged *staged;
    crypto_hash_sha256_state sha;
    uint64_t at;
    int sys;
    uint8_t block[BLOCK];
};

static la_ssize_t on_read(struct archive *a, void *data, const void **ret)
{
    struct source *s = data;
    ssize_t n = staged_read(s->staged, s->at, s->block, sizeof(s->block));
    if (n < 0) {
        s->sys = errno;
        archive_set_error(a, s->sys, "the staged bytes cannot be read");
        return -1;
    }
    crypto_hash_sha256_update(&s->sha, s->block, (size_t)n);
    s->at += (uint64_t)n;
    *ret = s->block;
    return n;
}

/* --- names --------------------------------------------------------------------------------- */

static int refuse_entry(struct upload_error *e, const char *reason, const char *path,
                        const char *why)
{
    upload_refuse(e, 400, reason, "%s", why);
    nt_copy_text(e->path, sizeof(e->path), path);
    return -1;
}

/* Without "./" in front and "/" behind; empty: the folder itself. NULL: it leads out. */
static char *path_clean(const char *path)
{
    while (path[0] == '.' && path[1] == '/')
        path += 2 + strspn(path + 2, "/");
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (path[0] == '/' || size >= PATH_MAX)
        return NULL;
    if (size == 1 && path[0] == '.')
        size = 0;
    unsigned depth = 0;
    for (size_t at = 0; at < size;) {
        const char *slash = memchr(path + at, '/', size - at);
        size_t n = slash ? (size_t)(slash - path) - at : size - at;
        if (n == 0 || n > NAME_MAX || (n == 1 && path[at] == '.')
            || (n == 2 && path[at] == '.' && path[at + 1] == '.') || ++depth > DEPTH_MAX)
            return NULL;
        at += n + 1;
    }
    return strndup(path, size);
}

/* Whether a link at `path` leads to a place below the root, by its text. */
static bool link_is_inside(const char *path, const char *target)
{
    long depth = 0;
    for (const char *c = path; *c; c++)
        depth += *c == '/';
    if (!*target || *target == '/' || strlen(target) >= PATH_MAX)
        return false;
    while (*target) {
        size_t n = strcspn(target, "/");
        if (n == 2 && target[0] == '.' && target[1] == '.')
            depth--;
        else if (n && !(n == 1 && *target == '.'))
            depth++;
        if (depth < 0)
            return false;
        target += n;
        target += *target == '/';
    }
    return true;
}

/* A slash sorts before all else: a folder comes directly before what is in it. */
static int by_path(const void *a, const void *b)
{
    const unsigned char *x = (const unsigned char *)((const struct archive_item *)a)->path;
    const unsigned char *y = (const unsigned char *)((const struct archive_item *)b)->path;
    while (*x && *x == *y) {
        x++;
        y++;
    }
    int p = *x == '/' ? 1 : *x ? *x + 1 : 0, q = *y == '/' ? 1 : *y ? *y + 1 : 0;
    return p - q;
}

/* --- items --------------------------------------------------------------------------------- */

/* Takes path and target, also when it fails. */
static int add(struct archive_index *index, const struct archive_item *item, struct upload_error *e)
{
    index->path_bytes += strlen(item->path) + (item->target ? strlen(item->target) : 0);
    bool is_full = index->count == ITEMS_MAX || index->path_bytes > PATHS_MAX;
    if (!is_full && index->count == index->room) {
        size_t room = index->room ? index->room * 2 : 64;
        void *grown = reallocarray(index->items, room, sizeof(*index->items));
        if (grown) {
            index->items = grown;
            index->room = room;
        }
    }
    if (!is_full && index->count < index->room) {
        index->items[index->count++] = *item;
        return 0;
    }
    free(item->path);
    free(item->target);
    if (is_full)
        return upload_refuse(e, 413, "size_limit_exceeded", "the archive has too many entries");
    return upload_refuse(e, 500, NULL, "out of memory");
}

static int64_t mtime_of(struct archive_entry *en)
{
    time_t s = archive_entry_mtime_is_set(en) ? archive_entry_mtime(en) : 0;
    struct timespec now;
    if (s > 0 && s < INT64_MAX / 1000000000 - 1)
        return (int64_t)s * 1000000000 + archive_entry_mtime_nsec(en);
    clock_gettime(CLOCK_REALTIME, &now); /* clients write 0 where they keep no time */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_ascii(const char *text)
{
    for (; text && *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

static int take(struct archive_index *index, struct archive_entry *en, struct staged *staged,
                uint64_t header_at, struct upload_error *e)
{
    const char *name = archive_entry_pathname(en), *target = archive_entry_symlink(en);
    mode_t type = archive_entry_filetype(en);
    nt_autofree char *pax_name = NULL;
    nt_autofree char *pax_target = NULL;
    if (!is_ascii(name) || !is_ascii(target))
        pax_names(staged, header_at, &pax_name, &pax_target);
    name = pax_name ? pax_name : name;
    target = pax_target ? pax_target : target;
    if (!name)
        return refuse_entry(e, BAD_PATH, "", "an entry has no name, or one that is not UTF-8");
    if (archive_entry_hardlink(en) || (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK))
        return refuse_entry(e, BAD_ENTRY, name,
                            "an entry is no file, folder or symbolic link of its own");
    if (archive_entry_sparse_count(en) > 0 || archive_entry_size(en) < 0)
        return refuse_entry(e, BAD_ENTRY, name, "a file has holes");
    struct archive_item item = { .path = path_clean(name),
                                 .mode = (uint32_t)type | (archive_entry_perm(en) & 07777u),
                                 .mtime_ns = mtime_of(en),
                                 .offset = UINT64_MAX };
    if (!item.path || (!*item.path && type != AE_IFDIR)) {
        free(item.path);
        return refuse_entry(e, BAD_PATH, name, "a name leads out of the folder, or is none");
    }
    if (type == AE_IFREG)
        item.size = (uint64_t)archive_entry_size(en);
    if (type == AE_IFLNK && (!target || !link_is_inside(item.path, target))) {
        free(item.path);
        return refuse_entry(e, BAD_LINK, name, "a symbolic link leads out of the folder");
    }
    if (!*item.path) { /* the folder itself: it has the mode that it has */
        free(item.path);
        return 0;
    }
    item.target = type == AE_IFLNK ? strdup(target) : NULL;
    if (type == AE_IFLNK && !item.target) {
        free(item.path);
        return upload_refuse(e, 500, NULL, "out of memory");
    }
    return add(index, &item, e);
}

/* The bytes of the last file end, padded to 512, where the next header begins. */
static int place_last(struct archive_index *index, uint64_t end, uint64_t length,
                      struct upload_error *e)
{
    struct archive_item *last = index->count ? &index->items[index->count - 1] : NULL;
    if (!last || !S_ISREG(last->mode) || last->offset != UINT64_MAX)
        return 0;
    uint64_t padded = (last->size + 511) / 512 * 512;
    if (last->size > length || end > length + 511 || padded > end
        || end - padded > length - last->size)
        return refuse_entry(e, BAD_ENTRY, last->path, "a file is longer than the archive");
    last->offset = end - padded;
    return 0;
}

/* Adds folders that have no entry, and refuses what stands there twice or lies in a file. */
static int complete_tree(struct archive_index *index, struct upload_error *e)
{
    size_t given = index->count;
    if (!given)
        return 0;
    qsort(index->items, given, sizeof(*index->items), by_path);
    const char *before = "";
    for (size_t i = 0; i < given; i++) {
        const char *path = index->items[i].path;
        if (i && !strcmp(before, path))
            return refuse_entry(e, BAD_PATH, path, "a name stands in the archive twice");
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
            size_t n = (size_t)(slash - path);
            if (strncmp(before, path, n) == 0 && before[n] == '/')
                continue;
            if (strncmp(before, path, n) == 0 && !before[n]) {
                if (!S_ISDIR(index->items[i - 1].mode))
                    return refuse_entry(e, BAD_PATH, path,
                                        "an entry lies in one that is no folder");
                continue;
            }
            struct archive_item folder = { .path = strndup(path, n),
                                           .mode = S_IFDIR | 0755,
                                           .mtime_ns = index->items[i].mtime_ns };
            if (!folder.path || add(index, &folder, e) < 0)
                return folder.path ? -1 : upload_refuse(e, 500, NULL, "out of memory");
        }
        before = index->items[i].path;
    }
    if (index->count > given)
        qsort(index->items, index->count, sizeof(*index->items), by_path);
    return 0;
}

static int read_entries(struct archive *a, struct source *s, struct archive_index *ret,
                        struct upload_error *e)
{
    struct archive_entry *en;
    for (;;) {
        int rc = archive_read_next_header(a, &en);
        int64_t begin = archive_read_header_position(a);
        if ((rc != ARCHIVE_OK && rc != ARCHIVE_EOF) || begin < 0)
            return s->sys ? upload_refuse(e, 500, NULL, "the staged bytes cannot be read")
                          : upload_refuse(e, 400, BAD_ENTRY, "this is no well-formed tar: %s",
                                          archive_error_string(a) ? archive_error_string(a) : "");
        if (place_last(ret, (uint64_t)begin, s->staged->length, e) < 0)
            return -1;
        if (rc == ARCHIVE_EOF)
            return 0;
        if (take(ret, en, s->staged, (uint64_t)begin, e) < 0)
            return -1;
    }
}

/* What comes after the archive's end is hashed, too. */
static int hash_rest(struct source *s, char ret_whole[65], struct upload_error *e)
{
    ssize_t n;
    while ((n = staged_read(s->staged, s->at, s->block, sizeof(s->block))) > 0) {
        crypto_hash_sha256_update(&s->sha, s->block, (size_t)n);
        s->at += (uint64_t)n;
    }
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&s->sha, digest);
    upload_hex(digest, ret_whole);
    return n < 0 ? upload_refuse(e, 500, NULL, "the staged bytes cannot be read") : 0;
}

int archive_index_read(struct staged *staged, struct archive_index *ret, char ret_whole[65],
                       struct upload_error *e)
{
    *ret = (struct archive_index){ .items = NULL };
    struct source *s = malloc(sizeof(*s));
    struct archive *a = s ? archive_read_new() : NULL;
    /* names of PAX are UTF-8, and libarchive turns them into the locale's bytes */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t old = utf8 ? uselocale(utf8) : (locale_t)0;
    int rc = -1;
    if (a && utf8) {
        s->staged = staged;
        s->at = 0;
        s->sys = 0;
        crypto_hash_sha256_init(&s->sha);
        archive_read_support_format_tar(a);
        archive_read_support_format_empty(a);
        if (archive_read_open(a, s, NULL, on_read, NULL) == ARCHIVE_OK)
            rc = read_entries(a, s, ret, e);
        else
            upload_refuse(e, 400, BAD_ENTRY, "this is no tar");
    } else {
        upload_refuse(e, 500, NULL, "out of memory");
    }
    archive_read_free(a);
    if (utf8) {
        uselocale(old);
        freelocale(utf8);
    }
    if (rc == 0)
        rc = complete_tree(ret, e);
    if (rc == 0)
        rc = hash_rest(s, ret_whole, e);
    free(s);
    return rc;
}

void archive_index_done(struct archive_index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        free(index->items[i].path);
        free(index->items[i].target);
    }
    free(index->items);
    *index = (struct archive_index){ .items = NULL };
}
