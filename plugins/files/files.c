/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - the tables of the group files. */
#include "files.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "nanoterm/plugin.h"
#include "sdk/error.h"

static const struct nt_column moved_columns[] = {
    { .name = "id", .help = "Id or name of the workspace, as given", .type = NT_ID },
    { .name = "path", .help = "The file that was written", .type = NT_TEXT },
    { .name = "bytes", .help = "Its size", .type = NT_INT },
    { .name = "mtime", .help = "Its time of modification", .type = NT_TIME },
    { .name = "entries", .help = "Files, folders and links that were copied", .type = NT_INT },
    { .name = "not_kept",
      .help = "What could not be kept: path, what, and whether content is missing",
      .type = NT_JSON,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\"}}",
      .flags = NT_WIDE },
    { .name = "not_kept_count", .help = "How many there were", .type = NT_INT, .flags = NT_WIDE },
};

static const struct nt_arg cp_args[] = {
    { .name = "src",
      .type = NT_TEXT,
      .complete = "files",
      .help = "File or folder to copy; ID:PATH is in a workspace, - is standard input" },
    { .name = "dst",
      .type = NT_TEXT,
      .complete = "files",
      .help = "Where to; ID:PATH is in a workspace, - is standard output" },
};
static const struct nt_opt cp_opts[] = {
    { .name = "merge",
      .type = NT_FLAG,
      .help = "Put a folder's files into the folder that is there, instead of replacing it" },
    { .name = "no-target-directory",
      .letter = 'T',
      .type = NT_FLAG,
      .help = "The destination is the copy itself, also where it is a folder" },
};
static const struct nt_example cp_examples[] = {
    { "files cp ./script.sh ws_a1b2c3d4:/workspace/script.sh", "Local to workspace" },
    { "files cp ws_a1b2c3d4:/workspace/out.txt ./out.txt", "Workspace to local" },
    { "files cp ./site ws_a1b2c3d4:/srv/", "A whole folder, with modes, times and links" },
    { "files cp ./site/. ws_a1b2c3d4:/workspace", "What lies in a folder, into one that is there" },
};
static const struct nt_alias cp_aliases[] = { { .path = "cp", .flags = NT_HIDDEN } };

static const struct nt_arg write_args[] = {
    { .name = "id", .type = NT_ID, .complete = "ws.ids", .help = "Id or name of the workspace" },
    { .name = "path", .type = NT_TEXT, .help = "File inside the workspace" },
};
static const struct nt_example write_examples[] = {
    { "files write ws_a1b2c3d4 /workspace/hello.txt", "Write standard input to a file" },
};

static const struct nt_opt write_opts[] = {
    { .name = "mode",
      .type = NT_TEXT,
      .arg = "octal",
      .help = "Permissions of the file; else those it has, or 0644" },
};

static const struct nt_opt tail_opts[] = {
    { .name = "lines",
      .letter = 'n',
      .type = NT_INT,
      .fallback = "10",
      .min = 0,
      .max = 1000000,
      .help = "Begin with so many lines from the end" },
    { .name = "follow",
      .letter = 'f',
      .type = NT_FLAG,
      .help = "Go on as the file grows (which is the default)",
      .conflicts = "once" },
    { .name = "once", .type = NT_FLAG, .help = "End after the lines that are there" },
    { .name = "retry",
      .type = NT_FLAG,
      .help = "Wait for a file that is not there yet",
      .conflicts = "once" },
    { .name = "interval",
      .type = NT_DURATION_MS,
      .arg = "time",
      .fallback = "500ms",
      .min = 50,
      .max = 3600000,
      .help = "Look so often for more" },
};
static const struct nt_example tail_examples[] = {
    { "files tail ws_a1b2c3d4 /workspace/build.log --once", "The last ten lines" },
    { "files tail ws_a1b2c3d4 /workspace/build.log -n 100 --once",
      "A hundred; without --once also what comes, until Ctrl-C" },
};
static const struct nt_alias tail_aliases[] = { { .path = "tail", .flags = NT_HIDDEN } };

