/* SPDX-License-Identifier: Apache-2.0 */
/* capture.c - commands that print credentials: for which requests one is run, what it is told, and
 * how many there may be at once. */
#include "plugins/sandbox-enforce/proxy/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/outside.h"
#include "plugins/sandbox-enforce/proxy/endpoint.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

extern char **environ;

/* The program chooses paths, and with them scopes: neither processes nor memory without end. */
enum { SCOPES_MAX = 64, RUNS_MAX = 4, INPUT_MAX = 256 * 1024 };

/* A credential of one scope. */
struct asked {
    struct source source;
    struct capture *capture;
    struct asked *next; /* the last one used is the first */
    struct capture_run *run;
    char scope[CAPTURE_SCOPE_MAX];
};

struct capture {
    struct proxy *proxy;
    const struct route *route;
    const struct policy_capture *policy;
    const char *program, *session;
    char *search;        /* its PATH, malloc'ed */
    struct scope *scope; /* NULL: one credential for all requests */
    struct asked *asked;
    unsigned runs;
};

/* --- what a command is told ----------------------------------------------------------------- */

/* What is asked for, as it is sent on, without the session's token. NULL: it cannot be said. */
static char *request_path(const struct visit *v)
{
    nt_auto(nt_buf_done) struct nt_buf plain = NT_BUF(2 * VISIT_HEAD_MAX);
    nt_auto(nt_buf_done) struct nt_buf wire = NT_BUF(4 * VISIT_HEAD_MAX);
    if (endpoint_path(v->path, endpoint_has_rules(v->route->policy), &plain, &wire))
        return NULL;
    nt_buf_add(&wire, v->path + strcspn(v->path, "?"));
    for (char *at; nt_buf_ok(&wire) && wire.data && (at = strstr(wire.data, v->proxy->token));) {
        at[0] = '{';
        at[1] = '}';
        memmove(at + 2, at + PROXY_TOKEN_SIZE - 1, strlen(at + PROXY_TOKEN_SIZE - 1) + 1);
    }
    return nt_buf_ok(&wire) ? strdup(nt_buf_text(&wire)) : NULL;
}

static char *make_input(const struct asked *a, const char *path, const char *method)
{
    const struct capture *c = a->capture;
    nt_auto_json json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "session_id", c->session, "credential_name",
        c->policy->name, "route_id", c->route->policy->name, "request_host", c->route->to.host,
        "request_path", path, "request_method", method, "cache_scope", a->scope);
    if (object && c->policy->config) {
        json_object_set_new(object, "protocol", json_string("nono.credential-provider.v1"));
        json_object_set_new(object, "config", json_loads(c->policy->config, 0, NULL));
        json_object_set_new(object, "interaction", json_object());
    }
    return object ? json_dumps(object, JSON_COMPACT) : NULL;
}

/* The person's variables, but for those that would lead back here, and those that say anew below.
 */
static bool is_left_out(const char *entry)
{
    static const char *const names[] = {
        "HTTP_PROXY",         "HTTPS_PROXY",
        "ALL_PROXY",          "NO_PROXY",
        "http_proxy",         "https_proxy",
        "all_proxy",          "no_proxy",
        "NONO_SESSION_ID",    "NONO_REQUEST_HOST",
        "NONO_REQUEST_PATH",  "NONO_REQUEST_METHOD",
        "NONO_CACHE_SCOPE",   "NONO_CAPTURE_CREDENTIAL",
        "NONO_CAPTURE_ROUTE", "NONO_PROXY_TOKEN",
        "NONO_CAP_FILE",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t size = strlen(names[i]);
        if (strncmp(entry, names[i], size) == 0 && entry[size] == '=')
            return true;
    }
    return false;
}

/* --- runs ------------------------------------------------------------------------------------ */

static void fail(struct asked *a, const char *why, bool is_its_own)
{
    const struct policy_capture *policy = a->capture->policy;
    char text[256];
    snprintf(text, sizeof(text), "credential_capture.%s: %.120s%s", policy->name, why,
             is_its_own && !policy->is_heard ? " (interaction.stdio shows what it says)" : "");
    source_fail(&a->source, text);
}

static void on_printed(void *data, char *text, size_t size, const char *why)
{
    struct asked *a = data;
    struct token *token = NULL;
    a->run = NULL;
    a->capture->runs--;
    bool has_failed = why != NULL;
    if (!has_failed)
        why = capture_read(a->capture->policy, text, size, &token);
    if (why)
        fail(a, why, has_failed);
    else
        source_tell(&a->source, token, (int64_t)a->capture->policy->kept_s * 1000);
}

