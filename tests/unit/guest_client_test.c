/* SPDX-License-Identifier: Apache-2.0 */
/* guest_client_test.c - the server's side of the guest protocol against scripted guests, over both
 * kinds of stream. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_client_fake.h"
#include "sdk/error.h"

#define TALK_MAX (8u * 1024 * 1024)

/* What a guest says, and what was heard of it. */
struct talk {
    uint8_t *bytes;
    size_t size;
    struct guest_op *op;
    size_t heard[3]; /* STDOUT, STDERR, DATA */
    uint64_t sum;    /* of the bytes, by place */
    unsigned hellos, frames, ends, sents;
    struct nt_error error;
    struct nt_bytes held;
    bool keeps;   /* `consumed` comes later */
    bool cancels; /* at the first bytes */
};

static void add(struct talk *t, const void *bytes, size_t size)
{
    assert_true(t->size + size <= TALK_MAX);
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

static void add_raw(struct talk *t, uint16_t type, size_t size)
{
    static uint8_t payload[NT_G_FRAME_MAX];
    uint8_t head[NT_G_HEAD];
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)(i * 31 + size);
    nt_g_head(head, type, (uint32_t)size);
    add(t, head, sizeof(head));
    add(t, payload, size);
}

static void add_numbers(struct talk *t, uint16_t type, uint16_t tag, uint64_t value)
{
    uint8_t memory[128];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), type);
    if (type == NT_G_HELLO)
        nt_g_add(&w, NT_GT_NONCE, "0123456789abcdef", 16);
    if (tag)
        nt_g_add_number(&w, tag, value);
    add(t, memory, nt_g_done(&w));
}

static void on_hello(void *data, uint64_t version, uint64_t caps, const uint8_t nonce[16])
{
    struct talk *t = data;
    (void)caps;
    assert_int_equal(version, NT_G_VERSION);
    assert_memory_equal(nonce, "0123456789abcdef", 16);
    t->hellos++;
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    (void)frame;
    ((struct talk *)data)->frames++;
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct talk *t = data;
    assert_null(t->held.data); /* one at a time */
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size; i++)
        t->sum = t->sum * 31 + p[i];
    t->heard[type == NT_G_STDOUT ? 0 : type == NT_G_STDERR ? 1 : 2] += bytes.size;
    if (t->cancels) {
        guest_op_cancel(t->op);
        guest_op_cancel(t->op);
    } else if (t->keeps) {
        t->held = bytes;
    } else {
        guest_op_consumed(t->op);
    }
}

static void on_sent(void *data)
{
    ((struct talk *)data)->sents++;
}

static void on_end(void *data, const struct nt_error *error)
{
    struct talk *t = data;
    t->ends++;
    if (error)
        t->error = *error;
}

static const struct guest_events events = { on_hello, on_frame, on_bytes, on_sent, NULL, on_end };

static void talk_init(struct talk *t)
{
    *t = (struct talk){ .bytes = malloc(TALK_MAX), .error = NT_ERROR_INIT };
    assert_non_null(t->bytes);
}

