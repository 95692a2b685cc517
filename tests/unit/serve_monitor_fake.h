/* SPDX-License-Identifier: Apache-2.0 */
/* serve_monitor_fake.h - a monitor between an engine that only notes what it is asked and an API
 * process that only keeps what it is sent: for the unit test and the fuzzer. */
#ifndef NT_TESTS_SERVE_MONITOR_FAKE_H
#define NT_TESTS_SERVE_MONITOR_FAKE_H

#include <stdbool.h>

#include "plugins/serve/monitor/monitor.h"

#define FAKE_OPS 64u

struct fake_monitor {
    struct monitor *monitor;
    struct nt_loop loop;
    struct nt_engine_host host;
    /* Calls of the engine that have not ended; a cancelled one is `cancelled`. */
    struct nt_engine_op *ops[FAKE_OPS];
    unsigned op_count, begun, cancelled;
    const struct nt_stream_events *stream_events; /* of the last stream that is being opened */
    void *stream_data;
    struct nt_engine_spec spec; /* of the last create; texts below */
    char id[64], hostname[80], image[4200];
    char record[NT_RECORD_MAX]; /* of the last keep; what a recall gives */
    /* What the API process was sent: the last message, the one before it, and how many. */
    _Alignas(16) uint8_t last[WIRE_MAX];
    _Alignas(16) uint8_t before[WIRE_MAX];
    size_t last_size, before_size;
    int last_fd;
    unsigned sent, keys, readies, failures, notes, leaves, handovers, listens;
};

void fake_monitor_begin(struct fake_monitor *f);
/* Ends the oldest call of the engine. */
void fake_monitor_end_call(struct fake_monitor *f, uint32_t outcome);
/* The stream that is being opened opens with a descriptor of its own. */
void fake_monitor_open_stream(struct fake_monitor *f);
void fake_monitor_end(struct fake_monitor *f);

#endif
