/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.c - session_hooks of a profile: read, and made into absolute paths. Whether such a script
 * may run at all is asked when a program is to be started (outside.c). */
#include "plugins/sandbox-enforce/policy/make.h"

#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/parse.h"
#include "sdk/error.h"

const char *policy_hook_name(size_t when)
{
    return when == POLICY_HOOK_BEFORE ? "before" : "after";
}

bool policy_has_hooks(const struct policy *policy)
{
    return policy->hooks[POLICY_HOOK_BEFORE].script || policy->hooks[POLICY_HOOK_AFTER].script;
}

/* --- reading ------------------------------------------------------------------------------- */

static void read_timeout(struct parser *p, const char *path, const json_t *value,
                         struct policy_hook *ret)
{
    json_int_t seconds = json_is_integer(value) ? json_integer_value(value) : 0;
    if (seconds < 1 || seconds > UINT32_MAX)
        parse_error(p, path, "a number of seconds is needed, at least 1");
    else
        ret->timeout_s = (uint32_t)seconds;
}

static void read_hook(struct parser *p, const char *path, const json_t *object,
                      struct policy_hook *ret)
{
    struct policy_hook hook = { 0 };
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        parse_error(p, path, "an object is needed: { \"script\": \"/path\" }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *place = memory_format(p->m, "%s.%s", path, name);
        if (!place)
            return;
        if (strcmp(name, "script") == 0)
            hook.script = parse_text(p, place, value);
        else if (strcmp(name, "timeout_secs") == 0 && !json_is_null(value))
            read_timeout(p, place, value, &hook);
        else if (strcmp(name, "timeout_secs") != 0)
            parse_error(p, place, "there is no such key");
    }
    if (!json_object_get(object, "script"))
        parse_error(p, path, "script is missing");
    /* Relative to what? A program is not looked for in PATH either. */
    if (hook.script && !strchr("/~$", hook.script[0]))
        parse_error(p, path, "the path of the script must be absolute");
    *ret = hook;
}

void parse_hooks(struct parser *p, const char *path, const json_t *value)
{
    const char *name;
    json_t *item;
    if (json_is_null(value))
        return;
    if (!json_is_object(value)) {
        parse_error(p, path, "an object is needed: { \"before\": { … }, \"after\": { … } }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        const char *place = memory_format(p->m, "%s.%s", path, name);
        size_t when = 0;
        while (when < POLICY_HOOKS && strcmp(policy_hook_name(when), name) != 0)
            when++;
        if (!place)
            return;
        if (when == POLICY_HOOKS)
            parse_error(p, place, "there is no such key: before and after are");
        else if (!json_is_null(item))
            read_hook(p, place, item, &p->profile->hooks[when]);
    }
}

/* --- making -------------------------------------------------------------------------------- */

static int make_hook(struct maker *k, size_t when, struct nt_error *reterr)
{
    const struct policy_hook *written = &k->profile.hooks[when];
    const char *missing;
    if (!written->script)
        return 0;
    const char *path = expand(k->m, &k->places, written->script, &missing);
    if (!path && !missing)
        return memory_fail(k->m, reterr);
    if (!path)
        return nt_fail(reterr, ENFORCE_E_PROFILE,
                       "session_hooks.%s: \"%.100s\" names the variable %.64s, which is not set",
                       policy_hook_name(when), written->script, missing);
    if (path[0] != '/')
        return nt_fail(reterr, ENFORCE_E_PROFILE, "session_hooks.%s: %.150s is not absolute",
                       policy_hook_name(when), path);
    k->policy->hooks[when] = (struct policy_hook){ path, written->file, written->timeout_s };
    return 0;
}

int make_hooks(struct maker *k, struct nt_error *reterr)
{
    for (size_t i = 0; i < POLICY_HOOKS; i++)
        if (make_hook(k, i, reterr) < 0)
            return -1;
    if (!policy_has_hooks(k->policy))
        return 0;
    k->policy->own_state = memory_format(k->m, "%s/nanoterm", k->places.state);
    return k->policy->own_state ? 0 : memory_fail(k->m, reterr);
}
