/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c - the thread that answers the program's questions: takes one, collects what it needs of
 * the program by copies and descriptors, and lets the file of the address family decide and act. */
#include "plugins/sandbox-enforce/notify/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "plugins/sandbox-enforce/notify/wait.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define STACK_SIZE (256u * 1024u)
#define EVENTS_AT_ONCE 16
#define WAKE_AGAIN_NS 50000000

struct notify {
    struct notify_options options;
    int listener, epoll, wake;
    bool is_listening; /* for questions: not while as many wait as can */
    struct seccomp_notif *question;
    struct seccomp_notif_resp *response;
    size_t question_size, response_size; /* of this kernel, which may know more than our headers */
    struct notify_names *names;
    struct notify_known *known;
    struct notify_wait *wait;
    pthread_t thread;
    bool has_thread, has_own_folder;
};

/* --- what the other files use -------------------------------------------------------------- */

bool notify_is_valid(const struct notify *n, uint64_t id)
{
    return ioctl(n->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

void notify_answer(const struct notify *n, uint64_t id, int64_t answer)
{
    memset(n->response, 0, n->response_size);
    n->response->id = id;
    if (answer == NOTIFY_NATIVE)
        n->response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else if (answer < 0)
        n->response->error = (int32_t)answer;
    else
        n->response->val = answer;
    /* It fails when the program is gone: then nobody waits for it. */
    (void)ioctl(n->listener, SECCOMP_IOCTL_NOTIF_SEND, n->response);
}

int notify_hand_in(const struct notify *n, uint64_t id, int fd, int number, bool close_on_exec)
{
    struct seccomp_notif_addfd add = { .id = id,
                                       .flags = SECCOMP_ADDFD_FLAG_SETFD,
                                       .srcfd = (uint32_t)fd,
                                       .newfd = (uint32_t)number,
                                       .newfd_flags = close_on_exec ? O_CLOEXEC : 0 };
    return ioctl(n->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? errno : 0;
}

const struct notify_options *notify_options_of(const struct notify *n)
{
    return &n->options;
}

bool notify_has_own_folder(const struct notify *n)
{
    return n->has_own_folder;
}

struct notify_names *notify_names_of(const struct notify *n)
{
    return n->names;
}

struct notify_known *notify_known_of(const struct notify *n)
{
    return n->known;
}

struct notify_wait *notify_wait_of(const struct notify *n)
{
    return n->wait;
}

int64_t notify_deny(const struct notify *n, const char *act, const char *target, const char *rule,
                    const char *grant)
{
    struct denial denial = { .source = DENIAL_NOTIFIED,
                             .act = act,
                             .target = target,
                             .layer = "notification",
                             .rule = rule,
                             .grant = grant };
    denials_add(n->options.denials, &denial);
    return -EACCES;
}

/* --- one question -------------------------------------------------------------------------- */

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/* Netlink tells the resolver which addresses there are. Groups beyond routing are for those who
 * administer, and are asked for by whoever binds: us. */
static int64_t netlink_answer(const struct notify_ask *ask, const struct notify_address *address)
{
    struct sockaddr_nl to;
    memcpy(&to, address->bytes, sizeof(to));
    bool is_bind = ask->call == SYS_bind;
    bool is_plain = to.nl_groups == 0 && (is_bind || to.nl_pid == 0);
    if (address->any.ss_family == AF_UNSPEC)
        is_plain = !is_bind;
    else if (is_bind && ask->protocol == NETLINK_ROUTE)
        is_plain = true;
    if (!is_plain)
        return notify_deny(ask->n, is_bind ? "bind" : "connect", "netlink",
                           "only routing tells what changes", "");
    int result = is_bind ? bind(ask->socket, (const void *)address->bytes, address->size)
                         : connect(ask->socket, (const void *)address->bytes, address->size);
    return result < 0 ? -errno : 0;
}

static int64_t answer_by_family(const struct notify_ask *ask, struct notify_address *address)
{
    bool is_bind = ask->call == SYS_bind;
    /* Takes a connection away: nothing to decide. For bind it means AF_INET there. */
    if (!is_bind && address->any.ss_family == AF_UNSPEC)
        return connect(ask->socket, (const void *)address->bytes, address->size) < 0 ? -errno : 0;
    switch (ask->domain) {
    case AF_INET:
    case AF_INET6:
        return is_bind ? inet_bind(ask, address) : inet_connect(ask, address);
    case AF_UNIX:
        return is_bind ? unix_bind(ask, address) : unix_connect(ask, address);
    case AF_NETLINK:
        return netlink_answer(ask, address);
    default:
        return notify_deny(ask->n, is_bind ? "bind" : "connect", "a socket of another family",
                           "only local and IP sockets", "");
    }
}

/* The copies are made, then the question is asked to be still valid: then they are the program's.
 */
static int64_t answer_socket(struct notify_ask *ask)
{
    struct notify_address address = { 0 };
    int sys = 0;
    if (ask->call == SYS_connect || ask->call == SYS_bind)
        sys = program_address(ask->pid, ask->args[1], ask->args[2], &address);
    nt_autoclose int copy =
        (int)syscall(SYS_pidfd_getfd, ask->pidfd, (int)(uint32_t)ask->args[0], 0u);
    if (copy < 0 && errno != EBADF) {
        if (!notify_is_valid(ask->n, ask->id))
            return NOTIFY_NOBODY;
        return notify_deny(ask->n, "connect", "a socket that cannot be taken from the program",
                           "the program cannot be looked into", "");
    }
    if (!notify_is_valid(ask->n, ask->id))
        return NOTIFY_NOBODY;
    if (copy < 0)
        return -EBADF;
    ask->socket = copy;
    ask->domain = socket_option(copy, SO_DOMAIN);
    ask->type = socket_option(copy, SO_TYPE);
    ask->protocol = socket_option(copy, SO_PROTOCOL);
    if (ask->domain < 0)
        return -ENOTSOCK;
    if (sys == EPERM)
        return notify_deny(ask->n, "connect", "an address that cannot be read from the program",
                           "the program cannot be looked into", "");
    if (sys)
        return -sys;
    switch (ask->call) {
    case SYS_listen:
        return inet_listen(ask);
    case SYS_getsockname:
        return names_answer(ask);
    case SYS_connect:
    case SYS_bind:
        return answer_by_family(ask, &address);
    default:
        return send_answer(ask);
    }
}

/* A sandbox inside this one asks for rules. Those for TCP would not hold, since connections are
 * made by this thread, which is not under them: whoever relies on them must hear that. What else is
 * asked for is the program's own affair. */
static int64_t answer_ruleset(const struct notify_ask *ask)
{
    uint64_t rights[2] = { 0 }; /* of files, of ports */
    if (ask->args[2] || ask->args[1] < sizeof(rights)
        || program_read(ask->pid, ask->args[0], rights, sizeof(rights)) != 0 || !rights[1])
        return NOTIFY_NATIVE;
    return -EOPNOTSUPP;
}

static int64_t decide(struct notify *n)
{
    const struct seccomp_notif *question = n->question;
    struct notify_ask ask = { .n = n,
                              .id = question->id,
                              .args = (const uint64_t *)question->data.args,
                              .pid = (pid_t)question->pid,
                              .call = question->data.nr,
                              .socket = -1 };
    nt_autoclose int pidfd = program_open(ask.pid);
    ask.pidfd = pidfd;
    if (!notify_is_valid(n, ask.id))
        return NOTIFY_NOBODY;
    if (files_is_call(ask.call))
        return files_answer(&ask);
    if (ask.call == SYS_ioctl)
        return ioctl_answer(&ask);
    if (pidfd < 0)
        return -EACCES;
    return ask.call == SYS_landlock_create_ruleset ? answer_ruleset(&ask) : answer_socket(&ask);
}

/* --- the thread ---------------------------------------------------------------------------- */

static void take_question(struct notify *n)
{
    memset(n->question, 0, n->question_size);
    /* ENOENT: it was taken back. */
    if (ioctl(n->listener, SECCOMP_IOCTL_NOTIF_RECV, n->question) < 0)
        return;
    uint64_t id = n->question->id;
    int64_t answer = decide(n);
    if (answer != NOTIFY_LATER && answer != NOTIFY_NOBODY)
        notify_answer(n, id, answer);
}

/* Does nothing for the program that it could not do itself. What is left, where it is there, is to
 * look into programs: no call that is made for one asks for that. */
static void lower_thread(struct notify *n)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct had[2] = { { 0 } }, kept[2] = { { 0 } };
    (void)syscall(SYS_capget, &head, had);
    kept[0].effective = kept[0].permitted = had[0].permitted & (1u << CAP_SYS_PTRACE);
    (void)syscall(SYS_capset, &head, kept); /* less is always possible */
    /* Names are bound from their folder, with the program's umask: both are this thread's own. */
    n->has_own_folder = unshare(CLONE_FS) == 0;
}

/* No more questions while no more can wait; the kernel keeps them. */
static void listen_while_there_is_room(struct notify *n)
{
    bool has_room = wait_has_room(n->wait);
    if (has_room == n->is_listening)
        return;
    struct epoll_event event = { .events = has_room ? EPOLLIN : 0, .data.u64 = NOTIFY_AT_LISTENER };
    if (epoll_ctl(n->epoll, EPOLL_CTL_MOD, n->listener, &event) == 0)
        n->is_listening = has_room;
}

static void *thread_main(void *argument)
{
    struct notify *n = argument;
    lower_thread(n);
    for (;;) {
        struct epoll_event events[EVENTS_AT_ONCE];
        int count = epoll_wait(n->epoll, events, EVENTS_AT_ONCE, wait_timeout_ms(n->wait));
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == NOTIFY_AT_WAKE)
                return NULL;
            if (events[i].data.u64 != NOTIFY_AT_LISTENER)
                wait_ready(n->wait, events[i].data.u64);
            else if (events[i].events & EPOLLIN)
                take_question(n);
            else /* the last program with the filter has ended */
                (void)epoll_ctl(n->epoll, EPOLL_CTL_DEL, n->listener, NULL);
        }
        wait_look(n->wait);
        listen_while_there_is_room(n);
    }
}

