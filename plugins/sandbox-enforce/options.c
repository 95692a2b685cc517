/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - flags, older spellings and nono's variables to one request; which of them exclude
 * each other, and which belong to a later version. */
#include "options.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/errors.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define TEXTS_MAX 4096u /* of one option, from a variable */

/* Memory of one struct options, freed as a whole. */
struct block {
    struct block *next;
    char data[];
};

struct reader {
    struct nt_call *call;
    const struct nt_host *host;
    struct options *o;
    bool is_nono; /* its variables count */
    bool has_failed;
};

/* --- memory -------------------------------------------------------------------------------- */

static void *room(struct reader *r, size_t size)
{
    struct block *block = calloc(1, sizeof(*block) + size);
    if (!block) {
        r->has_failed = true;
        return NULL;
    }
    block->next = r->o->memory;
    r->o->memory = block;
    return block->data;
}

void options_done(struct options *o)
{
    for (struct block *block = o->memory, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *o = (struct options){ .memory = NULL };
}

/* --- variables ----------------------------------------------------------------------------- */

int options_bool(const char *text)
{
    static const char *const yes[] = { "true", "yes", "on", "y", "t", "1" };
    static const char *const no[] = { "false", "no", "off", "n", "f", "0" };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return 1;
        if (strcasecmp(text, no[i]) == 0)
            return 0;
    }
    return -1;
}

static void warn_old(struct reader *r, const char *old, const char *now, const char *dashes)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(512);
    nt_buf_addf(&line, "%s%s is an older name of %s%s", dashes, old, dashes, now);
    if (!r->o->is_silent)
        r->host->message(r->call, NT_SAY_WARN, nt_buf_text(&line));
}

/* The value of NAME, else of OLD (which gives a warning); NULL: not set, empty, or not nono. */
static const char *variable(struct reader *r, const char *name, const char *old)
{
    if (!r->is_nono || !name)
        return NULL;
    const char *text = getenv(name);
    if (text && *text)
        return text;
    text = old ? getenv(old) : NULL;
    if (!text || !*text)
        return NULL;
    warn_old(r, old, name, "");
    return text;
}

/* --- lists --------------------------------------------------------------------------------- */

/* a,b,c without empty ones. */
static void split(struct reader *r, const char *text, struct policy_texts *ret)
{
    size_t size = strlen(text) + 1, count = 1;
    for (const char *at = text; *at; at++)
        count += *at == ',';
    char *copy = room(r, size);
    const char **list = count <= TEXTS_MAX ? room(r, count * sizeof(*list)) : NULL;
    if (!copy || !list) {
        r->has_failed = true;
        return;
    }
    memcpy(copy, text, size);
    size_t used = 0;
    for (char *next, *at = copy; at; at = next) {
        next = strchr(at, ',');
        if (next)
            *next++ = '\0';
        if (*at)
            list[used++] = at;
    }
    *ret = (struct policy_texts){ list, used };
}

