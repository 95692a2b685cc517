/* SPDX-License-Identifier: Apache-2.0 */
/* secret.c - credentials by reference: which source is meant, and keeping the value. */
#include "plugins/sandbox-enforce/proxy/secret.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "sdk/clock.h"
#include "sdk/error.h"
#include "sdk/parse.h"

enum { WAIT_S = 120 };

int secret_keep(struct secret *secret, const char *text, struct nt_error *reterr)
{
    return secret_keep_bytes(secret, text, strlen(text), reterr);
}

int secret_keep_bytes(struct secret *secret, const char *bytes, size_t size,
                      struct nt_error *reterr)
{
    void *at = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a credential");
    /* Locking is bounded by RLIMIT_MEMLOCK; the others cannot fail on such a mapping. */
    mlock(at, size + 1);
    madvise(at, size + 1, MADV_DONTDUMP);
    madvise(at, size + 1, MADV_DONTFORK);
    memcpy(at, bytes, size);
    *secret = (struct secret){ at, size, size + 1 };
    return 0;
}

void secret_done(struct secret *secret)
{
    if (!secret->text)
        return;
    explicit_bzero(secret->text, secret->mapped);
    munmap(secret->text, secret->mapped);
    *secret = (struct secret){ 0 };
}

void secret_free(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static int64_t wait_ms(void)
{
    const char *text = getenv("NONO_KEYRING_TIMEOUT_SECS");
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t seconds = WAIT_S;
    if (text && nt_parse_u64(text, 1, 3600, &seconds, &ignored) < 0)
        seconds = WAIT_S;
    return (int64_t)seconds * 1000;
}

static int reap(int pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

int secret_collect(int fd, int pid, const char *what, char **ret, int *ret_status,
                   struct nt_error *reterr)
{
    char *text = calloc(1, SECRET_MAX + 2);
    size_t size = 0;
    bool is_over = false;
    int64_t until = nt_now_ms() + wait_ms();
    while (text && !is_over && size <= SECRET_MAX) {
        int64_t left = until - nt_now_ms();
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int ready = left > 0 ? poll(&p, 1, left > 60000 ? 60000 : (int)left) : -1;
        if (left <= 0)
            break;
        if (ready <= 0)
            continue;
        ssize_t n = read(fd, text + size, SECRET_MAX + 1 - size);
        if (n > 0)
            size += (size_t)n;
        else if (n == 0 || errno != EINTR)
            is_over = true;
    }
    if (!is_over)
        kill(pid, SIGKILL);
    *ret_status = reap(pid);
    if (is_over && size && text[size - 1] == '\n')
        text[--size] = '\0';
    if (is_over && strlen(text) == size) {
        *ret = text;
        return 0;
    }
    bool is_memory = !text, is_late = text && !is_over && size <= SECRET_MAX;
    if (text)
        explicit_bzero(text, SECRET_MAX);
    free(text);
    if (is_memory)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a credential");
    if (!is_late)
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s gave no text of at most %u bytes", what,
                       SECRET_MAX);
    nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s did not answer in %lld s", what,
            (long long)(wait_ms() / 1000));
    return nt_hint(reterr, "unlock it, or set NONO_KEYRING_TIMEOUT_SECS to wait longer");
}

static int of_environment(const char *name, char **ret, struct nt_error *reterr)
{
    const char *value = getenv(name);
    if (!value || !value[0])
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "the variable %s is not set", name);
    *ret = strdup(value);
    return *ret ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory for a credential");
}

static int of_keyring_url(const char *rest, char **ret, struct nt_error *reterr)
{
    const char *slash = strchr(rest, '/');
    if (!slash || slash == rest || !slash[1])
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "not keyring://SERVICE/ACCOUNT");
    char *service = strndup(rest, (size_t)(slash - rest));
    int rc = service ? secret_of_keyring(service, slash + 1, ret, reterr)
                     : nt_fail(reterr, NT_E_MEMORY, "out of memory for a credential");
    free(service);
    return rc;
}

static int read_value(const struct policy *policy, const char *reference, char **ret,
                      struct nt_error *reterr)
{
    const char *colon = strstr(reference, "://");
    if (!colon)
        return secret_of_keyring("nono", reference, ret, reterr);
    size_t scheme = (size_t)(colon - reference);
    const char *rest = colon + 3;
    if (scheme == 3 && strncmp(reference, "env", 3) == 0)
        return of_environment(rest, ret, reterr);
    if (scheme == 4 && strncmp(reference, "file", 4) == 0)
        return secret_of_file(rest, ret, reterr);
    if (scheme == 7 && strncmp(reference, "keyring", 7) == 0)
        return of_keyring_url(rest, ret, reterr);
    if (scheme == 2 && strncmp(reference, "op", 2) == 0)
        return secret_of_op(policy, reference, ret, reterr);
    if (scheme == 2 && strncmp(reference, "bw", 2) == 0)
        return secret_of_bw(policy, reference, rest, ret, reterr);
    nt_fail(reterr, ENFORCE_E_CREDENTIAL, "credentials of %.*s:// cannot be read", (int)scheme,
            reference);
    return nt_hint(reterr,
                   "use env://, file://, keyring://, op://, bw:// or the name of an account "
                   "in the keyring");
}

int secret_read(const struct policy *policy, const char *reference, char **ret,
                struct nt_error *reterr)
{
    char *value = NULL;
    if (read_value(policy, reference, &value, reterr) < 0)
        return -1;
    /* It goes into a header line: what ends a line would begin another header. */
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            secret_free(value);
            return nt_fail(reterr, ENFORCE_E_CREDENTIAL,
                           "the credential has a line end or a control character");
        }
    if (!value[0]) {
        secret_free(value);
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "the credential is empty");
    }
    *ret = value;
    return 0;
}
