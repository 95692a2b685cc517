/* SPDX-License-Identifier: Apache-2.0 */
/* serve_api_test.c - a whole server over an engine in memory, asked over its sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugins/serve/server.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "serve_engine.h"

struct fixture {
    char dir[64], data_dir[96], runtime_dir[96], token[80], key[80];
    const char *listens[1];
    struct server_options options;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ready, ended, running;
    int status;
    uint16_t port; /* 0: the embedded socket */
    struct nt_error error;
};

static void say(void *data, const char *line)
{
    struct fixture *f = data;
    const char *tcp = strstr(line, "http://127.0.0.1:");
    if (tcp)
        f->port = (uint16_t)strtoul(tcp + 17, NULL, 10);
}

static void debug(void *data, const char *event, const char *fields)
{
    struct fixture *f = data;
    if (strcmp(event, "serve.ready") != 0)
        return;
    pthread_mutex_lock(&f->mutex);
    f->ready = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

static void *run(void *data)
{
    struct fixture *f = data;
    int status = server_run(&f->options, &f->error);
    pthread_mutex_lock(&f->mutex);
    f->status = status;
    f->ended = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

static void read_line(const char *path, char *ret, size_t size)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(ret, (int)size, file));
    fclose(file);
    ret[strcspn(ret, "\n")] = '\0';
}

/* Starts a server; true when it serves. */
static bool start(struct fixture *f)
{
    f->ready = f->ended = false;
    f->port = 0;
    f->error = (struct nt_error)NT_ERROR_INIT;
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    pthread_mutex_lock(&f->mutex);
    while (!f->ready && !f->ended)
        pthread_cond_wait(&f->changed, &f->mutex);
    f->running = f->ready;
    pthread_mutex_unlock(&f->mutex);
    if (!f->running) {
        pthread_join(f->thread, NULL);
        return false;
    }
    char path[160];
    if (f->options.listen_count == 0) {
        snprintf(path, sizeof(path), "%s/token", f->runtime_dir);
        read_line(path, f->token, sizeof(f->token));
    }
    snprintf(path, sizeof(path), "%s/owner.key", f->data_dir);
    read_line(path, f->key, sizeof(f->key));
    return true;
}

static void join(struct fixture *f)
{
    pthread_join(f->thread, NULL);
    f->running = false;
}

static void stop(struct fixture *f)
{
    kill(getpid(), SIGTERM);
    join(f);
    assert_int_equal(f->status, 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/nt-serve-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->data_dir, sizeof(f->data_dir), "%s/data", f->dir);
    snprintf(f->runtime_dir, sizeof(f->runtime_dir), "%s/run", f->dir);
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->options = (struct server_options){
        .engine_ops = &fake_engine_ops,
        .engine_name = "fake",
        .data_dir = f->data_dir,
        .runtime_dir = f->runtime_dir,
        .libexec_dir = f->dir,
        .listens = f->listens,
        .listen_fd = -1,
        .say = say,
        .debug = debug,
        .data = f,
    };
    fake_engine_reset();
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->running)
        stop(f);
    nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

/* --- a small client ------------------------------------------------------------------------ */

static int dial(const struct fixture *f)
{
    int fd;
    if (f->port) {
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons(f->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    } else {
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        snprintf(to.sun_path, sizeof(to.sun_path), "%.90s/sock", f->runtime_dir);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    }
    struct timeval patience = { .tv_sec = 20 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

static void send_request(const struct fixture *f, int fd, const char *method, const char *path,
                         const char *headers, const char *body)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1 << 20);
    nt_buf_addf(&b, "%s %s HTTP/1.1\r\nConnection: close\r\n", method, path);
    if (!strstr(headers, "Host: "))
        nt_buf_addf(&b, "Host: localhost:%u\r\n", f->port);
    nt_buf_add(&b, headers);
    if (body)
        nt_buf_addf(&b, "Content-Length: %zu\r\n", strlen(body));
    nt_buf_addf(&b, "\r\n%s", body ? body : "");
    assert_true(nt_buf_ok(&b));
    assert_int_equal(write(fd, b.data, b.size), (ssize_t)b.size);
}

/* Reads until the end; the body's JSON (NULL: none) and the status. */
static int read_answer(int fd, json_t **ret_body, char *ret_head, size_t head_size)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1 << 20);
    char piece[4096];
    ssize_t size;
    while ((size = read(fd, piece, sizeof(piece))) > 0)
        nt_buf_add_bytes(&b, piece, (size_t)size);
    close(fd);
    const char *text = nt_buf_text(&b), *body = strstr(text, "\r\n\r\n");
    assert_non_null(body);
    if (ret_head)
        snprintf(ret_head, head_size, "%.*s", (int)(body - text), text);
    json_t *json = body[4] ? json_loads(body + 4, 0, NULL) : NULL;
    if (ret_body)
        *ret_body = json;
    else
        json_decref(json);
    return (int)strtol(text + 9, NULL, 10);
}

