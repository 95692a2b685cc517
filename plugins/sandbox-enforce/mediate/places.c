/* SPDX-License-Identifier: Apache-2.0 */
/* places.c - where the commands are that run in sandboxes of their own: found by PATH of who starts
 * the session, and refused when the program could choose what runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mediate.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/outside.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "plugins/sandbox-enforce/supervise/inner.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/program.h"

#define STAND_IN "command-stand-in"
#define PLACES_MAX (COMMANDS_MAX * 4)

void mediate_free(struct mediate *m)
{
    if (!m)
        return;
    free(m->places);
    free(m->covered);
    free(m->more_path);
    if (m->reports > 0)
        close(m->reports);
    if (m->stand_in_fd >= 0)
        close(m->stand_in_fd);
    free(m);
}

static void mediate_freep(struct mediate **m)
{
    mediate_free(*m);
}

/* --- one file ------------------------------------------------------------------------------ */

static const char *place_of(const struct command *command, char buffer[128])
{
    snprintf(buffer, 128, "command_policies.commands.%.64s", command->name);
    return buffer;
}

/* What a command may write, the program has it write: it says the words. */
static int check_commands(const struct policy *policy, const char *key, const char *path,
                          struct nt_error *reterr)
{
    static const enum profile_list lists[] = { PROFILE_WRITE, PROFILE_WRITE_FILE };
    const struct command_policies *all = policy->commands;
    for (size_t i = 0; i < all->count; i++)
        for (size_t j = 0; j < all->commands[i].edge_count; j++) {
            const struct command_edge *edge = &all->commands[i].edges[j];
            for (size_t k = 0; edge->sandbox && k < 2; k++) {
                const struct policy_texts *list = &edge->sandbox->lists[lists[k]];
                for (size_t n = 0; n < list->count; n++)
                    if (path_is_below(path, list->at[n]))
                        return nt_fail(reterr, ENFORCE_E_PROFILE,
                                       "%s: %.100s lies in %.100s, which %.120s may write: it "
                                       "would choose what runs",
                                       key, path, list->at[n], edge->place);
            }
        }
    return 0;
}

/* What PATH leads to, when neither others nor the program can change that, nor the way to it. */
static int check(const struct policy *policy, const struct command *command, const char *path,
                 char *ret, struct nt_error *reterr)
{
    char key[128];
    const struct outside what = {
        .policy = policy, .key = place_of(command, key), .path = path, .search = getenv("PATH")
    };
    return outside_find(&what, ret, reterr) < 0 || check_commands(policy, key, ret, reterr) < 0 ? -1
                                                                                                : 0;
}

static int check_digest(const struct command *command, const char *path, struct nt_error *reterr)
{
    if (!command->sha256)
        return 0;
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "reading %.150s", path);
    return mediate_check_digest(fd, path, command->sha256, reterr);
}

/* --- by its name --------------------------------------------------------------------------- */

/* Where commands are looked for: in PATH, then in the folders of the profile. */
struct search {
    const struct policy_texts *folders;
    const char *left;   /* of what is looked in now */
    const char *folder; /* of the profile, that is looked in now; NULL: PATH is */
    size_t next;
};

static struct search search_begin(const struct command_policies *policies)
{
    const char *path = getenv("PATH");
    return (struct search){ .folders = &policies->folders,
                            .left = path ? path : NT_PROGRAM_USUAL_PATH };
}

/* The next file of that name; false: there is no more. */
static bool search_next(struct search *s, const char *name, char ret[PATH_MAX])
{
    while (nt_program_next(&s->left, name, ret) != 0) {
        if (s->next == s->folders->count)
            return false;
        s->left = s->folder = s->folders->at[s->next++];
    }
    return true;
}

int mediate_executable(const struct mediate *m, const struct command *command, char *ret,
                       struct nt_error *reterr)
{
    struct found found;
    for (size_t i = 0; i < m->place_count; i++) {
        const char *path = m->places[i].path;
        if (m->places[i].command != command || !m->places[i].is_first)
            continue;
        int sys = path_find(AT_FDCWD, path, &found);
        if (sys)
            return nt_fail_sys(reterr, sys, "%.150s", path);
        close(found.fd);
        if (strcmp(found.path, path) != 0)
            return nt_fail(reterr, ENFORCE_E_COMMAND,
                           "%.150s leads to %.150s now, and did not when the session began", path,
                           found.path);
        memcpy(ret, path, strlen(path) + 1);
        return check_digest(command, ret, reterr);
    }
    return nt_fail(reterr, ENFORCE_E_COMMAND, "'%s' is not there", command->name);
}

