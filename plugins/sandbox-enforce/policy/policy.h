/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h - what a sandboxed program may do: made once, before it starts, from options, profiles
 * and groups; then only read, by whoever enforces it, filters for it or explains it.
 *
 * A policy holds canonical paths and open descriptors of what they named when it was made: links
 * and names that change later change nothing. Kernel layers (plugins/sandbox-enforce/enforce), the
 * notifications (supervise) and the proxy each enforce their part of it; policy_ask_path and
 * policy_ask_host are the one place that says yes or no in words, and agree with all of them.
 *
 * All texts and arrays belong to the policy. Nothing here has a thread of its own; after
 * policy_make a policy may be read by several. */
#ifndef NT_ENFORCE_POLICY_H
#define NT_ENFORCE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "nanoterm/stream.h"

struct profile;          /* profile.h */
struct command_policies; /* command_policies.h */

#define POLICY_READ 1u /* read, list and execute */
#define POLICY_WRITE 2u
#define POLICY_BOTH (POLICY_READ | POLICY_WRITE)

/* A list of texts. */
struct policy_texts {
    const char **at;
    size_t count;
};

/* --- what is asked for --------------------------------------------------------------------- */

/* The options of a command, as typed (paths not expanded yet); flags before variables before the
 * profile. Borrowed for the call. */
struct policy_request {
    struct policy_texts allow, read, write;                /* folders */
    struct policy_texts allow_file, read_file, write_file; /* files */
    struct policy_texts unix_socket, unix_socket_bind, unix_socket_dir, unix_socket_dir_bind;
    struct policy_texts unix_socket_subtree, unix_socket_subtree_bind;
    struct policy_texts bypass; /* --bypass-protection */
    struct policy_texts allow_command, block_command;
    struct policy_texts domains, credentials, endpoints; /* endpoints: SERVICE:METHOD:PATH */
    struct policy_texts deny_domains;
    struct policy_texts upstream_bypass;
    struct policy_texts env_credential_map; /* reference, variable, reference, variable… */
    const uint16_t *open_ports, *listen_ports, *connect_ports;
    size_t open_port_count, listen_port_count, connect_port_count;
    const char *profile;         /* name or path; NULL: only `default` */
    const char *config;          /* --config: a capability manifest; NULL: none */
    const char *network_profile; /* NULL: the profile's */
    const char *upstream_proxy;  /* host:port; NULL: the profile's */
    const char *env_credential;  /* a,b,op://…=VAR; NULL: none */
    const char *workdir;         /* NULL: the current folder */
    uint16_t proxy_port;         /* 0: any */
    uint32_t ca_days;            /* NONO_PROXY_CA_VALIDITY; 0: the profile's */
    bool block_net, allow_net, allow_cwd, allow_gpu;
    /* Laid over the profile, by who starts a command for a program: its paths are final, and one
     * that has become a link since is refused. CALLER is that command's name. */
    const struct profile *overlay;
    const char *caller;
    bool is_wrap; /* nobody stays outside: what needs a supervisor is refused */
};

/* --- what it comes to ---------------------------------------------------------------------- */

struct policy_grant {
    const char *original; /* as typed or written */
    const char *path;     /* canonical */
    const char *source;   /* "user", "profile", "group:NAME", "system" */
    uint32_t access;      /* POLICY_ */
    bool is_file;
    /* O_PATH, close-on-exec: what `path` was when the policy was made. -1: /proc/self, which is
     * another folder in every process: whoever starts the program opens it there. */
    int fd;
};

/* A path that stays closed although it may lie beneath a grant. */
struct policy_deny {
    const char *original;
    const char *path;   /* canonical; as expanded when nothing is there */
    const char *source; /* "group:deny_credentials", "profile", "nanoterm" (its own folders) */
    const char *about;  /* "SSH keys and configuration" */
    bool is_there;
    bool is_inside;   /* beneath a grant: needs hiding (a mount namespace) to hold */
    bool is_absolute; /* no bypass opens it: state of nanoterm itself */
    bool is_runtime;  /* nanoterm's folder in XDG_RUNTIME_DIR, which a server of its own makes */
    /* Beneath a grant with POLICY_WRITE: what is not there could be made by the program, which no
     * mount prevents. */
    bool is_inside_writable;
};

/* "**" and "*" over names: a deny that also holds for files to come. */
struct policy_pattern {
    const char *text; /* as written, expanded */
    const char *source;
};

