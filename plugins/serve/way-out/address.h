/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - is an address part of the public internet? */
#ifndef NT_SERVE_WAY_OUT_ADDRESS_H
#define NT_SERVE_WAY_OUT_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for every special range of RFC 6890 and for all families but IPv4 and IPv6. */
bool address_is_public(const struct sockaddr *address);

#endif
