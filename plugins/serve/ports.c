/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - makes listening sockets, gives them to guests, and does so again for what the store
 * remembers; see ports.h. */
#include "ports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/port_socket.h"
#include "plugins/serve/store/store.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

/* --- sockets of this machine --------------------------------------------------------------- */

static int read_port(const json_t *body, const char *name, uint16_t *ret, struct nt_error *reterr)
{
    const json_t *value = json_object_get(body, name);
    if (!json_is_integer(value) || json_integer_value(value) < 1
        || json_integer_value(value) > 65535)
        return nt_fail(reterr, NT_E_INVALID, "%s must be a port from 1 to 65535", name);
    *ret = (uint16_t)json_integer_value(value);
    return 0;
}

int port_parse(const struct server *server, const json_t *body, bool is_local,
               struct port_wish *ret, struct nt_error *reterr)
{
    struct port_wish wish = { .address = "127.0.0.1", .fd = -1 };
    const json_t *host = json_object_get(body, "host_port");
    const json_t *address = json_object_get(body, "address");
    if (!(server->engine_ops->caps & NT_ENGINE_PASS_FDS))
        return nt_fail(reterr, NT_E_UNSUPPORTED, "the engine %.40s cannot publish ports",
                       server->engine_name);
    if (read_port(body, "port", &wish.port, reterr) < 0
        || (host && !json_is_null(host)
            && read_port(body, "host_port", &wish.host_port, reterr) < 0))
        return -1;
    if (wish.port == NT_WAY_OUT_PORT)
        return nt_fail(reterr, NT_E_INVALID, "port %d inside is the workspace's own way out",
                       NT_WAY_OUT_PORT);
    if (address && !json_is_null(address)) {
        const char *text = json_string_value(address);
        if (!text || strlen(text) >= sizeof(wish.address))
            return nt_fail(reterr, NT_E_INVALID, "address must be an IP address");
        memcpy(wish.address, text, strlen(text) + 1);
    }
    if (!port_is_address(wish.address))
        return nt_fail(reterr, NT_E_INVALID, "address must be an IP address");
    if (!is_local && !port_is_loopback(wish.address))
        return nt_fail(reterr, NT_E_FORBIDDEN,
                       "only somebody at the server's machine may publish beyond its loopback");
    if (!is_local && wish.host_port && wish.host_port < PORT_LOW_END)
        return nt_fail(reterr, NT_E_FORBIDDEN,
                       "only somebody at the server's machine may publish a port below 1024");
    *ret = wish;
    return 0;
}

static int fail_to_listen(const struct port_wish *w, int sys, struct nt_error *reterr)
{
    if (sys == EADDRINUSE) {
        nt_fail(reterr, NT_E_CONFLICT, "port %u of %s is in use", (unsigned)w->host_port,
                w->address);
        nt_hint(reterr, "name another one, or leave it to be picked: -p %u", (unsigned)w->port);
        nt_copy_text(reterr->server_code, sizeof(reterr->server_code), "port_taken");
        return -1;
    }
    if (sys == EACCES) {
        nt_fail(reterr, NT_E_FORBIDDEN, "this user may not listen on port %u",
                (unsigned)w->host_port);
        return nt_hint(reterr, "use a port from 1024, or leave it to be picked: -p %u",
                       (unsigned)w->port);
    }
    if (sys == EADDRNOTAVAIL)
        return nt_fail(reterr, NT_E_INVALID, "%s is not an address of this machine", w->address);
    return nt_fail_sys(reterr, sys, "cannot listen on port %u of %s", (unsigned)w->host_port,
                       w->address);
}

int port_listen(struct server *server, struct port_wish *w, struct nt_error *reterr)
{
    const struct server_given *given = server->options ? server->options->given : NULL;
    if (!port_is_address(w->address))
        return nt_fail(reterr, NT_E_INVALID, "%s is not an IP address", w->address);
    int sys = port_socket(w->address, w->host_port, &w->fd, &w->host_port);
    if (sys != EACCES || !given || !given->listen)
        return sys ? fail_to_listen(w, sys, reterr) : 0;
    /* Root's server gave up the right to low ports; its monitor has it. */
    struct nt_error error = NT_ERROR_INIT;
    if (given->listen(w->address, w->host_port, &w->fd, &error) == 0)
        return 0;
    if (error.sys)
        return fail_to_listen(w, error.sys, reterr);
    *reterr = error;
    return -1;
}

void ports_close(struct port_wish *wishes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        nt_closep(&wishes[i].fd);
        wishes[i].fd = -1;
    }
}

/* --- giving one to a guest ----------------------------------------------------------------- */

