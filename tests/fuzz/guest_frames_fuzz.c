/* SPDX-License-Identifier: Apache-2.0 */
/* guest_frames_fuzz.c - a guest that says anything at all, to the server's side of the protocol.
 *
 * The first byte picks the request, the second the size of the pieces and whether the consumer is
 * slow. Whatever comes, the operation ends exactly once and leaves no handle. */
#include <stdint.h>
#include <stdlib.h>

#include "tests/unit/guest_client_fake.h"

struct talk {
    struct guest_op *op;
    unsigned ends;
    bool is_slow, holds;
};

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    (void)data;
    struct nt_g_field f;
    uint64_t sum = 0;
    int rc;
    size_t at = 0;
    while ((rc = nt_g_each(frame->payload, frame->size, &at, &f)) > 0)
        for (size_t i = 0; i < f.size; i++)
            sum += f.data[i];
    if (rc < 0 || sum == UINT64_MAX)
        abort(); /* it was promised to be well-formed */
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct talk *t = data;
    const uint8_t *p = bytes.data;
    if (t->holds || !bytes.size || (p[0] ^ p[bytes.size - 1]) > 255 || type == 0)
        abort();
    t->holds = t->is_slow;
    if (!t->is_slow)
        guest_op_consumed(t->op);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct talk *t = data;
    t->ends++;
    if (error && !error->code)
        abort();
}

static const struct guest_events events = { .frame = on_frame, .bytes = on_bytes, .end = on_end };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t requests[] = {
        NT_G_EXEC, NT_G_ATTACH, NT_G_LOGS, NT_G_PROCS, NT_G_KILL,
        NT_G_STAT, NT_G_LIST,   NT_G_READ, NT_G_WRITE, NT_G_METRICS
    };
    if (size < 2)
        return 0;
    uv_loop_t uv;
    struct fake f;
    struct talk t = { .is_slow = data[1] & 0x80 };
    uint8_t memory[64];
    struct nt_error error = NT_ERROR_INIT;
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory),
                                      requests[data[0] % (sizeof(requests) / sizeof(requests[0]))]);
    nt_g_add_number(&w, NT_GT_FLAGS, data[0] & 0x80 ? NT_GX_BACKGROUND : 0);
    if (uv_loop_init(&uv) < 0)
        abort();
    fake_init(&f, &uv);
    f.bytes = data + 2;
    f.size = size - 2;
    f.piece = data[1] & 0x7f ? data[1] & 0x7f : SIZE_MAX;
    if (guest_op_new(&uv, &fake_ops, fake_engine(&f), "ws",
                     (struct nt_bytes){ memory, nt_g_done(&w) }, &events, &t, &t.op, &error)
        < 0)
        abort();
    while (uv_run(&uv, UV_RUN_NOWAIT) || !t.ends) {
        if (t.holds && !t.ends) {
            t.holds = false;
            guest_op_consumed(t.op);
        }
    }
    if (t.ends != 1 || uv_loop_close(&uv) < 0)
        abort();
    return 0;
}
