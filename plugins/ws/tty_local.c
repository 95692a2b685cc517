/* SPDX-License-Identifier: Apache-2.0 */
/* tty_local.c - a terminal on this machine: the guest itself speaks on our connection
 * (nanoterm-fd/1, local.h). No descriptor of ours goes in: all bytes travel in frames. */
#include "tty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/guest.h"
#include "nanoterm/local.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "ws.h"

#define RX_MAX (NT_G_HEAD + NT_G_FRAME_MAX)
#define TX_MAX (4u * 1024 * 1024) /* tty.c keeps far below it */

struct tty_link {
    struct tty *tty;
    struct nt_watch *watch;
    int fd;
    uint8_t *rx;
    size_t rx_size;
    struct nt_buf tx;
    size_t tx_at;
    bool is_greeted, can_beat;
};

static void broken(struct tty_link *l)
{
    tty_on_lost(l->tty, "the workspace's guest broke the protocol");
}

/* --- out ----------------------------------------------------------------------------------- */

static size_t waiting(const struct tty_link *l)
{
    return l->tx.size - l->tx_at;
}

static void flush(struct tty_link *l)
{
    if (!l->is_greeted)
        return;
    while (waiting(l)) {
        ssize_t n = send(l->fd, nt_buf_text(&l->tx) + l->tx_at, waiting(l), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* full; or lost, which the reader sees */
        l->tx_at += (size_t)n;
    }
    l->tty->loop->ops->watch_set(l->watch, NT_READABLE | (waiting(l) ? NT_WRITABLE : 0));
    if (!waiting(l)) {
        nt_buf_reset(&l->tx);
        l->tx_at = 0;
    }
}

static void send_bytes(struct tty_link *l, const void *bytes, size_t size)
{
    nt_buf_add_bytes(&l->tx, bytes, size);
    flush(l);
}

static size_t local_input(struct tty_link *l, const void *bytes, size_t size)
{
    uint8_t head[NT_G_HEAD];
    const uint8_t *p = bytes;
    for (size_t n; size; size -= n, p += n) {
        n = size < NT_G_CHUNK ? size : NT_G_CHUNK;
        nt_g_head(head, NT_G_STDIN, (uint32_t)n);
        nt_buf_add_bytes(&l->tx, head, sizeof(head));
        send_bytes(l, p, n);
    }
    return waiting(l);
}

static void local_input_end(struct tty_link *l)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, NT_G_STDIN_END, 0);
    send_bytes(l, head, sizeof(head));
}

static void local_resize(struct tty_link *l, uint16_t cols, uint16_t rows)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_RESIZE);
    nt_g_add_number(&w, NT_GT_COLS, cols);
    nt_g_add_number(&w, NT_GT_ROWS, rows);
    if (l->is_greeted)
        send_bytes(l, memory, nt_g_done(&w));
}

static void add_exec(struct nt_g_writer *w, const struct tty_spec *spec)
{
    char text[256];
    uint64_t flags = NT_GX_TTY;
    for (uint32_t i = 0; i < spec->count; i++)
        nt_g_add_text(w, NT_GT_ARG, spec->argv[i]);
    for (unsigned i = 0; tty_variable(i, text, sizeof(text)); i++)
        nt_g_add_text(w, NT_GT_ENV, text);
    if (spec->cwd)
        nt_g_add_text(w, NT_GT_CWD, spec->cwd);
    if (spec->log)
        nt_g_add_text(w, NT_GT_LOG, spec->log);
    flags |= spec->is_kept ? NT_GX_KEEP : 0;
    flags |= spec->is_agent ? NT_GX_AGENT : 0;
    nt_g_add_number(w, NT_GT_FLAGS, flags);
}

static void add_attach(struct nt_g_writer *w, const struct tty_spec *spec)
{
    if (spec->job)
        nt_g_add_text(w, NT_GT_ID, spec->job);
    nt_g_add_number(w, NT_GT_FLAGS, spec->is_read_only ? NT_GX_READ_ONLY : 0);
}