/* Takes the descriptor of the wish. */
static int give(struct server *server, const char *ws_id, struct port_wish *w,
                void (*done)(void *data, const struct nt_error *error), void *data,
                struct nt_error *reterr)
{
    uint8_t memory[256];
    struct nt_g_writer frame = nt_g_begin(memory, sizeof(memory), NT_G_PUBLISH);
    nt_g_add_number(&frame, NT_GT_PORT, w->port);
    nt_g_add_number(&frame, NT_GT_HOST_PORT, w->host_port);
    nt_g_add_text(&frame, NT_GT_ADDRESS, w->address);
    return guest_ask_with(server, ws_id, (struct nt_bytes){ memory, nt_g_done(&frame) },
                          nt_take_fd(w->fd), NULL, done, data, reterr);
}

static struct store_port row_of(const char *ws_id, const char *org_id, const struct port_wish *w)
{
    struct store_port row = { .port = w->port, .host_port = w->host_port };
    nt_copy_text(row.ws_id, sizeof(row.ws_id), ws_id);
    nt_copy_text(row.org_id, sizeof(row.org_id), org_id);
    nt_copy_text(row.address, sizeof(row.address), w->address);
    return row;
}

struct publishing {
    struct server *server;
    char ws_id[44], org_id[44];
    struct port_wish *wishes;
    uint32_t count, at;
    void (*done)(void *data, const struct nt_error *error);
    void *data;
};

static void publish_next(struct publishing *p);

static void publish_end(struct publishing *p, const struct nt_error *error)
{
    ports_close(p->wishes, p->count);
    p->done(p->data, error);
    free(p);
}

static void on_row_written(void *data, const struct nt_error *error)
{
    struct publishing *p = data;
    if (error) {
        publish_end(p, error);
        return;
    }
    p->at++;
    publish_next(p);
}

static void on_given(void *data, const struct nt_error *error)
{
    struct publishing *p = data;
    struct nt_error failure = NT_ERROR_INIT;
    if (error) {
        publish_end(p, error);
        return;
    }
    struct store_port row = row_of(p->ws_id, p->org_id, &p->wishes[p->at]);
    if (store_port_put(p->server->store, &row, on_row_written, p, &failure) < 0)
        publish_end(p, &failure);
}

static void publish_next(struct publishing *p)
{
    struct nt_error error = NT_ERROR_INIT;
    if (p->at == p->count)
        publish_end(p, NULL);
    else if (give(p->server, p->ws_id, &p->wishes[p->at], on_given, p, &error) < 0)
        publish_end(p, &error);
}

void ports_publish(struct server *server, const char *ws_id, const char *org_id,
                   struct port_wish *wishes, uint32_t count,
                   void (*done)(void *data, const struct nt_error *error), void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    struct publishing *p = calloc(1, sizeof(*p));
    if (!p) {
        ports_close(wishes, count);
        nt_fail(&error, NT_E_MEMORY, "no memory to publish ports");
        done(data, &error);
        return;
    }
    *p = (struct publishing){
        .server = server, .wishes = wishes, .count = count, .done = done, .data = data
    };
    nt_copy_text(p->ws_id, sizeof(p->ws_id), ws_id);
    nt_copy_text(p->org_id, sizeof(p->org_id), org_id);
    publish_next(p);
}

/* --- taking one away ----------------------------------------------------------------------- */

struct withdrawal {
    struct server *server;
    char ws_id[44];
    uint16_t host_port;
    void (*done)(void *data, const struct nt_error *error);
    void *data;
};

static void on_row_gone(void *data, const struct nt_error *error)
{
    struct withdrawal *w = data;
    w->done(w->data, error);
    free(w);
}

static void on_closed(void *data, const struct nt_error *error)
{
    struct withdrawal *w = data;
    struct nt_error failure = NT_ERROR_INIT;
    if (error)
        on_row_gone(w, error);
    else if (store_port_remove(w->server->store, w->ws_id, w->host_port, on_row_gone, w, &failure)
             < 0)
        on_row_gone(w, &failure);
}

int port_withdraw(struct server *server, const struct workspace *ws, uint16_t host_port,
                  void (*done)(void *data, const struct nt_error *error), void *data,
                  struct nt_error *reterr)
{
    nt_autofree struct withdrawal *w = calloc(1, sizeof(*w));
    uint8_t memory[64];
    struct nt_g_writer frame = nt_g_begin(memory, sizeof(memory), NT_G_UNPUBLISH);
    nt_g_add_number(&frame, NT_GT_HOST_PORT, host_port);
    if (!w)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the port");
    *w =
        (struct withdrawal){ .server = server, .host_port = host_port, .done = done, .data = data };
    nt_copy_text(w->ws_id, sizeof(w->ws_id), ws->id);
    int status = ws->status == WORKSPACE_RUNNING
                     ? guest_ask(server, ws->id, (struct nt_bytes){ memory, nt_g_done(&frame) },
                                 NULL, on_closed, w, reterr)
                     : store_port_remove(server->store, ws->id, host_port, on_row_gone, w, reterr);
    if (status < 0)
        return -1;
    (void)nt_take(w);
    return 0;
}

/* --- publishing again ---------------------------------------------------------------------- */

