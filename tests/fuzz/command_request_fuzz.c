/* SPDX-License-Identifier: Apache-2.0 */
/* command_request_fuzz.c - what a program inside says to have a command started: two digits for how
 * many words and variables it says there are, then the texts, with ends of lines for NULs. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "plugins/sandbox-enforce/mediate/mediate.h"
#include "plugins/sandbox-enforce/mediate/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mediate_request request;
    if (size < 2)
        return 0;
    const struct mediate_head head = { .magic = MEDIATE_MAGIC,
                                       .size = (uint32_t)(size - 2), /* as many as were read */
                                       .words = data[0] & 15u,
                                       .variables = data[1] & 15u };
    char *bytes = malloc(size);
    if (!bytes)
        return 0;
    for (size_t i = 2; i < size; i++)
        bytes[i - 2] = data[i] == '\n' ? '\0' : (char)data[i];
    if (mediate_parse(&head, bytes, &request) == 0)
        mediate_request_done(&request);
    free(bytes);
    return 0;
}
