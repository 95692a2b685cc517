/* SPDX-License-Identifier: Apache-2.0 */
/* dial.h - connects by TCP on behalf of a plugin. */
#ifndef NT_CORE_DIAL_H
#define NT_CORE_DIAL_H

#include <stdint.h>

#include "nanoterm/error.h"

/* Tries the addresses of the host in order, at most limit_ms in all (-1: 30 s). The socket blocks
 * and is close-on-exec. A name that leads to this machine or its link, other than "localhost", is
 * refused: whoever owns a name decides what it leads to. */
int dial(const char *host, uint32_t port, int64_t limit_ms, int *ret_fd, struct nt_error *reterr);

#endif
