/* SPDX-License-Identifier: Apache-2.0 */
/* guest_log_test.c - drives the real guest: the log file of a program and its .exit, under attack
 * and under failure. */
#include "guest_harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct frame *log_frame(uint64_t flags, const char *id, const char *log, const char *script)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct frame *f = exec_frame(flags, 0, argv);
    frame_text(f, NT_GT_LOG, log);
    return id ? frame_text(f, NT_GT_ID, id) : f;
}

static void start(struct heard *h, const char *id, const char *log, const char *script)
{
    int fd = guest_connect();
    say(fd, log_frame(NT_GX_BACKGROUND, id, log, script));
    hear(fd, h);
}

static void started(const char *id, const char *log, const char *script)
{
    struct heard h;
    start(&h, id, log, script);
    assert_int_equal(h.last, NT_G_STARTED);
    heard_done(&h);
}

static void kill_tree(const char *id)
{
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_number(frame_text(frame_new(NT_G_KILL), NT_GT_ID, id), NT_GT_FLAGS, NT_GX_TREE));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
}

static const char *in_dir(const char *name)
{
    static char path[2][160];
    static int i;
    i = !i;
    snprintf(path[i], sizeof(path[i]), "%s/%s", harness.dir, name);
    return path[i];
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
}

/* The content, or "" when there is no such file. */
static const char *content(const char *name)
{
    static char text[65536];
    int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

static const char *wait_for(const char *name)
{
    for (int i = 0; i < 4000 && access(in_dir(name), F_OK) < 0; i++)
        pause_ms(5);
    return content(name);
}

/* Waits until a file has text. */
static void wait_for_text(const char *name)
{
    for (int i = 0; i < 4000 && !content(name)[0]; i++)
        pause_ms(5);
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *p = strrchr(text, ')');
    return p && strlen(p) > 4 ? (pid_t)strtoll(p + 4, NULL, 10) : -1;
}

/* A child of this guest with that name; 0: none. */
static pid_t child_named(const char *name)
{
    DIR *dir = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *d; !found && (d = readdir(dir));) {
        char path[300], text[32] = "";
        snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
        int fd = d->d_name[0] > '0' && d->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
            close(fd);
        text[n > 0 ? n - 1 : 0] = '\0';
        pid_t pid = (pid_t)strtoll(d->d_name, NULL, 10);
        if (strcmp(text, name) == 0 && parent_of(pid) == harness.pid)
            found = pid;
    }
    closedir(dir);
    return found;
}

/* Nothing half-made stays in the folder. */
static void nothing_stays(void)
{
    bool found = true;
    for (int i = 0; i < 2000 && found; i++) {
        found = false;
        DIR *dir = opendir(harness.dir);
        for (struct dirent *d; (d = readdir(dir));)
            found = found || strncmp(d->d_name, ".nanoterm", 9) == 0;
        closedir(dir);
        if (found)
            pause_ms(5);
    }
    assert_false(found);
}

static void both_outputs_and_the_status_are_written(void **state)
{
    (void)state;
    started("job_a", "a.log", "echo out; echo err >&2; exit 7");
    assert_string_equal(wait_for("a.log.exit"), "7\n");
    const char *text = content("a.log");
    assert_int_equal(strlen(text), 8);
    assert_non_null(strstr(text, "out\n"));
    assert_non_null(strstr(text, "err\n"));
    nothing_stays();
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_text(frame_new(NT_G_LOGS), NT_GT_ID, "job_a"));
    hear(fd, &h);
    assert_string_equal((char *)h.bytes[0], "out\n");
    assert_string_equal((char *)h.bytes[1], "err\n");
    heard_done(&h);
}

static void much_output_is_written_whole(void **state)
{
    (void)state;
    started(NULL, "much.log", "head -c 20000001 /dev/zero");
    assert_string_equal(wait_for("much.log.exit"), "0\n");
    struct stat st;
    assert_int_equal(stat(in_dir("much.log"), &st), 0);
    assert_int_equal(st.st_size, 20000001);
}

