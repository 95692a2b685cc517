/* SPDX-License-Identifier: Apache-2.0 */
/* inside_loop.c - the loop of a confined plugin: timers, its own descriptors, signals, posts and
 * worker threads, and the news of the core, all in one poll.
 *
 * The signals that end a command come from the core, which hears them for both: this process is in
 * the same group of the terminal, and would otherwise end before it is told. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/confine/inside_own.h"
#include "sdk/clock.h"
#include "sdk/error.h"

#define POSTS_MAX 65536u
#define WORKERS_MAX 4u
#define SIGNALS 65
#define LONG_MS 3600000

struct nt_timer {
    struct nt_timer *next;
    int64_t at_ms; /* -1: has fired, and does not repeat */
    int64_t repeat_ms;
    void (*fn)(void *data);
    void *data;
    bool is_ended;
};

struct nt_watch {
    struct nt_watch *next;
    int fd; /* or the number of a signal */
    uint32_t events;
    uint32_t ready; /* of the poll that is being told */
    void (*fn)(void *data, int fd, uint32_t events);
    void *data;
    bool is_signal, is_ended;
};

struct post {
    struct post *next;
    void (*fn)(void *data);
    void *data;
};

struct job {
    struct job *next;
    void (*work)(void *data);
    void (*done)(void *data);
    void *data;
};

static struct {
    struct nt_loop head;
    bool is_there;
    int wake; /* eventfd: a post, or a signal */
    struct nt_timer *timers;
    struct nt_watch *watches;
    struct pollfd *polled;
    size_t room; /* rows of `polled` */
    struct sigaction before[SIGNALS];
    uint32_t watched[SIGNALS]; /* per signal number */
    struct nt_error stopped;   /* code 0: it goes on */
    pthread_mutex_t mutex;     /* of what follows */
    struct post *posts, *last_post;
    uint32_t post_count;
    struct job *jobs, *last_job;
    uint32_t workers;
} loop = { .wake = -1, .mutex = PTHREAD_MUTEX_INITIALIZER };

static volatile sig_atomic_t came[SIGNALS];

static void wake_up(void)
{
    const uint64_t one = 1;
    int sys = errno; /* also in a signal's handler */
    /* A full counter wakes as well. */
    if (write(loop.wake, &one, sizeof(one)) < 0)
        errno = sys;
}

/* --- timers --------------------------------------------------------------------------------- */

static int64_t lent_now_ms(struct nt_loop *head)
{
    (void)head;
    return nt_now_ms();
}

static struct nt_timer *lent_timer(struct nt_loop *head, int64_t delay_ms, int64_t repeat_ms,
                                   void (*fn)(void *data), void *data)
{
    (void)head;
    struct nt_timer *timer = calloc(1, sizeof(*timer));
    if (!timer)
        return NULL;
    *timer = (struct nt_timer){ .next = loop.timers,
                                .at_ms = nt_now_ms() + (delay_ms > 0 ? delay_ms : 0),
                                .repeat_ms = repeat_ms > 0 ? repeat_ms : 0,
                                .fn = fn,
                                .data = data };
    loop.timers = timer;
    return timer;
}

static void lent_timer_end(struct nt_timer *timer)
{
    if (timer)
        timer->is_ended = true; /* freed between two rounds */
}

static void fire(int64_t now)
{
    for (struct nt_timer *t = loop.timers; t; t = t->next) {
        if (t->is_ended || t->at_ms < 0 || t->at_ms > now)
            continue;
        t->at_ms = t->repeat_ms ? now + t->repeat_ms : -1;
        t->fn(t->data);
    }
}

static int next_ms(int64_t now)
{
    int64_t nearest = LONG_MS;
    for (const struct nt_timer *t = loop.timers; t; t = t->next)
        if (!t->is_ended && t->at_ms >= 0 && t->at_ms - now < nearest)
            nearest = t->at_ms > now ? t->at_ms - now : 0;
    return (int)nearest;
}

