/* SPDX-License-Identifier: Apache-2.0 */
/* enforce.c - the table of layers: which are asked for, in which order they are set, and that each
 * is tried afterwards. */
#include "enforce.h"

#include <errno.h>
#include <unistd.h>

#include "layers.h"

static const struct {
    const char *name, *remedy;
    int (*enter)(struct enforce *e);
    int (*verify)(struct enforce *e);
} layers[ENFORCE_LAYERS] = {
    [ENFORCE_PRIVILEGES] = { "privileges", "", privileges_enter, privileges_verify },
    [ENFORCE_FILES] = { "files",
                        "needs Landlock: Linux 5.13 or newer with lsm=...,landlock at boot",
                        landlock_enter, landlock_files_verify },
    [ENFORCE_TCP] = { "tcp", "needs Landlock's rules for TCP ports: Linux 6.7 or newer",
                      landlock_enter, landlock_tcp_verify },
    [ENFORCE_SCOPES] = { "scopes", "needs Landlock's scopes: Linux 6.12 or newer", landlock_enter,
                         landlock_scopes_verify },
    [ENFORCE_CALLS] = { "calls", "needs seccomp filters: a kernel with CONFIG_SECCOMP_FILTER",
                        calls_enter, calls_verify },
    [ENFORCE_DESCRIPTORS] = { "descriptors", "needs close_range: Linux 5.9 or newer",
                              descriptors_enter, descriptors_verify },
};

void enforce_init(struct enforce *e)
{
    *e = (struct enforce){ .privileges = true, .ruleset = -1, .stranger = -1, .listener = -1 };
}

void enforce_done(struct enforce *e)
{
    if (e->ruleset >= 0)
        close(e->ruleset);
    if (e->stranger >= 0)
        close(e->stranger);
    if (e->listener >= 0)
        close(e->listener);
    e->ruleset = e->stranger = e->listener = -1;
}

int enforce_prepare(struct enforce *e, enum enforce_layer *ret_layer)
{
    const bool wanted[ENFORCE_LAYERS] = {
        [ENFORCE_PRIVILEGES] = e->privileges,
        [ENFORCE_FILES] = e->files,
        [ENFORCE_TCP] = e->network == ENFORCE_NET_PORTS,
        [ENFORCE_SCOPES] = e->signals || e->abstract_sockets,
        [ENFORCE_CALLS] = e->calls || e->network != ENFORCE_NET_OPEN || e->front_count,
        [ENFORCE_DESCRIPTORS] = e->descriptors,
    };
    for (size_t i = 0; i < ENFORCE_LAYERS; i++)
        if (wanted[i])
            e->set |= 1u << i;
    int sys = landlock_prepare(e, ret_layer);
    if (sys || !(e->set & (1u << ENFORCE_CALLS)))
        return sys;
    *ret_layer = ENFORCE_CALLS;
    return calls_prepare(e);
}

int enforce_enter(struct enforce *e, enum enforce_layer *ret_layer)
{
    for (size_t i = 0; i < ENFORCE_LAYERS; i++) {
        if (!(e->set & (1u << i)))
            continue;
        *ret_layer = (enum enforce_layer)i;
        int sys = layers[i].enter(e);
        if (!sys)
            sys = layers[i].verify(e);
        if (sys)
            return sys;
    }
    return 0;
}

const char *enforce_layer_name(enum enforce_layer layer)
{
    return layer < ENFORCE_LAYERS ? layers[layer].name : "none";
}

const char *enforce_layer_remedy(enum enforce_layer layer)
{
    return layer < ENFORCE_LAYERS ? layers[layer].remedy : "";
}

bool enforce_layer_is_set(const struct enforce *e, enum enforce_layer layer)
{
    return layer < ENFORCE_LAYERS && (e->set & (1u << layer));
}

bool enforce_handles_ports(const struct enforce *e)
{
    return e->handled_ports != 0;
}
