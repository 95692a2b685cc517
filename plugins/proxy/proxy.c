/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - `proxy`: a port inside a workspace becomes a port of this machine, while it runs.
 *
 * What waits for the API (dialling, looking at the workspace) cannot be done in a callback of the
 * loop: callbacks queue it and let the loop return. Connections that are carried go on meanwhile.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/plugin.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

#define ASK_MS 10000
#define ACCEPTS 64u /* that wait to be carried */

void carried_add(struct proxy *p, struct carried *c, void (*end)(struct carried *c))
{
    c->proxy = p;
    c->end = end;
    c->next = p->carried;
    if (p->carried)
        p->carried->prev = c;
    p->carried = c;
    p->count++;
}

void carried_remove(struct carried *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->proxy->carried = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->next = c->prev = NULL;
    c->proxy->count--;
}

/* --- the life of one ----------------------------------------------------------------------- */

struct life {
    struct proxy proxy;
    int listener;
    struct nt_watch *watch;
    int waiting[ACCEPTS];
    uint32_t count;
    bool is_remote; /* there is no short way */
    bool is_stopped;
};

static void wake(struct life *l)
{
    l->proxy.wake = 1;
}

static int carry(struct life *l, int fd, struct nt_error *reterr)
{
    if (!l->is_remote) {
        int status = carry_local(&l->proxy, fd, reterr);
        if (status == 0 || reterr->code != NT_E_NOT_LOCAL)
            return status;
        l->is_remote = true;
        *reterr = (struct nt_error)NT_ERROR_INIT;
    }
    return carry_remote(&l->proxy, fd, reterr);
}

static void debug_refused(struct life *l, const struct nt_error *error)
{
    l->proxy.has_suspicion = l->proxy.has_suspicion || error->code != PROXY_E_UNREACHABLE;
    l->proxy.call->host->debug(l->proxy.call, "proxy.refused", error->message);
}

static void on_connection(void *data, int listener, uint32_t events)
{
    (void)events;
    struct life *l = data;
    while (l->count < ACCEPTS) {
        struct nt_error error = NT_ERROR_INIT;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            break;
        if (l->proxy.count + l->count >= CARRIED_MAX) {
            nt_relay_reset(fd);
            continue;
        }
        nt_relay_no_delay(fd);
        if (!l->is_remote)
            l->waiting[l->count++] = fd;
        else if (carry_remote(&l->proxy, fd, &error) < 0)
            debug_refused(l, &error);
    }
    if (l->count == ACCEPTS)
        l->proxy.loop->ops->watch_set(l->watch, 0); /* until these are carried */
    if (l->count)
        wake(l);
}

static int say_state(struct life *l, struct nt_error *reterr)
{
    struct nt_call *call = l->proxy.call;
    bool is_stopped = l->proxy.state == STATE_RESTS;
    if (l->proxy.state == STATE_GONE)
        return nt_fail(reterr, PROXY_E_GONE, "the workspace %s is gone", l->proxy.id);
    if (l->proxy.state == STATE_REFUSED) {
        *reterr = l->proxy.state_error;
        return -1;
    }
    if (l->proxy.state != STATE_UNKNOWN && is_stopped != l->is_stopped) {
        call->host->message(call, NT_SAY_NOTE,
                            is_stopped ? "The workspace does not run: connections are refused "
                                         "until it is started."
                                       : "The workspace runs again.");
        l->is_stopped = is_stopped;
    }
    return 0;
}

/* For when nobody tells how the workspace is. Gone: an error. Stopped, or not to be asked: the
 * listener stays. */
