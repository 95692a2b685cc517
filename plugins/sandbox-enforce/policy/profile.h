/* SPDX-License-Identifier: Apache-2.0 */
/* profile.h - what a profile says, before paths are expanded and anything is looked up: read from
 * a file or built in, then laid over what it extends. */
#ifndef NT_ENFORCE_POLICY_PROFILE_H
#define NT_ENFORCE_POLICY_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "nanoterm/stream.h"
#include "plugins/sandbox-enforce/policy/memory.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* Lists of texts. Those of a child are appended to those of its parents, each text once. */
enum profile_list {
    PROFILE_EXTENDS, /* names or paths; not merged */
    PROFILE_INCLUDE, /* groups */
    PROFILE_EXCLUDE,
    PROFILE_ALLOW, /* folders; in the order of struct policy_request from here */
    PROFILE_READ,
    PROFILE_WRITE,
    PROFILE_ALLOW_FILE,
    PROFILE_READ_FILE,
    PROFILE_WRITE_FILE,
    PROFILE_UNIX,
    PROFILE_UNIX_BIND,
    PROFILE_UNIX_DIR,
    PROFILE_UNIX_DIR_BIND,
    PROFILE_UNIX_TREE,
    PROFILE_UNIX_TREE_BIND,
    PROFILE_DENY, /* paths, or patterns */
    PROFILE_BYPASS,
    PROFILE_COMMANDS_ALLOW,
    PROFILE_COMMANDS_DENY,
    PROFILE_CREDENTIALS, /* services; an empty list of a child clears it */
    PROFILE_UPSTREAM_BYPASS,
    PROFILE_DENY_DOMAINS,
    PROFILE_NO_PROXY,
    PROFILE_COMMAND_ARGS,
    PROFILE_OPEN_PORTS, /* decimal */
    PROFILE_LISTEN_PORTS,
    PROFILE_CONNECT_PORTS,
    PROFILE_OPEN_RANGES, /* "first-last" */
    PROFILE_LISTEN_RANGES,
    PROFILE_CA_VARIABLES, /* network.tls_intercept.ca_env_vars */
    PROFILE_ALLOW_VARS,
    PROFILE_DENY_VARS,
    PROFILE_SET_VARS, /* NAME=value; a child's value replaces its parents' */
    PROFILE_LISTS
};

/* Scalars: NULL is "not said". A child's replaces its parents'. */
enum profile_text {
    PROFILE_SIGNAL_MODE,
    PROFILE_PROCESS_INFO_MODE,
    PROFILE_IPC_MODE,
    PROFILE_WSL2_PROXY_POLICY,
    PROFILE_NETWORK_PROFILE, /* "" clears an inherited one */
    PROFILE_UPSTREAM_PROXY,
    PROFILE_CA_VALIDITY, /* "24h" */
    PROFILE_LEAF_VALIDITY,
    PROFILE_WORKDIR_ACCESS, /* "none" of a child does not count */
    PROFILE_AF_UNIX_MEDIATION,
    PROFILE_BINARY,
    PROFILE_SANDBOX_POLICY, /* "auto" or "landlock" */
    PROFILE_TEXTS
};

enum profile_flag {
    PROFILE_BLOCK = 1u << 0, /* true in any of them: true */
    PROFILE_CAPABILITY_ELEVATION = 1u << 1,
    PROFILE_ALLOW_GPU = 1u << 2,
    PROFILE_ALLOW_PARENT = 1u << 3, /* of protected folders; they are hidden in any case */
    PROFILE_HAS_ALLOW_VARS = 1u << 4,
    PROFILE_CLEARS_CREDENTIALS = 1u << 5,
    PROFILE_BLIND_VARS = 1u << 15,
    PROFILE_ISOLATE_NETWORK = 1u << 16, /* linux.isolate */
    PROFILE_ISOLATE_IPC = 1u << 17,
    PROFILE_ISOLATE_UTS = 1u << 18,   /* no program changes the machine's name in any case */
    PROFILE_COMMANDS_TWICE = 1u << 6, /* command_policies of two of them: an error */
};

/* An entry of network.allow_domain, with the endpoints that it is limited to. */
struct profile_domain {
    const char *name; /* host, *.suffix, group, or URL with a path */
    struct policy_endpoint *endpoints;
    size_t endpoint_count;
};

struct profile {
    const char *name, *version, *description, *author;
    const char *source; /* "built-in", "user" (its folder), "file" (a path) */
    const char *file;   /* NULL: built in */
    struct policy_texts lists[PROFILE_LISTS];
    const char *texts[PROFILE_TEXTS];
    uint32_t flags;
    struct profile_domain *domains;
    size_t domain_count;
    struct policy_route *services; /* network.custom_credentials */
    size_t service_count;
    struct policy_env_credential *env_credentials;
    size_t env_credential_count;
    struct policy_capture *captures; /* credential_capture; a child's replaces its parents' */
    size_t capture_count;
    struct policy_hook hooks[POLICY_HOOKS]; /* a child's replaces its parents', each for itself */
    struct command_policies *commands;      /* NULL: none */
    /* platform_overrides for this system: laid over all when that is whole. NULL: none */
    struct profile *patch;
    struct policy_texts warnings;   /* legacy keys, keys without effect: one line each */
    struct policy_texts deprecated; /* the legacy keys: "security.groups" */
};

/* Reads the text of a profile. What is wrong with it becomes lines in ERRORS, all of them, each
 * with the path of the key; -1 only for out of memory. Hostile input: bounded. */
int profile_parse(struct memory *m, struct nt_bytes text, struct profile *ret,
                  struct policy_texts *errors, struct nt_error *reterr);
/* The same for a capability manifest (--config). Paths are looked at to tell files from folders. */
int manifest_parse(struct memory *m, struct nt_bytes text, struct profile *ret,
                   struct policy_texts *errors, struct nt_error *reterr);

/* The `default` profile alone: what every run gets. */
void profile_default(struct memory *m, struct profile *ret);
/* The built-in profile of that name. false: there is none. */
bool profile_builtin(struct memory *m, const char *name, struct profile *ret);
/* The index-th name of one; NULL: no more. */
const char *profile_builtin_at(size_t index);

/* Does PROFILE have the command that the credential of SERVICE is asked of, if it is? */
int profile_check_capture(const struct profile *profile, const struct policy_route *service,
                          struct nt_error *reterr);

/* Lays CHILD over INTO. Texts stay where they are. */
void profile_merge(struct memory *m, struct profile *into, const struct profile *child);

#endif
