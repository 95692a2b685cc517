/* SPDX-License-Identifier: Apache-2.0 */
/* authority.c - makes keys and certificates (RFC 5280) with OpenSSL 3, which is opened when the
 * first authority is made. No key leaves this process, and none is written to a file; a process
 * that is not dumpable has no core to leave one in. */
#include "plugins/sandbox-enforce/proxy/authority.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/hosts.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/symbol.h"

enum {
    LEAVES = 64,        /* hosts with a certificate at once; the oldest makes room */
    EARLIER_S = 5 * 60, /* clocks differ */
    NAMES_MAX = 32 * 1024,
    PEM_MAX = 64 * 1024,
    SECURE_BYTES = 256 * 1024, /* locked memory: of keys */
    SECURE_LEAST = 16,
};

#define FUNCTIONS(X)                                                                               \
    X(ASN1_INTEGER_set_uint64)                                                                     \
    X(ASN1_TIME_set)                                                                               \
    X(BIO_ctrl)                                                                                    \
    X(BIO_free)                                                                                    \
    X(BIO_new)                                                                                     \
    X(BIO_s_mem)                                                                                   \
    X(BIO_s_secmem)                                                                                \
    X(CRYPTO_secure_malloc_init)                                                                   \
    X(ERR_clear_error)                                                                             \
    X(EVP_PKEY_Q_keygen)                                                                           \
    X(EVP_PKEY_free)                                                                               \
    X(EVP_sha256)                                                                                  \
    X(PEM_write_bio_PrivateKey)                                                                    \
    X(PEM_write_bio_X509)                                                                          \
    X(X509V3_EXT_conf_nid)                                                                         \
    X(X509V3_set_ctx)                                                                              \
    X(X509_EXTENSION_free)                                                                         \
    X(X509_NAME_add_entry_by_txt)                                                                  \
    X(X509_add_ext)                                                                                \
    X(X509_free)                                                                                   \
    X(X509_get_serialNumber)                                                                       \
    X(X509_get_subject_name)                                                                       \
    X(X509_getm_notAfter)                                                                          \
    X(X509_getm_notBefore)                                                                         \
    X(X509_new)                                                                                    \
    X(X509_set_issuer_name)                                                                        \
    X(X509_set_pubkey)                                                                             \
    X(X509_set_version)                                                                            \
    X(X509_sign)

#define DECLARE(name) __typeof__(&name) name;
static struct {
    pthread_once_t once;
    bool ok;
    FUNCTIONS(DECLARE)
} lib = { .once = PTHREAD_ONCE_INIT };

static void open_library(void)
{
    /* Without the one that serves there is nothing to sign for. It brings libcrypto. */
    void *handle = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return;
    lib.ok = true;
#define FIND(name) lib.ok = nt_symbol(handle, #name, &lib.name) && lib.ok;
    FUNCTIONS(FIND)
#undef FIND
    /* From now on the numbers of keys lie in memory that is neither swapped nor dumped. Without it
     * they lie elsewhere. */
    if (lib.ok)
        lib.CRYPTO_secure_malloc_init(SECURE_BYTES, SECURE_LEAST);
}

/* A host with a certificate. */
struct leaf {
    char host[HOST_MAX];
    struct net_tls *tls; /* NULL: the place is free */
    time_t made, until;
};

struct authority {
    EVP_PKEY *key;
    X509 *certificate;
    char *text;
    time_t until;
    uint32_t leaf_s;
    struct leaf leaves[LEAVES];
};

static int fail(struct nt_error *reterr, const char *what)
{
    lib.ERR_clear_error();
    return nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "OpenSSL cannot make %s", what);
}

/* --- parts of certificates ------------------------------------------------------------------ */

static bool add_extension(X509 *certificate, X509V3_CTX *about, int nid, const char *value)
{
    X509_EXTENSION *extension = lib.X509V3_EXT_conf_nid(NULL, about, nid, value);
    bool is_added = extension && lib.X509_add_ext(certificate, extension, -1) == 1;
    lib.X509_EXTENSION_free(extension);
    return is_added;
}

static bool set_name(X509 *certificate, const char *name)
{
    X509_NAME *subject = lib.X509_get_subject_name(certificate);
    return lib.X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC,
                                          (const unsigned char *)"nanoterm sandbox", -1, -1, 0)
               == 1
           && lib.X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                             (const unsigned char *)name, -1, -1, 0)
                  == 1;
}

/* What all have: version 3, a number nobody can guess, times, name and key. */
static X509 *begin(EVP_PKEY *key, const char *name, time_t from, time_t until)
{
    uint64_t number;
    X509 *certificate = lib.X509_new();
    bool is_good =
        certificate && getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number)
        && lib.X509_set_version(certificate, 2) == 1 /* counted from 0 */
        && lib.ASN1_INTEGER_set_uint64(lib.X509_get_serialNumber(certificate), number >> 1 | 1) == 1
        && lib.ASN1_TIME_set(lib.X509_getm_notBefore(certificate), from)
        && lib.ASN1_TIME_set(lib.X509_getm_notAfter(certificate), until)
        && set_name(certificate, name) && lib.X509_set_pubkey(certificate, key) == 1;
    if (is_good)
        return certificate;
    lib.X509_free(certificate);
    return NULL;
}

