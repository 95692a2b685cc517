/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.c - the list of programs, and what is done to one of them by name; see jobs.h. Bounds:
 * JOBS_MAX ended ones. */
#include "plugins/guest/jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "plugins/guest/program.h"
#include "plugins/guest/sidecar.h"
#include "plugins/guest/terminal.h"

#define JOBS_MAX 1000

static struct job *jobs;
static unsigned job_count;
static uint64_t last_number;

/* --- the list ------------------------------------------------------------------------------ */

static int64_t unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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
    job_log_drop(job);
    free(job->log_path);
    free(job);
}

bool job_is_used(const struct job *job)
{
    return job->program || job->viewers || !job->has_ended;
}

/* The oldest that nobody uses makes room. */
static void forget_oldest(void)
{
    struct job *oldest = NULL;
    for (struct job *j = jobs; j; j = j->next)
        if (!job_is_used(j))
            oldest = j;
    if (oldest)
        job_free(oldest);
}

static struct job *find(const char *id, size_t size)
{
    struct job *job = jobs;
    while (job && (strlen(job->id) != size || memcmp(job->id, id, size) != 0))
        job = job->next;
    return job;
}

/* The id that the request gives, or one of our own. Answers the error itself: -1. */
static int take_id(struct job *job, struct conn *c, const struct request *r)
{
    if (!request_has(r, NT_GT_ID)) {
        uint64_t number = 0;
        if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
            number = job->number;
        snprintf(job->id, sizeof(job->id), "job_%llx_%016llx", (unsigned long long)job->number,
                 (unsigned long long)number);
        return 0;
    }
    if (!request_text(r, NT_GT_ID, job->id, sizeof(job->id))
        || strspn(job->id, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(job->id)) {
        conn_error(c, NT_GE_INVALID, EINVAL, "the id of the program is not one");
        return -1;
    }
    if (find(job->id, strlen(job->id))) {
        conn_error(c, NT_GE_INVALID, EEXIST, "there is already a program with that id");
        return -1;
    }
    return 0;
}

/* LOG, when there is one, absolute. Answers the error itself: -1. */
static int take_log_path(struct job *job, struct conn *c, const struct request *r)
{
    char text[SIDECAR_PATH_MAX], path[2 * SIDECAR_PATH_MAX];
    if (!request_has(r, NT_GT_LOG))
        return 0;
    int n = -1;
    if (request_text(r, NT_GT_LOG, text, sizeof(text)))
        n = snprintf(path, sizeof(path), "%s%s%s", text[0] == '/' ? "" : guest.base,
                     text[0] == '/' ? "" : "/", text);
    if (n < 0 || n >= SIDECAR_PATH_MAX) {
        conn_error(c, NT_GE_INVALID, r->text_size[NT_GT_LOG] ? ENAMETOOLONG : EINVAL,
                   "the path of the log file is empty or too long");
        return -1;
    }
    job->log_path = strdup(path);
    if (!job->log_path)
        conn_error(c, NT_GE_SYSTEM, ENOMEM, "out of memory");
    return job->log_path ? 0 : -1;
}

static void describe(struct job *job, char *const *argv)
{
    size_t at = 0;
    for (int i = 0; argv[i] && at < sizeof(job->command) - 1; i++) {
        int n =
            snprintf(job->command + at, sizeof(job->command) - at, "%s%s", i ? " " : "", argv[i]);
        at += n < 0 ? 0 : (size_t)n;
    }
}

struct job *job_new(struct conn *c, const struct request *r, char *const *argv)
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job) {
        conn_error(c, NT_GE_SYSTEM, ENOMEM, "out of memory");
        return NULL;
    }
    job->log_fd = -1;
    job->number = ++last_number;
    job->flags = request_number(r, NT_GT_FLAGS, 0);
    job->started_ms = unix_ms();
    describe(job, argv);
    if (take_id(job, c, r) < 0 || take_log_path(job, c, r) < 0) {
        free(job);
        return NULL;
    }
    if (job->flags & (NT_GX_BACKGROUND | NT_GX_KEEP) && job_log_make(job) < 0) {
        conn_error(c, NT_GE_SYSTEM, errno, "the output cannot be kept: %s", strerror(errno));
        free(job->log_path);
        free(job);
        return NULL;
    }
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

/* The newest that runs. */
static struct job *find_agent(void)
{
    struct job *job = jobs;
    while (job && (!(job->flags & NT_GX_AGENT) || job->has_ended))
        job = job->next;
    return job;
}

