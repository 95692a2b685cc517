/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_notify_stage.h - a program under a real filter, its calls answered by a real supervisor,
 * for the tests of notify. */
#ifndef NT_TEST_ENFORCE_NOTIFY_STAGE_H
#define NT_TEST_ENFORCE_NOTIFY_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugins/sandbox-enforce/explain/denials.h"
#include "plugins/sandbox-enforce/notify/notify.h"

#define NO_NAMESPACES 77 /* the program could not have a network or mounts of its own */

/* In the program: what it tries, 0 when all went as it must; else CHECK's line. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            return stage_tell(__FILE__, __LINE__, #x);                                             \
    } while (0)
int stage_tell(const char *file, int line, const char *what);

/* The policy of the next program: nothing is granted, the network is blocked. */
struct stage {
    struct policy policy;
    struct policy_unix unix_grants[4];
    struct policy_grant grants[4];
    uint16_t open_ports[4], listen_ports[4], connect_ports[4];
    struct policy_ports ports[3][4]; /* of the policy: made of these when a program runs */
    uint16_t proxy_port;
    bool own_network;
    bool is_diagnosed; /* calls on files are asked about, too */
    bool is_readonly;  /* mounts of its own, which are read-only but for its folder */

    struct denials *denials; /* of the last program */
    char folder[64];         /* an empty one */
};

int stage_setup(void **state);
int stage_teardown(void **state);
struct stage *stage_of(void **state);
const char *stage_path(const struct stage *s, const char *name, char ret[108]);
void stage_grant_unix(struct stage *s, const char *path, bool may_bind, bool is_folder);
void stage_grant_write(struct stage *s, const char *path);

/* Runs PROGRAM under the filter; its result, or 128 + signal. While it runs, MEANWHILE (may be
 * NULL) runs outside, with its pid. */
int stage_run(struct stage *s, int (*program)(struct stage *s),
              void (*meanwhile)(struct stage *s, pid_t pid));
/* false, with a word about it: no program can be asked about here (an outer sandbox has the
 * listener, or does not let a process look into its children). */
bool stage_is_possible(void);
/* How often the act was denied for TARGET. */
unsigned stage_denied(const struct stage *s, const char *act, const char *target,
                      const char *grant);

/* Sockets, in the program or outside of it; -1 and errno. */
int stage_listen_tcp(uint16_t *port, int backlog); /* on 127.0.0.1 */
int stage_listen_unix(const char *path);
int stage_datagram_unix(const char *path);
int stage_connect_tcp(int fd, const char *host, uint16_t port);
int stage_connect_unix(int fd, const char *path);
int stage_bind_unix(int fd, const char *path);

#endif
