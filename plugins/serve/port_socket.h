/* SPDX-License-Identifier: Apache-2.0 */
/* port_socket.h - a listening socket of this machine at an address and port; made by the server, or
 * by the monitor of root's for a port that the server may not have. */
#ifndef NT_SERVE_PORT_SOCKET_H
#define NT_SERVE_PORT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#define PORT_LOW_END 1024u /* below it a port needs privilege */

/* Whether the text is an IPv4 or IPv6 address. */
bool port_is_address(const char *address);
/* 127.0.0.0/8 and ::1; false for what is no address. */
bool port_is_loopback(const char *address);
/* Listens; port 0: any. 0: *ret_fd (non-blocking) and *ret_port are set; else an errno value,
 * EINVAL for what is no address. */
int port_socket(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port);

#endif
