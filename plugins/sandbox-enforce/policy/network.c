/* SPDX-License-Identifier: Apache-2.0 */
/* network.c - open, blocked or filtered; which hosts, ports and services then.
 *
 * What was typed comes before what the profile says: --allow-net and --block-net replace it, hosts
 * and services are added to it. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/policy/networks.h"
#include "plugins/sandbox-enforce/policy/registries.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

/* --- hosts ----------------------------------------------------------------------------------- */

/* Another list for a host that has one: what meets one of them is carried. */
static int add_endpoints(struct maker *k, struct policy_host *host,
                         const struct policy_endpoint *endpoints, size_t count,
                         struct nt_error *reterr)
{
    struct policy_endpoint *all =
        count ? memory_room(k->m, (host->endpoint_count + count) * sizeof(*all)) : NULL;
    if (!count)
        return 0;
    if (!all)
        return memory_fail(k->m, reterr);
    memcpy(all, host->endpoints, host->endpoint_count * sizeof(*all));
    memcpy(all + host->endpoint_count, endpoints, count * sizeof(*all));
    host->endpoints = all;
    host->endpoint_count += count;
    return 0;
}

static int add_host(struct maker *k, const char *name, const char *source,
                    const struct policy_endpoint *endpoints, size_t endpoint_count,
                    struct nt_error *reterr)
{
    struct policy *p = k->policy;
    struct policy_host *same = NULL;
    for (size_t i = 0; i < p->host_count; i++)
        if (strcmp(p->hosts[i].name, name) == 0 && !p->hosts[i].endpoint_count == !endpoint_count)
            same = &p->hosts[i];
    if (same)
        return add_endpoints(k, same, endpoints, endpoint_count, reterr);
    struct policy_host *rows = memory_grow(k->m, p->hosts, p->host_count, sizeof(*rows));
    struct policy_endpoint *copy =
        endpoint_count ? memory_room(k->m, endpoint_count * sizeof(*copy)) : NULL;
    if (!rows || (endpoint_count && !copy))
        return memory_fail(k->m, reterr);
    if (copy)
        memcpy(copy, endpoints, endpoint_count * sizeof(*copy));
    p->hosts = rows;
    rows[p->host_count++] = (struct policy_host){
        .name = name, .source = source, .endpoints = copy, .endpoint_count = endpoint_count
    };
    return 0;
}

static int add_group(struct maker *k, const struct network_group *group, struct nt_error *reterr)
{
    const char *source = memory_format(k->m, "network:%s", group->name);
    if (!source)
        return memory_fail(k->m, reterr);
    for (const char *const *host = group->hosts; host && *host; host++)
        if (add_host(k, *host, source, NULL, 0, reterr) < 0)
            return -1;
    if (group->hosts)
        return 0;
    struct policy_texts hosts = { 0 }, origins = { 0 };
    if (registries_find(k->m, k->policy, &k->places, &hosts, &origins, reterr) < 0)
        return -1;
    for (size_t i = 0; i < hosts.count; i++)
        if (add_host(k, hosts.at[i], source, NULL, 0, reterr) < 0)
            return -1;
    if (!hosts.count)
        warn(k->owned,
             "the group %s is empty here: no package manager names a registry; put host lists "
             "into /etc/nanoterm/hosts.d",
             group->name);
    return 0;
}

static int add_network_profile(struct maker *k, const char *name, struct nt_error *reterr)
{
    const struct network_profile *profile = network_profile_find(name);
    if (!profile) {
        nt_fail(reterr, ENFORCE_E_PROFILE, "there is no network profile %s", name);
        return nt_hint(reterr, "there are: minimal, developer, claude-code, codex, opencode, "
                               "enterprise");
    }
    for (const char *const *group = profile->groups; *group; group++) {
        const struct network_group *row = network_group_find(*group);
        if (row && add_group(k, row, reterr) < 0)
            return -1;
    }
    return 0;
}

static int fail_domain(const char *name, const char *source, struct nt_error *reterr)
{
    nt_fail(reterr, NT_E_USAGE, "%s: \"%s\" is not a host, *.suffix, URL or group of hosts",
            strcmp(source, "user") == 0 ? "--allow-domain" : "network.allow_domain", name);
    return nt_hint(reterr, "like api.example.com, *.example.com or https://api.example.com/v1/; "
                           "all hosts: --allow-net");
}

