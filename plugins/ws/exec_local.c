/* SPDX-License-Identifier: Apache-2.0 */
/* exec_local.c - exec on this machine: the guest itself speaks on our connection (nanoterm-fd/1,
 * local.h).
 *
 * Only pipes go in. A standard stream of ours that is a pipe in the right direction is handed over;
 * for all else (terminal, file, socket, device) a pipe is made and this process copies. Signals
 * travel as frames. Closing the connection ends the program with all it has started. */
#include "ws.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "nanoterm/guest.h"
#include "nanoterm/local.h"
#include "pump.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/fds.h"
#include "silence.h"

#define PIPE_BYTES (1024 * 1024)
#define SEND_MS 5000 /* for a frame of at most 256 KiB to a guest on this machine */

struct local {
    struct nt_call *call;
    struct nt_loop *loop;
    const struct exec_spec *spec;
    struct nt_error *reterr;
    int fd;
    int give[3];  /* what the guest gets; -1: nothing */
    int keep[3];  /* our end of a pipe that we made; -1: none */
    bool made[3]; /* give is ours to close */
    struct pump *pumps[3];
    unsigned pumping; /* outputs that still flow */
    unsigned interrupts;
    struct nt_watch *watch, *signals[EXEC_SIGNALS];
    uint8_t *in;
    size_t in_size;
    bool greeted, exited, failed;
    struct silence silence;
    bool can_beat;
    uint64_t received[2]; /* bytes of frames: a stream that is closed here has no descriptor */
    uint32_t done, status, reason;
    uint64_t hits; /* NT_GH_* */
};

/* --- the three streams --------------------------------------------------------------------- */

static bool is_null_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Decides for one standard stream: hand it over, put a pipe between, or (an empty stdin)
 * nothing. */
static int prepare(struct local *l, unsigned which, struct nt_error *reterr)
{
    int own = l->call->host->descriptor(l->call, which);
    int want = which == 0 ? O_RDONLY : O_WRONLY;
    struct stat st;
    if (fstat(own, &st) < 0 || (which == 0 && is_null_device(&st)))
        return 0; /* an empty input; what comes for a closed output is counted and dropped */
    if (S_ISFIFO(st.st_mode) && (fcntl(own, F_GETFL) & O_ACCMODE) == want) {
        l->give[which] = own;
        return 0;
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    l->give[which] = which == 0 ? ends[0] : ends[1];
    l->keep[which] = which == 0 ? ends[1] : ends[0];
    l->made[which] = true;
    /* a wish: a user's quota of pipe memory may refuse it */
    fcntl(l->keep[which], F_SETPIPE_SZ, PIPE_BYTES);
    if (fcntl(l->keep[which], F_SETFL, O_NONBLOCK) < 0)
        return nt_fail_sys(reterr, errno, "cannot set up a pipe");
    return 0;
}

/* stdout and stderr that end in the same place (a terminal, `>log 2>&1`) share one pipe, so that
 * their order stays. */
static bool is_one_place(const struct local *l)
{
    struct stat out, err;
    return l->made[1] && l->made[2] && fstat(l->call->host->descriptor(l->call, 1), &out) == 0
           && fstat(l->call->host->descriptor(l->call, 2), &err) == 0 && out.st_dev == err.st_dev
           && out.st_ino == err.st_ino;
}

static void close_fd(int *fd)
{
    nt_closep(fd);
    *fd = -1;
}

static int prepare_streams(struct local *l, struct nt_error *reterr)
{
    for (unsigned i = 0; i < 3; i++)
        if (prepare(l, i, reterr) < 0)
            return -1;
    if (is_one_place(l)) {
        close_fd(&l->give[2]);
        close_fd(&l->keep[2]);
        l->give[2] = l->give[1];
        l->made[2] = false;
    }
    return 0;
}

static void check_done(struct local *l)
{
    if (l->failed || (l->exited && l->pumping == 0))
        l->done = 1;
}

static void on_stdin_end(void *data, int sys)
{
    (void)sys; /* EPIPE: the program does not read on; its own affair */
    struct local *l = data;
    close_fd(&l->keep[0]);
}

static void output_end(struct local *l, unsigned which)
{
    /* Our own reader may be gone (EPIPE): closing the pipe tells the program. */
    close_fd(&l->keep[which]);
    l->pumping--;
    check_done(l);
}

static void on_stdout_end(void *data, int sys)
{
    (void)sys;
    output_end(data, 1);
}

static void on_stderr_end(void *data, int sys)
{
    (void)sys;
    output_end(data, 2);
}

static int start_pumps(struct local *l, struct nt_error *reterr)
{
    static void (*const ends[3])(void *, int) = { on_stdin_end, on_stdout_end, on_stderr_end };
    for (unsigned i = 0; i < 3; i++) {
        if (l->made[i])
            close_fd(&l->give[i]);
        if (l->keep[i] < 0)
            continue;
        int own = l->call->host->descriptor(l->call, i);
        if (pump_new(l->loop, i == 0 ? own : l->keep[i], i == 0 ? l->keep[i] : own, ends[i], l,
                     &l->pumps[i], reterr)
            < 0)
            return -1;
        l->pumping += i > 0;
    }
    return 0;
}

/* --- frames -------------------------------------------------------------------------------- */

static int fail(struct local *l, uint32_t code, const char *text)
{
    nt_fail(l->reterr, code, "%s", text);
    l->reterr->request_sent = 1;
    l->failed = true;
    return -1;
}

/* Sends the bytes of a frame, with up to three descriptors at its first byte. The request is small
 * and the guest is waiting for it: a socket that does not take it at once is waited for here,
 * within the deadline. */
static int send_frame(struct local *l, const uint8_t *frame, size_t size, const int *fds,
                      unsigned count)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t put = nt_send_fds(l->fd, frame + sent, size - sent, fds, sent == 0 ? count : 0, 0);
        if (put < 0 && errno == EAGAIN) {
            struct pollfd room = { .fd = l->fd, .events = POLLOUT };
            if (poll(&room, 1, SEND_MS) == 1)
                continue;
            errno = ETIMEDOUT;
            return -1;
        }
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        sent += (size_t)put;
    }
    return 0;
}

