/* SPDX-License-Identifier: Apache-2.0 */
/* summary.c - a policy in lines for a person and as JSON for a program. */
#include "summary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/theme.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define TEXT_MAX (4u * 1024 * 1024)

/* "allowed", "blocked" or "filtered". */
static const char *network_of(const struct policy *policy)
{
    switch (policy->network) {
    case POLICY_NET_BLOCKED:
        return "blocked";
    case POLICY_NET_FILTERED:
        return "filtered";
    default:
        return "allowed";
    }
}

/* A lost stderr has nobody to be told about. */
static void print(const struct nt_buf *b)
{
    const char *at = nt_buf_text(b);
    size_t left = b->size;
    while (nt_buf_ok(b) && left) {
        ssize_t n = write(STDERR_FILENO, at, left);
        if (n < 0 && errno != EINTR)
            return;
        at += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
}

static bool is_of_person(const struct policy_grant *grant)
{
    return strcmp(grant->source, "user") == 0 || strcmp(grant->source, "profile") == 0;
}

static void add_grant(struct nt_buf *b, const struct theme *theme, const struct policy_grant *grant,
                      bool with_source)
{
    const char letters[] = { '[', grant->access & POLICY_READ ? 'r' : '-',
                             grant->access & POLICY_WRITE ? 'w' : '-', ']', '\0' };
    nt_buf_add(b, "  ");
    theme_add(b, theme, THEME_GRANT, letters);
    nt_buf_add_char(b, ' ');
    nt_buf_add_printable(b, grant->path, false);
    nt_buf_add(b, grant->is_file ? " (file)" : " (dir)");
    if (with_source)
        nt_buf_addf(b, "  %s", grant->source);
    nt_buf_add_char(b, '\n');
}

static void add_ports(struct nt_buf *b, const char *what, const struct policy_ports *ports,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        nt_buf_addf(b, "%s%u", i ? "," : what, ports[i].first);
        if (ports[i].last != ports[i].first)
            nt_buf_addf(b, "-%u", ports[i].last);
    }
}

static void add_network(struct nt_buf *b, const struct theme *theme, const struct policy *policy)
{
    nt_buf_add(b, "  ");
    theme_add(b, theme, THEME_NETWORK, "[net]");
    nt_buf_addf(b, " %s", network_of(policy));
    if (policy->network == POLICY_NET_FILTERED && policy->host_count)
        nt_buf_addf(b, ", %zu hosts", policy->host_count);
    if (policy->network == POLICY_NET_FILTERED && !policy->host_count)
        nt_buf_add(b, ", every host that is not denied");
    if (policy->denied_host_count)
        nt_buf_addf(b, ", %zu denied", policy->denied_host_count);
    if (policy->network != POLICY_NET_OPEN) {
        add_ports(b, ", open ports ", policy->open_ports, policy->open_port_count);
        add_ports(b, ", listening ports ", policy->listen_ports, policy->listen_port_count);
        add_ports(b, ", ports of other machines ", policy->connect_ports,
                  policy->connect_port_count);
    }
    nt_buf_add_char(b, '\n');
    for (size_t i = 0; i < policy->unix_count; i++) {
        nt_buf_addf(b, "  [unix%s] ", policy->unix_grants[i].may_bind ? " bind" : "");
        nt_buf_add_printable(b, policy->unix_grants[i].path, false);
        nt_buf_add(b, policy->unix_grants[i].is_tree     ? " (subtree)\n"
                      : policy->unix_grants[i].is_folder ? " (dir)\n"
                                                         : "\n");
    }
    for (size_t i = 0; i < policy->route_count; i++)
        nt_buf_addf(b, "  [credential] %s\n", policy->routes[i].name);
    char host[POLICY_HOST_MAX];
    for (size_t i = 0;
         policy->network == POLICY_NET_FILTERED && policy_intercepted(policy, i, host); i++)
        nt_buf_addf(b, "  [tls] the proxy looks at requests to %s\n", host);
}