/* Plays what was added to a request of that type; fd: over a socket instead of callbacks. */
static void play(struct talk *t, uint16_t request, uint64_t flags, size_t piece, bool over_fd)
{
    uv_loop_t uv;
    struct fake f;
    uint8_t memory[128];
    struct nt_error error = NT_ERROR_INIT;
    int pair[2];
    assert_int_equal(uv_loop_init(&uv), 0);
    fake_init(&f, &uv);
    f.bytes = t->bytes;
    f.size = t->size;
    f.piece = piece;
    if (over_fd) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        f.fd = pair[0];
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
        fcntl(pair[1], F_SETFL, O_NONBLOCK);
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), request);
    nt_g_add_number(&w, NT_GT_FLAGS, flags);
    assert_int_equal(guest_op_new(&uv, &fake_ops, fake_engine(&f), "ws_1",
                                  (struct nt_bytes){ memory, nt_g_done(&w) }, &events, t, &t->op,
                                  &error),
                     0);
    size_t at = 0;
    bool said = false;
    while (uv_run(&uv, UV_RUN_NOWAIT) || !t->ends) {
        if (t->held.data) {
            uint64_t sum = 0;
            const uint8_t *p = t->held.data;
            for (size_t i = 0; i < t->held.size; i++)
                sum += p[i]; /* still readable */
            (void)sum;
            t->held = (struct nt_bytes){ NULL, 0 };
            if (!t->ends)
                guest_op_consumed(t->op);
        }
        if (over_fd && !said) {
            size_t n = t->size - at < piece ? t->size - at : piece;
            ssize_t sent = n ? send(pair[1], t->bytes + at, n, MSG_NOSIGNAL) : 0;
            at += sent > 0 ? (size_t)sent : 0;
            if (at == t->size || (sent < 0 && t->ends)) {
                shutdown(pair[1], SHUT_WR);
                said = true;
            }
        }
    }
    if (over_fd)
        close(pair[1]);
    if (f.fd >= 0)
        close(f.fd);
    assert_int_equal(uv_loop_close(&uv), 0);
    assert_int_equal(t->ends, 1);
    assert_true(f.is_closed);
}

static void add_exec(struct talk *t, size_t size)
{
    add_numbers(t, NT_G_HELLO, NT_GT_VERSION, NT_G_VERSION);
    add_numbers(t, NT_G_STARTED, NT_GT_PID, 7);
    for (size_t left = size; left;) {
        size_t n = left < NT_G_CHUNK ? left : NT_G_CHUNK;
        add_raw(t, NT_G_STDOUT, n);
        left -= n;
    }
    add_raw(t, NT_G_STDERR, 3);
    add_raw(t, NT_G_STDOUT, 0);
    add_numbers(t, NT_G_EXIT, NT_GT_STATUS, 0);
}

static void output_arrives_whole_on_every_path(void **state)
{
    (void)state;
    static const size_t pieces[] = { 1000, 65536, 65544, SIZE_MAX };
    uint64_t sum = 0;
    for (int i = 0; i < 16; i++) {
        struct talk t;
        talk_init(&t);
        add_exec(&t, 3000001);
        t.keeps = i & 4;
        play(&t, NT_G_EXEC, 0, pieces[i & 3], i & 8);
        assert_int_equal(t.error.code, 0);
        assert_int_equal(t.hellos, 1);
        assert_int_equal(t.frames, 2);
        assert_int_equal(t.heard[0], 3000001);
        assert_int_equal(t.heard[1], 3);
        if (i)
            assert_true(sum == t.sum); /* the same bytes in the same order */
        sum = t.sum;
        free(t.bytes);
    }
}

static void every_byte_may_come_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct talk t;
        talk_init(&t);
        add_exec(&t, 10);
        play(&t, NT_G_EXEC, 0, 1, i);
        assert_int_equal(t.error.code, 0);
        assert_int_equal(t.heard[0], 10);
        free(t.bytes);
    }
}

static void a_stream_that_ends_early_is_closed(void **state)
{
    (void)state;
    struct talk whole;
    talk_init(&whole);
    add_exec(&whole, 20);
    for (size_t cut = 0; cut < whole.size; cut++) {
        struct talk t;
        talk_init(&t);
        add(&t, whole.bytes, cut);
        play(&t, NT_G_EXEC, 0, SIZE_MAX, cut & 1);
        assert_int_equal(t.error.code, NT_E_CLOSED);
        free(t.bytes);
    }
    free(whole.bytes);
}

