/* SPDX-License-Identifier: Apache-2.0 */
/* why.c - `why`: would this path or this host be allowed, and by which rule? Asks the policy that
 * the same options would make, or (--self) the one that this very process lives under. */
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/explain/cap_file.h"
#include "plugins/sandbox-enforce/options.h"
#include "plugins/sandbox-enforce/policy/hosts.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

static void policy_freep(struct policy **policy)
{
    policy_free(*policy);
}

static const char *access_name(uint32_t access)
{
    return access == POLICY_BOTH ? "read+write" : access == POLICY_WRITE ? "write" : "read";
}

static int emit(struct nt_call *call, json_t *object, struct nt_error *reterr)
{
    nt_autofree char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "no memory");
    return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
}

/* A key with a text; left out when there is none. */
static void put(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(object, key, json_string(text));
}

static json_t *answer_of(const struct policy_answer *a, const char *target, const char *message)
{
    json_t *object = json_pack("{s:s, s:s, s:s}", "status", a->is_allowed ? "allowed" : "denied",
                               "reason", a->reason, "target", target);
    if (!object)
        return NULL;
    put(object, "message", message);
    if (a->deny) {
        put(object, "category", a->deny->about);
        put(object, "policy_source", a->deny->source);
        put(object, "details", a->deny->path);
    }
    if (a->host)
        put(object, "policy_source", a->host->source);
    if (a->grant) {
        const char *access = access_name(a->grant->access);
        put(object, "granted_path", a->grant->path);
        put(object, "access", access);
        put(object, "source", a->grant->source);
        json_object_set_new(object, "matching_capability",
                            json_pack("{s:s, s:s, s:s}", "path", a->grant->path, "access", access,
                                      "source", a->grant->source));
    }
    put(object, "suggested_flag", a->is_allowed ? NULL : a->flag);
    return object;
}

/* What a person reads. SHUT: why nothing opens it; NULL: something may. */
static void message_of(const struct policy_answer *a, const char *act, const char *target,
                       const char *shut, struct nt_buf *ret)
{
    nt_buf_addf(ret, "%s %s is %s", act, target, a->is_allowed ? "allowed" : "denied");
    if (a->is_allowed && a->grant)
        nt_buf_addf(ret, " by the grant of %s (%s)", a->grant->path, a->grant->source);
    else if (a->is_allowed && a->host)
        nt_buf_addf(ret, " by %s (%s)", a->host->name, a->host->source);
    else if (a->deny)
        nt_buf_addf(ret, ": %s (%s)", a->deny->about ? a->deny->about : a->deny->path,
                    a->deny->source);
    else if (a->grant)
        nt_buf_addf(ret, ": the grant of %s is for %s only", a->grant->path,
                    access_name(a->grant->access));
    else if (a->route && strncmp(a->route->upstream, "https:", 6) == 0)
        nt_buf_addf(ret,
                    " but for requests to %s with the token of %s: its TLS ends at the proxy, "
                    "which puts the credential in",
                    a->route->upstream, a->route->name);
    else if (a->route)
        nt_buf_addf(ret, ": only the proxy itself talks to it, for requests to /%s of its own",
                    a->route->name);
    else if (a->limited)
        nt_buf_addf(ret,
                    " but for some requests (%s): its TLS ends at the proxy, which looks at each",
                    a->limited->source);
    else if (!a->is_allowed && a->host && strcmp(a->reason, "proxy_filtered") == 0)
        nt_buf_addf(ret, ": %s is denied (%s)", a->host->name, a->host->source);
    else if (!a->is_allowed && strcmp(a->reason, "network_blocked") == 0)
        nt_buf_add(ret, ": the network is blocked");
    else if (!a->is_allowed && shut && strcmp(a->reason, "proxy_filtered") == 0)
        nt_buf_addf(ret, ": %s", shut);
    else if (!a->is_allowed && strcmp(a->reason, "proxy_filtered") == 0)
        nt_buf_add(ret, ": it is not on the list of hosts");
    else if (!a->is_allowed)
        nt_buf_add(ret, ": no grant covers it");
}

/* "~" as a program that asks without a shell may write it, and as grants take it. To a program that
 * asks about itself what is relative is so to its own folder, to others to that of the grants. */
static const char *absolute(struct nt_call *call, const char *path, char *buffer, size_t max)
{
    const char *home = getenv("HOME");
    char folder[PATH_MAX] = "";
    bool is_home = path[0] == '~' && (!path[1] || path[1] == '/') && home && home[0] == '/';
    bool is_own = path[0] != '/' && call->host->number(call, "self");
    if (!is_home && !(is_own && getcwd(folder, sizeof(folder))))
        return path;
    int size = snprintf(buffer, max, "%s%s%s", is_home ? home : folder, is_home ? "" : "/",
                        is_home ? path + 1 : path);
    return size > 0 && (size_t)size < max ? buffer : path;
}

/* A script of the profile's own runs whatever the program may do with it. */
static const char *hook_of(const struct policy *policy, const char *path)
{
    char real[PATH_MAX];
    for (size_t i = 0; i < POLICY_HOOKS; i++)
        if (policy->hooks[i].script && realpath(path, real)
            && strcmp(policy->hooks[i].script, real) == 0)
            return policy_hook_name(i);
    return NULL;
}

