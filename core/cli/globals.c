/* SPDX-License-Identifier: Apache-2.0 */
/* globals.c - the options that every command takes. */
#include "globals.h"

#include <fcntl.h>
#include <string.h>

#include "sdk/error.h"
#include "sdk/parse.h"

enum { ORG, JSON, FIELDS, QUIET, NO_COLOR, TIMEOUT, API, STATUS_FD, VERSION, HELP };

static const struct nt_opt opts[] = {
    [ORG] = { .name = "org",
              .type = NT_ID,
              .arg = "id",
              .help =
                  "Organisation for this command; else NANOTERM_ORG_ID, else the configuration" },
    [JSON] = { .name = "json",
               .type = NT_FLAG,
               .help = "Result as JSON on stdout, an error as one JSON line on stderr" },
    [FIELDS] = { .name = "fields",
                 .type = NT_TEXT,
                 .arg = "a,b",
                 .help = "Columns of the result, in this order" },
    [QUIET] = { .name = "quiet",
                .letter = 'q',
                .type = NT_FLAG,
                .help = "No notes and no progress" },
    [NO_COLOR] = { .name = "no-color",
                   .type = NT_FLAG,
                   .help = "No colour; NO_COLOR does the same" },
    [TIMEOUT] = { .name = "timeout",
                  .type = NT_DURATION_MS,
                  .arg = "time",
                  .min = 1,
                  .max = 31536000000,
                  .help = "Time that the whole command may take: 500ms, 10s, 5m, 2h" },
    [API] = { .name = "api",
              .type = NT_TEXT,
              .arg = "url",
              .help = "API for this command; else NANOTERM_API_URL, else the configuration" },
    [STATUS_FD] = { .name = "status-fd",
                    .type = NT_INT,
                    .arg = "n",
                    .min = 1,
                    .max = 1 << 20,
                    .help =
                        "Write one JSON line to descriptor n that says whose exit status it is" },
    [VERSION] = { .name = "version", .type = NT_FLAG, .help = "Print the version" },
    [HELP] = { .name = "help", .letter = 'h', .type = NT_FLAG, .help = "Print this help" },
};

const struct nt_opt *globals_opt(uint32_t index)
{
    return index < sizeof(opts) / sizeof(opts[0]) ? &opts[index] : NULL;
}

const struct nt_opt *globals_find(const char *name, char letter)
{
    const struct nt_opt *opt;
    for (uint32_t i = 0; (opt = globals_opt(i)); i++)
        if (name ? strcmp(opt->name, name) == 0 : opt->letter == (unsigned char)letter)
            return opt;
    return NULL;
}

static int set_status_fd(struct globals *globals, const char *value, struct nt_error *reterr)
{
    int64_t fd;
    if (nt_parse_i64(value, opts[STATUS_FD].min, opts[STATUS_FD].max, &fd, reterr) < 0)
        return -1;
    int flags = fcntl((int)fd, F_GETFD);
    if (flags < 0)
        return nt_fail(reterr, NT_E_USAGE, "descriptor %s is not open", value);
    /* A program that the command starts must not hold it open or write its own line. */
    if (fd > 2)
        fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC);
    globals->status_fd = (int)fd;
    return 0;
}

int globals_set(struct globals *globals, const struct nt_opt *opt, const char *value, bool on,
                struct nt_error *reterr)
{
    switch (opt - opts) {
    case ORG:
        globals->org = value;
        return 0;
    case JSON:
        globals->json = on;
        return 0;
    case FIELDS:
        globals->fields = value;
        return 0;
    case QUIET:
        globals->quiet = on;
        return 0;
    case NO_COLOR:
        globals->no_color = on;
        return 0;
    case TIMEOUT:
        return nt_parse_duration_ms(value, opt->min, opt->max, &globals->timeout_ms, reterr);
    case API:
        globals->api = value;
        return 0;
    case STATUS_FD:
        return set_status_fd(globals, value, reterr);
    case VERSION:
        globals->version = on;
        return 0;
    case HELP:
        globals->help = on;
        return 0;
    default:
        return nt_fail(reterr, NT_E_INTERNAL, "--%s is not a global option", opt->name);
    }
}

bool globals_wants_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int globals_early_status_fd(int argc, char *const *argv)
{
    static const char name[] = "--status-fd";
    const size_t length = sizeof(name) - 1;
    struct globals globals = GLOBALS_INIT;
    struct nt_error unused = NT_ERROR_INIT;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = NULL;
        if (strncmp(argv[i], name, length) != 0)
            continue;
        if (argv[i][length] == '=')
            value = argv[i] + length + 1;
        else if (argv[i][length] == '\0' && i + 1 < argc)
            value = argv[i + 1];
        if (value && set_status_fd(&globals, value, &unused) < 0)
            return -1;
    }
    return globals.status_fd;
}
