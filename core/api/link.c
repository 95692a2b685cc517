/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - the connections of one command: where they go, and which one is free for the next
 * request. */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/local.h"
#include "core/config/credentials.h"
#include "sdk/error.h"

#define CONNECT_MS 10000
#define LOCAL_ROUNDS                                                                               \
    8 /* a server that ends or hands over again and again is not one to wait for                   \
       */

/* --- events of core/net -------------------------------------------------------------------- */

static void link_free(struct link *link)
{
    for (struct link **at = &link->api->links; *at; at = &(*at)->next)
        if (*at == link) {
            *at = link->next;
            break;
        }
    explicit_bzero(link->token, sizeof(link->token));
    free(link);
}

static void on_connected(void *data, struct net_client *client)
{
    (void)client;
    struct link *link = data;
    link->is_connected = true;
    link->done = 1;
}

static void on_head(void *data, struct net_client *client, uint32_t status)
{
    (void)client;
    struct link *link = data;
    link->got_bytes = true;
    if (link->conv)
        conv_head(link->conv, status);
    if (!link->client)
        link_free(link); /* link_gone: the connection is another's */
}

static void on_body(void *data, struct net_client *client, struct nt_bytes bytes)
{
    (void)client;
    struct link *link = data;
    if (link->conv)
        conv_body(link->conv, bytes);
}

static void on_answered(void *data, struct net_client *client, bool reusable)
{
    struct link *link = data;
    if (link->conv)
        conv_answered(link->conv, reusable);
    else
        net_client_close(client);
}

static void on_writable(void *data, struct net_client *client, uint64_t credit)
{
    (void)client;
    struct link *link = data;
    if (link->conv)
        conv_writable(link->conv, credit);
}

static void on_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    (void)client;
    struct link *link = data;
    struct conv *conv = link->conv;
    link->client = NULL;
    link->reason = *reason;
    link->done = 1;
    if (conv) {
        link->conv = NULL;
        conv_closed(conv, reason);
    }
    if (link->is_taken)
        link_free(link);
    /* else link_get is still waiting for it and frees it, also when it was connected just before */
}

static const struct net_client_events link_events = {
    .connected = on_connected,
    .head = on_head,
    .body = on_body,
    .answered = on_answered,
    .writable = on_writable,
    .closed = on_closed,
};

/* --- making one ---------------------------------------------------------------------------- */

const char *link_prefix(const struct api *api)
{
    return api->origin ? api->origin->prefix : "";
}

static int address_of(struct api *api, struct net_address *ret, struct nt_error *reterr)
{
    if (!api->origin) {
        const char *path = local_socket(reterr);
        if (!path)
            return -1;
        *ret = (struct net_address){ .kind = NET_UNIX, .host = path };
        return 0;
    }
    static const uint32_t kinds[] = {
        [ORIGIN_UNIX] = NET_UNIX, [ORIGIN_HTTP] = NET_TCP, [ORIGIN_HTTPS] = NET_HTTPS
    };
    const struct config_value *authorities = config_get(api->options.config, "tls.ca_file");
    *ret = (struct net_address){ .kind = kinds[api->origin->kind],
                                 .authorities = authorities ? authorities->value : NULL,
                                 .port = api->origin->port,
                                 .host = api->origin->host };
    return 0;
}

static int link_new(struct api *api, struct link **ret, struct nt_error *reterr)
{
    struct net_address address;
    const struct net_limits limits = { .write_queue_bytes = CONV_QUEUE };
    if (address_of(api, &address, reterr) < 0)
        return -1;
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    link->api = api;
    if (net_client_new(&api->uv, &address, &limits, CONNECT_MS, &link_events, link, &link->client,
                       reterr)
        < 0) {
        free(link);
        return -1;
    }
    link->next = api->links;
    api->links = link;
    *ret = link;
    return 0;
}

/* One attempt to connect. On failure the link is freed. */
static int connect_once(struct api *api, int64_t until_ms, struct link **ret,
                        struct nt_error *reterr)
{
    struct link *link;
    if (link_new(api, &link, reterr) < 0)
        return -1;
    if (api_pump(api, &link->done, until_ms, reterr) < 0) {
        if (link->done && link->reason.code) {
            link_free(link);
        } else {
            link->is_taken = true; /* nobody waits for it: on_closed frees it */
            net_client_close(link->client);
        }
        return -1;
    }
    if (link->client) {
        link->is_taken = true;
        *ret = link;
        return 0;
    }
    if (link->is_connected) { /* nothing was asked yet: whoever listened has ended */
        nt_fail(reterr, NT_E_CONNECT, "the connection was closed as soon as it was made");
        reterr->sys = ECONNREFUSED;
        reterr->request_sent = 0;
    } else {
        uint32_t size = reterr->size;
        memcpy(reterr, &link->reason, size < sizeof(link->reason) ? size : sizeof(link->reason));
        reterr->size = size;
    }
    link_free(link);
    return -1;
}

/* The embedded server: started when it does not run, asked again when it is just ending or handing
 * over. */
static int connect_local(struct api *api, int64_t until_ms, struct link **ret,
                         struct nt_error *reterr)
{
    if (local_check_folder(reterr) < 0)
        return -1;
    for (int round = 0;; round++) {
        int status = connect_once(api, until_ms, ret, reterr);
        if (status == 0) {
            status = local_read_token((*ret)->token, sizeof((*ret)->token), reterr);
            if (status == 0)
                return 0;
            net_client_close((*ret)->client);
            if (round == LOCAL_ROUNDS || reterr->sys != ENOENT)
                return -1; /* ENOENT: a server that ended between the two */
        } else if (reterr->code != NT_E_CONNECT
                   || (reterr->sys != ENOENT && reterr->sys != ECONNREFUSED)
                   || round == LOCAL_ROUNDS) {
            return -1;
        }
        if (local_start(api, until_ms, reterr) < 0)
            return -1;
    }
}

int link_get(struct api *api, bool must_be_new, int64_t until_ms, struct link **ret,
             struct nt_error *reterr)
{
    for (struct link *link = api->links; link && !must_be_new; link = link->next)
        if (link->is_idle && link->client) {
            link->is_idle = false;
            link->is_reused = true;
            link->got_bytes = false;
            *ret = link;
            return 0;
        }
    return api->origin ? connect_once(api, until_ms, ret, reterr)
                       : connect_local(api, until_ms, ret, reterr);
}

int link_begin(struct api *api, struct link **ret, struct nt_error *reterr)
{
    if (link_new(api, ret, reterr) < 0)
        return -1;
    (*ret)->is_taken = true; /* nobody waits for it: on_closed frees it */
    if (api->origin
        || (local_check_folder(reterr) == 0
            && local_read_token((*ret)->token, sizeof((*ret)->token), reterr) == 0))
        return 0;
    net_client_close((*ret)->client);
    return -1;
}

void link_put(struct link *link, bool reusable)
{
    link->conv = NULL;
    if (!link->client)
        return;
    link->is_idle = reusable;
    if (!reusable)
        net_client_close(link->client);
}

void link_gone(struct link *link)
{
    link->conv = NULL;
    link->client = NULL;
}

void link_drop_idle(struct api *api)
{
    for (struct link *link = api->links; link; link = link->next)
        if (link->is_idle && link->client) {
            link->is_idle = false;
            net_client_close(link->client);
        }
}
