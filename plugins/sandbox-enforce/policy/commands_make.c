/* SPDX-License-Identifier: Apache-2.0 */
/* commands_make.c - command_policies of a profile, made final for one session: paths as they lead
 * now, from the folder that the session works in.
 *
 * Later, when a command is started, the program inside has had time to put links where it may
 * write; paths that were made final here are then taken without links (policy_request.overlay). */
#include "plugins/sandbox-enforce/policy/make.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/command_policies.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/error.h"

/* The text with its variables put in; NULL with a warning: one is not set. -1 is for memory. */
static int put_in(struct maker *k, const char *what, const char *text, const char **ret,
                  struct nt_error *reterr)
{
    const char *missing;
    *ret = expand(k->m, &k->places, text, &missing);
    if (!*ret && !missing)
        return memory_fail(k->m, reterr);
    if (!*ret)
        warn(k->owned, "%s: %s is skipped, %s is not set", what, text, missing);
    return 0;
}

/* An absolute path that must be there to be said at all. */
static int put_in_absolute(struct maker *k, const char *what, const char *text, const char **ret,
                           struct nt_error *reterr)
{
    if (put_in(k, what, text, ret, reterr) < 0)
        return -1;
    if (!*ret || **ret != '/')
        return nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %.150s is no absolute path", what, text);
    return 0;
}

/* Whoever opened a denied path for this command by its name has meant it. */
static int open_denied(struct maker *k, struct profile *sandbox, const char *path,
                       struct nt_error *reterr)
{
    for (size_t i = 0; i < k->policy->deny_count; i++)
        if (path_is_below(path, k->policy->denies[i].path))
            return texts_add_new(k->m, &sandbox->lists[PROFILE_BYPASS], path)
                       ? 0
                       : memory_fail(k->m, reterr);
    return 0;
}

/* What a path of a sandbox leads to. NULL: nothing is there, which was told. A socket that is to be
 * made is its folder and a name. */