struct restoring {
    struct server *server;
    char ws_id[44];
    struct store_port rows[PORTS_MAX];
    bool is_held[PORTS_MAX]; /* the guest has it */
    uint32_t count, at;
    void (*done)(void *data);
    void *data;
};

static void restore_next(struct restoring *r);

static void restore_end(struct restoring *r)
{
    if (r->done)
        r->done(r->data);
    free(r);
}

static void on_notice_written(void *data, const struct nt_error *error)
{
    (void)error; /* only the notice is lost */
    struct restoring *r = data;
    r->at++;
    restore_next(r);
}

/* The outcome for the row at hand. */
static void note(struct restoring *r, const struct nt_error *error)
{
    struct store_port *row = &r->rows[r->at];
    struct nt_error ignored = NT_ERROR_INIT;
    char notice[sizeof(row->notice)];
    nt_copy_text(notice, sizeof(notice), error ? error->message : "");
    if (strcmp(notice, row->notice) == 0) {
        on_notice_written(r, NULL);
        return;
    }
    memcpy(row->notice, notice, sizeof(notice));
    if (store_port_put(r->server->store, row, on_notice_written, r, &ignored) < 0)
        on_notice_written(r, &ignored);
}

static void on_restored(void *data, const struct nt_error *error)
{
    note(data, error);
}

static void restore_next(struct restoring *r)
{
    if (r->at == r->count) {
        restore_end(r);
        return;
    }
    const struct store_port *row = &r->rows[r->at];
    struct port_wish wish = { .port = row->port, .host_port = row->host_port, .fd = -1 };
    struct nt_error error = NT_ERROR_INIT;
    memcpy(wish.address, row->address, sizeof(wish.address));
    if (r->is_held[r->at])
        note(r, NULL);
    else if (port_listen(r->server, &wish, &error) < 0
             || give(r->server, r->ws_id, &wish, on_restored, r, &error) < 0)
        note(r, &error);
}

static void on_held(void *data, const struct nt_g_frame *frame)
{
    struct restoring *r = data;
    struct nt_g_field f;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;)
        for (uint32_t i = 0; f.tag == NT_GT_HOST_PORT && i < r->count; i++)
            if (nt_g_load(f.data, 8) == r->rows[i].host_port)
                r->is_held[i] = true;
}

static void on_asked(void *data, const struct nt_error *error)
{
    if (error)
        restore_end(data); /* it does not answer, or is too old for ports */
    else
        restore_next(data);
}

static void on_row(void *data, const struct store_port *port)
{
    struct restoring *r = data;
    if (r->count < PORTS_MAX)
        r->rows[r->count++] = *port;
}

static void on_rows(void *data, const struct nt_error *error)
{
    struct restoring *r = data;
    struct nt_error failure = NT_ERROR_INIT;
    uint8_t memory[64];
    struct nt_g_writer frame = nt_g_begin(memory, sizeof(memory), NT_G_PORTS);
    if (error || !r->count
        || guest_ask(r->server, r->ws_id, (struct nt_bytes){ memory, nt_g_done(&frame) }, on_held,
                     on_asked, r, &failure)
               < 0)
        restore_end(r);
}

void ports_restore(struct server *server, const char *ws_id, void (*done)(void *data), void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    struct restoring *r = calloc(1, sizeof(*r));
    if (r) {
        r->server = server;
        r->done = done;
        r->data = data;
        nt_copy_text(r->ws_id, sizeof(r->ws_id), ws_id);
    }
    if (!r && done)
        done(data);
    else if (r && store_port_list(server->store, ws_id, on_row, on_rows, r, &error) < 0)
        restore_end(r);
}

/* --- the start of a server ----------------------------------------------------------------- */

static void on_any(void *data, const struct store_port *port)
{
    struct server *server = data;
    size_t count = server->published_count;
    if (count && strcmp(server->published[count - 1], port->ws_id) == 0)
        return; /* rows come by workspace */
    void *ids = reallocarray(server->published, count + 1, sizeof(*server->published));
    if (!ids)
        return;
    server->published = ids;
    memcpy(server->published[count], port->ws_id, sizeof(*server->published));
    server->published_count++;
}

void ports_forget(struct server *server)
{
    free(server->published);
    server->published = NULL;
    server->published_count = 0;
}

/* A workspace that does not run has no guest to ask: nothing comes of it. A server that ends before
 * never gets here. */
static void on_all(void *data, const struct nt_error *error)
{
    (void)error;
    struct server *server = data;
    for (size_t i = 0; i < server->published_count; i++)
        if (!act_is_busy(server, server->published[i]))
            ports_restore(server, server->published[i], NULL, NULL);
    ports_forget(server);
}

void ports_reconcile(struct server *server)
{
    struct nt_error error = NT_ERROR_INIT;
    if (store_port_list(server->store, NULL, on_any, on_all, server, &error) < 0)
        return; /* the next start looks again */
}
