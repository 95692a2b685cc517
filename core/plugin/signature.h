/* SPDX-License-Identifier: Apache-2.0 */
/* signature.h - who vouches for a plugin: an Ed25519 signature in a small JSON file, NAME.so.sig.
 *
 * Signed is: "nanoterm-plugin-signature/1", the plugin's name and the signer's name, each with a
 * NUL behind it, then the BLAKE2b-256 hash of the file. libsodium does the work; it is opened only
 * when there is something to sign or to verify. */
#ifndef NT_CORE_SIGNATURE_H
#define NT_CORE_SIGNATURE_H

#include "nanoterm/error.h"

#define SIGNATURE_MAX_BYTES 4096u
#define SIGNATURE_KEY_TEXT 45u /* base64 of 32 bytes, with the NUL */

/* Who signed. */
struct signature {
    char signer[128]; /* what the signer calls itself; proven only by the key */
    char key[SIGNATURE_KEY_TEXT];
};

/**
 * Verifies `text` (of `size` bytes, hostile) for the file behind fd.
 *
 * @return 0 and who, or -1: NT_E_INVALID (malformed), NT_E_FORBIDDEN (not of this file, or not by
 *         that key), NT_E_UNSUPPORTED (no libsodium)
 */
int signature_verify(const char *text, size_t size, int fd, const char *name, struct signature *ret,
                     struct nt_error *reterr);
/* Reads who is named, without a proof. NT_E_INVALID. */
int signature_read(const char *text, size_t size, struct signature *ret, struct nt_error *reterr);
/* Signs the file behind fd with the key in the file `key_path` (0600, made when `make_key`).
 * *ret_text: free it. */
int signature_make(int fd, const char *name, const char *signer, const char *key_path, int make_key,
                   char **ret_text, struct signature *ret, struct nt_error *reterr);

#endif
