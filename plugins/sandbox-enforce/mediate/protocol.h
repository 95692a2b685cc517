/* SPDX-License-Identifier: Apache-2.0 */
/* protocol.h - what the stand-in of a command and its broker say to each other.
 *
 * Any program inside can speak it: it decides nothing by itself. A connection to the reserved
 * abstract name is answered by the supervisor, which takes descriptors 0 to 2 of who connects. Then
 * one head with its texts, and from then on a byte for each signal; back come messages, the last of
 * which says how it ended. Whoever closes it ends the command. No library: also for the stand-in.
 *
 * What is to be read by a person goes back as text: written by the stand-in, which may wait where
 * nobody reads. Whoever is outside writes to nothing that a program inside holds. */
#ifndef NT_ENFORCE_MEDIATE_PROTOCOL_H
#define NT_ENFORCE_MEDIATE_PROTOCOL_H

#include <stdint.h>

/* Without the NUL in front. */
#define MEDIATE_NAME "nanoterm.command"

#define MEDIATE_MAGIC 0x31646d63u
#define MEDIATE_SIZE_MAX (2u * 1024 * 1024)
#define MEDIATE_WORDS_MAX 32768u
#define MEDIATE_VARIABLES_MAX 4096u

/* Then, each with a NUL behind it: the file that was executed, the working folder, the words behind
 * the name, the variables. `size` counts these texts. */
struct mediate_head {
    uint32_t magic, size, words, variables;
    uint32_t ignored; /* signals that are ignored: bits of 1 << number */
    uint32_t mask;    /* of the modes of new files */
};

enum mediate_kind {
    MEDIATE_EXITED,  /* with this status */
    MEDIATE_KILLED,  /* by this signal */
    MEDIATE_STARTED, /* 1: in the process group of who asks, so that both get what that gets */
    MEDIATE_STOPPED, /* by this signal */
    MEDIATE_OUT,     /* a text of that many bytes follows, for standard output */
    MEDIATE_ERR,     /* for standard error */
};

struct mediate_message {
    uint32_t kind, value;
};

#endif
