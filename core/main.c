/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - from words to an exit status: finds the command, runs it, and alone prints errors. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "core/auth/auth.h"
#include "core/cli/call.h"
#include "core/cli/commands.h"
#include "core/cli/complete_values.h"
#include "core/cli/crash.h"
#include "core/cli/generate.h"
#include "core/cli/known.h"
#include "core/cli/parse.h"
#include "core/cli/personality.h"
#include "core/config/commands.h"
#include "core/config/config.h"
#include "core/config/credentials.h"
#include "core/confine/confine.h"
#include "core/confine/program.h"
#include "core/output/error_line.h"
#include "core/output/output.h"
#include "core/plugin/commands.h"
#include "core/plugin/plugins.h"
#include "core/raw/raw.h"
#include "core/update/update.h"
#include "nanoterm/local.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define HELP_MAX (16u * 1024 * 1024)

/* One invocation; freed as a whole at the end. */
struct run {
    int argc;
    char **argv;
    const struct personality *self;
    struct plugins *plugins;
    struct tree tree;
    struct parsed parsed;
    struct config *config;
    struct output *output;
    struct nt_call *call;
    struct confined *confined; /* the process of a third party's command */
    struct plugin *owner;      /* of the command that runs; NULL: none yet */
    uint32_t flags;            /* NT_CALL_* */
    bool is_odd;               /* with the names alone something was not as it should be */
};

static const struct nt_plugin *const built_in[] = { &auth_plugin,   &cli_plugin, &config_plugin,
                                                    &plugin_plugin, &raw_plugin, NULL };

/* --- the fast path ------------------------------------------------------------------------- */

/* `--version`, alone or with --json: nothing is opened and nothing is asked. */
static bool is_version(int argc, char **argv, bool *ret_json)
{
    bool has_version = false, json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0)
            has_version = true;
        else if (strcmp(argv[i], "--json") == 0)
            json = true;
        else
            return false;
    }
    *ret_json = json;
    return has_version;
}

static int print_version(const struct personality *self, bool json, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(512);
    if (json) {
        json_t *object = json_pack("{s:s, s:s, s:i}", "name", self->program, "version", NT_VERSION,
                                   "abi", (int)NT_ABI);
        nt_autofree char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
        nt_buf_add(&line, text ? text : "");
        nt_buf_add_char(&line, '\n');
    } else {
        nt_buf_addf(&line, "%s " NT_VERSION "%s\n", self->program,
                    self->id == NT_AS_NANOTERM ? "" : " (nanoterm)");
    }
    int sys = output_write_fd(1, nt_buf_text(&line), line.size);
    return sys ? nt_fail_sys(reterr, sys, "cannot write the result") : 0;
}

/* A caller may have closed 0, 1 or 2: the next file that is opened must not become stdout. What
 * fills the gap is open the wrong way round, so that a result for nobody is still an error. */
