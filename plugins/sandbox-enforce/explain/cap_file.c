/* SPDX-License-Identifier: Apache-2.0 */
/* cap_file.c - opens NONO_CAP_FILE once and checks what was opened; see cap_file.h. */
#include "cap_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define SIZE_MAX_BYTES (1u << 20)

static int refuse(struct nt_error *reterr, const char *why)
{
    nt_fail(reterr, ENFORCE_E_CAP_FILE, "%s is not to be trusted: %s", CAP_FILE_VARIABLE, why);
    return nt_hint(reterr, "unset %s; only nanoterm sets it", CAP_FILE_VARIABLE);
}

static bool is_name(const char *name)
{
    size_t prefix = strlen(CAP_FILE_PREFIX);
    return strncmp(name, CAP_FILE_PREFIX, prefix) == 0
           && strspn(name + prefix, "0123456789abcdef") == CAP_FILE_DIGITS
           && strcmp(name + prefix + CAP_FILE_DIGITS, ".json") == 0;
}

/* The folder of PATH must be, resolved, the folder for temporary files. */
static int open_folder(const char *path, const char *slash, int *ret, struct nt_error *reterr)
{
    char folder[PATH_MAX], real[PATH_MAX], expected[PATH_MAX];
    const char *temporary = getenv("TMPDIR");
    if ((size_t)(slash - path) >= sizeof(folder))
        return refuse(reterr, "its path is too long");
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    if (!realpath(temporary && *temporary ? temporary : "/tmp", expected) || !realpath(folder, real)
        || strcmp(real, expected) != 0)
        return refuse(reterr, "it does not lie in the folder for temporary files");
    *ret = open(real, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret < 0 ? refuse(reterr, "its folder cannot be opened") : 0;
}

static int open_file(const char *path, int *ret, struct stat *st, struct nt_error *reterr)
{
    const char *slash = strrchr(path, '/');
    nt_autoclose int folder = -1;
    if (path[0] != '/' || slash == path || !is_name(slash + 1))
        return refuse(reterr, "its name is not one that nanoterm gives");
    if (open_folder(path, slash, &folder, reterr) < 0)
        return -1;
    nt_autoclose int fd = openat(folder, slash + 1, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, st) < 0)
        return refuse(reterr, "it cannot be opened");
    if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
        return refuse(reterr, "it is no regular file");
    if ((st->st_uid != geteuid() && st->st_uid != 0) || (st->st_mode & (S_IWGRP | S_IWOTH)))
        return refuse(reterr, "others can have written it");
    if (st->st_size > SIZE_MAX_BYTES)
        return refuse(reterr, "it is too large");
    *ret = nt_take_fd(fd);
    return 0;
}

int cap_file_read(bool *ret_sandboxed, struct policy **ret, struct nt_error *reterr)
{
    const char *path = getenv(CAP_FILE_VARIABLE);
    nt_autoclose int fd = -1;
    struct stat st;
    *ret_sandboxed = path && *path;
    if (!*ret_sandboxed)
        return 0;
    if (open_file(path, &fd, &st, reterr) < 0)
        return -1;
    size_t size = (size_t)st.st_size, done = 0;
    nt_autofree char *text = malloc(size + 1);
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "no memory");
    while (done < size) {
        ssize_t got = read(fd, text + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return refuse(reterr, "it changes while it is read");
        done += (size_t)got;
    }
    struct nt_error unused = NT_ERROR_INIT;
    if (policy_from_json((struct nt_bytes){ text, size }, ret, &unused) < 0)
        return refuse(reterr, "its content is not nanoterm's");
    return 0;
}
