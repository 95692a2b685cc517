/* SPDX-License-Identifier: Apache-2.0 */
/* guest_copy_test.c - trees as frames: what a hostile sender says is refused, leaves the
 * destination as it was, and nothing beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"

static char top[] = "/tmp/nt-copy-XXXXXX";
static int top_fd = -1;

/* The stream of a sender, as it is built. */
static uint8_t sent[1024 * 1024];
static size_t sent_size;

static void add(struct nt_g_writer *w)
{
    size_t size = nt_g_done(w);
    assert_true(size > 0 && sent_size + size < sizeof(sent));
    sent_size += size;
}

static struct nt_g_writer begin(uint16_t type)
{
    return nt_g_begin(sent + sent_size, sizeof(sent) - sent_size, type);
}

static void entry(const char *path, uint64_t mode, uint64_t size)
{
    struct nt_g_writer w = begin(NT_G_ENTRY);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_MODE, mode);
    nt_g_add_number(&w, NT_GT_SIZE, size);
    nt_g_add_number(&w, NT_GT_MTIME_NS, 1234567890123456789u);
    add(&w);
}

static void link_entry(const char *path, uint16_t tag, uint64_t mode, const char *to)
{
    struct nt_g_writer w = begin(NT_G_ENTRY);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_MODE, mode);
    nt_g_add_text(&w, tag, to);
    add(&w);
}

static void data(const char *text)
{
    nt_g_head(sent + sent_size, NT_G_DATA, (uint32_t)strlen(text));
    memcpy(sent + sent_size + NT_G_HEAD, text, strlen(text));
    sent_size += NT_G_HEAD + strlen(text);
}

static void hole(uint64_t size)
{
    struct nt_g_writer w = begin(NT_G_HOLE);
    nt_g_add_number(&w, NT_GT_SIZE, size);
    add(&w);
}

static void end(uint64_t count, uint64_t bytes)
{
    struct nt_g_writer w = begin(NT_G_END);
    nt_g_add_number(&w, NT_GT_COUNT, count);
    nt_g_add_number(&w, NT_GT_OUT_BYTES, bytes);
    add(&w);
}

static void root(void)
{
    sent_size = 0;
    entry("", S_IFDIR | 0755, 0);
}

/* Plays what was built to the writer. */
static int play_to(const struct copy_target *target, struct copy_notes *notes, struct copy_error *e)
{
    struct copy_link link;
    struct copy_totals totals;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(copy_link_init(&link, pair[0], sent, sent_size), 0);
    close(pair[1]);
    *e = (struct copy_error){ 0 };
    int rc = copy_write(&link, target, notes, &totals, e);
    copy_link_done(&link);
    close(pair[0]);
    return rc;
}

