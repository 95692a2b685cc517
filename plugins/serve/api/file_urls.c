/* SPDX-License-Identifier: Apache-2.0 */
/* file_urls.c - files/download-url and files/upload-url: signed URLs of GET, PUT and POST file.
 *
 * The token is "<r|w>.<expires>.<organisation>.<mac>". The MAC (keyed BLAKE2b) covers all of it,
 * the workspace and the path, each with its length, so that no two requests have one text. The key
 * never leaves the server; who has the URL has the file, until it expires. http/auth.c checks it.
 */
#include "plugins/serve/api/file_urls.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/routes.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define LIFE_S (15 * 60)
#define MAC_BYTES crypto_generichash_BYTES
#define MAC_TEXT (4 * ((MAC_BYTES + 2) / 3) + 1)

_Static_assert(FILE_URL_KEY == crypto_generichash_KEYBYTES, "the size of the key");

/* --- the key ------------------------------------------------------------------------------- */

static int key_make(int dir, uint8_t key[FILE_URL_KEY], struct nt_error *reterr)
{
    unlinkat(dir, "url.key.new", 0);
    nt_autoclose int fd =
        openat(dir, "url.key.new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    randombytes_buf(key, FILE_URL_KEY);
    if (fd < 0 || write(fd, key, FILE_URL_KEY) != FILE_URL_KEY || fsync(fd) < 0
        || renameat(dir, "url.key.new", dir, "url.key") < 0 || fsync(dir) < 0)
        return nt_fail_sys(reterr, errno, "cannot write url.key");
    return 0;
}

int file_url_key_load(const char *store_dir, uint8_t ret_key[FILE_URL_KEY], struct nt_error *reterr)
{
    nt_autoclose int dir = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", store_dir);
    nt_autoclose int fd = openat(dir, "url.key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno != ENOENT)
        return nt_fail_sys(reterr, errno, "cannot open url.key");
    /* one that others could read or that was cut is worth nothing: URLs live for minutes only */
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()
        || (st.st_mode & 077) || read(fd, ret_key, FILE_URL_KEY) != FILE_URL_KEY)
        return key_make(dir, ret_key, reterr);
    return 0;
}

/* --- tokens -------------------------------------------------------------------------------- */

static void mac_make(const uint8_t key[FILE_URL_KEY], const char *head, const char *ws_id,
                     const char *path, char ret[MAC_TEXT])
{
    static const char purpose[] = "nanoterm file url 1";
    const char *const parts[] = { purpose, head, ws_id, path };
    uint8_t mac[MAC_BYTES];
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, FILE_URL_KEY, sizeof(mac));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t size = strlen(parts[i]);
        uint8_t bytes[8];
        for (unsigned k = 0; k < 8; k++)
            bytes[k] = (uint8_t)(size >> (8 * k));
        crypto_generichash_update(&state, bytes, sizeof(bytes));
        crypto_generichash_update(&state, (const unsigned char *)parts[i], size);
    }
    crypto_generichash_final(&state, mac, sizeof(mac));
    sodium_bin2base64(ret, MAC_TEXT, mac, sizeof(mac), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(&state, sizeof(state));
}

int file_url_sign(const uint8_t key[FILE_URL_KEY], bool is_write, const char *org_id,
                  const char *ws_id, const char *path, int64_t expires_unix,
                  char ret[FILE_URL_TOKEN_MAX])
{
    char head[80], mac[MAC_TEXT];
    int n = snprintf(head, sizeof(head), "%c.%lld.%s", is_write ? 'w' : 'r',
                     (long long)expires_unix, org_id);
    if (n < 0 || (size_t)n >= sizeof(head) || strchr(org_id, '.'))
        return -1;
    mac_make(key, head, ws_id, path, mac);
    n = snprintf(ret, FILE_URL_TOKEN_MAX, "%s.%s", head, mac);
    return n > 0 && (size_t)n < FILE_URL_TOKEN_MAX ? 0 : -1;
}

static bool is_for(char kind, const char *method)
{
    if (kind == 'r')
        return !strcmp(method, "GET") || !strcmp(method, "HEAD");
    return kind == 'w' && (!strcmp(method, "PUT") || !strcmp(method, "POST"));
}

