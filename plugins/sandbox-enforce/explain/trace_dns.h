/* SPDX-License-Identifier: Apache-2.0 */
/* trace_dns.h - the addresses in an answer of a name server (RFC 1035). */
#ifndef NT_ENFORCE_TRACE_DNS_H
#define NT_ENFORCE_TRACE_DNS_H

#include <stddef.h>

/* Calls ANSWER for each A and AAAA record of MESSAGE with the name that was asked for. What is no
 * answer to one question calls nothing. Hostile input. */
void trace_dns_answer(const unsigned char *message, size_t size,
                      void (*answer)(void *data, const char *host, const char *address),
                      void *data);

#endif
