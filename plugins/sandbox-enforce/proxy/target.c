/* SPDX-License-Identifier: Apache-2.0 */
/* target.c - which host and port a request means: one name in one spelling. */
#include <ctype.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

bool visit_target(struct visit *v, const char *text, size_t size, bool needs_port)
{
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(VISIT_AUTHORITY_MAX + 16);
    struct nt_error ignored = NT_ERROR_INIT;
    const char *prefix;
    if (size == 0 || size >= sizeof(v->authority))
        return false;
    for (size_t i = 0; i < size; i++)
        v->authority[i] = (char)tolower((unsigned char)text[i]);
    v->authority[size] = '\0';
    const char *colon = strrchr(v->authority, ':');
    if (needs_port && (!colon || strchr(colon, ']')))
        return false;
    nt_buf_add(&url, "http://");
    nt_buf_add(&url, v->authority);
    if (!nt_buf_ok(&url)
        || net_parse_url(nt_buf_text(&url), v->memory, sizeof(v->memory), &v->to, &prefix, &ignored)
               < 0
        || prefix[0])
        return false;
    /* "name." is the same name: one trailing dot, in the text that we own. */
    char *host = v->memory + (v->to.host - v->memory);
    size_t length = strlen(host);
    if (length > 1 && host[length - 1] == '.')
        host[length - 1] = '\0';
    v->is_loopback_named = host_is_loopback(host);
    return true;
}