static void on_interrupt(int signal)
{
    (void)signal;
}

/* A program can make a call wait that was not to: its other threads change the flags of a socket in
 * the moment before we connect it, and a socket that lingers waits when it is closed. Nothing but a
 * signal ends that. SIGURG is nobody else's, and means nothing to those that do not expect it. */
static void join_thread(struct notify *n)
{
    struct timespec until;
    uint64_t one = 1;
    while (write(n->wake, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    do {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAKE_AGAIN_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    } while (pthread_timedjoin_np(n->thread, NULL, &until) == ETIMEDOUT
             && pthread_kill(n->thread, SIGURG) == 0);
}

static int start_thread(struct notify *n)
{
    const struct sigaction interrupt = { .sa_handler = on_interrupt }; /* calls are not restarted */
    sigset_t all, old;
    pthread_attr_t attributes;
    sigfillset(&all);
    sigdelset(&all, SIGURG);
    if (sigaction(SIGURG, &interrupt, NULL) < 0 || pthread_attr_init(&attributes) != 0)
        return ENOMEM;
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    int sys = pthread_create(&n->thread, &attributes, thread_main, n);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    n->has_thread = sys == 0;
    return sys;
}

static int watch(struct notify *n, int fd, uint64_t what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = what };
    return epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? errno : 0;
}

/* 0 or errno; what was made is freed by notify_free. */
static int prepare(struct notify *n)
{
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0u, &sizes) < 0)
        return errno;
    n->question_size =
        sizes.seccomp_notif > sizeof(*n->question) ? sizes.seccomp_notif : sizeof(*n->question);
    n->response_size = sizes.seccomp_notif_resp > sizeof(*n->response) ? sizes.seccomp_notif_resp
                                                                       : sizeof(*n->response);
    n->question = calloc(1, n->question_size);
    n->response = calloc(1, n->response_size);
    n->names = names_new();
    n->known = known_new(&n->options);
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (n->epoll < 0 || n->wake < 0)
        return errno;
    n->wait = wait_new(n, n->epoll);
    if (!n->question || !n->response || !n->names || !n->known || !n->wait)
        return ENOMEM;
    int sys = watch(n, n->listener, NOTIFY_AT_LISTENER);
    n->is_listening = true;
    return sys ? sys : watch(n, n->wake, NOTIFY_AT_WAKE);
}

int notify_new(int listener, const struct notify_options *options, struct notify **ret,
               struct nt_error *reterr)
{
    struct notify *n = calloc(1, sizeof(*n));
    if (!n) {
        close(listener);
        return nt_fail_sys(reterr, ENOMEM, "cannot answer the program's connections");
    }
    *n = (struct notify){ .options = *options, .listener = listener, .epoll = -1, .wake = -1 };
    int sys = prepare(n);
    if (!sys)
        sys = start_thread(n);
    if (sys) {
        notify_free(n);
        return nt_fail_sys(reterr, sys, "cannot answer the program's connections");
    }
    *ret = n;
    return 0;
}

void notify_free(struct notify *n)
{
    if (!n)
        return;
    if (n->has_thread)
        join_thread(n);
    wait_free(n->wait);
    names_free(n->names);
    known_free(n->known);
    free(n->question);
    free(n->response);
    if (n->epoll >= 0)
        close(n->epoll);
    if (n->wake >= 0)
        close(n->wake);
    close(n->listener);
    free(n);
}
