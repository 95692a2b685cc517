/* SPDX-License-Identifier: Apache-2.0 */
/* api_local_test.c - the embedded server: one of it, however many want it, and what it is given.
 *
 * This program is also the server: run as `nanoterm serve --embedded` it answers like one, and
 * writes down how it was started. What it does is in the file `mode` of its home. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/config/paths.h"
#include "core/net/net.h"
#include "nanoterm/local.h"
#include "sdk/error.h"

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CLIENTS 8

/* --- the server ---------------------------------------------------------------------------- */

static int put_file(const char *folder, const char *name, const char *text, int flags)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return good ? 0 : -1;
}

static void get_file(const char *folder, const char *name, char *ret, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, ret, size - 1);
    ret[got > 0 ? got : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* What a server can see of its start, as text. */
static void write_report(const char *home)
{
    char text[2048], cwd[256] = "";
    int fds = 0, highest = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (e->d_name[0] != '.') {
            int fd = (int)strtoul(e->d_name, NULL, 10);
            fds += fd != dirfd(dir);
            highest = fd != dirfd(dir) && fd > highest ? fd : highest;
        }
    closedir(dir);
    sigset_t blocked;
    struct sigaction act;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    sigaction(SIGPIPE, NULL, &act);
    mode_t mask = umask(077);
    snprintf(text, sizeof(text),
             "cwd=%s fds=%d highest=%d umask=%o int_blocked=%d pipe_default=%d own_session=%d "
             "key=%s url=%s "
             "secret=%s ld=%s xdg=%s other=%s\n",
             getcwd(cwd, sizeof(cwd)), fds, highest, (unsigned)mask, sigismember(&blocked, SIGINT),
             act.sa_handler == SIG_DFL, getsid(0) != getpid() && getpgrp() == getsid(0),
             getenv("NANOTERM_API_KEY") ? "yes" : "no", getenv("NANOTERM_API_URL") ? "yes" : "no",
             getenv("AWS_SECRET") ? "yes" : "no", getenv("LD_PRELOAD") ? "yes" : "no",
             getenv("XDG_TEST") ? "yes" : "no", getenv("NANOTERM_OTHER") ? "yes" : "no");
    put_file(home, "report", text, O_TRUNC);
}

static int say(const char *line)
{
    return write(NT_LOCAL_FD_READY, line, strlen(line)) < 0;
}

/* Answers until nobody has asked for a while; "old" says once that it is an old build. */
static void answer_all(int listener, const char *home, bool is_old)
{
    for (;;) {
        struct pollfd ready = { .fd = listener, .events = POLLIN };
        char path[512];
        snprintf(path, sizeof(path), "%s/stop", home);
        if (poll(&ready, 1, 50) < 0 || access(path, F_OK) == 0)
            return;
        int fd = ready.revents ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd < 0)
            continue;
        char request[8192] = "";
        size_t got = 0;
        while (!strstr(request, "\r\n\r\n")) {
            ssize_t n = recv(fd, request + got, sizeof(request) - 1 - got, 0);
            if (n <= 0)
                break;
            got += (size_t)n;
            request[got] = '\0';
        }
        bool good =
            strstr(request, NT_LOCAL_TOKEN_HEADER ": " TOKEN) && !strstr(request, "Authorization");
        char answer[512];
        bool is_handover = strstr(request, "POST /v1/local/handover");
        while (is_handover && !strchr(request, '}')) {
            ssize_t n = recv(fd, request + got, sizeof(request) - 1 - got, 0);
            if (n <= 0)
                break;
            got += (size_t)n;
            request[got] = '\0';
        }
        const char *body = is_handover ? strstr(request, "\r\n\r\n") : NULL;
        if (body)
            put_file(home, "handover", body + 4, O_APPEND);
        if (strstr(request, "Upgrade: " NT_LOCAL_PROTOCOL))
            snprintf(answer, sizeof(answer),
                     "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: " NT_LOCAL_PROTOCOL
                     "\r\n\r\nearly");
        else
            snprintf(answer, sizeof(answer),
                     "HTTP/1.1 %s\r\nX-Nanoterm-Build: %s\r\nConnection: close\r\n"
                     "Content-Length: 2\r\n\r\n{}",
                     good ? "200 OK" : "401 No", is_old ? "0.0.1" : NT_VERSION);
        if (got > 0 && send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
            good = false;
        close(fd);
    }
}

static int server_main(void)
{
    char mode[32], name[512], final[512], pid[32];
    const char *home = getenv("HOME"), *run = config_path(NT_PATH_RUNTIME);
    struct nt_error e = NT_ERROR_INIT;
    snprintf(pid, sizeof(pid), "%d\n", getpid());
    put_file(home, "starts", pid, O_APPEND);
    write_report(home);
    get_file(home, "mode", mode, sizeof(mode));
    if (strcmp(mode, "fail") == 0)
        return say("the \x1b[31m disk is full\n");
    if (strcmp(mode, "typed") == 0)
        return say("19\tthe \x1b[31m schema is newer\tupdate \x1b[31m this one\n");
    if (strcmp(mode, "unknown") == 0)
        return say("4000000000\tsomething\t\n");
    if (strcmp(mode, "silent") == 0)
        return 0;
    if (strcmp(mode, "hang") == 0) {
        for (int i = 0; i < 600; i++) {
            snprintf(name, sizeof(name), "%s/stop", home);
            if (access(name, F_OK) == 0)
                return 0;
            poll(NULL, 0, 10);
        }
        return 0;
    }
    snprintf(name, sizeof(name), "%s/sock.%d", run, getpid());
    snprintf(final, sizeof(final), "%s/sock", run);
    int listener = net_unix_listen(name, &e);
    if (listener < 0 || put_file(run, NT_LOCAL_TOKEN, TOKEN "\n", O_TRUNC) < 0
        || rename(name, final) < 0)
        return say("cannot listen\n");
    say("ready\n");
    close(NT_LOCAL_FD_READY);
    answer_all(listener, home, strcmp(mode, "old") == 0);
    unlink(final);
    return 0;
}

/* --- the tests ----------------------------------------------------------------------------- */

static char home[64], self[512];

static int setup(void **state)
{
    (void)state;
    static const char *const never[] = { "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "NANOTERM_API_URL",
                                         "NANOTERM_WORKSPACE" };
    snprintf(home, sizeof(home), "/tmp/nt-local-XXXXXX");
    assert_non_null(mkdtemp(home));
    setenv("HOME", home, 1);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        unsetenv(never[i]);
    setenv("NANOTERM_API_KEY", "nt_not_for_the_server", 1);
    setenv("AWS_SECRET", "x", 1);
    setenv("XDG_TEST", "x", 1);
    setenv("NANOTERM_OTHER", "x", 1);
    config_paths_reset();
    return 0;
}

/* Waits until the lock of the server is free: then none runs. */
static void end_server(void)
{
    char path[512];
    put_file(home, "stop", "x", O_TRUNC);
    snprintf(path, sizeof(path), "%s/" NT_LOCAL_LOCK, config_path(NT_PATH_RUNTIME));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        assert_true(i < 2000);
        poll(NULL, 0, 5);
    }
    if (fd >= 0)
        close(fd);
    snprintf(path, sizeof(path), "%s/stop", home);
    unlink(path);
}

