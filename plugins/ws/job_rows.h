/* SPDX-License-Identifier: Apache-2.0 */
/* job_rows.h - what the rows of `job` are made of. For ws.c alone. */
#ifndef NT_WS_JOB_ROWS_H
#define NT_WS_JOB_ROWS_H

#include "nanoterm/plugin.h"
#include "ws.h"

static const struct nt_arg job_list_args[] = {
    { .name = "workspace", .type = NT_ID, .complete = "ws.ids", .help = "Id or name of it" },
};
static const struct nt_arg job_args[] = {
    { .name = "workspace", .type = NT_ID, .complete = "ws.ids", .help = "Id or name of it" },
    { .name = "job", .type = NT_ID, .complete = "job.ids", .help = "Id of the job" },
};
static const struct nt_column job_columns[] = {
    { .name = "id", .help = "Id of the job", .type = NT_ID },
    { .name = "running", .help = "Whether it has not ended", .type = NT_BOOL },
    { .name = "status", .help = "Its exit status", .type = NT_INT },
    { .name = "reason",
      .help = "How it ended: exited, signaled, timeout, killed, memory or lost",
      .type = NT_TEXT },
    { .name = "started_at", .help = "When it was started", .type = NT_TIME },
    { .name = "command", .help = "What runs", .type = NT_TEXT },
    { .name = "pid", .help = "Its process id inside", .type = NT_INT, .flags = NT_WIDE },
    { .name = "signal", .help = "What it died of", .type = NT_INT, .flags = NT_WIDE },
    { .name = "ended_at", .help = "When it ended", .type = NT_TIME, .flags = NT_WIDE },
    { .name = "stdout_bytes", .help = "Its output", .type = NT_INT, .flags = NT_WIDE },
    { .name = "stderr_bytes", .help = "Its messages", .type = NT_INT, .flags = NT_WIDE },
    { .name = "background",
      .help = "Whether it was started as a job",
      .type = NT_BOOL,
      .flags = NT_WIDE },
    { .name = "kept", .help = "Whether its output is kept", .type = NT_BOOL, .flags = NT_WIDE },
    { .name = "terminal", .help = "Whether it has a terminal", .type = NT_BOOL, .flags = NT_WIDE },
    { .name = "log", .help = "Its log file in the workspace", .type = NT_TEXT, .flags = NT_WIDE },
    { .name = "limits_hit",
      .help = "What it may have failed of: memory, pids, disk",
      .type = NT_JSON,
      .schema = "{\"type\":\"array\",\"items\":{\"enum\":[\"memory\",\"pids\",\"disk\"]}}",
      .flags = NT_WIDE },
    { .name = "notice", .help = "Why not all is kept", .type = NT_TEXT, .flags = NT_WIDE },
};
static const struct nt_opt job_logs_opts[] = {
    { .name = "follow", .letter = 'f', .type = NT_FLAG, .help = "Go on until the job ends" },
    { .name = "offset",
      .type = NT_INT,
      .arg = "bytes",
      .min = 0,
      .max = INT64_MAX,
      .help = "Begin at this byte of its output, both streams counted together" },
};
static const struct nt_opt job_kill_opts[] = {
    { .name = "signal",
      .letter = 's',
      .type = NT_TEXT,
      .arg = "signal",
      .help = "Send only this (TERM, SIGINT, 15) to its process group; without it, the job and all "
              "that it started is killed, and gone when this command ends" },
};
static const struct nt_example job_list_examples[] = {
    { "job list ws_a1b2c3d4", "Programs of a workspace, the newest first" }
};
static const struct nt_example job_logs_examples[] = {
    { "job logs ws_a1b2c3d4 job_a1b2", "Its output until now" },
    { "job logs ws_a1b2c3d4 job_a1b2 --follow --offset 4096", "From there on, until it ends" },
};
static const struct nt_example job_wait_examples[] = {
    { "job wait ws_a1b2c3d4 job_a1b2 --timeout 10m", "Its exit status is ours" }
};
static const struct nt_example job_kill_examples[] = {
    { "job kill ws_a1b2c3d4 job_a1b2", "End it with all that it started" },
    { "job kill ws_a1b2c3d4 job_a1b2 --signal TERM", "Ask it to end" },
};
static const uint32_t job_errors[] = { NT_E_NOT_FOUND, NT_E_CONFLICT,   NT_E_AUTH,
                                       NT_E_CONNECT,   NT_E_TIMEOUT,    NT_E_UNAVAILABLE,
                                       NT_E_CLOSED,    WS_E_UNREACHABLE };
static const uint32_t wait_errors[] = {
    NT_E_NOT_FOUND, NT_E_CONFLICT, NT_E_AUTH,   NT_E_CONNECT,
    NT_E_TIMEOUT,   NT_E_RUNTIME,  NT_E_CLOSED, WS_E_UNREACHABLE
};

#endif