/* One request with the right credential; wide on the embedded socket. */
static int ask(const struct fixture *f, const char *method, const char *path, const char *more,
               const char *body, json_t **ret_body)
{
    char headers[512];
    if (f->port)
        snprintf(headers, sizeof(headers), "Authorization: Bearer %s\r\n%s", f->key, more);
    else
        snprintf(headers, sizeof(headers), "X-Nanoterm-Local-Token: %s\r\nX-Nanoterm-Wire: 1\r\n%s",
                 f->token, more);
    int fd = dial(f);
    send_request(f, fd, method, path, headers, body);
    return read_answer(fd, ret_body, NULL, 0);
}

static void assert_code(json_t *body, const char *code)
{
    assert_true(json_is_string(json_object_get(body, "error")));
    assert_string_equal(nt_json_text(body, "code"), code);
    assert_true(json_is_string(json_object_get(body, "request_id")));
    assert_true(json_is_boolean(json_object_get(body, "retryable")));
}

static void create(const struct fixture *f, const char *body, char ret_id[44])
{
    nt_auto_json json_t *ws = NULL;
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "", body, &ws), 201);
    snprintf(ret_id, 44, "%s", nt_json_text(ws, "id"));
}

static const char *path_of(const char *id, const char *rest)
{
    static char path[128];
    snprintf(path, sizeof(path), "/v1/sandboxes/%s%s", id, rest);
    return path;
}

static void assert_status(const struct fixture *f, const char *id, const char *status)
{
    nt_auto_json json_t *ws = NULL;
    assert_int_equal(ask(f, "GET", path_of(id, ""), "", NULL, &ws), 200);
    assert_string_equal(nt_json_text(ws, "status"), status);
}

/* --- tests --------------------------------------------------------------------------------- */