/* --- descriptors ---------------------------------------------------------------------------- */

static struct nt_watch *add_watch(int fd, uint32_t events, bool is_signal,
                                  void (*fn)(void *data, int fd, uint32_t events), void *data)
{
    struct nt_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return NULL;
    *watch = (struct nt_watch){ .next = loop.watches,
                                .fd = fd,
                                .events = events,
                                .fn = fn,
                                .data = data,
                                .is_signal = is_signal };
    loop.watches = watch;
    return watch;
}

static struct nt_watch *lent_watch(struct nt_loop *head, int fd, uint32_t events,
                                   void (*fn)(void *data, int fd, uint32_t events), void *data)
{
    (void)head;
    return fd < 0 ? NULL : add_watch(fd, events, false, fn, data);
}

static void lent_watch_set(struct nt_watch *watch, uint32_t events)
{
    if (watch && !watch->is_signal)
        watch->events = events;
}

static uint32_t told_of(const struct nt_watch *watch, short revents)
{
    uint32_t told = 0, wanted = watch->events & (NT_READABLE | NT_WRITABLE);
    told |= revents & POLLIN ? NT_READABLE : 0;
    told |= revents & POLLOUT ? NT_WRITABLE : 0;
    /* Reading or writing tells what it is. */
    told |= revents & (POLLERR | POLLHUP | POLLNVAL) ? wanted : 0;
    if (wanted & NT_READABLE && revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
        told |= NT_HANGUP;
    return told;
}

static void tell_watches(void)
{
    for (struct nt_watch *w = loop.watches; w; w = w->next) {
        uint32_t told = w->ready;
        w->ready = 0;
        if (told && !w->is_ended)
            w->fn(w->data, w->fd, told);
    }
}

/* --- signals -------------------------------------------------------------------------------- */

static void on_signal(int signo)
{
    came[signo] = 1;
    wake_up();
}

static void on_core_signal(int signo)
{
    (void)signo; /* the core tells of it */
}

/* Not SIG_IGN, which programs that it starts would inherit. */
static void leave_to_core(int signo)
{
    struct sigaction now, act = { .sa_handler = on_core_signal, .sa_flags = SA_RESTART };
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        sigaction(signo, &act, NULL);
}

static void ask_for_signal(int signo, bool on)
{
    wire_begin(&inside.out, WIRE_WATCH_SIGNAL);
    wire_u32(&inside.out, (uint32_t)signo);
    wire_u32(&inside.out, on);
    inside_send();
}

static struct nt_watch *lent_signal(struct nt_loop *head, int signo,
                                    void (*fn)(void *data, int signo, uint32_t zero), void *data)
{
    (void)head;
    if (signo <= 0 || signo >= SIGNALS)
        return NULL;
    struct nt_watch *watch = add_watch(signo, 0, true, fn, data);
    if (!watch || loop.watched[signo]++ > 0)
        return watch;
    struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    if (WIRE_IS_CORE_SIGNAL(signo)) {
        ask_for_signal(signo, true);
    } else if (sigaction(signo, &act, &loop.before[signo]) < 0) {
        loop.watched[signo]--;
        watch->is_ended = true;
        return NULL;
    }
    return watch;
}

static void lent_watch_end(struct nt_watch *watch)
{
    if (!watch || watch->is_ended)
        return;
    watch->is_ended = true; /* freed between two rounds */
    if (!watch->is_signal || --loop.watched[watch->fd] > 0)
        return;
    if (WIRE_IS_CORE_SIGNAL(watch->fd))
        ask_for_signal(watch->fd, false);
    else
        sigaction(watch->fd, &loop.before[watch->fd], NULL);
}

void inside_signalled(int signo)
{
    for (struct nt_watch *w = loop.watches; w; w = w->next)
        if (w->is_signal && !w->is_ended && w->fd == signo)
            w->fn(w->data, signo, 0);
}

static void tell_signals(void)
{
    for (int signo = 1; signo < SIGNALS; signo++)
        if (came[signo]) {
            came[signo] = 0;
            inside_signalled(signo);
        }
}

/* --- other threads -------------------------------------------------------------------------- */

int inside_post(void (*fn)(void *data), void *data, bool is_limited)
{
    struct post *p = malloc(sizeof(*p));
    if (!p)
        return -1;
    *p = (struct post){ .fn = fn, .data = data };
    pthread_mutex_lock(&loop.mutex);
    bool has_room = !is_limited || loop.post_count < POSTS_MAX;
    if (has_room) {
        if (loop.last_post)
            loop.last_post->next = p;
        else
            loop.posts = p;
        loop.last_post = p;
        loop.post_count++;
    }
    pthread_mutex_unlock(&loop.mutex);
    if (has_room)
        wake_up();
    else
        free(p);
    return has_room ? 0 : -1;
}

static int lent_post(struct nt_loop *head, void (*fn)(void *data), void *data)
{
    (void)head;
    return inside_post(fn, data, true);
}

static void run_posts(void)
{
    pthread_mutex_lock(&loop.mutex);
    struct post *p = loop.posts;
    loop.posts = loop.last_post = NULL;
    loop.post_count = 0;
    pthread_mutex_unlock(&loop.mutex);
    while (p) {
        struct post *next = p->next;
        p->fn(p->data);
        free(p);
        p = next;
    }
}

static void finish_job(void *data)
{
    struct job *job = data;
    job->done(job->data);
    free(job);
}

static void *work(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&loop.mutex);
        struct job *job = loop.jobs;
        if (job)
            loop.jobs = job->next;
        else
            loop.workers--;
        if (!loop.jobs)
            loop.last_job = NULL;
        pthread_mutex_unlock(&loop.mutex);
        if (!job)
            return NULL;
        job->work(job->data);
        if (inside_post(finish_job, job, false) < 0)
            inside_lost(); /* out of memory for what was promised */
    }
}