static void the_order_of_frames_is_kept(void **state)
{
    (void)state;
    static const struct {
        uint16_t request, frames[4];
        uint32_t code;
    } rows[] = {
        { NT_G_STAT, { NT_G_OK }, 0 },
        { NT_G_STAT, { NT_G_END }, NT_E_RESPONSE },
        { NT_G_STAT, { NT_G_DATA }, NT_E_RESPONSE },
        { NT_G_STAT, { NT_G_HELLO }, NT_E_RESPONSE },
        { NT_G_STAT, { 4711 }, NT_E_RESPONSE },
        { NT_G_STAT, { 0, NT_G_OK }, NT_E_CLOSED },
        { NT_G_EXEC, { NT_G_STDOUT }, NT_E_RESPONSE },
        { NT_G_EXEC, { NT_G_EXIT }, NT_E_RESPONSE },
        { NT_G_EXEC, { NT_G_STARTED, NT_G_STARTED }, NT_E_RESPONSE },
        { NT_G_EXEC, { NT_G_STARTED, NT_G_DATA }, NT_E_RESPONSE },
        { NT_G_EXEC, { NT_G_STARTED, NT_G_STDERR, NT_G_EXIT }, 0 },
        { NT_G_ATTACH, { NT_G_STARTED, NT_G_EXIT }, 0 },
        { NT_G_LOGS, { NT_G_STDOUT, NT_G_STDERR, NT_G_END }, 0 },
        { NT_G_LOGS, { NT_G_EXIT }, NT_E_RESPONSE },
        { NT_G_LIST, { NT_G_ENTRY, NT_G_ENTRY, NT_G_END }, 0 },
        { NT_G_LIST, { NT_G_OK }, NT_E_RESPONSE },
        { NT_G_READ, { NT_G_OK, NT_G_DATA, NT_G_END }, 0 },
        { NT_G_READ, { NT_G_DATA }, NT_E_RESPONSE },
        { NT_G_WRITE, { NT_G_OK, NT_G_OK }, 0 },
        { NT_G_WRITE, { NT_G_OK, NT_G_DATA }, NT_E_RESPONSE },
    };
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct talk t;
        talk_init(&t);
        add_numbers(&t, NT_G_HELLO, NT_GT_VERSION, NT_G_VERSION);
        for (int k = 0; k < 4 && rows[i / 2].frames[k]; k++)
            add_numbers(&t, rows[i / 2].frames[k], 0, 0);
        play(&t, rows[i / 2].request, 0, SIZE_MAX, i & 1);
        assert_int_equal(t.error.code, rows[i / 2].code);
        free(t.bytes);
    }
}

static void hostile_bytes_break_the_operation_only(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        { "\xff\xff\xff\x7f\x02\x00\x00\x00", 8 },
        { "\x01\x00\x04\x00\x14\x00\x00\x00", 8 }, /* one byte more than a frame may have */
        { "\x08\x00\x00\x00\x02\x00\x00\x00\x05\x00\x00\x00\xff\xff\xff\xff", 16 },
        { "\x04\x00\x00\x00\x02\x00\x00\x00\x05\x00\x00\x00", 12 },
        /* a number of one byte */
        { "\x09\x00\x00\x00\x02\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x01", 17 },
        /* NUL in a path */
        { "\x0a\x00\x00\x00\x02\x00\x00\x00\x14\x00\x00\x00\x02\x00\x00\x00\x00\x41", 18 },
    };
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct talk t;
        talk_init(&t);
        add_numbers(&t, NT_G_HELLO, NT_GT_VERSION, NT_G_VERSION);
        add(&t, rows[i / 2].bytes, rows[i / 2].size);
        play(&t, NT_G_STAT, 0, 3, i & 1);
        assert_int_equal(t.error.code, NT_E_RESPONSE);
        assert_int_equal(t.frames, 0);
        free(t.bytes);
    }
    struct talk t;
    talk_init(&t);
    add_numbers(&t, NT_G_HELLO, NT_GT_VERSION, 2);
    play(&t, NT_G_STAT, 0, SIZE_MAX, true);
    assert_int_equal(t.error.code, NT_E_RESPONSE);
    free(t.bytes);
}