/* What is allowed of a host that is not allowed as a whole. */
static void put_limits(json_t *object, const struct policy_answer *a)
{
    json_t *rules = a->limited ? json_array() : NULL;
    for (size_t i = 0; rules && i < a->limited->endpoint_count; i++)
        json_array_append_new(rules,
                              json_pack("{s:s, s:s}", "method", a->limited->endpoints[i].method,
                                        "path", a->limited->endpoints[i].path));
    if (rules)
        json_object_set_new(object, "endpoints", rules);
    if (a->route)
        put(object, "service", a->route->name);
    json_object_set_new(object, "intercepted", json_true());
}

static int ask(struct nt_call *call, const struct policy *policy, struct nt_error *reterr)
{
    const char *path = call->host->text(call, "path"), *host = call->host->text(call, "host");
    const char *op = call->host->text(call, "op");
    const char *unix_path = call->host->text(call, "unix-socket");
    const char *socket_op = call->host->text(call, "socket-op");
    uint16_t port = (uint16_t)call->host->number(call, "port");
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(8192), message = NT_BUF(32768);
    struct policy_answer answer;
    char buffer[PATH_MAX];
    const char *hook = NULL;
    bool is_by_address = false;
    if (path) {
        uint32_t access = strcmp(op, "read") == 0    ? POLICY_READ
                          : strcmp(op, "write") == 0 ? POLICY_WRITE
                                                     : POLICY_BOTH;
        nt_buf_add(&target, path);
        path = absolute(call, path, buffer, sizeof(buffer));
        policy_ask_path(policy, path, access, &answer);
        hook = hook_of(policy, path);
    } else if (unix_path) {
        nt_buf_addf(&target, "unix:%s", unix_path);
        unix_path = absolute(call, unix_path, buffer, sizeof(buffer));
        policy_ask_socket(policy, unix_path, strcmp(socket_op, "bind") == 0, &answer);
        op = strcmp(socket_op, "bind") == 0 ? "binding" : "connecting to";
    } else {
        nt_buf_addf(&target, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
        policy_ask_network(policy, host, port, &answer);
        /* TEST-NET-1 stands for any other machine (RFC 5737). */
        is_by_address = !answer.is_allowed && policy_ask_connect(policy, "192.0.2.1", port)
                        && host[strspn(host, "0123456789.")] && !strchr(host, ':');
    }
    message_of(&answer, host ? "connecting to" : op, nt_buf_text(&target),
               host ? host_shut_why(host) : NULL, &message);
    if (hook)
        nt_buf_addf(&message, "; session_hooks.%s runs it outside of the sandbox", hook);
    if (is_by_address)
        nt_buf_addf(&message, "; port %u is open by address alone, and names are not looked up",
                    port);
    nt_auto_json json_t *object = answer_of(&answer, nt_buf_text(&target), nt_buf_text(&message));
    if (object)
        put(object, "session_hook", hook);
    if (object && host && policy_intercepts(policy, host, port))
        put_limits(object, &answer);
    return emit(call, object, reterr);
}

/* The policy itself refuses a grant of something denied: that is an answer, too, to who asks about
 * what is denied. About all else there is none, as nothing would start with these grants. */
static int ask_protected(struct nt_call *call, const struct policy_request *wanted,
                         const struct nt_error *refusal, struct nt_error *reterr)
{
    struct policy_request request = *wanted;
    nt_auto(policy_freep) struct policy *policy = NULL;
    struct nt_error unused = NT_ERROR_INIT;
    struct policy_answer answer = { .deny = NULL };
    char buffer[PATH_MAX];
    const char *path = call->host->text(call, "path");
    request.allow = request.read = request.write = (struct policy_texts){ 0 };
    request.allow_file = request.read_file = request.write_file = (struct policy_texts){ 0 };
    request.bypass = (struct policy_texts){ 0 };
    if (path && policy_make(&request, &policy, &unused) == 0)
        policy_ask_path(policy, absolute(call, path, buffer, sizeof(buffer)), POLICY_READ, &answer);
    if (answer.deny || answer.pattern)
        return ask(call, policy, reterr);
    *reterr = *refusal;
    return -1;
}

static int ask_self(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(policy_freep) struct policy *policy = NULL;
    bool is_sandboxed;
    if (cap_file_read(&is_sandboxed, &policy, reterr) < 0)
        return -1;
    if (is_sandboxed)
        return ask(call, policy, reterr);
    nt_auto_json json_t *object =
        json_pack("{s:s, s:s, s:s}", "status", "not_sandboxed", "reason", "not_sandboxed",
                  "message", "this process is not in a sandbox of nanoterm");
    return emit(call, object, reterr);
}

int why_run(struct nt_call *call, struct nt_error *reterr)
{
    bool has_path = call->host->text(call, "path") != NULL;
    bool has_host = call->host->text(call, "host") != NULL;
    bool has_socket = call->host->text(call, "unix-socket") != NULL;
    if (has_path + has_host + has_socket != 1)
        return nt_fail(reterr, NT_E_USAGE, "give one of --path, --host and --unix-socket");
    if (call->host->number(call, "self"))
        return ask_self(call, reterr);
    struct options options;
    struct nt_error error = NT_ERROR_INIT;
    nt_auto(policy_freep) struct policy *policy = NULL;
    if (options_read(call, &options, reterr) < 0)
        return -1;
    int status = policy_make(&options.request, &policy, &error);
    if (status == 0)
        status = ask(call, policy, reterr);
    else if (error.code == ENFORCE_E_PROTECTED)
        status = ask_protected(call, &options.request, &error, reterr);
    else
        *reterr = error;
    options_done(&options);
    return status;
}
