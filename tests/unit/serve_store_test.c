/* SPDX-License-Identifier: Apache-2.0 */
/* serve_store_test.c - what the server must not forget, in a database of its own for each test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/serve/server.h"
#include "plugins/serve/store/store.h"

struct fixture {
    char dir[64];
    uv_loop_t uv;
    struct store *store;
    struct store_opened opened;
    struct nt_error error;
    unsigned done;
    /* What came last. */
    struct nt_error last;
    enum store_begun begun;
    uint32_t status;
    char body[256];
    bool found;
    char id[44];
    unsigned rows;
    char ids[8][44];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/nt-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_true(sodium_init() >= 0);
    f->error = (struct nt_error)NT_ERROR_INIT;
    assert_int_equal(uv_loop_init(&f->uv), 0);
    *state = f;
    return 0;
}

static void open_it(struct fixture *f)
{
    if (store_open(&f->uv, &(struct store_place){ .dir = f->dir }, &f->store, &f->opened, &f->error) < 0)
        fail_msg("%s", f->error.message);
}

static void on_closed(void *data)
{
    ((struct fixture *)data)->store = NULL;
}

static void close_it(struct fixture *f)
{
    store_close(f->store, on_closed, f);
    while (f->store)
        uv_run(&f->uv, UV_RUN_ONCE);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->store)
        close_it(f);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->uv), 0);
    nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void wait_for(struct fixture *f, unsigned count)
{
    while (f->done < count)
        uv_run(&f->uv, UV_RUN_ONCE);
    f->done = 0;
}

static void note(struct fixture *f, const struct nt_error *error)
{
    f->last = error ? *error : (struct nt_error){ 0 };
    f->done++;
}

static void on_done(void *data, const struct nt_error *error)
{
    note(data, error);
}

static void on_begun(void *data, enum store_begun begun, uint32_t status, const char *body,
                     const struct nt_error *error)
{
    struct fixture *f = data;
    f->begun = begun;
    f->status = status;
    snprintf(f->body, sizeof(f->body), "%s", body ? body : "");
    note(f, error);
}

static void on_found(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct fixture *f = data;
    f->found = ws != NULL;
    snprintf(f->id, sizeof(f->id), "%s", ws ? ws->id : "");
    if (ws)
        snprintf(f->body, sizeof(f->body), "%s", ws->envs);
    note(f, error);
}

static void on_row(void *data, const struct workspace *ws)
{
    struct fixture *f = data;
    if (f->rows < 8)
        snprintf(f->ids[f->rows], sizeof(f->ids[0]), "%s", ws->id);
    f->rows++;
}

static void on_intent(void *data, const char *ws_id, const char *what)
{
    struct fixture *f = data;
    snprintf(f->id, sizeof(f->id), "%s:%s", ws_id, what);
    f->rows++;
}

static struct workspace make(const struct fixture *f, const char *id, const char *name)
{
    struct workspace ws = {
        .status = WORKSPACE_CREATING, .vcpus = 2, .created_at_ms = 1000, .envs = "{\"A\":\"b\"}"
    };
    snprintf(ws.id, sizeof(ws.id), "%s", id);
    snprintf(ws.name, sizeof(ws.name), "%s", name);
    snprintf(ws.org_id, sizeof(ws.org_id), "%s", f->opened.owner_org);
    return ws;
}

static void begin(struct fixture *f, const struct workspace *ws, const struct store_answer *answer)
{
    assert_int_equal(store_workspace_begin(f->store, ws, answer, on_begun, f, &f->error), 0);
    wait_for(f, 1);
}

static void put(struct fixture *f, const struct workspace *ws, const struct store_answer *answer)
{
    assert_int_equal(store_workspace_put(f->store, ws, "test", answer, on_done, f, &f->error), 0);
    wait_for(f, 1);
}

static void look(struct fixture *f, const char *org, const char *what)
{
    assert_int_equal(store_workspace_find(f->store, org, what, on_found, f, &f->error), 0);
    wait_for(f, 1);
    assert_int_equal(f->last.code, 0);
}

static void on_key(void *data, const struct store_key *key, const struct nt_error *error)
{
    struct fixture *f = data;
    f->found = key != NULL;
    snprintf(f->id, sizeof(f->id), "%s", key ? key->org_id : "");
    note(f, error);
}

static void read_owner_key(const struct fixture *f, char ret[80])
{
    char path[128];
    snprintf(path, sizeof(path), "%s/owner.key", f->dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(ret, 80, file));
    fclose(file);
    ret[strcspn(ret, "\n")] = '\0';
}