static int send_request(struct tty_link *l)
{
    const struct tty_spec *spec = l->tty->spec;
    nt_autofree uint8_t *memory = malloc(RX_MAX);
    if (!memory)
        return -1;
    struct nt_g_writer w = nt_g_begin(memory, RX_MAX, spec->is_attach ? NT_G_ATTACH : NT_G_EXEC);
    if (spec->is_attach)
        add_attach(&w, spec);
    else
        add_exec(&w, spec);
    nt_g_add_number(&w, NT_GT_COLS, l->tty->cols);
    nt_g_add_number(&w, NT_GT_ROWS, l->tty->rows);
    if (l->can_beat)
        nt_g_add_number(&w, NT_GT_BEAT_MS, SILENCE_BEAT_MS);
    size_t size = nt_g_done(&w);
    struct nt_buf typed = l->tx; /* meanwhile: it comes behind */
    l->tx = (struct nt_buf)NT_BUF(TX_MAX);
    nt_buf_add_bytes(&l->tx, memory, size);
    nt_buf_add_bytes(&l->tx, nt_buf_text(&typed), typed.size);
    nt_buf_done(&typed);
    flush(l);
    return size ? 0 : -1;
}

/* --- in ------------------------------------------------------------------------------------ */

struct fields {
    uint64_t caps, pid, status, reason, sys, code, flags;
    bool has_flags;
    char id[64], message[200];
};

static void take_text(char *ret, size_t size, const struct nt_g_field *field)
{
    size_t n = field->size < size - 1 ? field->size : size - 1;
    memcpy(ret, field->data, n);
    ret[n] = '\0';
}

static int read_fields(const struct nt_g_frame *frame, struct fields *ret)
{
    struct nt_g_field field;
    size_t at = 0;
    int more, ok = 1;
    while ((more = nt_g_each(frame->payload, frame->size, &at, &field)) > 0) {
        if (field.tag == NT_GT_CAPS)
            ret->caps = nt_g_number(&field, &ok);
        else if (field.tag == NT_GT_PID)
            ret->pid = nt_g_number(&field, &ok);
        else if (field.tag == NT_GT_STATUS)
            ret->status = nt_g_number(&field, &ok);
        else if (field.tag == NT_GT_REASON)
            ret->reason = nt_g_number(&field, &ok);
        else if (field.tag == NT_GT_ERRNO)
            ret->sys = nt_g_number(&field, &ok);
        else if (field.tag == NT_GT_CODE)
            ret->code = nt_g_number(&field, &ok);
        else if (field.tag == NT_GT_FLAGS) {
            ret->flags = nt_g_number(&field, &ok);
            ret->has_flags = true;
        } else if (field.tag == NT_GT_ID)
            take_text(ret->id, sizeof(ret->id), &field);
        else if (field.tag == NT_GT_MESSAGE)
            take_text(ret->message, sizeof(ret->message), &field);
    }
    return more < 0 || !ok ? -1 : 0;
}

static void on_hello(struct tty_link *l, const struct fields *f)
{
    if (l->is_greeted) {
        broken(l);
    } else if (!(f->caps & NT_GC_TTY)) {
        tty_on_refused(l->tty, NT_E_UNSUPPORTED, 0, false,
                       "its guest is older than terminals; stop and start the workspace");
    } else {
        l->is_greeted = true;
        l->can_beat = f->caps & NT_GC_BEAT;
        if (!l->can_beat)
            tty_on_no_beats(l->tty);
        if (send_request(l) < 0)
            tty_on_refused(l->tty, NT_E_LIMIT, 0, false, "the command is too long");
    }
}

