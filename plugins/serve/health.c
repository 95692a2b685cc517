/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - which guests answer; see health.h. */
#include "health.h"

#include <stdlib.h>
#include <string.h>

#include "sdk/error.h"

#define FRESH_MS 1000 /* an answer counts for so long */
#define KNOWN_MS 50   /* for those that did not answer before either */

/* One running workspace that somebody has asked about. */
struct health_row {
    struct health_row *next;
    struct server *server;
    struct health_wait *waits;
    struct guest_op *op; /* the question that stands; NULL: none */
    int64_t heard_ms;    /* 0: never */
    bool is_unreachable;
    bool is_dropped; /* freed when its question has ended */
    char id[44];
};

/* That a check waits for a row. */
struct health_wait {
    struct health_wait *next;
    struct health_check *check;
    struct health_row *row; /* NULL: it is known */
};

struct health_check {
    struct health_check *next;
    struct server *server;
    struct nt_timer *timer;
    size_t left;
    size_t count;
    void (*done)(void *data);
    void *data;
    struct health_wait waits[];
};

static int64_t now_of(const struct server *server)
{
    return server->loop->ops->now_ms(server->loop);
}

static struct health_row *row_of(const struct server *server, const char *id)
{
    struct health_row *row = server->health;
    while (row && strcmp(row->id, id) != 0)
        row = row->next;
    return row;
}

bool health_is_unreachable(const struct server *server, const char *id)
{
    const struct health_row *row = row_of(server, id);
    return row && row->is_unreachable;
}

uint32_t health_unreachable_count(const struct server *server)
{
    uint32_t count = 0;
    for (const struct health_row *row = server->health; row; row = row->next)
        count += row->is_unreachable;
    return count;
}

bool health_is_fresh(const struct server *server, const char *id)
{
    const struct health_row *row = row_of(server, id);
    return row && row->heard_ms && now_of(server) - row->heard_ms < FRESH_MS;
}

void health_doubt(struct server *server, const char *id)
{
    struct health_row *row = row_of(server, id);
    if (row)
        row->heard_ms = 0;
}

/* --- checks -------------------------------------------------------------------------------- */

static void check_unlink(struct health_check *check)
{
    for (size_t i = 0; i < check->count; i++) {
        struct health_wait *wait = &check->waits[i];
        if (!wait->row)
            continue;
        for (struct health_wait **at = &wait->row->waits; *at; at = &(*at)->next)
            if (*at == wait) {
                *at = wait->next;
                break;
            }
    }
    for (struct health_check **at = &check->server->health_checks; *at; at = &(*at)->next)
        if (*at == check) {
            *at = check->next;
            break;
        }
    check->server->loop->ops->timer_end(check->timer);
}

static void on_check_end(void *data)
{
    struct health_check *check = data;
    for (size_t i = 0; i < check->count; i++)
        if (check->waits[i].row)
            check->waits[i].row->is_unreachable = true;
    check_unlink(check);
    check->done(check->data);
    free(check);
}

/* All is known: `done` comes by the timer, never in the call that brought the last answer. */
static void check_hurry(struct health_check *check)
{
    const struct nt_loop_ops *ops = check->server->loop->ops;
    struct nt_timer *soon = ops->timer(check->server->loop, 0, 0, on_check_end, check);
    if (!soon)
        return; /* the first timer does it, a little later */
    ops->timer_end(check->timer);
    check->timer = soon;
}

static void row_settle(struct health_row *row)
{
    struct health_wait *next;
    for (struct health_wait *wait = row->waits; wait; wait = next) {
        next = wait->next;
        wait->row = NULL;
        if (--wait->check->left == 0)
            check_hurry(wait->check);
    }
    row->waits = NULL;
}

/* --- rows ---------------------------------------------------------------------------------- */

static void heard(struct health_row *row)
{
    row->heard_ms = now_of(row->server);
    row->is_unreachable = false;
    row_settle(row);
}

static void on_ping_end(void *data, const struct nt_error *error)
{
    struct health_row *row = data;
    row->op = NULL;
    if (row->is_dropped) {
        free(row);
        return;
    }
    if (!error || error->code == NT_E_UNSUPPORTED) { /* an old guest: it has answered */
        heard(row);
        return;
    }
    row->is_unreachable = true;
    row_settle(row);
}

/* Leaves a question standing. Not in server->guest_ops: it must not keep the server from leaving.
 */
static void row_ask(struct health_row *row)
{
    static const struct guest_events events = { .end = on_ping_end };
    uint8_t memory[NT_G_HEAD];
    struct nt_error error = NT_ERROR_INIT;
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_PING);
    struct server *server = row->server;
    if (guest_op_new(server->uv, server->engine_ops, server->engine, row->id,
                     (struct nt_bytes){ memory, nt_g_done(&w) }, &events, row, &row->op, &error)
        == 0) {
        guest_op_no_deadline(row->op);
        return;
    }
    row->op = NULL;
    /* CONFLICT, NOT_FOUND: it has just ended, and its row is about to say so. */
    row->is_unreachable = error.code == NT_E_CONNECT;
}

static struct health_row *row_new(struct server *server, const char *id)
{
    struct health_row *row = calloc(1, sizeof(*row));
    if (!row)
        return NULL;
    row->server = server;
    nt_copy_text(row->id, sizeof(row->id), id);
    row->next = server->health;
    server->health = row;
    return row;
}

void health_heard(struct server *server, const char *id)
{
    struct health_row *row = row_of(server, id);
    if (row)
        heard(row);
}

void health_drop(struct server *server, const char *id)
{
    struct health_row *row = row_of(server, id);
    if (!row)
        return;
    row_settle(row);
    for (struct health_row **at = &server->health; *at; at = &(*at)->next)
        if (*at == row) {
            *at = row->next;
            break;
        }
    row->is_dropped = true;
    if (row->op)
        guest_op_cancel(row->op);
    else
        free(row);
}

struct health_check *health_ask(struct server *server, const char *const *ids, size_t count,
                                void (*done)(void *data), void *data)
{
    struct health_check *check = calloc(1, sizeof(*check) + count * sizeof(struct health_wait));
    if (!check)
        return NULL;
    *check = (struct health_check){
        .server = server, .count = count, .done = done, .data = data, .next = server->health_checks
    };
    int64_t now = now_of(server), wait_ms = 0;
    for (size_t i = 0; i < count; i++) {
        struct health_row *row = row_of(server, ids[i]);
        if (!row)
            row = row_new(server, ids[i]);
        if (!row || (row->heard_ms && now - row->heard_ms < FRESH_MS))
            continue;
        int64_t patience_ms = row->is_unreachable ? KNOWN_MS : HEALTH_MS;
        if (!row->op)
            row_ask(row);
        if (!row->op)
            continue;
        check->waits[i] = (struct health_wait){ row->waits, check, row };
        row->waits = &check->waits[i];
        check->left++;
        wait_ms = patience_ms > wait_ms ? patience_ms : wait_ms;
    }
    check->timer =
        server->loop->ops->timer(server->loop, check->left ? wait_ms : 0, 0, on_check_end, check);
    if (!check->timer) {
        check_unlink(check);
        free(check);
        return NULL;
    }
    server->health_checks = check;
    return check;
}

void health_close(struct server *server)
{
    while (server->health_checks) {
        struct health_check *check = server->health_checks;
        check_unlink(check);
        free(check);
    }
    while (server->health)
        health_drop(server, server->health->id);
}
