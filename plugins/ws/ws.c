/* SPDX-License-Identifier: Apache-2.0 */
/* ws.c - the tables of the group ws and of exec: commands, options, columns, examples, errors. */
#include "ws.h"

#include <errno.h>
#include <unistd.h>

#include "exec_rows.h"
#include "job_rows.h"
#include "nanoterm/plugin.h"
#include "sdk/error.h"
#include "stats_rows.h"

static const struct nt_column workspace_columns[] = {
    { .name = "id", .help = "Id of the workspace", .type = NT_ID },
    { .name = "name", .help = "Its name", .type = NT_TEXT },
    { .name = "status", .help = "creating, running, stopped or error", .type = NT_TEXT },
    { .name = "image", .help = "What it was made from", .type = NT_TEXT },
    { .name = "size",
      .help = "small, medium, large, or its numbers",
      .type = NT_TEXT,
      .flags = NT_WIDE },
    { .name = "vcpus",
      .path = "config.vcpus",
      .help = "Processors",
      .type = NT_INT,
      .flags = NT_WIDE },
    { .name = "memory_mb",
      .path = "config.memory_mb",
      .help = "Memory in MiB",
      .type = NT_INT,
      .flags = NT_WIDE },
    { .name = "limits",
      .help = "How firmly each limit holds: hard, soft or none",
      .type = NT_JSON,
      .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}",
      .flags = NT_WIDE },
    { .name = "internet_access",
      .help = "Whether it may use the internet",
      .type = NT_BOOL,
      .flags = NT_WIDE },
    { .name = "unreachable",
      .help = "Its guest does not answer",
      .type = NT_BOOL,
      .flags = NT_WIDE },
    { .name = "notice",
      .help = "Something you should know of it",
      .type = NT_TEXT,
      .flags = NT_WIDE },
    { .name = "created_at", .help = "When it was made", .type = NT_TIME, .flags = NT_WIDE },
    { .name = "timeout_at", .help = "When its time ends", .type = NT_TIME, .flags = NT_WIDE },
};

static const struct nt_arg id_args[] = {
    { .name = "id", .type = NT_ID, .complete = "ws.ids", .help = "Id or name of the workspace" },
};

static const uint32_t api_errors[] = { NT_E_NOT_FOUND, NT_E_CONFLICT, NT_E_AUTH, NT_E_CONNECT,
                                       NT_E_TIMEOUT };

static const struct nt_opt create_opts[] = {
    { .name = "image",
      .letter = 'i',
      .type = NT_TEXT,
      .arg = "image",
      .fallback = "host",
      .help = "Base image: host (the programs of this machine), or the path of a root filesystem "
              "as tar" },
    { .name = "size",
      .letter = 's',
      .type = NT_CHOICE,
      .choices = "small|medium|large",
      .fallback = "small",
      .help = "small (2 processors, 2 GiB), medium (4, 4 GiB) or large (8, 8 GiB)" },
    { .name = "name",
      .letter = 'n',
      .type = NT_ID,
      .arg = "name",
      .help = "Workspace name (default: made up)" },
    { .name = "port",
      .letter = 'p',
      .type = NT_TEXT,
      .arg = "mapping",
      .flags = NT_MANY,
      .help =
          "Publish a port: host:container, just container (a free one of the host is picked), or "
          "address:host:container beyond loopback" },
    { .name = "cmd",
      .type = NT_TEXT,
      .arg = "line",
      .help = "Start this line (of sh) as the workspace's agent, in a terminal; see attach" },
    { .name = "repo",
      .letter = 'r',
      .type = NT_TEXT,
      .arg = "url",
      .help = "Git repository to clone into /workspace: https://…, http://…, or a local folder" },
    { .name = "branch",
      .letter = 'b',
      .type = NT_TEXT,
      .arg = "branch",
      .help = "Branch to clone" },
    { .name = "internet",
      .type = NT_FLAG,
      .fallback = "1",
      .help = "Let it reach public addresses (--no-internet: nothing at all)" },
    { .name = "require-limits",
      .type = NT_FLAG,
      .help =
          "Refuse when a limit on processor, memory or processes could not be enforced firmly" },
};
static const struct nt_example create_examples[] = {
    { "ws create", "A workspace with the programs of this machine" },
    { "ws create --size medium --name builder", "With more memory, and a name" },
    { "ws create -p 3000", "Port 3000 inside gets a port of this machine" },
    { "ws create --repo . --no-internet",
      "A clone of the repository in this folder, without network" },
};
static const uint32_t create_errors[] = { NT_E_NOT_FOUND,   NT_E_CONFLICT,  NT_E_QUOTA,
                                          NT_E_UNAVAILABLE, NT_E_AUTH,      NT_E_CONNECT,
                                          NT_E_TIMEOUT,     NT_E_NOT_BUILT, WS_E_CLONE_FAILED,
                                          WS_E_REPOSITORY };

