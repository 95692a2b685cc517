/* SPDX-License-Identifier: Apache-2.0 */
/* denials.h - what was refused while a program ran, for the lines at its end. Several threads may
 * add; equal ones are counted, not repeated; the list is bounded. */
#ifndef NT_ENFORCE_DENIALS_H
#define NT_ENFORCE_DENIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How it is known (DESIGN 17). Never mixed: an inferred one is a guess and is not counted. */
enum denial_source { DENIAL_NOTIFIED, DENIAL_KERNEL, DENIAL_TRACED, DENIAL_INFERRED };

struct denial {
    enum denial_source source;
    const char *act;     /* "read", "write", "connect", "bind", "send", "unix-connect", "unix-bind",
                          * "request", "dns", "start" */
    const char *target;  /* canonical path, host:port, unix:PATH, METHOD URL */
    const char *layer;   /* as in struct supervise_row */
    const char *rule;    /* which: "not in the allow-list", "deny_credentials" */
    const char *grant;   /* the smallest option that would allow it; "" when none does */
    const char *command; /* of command_policies, to which it was refused; "": the program */
    uint32_t count;      /* 0 when it is added: once */
};

#define DENIALS_MAX 256u /* more are counted only */

struct denials;

struct denials *denials_new(void); /* NULL: no memory */
void denials_free(struct denials *d);
/* Copies the texts. Also good from a thread. */
void denials_add(struct denials *d, const struct denial *denial);
/* In the order in which they came first. NULL: no more. Not while others add. */
const struct denial *denials_at(const struct denials *d, size_t index);
uint64_t denials_dropped(const struct denials *d);

#endif