static int teardown(void **state)
{
    (void)state;
    static const char *const files[] = { "mode",
                                         "starts",
                                         "report",
                                         "stop",
                                         "handover",
                                         ".nanoterm/server/run/token",
                                         ".nanoterm/server/run/server.lock",
                                         ".nanoterm/server/run/sock",
                                         ".nanoterm/server/server.log",
                                         ".nanoterm/server/server.log.1",
                                         ".nanoterm/server/run",
                                         ".nanoterm/server",
                                         ".nanoterm" };
    end_server();
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s/%s", home, files[i]);
        if (unlink(path) < 0)
            rmdir(path);
    }
    return rmdir(home);
}

struct command {
    struct config *config;
    struct api *api;
    struct nt_error e;
    struct nt_response response;
};

static void command_new(struct command *c, int64_t timeout_ms)
{
    *c = (struct command){ .e = NT_ERROR_INIT, .response = { .size = sizeof(c->response) } };
    const struct config_options options = { .personality = NT_AS_NANOTERM };
    assert_int_equal(config_load(&options, &c->config, &c->e), 0);
    const struct api_options api = {
        .config = c->config, .timeout_ms = timeout_ms, .retries = true, .server_program = self
    };
    assert_int_equal(api_new(&api, &c->api, &c->e), 0);
}

