/* SPDX-License-Identifier: Apache-2.0 */
/* way_out.h - the one way out of a workspace's network: an HTTP proxy (CONNECT and absolute-form
 * requests) whose connections arrive as descriptors from the engine, and whose rules decide where
 * each may go.
 *
 * Rules of a workspace: `internet` allows any host whose checked addresses are public; a temporary
 * rule (a clone at create) allows one host and port, private addresses too when the caller says so.
 * The address that was checked is the one that is connected to. Metadata addresses, loopback,
 * link-local, private and multicast ranges are closed otherwise, in every spelling, IPv4-mapped
 * IPv6 too. Bounded: connections, head, time. Loop's thread. */
#ifndef NT_SERVE_WAY_OUT_H
#define NT_SERVE_WAY_OUT_H

#include <stdbool.h>
#include <uv.h>

#include "nanoterm/error.h"

struct way_out;
struct way_out_rule; /* a temporary permission */

struct way_out_options {
    /* Asked at each connection: may this workspace use the internet? */
    bool (*has_internet)(void *data, const char *workspace_id);
    void (*debug)(void *data, const char *event, const char *fields);
    void *data;
    uint32_t connections; /* per workspace; 0: 256 */
    uint32_t reserved;
};

int way_out_new(uv_loop_t *uv, const struct way_out_options *options, struct way_out **ret,
                struct nt_error *reterr);
/* Ends all its connections, then calls freed. */
void way_out_free(struct way_out *out, void (*freed)(void *data), void *data);
/* Takes a connected descriptor from inside that workspace. */
void way_out_accept(struct way_out *out, const char *workspace_id, int fd);
/* Allows host:port for that workspace until way_out_forget. private_too: also when it is not a
 * public address. */
struct way_out_rule *way_out_allow(struct way_out *out, const char *workspace_id, const char *host,
                                   uint16_t port, bool private_too, struct nt_error *reterr);
void way_out_forget(struct way_out_rule *rule);
/* Open connections in all; the server does not idle-exit while there are some. */
uint32_t way_out_connections(const struct way_out *out);

#endif
