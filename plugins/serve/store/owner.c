/* SPDX-License-Identifier: Apache-2.0 */
/* owner.c - the first organisation and its owner, whose key is in a file (owner_key.c): the
 * database keeps only the hash. */
#include "db.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

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

static int insert_owner(sqlite3 *db, const char *org, const uint8_t hash[STORE_KEY_HASH],
                        struct nt_error *reterr)
{
    char principal[44], key_id[44];
    db_random_id(principal, sizeof(principal), "usr", 8);
    db_random_id(key_id, sizeof(key_id), "key", 8);
    int64_t now = db_now_ms();
    if (db_write(db, reterr, "INSERT INTO organisations VALUES (?, 'default', ?)", "ti", org, now)
            < 0
        || db_write(db, reterr, "INSERT INTO principals VALUES (?, ?, 'owner', 'owner', ?)", "tti",
                    principal, org, now)
               < 0
        || db_write(db, reterr,
                    "INSERT INTO api_keys (id, org_id, principal_id, hash, created_at_ms, name) "
                    "VALUES (?, ?, ?, ?, ?, 'owner.key')",
                    "tttbi", key_id, org, principal, hash, (int)STORE_KEY_HASH, now)
               < 0
        || db_write(db, reterr, "INSERT INTO meta VALUES ('owner_org', ?)", "t", org) < 0)
        return -1;
    return 0;
}

/* The owner's organisation is known by the owner's key: it is the same again when the database is
 * made anew. */
static void org_of(const uint8_t hash[STORE_KEY_HASH], char ret[44])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const unsigned char purpose[] = "nanoterm owner organisation";
    uint8_t bytes[16];
    crypto_generichash(bytes, sizeof(bytes), hash, STORE_KEY_HASH, purpose, sizeof(purpose) - 1);
    size_t at = (size_t)snprintf(ret, 44, "org_");
    for (unsigned i = 0; i < 12; i++)
        ret[at++] = alphabet[bytes[i] % (sizeof(alphabet) - 1)];
    ret[at] = '\0';
}

int store_make_owner(sqlite3 *db, const struct store_place *place, char ret_org[44],
                     bool *ret_made_key, struct nt_error *reterr)
{
    *ret_made_key = false;
    int found = find_owner(db, ret_org, reterr);
    if (found != 0)
        return found < 0 ? -1 : 0;

    char org[44];
    uint8_t hash[STORE_KEY_HASH];
    /* The file first: a key that nobody has would be of no use, a file without a row is taken up at
     * the next start. */
    int status = place->owner_key ? place->owner_key(place->data, hash, ret_made_key, reterr)
                                  : owner_key_file(place->dir, hash, ret_made_key, reterr);
    if (status == 0) {
        org_of(hash, org);
        status = db_run(db, "BEGIN IMMEDIATE", reterr);
    }
    if (status == 0
        && (insert_owner(db, org, hash, reterr) < 0 || db_run(db, "COMMIT", reterr) < 0)) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        status = -1;
    }
    if (status < 0)
        return -1;
    snprintf(ret_org, 44, "%s", org);
    return 0;
}
