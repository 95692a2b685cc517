/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - who waits for a credential, and for how long it is kept. */
#include "plugins/sandbox-enforce/proxy/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* Who refuses is not asked by every request: the program decides how many there are. */
enum { AGAIN_MS = 2000 };

int64_t source_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- tokens --------------------------------------------------------------------------------- */

struct token {
    uint32_t references;
    uint32_t headers;     /* 0: a text */
    struct secret secret; /* the text; or names and values, each with its NUL */
};

static struct token *keep(const char *bytes, size_t size, uint32_t headers)
{
    struct nt_error ignored = NT_ERROR_INIT;
    struct token *token = calloc(1, sizeof(*token));
    if (!token || secret_keep_bytes(&token->secret, bytes, size, &ignored) < 0) {
        free(token);
        return NULL;
    }
    token->references = 1;
    token->headers = headers;
    return token;
}

struct token *token_new(const char *text)
{
    return keep(text, strlen(text), 0);
}

struct token *token_new_headers(const char *const *pairs, uint32_t count)
{
    struct nt_buf b = NT_BUF(4 * SECRET_MAX);
    size_t size = 0;
    for (uint32_t i = 0; i < 2 * count; i++)
        size += strlen(pairs[i]) + 1;
    nt_buf_room(&b, size + 1); /* it is not moved, and is wiped */
    for (uint32_t i = 0; i < 2 * count; i++)
        nt_buf_add_bytes(&b, pairs[i], strlen(pairs[i]) + 1);
    struct token *token =
        nt_buf_ok(&b) && count <= SOURCE_HEADERS_MAX ? keep(nt_buf_text(&b), b.size, count) : NULL;
    if (b.data)
        explicit_bzero(b.data, b.size);
    nt_buf_done(&b);
    return token;
}

void token_unref(struct token *token)
{
    if (!token || --token->references)
        return;
    secret_done(&token->secret);
    free(token);
}

static struct token *token_ref(struct token *token)
{
    token->references++;
    return token;
}

const char *token_text(const struct token *token)
{
    return token->headers ? "" : token->secret.text;
}

uint32_t token_headers(const struct token *token, struct net_header *ret)
{
    const char *at = token->secret.text;
    for (uint32_t i = 0; i < token->headers; i++) {
        ret[i].name = at;
        at += strlen(at) + 1;
        ret[i].value = at;
        at += strlen(at) + 1;
    }
    return token->headers;
}

/* --- who waits ------------------------------------------------------------------------------ */

void source_leave(struct visit *v)
{
    struct source *s = nt_take(v->source);
    for (struct visit **at = s ? &s->waiting : NULL; at && *at; at = &(*at)->next_waiting)
        if (*at == v) {
            *at = v->next_waiting;
            return;
        }
}

static void refuse(const struct source *s, struct visit *v)
{
    visit_refuse(v, s->status, s->failure, "");
}

/* All that wait go on, or are refused. One that is asked for may begin anew for a later one. */
static void tell(struct source *s, struct token *token)
{
    struct visit *all = nt_take(s->waiting);
    s->is_asking = false;
    s->telling++; /* one that is told may be followed at once by one that asks */
    while (all) {
        struct visit *v = all;
        all = v->next_waiting;
        v->source = NULL;
        if (token) {
            v->token = token_ref(token);
            route_go_on(v);
        } else {
            refuse(s, v);
        }
    }
    s->telling--;
}

void source_tell(struct source *s, struct token *token, int64_t lifetime_ms)
{
    token_unref(s->token);
    s->token = token;
    s->token_until = source_now_ms() + lifetime_ms;
    s->quiet_until = 0;
    token_ref(token);
    if (lifetime_ms <= 0)
        source_wipe(s);
    tell(s, token);
    token_unref(token);
}

void source_fail(struct source *s, const char *why)
{
    nt_copy_text(s->failure, sizeof(s->failure), why);
    s->quiet_until = source_now_ms() + AGAIN_MS;
    tell(s, NULL);
}

void source_ask(struct source *s, struct visit *v)
{
    int64_t now = source_now_ms();
    if (s->token && now < s->token_until) {
        v->token = token_ref(s->token);
        route_go_on(v);
    } else if (!s->is_asking && now < s->quiet_until) {
        refuse(s, v);
    } else {
        v->source = s;
        v->next_waiting = s->waiting;
        s->waiting = v;
        if (!s->is_asking) {
            s->is_asking = true;
            s->begin(s);
        }
    }
}

void source_wipe(struct source *s)
{
    token_unref(nt_take(s->token));
}