static unsigned names_in_top(void)
{
    unsigned count = 0;
    DIR *d = fdopendir(openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return count;
}

static char *content_of(const char *path)
{
    static char text[64];
    int fd = openat(top_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return n < 0 ? NULL : text;
}

/* The destination "out" has an old file. */
static int set_up(void **state)
{
    (void)state;
    memcpy(top + strlen(top) - 6, "XXXXXX", 6);
    if (!mkdtemp(top) || (top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0
        || mkdirat(top_fd, "out", 0755) < 0)
        return -1;
    int fd = openat(top_fd, "out/old", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    int rc = fd < 0 || write(fd, "old", 3) != 3 ? -1 : 0;
    close(fd);
    return rc;
}

static int tear_down(void **state)
{
    (void)state;
    close(top_fd);
    return copy_remove(AT_FDCWD, top);
}

static void expect_refused(uint64_t code)
{
    struct copy_notes notes = { 0 };
    struct copy_error e;
    const struct copy_target target = { top_fd, "out", COPY_NO_SET_ID };
    assert_int_equal(play_to(&target, &notes, &e), -1);
    assert_int_equal(e.code, code);
    assert_true(e.message[0] != '\0');
    assert_string_equal(content_of("out/old"), "old");
    assert_int_equal(names_in_top(), 1);
    free(notes.frames);
}

static void names_that_lead_out_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "..",   "../x", "a/../../x", "/etc/x", ".",  "./x",
                                         "a//b", "a/",   "/",         "a/..",   "a/." };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        root();
        entry("a", S_IFDIR | 0755, 0);
        entry(names[i], S_IFREG | 0644, 0);
        end(3, 0);
        expect_refused(NT_GE_INVALID);
    }
    char name[300];
    memset(name, 'n', 256);
    name[256] = '\0';
    root();
    entry(name, S_IFREG | 0644, 0);
    expect_refused(NT_GE_INVALID);
}

static void an_entry_below_what_is_no_open_folder_is_refused(void **state)
{
    (void)state;
    root();
    link_entry("link", NT_GT_TARGET, S_IFLNK | 0777, "/tmp");
    entry("link/x", S_IFREG | 0644, 0);
    expect_refused(NT_GE_INVALID);
    root();
    entry("file", S_IFREG | 0644, 0);
    entry("file/x", S_IFREG | 0644, 0);
    expect_refused(NT_GE_INVALID);
    root();
    entry("never/x", S_IFREG | 0644, 0);
    expect_refused(NT_GE_INVALID);
    root(); /* it was closed by what came after it */
    entry("a", S_IFDIR | 0755, 0);
    entry("b", S_IFDIR | 0755, 0);
    entry("a/x", S_IFREG | 0644, 0);
    expect_refused(NT_GE_INVALID);
    root();
    entry("ab", S_IFDIR | 0755, 0);
    entry("a/x", S_IFREG | 0644, 0);
    expect_refused(NT_GE_INVALID);
    sent_size = 0;
    entry("a", S_IFDIR | 0755, 0); /* no root */
    expect_refused(NT_GE_INVALID);
    sent_size = 0; /* two roots */
    entry("", S_IFDIR | 0755, 0);
    entry("", S_IFDIR | 0755, 0);
    expect_refused(NT_GE_INVALID);
}

static void a_name_that_comes_twice_is_refused(void **state)
{
    (void)state;
    static const uint64_t modes[] = { S_IFREG | 0644, S_IFDIR | 0755 };
    for (size_t i = 0; i < 4; i++) {
        root();
        entry("x", modes[i & 1], 0);
        entry("x", modes[i >> 1], 0);
        end(3, 0);
        expect_refused(NT_GE_INVALID);
    }
    root(); /* a link first, which a second entry would write through */
    link_entry("x", NT_GT_TARGET, S_IFLNK | 0777, "../out/old");
    entry("x", S_IFREG | 0644, 3);
    data("bad");
    expect_refused(NT_GE_INVALID);
}

static void links_to_what_was_not_sent_are_refused(void **state)
{
    (void)state;
    static const char *const targets[] = { "../out/old", "/etc/passwd", "nothing", "folder",
                                           "link",       "link/passwd", "" };
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        root();
        entry("folder", S_IFDIR | 0755, 0);
        link_entry("link", NT_GT_TARGET, S_IFLNK | 0777, "/etc");
        link_entry("hard", NT_GT_LINK, S_IFREG | 0644, targets[i]);
        end(4, 0);
        expect_refused(NT_GE_INVALID);
    }
    sent_size = 0;
    link_entry("", NT_GT_LINK, S_IFREG | 0644, "x");
    expect_refused(NT_GE_INVALID);
}

static void sizes_that_lie_are_refused(void **state)
{
    (void)state;
    root();
    entry("x", S_IFREG | 0644, 3);
    data("four");
    expect_refused(NT_GE_INVALID);
    root();
    entry("x", S_IFREG | 0644, 3);
    data("tw");
    entry("y", S_IFREG | 0644, 0);
    expect_refused(NT_GE_INVALID);
    root();
    entry("x", S_IFREG | 0644, 3);
    hole(UINT64_MAX);
    expect_refused(NT_GE_INVALID);
    root();
    data("of no file");
    expect_refused(NT_GE_INVALID);
    root();
    entry("x", S_IFREG | 0644, UINT64_MAX);
    expect_refused(NT_GE_INVALID);
    root();
    entry("x", S_IFDIR | 0755, 3);
    expect_refused(NT_GE_INVALID);
    root();
    entry("x", S_IFREG | 0644, 3);
    data("xyz");
    end(2, 4);
    expect_refused(NT_GE_MISMATCH);
    root();
    end(2, 0);
    expect_refused(NT_GE_MISMATCH);
    root();
    entry("x", S_IFREG | 0644, 3);
    end(2, 3);
    expect_refused(NT_GE_MISMATCH);
}

static void what_ends_before_its_end_leaves_the_old(void **state)
{
    (void)state;
    root();
    entry("x", S_IFREG | 0644, 3);
    data("xyz");
    expect_refused(COPY_LOST);
}

