/* SPDX-License-Identifier: Apache-2.0 */
/* supervise.c - the life of a server that root runs: this process holds lock, token, listeners and
 * the engine; the API process reads what clients send and keeps the database.
 *
 * One ends with the other. The API process drains and leaves (idle, asked, hand-over), then this
 * one goes; an API process that falls or breaks the rules takes this one with it, workspaces live
 * on, and the next command starts a new server. */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/net/net.h"
#include "plugins/serve/handover.h"
#include "plugins/serve/http/router.h"
#include "plugins/serve/listen.h"
#include "plugins/serve/monitor/api_process.h"
#include "plugins/serve/monitor/channel.h"
#include "plugins/serve/monitor/drop.h"
#include "plugins/serve/monitor/monitor.h"
#include "plugins/serve/monitor/store_folder.h"
#include "plugins/serve/port_socket.h"
#include "plugins/serve/store/store.h"
#include "plugins/serve/tls_files.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define END_MS 20000  /* the API process drains for 10 s and closes in 5 */
#define GONE_MS 10000 /* between its last word and its end: the last commit */
#define CLOSE_MS 5000

struct supervisor {
    struct server_options options;
    struct embedded embedded;
    uv_loop_t uv;
    struct nt_loop *loop;
    struct monitor *monitor;
    struct channel *channel;
    struct nt_watch *signals[3], *child_watch;
    struct nt_timer *limit; /* after which the API process is killed */
    struct nt_error error;  /* why there is no server; code 0: nothing is wrong */
    pid_t child;
    int child_fd, channel_fd, data_lock, store_fd, program_fd;
    int embedded_fd; /* our copy of the embedded listener; -1: none */
    uint32_t uid, gid;
    char token[68];
    bool is_ready, is_over, is_freed, is_asked;
};

static void note_error(struct supervisor *s, uint32_t code, const char *message)
{
    if (!s->error.code)
        nt_fail(&s->error, code, "%s", message);
}

static void kill_child(struct supervisor *s)
{
    /* pidfd: never another process that got the number */
    if (s->child_fd >= 0)
        syscall(SYS_pidfd_send_signal, s->child_fd, SIGKILL, NULL, 0);
}

static void on_limit(void *data)
{
    struct supervisor *s = data;
    s->loop->ops->timer_end(s->limit);
    s->limit = NULL;
    kill_child(s);
}

static void end_within(struct supervisor *s, int64_t wait_ms)
{
    s->loop->ops->timer_end(s->limit);
    s->limit = s->loop->ops->timer(s->loop, wait_ms, 0, on_limit, s);
    if (!s->limit)
        kill_child(s);
}

static void ask_to_end(struct supervisor *s)
{
    struct wire_head word = { .kind = WIRE_END };
    if (s->is_asked)
        return;
    s->is_asked = true;
    if (!s->channel || channel_send(s->channel, &word, sizeof(word), -1) < 0)
        kill_child(s);
    end_within(s, END_MS);
}

static int send_tls(struct supervisor *s, struct nt_error *reterr);

static void on_signal(void *data, int signo, uint32_t zero)
{
    struct supervisor *s = data;
    struct nt_error error = NT_ERROR_INIT;
    (void)zero;
    if (signo != SIGHUP || !s->options.tls_certificates) {
        ask_to_end(s);
    } else if (s->channel && send_tls(s, &error) < 0 && s->options.say) {
        char line[400];
        snprintf(line, sizeof(line), "The certificate stays as it was: %s", error.message);
        s->options.say(s->options.data, line);
    }
}

/* --- what the monitor asks of us ----------------------------------------------------------- */

static int act_send(void *data, const void *message, size_t size, int fd)
{
    struct supervisor *s = data;
    if (s->channel)
        return channel_send(s->channel, message, size, fd);
    nt_closep(&fd);
    return -1;
}

static int act_owner_key(void *data, uint8_t ret_hash[32], bool *ret_made, struct nt_error *reterr)
{
    struct supervisor *s = data;
    return owner_key_file(s->options.data_dir, ret_hash, ret_made, reterr);
}

