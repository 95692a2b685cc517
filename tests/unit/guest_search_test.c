/* SPDX-License-Identifier: Apache-2.0 */
/* guest_search_test.c - drives the real guest: GREP, GLOB, REPLACE, CHMOD and WATCH, and what
 * hostile trees and patterns do to them. */
#include "guest_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Collects one text of each ENTRY, sorted by nothing: "a|b|". */
struct found {
    char texts[4096];
    uint16_t last;
    uint64_t count, code, events[64];
    unsigned entries;
    char message[256];
};

static void at(char ret[256], const char *name)
{
    snprintf(ret, 256, "%s/%s", harness.dir, name);
}

static void put_bytes(const char *name, const void *bytes, size_t size)
{
    char path[256];
    at(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static void folder(const char *name)
{
    char path[256];
    at(path, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void expect_content(const char *name, const char *text)
{
    char path[256], bytes[4096];
    at(path, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, bytes, sizeof(bytes) - 1);
    close(fd);
    assert_true(n >= 0);
    bytes[n] = '\0';
    assert_string_equal(bytes, text);
}

static void clean(void)
{
    char command[300];
    pid_t pid = fork();
    snprintf(command, sizeof(command), "rm -rf '%s'/t* ", harness.dir);
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* One frame from the stream, whole; false: the end. */
static bool next_frame(int fd, uint8_t *memory, struct nt_g_frame *ret)
{
    size_t have = 0, want = NT_G_HEAD;
    while (have < want) {
        ssize_t n = read(fd, memory + have, want - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        have += (size_t)n;
        if (have == NT_G_HEAD)
            want = NT_G_HEAD + (size_t)nt_g_load(memory, 4);
        assert_true(want <= NT_G_HEAD + NT_G_FRAME_MAX);
    }
    return nt_g_next(memory, have, ret) > 0;
}

static void take(struct found *f, const struct nt_g_frame *frame, uint16_t tag)
{
    struct nt_g_field field;
    f->last = frame->type;
    for (size_t i = 0; nt_g_each(frame->payload, frame->size, &i, &field) > 0;) {
        size_t used = strlen(f->texts);
        if (field.tag == tag && frame->type == NT_G_ENTRY)
            snprintf(f->texts + used, sizeof(f->texts) - used, "%.*s|", (int)field.size,
                     (const char *)field.data);
        if (field.tag == NT_GT_COUNT)
            f->count = nt_g_load(field.data, 8);
        if (field.tag == NT_GT_CODE)
            f->code = nt_g_load(field.data, 8);
        if (field.tag == NT_GT_EVENT && f->entries < 64)
            f->events[f->entries] = nt_g_load(field.data, 8);
        if (field.tag == NT_GT_MESSAGE)
            snprintf(f->message, sizeof(f->message), "%.*s", (int)field.size,
                     (const char *)field.data);
    }
    f->entries += frame->type == NT_G_ENTRY;
}

static void collect(int fd, struct found *f, uint16_t tag)
{
    uint8_t *memory = malloc(NT_G_HEAD + NT_G_FRAME_MAX);
    struct nt_g_frame frame;
    *f = (struct found){ 0 };
    while (next_frame(fd, memory, &frame))
        take(f, &frame, tag);
    free(memory);
    close(fd);
}

static void look(struct found *f, uint16_t type, const char *path, const char *pattern,
                 uint64_t count)
{
    int fd = guest_connect();
    struct frame *frame = frame_text(frame_new(type), NT_GT_PATH, path);
    frame_text(frame, NT_GT_PATTERN, pattern);
    if (count)
        frame_number(frame, NT_GT_COUNT, count);
    say(fd, frame);
    collect(fd, f, type == NT_G_GREP ? NT_GT_TEXT : NT_GT_PATH);
}

static void finds(const char *path, const char *pattern, const char *texts)
{
    struct found f;
    look(&f, NT_G_GREP, path, pattern, 0);
    assert_string_equal(f.texts, texts);
    assert_int_equal(f.last, NT_G_END);
    assert_int_equal(f.count, f.entries);
}

static void names(const char *path, const char *pattern, unsigned entries)
{
    struct found f;
    look(&f, NT_G_GLOB, path, pattern, 0);
    assert_int_equal(f.last, NT_G_END);
    assert_int_equal(f.entries, entries);
}

static void lines_match_as_expressions_or_literally(void **state)
{
    (void)state;
    folder("t");
    put("t/a", "one\ntwo(\r\nthree\xc3\xa9\nlast");
    put_bytes("t/binary", "one\0one\n", 8);
    finds("t", "^(one|last)$", "one|last|");
    finds("t", "two(", "two(|");
    finds("t/a", "thre+", "three\xc3\xa9|");
    finds("t", "nothing", "");
    struct found f;
    look(&f, NT_G_GREP, "t", "e", 1);
    assert_int_equal(f.entries, 1);
    look(&f, NT_G_GREP, "gone", "e", 0);
    assert_int_equal(f.code, NT_GE_NOT_FOUND);
    look(&f, NT_G_GREP, "t", "", 0);
    assert_int_equal(f.code, NT_GE_INVALID);
    clean();
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    size_t size = 200 * 1024;
    char *text = malloc(size);
    memset(text, 'x', size);
    memcpy(text, "begin", 5);
    memcpy(text + size - 4, "\nend", 4);
    folder("t");
    put_bytes("t/long", text, size);
    free(text);
    finds("t", "^end$", "end|");
    struct found f;
    look(&f, NT_G_GREP, "t", "^begin", 0);
    assert_int_equal(f.entries, 1);
    assert_true(strlen(f.texts) < sizeof(f.texts));
    clean();
}

static void names_match_by_parts(void **state)
{
    (void)state;
    folder("t");
    folder("t/sub");
    folder("t/sub/deep");
    put("t/a.c", "");
    put("t/sub/b.c", "");
    put("t/sub/deep/.c.c", "");
    names("t", "*.c", 3);
    names("t", "sub/*.c", 1);
    names("t", "**/*.c", 3);
    names("t", "sub/**/*.c", 2);
    names("t", "**", 5);
    names("t", "[ab].c", 2);
    names("t", "deep", 1);
    clean();
}

/* A link out of the folder is not followed, a FIFO does not hang, and a hole costs nothing. */
static void hostile_trees_do_no_harm(void **state)
{
    (void)state;
    char path[256];
    folder("t");
    folder("tsecret");
    put("tsecret/file", "needle outside\n");
    put("t/in", "needle inside\n");
    at(path, "t/link");
    assert_int_equal(symlink("../tsecret", path), 0);
    at(path, "t/flink");
    assert_int_equal(symlink("../tsecret/file", path), 0);
    at(path, "t/fifo");
    assert_int_equal(mkfifo(path, 0666), 0);
    put("t/sparse", "needle before a hole\n");
    at(path, "t/sparse");
    assert_int_equal(truncate(path, (off_t)1 << 30), 0);
    finds("t", "needle", "needle inside|");
    names("t", "file", 0);
    names("t", "*", 5);
    clean();
}

/* What is swapped between the look and the opening is refused by the opening. */
static void a_racing_link_shows_nothing(void **state)
{
    (void)state;
    char path[256], other[256], name[32];
    folder("t");
    folder("t/d");
    folder("tsecret");
    put("t/d/f", "needle inside\n");
    put("tsecret/f", "needle outside\n");
    at(path, "t/d");
    at(other, "t/e");
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            rename(path, other);
            if (symlink("../tsecret", path) == 0)
                unlink(path);
            rename(other, path);
        }
    }
    for (int i = 0; i < 200; i++) {
        struct found f;
        look(&f, NT_G_GREP, "t", "needle", 0);
        assert_int_equal(f.last, NT_G_END);
        assert_null(strstr(f.texts, "outside"));
        snprintf(name, sizeof(name), "%d", i);
    }
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    clean();
}

static void a_hostile_pattern_is_ended(void **state)
{
    (void)state;
    char text[4001];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    folder("t");
    put("t/a", text);
    struct found f;
    look(&f, NT_G_GREP, "t", "(a*)*(a*)*(a*)*\\1\\2\\3b", 0);
    assert_true(f.last == NT_G_END || f.code == NT_GE_LIMIT);
    clean();
}

static void replace(struct found *f, const char *const *paths, const char *pattern,
                    const char *text)
{
    int fd = guest_connect();
    struct frame *frame = frame_new(NT_G_REPLACE);
    for (; *paths; paths++)
        frame_text(frame, NT_GT_ARG, *paths);
    frame_text(frame, NT_GT_PATTERN, pattern);
    say(fd, frame_text(frame, NT_GT_TEXT, text));
    collect(fd, f, NT_GT_PATH);
}

static void files_are_replaced_as_a_whole(void **state)
{
    (void)state;
    char path[256];
    struct stat st;
    struct found f;
    folder("t");
    put("t/a", "one two one\none");
    put("t/b", "xone\n");
    put_bytes("t/binary", "one\0", 4);
    at(path, "t/a");
    assert_int_equal(chmod(path, 0751), 0);
    const char *all[] = { "t/a", "t/b", "t/binary", NULL };
    replace(&f, all, "one", "1\\1&");
    assert_int_equal(f.last, NT_G_OK);
    assert_int_equal(f.count, 4);
    expect_content("t/a", "1\\1& two 1\\1&\n1\\1&");
    expect_content("t/b", "x1\\1&\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0751);
    const char *b[] = { "t/b", NULL };
    replace(&f, b, "^", "> ");
    assert_int_equal(f.count, 1);
    expect_content("t/b", "> x1\\1&\n");
    replace(&f, b, "x*", "-");
    expect_content("t/b", "->- -1-\\-1-&-\n");
    names("t", ".nanoterm-*", 0);
    clean();
}

static void nothing_is_replaced_when_one_cannot_be(void **state)
{
    (void)state;
    char path[256];
    struct found f;
    folder("t");
    put("t/a", "one");
    put("ttarget", "one");
    at(path, "t/link");
    assert_int_equal(symlink("../ttarget", path), 0);
    const char *gone[] = { "t/a", "t/gone", NULL }, *link[] = { "t/a", "t/link", NULL };
    replace(&f, gone, "one", "two");
    assert_int_equal(f.code, NT_GE_NOT_FOUND);
    replace(&f, link, "one", "two");
    assert_int_equal(f.last, NT_G_ERROR);
    expect_content("t/a", "one");
    expect_content("ttarget", "one");
    clean();
}

static void permissions_change(void **state)
{
    (void)state;
    struct stat st;
    struct found f;
    char path[256];
    folder("t");
    put("t/a", "");
    int fd = guest_connect();
    say(fd, frame_number(frame_text(frame_new(NT_G_CHMOD), NT_GT_PATH, "t/a"), NT_GT_MODE, 0640));
    collect(fd, &f, NT_GT_PATH);
    at(path, "t/a");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    fd = guest_connect();
    say(fd, frame_number(frame_text(frame_new(NT_G_CHMOD), NT_GT_PATH, "t/a"), NT_GT_MODE, 010640));
    collect(fd, &f, NT_GT_PATH);
    assert_int_equal(f.code, NT_GE_INVALID);
    clean();
}

/* --- watching ------------------------------------------------------------------------------ */

static uint8_t watched[NT_G_HEAD + NT_G_FRAME_MAX];

static int watch_begin(const char *path, uint64_t flags, uint64_t timeout_ms)
{
    int fd = guest_connect();
    struct frame *frame = frame_text(frame_new(NT_G_WATCH), NT_GT_PATH, path);
    frame_number(frame, NT_GT_FLAGS, flags);
    say(fd, frame_number(frame, NT_GT_TIMEOUT_MS, timeout_ms));
    struct nt_g_frame f;
    assert_true(next_frame(fd, watched, &f));
    assert_int_equal(f.type, NT_G_HELLO);
    assert_true(next_frame(fd, watched, &f));
    assert_int_equal(f.type, NT_G_OK);
    return fd;
}

/* Reads until an event of that kind and path has come. */
static void expect_event(int fd, uint64_t event, const char *name)
{
    char path[256];
    at(path, name);
    for (;;) {
        struct nt_g_frame frame;
        struct found f = { 0 };
        struct pollfd p = { fd, POLLIN, 0 };
        if (poll(&p, 1, 20000) <= 0)
            fail_msg("no event %u for %s", (unsigned)event, name);
        assert_true(next_frame(fd, watched, &frame));
        take(&f, &frame, NT_GT_PATH);
        size_t size = strlen(path);
        if (f.last == NT_G_ENTRY && f.events[0] == event && strncmp(f.texts, path, size) == 0
            && f.texts[size] == '|')
            return;
    }
}

static void changes_are_told(void **state)
{
    (void)state;
    char from[256], to[256];
    folder("t");
    folder("tout");
    folder("tout/d");
    put("tout/d/inner", "");
    int fd = watch_begin(harness.dir, 0, 0);
    close(fd);
    char root[256];
    at(root, "t");
    fd = watch_begin(root, NT_GF_RECURSIVE, 0);
    put("t/a", "x");
    expect_event(fd, NT_GW_CREATE, "t/a");
    expect_event(fd, NT_GW_WRITE, "t/a");
    at(from, "t/a");
    assert_int_equal(chmod(from, 0600), 0);
    expect_event(fd, NT_GW_CHMOD, "t/a");
    at(to, "t/b");
    assert_int_equal(rename(from, to), 0);
    expect_event(fd, NT_GW_RENAME, "t/a");
    expect_event(fd, NT_GW_CREATE, "t/b");
    assert_int_equal(unlink(to), 0);
    expect_event(fd, NT_GW_REMOVE, "t/b");
    /* a folder that is moved in, with what is in it, and what comes into it later */
    at(from, "tout/d");
    at(to, "t/d");
    assert_int_equal(rename(from, to), 0);
    expect_event(fd, NT_GW_CREATE, "t/d");
    expect_event(fd, NT_GW_CREATE, "t/d/inner");
    put("t/d/later", "");
    expect_event(fd, NT_GW_CREATE, "t/d/later");
    /* moved within: its new path counts */
    at(from, "t/d");
    at(to, "t/e");
    assert_int_equal(rename(from, to), 0);
    expect_event(fd, NT_GW_RENAME, "t/d");
    expect_event(fd, NT_GW_CREATE, "t/e/inner");
    put("t/e/new", "");
    expect_event(fd, NT_GW_CREATE, "t/e/new");
    close(fd);
    clean();
}

/* What is made in a new folder before it is watched is told as well, and nothing twice: not even
 * when the making and the reading of a folder within it overlap, which some of the rounds hit. */
static void new_folders_are_told_whole(void **state)
{
    (void)state;
    enum { ROUNDS = 50, FILES = 20 };
    char root[256], name[64];
    folder("t");
    at(root, "t");
    int fd = watch_begin(root, NT_GF_RECURSIVE, 0);
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(name, sizeof(name), "t/d%d", i);
        folder(name);
        snprintf(name, sizeof(name), "t/d%d/e", i);
        folder(name);
        for (int j = 0; j < FILES; j++) {
            snprintf(name, sizeof(name), "t/d%d/e/%d", i, j);
            put(name, "");
        }
    }
    put("t/end", "");
    unsigned seen[ROUNDS][FILES] = { 0 }, whole = 0;
    for (bool is_end = false; whole < ROUNDS * FILES || !is_end;) {
        struct nt_g_frame frame;
        struct found f = { 0 };
        struct pollfd p = { fd, POLLIN, 0 };
        assert_true(poll(&p, 1, 20000) > 0);
        assert_true(next_frame(fd, watched, &frame));
        take(&f, &frame, NT_GT_PATH);
        is_end |= strstr(f.texts, "/t/end|") != NULL;
        const char *in = strstr(f.texts, "/t/d");
        unsigned i, j;
        if (f.events[0] != NT_GW_CREATE || !in || sscanf(in, "/t/d%u/e/%u|", &i, &j) != 2)
            continue;
        assert_true(i < ROUNDS && j < FILES);
        assert_int_equal(seen[i][j]++, 0);
        whole++;
    }
    close(fd);
    clean();
}

/* The guest's process that has begun to serve last. */
static pid_t last_helper(void)
{
    char path[80], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", harness.pid, harness.pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        skip(); /* a kernel without CONFIG_PROC_CHILDREN */
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(n > 1);
    text[n - 1] = '\0'; /* each pid is followed by a space */
    const char *space = strrchr(text, ' ');
    return (pid_t)strtoll(space ? space : text, NULL, 10);
}

/* A new folder is reported, but before it is looked at, its parent has become a link. */
static void a_swapped_parent_leads_nowhere(void **state)
{
    (void)state;
    char root[256], parent[256], aside[256], outside[256];
    at(root, "t");
    at(parent, "t/a");
    at(aside, "taside");
    at(outside, "tout");
    folder("t");
    folder("t/a");
    folder("tout");
    folder("tout/n");
    put("tout/n/secret", "");
    int fd = watch_begin(root, NT_GF_RECURSIVE, 0);
    pid_t helper = last_helper();
    kill(helper, SIGSTOP);
    folder("t/a/n");
    assert_int_equal(rename(parent, aside), 0);
    assert_int_equal(symlink(outside, parent), 0);
    kill(helper, SIGCONT);
    put("t/end", "");
    bool has_ended = false, has_come = false;
    while (!has_ended) {
        struct nt_g_frame frame;
        struct found f = { 0 };
        struct pollfd p = { fd, POLLIN, 0 };
        assert_true(poll(&p, 1, 20000) > 0);
        assert_true(next_frame(fd, watched, &frame));
        take(&f, &frame, NT_GT_PATH);
        assert_null(strstr(f.texts, "secret"));
        has_come = has_come || strstr(f.texts, "/t/a/n|");
        has_ended = strstr(f.texts, "/t/end|");
    }
    assert_true(has_come);
    close(fd);
    clean();
}

/* More happens than the kernel keeps, and it drops what comes then: a folder, too. */
static void lost_events_are_looked_for(void **state)
{
    (void)state;
    char root[256], file[256], text[32] = "";
    int limit_fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC);
    assert_true(limit_fd >= 0 && read(limit_fd, text, sizeof(text) - 1) > 0);
    close(limit_fd);
    long long limit = strtoll(text, NULL, 10);
    if (limit > 200000)
        skip(); /* a host with memory to spare */
    folder("t");
    at(root, "t");
    at(file, "t/file");
    int fd = watch_begin(root, NT_GF_RECURSIVE, 0);
    pid_t helper = last_helper();
    kill(helper, SIGSTOP);
    for (long long i = 0; i < limit; i++) { /* two events each */
        put("t/file", "");
        assert_int_equal(unlink(file), 0);
    }
    folder("t/late");
    folder("t/late/d");
    kill(helper, SIGCONT);
    expect_event(fd, NT_GW_RESYNC, "t");
    put("t/late/d/x", "");
    expect_event(fd, NT_GW_CREATE, "t/late/d/x");
    close(fd);
    clean();
}

static void a_watch_ends(void **state)
{
    (void)state;
    char root[256];
    struct found f;
    folder("t");
    at(root, "t");
    int fd = watch_begin(root, NT_GF_RECURSIVE, 50);
    collect(fd, &f, NT_GT_PATH);
    assert_int_equal(f.last, NT_G_END);
    fd = watch_begin(root, 0, 0);
    assert_int_equal(rmdir(root), 0);
    collect(fd, &f, NT_GT_PATH);
    assert_int_equal(f.last, NT_G_END);
    assert_int_equal(f.events[f.entries - 1], NT_GW_REMOVE);
    look(&f, NT_G_WATCH, "gone", "x", 0);
    assert_int_equal(f.code, NT_GE_NOT_FOUND);
}

/* Nothing happens there: who asked for heartbeats hears that the guest lives. */
static void a_watch_gives_heartbeats(void **state)
{
    (void)state;
    struct nt_g_frame f;
    folder("t");
    int fd = guest_connect();
    struct frame *frame = frame_text(frame_new(NT_G_WATCH), NT_GT_PATH, "t");
    say(fd, frame_number(frame, NT_GT_BEAT_MS, 20));
    assert_true(next_frame(fd, watched, &f));
    assert_int_equal(f.type, NT_G_HELLO);
    assert_true(next_frame(fd, watched, &f));
    assert_int_equal(f.type, NT_G_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(next_frame(fd, watched, &f));
        assert_int_equal(f.type, NT_G_BEAT);
        assert_int_equal(f.size, 0);
    }
    close(fd);
    clean();
}

/* -1: refused. A watch counts until its process has ended, which is a little after its peer. */
static int watch_try(const char *path)
{
    int fd = guest_connect();
    say(fd, frame_text(frame_new(NT_G_WATCH), NT_GT_PATH, path));
    struct nt_g_frame f;
    assert_true(next_frame(fd, watched, &f));
    assert_int_equal(f.type, NT_G_HELLO);
    assert_true(next_frame(fd, watched, &f));
    if (f.type == NT_G_OK)
        return fd;
    assert_int_equal(f.type, NT_G_ERROR);
    close(fd);
    return -1;
}

static void watches_are_bounded(void **state)
{
    (void)state;
    int fds[64];
    struct found f;
    folder("t");
    for (int i = 0, tries = 0; i < 64; i += fds[i] >= 0) {
        fds[i] = watch_try("t");
        if (fds[i] < 0) { /* watches of the tests before are still ending */
            assert_true(tries++ < 2000);
            nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
        }
    }
    look(&f, NT_G_WATCH, "t", "x", 0);
    assert_int_equal(f.code, NT_GE_LIMIT);
    finds("t", "x", ""); /* other calls still find a place */
    for (int i = 0; i < 64; i++)
        close(fds[i]);
    for (int i = 0; i < 1000; i++) { /* the helpers see that their peers have gone */
        look(&f, NT_G_GLOB, "t", "x", 0);
        int fd = guest_connect();
        say(fd,
            frame_number(frame_text(frame_new(NT_G_WATCH), NT_GT_PATH, "t"), NT_GT_TIMEOUT_MS, 1));
        collect(fd, &f, NT_GT_PATH);
        if (f.last == NT_G_END)
            break;
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    assert_int_equal(f.last, NT_G_END);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_match_as_expressions_or_literally),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(names_match_by_parts),
        cmocka_unit_test(hostile_trees_do_no_harm),
        cmocka_unit_test(a_racing_link_shows_nothing),
        cmocka_unit_test(a_hostile_pattern_is_ended),
        cmocka_unit_test(files_are_replaced_as_a_whole),
        cmocka_unit_test(nothing_is_replaced_when_one_cannot_be),
        cmocka_unit_test(permissions_change),
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(new_folders_are_told_whole),
        cmocka_unit_test(a_swapped_parent_leads_nowhere),
        cmocka_unit_test(lost_events_are_looked_for),
        cmocka_unit_test(a_watch_ends),
        cmocka_unit_test(a_watch_gives_heartbeats),
        cmocka_unit_test(watches_are_bounded),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