static int look(struct life *l, struct nt_error *reterr)
{
    struct nt_call *call = l->proxy.call;
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    struct nt_error error = NT_ERROR_INIT;
    struct nt_response response = { .size = sizeof(response) };
    nt_buf_add(&path, "/v1/sandboxes/");
    nt_buf_add_url_part(&path, l->proxy.id);
    nt_buf_add(&path, "?fields=id,status");
    struct nt_request request = { .size = sizeof(request),
                                  .flags = NT_REQ_NO_RETRY | NT_REQ_BRIEF,
                                  .method = "GET",
                                  .path = nt_buf_text(&path),
                                  .timeout_ms = ASK_MS };
    l->proxy.is_look_due = l->proxy.has_suspicion = false;
    if (call->host->request(call, &request, &response, &error) < 0) {
        l->proxy.state = error.code == NT_E_NOT_FOUND ? STATE_GONE : l->proxy.state;
        if (error.code == NT_E_CANCELLED || error.code == NT_E_AUTH
            || error.code == NT_E_FORBIDDEN) {
            *reterr = error;
            return -1;
        }
        return 0; /* gone, or the server may come back */
    }
    nt_auto_json json_t *ws = json_loadb(response.body.data, response.body.size, 0, NULL);
    l->proxy.state = state_of(nt_json_text(ws, "status"));
    return 0;
}

static int carry_waiting(struct life *l, struct nt_error *reterr)
{
    while (l->count) {
        struct nt_error error = NT_ERROR_INIT;
        int fd = l->waiting[0];
        l->count--;
        memmove(l->waiting, l->waiting + 1, l->count * sizeof(l->waiting[0]));
        if (carry(l, fd, &error) == 0)
            continue;
        if (error.code == NT_E_CANCELLED) {
            *reterr = error;
            return -1;
        }
        debug_refused(l, &error);
    }
    l->proxy.loop->ops->watch_set(l->watch, NT_READABLE);
    return 0;
}

static int serve(struct life *l, struct nt_error *reterr)
{
    for (;;) {
        if (l->proxy.call->host->wait(l->proxy.call, &l->proxy.wake, reterr) < 0)
            return -1;
        l->proxy.wake = 0;
        if (carry_waiting(l, reterr) < 0)
            return -1;
        if (!l->proxy.is_state_told && (l->proxy.is_look_due || l->proxy.has_suspicion)
            && look(l, reterr) < 0)
            return -1;
        if (say_state(l, reterr) < 0)
            return -1;
        if (!l->proxy.teller && !l->proxy.state_timer)
            state_begin(&l->proxy);
    }
}

static void life_end(struct life *l)
{
    struct nt_loop *loop = l->proxy.loop;
    loop->ops->watch_end(l->watch);
    state_end(&l->proxy);
    while (l->count)
        close(l->waiting[--l->count]);
    for (struct carried *c = l->proxy.carried, *next; c; c = next) {
        next = c->next;
        c->end(c);
    }
    nt_relay_pipes_done(&l->proxy.pipes);
    nt_closep(&l->listener);
}

/* --- the command --------------------------------------------------------------------------- */

static int announce(struct nt_call *call, const struct proxy *p, const char *where, bool is_other,
                    struct nt_error *reterr)
{
    char line[512];
    if (is_other) {
        snprintf(line, sizeof(line), "Port %u of this machine is in use; another was picked.",
                 (unsigned)p->port);
        call->host->message(call, NT_SAY_NOTE, line);
    }
    snprintf(line, sizeof(line), "Forwarding http://%s → %s:%u (Ctrl+C to stop)", where, p->id,
             (unsigned)p->port);
    if (!(call->flags & NT_CALL_JSON)) {
        call->host->message(call, NT_SAY_NOTE, line);
        return 0;
    }
    char url[160];
    snprintf(url, sizeof(url), "http://%s", where);
    struct nt_value values[] = { { .type = NT_ID, .text = p->id },
                                 { .type = NT_INT, .number = p->port },
                                 { .type = NT_TEXT, .text = url },
                                 { .type = NT_TEXT, .text = where } };
    return call->host->emit(call, values, 4, reterr);
}