/* Of a former run nothing is seen: not even before the program has its first instruction. */
static void the_old_status_goes_before_the_start(void **state)
{
    (void)state;
    started(NULL, "again.log", "exit 1");
    assert_string_equal(wait_for("again.log.exit"), "1\n");
    started(NULL, "again.log", "test -e again.log.exit && echo old; echo new; exit 2");
    assert_string_equal(wait_for("again.log.exit"), "2\n");
    assert_string_equal(content("again.log"), "new\n");
}

static void a_killed_job_has_its_status(void **state)
{
    (void)state;
    started("job_k", "k.log", "echo on; sleep 100");
    wait_for_text("k.log");
    assert_true(access(in_dir("k.log.exit"), F_OK) < 0);
    kill_tree("job_k");
    assert_string_equal(wait_for("k.log.exit"), "137\n");
    const char *argv[] = { "sleep", "100", NULL };
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_text(exec_frame(NT_GX_BACKGROUND, 200, argv), NT_GT_LOG, "t.log"));
    hear(fd, &h);
    heard_done(&h);
    assert_string_equal(wait_for("t.log.exit"), "124\n");
}

static void a_killed_supervisor_leaves_a_status(void **state)
{
    (void)state;
    started("job_s", "s.log", "echo on; sleep 100");
    wait_for_text("s.log");
    pid_t supervisor = child_named("nanoterm-run");
    assert_true(supervisor > 0);
    kill(supervisor, SIGKILL);
    assert_string_equal(wait_for("s.log.exit"), "137\n");
    nothing_stays();
}

