/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel.h - carries bytes between two descriptors, both ways, with back-pressure. */
#ifndef NT_SERVE_WAY_OUT_TUNNEL_H
#define NT_SERVE_WAY_OUT_TUNNEL_H

#include <uv.h>

struct tunnel;

/* Takes both descriptors (connected, non-blocking), also on failure (NULL). `ended` comes once,
 * later, after which the tunnel is gone. */
struct tunnel *tunnel_new(uv_loop_t *uv, int inside, int outside, void (*ended)(void *data),
                          void *data);
void tunnel_close(struct tunnel *tunnel);

#endif
