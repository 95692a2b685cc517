/* SPDX-License-Identifier: Apache-2.0 */
/* raw.c - the command `api`: its table, and the steps of a raw call. */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/raw/talk.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* A descriptor of our own for --input; -1: the option is not there. */
static int open_input(struct nt_call *call, int *ret_fd, struct nt_error *reterr)
{
    const char *name = call->host->text(call, "input");
    *ret_fd = -1;
    if (!name)
        return 0;
    if (strcmp(name, "-") == 0)
        *ret_fd = fcntl(call->host->descriptor(call, 0), F_DUPFD_CLOEXEC, 3);
    else
        *ret_fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return *ret_fd < 0 ? nt_fail_sys(reterr, errno, "cannot open %.100s", name) : 0;
}

static int raw_run(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(raw_request_done) struct raw_request request;
    nt_auto(raw_show_done) struct raw_show show;
    raw_show_init(&show, call);
    if (raw_request_make(call, &request, reterr) < 0)
        return -1;
    nt_autoclose int input = -1;
    if (open_input(call, &input, reterr) < 0)
        return -1;
    return raw_talk(call, &request, input, &show, reterr);
}

static const struct nt_arg args[] = {
    { .name = "method", .help = "GET, HEAD, POST, PUT, PATCH or DELETE", .type = NT_TEXT },
    { .name = "path",
      .help = "Path with its query, percent-encoded: /v1/sandboxes?limit=5",
      .type = NT_TEXT },
};
static const struct nt_opt opts[] = {
    { .name = "field",
      .letter = 'F',
      .type = NT_TEXT,
      .arg = "key=value",
      .flags = NT_MANY,
      .help = "A member of the JSON body, or of the query with GET, HEAD and DELETE; true, false, "
              "null and whole numbers are what they look like" },
    { .name = "raw-field",
      .letter = 'f',
      .type = NT_TEXT,
      .arg = "key=value",
      .flags = NT_MANY,
      .help = "The same, always as text" },
    { .name = "input",
      .type = NT_PATH,
      .arg = "file",
      .conflicts = "field raw-field",
      .help = "Send this file as the body; - is stdin" },
    { .name = "header",
      .letter = 'H',
      .type = NT_TEXT,
      .arg = "name: value",
      .flags = NT_MANY | NT_SECRET,
      .help = "One more header of the request" },
    { .name = "include",
      .letter = 'i',
      .type = NT_FLAG,
      .help = "Show status and headers before the body" },
};
static const struct nt_column columns[] = {
    { .name = "status", .help = "Status of the answer", .type = NT_INT },
    { .name = "request_id", .help = "The server's name for the request", .type = NT_TEXT },
    { .name = "content_type", .help = "Type of the body", .type = NT_TEXT },
    { .name = "headers",
      .help = "Headers by name in small letters",
      .type = NT_JSON,
      .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}" },
    { .name = "body", .help = "The body: JSON as it is, else text", .type = NT_JSON },
};
static const struct nt_example examples[] = {
    { "api GET /v1/sandboxes", "The answer as it is" },
    { "api --json GET /v1/sandboxes -F limit=5", "With its status and headers, as one object" },
    { "api POST /v1/sandboxes -F name=by-hand -F image=host -F internet_access=false",
      "A workspace, made once even where the request is sent twice" },
    { "api DELETE /v1/sandboxes/ws_a1b2c3d4", "An answer without a body" },
};
static const uint32_t errors[] = { NT_E_USAGE,   NT_E_INVALID,   NT_E_NOT_FOUND, NT_E_CONFLICT,
                                   NT_E_AUTH,    NT_E_FORBIDDEN, NT_E_QUOTA,     NT_E_RATE_LIMIT,
                                   NT_E_CONNECT, NT_E_TIMEOUT,   NT_E_CLOSED,    NT_E_RESPONSE,
                                   NT_E_SERVER,  NT_E_SYSTEM };

static const struct nt_command commands[] = {
    { .path = "api",
      .summary = "Make one raw call to the API",
      .description =
          "Sends what is asked for with the credential of the API in force, and writes the body of "
          "the answer to stdout as it comes. Failed attempts are repeated where that is safe: POST "
          "and PATCH carry an idempotency key, your own with --header 'Idempotency-Key: KEY'; "
          "input "
          "longer than 1 MiB is sent once. A status of 400 and more is an error like that of any "
          "other command. /v1/openapi.json describes the API.",
      .run = raw_run,
      .args = NT_TABLE(args),
      .opts = NT_TABLE(opts),
      .examples = NT_TABLE(examples),
      .columns = NT_TABLE(columns),
      .errors = NT_TABLE(errors),
      .effects = NT_REMOTE | NT_WRITES | NT_DESTROYS,
      .result = NT_RESULT_ONE },
};

const struct nt_plugin raw_plugin = {
    NT_PLUGIN_HEAD,        .name = "api",
    .version = NT_VERSION, .summary = "Raw calls to the API",
    .vendor = "nanoterm",  .commands = NT_TABLE(commands),
};
