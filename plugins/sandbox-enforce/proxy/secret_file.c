/* SPDX-License-Identifier: Apache-2.0 */
/* secret_file.c - a credential in a file: only one that others cannot change. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static bool has_dots(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (at[2] == '/' || !at[2]))
            return true;
    return false;
}

static int check(int fd, const char *path, struct nt_error *reterr)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s is not a regular file", path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s belongs to another user", path);
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s can be changed by others", path);
        return nt_hint(reterr, "chmod go-w %s", path);
    }
    if ((uint64_t)st.st_size > SECRET_MAX)
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s is larger than a credential", path);
    return 0;
}

int secret_of_file(const char *path, char **ret, struct nt_error *reterr)
{
    if (path[0] != '/' || has_dots(path))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL,
                       "a credential's file needs an absolute path without ..: file:///PATH");
    /* Non-blocking: a pipe under that name must not hold us. */
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        nt_fail_sys(reterr, errno, "cannot open %s", path);
        reterr->code = ENFORCE_E_CREDENTIAL;
        return -1;
    }
    if (check(fd, path, reterr) < 0)
        return -1;
    char *text = calloc(1, SECRET_MAX + 2);
    size_t size = 0;
    ssize_t n = text ? 1 : 0;
    while (n > 0 && size <= SECRET_MAX) {
        n = read(fd, text + size, SECRET_MAX + 1 - size);
        size += n > 0 ? (size_t)n : 0;
    }
    if (size && text[size - 1] == '\n')
        text[--size] = '\0';
    if (text && n == 0 && strlen(text) == size) {
        *ret = text;
        return 0;
    }
    if (text)
        explicit_bzero(text, SECRET_MAX);
    free(text);
    return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s holds no text of at most %u bytes", path,
                   SECRET_MAX);
}
