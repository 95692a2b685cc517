/* SPDX-License-Identifier: Apache-2.0 */
/* tls_files.c - reads the server's certificate and key; as root they go to the API process in a
 * memory file, since it can open neither. What they mean is core/net's business. */
#include "tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

static int read_all(int fd, size_t size, struct nt_buf *ret, struct nt_error *reterr)
{
    /* All the room at once: a buffer that grows would leave pieces of the key behind. */
    char *at = nt_buf_room(ret, size);
    if (!at)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (size_t have = 0; have < size;) {
        ssize_t n = pread(fd, at + have, size - have, (off_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return nt_fail(reterr, NT_E_CONFIG, "the file cannot be read whole");
        have += (size_t)n;
    }
    nt_buf_added(ret, size);
    return 0;
}

static int check_key(const struct stat *st, const char *path, struct nt_error *reterr)
{
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return nt_fail(reterr, NT_E_CONFIG, "the key %s belongs to another user", path);
    if (st->st_mode & 027) {
        nt_fail(reterr, NT_E_CONFIG, "the key %s can be read or changed by others (mode %o)", path,
                st->st_mode & 0777u);
        return nt_hint(reterr, "chmod 600 %s", path);
    }
    return 0;
}

static int read_file(const char *path, bool is_key, struct nt_buf *ret, struct nt_error *reterr)
{
    struct stat st;
    /* Non-blocking: a fifo would be waited for. A link is fine, certificates are renewed so. */
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        nt_fail_sys(reterr, errno, "cannot open %s", path);
        reterr->code = NT_E_CONFIG;
        return -1;
    }
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size >= TLS_FILE_MAX)
        return nt_fail(reterr, NT_E_CONFIG, "%s is not a PEM file", path);
    if (is_key && check_key(&st, path, reterr) < 0)
        return -1;
    return read_all(fd, (size_t)st.st_size, ret, reterr) < 0 ? nt_wrap(reterr, "%s", path) : 0;
}

int tls_files_read(const char *certificates, const char *key, struct tls_files *ret,
                   struct nt_error *reterr)
{
    struct tls_files files = TLS_FILES_INIT;
    if (read_file(certificates, false, &files.certificates, reterr) < 0
        || read_file(key, true, &files.key, reterr) < 0) {
        tls_files_done(&files);
        return -1;
    }
    *ret = files;
    return 0;
}

int tls_files_pack(const struct tls_files *files, struct nt_error *reterr)
{
    nt_autoclose int fd = memfd_create("nanoterm-tls", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const struct nt_buf *parts[] = { &files->certificates, &files->key };
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make a memory file");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        for (size_t put = 0; put < parts[i]->size;) {
            ssize_t n = write(fd, parts[i]->data + put, parts[i]->size - put);
            if (n < 0 && errno != EINTR)
                return nt_fail_sys(reterr, errno, "cannot write a memory file");
            put += n < 0 ? 0 : (size_t)n;
        }
    return nt_take_fd(fd);
}

int tls_files_unpack(int fd, uint32_t certificates_size, uint32_t key_size, struct tls_files *ret,
                     struct nt_error *reterr)
{
    struct tls_files files = TLS_FILES_INIT;
    struct nt_buf both = NT_BUF(2 * TLS_FILE_MAX);
    bool is_fine = certificates_size < TLS_FILE_MAX && key_size < TLS_FILE_MAX;
    int status = is_fine
                     ? read_all(fd, (size_t)certificates_size + key_size, &both, reterr)
                     : nt_fail(reterr, NT_E_INTERNAL, "the monitor sent an unknown certificate");
    if (status == 0) {
        nt_buf_add_bytes(&files.certificates, both.data, certificates_size);
        nt_buf_add_bytes(&files.key, both.data + certificates_size, key_size);
        if (!nt_buf_ok(&files.certificates) || !nt_buf_ok(&files.key))
            status = nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    if (both.data)
        explicit_bzero(both.data, both.cap);
    nt_buf_done(&both);
    if (status < 0) {
        tls_files_done(&files);
        return -1;
    }
    *ret = files;
    return 0;
}

void tls_files_done(struct tls_files *files)
{
    if (files->key.data)
        explicit_bzero(files->key.data, files->key.cap);
    nt_buf_done(&files->key);
    nt_buf_done(&files->certificates);
}
