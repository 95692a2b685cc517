/* SPDX-License-Identifier: Apache-2.0 */
/* fake_host.c - a host for the unit tests of a plugin; see fake_host.h. */
#include "sdk/fake_host.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define WORDS_MAX 256u
#define ROWS_MAX 4096u
#define TEXT_MAX ((size_t)16 * 1024 * 1024)

/* A value of an argument or an option. */
struct word {
    const char *name; /* of the row */
    char *text;
    int64_t number;
};

struct setting {
    char *key, *value;
};

struct exchange {
    char *method, *path, *body;
    char *sent; /* body of the request; NULL: it has not come */
    uint32_t status;
};

struct row {
    char **cells; /* one a column; NULL: it came by emit_json */
    char *json;
};

struct fake_host {
    struct nt_call call; /* first: the call that the plugin gets is this object */
    struct nt_host host;
    const struct nt_plugin *plugin;
    struct word words[WORDS_MAX];
    struct setting settings[WORDS_MAX];
    struct exchange exchanges[WORDS_MAX];
    struct row rows[ROWS_MAX];
    uint32_t word_count, setting_count, exchange_count, asked, row_count, status;
    struct nt_buf messages;
    int peer; /* what connect hands over; -1: nothing */
};

static struct fake_host *of(struct nt_call *call)
{
    return (struct fake_host *)(void *)call;
}

static int no_memory(struct nt_error *reterr)
{
    return nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

/* --- words --------------------------------------------------------------------------------- */

/* What the tables say of a name. */
struct kind {
    const char *name, *fallback, *choices;
    int64_t min, max;
    uint32_t type, flags;
};

static const void *row_at(const struct nt_table *table, uint32_t index)
{
    return (const char *)table->rows + (size_t)index * table->stride;
}

/* The index-th argument or option of the command; false: no more. */
static bool kind_at(const struct nt_command *command, uint32_t index, struct kind *ret)
{
    if (index < command->args.count) {
        const struct nt_arg *arg = row_at(&command->args, index);
        *ret = (struct kind){ .name = arg->name, .type = arg->type, .flags = arg->flags };
        return true;
    }
    index -= command->args.count;
    if (index >= command->opts.count)
        return false;
    const struct nt_opt *opt = row_at(&command->opts, index);
    *ret = (struct kind){ opt->name, opt->fallback, opt->choices, opt->min,
                          opt->max,  opt->type,     opt->flags };
    return true;
}

static bool kind_named(const struct nt_command *command, const char *name, struct kind *ret)
{
    for (uint32_t i = 0; kind_at(command, i, ret); i++)
        if (strcmp(ret->name, name) == 0)
            return true;
    return false;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = choices; at && *at;) {
        size_t n = strcspn(at, "|");
        if (n == length && memcmp(at, text, n) == 0)
            return true;
        at += n + (at[n] == '|');
    }
    return false;
}

static int read_value(const struct kind *kind, const char *text, int64_t *ret,
                      struct nt_error *reterr)
{
    bool bounded = kind->min != kind->max;
    int64_t min = bounded ? kind->min : INT64_MIN, max = bounded ? kind->max : INT64_MAX;
    uint64_t size = 0;
    *ret = 0;
    switch (kind->type) {
    case NT_FLAG:
        return nt_parse_i64(text, 0, 1, ret, reterr);
    case NT_INT:
        return nt_parse_i64(text, min, max, ret, reterr);
    case NT_DURATION_MS:
        return nt_parse_duration_ms(text, min < 0 ? 0 : min, max, ret, reterr);
    case NT_SIZE_BYTES:
        if (nt_parse_size(text, min < 0 ? 0 : (uint64_t)min, (uint64_t)max, &size, reterr) < 0)
            return -1;
        *ret = (int64_t)size;
        return 0;
    case NT_CHOICE:
        return is_choice(kind->choices, text)
                   ? 0
                   : nt_fail(reterr, NT_E_USAGE, "'%s' is not one of %s", text, kind->choices);
    default:
        return 0;
    }
}

