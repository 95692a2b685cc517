/* SPDX-License-Identifier: Apache-2.0 */
/* clone.c - puts a repository into a new workspace.
 *
 * A URL is cloned by git inside the workspace, through its way out, opened for that one host
 * meanwhile. A local repository goes in as a bundle. git runs here only for the bundle of the
 * user's own repository, with everything that its configuration could make it run switched off. */
#include "ws.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/reader.h"

#define LINE_MAX_BYTES (256 * 1024)
#define CREDIT (256u * 1024)
#define PIECE (256u * 1024)
#define CLONE_SECONDS 1800
#define BUNDLE "/tmp/.nanoterm-clone.bundle"

/* A stream of the API as this file uses it: bytes up or down, until it is done. */
struct transfer {
    struct nt_call *call;
    struct nt_stream *stream;
    struct nt_reader *reader; /* of the bundle */
    struct nt_buf line;       /* of the answer */
    struct nt_error error;
    uint64_t credit;
    uint32_t done;
    int exit_code; /* of git; -1: not told */
    bool failed, input_ended;
};

static void say_output(struct nt_call *call, const char *text)
{
    if (call->flags & (NT_CALL_QUIET | NT_CALL_JSON))
        return;
    nt_auto(nt_buf_done) struct nt_buf safe = NT_BUF(4 * LINE_MAX_BYTES);
    const char *end = text + strlen(text);
    /* git redraws its progress with carriage returns, which are harmless; the rest is foreign
     * text. */
    while (text < end) {
        size_t size = strcspn(text, "\r");
        nt_auto(nt_buf_done) struct nt_buf part = NT_BUF(LINE_MAX_BYTES);
        nt_buf_add_bytes(&part, text, size);
        nt_buf_add_printable(&safe, nt_buf_text(&part), true);
        text += size;
        if (*text == '\r') {
            nt_buf_add_char(&safe, '\r');
            text++;
        }
    }
    ssize_t ignored = write(call->host->descriptor(call, 2), nt_buf_text(&safe), safe.size);
    (void)ignored; /* progress that nobody can read is no reason to fail */
}

static void on_line(struct transfer *t, const char *line, size_t size)
{
    nt_auto_json json_t *message = json_loadb(line, size, 0, NULL);
    const char *type = nt_json_text(message, "type");
    if (type && strcmp(type, "output") == 0 && nt_json_text(message, "data"))
        say_output(t->call, nt_json_text(message, "data"));
    else if (type && strcmp(type, "exit") == 0)
        t->exit_code = (int)json_integer_value(json_object_get(message, "exit_code"));
    else if (type && strcmp(type, "error") == 0 && nt_json_text(message, "message"))
        say_output(t->call, nt_json_text(message, "message"));
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)flags;
    struct transfer *t = data;
    nt_buf_add_bytes(&t->line, bytes.data, bytes.size);
    const char *text = nt_buf_text(&t->line), *newline;
    size_t at = 0;
    while ((newline = memchr(text + at, '\n', t->line.size - at)) != NULL) {
        on_line(t, text + at, (size_t)(newline - text) - at);
        at = (size_t)(newline - text) + 1;
    }
    nt_buf_drop(&t->line, at);
    stream->ops->grant(stream, bytes.size);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct transfer *t = data;
    t->stream = NULL;
    if (reason && !t->failed) {
        t->failed = true;
        memcpy(&t->error, reason,
               reason->size < sizeof(t->error) ? reason->size : sizeof(t->error));
        t->error.size = sizeof(t->error);
    }
    t->done = 1;
}

static void feed(struct transfer *t)
{
    if (!t->reader || t->input_ended || !t->stream)
        return;
    if (t->credit > 0)
        nt_reader_resume(t->reader, t->credit < PIECE ? (size_t)t->credit : PIECE);
    else
        nt_reader_pause(t->reader);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct transfer *t = data;
    t->credit = credit;
    feed(t);
}

static void on_bundle(void *data, struct nt_bytes bytes)
{
    struct transfer *t = data;
    if (!t->stream)
        return;
    if (t->stream->ops->write(t->stream, bytes, 0, &t->error) < 0) {
        t->failed = true;
        t->stream->ops->cancel(t->stream);
        nt_reader_pause(t->reader);
        return;
    }
    t->credit -= bytes.size;
    feed(t);
}

static void on_bundle_end(void *data, int sys)
{
    (void)sys; /* git's own exit status says whether the bundle is whole */
    struct transfer *t = data;
    t->input_ended = true;
    if (t->stream)
        t->stream->ops->finish(t->stream);
}

