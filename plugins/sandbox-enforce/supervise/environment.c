/* SPDX-License-Identifier: Apache-2.0 */
/* environment.c - the variables of the program: the caller's, without what changes the code that
 * runs and without secrets, by the lists of the policy; then what the sandbox adds, which wins. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inner.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define ENTRIES_MAX 8192u
#define OWN_MAX 64u /* that the sandbox adds, and what the proxy tells the tools there are */

extern char **environ;

/* Credentials of our own, and what an outer sandbox said of itself. */
static const char *const own[] = { "NANOTERM_API_KEY", "NULLSPACE_API_KEY", "NONO_CAP_FILE",
                                   "NONO_PROXY_TOKEN" };

static bool is_named(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && (entry[length] == '=' || entry[length] == '\0');
}

static char plain(char c, bool is_blind)
{
    return is_blind && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* A star stands for anything, wherever it is; the rest is the whole name. */
static bool matches(const char *pattern, const char *name, size_t size, bool is_blind)
{
    const char *end = name + size, *star = NULL, *from = name;
    while (name < end) {
        if (*pattern == '*') {
            star = ++pattern;
            from = name;
        } else if (*pattern && plain(*pattern, is_blind) == plain(*name, is_blind)) {
            pattern++, name++;
        } else if (star) {
            pattern = star, name = ++from;
        } else {
            return false;
        }
    }
    return !pattern[strspn(pattern, "*")];
}

static bool is_listed(const struct policy_texts *list, const char *entry, bool is_blind)
{
    for (size_t i = 0; i < list->count; i++)
        if (matches(list->at[i], entry, strcspn(entry, "="), is_blind))
            return true;
    return false;
}

/* Appends the variables that the credentials of a command come from. */
static int add_secrets(const struct profile *sandbox, struct policy_texts *list,
                       struct nt_error *reterr)
{
    const struct policy part = { .routes = sandbox->services,
                                 .route_count = sandbox->service_count };
    struct policy_texts more = { NULL, 0 };
    if (proxy_secret_names(&part, &more, reterr) < 0)
        return -1;
    const char **grown = realloc(list->at, (list->count + more.count + 1) * sizeof(*grown));
    if (grown) {
        list->at = grown;
        for (size_t i = 0; i < more.count; i++)
            grown[list->count++] = more.at[i];
    }
    free(more.at);
    return grown ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

/* Variables that hold what nobody inside shall have: also the credentials of commands, which have
 * sandboxes of their own. To be freed, also on failure. */
static int find_secrets(const struct policy *policy, struct policy_texts *ret,
                        struct nt_error *reterr)
{
    const struct command_policies *all = policy->commands;
    if (proxy_secret_names(policy, ret, reterr) < 0)
        return -1;
    for (size_t i = 0; all && i < all->count; i++)
        for (size_t j = 0; j < all->commands[i].edge_count; j++) {
            const struct profile *sandbox = all->commands[i].edges[j].sandbox;
            if (sandbox && sandbox->service_count && add_secrets(sandbox, ret, reterr) < 0)
                return -1;
        }
    return 0;
}

static bool is_kept(const struct policy *policy, const struct policy_texts *secrets,
                    const char *entry)
{
    if (!strchr(entry, '=') || enforce_variable_is_unsafe(entry)
        || is_listed(secrets, entry, false))
        return false;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (is_named(entry, own[i]))
            return false;
    if (is_listed(&policy->deny_vars, entry, policy->blind_vars))
        return false;
    return !policy->has_allow_vars || is_listed(&policy->allow_vars, entry, policy->blind_vars);
}

/* Takes TEXT, which replaces an entry of the same name. */
static int put(struct supervise *s, char *text, struct nt_error *reterr)
{
    if (!text || s->environment_count >= s->environment_max) {
        free(text);
        return nt_fail(reterr, text ? NT_E_LIMIT : NT_E_MEMORY, "too many variables");
    }
    size_t length = strcspn(text, "=") + 1;
    for (size_t i = 0; i < s->environment_count; i++)
        if (strncmp(s->environment[i], text, length) == 0) {
            explicit_bzero(s->environment[i], strlen(s->environment[i]));
            free(s->environment[i]);
            s->environment[i] = text;
            return 0;
        }
    s->environment[s->environment_count++] = text;
    return 0;
}

static int put_pair(struct supervise *s, const char *name, const char *value,
                    struct nt_error *reterr)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *text = malloc(size);
    if (text)
        snprintf(text, size, "%s=%s", name, value);
    return put(s, text, reterr);
}

static int put_credentials(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    for (size_t i = 0; i < policy->env_credential_count; i++) {
        const struct policy_env_credential *row = &policy->env_credentials[i];
        char *value = NULL;
        if (way_out_open(s, reterr) < 0
            || s->proxy_ops->secret(policy, row->reference, &value, reterr) < 0)
            return nt_wrap(reterr, "credential for %s", row->variable);
        int result = put_pair(s, row->variable, value, reterr);
        explicit_bzero(value, strlen(value));
        free(value);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int put_proxy(struct supervise *s, struct nt_error *reterr)
{
    struct policy_texts list = { NULL, 0 };
    if (!s->proxy_port)
        return 0;
    if (proxy_environment(s->options.policy, s->proxy_port, s->proxy_token, &list, reterr) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < list.count; i++) {
        char *text;
        memcpy(&text, &list.at[i], sizeof(text)); /* malloc'ed; ours now */
        if (result == 0)
            result = put(s, text, reterr);
        else
            free(text);
    }
    free(list.at);
    return result;
}

/* Before what the proxy says: of a name that both have, that is the one. */
static int put_bundle(struct supervise *s, struct nt_error *reterr)
{
    const char *name;
    int result = 0;
    for (size_t i = 0; result == 0 && (name = bundle_variable(s, i)); i++) {
        bundle_note(s, name, environment_get(s, name));
        result = put_pair(s, name, bundle_path(s), reterr);
    }
    return result;
}

/* --- what a script said that ran before ---------------------------------------------------- */

/* Why the program does not get it; NULL: it does. */
static const char *refusal(const struct policy *policy, const struct policy_texts *secrets,
                           const char *entry)
{
    if (is_named(entry, "PATH") || strncmp(entry, "NONO_", 5) == 0)
        return "it is the sandbox's own";
    for (size_t i = 0; i < policy->env_credential_count; i++)
        if (is_named(entry, policy->env_credentials[i].variable))
            return "it holds a credential";
    if (enforce_variable_is_unsafe(entry))
        return "it makes programs run other code";
    return is_kept(policy, secrets, entry) ? NULL : "the profile lets it not in";
}

static int put_lines(struct supervise *s, struct nt_error *reterr)
{
    int result = 0;
    for (size_t i = 0; s->hooks && i < s->hooks->line_count && result == 0; i++)
        result = put(s, strdup(s->hooks->lines[i]), reterr);
    return result;
}

/* Folders of commands that PATH does not have. */
static int put_path(struct supervise *s, struct nt_error *reterr)
{
    const char *more = s->mediate ? s->mediate->more_path : NULL,
               *path = environment_get(s, "PATH");
    if (!more)
        return 0;
    size_t size = strlen(path ? path : "") + strlen(more) + 1;
    nt_autofree char *whole = malloc(size);
    if (!whole)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    snprintf(whole, size, "%s%s", path ? path : "", path && *path ? more : more + 1);
    return put_pair(s, "PATH", whole, reterr);
}

/* What wins over all else, as it says what there is. */
static int put_last(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    int result = put_bundle(s, reterr);
    if (result == 0)
        result = put_proxy(s, reterr);
    if (result == 0)
        result = put_path(s, reterr);
    if (result == 0 && s->cap_file[0])
        result = put_pair(s, "NONO_CAP_FILE", s->cap_file, reterr);
    if (result == 0 && environment_get(s, "PWD"))
        result = put_pair(s, "PWD", policy->is_workdir_covered ? policy->workdir : "/", reterr);
    return result;
}

int environment_add_lines(struct supervise *s, struct nt_error *reterr)
{
    struct policy_texts secrets = { NULL, 0 };
    struct hooks *hooks = s->hooks;
    size_t kept = 0;
    if (!hooks->line_count)
        return 0;
    if (find_secrets(s->options.policy, &secrets, reterr) < 0) {
        free(secrets.at);
        return -1;
    }
    for (size_t i = 0; i < hooks->line_count; i++) {
        char *line = hooks->lines[i];
        const char *why = refusal(s->options.policy, &secrets, line);
        if (!why) {
            hooks->lines[kept++] = line;
            continue;
        }
        hooks_warn(hooks, "session_hooks.before: the variable %.*s is left out: %s",
                   (int)strcspn(line, "="), line, why);
        explicit_bzero(line, strlen(line));
        free(line);
    }
    hooks->line_count = kept;
    free(secrets.at);
    return put_lines(s, reterr) < 0 ? -1 : put_last(s, reterr);
}

/* --- the whole ----------------------------------------------------------------------------- */

int environment_make(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    char *const *own_entries = s->options.environment ? s->options.environment : environ;
    struct policy_texts secrets = { NULL, 0 };
    size_t count = 0;
    while (own_entries[count] && count < ENTRIES_MAX)
        count++;
    s->environment_max = count + policy->set_vars.count + policy->env_credential_count
                         + policy->route_count * 2 + policy->intercept.variables.count + OWN_MAX
                         + (s->hooks ? HOOKS_LINES_MAX : 0);
    s->environment = calloc(s->environment_max + 1, sizeof(*s->environment));
    if (!s->environment)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (find_secrets(policy, &secrets, reterr) < 0) {
        free(secrets.at);
        return -1;
    }
    int result = 0;
    for (char *const *entry = own_entries; *entry && result == 0; entry++)
        if (is_kept(policy, &secrets, *entry))
            result = put(s, strdup(*entry), reterr);
    free(secrets.at);
    for (size_t i = 0; i < policy->set_vars.count && result == 0; i++) {
        const char *entry = policy->set_vars.at[i];
        if (strchr(entry, '=') && !enforce_variable_is_unsafe(entry))
            result = put(s, strdup(entry), reterr);
    }
    if (result == 0)
        result = put_lines(s, reterr); /* none before they were filtered */
    if (result == 0)
        result = put_credentials(s, reterr);
    return result < 0 ? -1 : put_last(s, reterr);
}

const char *environment_get(const struct supervise *s, const char *name)
{
    for (size_t i = 0; i < s->environment_count; i++)
        if (is_named(s->environment[i], name))
            return s->environment[i] + strlen(name) + 1;
    return NULL;
}

void environment_free(struct supervise *s)
{
    for (size_t i = 0; s->environment && i < s->environment_count; i++) {
        explicit_bzero(s->environment[i], strlen(s->environment[i]));
        free(s->environment[i]);
    }
    free(s->environment);
    s->environment = NULL;
    s->environment_count = 0;
}

void environment_wipe_own(void)
{
    for (char **entry = environ; *entry; entry++)
        explicit_bzero(*entry, strlen(*entry));
}
