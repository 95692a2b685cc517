/* SPDX-License-Identifier: Apache-2.0 */
/* serve_files_test.c - forged URLs of files, and multipart bodies in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/serve/api/file_urls.h"
#include "plugins/serve/api/multipart.h"
#include "sdk/buf.h"
#include "sdk/error.h"

static const uint8_t key[FILE_URL_KEY] = { 1, 2, 3 };

static enum file_url_verdict check(const char *token, const char *method, const char *ws,
                                   const char *path, int64_t now)
{
    char org[44];
    enum file_url_verdict v = file_url_check(key, token, method, ws, path, now, org);
    if (v == FILE_URL_GOOD)
        assert_string_equal(org, "org_a");
    return v;
}

static void a_token_is_for_one_thing(void **state)
{
    (void)state;
    char r[FILE_URL_TOKEN_MAX], w[FILE_URL_TOKEN_MAX];
    assert_int_equal(file_url_sign(key, false, "org_a", "ws_1", "/a/b", 1000, r), 0);
    assert_int_equal(file_url_sign(key, true, "org_a", "ws_1", "/a/b", 1000, w), 0);
    assert_int_equal(check(r, "GET", "ws_1", "/a/b", 999), FILE_URL_GOOD);
    assert_int_equal(check(r, "HEAD", "ws_1", "/a/b", 0), FILE_URL_GOOD);
    assert_int_equal(check(w, "PUT", "ws_1", "/a/b", 999), FILE_URL_GOOD);
    assert_int_equal(check(w, "POST", "ws_1", "/a/b", 999), FILE_URL_GOOD);
    assert_int_equal(check(r, "PUT", "ws_1", "/a/b", 999), FILE_URL_FORGED);
    assert_int_equal(check(w, "GET", "ws_1", "/a/b", 999), FILE_URL_FORGED);
    assert_int_equal(check(w, "DELETE", "ws_1", "/a/b", 999), FILE_URL_FORGED);
    assert_int_equal(check(r, "GET", "ws_1", "/a/c", 999), FILE_URL_FORGED);
    assert_int_equal(check(r, "GET", "ws_2", "/a/b", 999), FILE_URL_FORGED);
    assert_int_equal(check(r, "GET", "ws_1/", "a/b", 999), FILE_URL_FORGED);
    assert_int_equal(check(r, "GET", "ws_1", "/a/b", 1000), FILE_URL_EXPIRED);
}

static void every_changed_byte_is_noticed(void **state)
{
    (void)state;
    char token[FILE_URL_TOKEN_MAX], other[FILE_URL_TOKEN_MAX];
    assert_int_equal(file_url_sign(key, false, "org_a", "ws_1", "/a", 1000, token), 0);
    size_t size = strlen(token);
    for (size_t i = 0; i < size; i++) {
        memcpy(other, token, size + 1);
        other[i] = other[i] == 'x' ? 'y' : 'x';
        assert_int_equal(check(other, "GET", "ws_1", "/a", 0), FILE_URL_FORGED);
        memcpy(other, token, size + 1);
        other[i] = '\0'; /* cut */
        assert_int_equal(check(other, "GET", "ws_1", "/a", 0), FILE_URL_FORGED);
    }
    assert_true(size + 1 < sizeof(other)); /* one character more */
    memcpy(other, token, size);
    memcpy(other + size, "A", sizeof("A"));
    assert_int_equal(check(other, "GET", "ws_1", "/a", 0), FILE_URL_FORGED);
    uint8_t foreign[FILE_URL_KEY] = { 9 };
    char org[44];
    assert_int_equal(file_url_check(foreign, token, "GET", "ws_1", "/a", 0, org), FILE_URL_FORGED);
}

static void the_key_is_kept_and_private(void **state)
{
    (void)state;
    char dir[] = "/tmp/nt-urls-XXXXXX", path[64];
    struct nt_error error = NT_ERROR_INIT;
    uint8_t first[FILE_URL_KEY], again[FILE_URL_KEY];
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/url.key", dir);
    assert_int_equal(file_url_key_load(dir, first, &error), 0);
    assert_int_equal(file_url_key_load(dir, again, &error), 0);
    assert_memory_equal(first, again, FILE_URL_KEY);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(chmod(path, 0644), 0); /* others may have read it: it is made anew */
    assert_int_equal(file_url_key_load(dir, again, &error), 0);
    assert_memory_not_equal(first, again, FILE_URL_KEY);
    unlink(path);
    rmdir(dir);
}

