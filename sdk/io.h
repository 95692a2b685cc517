/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - blocking input and output that does not stop half way. No library: also for the guest. */
#ifndef NT_SDK_IO_H
#define NT_SDK_IO_H

#include <errno.h>
#include <stddef.h>
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

#endif
