/* SPDX-License-Identifier: Apache-2.0 */
/* routes.c - the routes of a proxy: what is read at the start of credentials and certificates, and
 * told when it cannot be. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

void routes_wipe(struct proxy *p)
{
    for (size_t i = 0; i < p->route_count; i++) {
        secret_done(&p->routes[i].secret);
        secret_done(&p->routes[i].tls_key);
        secret_done(&p->routes[i].client_id);
        secret_done(&p->routes[i].client_secret);
        aws_keys_done(&p->routes[i].aws);
        oauth_wipe(p->routes[i].oauth);
        capture_wipe(p->routes[i].capture);
    }
}

void routes_done(struct proxy *p)
{
    routes_wipe(p);
    for (size_t i = 0; i < p->route_count; i++) {
        free(p->routes[i].memory);
        free(p->routes[i].authority);
        free(p->routes[i].certificates);
        oauth_free(p->routes[i].oauth);
        capture_free(p->routes[i].capture);
    }
    free(p->routes);
}

/* "host", or "host:port" where that is not the usual one. Malloc'ed. */
char *routes_authority(const struct net_address *to)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024);
    nt_buf_addf(&b, strchr(to->host, ':') ? "[%s]" : "%s", to->host);
    if (to->port != (to->kind == NET_HTTPS ? 443 : 80))
        nt_buf_addf(&b, ":%u", (unsigned)to->port);
    return nt_buf_take(&b);
}

static int route_init(struct route *r, const struct policy_route *policy, struct nt_error *reterr)
{
    size_t size = strlen(policy->upstream) + 2;
    r->policy = policy;
    r->memory = malloc(size);
    if (!r->memory)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a route");
    if (net_parse_url(policy->upstream, r->memory, size, &r->to, &r->base, reterr) < 0)
        return nt_wrap(reterr, "upstream of %s", policy->name);
    r->to.authorities = policy->tls_ca;
    r->authority = routes_authority(&r->to);
    return r->authority ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory for a route");
}

/* --- what is told --------------------------------------------------------------------------- */

/* Now, not at the first request: who started the program may still be looking. */
static void warn(const struct proxy_options *o, const struct route *r, const char *what,
                 const struct nt_error *why)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(4096);
    if (!o->warn)
        return;
    nt_buf_addf(&line, "the %s of ", what);
    nt_buf_add_printable(&line, r->policy->name, false);
    nt_buf_add(&line, " cannot be read: ");
    nt_buf_add_printable(&line, why->message, false);
    if (why->hint[0]) {
        nt_buf_add(&line, " (");
        nt_buf_add_printable(&line, why->hint, false);
        nt_buf_add(&line, ")");
    }
    nt_buf_add(&line, "; its requests are refused with 503");
    o->warn(o->data, nt_buf_text(&line));
}

/* Its key works, but is not one that only its owner has. */
static void warn_of_readers(const struct proxy_options *o, const struct route *r)
{
    struct stat st;
    struct policy_answer answer;
    const char *path = r->policy->tls_key, *who = NULL;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(2 * 4096);
    policy_ask_path(o->policy, path, POLICY_READ, &answer);
    if (answer.is_allowed)
        who = "the program itself can read it: it lies in what is granted";
    else if (stat(path, &st) == 0 && st.st_mode & (S_IRGRP | S_IROTH))
        who = "others on this machine can read it (chmod go= it)";
    if (!who || !o->warn)
        return;
    nt_buf_add(&line, "the client key of ");
    nt_buf_add_printable(&line, r->policy->name, false);
    nt_buf_add(&line, ", ");
    nt_buf_add_printable(&line, path, false);
    nt_buf_addf(&line, ", is no secret: %s", who);
    o->warn(o->data, nt_buf_text(&line));
}

/* --- what is read --------------------------------------------------------------------------- */

/* Of a route before it with the same reference: neither a keyring nor op is asked twice. */
static const struct secret *find_same(const struct proxy *p, const struct route *r,
                                      const char *reference, const char **ret_name)
{
    for (const struct route *other = p->routes; other < r; other++) {
        const struct policy_auth *auth = other->policy->auth;
        const struct {
            const char *reference;
            const struct secret *secret;
        } all[] = { { other->policy->key, &other->secret },
                    { auth ? auth->client_id : NULL, &other->client_id },
                    { auth ? auth->client_secret : NULL, &other->client_secret } };
        *ret_name = other->policy->name;
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
            if (all[i].reference && strcmp(all[i].reference, reference) == 0)
                return all[i].secret;
    }
    return NULL;
}

