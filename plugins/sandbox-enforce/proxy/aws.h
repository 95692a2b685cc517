/* SPDX-License-Identifier: Apache-2.0 */
/* aws.h - services whose requests are signed with the person's AWS keys (aws_auth). Private to this
 * folder. */
#ifndef NT_ENFORCE_PROXY_AWS_H
#define NT_ENFORCE_PROXY_AWS_H

#include "core/net/net.h"
#include "plugins/sandbox-enforce/policy/policy.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "plugins/sandbox-enforce/proxy/sigv4.h"
#include "sdk/buf.h"

struct proxy;
struct visit;

struct aws_keys {
    struct secret id, key, session; /* session: may have no text */
};

/* Of the profile; without one of the environment, else of AWS_PROFILE or "default". Read once, at
 * the start. ENFORCE_E_CREDENTIAL. */
int aws_keys_read(const struct policy_aws *policy, struct aws_keys *ret, struct nt_error *reterr);
void aws_keys_done(struct aws_keys *keys);

/* What a file of AWS's says of one profile; each malloc'ed and wiped by the caller, or NULL. */
struct aws_file {
    char *id, *key, *session;
    const char *other; /* where else its keys come from: "sso_session"; static */
};
/* TEXT is one of ~/.aws/credentials, or of ~/.aws/config (is_config), whose sections are named
 * otherwise. False: the profile is not in it. Adds to what RET has. */
bool aws_file_read(const char *text, const char *profile, bool is_config, struct aws_file *ret);
void aws_file_done(struct aws_file *file);

/* The body must be there to be signed: reads it, then route_go_on. Or the visit is refused. */
void aws_ask(struct visit *v);
void aws_body(struct visit *v, struct nt_bytes bytes); /* a piece of it came */
void aws_body_end(struct visit *v);
void aws_leave(struct visit *v); /* frees it */

/* Does the client send the token as the key that it signs with? */
bool aws_has_token(const struct proxy *proxy, const char *authorization);
/* Headers of the client that no signature of ours may hold. */
bool aws_is_dropped(const char *name);

/* What is added to a request: headers, and how its target is written. */
struct aws_signed {
    struct nt_buf target, authorization;
    char time[SIGV4_TIME_SIZE], payload[SIGV4_HASH_SIZE];
};
#define AWS_HEADERS_MAX 4u
/* Signs TARGET with HEADERS, which have room for AWS_HEADERS_MAX more behind *count. NULL: fine;
 * else what is wrong: static. */
const char *aws_sign(const struct visit *v, const char *target, struct net_header *headers,
                     uint32_t *count, struct aws_signed *ret);
void aws_signed_done(struct aws_signed *s);

#endif