/* Signals are the main thread's. */
static bool start_worker(void)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool is_there = pthread_create(&thread, NULL, work, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_there)
        pthread_detach(thread);
    return is_there;
}

static int lent_work(struct nt_loop *head, void (*fn)(void *data), void (*done)(void *data),
                     void *data)
{
    (void)head;
    struct job *job = malloc(sizeof(*job));
    if (!job)
        return -1;
    *job = (struct job){ .work = fn, .done = done, .data = data };
    pthread_mutex_lock(&loop.mutex);
    /* It waits for this lock. */
    bool is_new = loop.workers < WORKERS_MAX && start_worker();
    loop.workers += is_new;
    bool may = loop.workers > 0;
    if (may) {
        if (loop.last_job)
            loop.last_job->next = job;
        else
            loop.jobs = job;
        loop.last_job = job;
    }
    pthread_mutex_unlock(&loop.mutex);
    if (!may)
        free(job);
    return may ? 0 : -1;
}

/* --- the loop ------------------------------------------------------------------------------- */

static void sweep(void)
{
    for (struct nt_timer **at = &loop.timers; *at;) {
        struct nt_timer *t = *at;
        if (t->is_ended) {
            *at = t->next;
            free(t);
        } else {
            at = &t->next;
        }
    }
    for (struct nt_watch **at = &loop.watches; *at;) {
        struct nt_watch *w = *at;
        if (w->is_ended) {
            *at = w->next;
            free(w);
        } else {
            at = &w->next;
        }
    }
}

static bool is_polled(const struct nt_watch *w)
{
    return !w->is_signal && !w->is_ended && w->events & (NT_READABLE | NT_WRITABLE);
}

