/* SPDX-License-Identifier: Apache-2.0 */
/* transport_curl.c - TLS by libcurl, which is opened only when an https address is used: it makes
 * the connection, checks the certificate and knows proxies; HTTP on top is ours. The only file that
 * knows curl. */
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/net/client_private.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/symbol.h"

static struct {
    pthread_once_t once;
    bool ok;
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *curl, CURLoption option, ...);
    CURLcode (*easy_perform)(CURL *curl);
    CURLcode (*easy_getinfo)(CURL *curl, CURLINFO info, ...);
    CURLcode (*easy_send)(CURL *curl, const void *data, size_t size, size_t *ret);
    CURLcode (*easy_recv)(CURL *curl, void *data, size_t size, size_t *ret);
    void (*easy_cleanup)(CURL *curl);
    const char *(*easy_strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
} lib = { .once = PTHREAD_ONCE_INIT };

static void open_library(void)
{
    void *h = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!h)
        return;
    lib.ok = nt_symbol(h, "curl_global_init", &lib.global_init)
             && nt_symbol(h, "curl_easy_init", &lib.easy_init)
             && nt_symbol(h, "curl_easy_setopt", &lib.easy_setopt)
             && nt_symbol(h, "curl_easy_perform", &lib.easy_perform)
             && nt_symbol(h, "curl_easy_getinfo", &lib.easy_getinfo)
             && nt_symbol(h, "curl_easy_send", &lib.easy_send)
             && nt_symbol(h, "curl_easy_recv", &lib.easy_recv)
             && nt_symbol(h, "curl_easy_cleanup", &lib.easy_cleanup)
             && nt_symbol(h, "curl_easy_strerror", &lib.easy_strerror)
             && nt_symbol(h, "curl_slist_append", &lib.slist_append)
             && nt_symbol(h, "curl_slist_free_all", &lib.slist_free_all)
             && lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

struct curl_link {
    CURL *curl;
    char *url;
    struct curl_slist *connect_to, *resolve; /* of pinned addresses */
    /* borrowed until it is connected */
    const char *authorities, *proxy;
    const struct net_identity *identity;
    char error[CURL_ERROR_SIZE];
};

void curl_link_free(struct curl_link *link)
{
    if (!link)
        return;
    if (link->curl)
        lib.easy_cleanup(link->curl);
    if (link->connect_to)
        lib.slist_free_all(link->connect_to);
    if (link->resolve)
        lib.slist_free_all(link->resolve);
    free(link->url);
    free(link);
}

/* Any name and port go to a name that there never is (RFC 6761), which has those addresses here;
 * the port stays. CURLOPT_CONNECT_TO alone takes one address only. */
static bool pin(struct curl_link *link, const char *addresses, uint16_t port)
{
    struct nt_buf text = NT_BUF(1024);
    nt_buf_addf(&text, "pinned.invalid:%u:", (unsigned)port);
    for (const char *at = addresses; *at;) {
        size_t size = strcspn(at, ",");
        bool is_six = memchr(at, ':', size) != NULL;
        nt_buf_add(&text, is_six ? "[" : "");
        nt_buf_add_bytes(&text, at, size);
        nt_buf_add(&text, is_six ? "]" : "");
        nt_buf_add(&text, at[size] ? "," : "");
        at += size + (at[size] == ',');
    }
    link->connect_to = lib.slist_append(NULL, "::pinned.invalid:");
    if (nt_buf_ok(&text))
        link->resolve = lib.slist_append(NULL, nt_buf_text(&text));
    nt_buf_done(&text);
    return link->connect_to && link->resolve
           && lib.easy_setopt(link->curl, CURLOPT_CONNECT_TO, link->connect_to) == CURLE_OK
           && lib.easy_setopt(link->curl, CURLOPT_RESOLVE, link->resolve) == CURLE_OK;
}

struct curl_link *curl_link_new(const struct net_address *address, struct nt_error *reterr)
{
    pthread_once(&lib.once, open_library);
    if (!lib.ok) {
        nt_fail(reterr, NT_E_CONNECT, "https needs libcurl (libcurl.so.4), which cannot be opened");
        nt_hint(reterr, "install libcurl 4");
        return NULL;
    }
    struct nt_buf url = NT_BUF(4096);
    bool is_six = strchr(address->host, ':') != NULL;
    nt_buf_addf(&url, is_six ? "https://[%s]:%u/" : "https://%s:%u/", address->host,
                (unsigned)address->port);
    struct curl_link *link = calloc(1, sizeof(*link));
    char *text = nt_buf_take(&url);
    if (!link || !text || !(link->curl = lib.easy_init())) {
        free(text);
        free(link);
        nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
        return NULL;
    }
    link->url = text;
    link->authorities = address->authorities ? address->authorities : getenv("SSL_CERT_FILE");
    link->proxy = address->proxy;
    link->identity = address->identity;
    if (address->pinned && !pin(link, address->pinned, address->port)) {
        curl_link_free(link);
        nt_fail(reterr, NT_E_CONNECT, "libcurl refused an address");
        return NULL;
    }
    return link;
}

