/* SPDX-License-Identifier: Apache-2.0 */
/* enforce.h - what a process forbids itself, and all that it starts, for good: privileges, files,
 * network, signals, system calls, inherited descriptors.
 *
 * For those who run something that they trust less than themselves:
 *
 *   struct enforce e;
 *   enforce_init(&e);                             then say what is to be forbidden:
 *   e.files = true, e.network = ENFORCE_NET_NONE;
 *   enforce_prepare(&e, &layer);                  asks the kernel, opens the rules
 *   enforce_path(&e, fd, ENFORCE_READ);           what stays allowed all the same
 *   fork();
 *   enforce_enter(&e, &layer);                    in the child; then execve, or the work itself
 *   enforce_done(&e);                             in the parent
 *
 * Nothing that was asked for is left out in silence: a layer that this kernel does not have makes
 * enforce_prepare fail and name it, unless `weaker` accepts that. Each layer is tried after it was
 * set: what it forbids must fail.
 *
 * The library knows no policy, prints nothing and reads no environment. Sources: landlock(7),
 * seccomp(2), capabilities(7) and the kernel's userspace-api documents; what they leave open was
 * measured on 6.18. */
#ifndef NT_ENFORCE_H
#define NT_ENFORCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>

/* Access to a path and all beneath it. */
#define ENFORCE_READ 1u     /* read files, list folders */
#define ENFORCE_EXECUTE 2u  /* run files */
#define ENFORCE_WRITE 4u    /* write and cut files; make, remove, move and link files and folders */
#define ENFORCE_DEVICE 8u   /* ioctl requests on devices */
#define ENFORCE_SPECIAL 16u /* make symbolic links, sockets, pipes, devices */

enum enforce_network {
    ENFORCE_NET_OPEN,  /* no rule */
    ENFORCE_NET_PORTS, /* TCP to and on the ports that enforce_port names, at any address; no UDP,
                        * no raw sockets, no other protocol, no source routes */
    ENFORCE_NET_NONE,  /* no new socket but those of the local machine */
};

/* Groups of system calls that are refused, OR-ed. */
#define ENFORCE_CALLS_KERNEL 1u     /* keys, modules, bpf, clocks: what a machine's owner does */
#define ENFORCE_CALLS_TERMINAL 2u   /* typing into the caller's terminal: TIOCSTI, TIOCLINUX */
#define ENFORCE_CALLS_URING 4u      /* io_uring, which goes round other filters of calls */
#define ENFORCE_CALLS_NAMESPACES 8u /* new namespaces, mounts, roots */
#define ENFORCE_CALLS_PROGRAMS 16u  /* other programs and processes; threads may be made */
#define ENFORCE_CALLS_PEEK 32u      /* memory and descriptors of other processes */
#define ENFORCE_CALLS_UNIX 64u      /* new sockets of the local machine; socketpair stays */
#define ENFORCE_CALLS_FAMILIES 128u /* sockets other than local, IP and netlink */
#define ENFORCE_CALLS_LISTEN 256u   /* listening: it binds to a port when nothing else has */
#define ENFORCE_CALLS_CONNECT                                                                      \
    512u /* connecting and binding: a socket that was given stays where                            \
          * it is, also on kernels without Landlock's rules for TCP */
/* Permissions, owners and attributes of files, which Landlock does not know; and truncate on
 * kernels whose Landlock does not know that. */
#define ENFORCE_CALLS_OWNERS 1024u
/* Signals to other processes, their limits and priorities. enforce_prepare must then run in the
 * process that enforce_enter is for; it can have no children to end. */
#define ENFORCE_CALLS_SIGNALS 2048u
#define ENFORCE_CALLS_IPC 4096u /* shared memory, semaphores and queues that have a name */
/* Datagram sockets of the local machine, also in pairs: each of their messages can go to another
 * path, so no rule about connecting holds them. */
#define ENFORCE_CALLS_DATAGRAMS 8192u
/* Limits, priorities and schedules of other processes, by whatever number but 0: for those without
 * a PID namespace. A limit of processor time ends a process that signals do not reach. */
#define ENFORCE_CALLS_LIMITS 16384u

/* In the order in which they are set. */
enum enforce_layer {
    ENFORCE_PRIVILEGES,  /* no_new_privs, no capabilities, no core dumps */
    ENFORCE_FILES,       /* Landlock: only what enforce_path named */
    ENFORCE_TCP,         /* Landlock: only what enforce_port named */
    ENFORCE_SCOPES,      /* Landlock: signals and abstract sockets stay among the confined */
    ENFORCE_CALLS,       /* seccomp; the architecture is checked first */
    ENFORCE_DESCRIPTORS, /* nothing stays open but 0, 1, 2 and what was named */
    ENFORCE_LAYERS
};

#define ENFORCE_KEEP_MAX 16u
#define ENFORCE_FILTER_MAX 512u

