/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.h - the way out of a filtered sandbox: an HTTP proxy (CONNECT and absolute-form requests)
 * with an allow-list, and reverse routes that put credentials into requests of a program that never
 * holds them.
 *
 * It runs on a libuv loop in a thread of the supervisor. Its code lies in a module of its own
 * (libexec/nanoterm/enforce-proxy.so, one exported function) that is opened for filtered runs only:
 * others pay neither for libuv nor for libcurl, which is opened at the first request with a
 * credential.
 *
 * A connection is checked in this order: token, denied addresses, allow-list, routes, one lookup of
 * the name whose addresses are checked and connected to, upstream proxy. The token is checked
 * always. */
#ifndef NT_ENFORCE_PROXY_H
#define NT_ENFORCE_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/explain/denials.h"
#include "plugins/sandbox-enforce/policy/policy.h"

#define PROXY_TOKEN_SIZE 65 /* 32 random bytes as hex, and the end */

struct proxy;

struct proxy_options {
    const struct policy *policy; /* lives longer than the proxy */
    struct denials *denials;
    int listener;         /* TCP on 127.0.0.1, listening, made where the program lives; taken */
    const char *token;    /* of PROXY_TOKEN_SIZE */
    uint32_t connections; /* 0: 256 */
    /* A file that the program reads its authorities from: the session's own is put behind what is
     * there, before `start` returns. -1: none; TLS is not ended here then. Borrowed. */
    int bundle;
    /* Of each route the program of its capture, as an absolute path that nobody inside can change,
     * or NULL. May be NULL as a whole. Lives longer than the proxy. */
    const char *const *captures;
    const char *session; /* its name, for those programs; NULL: "" */
    /* A line for the person, from `start` only; NULL: nobody is told. */
    void (*warn)(void *data, const char *text);
    void *data;
};

/* What the module exports as nt_enforce_proxy_v1. Not an ABI for others: module and plugin are one
 * build. */
struct proxy_ops {
    uint32_t size;
    uint32_t reserved;
    /* Reads the credentials of the routes (keyring, op and files may wait), then starts the thread.
     * A credential that cannot be read: the route answers 503, and a warning is given. The same
     * reference is read once, for all routes that have it. */
    int (*start)(const struct proxy_options *options, struct proxy **ret, struct nt_error *reterr);
    /* Ends all connections and the thread; wipes credentials. */
    void (*stop)(struct proxy *proxy);
    /* The value of a credential reference, for variables of the program too, which must not choose
     * what is run to read it. Malloc'ed; wiped by the caller. */
    int (*secret)(const struct policy *policy, const char *reference, char **ret,
                  struct nt_error *reterr);
};

/* Variables for the program: HTTP_PROXY and so on, NAME_BASE_URL, phantom tokens; "NAME=value",
 * malloc'ed. In the plugin itself, not in the module. */
int proxy_environment(const struct policy *policy, uint16_t port, const char *token,
                      struct policy_texts *ret, struct nt_error *reterr);

/* Names of variables that hold a credential here (env://): they are taken out of the program's
 * environment, unless one of the same name is set for it. The names are borrowed from the policy;
 * ret->at is malloc'ed. In the plugin itself. */
int proxy_secret_names(const struct policy *policy, struct policy_texts *ret,
                       struct nt_error *reterr);

#endif
