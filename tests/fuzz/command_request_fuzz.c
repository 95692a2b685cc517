/* SPDX-License-Identifier: Apache-2.0 */
/* command_request_fuzz.c - what a program inside says to have a command started: the head, then its
 * texts. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/mediate/mediate.h"
#include "plugins/sandbox-enforce/mediate/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mediate_head head;
    struct mediate_request request;
    if (size < sizeof(head))
        return 0;
    memcpy(&head, data, sizeof(head));
    head.magic = MEDIATE_MAGIC;
    head.size = (uint32_t)(size - sizeof(head)); /* as many as were read */
    char *bytes = malloc(head.size + 1u);
    if (!bytes)
        return 0;
    memcpy(bytes, data + sizeof(head), head.size);
    if (mediate_parse(&head, bytes, &request) == 0)
        mediate_request_done(&request);
    free(bytes);
    return 0;
}