static int send_exec(struct local *l, struct nt_error *reterr)
{
    size_t cap = NT_G_HEAD + NT_G_FRAME_MAX;
    nt_autofree uint8_t *memory = malloc(cap);
    if (!memory)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the command");
    static const uint64_t flags_of[3] = { NT_GX_FD_STDIN, NT_GX_FD_STDOUT, NT_GX_FD_STDERR };
    uint64_t flags = 0;
    int fds[3];
    unsigned count = 0;
    for (unsigned i = 0; i < 3; i++)
        if (l->give[i] >= 0) {
            flags |= flags_of[i];
            fds[count++] = l->give[i];
        }
    struct nt_g_writer w = nt_g_begin(memory, cap, NT_G_EXEC);
    for (uint32_t i = 0; i < l->spec->count; i++)
        nt_g_add_text(&w, NT_GT_ARG, l->spec->argv[i]);
    if (l->spec->cwd)
        nt_g_add_text(&w, NT_GT_CWD, l->spec->cwd);
    nt_g_add_number(&w, NT_GT_FLAGS, flags);
    int64_t left = l->call->host->left_ms(l->call);
    if (left >= 0) /* the guest answers a little before our own deadline, so that it can prove the
                      tree gone */
        nt_g_add_number(&w, NT_GT_TIMEOUT_MS,
                        left > 400 ? (uint64_t)left - 200 : 1 + (uint64_t)left / 2);
    if (l->can_beat)
        nt_g_add_number(&w, NT_GT_BEAT_MS, SILENCE_BEAT_MS);
    size_t size = nt_g_done(&w);
    if (size == 0)
        return nt_fail(reterr, NT_E_LIMIT, "the command is longer than %u bytes", NT_G_FRAME_MAX);
    if (send_frame(l, memory, size, fds, count) < 0)
        return nt_fail_sys(reterr, errno, "cannot send the command to the workspace");
    return 0;
}

/* What the frames of the guest say. */
struct said {
    uint64_t status, reason, hits, sys, code, caps, bytes[2];
    char message[256];
};

