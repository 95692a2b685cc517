/* SPDX-License-Identifier: Apache-2.0 */
/* api_process.c - the API process: started by the monitor, told what to do, privilege given up,
 * then the same server as everybody's. */
#include "api_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/serve/http/router.h"
#include "plugins/serve/monitor/client.h"
#include "plugins/serve/monitor/drop.h"
#include "plugins/serve/tls_files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/fds.h"

#define ENVIRONMENT_MAX 256

/* --- in the monitor ------------------------------------------------------------------------ */

/* Credentials of other APIs are no business of what reads the network. */
static bool is_passed(const char *entry)
{
    static const char *const starts[] = { "PATH=",
                                          "HOME=",
                                          "LANG=",
                                          "TZ=",
                                          "XDG_",
                                          "ASAN_",
                                          "UBSAN_",
                                          "TSAN_",
                                          "NANOTERM_PLUGIN_PATH=",
                                          "NANOTERM_DEBUG=" };
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (strncmp(entry, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* In the child: system calls only. */
static _Noreturn void become_api(int fd, int null_fd, char *const *environment)
{
    static const char *const words[] = { "nanoterm", "serve", "--api-process", NULL };
    char *argv[sizeof(words) / sizeof(words[0])];
    memcpy(argv, words, sizeof(words)); /* execve does not write to them */
    sigset_t none;
    sigemptyset(&none);
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL); /* fails for those that cannot be changed */
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Away from a terminal: what is typed there by ioctl would be typed by root. */
    setsid();
    bool has_terminal = isatty(2);
    if (dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || (has_terminal && dup2(null_fd, 2) < 0)
        || dup2(fd, WIRE_FD) < 0)
        _exit(127);
    close_range(WIRE_FD + 1, ~0u, 0);
    execve("/proc/self/exe", argv, environment);
    _exit(127);
}

int api_process_spawn(int fd, pid_t *ret, struct nt_error *reterr)
{
    char *environment[ENVIRONMENT_MAX + 1];
    uint32_t count = 0;
    for (char **entry = environ; *entry && count < ENVIRONMENT_MAX; entry++)
        if (is_passed(*entry))
            environment[count++] = *entry;
    environment[count] = NULL;
    /* Above the descriptors that it gets. */
    nt_autoclose int null_low = open("/dev/null", O_RDWR | O_CLOEXEC);
    nt_autoclose int null_fd = fcntl(null_low, F_DUPFD_CLOEXEC, 10);
    nt_autoclose int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    if (null_fd < 0 || high < 0)
        return nt_fail_sys(reterr, errno, "cannot arrange descriptors");
    sigset_t all, before;
    sigfillset(&all); /* no handler of ours may run in the child */
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become_api(high, null_fd, environment);
    int sys = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return nt_fail_sys(reterr, sys, "cannot start the API process");
    *ret = pid;
    return 0;
}

/* --- in the API process -------------------------------------------------------------------- */

struct api {
    struct wire_plan plan;
    struct listener listeners[WIRE_LISTENERS];
    int fds[WIRE_LISTENERS];
    uint32_t count;
    char names[WIRE_NAMES][256];
    const char *name_list[WIRE_NAMES];
    uint32_t name_count;
    struct tls_files tls;
    bool has_tls;
    int store_fd;
    bool is_ready;
    enum enforce_layer without; /* struct drop */
    void (*debug)(void *data, const char *event, const char *fields);
    void *debug_data;
};

static struct api api; /* one per process; the server's functions carry no data of it */

/* One message of the monitor, waited for. Its size; 0: the monitor is gone. */
static size_t receive(void *ret, size_t size, int *ret_fd)
{
    int count;
    ssize_t n;
    *ret_fd = -1;
    do
        n = nt_recv_fds(WIRE_FD, ret, size, ret_fd, 1, &count, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

static int take_listener(const struct wire_listener *word, int fd)
{
    if (fd < 0 || api.count == WIRE_LISTENERS)
        return -1;
    struct listener *l = &api.listeners[api.count];
    *l = (struct listener){ .is_unix = word->is_unix,
                            .is_embedded = word->is_embedded,
                            .is_loopback = word->is_loopback,
                            .tls = word->tls,
                            .port = (uint16_t)word->port };
    nt_copy_text(l->text, sizeof(l->text), word->text);
    api.fds[api.count++] = fd;
    return 0;
}

static int take_name(const struct wire_name *word)
{
    if (api.name_count == WIRE_NAMES)
        return -1;
    nt_copy_text(api.names[api.name_count], sizeof(api.names[0]), word->name);
    api.name_list[api.name_count] = api.names[api.name_count];
    api.name_count++;
    return 0;
}

static int take_tls(const struct wire_tls *word, int fd)
{
    struct nt_error error = NT_ERROR_INIT;
    api.has_tls =
        fd >= 0
        && tls_files_unpack(fd, word->certificates_size, word->key_size, &api.tls, &error) == 0;
    nt_closep(&fd);
    return api.has_tls ? 0 : -1;
}

static int read_plan(struct nt_error *reterr)
{
    size_t size = receive(&api.plan, sizeof(api.plan), &api.store_fd);
    if (size != sizeof(api.plan) || api.plan.head.kind != WIRE_PLAN || api.store_fd < 0)
        return nt_fail(reterr, NT_E_USAGE,
                       "--api-process is for nanoterm itself: no plan came from a monitor");
    for (;;) {
        union {
            struct wire_head head;
            struct wire_listener listener;
            struct wire_name name;
            struct wire_tls tls;
        } word;
        int fd, taken = -1;
        size = receive(&word, sizeof(word), &fd);
        if (size == sizeof(word.head) && word.head.kind == WIRE_BEGIN)
            return 0;
        if (size == sizeof(word.listener) && word.head.kind == WIRE_LISTENER)
            taken = take_listener(&word.listener, fd);
        else if (size == sizeof(word.name) && word.head.kind == WIRE_NAME)
            taken = take_name(&word.name);
        else if (size == sizeof(word.tls) && word.head.kind == WIRE_TLS)
            taken = take_tls(&word.tls, fd);
        if (taken < 0)
            return nt_fail(reterr, NT_E_INTERNAL, "the monitor sent an unknown plan");
    }
}

static void (*stop_server)(struct server *server);

static void on_stop(void *data)
{
    stop_server(data);
}

static void say(void *data, const char *line);

static void on_tls(void *data, const struct wire_tls *word, int fd)
{
    nt_auto(tls_files_done) struct tls_files files = TLS_FILES_INIT;
    struct nt_error error = NT_ERROR_INIT;
    if (tls_files_unpack(fd, word->certificates_size, word->key_size, &files, &error) < 0
        || server_use_tls(data, &files, &error) < 0) {
        char line[400];
        snprintf(line, sizeof(line), "The certificate stays as it was: %s", error.message);
        say(NULL, line);
    }
    nt_closep(&fd);
}

static void on_ended(void *data)
{
    (void)data;
    /* Without the monitor there is no engine and nobody to drain for. What was acknowledged is on
     * the disk. */
    _exit(1);
}

/* Never weaker in silence: the log of the server says it, and `doctor` (which asks the kernel). */
static void tell_weaker(void)
{
    char line[256];
    if (api.without == ENFORCE_LAYERS)
        return;
    snprintf(line, sizeof(line),
             "The process that reads HTTP runs without the fence '%s', which %s",
             enforce_layer_name(api.without), enforce_layer_remedy(api.without));
    client_note(line);
}

static int begin(struct nt_loop *loop, void (*stop)(struct server *server), struct server *server,
                 struct nt_error *reterr)
{
    static const struct client_events events = { .stop = on_stop,
                                                 .tls = on_tls,
                                                 .ended = on_ended };
    stop_server = stop;
    int fd = fcntl(WIRE_FD, F_DUPFD_CLOEXEC, 10); /* WIRE_FD stays, for the last word */
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot speak with the monitor");
    if (client_begin(loop, fd, &api.plan, &events, server, reterr) < 0)
        return -1;
    tell_weaker();
    return 0;
}

static int owner_key(void *data, uint8_t ret_hash[32], bool *ret_made, struct nt_error *reterr)
{
    (void)data;
    return client_owner_key(ret_hash, ret_made, reterr);
}

static void ready(void)
{
    api.is_ready = true;
    client_ready();
}

static void say(void *data, const char *line)
{
    (void)data;
    client_note(line);
}

static void debug(void *data, const char *event, const char *fields)
{
    (void)data;
    api.debug(api.debug_data, event, fields);
}

static void tell_failed(const struct nt_error *error)
{
    struct wire_error word = { .head = { .kind = WIRE_FAILED }, .error = *error };
    if (word.error.code >= NT_E_PLUGIN_FIRST)
        word.error.code = NT_E_INTERNAL;
    (void)send(WIRE_FD, &word, sizeof(word), MSG_NOSIGNAL);
}

static int serve(struct nt_error *reterr)
{
    struct drop drop = { .uid = api.plan.uid, .gid = api.plan.gid, .store_fd = api.store_fd };
    if (fchdir(api.store_fd) < 0)
        return nt_fail_sys(reterr, errno, "cannot go to the store's folder");
    if (drop_privileges(&drop, reterr) < 0)
        return -1;
    nt_closep(&api.store_fd);
    api.without = drop.without;
    struct server_given given = {
        .token = api.plan.token,
        .owner = 0,
        .listeners = api.listeners,
        .listener_fds = api.fds,
        .listener_count = api.count,
        .begin = begin,
        .end = client_end,
        .owner_key = owner_key,
        .ready = ready,
        .leave = client_leave,
        .handover = client_handover,
        .tls = api.has_tls ? &api.tls : NULL,
        .listen = client_listen,
    };
    struct server_options options = {
        .engine_ops = client_engine_ops(&api.plan),
        .engine_name = api.plan.engine_name,
        .data_dir = api.plan.data_dir,
        .runtime_dir = "",
        .libexec_dir = "",
        .embedded = api.plan.is_embedded,
        .host_names = api.name_list,
        .host_name_count = api.name_count,
        .listen_fd = -1,
        .min_client = api.plan.min_client,
        .idle_ms = api.plan.idle_ms,
        .list_ms = api.plan.list_ms,
        .given = &given,
        .say = api.plan.is_embedded ? NULL : say,
        .debug = debug,
    };
    return server_run(&options, reterr);
}

int api_process_run(void (*report)(void *data, const char *event, const char *fields), void *data,
                    struct nt_error *reterr)
{
    api.debug = report;
    api.debug_data = data;
    prctl(PR_SET_NAME, "nanoterm-api");
    if (fcntl(WIRE_FD, F_SETFD, FD_CLOEXEC) < 0)
        return nt_fail(reterr, NT_E_USAGE, "--api-process is for nanoterm itself");
    if (read_plan(reterr) < 0)
        return -1;
    int status = serve(reterr);
    if (status < 0 && !api.is_ready)
        tell_failed(reterr);
    return status;
}
