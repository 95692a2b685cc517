/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - what a WebSocket's handshake needs of nettle. From any thread; false: nettle is not
 * installed. */
#ifndef NT_CORE_NET_DIGEST_H
#define NT_CORE_NET_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of two texts as if they were one. */
bool digest_sha1(const char *first, const char *second, uint8_t ret[20]);
/* With padding and a NUL: `ret` has room for 4 * ((size + 2) / 3) + 1 bytes. */
bool digest_base64(const uint8_t *data, size_t size, char *ret);

#endif
