/* SPDX-License-Identifier: Apache-2.0 */
/* engine_fixture.c - see engine_fixture.h. */
#include "engine_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine_loop.h"
#include "nanoterm/guest.h"
#include "nanoterm/plugin.h"
#include "plugins/engine-native/native.h"

extern const struct nt_plugin *nt_plugin_v1(void);

static void on_event(void *data, const struct nt_engine_event *event)
{
    struct fixture *f = data;
    if (event->kind != NT_ENGINE_EVENT_STOPPED)
        return;
    snprintf(f->stopped, sizeof(f->stopped), "%s", event->id);
    snprintf(f->reason, sizeof(f->reason), "%s", event->reason);
    f->has_stopped = true;
}

static void on_accept(void *data, const char *id, struct nt_stream *stream,
                      const struct nt_stream_events **ret_events, void **ret_data)
{
    struct fixture *f = data;
    struct nt_error error = NT_ERROR_INIT;
    (void)id;
    (void)ret_events;
    (void)ret_data;
    if (f->accepted >= 0)
        close(f->accepted);
    f->accepted = stream->ops->take_fd(stream, &error);
    f->has_accepted = true;
}

static void on_debug(void *data, const char *event, const char *fields)
{
    (void)data;
    if (getenv("NT_TEST_VERBOSE"))
        fprintf(stderr, "%s %s\n", event, fields);
}

static bool can_make_namespaces(void)
{
    int status = 1;
    /* not fork(): the thread sanitizer would start a thread in the child */
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int fixture_make(struct fixture *f)
{
    if (!getenv("NT_TEST_NO_SKIP") && !can_make_namespaces()) { /* set by the test in a chroot */
        fprintf(stderr, "skipped: user namespaces are refused here\n");
        return 77;
    }
    char path[128];
    *f = (struct fixture){ .folder = "/tmp/nanoterm-engine-XXXXXX", .accepted = -1 };
    if (!mkdtemp(f->folder))
        return 1;
    snprintf(f->data, sizeof(f->data), "%s/data", f->folder);
    snprintf(f->libexec, sizeof(f->libexec), "%s/libexec", f->folder);
    if (mkdir(f->data, 0700) < 0 || mkdir(f->libexec, 0755) < 0)
        return 1;
    snprintf(path, sizeof(path), "%s/nanoterm-launch", f->libexec);
    if (symlink(NT_TEST_LAUNCH, path) < 0)
        return 1;
    snprintf(path, sizeof(path), "%s/nanoterm-guest", f->libexec);
    const char *guest = getenv("NT_TEST_GUEST_PROGRAM");
    if (symlink(guest ? guest : NT_TEST_GUEST, path) < 0)
        return 1;
    f->loop = test_loop_new();
    const struct nt_service *service = nt_plugin_v1()->services.rows;
    f->ops = service->ops;
    f->host = (struct nt_engine_host){ .size = sizeof(f->host),
                                       .loop = f->loop,
                                       .data_dir = f->data,
                                       .runtime_dir = f->folder,
                                       .libexec_dir = f->libexec,
                                       .event = on_event,
                                       .accept_stream = on_accept,
                                       .debug = on_debug,
                                       .data = f };
    return 0;
}

void fixture_open(struct fixture *f)
{
    struct nt_error error = NT_ERROR_INIT;
    if (f->ops->open(&f->host, &f->engine, &error) < 0)
        fail_msg("%s", error.message);
}

void fixture_close(struct fixture *f)
{
    if (f->engine)
        f->ops->close(f->engine);
    f->engine = NULL;
}

void fixture_end(struct fixture *f)
{
    /* What a failed test has left. */
    static const char *const ids[] = { "ws_test0001", "ws_secure01" };
    if (!f->engine)
        fixture_open(f);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct outcome o;
        fixture_call(f, 'r', ids[i], &o);
    }
    fixture_close(f);
    test_loop_free(f->loop);
    if (f->accepted >= 0)
        close(f->accepted);
    int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(disk_delete(tmp, f->folder + strlen("/tmp/")), 0);
    close(tmp);
}

static void on_done(void *data, const struct nt_engine_result *result)
{
    struct outcome *o = data;
    assert_false(o->done); /* once */
    o->outcome = result->outcome;
    o->error = result->error;
    o->state = result->state;
    o->done = true;
}

static struct nt_engine_call call_of(struct outcome *o)
{
    *o = (struct outcome){ .done = false };
    return (struct nt_engine_call){
        .size = sizeof(struct nt_engine_call), .key = "key", .done = on_done, .data = o
    };
}