struct job *job_of(struct conn *c, const struct request *r)
{
    struct job *job = NULL;
    if (r->type == NT_G_ATTACH && !request_has(r, NT_GT_ID) && !request_has(r, NT_GT_PID)) {
        job = find_agent();
        if (!job)
            conn_error(c, NT_GE_NOT_FOUND, ESRCH, "no agent runs in this workspace");
        return job;
    }
    if (request_has(r, NT_GT_ID)) {
        job = find(r->text[NT_GT_ID], r->text_size[NT_GT_ID]);
    } else {
        uint64_t pid = request_number(r, NT_GT_PID, 0);
        job = jobs; /* the newest of that number */
        while (job && (uint64_t)job->pid != pid)
            job = job->next;
    }
    if (!job)
        conn_error(c, NT_GE_NOT_FOUND, ESRCH, "there is no such program");
    return job;
}

static void add_entry(struct nt_g_writer *w, const struct job *j)
{
    nt_g_add_number(w, NT_GT_PID, (uint64_t)j->pid);
    nt_g_add_text(w, NT_GT_ID, j->id);
    nt_g_add_text(w, NT_GT_COMMAND, j->command);
    nt_g_add_number(w, NT_GT_RUNNING, !j->has_ended);
    nt_g_add_number(w, NT_GT_FLAGS, j->flags);
    nt_g_add_number(w, NT_GT_STARTED_MS, (uint64_t)j->started_ms);
    if (j->program && j->program->terminal)
        terminal_add_size(j->program->terminal, w);
    if (j->log_path)
        nt_g_add_text(w, NT_GT_LOG, j->log_path);
    if (j->trouble)
        nt_g_add_text(w, NT_GT_MESSAGE, j->trouble);
    struct job_end end = j->end;
    memcpy(end.bytes, j->bytes, sizeof(end.bytes));
    if (j->has_ended) {
        job_add_exit(w, &end);
        nt_g_add_number(w, NT_GT_ENDED_MS, (uint64_t)j->ended_ms);
    } else {
        nt_g_add_number(w, NT_GT_OUT_BYTES, end.bytes[0]);
        nt_g_add_number(w, NT_GT_ERR_BYTES, end.bytes[1]);
    }
}

void job_list(struct conn *c)
{
    uint8_t memory[SIDECAR_PATH_MAX + 1024];
    unsigned left = JOBS_MAX;
    for (struct job *j = jobs; j && left; j = j->next, left--) {
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ENTRY);
        add_entry(&w, j);
        conn_send_writer(c, &w);
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    conn_send_writer(c, &w);
    conn_end(c);
}

/* --- the end ------------------------------------------------------------------------------- */

void job_ended(struct job *job, const struct job_end *end)
{
    job->has_ended = true;
    job->end = *end;
    job->ended_ms = unix_ms();
    job_log_ended(job);
}

void job_add_exit(struct nt_g_writer *w, const struct job_end *end)
{
    nt_g_add_number(w, NT_GT_STATUS, end->status);
    nt_g_add_number(w, NT_GT_REASON, end->reason);
    nt_g_add_number(w, NT_GT_SIGNAL, end->signal);
    nt_g_add_number(w, NT_GT_OUT_BYTES, end->bytes[0]);
    nt_g_add_number(w, NT_GT_ERR_BYTES, end->bytes[1]);
    nt_g_add_number(w, NT_GT_HITS, end->hits);
}

void job_send_exit(struct conn *c, const struct job_end *end)
{
    uint8_t memory[160];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_EXIT);
    job_add_exit(&w, end);
    conn_send_writer(c, &w);
}

/* --- kill and feed ------------------------------------------------------------------------- */

void job_kill(struct conn *c, const struct request *r)
{
    struct job *job = job_of(c, r);
    uint64_t signo = request_number(r, NT_GT_SIGNAL, SIGTERM);
    if (!job)
        return;
    if (request_number(r, NT_GT_FLAGS, 0) & NT_GX_TREE) {
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
    struct job *job = job_of(c, r);
    if (!job)
        return;
    /* while its own stream lives, its input comes from there */
    if (!job->program || !job->has_log || job->program->in_fd < 0 || job->program->conn) {
        conn_error(c, NT_GE_INVALID, EPIPE, "the input of this program is not open");
    } else if (job->program->feeder) {
        conn_error(c, NT_GE_LIMIT, EBUSY, "the input of this program is being written to");
    } else {
        job->program->feeder = c;
        c->op = job->program;
        c->ops = &feed_ops;
    }
}
