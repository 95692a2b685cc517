/* SPDX-License-Identifier: Apache-2.0 */
/* login.c - a key for this client, by way of a browser (RFC 8252 section 7.3, RFC 7636).
 *
 * The listener is bound before the page is named. It answers to its own address and to the one
 * state that it gave out; whatever else comes (another page that tries ports, an old tab) is
 * refused and the waiting goes on. What the browser brings is a code; the key is asked for over our
 * own connection, with the verifier that has never left this process. */
#include "core/api/login.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/api/api_state.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define TEXT 44 /* 32 bytes in base64url, and NUL */

struct waiting {
    struct api *api;
    struct net_server *server;
    char state[TEXT], verifier[TEXT], code[TEXT];
    char host[32]; /* ours, as a browser spells it */
    uint32_t done, freed;
};

/* --- the listener -------------------------------------------------------------------------- */

static int bind_loopback(uint16_t *ret_port, struct nt_error *reterr)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    nt_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0
        || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return nt_fail_sys(reterr, errno, "cannot listen on loopback");
    *ret_port = ntohs(address.sin_port);
    return nt_take_fd(fd);
}

/* Takes as long whatever the first difference is. */
static bool is_same(const char *a, const char *b, size_t size)
{
    unsigned different = 0;
    for (size_t i = 0; i < size; i++)
        different |= (unsigned)(a[i] ^ b[i]);
    return different == 0;
}

/* A parameter of exactly TEXT - 1 letters of base64url; nothing of it is ever encoded. */
static bool find(const char *query, const char *name, char ret[TEXT])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t name_size = strlen(name);
    for (const char *at = query; at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
        if (strncmp(at, name, name_size) != 0 || at[name_size] != '=')
            continue;
        const char *value = at + name_size + 1;
        size_t size = strspn(value, letters);
        if (size != TEXT - 1 || (value[size] != '\0' && value[size] != '&'))
            return false;
        memcpy(ret, value, size);
        ret[size] = '\0';
        return true;
    }
    return false;
}

static void answer(struct net_request *req, uint32_t status, const char *text)
{
    static const struct net_header headers[] = {
        { "Content-Type", "text/html; charset=utf-8" },
        { "Cache-Control", "no-store" },
        { "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'" },
        { "Referrer-Policy", "no-referrer" },
        { "X-Content-Type-Options", "nosniff" },
        { "Connection", "close" },
    };
    nt_auto(nt_buf_done) struct nt_buf page = NT_BUF(1024);
    nt_buf_addf(&page, "<!doctype html><title>nanoterm</title><p>%s</p>\n", text);
    net_respond(req, status, headers, sizeof(headers) / sizeof(headers[0]),
                (struct nt_bytes){ page.data, page.size });
}

static void on_request_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct waiting *w = data;
    w->done = w->code[0] != '\0'; /* the browser has its page */
}

static void on_request(void *data, struct net_request *req)
{
    static const struct net_request_events events = { .done = on_request_done };
    struct waiting *w = data;
    const char *host = net_request_header(req, "Host");
    const char *target = net_request_target(req);
    char state[TEXT], code[TEXT];
    net_request_handle(req, &events, w);
    if (strcmp(net_request_method(req), "GET") != 0 || !host || strcmp(host, w->host) != 0
        || strncmp(target, "/callback?", 10) != 0)
        answer(req, 404, "There is nothing here.");
    else if (w->code[0] || !find(target + 10, "state", state)
             || !is_same(state, w->state, sizeof(state)))
        answer(req, 403, "This login is not the one that is waited for.");
    else if (!find(target + 10, "code", code))
        answer(req, 400, "The code is missing.");
    else {
        memcpy(w->code, code, sizeof(code));
        answer(req, 200, "Signed in. This page can be closed.");
    }
}

static void on_freed(void *data)
{
    struct waiting *w = data;
    w->freed = 1;
}

/* --- around it ----------------------------------------------------------------------------- */