struct enforce {
    /* What is to be forbidden: set between enforce_init and enforce_prepare. */
    bool privileges; /* true after enforce_init */
    bool files;
    enum enforce_network network;
    bool signals, abstract_sockets; /* to processes that are not confined with this one */
    uint32_t calls;                 /* ENFORCE_CALLS_ */
    /* Programs of the machine's 32-bit architecture may run too, with KERNEL, TERMINAL and URING
     * refused in their numbers as well; with anything else in `calls` or `network` it is EINVAL. */
    bool other_architecture;
    /* Rules that come before those of `calls`, borrowed until enforce_prepare returns: they find
     * the call's number loaded, need no look at the architecture, and go on at their end. */
    const struct sock_filter *front;
    size_t front_count;
    /* The filter gets a listener for what FRONT answers with SECCOMP_RET_USER_NOTIF: `listener` is
     * it after enforce_enter, close-on-exec, kept by the layer of descriptors, for the caller to
     * hand out (where FRONT asks about sendmsg, not by that: pidfd_getfd then). FRONT must not ask
     * about socket and socketpair, which are tried. Where an outer sandbox has one already it fails
     * with EBUSY; with notify_weaker the filter is set without FRONT, and the listener stays -1. */
    bool notify, notify_weaker;
    /* What Landlock denies to the programs that are executed is written to the kernel's audit log
     * (since version 7; else nothing is). Our own trials are not. */
    bool audit;
    bool descriptors;
    int keep[ENFORCE_KEEP_MAX]; /* descriptors above 2 that stay open, in any order */
    size_t keep_count;
    uint32_t weaker; /* bit (1 << layer): go on without it when the kernel does not have it */

    /* The library's own. */
    uint32_t set;                          /* bit (1 << layer): enforce_enter sets it */
    int landlock, ruleset;                 /* version of the kernel's interface; descriptor or -1 */
    uint64_t handled_files, handled_ports; /* rights that need a rule from then on */
    bool root_readable, anywhere_writable; /* no use as a trial then */
    int stranger;                          /* abstract socket of somebody not confined; or -1 */
    int listener;                          /* see notify; the caller may take it and put -1 */
    struct sock_filter filter[ENFORCE_FILTER_MAX];
    size_t filter_size, front_start; /* where FRONT begins in it */
};

/* Forbids nothing yet but privileges. */
void enforce_init(struct enforce *e);

/* Asks the kernel for what is needed, opens the rules and writes the filter. 0, or an errno value
 * and in *ret_layer the layer that cannot be had (EOPNOTSUPP: this kernel does not have it). After
 * it enforce_done is due, in every case. */
int enforce_prepare(struct enforce *e, enum enforce_layer *ret_layer);

/* With `files`, allows ACCESS (ENFORCE_READ and so on) beneath FD, an O_PATH descriptor or any
 * other, which stays the caller's and may be closed. Of a file only what applies to files counts.
 * The rule holds the inode: names that are moved or linked anew later change nothing. 0 or errno.
 */
int enforce_path(struct enforce *e, int fd, uint32_t access);

/* With ENFORCE_NET_PORTS, allows TCP connections to a port, or listening on it. 0 or errno;
 * EINVAL for port 0. */
int enforce_port(struct enforce *e, uint16_t port, bool connect, bool listen);

/* In the process itself, with one thread, for good. Neither allocates nor locks: it may run between
 * fork and exec of a program with threads. 0, or an errno value and the layer that failed: then the
 * process must end (ENOTRECOVERABLE: it was set, and what it forbids still works). */
int enforce_enter(struct enforce *e, enum enforce_layer *ret_layer);

/* Closes what the library holds. */
void enforce_done(struct enforce *e);

/* --- to tell about it ---------------------------------------------------------------------- */

/* "files", "tcp" and so on: stable, for reports and for options that accept less. */
const char *enforce_layer_name(enum enforce_layer layer);

/* What an administrator can do about a layer that cannot be had: half a sentence. */
const char *enforce_layer_remedy(enum enforce_layer layer);

/* After enforce_prepare: whether enforce_enter sets it. */
bool enforce_layer_is_set(const struct enforce *e, enum enforce_layer layer);

/* The same: whether Landlock has the TCP ports, also where it is but the second fence. */
bool enforce_handles_ports(const struct enforce *e);

/* The version of the kernel's Landlock, asked for by call; 0: there is none, or it is off. */
int enforce_landlock_version(void);

/* --- environment --------------------------------------------------------------------------- */

/* true for a variable that makes a loader, a shell or an interpreter run other code than the
 * program's: LD_PRELOAD, BASH_ENV, NODE_OPTIONS and their like. ENTRY is "NAME" or "NAME=value". */
bool enforce_variable_is_unsafe(const char *entry);

#endif
