/* SPDX-License-Identifier: Apache-2.0 */
/* quickstart.c - `nanoterm quickstart`: the main job from end to end, with the time of each step.
 *
 * Makes a workspace, clones a repository into it, builds it inside, copies the result out and runs
 * it. Each step is a nanoterm command that the user could type; it is shown, then run as a child of
 * this process. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nanoterm/host.h"
#include "sdk/buf.h"
#include "sdk/clock.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define WORDS_MAX 16
#define ANSWER_MAX (256 * 1024)

enum { QUICKSTART_E_STEP = NT_E_PLUGIN_FIRST };

extern char **environ;

/* Shows a step as the user would type it. */
static void show(struct nt_call *call, const char *const *words)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(16 * 1024);
    nt_buf_add(&line, "$ nanoterm");
    for (; *words; words++) {
        bool plain = **words != '\0' && strpbrk(*words, " \t\n\"'$&|;<>(){}*?") == NULL;
        nt_buf_add(&line, plain ? " " : " '");
        nt_buf_add(&line, *words);
        nt_buf_add(&line, plain ? "" : "'");
    }
    call->host->message(call, NT_SAY_NOTE, nt_buf_text(&line));
}

static int read_all(int fd, struct nt_buf *ret)
{
    for (;;) {
        char *room = nt_buf_room(ret, 4096);
        if (!room)
            return -1;
        ssize_t got = read(fd, room, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (int)got;
        nt_buf_added(ret, (size_t)got);
    }
}

/* Runs `program words…`; its standard output goes into ret_output when that is not NULL, else to
 * our standard error. Ctrl-C reaches the child, which is in our process group; we ignore it (run)
 * so that the workspace is removed. */
static int spawn(struct nt_call *call, const char *program, const char *const *words,
                 struct nt_buf *ret_output, int *ret_status, struct nt_error *reterr)
{
    const char *argv[WORDS_MAX + 2] = { program };
    for (size_t i = 0; words[i]; i++) {
        if (i == WORDS_MAX)
            return nt_fail(reterr, NT_E_LIMIT, "a step has too many words");
        argv[i + 1] = words[i];
    }
    int ends[2] = { -1, -1 };
    if (ret_output && pipe2(ends, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    sigset_t interrupts;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    posix_spawnattr_setsigdefault(&attributes, &interrupts);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions,
                                     ret_output ? ends[1] : call->host->descriptor(call, 2), 1);
    pid_t pid;
    int sys =
        posix_spawn(&pid, program, &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    nt_closep(&ends[1]);
    nt_autoclose int output = ends[0];
    if (sys)
        return nt_fail_sys(reterr, sys, "cannot run %s", program);
    int read_error = ret_output ? read_all(output, ret_output) : 0;
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return nt_fail_sys(reterr, errno, "cannot wait for %s", program);
    if (read_error < 0)
        return nt_fail(reterr, NT_E_LIMIT, "the output of %s is too long", program);
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

/* One step of the job: shown, run, timed, and a row of the result. */
static int step(struct nt_call *call, const char *name, const char *const *words,
                struct nt_buf *ret_output, struct nt_error *reterr)
{
    int status = 0;
    int64_t start = nt_now_ms();
    show(call, words);
    if (spawn(call, call->host->path(call, NT_PATH_SELF), words, ret_output, &status, reterr) < 0)
        return -1;
    struct nt_value row[] = { { .type = NT_TEXT, .text = name },
                              { .type = NT_INT, .number = nt_now_ms() - start } };
    if (status == 128 + SIGINT || status == 130)
        return nt_fail(reterr, NT_E_CANCELLED, "interrupted at the step %s", name);
    if (status != 0)
        return nt_fail(reterr, QUICKSTART_E_STEP, "the step %s ended with exit status %d", name,
                       status);
    return call->host->emit(call, row, 2, reterr);
}

/* How to build what is in the folder, when the user did not say. */
static int build_command(struct nt_call *call, const char *repository, const char **ret,
                         struct nt_error *reterr)
{
    static const struct {
        const char *file, *command;
    } known[] = { { "CMakeLists.txt", "cmake -S . -B build && cmake --build build -j\"$(nproc)\"" },
                  { "configure", "./configure && make -j\"$(nproc)\"" },
                  { "Makefile", "make -j\"$(nproc)\"" } };
    *ret = call->host->text(call, "build");
    for (size_t i = 0; !*ret && i < sizeof(known) / sizeof(known[0]); i++) {
        nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(8192);
        nt_buf_addf(&path, "%s/%s", repository, known[i].file);
        if (nt_buf_ok(&path) && access(nt_buf_text(&path), F_OK) == 0)
            *ret = known[i].command;
    }
    if (*ret)
        return 0;
    nt_fail(reterr, NT_E_USAGE, "it is not known how to build %s", repository);
    return nt_hint(reterr, "say how: --build 'make' --artifact ./program");
}

static int steps(struct nt_call *call, const char *id, const char *build, const char *target,
                 struct nt_error *reterr)
{
    const char *artifact = call->host->text(call, "artifact"),
               *arguments = call->host->text(call, "run");
    nt_auto(nt_buf_done) struct nt_buf source = NT_BUF(8192);
    nt_buf_addf(&source, "%s:%s%s", id, artifact[0] == '/' ? "" : "/workspace/", artifact);
    if (!nt_buf_ok(&source))
        return nt_fail(reterr, NT_E_LIMIT, "the path of the artifact is too long");
    const char *const build_words[] = { "exec", id, "--", "bash", "-c", build, NULL };
    const char *const copy_words[] = { "files", "cp", nt_buf_text(&source), target, NULL };
    if (step(call, "build", build_words, NULL, reterr) < 0
        || step(call, "copy out", copy_words, NULL, reterr) < 0)
        return -1;

    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(16 * 1024);
    nt_buf_addf(&line, "$ %s %s", target, arguments);
    call->host->message(call, NT_SAY_NOTE, nt_buf_text(&line));
    const char *const words[] = { arguments, NULL };
    const char *const none[] = { NULL };
    int status = 0;
    int64_t start = nt_now_ms();
    if (spawn(call, target, *arguments ? words : none, NULL, &status, reterr) < 0)
        return -1;
    if (status != 0)
        return nt_fail(reterr, QUICKSTART_E_STEP, "%s ended with exit status %d", target, status);
    struct nt_value row[] = { { .type = NT_TEXT, .text = "run" },
                              { .type = NT_INT, .number = nt_now_ms() - start } };
    return call->host->emit(call, row, 2, reterr);
}

static int run(struct nt_call *call, struct nt_error *reterr)
{
    const char *repository = call->host->text(call, "repo"), *build;
    nt_auto(nt_buf_done) struct nt_buf answer = NT_BUF(ANSWER_MAX);
    if (build_command(call, repository, &build, reterr) < 0)
        return -1;
    signal(SIGINT, SIG_IGN);
    const char *const create[] = {
        "ws", "create", "--json", "--repo", repository, "--size", call->host->text(call, "size"),
        NULL
    };
    if (step(call, "create and clone", create, &answer, reterr) < 0)
        return -1;
    nt_auto_json json_t *workspace = json_loadb(nt_buf_text(&answer), answer.size, 0, NULL);
    const char *id = nt_json_text(workspace, "id");
    if (!id)
        return nt_fail(reterr, NT_E_RESPONSE, "the new workspace has no id");

    char folder[] = "/tmp/nanoterm-quickstart.XXXXXX";
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(256);
    int result =
        mkdtemp(folder) ? 0 : nt_fail_sys(reterr, errno, "cannot make a folder for the result");
    if (result == 0) {
        nt_buf_addf(&target, "%s/result", folder);
        result = steps(call, id, build, nt_buf_text(&target), reterr);
        unlink(nt_buf_text(&target));
        rmdir(folder);
    }
    const char *const remove[] = { "ws", "rm", id, NULL };
    if (call->host->number(call, "keep"))
        return result;
    struct nt_error ignored = NT_ERROR_INIT;
    int removed = step(call, "remove", remove, NULL, result == 0 ? reterr : &ignored);
    return result == 0 ? removed : result;
}

static const struct nt_opt opts[] = {
    { .name = "repo",
      .letter = 'r',
      .type = NT_TEXT,
      .arg = "url",
      .fallback = ".",
      .help = "Repository to build: a folder, https://… or http://…" },
    { .name = "build",
      .type = NT_TEXT,
      .arg = "command",
      .help =
          "Shell command that builds it (default: by its CMakeLists.txt, configure or Makefile)" },
    { .name = "artifact",
      .type = NT_TEXT,
      .arg = "path",
      .flags = NT_REQUIRED,
      .help = "The program that the build makes, relative to /workspace" },
    { .name = "run",
      .type = NT_TEXT,
      .arg = "argument",
      .fallback = "--version",
      .help = "Argument to run it with; empty: none" },
    { .name = "size",
      .letter = 's',
      .type = NT_CHOICE,
      .choices = "small|medium|large",
      .fallback = "medium",
      .help = "Size of the workspace" },
    { .name = "keep", .type = NT_FLAG, .help = "Keep the workspace afterwards" },
};
static const struct nt_column columns[] = {
    { .name = "step", .help = "What was done", .type = NT_TEXT },
    { .name = "ms", .title = "MILLISECONDS", .help = "How long it took", .type = NT_INT },
};
static const struct nt_example examples[] = {
    { "quickstart --repo . --build make --artifact hello",
      "Build this folder's repository in a workspace and run the result" },
};
static const uint32_t codes[] = { QUICKSTART_E_STEP, NT_E_USAGE, NT_E_CONNECT, NT_E_UNAVAILABLE };
static const struct nt_error_row errors[] = {
    { .number = QUICKSTART_E_STEP,
      .text = "nanoterm.quickstart_step",
      .kind = "runtime",
      .exit_status = 1,
      .help = "Read what the step printed above; --keep leaves the workspace for a look" },
};
static const struct nt_command commands[] = {
    { .path = "quickstart",
      .summary = "Clone, build and run a repository in a workspace, step by step",
      .run = run,
      .opts = NT_TABLE(opts),
      .columns = NT_TABLE(columns),
      .examples = NT_TABLE(examples),
      .errors = NT_TABLE(codes),
      .effects = NT_REMOTE | NT_LOCAL | NT_WRITES | NT_RUNS,
      .result = NT_RESULT_LIST,
      .timeout_ms = -1 },
};
static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,
    .name = "quickstart",
    .version = NT_VERSION,
    .summary = "The main job from end to end",
    .vendor = "nanoterm",
    .commands = NT_TABLE(commands),
    .errors = NT_TABLE(errors),
};
NT_PLUGIN(plugin);
