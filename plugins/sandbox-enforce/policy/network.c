/* SPDX-License-Identifier: Apache-2.0 */
/* network.c - open, blocked or filtered; which hosts, ports and services then. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/hosts.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

int make_network(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    struct policy *p = k->policy;
    if (r->block_net && r->allow_net)
        return nt_fail(reterr, NT_E_USAGE, "--block-net and --allow-net exclude each other");
    if (r->block_net)
        p->network = POLICY_NET_BLOCKED;
    p->open_ports = memory_room(k->m, (r->open_port_count + 1) * sizeof(*p->open_ports));
    p->listen_ports = memory_room(k->m, (r->listen_port_count + 1) * sizeof(*p->listen_ports));
    if (!p->open_ports || !p->listen_ports)
        return memory_fail(k->m, reterr);
    if (r->open_port_count)
        memcpy(p->open_ports, r->open_ports, r->open_port_count * sizeof(*r->open_ports));
    if (r->listen_port_count)
        memcpy(p->listen_ports, r->listen_ports, r->listen_port_count * sizeof(*r->listen_ports));
    p->open_port_count = r->open_port_count;
    p->listen_port_count = r->listen_port_count;
    p->proxy_port = r->proxy_port;
    return 0;
}
