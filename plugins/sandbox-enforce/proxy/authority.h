/* SPDX-License-Identifier: Apache-2.0 */
/* authority.h - certificates of one session: an authority that lives in memory alone, and what it
 * signs for the hosts of which the proxy must see the requests. Only a program that was given its
 * certificate believes it, and only about those hosts. */
#ifndef NT_ENFORCE_PROXY_AUTHORITY_H
#define NT_ENFORCE_PROXY_AUTHORITY_H

#include <time.h>

#include "core/net/net.h"
#include "plugins/sandbox-enforce/policy/policy.h"
#include "sdk/buf.h"

struct authority;

/* With a new key, for the hosts of POLICY. Opens OpenSSL, which nothing needs before. */
int authority_new(const struct policy *policy, time_t now, struct authority **ret,
                  struct nt_error *reterr);
void authority_free(struct authority *authority); /* wipes the key */
/* Its own certificate, in PEM. */
const char *authority_certificate(const struct authority *authority);
/* A certificate of HOST (plain: lower case, no brackets, no dot at its end) with its key, borrowed
 * until the next call. Those of the same host are the same one until half of its time has gone. */
int authority_tls(struct authority *authority, const char *host, time_t now, struct net_tls **ret,
                  struct nt_error *reterr);
/* What authority_tls is made of, for tests; KEY is a secret. */
int authority_sign(struct authority *authority, const char *host, time_t now,
                   struct nt_buf *ret_certificate, struct nt_buf *ret_key, struct nt_error *reterr);

#endif
