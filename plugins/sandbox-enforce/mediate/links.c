/* SPDX-License-Identifier: Apache-2.0 */
/* links.c - the other names (hard links) of a command's file, looked for where the program or a
 * command may read: beside it, then in all that is granted. Bounded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mediate.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define ENTRIES_MAX 100000u
#define DEPTH_MAX 40u
#define TREES_MAX 512u

struct search {
    struct stat file;
    char names[MEDIATE_LINKS_MAX][PATH_MAX];
    size_t count;   /* of names */
    size_t entries; /* looked at; above ENTRIES_MAX: it gave up */
    const char *trees[TREES_MAX];
    size_t tree_count;
};

static bool is_done(const struct search *w)
{
    return w->count >= w->file.st_nlink || w->count == MEDIATE_LINKS_MAX
           || w->entries > ENTRIES_MAX;
}

static void note(struct search *w, const char *path)
{
    char *name = w->names[w->count];
    if (!realpath(path, name)) /* a folder may have been named by a link */
        return;
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->names[i], name) == 0)
            return;
    w->count++;
}

/* Takes FD, which is open at PATH. The numbers that a folder tells spare most of the questions. */
static void look(struct search *w, int fd, const char *path, unsigned depth)
{
    struct stat st;
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return;
    }
    for (struct dirent *entry; !is_done(w) && (entry = readdir(folder));) {
        char name[PATH_MAX];
        int n = snprintf(name, sizeof(name), "%s/%s", path[1] ? path : "", entry->d_name);
        bool is_folder = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
        w->entries++;
        if (n < 0 || (size_t)n >= sizeof(name) || strcmp(entry->d_name, ".") == 0
            || strcmp(entry->d_name, "..") == 0
            || (!(is_folder && depth) && entry->d_ino != w->file.st_ino)
            || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0
            || st.st_dev != w->file.st_dev)
            continue;
        if (st.st_ino == w->file.st_ino)
            note(w, name);
        int inner = S_ISDIR(st.st_mode) && depth
                        ? openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                        : -1;
        if (inner >= 0)
            look(w, inner, name, depth - 1);
    }
    closedir(folder);
}

static void look_in(struct search *w, const char *path, unsigned depth)
{
    int fd = is_done(w) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        look(w, fd, path, depth);
}

/* --- where ----------------------------------------------------------------------------------- */

/* What lies in another tree is looked at with that. */
static void add_tree(struct search *w, const char *path)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->tree_count; i++) {
        if (path_is_below(path, w->trees[i]))
            return;
        if (!path_is_below(w->trees[i], path))
            w->trees[kept++] = w->trees[i];
    }
    w->tree_count = kept;
    if (kept < TREES_MAX)
        w->trees[w->tree_count++] = path;
    else
        w->entries = ENTRIES_MAX + 1;
}

/* /usr is what `default` grants most of, also to a command of a profile that leaves it out. */
static void find_trees(struct search *w, const struct policy *policy)
{
    static const enum profile_list lists[] = { PROFILE_READ, PROFILE_WRITE };
    const struct command_policies *all = policy->commands;
    add_tree(w, "/usr");
    for (size_t i = 0; i < policy->grant_count; i++)
        if (!policy->grants[i].is_file)
            add_tree(w, policy->grants[i].path);
    for (size_t i = 0; i < all->count; i++)
        for (size_t j = 0; j < all->commands[i].edge_count; j++)
            for (size_t k = 0; all->commands[i].edges[j].sandbox && k < 2; k++) {
                const struct policy_texts *list =
                    &all->commands[i].edges[j].sandbox->lists[lists[k]];
                for (size_t n = 0; n < list->count; n++)
                    add_tree(w, list->at[n]);
            }
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static int refuse(const struct search *w, const char *key, const char *path,
                  struct nt_error *reterr)
{
    nt_fail(reterr, ENFORCE_E_PROFILE,
            "%s: %.120s has %lu names (hard links), of which only %zu were found: the others would "
            "lead past its sandbox",
            key, path, (unsigned long)w->file.st_nlink, w->count);
    return nt_hint(reterr, "copy it to a folder of its own, in front of PATH");
}

int mediate_links(const struct policy *policy, const char *key, const char *path,
                  int (*on_name)(void *data, const char *name, struct nt_error *reterr), void *data,
                  struct nt_error *reterr)
{
    char folder[PATH_MAX];
    nt_autofree struct search *w = calloc(1, sizeof(*w));
    if (!w)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (lstat(path, &w->file) < 0)
        return nt_fail_sys(reterr, errno, "%s", key);
    if (w->file.st_nlink == 1)
        return 0;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    look_in(w, *folder ? folder : "/", 0);
    if (!w->count) /* its folder numbers it in another way than the file does itself */
        return refuse(w, key, path, reterr);
    if (!is_done(w))
        find_trees(w, policy);
    for (size_t i = 0; i < w->tree_count; i++)
        look_in(w, w->trees[i], DEPTH_MAX);
    if (w->count < w->file.st_nlink && is_done(w))
        return refuse(w, key, path, reterr);
    for (size_t i = 0; i < w->count; i++)
        if (on_name(data, w->names[i], reterr) < 0)
            return -1;
    return 0;
}