static void the_first_start_makes_an_owner_and_a_key(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    assert_int_equal(f->opened.origin, STORE_MADE);
    assert_true(f->opened.made_owner_key);
    char key[80], path[128], text[65536];
    uint8_t hash[STORE_KEY_HASH];
    read_owner_key(f, key);
    assert_int_equal(strncmp(key, "nt_", 3), 0);
    assert_int_equal(strlen(key), 46);
    store_key_hash(key, hash);
    assert_int_equal(store_key_find(f->store, hash, on_key, f, &f->error), 0);
    wait_for(f, 1);
    assert_true(f->found);
    assert_string_equal(f->id, f->opened.owner_org);
    hash[0] ^= 1;
    assert_int_equal(store_key_find(f->store, hash, on_key, f, &f->error), 0);
    wait_for(f, 1);
    assert_false(f->found);

    /* The key itself is in no file of the database. */
    close_it(f);
    snprintf(path, sizeof(path), "%s/nanoterm.db", f->dir);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof(text), file);
    fclose(file);
    assert_true(size > 0);
    assert_null(memmem(text, size, key, strlen(key)));
    open_it(f);
    assert_int_equal(f->opened.origin, STORE_FOUND);
    assert_false(f->opened.made_owner_key);
}

static void a_workspace_is_found_by_id_and_by_name_in_its_organisation(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    struct workspace ws = make(f, "ws_1", "otter");
    begin(f, &ws, NULL);
    assert_int_equal(f->begun, STORE_BEGUN);
    look(f, f->opened.owner_org, "ws_1");
    assert_true(f->found);
    assert_string_equal(f->body, "{\"A\":\"b\"}");
    look(f, f->opened.owner_org, "otter");
    assert_true(f->found);
    look(f, "org_other", "ws_1");
    assert_false(f->found);
    look(f, NULL, "ws_1");
    assert_true(f->found);
    look(f, NULL, "otter");
    assert_false(f->found);
    look(f, f->opened.owner_org, "' OR 1=1 --");
    assert_false(f->found);
}

static void a_name_is_taken_until_its_workspace_is_gone(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    struct workspace first = make(f, "ws_1", "otter"), second = make(f, "ws_2", "otter");
    begin(f, &first, NULL);
    begin(f, &second, NULL);
    assert_int_equal(f->begun, STORE_NAME_TAKEN);
    look(f, f->opened.owner_org, "ws_2");
    assert_false(f->found);
    first.status = WORKSPACE_DESTROYED;
    put(f, &first, NULL);
    look(f, f->opened.owner_org, "ws_1");
    assert_false(f->found);
    begin(f, &second, NULL);
    assert_int_equal(f->begun, STORE_BEGUN);
}

static void the_same_key_gets_the_same_answer(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    uint8_t request[STORE_KEY_HASH] = { 1 }, other[STORE_KEY_HASH] = { 2 };
    struct store_answer answer = { .key = "k", .route = "r", .request = request };
    struct workspace ws = make(f, "ws_1", "a"), again = make(f, "ws_2", "b");
    begin(f, &ws, &answer);
    assert_int_equal(f->begun, STORE_BEGUN);
    begin(f, &again, &answer);
    assert_int_equal(f->begun, STORE_PENDING);
    answer.status = 201;
    answer.body = "{\"id\":\"ws_1\"}";
    ws.status = WORKSPACE_RUNNING;
    put(f, &ws, &answer);
    close_it(f); /* over a restart, too */
    open_it(f);
    begin(f, &again, &answer);
    assert_int_equal(f->begun, STORE_ANSWERED);
    assert_int_equal(f->status, 201);
    assert_string_equal(f->body, "{\"id\":\"ws_1\"}");
    answer.request = other;
    begin(f, &again, &answer);
    assert_int_equal(f->begun, STORE_OTHER_REQUEST);
    look(f, f->opened.owner_org, "ws_2");
    assert_false(f->found);
}

static void a_create_that_failed_frees_its_key_and_its_name(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    uint8_t request[STORE_KEY_HASH] = { 1 };
    struct store_answer answer = { .key = "k", .route = "r", .request = request };
    struct workspace ws = make(f, "ws_1", "a"), again = make(f, "ws_2", "a");
    begin(f, &ws, &answer);
    ws.status = WORKSPACE_DESTROYED;
    assert_int_equal(store_workspace_undo(f->store, &ws, on_done, f, &f->error), 0);
    wait_for(f, 1);
    begin(f, &again, &answer);
    assert_int_equal(f->begun, STORE_BEGUN);
}

static void an_intent_stays_until_the_outcome_is_written(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    struct workspace ws = make(f, "ws_1", "a");
    begin(f, &ws, NULL);
    close_it(f);
    open_it(f);
    assert_int_equal(store_intent_list(f->store, on_intent, on_done, f, &f->error), 0);
    wait_for(f, 1);
    assert_int_equal(f->rows, 1);
    assert_string_equal(f->id, "ws_1:create");
    assert_int_equal(store_intent(f->store, "ws_1", "remove", on_done, f, &f->error), 0);
    wait_for(f, 1);
    ws.status = WORKSPACE_RUNNING;
    put(f, &ws, NULL);
    f->rows = 0;
    assert_int_equal(store_intent_list(f->store, on_intent, on_done, f, &f->error), 0);
    wait_for(f, 1);
    assert_int_equal(f->rows, 0);
}

