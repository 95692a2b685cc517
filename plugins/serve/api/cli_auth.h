/* SPDX-License-Identifier: Apache-2.0 */
/* cli_auth.h - signing `auth login` in: what a page asks for, its seal, and the codes in flight. */
#ifndef NT_SERVE_API_CLI_AUTH_H
#define NT_SERVE_API_CLI_AUTH_H

#include "plugins/serve/server.h"

#define CLI_AUTH_HASH 32u
#define CLI_AUTH_TEXT 44u /* 32 bytes in base64url, and NUL */
#define CLI_AUTH_SEAL_S 300
#define CLI_AUTH_GRANT_MS 60000
#define CLI_AUTH_GRANTS 16u

/* What `auth login` asks for, as the page shows it. */
struct cli_auth_wish {
    uint16_t port; /* of its listener on the loopback of the browser's machine */
    char state[CLI_AUTH_TEXT];
    char challenge[CLI_AUTH_TEXT]; /* SHA-256 of its verifier (RFC 7636) */
    char name[68];                 /* of its machine; of a client, for people only */
};

/* A code that was handed to a browser and that nobody has used. */
struct cli_auth_grant {
    uint8_t code[CLI_AUTH_HASH]; /* its hash */
    char challenge[CLI_AUTH_TEXT];
    char name[68];
    int64_t until_ms; /* of the loop's clock; 0: free */
};

struct cli_auth {
    uint8_t key[CLI_AUTH_HASH];     /* of the seals; of this process only */
    uint8_t sign_in[CLI_AUTH_HASH]; /* hash of the code that is in the file */
    struct cli_auth_grant grants[CLI_AUTH_GRANTS];
    const char *dir; /* where the file is */
};

/* Makes the code to sign in with and writes it to the file `sign-in` (0600) in the folder of the
 * store. Once, at the start of a server with a TCP listener. */
int cli_auth_begin(struct server *server, const char *store_dir, struct nt_error *reterr);
void cli_auth_end(struct server *server);

/* Fills a wish from what came; false: something is missing or not of its form. */
bool cli_auth_read(const char *port, const char *state, const char *challenge, const char *name,
                   struct cli_auth_wish *ret);
/* Proves later that this very wish was shown, at that time. */
void cli_auth_seal(const struct cli_auth *auth, const struct cli_auth_wish *wish, int64_t shown_s,
                   char ret[CLI_AUTH_TEXT]);
bool cli_auth_is_sealed(const struct cli_auth *auth, const struct cli_auth_wish *wish,
                        int64_t shown_s, const char *seal, int64_t now_s);
/* Takes the grant of that code, so that it is gone; false: there is none, it is too old, or the
 * verifier is another's. */
bool cli_auth_take(struct cli_auth *auth, const char *code, const char *verifier, int64_t now_ms,
                   char ret_name[68]);
/* A new code; false: too many are in flight. */
bool cli_auth_grant(struct cli_auth *auth, const struct cli_auth_wish *wish, int64_t now_ms,
                    char ret_code[CLI_AUTH_TEXT]);
/* Whether that is the code of the file; then it is another one. -1: reterr. */
int cli_auth_sign_in(struct cli_auth *auth, const char *code, bool *ret_fine,
                     struct nt_error *reterr);

/* cli_auth_page.c: the page that asks; wrong: what was wrong with the last try, or NULL. */
void cli_auth_page(struct exchange *x, uint32_t status, const struct cli_auth_wish *wish,
                   int64_t shown_s, const char *seal, const char *wrong);

#endif
