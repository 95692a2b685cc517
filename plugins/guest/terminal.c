/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.c - moves bytes between a program's terminal and its viewers; see terminal.h.
 *
 * Output goes into a ring (ring.h), and each viewer reads the ring at its own pace. Only the viewer
 * that wrote last, as a person at a terminal would, holds the program back when it does not keep
 * up, and only while it reads at all; any other that falls behind is brought to what is kept, with
 * its screen made right. */
#include "plugins/guest/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>
#include <fcntl.h>

#include "plugins/guest/program.h"
#include "plugins/guest/pty.h"
#include "plugins/guest/ring.h"
#include "plugins/guest/sidecar.h"

#define COLS_DEFAULT 80
#define ROWS_DEFAULT 24
#define READ_MAX (16u * 1024u)
#define READS_A_TURN 8
#define FRAMES_A_TURN 4
#define STALL_MS 2000 /* a viewer that takes nothing for so long holds nobody back */
#define REDRAW_MS 60  /* between the two sizes that make a program draw all of its screen */
#define DRAIN_MAX (1024u * 1024u)
#define END_FIRST_MS 100 /* until an end of the input is said again; then twice as long */
#define END_TIMES 10

struct tty_viewer {
    struct tty_viewer *next; /* the one that wrote before it */
    struct terminal *terminal;
    struct conn *conn;
    uint64_t at;
    int64_t moved_ms;
    size_t in_at; /* of the STDIN frame that waits */
    uint16_t cols, rows;
    bool is_owner, is_read_only, is_started;
    bool is_behind; /* needs a new screen */
};

struct terminal {
    struct terminal *next_dead;
    struct program *program; /* NULL: it has ended */
    struct source master;
    int fd; /* master; -1: closed */
    /* kept open, so that a program that closes all of its own is not taken for one that ended */
    int slave;
    struct ring ring;
    struct tty_viewer *viewers; /* the one that wrote last comes first */
    struct timer stall, redraw, end_again;
    int64_t end_ms;     /* the pause before the next one */
    unsigned end_times; /* how often it is still said */
    struct job_end end;
    uint64_t drained;
    uint16_t cols, rows;
    uint8_t last_in;
    bool is_draining, has_ended, is_waiting, wants_room, is_dead;
};

static uint8_t chunk[READ_MAX];
static struct terminal *dead; /* freed at the end of the turn */

#define OWNER(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static void pump(struct terminal *t);
static void viewer_pump(struct tty_viewer *v);

/* --- size ---------------------------------------------------------------------------------- */

static uint16_t size_of(const struct request *r, unsigned tag, uint16_t fallback)
{
    uint64_t n = request_number(r, tag, 0);
    return n >= 1 && n <= UINT16_MAX ? (uint16_t)n : fallback;
}

static void apply_size(struct terminal *t, uint16_t cols, uint16_t rows)
{
    if (!cols || !rows || (t->cols == cols && t->rows == rows))
        return;
    t->cols = cols;
    t->rows = rows;
    if (t->fd >= 0)
        pty_resize(t->fd, cols, rows);
}

static void on_redraw(struct timer *timer)
{
    struct terminal *t = OWNER(timer, struct terminal, redraw);
    if (t->fd >= 0)
        pty_resize(t->fd, t->cols, t->rows);
}

/* Programs that fill the screen draw it anew. Many do so only when the size has changed: where the
 * viewer's screen is not what the bytes kept make up, it changes for a moment. */
static void draw_anew(struct terminal *t, bool is_lost)
{
    if (t->fd < 0)
        return;
    if (is_lost && t->rows > 1) {
        pty_resize(t->fd, t->cols, (uint16_t)(t->rows - 1));
        loop_timer_end(&t->redraw);
        loop_timer(&t->redraw, REDRAW_MS, on_redraw);
    }
    pty_redraw(t->fd);
}

/* It is the one that wrote last: the size is its own. */
static void make_active(struct tty_viewer *v)
{
    struct terminal *t = v->terminal;
    if (t->viewers != v) {
        struct tty_viewer **at = &t->viewers;
        while (*at != v)
            at = &(*at)->next;
        *at = v->next;
        v->next = t->viewers;
        t->viewers = v;
    }
    apply_size(t, v->cols, v->rows);
}