/* As texts, not as files: they are what was checked, and a key with a password asks nobody. */
static bool show_identity(struct curl_link *link)
{
    const struct net_identity *who = link->identity;
    struct curl_blob certificates = { (void *)(uintptr_t)who->certificates,
                                      strlen(who->certificates), CURL_BLOB_COPY };
    /* Looked at until it is connected: no copy that nobody wipes. */
    struct curl_blob key = { (void *)(uintptr_t)who->key, strlen(who->key), CURL_BLOB_NOCOPY };
    return lib.easy_setopt(link->curl, CURLOPT_SSLCERT_BLOB, &certificates) == CURLE_OK
           && lib.easy_setopt(link->curl, CURLOPT_SSLKEY_BLOB, &key) == CURLE_OK;
}

/* Asked once a second at least. */
static int is_given_up(void *data, curl_off_t down, curl_off_t got, curl_off_t up, curl_off_t sent)
{
    const atomic_bool *given_up = data;
    return atomic_load(given_up);
}

int curl_link_connect(struct curl_link *link, int64_t timeout_ms, const atomic_bool *given_up,
                      struct nt_error *reterr)
{
    CURL *curl = link->curl;
    bool ok =
        lib.easy_setopt(curl, CURLOPT_URL, link->url) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_SSL_ENABLE_ALPN, 0L) == CURLE_OK
        && /* HTTP/1.1 is what we speak */
        lib.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_given_up) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_XFERINFODATA, given_up) == CURLE_OK
        && lib.easy_setopt(curl, CURLOPT_ERRORBUFFER, link->error) == CURLE_OK;
    /* libcurl has its authorities compiled in; the user's own are named the way OpenSSL and curl(1)
     * know. */
    if (ok && link->authorities && link->authorities[0])
        ok = lib.easy_setopt(curl, CURLOPT_CAINFO, link->authorities) == CURLE_OK;
    if (ok && link->identity)
        ok = show_identity(link);
    /* The variables of the environment count unless one was named, or none. */
    if (ok && link->proxy)
        ok = lib.easy_setopt(curl, CURLOPT_PROXY, link->proxy) == CURLE_OK
             && lib.easy_setopt(curl, CURLOPT_NOPROXY, "") == CURLE_OK;
    if (!ok)
        return nt_fail(reterr, NT_E_CONNECT, "libcurl refused an option");
    CURLcode rc = lib.easy_perform(curl);
    curl_socket_t fd = CURL_SOCKET_BAD;
    lib.easy_setopt(curl, CURLOPT_NOPROGRESS, 1L); /* who asked may be gone sooner than the link */
    if (rc == CURLE_OK)
        rc = lib.easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd);
    if (rc == CURLE_OK && fd != CURL_SOCKET_BAD)
        return fd;
    long sys = 0;
    lib.easy_getinfo(curl, CURLINFO_OS_ERRNO, &sys);
    nt_fail(reterr, NT_E_CONNECT, "cannot connect to %s: %s", link->url,
            link->error[0] ? link->error : lib.easy_strerror(rc));
    char name[32];
    reterr->sys = (int32_t)sys;
    nt_copy_text(reterr->upstream, sizeof(reterr->upstream),
                 sys ? nt_errno_name((int)sys, name, sizeof(name)) : lib.easy_strerror(rc));
    return -1;
}

static ssize_t link_recv(void *transport, int fd, void *buffer, size_t size)
{
    struct curl_link *link = transport;
    size_t n = 0;
    CURLcode rc = lib.easy_recv(link->curl, buffer, size, &n);
    return rc == CURLE_OK ? (ssize_t)n : rc == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
}

static ssize_t link_send(void *transport, int fd, const struct iovec *pieces, int count)
{
    struct curl_link *link = transport;
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t n = 0;
        CURLcode rc = lib.easy_send(link->curl, pieces[i].iov_base, pieces[i].iov_len, &n);
        if (rc != CURLE_OK && rc != CURLE_AGAIN)
            return -EPIPE;
        total += (ssize_t)n;
        if (rc == CURLE_AGAIN || n < pieces[i].iov_len)
            break;
    }
    return total > 0 || count == 0 ? total : -EAGAIN;
}

static void link_close(void *transport, int fd)
{
    curl_link_free(transport); /* closes the descriptor too */
}

const struct transport_ops transport_curl = {
    .recv = link_recv,
    .send = link_send,
    .close = link_close,
    .keeps_bytes = true,
};
