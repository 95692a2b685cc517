/* SPDX-License-Identifier: Apache-2.0 */
/* guest_harness.h - starts the real nanoterm-guest as a normal process in a folder of its own, and
 * talks to it. */
#ifndef GUEST_HARNESS_H
#define GUEST_HARNESS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/types.h>

#include "nanoterm/guest.h"

struct harness {
    char dir[64]; /* its working directory: relative paths start here */
    char socket[96];
    pid_t pid;
};
extern struct harness harness;

/* cmocka set-up and tear-down of a group. */
int harness_start(void **state);
int harness_stop(void **state);
/* The same, with arguments, for a guest that ends by itself; harness_exit waits and gives its exit
 * status. */
void harness_start_with(const char *argument, const char *value);
int harness_exit(void);

/* A frame that is built. */
struct frame {
    struct nt_g_writer w;
    uint8_t memory[NT_G_HEAD + NT_G_FRAME_MAX];
};
struct frame *frame_new(uint16_t type); /* freed by say */
struct frame *frame_text(struct frame *f, uint16_t tag, const char *text);
struct frame *frame_number(struct frame *f, uint16_t tag, uint64_t value);

int guest_connect(void);
/* Sends it, with descriptors when there are any, and frees it. */
void say(int fd, struct frame *f);
void say_with(int fd, struct frame *f, const int *fds, unsigned count);
void say_raw(int fd, uint16_t type, const void *bytes, size_t size);
void say_bytes(int fd, const void *bytes, size_t size);

/* What came until the end of the connection. */
struct heard {
    uint16_t first; /* type of the first frame after HELLO */
    uint16_t last;  /* type of the last frame; 0: none */
    unsigned frames, entries;
    uint64_t number[64]; /* the last of each tag */
    bool has[64];
    char message[256];
    char id[64];
    uint8_t *bytes[2]; /* of STDOUT and DATA; of STDERR */
    size_t size[2];
};
void hear(int fd, struct heard *ret);
/* Hears exactly one frame into ret; false: the end. */
bool hear_one(int fd, struct heard *ret);
void heard_done(struct heard *h);

/* Runs a program to its end: argv ends with NULL. */
void run_program(struct heard *ret, uint64_t flags, uint64_t timeout_ms, const char *const *argv);
struct frame *exec_frame(uint64_t flags, uint64_t timeout_ms, const char *const *argv);
/* Runs a shell script to its end. */
void run_shell(struct heard *ret, const char *script);
/* Whether a process with that text in its command line exists. */
bool has_process(const char *text);

#endif