static struct tty_viewer *active(const struct terminal *t)
{
    struct tty_viewer *v = t->viewers;
    while (v && v->is_read_only)
        v = v->next;
    return v;
}

/* --- output -------------------------------------------------------------------------------- */

static void on_master(struct source *source, uint32_t events);

static void watch(struct terminal *t)
{
    uint32_t events = 0;
    if (t->fd < 0)
        return;
    if (!t->is_waiting)
        events |= EPOLLIN;
    if (t->wants_room)
        events |= EPOLLOUT;
    if (!events && t->master.fd >= 0)
        loop_remove(&t->master);
    else if (events && t->master.fd < 0)
        loop_add(&t->master, t->fd, events, on_master);
    else if (events)
        loop_set(&t->master, events);
}

static bool holds_back(const struct terminal *t)
{
    const struct tty_viewer *v = active(t);
    return v && v->is_started && !v->is_behind && t->ring.end - v->at + READ_MAX > RING_MAX;
}

static void on_stall(struct timer *timer)
{
    struct terminal *t = OWNER(timer, struct terminal, stall);
    struct tty_viewer *v = active(t);
    bool holds = holds_back(t);
    int64_t left_ms = holds ? v->moved_ms + STALL_MS - loop_now_ms() : 0;
    if (left_ms > 0) {
        loop_timer(&t->stall, left_ms, on_stall);
        return;
    }
    if (holds)
        v->is_behind = true;
    pump(t);
}

static bool log_is_full(const struct terminal *t)
{
    return t->program && t->program->side && !sidecar_can_write(t->program->side);
}

static void close_fds(struct terminal *t)
{
    loop_remove(&t->master);
    loop_timer_end(&t->stall);
    loop_timer_end(&t->redraw);
    loop_timer_end(&t->end_again);
    if (t->fd >= 0)
        close(t->fd);
    if (t->slave >= 0)
        close(t->slave);
    t->fd = t->slave = -1;
}

static void done(struct terminal *t)
{
    if (t->fd < 0)
        return;
    close_fds(t);
    if (t->program)
        program_terminal_done(t->program);
}

static void keep(struct terminal *t, size_t size)
{
    struct job *job = t->program->job;
    ring_add(&t->ring, chunk, size);
    if (job_has_log(job))
        job_append(job, NT_G_STDOUT, chunk, size);
    else if (job)
        job->bytes[0] += size;
    if (t->program->side)
        sidecar_write(t->program->side, chunk, size);
    if (t->is_draining)
        t->drained += size;
}

static void pump_viewers(struct terminal *t)
{
    for (struct tty_viewer *v = t->viewers, *next; v; v = next) {
        next = v->next;
        viewer_pump(v);
    }
}

/* Reads what is there. */
static void pump(struct terminal *t)
{
    bool is_over = false;
    for (int i = 0; i < READS_A_TURN && t->fd >= 0 && !is_over; i++) {
        bool holds = holds_back(t);
        t->is_waiting = holds || log_is_full(t);
        if (holds && !t->stall.fn)
            loop_timer(&t->stall, STALL_MS, on_stall);
        if (t->is_waiting)
            break;
        ssize_t n = read(t->fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0)
            keep(t, (size_t)n);
        else if (n == 0 || errno != EAGAIN || t->is_draining)
            is_over = true;
        else
            break;
        /* others may still hold it: what they write now is not of the program that has ended */
        is_over = is_over || t->drained > DRAIN_MAX;
    }
    watch(t);
    pump_viewers(t);
    if (is_over)
        done(t);
}

static void on_master(struct source *source, uint32_t events)
{
    struct terminal *t = OWNER(source, struct terminal, master);
    if (events & EPOLLOUT) {
        t->wants_room = false;
        for (struct tty_viewer *v = t->viewers, *next; v; v = next) {
            next = v->next;
            conn_resume(v->conn);
        }
    }
    pump(t);
}

/* --- viewers ------------------------------------------------------------------------------- */

static void release(struct terminal *t)
{
    if (!t->has_ended || t->viewers || t->is_dead)
        return;
    t->is_dead = true;
    t->next_dead = dead;
    dead = t;
}

