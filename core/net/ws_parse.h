/* SPDX-License-Identifier: Apache-2.0 */
/* ws_parse.h - frames of RFC 6455, in and out, without buffering messages. Private to core/net. */
#ifndef NT_NET_WS_PARSE_H
#define NT_NET_WS_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/net/net.h"

enum { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum { WS_HEAD_MAX = 14 };

struct ws_frame {
    uint64_t length;
    uint8_t opcode;
    bool fin;
    bool is_masked;
    uint8_t rsv;
};

struct ws_parse;

struct ws_parse *ws_parse_new(void);
void ws_parse_free(struct ws_parse *p);
/* Takes a frame's head off the bytes. 1: the head is there, 0: more bytes are needed, -1: not a
 * frame. */
int ws_parse_head(struct ws_parse *p, uint8_t *data, size_t size, size_t *ret_used,
                  struct ws_frame *ret);
/* Unmasks `size` bytes of the frame's payload in place; size is at most what is left of it. False:
 * broken or no memory. */
bool ws_parse_payload(struct ws_parse *p, uint8_t *data, size_t size);

/* The head of an unmasked frame that ends a message. Returns its size, 0 on failure; `first` may be
 * NULL, else it is the payload's first byte and put behind the head. */
size_t ws_make_head(uint8_t opcode, uint64_t length, const uint8_t *first,
                    uint8_t ret[WS_HEAD_MAX + 2]);
/* A whole frame in malloc'ed memory, masked when asked; fin: it ends a message. NULL: out of
 * memory. `first` as above. */
uint8_t *ws_make_frame(uint8_t opcode, bool fin, bool masked, const uint8_t *first,
                       struct nt_bytes payload, size_t *ret_size);

/* Checks UTF-8 piece by piece (RFC 3629). Start with zero. */
struct utf8_check {
    uint8_t left, low, high;
};
bool utf8_check_add(struct utf8_check *u, const uint8_t *data, size_t size);
static inline bool utf8_check_is_whole(const struct utf8_check *u)
{
    return u->left == 0;
}

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (ws_key.c). */
bool ws_key_accept(const char *key, char ret[32]);
/* A new Sec-WebSocket-Key. */
bool ws_key_new(char ret[32]);
bool ws_key_is_valid(const char *key);

#endif
