/* SPDX-License-Identifier: Apache-2.0 */
/* sigv4.c - AWS Signature Version 4: the canonical request, its hash, and the key that signs it. */
#include "plugins/sandbox-enforce/proxy/sigv4.h"

#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/net/net.h"
#include "sdk/cleanup.h"

enum { PAIRS_MAX = 256, HEADERS_MAX = 100, TEXT_MAX = 1024 * 1024 };

/* --- texts ----------------------------------------------------------------------------------- */

static void to_hex(const uint8_t digest[SHA256_DIGEST_SIZE], char ret[SIGV4_HASH_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_DIGEST_SIZE; i++) {
        ret[2 * i] = digits[digest[i] >> 4];
        ret[2 * i + 1] = digits[digest[i] & 15];
    }
    ret[SIGV4_HASH_SIZE - 1] = '\0';
}

void sigv4_hash(const void *bytes, size_t size, char ret[SIGV4_HASH_SIZE])
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    sha256_update(&sha, size, bytes);
    sha256_digest(&sha, sizeof(digest), digest);
    to_hex(digest, ret);
}

void sigv4_time(int64_t unix_s, char ret[SIGV4_TIME_SIZE])
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    ret[0] = '\0';
    if (gmtime_r(&t, &tm))
        strftime(ret, SIGV4_TIME_SIZE, "%Y%m%dT%H%M%SZ", &tm);
}

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c && strchr("-._~", c));
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* SIZE bytes with escapes only where they are needed, upper-case. A slash stays when it is one;
 * a plus of a query is a space. */
static void add_strict(struct nt_buf *b, const char *text, size_t size, bool is_path)
{
    for (size_t i = 0; i < size; i++) {
        int high = text[i] == '%' && i + 2 < size ? digit_of(text[i + 1]) : -1;
        int low = high >= 0 ? digit_of(text[i + 2]) : -1;
        unsigned char c = (unsigned char)text[i];
        bool is_slash = is_path && c == '/';
        if (low >= 0) {
            c = (unsigned char)(high * 16 + low);
            i += 2;
        } else if (!is_path && c == '+') {
            c = ' ';
        }
        if (is_slash || is_plain(c))
            nt_buf_add_char(b, (char)c);
        else
            nt_buf_add_url_bytes(b, &c, 1);
    }
}

/* --- the target ------------------------------------------------------------------------------ */

static bool is_signature(const char *pair, size_t size)
{
    static const char *const names[] = { "x-amz-algorithm",     "x-amz-credential",
                                         "x-amz-date",          "x-amz-expires",
                                         "x-amz-signedheaders", "x-amz-signature",
                                         "x-amz-security-token" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == size && strncasecmp(pair, names[i], size) == 0)
            return true;
    return false;
}

/* "name=value" each, by name and then by value: '=' stands before all that a name has but '-' and
 * '.', so the two are compared apart. */
static int compare_pairs(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    size_t n = strcspn(*x, "="), m = strcspn(*y, "=");
    int order = memcmp(*x, *y, n < m ? n : m);
    if (order == 0)
        order = n < m ? -1 : n > m;
    return order ? order : strcmp(*x + n, *y + m);
}

static const char *add_query(struct nt_buf *ret, const char *query)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(TEXT_MAX);
    const char *pairs[PAIRS_MAX];
    size_t at[PAIRS_MAX], count = 0;
    while (*query) {
        size_t size = strcspn(query, "&"), name = strcspn(query, "=&");
        bool is_wanted = size && !is_signature(query, name);
        if (is_wanted && count == PAIRS_MAX)
            return "the query has too many parameters to be signed";
        if (is_wanted) {
            at[count++] = text.size;
            add_strict(&text, query, name, false);
            nt_buf_add_char(&text, '=');
            if (name < size)
                add_strict(&text, query + name + 1, size - name - 1, false);
            nt_buf_add_char(&text, '\0');
        }
        query += size + (query[size] == '&');
    }
    if (!nt_buf_ok(&text))
        return "the query is too long to be signed";
    for (size_t i = 0; i < count; i++)
        pairs[i] = text.data + at[i];
    if (count)
        qsort(pairs, count, sizeof(pairs[0]), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        nt_buf_add_char(ret, i ? '&' : '?');
        nt_buf_add(ret, pairs[i]);
    }
    return NULL;
}

const char *sigv4_target(const char *target, struct nt_buf *ret)
{
    size_t path = strcspn(target, "?");
    add_strict(ret, target, path, true);
    if (!ret->size)
        nt_buf_add_char(ret, '/');
    const char *why = target[path] ? add_query(ret, target + path + 1) : NULL;
    return why ? why : nt_buf_ok(ret) ? NULL : "the path is too long to be signed";
}

/* --- the canonical request ------------------------------------------------------------------- */

/* S3 takes the path as it is; all others take it with one slash where there are several, and escape
 * it once more. */
static void add_path(struct nt_buf *b, const struct sigv4 *r)
{
    size_t size = strcspn(r->target, "?");
    bool is_s3 = strncmp(r->service, "s3", 2) == 0;
    for (size_t i = 0; i < size; i++)
        if (is_s3 || is_plain((unsigned char)r->target[i]))
            nt_buf_add_char(b, r->target[i]);
        else if (r->target[i] != '/')
            nt_buf_add_url_bytes(b, r->target + i, 1);
        else if (i == 0 || r->target[i - 1] != '/')
            nt_buf_add_char(b, '/');
}

