/* SPDX-License-Identifier: Apache-2.0 */
/* denials.c - the list of what was refused: bounded, each kind once with its count. A lock of its
 * own, since the proxy and the notifications add from their threads. */
#include "denials.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct denial denial; /* its texts lie in `text`, one after another */
    char *text;
};

struct denials {
    pthread_mutex_t lock;
    struct entry entries[DENIALS_MAX];
    size_t count;
    uint64_t dropped;
};

struct denials *denials_new(void)
{
    struct denials *d = calloc(1, sizeof(*d));
    if (d && pthread_mutex_init(&d->lock, NULL) != 0) {
        free(d);
        d = NULL;
    }
    return d;
}

void denials_free(struct denials *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++)
        free(d->entries[i].text);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const char *known(const char *text)
{
    return text ? text : "";
}

/* The grant follows from the rest. */
static bool is_equal(const struct denial *a, const struct denial *b)
{
    return a->source == b->source && strcmp(a->act, known(b->act)) == 0
           && strcmp(a->target, known(b->target)) == 0 && strcmp(a->layer, known(b->layer)) == 0
           && strcmp(a->rule, known(b->rule)) == 0 && strcmp(a->command, known(b->command)) == 0;
}

static uint32_t times(const struct denial *denial)
{
    return denial->count ? denial->count : 1;
}

/* Appends TEXT to what *AT points into, and moves on. */
static const char *keep(char **at, const char *text)
{
    char *start = *at;
    size_t size = strlen(text) + 1;
    memcpy(start, text, size);
    *at += size;
    return start;
}

/* false: no memory. */
static bool append(struct denials *d, const struct denial *denial)
{
    const char *texts[] = { known(denial->act),  known(denial->target), known(denial->layer),
                            known(denial->rule), known(denial->grant),  known(denial->command) };
    size_t size = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        size += strlen(texts[i]) + 1;
    char *at = malloc(size);
    if (!at)
        return false;
    struct entry *entry = &d->entries[d->count++];
    entry->text = at;
    entry->denial = (struct denial){ .source = denial->source, .count = times(denial) };
    entry->denial.act = keep(&at, texts[0]);
    entry->denial.target = keep(&at, texts[1]);
    entry->denial.layer = keep(&at, texts[2]);
    entry->denial.rule = keep(&at, texts[3]);
    entry->denial.grant = keep(&at, texts[4]);
    entry->denial.command = keep(&at, texts[5]);
    return true;
}

void denials_add(struct denials *d, const struct denial *denial)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    size_t at = 0;
    while (at < d->count && !is_equal(&d->entries[at].denial, denial))
        at++;
    if (at < d->count) {
        uint32_t *count = &d->entries[at].denial.count;
        if (__builtin_add_overflow(*count, times(denial), count))
            *count = UINT32_MAX;
    } else if (d->count == DENIALS_MAX || !append(d, denial)) {
        d->dropped += times(denial);
    }
    pthread_mutex_unlock(&d->lock);
}

const struct denial *denials_at(const struct denials *d, size_t index)
{
    return d && index < d->count ? &d->entries[index].denial : NULL;
}

uint64_t denials_dropped(const struct denials *d)
{
    return d ? d->dropped : 0;
}
