/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.h - what is remembered of programs: all that PROCS lists, and the output of those whose
 * output is kept. */
#ifndef GUEST_JOBS_H
#define GUEST_JOBS_H

#include <sys/types.h>

#include "plugins/guest/state.h"

#define JOB_ID_SIZE 41 /* with its NUL */

struct program;
struct viewer;
struct job_mark;

/* How a program ended, as in NT_G_EXIT. */
struct job_end {
    uint64_t status, reason, signal, hits;
    uint64_t bytes[2];
};

struct job {
    struct job *next, *prev; /* newest first */
    struct program *program; /* NULL: no process of its tree is left */
    struct viewer *viewers;
    struct job_end end;
    uint64_t number;
    uint64_t flags;     /* NT_GX_* of its EXEC */
    uint64_t bytes[2];  /* of each output: kept, or passed on */
    int64_t started_ms; /* unix */
    int64_t ended_ms;
    const char *trouble; /* why not all of its output was kept; NULL: it was */
    char *log_path;      /* LOG of its EXEC, absolute; NULL: none */
    /* the kept output: a file of frames (job_log.c) */
    struct job_mark *marks;
    uint64_t mark_step;
    unsigned mark_count;
    int log_fd; /* -1: it has none, or nobody uses it now */
    uint64_t log_size;
    pid_t pid;
    bool has_log;
    bool has_ended;
    bool is_full; /* more is not kept */
    bool is_listed;
    char id[JOB_ID_SIZE];
    char command[256];
};

/* Removes logs of an earlier start. */
void jobs_init(void);
/* ID and FLAGS are those of the request. Answers the error itself: NULL. */
struct job *job_new(struct conn *c, const struct request *r, char *const *argv);
void job_started(struct job *job, pid_t pid);
/* It never ran: forgets it. */
void job_failed(struct job *job);
void job_ended(struct job *job, const struct job_end *end);
/* Whether anything still needs it. */
bool job_is_used(const struct job *job);
void job_send_exit(struct conn *c, const struct job_end *end);
void job_add_exit(struct nt_g_writer *w, const struct job_end *end);
/* The job that PID or ID of the request names. Answers the error itself: NULL. */
struct job *job_of(struct conn *c, const struct request *r);

/* PROCS, KILL, FEED. */
void job_list(struct conn *c);
void job_kill(struct conn *c, const struct request *r);
void job_feed(struct conn *c, const struct request *r);

/* --- job_log.c ----------------------------------------------------------------------------- */

int job_log_make(struct job *job);
void job_log_drop(struct job *job);
static inline bool job_has_log(const struct job *job)
{
    return job && job->has_log;
}
void job_append(struct job *job, uint16_t type, const void *bytes, size_t size);
/* The job or its program has ended: tells the viewers, and closes what nobody needs. */
void job_log_ended(struct job *job);
/* ATTACH and LOGS. */
void job_view(struct conn *c, const struct request *r);

#endif
