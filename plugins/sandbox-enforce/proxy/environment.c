/* SPDX-License-Identifier: Apache-2.0 */
/* environment.c - what tells the program where the proxy is, and which phantom credentials it has.
 * In the plugin itself: it is needed before the module is. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/proxy.h"
#include "sdk/buf.h"
#include "sdk/error.h"

static void add(struct policy_texts *list, struct nt_buf *text, bool *ok)
{
    char *taken = *ok ? nt_buf_take(text) : NULL;
    const char **larger = taken ? realloc(list->at, (list->count + 1) * sizeof(*list->at)) : NULL;
    nt_buf_done(text);
    if (!larger) {
        free(taken);
        *ok = false;
        return;
    }
    list->at = larger;
    list->at[list->count++] = taken;
}

static void add_pair(struct policy_texts *list, const char *name, const char *value, bool *ok)
{
    struct nt_buf b = NT_BUF(8 * 1024);
    nt_buf_addf(&b, "%s=%s", name, value);
    add(list, &b, ok);
}

static void add_base(struct policy_texts *list, const char *service, uint16_t port, bool *ok)
{
    struct nt_buf b = NT_BUF(8 * 1024);
    for (const char *c = service; *c; c++)
        nt_buf_add_char(&b, *c == '-' ? '_' : (char)toupper((unsigned char)*c));
    nt_buf_addf(&b, "_BASE_URL=http://127.0.0.1:%u/%s", (unsigned)port, service);
    add(list, &b, ok);
}

static void free_texts(struct policy_texts *list)
{
    for (size_t i = 0; i < list->count; i++)
        free((void *)list->at[i]);
    free(list->at);
    *list = (struct policy_texts){ 0 };
}

int proxy_environment(const struct policy *policy, uint16_t port, const char *token,
                      struct policy_texts *ret, struct nt_error *reterr)
{
    static const char *const proxies[] = { "HTTP_PROXY", "HTTPS_PROXY", "http_proxy",
                                           "https_proxy" };
    struct policy_texts list = { 0 };
    bool ok = true;
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
        struct nt_buf b = NT_BUF(512);
        nt_buf_addf(&b, "%s=http://nono:%s@127.0.0.1:%u", proxies[i], token, (unsigned)port);
        add(&list, &b, &ok);
    }
    /* Not the names that bypass the upstream proxy: nothing but ours leads out of here, and it goes
     * to them directly. */
    static const char *const directs[] = { "NO_PROXY", "no_proxy" };
    for (size_t i = 0; i < sizeof(directs) / sizeof(directs[0]); i++) {
        struct nt_buf b = NT_BUF(64 * 1024);
        nt_buf_addf(&b, "%s=localhost,127.0.0.1", directs[i]);
        for (size_t j = 0; j < policy->no_proxy.count; j++)
            nt_buf_addf(&b, ",%s", policy->no_proxy.at[j]);
        add(&list, &b, &ok);
    }
    add_pair(&list, "NONO_PROXY_TOKEN", token, &ok);
    add_pair(&list, "NODE_USE_ENV_PROXY", "1", &ok);
    for (size_t i = 0; i < policy->route_count; i++) {
        add_base(&list, policy->routes[i].name, port, &ok);
        if (policy->routes[i].variable)
            add_pair(&list, policy->routes[i].variable, token, &ok);
    }
    if (!ok) {
        free_texts(&list);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for the program's environment");
    }
    *ret = list;
    return 0;
}

static bool is_env(const char *reference)
{
    return reference && strncmp(reference, "env://", 6) == 0;
}

static bool is_bw(const char *reference)
{
    return reference && strncmp(reference, "bw://", 5) == 0;
}

int proxy_secret_names(const struct policy *policy, struct policy_texts *ret,
                       struct nt_error *reterr)
{
    static const char *const aws[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                       "AWS_SESSION_TOKEN" };
    bool has_bw = false;
    size_t count = 0;
    const char **names =
        calloc(6 * policy->route_count + policy->env_credential_count + 2, sizeof(*names));
    if (!names)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for the program's environment");
    for (size_t i = 0; i < policy->route_count; i++) {
        const struct policy_auth *auth = policy->routes[i].auth;
        const char *const all[] = { policy->routes[i].key, auth ? auth->client_id : NULL,
                                    auth ? auth->client_secret : NULL };
        for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++)
            if (is_env(all[j]))
                names[count++] = all[j] + 6;
        for (size_t j = 0; policy->routes[i].aws && j < sizeof(aws) / sizeof(aws[0]); j++)
            names[count++] = aws[j];
    }
    for (size_t i = 0; i < policy->env_credential_count; i++)
        if (is_env(policy->env_credentials[i].reference))
            names[count++] = policy->env_credentials[i].reference + 6;
    /* It opens all that the person keeps there. */
    for (size_t i = 0; i < policy->env_credential_count; i++)
        has_bw |= is_bw(policy->env_credentials[i].reference);
    for (size_t i = 0; i < policy->route_count; i++) {
        const struct policy_auth *auth = policy->routes[i].auth;
        has_bw |= is_bw(policy->routes[i].key)
                  || (auth && (is_bw(auth->client_id) || is_bw(auth->client_secret)));
    }
    if (has_bw)
        names[count++] = "BW_SESSION";
    *ret = (struct policy_texts){ names, count };
    return 0;
}