static int proxy(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    struct life *l = calloc(1, sizeof(*l));
    int64_t port = host->number(call, "port-inside");
    int64_t local = host->number(call, "port");
    if (port < 1 || port > 65535) {
        free(l);
        return nt_fail(reterr, NT_E_USAGE, "a port is a number from 1 to 65535");
    }
    if (!l)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the proxy");
    l->proxy.call = call;
    l->proxy.loop = host->loop(call);
    l->proxy.id = host->text(call, "workspace-id");
    l->proxy.port = (uint16_t)port;
    l->proxy.state_error = (struct nt_error)NT_ERROR_INIT;
    l->listener = -1;
    char where[128];
    bool is_other = false;
    int status = carry(l, -1, reterr); /* pre-flight: nothing is opened when it fails */
    if (status == 0) {
        l->listener = listen_here(host->text(call, "listen"), (uint16_t)(local ? local : port),
                                  !local && !host->text(call, "listen"), where, sizeof(where),
                                  &is_other, reterr);
        status = l->listener < 0 ? -1 : 0;
    }
    if (status == 0) {
        l->watch =
            l->proxy.loop->ops->watch(l->proxy.loop, l->listener, NT_READABLE, on_connection, l);
        status = l->watch ? announce(call, &l->proxy, where, is_other, reterr)
                          : nt_fail(reterr, NT_E_MEMORY, "no memory for the proxy");
    }
    l->proxy.wake = 1; /* for the first look at the workspace */
    if (status == 0)
        status = serve(l, reterr);
    life_end(l);
    free(l);
    return status;
}

static const struct nt_arg args[] = {
    { .name = "workspace-id",
      .type = NT_ID,
      .complete = "ws.ids",
      .help = "Id or name of the workspace" },
    { .name = "port-inside", .type = NT_INT, .help = "Port of a program inside the workspace" },
};
static const struct nt_opt opts[] = {
    { .name = "port",
      .type = NT_INT,
      .arg = "number",
      .min = 1,
      .max = 65535,
      .conflicts = "listen",
      .help = "Port of this machine (default: the same number, else a free one)" },
    { .name = "listen",
      .type = NT_TEXT,
      .arg = "address:port",
      .conflicts = "port",
      .help = "Listen there instead of on loopback; port 0 is any free one" },
};
static const struct nt_column columns[] = {
    { .name = "id", .help = "The workspace", .type = NT_ID },
    { .name = "port", .help = "Port inside", .type = NT_INT },
    { .name = "url", .help = "What to open on this machine", .type = NT_TEXT },
    { .name = "listen", .help = "Where it listens", .type = NT_TEXT },
};
static const struct nt_example examples[] = {
    { "proxy ws_a1b2c3d4 3000", "http://localhost:3000 is port 3000 of the workspace" },
    { "proxy ws_a1b2c3d4 3000 --port 8080", "At a port of your own choice" },
};
static const uint32_t codes[] = { PROXY_E_UNREACHABLE, PROXY_E_PORT_TAKEN, PROXY_E_GONE,
                                  NT_E_NOT_FOUND,      NT_E_CONFLICT,      NT_E_AUTH,
                                  NT_E_FORBIDDEN,      NT_E_CONNECT };
static const struct nt_error_row errors[] = {
    { .number = PROXY_E_UNREACHABLE,
      .text = "nanoterm.port_unreachable",
      .kind = "runtime",
      .exit_status = 8,
      .help = "Start the program inside first; nanoterm ws ports ID lists what listens" },
    { .number = PROXY_E_PORT_TAKEN,
      .text = "nanoterm.port_taken",
      .kind = "api",
      .exit_status = 7,
      .help = "Name another port of this machine, or none: a free one is picked" },
    { .number = PROXY_E_GONE,
      .text = "nanoterm.workspace_gone",
      .kind = "api",
      .exit_status = 3,
      .help = "It was removed while connections to it were forwarded" },
};
static const struct nt_command commands[] = {
    { .path = "proxy",
      .summary = "Forward a port of a workspace to this machine",
      .run = proxy,
      .args = NT_TABLE(args),
      .opts = NT_TABLE(opts),
      .description =
          "Dials the port once before anything is opened, then listens and forwards until Ctrl-C. "
          "While the workspace is stopped connections are refused; after `ws start` it goes on. "
          "Bytes are forwarded as they are: every program and every user of this machine can reach "
          "the port, and with --listen others, too.",
      .columns = NT_TABLE(columns),
      .examples = NT_TABLE(examples),
      .errors = NT_TABLE(codes),
      .effects = NT_LOCAL | NT_REMOTE,
      .result = NT_RESULT_STREAM,
      .timeout_ms = -1 },
};

static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,
    .name = "proxy",
    .version = NT_VERSION,
    .summary = "Forward ports of workspaces to this machine",
    .vendor = "nanoterm",
    .commands = NT_TABLE(commands),
    .errors = NT_TABLE(errors),
};
NT_PLUGIN(plugin);