static void act_ready(void *data)
{
    struct supervisor *s = data;
    s->is_ready = true;
    if (s->embedded_fd >= 0 && embedded_name(&s->embedded, &s->error) < 0)
        ask_to_end(s);
}

static void act_failed(void *data, const struct nt_error *error)
{
    struct supervisor *s = data;
    s->error = *error;
    end_within(s, GONE_MS);
}

static void act_note(void *data, const char *line)
{
    struct supervisor *s = data;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(32u * 1024u);
    nt_buf_add_printable(&text, line, false);
    if (s->options.say && nt_buf_ok(&text))
        s->options.say(s->options.data, nt_buf_text(&text));
}

static void act_debug(void *data, const char *event, const char *fields)
{
    struct supervisor *s = data;
    if (s->options.debug)
        s->options.debug(s->options.data, event, fields);
}

/* Whoever waits in the backlog is sent away by the end of the last copy, and begins again. */
static void act_leave(void *data)
{
    struct supervisor *s = data;
    embedded_unlink(&s->embedded);
    nt_closep(&s->embedded_fd);
    s->embedded_fd = -1;
    end_within(s, END_MS);
}

/* The name, too: a program that was not made to be a server is not asked to be one. */
static int act_handover(void *data, const char *program, struct nt_error *reterr)
{
    struct supervisor *s = data;
    const char *name = strrchr(program, '/');
    if (s->embedded_fd < 0 || s->program_fd >= 0 || !s->options.embedded)
        return nt_fail(reterr, NT_E_CONFLICT, "the server cannot hand over now");
    if (!name || strcmp(name, "/nanoterm") != 0)
        return nt_fail(reterr, NT_E_FORBIDDEN, "the program to go on with is not a nanoterm");
    s->program_fd = handover_open(program, reterr);
    if (s->program_fd < 0)
        return -1;
    end_within(s, END_MS);
    return 0;
}

/* Beyond loopback only for root's own commands, which ask by name: nobody else reaches the embedded
 * server. */
static int act_listen(void *data, const char *address, uint16_t port, int *ret_fd,
                      struct nt_error *reterr)
{
    struct supervisor *s = data;
    uint16_t bound;
    if (!s->options.embedded && !port_is_loopback(address))
        return nt_fail(reterr, NT_E_FORBIDDEN,
                       "only somebody at the server's machine may publish beyond its loopback");
    int sys = port_socket(address, port, ret_fd, &bound);
    return sys ? nt_fail_sys(reterr, sys, "cannot listen") : 0;
}

static const struct monitor_acts acts = {
    .send = act_send,
    .owner_key = act_owner_key,
    .ready = act_ready,
    .failed = act_failed,
    .note = act_note,
    .debug = act_debug,
    .leave = act_leave,
    .handover = act_handover,
    .listen = act_listen,
};

/* --- the API process ----------------------------------------------------------------------- */

static bool on_message(void *data, const void *message, size_t size, int fd)
{
    struct supervisor *s = data;
    (void)fd; /* none: the channel takes none */
    const char *wrong = monitor_message(s->monitor, message, size);
    if (!wrong)
        return true;
    char fields[160];
    snprintf(fields, sizeof(fields), "why=%s", wrong);
    act_debug(s, "monitor.refused", fields);
    note_error(s, NT_E_INTERNAL, "the API process broke the rules and was ended");
    kill_child(s);
    return false;
}

static void on_closed(void *data)
{
    end_within(data, GONE_MS);
}

static void on_child_end(void *data, int fd, uint32_t events)
{
    struct supervisor *s = data;
    int status = 0;
    (void)fd;
    (void)events;
    if (waitpid(s->child, &status, WNOHANG) != s->child)
        return;
    s->child = 0;
    s->loop->ops->watch_end(s->child_watch);
    s->child_watch = NULL;
    s->is_over = true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        note_error(s, NT_E_INTERNAL, "the API process has ended unexpectedly");
}

