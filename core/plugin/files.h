/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - the files of a plugin: NAME.so, its manifest NAME.manifest and its signature
 * NAME.so.sig. */
#ifndef NT_CORE_PLUGIN_FILES_H
#define NT_CORE_PLUGIN_FILES_H

#include "core/plugin/signature.h"
#include "sdk/buf.h"

/* A plugin's file is not read when it is larger. */
#define FILES_PLUGIN_MAX ((off_t)64 * 1024 * 1024)

/* Opens a plugin that is to be looked at: a file NAME.so, or a folder that holds just one.
 * ret_path: the file's path. */
int files_open(const char *path, int *ret_fd, struct nt_buf *ret_path, struct nt_error *reterr);
/* Reads FILE.sig. NT_E_NOT_FOUND: there is none. */
int files_read_signature(const char *file, struct nt_buf *ret, struct nt_error *reterr);
/* Who signed the plugin of that name in that folder, by what its signature says. -1: nobody. */
int files_read_signer(const char *folder, const char *name, struct signature *ret);
/* Writes a file into a folder: beside it, synced and renamed; 0644. */
int files_write(int folder, const char *name, const void *bytes, size_t size,
                struct nt_error *reterr);

#endif