void terminals_sweep(void)
{
    while (dead) {
        struct terminal *t = dead;
        dead = t->next_dead;
        ring_done(&t->ring);
        free(t);
    }
}

/* Takes it off; the connection is the caller's. */
static void viewer_free(struct tty_viewer *v)
{
    struct terminal *t = v->terminal;
    struct tty_viewer **at = &t->viewers;
    while (*at != v)
        at = &(*at)->next;
    bool was_active = active(t) == v;
    *at = v->next;
    free(v);
    struct tty_viewer *now = active(t);
    if (was_active && now)
        apply_size(t, now->cols, now->rows);
    release(t);
}

static struct tty_viewer *viewer_new(struct terminal *t, struct conn *c)
{
    struct tty_viewer *v = calloc(1, sizeof(*v));
    if (!v)
        return NULL;
    *v = (struct tty_viewer){ .next = t->viewers,
                              .terminal = t,
                              .conn = c,
                              .moved_ms = loop_now_ms(),
                              .cols = t->cols,
                              .rows = t->rows };
    t->viewers = v;
    return v;
}

static void send_screen(struct tty_viewer *v)
{
    char text[NT_TERM_TEXT_MAX];
    struct nt_term modes;
    v->at = ring_start(&v->terminal->ring, &modes);
    v->is_behind = false;
    conn_send_raw(v->conn, NT_G_STDOUT, text, nt_term_restore(&modes, text));
}

static void viewer_pump(struct tty_viewer *v)
{
    struct terminal *t = v->terminal;
    struct conn *c = v->conn;
    if (!v->is_started)
        return;
    for (int i = 0;; i++) {
        const uint8_t *p;
        if (v->at == t->ring.end && t->has_ended) {
            job_send_exit(c, &t->end);
            viewer_free(v);
            conn_end(c);
            return;
        }
        if (v->at == t->ring.end || !conn_can_send(c))
            return;
        if (i == FRAMES_A_TURN) {
            c->wants_turn = true;
            conn_update(c);
            return;
        }
        v->moved_ms = loop_now_ms();
        if (v->is_behind || v->at < t->ring.first) {
            send_screen(v);
            continue;
        }
        size_t n = ring_at(&t->ring, v->at, &p);
        n = n < NT_G_CHUNK ? n : NT_G_CHUNK;
        conn_send_raw(c, NT_G_STDOUT, p, n);
        v->at += n;
    }
}

static void viewer_writable(struct conn *c)
{
    struct tty_viewer *v = c->op;
    struct terminal *t = v->terminal;
    bool was_waiting = t->is_waiting;
    viewer_pump(v); /* may have been its end */
    if (was_waiting && !holds_back(t)) {
        loop_timer_end(&t->stall);
        pump(t);
    }
}

/* 1: all taken; 0: there is no room now. */
static int feed(struct tty_viewer *v, const uint8_t *bytes, size_t size)
{
    struct terminal *t = v->terminal;
    while (t->fd >= 0 && v->in_at < size) {
        ssize_t n = write(t->fd, bytes + v->in_at, size - v->in_at);
        if (n > 0) {
            v->in_at += (size_t)n;
        } else if (n == 0 || errno == EAGAIN) {
            t->wants_room = true;
            watch(t);
            return 0;
        } else if (errno != EINTR) {
            break;
        }
    }
    if (size)
        t->last_in = bytes[size - 1];
    v->in_at = 0;
    return 1;
}

static uint8_t end_character(const struct terminal *t)
{
    struct termios mode;
    return t->slave < 0 || tcgetattr(t->slave, &mode) < 0 ? 0 : mode.c_cc[VEOF];
}

/* A program that sets its own mode only after the end was typed (a shell that still starts) gets a
 * NUL in its place. An input that has ended stays ended: each later read shall see it, too. */
static void on_end_again(struct timer *timer)
{
    struct terminal *t = OWNER(timer, struct terminal, end_again);
    uint8_t end = end_character(t);
    if (t->fd < 0 || t->end_times == 0)
        return;
    if (end)
        (void)!write(t->fd, &end, 1); /* no room: there is enough to read */
    t->end_times--;
    t->end_ms *= 2;
    loop_timer(&t->end_again, t->end_ms, on_end_again);
}

