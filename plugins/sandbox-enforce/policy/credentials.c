/* SPDX-License-Identifier: Apache-2.0 */
/* credentials.c - secrets for variables of the program: which, and into what. They are read later,
 * outside the sandbox. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/references.h"
#include "sdk/error.h"

static int add(struct maker *k, const char *reference, const char *variable,
               struct nt_error *reterr)
{
    struct policy *p = k->policy;
    if (reference_check(reference, reterr) < 0 || variable_check(variable, reterr) < 0)
        return -1;
    for (size_t i = 0; i < p->env_credential_count; i++)
        if (strcmp(p->env_credentials[i].variable, variable) == 0)
            return 0; /* what was typed comes first */
    struct policy_env_credential *rows =
        memory_grow(k->m, p->env_credentials, p->env_credential_count, sizeof(*rows));
    if (!rows)
        return memory_fail(k->m, reterr);
    p->env_credentials = rows;
    rows[p->env_credential_count++] = (struct policy_env_credential){ reference, variable };
    return 0;
}

/* "account" goes into ACCOUNT, "uri=VAR" into VAR, "env://NAME" into NAME. */
static int add_item(struct maker *k, char *item, struct nt_error *reterr)
{
    bool is_uri = strstr(item, "://") != NULL;
    char *equals = is_uri ? strrchr(item, '=') : NULL;
    if (equals) {
        *equals = '\0';
        return add(k, item, equals + 1, reterr);
    }
    if (strncmp(item, "env://", 6) == 0)
        return add(k, item, item + 6, reterr);
    if (is_uri)
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s needs a variable: %s=VARIABLE", item,
                       item);
    char *variable = memory_text(k->m, item);
    if (!variable)
        return memory_fail(k->m, reterr);
    for (char *c = variable; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - ('a' - 'A')) : *c == '-' || *c == '.' ? '_' : *c;
    return add(k, item, variable, reterr);
}

int make_env_credentials(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    for (size_t i = 0; i + 1 < r->env_credential_map.count; i += 2) {
        const char *reference = memory_text(k->m, r->env_credential_map.at[i]);
        const char *variable = memory_text(k->m, r->env_credential_map.at[i + 1]);
        if (!reference || !variable)
            return memory_fail(k->m, reterr);
        if (variable[0] == '-')
            return nt_fail(reterr, NT_E_USAGE,
                           "--env-credential-map takes two words, a reference and the variable "
                           "that gets it: behind \"%s\" comes \"%s\"",
                           reference, variable);
        if (add(k, reference, variable, reterr) < 0)
            return -1;
    }
    if (r->env_credential_map.count % 2)
        return nt_fail(reterr, NT_E_USAGE, "--env-credential-map takes a reference and a variable");
    for (const char *rest = r->env_credential; rest && *rest;) {
        size_t size = strcspn(rest, ",");
        char *item = memory_bytes(k->m, rest, size);
        if (!item)
            return memory_fail(k->m, reterr);
        if (size && add_item(k, item, reterr) < 0)
            return -1;
        rest += size + (rest[size] == ',');
    }
    const struct profile *profile = &k->profile;
    for (size_t i = 0; i < profile->env_credential_count; i++)
        if (add(k, profile->env_credentials[i].reference, profile->env_credentials[i].variable,
                reterr)
            < 0)
            return -1;
    return 0;
}

/* --- commands that print one ----------------------------------------------------------------- */

static int find_capture(const struct profile *profile, const struct policy_route *route,
                        const struct policy_capture **ret, struct nt_error *reterr)
{
    const char *key = route->key;
    if (!key || strncmp(key, REFERENCE_CAPTURE, REFERENCE_CAPTURE_SIZE) != 0)
        return 0;
    for (size_t i = 0; i < profile->capture_count; i++)
        if (strcmp(profile->captures[i].name, key + REFERENCE_CAPTURE_SIZE) == 0) {
            *ret = &profile->captures[i];
            break;
        }
    if (!*ret)
        return nt_fail(reterr, ENFORCE_E_PROFILE,
                       "network.custom_credentials.%s: there is no %s in credential_capture",
                       route->name, key);
    if ((*ret)->headers.count && route->inject != POLICY_IN_HEADER)
        return nt_fail(reterr, ENFORCE_E_PROFILE,
                       "network.custom_credentials.%s: %s prints headers, which go into no other "
                       "place: leave inject_mode out",
                       route->name, key);
    return 0;
}

int profile_check_capture(const struct profile *profile, const struct policy_route *route,
                          struct nt_error *reterr)
{
    const struct policy_capture *unused = NULL;
    return find_capture(profile, route, &unused, reterr);
}

int make_capture(struct maker *k, struct policy_route *route, struct nt_error *reterr)
{
    const struct policy_capture *written = NULL;
    if (find_capture(&k->profile, route, &written, reterr) < 0)
        return -1;
    if (!written)
        return 0;
    struct policy_capture *capture = memory_room(k->m, sizeof(*capture));
    if (!capture)
        return memory_fail(k->m, reterr);
    *capture = *written;
    capture->words = (struct policy_texts){ 0 };
    const char *missing = NULL, *program = expand(k->m, &k->places, written->words.at[0], &missing);
    if (missing)
        return nt_fail(reterr, ENFORCE_E_PROFILE,
                       "credential_capture.%s: the variable %.64s is not set", capture->name,
                       missing);
    for (size_t i = 0; i < written->words.count; i++)
        texts_add(k->m, &capture->words, i ? written->words.at[i] : program);
    route->capture = capture;
    return k->m->failed ? memory_fail(k->m, reterr) : 0;
}