static void pages_go_from_the_newest_and_end(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    for (int i = 0; i < 5; i++) {
        char id[20];
        snprintf(id, sizeof(id), "ws_%d", i);
        struct workspace ws = make(f, id, id + 3);
        ws.status = i == 4 ? WORKSPACE_DESTROYED : WORKSPACE_RUNNING;
        ws.created_at_ms = 1000 + i / 2; /* two at the same moment */
        put(f, &ws, NULL);
    }
    struct store_list list = { .org_id = f->opened.owner_org, .limit = 3 };
    assert_int_equal(store_workspace_list(f->store, &list, on_row, on_done, f, &f->error), 0);
    wait_for(f, 1);
    assert_int_equal(f->rows, 3);
    assert_string_equal(f->ids[0], "ws_3");
    assert_string_equal(f->ids[2], "ws_1");
    list.after = "1000:ws_1";
    f->rows = 0;
    assert_int_equal(store_workspace_list(f->store, &list, on_row, on_done, f, &f->error), 0);
    wait_for(f, 1);
    assert_int_equal(f->rows, 1);
    assert_string_equal(f->ids[0], "ws_0");
    list = (struct store_list){ .org_id = "org_other", .limit = 3 };
    f->rows = 0;
    assert_int_equal(store_workspace_list(f->store, &list, on_row, on_done, f, &f->error), 0);
    wait_for(f, 1);
    assert_int_equal(f->rows, 0);
    list.after = "nonsense";
    assert_int_equal(store_workspace_list(f->store, &list, on_row, on_done, f, &f->error), -1);
    assert_int_equal(f->error.code, NT_E_INVALID);
}

static void many_changes_are_committed_together_and_a_bad_one_alone_fails(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    struct workspace bad = make(f, "ws_bad", "bad");
    snprintf(bad.org_id, sizeof(bad.org_id), "org_nobody"); /* breaks a foreign key */
    for (int i = 0; i < 200; i++) {
        char id[20];
        snprintf(id, sizeof(id), "ws_%d", i);
        struct workspace ws = make(f, id, id + 3);
        assert_int_equal(store_workspace_put(f->store, i == 100 ? &bad : &ws, "test", NULL, on_done,
                                             f, &f->error),
                         0);
    }
    assert_int_equal(store_in_flight(f->store), 200);
    wait_for(f, 200);
    assert_int_equal(store_in_flight(f->store), 0);
    look(f, NULL, "ws_99");
    assert_true(f->found);
    look(f, NULL, "ws_101");
    assert_true(f->found);
    look(f, NULL, "ws_bad");
    assert_false(f->found);
}

static void spoil(const struct fixture *f, const char *bytes)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/nanoterm.db", f->dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (int i = 0; i < 8; i++)
        assert_true(write(fd, bytes, strlen(bytes)) > 0);
    close(fd);
}

static void a_broken_database_is_moved_aside_and_the_key_stays(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    char before[80], after[80];
    uint8_t hash[STORE_KEY_HASH];
    read_owner_key(f, before);
    close_it(f);
    spoil(f, "this is not a database, and it has never been one; ");
    open_it(f);
    assert_int_equal(f->opened.origin, STORE_REBUILT);
    assert_non_null(strstr(f->opened.moved_to, "/nanoterm.db.corrupt-"));
    assert_int_equal(access(f->opened.moved_to, F_OK), 0);
    assert_false(f->opened.made_owner_key);
    read_owner_key(f, after);
    assert_string_equal(before, after);
    store_key_hash(after, hash);
    assert_int_equal(store_key_find(f->store, hash, on_key, f, &f->error), 0);
    wait_for(f, 1);
    assert_true(f->found);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    close_it(f);
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/nanoterm.db", f->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(store_open(&f->uv, &(struct store_place){ .dir = f->dir }, &f->store, &f->opened, &f->error), -1);
    assert_int_equal(f->error.code, NT_E_CONFIG);
    assert_non_null(strstr(f->error.message, "999"));
    f->store = NULL;
    assert_int_equal(access(path, F_OK), 0);
}

static void a_link_in_place_of_the_database_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/nanoterm.db", f->dir);
    assert_int_equal(symlink("/tmp/nt-elsewhere", path), 0);
    assert_int_equal(store_open(&f->uv, &(struct store_place){ .dir = f->dir }, &f->store, &f->opened, &f->error), -1);
    assert_int_not_equal(access("/tmp/nt-elsewhere", F_OK), 0);
    f->store = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_start_makes_an_owner_and_a_key),
        TEST(a_workspace_is_found_by_id_and_by_name_in_its_organisation),
        TEST(a_name_is_taken_until_its_workspace_is_gone),
        TEST(the_same_key_gets_the_same_answer),
        TEST(a_create_that_failed_frees_its_key_and_its_name),
        TEST(an_intent_stays_until_the_outcome_is_written),
        TEST(pages_go_from_the_newest_and_end),
        TEST(many_changes_are_committed_together_and_a_bad_one_alone_fails),
        TEST(a_broken_database_is_moved_aside_and_the_key_stays),
        TEST(a_newer_schema_is_refused_and_left_alone),
        TEST(a_link_in_place_of_the_database_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