static const struct nt_stream_events transfer_events = {
    .size = sizeof(transfer_events), .data = on_data, .writable = on_writable, .close = on_close
};

/* Waits for the end of the stream, also after an error: its callbacks point to us. */
static int transfer_wait(struct transfer *t, struct nt_error *reterr)
{
    int result = 0;
    if (t->call->host->wait(t->call, &t->done, reterr) < 0)
        result = -1;
    nt_reader_free(t->reader);
    t->reader = NULL;
    nt_buf_done(&t->line);
    if (result == 0 && t->failed) {
        memcpy(reterr, &t->error,
               reterr->size < sizeof(t->error) ? reterr->size : sizeof(t->error));
        result = -1;
    }
    return result;
}

/* Kept while its stream is open: a late callback finds it. */
static void transfer_free(struct transfer *t)
{
    if (!t->stream)
        free(t);
}

/* --- a URL --------------------------------------------------------------------------------- */

static int clone_failed(int exit_code, const char *url, struct nt_error *reterr)
{
    return nt_fail(reterr, WS_E_CLONE_FAILED, "git could not clone %s (exit status %d)", url,
                   exit_code);
}

static int clone_url(struct nt_call *call, const char *id, const char *url, const char *branch,
                     struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, id, "/clone", reterr) < 0)
        return -1;
    nt_auto_json json_t *body = json_pack("{s:s, s:s*}", "url", url, "branch", branch);
    nt_autofree char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct transfer *t = calloc(1, sizeof(*t)); /* kept: a late close callback may still find it */
    if (!text || !t)
        return nt_fail(reterr, NT_E_INVALID, "the URL or the branch is not valid UTF-8");
    t->call = call;
    t->line = (struct nt_buf)NT_BUF(LINE_MAX_BYTES);
    t->error.size = sizeof(t->error);
    t->exit_code = -1;
    static const struct nt_header json_type[] = { { "Content-Type", "application/json" } };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = "POST",
                            .path = nt_buf_text(&path),
                            .body_bytes = (int64_t)strlen(text),
                            .headers = NT_TABLE(json_type),
                            .events = &transfer_events,
                            .data = t };
    struct nt_response head = { .size = sizeof(head) };
    if (call->host->open(call, &open, &t->stream, &head, reterr) < 0)
        return -1;
    if (t->stream->ops->write(t->stream, (struct nt_bytes){ text, strlen(text) }, 0, reterr) < 0)
        return -1;
    t->stream->ops->finish(t->stream);
    t->stream->ops->grant(t->stream, CREDIT);
    int waited = transfer_wait(t, reterr), exit_code = t->exit_code;
    transfer_free(t);
    if (waited < 0)
        return -1;
    return exit_code == 0 ? 0 : clone_failed(exit_code, url, reterr);
}

/* --- a local repository -------------------------------------------------------------------- */

extern char **environ;

/* Starts `git -C folder bundle create - HEAD --branches --tags` with its output on *ret_fd. Nothing
 * that the repository's own configuration names is run: no hook, no monitor, no remote helper, no
 * lazy fetch. */
static int start_bundle(const char *folder, pid_t *ret_pid, int *ret_fd, struct nt_error *reterr)
{
    char *argv[] = { "git",
                     "-c",
                     "core.fsmonitor=false",
                     "-c",
                     "core.hooksPath=/dev/null",
                     "-c",
                     "core.alternateRefsCommand=",
                     "-c",
                     "protocol.allow=never",
                     "-C",
                     (char *)(uintptr_t)folder,
                     "bundle",
                     "create",
                     "--quiet",
                     "-",
                     "HEAD",
                     "--branches",
                     "--tags",
                     NULL };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(8192);
    nt_auto(nt_buf_done) struct nt_buf home = NT_BUF(8192);
    nt_buf_addf(&path, "PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    nt_buf_addf(&home, "HOME=%s", getenv("HOME") ? getenv("HOME") : "/");
    if (!nt_buf_ok(&path) || !nt_buf_ok(&home))
        return nt_fail(reterr, NT_E_LIMIT, "PATH or HOME is too long");
    char *env[] = { path.data,
                    home.data,
                    "GIT_NO_LAZY_FETCH=1",
                    "GIT_ALLOW_PROTOCOL=none",
                    "GIT_TERMINAL_PROMPT=0",
                    "LC_ALL=C.UTF-8",
                    NULL };
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    int sys = posix_spawnp(ret_pid, "git", &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (sys != 0) {
        close(ends[0]);
        nt_fail_sys(reterr, sys, "cannot run git");
        return nt_hint(reterr, "install git, or give the URL of the repository");
    }
    *ret_fd = ends[0];
    return 0;
}

static int upload(struct nt_call *call, const char *id, int fd, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, id, "/file?path=" BUNDLE, reterr) < 0)
        return -1;
    struct transfer *t = calloc(1, sizeof(*t)); /* kept: a late close callback may still find it */
    if (!t)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the bundle");
    t->call = call;
    t->line = (struct nt_buf)NT_BUF(LINE_MAX_BYTES);
    t->error.size = sizeof(t->error);
    static const struct nt_reader_events events = { .bytes = on_bundle, .end = on_bundle_end };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = "PUT",
                            .path = nt_buf_text(&path),
                            .body_bytes = -1,
                            .events = &transfer_events,
                            .data = t };
    struct nt_response head = { .size = sizeof(head) };
    if (call->host->open(call, &open, &t->stream, &head, reterr) < 0)
        return -1;
    if (nt_reader_new(call->host->loop(call), fd, PIECE, &events, t, &t->reader, reterr) < 0)
        return -1;
    t->stream->ops->grant(t->stream, CREDIT);
    feed(t);
    int waited = transfer_wait(t, reterr);
    transfer_free(t);
    return waited;
}

