/* SPDX-License-Identifier: Apache-2.0 */
/* tls_files.h - the server's certificate and its key, as they are in their files. */
#ifndef NT_SERVE_TLS_FILES_H
#define NT_SERVE_TLS_FILES_H

#include "nanoterm/error.h"
#include "sdk/buf.h"

struct tls_files {
    struct nt_buf certificates, key; /* PEM */
};

#define TLS_FILE_MAX (256u * 1024u)
#define TLS_FILES_INIT                                                                             \
    {                                                                                              \
        .certificates = NT_BUF(TLS_FILE_MAX), .key = NT_BUF(TLS_FILE_MAX)                          \
    }

/* NT_E_CONFIG: not there, too long, or a key that others may read or that is not ours. */
int tls_files_read(const char *certificates, const char *key, struct tls_files *ret,
                   struct nt_error *reterr);
/* Both in a file without a name, for the process that may not open them; -1: reterr. */
int tls_files_pack(const struct tls_files *files, struct nt_error *reterr);
/* The other end of it. */
int tls_files_unpack(int fd, uint32_t certificates_size, uint32_t key_size, struct tls_files *ret,
                     struct nt_error *reterr);
void tls_files_done(struct tls_files *files); /* wipes the key */

#endif
