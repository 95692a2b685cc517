/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c - waits for a confined process and its channel, with a deadline and for signals. */
#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>

#include "sdk/clock.h"

#define LONG_MS (3600 * (int64_t)1000)

static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

static volatile sig_atomic_t signalled;

static void on_signal(int signo)
{
    signalled = signo;
}

void wait_hold_signals(sigset_t *ret_before)
{
    sigset_t held;
    sigemptyset(&held);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaddset(&held, caught[i]);
    sigprocmask(SIG_BLOCK, &held, ret_before);
}

enum woken wait_for(int channel, short events, int process, int64_t until_ms, int *ret_signal)
{
    struct sigaction old[CAUGHT], act = { .sa_handler = on_signal };
    sigset_t before, while_waiting;
    sigemptyset(&act.sa_mask);
    wait_hold_signals(&before);
    while_waiting = before;
    for (size_t i = 0; i < CAUGHT; i++)
        sigdelset(&while_waiting, caught[i]);
    for (size_t i = 0; i < CAUGHT; i++)
        if (sigaction(caught[i], NULL, &old[i]) == 0 && old[i].sa_handler != SIG_IGN)
            sigaction(caught[i], &act, NULL);
    enum woken woken;
    do {
        struct pollfd fds[2] = { { channel, events, 0 }, { process, POLLIN, 0 } };
        int64_t left = until_ms == WAIT_NEVER ? LONG_MS : until_ms - nt_now_ms();
        left = left < 0 ? 0 : left > LONG_MS ? LONG_MS : left;
        const struct timespec limit = { left / 1000, left % 1000 * 1000000 };
        signalled = 0;
        int n = ppoll(fds, 2, &limit, &while_waiting);
        woken = signalled                 ? WOKEN_INTERRUPTED
                : n > 0 && fds[0].revents ? WOKEN_READY
                : n > 0                   ? WOKEN_ENDED
                : n < 0 && errno != EINTR ? WOKEN_BROKEN
                                          : WOKEN_LATE;
    } while (woken == WOKEN_LATE && until_ms > nt_now_ms());
    *ret_signal = signalled;
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &old[i], NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return woken;
}