static void fill_gaps(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

/* --- the steps ----------------------------------------------------------------------------- */

static uint32_t flags_of(const struct globals *globals)
{
    uint32_t flags = 0;
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    flags |= globals->json ? NT_CALL_JSON : 0;
    flags |= globals->quiet ? NT_CALL_QUIET : 0;
    flags |= isatty(0) ? NT_CALL_STDIN_TTY : 0;
    flags |= isatty(1) ? NT_CALL_STDOUT_TTY : 0;
    flags |= isatty(2) ? NT_CALL_STDERR_TTY : 0;
    /* no-color.org: set and not empty, whatever it says. */
    bool wants =
        !globals->no_color && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
    flags |= wants && (flags & NT_CALL_STDOUT_TTY) ? NT_CALL_COLOR : 0;
    return flags;
}

/* The setting output.color decides, unless the user said no for this command. */
static void apply_color(struct run *run)
{
    const struct config_value *setting = config_get(run->config, "output.color");
    const char *no_color = getenv("NO_COLOR");
    bool is_refused = run->parsed.globals.no_color || (no_color && *no_color);
    if (!setting || !setting->value || strcmp(setting->value, "auto") == 0 || is_refused)
        return;
    bool color = strcmp(setting->value, "always") == 0;
    run->flags = (run->flags & ~NT_CALL_COLOR) | (color ? NT_CALL_COLOR : 0);
    output_set_color(run->output, color);
}

static void on_skipped(void *data, const char *line)
{
    struct run *run = data;
    /* Before the words are understood there is only what stands in them. */
    struct globals globals = { .json = globals_wants_json(run->argc, run->argv) };
    struct output_options options = { 1, 2, flags_of(&globals), run->self->program };
    struct output *output = NULL;
    struct nt_error unused = NT_ERROR_INIT;
    if (output_new(&options, &output, &unused) == 0)
        output_message(output, NT_SAY_WARN, line);
    output_free(output);
}

static void on_odd(void *data, const char *line)
{
    struct run *run = data;
    (void)line; /* it is told when all is opened anew */
    run->is_odd = true;
}

static int fill_command(void *data, const struct nt_command *command, struct nt_error *reterr)
{
    struct run *run = data;
    int result = plugins_fill(run->plugins, command, reterr);
    run->is_odd = run->is_odd || result < 0;
    return result;
}

static int open_and_parse(struct run *run, bool names_only, struct nt_error *reterr)
{
    struct plugins_options options = { .host = &call_host,
                                       .built_in = built_in,
                                       .skipped = names_only ? on_odd : on_skipped,
                                       .data = run,
                                       .view = run->self->view,
                                       .names_only = names_only,
                                       .called = run->self->program };
    if (plugins_open(&options, &run->plugins, reterr) < 0
        || known_tree(run->plugins, &run->tree, reterr) < 0)
        return -1;
    if (names_only) {
        run->tree.fill = fill_command;
        run->tree.data = run;
    }
    return parse_words(&run->tree, run->argc, run->argv, &run->parsed, reterr);
}

/* Commands about the tool itself, of the core alone. */
static bool is_about_tool(const struct plugin_info *info)
{
    return !info->file && (strcmp(info->name, "cli") == 0 || strcmp(info->name, "plugin") == 0);
}

/* What was asked for speaks of commands beside the one that was named. */
static bool needs_all_tables(const struct run *run)
{
    struct plugin_info info = { .name = NULL };
    if (run->parsed.what == PARSED_HELP)
        return !run->parsed.command && *run->parsed.path; /* a group shows an example */
    if (!run->parsed.command)
        return false;
    plugins_info_of(run->plugins, plugins_owner(run->plugins, run->parsed.command), &info);
    return is_about_tool(&info);
}

/* Names are enough to find a command and to say that there is none. Where they are not, or where
 * anything is wrong with them, all is read as if they had not been. */
static int find_command(struct run *run, struct nt_error *reterr)
{
    int result = open_and_parse(run, true, reterr);
    if (!run->is_odd && (result < 0 || !needs_all_tables(run)))
        return result;
    parsed_done(&run->parsed);
    known_tree_done(&run->tree);
    plugins_free(run->plugins);
    run->plugins = NULL;
    *reterr = (struct nt_error)NT_ERROR_INIT;
    return open_and_parse(run, false, reterr);
}

static int print_help(struct run *run, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(HELP_MAX);
    known_add_help(&text, run->plugins, &run->tree, run->parsed.path, run->parsed.command);
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "the help is too long");
    if (run->parsed.globals.json) { /* like `help` */
        json_t *object =
            json_pack("{s:s, s:s}", "command", run->parsed.path, "text", nt_buf_text(&text));
        nt_autofree char *line =
            object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
        json_decref(object);
        nt_buf_reset(&text);
        nt_buf_add(&text, line ? line : "");
        nt_buf_add_char(&text, '\n');
    }
    return output_write(run->output, nt_buf_text(&text), text.size, reterr);
}

/* The process was forked when there was no credential yet; a program's is executed anew. */
static int run_confined(struct run *run, struct nt_error *reterr)
{
    const struct config_value *setting = config_get(run->config, "plugin.weaker");
    const char *weaker = setting ? setting->value : NULL;
    int64_t timeout_ms = call_timeout_ms(run->parsed.command, &run->parsed);
    const struct confine_options options = { run->plugins, run->owner, run->parsed.command,
                                             &run->parsed };
    return run->confined ? confine_serve(run->confined, run->call, weaker, timeout_ms, reterr)
                         : program_run(&options, run->call, weaker, timeout_ms, reterr);
}

