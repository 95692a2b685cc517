/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_audit.h - what Landlock refused, as the kernel itself tells (records 1423 and 1424 of the
 * audit subsystem, Linux 6.15 and newer; Documentation/admin-guide/LSM/landlock.rst).
 *
 * Only root hears it, and only where audit is on: it is listened to, never switched on. */
#ifndef NT_ENFORCE_KERNEL_AUDIT_H
#define NT_ENFORCE_KERNEL_AUDIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugins/sandbox-enforce/explain/denials.h"

struct kernel_audit;

/* NULL: the kernel tells nothing here (not root, audit off, an older kernel). To be opened before
 * the program starts. */
struct kernel_audit *kernel_audit_open(void);
int kernel_audit_fd(const struct kernel_audit *k); /* readable: kernel_audit_read */
/* The process that entered the rules, in this PID namespace: only its records count. */
void kernel_audit_of(struct kernel_audit *k, pid_t program);
/* Takes what is there. */
void kernel_audit_read(struct kernel_audit *k, struct denials *denials);
/* The program has ended: waits (a tenth of a second at most) for what the kernel still has to tell.
 */
void kernel_audit_finish(struct kernel_audit *k, struct denials *denials);
void kernel_audit_close(struct kernel_audit *k);

/* One record's text. */
struct kernel_record {
    bool is_domain; /* else an access */
    bool is_end;    /* is_domain: the last of its processes has ended */
    uint64_t domain;
    pid_t pid;           /* is_domain */
    char blockers[128];  /* "fs.read_file,fs.refer" */
    char path[PATH_MAX]; /* empty: none */
    unsigned port;       /* 0: none */
};

/* false: another record, or cut. */
bool kernel_record_parse(uint16_t type, const char *text, size_t size, struct kernel_record *ret);
/* An access. */
void kernel_record_tell(const struct kernel_record *r, struct denials *denials);

#endif