static int make_texts(struct waiting *w, char ret_challenge[TEXT], struct nt_error *reterr)
{
    uint8_t bytes[64];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return nt_fail_sys(reterr, errno, "cannot get random bytes");
    bool ok = net_base64url(bytes, 32, w->state) && net_base64url(bytes + 32, 32, w->verifier)
              && net_sha256_base64url(w->verifier, ret_challenge);
    explicit_bzero(bytes, sizeof(bytes));
    if (ok)
        return 0;
    nt_fail(reterr, NT_E_SYSTEM, "cannot open libnettle");
    return nt_hint(reterr, "install the package libnettle8");
}

static int show_page(const struct api *api, const struct waiting *w, const struct api_login *login,
                     uint16_t port, const char *challenge, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(4096);
    nt_buf_addf(&url, "%s%s/cli-auth?port=%u&state=%s&challenge=%s&name=", api->origin->text,
                api->origin->prefix, port, w->state, challenge);
    nt_buf_add_url_part(&url, login->machine);
    if (!nt_buf_ok(&url))
        return nt_fail(reterr, NT_E_LIMIT, "the address of the API is too long");
    login->show(login->data, nt_buf_text(&url));
    return 0;
}

static int wait_for_code(struct waiting *w, const struct api_login *login, struct nt_error *reterr)
{
    uint16_t port = 0;
    char challenge[TEXT];
    if (make_texts(w, challenge, reterr) < 0)
        return -1;
    int fd = bind_loopback(&port, reterr);
    if (fd < 0)
        return -1;
    snprintf(w->host, sizeof(w->host), "127.0.0.1:%u", port);
    const struct net_server_options options = {
        .limits = { .head_bytes = 8192, .connections = 16, .head_ms = 10000, .idle_ms = 5000 },
        .request = on_request,
        .data = w,
    };
    if (net_server_new(&w->api->uv, fd, &options, &w->server, reterr) < 0) {
        close(fd);
        return -1;
    }
    int status = show_page(w->api, w, login, port, challenge, reterr);
    if (status == 0)
        status =
            api_pump(w->api, &w->done,
                     api_earlier(w->api->deadline_ms, api_now_ms(w->api) + LOGIN_WAIT_MS), reterr);
    if (status < 0 && reterr->code == NT_E_TIMEOUT)
        nt_fail(reterr, NT_E_TIMEOUT, "nobody has signed in in time");
    struct nt_error ignored = NT_ERROR_INIT;
    net_server_free(w->server, on_freed, w);
    while (!w->freed)
        api_pump(w->api, &w->freed, -1, &ignored);
    return status;
}

static int get_key(struct waiting *w, char ret_key[LOGIN_KEY_MAX], struct nt_error *reterr)
{
    nt_auto_json json_t *ask = json_pack("{s:s, s:s}", "code", w->code, "verifier", w->verifier);
    nt_autofree char *body = ask ? json_dumps(ask, JSON_COMPACT) : NULL;
    if (!body)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    const struct nt_request req = { .size = sizeof(req),
                                    .method = "POST",
                                    .path = "/cli-auth/token",
                                    .body = { body, strlen(body) },
                                    .max_body_bytes = 16384 };
    struct nt_response response = { .size = sizeof(response) };
    if (api_request(w->api, &req, &response, reterr) < 0)
        return nt_wrap(reterr, "asking for the key");
    nt_auto_json json_t *got = json_loadb(response.body.data, response.body.size, 0, NULL);
    const char *key = nt_json_text(got, "api_key");
    if (!key || !key[0] || strlen(key) >= LOGIN_KEY_MAX)
        return nt_fail(reterr, NT_E_RESPONSE, "the API gave no key");
    memcpy(ret_key, key, strlen(key) + 1);
    return 0;
}

int api_login(struct api *api, const struct api_login *login, char ret_key[LOGIN_KEY_MAX],
              struct nt_error *reterr)
{
    struct waiting w = { .api = api };
    if (!api->origin)
        return nt_fail(reterr, NT_E_USAGE, "local, no login");
    int status = wait_for_code(&w, login, reterr);
    if (status == 0)
        status = get_key(&w, ret_key, reterr);
    explicit_bzero(&w, sizeof(w));
    return status;
}
