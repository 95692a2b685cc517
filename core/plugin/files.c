/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - the files of a plugin; see files.h. */
#include "core/plugin/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"

static bool is_plugin_name(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && name[0] != '.' && strcmp(name + length - 3, ".so") == 0;
}

/* The one plugin of a folder. */
static int find_in_folder(int folder, const char *path, struct nt_buf *ret_path,
                          struct nt_error *reterr)
{
    nt_autoclose int copy = fcntl(folder, F_DUPFD_CLOEXEC, 3);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir)
        return nt_fail_sys(reterr, errno, "cannot list %s", path);
    copy = -1;
    unsigned found = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (!is_plugin_name(entry->d_name))
            continue;
        nt_buf_reset(ret_path);
        nt_buf_addf(ret_path, "%s/%s", path, entry->d_name);
        found++;
    }
    closedir(dir);
    if (found == 1 && nt_buf_ok(ret_path))
        return 0;
    nt_fail(reterr, found ? NT_E_USAGE : NT_E_NOT_FOUND, "%s holds %s", path,
            found ? "more than one plugin" : "no plugin (NAME.so)");
    return nt_hint(reterr, "name the file itself");
}

int files_open(const char *path, int *ret_fd, struct nt_buf *ret_path, struct nt_error *reterr)
{
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return nt_fail(reterr, NT_E_NOT_FOUND, "%s is not there", path);
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", path);
    nt_buf_add(ret_path, path);
    if (S_ISDIR(st.st_mode)) {
        if (find_in_folder(fd, path, ret_path, reterr) < 0)
            return -1;
        nt_closep(&fd);
        fd = open(nt_buf_text(ret_path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
            return nt_fail_sys(reterr, errno, "cannot open %s", nt_buf_text(ret_path));
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILES_PLUGIN_MAX)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s is no regular file of at most 64 MiB",
                       nt_buf_text(ret_path));
    *ret_fd = nt_take_fd(fd);
    return 0;
}

static int read_small(int fd, struct nt_buf *ret, struct nt_error *reterr)
{
    for (;;) {
        char *room = nt_buf_room(ret, 1024);
        ssize_t n = room ? read(fd, room, 1024) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot read the signature");
        if (n == 0)
            break;
        nt_buf_added(ret, (size_t)n);
    }
    return nt_buf_ok(ret) ? 0 : nt_fail(reterr, NT_E_INVALID, "the signature is too long");
}

int files_read_signature(const char *file, struct nt_buf *ret, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_buf_addf(&path, "%s.sig", file);
    nt_autoclose int fd =
        nt_buf_ok(&path) ? open(nt_buf_text(&path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
                         : -1;
    if (fd < 0 && errno == ENOENT)
        return nt_fail(reterr, NT_E_NOT_FOUND, "%s is not signed", file);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s.sig", file);
    return read_small(fd, ret, reterr);
}

int files_read_signer(const char *folder, const char *name, struct signature *ret)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(SIGNATURE_MAX_BYTES + 1024u);
    struct nt_error unused = NT_ERROR_INIT;
    nt_buf_addf(&path, "%s/%s.so", folder, name);
    return nt_buf_ok(&path) && files_read_signature(nt_buf_text(&path), &text, &unused) == 0
                   && signature_read(nt_buf_text(&text), text.size, ret, &unused) == 0
               ? 0
               : -1;
}

int files_write(int folder, const char *name, const void *bytes, size_t size,
                struct nt_error *reterr)
{
    char beside[NAME_MAX];
    if ((size_t)snprintf(beside, sizeof(beside), ".%s.%ld", name, (long)getpid()) >= sizeof(beside))
        return nt_fail(reterr, NT_E_LIMIT, "the name %s is too long", name);
    (void)unlinkat(folder, beside, 0); /* of a process of this number that was killed */
    nt_autoclose int fd =
        openat(folder, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make %s", name);
    if (nt_write_all(fd, bytes, size) == 0 && fchmod(fd, 0644) == 0 && fsync(fd) == 0
        && renameat(folder, beside, folder, name) == 0)
        return 0;
    nt_fail_sys(reterr, errno, "cannot write %s", name);
    (void)unlinkat(folder, beside, 0);
    return -1;
}
