/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h - ports of the host that lead inside: the guest holds their listening sockets. */
#ifndef GUEST_PORTS_H
#define GUEST_PORTS_H

#include "plugins/guest/helper.h"

void ports_publish(struct conn *c, const struct request *r);
void ports_unpublish(struct conn *c, const struct request *r);

/* In a helper: the published ones as ENTRYs. The process was forked, so that it has them all. */
void ports_tell(struct helper_io *io);
/* In a helper: answers NT_G_PORTS. listeners.c */
void listeners_serve(struct helper_io *io);

#endif