struct policy_unix {
    const char *path;         /* canonical, of the socket or of its folder */
    bool may_bind, is_folder; /* a folder: only what lies directly in it */
    bool is_tree;             /* a folder: what lies deeper, too */
    int parent_fd;            /* O_PATH of the folder that holds it */
};

/* TCP ports, both included. */
struct policy_ports {
    uint16_t first, last;
};

enum policy_network { POLICY_NET_OPEN, POLICY_NET_BLOCKED, POLICY_NET_FILTERED };

/* METHOD and path glob of a request through a route; "*" as method: any. */
struct policy_endpoint {
    const char *method, *path;
};

/* What becomes of a request through a route that no rule names. */
enum policy_others {
    POLICY_OTHERS_BY_RULES, /* refused when there are endpoints, else carried */
    POLICY_OTHERS_CARRIED,
    POLICY_OTHERS_REFUSED,
};

enum policy_inject { POLICY_IN_HEADER, POLICY_IN_PATH, POLICY_IN_QUERY, POLICY_IN_BASIC };

/* Where something stands in a request. */
struct policy_place {
    enum policy_inject inject;
    const char *header, *format;                 /* "Authorization", "Bearer {}" */
    const char *path_pattern, *path_replacement; /* POLICY_IN_PATH */
    const char *query_name;                      /* POLICY_IN_QUERY */
};

/* Where a service's credential is asked for: OAuth 2 client credentials (RFC 6749 section 4.4). */
struct policy_auth {
    const char *token_url;     /* https, or http to this machine only; no query */
    const char *client_id;     /* as it is; with "://" a reference */
    const char *client_secret; /* reference */
    const char *scope;         /* NULL: none */
    struct policy_texts extra; /* name, value, name, value … */
};

/* Whose AWS keys sign the requests of a service, and for what. */
struct policy_aws {
    const char *profile;          /* NULL: the environment's, or the usual one */
    const char *region, *service; /* "us-east-1", "bedrock"; what upstream's name says, too */
};

/* A command of the person's that prints a credential. It runs outside of the sandbox, when the
 * first request needs what it prints. */
struct policy_capture {
    const char *name;
    const char *file;            /* of the profile that names it */
    struct policy_texts words;   /* its program, as written or expanded, and its arguments */
    const char *config;          /* of a provider: JSON, an object; NULL: it is a plain command */
    bool is_told;                /* it reads JSON about the request */
    bool is_heard;               /* its standard error is ours */
    bool prints_headers;         /* JSON with headers; a provider says itself what it prints */
    struct policy_texts headers; /* that it may set */
    uint32_t timeout_s;
    uint32_t kept_s;     /* 0: for those that wait alone */
    const char *pattern; /* over the path: for what else it is not kept; NULL: the upstream */
};

/* A service whose requests get a credential that the program never holds. */
struct policy_route {
    const char *name;     /* first segment of the path at the proxy: "openai" */
    const char *upstream; /* https://host[:port][/base], or http:// to this machine only */
    const char *key; /* reference: account of the keyring, env://, file://, op://, bw://, cmd:// */
    const struct policy_capture *capture; /* that key names; NULL: another kind */
    const struct policy_auth *auth;       /* instead of it; NULL: none */
    const struct policy_aws *aws;         /* the same */
    const char *variable;                 /* that gets the phantom token; NULL: none */
    enum policy_inject inject;
    const char *header, *format;                 /* "Authorization", "Bearer {}" */
    const char *path_pattern, *path_replacement; /* POLICY_IN_PATH */
    const char *query_name;                      /* POLICY_IN_QUERY */
    /* Where the program puts its token, when that is elsewhere than the credential.
     * path_replacement: what stays of the path there. NULL: in the same place */
    const struct policy_place *phantom;
    struct policy_endpoint *denied; /* before all others */
    size_t denied_count;
    struct policy_endpoint *endpoints; /* allowed */
    size_t endpoint_count;
    enum policy_others others;
    const char *tls_ca; /* file; NULL: the system's */
    /* Files that show the upstream who asks; both or neither. Read where the proxy is: this grants
     * them to nobody. */
    const char *tls_certificate, *tls_key;
};

/* A host of the allow-list: exact, or "*.suffix". */
struct policy_host {
    const char *name;                  /* lower case, without a trailing dot */
    const char *source;                /* "user", "profile", "network:github" */
    struct policy_endpoint *endpoints; /* with any, only the proxy's own requests go there */
    size_t endpoint_count;
};

/* Where the proxy ends TLS itself, with certificates of an authority that lives as long as the
 * session: for hosts with endpoints, and for upstreams of routes by https. */