static const uint32_t codes[] = { NT_E_NOT_FOUND, NT_E_CONFLICT, NT_E_BYTE_MISMATCH,
                                  NT_E_SYSTEM,    NT_E_AUTH,     NT_E_CONNECT,
                                  NT_E_TIMEOUT,   NT_E_CLOSED,   FILES_E_NOT_A_FILE };

static const struct nt_error_row errors[] = {
    { .number = FILES_E_NOT_A_FILE,
      .text = "nanoterm.not_a_file",
      .kind = "usage",
      .exit_status = 2,
      .help = "Files and folders are copied; a device, socket or named pipe is not" },
};

static const struct nt_command commands[] = {
    { .path = "files cp",
      .summary = "Copy a file or folder into or out of a workspace",
      .run = files_cp,
      .description =
          "The argument with ID: in front is the workspace's side. Names follow cp: an existing "
          "folder as destination gets the copy inside it, SRC/. means what lies in SRC, and links "
          "given as SRC are followed. A folder comes with modes, times, symbolic and hard links "
          "and "
          "holes, and replaces one of the same name as a whole, unless --merge is given.\n\n"
          "The destination changes only when all bytes have arrived, were counted on both sides "
          "and "
          "are on the disk. Owners, extended attributes, set-id bits on the way out, named pipes, "
          "sockets and devices are not kept, and are reported; when content is missing, such as a "
          "file that could not be read, the exit status is 1.",
      .args = NT_TABLE(cp_args),
      .opts = NT_TABLE(cp_opts),
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
      .description = "Folders above it are made. The file changes only when the input has ended.",
      .args = NT_TABLE(write_args),
      .opts = NT_TABLE(write_opts),
      .columns = NT_TABLE(moved_columns),
      .examples = NT_TABLE(write_examples),
      .errors = NT_TABLE(codes),
      .effects = NT_REMOTE | NT_WRITES,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "files tail",
      .summary = "Show the end of a file in a workspace, and what is added",
      .run = files_tail,
      .description =
          "Polls, so that it works the same on every engine. A file that was cut short or replaced "
          "is read again from its start. Ends when the workspace does; Ctrl-C ends it with 130.",
      .args = NT_TABLE(write_args),
      .opts = NT_TABLE(tail_opts),
      .examples = NT_TABLE(tail_examples),
      .errors = NT_TABLE(codes),
      .aliases = NT_TABLE(tail_aliases),
      .effects = NT_REMOTE,
      .result = NT_RESULT_NONE,
      .timeout_ms = -1 },
};

static const struct nt_group groups[] = {
    { .name = "files", .summary = "Read, write and copy files inside a workspace" }
};

static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,
    .name = "files",
    .version = NT_VERSION,
    .summary = "Files of workspaces: cp, write, tail",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
    .errors = NT_TABLE(errors),
};
NT_PLUGIN(plugin);

int files_target(struct nt_buf *ret, const char *resource, const struct files_route *route,
                 struct nt_error *reterr)
{
    if (!*route->id || !*route->path)
        return nt_fail(reterr, NT_E_USAGE,
                       "the workspace side is ID:PATH, and neither may be empty");
    nt_buf_add(ret, "/v1/sandboxes/");
    nt_buf_add_url_part(ret, route->id);
    nt_buf_add(ret, resource);
    nt_buf_add(ret, "?path=");
    nt_buf_add_url_part(ret, route->path);
    if (route->name) {
        nt_buf_add(ret, "&name=");
        nt_buf_add_url_part(ret, route->name);
    }
    if (route->is_merge && strcmp(resource, "/tree") == 0)
        nt_buf_add(ret, "&merge=true");
    if (!nt_buf_ok(ret))
        return nt_fail(reterr, NT_E_LIMIT, "the path is too long");
    return 0;
}

void files_time(int64_t ns, char ret[40])
{
    int64_t sec = ns / 1000000000, part = ns % 1000000000;
    if (part < 0) {
        part += 1000000000;
        sec--;
    }
    time_t when = (time_t)sec;
    struct tm tm;
    ret[0] = '\0';
    if (!gmtime_r(&when, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        return;
    snprintf(ret, 40, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)part);
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