static int run_command(struct run *run, struct nt_error *reterr)
{
    const struct globals *globals = &run->parsed.globals;
    const struct nt_command *command = run->parsed.command;
    run->owner = plugins_owner(run->plugins, command);
    if (output_begin(run->output, command, globals->fields, reterr) < 0)
        return -1;
    /* Before anything secret is in this memory: what is forked gets a copy of it. */
    const struct confine_options alone = { run->plugins, run->owner, command, &run->parsed };
    bool is_confined = run->owner && plugins_is_confined(run->owner);
    bool is_external = is_confined && plugins_is_external(run->owner);
    int begun = 0; /* an external program is begun by program_run */
    if (!is_confined)
        begun = plugins_load(run->plugins, command, &command, reterr);
    else if (!is_external)
        begun = confine_start(&alone, &run->confined, reterr);
    if (begun < 0)
        return -1;

    struct config_options wanted = { run->self->id, globals->api, globals->org };
    struct plugin_info info = { .name = NULL };
    plugins_info_of(run->plugins, run->owner, &info);
    /* Commands about the tool itself work with a broken configuration, too. */
    bool needs_config = is_confined
                        || (!is_about_tool(&info)
                            && (command->effects & (NT_LOCAL | NT_REMOTE | NT_WRITES | NT_RUNS)));
    if (needs_config) {
        if (config_load(&wanted, &run->config, reterr) < 0)
            return -1;
        if (*config_warning(run->config))
            output_message(run->output, NT_SAY_WARN, config_warning(run->config));
        apply_color(run);
    }

    struct call_options options = {
        .command = command,
        .parsed = &run->parsed,
        .output = run->output,
        .plugins = run->plugins,
        .config = run->config,
        .personality = wanted.personality,
        .flags = run->flags,
    };
    run->call = call_new(&options, reterr);
    if (!run->call)
        return -1;

    if (info.file && !is_confined)
        crash_watch(info.name, info.file, globals->json);
    /* A peer that goes away is an error value, not the end of this process. */
    signal(SIGPIPE, SIG_IGN);
    int status = is_confined ? run_confined(run, reterr) : command->run(run->call, reterr);
    if (status < 0 && reterr->code == 0)
        nt_fail(reterr, NT_E_INTERNAL, "'%s' failed and did not say why", command->path);
    if (status == 0)
        status = output_finish(run->output, reterr);
    return status;
}

static int run_all(struct run *run, struct nt_error *reterr)
{
    if (find_command(run, reterr) < 0)
        return -1;
    run->flags = flags_of(&run->parsed.globals);
    struct output_options options = { 1, 2, run->flags, run->self->program };
    if (output_new(&options, &run->output, reterr) < 0)
        return -1;
    switch (run->parsed.what) {
    case PARSED_VERSION:
        return print_version(run->self, run->parsed.globals.json, reterr);
    case PARSED_HELP:
        return print_help(run, reterr);
    default:
        return run_command(run, reterr);
    }
}

/* --- the end ------------------------------------------------------------------------------- */

/* True when nobody reads stdout any more. */
static bool is_stdout_gone(const struct run *run, const struct nt_error *error)
{
    if (run->output && output_is_closed(run->output))
        return true;
    struct pollfd out = { .fd = 1, .events = POLLOUT };
    return error->code == NT_E_SYSTEM && error->sys == EPIPE && poll(&out, 1, 0) == 1
           && (out.revents & POLLERR);
}

static void print_error(const struct run *run, const struct nt_error *error,
                        const struct nt_error_row *row)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(16 * 1024);
    bool is_parsed = run->output != NULL;
    bool json = is_parsed ? run->parsed.globals.json : globals_wants_json(run->argc, run->argv);
    if (run->output)
        output_clear_progress(run->output);
    if (json)
        error_line_add_json(&text, error, row);
    else
        error_line_add_text(&text, error, row, run->self->program,
                            (run->flags & NT_CALL_COLOR) && (run->flags & NT_CALL_STDERR_TTY));
    output_write_fd(2, nt_buf_text(&text), text.size);
}

static struct nt_error_row row_of(const struct run *run, const struct nt_error *error)
{
    struct nt_error_row row;
    bool is_own = error->code >= NT_E_PLUGIN_FIRST && run->owner
                  && plugins_error_row(run->plugins, run->owner, error->code, &row);
    return error_line_row(error->code, is_own ? &row : NULL);
}

static void tell_status(const struct run *run, uint32_t by, uint32_t status, const char *code)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(1024);
    bool is_parsed = run->output != NULL;
    int fd =
        is_parsed ? run->parsed.globals.status_fd : globals_early_status_fd(run->argc, run->argv);
    if (fd < 0)
        return;
    error_line_add_status(&line, by, status, code, call_limits(run->call));
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone changes nothing */
    output_write_fd(fd, nt_buf_text(&line), line.size);
}

/* A command that wants an embedded server where none is installed started this: it reads the reason
 * on a pipe (core/api/local.c). */
static void tell_starter(const struct run *run, const struct nt_error *error)
{
    struct stat st;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(1024);
    if (error->code != NT_E_PLUGIN_MISSING || run->argc != 3 || strcmp(run->argv[1], "serve") != 0
        || strcmp(run->argv[2], "--embedded") != 0 || fstat(NT_LOCAL_FD_READY, &st) < 0
        || !S_ISFIFO(st.st_mode))
        return;
    nt_buf_addf(&line, "%" PRIu32 "\t%s\t%s\n", error->code, error->message, error->hint);
    signal(SIGPIPE, SIG_IGN);
    output_write_fd(NT_LOCAL_FD_READY, nt_buf_text(&line), line.size);
}

static void run_done(struct run *run)
{
    confine_end(run->confined);
    call_free(run->call);
    crash_unwatch();
    output_free(run->output);
    config_free(run->config);
    parsed_done(&run->parsed);
    known_tree_done(&run->tree);
    plugins_free(run->plugins);
}