/* They run outside: who starts them shall know. */
static void add_hooks(struct nt_buf *b, const struct theme *theme, const struct policy *policy)
{
    for (size_t i = 0; i < POLICY_HOOKS; i++) {
        const struct policy_hook *hook = &policy->hooks[i];
        if (!hook->script)
            continue;
        nt_buf_add(b, "  ");
        theme_add(b, theme, THEME_GRANT, "[hook]");
        nt_buf_addf(b, " %s, outside of the sandbox: ", policy_hook_name(i));
        nt_buf_add_printable(b, hook->script, false);
        if (hook->timeout_s)
            nt_buf_addf(b, " (at most %u s)", hook->timeout_s);
        nt_buf_add_char(b, '\n');
    }
}

/* Which hosts, and what is closed. */
static void add_details(struct nt_buf *b, const struct policy *policy)
{
    for (size_t i = 0; policy->network == POLICY_NET_FILTERED && i < policy->host_count; i++) {
        nt_buf_add(b, "  [host] ");
        nt_buf_add_printable(b, policy->hosts[i].name, false);
        nt_buf_addf(b, "  %s\n", policy->hosts[i].source);
    }
    for (size_t i = 0; i < policy->denied_host_count; i++) {
        nt_buf_add(b, "  [denied host] ");
        nt_buf_add_printable(b, policy->denied_hosts[i].name, false);
        nt_buf_add_char(b, '\n');
    }
    for (size_t i = 0; i < policy->deny_count; i++) {
        nt_buf_add(b, "  [denied] ");
        nt_buf_add_printable(b, policy->denies[i].path, false);
        nt_buf_addf(b, "  %s\n", policy->denies[i].source);
    }
}

static void add_rows(struct nt_buf *b, const struct theme *theme, const char *title,
                     const struct supervise_row *rows, size_t count)
{
    theme_add(b, theme, THEME_TITLE, title);
    nt_buf_add_char(b, '\n');
    for (size_t i = 0; i < count; i++)
        nt_buf_addf(b, "  %-42s %-12s %s\n", rows[i].act, rows[i].layer, rows[i].rule);
}

static void add_all(struct nt_buf *b, const struct theme *theme, const struct policy *policy,
                    uint32_t verbosity)
{
    size_t others = 0;
    bool is_verbose = verbosity > 0;
    for (size_t i = 0; i < policy->grant_count; i++) {
        bool is_shown = is_verbose || is_of_person(&policy->grants[i]);
        others += !is_shown;
        if (is_shown)
            add_grant(b, theme, &policy->grants[i], is_verbose);
    }
    if (others) {
        char line[80];
        snprintf(line, sizeof(line), "  + %zu paths of the system (-v lists them)", others);
        theme_add(b, theme, THEME_DIM, line);
        nt_buf_add_char(b, '\n');
    }
    add_network(b, theme, policy);
    add_hooks(b, theme, policy);
    if (verbosity > 1)
        add_details(b, policy);
}

void summary_print(const struct nt_call *call, const struct policy *policy,
                   const struct options *options)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(TEXT_MAX);
    const struct theme *theme = theme_of(call, options->theme);
    theme_add(&b, theme, THEME_TITLE, "Sandbox:");
    nt_buf_add_char(&b, '\n');
    add_all(&b, theme, policy, options->verbosity);
    print(&b);
}

void summary_print_rows(const struct nt_call *call, const struct options *options,
                        const struct supervise_row *rows, size_t count)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(TEXT_MAX);
    add_rows(&b, theme_of(call, options->theme), "What was forbidden, and by what:", rows, count);
    print(&b);
}

void summary_print_trial(const struct nt_call *call, const struct policy *policy,
                         const struct options *options, const struct supervise_row *rows,
                         size_t count, char *const *argv)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(TEXT_MAX);
    const struct theme *theme = theme_of(call, options->theme);
    theme_add(&b, theme, THEME_TITLE, "Capabilities that would be granted:");
    nt_buf_add_char(&b, '\n');
    add_all(&b, theme, policy, options->verbosity);
    nt_buf_add_char(&b, '\n');
    add_rows(&b, theme, "What would be forbidden, and by what:", rows, count);
    nt_buf_add_char(&b, '\n');
    theme_add(&b, theme, THEME_TITLE, "Would execute:");
    for (size_t i = 0; argv[i]; i++) {
        nt_buf_add_char(&b, ' ');
        nt_buf_add_printable(&b, argv[i], false);
    }
    nt_buf_add_char(&b, '\n');
    print(&b);
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* Paths and words are bytes; JSON has characters. */
static json_t *text(const char *bytes)
{
    json_t *exact = json_string(bytes);
    if (exact)
        return exact;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(TEXT_MAX);
    nt_buf_add_printable(&b, bytes, true);
    return json_string(nt_buf_text(&b));
}

