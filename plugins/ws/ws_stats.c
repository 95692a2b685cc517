/* SPDX-License-Identifier: Apache-2.0 */
/* ws_stats.c - `ws stats` and `top`: what workspaces use. A share of the processor needs two
 * samples; one that does not answer is a row without numbers, and costs no time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "ws.h"

#define BETWEEN_MS 250 /* the two samples of one row */
#define CLEAR "\033[H\033[J"

struct watch_state {
    struct nt_call *call;
    json_t *last; /* the sample before */
    uint32_t woken, interrupted;
};

static json_t *ask_sample(struct nt_call *call, struct nt_error *reterr)
{
    struct nt_request request = {
        .size = sizeof(request), .flags = NT_REQ_BRIEF, .method = "GET", .path = "/v1/stats"
    };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return NULL;
    nt_auto_json json_t *page = json_loadb(response.body.data, response.body.size, 0, NULL);
    json_t *items = json_object_get(page, "items");
    if (!json_is_array(items)) {
        nt_fail(reterr, NT_E_RESPONSE, "the server's answer is not a sample of workspaces");
        return NULL;
    }
    return json_incref(items);
}

static const json_t *row_of(const json_t *rows, const char *id)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *own = json_string_value(json_object_get(row, "id"));
        if (own && id && strcmp(own, id) == 0)
            return row;
    }
    return NULL;
}

static json_int_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

/* Adds cpu_percent, of one processor, where both samples have an answer. */
static void add_shares(json_t *rows, const json_t *before)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const json_t *old = row_of(before, json_string_value(json_object_get(row, "id")));
        json_int_t passed_ms = number(row, "at_ms") - number(old, "at_ms");
        if (!json_object_get(row, "at_ms") || !json_object_get(old, "at_ms") || passed_ms <= 0)
            continue;
        json_int_t used_us = number(row, "cpu_us") - number(old, "cpu_us");
        json_object_set_new(
            row, "cpu_percent",
            json_real((double)(used_us > 0 ? used_us : 0) / 10.0 / (double)passed_ms));
    }
}

static bool is_named(const json_t *row, const char *wanted)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const char *name = json_string_value(json_object_get(row, "name"));
    return (id && strcmp(id, wanted) == 0) || (name && strcmp(name, wanted) == 0);
}

/* Those that were asked for; all when none was named. NT_E_NOT_FOUND: one is not there. */
static json_t *only_wanted(struct nt_call *call, json_t *rows, struct nt_error *reterr)
{
    uint32_t count = call->host->count(call, "workspace-id");
    if (count == 0)
        return json_incref(rows);
    nt_auto_json json_t *wanted = json_array();
    for (uint32_t i = 0; i < count; i++) {
        const char *word = call->host->text_at(call, "workspace-id", i);
        bool found = false;
        for (size_t k = 0; k < json_array_size(rows) && !found; k++)
            if (is_named(json_array_get(rows, k), word)) {
                json_array_append(wanted, json_array_get(rows, k));
                found = true;
            }
        if (!found) {
            nt_fail(reterr, NT_E_NOT_FOUND, "there is no workspace %s", word);
            nt_hint(reterr, "see which there are: nanoterm ws list");
            return NULL;
        }
    }
    return json_incref(wanted);
}

static int emit(struct nt_call *call, const json_t *rows, struct nt_error *reterr)
{
    nt_autofree char *text = json_dumps(rows, JSON_COMPACT);
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the rows");
    return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
}

/* --- waiting ------------------------------------------------------------------------------- */

static void on_time(void *data)
{
    struct watch_state *w = data;
    w->woken = 1;
}

static void on_interrupt(void *data, int signo, uint32_t zero)
{
    struct watch_state *w = data;
    (void)signo;
    (void)zero;
    w->interrupted = w->woken = 1;
}

static int wait_ms(struct watch_state *w, int64_t ms, struct nt_error *reterr)
{
    struct nt_loop *loop = w->call->host->loop(w->call);
    w->woken = w->interrupted;
    struct nt_timer *timer = loop->ops->timer(loop, ms, 0, on_time, w);
    if (!timer)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a timer");
    int status = w->call->host->wait(w->call, &w->woken, reterr);
    loop->ops->timer_end(timer);
    return status;
}