static void on_frame(struct tty_link *l, const struct nt_g_frame *frame)
{
    struct fields f = { .status = 1, .reason = NT_GR_EXITED, .id = "", .message = "" };
    if (frame->type == NT_G_STDOUT) {
        tty_on_output(l->tty, frame->payload, frame->size);
        return;
    }
    if (read_fields(frame, &f) < 0) {
        broken(l);
        return;
    }
    switch (frame->type) {
    case NT_G_HELLO:
        on_hello(l, &f);
        return;
    case NT_G_STARTED:
        if (f.has_flags && !(f.flags & NT_GX_TTY))
            tty_on_refused(l->tty, NT_E_CONFLICT, 0, false,
                           "that job has no terminal; see it with: nanoterm job logs");
        else
            tty_on_started(l->tty, f.id, (int64_t)(f.pid & INT32_MAX));
        return;
    case NT_G_BEAT:
        return;
    case NT_G_EXIT:
        tty_on_exit(l->tty, (uint32_t)(f.status & 0xFF), (uint32_t)(f.reason & 0xFF));
        return;
    case NT_G_ERROR:
        tty_on_refused(l->tty, f.code == NT_GE_NOT_FOUND ? NT_E_NOT_FOUND : NT_E_RUNTIME,
                       (int)(f.sys & 0xFFF), f.code == NT_GE_NOT_STARTED, f.message);
        return;
    default:
        broken(l);
    }
}

static void on_ready(void *data, int fd, uint32_t events)
{
    struct tty_link *l = data;
    if (events & NT_WRITABLE) {
        flush(l);
        if (!waiting(l))
            tty_on_sent(l->tty);
    }
    if (!(events & (NT_READABLE | NT_HANGUP)))
        return;
    ssize_t n = recv(fd, l->rx + l->rx_size, RX_MAX - l->rx_size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        l->tty->loop->ops->watch_set(l->watch, 0);
        tty_on_lost(l->tty, "the connection to the workspace was lost");
        return;
    }
    tty_on_heard(l->tty);
    l->rx_size += (size_t)n;
    struct nt_g_frame frame;
    int64_t took = 0;
    size_t at = 0;
    while (!l->tty->done && (took = nt_g_next(l->rx + at, l->rx_size - at, &frame)) > 0) {
        at += (size_t)took;
        on_frame(l, &frame);
    }
    if (took < 0)
        broken(l);
    memmove(l->rx, l->rx + at, l->rx_size - at);
    l->rx_size -= at;
}

/* --- its life ------------------------------------------------------------------------------ */

static void local_close(struct tty_link *l)
{
    l->tty->loop->ops->watch_end(l->watch);
    close(l->fd);
    nt_buf_done(&l->tx);
    free(l->rx);
    free(l);
}

static int local_open(struct tty *tty, struct tty_link **ret, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    struct nt_bytes early = { NULL, 0 };
    nt_autoclose int fd = -1;
    if (ws_path(&path, tty->spec->id, "/fd", reterr) < 0)
        return -1;
    if (tty->call->host->upgrade_local(tty->call, nt_buf_text(&path), NT_LOCAL_PROTOCOL, &fd,
                                       &early, reterr)
        < 0) {
        fd = -1;
        return -1;
    }
    nt_autofree struct tty_link *l = calloc(1, sizeof(*l));
    nt_autofree uint8_t *rx = malloc(RX_MAX);
    if (!l || !rx || early.size > RX_MAX)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the connection to the workspace");
    *l = (struct tty_link){ .tty = tty, .fd = fd, .tx = NT_BUF(TX_MAX) };
    l->watch = tty->loop->ops->watch(tty->loop, fd, NT_READABLE, on_ready, l);
    if (!l->watch)
        return nt_fail(reterr, NT_E_MEMORY, "cannot watch the connection to the workspace");
    l->rx = nt_take(rx);
    if (early.size) {
        struct nt_g_frame frame;
        memcpy(l->rx, early.data, early.size);
        l->rx_size = early.size;
        int64_t took = nt_g_next(l->rx, l->rx_size, &frame);
        if (took > 0) { /* nothing but HELLO can come before our request */
            on_frame(l, &frame);
            l->rx_size -= (size_t)took;
            memmove(l->rx, l->rx + took, l->rx_size);
        }
    }
    fd = -1;
    *ret = nt_take(l);
    return 0;
}

const struct tty_way tty_local = { .open = local_open,
                                   .input = local_input,
                                   .input_end = local_input_end,
                                   .resize = local_resize,
                                   .close = local_close };