static const struct nt_opt list_opts[] = {
    { .name = "state",
      .type = NT_CHOICE,
      .choices = "creating|running|stopped|error",
      .help = "Only those in this state" },
};
static const struct nt_example list_examples[] = {
    { "ws list", "All workspaces" },
    { "ws list --state running --json", "Those that run, for a program" },
};
static const struct nt_alias list_aliases[] = { { .path = "ws ls" } };

static const struct nt_example ports_examples[] = {
    { "ws ports ws_a1b2c3d4", "What is published, and what listens inside" },
};
static const struct nt_column port_columns[] = {
    { .name = "kind", .help = "mapped or listener", .type = NT_TEXT },
    { .name = "port", .help = "Port inside", .type = NT_INT },
    { .name = "host_port", .title = "HOST", .help = "Port of the host", .type = NT_INT },
    { .name = "url", .help = "What to open", .type = NT_TEXT },
    { .name = "address", .help = "Where it listens", .type = NT_TEXT },
    { .name = "process", .help = "Program that listens", .type = NT_TEXT },
    { .name = "pid", .help = "Its process id inside", .type = NT_INT, .flags = NT_WIDE },
    { .name = "since", .help = "When that program started", .type = NT_TIME },
    { .name = "notice", .help = "Why it is not published now", .type = NT_TEXT },
};
static const struct nt_arg publish_args[] = {
    { .name = "id", .type = NT_ID, .complete = "ws.ids", .help = "Id or name of the workspace" },
    { .name = "mapping",
      .type = NT_TEXT,
      .help = "container, host:container or address:host:container" },
};
static const struct nt_example publish_examples[] = {
    { "ws publish ws_a1b2c3d4 8080", "Port 8080 inside gets a free port of this machine" },
};
static const struct nt_arg unpublish_args[] = {
    { .name = "id", .type = NT_ID, .complete = "ws.ids", .help = "Id or name of the workspace" },
    { .name = "host-port", .type = NT_INT, .help = "Port of the host, as ws ports shows it" },
};
static const struct nt_example unpublish_examples[] = {
    { "ws unpublish ws_a1b2c3d4 13000", "That port of this machine is free again" },
};

static const struct nt_opt stop_opts[] = {
    { .name = "grace",
      .type = NT_DURATION_MS,
      .arg = "time",
      .fallback = "10s",
      .min = 0,
      .max = 3600000,
      .help = "Time for its programs to end before they are killed" },
};
static const struct nt_example stop_examples[] = { { "ws stop ws_a1b2c3d4",
                                                     "End its programs, keep its files" } };
static const struct nt_example start_examples[] = { { "ws start ws_a1b2c3d4",
                                                      "Go on with its files" } };
static const struct nt_example rm_examples[] = { { "ws rm ws_a1b2c3d4",
                                                   "Remove one workspace for good" } };

static const struct nt_error_row errors[] = {
    { .number = WS_E_COMMAND_NOT_FOUND,
      .text = "nanoterm.command_not_found",
      .kind = "runtime",
      .exit_status = 127,
      .help = "Look for the program with: nanoterm exec ID -- bash -lc 'command -v NAME'" },
    { .number = WS_E_NOT_EXECUTABLE,
      .text = "nanoterm.not_executable",
      .kind = "runtime",
      .exit_status = 126,
      .help = "Make the file executable, or run it with its interpreter" },
    { .number = WS_E_CLONE_FAILED,
      .text = "nanoterm.clone_failed",
      .kind = "runtime",
      .exit_status = 8,
      .help = "Read what git said above; a private repository needs a GITHUB_TOKEN secret" },
    { .number = WS_E_REPOSITORY,
      .text = "nanoterm.repository",
      .kind = "usage",
      .exit_status = 2,
      .help = "Give the URL of a repository (https://… or http://…), or a folder that is one" },
    { .number = WS_E_OUT_OF_MEMORY,
      .text = "nanoterm.out_of_memory",
      .kind = "runtime",
      .exit_status = 8,
      .help = "Make a larger workspace: nanoterm ws create --size large" },
    { .number = WS_E_UNREACHABLE,
      .text = "nanoterm.unreachable",
      .kind = "runtime",
      .exit_status = 8,
      .help = "The program may still run; see: nanoterm ws list. Stop and start the workspace when "
              "it stays so" },
};