static void health_needs_no_credential_and_all_else_does(void **state)
{
    struct fixture *f = *state;
    assert_true(start(f));
    char head[2048];
    nt_auto_json json_t *health = NULL, *refused = NULL, *wrong = NULL;
    int fd = dial(f);
    send_request(f, fd, "GET", "/healthz", "", NULL);
    assert_int_equal(read_answer(fd, &health, head, sizeof(head)), 200);
    assert_string_equal(nt_json_text(health, "status"), "ok");
    assert_string_equal(nt_json_text(health, "engine"), "fake");
    assert_non_null(strcasestr(head, "X-Nanoterm-Build: "));
    assert_non_null(strcasestr(head, "X-Nanoterm-Api-Level: 1"));
    assert_non_null(strcasestr(head, "X-Request-Id: req_"));
    fd = dial(f);
    send_request(f, fd, "GET", "/v1/sandboxes", "", NULL);
    assert_int_equal(read_answer(fd, &refused, NULL, 0), 401);
    assert_code(refused, "unauthorized");
    fd = dial(f);
    send_request(f, fd, "GET", "/v1/sandboxes", "X-Nanoterm-Local-Token: 00\r\n", NULL);
    assert_int_equal(read_answer(fd, &wrong, NULL, 0), 401);
    struct stat st;
    char path[160];
    snprintf(path, sizeof(path), "%s/token", f->runtime_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(strlen(f->token), 64);
    assert_int_equal(stat(f->runtime_dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_workspace_lives_through_all_its_states(void **state)
{
    struct fixture *f = *state;
    assert_true(start(f));
    char id[44];
    create(f, "{\"name\":\"otter\",\"envs\":{\"A\":\"b\"}}", id);
    assert_int_equal(strlen(id), 11);
    assert_int_equal(fake.configures, 1);
    assert_status(f, id, "running");
    assert_status(f, "otter", "running");
    nt_auto_json json_t *stopped = NULL, *metrics = NULL, *twice = NULL, *list = NULL, *gone = NULL,
                        *none = NULL;
    assert_int_equal(ask(f, "GET", path_of(id, "/metrics"), "", NULL, &metrics), 200);
    assert_int_equal(json_object_size(json_array_get(metrics, 0)), 9);
    assert_int_equal(ask(f, "POST", path_of(id, "/stop"), "", "{\"grace_ms\":0}", &stopped), 200);
    assert_string_equal(nt_json_text(stopped, "status"), "stopped");
    assert_int_equal(ask(f, "POST", path_of(id, "/stop"), "", NULL, &twice), 200);
    assert_int_equal(ask(f, "POST", path_of(id, "/start"), "", "", NULL), 200);
    assert_status(f, id, "running");
    assert_int_equal(ask(f, "GET", "/v1/sandboxes?limit=1", "", NULL, &list), 200);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
    assert_int_equal(ask(f, "DELETE", path_of(id, ""), "", NULL, &gone), 200);
    assert_string_equal(nt_json_text(gone, "status"), "destroyed");
    assert_int_equal(ask(f, "DELETE", path_of(id, ""), "", NULL, &none), 404);
    assert_code(none, "sandbox_not_found");
    assert_int_equal(fake_engine_state(id), NT_WS_ABSENT);
}

static void the_narrow_wire_pauses_and_resumes(void **state)
{
    struct fixture *f = *state;
    f->listens[0] = "127.0.0.1:0";
    f->options.listen_count = 1;
    assert_true(start(f));
    assert_int_not_equal(f->port, 0);
    char id[44], resume[64];
    create(f, "{\"template\":\"base\",\"timeout_ms\":300000}", id);
    nt_auto_json json_t *snapshot = NULL, *paused = NULL, *again = NULL, *removed = NULL,
                        *ttl = NULL;
    assert_int_equal(ask(f, "POST", path_of(id, "/timeout"), "", "{\"timeout_ms\":60000}", &ttl),
                     200);
    assert_int_equal(json_integer_value(json_object_get(ttl, "timeout_ms")), 60000);
    assert_int_equal(ask(f, "POST", path_of(id, "/hibernate"), "", "", &snapshot), 200);
    assert_int_equal(json_object_size(snapshot), 4);
    assert_int_equal(ask(f, "GET", path_of(id, ""), "", NULL, &paused), 200);
    assert_string_equal(nt_json_text(paused, "status"), "paused");
    assert_string_equal(nt_json_text(paused, "snapshot_id"), nt_json_text(snapshot, "id"));
    assert_null(json_object_get(paused, "name"));
    snprintf(resume, sizeof(resume), "%s", nt_json_text(snapshot, "id"));
    assert_int_equal(ask(f, "POST", path_of(resume, "/resume"), "", "", &again), 200);
    assert_string_equal(nt_json_text(again, "id"), id);
    assert_string_equal(nt_json_text(again, "status"), "running");
    assert_int_equal(ask(f, "DELETE", path_of(id, ""), "", NULL, &removed), 200);
    assert_int_equal(json_object_size(removed), 2);
}

static void web_pages_are_kept_out(void **state)
{
    struct fixture *f = *state;
    f->listens[0] = "127.0.0.1:0";
    f->options.listen_count = 1;
    assert_true(start(f));
    static const char *const bad[] = { "Host: evil.example\r\n", "Origin: http://evil.example\r\n",
                                       "Origin: null\r\n", "Host: localhost:1\r\n" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        nt_auto_json json_t *body = NULL;
        assert_int_equal(ask(f, "GET", "/v1/sandboxes", bad[i], NULL, &body), 403);
        assert_code(body, "forbidden");
    }
    assert_int_equal(ask(f, "GET", "/v1/sandboxes", "", NULL, NULL), 200);
    char origin[80];
    snprintf(origin, sizeof(origin), "Origin: http://localhost:%u\r\n", f->port);
    assert_int_equal(ask(f, "GET", "/v1/sandboxes", origin, NULL, NULL), 200);
    /* An API key is not the local user: no files of this machine. */
    nt_auto_json json_t *file = NULL, *handover = NULL;
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "", "{\"image\":\"file:/etc/shadow\"}", &file),
                     403);
    assert_int_equal(
        ask(f, "POST", "/v1/local/handover", "", "{\"binary\":\"/bin/sh\"}", &handover), 403);
}

static void a_listener_beyond_this_machine_must_be_asked_for(void **state)
{
    struct fixture *f = *state;
    f->listens[0] = "0.0.0.0:0";
    f->options.listen_count = 1;
    assert_false(start(f));
    assert_int_equal(f->error.code, NT_E_FORBIDDEN);
    f->listens[0] = "example.org:80";
    assert_false(start(f));
    assert_int_equal(f->error.code, NT_E_USAGE);
}

static void bad_bodies_are_refused_in_one_form(void **state)
{
    struct fixture *f = *state;
    assert_true(start(f));
    nt_auto_json json_t *broken = NULL, *list = NULL, *unknown = NULL, *large = NULL, *limit = NULL,
                        *host = NULL;
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "", "{\"a\":", &broken), 400);
    assert_code(broken, "invalid_request");
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "", "[1]", &list), 400);
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "", "{\"template\":\"x\\udc80\"}", &unknown),
                     404);
    assert_code(unknown, "template_not_found");
    assert_true(json_is_string(json_object_get(unknown, "suggested_action")));
    int fd = dial(f);
    char headers[256];
    snprintf(headers, sizeof(headers), "X-Nanoterm-Local-Token: %s\r\nContent-Length: 2000000\r\n",
             f->token);
    send_request(f, fd, "POST", "/v1/sandboxes", headers, NULL);
    shutdown(fd, SHUT_WR);
    assert_int_equal(read_answer(fd, &large, NULL, 0), 413);
    assert_code(large, "invalid_request");
    assert_int_equal(ask(f, "GET", "/v1/sandboxes?limit=x", "", NULL, &limit), 400);
    nt_auto_json json_t *mode = NULL, *custom = NULL;
    assert_int_equal(
        ask(f, "POST", "/v1/sandboxes", "", "{\"network\":{\"egress\":{\"mode\":\"x\"}}}", &mode),
        400);
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "",
                         "{\"network\":{\"egress\":{\"mode\":\"custom\"}}}", &custom),
                     501);
    assert_code(custom, "not_implemented");
    assert_int_equal(ask(f, "POST", "/v1/sandboxes/ws_1/host", "", "{\"port\":80}", &host), 404);
    assert_code(host, "sandbox_not_found");
}

