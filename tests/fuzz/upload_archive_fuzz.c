/* SPDX-License-Identifier: Apache-2.0 */
/* upload_archive_fuzz.c - any bytes as the tar of an upload, staged in memory. Whatever comes, what
 * is accepted lies inside: each name below the root and there once, behind its folder, no link that
 * leads out, and the bytes of each file within the archive. The same bytes are also read as PAX
 * names, at a place that the first byte picks. */
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plugins/serve/uploads/uploads.h"

static const uint8_t *bytes;

/* At most 700 at a time: no reader may count on more. */
ssize_t staged_read(struct staged *s, uint64_t at, void *ret, size_t size)
{
    if (at >= s->length)
        return 0;
    size_t n = s->length - at < size ? (size_t)(s->length - at) : size;
    n = n < 700 ? n : 700;
    memcpy(ret, bytes + at, n);
    return (ssize_t)n;
}

void upload_hex(const uint8_t digest[crypto_hash_sha256_BYTES], char ret[65])
{
    sodium_bin2hex(ret, 65, digest, crypto_hash_sha256_BYTES);
}

int upload_refuse(struct upload_error *e, uint32_t status, const char *reason, const char *format,
                  ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    e->status = status;
    return -1;
}

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

/* Steps from the root, by the text; -1: out of it. */
static long depth_after(long depth, const char *text)
{
    while (*text && depth >= 0) {
        size_t n = strcspn(text, "/");
        if (n == 2 && text[0] == '.' && text[1] == '.')
            depth--;
        else if (n && !(n == 1 && text[0] == '.'))
            depth++;
        text += n;
        text += *text == '/';
    }
    return depth;
}

static bool has_folder(const struct archive_index *index, size_t before, const char *path, size_t n)
{
    for (size_t i = before; i-- > 0;)
        if (strlen(index->items[i].path) == n && memcmp(index->items[i].path, path, n) == 0)
            return S_ISDIR(index->items[i].mode);
    return false;
}

static void check_item(const struct archive_index *index, size_t i, uint64_t length)
{
    const struct archive_item *item = &index->items[i];
    const char *slash = strrchr(item->path, '/');
    must(*item->path && *item->path != '/' && strlen(item->path) < PATH_MAX);
    for (const char *at = item->path; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        size_t n = strcspn(at, "/");
        must(n > 0 && n <= NAME_MAX && !(n == 1 && at[0] == '.')
             && !(n == 2 && at[0] == '.' && at[1] == '.'));
    }
    must(!slash || has_folder(index, i, item->path, (size_t)(slash - item->path)));
    for (size_t other = 0; other < i; other++)
        must(strcmp(index->items[other].path, item->path) != 0);
    must(S_ISREG(item->mode) || S_ISDIR(item->mode) || S_ISLNK(item->mode));
    must(S_ISLNK(item->mode) == (item->target != NULL));
    if (S_ISREG(item->mode))
        must(item->offset <= length && item->size <= length - item->offset);
    if (item->target) {
        long depth = 0;
        for (const char *c = item->path; *c; c++)
            depth += *c == '/';
        must(*item->target && *item->target != '/' && depth_after(depth, item->target) >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct staged staged = { .dir = -1, .fd = -1, .length = size };
    struct archive_index index;
    struct upload_error e = UPLOAD_ERROR_INIT;
    char whole[65];
    bytes = data;
    if (archive_index_read(&staged, &index, whole, &e) == 0) {
        must(strlen(whole) == 64);
        for (size_t i = 0; i < index.count; i++)
            check_item(&index, i, size);
    } else {
        must(e.status == 400 || e.status == 413 || e.status == 500);
    }
    archive_index_done(&index);
    char *path, *target;
    pax_names(&staged, size ? data[0] * UINT64_C(4) : 0, &path, &target);
    must(!path || strlen(path) < size);
    must(!target || strlen(target) < size);
    free(path);
    free(target);
    return 0;
}