/* --- multipart ----------------------------------------------------------------------------- */

/* What a body says, fed in pieces: "[name:content]…." or "!". */
static void said(const char *type, const char *body, size_t size, size_t piece, struct nt_buf *ret)
{
    struct multipart m;
    struct nt_buf pending = NT_BUF(65536);
    size_t fed = 0;
    assert_int_equal(multipart_init(&m, type), 0);
    for (bool goes = true; goes;) {
        size_t used;
        struct nt_bytes bytes;
        switch (multipart_next(&m, nt_buf_text(&pending), pending.size, &used, &bytes)) {
        case MULTIPART_PART:
            nt_buf_addf(ret, "[%s:", m.name);
            break;
        case MULTIPART_DATA:
            nt_buf_add_bytes(ret, bytes.data ? bytes.data : "", bytes.size);
            break;
        case MULTIPART_PART_END:
            nt_buf_add(ret, "]");
            break;
        case MULTIPART_END:
            nt_buf_add(ret, fed == size ? "." : "");
            goes = fed < size;
            break;
        case MULTIPART_MORE:
            goes = fed < size;
            break;
        default:
            nt_buf_add(ret, "!");
            goes = false;
        }
        nt_buf_drop(&pending, used);
        if (goes && !used && fed < size) {
            size_t n = size - fed < piece ? size - fed : piece;
            nt_buf_add_bytes(&pending, body + fed, n);
            fed += n;
        }
    }
    nt_buf_done(&pending);
}

static void says(const char *type, const char *body, const char *expected)
{
    for (size_t piece = 1; piece <= strlen(body) + 1; piece++) {
        struct nt_buf ret = NT_BUF(65536);
        said(type, body, strlen(body), piece, &ret);
        assert_string_equal(nt_buf_text(&ret), expected);
        nt_buf_done(&ret);
    }
}

#define TYPE "multipart/form-data; boundary=B"
#define NAME(n) "Content-Disposition: form-data; name=\"" n "\""

static void bodies_come_in_any_pieces(void **state)
{
    (void)state;
    says(TYPE,
         "--B\r\n" NAME("a") "\r\n\r\none\r\n--B\r\n" NAME(
             "b") "; filename=\"x\"\r\n"
                  "Content-Type: text/plain\r\n\r\n\r\n--A\r\n-\r\n--B--\r\n",
         "[a:one][b:\r\n--A\r\n-].");
    says(TYPE, "--B\r\n" NAME("a") "\r\n\r\n\r\n--B--", "[a:].");
    says("Multipart/Form-Data;boundary=\"B\"", "--B\r\n" NAME("a") "\r\n\r\n-\r\n--B--\r\n",
         "[a:-].");
}

static void hostile_bodies_are_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "x--B\r\n",
        "--C\r\n",
        "--Bx",
        "--B\r\n" NAME("a\\\"") "\r\n\r\n",
        "--B\r\nX: y\r\n\r\n",
        "--B\r\n" NAME("a") "; name=\"b\"\r\n\r\n",
        "--B\r\n" NAME("a") "\r\n" NAME("a") "\r\n\r\n",
        "--B\r\nContent-Transfer-Encoding: base64\r\n" NAME("a") "\r\n\r\n",
        "--B\r\n folded\r\n\r\n",
        "--B\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        says(TYPE, broken[i], "!");
    static const char *const types[] = {
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=B",
        "multipart/form-data; boundary=\"B",
        "multipart/form-data; boundary=a\r\nb",
        "multipart/form-data; boundary=B; charset=x",
    };
    struct multipart m;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        assert_int_equal(multipart_init(&m, types[i]), -1);
    char type[128] = "multipart/form-data; boundary=";
    memset(type + strlen(type), 'a', 71);
    assert_int_equal(multipart_init(&m, type), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_for_one_thing),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(the_key_is_kept_and_private),
        cmocka_unit_test(bodies_come_in_any_pieces),
        cmocka_unit_test(hostile_bodies_are_refused),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
