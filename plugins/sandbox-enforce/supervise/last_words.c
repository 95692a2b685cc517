/* SPDX-License-Identifier: Apache-2.0 */
/* last_words.c - copies stderr and keeps its end; see last_words.h. */
#include "last_words.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/io.h"

#define STACK_SIZE (128u * 1024u)

struct last_words {
    int real, in, out; /* stderr; the pipe's ends, out until it is listened to */
    pthread_t thread;
    bool has_thread;
    size_t size;
    char text[LAST_WORDS_MAX], whole[LAST_WORDS_MAX]; /* a ring; the same in order */
};

static bool can_be_listened_to(void)
{
    struct stat out, err;
    if (fstat(2, &err) < 0 || !(S_ISFIFO(err.st_mode) || S_ISREG(err.st_mode)))
        return false;
    return fstat(1, &out) < 0 || out.st_dev != err.st_dev || out.st_ino != err.st_ino;
}

struct last_words *last_words_begin(void)
{
    int ends[2];
    if (!can_be_listened_to() || pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    nt_autoclose int in = ends[0], out = ends[1], real = fcntl(2, F_DUPFD_CLOEXEC, 3);
    struct last_words *w = calloc(1, sizeof(*w));
    if (!w || real < 0 || dup2(out, 2) < 0) {
        free(w);
        return NULL;
    }
    w->real = nt_take_fd(real);
    w->in = nt_take_fd(in);
    w->out = nt_take_fd(out);
    return w;
}

static void keep(struct last_words *w, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        w->text[w->size++ % LAST_WORDS_MAX] = bytes[i];
}

/* When nobody reads the real one any more, the program's next line must fail as it would there. */
static void *copy(void *argument)
{
    struct last_words *w = argument;
    char bytes[8192];
    for (;;) {
        ssize_t got = read(w->in, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return NULL;
        keep(w, bytes, (size_t)got);
        if (nt_write_all(w->real, bytes, (size_t)got)) {
            close(w->in);
            w->in = -1;
            return NULL;
        }
    }
}

void last_words_listen(struct last_words *w)
{
    sigset_t all, old;
    pthread_attr_t attributes;
    if (!w)
        return;
    dup2(w->real, 2);
    close(nt_take_fd(w->out));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    if (pthread_attr_init(&attributes) == 0) {
        (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
        w->has_thread = pthread_create(&w->thread, &attributes, copy, w) == 0;
        pthread_attr_destroy(&attributes);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    /* Without the thread nobody reads: writing fails, it does not wait for ever. */
    if (!w->has_thread)
        close(nt_take_fd(w->in));
}

size_t last_words_end(struct last_words *w, const char **ret)
{
    *ret = "";
    if (!w)
        return 0;
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    w->has_thread = false;
    size_t first = w->size > LAST_WORDS_MAX ? w->size % LAST_WORDS_MAX : 0;
    size_t size = w->size > LAST_WORDS_MAX ? LAST_WORDS_MAX : w->size;
    memcpy(w->whole, w->text + first, size - first);
    memcpy(w->whole + size - first, w->text, first);
    *ret = w->whole;
    return size;
}

void last_words_free(struct last_words *w)
{
    if (!w)
        return;
    if (w->out >= 0) { /* nothing was started */
        dup2(w->real, 2);
        close(w->out);
    }
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    if (w->in >= 0)
        close(w->in);
    close(w->real);
    free(w);
}