static const struct word *word_at(const struct fake_host *fake, const char *name, uint32_t index)
{
    for (uint32_t i = 0; i < fake->word_count; i++)
        if (strcmp(fake->words[i].name, name) == 0 && index-- == 0)
            return &fake->words[i];
    return NULL;
}

static const char *fallback_of(const struct fake_host *fake, const char *name)
{
    struct kind kind;
    return kind_named(fake->call.command, name, &kind) ? kind.fallback : NULL;
}

int fake_host_set(struct fake_host *fake, const char *name, const char *value,
                  struct nt_error *reterr)
{
    struct kind kind;
    if (!kind_named(fake->call.command, name, &kind))
        return nt_fail(reterr, NT_E_USAGE, "'%s' has no argument or option '%s'",
                       fake->call.command->path, name);
    if (word_at(fake, name, 0) && !(kind.flags & (NT_MANY | NT_REST)))
        return nt_fail(reterr, NT_E_USAGE, "'%s' is given twice", name);
    int64_t number;
    if (read_value(&kind, value, &number, reterr) < 0)
        return nt_wrap(reterr, "%s", name);
    if (fake->word_count == WORDS_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "more than %u words", WORDS_MAX);
    char *text = strdup(value);
    if (!text)
        return no_memory(reterr);
    fake->words[fake->word_count++] = (struct word){ kind.name, text, number };
    return 0;
}

static const char *host_text_at(struct nt_call *call, const char *name, uint32_t index)
{
    const struct word *word = word_at(of(call), name, index);
    if (word)
        return word->text;
    return index == 0 ? fallback_of(of(call), name) : NULL;
}

static const char *host_text(struct nt_call *call, const char *name)
{
    return host_text_at(call, name, 0);
}

static int64_t host_number(struct nt_call *call, const char *name)
{
    const struct word *word = word_at(of(call), name, 0);
    struct kind kind;
    struct nt_error unused = NT_ERROR_INIT;
    int64_t number = 0;
    if (word)
        return word->number;
    if (kind_named(call->command, name, &kind) && kind.fallback)
        (void)read_value(&kind, kind.fallback, &number, &unused);
    return number;
}

static uint32_t host_count(struct nt_call *call, const char *name)
{
    uint32_t count = 0;
    while (host_text_at(call, name, count))
        count++;
    return count;
}

static int host_is_given(struct nt_call *call, const char *name)
{
    return word_at(of(call), name, 0) != NULL;
}

/* --- requests ------------------------------------------------------------------------------ */

int fake_host_answer(struct fake_host *fake, const char *method, const char *path, uint32_t status,
                     const char *body)
{
    if (fake->exchange_count == WORDS_MAX)
        return -1;
    struct exchange *x = &fake->exchanges[fake->exchange_count];
    *x = (struct exchange){ strdup(method), strdup(path), strdup(body ? body : ""), NULL, status };
    fake->exchange_count++; /* also when it is not whole: it is freed by that */
    return x->method && x->path && x->body ? 0 : -1;
}

static int host_request(struct nt_call *call, const struct nt_request *req, struct nt_response *ret,
                        struct nt_error *reterr)
{
    struct fake_host *fake = of(call);
    if (fake->asked == fake->exchange_count)
        return nt_fail(reterr, NT_E_INTERNAL, "the test expects no request, but %s %s came",
                       req->method, req->path);
    struct exchange *x = &fake->exchanges[fake->asked];
    if (strcmp(x->method, req->method) != 0 || strcmp(x->path, req->path) != 0)
        return nt_fail(reterr, NT_E_INTERNAL, "the test expects %s %s, but %s %s came", x->method,
                       x->path, req->method, req->path);
    x->sent = strndup(req->body.data ? req->body.data : "", req->body.size);
    if (!x->sent)
        return no_memory(reterr);
    fake->asked++;
    if (x->status >= 400) {
        nt_fail(reterr, nt_error_code_of_status(x->status, NULL), "%s",
                *x->body ? x->body : "the test said so");
        reterr->status = (uint16_t)x->status;
        reterr->request_sent = 1;
        return -1;
    }
    struct nt_response answer = { .size = ret->size,
                                  .status = x->status,
                                  .body = { x->body, strlen(x->body) },
                                  .request_id = "" };
    memcpy(ret, &answer, ret->size < sizeof(answer) ? ret->size : sizeof(answer));
    return 0;
}