static int start(struct asked *a, const char *path, const char *method, struct nt_error *reterr)
{
    const struct capture *c = a->capture;
    const struct {
        const char *name, *value;
    } own[] = {
        { "PATH", c->search },
        { "NONO_SESSION_ID", c->session },
        { "NONO_REQUEST_HOST", c->route->to.host },
        { "NONO_REQUEST_PATH", path },
        { "NONO_REQUEST_METHOD", method },
        { "NONO_CACHE_SCOPE", a->scope },
        { "NONO_CAPTURE_CREDENTIAL", c->policy->name },
        { "NONO_CAPTURE_ROUTE", c->route->policy->name },
    };
    enum { OWN = sizeof(own) / sizeof(own[0]) };
    size_t count = 0, kept = 0;
    char *made[OWN] = { 0 };
    while (environ[count])
        count++;
    nt_autofree char **all = calloc(count + OWN + 1, sizeof(*all));
    nt_autofree const char **words = calloc(c->policy->words.count + 1, sizeof(*words));
    nt_autofree char *input = c->policy->is_told ? make_input(a, path, method) : NULL;
    bool is_fine = all && words && (input || !c->policy->is_told);
    for (size_t i = 0; is_fine && i < count; i++)
        if (outside_keeps(environ[i]) && !is_left_out(environ[i]))
            all[kept++] = environ[i];
    for (size_t i = 0; is_fine && i < OWN; i++) {
        is_fine = asprintf(&made[i], "%s=%s", own[i].name, own[i].value) >= 0;
        all[kept++] = made[i];
    }
    for (size_t i = 0; is_fine && i < c->policy->words.count; i++)
        words[i] = i ? c->policy->words.at[i] : c->program;
    const struct capture_start how = {
        .program = c->program,
        .words = words,
        .environment = all,
        .input = input,
        .input_size = input ? strlen(input) : 0,
        .is_heard = c->policy->is_heard,
        .timeout_s = c->policy->timeout_s,
    };
    int result = !is_fine ? nt_fail(reterr, NT_E_MEMORY, "the request cannot be told to it")
                          : capture_run_new(c->proxy, &how, on_printed, a, &a->run, reterr);
    for (size_t i = 0; i < OWN; i++)
        free(made[i]);
    if (result == 0)
        a->capture->runs++;
    return result;
}

static void begin(struct source *source)
{
    struct asked *a = (struct asked *)source; /* its first member */
    struct nt_error error = NT_ERROR_INIT;
    const struct visit *v = source->waiting;
    if (a->capture->runs >= RUNS_MAX) {
        fail(a, "too many of it run at once", false);
        return;
    }
    nt_autofree char *path = request_path(v);
    if (!path)
        fail(a, "the path cannot be told to it", false);
    else if (start(a, path, net_request_method(v->req), &error) < 0)
        fail(a, error.message, false);
}

/* --- scopes ---------------------------------------------------------------------------------- */

static void asked_free(struct asked *a)
{
    source_wipe(&a->source);
    free(a);
}

/* Room for one more: the one that was not used for longest goes. */
static bool make_room(struct capture *c)
{
    struct asked **idle = NULL;
    unsigned count = 0;
    for (struct asked **at = &c->asked; *at; at = &(*at)->next, count++)
        if (!(*at)->source.is_asking && !(*at)->source.telling)
            idle = at;
    if (count < SCOPES_MAX)
        return true;
    if (!idle)
        return false;
    struct asked *gone = *idle;
    *idle = gone->next;
    asked_free(gone);
    return true;
}

static struct asked *find(struct capture *c, const char *scope)
{
    struct asked *a = NULL;
    for (struct asked **at = &c->asked; *at; at = &(*at)->next)
        if (strcmp((*at)->scope, scope) == 0) {
            a = *at;
            *at = a->next;
            break;
        }
    if (!a && make_room(c) && (a = calloc(1, sizeof(*a)))) {
        a->source = (struct source){ .begin = begin, .status = 503 };
        a->capture = c;
        nt_copy_text(a->scope, sizeof(a->scope), scope);
    }
    if (a) {
        a->next = c->asked;
        c->asked = a;
    }
    return a;
}

void capture_ask(struct capture *c, struct visit *v)
{
    char scope[CAPTURE_SCOPE_MAX];
    enum scope_answer answer = SCOPE_NONE;
    if (c->scope) {
        nt_autofree char *path = request_path(v);
        if (path)
            path[strcspn(path, "?")] = '\0';
        answer = path ? scope_of(c->scope, path, scope) : SCOPE_TOO_LONG;
    }
    if (answer == SCOPE_TOO_LONG) {
        visit_refuse(v, 400, "the path is too long for its cache_path_regex", "");
        return;
    }
    struct asked *a = find(c, answer == SCOPE_FOUND ? scope : c->route->to.host);
    if (a)
        source_ask(&a->source, v);
    else
        visit_refuse(v, 503, "too many credentials are asked for at once", "");
}

/* --- beginning and end ----------------------------------------------------------------------- */

int capture_new(struct proxy *proxy, const struct route *route, const char *program,
                const char *session, struct capture **ret, struct nt_error *reterr)
{
    const struct policy_capture *policy = route->policy->capture;
    struct capture *c = calloc(1, sizeof(*c));
    *ret = c;
    if (!c || !program)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a route");
    *c = (struct capture){ .proxy = proxy,
                           .route = route,
                           .policy = policy,
                           .program = program,
                           .session = session ? session : "" };
    if (outside_path(proxy->policy, NULL, &c->search, reterr) < 0)
        return -1;
    if (policy->pattern && scope_new(policy->pattern, &c->scope, reterr) < 0)
        return nt_wrap(reterr, "credential_capture.%s", policy->name);
    return 0;
}

void capture_wipe(struct capture *c)
{
    for (struct asked *a = c ? c->asked : NULL; a; a = a->next)
        source_wipe(&a->source);
}

void capture_end(struct capture *c)
{
    for (struct asked *a = c ? c->asked : NULL; a; a = a->next)
        capture_run_cancel(nt_take(a->run));
    capture_wipe(c);
}

void capture_free(struct capture *c)
{
    if (!c)
        return;
    for (struct asked *a = c->asked, *next; a; a = next) {
        next = a->next;
        asked_free(a);
    }
    scope_free(c->scope);
    free(c->search);
    free(c);
}
