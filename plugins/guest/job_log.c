/* SPDX-License-Identifier: Apache-2.0 */
/* job_log.c - the output of a job on disk, and those who look at it; see jobs.h.
 *
 * A log is a file of frames (guest.h) in the order in which they were read: viewers are sent slices
 * of it. It lies in a folder that the workspace cannot see. Offsets count payload bytes only; marks
 * tell where in the file some of them are, so that a late viewer need not read it all. Bounds:
 * LOG_MAX bytes each; MARKS_MAX marks, every other one of which is dropped when they run out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/guest/jobs.h"
#include "plugins/guest/program.h"
#include "plugins/guest/terminal.h"

#define LOG_MAX ((uint64_t)1024 * 1024 * 1024)
#define MARKS_MAX 256u
#define MARK_STEP ((uint64_t)256 * 1024)
#define FRAMES_A_TURN 4

struct job_mark {
    uint64_t at;     /* in the file: a frame begins there */
    uint64_t offset; /* of its first byte of output */
};

struct viewer {
    struct viewer *next;
    struct conn *conn;
    struct job *job;
    uint64_t at;     /* of the next frame in the file */
    uint64_t skip;   /* of its payload */
    uint64_t offset; /* of the next byte of output */
    uint64_t limit;  /* LOGS: what was there when it began, in the file */
    uint64_t left;   /* LOGS: SIZE */
    bool is_live;    /* ATTACH */
};

static uint8_t slice[NT_G_HEAD + NT_G_CHUNK];

/* --- the file ------------------------------------------------------------------------------ */

static void log_name(char ret[40], uint64_t number)
{
    snprintf(ret, 40, "job-%llu.log", (unsigned long long)number);
}

int job_log_make(struct job *job)
{
    char name[40];
    log_name(name, job->number);
    job->log_fd =
        openat(GUEST_FD_LOGS, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (job->log_fd < 0)
        return -1;
    job->has_log = true;
    job->mark_step = MARK_STEP;
    return 0;
}

void job_log_drop(struct job *job)
{
    if (job->log_fd >= 0)
        close(job->log_fd);
    job->log_fd = -1;
    if (job->has_log) {
        char name[40];
        log_name(name, job->number);
        unlinkat(GUEST_FD_LOGS, name, 0);
    }
    free(job->marks);
    job->marks = NULL;
}

static void log_close_unused(struct job *job)
{
    if (job->has_log && job->log_fd >= 0 && !job_is_used(job)) {
        close(job->log_fd);
        job->log_fd = -1;
    }
}

static bool log_open(struct job *job)
{
    if (job->has_log && job->log_fd < 0) {
        char name[40];
        log_name(name, job->number);
        job->log_fd = openat(GUEST_FD_LOGS, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    }
    return job->log_fd >= 0;
}

static uint64_t kept(const struct job *job)
{
    return job->bytes[0] + job->bytes[1];
}

/* Without memory for it a viewer only has more to read. */
static void mark(struct job *job)
{
    uint64_t last = job->mark_count ? job->marks[job->mark_count - 1].at : 0;
    if (job->log_size - last < job->mark_step)
        return;
    if (!job->marks)
        job->marks = malloc(MARKS_MAX * sizeof(*job->marks));
    if (!job->marks)
        return;
    if (job->mark_count == MARKS_MAX) {
        for (unsigned i = 0; i < MARKS_MAX / 2; i++)
            job->marks[i] = job->marks[2 * i + 1];
        job->mark_count = MARKS_MAX / 2;
        job->mark_step *= 2;
    }
    job->marks[job->mark_count++] = (struct job_mark){ job->log_size, kept(job) };
}

static void log_write(struct job *job, uint16_t type, const void *bytes, size_t size)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, type, (uint32_t)size);
    struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)bytes, size } };
    ssize_t n = pwritev(job->log_fd, iov, 2, (off_t)job->log_size);
    if (n != (ssize_t)(sizeof(head) + size)) { /* a frame that is not whole is not counted */
        job->is_full = true;
        job->trouble = "the disk is full: the rest of the output was not kept";
        return;
    }
    mark(job);
    job->log_size += (uint64_t)n;
    job->bytes[type == NT_G_STDERR] += size;
}

static void viewer_pump(struct viewer *v);

static void tell_viewers(struct job *job)
{
    for (struct viewer *v = job->viewers, *next; v; v = next) {
        next = v->next;
        viewer_pump(v);
    }
}

void job_append(struct job *job, uint16_t type, const void *bytes, size_t size)
{
    static const char note[] = "nanoterm: the output is too long: the rest is not kept\n";
    if (job->is_full)
        return;
    if (job->log_size + size > LOG_MAX) {
        log_write(job, NT_G_STDERR, note, sizeof(note) - 1);
        job->is_full = true;
        job->trouble = "the output is too long: the rest of it was not kept";
    } else {
        log_write(job, type, bytes, size);
    }
    tell_viewers(job);
}

void job_log_ended(struct job *job)
{
    tell_viewers(job);
    log_close_unused(job);
}

/* --- viewers ------------------------------------------------------------------------------- */

static void viewer_lost(struct conn *c)
{
    struct viewer *v = c->op;
    struct job *job = v->job;
    for (struct viewer **at = &job->viewers; *at; at = &(*at)->next) {
        if (*at == v) {
            *at = v->next;
            break;
        }
    }
    free(v);
    log_close_unused(job);
}