static uint64_t *said_number(struct said *said, uint16_t tag)
{
    switch (tag) {
    case NT_GT_STATUS:
        return &said->status;
    case NT_GT_REASON:
        return &said->reason;
    case NT_GT_HITS:
        return &said->hits;
    case NT_GT_ERRNO:
        return &said->sys;
    case NT_GT_CODE:
        return &said->code;
    case NT_GT_CAPS:
        return &said->caps;
    case NT_GT_OUT_BYTES:
        return &said->bytes[0];
    case NT_GT_ERR_BYTES:
        return &said->bytes[1];
    default:
        return NULL;
    }
}

static int read_fields(const struct nt_g_frame *frame, struct said *ret)
{
    size_t at = 0;
    struct nt_g_field field;
    int more, ok = 1;
    while ((more = nt_g_each(frame->payload, frame->size, &at, &field)) > 0) {
        uint64_t *number = said_number(ret, field.tag);
        if (number) {
            *number = nt_g_number(&field, &ok);
        } else if (field.tag == NT_GT_MESSAGE && field.size < sizeof(ret->message)) {
            memcpy(ret->message, field.data, field.size);
            ret->message[field.size] = '\0';
        }
    }
    return more < 0 || !ok ? -1 : 0;
}

static int on_greeting(struct local *l, const struct said *said)
{
    l->greeted = true;
    l->can_beat = said->caps & NT_GC_BEAT;
    if (!l->can_beat)
        silence_end(&l->silence);
    if (send_exec(l, l->reterr) < 0 || start_pumps(l, l->reterr) < 0) {
        l->failed = true;
        return -1;
    }
    return 0;
}

static int on_exit_frame(struct local *l, const struct said *said)
{
    if (said->bytes[0] != l->received[0] || said->bytes[1] != l->received[1])
        return fail(l, NT_E_RESPONSE, "bytes of the program's output were lost on the way");
    silence_end(&l->silence);
    l->exited = true;
    l->status = (uint32_t)said->status;
    l->reason = (uint32_t)said->reason;
    l->hits = said->hits;
    for (unsigned i = 1; i < 3; i++)
        if (l->pumps[i] && l->keep[i] >= 0)
            pump_drain(l->pumps[i]);
    return 0;
}

static int on_frame(struct local *l, const struct nt_g_frame *frame)
{
    struct said said = { .status = 1, .reason = NT_GR_EXITED };
    if (frame->type == NT_G_STDOUT || frame->type == NT_G_STDERR) {
        l->received[frame->type == NT_G_STDERR] += frame->size; /* that stream is closed here */
        return 0;
    }
    if (read_fields(frame, &said) < 0)
        return fail(l, NT_E_RESPONSE, "the workspace's guest broke the protocol");
    switch (frame->type) {
    case NT_G_HELLO:
        if (l->greeted)
            break;
        return on_greeting(l, &said);
    case NT_G_STARTED:
    case NT_G_BEAT:
        return 0;
    case NT_G_EXIT:
        return on_exit_frame(l, &said);
    case NT_G_ERROR:
        if (said.code == NT_GE_NOT_STARTED)
            exec_not_started(l->spec, (int)said.sys, said.message, l->reterr);
        else
            nt_fail(l->reterr, NT_E_RUNTIME, "the workspace refused: %s", said.message);
        l->reterr->request_sent = 1;
        l->failed = true;
        return -1;
    default:
        break;
    }
    return fail(l, NT_E_RESPONSE, "the workspace's guest broke the protocol");
}

/* Takes the frames at the front of what has come. */
static void take_frames(struct local *l)
{
    struct nt_g_frame frame;
    int64_t took = 0;
    size_t at = 0;
    while (!l->failed && !l->exited
           && (took = nt_g_next(l->in + at, l->in_size - at, &frame)) > 0) {
        at += (size_t)took;
        if (on_frame(l, &frame) < 0)
            break;
    }
    if (took < 0)
        fail(l, NT_E_RESPONSE, "the workspace's guest broke the protocol");
    memmove(l->in, l->in + at, l->in_size - at);
    l->in_size -= at;
    check_done(l);
}

