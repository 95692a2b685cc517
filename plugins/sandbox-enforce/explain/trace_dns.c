/* SPDX-License-Identifier: Apache-2.0 */
/* trace_dns.c - reads an answer of a name server with the C library's parser; see trace_dns.h. It
 * is opened when the first answer comes: the other commands of this plugin start without it. */
#include "trace_dns.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "sdk/symbol.h"

static int is_host(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._", *c))
            return 0;
    return *name != '\0';
}

static struct {
    __typeof__(ns_initparse) *init;
    __typeof__(ns_parserr) *record;
} parser;

static int parser_open(void)
{
    void *library = parser.record ? NULL : dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library) {
        nt_symbol(library, "ns_initparse", &parser.init);
        nt_symbol(library, "ns_parserr", &parser.record);
    }
    return parser.init && parser.record;
}

void trace_dns_answer(const unsigned char *message, size_t size,
                      void (*answer)(void *data, const char *host, const char *address), void *data)
{
    ns_msg m;
    ns_rr question, record;
    char host[NS_MAXDNAME], text[INET6_ADDRSTRLEN];
    bool is_answer = size > 2 && size <= INT_MAX && (message[2] & 0x80);
    if (!is_answer || !parser_open() || parser.init(message, (int)size, &m) < 0
        || ns_msg_count(m, ns_s_qd) != 1 || parser.record(&m, ns_s_qd, 0, &question) < 0)
        return;
    strncpy(host, ns_rr_name(question), sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    if (!is_host(host))
        return;
    for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
        if (parser.record(&m, ns_s_an, i, &record) < 0)
            return;
        int family = ns_rr_type(record) == ns_t_a && ns_rr_rdlen(record) == 4       ? AF_INET
                     : ns_rr_type(record) == ns_t_aaaa && ns_rr_rdlen(record) == 16 ? AF_INET6
                                                                                    : -1;
        if (family != -1 && inet_ntop(family, ns_rr_rdata(record), text, sizeof(text)))
            answer(data, host, text);
    }
}