static void the_same_create_is_done_once(void **state)
{
    struct fixture *f = *state;
    fake.create_ms = 150;
    assert_true(start(f));
    char headers[256];
    snprintf(headers, sizeof(headers),
             "X-Nanoterm-Local-Token: %s\r\nIdempotency-Key: abc\r\nX-Nanoterm-Wire: 1\r\n",
             f->token);
    nt_auto_json json_t *first = NULL, *second = NULL, *third = NULL, *other = NULL;
    int one = dial(f), two = dial(f);
    send_request(f, one, "POST", "/v1/sandboxes", headers, "{\"vcpus\":1,\"memory_mb\":256}");
    /* while it is at work */
    send_request(f, two, "POST", "/v1/sandboxes", headers, "{\"memory_mb\":256,\"vcpus\":1}");
    assert_int_equal(read_answer(one, &first, NULL, 0), 201);
    assert_int_equal(read_answer(two, &second, NULL, 0), 201);
    assert_string_equal(nt_json_text(first, "id"), nt_json_text(second, "id"));
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "Idempotency-Key: abc\r\n",
                         "{\"vcpus\":1,\"memory_mb\":256}", &third),
                     201);
    assert_string_equal(nt_json_text(first, "id"), nt_json_text(third, "id"));
    assert_int_equal(
        ask(f, "POST", "/v1/sandboxes", "Idempotency-Key: abc\r\n", "{\"vcpus\":2}", &other), 409);
    assert_code(other, "conflict");
    /* the other form of the wire means other defaults and has another answer */
    snprintf(headers, sizeof(headers), "X-Nanoterm-Local-Token: %s\r\nIdempotency-Key: abc\r\n",
             f->token);
    int narrow = dial(f);
    send_request(f, narrow, "POST", "/v1/sandboxes", headers, "{\"vcpus\":1,\"memory_mb\":256}");
    assert_int_equal(read_answer(narrow, NULL, NULL, 0), 409);
    assert_int_equal(fake.creates, 1);
}

