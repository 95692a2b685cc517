/* SPDX-License-Identifier: Apache-2.0 */
/* exec_rows.h - what the rows of `exec`, `shell`, `attach` and `exec-wait` are made of. For ws.c
 * alone. */
#ifndef NT_WS_EXEC_ROWS_H
#define NT_WS_EXEC_ROWS_H

#include "nanoterm/plugin.h"
#include "ws.h"

static const struct nt_arg exec_args[] = {
    { .name = "workspace-id",
      .type = NT_ID,
      .complete = "ws.ids",
      .help = "Id or name of the workspace" },
    { .name = "command",
      .type = NT_TEXT,
      .flags = NT_REST,
      .help = "Program and its arguments, behind --" },
};
static const struct nt_opt exec_opts[] = {
    { .name = "cwd",
      .type = NT_TEXT,
      .arg = "path",
      .help = "Working directory inside the workspace (default: /workspace)" },
    { .name = "detach",
      .letter = 'd',
      .type = NT_FLAG,
      .help = "Start it as a job, print the job's id, and do not wait for it" },
    { .name = "log",
      .type = NT_TEXT,
      .arg = "path",
      .help = "With --detach: file inside the workspace for its output; its status goes to "
              "PATH.exit when it has ended" },
    { .name = "on-disconnect",
      .type = NT_CHOICE,
      .choices = "kill|keep",
      .fallback = "kill",
      .help = "When this command is lost: kill the program, or keep it as a job" },
    { .name = "tty",
      .letter = 't',
      .type = NT_FLAG,
      .help =
          "In a terminal, as shell does it (also when ours is none: its end of input is Ctrl-D)" },
    { .name = "foreground",
      .type = NT_FLAG,
      .help = "Start it as the workspace's agent, in a terminal, and attach; without a terminal of "
              "ours return at once" },
};
static const struct nt_column exec_columns[] = {
    { .name = "id", .help = "Id of the job, with --detach", .type = NT_ID },
    { .name = "pid", .help = "Its process id in the workspace", .type = NT_INT },
    { .name = "workspace", .help = "The workspace", .type = NT_ID },
    { .name = "log", .help = "Its log file", .type = NT_TEXT },
};
static const struct nt_example exec_examples[] = {
    { "exec ws_a1b2c3d4 -- make test", "Run a program; its exit status is ours" },
    { "exec --cwd /workspace/api ws_a1b2c3d4 -- ls -la", "In another folder" },
    { "exec ws_a1b2c3d4 -- bash -lc \"ls -la | head\"", "A pipeline needs a shell" },
    { "exec ws_a1b2c3d4 --detach --log /tmp/build.log -- make", "A job that goes on by itself" },
    { "exec --foreground ws_a1b2c3d4 -- sleep 1", "The agent, which attach takes" },
};
static const uint32_t exec_errors[] = {
    WS_E_OUT_OF_MEMORY,     NT_E_NOT_FOUND,      NT_E_CONFLICT,   NT_E_TIMEOUT,
    NT_E_RUNTIME,           NT_E_AUTH,           NT_E_CONNECT,    NT_E_CLOSED,
    WS_E_COMMAND_NOT_FOUND, WS_E_NOT_EXECUTABLE, WS_E_UNREACHABLE
};

#define ESCAPE_OPTION                                                                              \
    {                                                                                              \
        .name = "escape", .type = NT_TEXT, .arg = "key",                                           \
        .help = "Key that is special at the start of a line (default: ~; none: no key is)"         \
    }

static const struct nt_arg shell_args[] = {
    { .name = "workspace-id",
      .type = NT_ID,
      .complete = "ws.ids",
      .help = "Id or name of the workspace" },
    { .name = "command",
      .type = NT_TEXT,
      .flags = NT_REST | NT_OPTIONAL,
      .help = "Program and its arguments, behind -- (default: a login shell)" },
};
static const struct nt_opt shell_opts[] = {
    { .name = "cwd",
      .type = NT_TEXT,
      .arg = "path",
      .help = "Working directory inside the workspace (default: /workspace)" },
    { .name = "detach", .type = NT_FLAG, .help = "Start the command and leave; it goes on" },
    { .name = "log",
      .type = NT_TEXT,
      .arg = "path",
      .help = "Log file inside the workspace, with --detach" },
    ESCAPE_OPTION,
};
static const struct nt_example shell_examples[] = {
    { "shell ws_a1b2c3d4", "A login shell" },
    { "shell ws_a1b2c3d4 -- python3 -q", "Another program in a terminal" },
    { "shell ws_a1b2c3d4 --detach --log /tmp/build.log -- make", "One that goes on without us" },
};

static const struct nt_arg attach_args[] = {
    { .name = "workspace-id",
      .type = NT_ID,
      .complete = "ws.ids",
      .help = "Id or name of the workspace" },
};
static const struct nt_opt attach_opts[] = {
    { .name = "read-only", .type = NT_FLAG, .help = "Look on: type nothing, change no size" },
    { .name = "job",
      .type = NT_ID,
      .arg = "id",
      .complete = "job.ids",
      .help = "A job or session with a terminal (default: the agent)" },
    ESCAPE_OPTION,
};
static const struct nt_example attach_examples[] = {
    { "attach ws_a1b2c3d4", "The agent's terminal; ~. at the start of a line leaves it running" },
    { "attach ws_a1b2c3d4 --read-only", "Look over its shoulder" },
};
static const uint32_t attach_errors[] = { NT_E_NOT_FOUND, NT_E_CONFLICT, NT_E_RUNTIME,
                                          NT_E_CLOSED,    NT_E_AUTH,     NT_E_CONNECT };

static const struct nt_arg exec_wait_args[] = {
    { .name = "workspace-id",
      .type = NT_ID,
      .complete = "ws.ids",
      .help = "Id or name of the workspace" },
};
static const struct nt_opt exec_wait_opts[] = {
    { .name = "log",
      .type = NT_TEXT,
      .arg = "path",
      .flags = NT_REQUIRED,
      .help = "The log file that was given to exec --detach" },
    { .name = "interval",
      .type = NT_DURATION_MS,
      .arg = "time",
      .fallback = "1s",
      .min = 10,
      .max = 3600000,
      .help = "Time between two looks" },
};
static const struct nt_example exec_wait_examples[] = {
    { "exec-wait ws_a1b2c3d4 --log /tmp/build.log", "Wait for the job; its exit status is ours" },
    { "exec-wait ws_a1b2c3d4 --log /tmp/build.log --interval 5 --timeout 10m",
      "Look every 5 seconds, for 10 minutes" },
};

#endif
