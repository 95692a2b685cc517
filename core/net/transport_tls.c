/* SPDX-License-Identifier: Apache-2.0 */
/* transport_tls.c - the server's side of TLS: a certificate with its key, and the bytes of one
 * connection. The only file that knows OpenSSL, which is opened when a server has a certificate:
 * its start costs more than all else of a program that needs none.
 *
 * TLS 1.2 and 1.3 (RFC 8446); HTTP/1.1 by ALPN (RFC 7301); no renegotiation (CVE-2011-1473). */
#include <dlfcn.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/server_private.h"
#include "sdk/error.h"
#include "sdk/symbol.h"

enum { RECORD = 16384, CHAIN_MAX = 16 };

#define FUNCTIONS(X)                                                                               \
    X(BIO_free)                                                                                    \
    X(BIO_new_mem_buf)                                                                             \
    X(ERR_clear_error)                                                                             \
    X(ERR_peek_last_error)                                                                         \
    X(ERR_reason_error_string)                                                                     \
    X(EVP_PKEY_free)                                                                               \
    X(PEM_read_bio_PrivateKey)                                                                     \
    X(PEM_read_bio_X509)                                                                           \
    X(SSL_CTX_check_private_key)                                                                   \
    X(SSL_CTX_ctrl)                                                                                \
    X(SSL_CTX_free)                                                                                \
    X(SSL_CTX_new)                                                                                 \
    X(SSL_CTX_set_alpn_select_cb)                                                                  \
    X(SSL_CTX_set_options)                                                                         \
    X(SSL_CTX_use_PrivateKey)                                                                      \
    X(SSL_CTX_use_certificate)                                                                     \
    X(SSL_free)                                                                                    \
    X(SSL_get_error)                                                                               \
    X(SSL_get_servername)                                                                          \
    X(SSL_new)                                                                                     \
    X(SSL_read_ex)                                                                                 \
    X(SSL_select_next_proto)                                                                       \
    X(SSL_set_accept_state)                                                                        \
    X(SSL_set_fd)                                                                                  \
    X(SSL_shutdown)                                                                                \
    X(SSL_write_ex)                                                                                \
    X(TLS_server_method)                                                                           \
    X(X509_free)

#define DECLARE(name) __typeof__(&name) name;
static struct {
    pthread_once_t once;
    bool ok;
    FUNCTIONS(DECLARE)
} lib = { .once = PTHREAD_ONCE_INIT };

static void open_library(void)
{
    void *handle = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return;
    lib.ok = true;
    /* A handle finds what its own libraries (libcrypto) have, too. */
#define FIND(name) lib.ok = nt_symbol(handle, #name, &lib.name) && lib.ok;
    FUNCTIONS(FIND)
#undef FIND
}

struct net_tls {
    SSL_CTX *context;
};

struct tls_link {
    SSL *ssl;
    bool wants_write; /* the handshake has more to say than the socket takes */
    bool is_broken;
};

static const char *reason(void)
{
    const char *text = lib.ERR_reason_error_string(lib.ERR_peek_last_error());
    return text ? text : "unknown reason";
}

/* Never asks on a terminal for a password. */
static int no_password(char *ret, int size, int is_writing, void *data)
{
    return -1;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                           const unsigned char *offered, unsigned int size, void *data)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    if (lib.SSL_select_next_proto(&chosen, ret_size, ours, sizeof(ours) - 1, offered, size)
        != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int use_certificates(SSL_CTX *context, struct nt_bytes pem, struct nt_error *reterr)
{
    BIO *bio = lib.BIO_new_mem_buf(pem.data, (int)pem.size);
    X509 *first = bio ? lib.PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    int status = first && lib.SSL_CTX_use_certificate(context, first) == 1 ? 0 : -1;
    if (status < 0)
        nt_fail(reterr, NT_E_CONFIG, "the certificate cannot be used: %s", reason());
    lib.X509_free(first);
    X509 *next = NULL;
    for (int i = 0; status == 0 && i < CHAIN_MAX; i++) {
        next = lib.PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (!next)
            break;
        /* The context takes it. */
        if (lib.SSL_CTX_ctrl(context, SSL_CTRL_EXTRA_CHAIN_CERT, 0, next) != 1) {
            lib.X509_free(next);
            status = nt_fail(reterr, NT_E_CONFIG, "the chain cannot be used: %s", reason());
        }
    }
    lib.BIO_free(bio);
    lib.ERR_clear_error();
    return status;
}

static int use_key(SSL_CTX *context, struct nt_bytes pem, struct nt_error *reterr)
{
    BIO *bio = lib.BIO_new_mem_buf(pem.data, (int)pem.size);
    EVP_PKEY *key = bio ? lib.PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    int status = 0;
    if (!key)
        status =
            nt_fail(reterr, NT_E_CONFIG, "the key cannot be read (is it one with a password?)");
    else if (lib.SSL_CTX_use_PrivateKey(context, key) != 1
             || lib.SSL_CTX_check_private_key(context) != 1)
        status = nt_fail(reterr, NT_E_CONFIG, "the key does not belong to the certificate");
    lib.EVP_PKEY_free(key);
    lib.BIO_free(bio);
    lib.ERR_clear_error();
    return status;
}

int net_tls_new(struct nt_bytes certificates, struct nt_bytes key, struct net_tls **ret,
                struct nt_error *reterr)
{
    pthread_once(&lib.once, open_library);
    if (!lib.ok) {
        nt_fail(reterr, NT_E_CONFIG, "TLS needs OpenSSL 3 (libssl.so.3), which cannot be opened");
        return nt_hint(reterr, "install libssl3");
    }
    struct net_tls *tls = calloc(1, sizeof(*tls));
    if (!tls || !(tls->context = lib.SSL_CTX_new(lib.TLS_server_method()))) {
        free(tls);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for TLS");
    }
    SSL_CTX *context = tls->context;
    lib.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
    lib.SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION
                                         | SSL_OP_CIPHER_SERVER_PREFERENCE);
    lib.SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    lib.SSL_CTX_ctrl(context, SSL_CTRL_MODE,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                         | SSL_MODE_RELEASE_BUFFERS,
                     NULL);
    /* A peer that sends nothing but messages of the protocol gets one record looked at per turn of
     * the loop, like everybody. */
    lib.SSL_CTX_ctrl(context, SSL_CTRL_CLEAR_MODE, SSL_MODE_AUTO_RETRY, NULL);
    lib.SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (use_certificates(context, certificates, reterr) < 0 || use_key(context, key, reterr) < 0) {
        net_tls_free(tls);
        return -1;
    }
    *ret = tls;
    return 0;
}

