/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_sigv4_test.c - AWS signatures against published ones, how a target is written for one,
 * and what is read of the files that have the keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/net/net.h"
#include "plugins/sandbox-enforce/proxy/aws.h"
#include "plugins/sandbox-enforce/proxy/sigv4.h"
#include "sdk/cleanup.h"

#define ID "AKIDEXAMPLE"
#define KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void assert_signed(const struct sigv4 *request, const char *expected)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(64 * 1024);
    assert_null(sigv4_sign(request, &b));
    const char *at = strstr(nt_buf_text(&b), "Signature=");
    assert_non_null(at);
    assert_string_equal(at + 10, expected);
}

/* The example of the user guide, and some of the test suite that AWS has published for signers. */
static void published_signatures_come_out(void **state)
{
    static const struct net_header iam[] = {
        { "Host", "iam.amazonaws.com" },
        { "Content-Type", "application/x-www-form-urlencoded; charset=utf-8" },
        { "X-Amz-Date", "20150830T123600Z" },
        { "X-Not-Signed", "x" },
    };
    static const struct net_header plain[] = { { "Host", "example.amazonaws.com" },
                                               { "X-Amz-Date", "20150830T123600Z" } };
    struct sigv4 request = { .method = "GET",
                             .target = "/?Action=ListUsers&Version=2010-05-08",
                             .headers = iam,
                             .count = 4,
                             .payload = EMPTY,
                             .time = "20150830T123600Z",
                             .region = "us-east-1",
                             .service = "iam",
                             .id = ID,
                             .key = KEY };
    assert_signed(&request, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    request.headers = plain;
    request.count = 2;
    request.service = "service";
    request.target = "/";
    assert_signed(&request, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    request.target = "/?Param1=value1&Param2=value2";
    assert_signed(&request, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
    request.target = "//";
    assert_signed(&request, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    request.method = "POST";
    request.target = "/";
    assert_signed(&request, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    /* The same header twice could be read as either. */
    const struct net_header twice[] = { plain[0], plain[1], { "x-amz-date", "x" } };
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024);
    request.headers = twice;
    request.count = 3;
    assert_non_null(sigv4_sign(&request, &b));
}

static void targets_have_one_form(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        { "/", "/" },
        { "", "/" },
        { "/a?", "/a" },
        { "/a b/%7Ec/%2f/x%zz", "/a%20b/~c/%2F/x%25zz" },
        { "/a:b?b=2&a=%3d&a=+&c", "/a%3Ab?a=%20&a=%3D&b=2&c=" },
        { "/?a-b=1&a=2&&a.=3", "/?a=2&a-b=1&a.=3" },
        { "/?x-amz-signature=0&X-Amz-Credential=1&x=2", "/?x=2" },
        { "/%", "/%25" },
        { "/%4", "/%254" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024), again = NT_BUF(1024);
        assert_null(sigv4_target(rows[i].from, &b));
        assert_string_equal(nt_buf_text(&b), rows[i].to);
        assert_null(sigv4_target(nt_buf_text(&b), &again));
        assert_string_equal(nt_buf_text(&again), rows[i].to);
    }
    nt_auto(nt_buf_done) struct nt_buf many = NT_BUF(8192), b = NT_BUF(8192);
    nt_buf_add(&many, "/?");
    for (unsigned i = 0; i < 300; i++)
        nt_buf_addf(&many, "p%u=1&", i);
    assert_non_null(sigv4_target(nt_buf_text(&many), &b));
}

static void times_and_hashes(void **state)
{
    char time[SIGV4_TIME_SIZE], hash[SIGV4_HASH_SIZE];
    sigv4_time(1440938160, time);
    assert_string_equal(time, "20150830T123600Z");
    sigv4_hash("", 0, hash);
    assert_string_equal(hash, EMPTY);
}

static void files_are_read(void **state)
{
    static const struct {
        const char *text, *profile, *id, *key;
        bool is_config, is_there;
    } rows[] = {
        { "[default]\naws_access_key_id = A\naws_secret_access_key=B", "default", "A", "B", false,
          true },
        { "[default]\r\naws_access_key_id\t=\tA\r\naws_secret_access_key = B = C\r\n", "default",
          "A", "B = C", false, true },
        { "[ a b ]\naws_access_key_id=A ; x\n# aws_secret_access_key=B\n", "a b", "A", NULL, false,
          true },
        { "[profile a]\naws_access_key_id=A\n[a]\naws_access_key_id=B\n", "a", "A", NULL, true,
          true },
        { "[profile a]\naws_access_key_id=A\n", "a", NULL, NULL, false, false },
        { "[default]\naws_access_key_id=A\naws_access_key_id=B\n", "default", "A", NULL, true,
          true },
        { "[a]\n aws_access_key_id=A\n=x\naws_secret_access_key\n[b", "a", NULL, NULL, false,
          true },
        { "[a\n]\naws_access_key_id=A\n", "a", NULL, NULL, false, false },
        { "", "default", NULL, NULL, false, false },
        { "[]\n[ ]\n[profile]\n[profile ]\n", "default", NULL, NULL, true, false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct aws_file file = { 0 };
        assert_int_equal(aws_file_read(rows[i].text, rows[i].profile, rows[i].is_config, &file),
                         rows[i].is_there);
        if (rows[i].id)
            assert_string_equal(file.id, rows[i].id);
        else
            assert_null(file.id);
        if (rows[i].key)
            assert_string_equal(file.key, rows[i].key);
        else
            assert_null(file.key);
        aws_file_done(&file);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_signatures_come_out),
        cmocka_unit_test(targets_have_one_form),
        cmocka_unit_test(times_and_hashes),
        cmocka_unit_test(files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
