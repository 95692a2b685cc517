/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_proxy_stage.h - a proxy with upstreams of its own, for tests. */
#ifndef NT_TESTS_ENFORCE_PROXY_STAGE_H
#define NT_TESTS_ENFORCE_PROXY_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "plugins/sandbox-enforce/proxy/proxy.h"
#include "sdk/buf.h"

#define STAGE_TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
/* "nono:" and the token. */
#define STAGE_BASIC                                                                                \
    "bm9ubzowMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZjAwMTEyMjMzNDQ1NTY2Nzc4ODk5YWFiYmNjZGRlZWZm"
#define STAGE_AUTH "Proxy-Authorization: Basic " STAGE_BASIC "\r\n"

/* A server of one thread per connection, on 127.0.0.1. */
struct upstream;
struct upstream *upstream_new(void (*serve)(int fd, void *data), void *data, uint16_t *ret_port);
uint32_t upstream_connections(struct upstream *u); /* that there were */
void upstream_free(struct upstream *u);            /* waits for its connections */
/* Answers with what it was asked, head and body, as text; /redirect with a Location of it. Keeps
 * the connection only when asked by "X-Keep". */
void upstream_echo(int fd, void *data);
/* Bytes back until the end. */
void upstream_mirror(int fd, void *data);

struct stage {
    struct policy policy;
    struct denials *denials;
    struct proxy *proxy;
    const char *const *captures; /* of the routes; NULL: none */
    uint16_t port;
    char warnings[1024]; /* of the start, a line each */
};
/* With the policy as it is; connections 0: the default. */
void stage_start(struct stage *s, uint32_t connections);
void stage_stop(struct stage *s);

/* A connection to the proxy; blocking, a minute at most for a read. */
int stage_connect(const struct stage *s);
void stage_send(int fd, const char *bytes, size_t size);
/* Reads until TEXT has come (false: the end came first), or to the end (NULL). */
bool stage_read(int fd, struct nt_buf *b, const char *text);
/* One request on a connection of its own; the whole answer. It must ask for close. */
void stage_ask(const struct stage *s, struct nt_buf *ret, const char *request);
void stage_askf(const struct stage *s, struct nt_buf *ret, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