struct policy_intercept {
    uint32_t ca_s, leaf_s;         /* how long the authority's and a host's are valid */
    struct policy_texts variables; /* get the name of the bundle, besides the usual ones */
};

/* A credential that goes into a variable of the program, which can read it. */
struct policy_env_credential {
    const char *reference, *variable;
};

/* A script of the person's own. It runs outside of the sandbox: before the program starts, or when
 * it has ended. */
struct policy_hook {
    const char *script; /* absolute; in a struct profile as written. NULL: there is none */
    const char *file;   /* of the profile that names it */
    uint32_t timeout_s; /* 0: none */
};
enum policy_hook_when { POLICY_HOOK_BEFORE, POLICY_HOOK_AFTER, POLICY_HOOKS };

struct policy {
    struct policy_grant *grants;
    size_t grant_count;
    struct policy_deny *denies;
    size_t deny_count;
    struct policy_pattern *patterns;
    size_t pattern_count;
    struct policy_unix *unix_grants;
    size_t unix_count;

    enum policy_network network;
    struct policy_host *hosts; /* filtered: empty means every host that is not denied */
    size_t host_count;
    struct policy_host *denied_hosts; /* before those, by name alone */
    size_t denied_host_count;
    struct policy_texts no_proxy; /* filtered: names that the program's tools are told to reach by
                                   * themselves, where the policy lets them */
    struct policy_route *routes;
    size_t route_count;
    struct policy_intercept intercept;
    struct policy_ports *open_ports, *listen_ports; /* of this machine; in order, none twice */
    /* Of all other machines, by address: no name is looked up for the program. */
    struct policy_ports *connect_ports;
    size_t open_port_count, listen_port_count, connect_port_count;
    const char *upstream_proxy; /* NULL: none */
    struct policy_texts upstream_bypass;
    uint16_t proxy_port;

    struct policy_env_credential *env_credentials;
    size_t env_credential_count;
    struct policy_texts allow_vars, deny_vars, set_vars; /* set_vars: NAME=value */
    bool blind_vars;     /* their names count in small and capital letters alike */
    bool has_allow_vars; /* the list counts, also an empty one */

    struct policy_texts blocked_commands; /* of the program that is started; by file name */
    struct policy_texts allowed_commands; /* taken out of them: for the report */
    struct policy_texts bypasses;         /* canonical: denied paths that were opened by name */
    bool own_terminals;                   /* a group opens /dev/pts: those that it makes */
    bool signals_leave;                   /* security.signal_mode allow_all */
    bool abstract_sockets;                /* security.ipc_mode full */
    /* linux.af_unix_mediation pathname: no grant of a folder or file opens a local socket. */
    bool unix_by_grant;
    bool allow_gpu, capability_elevation;
    bool landlock_network; /* linux.sandbox_policy landlock: no restricted network without it */

    struct policy_hook hooks[POLICY_HOOKS];
    bool isolate_network, isolate_ipc; /* no start without these namespaces: linux.isolate */
    const char *binary;                /* started when no program was named; NULL: none */
    struct policy_texts command_args;  /* added to the words of the program */
    const char *own_state; /* a folder of nanoterm's own, which no sandbox opens; may be missing */

    const struct command_policies *commands; /* NULL: all that is started stays in this sandbox */
    const char *caller;                      /* whose sandbox this is: one of them, or "session" */
    const struct policy *above; /* of the program that has this one started; NULL: the person has */

    const char *profile;          /* its name; NULL: none */
    const char *workdir;          /* canonical: base of expansion */
    uint32_t workdir_access;      /* POLICY_ that its sharing would give; 0: it is not shared */
    bool is_workdir_covered;      /* a grant covers it with that access */
    int workdir_fd;               /* O_PATH */
    struct policy_texts warnings; /* lines for the person: skipped paths, legacy keys, bypasses */
};

/* Makes the policy: profiles and groups, expansion, canonical paths, denies. A grant equal to,
 * beneath, or through a link leading to a denied path is an error that names the group and the
 * bypass; a grant above one marks the deny is_inside. Descriptors are opened here. Errors:
 * NT_E_USAGE (conflicts), ENFORCE_E_* of errors.h, NT_E_LIMIT. */
int policy_make(const struct policy_request *request, struct policy **ret, struct nt_error *reterr);
void policy_free(struct policy *policy);

bool policy_has_hooks(const struct policy *policy);
/* "before" or "after". */
const char *policy_hook_name(size_t when);

