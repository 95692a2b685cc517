/* SPDX-License-Identifier: Apache-2.0 */
/* serve_data_clone_url_test.c - which URLs and branches may reach git, and which host they open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "plugins/serve/api/clone_url.h"

static void good_urls_name_their_host(void **state)
{
    static const struct {
        const char *url, *host;
        uint16_t port;
    } rows[] = {
        { "https://example.com/a/b.git", "example.com", 443 },
        { "http://example.com", "example.com", 80 },
        { "http://127.0.0.1:8080/r.git", "127.0.0.1", 8080 },
        { "https://[2001:db8::1]:8443/x?y=@z", "2001:db8::1", 8443 },
        { "https://[::1]/x", "::1", 443 },
        { "https://a-b.c:65535/%20", "a-b.c", 65535 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nt_error error = NT_ERROR_INIT;
        struct clone_url u;
        assert_int_equal(clone_url_check(rows[i].url, &u, &error), 0);
        assert_string_equal(u.host, rows[i].host);
        assert_int_equal(u.port, rows[i].port);
    }
}

static void hostile_urls_are_refused(void **state)
{
    static const char *const urls[] = {
        "",
        "-c",
        "--upload-pack=touch /tmp/x",
        "ssh://example.com/x",
        "git@example.com:x",
        "file:///etc",
        "ext::sh -c id",
        "HTTPS://example.com/",
        "https:/example.com",
        "https://",
        "https:///x",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://good.example@evil.example/",
        "https://good.example\\@evil.example/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://example.com/\x7f",
        "https://ex\xC3\xA4mple.com/",
        "https://example.com:/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:80:80/",
        "https://example.com:-1/",
        "https://example.com:99999999999999999999/",
        "https://-oProxyCommand=x/",
        "https://[::1/x",
        "https://[]/x",
        "https://[::1]x/",
        "https://[1.2.3.4]/",
        "https://[fe80::1%25eth0]/",
        "https://exa%6dple.com/",
        "https://example.com,evil.example/",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct nt_error error = NT_ERROR_INIT;
        struct clone_url u;
        if (clone_url_check(urls[i], &u, &error) == 0)
            fail_msg("accepted: %s", urls[i]);
        assert_int_equal(error.code, NT_E_INVALID);
    }
    char url[4000];
    memset(url, 'a', sizeof(url));
    memcpy(url, "https://", 8);
    url[sizeof(url) - 1] = 0;
    struct nt_error error = NT_ERROR_INIT;
    struct clone_url u;
    assert_int_equal(clone_url_check(url, &u, &error), -1);
    url[600] = 0; /* short enough for a URL, too long for a host */
    assert_int_equal(clone_url_check(url, &u, &error), -1);
}

static void branches_cannot_be_options(void **state)
{
    static const char *const good[] = { "main", "v1.2.3", "feature/x_y", "a" };
    static const char *const bad[] = { "",     "-x",   "--upload-pack=x",
                                       "a..b", "a b",  "a\nb",
                                       "a~1",  "a^",   "a:b",
                                       "a?",   "a*",   "a[b",
                                       "a\\b", "/a",   "a/",
                                       "a.",   "a//b", "a@{1}" };
    struct nt_error error = NT_ERROR_INIT;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(clone_branch_check(good[i], &error), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(clone_branch_check(bad[i], &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_name_their_host),
        cmocka_unit_test(hostile_urls_are_refused),
        cmocka_unit_test(branches_cannot_be_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
