/* SPDX-License-Identifier: Apache-2.0 */
/* staged.c - the accepted parts of a session, read as one file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "plugins/serve/uploads/uploads.h"

ssize_t staged_read(struct staged *s, uint64_t at, void *ret, size_t size)
{
    if (at >= s->length)
        return 0;
    uint32_t part = (uint32_t)(at / UPLOAD_PART_SIZE);
    if (s->fd < 0 || s->part != part) {
        char name[16];
        if (s->fd >= 0)
            close(s->fd);
        snprintf(name, sizeof(name), "p%u", part);
        s->fd = openat(s->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        s->part = part;
        if (s->fd < 0)
            return -1;
    }
    uint64_t in_part = at % UPLOAD_PART_SIZE, left = UPLOAD_PART_SIZE - in_part;
    left = left < s->length - at ? left : s->length - at;
    ssize_t n = pread(s->fd, ret, size < left ? size : (size_t)left, (off_t)in_part);
    if (n == 0)
        errno = EIO; /* somebody has cut it */
    return n > 0 ? n : -1;
}

void staged_done(struct staged *s)
{
    if (s->fd >= 0)
        close(s->fd);
    if (s->dir >= 0)
        close(s->dir);
    s->fd = s->dir = -1;
}

void upload_hex(const uint8_t digest[crypto_hash_sha256_BYTES], char ret[65])
{
    sodium_bin2hex(ret, 65, digest, crypto_hash_sha256_BYTES);
}