static void repeat_end(struct terminal *t)
{
    t->end_ms = END_FIRST_MS;
    t->end_times = END_TIMES;
    loop_timer_end(&t->end_again);
    loop_timer(&t->end_again, t->end_ms, on_end_again);
}

/* The end of an input that is no terminal: what its reader would type. In the middle of a line it
 * takes two. */
static int feed_end(struct tty_viewer *v)
{
    struct terminal *t = v->terminal;
    uint8_t character = end_character(t);
    if (!character)
        return 1;
    uint8_t end[2] = { character, character };
    bool is_line = !t->last_in || t->last_in == '\n' || t->last_in == '\r';
    uint8_t last = t->last_in;
    int rc = feed(v, end, is_line ? 1 : 2);
    t->last_in = last;
    if (rc > 0)
        repeat_end(t);
    return rc;
}

static int viewer_signal(struct tty_viewer *v, const struct request *r)
{
    struct program *p = v->terminal->program;
    uint64_t signo = request_number(r, NT_GT_SIGNAL, 0), flags = request_number(r, NT_GT_FLAGS, 0);
    if (!v->is_owner)
        return -1;
    if (flags & (NT_GX_TREE | NT_GX_HANG_UP)) {
        if (p && flags & NT_GX_TREE)
            program_kill(p, NT_GR_KILLED);
        else if (p)
            program_hang_up(p);
        return 1;
    }
    if (signo < 1 || signo >= NSIG)
        return -1;
    if (p)
        program_signal(p, (int)signo);
    return 1;
}

/* A size that is not new: the viewer has lost its screen. */
static void resize(struct tty_viewer *v, uint16_t cols, uint16_t rows)
{
    struct terminal *t = v->terminal;
    v->cols = cols;
    v->rows = rows;
    if (active(t) != v)
        return;
    if (t->cols == cols && t->rows == rows)
        draw_anew(t, true);
    else
        apply_size(t, cols, rows);
}

static int viewer_frame(struct conn *c, const struct nt_g_frame *frame)
{
    struct tty_viewer *v = c->op;
    struct request r;
    if (frame->type != NT_G_STDIN && request_read(&r, frame) < 0)
        return -1;
    if (v->is_read_only)
        return frame->type == NT_G_STDIN || frame->type == NT_G_STDIN_END
                       || frame->type == NT_G_RESIZE
                   ? 1
                   : -1;
    switch (frame->type) {
    case NT_G_STDIN:
        make_active(v);
        loop_timer_end(&v->terminal->end_again); /* somebody types */
        return feed(v, frame->payload, frame->size);
    case NT_G_STDIN_END:
        return feed_end(v);
    case NT_G_RESIZE:
        resize(v, size_of(&r, NT_GT_COLS, v->cols), size_of(&r, NT_GT_ROWS, v->rows));
        return 1;
    case NT_G_SIGNAL:
        return viewer_signal(v, &r);
    default:
        return -1;
    }
}

static void viewer_lost(struct conn *c)
{
    struct tty_viewer *v = c->op;
    struct terminal *t = v->terminal;
    struct program *owned = v->is_owner ? t->program : NULL;
    bool was_waiting = t->is_waiting, has_ended = t->has_ended;
    viewer_free(v);
    if (has_ended)
        return;
    if (was_waiting && !holds_back(t))
        pump(t);
    if (owned)
        program_terminal_lost(owned);
}

static const struct conn_ops viewer_ops = { .frame = viewer_frame,
                                            .writable = viewer_writable,
                                            .lost = viewer_lost };

/* --- its life ------------------------------------------------------------------------------ */

struct terminal *terminal_new(struct conn *c, const struct request *r, int child[3])
{
    struct terminal *t = calloc(1, sizeof(*t));
    if (!t) {
        conn_error(c, NT_GE_SYSTEM, ENOMEM, "out of memory");
        return NULL;
    }
    *t = (struct terminal){ .master.fd = -1,
                            .fd = -1,
                            .slave = -1,
                            .cols = size_of(r, NT_GT_COLS, COLS_DEFAULT),
                            .rows = size_of(r, NT_GT_ROWS, ROWS_DEFAULT) };
    ring_init(&t->ring);
    bool ok = pty_open(t->cols, t->rows, &t->fd, &t->slave) == 0;
    for (int i = 0; i < 3 && ok; i++) {
        child[i] = fcntl(t->slave, F_DUPFD_CLOEXEC, GUEST_FD_LOGS + 1);
        ok = child[i] >= 0;
    }
    if (ok)
        return t;
    conn_error(c, NT_GE_SYSTEM, errno, "cannot make a terminal: %s", strerror(errno));
    terminal_free(t);
    return NULL;
}

