/* SPDX-License-Identifier: Apache-2.0 */
/* make.c - policy_make: the order in which a policy comes together. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/find.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/intercept.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

void warn(struct owned *o, const char *format, ...)
{
    char line[8400]; /* two paths, and words */
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    const char *text = memory_text(&o->memory, line);
    if (text)
        texts_add_new(&o->memory, &o->policy.warnings, text);
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    struct owned *o = (struct owned *)policy; /* its first member */
    for (size_t i = 0; i < policy->grant_count; i++)
        if (policy->grants[i].fd >= 0)
            close(policy->grants[i].fd);
    for (size_t i = 0; i < policy->unix_count; i++)
        if (policy->unix_grants[i].parent_fd >= 0)
            close(policy->unix_grants[i].parent_fd);
    if (policy->workdir_fd >= 0)
        close(policy->workdir_fd);
    memory_done(&o->memory);
    free(o);
}

static void policy_freep(struct policy **policy)
{
    policy_free(*policy);
}

static int find_workdir(struct maker *k, struct nt_error *reterr)
{
    struct found found;
    const char *typed = k->request->workdir ? k->request->workdir : ".";
    const char *path = expand_home(k->m, &k->places, typed);
    if (!path)
        return memory_fail(k->m, reterr);
    int failed = path_find(AT_FDCWD, path, &found);
    if (failed)
        return nt_fail_sys(reterr, failed, "cannot open the working folder %s", typed);
    k->policy->workdir_fd = found.fd;
    if (found.is_file)
        return nt_fail(reterr, NT_E_USAGE, "the working folder %s is a file", typed);
    k->policy->workdir = k->places.workdir = memory_text(k->m, found.path);
    return k->policy->workdir ? 0 : memory_fail(k->m, reterr);
}

/* The profile that was named, or `default`; over it the manifest of --config. */
static int find_profile(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    if (r->profile && *r->profile) {
        if (profile_resolve(k->m, &k->places, r->profile, &k->profile, reterr) < 0)
            return -1;
        k->policy->profile = k->profile.name;
    } else {
        profile_default(k->m, &k->profile);
    }
    if (r->config) {
        nt_autofree char *text = NULL;
        size_t size = 0;
        struct profile manifest;
        struct policy_texts errors = { 0 };
        const char *path = expand_home(k->m, &k->places, r->config);
        if (!path)
            return memory_fail(k->m, reterr);
        if (profile_text(path, &text, &size, reterr) < 0
            || manifest_parse(k->m, (struct nt_bytes){ text, size }, &manifest, &errors, reterr)
                   < 0)
            return -1;
        if (errors.count) {
            nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %s", path, errors.at[0]);
            return nt_hint(reterr, "--config takes a manifest in JSON: {\"version\": \"0.1.0\", "
                                   "\"filesystem\": {\"grants\": [{\"path\": \"/data\", "
                                   "\"access\": \"read\"}]}}");
        }
        profile_merge(k->m, &k->profile, &manifest);
    }
    if (r->overlay)
        profile_merge(k->m, &k->profile, r->overlay);
    for (size_t i = 0; i < k->profile.warnings.count; i++)
        warn(k->owned, "profile %s: %s", k->profile.name, k->profile.warnings.at[i]);
    return k->m->failed ? memory_fail(k->m, reterr) : 0;
}

static uint32_t access_of(const char *text)
{
    return strcmp(text, "readwrite") == 0 ? POLICY_BOTH
           : strcmp(text, "read") == 0    ? POLICY_READ
           : strcmp(text, "write") == 0   ? POLICY_WRITE
                                          : 0;
}

/* The groups that count: a profile may leave out what is not required. */
static int check_groups(struct maker *k, struct nt_error *reterr)
{
    struct policy_texts *include = &k->profile.lists[PROFILE_INCLUDE];
    const struct policy_texts *exclude = &k->profile.lists[PROFILE_EXCLUDE];
    for (size_t i = 0; i < exclude->count; i++) {
        const struct group *group = group_find(exclude->at[i]);
        if (group && group->is_required)
            return nt_fail(reterr, ENFORCE_E_PROFILE,
                           "groups.exclude: the group %s is required and cannot be left out",
                           group->name);
    }
    size_t kept = 0;
    for (size_t i = 0; i < include->count; i++) {
        if (!group_find(include->at[i]))
            return group_fail(k->request->profile ? k->request->profile : "groups.include",
                              include->at[i], false, reterr);
        if (!texts_have(exclude, include->at[i]))
            include->at[kept++] = include->at[i];
    }
    include->count = kept;
    return 0;
}

/* Programs that may not be started, by file name. */
static int make_commands(struct maker *k, struct nt_error *reterr)
{
    struct policy *p = k->policy;
    const struct policy_texts *allow[] = { &k->request->allow_command,
                                           &k->profile.lists[PROFILE_COMMANDS_ALLOW] };
    const struct policy_texts *block[] = { &k->request->block_command,
                                           &k->profile.lists[PROFILE_COMMANDS_DENY] };
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < allow[i]->count; j++)
            texts_add_new(k->m, &p->allowed_commands, memory_text(k->m, allow[i]->at[j]));
    const struct policy_texts *include = &k->profile.lists[PROFILE_INCLUDE];
    for (size_t i = 0; i < include->count; i++) {
        const struct group *group = group_find(include->at[i]);
        for (const char *const *name = group ? group->commands : NULL; name && *name; name++)
            if (!texts_have(&p->allowed_commands, *name))
                texts_add(k->m, &p->blocked_commands, *name);
    }
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < block[i]->count; j++)
            if (!texts_have(&p->allowed_commands, block[i]->at[j]))
                texts_add_new(k->m, &p->blocked_commands, memory_text(k->m, block[i]->at[j]));
    return k->m->failed ? memory_fail(k->m, reterr) : 0;
}

