/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - the authorities that a program believes whose TLS the proxy ends: those it would
 * believe anyway, and the session's own. A folder of the session, which the program may read. Only
 * certificates are copied to it, whatever else stands in the files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "temporary.h"

enum { ROOTS_MAX = 16, FILE_BYTES_MAX = 8 * 1024 * 1024, BUNDLE_BYTES_MAX = 32 * 1024 * 1024 };

/* Which programs read their authorities from. The first stands for all that a program believes, the
 * others add to it or stand for those of one program. */
static const char *const usual[] = { "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
                                     "CURL_CA_BUNDLE", "GIT_SSL_CAINFO" };
#define USUAL (sizeof(usual) / sizeof(usual[0]))

/* Where distributions keep theirs. */
static const char *const systems[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

struct bundle {
    char folder[PATH_MAX], path[PATH_MAX];
    int folder_fd, fd;
    char *roots[ROOTS_MAX]; /* files that the variables named before */
    size_t root_count;
    bool replaces_systems;
};

void bundle_free(struct supervise *s)
{
    struct bundle *b = s->bundle;
    if (!b)
        return;
    if (b->folder_fd >= 0) {
        unlinkat(b->folder_fd, TEMPORARY_FILE, 0);
        if (temporary_is(b->folder_fd, b->folder))
            rmdir(b->folder);
        close(b->folder_fd);
    }
    if (b->fd >= 0)
        close(b->fd);
    for (size_t i = 0; i < b->root_count; i++)
        free(b->roots[i]);
    free(b);
    s->bundle = NULL;
}

static int make(struct bundle *b)
{
    if (!temporary_name(TEMPORARY_BUNDLE, b->folder)
        || snprintf(b->path, sizeof(b->path), "%s/" TEMPORARY_FILE, b->folder)
               >= (int)sizeof(b->path)
        || mkdir(b->folder, 0700) < 0)
        return -1;
    b->folder_fd = open(b->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (b->folder_fd < 0)
        return -1;
    b->fd = openat(b->folder_fd, TEMPORARY_FILE, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   0400);
    return b->fd;
}

int bundle_make(struct supervise *s, struct nt_error *reterr)
{
    char host[POLICY_HOST_MAX];
    const struct policy *policy = s->options.policy;
    if (policy->network != POLICY_NET_FILTERED || !policy_intercepted(policy, 0, host))
        return 0;
    s->bundle = calloc(1, sizeof(*s->bundle));
    if (!s->bundle)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    s->bundle->folder_fd = s->bundle->fd = -1;
    if (make(s->bundle) >= 0)
        return 0;
    /* As with NONO_CAP_FILE: in a sandbox that may not write there the rest works. */
    bundle_free(s);
    if (!s->options.is_silent)
        s->options.call->host->message(s->options.call, NT_SAY_WARN,
                                       "there is no folder for certificates (TMPDIR): TLS of the "
                                       "program is not opened, and what would have to be is "
                                       "refused with 403");
    return 0;
}

int bundle_folder(const struct supervise *s)
{
    return s->bundle ? s->bundle->folder_fd : -1;
}

int bundle_file(const struct supervise *s)
{
    return s->bundle ? s->bundle->fd : -1;
}

const char *bundle_path(const struct supervise *s)
{
    return s->bundle->path;
}

const char *bundle_variable(const struct supervise *s, size_t index)
{
    const struct policy_texts *more = &s->options.policy->intercept.variables;
    if (!s->bundle || index >= USUAL + more->count)
        return NULL;
    return index < USUAL ? usual[index] : more->at[index - USUAL];
}

void bundle_note(struct supervise *s, const char *variable, const char *value)
{
    struct bundle *b = s->bundle;
    if (!value || value[0] != '/' || strcmp(value, b->path) == 0 || b->root_count == ROOTS_MAX)
        return;
    if (strcmp(variable, usual[0]) == 0)
        b->replaces_systems = true;
    for (size_t i = 0; i < b->root_count; i++)
        if (strcmp(b->roots[i], value) == 0)
            return;
    b->roots[b->root_count] = strdup(value);
    b->root_count += b->roots[b->root_count] != NULL;
}

/* --- what stands in it ---------------------------------------------------------------------- */

static bool is_mark(const char *line, const char *which)
{
    static const char *const kinds[] = { "CERTIFICATE-----", "TRUSTED CERTIFICATE-----",
                                         "X509 CERTIFICATE-----" };
    size_t size = strlen(which);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strncmp(line, which, size) == 0
            && strncmp(line + size, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

/* The certificates in TEXT, and nothing else of it (a key may stand beside them): how many. */
static unsigned add_certificates(struct nt_buf *b, const char *text)
{
    unsigned count = 0;
    const char *first = NULL;
    while (*text) {
        size_t size = strcspn(text, "\n");
        if (is_mark(text, "-----BEGIN "))
            first = text;
        text += size + (text[size] == '\n');
        if (first && is_mark(text, "-----END ")) {
            text += strcspn(text, "\n");
            nt_buf_add_bytes(b, first, (size_t)(text - first));
            nt_buf_add_char(b, '\n');
            first = NULL;
            count++;
        }
    }
    return count;
}

static unsigned add_file(struct nt_buf *b, const char *path)
{
    struct stat st;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(FILE_BYTES_MAX);
    nt_autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    for (;;) {
        char *room = nt_buf_room(&text, 256 * 1024);
        ssize_t n = room ? read(fd, room, 256 * 1024) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        nt_buf_added(&text, (size_t)n);
    }
    return nt_buf_ok(&text) ? add_certificates(b, nt_buf_text(&text)) : 0;
}

static void warn(const struct supervise *s, const char *text)
{
    if (!s->options.is_silent)
        s->options.call->host->message(s->options.call, NT_SAY_WARN, text);
}

static void add_roots(const struct supervise *s, struct nt_buf *b)
{
    const struct bundle *bundle = s->bundle;
    unsigned count = 0;
    for (size_t i = 0;
         !bundle->replaces_systems && !count && i < sizeof(systems) / sizeof(systems[0]); i++)
        count = add_file(b, systems[i]);
    for (size_t i = 0; i < bundle->root_count; i++)
        count += add_file(b, bundle->roots[i]);
    if (!count)
        warn(s, "no certificate authorities were found on this machine: the program believes the "
                "session's own alone, for hosts whose TLS is opened (SSL_CERT_FILE names others)");
}

int bundle_fill(struct supervise *s, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(BUNDLE_BYTES_MAX);
    if (!s->bundle)
        return 0;
    nt_buf_add(&text, TEMPORARY_COMMENT);
    temporary_add_owner(&text);
    nt_buf_add(&text, "}\n");
    add_roots(s, &text);
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "the certificate authorities are too many");
    const char *data = nt_buf_text(&text);
    if (ftruncate(s->bundle->fd, 0) < 0)
        return nt_fail_sys(reterr, errno, "writing %.200s", s->bundle->path);
    for (size_t done = 0; done < text.size;) {
        ssize_t wrote = pwrite(s->bundle->fd, data + done, text.size - done, (off_t)done);
        if (wrote < 0 && errno != EINTR)
            return nt_fail_sys(reterr, errno, "writing %.200s", s->bundle->path);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}
