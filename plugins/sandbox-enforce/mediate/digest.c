/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - SHA-256 of a file, by nettle, which is opened when it is needed.
 * Not by core/net/digest.c: a plugin that speaks to nobody does not link the connection. */
#include <dlfcn.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <string.h>
#include <unistd.h>

#include "mediate.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"
#include "sdk/symbol.h"

struct library {
    __typeof__(&sha256_init) begin;
    __typeof__(&sha256_update) add;
    __typeof__(&sha256_digest) end;
};

static bool open_library(struct library *ret)
{
    void *h = dlopen("libnettle.so.8", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    return h && nt_symbol(h, "nettle_sha256_init", &ret->begin)
           && nt_symbol(h, "nettle_sha256_update", &ret->add)
           && nt_symbol(h, "nettle_sha256_digest", &ret->end);
}

static int read_all(const struct library *library, int fd, uint8_t ret[SHA256_DIGEST_SIZE])
{
    static uint8_t bytes[64 * 1024];
    struct sha256_ctx context;
    off_t at = 0;
    ssize_t n;
    library->begin(&context);
    while ((n = pread(fd, bytes, sizeof(bytes), at)) > 0) {
        library->add(&context, (size_t)n, bytes);
        at += n;
    }
    if (n < 0)
        return errno;
    library->end(&context, SHA256_DIGEST_SIZE, ret);
    return 0;
}

int mediate_check_digest(int fd, const char *path, const char *wanted, struct nt_error *reterr)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    char text[2 * SHA256_DIGEST_SIZE + 1] = "";
    struct library library;
    if (!open_library(&library))
        return nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
                       "sha256 of %.150s: the library nettle is not installed", path);
    int sys = read_all(&library, fd, digest);
    if (sys)
        return nt_fail_sys(reterr, sys, "reading %.150s", path);
    for (size_t i = 0; i < sizeof(digest); i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    if (strcmp(text, wanted) == 0)
        return 0;
    nt_fail(reterr, ENFORCE_E_PROFILE, "%.150s is another file than its profile's sha256 says",
            path);
    return nt_hint(reterr, "its digest is %s: write that when you have looked at it", text);
}