enum file_url_verdict file_url_check(const uint8_t key[FILE_URL_KEY], const char *token,
                                     const char *method, const char *ws_id, const char *path,
                                     int64_t now_unix, char ret_org[44])
{
    char text[FILE_URL_TOKEN_MAX], mac[MAC_TEXT], number[24];
    struct nt_error error = NT_ERROR_INIT;
    uint64_t expires;
    size_t size = strlen(token);
    if (size >= sizeof(text))
        return FILE_URL_FORGED;
    memcpy(text, token, size + 1);
    char *theirs = strrchr(text, '.');
    if (!theirs)
        return FILE_URL_FORGED;
    *theirs++ = '\0';
    mac_make(key, text, ws_id, path, mac);
    if (strlen(theirs) != strlen(mac) || sodium_memcmp(theirs, mac, strlen(mac)) != 0)
        return FILE_URL_FORGED;
    /* from here on it is our own text */
    const char *when = text + 2, *org = strchr(when, '.');
    if (!org || (size_t)(org - when) >= sizeof(number) || strlen(org + 1) >= 44)
        return FILE_URL_FORGED;
    memcpy(number, when, (size_t)(org - when));
    number[org - when] = '\0';
    if (!is_for(text[0], method) || nt_parse_u64(number, 0, INT64_MAX, &expires, &error) < 0)
        return FILE_URL_FORGED;
    if ((int64_t)expires <= now_unix)
        return FILE_URL_EXPIRED;
    memcpy(ret_org, org + 1, strlen(org + 1) + 1);
    return FILE_URL_GOOD;
}

/* --- requests ------------------------------------------------------------------------------ */

/* The Host of the request, which has passed the rule of its listener (http/auth.c). NULL: the
 * exchange was answered. */
static const char *host_of(struct exchange *x)
{
    struct net_request *req = exchange_request(x);
    if (!req) {
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
        return NULL;
    }
    const char *host = net_request_header(req, "Host");
    if (net_request_peer(req)->is_unix) {
        exchange_fail(x, 501, "feature_unavailable",
                      "a Unix socket has no URL: start the server with --listen HOST:PORT");
        return NULL;
    }
    if (host && *host && strlen(host) < 256
        && host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")]
               == '\0')
        return host;
    exchange_fail(x, 400, "invalid_request", "the Host header is no name or address");
    return NULL;
}

static void make(struct exchange *x, const struct workspace *ws, bool is_write)
{
    char memory[FILE_PATH_MAX], token[FILE_URL_TOKEN_MAX];
    const char *path = file_path_of(x, ws, "path", memory);
    if (!path || !file_user_check(x))
        return;
    const char *host = host_of(x);
    if (!host)
        return;
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(16 * 1024);
    nt_buf_addf(&url, "http://%s/v1/sandboxes/%s/file?path=", host, ws->id);
    nt_buf_add_url_part(&url, path);
    if (file_url_sign(exchange_server(x)->url_key, is_write, exchange_principal(x)->org_id, ws->id,
                      path, (int64_t)time(NULL) + LIFE_S, token)
        < 0)
        url.failed = true;
    nt_buf_addf(&url, "&token=%s", token);
    if (!nt_buf_ok(&url))
        exchange_fail(x, 500, "internal_error", "the URL could not be made");
    else /* strict types: the token is in the URL, nothing else goes here */
        exchange_send_json(x, 200, json_pack("{s:s}", "url", nt_buf_text(&url)));
}

static void download_found(struct exchange *x, const struct workspace *ws, void *data)
{
    make(x, ws, false);
}

static void upload_found(struct exchange *x, const struct workspace *ws, void *data)
{
    make(x, ws, true);
}

static void download_handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), download_found, NULL);
}

static void upload_handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), upload_found, NULL);
}

static const struct route rows[] = {
    { "POST", "/v1/sandboxes/{}/files/download-url", download_handler, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/files/upload-url", upload_handler, ROUTE_JSON, 0 },
};
const struct routes file_url_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