int mediate_program(const struct policy *policy, const struct command *command, const char *path,
                    char *ret, struct nt_error *reterr)
{
    return check(policy, command, path, ret, reterr);
}

/* --- all ----------------------------------------------------------------------------------- */

static int add_place(struct mediate *m, const struct command *command, const char *path,
                     bool is_first, struct nt_error *reterr)
{
    for (size_t i = 0; i < m->place_count; i++)
        if (strcmp(m->places[i].path, path) == 0) {
            if (m->places[i].command == command) {
                m->places[i].is_first |= is_first;
                return 0;
            }
            return nt_fail(
                reterr, ENFORCE_E_PROFILE,
                "command_policies: %s and %s are the same file, %.150s: which of them is "
                "meant could not be told",
                m->places[i].command->name, command->name, path);
        }
    if (m->place_count == PLACES_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "command_policies: more than %u files", PLACES_MAX);
    m->places[m->place_count].command = command;
    m->places[m->place_count].is_first = is_first;
    memcpy(m->places[m->place_count++].path, path, strlen(path) + 1);
    return 0;
}

struct other_name {
    struct mediate *m;
    const struct policy *policy;
    const struct command *command;
    struct stat file;
    struct nt_error *reterr;
};

/* By a second mount of a folder above; what lies over that there is another file. */
static int on_mounted(void *data, const char *name)
{
    const struct other_name *o = data;
    struct found found;
    if (path_find(AT_FDCWD, name, &found))
        return 0;
    close(found.fd);
    if (found.dev != o->file.st_dev || found.ino != o->file.st_ino)
        return 0;
    return add_place(o->m, o->command, found.path, false, o->reterr);
}

static int add_mounted(struct other_name *o, const char *path)
{
    nt_autoclose int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &o->file) < 0)
        return nt_fail_sys(o->reterr, errno, "%.150s", path);
    int sys = outside_other_names(fd, path, on_mounted, o);
    return sys > 0 ? nt_fail_sys(o->reterr, sys, "%.150s: the mounts", path) : sys;
}

static int on_link(void *data, const char *name, struct nt_error *reterr)
{
    struct other_name *o = data;
    char real[PATH_MAX];
    return check(o->policy, o->command, name, real, reterr) < 0
                   || add_place(o->m, o->command, real, false, reterr) < 0
                   || add_mounted(o, real) < 0
               ? -1
               : 0;
}

/* What does as it is called would be this command under all its names. */
static int check_alone(const struct command *command, const char *path, struct nt_error *reterr)
{
    static const char *const many[] = { "busybox", "toybox", "coreutils" };
    const char *name = strrchr(path, '/') + 1;
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        if (strcmp(name, many[i]) == 0 && strcmp(command->name, name) != 0) {
            nt_fail(reterr, ENFORCE_E_PROFILE,
                    "command_policies.commands.%s: %.150s is many programs in one, and each of "
                    "them would become %s",
                    command->name, path, command->name);
            return nt_hint(reterr, "name the command %s, or install a %s of its own", name,
                           command->name);
        }
    return 0;
}

/* The file with all its names. The first of a command is what is executed. */
static int add_file(struct mediate *m, const struct policy *policy, const struct command *command,
                    const char *path, bool is_first, struct nt_error *reterr)
{
    char real[PATH_MAX], key[128];
    struct other_name other = { m, policy, command, { 0 }, reterr };
    struct found found;
    /* Folders of PATH are often links to each other. */
    if (path_find(AT_FDCWD, path, &found) == 0) {
        close(found.fd);
        for (size_t i = 0; i < m->place_count; i++)
            if (m->places[i].command == command && strcmp(m->places[i].path, found.path) == 0
                && (m->places[i].is_first || !is_first))
                return 0;
    }
    if (check(policy, command, path, real, reterr) < 0 || check_alone(command, real, reterr) < 0
        || (is_first && check_digest(command, real, reterr) < 0))
        return -1;
    if (add_place(m, command, real, is_first, reterr) < 0 || add_mounted(&other, real) < 0)
        return -1;
    return mediate_links(policy, place_of(command, key), real, on_link, &other, reterr);
}

static int add_more_path(struct mediate *m, const char *folder, size_t length,
                         struct nt_error *reterr)
{
    size_t old = m->more_path ? strlen(m->more_path) : 0;
    char *grown = realloc(m->more_path, old + length + 2);
    if (!grown)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    m->more_path = grown;
    grown[old] = ':';
    memcpy(grown + old + 1, folder, length);
    grown[old + 1 + length] = '\0';
    return 0;
}

/* Every file that the name leads to: who searches another PATH finds another one first. *ret_usual:
 * one is in PATH. */
