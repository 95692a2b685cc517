/* SPDX-License-Identifier: Apache-2.0 */
/* signature.c - who vouches for a plugin; see signature.h. */
#include "core/plugin/signature.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/symbol.h"

#define FORMAT "nanoterm-plugin-signature/1"
#define HASH_BYTES 32u
#define KEY_FILE_MAX 256u

/* Opened once, by the first that needs it. */
static struct {
    bool ok;
    int (*init)(void);
    int (*verify)(const unsigned char *sig, const unsigned char *m, unsigned long long mlen,
                  const unsigned char *pk);
    int (*sign)(unsigned char *sig, unsigned long long *siglen, const unsigned char *m,
                unsigned long long mlen, const unsigned char *sk);
    int (*seed_keypair)(unsigned char *pk, unsigned char *sk, const unsigned char *seed);
    int (*hash_init)(crypto_generichash_state *state, const unsigned char *key, size_t keylen,
                     size_t outlen);
    int (*hash_update)(crypto_generichash_state *state, const unsigned char *in,
                       unsigned long long inlen);
    int (*hash_final)(crypto_generichash_state *state, unsigned char *out, size_t outlen);
    int (*to_bin)(unsigned char *bin, size_t bin_max, const char *b64, size_t b64_len,
                  const char *ignore, size_t *bin_len, const char **b64_end, int variant);
    char *(*to_text)(char *b64, size_t b64_max, const unsigned char *bin, size_t bin_len,
                     int variant);
    void (*random)(void *buf, size_t size);
    void (*wipe)(void *p, size_t size);
} lib;

static int open_library(struct nt_error *reterr)
{
    void *h = lib.ok ? NULL : dlopen("libsodium.so.23", RTLD_NOW | RTLD_LOCAL);
    if (h)
        lib.ok = nt_symbol(h, "sodium_init", &lib.init)
                 && nt_symbol(h, "crypto_sign_verify_detached", &lib.verify)
                 && nt_symbol(h, "crypto_sign_detached", &lib.sign)
                 && nt_symbol(h, "crypto_sign_seed_keypair", &lib.seed_keypair)
                 && nt_symbol(h, "crypto_generichash_init", &lib.hash_init)
                 && nt_symbol(h, "crypto_generichash_update", &lib.hash_update)
                 && nt_symbol(h, "crypto_generichash_final", &lib.hash_final)
                 && nt_symbol(h, "sodium_base642bin", &lib.to_bin)
                 && nt_symbol(h, "sodium_bin2base64", &lib.to_text)
                 && nt_symbol(h, "randombytes_buf", &lib.random)
                 && nt_symbol(h, "sodium_memzero", &lib.wipe) && lib.init() >= 0;
    return lib.ok ? 0 : nt_fail(reterr, NT_E_UNSUPPORTED, "libsodium cannot be opened");
}

/* Exactly `size` bytes of base64. */
static bool decode(const char *text, unsigned char *ret, size_t size)
{
    size_t length = 0;
    const char *end = NULL;
    return text
           && lib.to_bin(ret, size, text, strlen(text), NULL, &length, &end,
                         sodium_base64_VARIANT_ORIGINAL)
                  == 0
           && length == size && end && *end == '\0';
}

static int hash_file(int fd, unsigned char ret[HASH_BYTES], struct nt_error *reterr)
{
    crypto_generichash_state state;
    unsigned char chunk[64 * 1024];
    lib.hash_init(&state, NULL, 0, HASH_BYTES);
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, chunk, sizeof(chunk), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot read the plugin");
        if (n == 0)
            break;
        lib.hash_update(&state, chunk, (unsigned long long)n);
        at += n;
    }
    lib.hash_final(&state, ret, HASH_BYTES);
    return 0;
}

static int message_of(int fd, const char *name, const char *signer, struct nt_buf *ret,
                      struct nt_error *reterr)
{
    unsigned char hash[HASH_BYTES];
    if (hash_file(fd, hash, reterr) < 0)
        return -1;
    nt_buf_add_bytes(ret, FORMAT, sizeof(FORMAT));
    nt_buf_add_bytes(ret, name, strlen(name) + 1);
    nt_buf_add_bytes(ret, signer, strlen(signer) + 1);
    nt_buf_add_bytes(ret, hash, sizeof(hash));
    return nt_buf_ok(ret) ? 0 : nt_fail(reterr, NT_E_LIMIT, "the names are too long");
}

