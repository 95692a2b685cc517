/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - says yes or no about one path, host or socket, and why. Reads the policy alone: works on
 * one that was made here and on one that was read from a file. */
#include "plugins/sandbox-enforce/policy/policy.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"

/* --- files ----------------------------------------------------------------------------------- */

static bool is_bypassed(const struct policy *p, const char *path)
{
    for (size_t i = 0; i < p->bypasses.count; i++)
        if (path_is_below(path, p->bypasses.at[i]))
            return true;
    return false;
}

static bool is_denied(const struct policy *p, const char *path, struct policy_answer *ret)
{
    bool bypassed = is_bypassed(p, path);
    for (size_t i = 0; i < p->deny_count; i++)
        if (path_is_below(path, p->denies[i].path) && (!bypassed || p->denies[i].is_absolute)) {
            ret->deny = &p->denies[i];
            return true;
        }
    for (size_t i = 0; i < p->pattern_count && !bypassed; i++)
        if (path_is_matched(p->patterns[i].text, path)) {
            ret->pattern = &p->patterns[i];
            return true;
        }
    return false;
}

void policy_ask_canonical(const struct policy *policy, const char *path, uint32_t access,
                          struct policy_answer *ret)
{
    *ret = (struct policy_answer){ .reason = "path_not_granted" };
    if (is_denied(policy, path, ret)) {
        ret->reason = "sensitive_path";
        return;
    }
    uint32_t have = 0;
    size_t longest = 0;
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        if (grant->is_file ? strcmp(path, grant->path) != 0 : !path_is_below(path, grant->path))
            continue;
        have |= grant->access;
        size_t size = strlen(grant->path);
        if (!ret->grant || size >= longest) {
            ret->grant = grant;
            longest = size;
        }
    }
    ret->is_allowed = ret->grant && (have & access) == access;
    if (ret->grant)
        ret->reason = ret->is_allowed ? "granted_path" : "insufficient_access";
}

/* /proc/self is the program's own folder, not that of whoever asks. */
static void own_process(char path[PATH_MAX])
{
    char prefix[32];
    int size = snprintf(prefix, sizeof(prefix), "/proc/%d", (int)getpid());
    if (size < 0 || !path_is_below(path, prefix))
        return;
    const char rest_of[] = "/proc/self";
    size_t had = (size_t)size, rest = strlen(path + had) + 1;
    if (sizeof(rest_of) - 1 + rest > PATH_MAX)
        return;
    memmove(path + sizeof(rest_of) - 1, path + had, rest);
    memcpy(path, rest_of, sizeof(rest_of) - 1);
}

/* Quoted for a shell where that is needed. */
static void add_word(struct nt_buf *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._-+,:@%=";
    if (*word && !word[strspn(word, plain)]) {
        nt_buf_add(b, word);
        return;
    }
    nt_buf_add_char(b, '\'');
    for (; *word; word++)
        if (*word == '\'')
            nt_buf_add(b, "'\\''");
        else
            nt_buf_add_char(b, *word);
    nt_buf_add_char(b, '\'');
}

/* The option that would allow ACCESS to PATH: for the file, for the folder, or for the folder that
 * holds what is not there yet. */
static void suggest(const char *path, uint32_t access, struct policy_answer *ret)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(sizeof(ret->flag) - 1);
    char real[PATH_MAX];
    struct stat st;
    if (ret->deny && ret->deny->is_absolute)
        return; /* no option opens it */
    if (snprintf(real, sizeof(real), "%s", path) >= (int)sizeof(real))
        return;
    bool is_there = lstat(real, &st) == 0;
    if (ret->deny || ret->pattern) {
        nt_buf_add(&b, "--bypass-protection ");
        add_word(&b, path);
        nt_buf_add_char(&b, ' ');
    }
    while (!is_there && strrchr(real, '/') != real) {
        *strrchr(real, '/') = '\0';
        is_there = lstat(real, &st) == 0;
    }
    if (!is_there) {
        real[1] = '\0';
        st.st_mode = S_IFDIR;
    }
    nt_buf_add(&b, access == POLICY_BOTH    ? "--allow"
                   : access == POLICY_WRITE ? "--write"
                                            : "--read");
    nt_buf_add(&b, S_ISDIR(st.st_mode) ? " " : "-file ");
    add_word(&b, real);
    if (nt_buf_ok(&b))
        memcpy(ret->flag, nt_buf_text(&b), b.size + 1);
}

