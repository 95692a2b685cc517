/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - what the files of the core's side share: the confined process and the frames that came
 * from it. */
#ifndef NT_CORE_CONFINE_SERVE_H
#define NT_CORE_CONFINE_SERVE_H

#include <sys/types.h>

#include "core/confine/confine.h"
#include "core/confine/wire.h"

struct confined {
    struct confine_options options;
    pid_t pid;   /* 0: it was waited for */
    int process; /* pidfd */
    int channel;
    struct nt_buf in, out;
    struct nt_call *call;
    struct nt_error given;  /* the last error that was handed in; code 0: none */
    struct nt_error denied; /* the first thing that was asked for and is not declared */
    /* What WIRE_RESULT said. */
    struct nt_error failure;
    bool has_started, has_result, has_failed;
    bool has_ended;          /* the process: what it has sent is still read */
    int64_t until_ms;        /* of wait.h */
    struct streams *streams; /* NULL until it asks for a loop */
    struct nt_error stop;    /* why it shall come to its end; code 0: it goes on */
};

/* Understands one frame and writes the answer, if it wants one, into c->out (else it is empty).
 * *ret_fd: a descriptor to send with it, the caller's to close; -1: none. -1: the frame is none
 * that a plugin sends, or the command must end: reterr. */
int serve_frame(struct confined *c, uint32_t type, struct wire_reader *r, int *ret_fd,
                struct nt_error *reterr);

/* Status, request id, headers and body of an answer, for inside_read_head. */
void serve_write_head(struct confined *c, struct nt_buf *out, const struct nt_response *response);

#endif
