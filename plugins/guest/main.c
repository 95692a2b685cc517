/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - nanoterm-guest: PID 1 of a workspace. Starts, accepts connections, serves small
 * requests, and ends.
 *
 * The launcher gives the descriptors (state.h) and the base environment of all programs. The socket
 * lies outside the workspace: what connects is the server. Programs inside run under the same uid,
 * so the guest is not dumpable: they can neither trace it nor open its descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/guest/counters.h"
#include "plugins/guest/jobs.h"
#include "plugins/guest/ports.h"
#include "plugins/guest/program.h"
#include "plugins/guest/pty.h"
#include "plugins/guest/relay.h"
#include "plugins/guest/sidecar.h"
#include "plugins/guest/state.h"
#include "plugins/guest/terminal.h"
#include "plugins/guest/watchdog.h"
#include "sdk/fds.h"

#define OVERFLOW_UID 65534u /* what host root looks like from inside */
#define TERM_MS 2000        /* between SIGTERM and SIGKILL at the end of the time to live */
#define FORCE_MS 5000
#define ENV_MAX 4096
#define DESCRIPTORS 16384

struct guest guest = { .exit_status = -1, .oom_fd = -1 };

static struct source listener = { .fd = -1 }, signals = { .fd = -1 };

/* --- the end of the workspace -------------------------------------------------------------- */

static int ending_status;
static struct conn *shutdown_conn;
static struct timer ending;

static void shutdown_lost(struct conn *c)
{
    (void)c;
    shutdown_conn = NULL; /* it goes on: stopping is not taken back */
}
static const struct conn_ops shutdown_ops = { .lost = shutdown_lost };

static void end_when_alone(void)
{
    if (!guest.is_ending || programs_alive() || sidecars_busy() || guest.exit_status >= 0)
        return;
    guest.exit_status = ending_status;
    if (shutdown_conn)
        conn_ok(shutdown_conn);
}

/* A process that cannot be killed (it waits in the kernel) does not keep the workspace: the end of
 * PID 1 ends it. */
static void force_end(struct timer *timer)
{
    (void)timer;
    guest.exit_status = ending_status;
}

static void kill_rest(struct timer *timer)
{
    (void)timer;
    loop_timer(&ending, FORCE_MS, force_end);
    programs_kill_all();
    end_when_alone();
}

static void begin_end(int status, int64_t grace_ms)
{
    if (guest.is_ending)
        return;
    guest.is_ending = true;
    ending_status = status;
    programs_signal_all(SIGTERM);
    loop_timer(&ending, grace_ms, kill_rest);
    end_when_alone();
}

static void on_ttl(struct timer *timer)
{
    (void)timer;
    begin_end(GUEST_EXIT_TTL, TERM_MS);
}

static void on_idle(struct timer *timer)
{
    (void)timer;
    begin_end(GUEST_EXIT_IDLE, TERM_MS);
}

void guest_busy(void)
{
    end_when_alone();
    watchdog_wake();
    if (!guest.idle_ms)
        return;
    if (conn_count || relay_count || programs_alive() || sidecars_busy())
        loop_timer_end(&guest.idle);
    else if (!guest.idle.fn)
        loop_timer(&guest.idle, guest.idle_ms, on_idle);
}

/* --- requests ------------------------------------------------------------------------------ */

static size_t name_size(const char *entry)
{
    return strcspn(entry, "=");
}

/* Sets or replaces one "NAME=value". */
static int env_set(const char *text, size_t size)
{
    char *entry = strndup(text, size);
    if (!entry)
        return -1;
    for (size_t i = 0; i < guest.env_count; i++) {
        if (name_size(guest.env[i]) == name_size(entry)
            && strncmp(guest.env[i], entry, name_size(entry)) == 0) {
            free(guest.env[i]);
            guest.env[i] = entry;
            return 0;
        }
    }
    char **grown = guest.env_count < ENV_MAX
                       ? realloc(guest.env, (guest.env_count + 1) * sizeof(*grown))
                       : NULL;
    if (!grown) {
        free(entry);
        return -1;
    }
    guest.env = grown;
    guest.env[guest.env_count++] = entry;
    return 0;
}

