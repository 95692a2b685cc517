/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - the tables of the group files. */
#include "files.h"

#include "nanoterm/plugin.h"
#include "sdk/error.h"

static const struct nt_column moved_columns[] = {
    { .name = "id", .help = "Id or name of the workspace, as given", .type = NT_ID },
    { .name = "path", .help = "The file that was written", .type = NT_TEXT },
    { .name = "bytes", .help = "Its size", .type = NT_INT },
    { .name = "mtime", .help = "Its time of modification", .type = NT_TIME },
};

static const struct nt_arg cp_args[] = {
    { .name = "src",
      .type = NT_TEXT,
      .complete = "files",
      .help = "File to copy; ID:PATH is in a workspace" },
    { .name = "dst",
      .type = NT_TEXT,
      .complete = "files",
      .help = "Where to; ID:PATH is in a workspace" },
};
static const struct nt_example cp_examples[] = {
    { "files cp ./script.sh ws_a1b2c3d4:/workspace/script.sh", "Local to workspace" },
    { "files cp ws_a1b2c3d4:/workspace/out.txt ./out.txt", "Workspace to local" },
};
static const struct nt_alias cp_aliases[] = { { .path = "cp", .flags = NT_HIDDEN } };

static const struct nt_arg write_args[] = {
    { .name = "id", .type = NT_ID, .complete = "ws.ids", .help = "Id or name of the workspace" },
    { .name = "path", .type = NT_TEXT, .help = "File inside the workspace" },
};
static const struct nt_example write_examples[] = {
    { "files write ws_a1b2c3d4 /workspace/hello.txt", "Write standard input to a file" },
};

static const uint32_t codes[] = { NT_E_NOT_FOUND, NT_E_CONFLICT,     NT_E_BYTE_MISMATCH,
                                  NT_E_SYSTEM,    NT_E_AUTH,         NT_E_CONNECT,
                                  NT_E_TIMEOUT,   FILES_E_NOT_A_FILE };

static const struct nt_error_row errors[] = {
    { .number = FILES_E_NOT_A_FILE,
      .text = "nanoterm.not_a_file",
      .kind = "usage",
      .exit_status = 2,
      .help = "Only regular files are copied yet; pack a folder with tar and copy the archive" },
};

static const struct nt_command commands[] = {
    { .path = "files cp",
      .summary = "Copy a file into or out of a workspace",
      .run = files_cp,
      .description = "The argument with ID: in front is the workspace's side. The destination is "
                     "replaced only when all "
                     "bytes have arrived; the server counts them and the counts are compared.",
      .args = NT_TABLE(cp_args),
      .columns = NT_TABLE(moved_columns),
      .examples = NT_TABLE(cp_examples),
      .errors = NT_TABLE(codes),
      .aliases = NT_TABLE(cp_aliases),
      .effects = NT_REMOTE | NT_LOCAL | NT_WRITES,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "files write",
      .summary = "Write standard input to a file in a workspace",
      .run = files_write,
      .args = NT_TABLE(write_args),
      .columns = NT_TABLE(moved_columns),
      .examples = NT_TABLE(write_examples),
      .errors = NT_TABLE(codes),
      .effects = NT_REMOTE | NT_WRITES,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
};

static const struct nt_group groups[] = {
    { .name = "files", .summary = "Read, write and copy files inside a workspace" }
};

static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,
    .name = "files",
    .version = NT_VERSION,
    .summary = "Files of workspaces: cp, write",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
    .errors = NT_TABLE(errors),
};
NT_PLUGIN(plugin);

int file_path(struct nt_buf *ret, const char *id, const char *path, struct nt_error *reterr)
{
    if (!*id || !*path)
        return nt_fail(reterr, NT_E_USAGE,
                       "the workspace side is ID:PATH, and neither may be empty");
    nt_buf_add(ret, "/v1/sandboxes/");
    nt_buf_add_url_part(ret, id);
    nt_buf_add(ret, "/file?path=");
    nt_buf_add_url_part(ret, path);
    if (!nt_buf_ok(ret))
        return nt_fail(reterr, NT_E_LIMIT, "the path is too long");
    return 0;
}

int transfer_end(struct nt_call *call, const uint32_t *done, const struct nt_error *failure,
                 struct nt_error *reterr)
{
    if (call->host->wait(call, done, reterr) < 0)
        return -1;
    if (failure->code == NT_OK)
        return 0;
    uint32_t size = reterr->size;
    memcpy(reterr, failure, size < sizeof(*failure) ? size : sizeof(*failure));
    reterr->size = size;
    return -1;
}