static int spawn(struct supervisor *s, struct nt_error *reterr)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a socketpair");
    nt_autoclose int ours = ends[0], theirs = ends[1];
    if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0 || api_process_spawn(theirs, &s->child, reterr) < 0)
        return nt_wrap(reterr, "the API process");
    s->channel_fd = nt_take_fd(ours);
    s->child_fd = (int)syscall(SYS_pidfd_open, s->child, 0);
    return s->child_fd < 0 ? nt_fail_sys(reterr, errno, "cannot watch the API process") : 0;
}

static const struct channel_events channel_events = { .message = on_message, .closed = on_closed };

static int watch_child(struct supervisor *s, struct nt_error *reterr)
{
    s->channel = channel_new(s->loop, nt_take_fd(s->channel_fd), false, &channel_events, s, reterr);
    if (!s->channel)
        return -1;
    s->child_watch = s->loop->ops->watch(s->loop, s->child_fd, NT_READABLE, on_child_end, s);
    return s->child_watch ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for a watch");
}

/* --- what it gets -------------------------------------------------------------------------- */

static int send_listener(struct supervisor *s, int fd, const struct listener *like,
                         struct nt_error *reterr)
{
    struct wire_listener word = { .head = { .kind = WIRE_LISTENER },
                                  .is_unix = like->is_unix,
                                  .is_embedded = like->is_embedded,
                                  .is_loopback = like->is_loopback,
                                  .port = like->port,
                                  .tls = like->tls };
    wire_text(word.text, sizeof(word.text), like->text);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    if (copy < 0 || channel_send(s->channel, &word, sizeof(word), copy) < 0)
        return nt_fail(reterr, NT_E_INTERNAL, "the API process does not take its listeners");
    return 0;
}

static int send_listeners(struct supervisor *s, struct nt_error *reterr)
{
    struct listener like;
    for (uint32_t i = 0; i < s->options.listen_count; i++) {
        nt_autoclose int fd = listen_bind(s->options.listens[i], &s->options, &like, reterr);
        if (fd < 0 || send_listener(s, fd, &like, reterr) < 0)
            return -1;
    }
    if (s->options.listen_count > 0)
        return 0;
    s->embedded_fd =
        embedded_bind(&s->embedded, s->options.runtime_dir, s->options.listen_fd, &like, reterr);
    return s->embedded_fd < 0 ? -1 : send_listener(s, s->embedded_fd, &like, reterr);
}

static int send_names(struct supervisor *s, struct nt_error *reterr)
{
    for (uint32_t i = 0; i < s->options.host_name_count; i++) {
        struct wire_name word = { .head = { .kind = WIRE_NAME } };
        wire_text(word.name, sizeof(word.name), s->options.host_names[i]);
        if (channel_send(s->channel, &word, sizeof(word), -1) < 0)
            return nt_fail(reterr, NT_E_INTERNAL, "the API process does not take its names");
    }
    return 0;
}

static int send_tls(struct supervisor *s, struct nt_error *reterr)
{
    nt_auto(tls_files_done) struct tls_files files = TLS_FILES_INIT;
    if (!s->options.tls_certificates)
        return 0;
    if (tls_files_read(s->options.tls_certificates, s->options.tls_key, &files, reterr) < 0)
        return -1;
    struct wire_tls word = { .head = { .kind = WIRE_TLS },
                             .certificates_size = (uint32_t)files.certificates.size,
                             .key_size = (uint32_t)files.key.size };
    int fd = tls_files_pack(&files, reterr);
    if (fd < 0)
        return -1;
    return channel_send(s->channel, &word, sizeof(word), fd) < 0
               ? nt_fail(reterr, NT_E_INTERNAL, "the API process does not take its certificate")
               : 0;
}

