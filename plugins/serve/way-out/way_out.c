/* SPDX-License-Identifier: Apache-2.0 */
/* way_out.c - who may go where: workspaces with their connections, and the rules that allow
 * them. */
#include "plugins/serve/way-out/way_out.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "plugins/serve/way-out/way_out_private.h"
#include "sdk/error.h"

enum { CONNECTIONS = 256, RULES_MAX = 1024 };

static void try_free(struct way_out *out)
{
    if (!out->is_freed || out->spaces)
        return;
    void (*freed)(void *data) = out->freed;
    void *data = out->data;
    while (out->rules)
        way_out_forget(out->rules);
    free(out);
    if (freed)
        freed(data);
}

static void on_server_freed(void *data)
{
    struct space *space = data;
    struct way_out *out = space->out;
    space->server = NULL;
    if (space->trips)
        return; /* the last trip settles it */
    for (struct space **at = &out->spaces; *at; at = &(*at)->next)
        if (*at == space) {
            *at = space->next;
            break;
        }
    free(space->id);
    free(space);
    try_free(out);
}

void space_settle(struct space *space)
{
    if (space->trips)
        return;
    if (!space->server) {
        on_server_freed(space);
    } else if (!space->is_closing && net_server_connections(space->server) == 0) {
        space->is_closing = true;
        net_server_free(space->server, on_server_freed, space);
    }
}

static void on_request(void *data, struct net_request *req)
{
    trip_begin(data, req);
}

static void on_connections(void *data, uint32_t open)
{
    if (open == 0)
        space_settle(data);
}

static struct space *find_space(struct way_out *out, const char *id)
{
    for (struct space *s = out->spaces; s; s = s->next)
        if (!s->is_closing && strcmp(s->id, id) == 0)
            return s;
    struct space *space = calloc(1, sizeof(*space));
    if (space)
        space->id = strdup(id);
    if (!space || !space->id) {
        free(space);
        return NULL;
    }
    struct net_server_options options = { .request = on_request,
                                          .connections = on_connections,
                                          .data = space,
                                          .limits.connections = out->options.connections };
    struct nt_error ignored = NT_ERROR_INIT;
    if (net_server_new(out->uv, -1, &options, &space->server, &ignored) < 0) {
        free(space->id);
        free(space);
        return NULL;
    }
    space->out = out;
    space->next = out->spaces;
    out->spaces = space;
    return space;
}

int way_out_new(uv_loop_t *uv, const struct way_out_options *options, struct way_out **ret,
                struct nt_error *reterr)
{
    struct way_out *out = calloc(1, sizeof(*out));
    if (!out)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for the way out");
    out->uv = uv;
    out->options = *options;
    if (!out->options.connections)
        out->options.connections = CONNECTIONS;
    *ret = out;
    return 0;
}

void way_out_free(struct way_out *out, void (*freed)(void *data), void *data)
{
    if (!out)
        return;
    out->is_freed = true;
    out->freed = freed;
    out->data = data;
    for (struct space *s = out->spaces, *next; s; s = next) {
        next = s->next;
        for (struct trip *t = s->trips, *after; t; t = after) {
            after = trip_next(t);
            trip_cancel(t);
        }
        if (!s->is_closing) {
            s->is_closing = true;
            net_server_free(s->server, on_server_freed, s);
        }
    }
    try_free(out);
}

void way_out_accept(struct way_out *out, const char *workspace_id, int fd)
{
    struct nt_error ignored = NT_ERROR_INIT;
    struct space *space = out->is_freed ? NULL : find_space(out, workspace_id);
    if (!space
        || net_server_connections(space->server) + space->tunnels >= out->options.connections) {
        if (out->options.debug)
            out->options.debug(out->options.data, "way_out.full", workspace_id);
        close(fd);
        return;
    }
    if (net_server_take(space->server, fd, &ignored) < 0)
        space_settle(space);
}

struct way_out_rule *way_out_allow(struct way_out *out, const char *workspace_id, const char *host,
                                   uint16_t port, bool private_too, struct nt_error *reterr)
{
    uint32_t count = 0;
    for (struct way_out_rule *r = out->rules; r; r = r->next)
        count++;
    if (count >= RULES_MAX) {
        nt_fail(reterr, NT_E_LIMIT, "too many permissions at once");
        return NULL;
    }
    struct way_out_rule *rule = calloc(1, sizeof(*rule));
    if (rule) {
        rule->workspace_id = strdup(workspace_id);
        rule->host = strdup(host);
    }
    if (!rule || !rule->workspace_id || !rule->host) {
        if (rule) {
            free(rule->workspace_id);
            free(rule->host);
        }
        free(rule);
        nt_fail(reterr, NT_E_MEMORY, "out of memory for a permission");
        return NULL;
    }
    rule->out = out;
    rule->port = port;
    rule->private_too = private_too;
    rule->next = out->rules;
    out->rules = rule;
    return rule;
}

void way_out_forget(struct way_out_rule *rule)
{
    if (!rule)
        return;
    for (struct way_out_rule **at = &rule->out->rules; *at; at = &(*at)->next)
        if (*at == rule) {
            *at = rule->next;
            break;
        }
    free(rule->workspace_id);
    free(rule->host);
    free(rule);
}

enum verdict way_out_ask(struct space *space, const char *host, uint16_t port)
{
    struct way_out *out = space->out;
    enum verdict verdict = DENIED;
    for (struct way_out_rule *r = out->rules; r; r = r->next)
        if (r->port == port && strcasecmp(r->host, host) == 0
            && strcmp(r->workspace_id, space->id) == 0) {
            if (r->private_too)
                return ANYWHERE;
            verdict = PUBLIC_ONLY;
        }
    if (out->options.has_internet && out->options.has_internet(out->options.data, space->id))
        verdict = PUBLIC_ONLY;
    return verdict;
}

uint32_t way_out_connections(const struct way_out *out)
{
    uint32_t count = 0;
    for (const struct space *s = out->spaces; s; s = s->next)
        count += (s->server ? net_server_connections(s->server) : 0) + s->tunnels;
    return count;
}