/* As `kill -9 -1` does: its place is taken by another, and the end is written once. */
static void a_killed_writer_is_replaced(void **state)
{
    (void)state;
    started("job_w", "w.log", "echo one; until [ -e w.go ]; do sleep 0.02; done; echo two; exit 5");
    wait_for_text("w.log");
    pid_t writer = child_named("nanoterm-log");
    assert_true(writer > 0);
    kill(writer, SIGKILL);
    pid_t next = writer;
    for (int i = 0; i < 2000 && (next == writer || next == 0); i++) {
        pause_ms(5);
        next = child_named("nanoterm-log");
    }
    assert_true(next > 0 && next != writer);
    close(open(in_dir("w.go"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_string_equal(wait_for("w.log.exit"), "5\n");
    assert_string_equal(content("w.log"), "one\ntwo\n");
    nothing_stays();
}

static void a_stopped_writer_delays_nobody_else(void **state)
{
    (void)state;
    started("job_stuck", "stuck.log",
            "echo one; until [ -e stuck.go ]; do sleep 0.02; done; head -c 3000000 /dev/zero; "
            "exit 6");
    wait_for_text("stuck.log");
    pid_t writer = child_named("nanoterm-log");
    assert_true(writer > 0);
    kill(writer, SIGSTOP);
    close(open(in_dir("stuck.go"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    struct heard h;
    run_shell(&h, "echo served");
    assert_string_equal((char *)h.bytes[0], "served\n");
    heard_done(&h);
    kill(writer, SIGCONT);
    assert_string_equal(wait_for("stuck.log.exit"), "6\n");
    struct stat st;
    assert_int_equal(stat(in_dir("stuck.log"), &st), 0);
    assert_int_equal(st.st_size, 3000004);
}

/* What the workspace has put there instead of a file: refused before anything starts. */
static void only_a_regular_file_is_a_log(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(mkdir(in_dir("folder"), 0700), 0);
    assert_int_equal(symlink("/proc/self/fd/3", in_dir("magic")), 0);
    assert_int_equal(mkdir(in_dir("taken.exit"), 0700), 0);
    int reader = open(in_dir("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    static const char *const paths[] = { "fifo",    "folder",     "magic",
                                         "taken",   "none/there", "/dev/null",
                                         "folder/", "..",         "/proc/self/fd/3" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct heard h;
        start(&h, NULL, paths[i], "touch ran");
        assert_int_equal(h.last, NT_G_ERROR);
        assert_true(strstr(h.message, "log file") != NULL);
        heard_done(&h);
    }
    close(reader);
    assert_true(access(in_dir("ran"), F_OK) < 0);
    nothing_stays();
}

/* A link of the workspace is followed; the .exit lies beside the name that was given. */
static void a_link_is_the_affair_of_the_workspace(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_dir("elsewhere"), 0700), 0);
    assert_int_equal(symlink("elsewhere/real", in_dir("link.log")), 0);
    started(NULL, "link.log", "echo linked");
    assert_string_equal(wait_for("link.log.exit"), "0\n");
    assert_string_equal(content("elsewhere/real"), "linked\n");
}

/* The program never ran: nothing claims that it has ended. */
static void a_program_that_does_not_start_has_no_status(void **state)
{
    (void)state;
    const char *argv[] = { "/no/such/program", NULL };
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_text(exec_frame(NT_GX_BACKGROUND, 0, argv), NT_GT_LOG, "never.log"));
    hear(fd, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_STARTED);
    heard_done(&h);
    nothing_stays();
    assert_true(access(in_dir("never.log.exit"), F_OK) < 0);
}

/* What the program left behind writes on; its end was written when the program had ended. */
static void a_daemon_writes_on(void **state)
{
    (void)state;
    started("job_d", "d.log",
            "(until [ -e d.go ]; do sleep 0.02; done; echo late) & echo first; exit 3");
    assert_string_equal(wait_for("d.log.exit"), "3\n");
    assert_string_equal(content("d.log"), "first\n");
    close(open(in_dir("d.go"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    for (int i = 0; i < 2000 && strlen(content("d.log")) < 11; i++)
        pause_ms(5);
    assert_string_equal(content("d.log"), "first\nlate\n");
}

/* The end of the workspace waits for the status of what it kills. */
static void shutdown_leaves_a_status(void **state)
{
    (void)state;
    struct harness running = harness;
    char ended[96];
    harness_start_with(NULL, NULL);
    snprintf(ended, sizeof(ended), "/tmp/nt-guest-log-%d", (int)getpid());
    char exit_file[112];
    snprintf(exit_file, sizeof(exit_file), "%s.exit", ended);
    started("job_end", ended, "trap '' TERM; echo on; sleep 100; sleep 100");
    struct stat st = { 0 };
    for (int i = 0; i < 4000 && !st.st_size; i++) {
        pause_ms(5);
        stat(ended, &st);
    }
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_number(frame_new(NT_G_SHUTDOWN), NT_GT_TIMEOUT_MS, 100));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    assert_int_equal(harness_exit(), 0);
    harness = running;
    char text[8] = "";
    fd = open(exit_file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof(text)), 4);
    close(fd);
    assert_memory_equal(text, "137\n", 4);
    unlink(ended);
    unlink(exit_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_outputs_and_the_status_are_written),
        cmocka_unit_test(much_output_is_written_whole),
        cmocka_unit_test(the_old_status_goes_before_the_start),
        cmocka_unit_test(a_killed_job_has_its_status),
        cmocka_unit_test(a_killed_supervisor_leaves_a_status),
        cmocka_unit_test(a_killed_writer_is_replaced),
        cmocka_unit_test(a_stopped_writer_delays_nobody_else),
        cmocka_unit_test(only_a_regular_file_is_a_log),
        cmocka_unit_test(a_link_is_the_affair_of_the_workspace),
        cmocka_unit_test(a_program_that_does_not_start_has_no_status),
        cmocka_unit_test(a_daemon_writes_on),
        cmocka_unit_test(shutdown_leaves_a_status),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