static json_t *grants_to_json(const struct policy *policy)
{
    json_t *list = json_array();
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:s, s:b, s:s}", "path", text(grant->path),
                                        "original", text(grant->original), "access",
                                        grant->access == POLICY_BOTH   ? "readwrite"
                                        : grant->access == POLICY_READ ? "read"
                                                                       : "write",
                                        "is_file", grant->is_file, "source", grant->source));
    }
    return list;
}

static json_t *rows_to_json(const struct supervise_row *rows, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "act", rows[i].act, "layer",
                                              rows[i].layer, "rule", rows[i].rule));
    return list;
}

static json_t *texts_to_json(const struct policy_texts *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(list, text(texts->at[i]));
    return list;
}

/* Hosts whose TLS ends at the proxy. */
static json_t *intercepted_to_json(const struct policy *policy)
{
    char host[POLICY_HOST_MAX];
    json_t *list = json_array();
    for (size_t i = 0;
         policy->network == POLICY_NET_FILTERED && policy_intercepted(policy, i, host); i++)
        json_array_append_new(list, json_string(host));
    return list;
}

static json_t *hooks_to_json(const struct policy *policy)
{
    json_t *list = json_array();
    for (size_t i = 0; i < POLICY_HOOKS; i++) {
        const struct policy_hook *hook = &policy->hooks[i];
        json_t *row = hook->script ? json_pack("{s:s, s:o}", "when", policy_hook_name(i), "script",
                                               text(hook->script))
                                   : NULL;
        if (row && hook->timeout_s)
            json_object_set_new(row, "timeout_secs", json_integer(hook->timeout_s));
        if (row)
            json_array_append_new(list, row);
    }
    return list;
}

int summary_emit(struct nt_call *call, const struct policy *policy,
                 const struct supervise_row *rows, size_t count, char *const *argv,
                 struct nt_error *reterr)
{
    json_t *words = json_array();
    for (size_t i = 0; argv[i]; i++)
        json_array_append_new(words, text(argv[i]));
    nt_auto_json json_t *all =
        json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "command", words, "workdir",
                  text(policy->is_workdir_covered ? policy->workdir : "/"), "capabilities",
                  grants_to_json(policy), "network", network_of(policy), "enforcement",
                  rows_to_json(rows, count), "hooks", hooks_to_json(policy), "warnings",
                  texts_to_json(&policy->warnings), "intercepted", intercepted_to_json(policy));
    nt_autofree char *line = all ? json_dumps(all, JSON_COMPACT) : NULL;
    if (!line)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return call->host->emit_json(call, (struct nt_bytes){ line, strlen(line) }, reterr);
}

static json_t *denials_to_json(const struct denials *denials)
{
    static const char *const sources[] = { "notified", "kernel", "traced", "inferred" };
    json_t *list = json_array();
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(denials, i)); i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:s*, s:i}", "source",
                            sources[d->source], "act", d->act, "target", text(d->target), "layer",
                            d->layer, "rule", text(d->rule), "grant", text(d->grant), "command",
                            *d->command ? d->command : NULL, "count", (int)d->count));
    return list;
}

int summary_end(uint32_t status, const struct supervise_row *rows, size_t count,
                const struct denials *denials, struct nt_error *reterr)
{
    nt_auto_json json_t *all =
        json_pack("{s:s, s:i, s:o, s:o}", "level", "end", "status", (int)status, "enforcement",
                  rows_to_json(rows, count), "denials", denials_to_json(denials));
    nt_autofree char *line = all ? json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(TEXT_MAX);
    if (!line)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    nt_buf_add(&b, line);
    nt_buf_add_char(&b, '\n');
    print(&b);
    return 0;
}