static const char *host_header(struct nt_call *call, const struct nt_response *response,
                               const char *name)
{
    (void)call, (void)response, (void)name;
    return NULL;
}

static int no_streams(struct nt_error *reterr)
{
    return nt_fail(reterr, NT_E_UNSUPPORTED, "the fake host has no streams");
}

static int host_open(struct nt_call *call, const struct nt_open *open, struct nt_stream **ret,
                     struct nt_response *ret_head, struct nt_error *reterr)
{
    (void)call, (void)open, (void)ret, (void)ret_head;
    return no_streams(reterr);
}

static int host_upgrade_local(struct nt_call *call, const char *path, const char *protocol,
                              int *ret_fd, struct nt_bytes *ret_early, struct nt_error *reterr)
{
    (void)call, (void)path, (void)protocol, (void)ret_fd, (void)ret_early;
    return nt_fail(reterr, NT_E_NOT_LOCAL, "the fake host is no local server");
}

static struct nt_loop *host_loop(struct nt_call *call)
{
    (void)call;
    return NULL;
}

static int host_wait(struct nt_call *call, const uint32_t *done, struct nt_error *reterr)
{
    (void)call;
    return *done ? 0 : no_streams(reterr);
}

static int64_t host_left_ms(struct nt_call *call)
{
    (void)call;
    return -1;
}

/* --- results ------------------------------------------------------------------------------- */

static char *cell_text(const struct nt_value *value)
{
    char number[64];
    if (value->is_null)
        return NULL;
    switch (value->type) {
    case NT_BOOL:
        return strdup(value->number ? "true" : "false");
    case NT_INT:
        snprintf(number, sizeof(number), "%" PRId64, value->number);
        return strdup(number);
    case NT_REAL:
        snprintf(number, sizeof(number), "%g", value->real);
        return strdup(number);
    default:
        return strdup(value->text ? value->text : "");
    }
}

static int host_emit(struct nt_call *call, const struct nt_value *values, uint32_t count,
                     struct nt_error *reterr)
{
    struct fake_host *fake = of(call);
    if (count != call->command->columns.count)
        return nt_fail(reterr, NT_E_INTERNAL, "a row of %u values for %u columns", count,
                       call->command->columns.count);
    if (fake->row_count == ROWS_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "more than %u rows", ROWS_MAX);
    char **cells = calloc(count + 1u, sizeof(*cells));
    if (!cells)
        return no_memory(reterr);
    fake->rows[fake->row_count++].cells = cells;
    for (uint32_t i = 0; i < count; i++) {
        cells[i] = cell_text(&values[i]);
        if (!cells[i] && !values[i].is_null)
            return no_memory(reterr);
    }
    return 0;
}

static int host_emit_json(struct nt_call *call, struct nt_bytes json, struct nt_error *reterr)
{
    struct fake_host *fake = of(call);
    if (fake->row_count == ROWS_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "more than %u rows", ROWS_MAX);
    char *text = strndup(json.data ? json.data : "", json.size);
    if (!text)
        return no_memory(reterr);
    fake->rows[fake->row_count++].json = text;
    return 0;
}

static void host_message(struct nt_call *call, uint32_t level, const char *text)
{
    (void)level;
    nt_buf_add(&of(call)->messages, text);
    nt_buf_add_char(&of(call)->messages, '\n');
}

static void host_progress(struct nt_call *call, const char *label, uint64_t done, uint64_t total)
{
    (void)call, (void)label, (void)done, (void)total;
}