static void viewer_end(struct viewer *v)
{
    struct conn *c = v->conn;
    const struct job *job = v->job;
    uint8_t memory[512];
    struct job_end end = job->end;
    memcpy(end.bytes, job->bytes, sizeof(end.bytes));
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), v->is_live ? NT_G_EXIT : NT_G_END);
    if (!v->is_live) {
        nt_g_add_number(&w, NT_GT_RUNNING, !job->has_ended);
        nt_g_add_number(&w, NT_GT_OFFSET, v->offset);
    }
    if (job->has_ended) {
        job_add_exit(&w, &end);
    } else {
        nt_g_add_number(&w, NT_GT_OUT_BYTES, end.bytes[0]);
        nt_g_add_number(&w, NT_GT_ERR_BYTES, end.bytes[1]);
    }
    if (job->trouble)
        nt_g_add_text(&w, NT_GT_MESSAGE, job->trouble);
    conn_send_writer(c, &w);
    viewer_lost(c);
    conn_end(c);
}

/* Reads the frame at v->at into slice. Returns the bytes it takes in the file; -1: it cannot be
 * read. */
static int64_t read_frame(const struct viewer *v, struct nt_g_frame *ret)
{
    ssize_t n = pread(v->job->log_fd, slice, sizeof(slice), (off_t)v->at);
    int64_t size = n > 0 ? nt_g_next(slice, (size_t)n, ret) : -1;
    return size > 0 ? size : -1;
}

static void viewer_fail(struct viewer *v)
{
    struct conn *c = v->conn;
    viewer_lost(c);
    conn_error(c, NT_GE_SYSTEM, EIO, "the output that was kept cannot be read");
}

static void viewer_pump(struct viewer *v)
{
    struct conn *c = v->conn;
    struct job *job = v->job;
    for (int i = 0;; i++) {
        if (v->at >= (v->is_live ? job->log_size : v->limit) || !v->left) {
            if (!v->is_live || job->has_ended)
                viewer_end(v);
            return;
        }
        if (!conn_can_send(c))
            return;
        if (i == FRAMES_A_TURN) {
            c->wants_turn = true;
            conn_update(c);
            return;
        }
        struct nt_g_frame frame;
        int64_t size = read_frame(v, &frame);
        if (size < 0) {
            viewer_fail(v);
            return;
        }
        uint64_t want = frame.size - v->skip;
        uint64_t take = want < v->left ? want : v->left;
        conn_send_raw(c, frame.type, frame.payload + v->skip, (size_t)take);
        v->left -= take;
        v->offset += take;
        if (take == want) {
            v->at += (uint64_t)size;
            v->skip = 0;
        } else {
            v->skip += take;
        }
    }
}

/* Goes to that byte of the output, or to its end when it is not there yet. -1: cannot be read. */
static int viewer_seek(struct viewer *v, uint64_t offset)
{
    const struct job *job = v->job;
    for (unsigned i = 0; i < job->mark_count && job->marks[i].offset <= offset; i++) {
        v->at = job->marks[i].at;
        v->offset = job->marks[i].offset;
    }
    /* Heads only: many to a read when they are small. */
    uint64_t from = v->at;
    ssize_t have = 0;
    while (v->at < v->limit && v->offset < offset) {
        if (v->at < from || v->at + NT_G_HEAD > from + (uint64_t)have) {
            from = v->at;
            have = pread(job->log_fd, slice, sizeof(slice), (off_t)from);
            if (have < (ssize_t)NT_G_HEAD)
                return -1;
        }
        uint64_t size = nt_g_load(slice + (v->at - from), 4);
        if (size > NT_G_CHUNK)
            return -1;
        if (offset - v->offset < size) {
            v->skip = offset - v->offset;
            v->offset = offset;
            return 0;
        }
        v->offset += size;
        v->at += NT_G_HEAD + size;
    }
    return 0;
}

static void viewer_writable(struct conn *c)
{
    viewer_pump(c->op);
}

static const struct conn_ops viewer_ops = { .writable = viewer_writable, .lost = viewer_lost };

static void send_started(const struct viewer *v)
{
    uint8_t memory[192];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_STARTED);
    nt_g_add_number(&w, NT_GT_PID, (uint64_t)v->job->pid);
    nt_g_add_text(&w, NT_GT_ID, v->job->id);
    nt_g_add_number(&w, NT_GT_FLAGS, v->job->flags);
    nt_g_add_number(&w, NT_GT_OFFSET, v->offset);
    conn_send_writer(v->conn, &w);
}

void job_view(struct conn *c, const struct request *r)
{
    struct job *job = job_of(c, r);
    bool is_live = r->type == NT_G_ATTACH;
    if (!job)
        return;
    if (is_live && job->program && job->program->terminal) {
        terminal_view(job->program->terminal, c, r);
        return;
    }
    if (is_live && !job->has_log) {
        conn_error(c, NT_GE_INVALID, 0,
                   "the output of this program is not kept: it did not run in the background");
        return;
    }
    struct viewer *v = malloc(sizeof(*v));
    if (!v || (job->has_log && !log_open(job))) {
        conn_error(c, NT_GE_SYSTEM, errno, "the output that was kept cannot be opened");
        free(v);
        return;
    }
    *v = (struct viewer){ .next = job->viewers,
                          .conn = c,
                          .job = job,
                          .limit = job->log_size,
                          .left = is_live ? UINT64_MAX : request_number(r, NT_GT_SIZE, UINT64_MAX),
                          .is_live = is_live };
    job->viewers = v;
    c->op = v;
    c->ops = &viewer_ops;
    conn_beat(c, request_number(r, NT_GT_BEAT_MS, 0));
    if (viewer_seek(v, request_number(r, NT_GT_OFFSET, 0)) < 0) {
        viewer_fail(v);
        return;
    }
    if (is_live)
        send_started(v);
    viewer_pump(v);
}
