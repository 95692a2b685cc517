/* SPDX-License-Identifier: Apache-2.0 */
/* stand_in.c - what lies over a command that runs in a sandbox of its own: asks for it to be
 * started outside of this one, passes signals on, stops and ends as it did. A static program; it
 * holds no right that the program inside does not have. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"

#define STATUS_REFUSED 126

extern char **environ;

static int channel = -1;
static volatile sig_atomic_t is_joined, has_stop; /* as of MEDIATE_STARTED; SIGTSTP came to us */

static _Noreturn void give_up(const char *name, const char *why)
{
    const char *slash = strrchr(name, '/');
    dprintf(2, "nanoterm: %s was not started: %s\n", slash ? slash + 1 : name, why);
    _exit(STATUS_REFUSED);
}

/* --- what is asked ------------------------------------------------------------------------- */

static size_t add(char *bytes, size_t at, const char *text)
{
    size_t size = strlen(text) + 1;
    if (bytes)
        memcpy(bytes + at, text, size);
    return at + size;
}

/* The texts, or with NULL their size. */
static size_t fill(char *bytes, const char *file, const char *folder, char **words)
{
    size_t at = add(bytes, 0, file);
    at = add(bytes, at, folder);
    for (; *words; words++)
        at = add(bytes, at, *words);
    for (char **entry = environ; *entry; entry++)
        at = add(bytes, at, *entry);
    return at;
}

static uint32_t count_of(char **list)
{
    uint32_t count = 0;
    while (list[count])
        count++;
    return count;
}

static int send_all(const char *bytes, size_t size)
{
    while (size) {
        ssize_t n = send(channel, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

static void find_file(char ret[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", ret, PATH_MAX - 1);
    if (size > 0) {
        ret[size] = '\0';
        return;
    }
    const char *given = (const char *)getauxval(AT_EXECFN);
    snprintf(ret, PATH_MAX, "%s", given ? given : "");
}

static uint32_t find_ignored(void)
{
    uint32_t ignored = 0;
    struct sigaction now;
    for (int number = 1; number < 32; number++)
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            ignored |= 1u << number;
    return ignored;
}

static uint32_t find_mask(void)
{
    mode_t mask = umask(0777);
    umask(mask);
    return mask;
}

static void ask(const char *name, char **words)
{
    char file[PATH_MAX], folder[PATH_MAX];
    find_file(file);
    if (!getcwd(folder, sizeof(folder)))
        memcpy(folder, "/", 2);
    const size_t size = fill(NULL, file, folder, words);
    const struct mediate_head head = { .magic = MEDIATE_MAGIC,
                                       .size = (uint32_t)size,
                                       .words = count_of(words),
                                       .variables = count_of(environ),
                                       .ignored = find_ignored(),
                                       .mask = find_mask() };
    if (size > MEDIATE_SIZE_MAX || head.words > MEDIATE_WORDS_MAX
        || head.variables > MEDIATE_VARIABLES_MAX)
        give_up(name, "its words and variables are too many");
    char *bytes = malloc(sizeof(head) + size);
    if (!bytes)
        give_up(name, "out of memory");
    memcpy(bytes, &head, sizeof(head));
    fill(bytes + sizeof(head), file, folder, words);
    /* It may have answered before it has read all: then what it says counts. */
    (void)send_all(bytes, sizeof(head) + size);
    free(bytes);
}

/* --- while it runs --------------------------------------------------------------------------- */

/* A terminal signals a whole group, and the command may be in ours: then it has it already. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    const unsigned char byte = (unsigned char)number;
    (void)context;
    bool is_of_terminal = info->si_code == SI_KERNEL;
    has_stop |= number == SIGTSTP && is_of_terminal;
    if (number != SIGTTIN && number != SIGTTOU && !(is_joined && is_of_terminal))
        (void)!send(channel, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    errno = saved;
}

static void watch(int number)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO }, now;
    sigfillset(&action.sa_mask);
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

/* Also what stops us: we stop when the command has. It may have to put its terminal in order. */
static void watch_signals(void)
{
    static const int watched[] = { SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,
                                   SIGALRM, SIGWINCH, SIGTSTP, SIGCONT, SIGTTIN, SIGTTOU };
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        watch(watched[i]);
}

/* By the signal that has stopped the command, until somebody continues us; where nobody could, the
 * kernel throws it away, and with it the command's stop. */
static void stop(int number)
{
    const unsigned char byte = SIGCONT;
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_BLOCK, &set, &old);
    signal(number, SIG_DFL);
    /* A command that stops itself - an editor does - means the others of its job, too. */
    kill(number == SIGTSTP && !has_stop ? 0 : getpid(), number);
    sigprocmask(SIG_UNBLOCK, &set, NULL); /* stops here */
    has_stop = 0;
    watch(number);
    sigprocmask(SIG_SETMASK, &old, NULL);
    (void)!send(channel, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static _Noreturn void end_by(int number)
{
    sigset_t set;
    prctl(PR_SET_DUMPABLE, 0); /* the core would be that of another program */
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), number);
    _exit(128 + (number & 127)); /* of those that end nothing */
}

static void receive(const char *name, void *ret, size_t size)
{
    char *at = ret;
    while (size) {
        ssize_t n = recv(channel, at, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            give_up(name, "who ran it is gone");
        at += n;
        size -= (size_t)n;
    }
}

/* A signal may come while it waits for a reader. */
static void print(const char *name, int fd, uint32_t left)
{
    char bytes[4096];
    while (left) {
        size_t size = left < sizeof(bytes) ? left : sizeof(bytes), done = 0;
        receive(name, bytes, size);
        while (done < size) {
            ssize_t n = write(fd, bytes + done, size - done);
            if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
                struct pollfd room = { .fd = fd, .events = POLLOUT };
                poll(&room, 1, -1);
                continue;
            }
            if (n <= 0)
                break; /* it is closed: what is said goes nowhere, as of any program */
            done += (size_t)n;
        }
        left -= (uint32_t)size;
    }
}

/* Connected, or it says why not. They are many: it is the next one's turn soon. */
static void find_broker(const char *name)
{
    static const struct timespec pause = { .tv_nsec = 20000000 };
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    memcpy(to.sun_path + 1, MEDIATE_NAME, sizeof(MEDIATE_NAME) - 1);
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    channel = fcntl(made, F_DUPFD_CLOEXEC, 3); /* below it is what the command gets */
    close(made);
    while (channel >= 0
           && connect(channel, (const struct sockaddr *)&to,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(MEDIATE_NAME)))
                  < 0) {
        if (errno != EAGAIN && errno != EINTR)
            give_up(name, "nobody is there who starts it");
        nanosleep(&pause, NULL);
    }
    if (channel < 0)
        give_up(name, "no socket can be had");
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "a command";
    struct mediate_message message;
    find_broker(name);
    ask(name, argc > 0 ? argv + 1 : argv);
    watch_signals();
    for (;;) {
        receive(name, &message, sizeof(message));
        switch (message.kind) {
        case MEDIATE_EXITED:
            _exit((int)message.value & 255);
        case MEDIATE_KILLED:
            end_by((int)message.value);
        case MEDIATE_STARTED:
            is_joined = message.value == 1;
            close(0); /* who reads or writes there sees the command go */
            close(1);
            break;
        case MEDIATE_STOPPED:
            stop((int)message.value);
            break;
        case MEDIATE_OUT:
        case MEDIATE_ERR:
            print(name, message.kind == MEDIATE_OUT ? 1 : 2, message.value);
            break;
        default:
            break;
        }
    }
}
