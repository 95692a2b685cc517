/* SPDX-License-Identifier: Apache-2.0 */
/* owner.c - the first organisation, its owner, and the owner's key in DIR/owner.key.
 *
 * The database keeps only the hash. When the database was lost, a key file that is there is taken
 * up again, so that the owner's clients go on working. */
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void make_key(char ret[64])
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

static int find_owner(sqlite3 *db, char ret_org[44], struct nt_error *reterr)
{
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr, "SELECT value FROM meta WHERE key = 'owner_org'", "") < 0)
        return -1;
    int found = db_step(db, statement, reterr);
    if (found > 0)
        snprintf(ret_org, 44, "%s", db_text(statement, 0));
    return found;
}

static int insert_owner(sqlite3 *db, const char *org, const char *key, struct nt_error *reterr)
{
    char principal[44], key_id[44];
    uint8_t hash[STORE_KEY_HASH];
    db_random_id(principal, sizeof(principal), "usr", 8);
    db_random_id(key_id, sizeof(key_id), "key", 8);
    store_key_hash(key, hash);
    int64_t now = db_now_ms();
    if (db_write(db, reterr, "INSERT INTO organisations VALUES (?, 'default', ?)", "ti", org, now)
            < 0
        || db_write(db, reterr, "INSERT INTO principals VALUES (?, ?, 'owner', 'owner', ?)", "tti",
                    principal, org, now)
               < 0
        || db_write(db, reterr,
                    "INSERT INTO api_keys (id, org_id, principal_id, hash, created_at_ms) VALUES "
                    "(?, ?, ?, ?, ?)",
                    "tttbi", key_id, org, principal, hash, (int)sizeof(hash), now)
               < 0
        || db_write(db, reterr, "INSERT INTO meta VALUES ('owner_org', ?)", "t", org) < 0)
        return -1;
    return 0;
}

int store_make_owner(sqlite3 *db, const char *dir, char ret_org[44], bool *ret_made_key,
                     struct nt_error *reterr)
{
    *ret_made_key = false;
    int found = find_owner(db, ret_org, reterr);
    if (found != 0)
        return found < 0 ? -1 : 0;

    nt_autoclose int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", dir);
    char org[44], key[64];
    db_random_id(org, sizeof(org), "org", 8);
    bool is_made = !read_key(dir_fd, key);
    if (is_made)
        make_key(key);
    /* The file first: a key that nobody has would be of no use, a file without a row is taken up at
     * the next start. */
    int status = is_made ? write_key(dir_fd, key, reterr) : 0;
    if (status == 0)
        status = db_run(db, "BEGIN IMMEDIATE", reterr);
    if (status == 0
        && (insert_owner(db, org, key, reterr) < 0 || db_run(db, "COMMIT", reterr) < 0)) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        status = -1;
    }
    sodium_memzero(key, sizeof(key));
    if (status < 0)
        return -1;
    snprintf(ret_org, 44, "%s", org);
    *ret_made_key = is_made;
    return 0;
}
