/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_authority_test.c - certificates of a session, as OpenSSL judges them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/authority.h"

enum { NOW = 1800000000, HOUR = 3600 };

static struct policy_endpoint all[] = { { "*", "/**" } };
static struct policy_host hosts[] = {
    { .name = "api.example.com", .endpoints = all, .endpoint_count = 1 },
    { .name = "*.below.example", .endpoints = all, .endpoint_count = 1 },
    { .name = "open.example" }, /* a tunnel: nobody speaks for it */
};
static struct policy_host numbers[] = {
    { .name = "192.0.2.7", .endpoints = all, .endpoint_count = 1 },
    { .name = "2001:db8::7", .endpoints = all, .endpoint_count = 1 },
};
static struct policy_route routes[] = { { .name = "r",
                                          .upstream = "https://Route.example:8443/v1" },
                                        { .name = "h", .upstream = "http://127.0.0.1:80" } };

static struct authority *make(struct policy_host *list, size_t count, uint32_t ca_s,
                              uint32_t leaf_s)
{
    struct policy policy = { .network = POLICY_NET_FILTERED,
                             .hosts = list,
                             .host_count = count,
                             .routes = routes,
                             .route_count = 2,
                             .intercept = { .ca_s = ca_s, .leaf_s = leaf_s } };
    struct nt_error e = NT_ERROR_INIT;
    struct authority *a = NULL;
    assert_int_equal(authority_new(&policy, NOW, &a, &e), 0);
    return a;
}

static X509 *read_pem(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

/* 0, or what OpenSSL has against it. */
static int verify(struct authority *a, X509 *leaf, const char *host, time_t now)
{
    X509 *root = read_pem(authority_certificate(a));
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(context, store, leaf, NULL);
    X509_VERIFY_PARAM *how = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_time(how, now);
    X509_VERIFY_PARAM_set_flags(how, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    if (X509_VERIFY_PARAM_set1_ip_asc(how, host) != 1)
        X509_VERIFY_PARAM_set1_host(how, host, 0);
    int result = X509_verify_cert(context) == 1 ? 0 : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(root);
    return result;
}

static X509 *sign(struct authority *a, const char *host, time_t now)
{
    struct nt_buf certificate = NT_BUF(65536), key = NT_BUF(65536);
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(authority_sign(a, host, now, &certificate, &key, &e), 0);
    assert_non_null(strstr(nt_buf_text(&key), "PRIVATE KEY"));
    X509 *leaf = read_pem(nt_buf_text(&certificate));
    nt_buf_done(&certificate);
    nt_buf_done(&key);
    return leaf;
}

static int verdict(struct authority *a, const char *signed_for, const char *asked, time_t now)
{
    X509 *leaf = sign(a, signed_for, NOW);
    int result = verify(a, leaf, asked, now);
    X509_free(leaf);
    return result;
}

static void it_speaks_for_the_hosts_of_the_policy_alone(void **state)
{
    struct authority *a = make(hosts, 3, 24 * HOUR, HOUR);
    assert_int_equal(verdict(a, "api.example.com", "api.example.com", NOW), 0);
    assert_int_equal(verdict(a, "a.b.below.example", "a.b.below.example", NOW), 0);
    assert_int_equal(verdict(a, "route.example", "route.example", NOW), 0);
    assert_int_equal(verdict(a, "api.example.com", "other.example.com", NOW),
                     X509_V_ERR_HOSTNAME_MISMATCH);
    /* Whoever had the key could sign more; nobody would believe it. */
    assert_int_equal(verdict(a, "open.example", "open.example", NOW),
                     X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verdict(a, "example.com", "example.com", NOW), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verdict(a, "127.0.0.1", "127.0.0.1", NOW), X509_V_ERR_EXCLUDED_VIOLATION);
    assert_int_equal(verdict(a, "::1", "::1", NOW), X509_V_ERR_EXCLUDED_VIOLATION);
    authority_free(a);
    a = make(numbers, 2, 24 * HOUR, HOUR);
    assert_int_equal(verdict(a, "192.0.2.7", "192.0.2.7", NOW), 0);
    assert_int_equal(verdict(a, "2001:db8::7", "2001:db8::7", NOW), 0);
    assert_int_equal(verdict(a, "192.0.2.8", "192.0.2.8", NOW), X509_V_ERR_PERMITTED_VIOLATION);
    authority_free(a);
}

static void times_are_bounded(void **state)
{
    struct authority *a = make(hosts, 3, 2 * HOUR, HOUR);
    assert_int_equal(verdict(a, "api.example.com", "api.example.com", NOW + HOUR - 1), 0);
    assert_int_equal(verdict(a, "api.example.com", "api.example.com", NOW + HOUR + 1),
                     X509_V_ERR_CERT_HAS_EXPIRED);
    /* Late in its life the authority gives no more than it has. */
    X509 *leaf = sign(a, "api.example.com", NOW + 2 * HOUR - 60),
         *root = read_pem(authority_certificate(a));
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(root)), 0);
    X509_free(leaf);
    X509_free(root);
    struct nt_buf certificate = NT_BUF(65536), key = NT_BUF(65536);
    struct nt_error e = NT_ERROR_INIT;
    struct net_tls *tls = NULL;
    assert_int_equal(authority_sign(a, "api.example.com", NOW + 2 * HOUR, &certificate, &key, &e),
                     -1);
    assert_int_equal(authority_tls(a, "api.example.com", NOW + 2 * HOUR, &tls, &e), -1);
    assert_non_null(strstr(e.message, "expired"));
    assert_null(tls);
    authority_free(a);
}