struct list_row {
    const char *name, *old, *old2;       /* options */
    const char *variable, *old_variable; /* comma lists; NULL: none */
    size_t member;                       /* of struct policy_request */
};
#define LIST(member_) offsetof(struct policy_request, member_)
static const struct list_row lists[] = {
    { "allow", NULL, NULL, "NONO_ALLOW", NULL, LIST(allow) },
    { "read", NULL, NULL, NULL, NULL, LIST(read) },
    { "write", NULL, NULL, NULL, NULL, LIST(write) },
    { "allow-file", NULL, NULL, NULL, NULL, LIST(allow_file) },
    { "read-file", NULL, NULL, NULL, NULL, LIST(read_file) },
    { "write-file", NULL, NULL, NULL, NULL, LIST(write_file) },
    { "allow-unix-socket", NULL, NULL, NULL, NULL, LIST(unix_socket) },
    { "allow-unix-socket-bind", NULL, NULL, NULL, NULL, LIST(unix_socket_bind) },
    { "allow-unix-socket-dir", NULL, NULL, NULL, NULL, LIST(unix_socket_dir) },
    { "allow-unix-socket-dir-bind", NULL, NULL, NULL, NULL, LIST(unix_socket_dir_bind) },
    { "allow-unix-socket-subtree", NULL, NULL, NULL, NULL, LIST(unix_socket_subtree) },
    { "allow-unix-socket-subtree-bind", NULL, NULL, NULL, NULL, LIST(unix_socket_subtree_bind) },
    { "bypass-protection", "override-deny", NULL, NULL, NULL, LIST(bypass) },
    { "allow-command", NULL, NULL, NULL, NULL, LIST(allow_command) },
    { "block-command", NULL, NULL, NULL, NULL, LIST(block_command) },
    { "allow-domain", "allow-proxy", "proxy-allow", "NONO_ALLOW_DOMAIN", "NONO_ALLOW_PROXY",
      LIST(domains) },
    { "credential", "proxy-credential", NULL, "NONO_CREDENTIAL", "NONO_PROXY_CREDENTIAL",
      LIST(credentials) },
    { "allow-endpoint", NULL, NULL, NULL, NULL, LIST(endpoints) },
    { "deny-domain", NULL, NULL, "NONO_DENY_DOMAIN", NULL, LIST(deny_domains) },
    { "upstream-bypass", "external-proxy-bypass", NULL, "NONO_UPSTREAM_BYPASS",
      "NONO_EXTERNAL_PROXY_BYPASS", LIST(upstream_bypass) },
    { "env-credential-map", NULL, NULL, NULL, NULL, LIST(env_credential_map) },
};

/* Takes the values of an option with its older spellings: those last. */
static void take(struct reader *r, const char *const names[3], struct policy_texts *ret)
{
    size_t count = 0, used = 0;
    for (size_t i = 0; i < 3; i++)
        count += names[i] ? r->host->count(r->call, names[i]) : 0;
    const char **list = count ? room(r, count * sizeof(*list)) : NULL;
    for (size_t i = 0; list && i < 3; i++) {
        uint32_t given = names[i] ? r->host->count(r->call, names[i]) : 0;
        if (given && i)
            warn_old(r, names[i], names[0], "--");
        for (uint32_t j = 0; j < given; j++)
            list[used++] = r->host->text_at(r->call, names[i], j);
    }
    *ret = (struct policy_texts){ list, used };
}

static void read_lists(struct reader *r)
{
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const struct list_row *row = &lists[i];
        const char *const names[3] = { row->name, row->old, row->old2 };
        struct policy_texts list = { NULL, 0 };
        take(r, names, &list);
        const char *text = list.count ? NULL : variable(r, row->variable, row->old_variable);
        if (text)
            split(r, text, &list);
        memcpy((char *)&r->o->request + row->member, &list, sizeof(list));
    }
    take(r, (const char *const[3]){ "accept-weaker", NULL, NULL }, &r->o->weaker);
    take(r, (const char *const[3]){ "command", NULL, NULL }, &r->o->program);
}

static void read_ports(struct reader *r, const char *name, const char *old, const char *old2,
                       const uint16_t **ret, size_t *ret_count, struct nt_error *reterr)
{
    const char *const names[3] = { name, old, old2 };
    struct policy_texts list = { NULL, 0 };
    take(r, names, &list);
    uint16_t *ports = list.count ? room(r, list.count * sizeof(*ports)) : NULL;
    for (size_t i = 0; ports && i < list.count; i++) {
        uint64_t port;
        if (nt_parse_u64(list.at[i], 1, 65535, &port, reterr) < 0) {
            nt_wrap(reterr, "--%s", name);
            return;
        }
        ports[i] = (uint16_t)port;
    }
    *ret = ports;
    *ret_count = ports ? list.count : 0;
}

/* --- single values ------------------------------------------------------------------------- */

static const char *read_text(struct reader *r, const char *name, const char *old, const char *var,
                             const char *old_var)
{
    const char *text = r->host->text(r->call, name);
    if (!text && old && r->host->count(r->call, old)) {
        warn_old(r, old, name, "--");
        text = r->host->text(r->call, old);
    }
    return text ? text : variable(r, var, old_var);
}

