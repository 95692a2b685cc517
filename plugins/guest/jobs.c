/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.c - the list of programs, and logs on disk; see jobs.h.
 *
 * A log is a file of frames (guest.h) in the order in which they were read: viewers are sent slices
 * of it. It lies in a folder that the workspace cannot see. Bounds: JOBS_MAX ended ones, LOG_MAX
 * bytes each. */
#include "plugins/guest/jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/guest/program.h"

#define JOBS_MAX 1000
#define LOG_MAX ((uint64_t)1024 * 1024 * 1024)
#define FRAMES_A_TURN 4

struct viewer {
    struct viewer *next;
    struct conn *conn;
    struct job *job;
    uint64_t at;
    uint64_t limit; /* LOGS: what was there when it began */
    bool is_live;   /* ATTACH */
};

static struct job *jobs;
static unsigned job_count;
static uint64_t last_number;
static uint8_t slice[NT_G_HEAD + NT_G_CHUNK];

/* --- the list ------------------------------------------------------------------------------ */

static void log_name(char ret[40], uint64_t number)
{
    snprintf(ret, 40, "job-%llu.log", (unsigned long long)number);
}

void jobs_init(void)
{
    int fd = openat(GUEST_FD_LOGS, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return;
    for (struct dirent *d; (d = readdir(dir));)
        if (strncmp(d->d_name, "job-", 4) == 0)
            unlinkat(GUEST_FD_LOGS, d->d_name, 0);
    closedir(dir);
}

static void job_free(struct job *job)
{
    if (job->is_listed) {
        *(job->prev ? &job->prev->next : &jobs) = job->next;
        if (job->next)
            job->next->prev = job->prev;
        job_count--;
    }
    if (job->log_fd >= 0)
        close(job->log_fd);
    if (job->has_log) {
        char name[40];
        log_name(name, job->number);
        unlinkat(GUEST_FD_LOGS, name, 0);
    }
    free(job);
}

static bool is_used(const struct job *job)
{
    return job->program || job->viewers || !job->has_ended;
}

/* The oldest that nobody uses makes room. */
static void forget_oldest(void)
{
    struct job *oldest = NULL;
    for (struct job *j = jobs; j; j = j->next)
        if (!is_used(j))
            oldest = j;
    if (oldest)
        job_free(oldest);
}

struct job *job_new(char *const *argv, bool background)
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->log_fd = -1;
    job->number = ++last_number;
    size_t at = 0;
    for (int i = 0; argv[i] && at < sizeof(job->command) - 1; i++) {
        int n =
            snprintf(job->command + at, sizeof(job->command) - at, "%s%s", i ? " " : "", argv[i]);
        at += n < 0 ? 0 : (size_t)n;
    }
    if (!background)
        return job;
    char name[40];
    log_name(name, job->number);
    job->log_fd =
        openat(GUEST_FD_LOGS, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (job->log_fd < 0) {
        free(job);
        return NULL;
    }
    job->has_log = true;
    return job;
}

void job_started(struct job *job, pid_t pid)
{
    job->pid = pid;
    job->is_listed = true;
    job->next = jobs;
    if (jobs)
        jobs->prev = job;
    jobs = job;
    if (++job_count > JOBS_MAX)
        forget_oldest();
}

void job_failed(struct job *job)
{
    if (job)
        job_free(job);
}

static struct job *job_find(uint64_t pid)
{
    struct job *job = jobs; /* the newest of that number */
    while (job && (uint64_t)job->pid != pid)
        job = job->next;
    return job;
}

void job_list(struct conn *c)
{
    uint8_t memory[512];
    unsigned left = JOBS_MAX;
    for (struct job *j = jobs; j && left; j = j->next, left--) {
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ENTRY);
        nt_g_add_number(&w, NT_GT_PID, (uint64_t)j->pid);
        nt_g_add_text(&w, NT_GT_COMMAND, j->command);
        nt_g_add_number(&w, NT_GT_RUNNING, !j->has_ended);
        if (j->has_ended)
            nt_g_add_number(&w, NT_GT_STATUS, j->end.status);
        conn_send_writer(c, &w);
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    conn_send_writer(c, &w);
    conn_end(c);
}

/* --- logs ---------------------------------------------------------------------------------- */

bool job_has_log(const struct job *job)
{
    return job && job->has_log;
}

static void viewer_pump(struct viewer *v);

static void log_write(struct job *job, uint16_t type, const void *bytes, size_t size)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, type, (uint32_t)size);
    struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)bytes, size } };
    ssize_t n = pwritev(job->log_fd, iov, 2, (off_t)job->log_size);
    if (n == (ssize_t)(sizeof(head) + size))
        job->log_size += (uint64_t)n;
    else
        job->is_full = true; /* the disk is: a frame that is not whole is not counted */
}

void job_append(struct job *job, uint16_t type, const void *bytes, size_t size)
{
    static const char note[] = "nanoterm: the output is too long: the rest is not kept\n";
    if (job->is_full)
        return;
    if (job->log_size + size > LOG_MAX) {
        log_write(job, NT_G_STDERR, note, sizeof(note) - 1);
        job->is_full = true;
    } else {
        log_write(job, type, bytes, size);
    }
    for (struct viewer *v = job->viewers, *next; v; v = next) {
        next = v->next;
        viewer_pump(v);
    }
}