static void errors_are_translated(void **state)
{
    (void)state;
    static const uint32_t codes[][2] = {
        { NT_GE_SYSTEM, NT_E_SYSTEM },         { NT_GE_NOT_FOUND, NT_E_NOT_FOUND },
        { NT_GE_INVALID, NT_E_INVALID },       { NT_GE_UNSUPPORTED, NT_E_UNSUPPORTED },
        { NT_GE_LIMIT, NT_E_LIMIT },           { NT_GE_NOT_STARTED, NT_E_RUNTIME },
        { NT_GE_NOT_ALLOWED, NT_E_FORBIDDEN }, { NT_GE_MISMATCH, NT_E_BYTE_MISMATCH },
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct talk t;
        uint8_t memory[128];
        talk_init(&t);
        add_numbers(&t, NT_G_HELLO, NT_GT_VERSION, NT_G_VERSION);
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ERROR);
        nt_g_add_number(&w, NT_GT_CODE, codes[i][0]);
        nt_g_add_number(&w, NT_GT_ERRNO, 2);
        nt_g_add_text(&w, NT_GT_MESSAGE, "why\x1b[31m");
        add(&t, memory, nt_g_done(&w));
        play(&t, NT_G_STAT, 0, SIZE_MAX, i & 1);
        assert_int_equal(t.error.code, codes[i][1]);
        assert_int_equal(t.error.attempt, codes[i][0]);
        assert_int_equal(t.error.sys, 2);
        assert_null(strchr(t.error.message, 0x1b));
        free(t.bytes);
    }
}

static void a_background_program_ends_with_started(void **state)
{
    (void)state;
    struct talk t;
    talk_init(&t);
    add_numbers(&t, NT_G_HELLO, NT_GT_VERSION, NT_G_VERSION);
    add_numbers(&t, NT_G_STARTED, NT_GT_PID, 7);
    play(&t, NT_G_EXEC, NT_GX_BACKGROUND, SIZE_MAX, true);
    assert_int_equal(t.error.code, 0);
    assert_int_equal(t.frames, 1);
    free(t.bytes);
}

static void cancelling_ends_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct talk t;
        talk_init(&t);
        add_exec(&t, 1000000);
        t.cancels = true;
        play(&t, NT_G_EXEC, 0, SIZE_MAX, i);
        assert_int_equal(t.error.code, NT_E_CANCELLED);
        free(t.bytes);
    }
}

/* --- sending ------------------------------------------------------------------------------- */

static void on_bytes_never(void *data, uint16_t type, struct nt_bytes bytes)
{
    (void)data;
    (void)type;
    (void)bytes;
    fail();
}

static void what_is_sent_arrives(void **state)
{
    (void)state;
    static const struct guest_events quiet = { on_hello, on_frame, on_bytes_never,
                                               on_sent,  NULL,     on_end };
    uv_loop_t uv;
    struct fake f;
    struct talk t;
    int pair[2], passed[2];
    uint8_t memory[64];
    struct nt_error error = NT_ERROR_INIT;
    talk_init(&t);
    assert_int_equal(uv_loop_init(&uv), 0);
    fake_init(&f, &uv);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(passed, O_CLOEXEC), 0);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    f.fd = pair[0];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_WRITE);
    size_t request = nt_g_done(&w);
    assert_int_equal(guest_op_new(&uv, &fake_ops, fake_engine(&f), "ws_1",
                                  (struct nt_bytes){ memory, request }, &quiet, &t, &t.op, &error),
                     0);
    guest_op_attach_fd(t.op, passed[0]);
    static uint8_t data[2000000];
    bool more = guest_op_send(t.op, NT_G_DATA, (struct nt_bytes){ data, sizeof(data) });
    assert_false(more); /* far more than a socket holds */
    size_t frames = (sizeof(data) + NT_G_CHUNK - 1) / NT_G_CHUNK,
           want = request + sizeof(data) + frames * NT_G_HEAD;
    size_t got = 0;
    unsigned descriptors = 0;
    while (!t.sents || got < want) {
        uv_run(&uv, UV_RUN_NOWAIT);
        union {
            char space[CMSG_SPACE(sizeof(int) * 4)];
            struct cmsghdr align;
        } control;
        struct iovec iov = { t.bytes, TALK_MAX };
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.space,
                              .msg_controllen = sizeof(control.space) };
        ssize_t n = recvmsg(pair[1], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n > 0 && CMSG_FIRSTHDR(&msg)) {
            int fd;
            memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
            close(fd);
            assert_int_equal(got, 0); /* with the first byte */
            descriptors++;
        }
        got += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(got, want);
    assert_int_equal(descriptors, 1);
    assert_int_equal(t.sents, 1);
    guest_op_cancel(t.op);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(t.ends, 1);
    assert_int_equal(uv_loop_close(&uv), 0);
    char byte;
    assert_int_equal(recv(pair[1], &byte, 1, 0), 0); /* closed: the guest sees that at once */
    close(pair[1]);
    close(passed[1]);
    free(t.bytes);
}