static int send_plan(struct supervisor *s, struct nt_error *reterr)
{
    struct wire_plan plan = {
        .head = { .kind = WIRE_PLAN },
        .caps = s->options.engine_ops->caps,
        .uid = s->uid,
        .gid = s->gid,
        .is_embedded = s->options.embedded,
        .idle_ms = s->options.idle_ms,
        .list_ms = s->options.list_ms,
        .abilities = { .size = sizeof(plan.abilities) },
    };
    s->options.engine_ops->abilities(monitor_engine(s->monitor), &plan.abilities);
    wire_text(plan.engine_name, sizeof(plan.engine_name), s->options.engine_name);
    if (s->options.min_client)
        wire_text(plan.min_client, sizeof(plan.min_client), s->options.min_client);
    wire_text(plan.data_dir, sizeof(plan.data_dir), s->options.data_dir);
    memcpy(plan.token, s->token, sizeof(plan.token));
    int sent = channel_send(s->channel, &plan, sizeof(plan), nt_take_fd(s->store_fd));
    sodium_memzero(plan.token, sizeof(plan.token));
    struct wire_head begin = { .kind = WIRE_BEGIN };
    if (sent < 0)
        return nt_fail(reterr, NT_E_INTERNAL, "the API process does not take its plan");
    return send_names(s, reterr) < 0 || send_tls(s, reterr) < 0 || send_listeners(s, reterr) < 0
                   || channel_send(s->channel, &begin, sizeof(begin), -1) < 0
               ? -1
               : 0;
}

static int open_engine(struct supervisor *s, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf dir = NT_BUF(4096);
    nt_buf_addf(&dir, "%s/engine-%s", s->options.data_dir, s->options.engine_name);
    if (!nt_buf_ok(&dir))
        return nt_fail(reterr, NT_E_LIMIT, "the path of the data folder is too long");
    if (folder_make(nt_buf_text(&dir), reterr) < 0
        || folder_make(s->options.runtime_dir, reterr) < 0)
        return -1;
    struct nt_engine_host host = {
        .size = sizeof(host),
        .data_dir = nt_buf_text(&dir),
        .runtime_dir = s->options.runtime_dir,
        .libexec_dir = s->options.libexec_dir,
    };
    return monitor_open_engine(s->monitor, &host, reterr);
}

/* --- beginning and end --------------------------------------------------------------------- */

static void find_user(struct supervisor *s)
{
    const struct passwd *user = getpwnam(API_USER);
    bool is_fine = user && user->pw_uid != 0 && user->pw_gid != 0;
    s->uid = is_fine ? user->pw_uid : API_UID;
    s->gid = is_fine ? user->pw_gid : API_UID;
}

static int watch_signals(struct supervisor *s, struct nt_error *reterr)
{
    static const int stops[] = { SIGTERM, SIGINT, SIGHUP };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < 3; i++) {
        if (stops[i] == SIGHUP && s->options.embedded) {
            signal(SIGHUP, SIG_IGN);
            continue;
        }
        s->signals[i] = s->loop->ops->signal(s->loop, stops[i], on_signal, s);
        if (!s->signals[i])
            return nt_fail(reterr, NT_E_MEMORY, "no memory for a signal");
    }
    return 0;
}

/* Before there is a loop: what can be refused at once, and the API process's start, which takes
 * its time while the engine opens. */
static int begin(struct supervisor *s, struct nt_error *reterr)
{
    struct rlimit none = { 0, 0 };
    if (embedded_is_in_workspace())
        return nt_fail(reterr, NT_E_FORBIDDEN, "a server cannot run inside a workspace");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return nt_fail_sys(reterr, errno, "cannot switch core dumps off");
    if (s->options.listen_count == 0
        && embedded_begin(&s->embedded, &s->options, s->token, reterr) < 0)
        return -1;
    if (chdir("/") < 0)
        return nt_fail_sys(reterr, errno, "cannot go to /");
    if (folder_make(s->options.data_dir, reterr) < 0)
        return nt_wrap(reterr, "the data folder");
    s->data_lock = folder_lock(s->options.data_dir, reterr);
    if (s->data_lock < 0 || spawn(s, reterr) < 0)
        return -1;
    find_user(s);
    s->store_fd = store_folder_open(s->options.data_dir, s->uid, s->gid, reterr);
    return s->store_fd < 0 ? -1 : 0;
}