/* ENV, when there is one, replaces what an earlier CONFIGURE said. */
static void configure(struct conn *c, const struct request *r, const struct nt_g_frame *frame)
{
    struct nt_g_field f;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        if (f.tag == NT_GT_ENV
            && (f.size == 0 || f.data[0] == '=' || !memchr(f.data, '=', f.size))) {
            conn_error(c, NT_GE_INVALID, 0, "an environment entry is not NAME=value");
            return;
        }
    }
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        if (f.tag == NT_GT_ENV && env_set((const char *)f.data, f.size) < 0) {
            conn_error(c, NT_GE_LIMIT, 0, "too many environment entries");
            return;
        }
    }
    if (request_has(r, NT_GT_TTL_MS)) {
        loop_timer_end(&guest.ttl);
        uint64_t ms = r->number[NT_GT_TTL_MS];
        if (ms)
            loop_timer(&guest.ttl, ms > INT64_MAX ? INT64_MAX : (int64_t)ms, on_ttl);
    }
    if (request_has(r, NT_GT_IDLE_MS)) {
        loop_timer_end(&guest.idle);
        uint64_t ms = r->number[NT_GT_IDLE_MS];
        guest.idle_ms = ms > INT64_MAX ? INT64_MAX : (int64_t)ms;
    }
    conn_ok(c);
    guest_busy();
}

static void shut_down(struct conn *c, const struct request *r)
{
    if (shutdown_conn) {
        conn_error(c, NT_GE_INVALID, EBUSY, "the workspace is already ending");
        return;
    }
    uint64_t ms = request_number(r, NT_GT_TIMEOUT_MS, TERM_MS);
    shutdown_conn = c;
    c->ops = &shutdown_ops;
    if (guest.is_ending) { /* by time: it now also has someone to tell */
        ending_status = 0;
        end_when_alone();
        return;
    }
    begin_end(0, ms > 3600000 ? 3600000 : (int64_t)ms);
}

static void adopt(struct conn *c)
{
    int fd = conn_take_fd(c, 0);
    int type = 0, domain = 0;
    socklen_t size = sizeof(int);
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof(peer);
    if (fd < 0 || c->fd_count != 1 || c->bad_fds
        || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0
        || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || type != SOCK_STREAM
        || domain != AF_UNIX || getpeername(fd, (struct sockaddr *)&peer, &peer_size) < 0) {
        if (fd >= 0)
            close(fd);
        conn_error(c, NT_GE_BAD_DESCRIPTOR, 0, "that is not a connected Unix socket");
        return;
    }
    if (conn_new(fd, true))
        conn_ok(c);
    else
        conn_error(c, NT_GE_LIMIT, 0, "too many connections");
}

static void give_listener(struct conn *c)
{
    if (!guest.has_way_out) {
        conn_error(c, NT_GE_NOT_FOUND, 0, "this workspace has no way out");
        return;
    }
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, NT_G_OK, 0);
    int fd = GUEST_FD_WAY_OUT;
    /* the first bytes after HELLO: there is room */
    (void)nt_send_fds(c->source.fd, head, sizeof(head), &fd, 1, MSG_DONTWAIT);
    conn_end(c);
}

/* What a client that has no server in its path may ask for (local.h). */
static bool is_allowed_when_adopted(uint16_t type)
{
    static const uint16_t types[] = {
        NT_G_EXEC,
        NT_G_ATTACH,
        NT_G_CONNECT,
        NT_G_READ,
        NT_G_WRITE,
        NT_G_TREE_READ,
        NT_G_TREE_WRITE,
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i] == type)
            return true;
    return false;
}