/* What was written to BIO, which is freed. */
static bool take_text(BIO *bio, bool is_written, struct nt_buf *ret)
{
    char *data = NULL;
    long size = is_written ? lib.BIO_ctrl(bio, BIO_CTRL_INFO, 0, &data) : 0;
    if (size > 0)
        nt_buf_add_bytes(ret, data, (size_t)size);
    lib.BIO_free(bio);
    return size > 0 && nt_buf_ok(ret);
}

static bool add_certificate(X509 *certificate, struct nt_buf *ret)
{
    BIO *bio = lib.BIO_new(lib.BIO_s_mem());
    return bio && take_text(bio, lib.PEM_write_bio_X509(bio, certificate) == 1, ret);
}

static bool add_key(EVP_PKEY *key, struct nt_buf *ret)
{
    BIO *bio = lib.BIO_new(lib.BIO_s_secmem());
    return bio
           && take_text(bio, lib.PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1,
                        ret);
}

/* --- the authority -------------------------------------------------------------------------- */

/* 4 or 6 of an address, 0 of a name. */
static int family_of(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 ? 4 : inet_pton(AF_INET6, host, bytes) == 1 ? 6 : 0;
}

static void permit(struct nt_buf *b, const char *host, bool *has_name, bool *has_number)
{
    if (strncmp(host, "*.", 2) == 0)
        host += 2; /* a name stands for those below it, too */
    int family = family_of(host);
    if (strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._:") != strlen(host))
        return;
    if (family)
        nt_buf_addf(b, ",permitted;IP:%s/%s", host,
                    family == 4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    else
        nt_buf_addf(b, ",permitted;DNS:%s", host);
    *has_name = *has_name || !family;
    *has_number = *has_number || family;
}

/* The hosts that it may speak for (RFC 5280 section 4.2.1.10). A kind of which none is named would
 * not be limited at all: it gets one that is nobody's. */
static bool add_constraints(X509 *certificate, X509V3_CTX *about, const struct policy *policy)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(NAMES_MAX);
    bool has_name = false, has_number = false;
    char host[POLICY_HOST_MAX];
    nt_buf_add(&b, "critical");
    for (size_t i = 0; policy_intercepted(policy, i, host); i++)
        permit(&b, host, &has_name, &has_number);
    if (!has_name)
        nt_buf_add(&b, ",permitted;DNS:invalid");
    if (!has_number)
        nt_buf_add(&b, ",excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::");
    return nt_buf_ok(&b)
           && add_extension(certificate, about, NID_name_constraints, nt_buf_text(&b));
}

static bool make_certificate(struct authority *a, const struct policy *policy, time_t now)
{
    X509V3_CTX about;
    unsigned char random[8];
    char name[64] = "session ";
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return false;
    for (size_t i = 0; i < sizeof(random); i++) {
        name[8 + 2 * i] = "0123456789abcdef"[random[i] >> 4];
        name[9 + 2 * i] = "0123456789abcdef"[random[i] & 15];
    }
    a->until = now + (time_t)policy->intercept.ca_s;
    a->certificate = begin(a->key, name, now - EARLIER_S, a->until);
    if (!a->certificate)
        return false;
    lib.X509V3_set_ctx(&about, a->certificate, a->certificate, NULL, NULL, 0);
    return lib.X509_set_issuer_name(a->certificate, lib.X509_get_subject_name(a->certificate)) == 1
           && add_extension(a->certificate, &about, NID_basic_constraints,
                            "critical,CA:TRUE,pathlen:0")
           && add_extension(a->certificate, &about, NID_key_usage, "critical,keyCertSign")
           && add_extension(a->certificate, &about, NID_subject_key_identifier, "hash")
           && add_constraints(a->certificate, &about, policy)
           && lib.X509_sign(a->certificate, a->key, lib.EVP_sha256()) > 0;
}

int authority_new(const struct policy *policy, time_t now, struct authority **ret,
                  struct nt_error *reterr)
{
    pthread_once(&lib.once, open_library);
    if (!lib.ok) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "OpenSSL 3 (libssl.so.3) cannot be opened");
        return nt_hint(reterr, "install libssl3");
    }
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(PEM_MAX);
    struct authority *a = calloc(1, sizeof(*a));
    if (!a)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for certificates");
    a->leaf_s = policy->intercept.leaf_s;
    a->key = lib.EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    if (!a->key || !make_certificate(a, policy, now) || !add_certificate(a->certificate, &text)
        || !(a->text = nt_buf_take(&text))) {
        authority_free(a);
        return fail(reterr, "an authority");
    }
    *ret = a;
    return 0;
}

