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