static int finish_path(struct maker *k, const char *place, const char *text, bool may_be_missing,
                       const char **ret, struct nt_error *reterr)
{
    struct found found;
    const char *path;
    *ret = NULL;
    if (put_in(k, place, text, &path, reterr) < 0)
        return -1;
    if (!path)
        return 0;
    int sys = path_find(k->policy->workdir_fd, path, &found);
    if (!sys) {
        close(found.fd);
        *ret = memory_text(k->m, found.path);
        return *ret ? 0 : memory_fail(k->m, reterr);
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool is_name = *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    if (sys == ENOENT && may_be_missing && is_name) {
        const char *folder = slash == path ? "/"
                             : slash       ? memory_bytes(k->m, path, (size_t)(slash - path))
                                           : ".";
        if (folder && path_find(k->policy->workdir_fd, folder, &found) == 0) {
            close(found.fd);
            *ret = memory_format(k->m, "%s/%s", strcmp(found.path, "/") ? found.path : "", name);
            return *ret ? 0 : memory_fail(k->m, reterr);
        }
    }
    warn(k->owned, "%s: %s is skipped: %s", place, text, strerrordesc_np(sys));
    return 0;
}

static int finish_paths(struct maker *k, const struct command_edge *edge, enum profile_list which,
                        struct nt_error *reterr)
{
    struct policy_texts *list = &edge->sandbox->lists[which], found = { 0 };
    bool may_be_missing = which == PROFILE_UNIX_BIND;
    for (size_t i = 0; i < list->count; i++) {
        const char *path;
        if (finish_path(k, edge->place, list->at[i], may_be_missing, &path, reterr) < 0)
            return -1;
        if (path
            && (!texts_add_new(k->m, &found, path)
                || open_denied(k, edge->sandbox, path, reterr) < 0))
            return memory_fail(k->m, reterr);
    }
    *list = found;
    return 0;
}

static int finish_vars(struct maker *k, const struct command_edge *edge, struct nt_error *reterr)
{
    struct policy_texts *list = &edge->sandbox->lists[PROFILE_SET_VARS], found = { 0 };
    for (size_t i = 0; i < list->count; i++) {
        const char *value = strchr(list->at[i], '=') + 1;
        int name = (int)(value - list->at[i]);
        if (put_in(k, edge->place, value, &value, reterr) < 0)
            return -1;
        if (value
            && !texts_add(k->m, &found, memory_format(k->m, "%.*s%s", name, list->at[i], value)))
            return memory_fail(k->m, reterr);
    }
    *list = found;
    return 0;
}

/* Hosts that nobody of this session shall reach, however open a command's network is. */
static bool deny_hosts(struct maker *k, const struct command_edge *edge)
{
    bool is_good = true;
    if (edge->sandbox->flags & PROFILE_BLOCK)
        return true;
    for (size_t i = 0; i < k->policy->denied_host_count && is_good; i++)
        is_good = texts_add_new(k->m, &edge->sandbox->lists[PROFILE_DENY_DOMAINS],
                                k->policy->denied_hosts[i].name);
    return is_good;
}

static int finish_edge(struct maker *k, const struct command_edge *edge, struct nt_error *reterr)
{
    static const enum profile_list paths[] = {
        PROFILE_READ,       PROFILE_READ_FILE, PROFILE_WRITE,
        PROFILE_WRITE_FILE, PROFILE_UNIX_BIND, PROFILE_UNIX
    };
    if (!edge->sandbox)
        return 0;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (finish_paths(k, edge, paths[i], reterr) < 0)
            return -1;
    if (!deny_hosts(k, edge))
        return memory_fail(k->m, reterr);
    return finish_vars(k, edge, reterr);
}

static int finish_command(struct maker *k, struct command *command, struct nt_error *reterr)
{
    if (command->executable
        && put_in_absolute(k, command->name, command->executable, &command->executable, reterr) < 0)
        return -1;
    for (size_t i = 0; i < command->intercept_count; i++) {
        struct policy_texts *program = &command->intercepts[i].program;
        if (program->count
            && put_in_absolute(k, command->name, program->at[0], &program->at[0], reterr) < 0)
            return -1;
    }
    for (size_t i = 0; i < command->edge_count; i++)
        if (finish_edge(k, &command->edges[i], reterr) < 0)
            return -1;
    return 0;
}

static int note_link(struct maker *k, const char *text, struct nt_error *reterr)
{
    struct command_policies *all = k->profile.commands;
    struct found found;
    const char *missing, *path = expand(k->m, &k->places, text, &missing);
    if (!path && !missing)
        return memory_fail(k->m, reterr);
    if (!path || path_find(AT_FDCWD, path, &found))
        return 0;
    close(found.fd);
    if (strcmp(found.path, path) == 0)
        return 0;
    return texts_add(k->m, &all->linked, path)
                   && texts_add(k->m, &all->leads_to, memory_text(k->m, found.path))
               ? 0
               : memory_fail(k->m, reterr);
}

/* What `default` grants leads where it leads now, for all commands. */
static int note_links(struct maker *k, struct nt_error *reterr)
{
    struct profile base;
    profile_default(k->m, &base);
    for (size_t i = 0; i < base.lists[PROFILE_INCLUDE].count; i++) {
        const struct group *group = group_find(base.lists[PROFILE_INCLUDE].at[i]);
        const char *const *lists[] = { group ? group->read : NULL, group ? group->write : NULL,
                                       group ? group->both : NULL };
        for (size_t j = 0; j < sizeof(lists) / sizeof(lists[0]); j++)
            for (const char *const *text = lists[j]; text && *text; text++)
                if (note_link(k, *text, reterr) < 0)
                    return -1;
    }
    return 0;
}

int make_command_policies(struct maker *k, struct nt_error *reterr)
{
    struct command_policies *all = k->profile.commands;
    if (!all || !all->count)
        return 0;
    if (k->profile.flags & PROFILE_COMMANDS_TWICE)
        return nt_fail(reterr, ENFORCE_E_PROFILE,
                       "command_policies stand in two of the profiles that %s is made of: write "
                       "them all in one",
                       k->profile.name ? k->profile.name : "it");
    if (k->request->is_wrap) {
        nt_fail(reterr, NT_E_USAGE,
                "the profile has command_policies: the sandboxes of commands need somebody who "
                "starts them, and `wrap` leaves nobody");
        return nt_hint(reterr, "use `run` instead");
    }
    k->policy->commands = all;
    k->policy->caller = k->request->overlay ? k->request->caller : COMMAND_SESSION;
    if (k->request->overlay)
        return 0; /* they are final since the session began */
    if (note_links(k, reterr) < 0)
        return -1;
    for (size_t i = 0; i < all->folders.count; i++)
        if (put_in_absolute(k, "executable_dirs", all->folders.at[i], &all->folders.at[i], reterr)
            < 0)
            return -1;
    for (size_t i = 0; i < all->count; i++)
        if (finish_command(k, &all->commands[i], reterr) < 0)
            return -1;
    return 0;
}
