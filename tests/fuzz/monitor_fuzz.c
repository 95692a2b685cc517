/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_fuzz.c - an API process that says anything at all, to root's monitor.
 *
 * The input is a row of messages: two bytes of length, little endian, then so much of the message;
 * with the highest bit of the length the message is filled up to the size of its kind, so that
 * small inputs get past the sizes. Between them the engine ends a call or opens a stream. The fake
 * aborts when something reaches the engine that must not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/serve_monitor_fake.h"

static size_t whole_size(uint32_t kind)
{
    switch (kind) {
    case WIRE_FAILED:
        return sizeof(struct wire_error);
    case WIRE_NOTE:
        return sizeof(struct wire_note);
    case WIRE_HANDOVER:
        return sizeof(struct wire_handover);
    case WIRE_CREATE:
        return sizeof(struct wire_create);
    case WIRE_KEEP:
        return sizeof(struct wire_keep);
    case WIRE_LISTEN:
        return sizeof(struct wire_listen);
    case WIRE_OWNER_KEY:
    case WIRE_READY:
    case WIRE_LEAVE:
        return sizeof(struct wire_head);
    default:
        return sizeof(struct wire_call);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake_monitor f;
    _Alignas(16) static uint8_t message[WIRE_MAX];
    fake_monitor_begin(&f);
    unsigned count = 0;
    while (size >= 2) {
        size_t length = data[0] | ((size_t)(data[1] & 0x7f) << 8);
        bool fill = data[1] & 0x80;
        data += 2;
        size -= 2;
        length = length < size ? length : size;
        length = length < sizeof(message) ? length : sizeof(message);
        memset(message, 0, sizeof(message));
        if (length)
            memcpy(message, data, length);
        data += length;
        size -= length;
        uint32_t kind;
        memcpy(&kind, message, sizeof(kind));
        if (monitor_message(f.monitor, message, fill ? whole_size(kind) : length))
            break;
        count++;
        if (count % 3 == 0)
            fake_monitor_end_call(&f, count % 2 ? NT_OP_DONE : NT_OP_FAILED);
        if (count % 4 == 0)
            fake_monitor_open_stream(&f);
    }
    fake_monitor_end(&f);
    return 0;
}