/* A flag that was given, else a variable with a boolean; -1: that is none. */
static int read_flag(struct reader *r, const char *name, const char *old, const char *var,
                     const char *old_var, bool *ret, struct nt_error *reterr)
{
    *ret = r->host->number(r->call, name) != 0;
    if (!*ret && old && r->host->number(r->call, old)) {
        warn_old(r, old, name, "--");
        *ret = true;
    }
    const char *text = *ret ? NULL : variable(r, var, old_var);
    int on = text ? options_bool(text) : 0;
    if (on < 0)
        return nt_fail(reterr, NT_E_USAGE, "%s: '%.60s' is neither true nor false", var, text);
    *ret = *ret || on;
    return 0;
}

static int read_values(struct reader *r, struct nt_error *reterr)
{
    struct options *o = r->o;
    struct policy_request *q = &o->request;
    const char *empty = r->is_nono ? getenv("NONO_PROFILE") : NULL;
    q->profile = read_text(r, "profile", NULL, "NONO_PROFILE", NULL);
    if (!q->profile && empty)
        return nt_fail(reterr, NT_E_USAGE, "NONO_PROFILE is empty");
    /* In a script, "$PROFILE" that is not set: not the same as no profile. */
    const char *given = r->host->text(r->call, "profile");
    if (given && !*given)
        return nt_fail(reterr, NT_E_USAGE, "--profile is empty");
    q->config = read_text(r, "config", NULL, NULL, NULL);
    q->network_profile = read_text(r, "network-profile", NULL, "NONO_NETWORK_PROFILE", NULL);
    q->upstream_proxy = read_text(r, "upstream-proxy", "external-proxy", "NONO_UPSTREAM_PROXY",
                                  "NONO_EXTERNAL_PROXY");
    q->env_credential = read_text(r, "env-credential", NULL, "NONO_ENV_CREDENTIAL", NULL);
    q->workdir = read_text(r, "workdir", NULL, NULL, NULL);
    q->proxy_port = (uint16_t)r->host->number(r->call, "proxy-port");
    q->allow_cwd = r->host->number(r->call, "allow-cwd") != 0;
    q->allow_gpu = r->host->number(r->call, "allow-gpu") != 0;
    const char *days = variable(r, "NONO_PROXY_CA_VALIDITY", NULL);
    uint64_t count = 0;
    if (days && nt_parse_u64(days, 1, 365, &count, reterr) < 0)
        return nt_wrap(reterr, "NONO_PROXY_CA_VALIDITY (days)");
    q->ca_days = (uint32_t)count;
    o->shell = read_text(r, "shell", NULL, NULL, NULL);
    o->theme = read_text(r, "theme", NULL, "NONO_THEME", NULL);
    int64_t verbosity = r->host->number(r->call, "verbose");
    o->verbosity = verbosity > 3 ? 3 : (uint32_t)verbosity;
    o->is_dry_run = r->host->number(r->call, "dry-run") != 0;
    o->is_diagnosed = r->host->number(r->call, "diagnose") != 0;
    o->no_diagnostics = r->host->number(r->call, "no-diagnostics") != 0;
    if (read_flag(r, "block-net", "net-block", "NONO_BLOCK_NET", "NONO_NET_BLOCK", &q->block_net,
                  reterr)
            < 0
        || read_flag(r, "allow-net", "net-allow", "NONO_ALLOW_NET", "NONO_NET_ALLOW", &q->allow_net,
                     reterr)
               < 0)
        return -1;
    reterr->code = 0;
    read_ports(r, "listen-port", "allow-bind", NULL, &q->listen_ports, &q->listen_port_count,
               reterr);
    if (!reterr->code)
        read_ports(r, "open-port", "allow-port", NULL, &q->open_ports, &q->open_port_count, reterr);
    if (!reterr->code)
        read_ports(r, "allow-connect-port", NULL, NULL, &q->connect_ports, &q->connect_port_count,
                   reterr);
    return reterr->code ? -1 : 0;
}

/* --- what does not go together ------------------------------------------------------------- */

