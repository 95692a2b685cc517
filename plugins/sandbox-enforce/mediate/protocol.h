/* SPDX-License-Identifier: Apache-2.0 */
/* protocol.h - what the stand-in of a command and its broker say to each other.
 *
 * Any program inside can speak it: it decides nothing by itself. A connection to the reserved
 * abstract name is answered by the supervisor, which takes descriptors 0 to 2 of who connects. Then
 * one head with its texts, and from then on a byte for each signal; back comes one struct
 * mediate_end. Whoever closes it ends the command. No library: also for the stand-in. */
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
};

struct mediate_end {
    uint32_t is_signal, value; /* exit status, or the number of the signal */
};

#endif
