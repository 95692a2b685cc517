/* SPDX-License-Identifier: Apache-2.0 */
/* owner_key.c - the owner's key in DIR/owner.key.
 *
 * When the database was lost, a key file that is there is taken up again, so that the owner's
 * clients go on working. As root the file is the monitor's, and the database never sees the key. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/serve/store/store.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define KEY_BYTES 32
#define KEY_TEXT 43 /* base64 of them, without padding */

void store_key_hash(const char *key, uint8_t ret[STORE_KEY_HASH])
{
    static const unsigned char purpose[] = "nanoterm api key 1";
    crypto_generichash(ret, STORE_KEY_HASH, (const unsigned char *)key, strlen(key), purpose,
                       sizeof(purpose) - 1);
}

void store_key_make(char ret[64])
{
    unsigned char random[KEY_BYTES];
    randombytes_buf(random, sizeof(random));
    memcpy(ret, "nt_", 4);
    sodium_bin2base64(ret + 3, 61, random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof(random));
}

/* A key file that is ours alone and looks like one. */
static bool read_key(int dir_fd, char ret[64])
{
    nt_autoclose int fd = openat(dir_fd, "owner.key", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()
        || (st.st_mode & 077))
        return false;
    char text[64];
    ssize_t size = read(fd, text, sizeof(text) - 1);
    if (size < 3 + KEY_TEXT)
        return false;
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bool is_key = strncmp(text, "nt_", 3) == 0 && strlen(text) == 3 + KEY_TEXT
                  && strspn(text, letters) == strlen(text);
    if (is_key)
        memcpy(ret, text, strlen(text) + 1);
    sodium_memzero(text, sizeof(text));
    return is_key;
}

static int write_key(int dir_fd, const char *key, struct nt_error *reterr)
{
    unlinkat(dir_fd, "owner.key.new", 0);
    nt_autoclose int fd =
        openat(dir_fd, "owner.key.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot write owner.key");
    if (dprintf(fd, "%s\n", key) < 0 || fsync(fd) < 0
        || renameat(dir_fd, "owner.key.new", dir_fd, "owner.key") < 0 || fsync(dir_fd) < 0)
        return nt_fail_sys(reterr, errno, "cannot write owner.key");
    return 0;
}

int owner_key_file(const char *dir, uint8_t ret_hash[STORE_KEY_HASH], bool *ret_made,
                   struct nt_error *reterr)
{
    char key[64];
    nt_autoclose int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", dir);
    *ret_made = !read_key(dir_fd, key);
    if (*ret_made)
        store_key_make(key);
    int status = *ret_made ? write_key(dir_fd, key, reterr) : 0;
    if (status == 0)
        store_key_hash(key, ret_hash);
    sodium_memzero(key, sizeof(key));
    return status;
}