static int fail_pair(const char *a, const char *b, struct nt_error *reterr)
{
    return nt_fail(reterr, NT_E_USAGE, "--%s and --%s exclude each other", a, b);
}

/* The parser has checked the flags; here those count that came from variables, too. */
static int check_conflicts(const struct policy_request *q, struct nt_error *reterr)
{
    const struct {
        const char *name;
        bool is_given, is_upstream;
    } filters[] = {
        { "network-profile", q->network_profile != NULL, false },
        { "allow-domain", q->domains.count > 0, false },
        { "credential", q->credentials.count > 0, false },
        { "upstream-proxy", q->upstream_proxy != NULL, true },
        { "upstream-bypass", q->upstream_bypass.count > 0, true },
        { "deny-domain", q->deny_domains.count > 0, true },
    };
    if (q->block_net && q->allow_net)
        return fail_pair("block-net", "allow-net", reterr);
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        if (!filters[i].is_given)
            continue;
        if (q->allow_net)
            return fail_pair("allow-net", filters[i].name, reterr);
        if (q->block_net && !filters[i].is_upstream)
            return fail_pair("block-net", filters[i].name, reterr);
    }
    if (q->upstream_bypass.count && !q->upstream_proxy && !q->profile)
        return nt_fail(reterr, NT_E_USAGE, "--upstream-bypass needs --upstream-proxy");
    for (size_t i = 0; i < q->endpoints.count; i++) {
        size_t length = strcspn(q->endpoints.at[i], ":");
        if (!q->endpoints.at[i][length])
            return nt_fail(reterr, NT_E_USAGE,
                           "--allow-endpoint %.80s has not the form SERVICE:METHOD:/path",
                           q->endpoints.at[i]);
        bool is_named = false;
        for (size_t j = 0; j < q->credentials.count; j++)
            is_named = is_named
                       || (strlen(q->credentials.at[j]) == length
                           && memcmp(q->credentials.at[j], q->endpoints.at[i], length) == 0);
        if (!is_named && !q->profile)
            return nt_fail(reterr, NT_E_USAGE, "--allow-endpoint %.80s needs --credential %.*s",
                           q->endpoints.at[i], (int)(length < 60 ? length : 60),
                           q->endpoints.at[i]);
    }
    return 0;
}

/* The flags of later versions: refused, so that nobody relies on what is not there. */
static int check_built(struct reader *r, struct nt_error *reterr)
{
    static const char *const later[] = { "detached",         "name",
                                         "rollback",         "rollback-all",
                                         "rollback-exclude", "rollback-include",
                                         "audit-integrity",  "no-audit-integrity",
                                         "audit-sign-key",   "capability-elevation" };
    bool elevation;
    if (read_flag(r, "capability-elevation", NULL, "NONO_CAPABILITY_ELEVATION", NULL, &elevation,
                  reterr)
        < 0)
        return -1;
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
        if (r->host->count(r->call, later[i])
            || (elevation && strcmp(later[i], "capability-elevation") == 0))
            return nt_fail(reterr, ENFORCE_E_NOT_BUILT, "--%s is not built yet", later[i]);
    if (r->host->number(r->call, "allow-launch-services"))
        return nt_fail(reterr, NT_E_UNSUPPORTED,
                       "--allow-launch-services is of another system: there is nothing like it on "
                       "Linux");
    return 0;
}

int options_read(struct nt_call *call, struct options *ret, struct nt_error *reterr)
{
    *ret = (struct options){ .memory = NULL };
    bool trust_override;
    struct reader r = {
        .call = call, .host = call->host, .o = ret, .is_nono = call->personality == NT_AS_NONO
    };
    ret->is_silent = call->host->number(call, "silent") != 0;
    read_lists(&r);
    int result = read_values(&r, reterr);
    if (result == 0)
        result = read_flag(&r, "trust-override", NULL, "NONO_TRUST_OVERRIDE", NULL, &trust_override,
                           reterr);
    if (result == 0)
        result = check_conflicts(&ret->request, reterr);
    if (result == 0)
        result = check_built(&r, reterr);
    if (result == 0 && r.has_failed)
        result = nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (result < 0)
        options_done(ret);
    return result;
}