void fixture_create(struct fixture *f, const char *id, const char *image, uint32_t flags,
                    struct outcome *ret)
{
    struct nt_engine_spec spec = { .size = sizeof(spec),
                                   .flags = flags,
                                   .id = id,
                                   .hostname = "ws-test",
                                   .image = image,
                                   .pids = 200,
                                   .memory_bytes = 512u << 20,
                                   .cpu_millis = 2000 };
    struct nt_engine_call call = call_of(ret);
    assert_non_null(f->ops->create(f->engine, &call, &spec));
    assert_false(ret->done);
    assert_true(test_loop_run(f->loop, &ret->done, 50000));
}

struct nt_engine_op *fixture_begin(struct fixture *f, const char *id, struct outcome *ret)
{
    struct nt_engine_spec spec = {
        .size = sizeof(spec), .id = id, .hostname = "ws-test", .image = "host"
    };
    struct nt_engine_call call = call_of(ret);
    struct nt_engine_op *op = f->ops->create(f->engine, &call, &spec);
    assert_non_null(op);
    return op;
}

void fixture_call(struct fixture *f, char what, const char *id, struct outcome *ret)
{
    struct nt_engine_call call = call_of(ret);
    struct nt_engine_op *op = what == 's'   ? f->ops->start(f->engine, &call, id)
                              : what == 'p' ? f->ops->stop(f->engine, &call, id, 2000)
                              : what == 'r' ? f->ops->remove(f->engine, &call, id)
                                            : f->ops->inspect(f->engine, &call, id);
    assert_non_null(op);
    assert_false(ret->done);
    assert_true(test_loop_run(f->loop, &ret->done, 50000));
}

struct opening {
    bool done;
    int fd;
};

static void on_open(void *data, struct nt_stream *stream)
{
    struct opening *o = data;
    struct nt_error error = NT_ERROR_INIT;
    o->fd = stream->ops->take_fd(stream, &error);
    o->done = true;
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    struct opening *o = data;
    (void)stream;
    (void)reason;
    o->done = true;
}

int fixture_connect(struct fixture *f, const char *id)
{
    static const struct nt_stream_events events = { .size = sizeof(events),
                                                    .open = on_open,
                                                    .close = on_close };
    struct nt_error error = NT_ERROR_INIT;
    struct opening o = { false, -1 };
    if (f->ops->open_stream(f->engine, id, &events, &o, &error) < 0)
        fail_msg("%s", error.message);
    assert_false(o.done);
    assert_true(test_loop_run(f->loop, &o.done, 5000));
    assert_true(o.fd >= 0);
    struct timeval limit = { 20, 0 };
    fcntl(o.fd, F_SETFL, 0);
    setsockopt(o.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return o.fd;
}

int fixture_sh(struct fixture *f, const char *id, const char *script, char *ret, size_t size)
{
    static uint8_t memory[NT_G_HEAD + NT_G_FRAME_MAX];
    int fd = fixture_connect(f, id), status = -1;
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_EXEC);
    nt_g_add_text(&w, NT_GT_ARG, "/bin/sh");
    nt_g_add_text(&w, NT_GT_ARG, "-c");
    nt_g_add_text(&w, NT_GT_ARG, script);
    nt_g_add_text(&w, NT_GT_CWD, "/workspace");
    size_t length = nt_g_done(&w), have = 0, used = 0;
    assert_int_equal(send(fd, memory, length, MSG_NOSIGNAL), length);
    while (status < 0) {
        ssize_t n = recv(fd, memory + have, sizeof(memory) - have, 0);
        if (n <= 0)
            fail_msg("the guest has closed: %s", script);
        have += (size_t)n;
        struct nt_g_frame frame;
        int64_t took;
        while ((took = nt_g_next(memory, have, &frame)) > 0) {
            struct nt_g_field field;
            size_t at = 0;
            int ok = 1;
            if ((frame.type == NT_G_STDOUT || frame.type == NT_G_STDERR)
                && used + frame.size < size) {
                memcpy(ret + used, frame.payload, frame.size);
                used += frame.size;
            }
            if (frame.type == NT_G_ERROR)
                fail_msg("the guest refused: %s", script);
            while (frame.type == NT_G_EXIT
                   && nt_g_each(frame.payload, frame.size, &at, &field) == 1)
                if (field.tag == NT_GT_STATUS)
                    status = (int)nt_g_number(&field, &ok);
            memmove(memory, memory + took, have - (size_t)took);
            have -= (size_t)took;
        }
    }
    ret[used] = '\0';
    close(fd);
    return status;
}