static int open_parts(struct supervisor *s, struct nt_error *reterr)
{
    if (watch_child(s, reterr) < 0 || watch_signals(s, reterr) < 0
        || monitor_new(s->loop, s->options.engine_ops, &acts, s, &s->monitor, reterr) < 0
        || open_engine(s, reterr) < 0 || send_plan(s, reterr) < 0)
        return -1;
    return 0;
}

static void on_loop_freed(void *data)
{
    struct supervisor *s = data;
    s->is_freed = true;
}

static void on_close_limit(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void close_loop(struct supervisor *s)
{
    for (size_t i = 0; i < 3; i++)
        s->loop->ops->watch_end(s->signals[i]);
    s->loop->ops->watch_end(s->child_watch);
    s->loop->ops->timer_end(s->limit);
    channel_free(s->channel);
    s->channel = NULL;
    monitor_free(s->monitor);
    net_loop_free(s->loop, on_loop_freed, s);
    while (!s->is_freed)
        uv_run(&s->uv, UV_RUN_ONCE);
    /* What others still have to close must not keep the process for ever. */
    uv_timer_t limit;
    uv_timer_init(&s->uv, &limit);
    uv_timer_start(&limit, on_close_limit, CLOSE_MS, 0);
    uv_unref((uv_handle_t *)&limit);
    uv_run(&s->uv, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&limit, NULL);
    uv_run(&s->uv, UV_RUN_NOWAIT);
    if (uv_loop_close(&s->uv) < 0)
        act_debug(s, "serve.loop_not_empty", "");
}

static int serve(struct supervisor *s, struct nt_error *reterr)
{
    int status = uv_loop_init(&s->uv);
    if (status < 0)
        return nt_fail_sys(reterr, -status, "cannot make the event loop");
    s->loop = net_loop_new(&s->uv, reterr);
    if (!s->loop) {
        uv_loop_close(&s->uv);
        return -1;
    }
    status = open_parts(s, reterr);
    while (status == 0 && !s->is_over)
        uv_run(&s->uv, UV_RUN_ONCE);
    if (status == 0 && s->program_fd < 0 && s->error.code) {
        *reterr = s->error;
        status = -1;
    }
    close_loop(s);
    return status;
}

/* Takes the child's status, when the beginning failed and nobody waited for it. */
static void end_child(struct supervisor *s)
{
    if (s->child <= 0)
        return;
    kill(s->child, SIGKILL);
    while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
        continue;
    s->child = 0;
}

int supervise_run(const struct server_options *options, struct nt_error *reterr)
{
    if (sodium_init() < 0)
        return nt_fail(reterr, NT_E_INTERNAL, "libsodium does not start");
    nt_autofree struct supervisor *s = calloc(1, sizeof(*s));
    if (!s)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the server");
    *s = (struct supervisor){ .options = *options,
                              .embedded = EMBEDDED_INIT,
                              .error = NT_ERROR_INIT,
                              .child_fd = -1,
                              .channel_fd = -1,
                              .data_lock = -1,
                              .store_fd = -1,
                              .program_fd = -1,
                              .embedded_fd = -1 };
    umask(077);
    prctl(PR_SET_NAME, "nanoterm-engine");
    if (options->embedded && options->listen_fd < 0)
        embedded_claim(&s->embedded);
    int status = begin(s, reterr);
    if (status == 0)
        status = serve(s, reterr);
    end_child(s);
    if (status == 0 && s->program_fd >= 0) {
        handover_keep_listener(nt_take_fd(s->embedded_fd));
        status = handover_exec(&s->options, s->program_fd, s->embedded.lock_fd, reterr);
    }
    if (status < 0)
        embedded_failed(&s->embedded, reterr);
    embedded_unlink(&s->embedded);
    nt_closep(&s->embedded_fd);
    nt_closep(&s->program_fd);
    nt_closep(&s->store_fd);
    nt_closep(&s->channel_fd);
    nt_closep(&s->child_fd);
    nt_closep(&s->data_lock);
    embedded_done(&s->embedded);
    sodium_memzero(s->token, sizeof(s->token));
    return status;
}