static void log_close_unused(struct job *job)
{
    if (job->has_log && job->log_fd >= 0 && !is_used(job)) {
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

void job_ended(struct job *job, const struct job_end *end)
{
    job->has_ended = true;
    job->end = *end;
    for (struct viewer *v = job->viewers, *next; v; v = next) {
        next = v->next;
        viewer_pump(v);
    }
}

void job_send_exit(struct conn *c, const struct job_end *end)
{
    uint8_t memory[128];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_EXIT);
    nt_g_add_number(&w, NT_GT_STATUS, end->status);
    nt_g_add_number(&w, NT_GT_REASON, end->reason);
    nt_g_add_number(&w, NT_GT_SIGNAL, end->signal);
    nt_g_add_number(&w, NT_GT_OUT_BYTES, end->bytes[0]);
    nt_g_add_number(&w, NT_GT_ERR_BYTES, end->bytes[1]);
    conn_send_writer(c, &w);
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
    struct job *job = v->job;
    if (v->is_live) {
        job_send_exit(c, &job->end);
    } else {
        uint8_t memory[64];
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
        nt_g_add_number(&w, NT_GT_RUNNING, !job->has_ended);
        if (job->has_ended)
            nt_g_add_number(&w, NT_GT_STATUS, job->end.status);
        conn_send_writer(c, &w);
    }
    viewer_lost(c);
    conn_end(c);
}

static void viewer_pump(struct viewer *v)
{
    struct conn *c = v->conn;
    struct job *job = v->job;
    for (int i = 0;; i++) {
        if (v->at >= (v->is_live ? job->log_size : v->limit)) {
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
        ssize_t n = pread(job->log_fd, slice, sizeof(slice), (off_t)v->at);
        struct nt_g_frame frame;
        int64_t size = n > 0 ? nt_g_next(slice, (size_t)n, &frame) : -1;
        if (size <= 0) {
            viewer_lost(c);
            conn_error(c, NT_GE_SYSTEM, EIO, "the output that was kept cannot be read");
            return;
        }
        v->at += (uint64_t)size;
        conn_send(c, slice, (size_t)size, NULL, 0);
    }
}

static void viewer_writable(struct conn *c)
{
    viewer_pump(c->op);
}

static const struct conn_ops viewer_ops = { .writable = viewer_writable, .lost = viewer_lost };

void job_view(struct conn *c, const struct request *r)
{
    struct job *job = job_find(request_number(r, NT_GT_PID, 0));
    bool is_live = r->type == NT_G_ATTACH;
    if (!job) {
        conn_error(c, NT_GE_NOT_FOUND, ESRCH, "there is no such program");
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
    *v = (struct viewer){ job->viewers, c, job, 0, job->log_size, is_live };
    job->viewers = v;
    c->op = v;
    c->ops = &viewer_ops;
    if (is_live) {
        uint8_t memory[64];
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_STARTED);
        nt_g_add_number(&w, NT_GT_PID, (uint64_t)job->pid);
        conn_send_writer(c, &w);
    }
    viewer_pump(v);
}

/* --- kill and feed ------------------------------------------------------------------------- */

void job_kill(struct conn *c, const struct request *r)
{
    struct job *job = job_find(request_number(r, NT_GT_PID, 0));
    uint64_t signo = request_number(r, NT_GT_SIGNAL, SIGTERM);
    if (!job) {
        conn_error(c, NT_GE_NOT_FOUND, ESRCH, "there is no such program");
    } else if (request_number(r, NT_GT_FLAGS, 0) & NT_GX_TREE) {
        if (!job->program || job->program->is_gone) {
            conn_ok(c);
            return;
        }
        program_wait_gone(job->program, c);
        program_kill(job->program, NT_GR_KILLED);
    } else if (signo < 1 || signo >= NSIG) {
        conn_error(c, NT_GE_INVALID, EINVAL, "there is no such signal");
    } else if (!job->program || program_signal(job->program, (int)signo) < 0) {
        conn_error(c, NT_GE_NOT_FOUND, ESRCH, "the program has ended");
    } else {
        conn_ok(c);
    }
}

static int feed_frame(struct conn *c, const struct nt_g_frame *frame)
{
    struct program *p = c->op;
    switch (frame->type) {
    case NT_G_STDIN:
        if (program_feed(p, c, frame->payload, frame->size) == 0)
            return 0;
        return 1;
    case NT_G_STDIN_END:
        program_close_input(p);
        return 1;
    case NT_G_END:
        p->feeder = NULL;
        conn_ok(c);
        return 1;
    default:
        return -1;
    }
}

static void feed_lost(struct conn *c)
{
    struct program *p = c->op;
    p->feeder = NULL;
    p->in_at = 0;
}

static const struct conn_ops feed_ops = { .frame = feed_frame, .lost = feed_lost };

void job_feed(struct conn *c, const struct request *r)
{
    struct job *job = job_find(request_number(r, NT_GT_PID, 0));
    if (!job) {
        conn_error(c, NT_GE_NOT_FOUND, ESRCH, "there is no such program");
    } else if (!job->program || !job->has_log || job->program->in_fd < 0) {
        conn_error(c, NT_GE_INVALID, EPIPE, "the input of this program is not open");
    } else if (job->program->feeder) {
        conn_error(c, NT_GE_LIMIT, EBUSY, "the input of this program is being written to");
    } else {
        job->program->feeder = c;
        c->op = job->program;
        c->ops = &feed_ops;
    }
}