static void a_request_that_is_no_frame_is_refused(void **state)
{
    (void)state;
    uv_loop_t uv;
    struct fake f;
    struct talk t = { .ends = 0 };
    struct nt_error error = NT_ERROR_INIT;
    assert_int_equal(uv_loop_init(&uv), 0);
    fake_init(&f, &uv);
    assert_int_equal(guest_op_new(&uv, &fake_ops, fake_engine(&f), "ws_1",
                                  (struct nt_bytes){ "short", 5 }, &events, &t, &t.op, &error),
                     -1);
    assert_int_equal(uv_loop_close(&uv), 0);
}

/* --- a guest that hangs -------------------------------------------------------------------- */

/* A guest that gives some heartbeats, 100 ms apart, and then stands still. */
struct still {
    uv_timer_t next, enough;
    int fd;
    unsigned beats;
    bool is_enough;
};

static void on_next(uv_timer_t *timer)
{
    struct still *s = timer->data;
    uint8_t beat[NT_G_HEAD];
    nt_g_head(beat, NT_G_BEAT, 0);
    if (s->beats == 0 || send(s->fd, beat, sizeof(beat), MSG_NOSIGNAL) < 0)
        uv_timer_stop(timer);
    else
        s->beats--;
}

static void on_enough(uv_timer_t *timer)
{
    ((struct still *)timer->data)->is_enough = true;
}

/* Plays what was added, then only beats. Runs until the end, or else for a second and a half;
 * returns whether it has ended by itself. */
static bool stand_still(struct talk *t, uint16_t request, bool says_end, bool over_fd,
                        uint32_t hello_ms, uint32_t silence_ms, uint32_t beats_ms, unsigned beats)
{
    uv_loop_t uv;
    struct fake f;
    struct still s = { .beats = beats };
    uint8_t memory[128];
    struct nt_error error = NT_ERROR_INIT;
    int pair[2];
    assert_int_equal(uv_loop_init(&uv), 0);
    fake_init(&f, &uv);
    f.bytes = t->bytes;
    f.size = t->size;
    f.close_after = false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s.fd = pair[1];
    if (over_fd) {
        f.fd = pair[0];
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
        assert_int_equal(send(pair[1], t->bytes, t->size, MSG_NOSIGNAL), (ssize_t)t->size);
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), request);
    assert_int_equal(guest_op_new(&uv, &fake_ops, fake_engine(&f), "ws_1",
                                  (struct nt_bytes){ memory, nt_g_done(&w) }, &events, t, &t->op,
                                  &error),
                     0);
    guest_op_deadlines(t->op, hello_ms, silence_ms);
    if (beats_ms)
        guest_op_expect_beats(t->op, beats_ms);
    if (says_end) {
        w = nt_g_begin(memory, sizeof(memory), NT_G_END);
        guest_op_send(t->op, 0, (struct nt_bytes){ memory, nt_g_done(&w) });
    }
    uv_timer_init(&uv, &s.next);
    uv_timer_init(&uv, &s.enough);
    s.next.data = s.enough.data = &s;
    uv_timer_start(&s.next, on_next, 100, 100);
    uv_timer_start(&s.enough, on_enough, 1500, 0);
    while (!t->ends && !s.is_enough)
        uv_run(&uv, UV_RUN_ONCE);
    bool has_ended = t->ends;
    if (!has_ended)
        guest_op_cancel(t->op);
    uv_close((uv_handle_t *)&s.next, NULL);
    uv_close((uv_handle_t *)&s.enough, NULL);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(t->ends, 1);
    assert_int_equal(uv_loop_close(&uv), 0);
    close(pair[1]);
    if (!over_fd)
        close(pair[0]);
    return has_ended;
}

