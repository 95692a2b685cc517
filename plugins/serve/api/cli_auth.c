/* SPDX-License-Identifier: Apache-2.0 */
/* cli_auth.c - what signs `auth login` in, without its pages and routes.
 *
 * Whoever can read the file `sign-in` of the server is its owner; the code in it is good for one
 * login. There is no session: a cookie of loopback goes to every port of it, also to one that a
 * workspace has published. What a page showed is sealed, so that nothing else can be agreed to, and
 * the code that the browser carries to the client is worth nothing without the client's verifier
 * (RFC 7636): it stays in the browser's history. */
#include "plugins/serve/api/cli_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define FILE_NAME "sign-in"
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

static void random_text(char ret[CLI_AUTH_TEXT])
{
    uint8_t bytes[32];
    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2base64(ret, CLI_AUTH_TEXT, bytes, sizeof(bytes), VARIANT);
    sodium_memzero(bytes, sizeof(bytes));
}

static void hash_text(const char *text, uint8_t ret[CLI_AUTH_HASH])
{
    crypto_generichash(ret, CLI_AUTH_HASH, (const unsigned char *)text, strlen(text), NULL, 0);
}

static bool is_text(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return text && strlen(text) == CLI_AUTH_TEXT - 1 && strspn(text, letters) == strlen(text);
}

/* --- the file ------------------------------------------------------------------------------ */

static int write_file(const char *dir, const char *code, struct nt_error *reterr)
{
    nt_autoclose int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", dir);
    unlinkat(dir_fd, FILE_NAME ".new", 0);
    nt_autoclose int fd = openat(dir_fd, FILE_NAME ".new",
                                 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || dprintf(fd, "%s\n", code) < 0
        || renameat(dir_fd, FILE_NAME ".new", dir_fd, FILE_NAME) < 0)
        return nt_fail_sys(reterr, errno, "cannot write %s", FILE_NAME);
    return 0;
}

static int renew(struct cli_auth *auth, struct nt_error *reterr)
{
    char code[CLI_AUTH_TEXT];
    random_text(code);
    hash_text(code, auth->sign_in); /* the old one is worth nothing even when this fails */
    int status = write_file(auth->dir, code, reterr);
    sodium_memzero(code, sizeof(code));
    return status;
}

int cli_auth_begin(struct server *server, const char *store_dir, struct nt_error *reterr)
{
    struct cli_auth *auth = calloc(1, sizeof(*auth));
    if (!auth)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for logins");
    auth->dir = store_dir;
    randombytes_buf(auth->key, sizeof(auth->key));
    server->cli_auth = auth;
    return renew(auth, reterr);
}

void cli_auth_end(struct server *server)
{
    if (!server->cli_auth)
        return;
    nt_autoclose int dir_fd = open(server->cli_auth->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd >= 0)
        unlinkat(dir_fd, FILE_NAME, 0);
    sodium_memzero(server->cli_auth, sizeof(*server->cli_auth));
    free(server->cli_auth);
    server->cli_auth = NULL;
}

int cli_auth_sign_in(struct cli_auth *auth, const char *code, bool *ret_fine,
                     struct nt_error *reterr)
{
    uint8_t hash[CLI_AUTH_HASH];
    hash_text(code, hash);
    *ret_fine = is_text(code) && sodium_memcmp(hash, auth->sign_in, sizeof(hash)) == 0;
    return *ret_fine ? renew(auth, reterr) : 0;
}

/* --- wishes and their seals ---------------------------------------------------------------- */