void guest_request(struct conn *c, const struct nt_g_frame *frame, const uint8_t *more,
                   size_t more_size)
{
    struct request r;
    if (request_read(&r, frame) < 0) {
        conn_close(c);
        return;
    }
    if (c->is_adopted && !is_allowed_when_adopted(r.type)) {
        conn_error(c, NT_GE_NOT_ALLOWED, 0, "this request is not allowed on this connection");
        return;
    }
    switch (r.type) {
    case NT_G_EXEC:
        program_exec(c, &r, frame);
        return;
    case NT_G_ATTACH:
    case NT_G_LOGS:
        job_view(c, &r);
        return;
    case NT_G_PROCS:
        job_list(c);
        return;
    case NT_G_KILL:
        job_kill(c, &r);
        return;
    case NT_G_FEED:
        job_feed(c, &r);
        return;
    case NT_G_STAT:
    case NT_G_LIST:
    case NT_G_READ:
    case NT_G_WRITE:
    case NT_G_MKDIR:
    case NT_G_REMOVE:
    case NT_G_RENAME:
    case NT_G_CHMOD:
    case NT_G_GREP:
    case NT_G_GLOB:
    case NT_G_REPLACE:
    case NT_G_WATCH:
    case NT_G_TREE_READ:
    case NT_G_TREE_WRITE:
    case NT_G_PORTS:
        helper_start(c, &r, more, more_size);
        return;
    case NT_G_METRICS:
        counters_note_usage();
        helper_start(c, &r, more, more_size);
        return;
    case NT_G_PUBLISH:
        ports_publish(c, &r);
        return;
    case NT_G_UNPUBLISH:
        ports_unpublish(c, &r);
        return;
    case NT_G_CONNECT:
        relay_connect(c, &r, more_size);
        return;
    case NT_G_CONFIGURE:
        configure(c, &r, frame);
        return;
    case NT_G_SHUTDOWN:
        shut_down(c, &r);
        return;
    case NT_G_ADOPT:
        adopt(c);
        return;
    case NT_G_LISTENER:
        give_listener(c);
        return;
    case NT_G_PING:
        conn_ok(c);
        return;
    default:
        conn_error(c, NT_GE_UNSUPPORTED, 0, "this guest does not know request %u",
                   (unsigned)r.type);
    }
}

/* --- start --------------------------------------------------------------------------------- */

static void on_connection(struct source *source, uint32_t events)
{
    (void)events;
    /* given up to refuse a peer when no descriptor is left: else it would wait, and we spin */
    static int spare = -1;
    if (spare < 0)
        spare = fcntl(guest.null_fd, F_DUPFD_CLOEXEC, GUEST_FD_COUNT);
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare >= 0) {
        close(spare);
        spare = -1;
        fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        return;
    }
    if (fd < 0)
        return;
    struct ucred peer = { 0 };
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0
        || (peer.uid != geteuid() && peer.uid != OVERFLOW_UID && peer.uid != 0)) {
        close(fd);
        return;
    }
    conn_new(fd, false);
}

static void on_signal(struct source *source, uint32_t events)
{
    (void)events;
    struct signalfd_siginfo info;
    while (read(source->fd, &info, sizeof(info)) > 0) {
        if (info.ssi_signo == SIGTERM) /* only from outside: inside, nothing may signal PID 1 */
            begin_end(0, TERM_MS);
    }
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            break;
        if (!helper_reaped(pid) && !sidecar_reaped(pid))
            program_reaped(pid);
    }
    programs_sweep_orphans();
    guest_busy();
}

static void reset_signals(void)
{
    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            signal(i, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
}

static int watch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_SETMASK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -1 : loop_add(&signals, fd, EPOLLIN, on_signal);
}

/* The launcher's descriptors stay close-on-exec from here. What is missing of 0, 1, 2 is filled, so
 * that no other descriptor takes their places. */
static int take_descriptors(void)
{
    guest.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (guest.null_fd < 0)
        return -1;
    int high = fcntl(guest.null_fd, F_DUPFD_CLOEXEC, GUEST_FD_COUNT);
    close(guest.null_fd);
    guest.null_fd = high;
    if (high < 0)
        return -1;
    for (int i = 0; i < GUEST_FD_COUNT; i++)
        if (fcntl(i, F_GETFD) < 0)
            dup2(guest.null_fd, i);
    for (int i = GUEST_FD_SOCKET; i < GUEST_FD_COUNT; i++)
        fcntl(i, F_SETFD, FD_CLOEXEC);
    int is_listening = 0;
    socklen_t size = sizeof(is_listening);
    guest.has_way_out =
        getsockopt(GUEST_FD_WAY_OUT, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) == 0
        && is_listening;
    struct stat st;
    if (guest.has_way_out && fstat(GUEST_FD_WAY_OUT, &st) == 0)
        guest.way_out_inode = st.st_ino;
    fcntl(GUEST_FD_SOCKET, F_SETFL, fcntl(GUEST_FD_SOCKET, F_GETFL) | O_NONBLOCK);
    counters_init();
    return 0;
}

