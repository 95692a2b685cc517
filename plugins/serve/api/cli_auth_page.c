/* SPDX-License-Identifier: Apache-2.0 */
/* cli_auth_page.c - the one page for people that this server has. No script, nothing from
 * elsewhere; every text of a client is escaped. */
#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "plugins/serve/api/cli_auth.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"

static void add_escaped(struct nt_buf *page, const char *text)
{
    for (const char *at = text; *at; at++)
        switch (*at) {
        case '&':
            nt_buf_add(page, "&amp;");
            break;
        case '<':
            nt_buf_add(page, "&lt;");
            break;
        case '>':
            nt_buf_add(page, "&gt;");
            break;
        case '"':
            nt_buf_add(page, "&quot;");
            break;
        case '\'':
            nt_buf_add(page, "&#39;");
            break;
        default:
            nt_buf_add_char(page, *at);
        }
}

static void add_hidden(struct nt_buf *page, const char *name, const char *value)
{
    nt_buf_addf(page, "<input type=\"hidden\" name=\"%s\" value=\"", name);
    add_escaped(page, value);
    nt_buf_add(page, "\">\n");
}

void cli_auth_page(struct exchange *x, uint32_t status, const struct cli_auth_wish *wish,
                   int64_t shown_s, const char *seal, const char *wrong)
{
    nt_auto(nt_buf_done) struct nt_buf page = NT_BUF(32768);
    nt_auto(nt_buf_done) struct nt_buf policy = NT_BUF(1024);
    uint8_t random[16];
    char nonce[64], number[24], when[40];
    struct tm utc;
    time_t shown = (time_t)shown_s;
    randombytes_buf(random, sizeof(random));
    sodium_bin2base64(nonce, sizeof(nonce), random, sizeof(random), sodium_base64_VARIANT_ORIGINAL);
    gmtime_r(&shown, &utc);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &utc);
    nt_buf_addf(
        &page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
        "<title>nanoterm: sign in</title>\n<style nonce=\"%s\">\n"
        "body { font: 16px sans-serif; max-width: 34em; margin: 3em auto; padding: 0 1em }\n"
        "input[name=code] { width: 100%%; font: 16px monospace }\n"
        ".wrong { color: #b00020 }\n</style>\n<h1>Sign in?</h1>\n<p><b>",
        nonce);
    add_escaped(&page, wish->name);
    nt_buf_addf(&page,
                "</b> asks for an API key of this server, at %s.</p>\n"
                "<p>Go on only if you have just run <code>nanoterm auth login</code> there.</p>\n",
                when);
    if (wrong)
        nt_buf_addf(&page, "<p class=\"wrong\" role=\"alert\">%s</p>\n", wrong);
    nt_buf_add(&page, "<form method=\"post\" action=\"cli-auth\">\n");
    snprintf(number, sizeof(number), "%u", wish->port);
    add_hidden(&page, "port", number);
    add_hidden(&page, "state", wish->state);
    add_hidden(&page, "challenge", wish->challenge);
    add_hidden(&page, "name", wish->name);
    snprintf(number, sizeof(number), "%lld", (long long)shown_s);
    add_hidden(&page, "shown", number);
    add_hidden(&page, "seal", seal);
    nt_buf_add(&page,
               "<p><label>Code, from the file that <code>nanoterm serve</code> named when it "
               "started<br>\n<input name=\"code\" autocomplete=\"off\" spellcheck=\"false\" "
               "autofocus required></label></p>\n"
               "<button>Sign in</button>\n</form>\n</html>\n");
    /* A form's target counts also for where its answer sends the browser. */
    nt_buf_addf(&policy,
                "default-src 'none'; style-src 'nonce-%s'; form-action 'self' "
                "http://127.0.0.1:%u; frame-ancestors 'none'; base-uri 'none'",
                nonce, wish->port);
    if (nt_buf_ok(&page) && nt_buf_ok(&policy))
        exchange_send_page(x, status, (struct nt_bytes){ page.data, page.size },
                           nt_buf_text(&policy), NULL);
    else
        exchange_fail(x, 500, "internal_error", "the page is too long");
}