/* The rows of a poll: the channel, what wakes, the descriptors of the plugin. 0: out of memory. */
static nfds_t fill(void)
{
    size_t count = 2;
    for (const struct nt_watch *w = loop.watches; w; w = w->next)
        count += is_polled(w);
    if (count > loop.room) {
        struct pollfd *more = reallocarray(loop.polled, count, sizeof(*more));
        if (!more)
            return 0;
        loop.polled = more;
        loop.room = count;
    }
    loop.polled[0] = (struct pollfd){ inside.channel, POLLIN, 0 };
    loop.polled[1] = (struct pollfd){ loop.wake, POLLIN, 0 };
    struct pollfd *row = loop.polled + 2;
    for (const struct nt_watch *w = loop.watches; w; w = w->next) {
        if (!is_polled(w))
            continue;
        int events = (w->events & NT_READABLE ? POLLIN | POLLRDHUP : 0)
                     | (w->events & NT_WRITABLE ? POLLOUT : 0);
        *row++ = (struct pollfd){ w->fd, (short)events, 0 };
    }
    return count;
}

static void tell_news(void)
{
    struct frame *frame;
    while ((frame = inside_take_news())) {
        inside_deliver(frame);
        free(frame);
    }
}

static int round_once(struct nt_error *reterr)
{
    nfds_t count = fill();
    if (!count)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    int n = poll(loop.polled, count, inside.news ? 0 : next_ms(nt_now_ms()));
    if (n < 0 && errno != EINTR)
        return nt_fail_sys(reterr, errno, "cannot wait");
    if (n > 0) {
        const struct pollfd *row = loop.polled + 2;
        for (struct nt_watch *w = loop.watches; w; w = w->next)
            if (is_polled(w))
                w->ready = told_of(w, (row++)->revents);
    }
    bool is_woken = n > 0 && loop.polled[1].revents;
    fire(nt_now_ms());
    tell_news();
    if (n > 0 && loop.polled[0].revents) {
        inside_read_news();
        tell_news();
    }
    if (is_woken) {
        uint64_t unused;
        if (read(loop.wake, &unused, sizeof(unused)) < 0)
            unused = 0; /* nothing there any more: what woke us is looked at anyway */
        tell_signals();
        run_posts();
    }
    tell_watches();
    return 0;
}

void inside_stop(const struct nt_error *reason)
{
    loop.stopped = *reason;
}

int inside_wait(const uint32_t *done, struct nt_error *reterr)
{
    if (inside.is_running)
        return nt_fail(reterr, NT_E_INTERNAL, "a command waited inside a callback");
    if (!inside_loop())
        return nt_fail(reterr, NT_E_MEMORY, "cannot make a loop");
    int result = 0;
    inside.is_running = true;
    while (result == 0 && !*done && !loop.stopped.code) {
        result = round_once(reterr);
        sweep();
    }
    if (result == 0 && !*done) {
        inside_close_streams(&loop.stopped);
        uint32_t size = reterr->size;
        memcpy(reterr, &loop.stopped, size < sizeof(loop.stopped) ? size : sizeof(loop.stopped));
        reterr->size = size;
        result = -1;
    }
    inside.is_running = false;
    return result;
}

static const struct nt_loop_ops loop_ops = {
    .size = sizeof(struct nt_loop_ops),
    .now_ms = lent_now_ms,
    .timer = lent_timer,
    .timer_end = lent_timer_end,
    .watch = lent_watch,
    .watch_set = lent_watch_set,
    .signal = lent_signal,
    .watch_end = lent_watch_end,
    .post = lent_post,
    .work = lent_work,
};

struct nt_loop *inside_loop(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
    if (loop.is_there)
        return &loop.head;
    loop.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop.wake < 0)
        return NULL;
    loop.head = (struct nt_loop){ .size = sizeof(loop.head), .ops = &loop_ops };
    loop.stopped = (struct nt_error)NT_ERROR_INIT;
    loop.is_there = true;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        leave_to_core(ends[i]);
    wire_begin(&inside.out, WIRE_LOOP);
    inside_send();
    return &loop.head;
}
