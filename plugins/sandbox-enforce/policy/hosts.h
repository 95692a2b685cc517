/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.h - names of hosts: their plain form, and which pattern they match. */
#ifndef NT_ENFORCE_POLICY_HOSTS_H
#define NT_ENFORCE_POLICY_HOSTS_H

#include <stdbool.h>

#define HOST_MAX 256u

/* Lower case, without brackets and trailing dots. false: not the name or the number of a host. */
bool host_plain(const char *host, char ret[HOST_MAX]);
/* The same for an entry of an allow-list: a host, or "*.suffix"; no other star, no zone. */
bool host_pattern(const char *text, char ret[HOST_MAX]);
/* The host of "scheme://host:port/base", in its plain form. *ret_rest (may be NULL): what stands
 * behind it. false: there is none. */
bool host_of_url(const char *url, char ret[HOST_MAX], const char **ret_rest);
/* NAME (plain) is PATTERN, or lies below "*.suffix" with at least one label. */
bool host_matches(const char *pattern, const char *name);
/* This machine: localhost and below, 127.0.0.0/8, 0.0.0.0/8, ::1, ::, the former within IPv6. */
bool host_is_loopback(const char *name);
/* A number, in any spelling. */
bool host_is_address(const char *name);
/* Both lead to the same: by name, or both the same number however it is written. */
bool host_is_denied_by(const char *pattern, const char *name);
/* An address, in any spelling, that can be one of another machine: no name, and not this machine's,
 * link-local, cloud metadata, multicast or reserved, also within an IPv6 address. */
bool host_is_elsewhere(const char *address);
/* Why nothing opens it, as a line: cloud metadata, or a number that no other machine has, and this
 * one neither. NULL: something may. */
const char *host_shut_why(const char *host);

#endif