void terminal_begin(struct terminal *t, struct program *p, struct conn *c)
{
    struct tty_viewer *v = viewer_new(t, c);
    t->program = p;
    if (!v) {
        conn_close(c); /* and with it goes the program */
        return;
    }
    v->is_owner = true;
    c->op = v;
    c->ops = &viewer_ops;
}

void terminal_started(struct terminal *t, bool stays)
{
    struct tty_viewer *v = t->viewers;
    if (v && stays)
        v->is_started = true;
    else if (v)
        viewer_free(v);
    watch(t);
}

void terminal_resume(struct terminal *t)
{
    if (t->is_waiting)
        pump(t);
}

void terminal_drain(struct terminal *t)
{
    if (t->is_draining || t->fd < 0)
        return;
    t->is_draining = true;
    close(t->slave);
    t->slave = -1;
    pump(t);
}

void terminal_hang_up(struct terminal *t)
{
    done(t);
}

void terminal_ended(struct terminal *t, const struct job_end *end)
{
    close_fds(t);
    t->program = NULL;
    t->end = *end;
    t->has_ended = true;
    if (t->viewers)
        pump_viewers(t); /* the last one frees it */
    else
        release(t);
}

void terminal_free(struct terminal *t)
{
    if (!t)
        return;
    close_fds(t);
    while (t->viewers) {
        struct tty_viewer *v = t->viewers;
        t->viewers = v->next;
        free(v);
    }
    ring_done(&t->ring);
    free(t);
}

uint64_t terminal_bytes(const struct terminal *t)
{
    return t->ring.end;
}

void terminal_add_size(const struct terminal *t, struct nt_g_writer *w)
{
    nt_g_add_number(w, NT_GT_COLS, t->cols);
    nt_g_add_number(w, NT_GT_ROWS, t->rows);
}

/* --- attach -------------------------------------------------------------------------------- */

static void send_started(const struct tty_viewer *v)
{
    const struct terminal *t = v->terminal;
    uint8_t memory[192];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_STARTED);
    nt_g_add_number(&w, NT_GT_PID, (uint64_t)t->program->pid);
    nt_g_add_text(&w, NT_GT_ID, t->program->job->id);
    nt_g_add_number(&w, NT_GT_FLAGS, t->program->job->flags);
    nt_g_add_number(&w, NT_GT_OFFSET, v->at);
    terminal_add_size(t, &w);
    conn_send_writer(v->conn, &w);
}

void terminal_view(struct terminal *t, struct conn *c, const struct request *r)
{
    struct tty_viewer *v = viewer_new(t, c);
    if (!v) {
        conn_error(c, NT_GE_SYSTEM, ENOMEM, "out of memory");
        return;
    }
    struct nt_term modes;
    bool goes_on =
        request_has(r, NT_GT_OFFSET) && request_number(r, NT_GT_OFFSET, 0) >= t->ring.first;
    v->at = goes_on ? request_number(r, NT_GT_OFFSET, 0) : ring_start(&t->ring, &modes);
    if (v->at > t->ring.end)
        v->at = t->ring.end;
    v->is_read_only = request_number(r, NT_GT_FLAGS, 0) & NT_GX_READ_ONLY;
    v->is_behind = !goes_on && t->ring.first > 0;
    v->is_started = true;
    v->cols = size_of(r, NT_GT_COLS, 0);
    v->rows = size_of(r, NT_GT_ROWS, 0);
    c->op = v;
    c->ops = &viewer_ops;
    conn_beat(c, request_number(r, NT_GT_BEAT_MS, 0));
    if (!v->is_read_only)
        make_active(v);
    send_started(v);
    if (!v->is_read_only && !goes_on)
        draw_anew(t, t->ring.first > 0);
    if (v->is_behind && conn_can_send(c))
        send_screen(v);
    viewer_pump(v);
}