void authority_free(struct authority *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < LEAVES; i++)
        net_tls_free(a->leaves[i].tls);
    lib.X509_free(a->certificate);
    lib.EVP_PKEY_free(a->key);
    free(a->text);
    free(a);
}

const char *authority_certificate(const struct authority *a)
{
    return a->text;
}

/* --- hosts ---------------------------------------------------------------------------------- */

static X509 *sign(struct authority *a, EVP_PKEY *key, const char *host, time_t now, time_t until)
{
    X509V3_CTX about;
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(2 * HOST_MAX);
    /* A common name has at most 64 characters, and one that looks like a name is held to the
     * authority's limits for names. Nobody goes by it: the host stands below. */
    bool has_name = !family_of(host) && strlen(host) <= 64;
    X509 *leaf = begin(key, has_name ? host : "(a host)", now - EARLIER_S, until);
    if (!leaf)
        return NULL;
    nt_buf_addf(&name, family_of(host) ? "IP:%s" : "DNS:%s", host);
    lib.X509V3_set_ctx(&about, a->certificate, leaf, NULL, NULL, 0);
    if (lib.X509_set_issuer_name(leaf, lib.X509_get_subject_name(a->certificate)) == 1
        && add_extension(leaf, &about, NID_basic_constraints, "critical,CA:FALSE")
        && add_extension(leaf, &about, NID_key_usage, "critical,digitalSignature")
        && add_extension(leaf, &about, NID_ext_key_usage, "serverAuth")
        && add_extension(leaf, &about, NID_subject_key_identifier, "hash")
        && add_extension(leaf, &about, NID_authority_key_identifier, "keyid:always")
        && add_extension(leaf, &about, NID_subject_alt_name, nt_buf_text(&name))
        && lib.X509_sign(leaf, a->key, lib.EVP_sha256()) > 0)
        return leaf;
    lib.X509_free(leaf);
    return NULL;
}

static time_t leaf_until(const struct authority *a, time_t now)
{
    time_t until = now + (time_t)a->leaf_s;
    return until < a->until ? until : a->until;
}

int authority_sign(struct authority *a, const char *host, time_t now,
                   struct nt_buf *ret_certificate, struct nt_buf *ret_key, struct nt_error *reterr)
{
    char plain[HOST_MAX];
    /* Commas and the like would begin another name. */
    if (!host_plain(host, plain) || strcmp(plain, host) != 0 || strpbrk(host, "*%"))
        return nt_fail(reterr, NT_E_INVALID, "%.64s cannot be in a certificate", host);
    if (now >= a->until) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "the session's certificate authority has expired");
        return nt_hint(reterr, "a profile's network.tls_intercept.ca_validity says how long it is "
                               "valid");
    }
    EVP_PKEY *key = lib.EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *leaf = key ? sign(a, key, host, now, leaf_until(a, now)) : NULL;
    bool is_made = leaf && add_certificate(leaf, ret_certificate) && add_key(key, ret_key);
    lib.X509_free(leaf);
    lib.EVP_PKEY_free(key);
    return is_made ? 0 : fail(reterr, "a certificate");
}

/* The host's own place, else a free one, else the one that was filled first. */
static struct leaf *place_of(struct authority *a, const char *host)
{
    struct leaf *best = &a->leaves[0];
    for (size_t i = 0; i < LEAVES; i++) {
        struct leaf *leaf = &a->leaves[i];
        if (leaf->tls && strcmp(leaf->host, host) == 0)
            return leaf;
        if (best->tls && (!leaf->tls || leaf->made < best->made))
            best = leaf;
    }
    return best;
}

int authority_tls(struct authority *a, const char *host, time_t now, struct net_tls **ret,
                  struct nt_error *reterr)
{
    struct leaf *leaf = place_of(a, host);
    nt_auto(nt_buf_done) struct nt_buf certificate = NT_BUF(PEM_MAX);
    nt_auto(nt_buf_done) struct nt_buf key = NT_BUF(PEM_MAX);
    struct net_tls *tls = NULL;
    bool is_good = leaf->tls && strcmp(leaf->host, host) == 0 && now >= leaf->made
                   && now < leaf->made + (leaf->until - leaf->made + 1) / 2;
    if (is_good) {
        *ret = leaf->tls;
        return 0;
    }
    nt_buf_room(&key, 4096); /* so that it is not moved, and a copy left behind */
    int result = authority_sign(a, host, now, &certificate, &key, reterr);
    if (result == 0)
        result = net_tls_new((struct nt_bytes){ nt_buf_text(&certificate), certificate.size },
                             (struct nt_bytes){ nt_buf_text(&key), key.size }, &tls, reterr);
    if (key.data)
        explicit_bzero(key.data, key.size);
    if (result < 0)
        return -1;
    net_tls_free(leaf->tls);
    *leaf = (struct leaf){ .tls = tls, .made = now, .until = leaf_until(a, now) };
    memcpy(leaf->host, host, strlen(host) + 1);
    *ret = tls;
    return 0;
}