static void a_guest_that_hangs_is_left(void **state)
{
    (void)state;
    static const struct {
        uint16_t request, frames[2];
        bool says_end, ends;
        uint32_t beats_ms;
    } rows[] = {
        { NT_G_STAT, { 0 }, false, true, 0 },
        { NT_G_STAT, { NT_G_HELLO }, false, true, 0 },
        { NT_G_LIST, { NT_G_HELLO, NT_G_ENTRY }, false, true, 0 },
        { NT_G_READ, { NT_G_HELLO, NT_G_OK }, false, true, 0 },
        { NT_G_WRITE, { NT_G_HELLO, NT_G_OK }, true, true, 0 },
        { NT_G_TREE_READ, { NT_G_HELLO, NT_G_OK }, false, true, 0 },
        { NT_G_WATCH, { NT_G_HELLO, NT_G_OK }, false, true, 20 },
        /* these may be silent: it is the caller's turn, or the program's */
        { NT_G_WRITE, { NT_G_HELLO, NT_G_OK }, false, false, 0 },
        { NT_G_EXEC, { NT_G_HELLO, NT_G_STARTED }, false, false, 0 },
        { NT_G_WATCH, { NT_G_HELLO, NT_G_OK }, false, false, 0 },
    };
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct talk t;
        talk_init(&t);
        for (int k = 0; k < 2 && rows[i / 2].frames[k]; k++)
            add_numbers(&t, rows[i / 2].frames[k],
                        rows[i / 2].frames[k] == NT_G_HELLO ? NT_GT_VERSION : 0, NT_G_VERSION);
        bool greets = rows[i / 2].frames[0];
        bool has_ended = stand_still(&t, rows[i / 2].request, rows[i / 2].says_end, i & 1,
                                     greets ? 60000 : 20, 20, rows[i / 2].beats_ms, 0);
        assert_int_equal(has_ended, rows[i / 2].ends);
        assert_int_equal(t.error.code, rows[i / 2].ends ? NT_E_TIMEOUT : NT_E_CANCELLED);
        if (has_ended)
            assert_non_null(strstr(t.error.message, greets ? "said nothing" : "unreachable"));
        free(t.bytes);
    }
}

/* Its heartbeats keep it, longer than a silence may be. */
static void heartbeats_are_words(void **state)
{
    (void)state;
    struct talk t;
    talk_init(&t);
    add_numbers(&t, NT_G_HELLO, NT_GT_VERSION, NT_G_VERSION);
    add_numbers(&t, NT_G_OK, 0, 0);
    assert_false(stand_still(&t, NT_G_WATCH, false, true, 60000, 60000, 1000, 100));
    free(t.bytes);
    talk_init(&t);
    add_numbers(&t, NT_G_HELLO, NT_GT_VERSION, NT_G_VERSION);
    add_numbers(&t, NT_G_OK, 0, 0);
    assert_true(stand_still(&t, NT_G_WATCH, false, true, 60000, 60000, 500, 2));
    assert_int_equal(t.error.code, NT_E_TIMEOUT);
    free(t.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_arrives_whole_on_every_path),
        cmocka_unit_test(every_byte_may_come_alone),
        cmocka_unit_test(a_stream_that_ends_early_is_closed),
        cmocka_unit_test(the_order_of_frames_is_kept),
        cmocka_unit_test(hostile_bytes_break_the_operation_only),
        cmocka_unit_test(errors_are_translated),
        cmocka_unit_test(a_background_program_ends_with_started),
        cmocka_unit_test(cancelling_ends_once),
        cmocka_unit_test(what_is_sent_arrives),
        cmocka_unit_test(a_request_that_is_no_frame_is_refused),
        cmocka_unit_test(a_guest_that_hangs_is_left),
        cmocka_unit_test(heartbeats_are_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