/* The members of the file; borrowed from *json. */
static int read_text(const char *text, size_t size, json_t **ret_json, struct signature *ret,
                     const char **ret_signature, struct nt_error *reterr)
{
    nt_auto_json json_t *json =
        size <= SIGNATURE_MAX_BYTES ? json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *format = nt_json_text(json, "format"), *signer = nt_json_text(json, "signer");
    const char *key = nt_json_text(json, "key"), *signature = nt_json_text(json, "signature");
    if (!format || strcmp(format, FORMAT) != 0 || !signer || !key || !signature || !*signer
        || strlen(signer) >= sizeof(ret->signer) || strlen(key) != SIGNATURE_KEY_TEXT - 1)
        return nt_fail(reterr, NT_E_INVALID, "the signature is not of the form " FORMAT);
    *ret = (struct signature){ .signer = "" };
    memcpy(ret->signer, signer, strlen(signer));
    memcpy(ret->key, key, strlen(key));
    *ret_signature = signature;
    *ret_json = nt_take(json);
    return 0;
}

int signature_read(const char *text, size_t size, struct signature *ret, struct nt_error *reterr)
{
    nt_auto_json json_t *json = NULL;
    const char *unused;
    return read_text(text, size, &json, ret, &unused, reterr);
}

int signature_verify(const char *text, size_t size, int fd, const char *name, struct signature *ret,
                     struct nt_error *reterr)
{
    nt_auto_json json_t *json = NULL;
    const char *encoded = NULL;
    unsigned char key[crypto_sign_PUBLICKEYBYTES], signature[crypto_sign_BYTES];
    nt_auto(nt_buf_done) struct nt_buf message = NT_BUF(1024);
    if (open_library(reterr) < 0 || read_text(text, size, &json, ret, &encoded, reterr) < 0)
        return -1;
    if (!decode(ret->key, key, sizeof(key)) || !decode(encoded, signature, sizeof(signature)))
        return nt_fail(reterr, NT_E_INVALID, "the signature is not of the form " FORMAT);
    if (message_of(fd, name, ret->signer, &message, reterr) < 0)
        return -1;
    if (lib.verify(signature, (const unsigned char *)message.data, message.size, key) != 0)
        return nt_fail(reterr, NT_E_FORBIDDEN, "the signature of %s is not of this file",
                       ret->signer);
    return 0;
}

/* The seed in the key file, base64 on one line; made and kept when it is not there. */
static int read_seed(const char *path, bool make, unsigned char ret[crypto_sign_SEEDBYTES],
                     struct nt_error *reterr)
{
    char text[KEY_FILE_MAX];
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    if (fd < 0 && errno == ENOENT && make) {
        lib.random(ret, crypto_sign_SEEDBYTES);
        lib.to_text(text, sizeof(text), ret, crypto_sign_SEEDBYTES, sodium_base64_VARIANT_ORIGINAL);
        size_t length = strlen(text);
        text[length++] = '\n';
        nt_autoclose int out =
            open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        bool written = out >= 0 && write(out, text, length) == (ssize_t)length && fsync(out) == 0;
        int sys = errno;
        lib.wipe(text, sizeof(text));
        return written ? 0 : nt_fail_sys(reterr, sys, "cannot write the key %s", path);
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open the key %s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_uid != geteuid())
        return nt_fail(reterr, NT_E_FORBIDDEN, "others can read the key %s (chmod 600)", path);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    bool ok = decode(text, ret, crypto_sign_SEEDBYTES);
    lib.wipe(text, sizeof(text));
    return ok ? 0 : nt_fail(reterr, NT_E_INVALID, "%s is not a key of this program", path);
}

int signature_make(int fd, const char *name, const char *signer, const char *key_path, int make_key,
                   char **ret_text, struct signature *ret, struct nt_error *reterr)
{
    unsigned char seed[crypto_sign_SEEDBYTES], secret[crypto_sign_SECRETKEYBYTES];
    unsigned char key[crypto_sign_PUBLICKEYBYTES], signature[crypto_sign_BYTES];
    nt_auto(nt_buf_done) struct nt_buf message = NT_BUF(1024);
    if (!*signer || strlen(signer) >= sizeof(ret->signer))
        return nt_fail(reterr, NT_E_USAGE, "the signer's name has 1 to %zu bytes",
                       sizeof(ret->signer) - 1);
    if (open_library(reterr) < 0 || message_of(fd, name, signer, &message, reterr) < 0
        || read_seed(key_path, make_key, seed, reterr) < 0)
        return -1;
    lib.seed_keypair(key, secret, seed);
    lib.sign(signature, NULL, (const unsigned char *)message.data, message.size, secret);
    lib.wipe(seed, sizeof(seed));
    lib.wipe(secret, sizeof(secret));
    char encoded[sodium_base64_ENCODED_LEN(sizeof(signature), sodium_base64_VARIANT_ORIGINAL)];
    *ret = (struct signature){ .signer = "" };
    memcpy(ret->signer, signer, strlen(signer));
    lib.to_text(ret->key, sizeof(ret->key), key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
    lib.to_text(encoded, sizeof(encoded), signature, sizeof(signature),
                sodium_base64_VARIANT_ORIGINAL);
    nt_auto_json json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "format", FORMAT, "signer",
                                          ret->signer, "key", ret->key, "signature", encoded);
    *ret_text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    return *ret_text ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}