void net_tls_free(struct net_tls *tls)
{
    if (!tls)
        return;
    lib.SSL_CTX_free(tls->context); /* counted: connections keep theirs */
    free(tls);
}

struct tls_link *tls_link_new(struct net_tls *tls, int fd, struct nt_error *reterr)
{
    struct tls_link *link = calloc(1, sizeof(*link));
    if (link)
        link->ssl = lib.SSL_new(tls->context);
    if (!link || !link->ssl || lib.SSL_set_fd(link->ssl, fd) != 1) {
        tls_link_free(link);
        nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
        return NULL;
    }
    lib.SSL_set_accept_state(link->ssl);
    return link;
}

void tls_link_free(struct tls_link *link)
{
    if (!link)
        return;
    lib.SSL_free(link->ssl); /* the descriptor is not its own */
    free(link);
}

const char *tls_link_name(const void *transport)
{
    const struct tls_link *link = transport;
    return lib.SSL_get_servername(link->ssl, TLSEXT_NAMETYPE_host_name);
}

/* What a call that did not succeed means: 0 for the end, or -errno. */
static ssize_t outcome(struct tls_link *link, int result)
{
    int sys = errno;
    switch (lib.SSL_get_error(link->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        link->wants_write = true;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        link->is_broken = true;
        return sys ? -sys : -ECONNRESET;
    default: /* no TLS, a certificate refused, a stream cut without its end */
        link->is_broken = true;
        return -EPROTO;
    }
}

static ssize_t link_recv(void *transport, int fd, void *buffer, size_t size)
{
    struct tls_link *link = transport;
    size_t n = 0;
    if (link->is_broken)
        return -ECONNRESET;
    link->wants_write = false;
    lib.ERR_clear_error();
    errno = 0;
    int result = lib.SSL_read_ex(link->ssl, buffer, size, &n);
    return result == 1 ? (ssize_t)n : outcome(link, result);
}

/* Up to a record's worth of the pieces behind the first `skip` bytes, in one place: many small
 * pieces shall not become as many records. After an EAGAIN the same bytes come again (OpenSSL asks
 * for that), with perhaps more behind them. */
static size_t gather(const struct iovec *pieces, int count, size_t skip, uint8_t ret[RECORD])
{
    size_t size = 0;
    for (int i = 0; i < count && size < RECORD; i++) {
        if (skip >= pieces[i].iov_len) {
            skip -= pieces[i].iov_len;
            continue;
        }
        size_t part = pieces[i].iov_len - skip;
        part = part < RECORD - size ? part : RECORD - size;
        memcpy(ret + size, (const uint8_t *)pieces[i].iov_base + skip, part);
        size += part;
        skip = 0;
    }
    return size;
}

static ssize_t link_send(void *transport, int fd, const struct iovec *pieces, int count)
{
    struct tls_link *link = transport;
    uint8_t record[RECORD];
    size_t total = 0;
    if (link->is_broken)
        return -EPIPE;
    for (;;) {
        size_t size = gather(pieces, count, total, record);
        size_t n = 0;
        if (size == 0)
            return (ssize_t)total;
        lib.ERR_clear_error();
        errno = 0;
        int result = lib.SSL_write_ex(link->ssl, record, size, &n);
        if (result == 1) {
            total += n;
            continue;
        }
        bool is_waiting = lib.SSL_get_error(link->ssl, result) == SSL_ERROR_WANT_WRITE;
        if (total > 0)
            return (ssize_t)total; /* what is wrong comes again */
        if (is_waiting)
            return -EAGAIN;
        /* Nothing is sent before the handshake is done and there is no other: it never waits to
         * read. */
        link->is_broken = true;
        return -EPIPE;
    }
}

static void link_end(void *transport, int fd)
{
    struct tls_link *link = transport;
    lib.ERR_clear_error();
    if (!link->is_broken)
        lib.SSL_shutdown(link->ssl); /* tells the peer that nothing was cut off */
}

static bool link_wants_write(const void *transport)
{
    const struct tls_link *link = transport;
    return link->wants_write;
}

static void link_close(void *transport, int fd)
{
    tls_link_free(transport);
    close(fd);
}

const struct transport_ops transport_tls = {
    .recv = link_recv,
    .send = link_send,
    .end = link_end,
    .wants_write = link_wants_write,
    .close = link_close,
    .keeps_bytes = true,
};