/* A host, "*.suffix", a group, or a URL: with a path it stands for requests below that alone. */
static int add_domain(struct maker *k, const struct profile_domain *domain, const char *source,
                      struct nt_error *reterr)
{
    char text[HOST_MAX], plain[HOST_MAX];
    const char *name = domain->name;
    const struct network_group *group = network_group_find(name);
    if (group && !domain->endpoint_count)
        return add_group(k, group, reterr);
    if (strncmp(name, "https://", 8) == 0)
        name += 8;
    else if (strncmp(name, "http://", 7) == 0)
        name += 7;
    size_t size = name[0] == '[' ? strcspn(name, "]") + 1 : strcspn(name, ":/");
    if (name[0] != '[' && name[size] == ':' && strchr(name + size + 1, ':'))
        size = strlen(name); /* an IPv6 address */
    if (size >= sizeof(text))
        return nt_fail(reterr, NT_E_USAGE, "the domain %.64s… is too long", domain->name);
    memcpy(text, name, size);
    text[size] = '\0';
    if (!host_pattern(text, plain))
        return fail_domain(domain->name, source, reterr);
    if (policy_is_metadata(plain))
        return nt_fail(reterr, NT_E_USAGE, "%s is an address of cloud metadata: nothing opens it",
                       plain);
    name += size;
    if (*name == ':') {
        size_t digits = strspn(name + 1, "0123456789");
        warn(k->owned, "the port in \"%s\" is ignored: a host is allowed with all its ports",
             domain->name);
        name += 1 + digits;
    }
    if (*name && *name != '/')
        return fail_domain(domain->name, source, reterr);
    const char *host = memory_text(k->m, plain);
    /* "/v1/" stands for all that lies there; "/v1" for itself, like a rule. */
    bool is_folder = *name && name[strlen(name) - 1] == '/';
    const struct policy_endpoint below = { "*", memory_format(k->m, "%s%s", name,
                                                              is_folder ? "**" : "") };
    if (!host || !below.path)
        return memory_fail(k->m, reterr);
    if (domain->endpoint_count)
        return add_host(k, host, source, domain->endpoints, domain->endpoint_count, reterr);
    bool is_limited = name[0] == '/' && name[1];
    return add_host(k, host, source, is_limited ? &below : NULL, is_limited, reterr);
}

/* Closed whatever else opens it. */
static int deny_host(struct maker *k, const char *text, const char *source, struct nt_error *reterr)
{
    struct policy *p = k->policy;
    char plain[HOST_MAX];
    if (network_group_find(text))
        return nt_fail(reterr, NT_E_USAGE,
                       "\"%s\" is a group of hosts, and can only be allowed: deny its hosts", text);
    if (!host_pattern(text, plain))
        return nt_fail(reterr, NT_E_USAGE, "\"%s\" to be denied is not a host or *.suffix", text);
    struct policy_host *rows =
        memory_grow(k->m, p->denied_hosts, p->denied_host_count, sizeof(*rows));
    const char *name = memory_text(k->m, plain);
    if (!rows || !name)
        return memory_fail(k->m, reterr);
    p->denied_hosts = rows;
    rows[p->denied_host_count++] = (struct policy_host){ .name = name, .source = source };
    return 0;
}

static int deny_hosts(struct maker *k, struct nt_error *reterr)
{
    const struct policy_texts *typed = &k->request->deny_domains;
    const struct policy_texts *written = &k->profile.lists[PROFILE_DENY_DOMAINS];
    for (size_t i = 0; i < typed->count; i++)
        if (deny_host(k, typed->at[i], "user", reterr) < 0)
            return -1;
    for (size_t i = 0; i < written->count; i++)
        if (deny_host(k, written->at[i], "profile", reterr) < 0)
            return -1;
    return 0;
}

/* --- services -------------------------------------------------------------------------------- */

static struct policy_route *route_of(struct policy *p, const char *name, size_t size)
{
    for (size_t i = 0; i < p->route_count; i++)
        if (strlen(p->routes[i].name) == size && memcmp(p->routes[i].name, name, size) == 0)
            return &p->routes[i];
    return NULL;
}

