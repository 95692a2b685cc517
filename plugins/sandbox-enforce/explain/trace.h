/* SPDX-License-Identifier: Apache-2.0 */
/* trace.h - reads what strace writes about a program: which files it opened, made, changed, and
 * whom it talked to.
 *
 * For `strace -f -qq -y -xx -s 1024 -e trace=TRACE_CALLS`: every string comes as \xHH, so that no
 * name can look like something else; descriptors come with their paths. Input is hostile all the
 * same (a program chooses its names): bounded, and a line that is not understood is left out. */
#ifndef NT_ENFORCE_TRACE_H
#define NT_ENFORCE_TRACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With "?": calls that an older strace does not know. It writes them all the same, as numbers, with
 * the addresses of their names. */
#define TRACE_CALLS                                                                                \
    "%file,%network,fchdir,clone,clone3,fork,vfork,fchmod,fchown,fsetxattr,fremovexattr,ioctl,"    \
    "?fchmodat2,?setxattrat,?removexattrat,?file_setattr"
#define TRACE_LINE_MAX 65536u

enum trace_act {
    TRACE_OPEN, /* a file or a folder, with POLICY_READ, POLICY_WRITE or both; or its mode, owner,
                 * times or attributes were changed, or it is a device that was driven, which needs
                 * POLICY_WRITE */
    TRACE_EXECUTE, /* a program */
    TRACE_CHANGE,  /* an entry of a folder was made, removed or renamed: `path` is the entry */
    TRACE_CONNECT, /* to a host or a local socket */
    TRACE_BIND,
    TRACE_NAME,   /* the answer to a question for a name: host, address */
    TRACE_UNSEEN, /* a call that went well and that strace has no words for: number, call, since */
};

/* Valid during the callback. */
struct trace_event {
    enum trace_act act;
    uint32_t access;  /* TRACE_OPEN: POLICY_ */
    bool is_made;     /* TRACE_OPEN: with O_CREAT */
    bool is_folder;   /* TRACE_OPEN: opened as a folder */
    int error;        /* errno value of the call; 0: it went well */
    const char *path; /* absolute, "." and ".." removed as text; local socket; NULL: none */
    const char *cwd;  /* TRACE_EXECUTE: the working folder; NULL: not known */
    const char *address, *host; /* "192.0.2.1"; host only with TRACE_NAME */
    uint16_t port;
    /* "fchmodat2", "6.6" (of Linux); both "": newer than what is known here. */
    const char *call, *since;
    unsigned number; /* of the call, on all architectures */
};

struct trace;

struct trace *trace_new(const char *cwd, void (*event)(void *data, const struct trace_event *event),
                        void *data);
/* One line, without its end. */
void trace_line(struct trace *t, const char *line, size_t size);
void trace_free(struct trace *t);

#endif