/* Runs a short program inside without our standard streams; its standard error makes the message
 * when it fails. */
static int run_inside(struct nt_call *call, const char *id, json_t *command,
                      struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, id, "/exec", reterr) < 0)
        return -1;
    nt_autofree char *body = command ? json_dumps(command, JSON_COMPACT) : NULL;
    if (!body)
        return nt_fail(reterr, NT_E_INVALID, "the branch is not valid UTF-8");
    /* Not sent twice: the server cannot know whether the program has run. */
    struct nt_request request = { .size = sizeof(request),
                                  .flags = NT_REQ_NO_RETRY,
                                  .method = "POST",
                                  .path = nt_buf_text(&path),
                                  .body = { body, strlen(body) } };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return -1;
    nt_auto_json json_t *result = json_loadb(response.body.data, response.body.size, 0, NULL);
    int exit_code = (int)json_integer_value(json_object_get(result, "exit_code"));
    if (json_is_integer(json_object_get(result, "exit_code")) && exit_code == 0)
        return 0;
    const char *said = nt_json_text(result, "stderr");
    return nt_fail(reterr, WS_E_CLONE_FAILED, "exit status %d: %s", exit_code,
                   said ? said : "no output");
}

static int clone_local(struct nt_call *call, const char *id, const char *folder, const char *branch,
                       struct nt_error *reterr)
{
    pid_t git;
    nt_autoclose int fd = -1;
    if (start_bundle(folder, &git, &fd, reterr) < 0)
        return -1;
    int uploaded = upload(call, id, fd, reterr);
    nt_closep(&fd); /* a git that still writes ends by SIGPIPE */
    fd = -1;
    int status = 0;
    while (waitpid(git, &status, 0) < 0 && errno == EINTR)
        ;
    if (uploaded < 0)
        return -1;
    if (status != 0)
        return nt_fail(reterr, WS_E_REPOSITORY, "git could not bundle %s", folder);
    nt_auto_json json_t *clone =
        json_pack("{s:s, s:[s, s, s, s], s:s, s:i}", "command", "git", "args", "clone", "--quiet",
                  BUNDLE, "/workspace", "cwd", "/", "timeout_secs", CLONE_SECONDS);
    if (branch) {
        json_t *args = json_object_get(clone, "args");
        json_array_insert_new(args, 1, json_string("--branch"));
        json_array_insert_new(args, 2, json_string(branch));
    }
    nt_auto_json json_t *clean =
        json_pack("{s:s, s:[s, s], s:s}", "command", "rm", "args", "-f", BUNDLE, "cwd", "/");
    if (run_inside(call, id, clone, reterr) < 0)
        return nt_wrap(reterr, "cloning %s", folder);
    return run_inside(call, id, clean, reterr);
}

static bool is_url(const char *text)
{
    return strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0;
}

int clone_into(struct nt_call *call, const char *id, const char *url, const char *branch,
               struct nt_error *reterr)
{
    struct stat st;
    if (branch && (branch[0] == '-' || branch[0] == '\0'))
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not the name of a branch", branch);
    if (is_url(url))
        return clone_url(call, id, url, branch, reterr);
    if (stat(url, &st) == 0 && S_ISDIR(st.st_mode))
        return clone_local(call, id, url, branch, reterr);
    return nt_fail(reterr, WS_E_REPOSITORY,
                   "'%s' is neither an https:// or http:// URL nor a folder here", url);
}
