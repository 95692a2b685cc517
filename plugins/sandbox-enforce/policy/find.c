/* SPDX-License-Identifier: Apache-2.0 */
/* find.c - looks for profiles and follows what they extend. A file that others may write decides
 * nothing: it is refused. */
#include "plugins/sandbox-enforce/policy/find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/jsonc.h"
#include "sdk/cleanup.h"
#include "sdk/close.h"
#include "sdk/error.h"

#define LOOKED_AT_MAX 1000u /* files in a folder, for the one that was meant */

bool profile_is_name(const char *name)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t size = strlen(name);
    return size && size <= 64 && name[0] != '.' && name[0] != '-' && strspn(name, chars) == size;
}

const char *profile_folder(struct memory *m, const struct places *places, size_t index)
{
    static const char *const names[] = { "nanoterm", "nono" };
    return index < 2 ? memory_format(m, "%s/%s/profiles", places->config, names[index]) : NULL;
}

int profile_text(const char *path, char **ret, size_t *ret_size, struct nt_error *reterr)
{
    /* Not blocking: a pipe at that name must not hold the command. */
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", path);
    if (!S_ISREG(st.st_mode))
        return nt_fail(reterr, ENFORCE_E_PROFILE, "%s is not a file", path);
    if ((st.st_uid != getuid() && st.st_uid != 0) || st.st_mode & S_IWOTH)
        return nt_fail(reterr, ENFORCE_E_PROFILE, "%s is not yours alone: others may change it",
                       path);
    if (st.st_size > JSONC_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "%s has more than %u bytes", path, JSONC_MAX);
    size_t size = 0, room = (size_t)st.st_size;
    nt_autofree char *text = malloc(room + 1);
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    while (size < room) {
        ssize_t n = read(fd, text + size, room - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot read %s", path);
        if (n == 0)
            break;
        size += (size_t)n;
    }
    text[size] = '\0';
    *ret = nt_take(text);
    *ret_size = size;
    return 0;
}

/* Where it is written what runs outside. */
static void set_file(struct profile *profile, const char *file)
{
    for (size_t i = 0; i < POLICY_HOOKS; i++)
        profile->hooks[i].file = file;
    for (size_t i = 0; i < profile->capture_count; i++)
        profile->captures[i].file = file;
}

int profile_read(struct memory *m, const char *path, struct profile *ret,
                 struct policy_texts *reterrs, struct nt_error *reterr)
{
    nt_autofree char *text = NULL;
    size_t size = 0;
    struct policy_texts errors = { 0 };
    if (profile_text(path, &text, &size, reterr) < 0
        || profile_parse(m, (struct nt_bytes){ text, size }, ret, &errors, reterr) < 0)
        return -1;
    ret->file = memory_text(m, path);
    set_file(ret, ret->file);
    if (ret->patch)
        set_file(ret->patch, ret->file);
    if (reterrs)
        *reterrs = errors;
    if (errors.count) {
        nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %s", path, errors.at[0]);
        return nt_hint(reterr, "`profile validate %s` lists all that is wrong", path);
    }
    return ret->file ? 0 : memory_fail(m, reterr);
}

static const char *const suffixes[] = { ".jsonc", ".json" };
#define SUFFIXES (sizeof(suffixes) / sizeof(suffixes[0]))

size_t profile_stem(const char *file)
{
    size_t size = strlen(file);
    for (size_t i = 0; i < SUFFIXES; i++) {
        size_t tail = strlen(suffixes[i]);
        if (size > tail && strcmp(file + size - tail, suffixes[i]) == 0)
            return size - tail;
    }
    return 0;
}

char *profile_path(struct memory *m, const char *folder, const char *name)
{
    char *path = NULL;
    for (size_t i = 0; i < SUFFIXES; i++) {
        path = memory_format(m, "%s/%s%s", folder, name, suffixes[i]);
        if (!path || access(path, F_OK) == 0)
            return path;
    }
    return path;
}

static bool is_path(const char *name)
{
    return strchr(name, '/') || profile_stem(name);
}

static void closedirp(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* With the nearest of those that there are. */
static int fail_unknown(struct memory *m, const struct places *places, const char *name,
                        struct nt_error *reterr)
{
    struct nt_nearest near = { .typed = name };
    const char *path;
    for (size_t i = 0; profile_builtin_at(i); i++)
        nt_nearest_try(&near, profile_builtin_at(i));
    for (size_t i = 0; (path = profile_folder(m, places, i)); i++) {
        nt_auto(closedirp) DIR *folder = opendir(path);
        const struct dirent *entry;
        for (unsigned j = 0; folder && j < LOOKED_AT_MAX && (entry = readdir(folder)); j++) {
            size_t size = profile_stem(entry->d_name);
            const char *own = size ? memory_bytes(m, entry->d_name, size) : NULL;
            if (own && profile_is_name(own))
                nt_nearest_try(&near, own);
        }
    }
    nt_fail(reterr, ENFORCE_E_PROFILE, "there is no profile %s", name);
    return nt_hint(reterr, "%s%s%s`profile list` names them", near.name ? "did you mean " : "",
                   near.name ? near.name : "", near.name ? "? " : "");
}

static int find(struct memory *m, const struct places *places, const char *name, const char *beside,
                const char *not_this, struct profile *ret, struct nt_error *reterr)
{
    if (is_path(name)) {
        const char *path = expand_home(m, places, name);
        if (path && beside && path[0] != '/')
            path = memory_format(m, "%s/%s", beside, path);
        return path ? profile_read(m, path, ret, NULL, reterr) : memory_fail(m, reterr);
    }
    if (!profile_is_name(name))
        return nt_fail(reterr, ENFORCE_E_PROFILE, "\"%s\" is not the name of a profile", name);
    for (size_t i = 0;; i++) {
        const char *folder = i == 0 ? beside : profile_folder(m, places, i - 1);
        if (!folder && i > 0)
            break;
        if (!folder)
            continue;
        /* A user's claude-code.json may extend the built-in claude-code. */
        const char *path = profile_path(m, folder, name);
        if (!path || access(path, F_OK) < 0 || (not_this && strcmp(path, not_this) == 0))
            continue;
        if (profile_read(m, path, ret, NULL, reterr) < 0)
            return -1;
        ret->source = i == 0 ? "file" : "user";
        return 0;
    }
    if (m->failed)
        return memory_fail(m, reterr);
    if (profile_builtin(m, name, ret))
        return 0;
    return fail_unknown(m, places, name, reterr);
}

int profile_find(struct memory *m, const struct places *places, const char *name,
                 const char *beside, struct profile *ret, struct nt_error *reterr)
{
    return find(m, places, name, beside, NULL, ret, reterr);
}

struct chain {
    const struct chain *child;
    const struct profile *profile;
    unsigned depth;
};

static bool is_same(const struct profile *a, const struct profile *b)
{
    if (a->file || b->file)
        return a->file && b->file && strcmp(a->file, b->file) == 0;
    return strcmp(a->name, b->name) == 0;
}

/* Lays the parents of CHAIN's profile, then itself, over INTO. */
static int lay(struct memory *m, const struct places *places, const struct chain *chain,
               struct profile *into, struct nt_error *reterr)
{
    const struct profile *profile = chain->profile;
    const struct policy_texts *extends = &profile->lists[PROFILE_EXTENDS];
    if (chain->depth > PROFILE_DEPTH_MAX)
        return nt_fail(reterr, ENFORCE_E_PROFILE,
                       "profiles extend each other more than %u times over", PROFILE_DEPTH_MAX);
    const char *slash = profile->file ? strrchr(profile->file, '/') : NULL;
    const char *beside =
        slash           ? memory_bytes(m, profile->file,
                             slash == profile->file ? 1 : (size_t)(slash - profile->file))
                  : profile->file ? "."
                        : NULL;
    for (size_t i = 0; i < extends->count; i++) {
        struct profile *parent = memory_room(m, sizeof(*parent));
        if (!parent)
            return memory_fail(m, reterr);
        if (find(m, places, extends->at[i], beside, profile->file, parent, reterr) < 0)
            return nt_wrap(reterr, "profile %s", profile->name);
        for (const struct chain *c = chain; c; c = c->child)
            if (is_same(c->profile, parent))
                return nt_fail(reterr, ENFORCE_E_PROFILE, "profile %s extends itself, through %s",
                               parent->name, profile->name);
        const struct chain next = { chain, parent, chain->depth + 1 };
        if (lay(m, places, &next, into, reterr) < 0)
            return -1;
    }
    profile_merge(m, into, profile);
    return m->failed ? memory_fail(m, reterr) : 0;
}

int profile_complete(struct memory *m, const struct places *places, const struct profile *profile,
                     struct profile *ret, struct nt_error *reterr)
{
    const struct chain chain = { NULL, profile, 1 };
    profile_default(m, ret);
    if (lay(m, places, &chain, ret, reterr) < 0)
        return -1;
    if (ret->patch)
        profile_merge(m, ret, ret->patch);
    return m->failed ? memory_fail(m, reterr) : 0;
}

int profile_resolve(struct memory *m, const struct places *places, const char *name,
                    struct profile *ret, struct nt_error *reterr)
{
    struct profile *own = memory_room(m, sizeof(*own));
    if (!own)
        return memory_fail(m, reterr);
    if (profile_find(m, places, name, NULL, own, reterr) < 0)
        return -1;
    return profile_complete(m, places, own, ret, reterr);
}