/* The path of a file that a service needs, like other paths of a profile. */
static int expand_file(struct maker *k, const char *service, const char *key, const char **path,
                       struct nt_error *reterr)
{
    if (!*path)
        return 0;
    const char *missing, *expanded = expand(k->m, &k->places, *path, &missing);
    if (!expanded && !missing)
        return memory_fail(k->m, reterr);
    if (!expanded)
        return nt_fail(reterr, ENFORCE_E_PROFILE, "%s of %s: $%s is not set", key, service,
                       missing);
    if (expanded[0] != '/')
        return nt_fail(reterr, ENFORCE_E_PROFILE, "%s of %s: %s is not an absolute path", key,
                       service, expanded);
    *path = expanded;
    return 0;
}

static int add_service(struct maker *k, const char *name, struct nt_error *reterr)
{
    struct policy *p = k->policy;
    const struct policy_route *service = NULL;
    if (route_of(p, name, strlen(name)))
        return 0;
    for (size_t i = 0; i < k->profile.service_count && !service; i++)
        if (strcmp(k->profile.services[i].name, name) == 0)
            service = &k->profile.services[i];
    if (!service)
        service = network_service_find(name);
    if (!service) {
        nt_fail(reterr, ENFORCE_E_PROFILE, "there is no service %s to give a credential to", name);
        return nt_hint(reterr, "there are openai, anthropic, gemini, google-ai, github, gitlab, "
                               "and those of network.custom_credentials");
    }
    struct policy_route *rows = memory_grow(k->m, p->routes, p->route_count, sizeof(*rows));
    if (!rows)
        return memory_fail(k->m, reterr);
    p->routes = rows;
    rows[p->route_count] = *service;
    /* Endpoints are appended to later: not in the profile's memory. */
    rows[p->route_count].endpoints = NULL;
    rows[p->route_count].endpoint_count = 0;
    struct policy_route *route = &rows[p->route_count++];
    for (size_t i = 0; i < service->endpoint_count; i++) {
        struct policy_endpoint *at =
            memory_grow(k->m, route->endpoints, route->endpoint_count, sizeof(*at));
        if (!at)
            return memory_fail(k->m, reterr);
        route->endpoints = at;
        at[route->endpoint_count++] = service->endpoints[i];
    }
    if (expand_file(k, name, "tls_ca", &route->tls_ca, reterr) < 0
        || expand_file(k, name, "tls_client_cert", &route->tls_certificate, reterr) < 0)
        return -1;
    return expand_file(k, name, "tls_client_key", &route->tls_key, reterr) < 0
               ? -1
               : make_capture(k, route, reterr);
}

/* SERVICE:METHOD:PATH */
static int add_endpoint(struct maker *k, const char *text, struct nt_error *reterr)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-";
    size_t service = strcspn(text, ":");
    const char *method = text[service] ? text + service + 1 : "";
    size_t size = strcspn(method, ":");
    const char *path = method[size] ? method + size + 1 : "";
    bool is_method = size && (strspn(method, letters) == size || (size == 1 && *method == '*'));
    if (!service || !is_method || path[0] != '/')
        return nt_fail(reterr, NT_E_USAGE,
                       "--allow-endpoint %s has not the form SERVICE:METHOD:/path", text);
    struct policy_route *route = route_of(k->policy, text, service);
    if (!route) {
        nt_fail(reterr, NT_E_USAGE, "--allow-endpoint %s: no credential is given to %.*s", text,
                (int)service, text);
        return nt_hint(reterr, "add --credential %.*s", (int)service, text);
    }
    struct policy_endpoint *rows =
        memory_grow(k->m, route->endpoints, route->endpoint_count, sizeof(*rows));
    const char *method_copy = memory_bytes(k->m, method, size);
    const char *path_copy = memory_text(k->m, path);
    if (!rows || !method_copy || !path_copy)
        return memory_fail(k->m, reterr);
    route->endpoints = rows;
    rows[route->endpoint_count++] = (struct policy_endpoint){ method_copy, path_copy };
    /* It limits, also where the profile's policy would carry what it does not name. */
    if (route->others == POLICY_OTHERS_CARRIED)
        route->others = POLICY_OTHERS_REFUSED;
    return 0;
}

/* --- the way out ----------------------------------------------------------------------------- */