/* The person agreed (or --allow-cwd did) that the program works in the folder it is started in. */
int policy_share_workdir(struct policy *policy, struct nt_error *reterr);

/* --- questions ----------------------------------------------------------------------------- */

struct policy_answer {
    bool is_allowed;
    const char *reason;               /* "granted_path", "path_not_granted", "insufficient_access",
                                       * "sensitive_path", "network_allowed", "network_blocked", "proxy_allowed",
                                       * "proxy_filtered", "endpoint_restricted" */
    const struct policy_grant *grant; /* that covers it; NULL: none */
    const struct policy_deny *deny;   /* that closes it; NULL: none */
    const struct policy_host *host;   /* that allows it; NULL: none */
    /* "endpoint_restricted": the route whose credential goes there, and the entry with endpoints;
     * NULL: none. But for its routes the host is open when is_open is set. */
    const struct policy_route *route;
    const struct policy_host *limited;
    bool is_open;
    const struct policy_pattern *pattern; /* that closes it; NULL: none */
    char flag[4200]; /* the smallest that would allow it: "--read /a"; or empty */
};

/* PATH is resolved like the program would (links followed; relative to the working folder). Denied
 * first, then the grants that cover it, taken together; `grant` is the longest of them. */
void policy_ask_path(const struct policy *policy, const char *path, uint32_t access,
                     struct policy_answer *ret);
/* The same for a path that is canonical already: no file is touched, nothing allocated, `flag` left
 * empty. */
void policy_ask_canonical(const struct policy *policy, const char *path, uint32_t access,
                          struct policy_answer *ret);
/* Whether devices that GRANT covers may be driven by ioctl, beyond reading and writing: those in
 * /dev that may be written. */
bool policy_is_driven(const struct policy_grant *grant);
/* Network: what would become of a connection (no name is looked up). */
void policy_ask_host(const struct policy *policy, const char *host, uint16_t port,
                     struct policy_answer *ret);
/* The same for what the program does by itself: also what connect_ports open. */
void policy_ask_network(const struct policy *policy, const char *host, uint16_t port,
                        struct policy_answer *ret);
/* The entry that closes HOST, a name or a number, whatever else opens it; NULL: none. */
const struct policy_host *policy_denied_host(const struct policy *policy, const char *host);
/* Whether connect_ports open that port of ADDRESS, which is a number in any spelling: never for
 * this machine (by its loopback addresses; those of its interfaces are the asker's to find), cloud
 * metadata, link-local and what is no address of one host. */
bool policy_ask_connect(const struct policy *policy, const char *address, uint16_t port);
bool policy_has_port(const struct policy_ports *ports, size_t count, uint16_t port);
/* A unix socket's canonical path: by the unix grants; with an open network also by a grant with
 * POLICY_WRITE. For connecting that must be one of the user or the profile: /tmp, which a group
 * grants, holds sockets of others (terminal multiplexers, display servers) that run commands for
 * whoever reaches them. What was bound by the program itself is for notify to know. */
bool policy_ask_unix(const struct policy *policy, const char *path, bool is_bind);
/* Whether that is yes for connecting to whatever lies in FOLDER (canonical), also deeper, and is
 * not denied. */
bool policy_covers_sockets(const struct policy *policy, const char *folder);
/* The same for PATH as a person writes it, and in words. */
void policy_ask_socket(const struct policy *policy, const char *path, bool is_bind,
                       struct policy_answer *ret);

/* Is TLS to there ended by the proxy, which then judges each request? */
bool policy_intercepts(const struct policy *policy, const char *host, uint16_t port);
/* The index-th host of which that may become true ("*.suffix" too); NULL: no more. */
#define POLICY_HOST_MAX 256u
const char *policy_intercepted(const struct policy *policy, size_t index,
                               char ret[POLICY_HOST_MAX]);

/* true for the addresses of cloud metadata, by name or number in every spelling (decimal, octal,
 * hex, short forms, trailing dot, IPv4 in IPv6). Nothing allows them. */
bool policy_is_metadata(const char *host);

/* --- the file that the program reads (NONO_CAP_FILE) ---------------------------------------- */

/* {fs, net_blocked, …} as nono has it, plus what `why --self` needs. Malloc'ed. */
int policy_to_json(const struct policy *policy, char **ret, struct nt_error *reterr);
/* Back from it, without descriptors (-1). Hostile input: bounded, unknown keys are ignored. */
int policy_from_json(struct nt_bytes json, struct policy **ret, struct nt_error *reterr);

#endif
