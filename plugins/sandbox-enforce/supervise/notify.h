/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - answers the calls that the kernel asks about: connect, bind and what sends to the
 * address of a local socket (seccomp_unotify(2)).
 *
 * Nothing is ever let through by "continue": between the question and the call the program could
 * change the address in its memory, or put another socket under the number. The address is copied
 * once; the socket is taken by pidfd_getfd; and the supervisor makes the call itself, on that
 * socket and with that address - a path by the descriptor of what was resolved and checked. */
#ifndef NT_ENFORCE_NOTIFY_H
#define NT_ENFORCE_NOTIFY_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/explain/denials.h"
#include "plugins/sandbox-enforce/policy/policy.h"

struct notify;

struct notify_options {
    const struct policy *policy;
    struct denials *denials;
    uint16_t proxy_port; /* connecting there on loopback is allowed; 0: there is none */
    bool own_network;    /* the program has a network namespace: open ports are handed in */
};

/* Rules for the program's filter, to be put in front of enforce's own: 0 or ENOSPC. They do not
 * name an architecture; the filter they go into has checked it. */
int notify_filter(const struct policy *policy, struct sock_filter *ret, size_t max,
                  size_t *ret_count);

/* LISTENER (taken) came from the program's seccomp call. Single-threaded but for calls that can
 * block, which get a bounded number of threads. */
int notify_new(int listener, const struct notify_options *options, struct notify **ret,
               struct nt_error *reterr);
/* Readable: notify_work has something to do. */
int notify_fd(const struct notify *n);
void notify_work(struct notify *n);
void notify_free(struct notify *n);

#endif
