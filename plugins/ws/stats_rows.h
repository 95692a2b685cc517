/* SPDX-License-Identifier: Apache-2.0 */
/* stats_rows.h - what the rows of `ws stats` and `top` are made of. For ws.c alone. */
#ifndef NT_WS_STATS_ROWS_H
#define NT_WS_STATS_ROWS_H

#include "nanoterm/plugin.h"
#include "ws.h"

static const struct nt_column stats_columns[] = {
    { .name = "id", .help = "Id of the workspace", .type = NT_ID },
    { .name = "name", .help = "Its name", .type = NT_TEXT },
    { .name = "status", .help = "running, stopped, creating or error", .type = NT_TEXT },
    { .name = "unreachable", .help = "Its guest does not answer", .type = NT_BOOL },
    { .name = "cpu_percent",
      .title = "CPU %",
      .help = "Share of one processor, between two samples",
      .type = NT_REAL },
    { .name = "mem_used_bytes", .title = "MEMORY", .help = "In use", .type = NT_SIZE_BYTES },
    { .name = "mem_limit_bytes", .title = "LIMIT", .help = "At the most", .type = NT_SIZE_BYTES },
    { .name = "pids_used", .title = "PIDS", .help = "Processes and threads", .type = NT_INT },
    { .name = "net_rx_bytes", .title = "NET IN", .help = "Received", .type = NT_SIZE_BYTES },
    { .name = "net_tx_bytes", .title = "NET OUT", .help = "Sent", .type = NT_SIZE_BYTES },
    { .name = "disk_used_bytes",
      .title = "DISK",
      .help = "In use on the file system that holds it",
      .type = NT_SIZE_BYTES,
      .flags = NT_WIDE },
    { .name = "pids_limit", .help = "Processes at the most", .type = NT_INT, .flags = NT_WIDE },
    { .name = "oom_kills",
      .help = "Processes killed for memory since it started",
      .type = NT_INT,
      .flags = NT_WIDE },
    { .name = "pids_refused",
      .help = "Processes refused since it started; counted only where the kernel does",
      .type = NT_INT,
      .flags = NT_WIDE },
};
static const struct nt_arg stats_args[] = {
    { .name = "workspace-id",
      .type = NT_ID,
      .complete = "ws.ids",
      .flags = NT_MANY | NT_OPTIONAL,
      .help = "Ids or names of workspaces (default: all)" },
};
static const struct nt_opt top_opts[] = {
    { .name = "interval",
      .type = NT_DURATION_MS,
      .arg = "time",
      .fallback = "2s",
      .min = 200,
      .max = 3600000,
      .help = "Time between two samples" },
    { .name = "count",
      .letter = 'n',
      .type = NT_INT,
      .arg = "samples",
      .min = 1,
      .max = 1000000,
      .help = "End after so many (default: at Ctrl-C)" },
};
static const struct nt_example stats_examples[] = {
    { "ws stats", "What each workspace uses now" },
    { "ws stats ws_a1b2c3d4 --json", "One, for a program" },
};
static const struct nt_example top_examples[] = {
    { "top --count 2", "Two samples; without --count until Ctrl-C" },
    { "top --json --interval 5s --count 1", "JSON lines, for a program" },
};
static const struct nt_alias top_aliases[] = { { .path = "ws top" } };

#endif
