/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - what the files of the guest share: the one guest of this process, and who serves which
 * request. */
#ifndef GUEST_STATE_H
#define GUEST_STATE_H

#include <sys/resource.h>

#include "nanoterm/guest.h"
#include "plugins/guest/conn.h"
#include "plugins/guest/loop.h"

/* Descriptors that the launcher gives. */
enum {
    GUEST_FD_SOCKET = 3,
    GUEST_FD_WAY_OUT = 4,
    GUEST_FD_READY = 5,
    GUEST_FD_LOGS = 6,
    /* Files of the workspace's control group, open for reading; each may be missing. */
    GUEST_FD_MEMORY_EVENTS = 7, /* memory.events, or memory.oom_control: "oom_kill N" */
    GUEST_FD_PIDS_EVENTS = 8,   /* pids.events: "max N" */
    GUEST_FD_MEMORY_USED = 9,   /* memory.current, memory.usage_in_bytes */
    GUEST_FD_PIDS_USED = 10,    /* pids.current */
    GUEST_FD_COUNT = 11,
};

/* Exit statuses by which the engine names the reason. */
#define GUEST_EXIT_TTL 90
#define GUEST_EXIT_IDLE 91

/* Below GUEST_FD_LOGS: why the guest has ended by itself, "ttl" or "idle" and a newline. The engine
 * is seldom its parent and does not see the status. */
#define GUEST_ENDED_FILE "ended"

#define GUEST_HELPERS_MAX 256

struct guest {
    uint8_t nonce[16];
    const char *workspace;
    const char *base;    /* where relative paths start: /workspace */
    struct rlimit files; /* of programs */
    bool is_test;
    bool has_way_out;
    uint64_t way_out_inode; /* of its listener: not one of the programs */
    int oom_fd; /* /proc/self/oom_score_adj, opened before it became unreadable; -1: none */
    char oom_own[16];
    int null_fd;
    char **env; /* of CONFIGURE; "NAME=value" */
    size_t env_count;
    int64_t idle_ms;
    struct timer ttl, idle;
    bool is_ending;
    int exit_status; /* >= 0: the loop ends */
};
extern struct guest guest;

/* The first frame of a connection; `more` is what came after it. main.c */
void guest_request(struct conn *c, const struct nt_g_frame *frame, const uint8_t *more,
                   size_t more_size);
/* Connections or programs came or went: for the idle limit. main.c */
void guest_busy(void);

/* The request as read: the last of each tag; text is borrowed, not NUL-terminated. fields.c */
struct request {
    uint16_t type;
    const uint8_t *payload; /* for tags that are repeated; borrowed */
    uint32_t payload_size;
    uint64_t number[NT_GT_LAST + 1]; /* by tag */
    const char *text[NT_GT_LAST + 1];
    uint32_t text_size[NT_GT_LAST + 1];
    bool has[NT_GT_LAST + 1];
};
/* -1: malformed, a number of another size, or a NUL in a text. */
int request_read(struct request *r, const struct nt_g_frame *frame);
static inline bool request_has(const struct request *r, unsigned tag)
{
    return r->has[tag];
}
static inline uint64_t request_number(const struct request *r, unsigned tag, uint64_t fallback)
{
    return request_has(r, tag) ? r->number[tag] : fallback;
}
/* Copies a text: false when it is missing, empty or too long for size. */
bool request_text(const struct request *r, unsigned tag, char *ret, size_t size);

/* helper.c: runs fn in a process of its own, which owns the connection (blocking) and answers on
 * it: a file system of the workspace may hang or be hostile (FUSE), and must not stop the guest. */
void helper_start(struct conn *c, const struct request *r, const uint8_t *more, size_t more_size);
/* A helper ended. */
bool helper_reaped(int pid);
bool helper_is(int pid);

#endif