static void command_done(struct command *c)
{
    api_free(c->api);
    config_free(c->config);
}

static int ask(struct command *c)
{
    const struct nt_request req = { .size = sizeof(req), .method = "GET", .path = "/v1/sandboxes" };
    return api_request(c->api, &req, &c->response, &c->e);
}

static int starts(void)
{
    char text[1024];
    int count = 0;
    get_file(home, "starts", text, sizeof(text));
    for (const char *p = text; *p; p++)
        count += *p == '\n';
    return count;
}

static void the_first_command_starts_it(void **state)
{
    (void)state;
    struct command c;
    char report[2048], path[512];
    struct stat st;
    umask(022);
    /* not close-on-exec, as a careless parent leaves them */
    int extra = open("/dev/null", O_RDONLY);
    command_new(&c, 20000);
    if (ask(&c) < 0)
        fail_msg("%s", c.e.message);
    assert_int_equal(ask(&c), 0);
    command_done(&c);
    close(extra);
    assert_int_equal(starts(), 1);
    get_file(home, "report", report, sizeof(report));
    assert_string_equal(report, "cwd=/ fds=5 highest=4 umask=77 int_blocked=0 pipe_default=1 "
                                "own_session=1 key=no url=no secret=no "
                                "ld=no xdg=yes other=yes\n");
    assert_int_equal(stat(config_path(NT_PATH_RUNTIME), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(path, sizeof(path), "%s/server.log", config_path(NT_PATH_DATA));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void eight_at_once_start_one(void **state)
{
    (void)state;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    pid_t pids[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char byte;
            close(gate[1]);
            if (read(gate[0], &byte, 1) != 0) /* the end comes to all of them at once */
                _exit(9);
            struct command c;
            command_new(&c, 20000);
            int status = ask(&c);
            if (status < 0)
                fprintf(stderr, "%s\n", c.e.message);
            command_done(&c);
            _exit(status < 0);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < CLIENTS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(starts(), 1);
}

static void a_server_that_has_left_is_started_again(void **state)
{
    (void)state;
    struct command c;
    command_new(&c, 20000);
    assert_int_equal(ask(&c), 0);
    end_server();
    assert_int_equal(ask(&c), 0); /* ENOENT */
    assert_int_equal(starts(), 2);
    end_server();
    /* One that was killed leaves its socket: ECONNREFUSED. */
    struct nt_error e = NT_ERROR_INIT;
    char path[512];
    snprintf(path, sizeof(path), "%s/sock", config_path(NT_PATH_RUNTIME));
    close(net_unix_listen(path, &e));
    assert_int_equal(ask(&c), 0);
    assert_int_equal(starts(), 3);
    command_done(&c);
}

static void a_failed_start_says_why(void **state)
{
    (void)state;
    struct command c;
    put_file(home, "mode", "fail", O_TRUNC);
    command_new(&c, 20000);
    assert_int_equal(ask(&c), -1);
    assert_int_equal(c.e.code, NT_E_CONNECT);
    assert_string_equal(c.e.message,
                        "the embedded server could not start: the \\x1b[31m disk is full");
    assert_int_equal(c.e.request_sent, 0);
    assert_non_null(strstr(c.e.hint, "server.log"));
    assert_int_equal(starts(), 1); /* the next one would fail too */
    command_done(&c);
    put_file(home, "mode", "typed", O_TRUNC);
    command_new(&c, 20000);
    assert_int_equal(ask(&c), -1);
    assert_int_equal(c.e.code, NT_E_CONFIG);
    assert_string_equal(c.e.message,
                        "the embedded server could not start: the \\x1b[31m schema is newer");
    assert_string_equal(c.e.hint, "update \\x1b[31m this one");
    assert_int_equal(c.e.retryable, 0);
    command_done(&c);
    put_file(home, "mode", "unknown", O_TRUNC);
    command_new(&c, 20000);
    assert_int_equal(ask(&c), -1);
    assert_int_equal(c.e.code, NT_E_CONNECT);
    assert_non_null(strstr(c.e.message, "something"));
    assert_non_null(strstr(c.e.hint, "server.log"));
    command_done(&c);
    put_file(home, "mode", "silent", O_TRUNC);
    command_new(&c, 20000);
    assert_int_equal(ask(&c), -1);
    assert_non_null(strstr(c.e.message, "ended before it was ready"));
    command_done(&c);
}

static void a_start_that_hangs_meets_the_deadline(void **state)
{
    (void)state;
    struct command c, other;
    put_file(home, "mode", "hang", O_TRUNC);
    command_new(&c, 400);
    assert_int_equal(ask(&c), -1);
    assert_int_equal(c.e.code, NT_E_TIMEOUT);
    command_done(&c);
    command_new(&other, 200); /* another holds the lock now */
    assert_int_equal(ask(&other), -1);
    assert_int_equal(other.e.code, NT_E_TIMEOUT);
    assert_int_equal(starts(), 1);
    command_done(&other);
}

static void a_program_that_is_not_there(void **state)
{
    (void)state;
    struct command c;
    command_new(&c, 20000);
    char *before = strdup(self);
    snprintf(self, sizeof(self), "%s/no-such-program", home);
    assert_int_equal(ask(&c), -1);
    assert_non_null(strstr(c.e.message, "cannot be run"));
    snprintf(self, sizeof(self), "%s", before);
    free(before);
    command_done(&c);
}

static void none_is_started_inside_a_workspace(void **state)
{
    (void)state;
    struct command c;
    setenv("NANOTERM_WORKSPACE", "ws_1", 1);
    command_new(&c, 20000);
    assert_int_equal(ask(&c), -1);
    assert_int_equal(c.e.code, NT_E_UNSUPPORTED);
    assert_int_equal(starts(), 0);
    command_done(&c);
    unsetenv("NANOTERM_WORKSPACE");
}

static void a_folder_of_another_is_refused(void **state)
{
    (void)state;
    struct command c;
    if (geteuid() != 0)
        skip();
    command_new(&c, 20000);
    assert_int_equal(ask(&c), 0);
    end_server();
    assert_int_equal(chown(config_path(NT_PATH_RUNTIME), 12345, 12345), 0);
    assert_int_equal(ask(&c), -1);
    assert_int_equal(c.e.code, NT_E_CONFIG);
    assert_int_equal(chown(config_path(NT_PATH_RUNTIME), 0, 0), 0);
    command_done(&c);
}

static void an_old_server_is_asked_to_hand_over_once(void **state)
{
    (void)state;
    struct command c;
    char text[1024], expected[1024];
    put_file(home, "mode", "old", O_TRUNC);
    command_new(&c, 20000);
    snprintf(expected, sizeof(expected), "{\"binary\":\"%s\"}", self);
    assert_int_equal(ask(&c), 0);
    assert_int_equal(ask(&c), 0);
    command_done(&c);
    get_file(home, "handover", text, sizeof(text));
    assert_string_equal(text, expected);
}

static void an_upgrade_gives_the_connection(void **state)
{
    (void)state;
    struct command c;
    int fd = -1;
    struct nt_bytes early = { NULL, 0 };
    command_new(&c, 20000);
    assert_int_equal(
        api_upgrade_local(c.api, "/v1/sandboxes/x/fd", NT_LOCAL_PROTOCOL, &fd, &early, &c.e), 0);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_true(early.size <= 5 && memcmp("early", early.size ? early.data : "", early.size) == 0);
    close(fd);
    command_done(&c);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0 && strcmp(argv[2], "--embedded") == 0)
        return server_main();
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[size > 0 ? size : 0] = '\0';
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_command_starts_it),
        TEST(eight_at_once_start_one),
        TEST(a_server_that_has_left_is_started_again),
        TEST(a_failed_start_says_why),
        TEST(a_start_that_hangs_meets_the_deadline),
        TEST(a_program_that_is_not_there),
        TEST(none_is_started_inside_a_workspace),
        TEST(a_folder_of_another_is_refused),
        TEST(an_old_server_is_asked_to_hand_over_once),
        TEST(an_upgrade_gives_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