static uint32_t finish(struct run *run, int result, const struct nt_error *error)
{
    uint32_t status = 0, by = NT_BY_TOOL;
    if (result == 0) {
        if (run->call)
            call_status(run->call, &status, &by);
        tell_status(run, by, status, NULL);
        return status;
    }
    struct nt_error_row row = row_of(run, error);
    const char *code = error->server_code[0] ? error->server_code : row.text;
    if (is_stdout_gone(run, error)) {
        /* As every good tool ends in `tool | head`: quietly, by the signal. */
        tell_status(run, NT_BY_TOOL, 128 + SIGPIPE, NULL);
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
        return 128 + SIGPIPE;
    }
    print_error(run, error, &row);
    tell_starter(run, error);
    /* A failure of the place where the program should run is neither the tool's nor the
     * program's. */
    by = row.kind && strcmp(row.kind, "runtime") == 0 ? NT_BY_RUNTIME : NT_BY_TOOL;
    uint32_t failed = personality_status(run->self, row.exit_status);
    tell_status(run, by, failed, code);
    return failed;
}

/* `--internal-complete words WORD…` and `line LINE`: what a shell asks for at each press of its
 * key. Whatever is wrong, it says nothing. */
static int print_completion(int argc, char **argv, struct nt_error *reterr)
{
    const struct personality *self = personality_of(argv[0]);
    struct plugins_options options = {
        .host = &call_host, .built_in = built_in, .view = self->view, .called = self->program
    };
    struct plugins *plugins = NULL;
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1024 * 1024);
    nt_autofree char **split = NULL;
    nt_autofree char *line = NULL;
    char **words = argv + 3;
    int count = argc - 3;
    if (count == 1 && strcmp(argv[2], "line") == 0) {
        count = complete_split(argv[3], &split, &line) - 1; /* without the program's name */
        words = split + 1;
    }
    int result = plugins_open(&options, &plugins, reterr);
    if (result == 0)
        result = known_tree(plugins, &tree, reterr);
    struct complete_source source = { complete_values, plugins };
    if (result == 0)
        complete_add(&text, &tree, count, words, &source);
    plugins_free(plugins);
    if (nt_buf_ok(&text))
        output_write_fd(1, nt_buf_text(&text), text.size);
    return result;
}

/* `--internal-generate FOLDER PACKAGES`: for the build. */
static int write_generated(const char *folder, const char *packages, struct nt_error *reterr)
{
    const struct personality *self;
    int result = 0;
    for (size_t i = 0; result == 0 && (self = personality_at(i)); i++) {
        struct plugins_options options = {
            .host = &call_host, .built_in = built_in, .view = self->view, .called = self->program
        };
        struct plugins *plugins = NULL;
        result = plugins_open(&options, &plugins, reterr);
        if (result == 0)
            result = generate(plugins, folder, packages, reterr);
        plugins_free(plugins);
    }
    return result;
}

/* nono tells of no newer version after a program that it has run, nor when it is to be silent. */
static bool is_news_wanted(const struct run *run)
{
    static const char *const without[] = { "run", "shell", "wrap", "completion" };
    const struct slot *silent = run->output ? parsed_slot(&run->parsed, "silent") : NULL;
    if (run->self->id != NT_AS_NONO)
        return true;
    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
        if (strcmp(run->parsed.path, without[i]) == 0)
            return false;
    return !(silent && silent->number);
}

int main(int argc, char **argv)
{
    struct run run = { .argc = argc,
                       .argv = argv,
                       .self = personality_of(argv[0]),
                       .parsed = { .globals = GLOBALS_INIT } };
    struct nt_error error = NT_ERROR_INIT;
    bool json;
    int result;
    if (argc == 4 && strcmp(argv[1], "--internal-manifest") == 0) {
        result = plugins_write_manifest(argv[2], argv[3], &error);
    } else if (argc == 4 && strcmp(argv[1], "--internal-generate") == 0) {
        result = write_generated(argv[2], argv[3], &error);
    } else if (argc >= 4 && strcmp(argv[1], "--internal-complete") == 0) {
        fill_gaps();
        print_completion(argc, argv, &error);
        return 0;
    } else if (argc == 3 && strcmp(argv[1], "--internal-update-check") == 0) {
        fill_gaps();
        update_work((uint32_t)(argv[2][0] - '0'));
        return 0;
    } else if (is_version(argc, argv, &json)) {
        result = print_version(run.self, json, &error);
    } else {
        fill_gaps();
        result = run_all(&run, &error);
    }
    uint32_t status = finish(&run, result, &error);
    uint32_t flags = run.flags | (is_news_wanted(&run) ? 0 : NT_CALL_QUIET);
    run_done(&run);
    update_after(run.self->id, flags, NT_VERSION);
    return (int)status;
}
