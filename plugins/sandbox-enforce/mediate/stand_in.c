/* SPDX-License-Identifier: Apache-2.0 */
/* stand_in.c - what lies over a command that runs in a sandbox of its own: asks for it to be
 * started outside of this one, passes signals on, and ends as it did. A static program; it holds no
 * right that the program inside does not have. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol.h"

#define STATUS_REFUSED 126

extern char **environ;

static int channel = -1;

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

static void ask(const char *name, char **words)
{
    char file[PATH_MAX], folder[PATH_MAX];
    find_file(file);
    if (!getcwd(folder, sizeof(folder)))
        memcpy(folder, "/", 2);
    const size_t size = fill(NULL, file, folder, words);
    const struct mediate_head head = { MEDIATE_MAGIC, (uint32_t)size, count_of(words),
                                       count_of(environ) };
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

static void pass_on(int number)
{
    int saved = errno;
    const unsigned char byte = (unsigned char)number;
    (void)!send(channel, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    errno = saved;
}

static void watch_signals(void)
{
    static const int watched[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                   SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH };
    struct sigaction action = { .sa_handler = pass_on }, now;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        if (sigaction(watched[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaction(watched[i], &action, NULL);
}

static _Noreturn void end_as(const struct mediate_end *end)
{
    int number = (int)end->value;
    if (!end->is_signal)
        _exit(number & 255);
    sigset_t set;
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), number);
    _exit(128 + (number & 127)); /* of those that end nothing */
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "a command";
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    struct mediate_end end;
    size_t got = 0;
    channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(to.sun_path + 1, MEDIATE_NAME, sizeof(MEDIATE_NAME) - 1);
    if (channel < 0
        || connect(channel, (const struct sockaddr *)&to,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(MEDIATE_NAME)))
               < 0)
        give_up(name, errno == EAGAIN ? "too many commands are being started"
                                      : "nobody is there who starts it");
    ask(name, argc > 0 ? argv + 1 : argv);
    watch_signals();
    while (got < sizeof(end)) {
        ssize_t n = recv(channel, (char *)&end + got, sizeof(end) - got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            give_up(name, "who ran it is gone, or runs too many");
        got += (size_t)n;
    }
    end_as(&end);
}