/* Canonical, from the working folder. false: too long for any call. */
static bool resolve(const struct policy *policy, const char *path, char ret[PATH_MAX])
{
    char whole[PATH_MAX];
    int size = path[0] == '/' ? snprintf(whole, sizeof(whole), "%s", path)
                              : snprintf(whole, sizeof(whole), "%s/%s", policy->workdir, path);
    return size >= 0 && (size_t)size < sizeof(whole) && path_resolve_into(whole, ret);
}

void policy_ask_path(const struct policy *policy, const char *path, uint32_t access,
                     struct policy_answer *ret)
{
    char real[PATH_MAX];
    if (!resolve(policy, path, real)) {
        *ret = (struct policy_answer){ .reason = "path_not_granted" };
        return;
    }
    own_process(real);
    policy_ask_canonical(policy, real, access, ret);
    if (!ret->is_allowed)
        suggest(real, access, ret);
}

bool policy_is_driven(const struct policy_grant *grant)
{
    return grant->access & POLICY_WRITE && strncmp(grant->path, "/dev/", 5) == 0;
}

/* --- sockets --------------------------------------------------------------------------------- */

static bool opens_sockets(const struct policy *policy, const struct policy_grant *grant)
{
    return policy->network == POLICY_NET_OPEN && !policy->unix_by_grant
           && grant->access & POLICY_WRITE;
}

static bool is_named(const struct policy_grant *grant)
{
    return !strcmp(grant->source, "user") || !strcmp(grant->source, "profile");
}

bool policy_ask_unix(const struct policy *policy, const char *path, bool is_bind)
{
    struct policy_answer answer = { 0 };
    const char *slash = strrchr(path, '/');
    if (path[0] != '/' || is_denied(policy, path, &answer))
        return false;
    size_t folder = slash == path ? 1 : (size_t)(slash - path);
    for (size_t i = 0; i < policy->unix_count; i++) {
        const struct policy_unix *row = &policy->unix_grants[i];
        bool is_it = row->is_tree ? strcmp(row->path, path) != 0 && path_is_below(path, row->path)
                     : row->is_folder
                         ? strlen(row->path) == folder && strncmp(row->path, path, folder) == 0
                         : strcmp(row->path, path) == 0;
        if (is_it && (row->may_bind || !is_bind))
            return true;
    }
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        bool covers =
            grant->is_file ? strcmp(path, grant->path) == 0 : path_is_below(path, grant->path);
        if (covers && opens_sockets(policy, grant) && (is_bind || is_named(grant)))
            return true;
    }
    return false;
}

bool policy_covers_sockets(const struct policy *policy, const char *folder)
{
    for (size_t i = 0; i < policy->unix_count; i++)
        if (policy->unix_grants[i].is_tree && path_is_below(folder, policy->unix_grants[i].path))
            return true;
    for (size_t i = 0; i < policy->grant_count; i++)
        if (opens_sockets(policy, &policy->grants[i]) && is_named(&policy->grants[i])
            && !policy->grants[i].is_file && path_is_below(folder, policy->grants[i].path))
            return true;
    return false;
}

void policy_ask_socket(const struct policy *policy, const char *path, bool is_bind,
                       struct policy_answer *ret)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(sizeof(ret->flag) - 1);
    char real[PATH_MAX];
    *ret = (struct policy_answer){ .reason = "path_not_granted" };
    if (!resolve(policy, path, real))
        return;
    ret->is_allowed = policy_ask_unix(policy, real, is_bind);
    if (ret->is_allowed) {
        ret->reason = "granted_path";
        return;
    }
    if (is_denied(policy, real, ret)) {
        ret->reason = "sensitive_path";
        if (ret->deny && ret->deny->is_absolute)
            return; /* no option opens it */
        nt_buf_add(&b, "--bypass-protection ");
        add_word(&b, real);
        nt_buf_add_char(&b, ' ');
    }
    nt_buf_add(&b, is_bind ? "--allow-unix-socket-bind " : "--allow-unix-socket ");
    add_word(&b, real);
    if (nt_buf_ok(&b))
        memcpy(ret->flag, nt_buf_text(&b), b.size + 1);
}