static int set_upstream(struct maker *k, const char *text, struct nt_error *reterr)
{
    char host[HOST_MAX], plain[HOST_MAX];
    const char *start = strncmp(text, "http://", 7) == 0 ? text + 7 : text;
    const char *colon = strrchr(start, ':');
    uint64_t port = 0;
    size_t size = colon ? (size_t)(colon - start) : 0;
    struct nt_error ignored = NT_ERROR_INIT;
    if (!size || size >= sizeof(host) || nt_parse_u64(colon + 1, 1, 65535, &port, &ignored) < 0)
        return nt_fail(reterr, NT_E_USAGE, "the upstream proxy \"%s\" has not the form host:port",
                       text);
    memcpy(host, start, size);
    host[size] = '\0';
    if (!host_plain(host, plain) || strchr(plain, '*') || policy_is_metadata(plain))
        return nt_fail(reterr, NT_E_USAGE, "\"%s\" is not the host of a proxy", host);
    k->policy->upstream_proxy = memory_text(k->m, start);
    return k->policy->upstream_proxy ? 0 : memory_fail(k->m, reterr);
}

static int add_bypass(struct maker *k, const char *text, struct nt_error *reterr)
{
    char plain[HOST_MAX];
    if (!host_pattern(text, plain))
        return nt_fail(reterr, NT_E_USAGE, "--upstream-bypass %s is not a host or *.suffix", text);
    return texts_add_new(k->m, &k->policy->upstream_bypass, memory_text(k->m, plain))
               ? 0
               : memory_fail(k->m, reterr);
}

static const char *or_null(const char *text)
{
    return text && *text ? text : NULL;
}

/* A route would carry requests to what is denied. */
static int check_routes(struct maker *k, struct nt_error *reterr)
{
    const struct policy *p = k->policy;
    for (size_t i = 0; i < p->route_count; i++) {
        char host[HOST_MAX];
        bool is_host = host_of_url(p->routes[i].upstream, host, NULL);
        for (size_t j = 0; is_host && j < p->denied_host_count; j++)
            if (host_is_denied_by(p->denied_hosts[j].name, host))
                return nt_fail(reterr, NT_E_USAGE,
                               "the credential of %s goes to %s, which is denied (%s)",
                               p->routes[i].name, host, p->denied_hosts[j].name);
    }
    return 0;
}

static int make_filtered(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    const struct profile *profile = &k->profile;
    const char *named =
        r->network_profile ? r->network_profile : or_null(profile->texts[PROFILE_NETWORK_PROFILE]);
    const char *upstream =
        r->upstream_proxy ? r->upstream_proxy : or_null(profile->texts[PROFILE_UPSTREAM_PROXY]);
    const struct policy_texts *services = &profile->lists[PROFILE_CREDENTIALS];
    const struct policy_texts *bypass = &profile->lists[PROFILE_UPSTREAM_BYPASS];
    for (size_t i = 0; i < r->domains.count; i++) {
        const struct profile_domain domain = { .name = memory_text(k->m, r->domains.at[i]) };
        if (!domain.name || add_domain(k, &domain, "user", reterr) < 0)
            return domain.name ? -1 : memory_fail(k->m, reterr);
    }
    for (size_t i = 0; i < profile->domain_count; i++)
        if (add_domain(k, &profile->domains[i], "profile", reterr) < 0)
            return -1;
    if (named && add_network_profile(k, named, reterr) < 0)
        return -1;
    /* No list stands for every host; one that comes to nothing is something else. */
    if (!k->policy->host_count && (r->domains.count || profile->domain_count || named)) {
        nt_fail(reterr, ENFORCE_E_PROFILE,
                "the domains that were allowed are no host on this machine: the group "
                "package_registries is empty here");
        return nt_hint(
            reterr,
            "put host lists into /etc/nanoterm/hosts.d, name the hosts, or use --block-net");
    }
    for (size_t i = 0; i < r->credentials.count; i++)
        if (add_service(k, r->credentials.at[i], reterr) < 0)
            return -1;
    for (size_t i = 0; i < services->count; i++)
        if (add_service(k, services->at[i], reterr) < 0)
            return -1;
    for (size_t i = 0; i < r->endpoints.count; i++)
        if (add_endpoint(k, r->endpoints.at[i], reterr) < 0)
            return -1;
    if (deny_hosts(k, reterr) < 0 || check_routes(k, reterr) < 0)
        return -1;
    k->policy->no_proxy = profile->lists[PROFILE_NO_PROXY];
    if (upstream && set_upstream(k, upstream, reterr) < 0)
        return -1;
    if (r->upstream_bypass.count && !upstream)
        return nt_fail(reterr, NT_E_USAGE, "--upstream-bypass needs --upstream-proxy");
    for (size_t i = 0; i < r->upstream_bypass.count; i++)
        if (add_bypass(k, r->upstream_bypass.at[i], reterr) < 0)
            return -1;
    for (size_t i = 0; upstream && i < bypass->count; i++)
        if (add_bypass(k, bypass->at[i], reterr) < 0)
            return -1;
    return 0;
}