static bool is_signed(const char *name)
{
    return strcasecmp(name, "host") == 0 || strcasecmp(name, "content-type") == 0
           || strncasecmp(name, "x-amz-", 6) == 0;
}

static int compare_headers(const void *a, const void *b)
{
    const struct net_header *x = a, *y = b;
    return strcasecmp(x->name, y->name);
}

static void add_lower(struct nt_buf *b, const char *text)
{
    for (; *text; text++)
        nt_buf_add_char(b, *text >= 'A' && *text <= 'Z' ? (char)(*text + ('a' - 'A')) : *text);
}

/* Without spaces around it, and one where there are several. */
static void add_value(struct nt_buf *b, const char *text)
{
    bool is_gap = false;
    for (text += strspn(text, " \t"); *text; text++) {
        bool is_space = *text == ' ' || *text == '\t';
        if (!is_space && is_gap)
            nt_buf_add_char(b, ' ');
        if (!is_space)
            nt_buf_add_char(b, *text);
        is_gap = is_space;
    }
}

static const char *add_headers(struct nt_buf *b, struct nt_buf *names, const struct sigv4 *r)
{
    struct net_header all[HEADERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        if (!is_signed(r->headers[i].name))
            continue;
        if (count == HEADERS_MAX)
            return "it has too many headers to be signed";
        all[count++] = r->headers[i];
    }
    if (count)
        qsort(all, count, sizeof(all[0]), compare_headers);
    for (uint32_t i = 0; i < count; i++) {
        if (i && strcasecmp(all[i].name, all[i - 1].name) == 0)
            return "a header that is to be signed is there twice";
        add_lower(b, all[i].name);
        nt_buf_add_char(b, ':');
        add_value(b, all[i].value);
        nt_buf_add_char(b, '\n');
        nt_buf_add(names, i ? ";" : "");
        add_lower(names, all[i].name);
    }
    return NULL;
}

/* --- the signature --------------------------------------------------------------------------- */

static void hmac(const void *key, size_t key_size, const char *text,
                 uint8_t ret[SHA256_DIGEST_SIZE])
{
    struct hmac_sha256_ctx context;
    hmac_sha256_set_key(&context, key_size, key);
    hmac_sha256_update(&context, strlen(text), (const uint8_t *)text);
    hmac_sha256_digest(&context, SHA256_DIGEST_SIZE, ret);
    explicit_bzero(&context, sizeof(context));
}

static void sign(const struct sigv4 *r, const char *text, char ret[SIGV4_HASH_SIZE])
{
    uint8_t key[SHA256_DIGEST_SIZE];
    char day[9];
    struct nt_buf first = NT_BUF(128 * 1024);
    memcpy(day, r->time, 8);
    day[8] = '\0';
    nt_buf_room(&first, strlen(r->key) + 5); /* it is not moved, and is wiped */
    nt_buf_add(&first, "AWS4");
    nt_buf_add(&first, r->key);
    hmac(nt_buf_text(&first), first.size, day, key);
    hmac(key, sizeof(key), r->region, key);
    hmac(key, sizeof(key), r->service, key);
    hmac(key, sizeof(key), "aws4_request", key);
    hmac(key, sizeof(key), text, key);
    to_hex(key, ret);
    if (first.data)
        explicit_bzero(first.data, first.size);
    nt_buf_done(&first);
    explicit_bzero(key, sizeof(key));
}

const char *sigv4_sign(const struct sigv4 *r, struct nt_buf *ret)
{
    nt_auto(nt_buf_done) struct nt_buf request = NT_BUF(TEXT_MAX), names = NT_BUF(TEXT_MAX);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(4096);
    char hash[SIGV4_HASH_SIZE], signature[SIGV4_HASH_SIZE];
    const char *query = strchr(r->target, '?');
    if (strlen(r->time) != SIGV4_TIME_SIZE - 1)
        return "the clock of this machine is wrong";
    nt_buf_addf(&request, "%s\n", r->method);
    add_path(&request, r);
    nt_buf_addf(&request, "\n%s\n", query ? query + 1 : "");
    const char *why = add_headers(&request, &names, r);
    if (why)
        return why;
    nt_buf_addf(&request, "\n%s\n%s", nt_buf_text(&names), r->payload);
    if (!nt_buf_ok(&request) || !nt_buf_ok(&names))
        return "it is too long to be signed";
    sigv4_hash(nt_buf_text(&request), request.size, hash);
    nt_buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n%s", r->time, r->time,
                r->region, r->service, hash);
    if (!nt_buf_ok(&text))
        return "it is too long to be signed";
    sign(r, nt_buf_text(&text), signature);
    nt_buf_addf(ret, "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, ",
                r->id, r->time, r->region, r->service, nt_buf_text(&names));
    nt_buf_addf(ret, "Signature=%s", signature);
    return nt_buf_ok(ret) ? NULL : "it is too long to be signed";
}