static void one_is_used_until_half_of_its_time_is_over(void **state)
{
    struct authority *a = make(hosts, 3, 24 * HOUR, HOUR);
    struct nt_error e = NT_ERROR_INIT;
    struct net_tls *first = NULL, *next = NULL, *other = NULL;
    assert_int_equal(authority_tls(a, "api.example.com", NOW, &first, &e), 0);
    assert_int_equal(authority_tls(a, "a.below.example", NOW, &other, &e), 0);
    assert_int_equal(authority_tls(a, "api.example.com", NOW + HOUR / 2 - 1, &next, &e), 0);
    assert_ptr_equal(first, next);
    assert_ptr_not_equal(first, other);
    /* A clock that went back: it may not be valid yet. */
    struct net_tls *before = NULL;
    assert_int_equal(authority_tls(a, "a.below.example", NOW - 2 * HOUR, &before, &e), 0);
    assert_int_equal(authority_tls(a, "api.example.com", NOW + HOUR / 2, &next, &e), 0);
    /* Many hosts: the oldest make room. */
    for (int i = 0; i < 200; i++) {
        char host[64];
        snprintf(host, sizeof(host), "h%d.below.example", i);
        assert_int_equal(authority_tls(a, host, NOW + HOUR + i, &other, &e), 0);
        assert_non_null(other);
    }
    authority_free(a);
}

static void names_are_what_they_seem(void **state)
{
    static const char *const bad[] = {
        "a,DNS:evil.example", "*.example.com", "A.example.com", "",        "a b", "[::1]",
        "a.example.",         "a\n",           "fe80::1%eth0",  "@section"
    };
    struct authority *a = make(hosts, 3, 24 * HOUR, HOUR);
    struct nt_buf certificate = NT_BUF(65536), key = NT_BUF(65536);
    struct nt_error e = NT_ERROR_INIT;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(authority_sign(a, bad[i], NOW, &certificate, &key, &e), -1);
    assert_int_equal(certificate.size + key.size, 0);
    /* Longer than a common name may be. */
    char host[80];
    memset(host, 'a', sizeof(host));
    memcpy(host + 60, ".below.example", sizeof(".below.example"));
    assert_int_equal(verdict(a, host, host, NOW), 0);
    authority_free(a);
}

static void each_has_keys_and_numbers_of_its_own(void **state)
{
    struct authority *a = make(hosts, 3, 24 * HOUR, HOUR), *b = make(hosts, 3, 24 * HOUR, HOUR);
    X509 *one = sign(a, "api.example.com", NOW), *two = sign(a, "api.example.com", NOW);
    assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(one), X509_get0_pubkey(two)), 1);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(one), X509_get0_serialNumber(two)),
                         0);
    /* Of another session. */
    assert_int_not_equal(verify(b, one, "api.example.com", NOW), 0);
    X509_free(one);
    X509_free(two);
    authority_free(a);
    authority_free(b);
    authority_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_speaks_for_the_hosts_of_the_policy_alone),
        cmocka_unit_test(times_are_bounded),
        cmocka_unit_test(one_is_used_until_half_of_its_time_is_over),
        cmocka_unit_test(names_are_what_they_seem),
        cmocka_unit_test(each_has_keys_and_numbers_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
