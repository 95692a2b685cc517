/* SPDX-License-Identifier: Apache-2.0 */
/* relay.h - two connected stream sockets become one connection: bytes go both ways by splice, with
 * back-pressure and half-close. A state machine without a loop: its owner watches the descriptors
 * and calls nt_relay_turn. Bytes never reach user space. */
#ifndef NT_SDK_RELAY_H
#define NT_SDK_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NT_RELAY_SPARE_PIPES 16u

/* A pipe as the kernel makes it, and one that holds so much that bulk costs half the processor
 * time. Large ones count against what a user's pipes may hold together, and few are kept. */
enum nt_relay_size { NT_RELAY_SMALL, NT_RELAY_LARGE, NT_RELAY_SIZES };

/* Pipes that no relay uses now: one is taken while bytes are under way, so that an idle connection
 * costs its two sockets and nothing else. Shared by all relays of a thread; starts zeroed. */
struct nt_relay_pipes {
    struct {
        int spare[NT_RELAY_SPARE_PIPES][2];
        unsigned count;
    } sizes[NT_RELAY_SIZES];
};
void nt_relay_pipes_done(struct nt_relay_pipes *pipes);

/* One direction: from fds[i] to fds[!i]. */
struct nt_relay_way {
    int pipe[2]; /* -1: none taken */
    enum nt_relay_size size;
    size_t held;   /* bytes in it */
    size_t streak; /* bytes since there were few at once: bulk, or none */
    bool is_eof;   /* the source sends no more */
    bool is_over;
};

struct nt_relay {
    int fds[2]; /* non-blocking; stay the owner's */
    struct nt_relay_way ways[2];
    struct nt_relay_pipes *pipes;
};

enum {
    NT_RELAY_BROKEN = -1, /* one side was reset: reset the other */
    NT_RELAY_GOES = 0,
    NT_RELAY_DONE = 1, /* both sides have sent all */
};

/* What must be waited for on a descriptor before the next turn. */
#define NT_RELAY_READ 0x1u
#define NT_RELAY_WRITE 0x2u

/* SIGPIPE must be ignored: splice has no flag against it. */
void nt_relay_init(struct nt_relay *r, int a, int b, struct nt_relay_pipes *pipes);
/* Moves what can be moved now, up to a bound, and says what to wait for (level-triggered). ready:
 * bit i for what was told of fds[i]; NT_RELAY_ALL at first. Nothing wanted of one descriptor means:
 * do not watch it at all, a hang-up would be told for ever. */
#define NT_RELAY_ALL 0x3u
int nt_relay_turn(struct nt_relay *r, uint32_t ready, uint32_t ret_wants[2]);
/* Gives its pipes back; the descriptors stay open. */
void nt_relay_done(struct nt_relay *r);

/* For TCP: no waiting for more bytes before small ones are sent. */
void nt_relay_no_delay(int fd);
/* Closes a socket; a TCP peer is told of a reset, as it would be by the other side itself. */
void nt_relay_reset(int fd);

#endif
