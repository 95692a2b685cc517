/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_proxy_stage.c - see the header. */
#include "tests/unit/enforce_proxy_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/proxy/module.h"
#include "sdk/error.h"

enum { CONNECTIONS_MAX = 128, TEXT_MAX = 64 * 1024 * 1024 };

/* --- upstreams ----------------------------------------------------------------------------- */

struct upstream {
    int listener;
    void (*serve)(int fd, void *data);
    void *data;
    pthread_t thread;
    pthread_t servers[CONNECTIONS_MAX];
    atomic_uint count;
};

struct served {
    struct upstream *upstream;
    int fd;
};

static int listen_loopback(uint16_t *ret_port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

uint32_t upstream_connections(struct upstream *u)
{
    return atomic_load(&u->count);
}

static void *serve_one(void *data)
{
    struct served *s = data;
    s->upstream->serve(s->fd, s->upstream->data);
    close(s->fd);
    free(s);
    return NULL;
}

static void *serve_all(void *data)
{
    struct upstream *u = data;
    while (u->count < CONNECTIONS_MAX) {
        int fd = accept4(u->listener, NULL, NULL, SOCK_CLOEXEC);
        struct served *s = fd < 0 ? NULL : malloc(sizeof(*s));
        if (!s)
            break;
        *s = (struct served){ u, fd };
        /* Counted before it is served: whoever has the answer finds its connection counted. */
        uint32_t index = u->count++;
        if (pthread_create(&u->servers[index], NULL, serve_one, s) != 0) {
            u->count--;
            break;
        }
    }
    return NULL;
}

struct upstream *upstream_new(void (*serve)(int fd, void *data), void *data, uint16_t *ret_port)
{
    struct upstream *u = calloc(1, sizeof(*u));
    assert_non_null(u);
    u->listener = listen_loopback(ret_port);
    u->serve = serve;
    u->data = data;
    assert_int_equal(pthread_create(&u->thread, NULL, serve_all, u), 0);
    return u;
}

void upstream_free(struct upstream *u)
{
    shutdown(u->listener, SHUT_RDWR);
    pthread_join(u->thread, NULL);
    for (uint32_t i = 0; i < u->count; i++)
        pthread_join(u->servers[i], NULL);
    close(u->listener);
    free(u);
}

void upstream_mirror(int fd, void *data)
{
    char bytes[65536];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        if (send(fd, bytes, (size_t)n, MSG_NOSIGNAL | MSG_WAITALL) != n)
            break;
}

static size_t length_of(const char *head)
{
    const char *at = strcasestr(head, "\r\nContent-Length:");
    size_t length = 0;
    for (at = at ? at + 17 : ""; *at == ' ' || (*at >= '0' && *at <= '9'); at++)
        length = *at == ' ' ? length : length * 10 + (size_t)(*at - '0');
    return length;
}

void upstream_echo(int fd, void *data)
{
    struct nt_buf b = NT_BUF(TEXT_MAX), answer = NT_BUF(TEXT_MAX);
    bool goes_on = true;
    while (goes_on && stage_read(fd, &b, "\r\n\r\n")) {
        size_t head = (size_t)(strstr(b.data, "\r\n\r\n") - b.data) + 4;
        size_t whole = head + length_of(b.data);
        bool is_chunked = strcasestr(b.data, "\r\nTransfer-Encoding: chunked");
        while ((b.size < whole) || (is_chunked && !strstr(b.data + head - 2, "\r\n0\r\n\r\n"))) {
            char *room = nt_buf_room(&b, 65536);
            ssize_t n = recv(fd, room, 65536, 0);
            if (n <= 0)
                break;
            nt_buf_added(&b, (size_t)n);
        }
        goes_on = strcasestr(b.data, "\r\nX-Keep:");
        nt_buf_reset(&answer);
        if (strstr(b.data, "/redirect")) {
            const char *target = strchr(b.data, ' ') + 1;
            nt_buf_addf(&answer, "HTTP/1.1 302 Found\r\nLocation: http://there%.*s\r\n",
                        (int)strcspn(target, " "), target);
        } else {
            nt_buf_add(&answer, "HTTP/1.1 200 OK\r\nX-Upstream: 1\r\n");
        }
        nt_buf_addf(&answer, "Content-Length: %zu\r\n%s\r\n", b.size,
                    goes_on ? "" : "Connection: close\r\n");
        nt_buf_add_bytes(&answer, b.data, b.size);
        stage_send(fd, answer.data, answer.size);
        nt_buf_reset(&b);
    }
    nt_buf_done(&b);
    nt_buf_done(&answer);
}

/* --- the proxy ----------------------------------------------------------------------------- */

static void on_warning(void *data, const char *text)
{
    struct stage *s = data;
    size_t size = strlen(s->warnings);
    snprintf(s->warnings + size, sizeof(s->warnings) - size, "%s\n", text);
}

void stage_start(struct stage *s, uint32_t connections)
{
    struct nt_error e = NT_ERROR_INIT;
    struct proxy_options o = { .policy = &s->policy,
                               .bundle = -1,
                               .token = STAGE_TOKEN,
                               .captures = s->captures,
                               .session = "5e55",
                               .connections = connections,
                               .warn = on_warning,
                               .data = s };
    s->policy.network = POLICY_NET_FILTERED;
    s->denials = denials_new();
    o.denials = s->denials;
    o.listener = listen_loopback(&s->port);
    assert_int_equal(proxy_module.start(&o, &s->proxy, &e), 0);
}

void stage_stop(struct stage *s)
{
    proxy_module.stop(s->proxy);
    denials_free(s->denials);
}

int stage_connect(const struct stage *s)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(s->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval most = { .tv_sec = 60 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

void stage_send(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* it may refuse before all was said */
        bytes += n;
        size -= (size_t)n;
    }
}

bool stage_read(int fd, struct nt_buf *b, const char *text)
{
    while (!text || !b->data || !strstr(b->data, text)) {
        char *room = nt_buf_room(b, 65536);
        ssize_t n = room ? recv(fd, room, 65536, 0) : 0;
        if (n <= 0)
            return false;
        nt_buf_added(b, (size_t)n);
    }
    return true;
}

void stage_ask(const struct stage *s, struct nt_buf *ret, const char *request)
{
    int fd = stage_connect(s);
    stage_send(fd, request, strlen(request));
    nt_buf_reset(ret);
    stage_read(fd, ret, NULL);
    nt_buf_add(ret, "");
    close(fd);
}

void stage_askf(const struct stage *s, struct nt_buf *ret, const char *format, ...)
{
    char *request = NULL;
    va_list args;
    va_start(args, format);
    assert_true(vasprintf(&request, format, args) > 0);
    va_end(args);
    stage_ask(s, ret, request);
    free(request);
}
