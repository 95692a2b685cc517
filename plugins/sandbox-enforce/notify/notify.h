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
    bool is_readonly;    /* all but what may be written is: modes outside are not changed */
    int broker;          /* gets those who ask for a command (mediate/); above 2; 0: nobody does */
    bool has_mounts;     /* folders whose sockets are all granted are mounts of their own */
    bool own_network;    /* the program has a network namespace: open ports are handed in */
    bool has_no_rules;   /* for files: Landlock is not there, or was given up by name */
    bool has_device_rules; /* Landlock refuses to drive devices */
};

/* Rules for the program's filter, to be put in front of enforce's own: 0 or ENOSPC. They do not
 * name an architecture; the filter they go into has checked it. They load what they need, and leave
 * the number of the call loaded. Asks about descriptors 0 to 2 of the caller, which the program
 * will inherit.
 *
 * From the moment the filter is set, connect, bind and the like wait for an answer: the listener
 * must reach the supervisor by other means than sendmsg (pidfd_getfd). */
int notify_filter(const struct policy *policy, struct sock_filter *ret, size_t max,
                  size_t *ret_count);

/* More rules, to follow these: calls that open, start or change files are looked at and noted
 * (DENIAL_TRACED) where the policy denies them. They are made in any case; it is Landlock that
 * refuses. For a diagnosis: each costs some ten microseconds. 0 or ENOSPC. */
int notify_file_filter(struct sock_filter *ret, size_t max, size_t *ret_count);

/* LISTENER (taken, also on failure) came from the program's seccomp call. Starts a thread, which
 * gives up its capabilities but for looking into programs: as root, what the program may not do is
 * not done for it either. One
 * thread is enough, connections that wait are waited for together. OPTIONS are copied, what they
 * point to is borrowed until notify_free. Call it when no more processes are forked. */
int notify_new(int listener, const struct notify_options *options, struct notify **ret,
               struct nt_error *reterr);
/* Ends the thread; calls that still wait fail with ENOSYS. */
void notify_free(struct notify *n);

#endif