static int host_prompt(struct nt_call *call, const char *question, const char *instead,
                       uint32_t secret, const char **ret, struct nt_error *reterr)
{
    (void)call, (void)secret, (void)ret;
    return nt_fail(reterr, NT_E_USAGE, "%s: give %s", question, instead);
}

static void host_set_status(struct nt_call *call, uint32_t status, uint32_t by)
{
    (void)by;
    of(call)->status = status;
}

static int host_descriptor(struct nt_call *call, uint32_t which)
{
    (void)call;
    return (int)which;
}

/* --- surroundings -------------------------------------------------------------------------- */

int fake_host_config(struct fake_host *fake, const char *key, const char *value)
{
    if (fake->setting_count == WORDS_MAX)
        return -1;
    struct setting *s = &fake->settings[fake->setting_count++];
    *s = (struct setting){ strdup(key), strdup(value) };
    return s->key && s->value ? 0 : -1;
}

static const char *host_config(struct nt_call *call, const char *key)
{
    const struct fake_host *fake = of(call);
    for (uint32_t i = fake->setting_count; i-- > 0;)
        if (strcmp(fake->settings[i].key, key) == 0)
            return fake->settings[i].value;
    return NULL;
}

static const char *host_path(struct nt_call *call, uint32_t which)
{
    (void)call, (void)which;
    return "/nonexistent";
}

static const void *host_service(struct nt_call *call, const char *name, uint32_t index,
                                const char **ret_instance)
{
    (void)call, (void)name, (void)index, (void)ret_instance;
    return NULL;
}