static const struct nt_command commands[] = {
    { .path = "ws create",
      .summary = "Create a new workspace",
      .run = ws_create,
      .opts = NT_TABLE(create_opts),
      .description = "A workspace is a long-lived Linux environment of its own: its own files, "
                     "processes and network. "
                     "It starts at once and lives until you remove it.",
      .columns = NT_TABLE(workspace_columns),
      .examples = NT_TABLE(create_examples),
      .errors = NT_TABLE(create_errors),
      .effects = NT_REMOTE | NT_WRITES,
      .result = NT_RESULT_ONE,
      .timeout_ms = 30 * 60 * 1000 },
    { .path = "ws list",
      .summary = "List all workspaces",
      .run = ws_list,
      .opts = NT_TABLE(list_opts),
      .columns = NT_TABLE(workspace_columns),
      .examples = NT_TABLE(list_examples),
      .aliases = NT_TABLE(list_aliases),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "ws ports",
      .summary = "Show published ports and what listens inside",
      .run = ws_ports,
      .args = NT_TABLE(id_args),
      .columns = NT_TABLE(port_columns),
      .examples = NT_TABLE(ports_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "ws publish",
      .summary = "Publish a port of a running workspace",
      .run = ws_publish,
      .args = NT_TABLE(publish_args),
      .columns = NT_TABLE(port_columns),
      .examples = NT_TABLE(publish_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_WRITES,
      .result = NT_RESULT_ONE },
    { .path = "ws unpublish",
      .summary = "Take a published port away and cut its connections",
      .run = ws_unpublish,
      .args = NT_TABLE(unpublish_args),
      .examples = NT_TABLE(unpublish_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_WRITES | NT_IDEMPOTENT },
    { .path = "ws stop",
      .summary = "Stop a workspace; its files stay",
      .run = ws_stop,
      .args = NT_TABLE(id_args),
      .opts = NT_TABLE(stop_opts),
      .columns = NT_TABLE(workspace_columns),
      .examples = NT_TABLE(stop_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_ONE },
    { .path = "ws start",
      .summary = "Start a stopped workspace",
      .run = ws_start,
      .args = NT_TABLE(id_args),
      .columns = NT_TABLE(workspace_columns),
      .examples = NT_TABLE(start_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_ONE },
    { .path = "ws rm",
      .summary = "Terminate and remove a workspace for good",
      .run = ws_rm,
      .args = NT_TABLE(id_args),
      .columns = NT_TABLE(workspace_columns),
      .examples = NT_TABLE(rm_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_WRITES | NT_DESTROYS,
      .result = NT_RESULT_ONE },
    { .path = "ws stats",
      .summary = "Show what workspaces use: processor, memory, processes, network",
      .run = ws_stats,
      .args = NT_TABLE(stats_args),
      .columns = NT_TABLE(stats_columns),
      .examples = NT_TABLE(stats_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "top",
      .summary = "Watch what workspaces use, until Ctrl-C",
      .run = ws_top,
      .args = NT_TABLE(stats_args),
      .opts = NT_TABLE(top_opts),
      .columns = NT_TABLE(stats_columns),
      .examples = NT_TABLE(top_examples),
      .aliases = NT_TABLE(top_aliases),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .result = NT_RESULT_STREAM,
      .timeout_ms = -1 },
    { .path = "exec",
      .summary = "Run a command in a workspace",
      .run = ws_exec,
      .args = NT_TABLE(exec_args),
      .description =
          "Its input, output and exit status are those of this command. Options may "
          "stand before or after "
          "the workspace; -- marks the start of the command. When this command ends, so "
          "does the program "
          "with all that it started, unless it is a job (--detach, --on-disconnect keep).",
      .columns = NT_TABLE(exec_columns),
      .opts = NT_TABLE(exec_opts),
      .examples = NT_TABLE(exec_examples),
      .errors = NT_TABLE(exec_errors),
      .effects = NT_REMOTE | NT_RUNS,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "shell",
      .summary = "Open an interactive shell in a workspace",
      .run = ws_shell,
      .args = NT_TABLE(shell_args),
      .opts = NT_TABLE(shell_opts),
      .description =
          "A login shell (bash, else sh) in a terminal of its own. Every key goes to it; at the "
          "start of a line ~. disconnects, also from a workspace that does not answer, ~~ types a "
          "tilde and ~? helps. A lost connection hangs it up; where only the server was lost, it "
          "goes on, and attach --job takes it. When our input is no terminal it is typed in, and "
          "its "
          "end is Ctrl-D.",
      .columns = NT_TABLE(exec_columns),
      .examples = NT_TABLE(shell_examples),
      .errors = NT_TABLE(exec_errors),
      .effects = NT_REMOTE | NT_RUNS,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "attach",
      .summary = "Attach a terminal to the agent of a workspace",
      .run = ws_attach,
      .args = NT_TABLE(attach_args),
      .opts = NT_TABLE(attach_opts),
      .description =
          "Takes the terminal of the program that ws create --cmd or exec --foreground has "
          "started. "
          "Every key goes to it, Ctrl-D too; at the start of a line ~. detaches and leaves it "
          "running. Several may attach; the terminal has the size of whoever typed last.",
      .examples = NT_TABLE(attach_examples),
      .errors = NT_TABLE(attach_errors),
      .effects = NT_REMOTE | NT_RUNS,
      .timeout_ms = -1 },
    { .path = "exec-wait",
      .summary = "Wait for a job by its log file",
      .run = ws_exec_wait,
      .args = NT_TABLE(exec_wait_args),
      .opts = NT_TABLE(exec_wait_opts),
      .description = "Looks for PATH.exit, which is written once when the job of exec --detach "
                     "--log PATH has ended, and ends with its status.",
      .examples = NT_TABLE(exec_wait_examples),
      .errors = NT_TABLE(wait_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .timeout_ms = -1 },
    { .path = "job list",
      .summary = "List the programs of a workspace, ended ones too",
      .run = ws_job_list,
      .args = NT_TABLE(job_list_args),
      .columns = NT_TABLE(job_columns),
      .examples = NT_TABLE(job_list_examples),
      .errors = NT_TABLE(job_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "job logs",
      .summary = "Print the output of a job",
      .run = ws_job_logs,
      .args = NT_TABLE(job_args),
      .opts = NT_TABLE(job_logs_opts),
      .description = "What it wrote to its standard output goes to ours, its messages to our "
                     "standard error. The output is kept with byte offsets, also when the client "
                     "or the server has gone meanwhile, and after its end.",
      .examples = NT_TABLE(job_logs_examples),
      .errors = NT_TABLE(job_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .timeout_ms = -1 },
    { .path = "job wait",
      .summary = "Wait for a job; its exit status is ours",
      .run = ws_job_wait,
      .args = NT_TABLE(job_args),
      .examples = NT_TABLE(job_wait_examples),
      .errors = NT_TABLE(wait_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .timeout_ms = -1 },
    { .path = "job kill",
      .summary = "Kill a job with all that it started, or send it a signal",
      .run = ws_job_kill,
      .args = NT_TABLE(job_args),
      .opts = NT_TABLE(job_kill_opts),
      .examples = NT_TABLE(job_kill_examples),
      .errors = NT_TABLE(job_errors),
      .effects = NT_REMOTE | NT_WRITES | NT_DESTROYS },
};

static const struct nt_group groups[] = {
    { .name = "ws", .summary = "Manage workspaces" },
    { .name = "job", .summary = "Programs that go on by themselves" },
};

static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,
    .name = "ws",
    .version = NT_VERSION,
    .summary = "Workspaces: create, list, stop, start, remove, exec, jobs",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
    .errors = NT_TABLE(errors),
};
NT_PLUGIN(plugin);

int ws_write(struct nt_call *call, const char *text, size_t size, struct nt_error *reterr)
{
    int fd = call->host->descriptor(call, 1);
    while (size) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot write the result");
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

int ws_path(struct nt_buf *path, const char *id, const char *rest, struct nt_error *reterr)
{
    if (!*id)
        return nt_fail(reterr, NT_E_USAGE, "the workspace id is empty");
    nt_buf_add(path, "/v1/sandboxes/");
    nt_buf_add_url_part(path, id);
    nt_buf_add(path, rest);
    if (!nt_buf_ok(path))
        return nt_fail(reterr, NT_E_LIMIT, "the workspace id is too long");
    return 0;
}

int ws_get(struct nt_call *call, const char *path, json_t **ret, struct nt_error *reterr)
{
    struct nt_request request = { .size = sizeof(request), .method = "GET", .path = path };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return -1;
    *ret = json_loadb(response.body.data, response.body.size, 0, NULL);
    return 0;
}