/* --- network --------------------------------------------------------------------------------- */

bool policy_has_port(const struct policy_ports *ports, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++)
        if (ports[i].first <= port && port <= ports[i].last)
            return true;
    return false;
}

bool policy_ask_connect(const struct policy *policy, const char *address, uint16_t port)
{
    return policy->network != POLICY_NET_OPEN
           && policy_has_port(policy->connect_ports, policy->connect_port_count, port)
           && host_is_elsewhere(address);
}

static bool is_host_of(const char *url, const char *name)
{
    char host[HOST_MAX];
    return host_of_url(url, host, NULL) && strcmp(host, name) == 0;
}

const struct policy_host *policy_denied_host(const struct policy *policy, const char *host)
{
    char name[HOST_MAX];
    if (host_plain(host, name))
        for (size_t i = 0; i < policy->denied_host_count; i++)
            if (host_is_denied_by(policy->denied_hosts[i].name, name))
                return &policy->denied_hosts[i];
    return NULL;
}

static void ask_filtered(const struct policy *policy, const char *name, uint16_t port,
                         struct policy_answer *ret)
{
    ret->reason = "proxy_filtered";
    ret->host = policy_denied_host(policy, name);
    if (ret->host)
        return;
    ret->is_open = policy->host_count == 0;
    for (size_t i = 0; i < policy->host_count; i++) {
        const struct policy_host *host = &policy->hosts[i];
        if (!host_matches(host->name, name))
            continue;
        /* The nearest entry limits it: one for the name itself before one for all below. */
        if (host->endpoint_count
            && (!ret->limited || strlen(host->name) >= strlen(ret->limited->name)))
            ret->limited = host;
        if (!host->endpoint_count && !ret->host)
            ret->host = host;
    }
    ret->is_open |= ret->host != NULL;
    /* An empty list means the world, not the services of this machine. */
    if (ret->limited || (!ret->host && host_is_loopback(name)))
        ret->is_open = false;
    /* A tunnel to where credentials go would be a way past the rules of their route, and one to a
     * host with endpoints a way past those. */
    for (size_t i = 0; i < policy->route_count; i++)
        if (is_host_of(policy->routes[i].upstream, name)) {
            ret->route = &policy->routes[i];
            ret->reason = "endpoint_restricted";
            return;
        }
    if (ret->limited) {
        ret->host = ret->limited;
        ret->reason = "endpoint_restricted";
        return;
    }
    if (ret->is_open) {
        ret->is_allowed = true;
        ret->reason = "proxy_allowed";
        return;
    }
    if (host_is_loopback(name))
        snprintf(ret->flag, sizeof(ret->flag), "--open-port %u", port);
    else
        snprintf(ret->flag, sizeof(ret->flag), "--allow-domain %s", name);
}

void policy_ask_host(const struct policy *policy, const char *host, uint16_t port,
                     struct policy_answer *ret)
{
    char name[HOST_MAX];
    *ret = (struct policy_answer){ .reason = "network_blocked" };
    bool is_plain = host_plain(host, name);
    if (policy->network == POLICY_NET_OPEN) {
        ret->is_allowed = true;
        ret->reason = "network_allowed";
        return;
    }
    if (is_plain && host_is_loopback(name)
        && policy_has_port(policy->open_ports, policy->open_port_count, port)) {
        ret->is_allowed = true;
        ret->reason = "network_allowed";
        return;
    }
    if (policy->network == POLICY_NET_BLOCKED) {
        bool is_local = is_plain && host_is_loopback(name);
        if (is_local)
            snprintf(ret->flag, sizeof(ret->flag), "--open-port %u", port);
        else
            snprintf(ret->flag, sizeof(ret->flag), "--allow-net");
        return;
    }
    ret->reason = "proxy_filtered";
    if (is_plain && !host_shut_why(name))
        ask_filtered(policy, name, port, ret);
}

void policy_ask_network(const struct policy *policy, const char *host, uint16_t port,
                        struct policy_answer *ret)
{
    policy_ask_host(policy, host, port, ret);
    if (ret->is_allowed || !policy_ask_connect(policy, host, port))
        return;
    ret->is_allowed = true;
    ret->reason = "network_allowed";
    ret->flag[0] = '\0';
}
