/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - blocking input and output that does not stop half way. No library: also for the guest. */
#ifndef NT_SDK_IO_H
#define NT_SDK_IO_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* Writes all of it to a blocking descriptor. 0, or -1 with errno; how much was written is not known
 * then. */
static inline int nt_write_all(int fd, const void *bytes, size_t size)
{
    const char *at = (const char *)bytes;
    while (size) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

#define NT_WRITE_OUT_BYTES (16u * 1024 * 1024)
#define NT_WRITE_KEPT_BYTES (128u * 1024 * 1024)

/* Lets the disk write what was written to a file since *begun (0 at first), every 16 MiB, while
 * more is to come: the fsync at the end then has little left to wait for. `at`: how far it is
 * written. Of a large file only the last 128 MiB stay in memory, as far as the disk has them: a
 * copy need not push out what others work with, and memory that was just given back is near.
 * sync_file_range would be the call, but it does nothing on an overlay; this one reaches the file
 * below and begins to write without waiting (fadvise64(2); mm/fadvise.c). A hint: that all is on
 * the disk is for fsync to say. */
static inline void nt_write_out(int fd, uint64_t at, uint64_t *begun)
{
    if (at < *begun || at - *begun < NT_WRITE_OUT_BYTES)
        return;
    posix_fadvise(fd, (off_t)*begun, (off_t)(at - *begun), POSIX_FADV_DONTNEED);
    if (*begun > NT_WRITE_KEPT_BYTES)
        posix_fadvise(fd, 0, (off_t)(*begun - NT_WRITE_KEPT_BYTES), POSIX_FADV_DONTNEED);
    *begun = at;
}

#endif
