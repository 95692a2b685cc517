/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.h - what is remembered of programs: all that PROCS lists, and the output of those in the
 * background. */
#ifndef GUEST_JOBS_H
#define GUEST_JOBS_H

#include <sys/types.h>

#include "plugins/guest/state.h"

struct program;
struct viewer;

/* How a program ended, as in NT_G_EXIT. */
struct job_end {
    uint64_t status, reason, signal;
    uint64_t bytes[2];
};

struct job {
    struct job *next, *prev; /* newest first */
    struct program *program; /* NULL: no process of its tree is left */
    struct viewer *viewers;
    struct job_end end;
    uint64_t number;
    uint64_t log_size;
    int log_fd; /* -1: it has none, or nobody uses it now */
    pid_t pid;
    bool has_log;
    bool has_ended;
    bool is_full; /* more is not kept */
    bool is_listed;
    char command[256];
};

/* Removes logs of an earlier start. */
void jobs_init(void);
struct job *job_new(char *const *argv, bool background);
void job_started(struct job *job, pid_t pid);
/* It never ran: forgets it. */
void job_failed(struct job *job);
void job_ended(struct job *job, const struct job_end *end);
bool job_has_log(const struct job *job);
void job_append(struct job *job, uint16_t type, const void *bytes, size_t size);
void job_send_exit(struct conn *c, const struct job_end *end);

/* ATTACH and LOGS, PROCS, KILL, FEED. */
void job_view(struct conn *c, const struct request *r);
void job_list(struct conn *c);
void job_kill(struct conn *c, const struct request *r);
void job_feed(struct conn *c, const struct request *r);

#endif