int ws_stats(struct nt_call *call, struct nt_error *reterr)
{
    struct watch_state w = { .call = call };
    nt_auto_json json_t *first = ask_sample(call, reterr);
    if (!first || wait_ms(&w, BETWEEN_MS, reterr) < 0)
        return -1;
    nt_auto_json json_t *second = ask_sample(call, reterr);
    if (!second)
        return -1;
    add_shares(second, first);
    nt_auto_json json_t *rows = only_wanted(call, second, reterr);
    return rows ? emit(call, rows, reterr) : -1;
}

/* --- top ----------------------------------------------------------------------------------- */

static void add_mib(struct nt_buf *b, const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);
    if (value)
        nt_buf_addf(b, "%9.1f", (double)json_integer_value(value) / (1024 * 1024));
    else
        nt_buf_add(b, "        -");
}

/* The table of a terminal, written over the last one. */
static int draw(struct nt_call *call, const json_t *rows, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024 * 1024);
    nt_buf_add(&b, CLEAR "NAME                  STATUS           CPU%      MEM     MAX MiB  PIDS   "
                         "NET-IN   NET-OUT     DISK MiB\n");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(256);
        const char *text = json_string_value(json_object_get(row, "name"));
        const char *status = json_string_value(json_object_get(row, "status"));
        nt_buf_add_printable(&name, text ? text : "", false);
        bool is_lost = json_is_true(json_object_get(row, "unreachable"));
        nt_buf_addf(&b, "%-21.21s %-12.12s ", nt_buf_text(&name),
                    is_lost  ? "unreachable"
                    : status ? status
                             : "");
        const json_t *share = json_object_get(row, "cpu_percent");
        if (share)
            nt_buf_addf(&b, "%8.1f", json_number_value(share));
        else
            nt_buf_add(&b, "       -");
        add_mib(&b, row, "mem_used_bytes");
        add_mib(&b, row, "mem_limit_bytes");
        if (json_object_get(row, "pids_used"))
            nt_buf_addf(&b, "%9lld", (long long)number(row, "pids_used"));
        else
            nt_buf_add(&b, "        -");
        add_mib(&b, row, "net_rx_bytes");
        add_mib(&b, row, "net_tx_bytes");
        add_mib(&b, row, "disk_used_bytes");
        nt_buf_add_char(&b, '\n');
    }
    if (!nt_buf_ok(&b))
        return nt_fail(reterr, NT_E_MEMORY, "the table is too long");
    const char *at = nt_buf_text(&b);
    for (size_t left = b.size; left > 0;) {
        ssize_t put = write(call->host->descriptor(call, 1), at, left);
        if (put <= 0)
            return nt_fail(reterr, NT_E_CANCELLED, "the terminal is gone");
        at += put;
        left -= (size_t)put;
    }
    return 0;
}

static int turn(struct watch_state *w, struct nt_error *reterr)
{
    struct nt_call *call = w->call;
    nt_auto_json json_t *sample = ask_sample(call, reterr);
    if (!sample)
        return -1;
    add_shares(sample, w->last);
    json_decref(w->last);
    w->last = json_incref(sample);
    nt_auto_json json_t *rows = only_wanted(call, sample, reterr);
    if (!rows)
        return -1;
    bool is_screen = (call->flags & NT_CALL_STDOUT_TTY) && !(call->flags & NT_CALL_JSON);
    return is_screen ? draw(call, rows, reterr) : emit(call, rows, reterr);
}

int ws_top(struct nt_call *call, struct nt_error *reterr)
{
    struct watch_state w = { .call = call };
    struct nt_loop *loop = call->host->loop(call);
    struct nt_watch *watch = loop->ops->signal(loop, SIGINT, on_interrupt, &w);
    int64_t count = call->host->number(call, "count"),
            interval = call->host->number(call, "interval");
    int status = 0;
    for (int64_t i = 0; status == 0 && !w.interrupted && (count == 0 || i < count); i++) {
        if (i > 0)
            status = wait_ms(&w, interval, reterr);
        if (status == 0 && !w.interrupted)
            status = turn(&w, reterr);
    }
    loop->ops->watch_end(watch);
    json_decref(w.last);
    /* Ctrl-C is how one leaves it. */
    return w.interrupted ? 0 : status;
}