static int by_first(const void *a, const void *b)
{
    const struct policy_ports *one = a, *other = b;
    return (int)one->first - (int)other->first;
}

/* "first-last", or one port. */
static int read_range(const char *text, struct policy_ports *ret, struct nt_error *reterr)
{
    const char *dash = strchr(text, '-');
    char first_text[8];
    uint64_t first, last;
    size_t size = dash ? (size_t)(dash - text) : strlen(text);
    if (size >= sizeof(first_text))
        return nt_fail(reterr, NT_E_USAGE, "%.64s are no ports", text);
    memcpy(first_text, text, size);
    first_text[size] = '\0';
    if (nt_parse_u64(first_text, 1, 65535, &first, reterr) < 0)
        return -1;
    last = first;
    if (dash && nt_parse_u64(dash + 1, first, 65535, &last, reterr) < 0)
        return -1;
    *ret = (struct policy_ports){ (uint16_t)first, (uint16_t)last };
    return 0;
}

/* Those of the options, the profile's ports and ranges (NULL: it has none); joined where they
 * touch. */
static int add_ports(struct maker *k, const uint16_t *typed, size_t typed_count,
                     enum profile_list ports, const struct policy_texts *ranges,
                     struct policy_ports **ret, size_t *ret_count, struct nt_error *reterr)
{
    const struct policy_texts none = { 0 };
    const struct policy_texts *written[] = { &k->profile.lists[ports], ranges ? ranges : &none };
    size_t max = typed_count + written[0]->count + written[1]->count + 1, count = 0;
    struct policy_ports *all = memory_room(k->m, max * sizeof(*all));
    if (!all)
        return memory_fail(k->m, reterr);
    for (size_t i = 0; i < typed_count; i++) {
        if (typed[i] == 0)
            return nt_fail(reterr, NT_E_USAGE, "port 0 stands for any; name one");
        all[count++] = (struct policy_ports){ typed[i], typed[i] };
    }
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < written[i]->count; j++)
            if (read_range(written[i]->at[j], &all[count++], reterr) < 0)
                return -1;
    qsort(all, count, sizeof(*all), by_first);
    size_t kept = 0;
    for (size_t i = 1; i < count; i++) {
        if (all[i].first > (uint32_t)all[kept].last + 1)
            all[++kept] = all[i];
        else if (all[i].last > all[kept].last)
            all[kept].last = all[i].last;
    }
    *ret = all;
    *ret_count = count ? kept + 1 : 0;
    return 0;
}

/* Ports of other machines: each connection must be looked at, as a port rule of the kernel's opens
 * that port of this machine and of cloud metadata, too. */
static int check_connect_ports(struct maker *k, struct nt_error *reterr)
{
    const struct policy *p = k->policy;
    if (!p->connect_port_count)
        return 0;
    if (k->request->is_wrap) {
        nt_fail(
            reterr, NT_E_USAGE,
            "ports to connect to (--allow-connect-port, network.connect_port) need somebody who "
            "looks at each address, and `wrap` leaves nobody");
        return nt_hint(reterr, "use `run` instead");
    }
    if (p->network == POLICY_NET_OPEN)
        warn(k->owned, "the network is open: ports to connect to (--allow-connect-port, "
                       "network.connect_port) close none; --block-net does");
    return 0;
}

/* linux.isolate: no start without the namespaces that it names. In one of its own for the network
 * only the proxy leads out; ports of this machine would be another way. */