static void on_readable(void *data, int fd, uint32_t events)
{
    (void)events;
    struct local *l = data;
    ssize_t got = recv(fd, l->in + l->in_size, NT_G_HEAD + NT_G_FRAME_MAX - l->in_size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0) {
        silence_heard(&l->silence);
        l->in_size += (size_t)got;
        take_frames(l);
        return;
    }
    l->loop->ops->watch_set(l->watch, 0);
    if (!l->greeted) {
        fail(l, NT_E_UNAVAILABLE, "the workspace is unreachable: its guest does not answer");
        l->reterr->request_sent = 0;
    } else if (!l->exited)
        fail(l, NT_E_CLOSED,
             "the connection to the workspace was lost; the program was killed with it");
    check_done(l);
}

static void on_silent(void *data)
{
    struct local *l = data;
    exec_unreachable(l->spec->id, l->reterr);
    l->failed = true;
    check_done(l);
}

static void on_signal(void *data, int signo, uint32_t zero)
{
    (void)zero;
    struct local *l = data;
    uint8_t memory[64];
    if (signo == SIGINT && ++l->interrupts >= EXEC_IMPATIENT) {
        fail(l, NT_E_CANCELLED, "interrupted; the program was killed");
        check_done(l);
        return;
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_SIGNAL);
    nt_g_add_number(&w, NT_GT_SIGNAL, (uint64_t)signo);
    send_frame(l, memory, nt_g_done(&w), NULL, 0); /* a lost connection is seen by on_readable */
}

static void local_done(struct local *l)
{
    silence_end(&l->silence);
    for (unsigned i = 0; i < 3; i++) {
        pump_free(l->pumps[i]);
        close_fd(&l->keep[i]);
        if (l->made[i])
            close_fd(&l->give[i]);
    }
    for (unsigned i = 0; i < EXEC_SIGNALS; i++)
        l->loop->ops->watch_end(l->signals[i]);
    if (l->watch)
        l->loop->ops->watch_end(l->watch);
    close_fd(&l->fd);
    free(l->in);
}

static int converse(struct local *l, struct nt_bytes early, struct nt_error *reterr)
{
    l->in = malloc(NT_G_HEAD + NT_G_FRAME_MAX);
    if (!l->in || early.size > NT_G_FRAME_MAX)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the connection to the workspace");
    if (prepare_streams(l, reterr) < 0)
        return -1;
    silence_start(&l->silence, l->loop, SILENCE_LIMIT_MS, on_silent, l);
    l->watch = l->loop->ops->watch(l->loop, l->fd, NT_READABLE, on_readable, l);
    if (!l->watch)
        return nt_fail(reterr, NT_E_MEMORY, "cannot watch the connection to the workspace");
    for (unsigned i = 0; i < EXEC_SIGNALS; i++)
        l->signals[i] = l->loop->ops->signal(l->loop, exec_signals[i], on_signal, l);
    if (early.size > 0) {
        memcpy(l->in, early.data, early.size);
        l->in_size = early.size;
        take_frames(l);
    }
    if (l->call->host->wait(l->call, &l->done, reterr) < 0)
        return -1;
    if (l->failed)
        return -1;
    exec_tell_limits(l->call, l->spec->id, l->reason, l->hits);
    return exec_ended(l->call, l->spec, l->reason, l->status, reterr);
}

int exec_local(struct nt_call *call, const struct exec_spec *spec, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, spec->id, "/fd", reterr) < 0)
        return -1;
    struct local l = { .call = call,
                       .spec = spec,
                       .reterr = reterr,
                       .fd = -1,
                       .give = { -1, -1, -1 },
                       .keep = { -1, -1, -1 } };
    struct nt_bytes early = { NULL, 0 };
    if (call->host->upgrade_local(call, nt_buf_text(&path), NT_LOCAL_PROTOCOL, &l.fd, &early,
                                  reterr)
        < 0)
        return -1;
    l.loop = call->host->loop(call);
    int result = converse(&l, early, reterr);
    local_done(&l);
    return result;
}