/* NAME=value, with the variables of the value put in. */
static void make_vars(struct maker *k)
{
    const struct policy_texts *written = &k->profile.lists[PROFILE_SET_VARS];
    for (size_t i = 0; i < written->count; i++) {
        const char *missing, *value = strchr(written->at[i], '=') + 1;
        int name = (int)(value - written->at[i]);
        value = expand_written(k, value, &missing);
        if (value)
            texts_add(k->m, &k->policy->set_vars,
                      memory_format(k->m, "%.*s%s", name, written->at[i], value));
        else if (missing)
            warn(k->owned, "set_vars of the profile: %s is skipped, %s is not set", written->at[i],
                 missing);
    }
}

/* What is started when nothing is named, and the words that are added in any case. */
static int make_program(struct maker *k, struct nt_error *reterr)
{
    struct policy *p = k->policy;
    const struct policy_texts *words = &k->profile.lists[PROFILE_COMMAND_ARGS];
    const char *missing, *binary = k->profile.texts[PROFILE_BINARY];
    for (size_t i = 0; i <= words->count; i++) {
        const char *text = i < words->count ? words->at[i] : binary;
        const char *word = text && *text ? expand(k->m, &k->places, text, &missing) : NULL;
        if (!text || !*text)
            continue;
        if (!word && !missing)
            return memory_fail(k->m, reterr);
        if (!word) /* a word less would be another command */
            return nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %s: %s is not set",
                           i < words->count ? "command_args" : "binary", text, missing);
        if (i < words->count)
            texts_add(k->m, &p->command_args, word);
        else
            p->binary = word;
    }
    return 0;
}

static void make_settings(struct maker *k)
{
    struct policy *p = k->policy;
    const char *signals = k->profile.texts[PROFILE_SIGNAL_MODE];
    const char *ipc = k->profile.texts[PROFILE_IPC_MODE];
    const char *workdir = k->profile.texts[PROFILE_WORKDIR_ACCESS];
    p->signals_leave = signals && strcmp(signals, "allow_all") == 0;
    p->abstract_sockets = ipc && strcmp(ipc, "full") == 0;
    const char *sockets = k->profile.texts[PROFILE_AF_UNIX_MEDIATION];
    p->unix_by_grant = sockets && strcmp(sockets, "pathname") == 0;
    p->capability_elevation = (k->profile.flags & PROFILE_CAPABILITY_ELEVATION) != 0;
    p->allow_gpu = k->request->allow_gpu;
    const char *layers = k->profile.texts[PROFILE_SANDBOX_POLICY];
    p->landlock_network = layers && strcmp(layers, "landlock") == 0;
    p->workdir_access = workdir ? access_of(workdir) : POLICY_READ;
    p->allow_vars = k->profile.lists[PROFILE_ALLOW_VARS];
    p->deny_vars = k->profile.lists[PROFILE_DENY_VARS];
    p->blind_vars = (k->profile.flags & PROFILE_BLIND_VARS) != 0;
    make_vars(k);
    make_intercept(k);
    p->has_allow_vars = (k->profile.flags & PROFILE_HAS_ALLOW_VARS) != 0;
}

static int make_workdir(struct maker *k, struct nt_error *reterr)
{
    struct policy *p = k->policy;
    if (!k->request->allow_cwd && !p->workdir_access)
        return 0;
    uint32_t wanted = p->workdir_access ? p->workdir_access : POLICY_READ, have = 0;
    for (size_t i = 0; i < p->grant_count; i++)
        if (!p->grants[i].is_file && path_is_below(p->workdir, p->grants[i].path))
            have |= p->grants[i].access;
    p->is_workdir_covered = (have & wanted) == wanted || (k->request->overlay && have);
    return k->request->allow_cwd ? policy_share_workdir(p, reterr) : 0;
}

int policy_make(const struct policy_request *request, struct policy **ret, struct nt_error *reterr)
{
    struct owned *o = calloc(1, sizeof(*o));
    if (!o)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    nt_auto(policy_freep) struct policy *policy = &o->policy;
    policy->workdir_fd = -1;
    o->is_final = request->overlay != NULL;
    o->known = request->overlay ? request->overlay->commands : NULL;
    struct maker k = { .owned = o, .policy = policy, .m = &o->memory, .request = request };
    if (places_find(k.m, &k.places, reterr) < 0 || find_workdir(&k, reterr) < 0)
        return -1;
    if (find_profile(&k, reterr) < 0 || check_groups(&k, reterr) < 0)
        return -1;
    make_settings(&k);
    if (make_denies(&k, reterr) < 0 || make_bypasses(&k, reterr) < 0 || make_grants(&k, reterr) < 0
        || make_gpu(&k, reterr) < 0 || make_network(&k, reterr) < 0
        || make_env_credentials(&k, reterr) < 0 || make_sockets(&k, reterr) < 0
        || check_bypasses(&k, reterr) < 0 || mark_inside(o, reterr) < 0
        || make_workdir(&k, reterr) < 0 || make_commands(&k, reterr) < 0
        || make_hooks(&k, reterr) < 0 || make_command_policies(&k, reterr) < 0
        || make_program(&k, reterr) < 0)
        return -1;
    if (k.m->failed)
        return memory_fail(k.m, reterr);
    *ret = nt_take(policy);
    return 0;
}
