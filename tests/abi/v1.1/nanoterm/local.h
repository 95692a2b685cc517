/* SPDX-License-Identifier: Apache-2.0 */
/* local.h - nanoterm-fd/1: exec on this machine without the server in the path.
 *
 * On the server's Unix socket, with the local token:
 *
 *     GET /v1/sandboxes/{id}/fd HTTP/1.1          client
 *     Connection: Upgrade
 *     Upgrade: nanoterm-fd/1
 *
 *     HTTP/1.1 101 Switching Protocols            server
 *     X-Nanoterm-Build: 1.2.3
 *
 * After the 101 the client sends nothing until the first frame (NT_G_HELLO, guest.h) has come: by
 * then the server has handed the connection to the guest of that workspace and has left. From there
 * the frames of guest.h are spoken on it, as adopted connection: exactly one request, and what
 * belongs to it. NT_G_EXEC (not NT_GX_BACKGROUND) always; where the bits of NT_GT_CAPS say so also
 * NT_G_ATTACH (NT_GC_JOBS), NT_G_READ and NT_G_WRITE (NT_GC_PASS_FD), NT_G_TREE_READ and
 * NT_G_TREE_WRITE (NT_GC_TREES), NT_G_CONNECT (NT_GC_PORTS). The connection is the lifeline of an
 * exec: when it closes, the process tree is killed, unless NT_GX_KEEP was asked for.
 *
 * Descriptors in: NT_G_EXEC may carry up to three (SCM_RIGHTS, with the first byte of the frame),
 * named by the flags NT_GX_FD_STDIN, _STDOUT, _STDERR in that order. Each must be a pipe opened in
 * the right direction; the guest checks with fstat and F_GETFL and refuses all else
 * (NT_GE_BAD_DESCRIPTOR). A stream without a descriptor travels in frames. NT_G_EXIT counts only
 * the bytes of frames. Descriptors out: NT_GF_PASS_FD gives the client the regular file itself. The
 * client trusts it no further than fstat and F_GETFL say.
 *
 * Versioned by the protocol's name; a newer one is offered under a new name, never by changing this
 * one. All that it can do, /v1 can do more slowly. */
#ifndef NANOTERM_LOCAL_H
#define NANOTERM_LOCAL_H

#define NT_LOCAL_PROTOCOL "nanoterm-fd/1"

/* Header that carries the local token (text of the file `token`) on the Unix socket. */
#define NT_LOCAL_TOKEN_HEADER "X-Nanoterm-Local-Token"

/* Header of every answer: the server's version. A client that is newer asks it to hand over,
 * but not for a 101: what it has just upgraded is on its way to the guest. */
#define NT_BUILD_HEADER "X-Nanoterm-Build"

/* Names in the runtime folder: $XDG_RUNTIME_DIR/nanoterm when that is ours, else DATA/run; mode
 * 0700. */
#define NT_LOCAL_SOCKET "sock"      /* sock.<pid> until it is ready, then renamed to this */
#define NT_LOCAL_LOCK "server.lock" /* flock; the server keeps it for life */
#define NT_LOCAL_TOKEN "token"      /* 64 hex digits, 0600, made anew by each server */

/* Descriptors that a client gives the embedded server it starts
 * (`nanoterm serve --embedded`): the locked lock file, and a pipe on which the server writes
 * "ready\n", or one line with the reason why not: an error's number (error.h), message and
 * hint, separated by tabs. */
#define NT_LOCAL_FD_LOCK 3
#define NT_LOCAL_FD_READY 4

#endif