static int add_names(struct mediate *m, const struct policy *policy, const struct command *command,
                     bool *ret_usual, struct nt_error *reterr)
{
    char path[PATH_MAX];
    struct search search = search_begin(policy->commands);
    *ret_usual = false;
    while (search_next(&search, command->name, path)) {
        const char *more = *ret_usual ? NULL : search.folder;
        bool is_first = !command->executable && !*ret_usual;
        if (add_file(m, policy, command, path, is_first, reterr) < 0
            || (more && add_more_path(m, more, strlen(more), reterr) < 0))
            return -1;
        *ret_usual = true;
    }
    return 0;
}

static int add_command(const struct supervise *s, struct mediate *m, const struct command *command,
                       struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    bool is_usual;
    if (add_names(m, policy, command, &is_usual, reterr) < 0)
        return -1;
    if (!command->executable && !is_usual) {
        if (!s->options.is_silent) {
            nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(512);
            nt_buf_addf(&line, "command_policies: there is no command %s here", command->name);
            s->options.call->host->message(s->options.call, NT_SAY_WARN, nt_buf_text(&line));
        }
        return 0;
    }
    if (command->executable && add_file(m, policy, command, command->executable, true, reterr) < 0)
        return -1;
    if (is_usual)
        return 0;
    const char *slash = strrchr(command->executable, '/');
    if (slash != command->executable && strcmp(slash + 1, command->name) == 0)
        return add_more_path(m, command->executable, (size_t)(slash - command->executable), reterr);
    nt_fail(reterr, ENFORCE_E_PROFILE,
            "command_policies.commands.%s: nothing in PATH has that name, and %.150s has another",
            command->name, command->executable);
    return nt_hint(reterr, "make a link %s to it in a folder of executable_dirs", command->name);
}

static int open_stand_in(const struct supervise *s, struct mediate *m, struct nt_error *reterr)
{
    struct nt_call *call = s->options.call;
    int n = snprintf(m->stand_in, sizeof(m->stand_in), "%s/" STAND_IN,
                     call->host->path(call, NT_PATH_LIBEXEC));
    struct found found;
    int sys = n > 0 && (size_t)n < sizeof(m->stand_in) ? path_find(AT_FDCWD, m->stand_in, &found)
                                                       : ENAMETOOLONG;
    if (sys) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "%.150s, which stands in for commands: %s",
                m->stand_in, strerrordesc_np(sys));
        return nt_hint(reterr, "install nanoterm-plugin-sandbox-enforce again, as a whole");
    }
    m->stand_in_fd = found.fd;
    memcpy(m->stand_in, found.path, strlen(found.path) + 1);
    return 0;
}

/* Those of the session: what a command may write besides its own grants is looked at here. */
static int take_places(const struct supervise *s, struct mediate *m, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    const struct mediate *known = s->options.mediate;
    for (size_t i = 0; i < known->place_count; i++)
        for (size_t j = 0; j < policy->grant_count; j++)
            if (policy->grants[j].access & POLICY_WRITE
                && path_is_below(known->places[i].path, policy->grants[j].path))
                return nt_fail(reterr, ENFORCE_E_PROFILE,
                               "%s may write %.100s, and with it %.100s, which is the command %s",
                               policy->caller, policy->grants[j].path, known->places[i].path,
                               known->places[i].command->name);
    memcpy(m->places, known->places, known->place_count * sizeof(*m->places));
    m->place_count = known->place_count;
    if (known->more_path && !(m->more_path = strdup(known->more_path)))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return 0;
}

int mediate_open(const struct supervise *s, struct mediate **ret, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    const struct command_policies *all = policy->commands;
    if (!all || !all->count)
        return 0;
    nt_auto(mediate_freep) struct mediate *m = calloc(1, sizeof(*m));
    if (!m)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    m->stand_in_fd = -1;
    m->places = calloc(PLACES_MAX, sizeof(*m->places));
    m->covered = calloc(PLACES_MAX, sizeof(*m->covered));
    if (!m->places || !m->covered)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (open_stand_in(s, m, reterr) < 0)
        return -1;
    if (s->options.mediate && take_places(s, m, reterr) < 0)
        return -1;
    for (size_t i = 0; i < all->count && !s->options.mediate; i++)
        if (add_command(s, m, &all->commands[i], reterr) < 0)
            return -1;
    /* A command that starts itself stays where it is. */
    for (size_t i = 0; i < m->place_count; i++)
        if (strcmp(m->places[i].command->name, policy->caller) != 0)
            m->covered[m->covered_count++] = m->places[i].path;
    *ret = nt_take(m);
    return 0;
}
