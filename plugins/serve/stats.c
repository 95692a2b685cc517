/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - one sample of what workspaces use; see stats.h. */
#include "stats.h"

#include <stdlib.h>
#include <string.h>

#include "nanoterm/guest.h"
#include "plugins/serve/act.h"
#include "plugins/serve/health.h"
#include "plugins/serve/store/store.h"
#include "sdk/error.h"

struct stats {
    struct server *server;
    json_t *rows;
    const char **ids; /* of those that run; borrowed from the rows */
    size_t id_count, pending;
    struct nt_timer *timer;
    void (*done)(void *data, json_t *rows, const struct nt_error *error);
    void *data;
    bool is_told;
};

/* One question; outlives the answer of the sample when the guest hangs. */
struct sample {
    struct stats *stats;
    json_t *row;
};

static const struct {
    uint16_t tag;
    const char *name;
} members[] = {
    { NT_GT_CPU_US, "cpu_us" },
    { NT_GT_CPU_COUNT, "cpu_count" },
    { NT_GT_MEM_USED, "mem_used_bytes" },
    { NT_GT_MEM_TOTAL, "mem_total_bytes" },
    { NT_GT_DISK_USED, "disk_used_bytes" },
    { NT_GT_DISK_TOTAL, "disk_total_bytes" },
    { NT_GT_NET_RX, "net_rx_bytes" },
    { NT_GT_NET_TX, "net_tx_bytes" },
    { NT_GT_PIDS_USED, "pids_used" },
    { NT_GT_OOM_KILLS, "oom_kills" },
    { NT_GT_PIDS_REFUSED, "pids_refused" },
};

static void stats_check(struct stats *s)
{
    if (s->pending || !s->is_told)
        return;
    json_decref(s->rows);
    free(s->ids);
    free(s);
}

static void stats_tell(struct stats *s, const struct nt_error *error)
{
    if (s->is_told)
        return;
    s->is_told = true;
    s->server->loop->ops->timer_end(s->timer);
    s->timer = NULL;
    s->done(s->data, error ? NULL : s->rows, error);
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct sample *stat = data;
    struct nt_g_field field;
    if (stat->stats->is_told)
        return; /* the rows are somebody else's now */
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &field) > 0;)
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
            int ok = 1;
            uint64_t number = field.tag == members[i].tag ? nt_g_number(&field, &ok) : 0;
            if (field.tag == members[i].tag && ok)
                json_object_set_new(stat->row, members[i].name,
                                    json_integer((json_int_t)(number & INT64_MAX)));
        }
    json_object_set_new(
        stat->row, "at_ms",
        json_integer(stat->stats->server->loop->ops->now_ms(stat->stats->server->loop)));
    json_object_set_new(stat->row, "unreachable", json_false());
}

static void on_answer(void *data, const struct nt_error *error)
{
    struct sample *stat = data;
    struct stats *s = stat->stats;
    (void)error; /* without an answer its row stays as it is: unreachable */
    json_decref(stat->row);
    free(stat);
    if (--s->pending == 0)
        stats_tell(s, NULL);
    stats_check(s);
}

static void on_late(void *data)
{
    stats_tell(data, NULL); /* the questions end by their own deadline */
}

static json_t *row_of(const struct stats *s, const char *id)
{
    size_t i;
    json_t *row;
    json_array_foreach(s->rows, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "id")), id) == 0)
            return row;
    }
    return NULL;
}

static void ask(struct stats *s, const char *id)
{
    uint8_t memory[NT_G_HEAD];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_METRICS);
    struct nt_error error = NT_ERROR_INIT;
    struct sample *stat = calloc(1, sizeof(*stat));
    if (!stat)
        return;
    *stat = (struct sample){ s, json_incref(row_of(s, id)) };
    json_object_set_new(stat->row, "unreachable", json_true()); /* until it has answered */
    if (guest_ask(s->server, id, (struct nt_bytes){ memory, nt_g_done(&w) }, on_frame, on_answer,
                  stat, &error)
        == 0) {
        s->pending++;
        return;
    }
    json_decref(stat->row);
    free(stat);
}

static void on_health(void *data)
{
    struct stats *s = data;
    for (size_t i = 0; i < s->id_count; i++)
        if (health_is_unreachable(s->server, s->ids[i]))
            json_object_set_new(row_of(s, s->ids[i]), "unreachable", json_true());
        else
            ask(s, s->ids[i]);
    if (s->pending)
        s->timer = s->server->loop->ops->timer(s->server->loop, STATS_MS, 0, on_late, s);
    if (!s->timer)
        stats_tell(s, NULL);
    stats_check(s);
}

static void on_row(void *data, const struct workspace *ws)
{
    struct stats *s = data;
    bool is_running = ws->status == WORKSPACE_RUNNING;
    json_t *row = json_pack("{s:s, s:s, s:s, s:b}", "id", ws->id, "name", ws->name, "status",
                            is_running                         ? "running"
                            : ws->status == WORKSPACE_STOPPED  ? "stopped"
                            : ws->status == WORKSPACE_CREATING ? "creating"
                                                               : "error",
                            "unreachable", 0);
    if (!row)
        return;
    json_object_set_new(row, "mem_limit_bytes", json_integer((json_int_t)ws->memory_mb << 20));
    json_object_set_new(row, "pids_limit", json_integer(ws->pids));
    json_array_append_new(s->rows, row);
    if (is_running)
        s->ids[s->id_count++] = json_string_value(json_object_get(row, "id"));
}

static void on_rows(void *data, const struct nt_error *error)
{
    struct stats *s = data;
    if (!error && s->id_count && health_ask(s->server, s->ids, s->id_count, on_health, s))
        return;
    stats_tell(s, error);
    stats_check(s);
}

int stats_collect(struct server *server, const char *org_id,
                  void (*done)(void *data, json_t *rows, const struct nt_error *error), void *data,
                  struct nt_error *reterr)
{
    struct stats *s = calloc(1, sizeof(*s));
    const char **ids = calloc(STATS_MAX, sizeof(*ids));
    json_t *rows = json_array();
    struct store_list list = { .org_id = org_id, .limit = STATS_MAX };
    if (s && ids && rows) {
        *s = (struct stats){
            .server = server, .rows = rows, .ids = ids, .done = done, .data = data
        };
        if (store_workspace_list(server->store, &list, on_row, on_rows, s, reterr) == 0)
            return 0;
    } else {
        nt_fail(reterr, NT_E_MEMORY, "no memory for the sample");
    }
    json_decref(rows);
    free(ids);
    free(s);
    return -1;
}