static void a_create_that_fails_leaves_nothing_and_may_be_tried_again(void **state)
{
    struct fixture *f = *state;
    fake.fail_create = true;
    assert_true(start(f));
    nt_auto_json json_t *failed = NULL, *list = NULL;
    assert_int_equal(
        ask(f, "POST", "/v1/sandboxes", "Idempotency-Key: k\r\n", "{\"name\":\"n\"}", &failed),
        503);
    assert_code(failed, "sandbox_unavailable");
    assert_non_null(strstr(nt_json_text(failed, "error"), "no user namespaces"));
    assert_int_equal(ask(f, "GET", "/v1/sandboxes", "", NULL, &list), 200);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 0);
    assert_int_equal(fake.removes, 1);
    fake.fail_create = false;
    assert_int_equal(
        ask(f, "POST", "/v1/sandboxes", "Idempotency-Key: k\r\n", "{\"name\":\"n\"}", NULL), 201);
    nt_auto_json json_t *taken = NULL;
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "", "{\"name\":\"n\"}", &taken), 409);
    assert_code(taken, "conflict");
}

static void a_peer_that_leaves_does_not_stop_its_create(void **state)
{
    struct fixture *f = *state;
    fake.create_ms = 100;
    assert_true(start(f));
    char headers[256];
    snprintf(headers, sizeof(headers),
             "X-Nanoterm-Local-Token: %s\r\nIdempotency-Key: gone\r\nX-Nanoterm-Wire: 1\r\n",
             f->token);
    int fd = dial(f);
    send_request(f, fd, "POST", "/v1/sandboxes", headers, "{}");
    close(fd);
    nt_auto_json json_t *again = NULL;
    assert_int_equal(ask(f, "POST", "/v1/sandboxes", "Idempotency-Key: gone\r\n", "{}", &again),
                     201);
    assert_int_equal(fake.creates, 1);
}

static void a_server_finds_what_became_of_its_workspaces(void **state)
{
    struct fixture *f = *state;
    assert_true(start(f));
    char alive[44], fell[44], lost[44];
    create(f, "{}", alive);
    create(f, "{}", fell);
    create(f, "{}", lost);
    stop(f);
    fake_engine_add(fell, NT_WS_STOPPED);
    fake_engine_add(lost, NT_WS_ABSENT);
    fake_engine_add("ws_stranger", NT_WS_RUNNING);
    assert_true(start(f));
    assert_status(f, alive, "running");
    assert_status(f, fell, "stopped");
    assert_status(f, lost, "error");
    assert_status(f, "ws_stranger", "running");
    assert_int_equal(ask(f, "DELETE", path_of(lost, ""), "", NULL, NULL), 200);
}

static void a_broken_database_does_not_lose_workspaces(void **state)
{
    struct fixture *f = *state;
    assert_true(start(f));
    char id[44], path[160], key[80];
    create(f, "{}", id);
    stop(f);
    snprintf(key, sizeof(key), "%s", f->key);
    snprintf(path, sizeof(path), "%s/nanoterm.db", f->data_dir);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (int i = 0; i < 100; i++)
        fprintf(file, "no database at all ");
    fclose(file);
    assert_true(start(f));
    assert_status(f, id, "running");
    assert_string_equal(key, f->key);
}

static void two_servers_do_not_share_a_folder(void **state)
{
    struct fixture *f = *state;
    assert_true(start(f));
    struct fixture second = *f;
    second.options.data = &second;
    pthread_mutex_init(&second.mutex, NULL);
    pthread_cond_init(&second.changed, NULL);
    assert_false(start(&second));
    assert_int_equal(second.error.code, NT_E_CONFLICT);
    assert_non_null(strstr(second.error.message, "runs already"));
    second.listens[0] = "127.0.0.1:0"; /* nor on another address */
    second.options.listens = second.listens;
    second.options.listen_count = 1;
    assert_false(start(&second));
    assert_int_equal(second.error.code, NT_E_CONFLICT);
    assert_int_equal(ask(f, "GET", "/v1/sandboxes", "", NULL, NULL), 200);
}