/* true when the plugin declares that host and port. */
static bool is_declared(const struct nt_plugin *plugin, const char *host, uint32_t port)
{
    char wanted[300];
    snprintf(wanted, sizeof(wanted), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    if (!NT_HAS(struct nt_plugin, plugin, needs))
        return false;
    for (uint32_t i = 0; i < plugin->needs.count; i++) {
        const struct nt_need *need = row_at(&plugin->needs, i);
        if (need->kind == NT_NEED_HOST && strcmp(need->value, wanted) == 0)
            return true;
    }
    return false;
}

static int host_connect(struct nt_call *call, const char *host, uint32_t port, int *ret_fd,
                        struct nt_error *reterr)
{
    struct fake_host *fake = of(call);
    if (!is_declared(fake->plugin, host, port))
        return nt_fail(reterr, NT_E_UNDECLARED, "the plugin does not declare the host %s:%u", host,
                       port);
    if (fake->peer < 0)
        return nt_fail(reterr, NT_E_CONNECT, "the test expects no connection to %s:%u", host, port);
    *ret_fd = fake->peer;
    fake->peer = -1;
    return 0;
}

void fake_host_connection(struct fake_host *fake, int fd)
{
    fake->peer = fd;
}

static const void *host_service_named(struct nt_call *call, const char *name, const char *instance)
{
    (void)call, (void)name, (void)instance;
    return NULL;
}

static void host_debug(struct nt_call *call, const char *event, const char *fields)
{
    (void)call, (void)event, (void)fields;
}

static const struct nt_host template = {
    .size = sizeof(struct nt_host),
    .abi = NT_ABI,
    .text = host_text,
    .number = host_number,
    .count = host_count,
    .text_at = host_text_at,
    .is_given = host_is_given,
    .request = host_request,
    .header = host_header,
    .open = host_open,
    .upgrade_local = host_upgrade_local,
    .loop = host_loop,
    .wait = host_wait,
    .left_ms = host_left_ms,
    .emit = host_emit,
    .emit_json = host_emit_json,
    .message = host_message,
    .progress = host_progress,
    .prompt = host_prompt,
    .set_status = host_set_status,
    .descriptor = host_descriptor,
    .config = host_config,
    .path = host_path,
    .service = host_service,
    .service_named = host_service_named,
    .debug = host_debug,
    .connect = host_connect,
};

/* --- its life ------------------------------------------------------------------------------ */

static const struct nt_command *command_of(const struct nt_plugin *plugin, const char *path)
{
    for (uint32_t i = 0; i < plugin->commands.count; i++) {
        const struct nt_command *command = row_at(&plugin->commands, i);
        if (strcmp(command->path, path) == 0)
            return command;
    }
    return NULL;
}

struct fake_host *fake_host_new(const struct nt_plugin *plugin, const char *command,
                                struct nt_error *reterr)
{
    const struct nt_command *found = command_of(plugin, command);
    if (!found)
        return nt_fail(reterr, NT_E_USAGE, "the plugin has no command '%s'", command), NULL;
    struct fake_host *fake = calloc(1, sizeof(*fake));
    if (!fake)
        return no_memory(reterr), NULL;
    fake->host = template;
    fake->plugin = plugin;
    fake->messages = (struct nt_buf)NT_BUF(TEXT_MAX);
    fake->peer = -1;
    fake->call =
        (struct nt_call){ .size = sizeof(fake->call), .host = &fake->host, .command = found };
    if (plugin->start && plugin->start(&fake->host, reterr) < 0) {
        fake_host_free(fake);
        return NULL;
    }
    return fake;
}

void fake_host_free(struct fake_host *fake)
{
    if (!fake)
        return;
    if (fake->peer >= 0)
        close(fake->peer);
    for (uint32_t i = 0; i < fake->word_count; i++)
        free(fake->words[i].text);
    for (uint32_t i = 0; i < fake->setting_count; i++) {
        free(fake->settings[i].key);
        free(fake->settings[i].value);
    }
    for (uint32_t i = 0; i < fake->exchange_count; i++) {
        free(fake->exchanges[i].method);
        free(fake->exchanges[i].path);
        free(fake->exchanges[i].body);
        free(fake->exchanges[i].sent);
    }
    for (uint32_t i = 0; i < fake->row_count; i++) {
        char **cells = fake->rows[i].cells;
        for (uint32_t j = 0; cells && j < fake->call.command->columns.count; j++)
            free(cells[j]);
        free(cells);
        free(fake->rows[i].json);
    }
    nt_buf_done(&fake->messages);
    free(fake);
}

void fake_host_flags(struct fake_host *fake, uint32_t flags)
{
    fake->call.flags = flags;
}

int fake_host_run(struct fake_host *fake, struct nt_error *reterr)
{
    struct kind kind;
    uint32_t args = fake->call.command->args.count;
    for (uint32_t i = 0; kind_at(fake->call.command, i, &kind); i++) {
        bool is_needed = i < args ? !(kind.flags & NT_OPTIONAL) : (kind.flags & NT_REQUIRED) != 0;
        if (is_needed && !word_at(fake, kind.name, 0))
            return nt_fail(reterr, NT_E_USAGE, "'%s' is missing", kind.name);
    }
    return fake->call.command->run(&fake->call, reterr);
}

/* --- what it did --------------------------------------------------------------------------- */

uint32_t fake_host_rows(const struct fake_host *fake)
{
    return fake->row_count;
}

const char *fake_host_cell(const struct fake_host *fake, uint32_t row, const char *column)
{
    if (row >= fake->row_count || !fake->rows[row].cells)
        return NULL;
    const struct nt_table *columns = &fake->call.command->columns;
    for (uint32_t i = 0; i < columns->count; i++) {
        const struct nt_column *c = row_at(columns, i);
        if (strcmp(c->name, column) == 0)
            return fake->rows[row].cells[i];
    }
    return NULL;
}

const char *fake_host_json(const struct fake_host *fake, uint32_t row)
{
    return row < fake->row_count ? fake->rows[row].json : NULL;
}

const char *fake_host_messages(const struct fake_host *fake)
{
    return nt_buf_text(&fake->messages);
}

uint32_t fake_host_status(const struct fake_host *fake)
{
    return fake->status;
}

const char *fake_host_sent(const struct fake_host *fake, uint32_t index)
{
    return index < fake->asked ? fake->exchanges[index].sent : NULL;
}

uint32_t fake_host_unasked(const struct fake_host *fake)
{
    return fake->exchange_count - fake->asked;
}