static int check_isolation(struct maker *k, struct nt_error *reterr)
{
    struct policy *p = k->policy;
    p->isolate_network = k->profile.flags & PROFILE_ISOLATE_NETWORK;
    p->isolate_ipc = k->profile.flags & PROFILE_ISOLATE_IPC;
    if ((p->isolate_network || p->isolate_ipc) && k->request->is_wrap) {
        nt_fail(reterr, NT_E_USAGE, "linux.isolate: `wrap` makes no namespaces");
        return nt_hint(reterr, "use `run` instead");
    }
    if (!p->isolate_network)
        return 0;
    if (p->network == POLICY_NET_OPEN) {
        nt_fail(reterr, ENFORCE_E_PROFILE,
                "linux.isolate.network and an open network exclude each other");
        return nt_hint(reterr, "add --block-net, or hosts to be allowed");
    }
    if (p->open_port_count || p->listen_port_count || p->connect_port_count || p->no_proxy.count)
        return nt_fail(reterr, ENFORCE_E_PROFILE,
                       "linux.isolate.network excludes open_port, listen_port, connect_port and "
                       "no_proxy: the proxy is the only way out of it");
    return 0;
}

int make_network(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    const struct profile *profile = &k->profile;
    struct policy *p = k->policy;
    bool typed =
        r->network_profile || r->domains.count || r->credentials.count || r->upstream_proxy;
    bool denies = r->deny_domains.count || profile->lists[PROFILE_DENY_DOMAINS].count;
    bool written = or_null(profile->texts[PROFILE_NETWORK_PROFILE]) || profile->domain_count
                   || profile->lists[PROFILE_CREDENTIALS].count
                   || or_null(profile->texts[PROFILE_UPSTREAM_PROXY]);
    for (size_t i = 0; i < profile->service_count; i++)
        if (profile_check_capture(profile, &profile->services[i], reterr) < 0)
            return -1;
    if (r->block_net && r->allow_net)
        return nt_fail(reterr, NT_E_USAGE, "--block-net and --allow-net exclude each other");
    if (typed && (r->block_net || r->allow_net))
        return nt_fail(reterr, NT_E_USAGE,
                       "--%s-net and options that filter the network exclude each other",
                       r->block_net ? "block" : "allow");
    if (r->allow_net && r->deny_domains.count)
        return nt_fail(reterr, NT_E_USAGE, "--allow-net and --deny-domain exclude each other");
    if (r->endpoints.count && !r->credentials.count && !profile->lists[PROFILE_CREDENTIALS].count)
        return nt_fail(reterr, NT_E_USAGE, "--allow-endpoint needs the --credential it limits");
    if (r->upstream_bypass.count && !r->upstream_proxy
        && !or_null(profile->texts[PROFILE_UPSTREAM_PROXY]))
        return nt_fail(reterr, NT_E_USAGE, "--upstream-bypass needs --upstream-proxy");
    bool is_blocked = r->block_net || (profile->flags & PROFILE_BLOCK && !r->allow_net && !typed);
    if (is_blocked)
        p->network = POLICY_NET_BLOCKED;
    else if (!r->allow_net && (typed || written || denies))
        p->network = POLICY_NET_FILTERED;
    if (p->network == POLICY_NET_FILTERED && r->is_wrap) {
        nt_fail(reterr, NT_E_USAGE,
                "a filtered network needs a proxy beside the program%s%s%s, and "
                "`wrap` leaves none",
                typed ? "" : " (profile ", typed ? "" : profile->name, typed ? "" : ")");
        return nt_hint(reterr, "use `run` instead, or --block-net or --allow-net");
    }
    if (p->network == POLICY_NET_FILTERED && make_filtered(k, reterr) < 0)
        return -1;
    p->proxy_port = r->proxy_port;
    if (add_ports(k, r->open_ports, r->open_port_count, PROFILE_OPEN_PORTS,
                  &profile->lists[PROFILE_OPEN_RANGES], &p->open_ports, &p->open_port_count, reterr)
            < 0
        || add_ports(k, r->listen_ports, r->listen_port_count, PROFILE_LISTEN_PORTS,
                     &profile->lists[PROFILE_LISTEN_RANGES], &p->listen_ports,
                     &p->listen_port_count, reterr)
               < 0
        || add_ports(k, r->connect_ports, r->connect_port_count, PROFILE_CONNECT_PORTS, NULL,
                     &p->connect_ports, &p->connect_port_count, reterr)
               < 0)
        return -1;
    return check_connect_ports(k, reterr) < 0 ? -1 : check_isolation(k, reterr);
}