static void time_that_has_passed_removes_or_stops(void **state)
{
    struct fixture *f = *state;
    assert_true(start(f));
    char removed[44], kept[44];
    create(f, "{\"timeout_ms\":1}", removed);
    create(f, "{\"timeout_ms\":1,\"timeout_action\":\"hibernate\"}", kept);
    stop(f);
    fake_engine_add(removed, NT_WS_STOPPED); /* their guests have ended meanwhile */
    fake_engine_add(kept, NT_WS_STOPPED);
    assert_true(start(f));
    assert_status(f, kept, "stopped");
    stop(f); /* finishes the removal */
    assert_int_equal(fake_engine_state(removed), NT_WS_ABSENT);
    assert_int_equal(fake_engine_state(kept), NT_WS_STOPPED);
}

/* Ends its guest behind the server's back: the word of the guest counts only where a limit in time
 * was set. */
static void end_guest(const char *id, const char *reason)
{
    struct nt_engine_event event = {
        .size = sizeof(event), .kind = NT_ENGINE_EVENT_STOPPED, .id = id, .reason = reason
    };
    fake_engine_add(id, NT_WS_STOPPED);
    fake.host.event(fake.host.data, &event);
}

static void end_them(void *data)
{
    char(*ids)[44] = data;
    end_guest(ids[0], "ttl");
    end_guest(ids[1], "ttl");
    end_guest(ids[2], "ttl");
    end_guest(ids[3], "ended");
}

static void the_reason_of_an_end_decides(void **state)
{
    struct fixture *f = *state;
    static char ids[4][44];
    assert_true(start(f));
    create(f, "{\"timeout_ms\":600000}", ids[0]);
    create(f, "{\"timeout_ms\":600000,\"timeout_action\":\"hibernate\"}", ids[1]);
    create(f, "{\"timeout_ms\":0}", ids[2]); /* its guest lies */
    create(f, "{\"timeout_ms\":600000}", ids[3]);
    fake.host.loop->ops->post(fake.host.loop, end_them, ids);
    int status = 200;
    for (int i = 0; i < 500 && status != 404; i++) {
        usleep(10000);
        status = ask(f, "GET", path_of(ids[0], ""), "", NULL, NULL);
    }
    assert_int_equal(status, 404);
    for (int i = 1; i < 4; i++)
        assert_status(f, ids[i], "stopped");
    stop(f);
    assert_int_equal(fake_engine_state(ids[0]), NT_WS_ABSENT);
    assert_int_equal(fake_engine_state(ids[3]), NT_WS_STOPPED);
}

static void an_engine_that_never_lists_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    fake.list_ms = 3600000;
    f->options.list_ms = 50;
    assert_false(start(f));
    assert_int_equal(f->error.code, NT_E_TIMEOUT);
    fake.list_ms = 0;
    assert_true(start(f));
}

static void it_leaves_when_there_is_nothing_to_do(void **state)
{
    struct fixture *f = *state;
    f->options.idle_ms = 200;
    assert_true(start(f));
    char id[44], path[160];
    create(f, "{\"internet_access\":false}", id);
    join(f);
    assert_int_equal(f->status, 0);
    snprintf(path, sizeof(path), "%s/sock", f->runtime_dir);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(fake_engine_state(id), NT_WS_RUNNING); /* workspaces outlive the server */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(health_needs_no_credential_and_all_else_does),
        TEST(a_workspace_lives_through_all_its_states),
        TEST(the_narrow_wire_pauses_and_resumes),
        TEST(web_pages_are_kept_out),
        TEST(a_listener_beyond_this_machine_must_be_asked_for),
        TEST(bad_bodies_are_refused_in_one_form),
        TEST(the_same_create_is_done_once),
        TEST(a_create_that_fails_leaves_nothing_and_may_be_tried_again),
        TEST(a_peer_that_leaves_does_not_stop_its_create),
        TEST(a_server_finds_what_became_of_its_workspaces),
        TEST(a_broken_database_does_not_lose_workspaces),
        TEST(two_servers_do_not_share_a_folder),
        TEST(time_that_has_passed_removes_or_stops),
        TEST(the_reason_of_an_end_decides),
        TEST(an_engine_that_never_lists_is_not_waited_for),
        TEST(it_leaves_when_there_is_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