static void a_whole_tree_replaces_the_old_one(void **state)
{
    (void)state;
    struct copy_notes notes = { 0 };
    struct copy_error e;
    struct stat st;
    const struct copy_target target = { top_fd, "out", COPY_NO_SET_ID };
    root();
    entry("s", S_IFREG | 06755, 8);
    data("abc");
    hole(5);
    entry("d", S_IFDIR | 0555, 0);
    entry("d/e", S_IFDIR | 0755, 0);
    link_entry("d/e/h", NT_GT_LINK, S_IFREG | 0755, "s");
    entry("p", S_IFIFO | 0644, 0);
    entry("c", S_IFCHR | 0666, 0);
    end(7, 8);
    assert_int_equal(play_to(&target, &notes, &e), 0);
    assert_null(content_of("out/old"));
    assert_int_equal(fstatat(top_fd, "out/d/e/h", &st, 0), 0);
    assert_int_equal(st.st_size, 8);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(fstatat(top_fd, "out/d", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0555);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(faccessat(top_fd, "out/p", F_OK, 0), -1);
    assert_int_equal(notes.count, 3); /* set-id bits, pipe, device */
    assert_int_equal(notes.lost, 0);
    assert_int_equal(names_in_top(), 1);
    free(notes.frames);
}

static void a_merge_never_follows_a_link(void **state)
{
    (void)state;
    struct copy_notes notes = { 0 };
    struct copy_error e;
    const struct copy_target target = { top_fd, "out", COPY_MERGE };
    assert_int_equal(mkdirat(top_fd, "elsewhere", 0755), 0);
    assert_int_equal(symlinkat("../elsewhere", top_fd, "out/d"), 0);
    root();
    entry("d", S_IFDIR | 0755, 0);
    entry("d/x", S_IFREG | 0644, 1);
    data("x");
    entry("new", S_IFREG | 0644, 3);
    data("new");
    end(4, 4);
    assert_int_equal(play_to(&target, &notes, &e), 0);
    assert_int_equal(faccessat(top_fd, "elsewhere/x", F_OK, 0), -1);
    assert_string_equal(content_of("out/old"), "old");
    assert_string_equal(content_of("out/new"), "new");
    assert_int_equal(notes.lost, 1);
    free(notes.frames);
}

static void a_file_does_not_replace_a_folder(void **state)
{
    (void)state;
    sent_size = 0;
    entry("", S_IFREG | 0644, 0);
    end(1, 0);
    expect_refused(NT_GE_INVALID);
}

static void removing_is_of_any_depth(void **state)
{
    (void)state;
    int at = dup(top_fd);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(copy_remove(top_fd, "d"), 0);
    assert_int_equal(names_in_top(), 1);
}

static void make(const char *path, bool is_folder)
{
    int fd = is_folder ? mkdirat(top_fd, path, 0700)
                       : openat(top_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    if (!is_folder)
        close(fd);
}

static bool is_there(const char *path)
{
    return faccessat(top_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A copy that was killed leaves its stage, which nobody holds; and so can a file. */
static void what_killed_copies_left_goes_with_the_next(void **state)
{
    (void)state;
    struct copy_notes notes = { 0 };
    struct copy_error e;
    const struct copy_target target = { top_fd, "out", COPY_NO_SET_ID };
    make(".nanoterm-copy-0000000000000001", true);
    make(".nanoterm-copy-0000000000000001/0", true);
    make(".nanoterm-copy-0000000000000001/0/half", false);
    make(".nanoterm-write-0000000000000002", false);
    make(".nanoterm-copy-0000000000000003", true); /* of a living one */
    make(".nanoterm-copy-0000000000000003/0", true);
    int held = openat(top_fd, ".nanoterm-copy-0000000000000003", O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(held, LOCK_EX), 0);
    make(".nanoterm-copy-0000000000000004", true); /* no stage: something of the user */
    make(".nanoterm-copy-0000000000000004/notes", false);
    make(".nanoterm-copy-5", true);
    make(".nanoterm-copy-0000000000000006", true); /* the old one is nowhere else */
    make(".nanoterm-copy-0000000000000006/0", true);
    make(".nanoterm-copy-0000000000000006/1", true);
    assert_int_equal(symlinkat("out", top_fd, ".nanoterm-copy-0000000000000007"), 0);
    assert_int_equal(mkfifoat(top_fd, ".nanoterm-write-0000000000000008", 0600), 0);
    root();
    end(1, 0);
    assert_int_equal(play_to(&target, &notes, &e), 0);
    assert_false(is_there(".nanoterm-copy-0000000000000001"));
    assert_false(is_there(".nanoterm-write-0000000000000002"));
    assert_true(is_there(".nanoterm-copy-0000000000000003/0"));
    assert_true(is_there(".nanoterm-copy-0000000000000004/notes"));
    assert_true(is_there(".nanoterm-copy-5"));
    assert_true(is_there(".nanoterm-copy-0000000000000006/1"));
    assert_true(is_there(".nanoterm-copy-0000000000000007"));
    assert_true(is_there(".nanoterm-write-0000000000000008"));
    assert_int_equal(names_in_top(), 7);
    close(held);
    free(notes.frames);
}

/* Who tidies up at the same moment may take a new stage for stale: it is made anew. */
static void a_stage_that_was_taken_away_is_noticed(void **state)
{
    (void)state;
    make("stage", true);
    int ours = openat(top_fd, "stage", O_RDONLY | O_CLOEXEC);
    int other = openat(top_fd, "stage", O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(other, LOCK_EX), 0);
    assert_int_equal(copy_hold(ours), -1);
    assert_int_equal(unlinkat(top_fd, "stage", AT_REMOVEDIR), 0);
    close(other);
    assert_int_equal(copy_hold(ours), -1);
    close(ours);
}

/* The name of the one stage in the top folder; waits for it. */
static void wait_for_stage(char ret[64])
{
    for (int i = 0; i < 6000; i++) {
        DIR *d = fdopendir(openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        assert_non_null(d);
        ret[0] = '\0';
        for (struct dirent *e; (e = readdir(d));)
            if (strncmp(e->d_name, COPY_STAGE_NAME, strlen(COPY_STAGE_NAME)) == 0)
                snprintf(ret, 64, "%.63s", e->d_name);
        closedir(d);
        char inside[80];
        snprintf(inside, sizeof(inside), "%s/" COPY_FRESH "/a", ret);
        if (ret[0] && is_there(inside)) /* it is held and being filled */
            return;
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    fail_msg("no copy has begun");
}

struct copier {
    int fd, rc;
    struct copy_error error;
};

static void *copy_in_thread(void *data)
{
    struct copier *c = data;
    struct copy_link link;
    struct copy_totals totals;
    struct copy_notes notes = { 0 };
    const struct copy_target target = { top_fd, "out", COPY_NO_SET_ID };
    c->rc = copy_link_init(&link, c->fd, NULL, 0);
    if (c->rc == 0)
        c->rc = copy_write(&link, &target, &notes, &totals, &c->error);
    copy_link_done(&link);
    free(notes.frames);
    return NULL;
}

/* In a folder that others may write, the name of the stage can come to lead to what is the user's,
 * while it is written: neither its end nor the next copy may remove that. */
static void what_took_the_place_of_a_stage_stays(void **state)
{
    (void)state;
    int pair[2];
    char name[64], path[128];
    pthread_t thread;
    make("important", true);
    make("important/0", false);
    make("important/file", false);
    root();
    entry("a", S_IFREG | 0644, 100);
    data("half of it");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct copier c = { .fd = pair[0] };
    assert_int_equal(pthread_create(&thread, NULL, copy_in_thread, &c), 0);
    assert_int_equal(write(pair[1], sent, sent_size), (ssize_t)sent_size);
    wait_for_stage(name);
    assert_int_equal(renameat(top_fd, name, top_fd, "moved"), 0);
    assert_int_equal(renameat(top_fd, "important", top_fd, name), 0);
    close(pair[1]); /* it fails, and clears up */
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(pair[0]);
    assert_int_equal(c.rc, -1);
    snprintf(path, sizeof(path), "%s/0", name);
    assert_true(is_there(path));
    snprintf(path, sizeof(path), "%s/file", name);
    assert_true(is_there(path));
    struct copy_notes notes = { 0 };
    const struct copy_target target = { top_fd, "other", COPY_NO_SET_ID };
    root();
    end(1, 0);
    assert_int_equal(play_to(&target, &notes, &c.error), 0);
    free(notes.frames);
    assert_true(is_there(path));
    snprintf(path, sizeof(path), "%s/0", name);
    assert_true(is_there(path));
    assert_true(is_there("moved")); /* the stage, of which nothing is left inside */
    assert_false(is_there("moved/0"));
    assert_string_equal(content_of("out/old"), "old");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_that_lead_out_are_refused),
        TEST(an_entry_below_what_is_no_open_folder_is_refused),
        TEST(a_name_that_comes_twice_is_refused),
        TEST(links_to_what_was_not_sent_are_refused),
        TEST(sizes_that_lie_are_refused),
        TEST(what_ends_before_its_end_leaves_the_old),
        TEST(a_whole_tree_replaces_the_old_one),
        TEST(a_merge_never_follows_a_link),
        TEST(a_file_does_not_replace_a_folder),
        TEST(removing_is_of_any_depth),
        TEST(what_killed_copies_left_goes_with_the_next),
        TEST(a_stage_that_was_taken_away_is_noticed),
        TEST(what_took_the_place_of_a_stage_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