static void protect(void)
{
    guest.oom_fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (guest.oom_fd >= 0) {
        ssize_t n = read(guest.oom_fd, guest.oom_own, sizeof(guest.oom_own) - 1);
        guest.oom_own[n > 0 ? n : 0] = '\0';
    }
    prctl(PR_SET_DUMPABLE, 0);
}

static int read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--test") == 0) {
            guest.is_test = true;
        } else if (strcmp(argv[i], "--listener") == 0) {
            /* the descriptor itself says it */
        } else if (strcmp(argv[i], "--workspace") == 0 && i + 1 < argc) {
            guest.workspace = argv[++i];
        } else if (strcmp(argv[i], "--ttl-ms") == 0 && i + 1 < argc) {
            char *end;
            errno = 0;
            long long ms = strtoll(argv[++i], &end, 10);
            if (errno || *end || ms < 0)
                return -1;
            if (ms)
                loop_timer(&guest.ttl, ms, on_ttl);
        } else if (strcmp(argv[i], "--memory-bytes") == 0 && i + 1 < argc) {
            char *end;
            errno = 0;
            unsigned long long bytes = strtoull(argv[++i], &end, 10);
            if (errno || *end)
                return -1;
            watchdog_init(bytes);
        } else {
            return -1;
        }
    }
    return 0;
}

/* For ourselves: programs get back what was meant for them. */
static void raise_descriptor_limit(void)
{
    struct rlimit own;
    if (getrlimit(RLIMIT_NOFILE, &guest.files) < 0)
        return;
    own = guest.files;
    own.rlim_cur = own.rlim_max < DESCRIPTORS ? own.rlim_max : DESCRIPTORS;
    if (own.rlim_cur > guest.files.rlim_cur)
        setrlimit(RLIMIT_NOFILE, &own);
}

/* For the engine; without it (a full disk) the server still has its clock. */
static void leave_reason(void)
{
    const char *why = guest.exit_status == GUEST_EXIT_TTL    ? "ttl\n"
                      : guest.exit_status == GUEST_EXIT_IDLE ? "idle\n"
                                                             : NULL;
    if (!why)
        return;
    int fd = openat(GUEST_FD_LOGS, GUEST_ENDED_FILE,
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    ssize_t n = write(fd, why, strlen(why));
    (void)n;
    close(fd);
}

static int give_up(const char *what)
{
    dprintf(2, "nanoterm-guest: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    if (read_arguments(argc, argv) < 0) {
        errno = EINVAL;
        return give_up("arguments");
    }
    reset_signals();
    umask(022);
    guest.base = guest.is_test ? getcwd(NULL, 0) : "/workspace";
    if (!guest.base)
        return give_up("working directory");
    raise_descriptor_limit();
    if (guest.is_test)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (take_descriptors() < 0)
        return give_up("descriptors");
    protect();
    pty_init();
    if (getrandom(guest.nonce, sizeof(guest.nonce), 0) != sizeof(guest.nonce))
        return give_up("random numbers");
    if (loop_init() < 0 || watch_signals() < 0
        || loop_add(&listener, GUEST_FD_SOCKET, EPOLLIN, on_connection) < 0)
        return give_up("listening");
    jobs_init();
    ssize_t n = write(GUEST_FD_READY, "R", 1);
    (void)n; /* nobody may wait */
    close(GUEST_FD_READY);
    while (guest.exit_status < 0) {
        loop_turn();
        conn_sweep();
        programs_sweep();
        terminals_sweep();
    }
    leave_reason();
    return guest.exit_status;
}