bool cli_auth_read(const char *port, const char *state, const char *challenge, const char *name,
                   struct cli_auth_wish *ret)
{
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t number;
    if (!port || !is_text(state) || !is_text(challenge)
        || nt_parse_u64(port, 1024, 65535, &number, &ignored) < 0)
        return false;
    *ret = (struct cli_auth_wish){ .port = (uint16_t)number };
    memcpy(ret->state, state, CLI_AUTH_TEXT);
    memcpy(ret->challenge, challenge, CLI_AUTH_TEXT);
    nt_auto(nt_buf_done) struct nt_buf shown = NT_BUF(4096);
    nt_buf_add_printable(&shown, name ? name : "", false);
    nt_copy_text(ret->name, sizeof(ret->name), nt_buf_ok(&shown) ? nt_buf_text(&shown) : "");
    return ret->name[0] != '\0';
}

void cli_auth_seal(const struct cli_auth *auth, const struct cli_auth_wish *wish, int64_t shown_s,
                   char ret[CLI_AUTH_TEXT])
{
    struct {
        int64_t shown_s;
        struct cli_auth_wish wish;
    } all;
    uint8_t hash[CLI_AUTH_HASH];
    memset(&all, 0, sizeof(all)); /* no byte between the members is left to chance */
    all.shown_s = shown_s;
    all.wish.port = wish->port;
    nt_copy_text(all.wish.state, sizeof(all.wish.state), wish->state);
    nt_copy_text(all.wish.challenge, sizeof(all.wish.challenge), wish->challenge);
    nt_copy_text(all.wish.name, sizeof(all.wish.name), wish->name);
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)&all, sizeof(all), auth->key,
                       sizeof(auth->key));
    sodium_bin2base64(ret, CLI_AUTH_TEXT, hash, sizeof(hash), VARIANT);
}

bool cli_auth_is_sealed(const struct cli_auth *auth, const struct cli_auth_wish *wish,
                        int64_t shown_s, const char *seal, int64_t now_s)
{
    char ours[CLI_AUTH_TEXT];
    cli_auth_seal(auth, wish, shown_s, ours);
    return is_text(seal) && sodium_memcmp(ours, seal, sizeof(ours)) == 0 && shown_s <= now_s
           && now_s - shown_s < CLI_AUTH_SEAL_S;
}

/* --- codes --------------------------------------------------------------------------------- */

bool cli_auth_grant(struct cli_auth *auth, const struct cli_auth_wish *wish, int64_t now_ms,
                    char ret_code[CLI_AUTH_TEXT])
{
    for (size_t i = 0; i < CLI_AUTH_GRANTS; i++) {
        struct cli_auth_grant *grant = &auth->grants[i];
        if (grant->until_ms > now_ms)
            continue;
        *grant = (struct cli_auth_grant){ .until_ms = now_ms + CLI_AUTH_GRANT_MS };
        random_text(ret_code);
        hash_text(ret_code, grant->code);
        memcpy(grant->challenge, wish->challenge, sizeof(grant->challenge));
        memcpy(grant->name, wish->name, sizeof(grant->name));
        return true;
    }
    return false;
}

bool cli_auth_take(struct cli_auth *auth, const char *code, const char *verifier, int64_t now_ms,
                   char ret_name[68])
{
    uint8_t hash[CLI_AUTH_HASH], proof[crypto_hash_sha256_BYTES];
    char challenge[CLI_AUTH_TEXT];
    if (!is_text(code) || !is_text(verifier))
        return false;
    hash_text(code, hash);
    crypto_hash_sha256(proof, (const unsigned char *)verifier, strlen(verifier));
    sodium_bin2base64(challenge, sizeof(challenge), proof, sizeof(proof), VARIANT);
    for (size_t i = 0; i < CLI_AUTH_GRANTS; i++) {
        struct cli_auth_grant *grant = &auth->grants[i];
        if (grant->until_ms <= now_ms || sodium_memcmp(grant->code, hash, sizeof(hash)) != 0)
            continue;
        bool is_fine = sodium_memcmp(grant->challenge, challenge, sizeof(challenge)) == 0;
        memcpy(ret_name, grant->name, sizeof(grant->name));
        *grant = (struct cli_auth_grant){ 0 }; /* whoever came: a code is good once */
        return is_fine;
    }
    return false;
}