/* One that cannot be read costs its route only. */
static void read_secret(const struct proxy *p, struct route *r, const char *reference,
                        const char *what, struct secret *ret, const struct proxy_options *o)
{
    struct nt_error e = NT_ERROR_INIT;
    const char *name = NULL;
    char *text = NULL;
    const struct secret *same = find_same(p, r, reference, &name);
    int result;
    if (!same)
        result = secret_read(p->policy, reference, &text, &e);
    else
        result = same->text
                     ? 0
                     : nt_fail(&e, ENFORCE_E_CREDENTIAL, "it is the same as that of %s", name);
    if (result < 0 || secret_keep(ret, same ? same->text : text, &e) < 0) {
        warn(o, r, what, &e);
        r->broken = "its credential could not be read";
    }
    secret_free(text);
}

static void read_aws(struct route *r, const struct proxy_options *o)
{
    struct nt_error e = NT_ERROR_INIT;
    if (aws_keys_read(r->policy->aws, &r->aws, &e) == 0)
        return;
    warn(o, r, "AWS key", &e);
    r->broken = "its AWS keys could not be read";
}

static int read_credentials(struct proxy *p, struct route *r, const struct proxy_options *o,
                            struct nt_error *reterr)
{
    const struct policy_auth *auth = r->policy->auth;
    if (r->policy->capture)
        return capture_new(p, r, o->captures ? o->captures[r - p->routes] : NULL, o->session,
                           &r->capture, reterr);
    if (r->policy->aws)
        read_aws(r, o);
    if (r->policy->key)
        read_secret(p, r, r->policy->key, "credential", &r->secret, o);
    if (!auth)
        return 0;
    if (strstr(auth->client_id, "://"))
        read_secret(p, r, auth->client_id, "client id", &r->client_id, o);
    else if (secret_keep(&r->client_id, auth->client_id, reterr) < 0)
        return -1;
    read_secret(p, r, auth->client_secret, "client secret", &r->client_secret, o);
    return oauth_new(p, r, &r->oauth, reterr);
}

/* Texts as libcurl takes them; a key that asks for a password would never be opened. */
static int check_pem(const struct route *r, const char *key, struct nt_error *reterr)
{
    if (!strstr(r->certificates, "-----BEGIN CERTIFICATE-----"))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s has no certificate in PEM",
                       r->policy->tls_certificate);
    if (!strstr(key, "PRIVATE KEY-----"))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s has no key in PEM", r->policy->tls_key);
    if (strstr(key, "ENCRYPTED"))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s has a password", r->policy->tls_key);
    return 0;
}

/* Once, like a credential: what was checked is what is used. */
static void read_identity(struct route *r, const struct proxy_options *o)
{
    struct nt_error e = NT_ERROR_INIT;
    char *key = NULL;
    if (!r->policy->tls_certificate)
        return;
    if (secret_of_file(r->policy->tls_certificate, &r->certificates, &e) < 0
        || secret_of_file(r->policy->tls_key, &key, &e) < 0 || check_pem(r, key, &e) < 0
        || secret_keep(&r->tls_key, key, &e) < 0) {
        warn(o, r, "client certificate", &e);
        r->broken = "its client certificate could not be read";
    } else {
        warn_of_readers(o, r);
    }
    secret_free(key);
    r->identity = (struct net_identity){ .name = r->policy->name,
                                         .certificates = r->certificates,
                                         .key = r->tls_key.text };
    r->to.identity = &r->identity;
}

int routes_init(struct proxy *p, const struct proxy_options *o, struct nt_error *reterr)
{
    for (size_t i = 0; i < p->policy->route_count; i++) {
        p->route_count++;
        if (route_init(&p->routes[i], &p->policy->routes[i], reterr) < 0)
            return -1;
        read_identity(&p->routes[i], o);
        if (read_credentials(p, &p->routes[i], o, reterr) < 0)
            return -1;
    }
    return 0;
}
