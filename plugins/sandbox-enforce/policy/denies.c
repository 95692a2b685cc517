/* SPDX-License-Identifier: Apache-2.0 */
/* denies.c - paths that stay closed: of nanoterm itself, of groups, of the profile; and which of
 * them were opened by name.
 *
 * Each is kept by its canonical path, and what is there also by its inode: another name of it (a
 * bind mount, a hard link) is found, too. A link at the denied name is kept as a name of its own,
 * so that nobody may put another link there. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static const char own_about[] = "nanoterm's own state";

static int add_row(struct owned *o, const struct policy_deny *row, const struct file_id *id,
                   struct nt_error *reterr)
{
    struct policy *p = &o->policy;
    for (size_t i = 0; i < p->deny_count; i++)
        if (strcmp(p->denies[i].path, row->path) == 0) {
            p->denies[i].is_absolute |= row->is_absolute;
            return 0;
        }
    struct policy_deny *denies = memory_grow(&o->memory, p->denies, p->deny_count, sizeof(*denies));
    struct file_id *ids = memory_grow(&o->memory, o->deny_ids, p->deny_count, sizeof(*ids));
    if (!denies || !ids)
        return memory_fail(&o->memory, reterr);
    p->denies = denies, o->deny_ids = ids;
    denies[p->deny_count] = *row;
    ids[p->deny_count++] = *id;
    return 0;
}

/* Most denied names are missing, in a few folders: each of those is resolved once. */
static const char *resolve_missing(struct owned *o, const char *path)
{
    const char *last = strrchr(path, '/');
    size_t size = last ? (size_t)(last - path) : 0;
    const size_t slots = sizeof(o->folders) / sizeof(o->folders[0]);
    if (!size || !last[1] || strcmp(last, "/.") == 0 || strcmp(last, "/..") == 0)
        return path_resolve(&o->memory, path);
    struct known_folder *known = NULL;
    for (size_t i = 0; i < slots && !known; i++)
        if (o->folders[i].name && strlen(o->folders[i].name) == size
            && memcmp(o->folders[i].name, path, size) == 0)
            known = &o->folders[i];
    if (!known) {
        known = &o->folders[o->next_folder++ % slots];
        *known = (struct known_folder){ .name = memory_bytes(&o->memory, path, size) };
        known->real = known->name ? path_resolve(&o->memory, known->name) : NULL;
    }
    if (!known->real || strlen(known->real) + strlen(last) >= PATH_MAX) {
        known->name = NULL;
        return NULL;
    }
    return memory_format(&o->memory, "%s%s", strcmp(known->real, "/") ? known->real : "", last);
}

/* PATH is expanded and absolute. */
static int add_deny(struct owned *o, const char *original, const char *path, const char *source,
                    const char *about, bool is_absolute, struct nt_error *reterr)
{
    struct policy_deny row = {
        .original = original, .source = source, .about = about, .is_absolute = is_absolute
    };
    struct file_id id = { 0 };
    struct found found;
    const char *name = NULL;
    if (path_find(AT_FDCWD, path, &found) == 0) {
        close(found.fd);
        id = (struct file_id){ found.dev, found.ino };
        row.is_there = true;
        name = strcmp(path, found.path) == 0 ? path : memory_text(&o->memory, found.path);
    } else {
        name = resolve_missing(o, path);
    }
    if (!name && !o->memory.failed)
        return nt_fail(reterr, NT_E_LIMIT, "the denied path %s is too long", original);
    row.path = name;
    if (!name)
        return memory_fail(&o->memory, reterr);
    if (add_row(o, &row, &id, reterr) < 0)
        return -1;

    /* The name itself, where it is a link to elsewhere. */
    char parent[PATH_MAX];
    const char *last = strrchr(path, '/');
    size_t size = last ? (size_t)(last - path) : 0;
    if (!row.is_there || !last || !last[1] || size == 0 || size >= sizeof(parent))
        return 0;
    memcpy(parent, path, size);
    parent[size] = '\0';
    size_t found_size = strlen(name), last_size = strlen(last);
    if (found_size == size + last_size && memcmp(name, path, found_size) == 0)
        return 0; /* the usual case: nothing on the way was a link */
    const char *folder = path_resolve(&o->memory, parent);
    const char *literal = folder ? memory_format(&o->memory, "%s%s", folder, last) : NULL;
    if (!literal)
        return memory_fail(&o->memory, reterr);
    if (strcmp(literal, name) == 0)
        return 0;
    row.path = literal;
    row.is_there = false;
    id = (struct file_id){ 0 };
    return add_row(o, &row, &id, reterr);
}

static int add_own(struct maker *k, struct nt_error *reterr)
{
    const struct places *at = &k->places;
    /* of a session that has another XDG_RUNTIME_DIR than this one */
    const char *usual = memory_format(k->m, "/run/user/%s", at->uid);
    if (!usual)
        return memory_fail(k->m, reterr);
    const struct {
        const char *folder, *name;
        bool is_runtime;
    } own[] = {
        { at->runtime, "nanoterm", true }, { usual, "nanoterm", true },
        { at->home, ".nanoterm", false },  { at->state, "nanoterm", false },
        { at->cache, "nanoterm", false },  { at->data, "nanoterm", false },
        { at->config, "nanoterm", false }, { at->home, ".nono", false },
        { at->state, "nono", false },      { at->config, "nono", false },
    };
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        const char *path = memory_format(k->m, "%s/%s", own[i].folder, own[i].name);
        if (!path)
            return memory_fail(k->m, reterr);
        size_t count = k->policy->deny_count;
        if (add_deny(k->owned, path, path, "nanoterm", own_about, true, reterr) < 0)
            return -1;
        if (k->policy->deny_count > count)
            k->policy->denies[count].is_runtime = own[i].is_runtime;
    }
    return 0;
}

/* A path of a group, also at the place that XDG_… names instead of the usual one. */
static int add_of_group(struct maker *k, const struct group_deny *deny, const char *source,
                        struct nt_error *reterr)
{
    static const struct {
        const char *usual;
        size_t offset;
    } moved[] = { { "~/.config/", offsetof(struct places, config) },
                  { "~/.local/share/", offsetof(struct places, data) } };
    const char *path = expand_home(k->m, &k->places, deny->path);
    if (!path)
        return memory_fail(k->m, reterr);
    if (add_deny(k->owned, deny->path, path, source, deny->about, false, reterr) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
        size_t size = strlen(moved[i].usual);
        if (strncmp(deny->path, moved[i].usual, size) != 0)
            continue;
        const char *folder;
        memcpy(&folder, (const char *)&k->places + moved[i].offset, sizeof(folder));
        const char *other = memory_format(k->m, "%s/%s", folder, deny->path + size);
        if (!other)
            return memory_fail(k->m, reterr);
        if (strcmp(other, path) != 0
            && add_deny(k->owned, deny->path, other, source, deny->about, false, reterr) < 0)
            return -1;
    }
    return 0;
}

static int add_of_profile(struct maker *k, const char *text, struct nt_error *reterr)
{
    const char *missing, *path = expand(k->m, &k->places, text, &missing);
    if (!path) /* a deny that cannot be read must not become nothing */
        return missing ? nt_fail(reterr, ENFORCE_E_PROFILE,
                                 "filesystem.deny: \"%s\" names the variable %s, which is not set",
                                 text, missing)
                       : memory_fail(k->m, reterr);
    if (strpbrk(path, "*?")) {
        struct policy *p = k->policy;
        struct policy_pattern *rows =
            memory_grow(k->m, p->patterns, p->pattern_count, sizeof(*rows));
        if (!rows)
            return memory_fail(k->m, reterr);
        p->patterns = rows;
        rows[p->pattern_count++] = (struct policy_pattern){ path, "profile" };
        return 0;
    }
    if (path[0] != '/')
        path = memory_format(k->m, "%s/%s", k->places.workdir, path);
    if (!path)
        return memory_fail(k->m, reterr);
    return add_deny(k->owned, text, path, "profile", "denied by the profile", false, reterr);
}

int make_denies(struct maker *k, struct nt_error *reterr)
{
    if (add_own(k, reterr) < 0)
        return -1;
    const struct policy_texts *include = &k->profile.lists[PROFILE_INCLUDE];
    for (size_t i = 0; i < include->count; i++) {
        const struct group *group = group_find(include->at[i]);
        if (!group || !group->deny)
            continue;
        const char *source = memory_format(k->m, "group:%s", group->name);
        if (!source)
            return memory_fail(k->m, reterr);
        for (const struct group_deny *deny = group->deny; deny->path; deny++)
            if (add_of_group(k, deny, source, reterr) < 0)
                return -1;
    }
    const struct policy_texts *own = &k->profile.lists[PROFILE_DENY];
    for (size_t i = 0; i < own->count; i++)
        if (add_of_profile(k, own->at[i], reterr) < 0)
            return -1;
    return 0;
}

/* --- bypasses ------------------------------------------------------------------------------- */

/* Opens what ORIGINAL names. Denies equal to it or beneath it go; one above it stays, and knows the
 * bypass by policy->bypasses. */
static int add_bypass(struct maker *k, const char *original, const char *path, bool is_user,
                      struct nt_error *reterr)
{
    struct owned *o = k->owned;
    struct policy *p = k->policy;
    if (path[0] != '/')
        path = memory_format(k->m, "%s/%s", k->places.workdir, path);
    const char *real = path ? path_resolve(k->m, path) : NULL;
    if (!real)
        return nt_fail(reterr, NT_E_LIMIT, "the path %s is too long", original);
    if (!is_user && access(real, F_OK) < 0)
        warn(o, "bypass_protection of the profile: %s is not there", original);
    bool is_useful = false;
    size_t kept = 0;
    for (size_t i = 0; i < p->deny_count; i++) {
        const struct policy_deny *deny = &p->denies[i];
        bool is_taken = path_is_below(deny->path, real) && !deny->is_absolute;
        if (is_taken)
            warn(o, "the protection of %s (%s, %s) is bypassed", deny->path, deny->about,
                 deny->source);
        else if (path_is_below(real, deny->path) && !deny->is_absolute)
            warn(o, "the protection of %s (%s, %s) is bypassed for %s", deny->path, deny->about,
                 deny->source, real);
        is_useful |= is_taken || path_is_below(real, deny->path);
        if (deny->is_absolute && path_is_below(real, deny->path))
            return nt_fail(reterr, ENFORCE_E_PROTECTED, "%s is %s: no bypass opens it", real,
                           deny->about);
        if (!is_taken) {
            p->denies[kept] = *deny;
            o->deny_ids[kept++] = o->deny_ids[i];
        }
    }
    p->deny_count = kept;
    if (!is_useful && is_user)
        warn(o, "--bypass-protection %s: nothing protects it", original);
    return texts_add_new(k->m, &p->bypasses, real) ? 0 : memory_fail(k->m, reterr);
}

int make_bypasses(struct maker *k, struct nt_error *reterr)
{
    const struct policy_texts *typed = &k->request->bypass;
    for (size_t i = 0; i < typed->count; i++) {
        const char *original = memory_text(k->m, typed->at[i]);
        const char *path = original ? expand_home(k->m, &k->places, original) : NULL;
        if (!path)
            return memory_fail(k->m, reterr);
        if (add_bypass(k, original, path, true, reterr) < 0)
            return -1;
    }
    k->typed_bypasses = k->policy->bypasses.count;
    const struct policy_texts *written = &k->profile.lists[PROFILE_BYPASS];
    for (size_t i = 0; i < written->count; i++) {
        const char *missing, *path = expand_written(k, written->at[i], &missing);
        if (!path && !missing)
            return memory_fail(k->m, reterr);
        if (!path)
            warn(k->owned, "bypass_protection of the profile: %s is skipped, %s is not set",
                 written->at[i], missing);
        else if (add_bypass(k, written->at[i], path, false, reterr) < 0)
            return -1;
    }
    return 0;
}

int check_bypasses(struct maker *k, struct nt_error *reterr)
{
    const struct policy *p = k->policy;
    for (size_t i = 0; i < p->bypasses.count; i++) {
        const char *path = p->bypasses.at[i];
        bool is_granted = false;
        for (size_t j = 0; j < p->grant_count && !is_granted; j++) {
            const struct policy_grant *grant = &p->grants[j];
            bool is_named = !strcmp(grant->source, "user") || !strcmp(grant->source, "profile");
            is_granted =
                is_named && (path_is_below(path, grant->path) || path_is_below(grant->path, path));
        }
        if (is_granted)
            continue;
        /* Its grant may have been skipped for the same reason, with a warning. */
        if (access(path, F_OK) < 0 && (k->owned->has_skipped || i >= k->typed_bypasses))
            continue;
        nt_fail(reterr, ENFORCE_E_PROTECTED,
                "--bypass-protection %s grants nothing by itself, and no grant covers it", path);
        return nt_hint(reterr, "add --read %s, --allow %s or the like", path, path);
    }
    return 0;
}

const struct policy_deny *deny_of(const struct owned *o, const char *path, const struct file_id *id)
{
    const struct policy *p = &o->policy;
    bool is_bypassed = false;
    for (size_t i = 0; i < p->bypasses.count; i++)
        is_bypassed |= path_is_below(path, p->bypasses.at[i]);
    for (size_t i = 0; i < p->deny_count; i++) {
        if (is_bypassed && !p->denies[i].is_absolute)
            continue;
        bool is_same =
            id && id->ino && id->ino == o->deny_ids[i].ino && id->dev == o->deny_ids[i].dev;
        if (is_same || path_is_below(path, p->denies[i].path))
            return &p->denies[i];
    }
    return NULL;
}

const struct policy_pattern *pattern_of(const struct policy *p, const char *path)
{
    for (size_t i = 0; i < p->bypasses.count; i++)
        if (path_is_below(path, p->bypasses.at[i]))
            return NULL;
    for (size_t i = 0; i < p->pattern_count; i++)
        if (path_is_matched(p->patterns[i].text, path))
            return &p->patterns[i];
    return NULL;
}

/* A folder that somebody granted may show a denied one under another name: where /home is mounted a
 * second time, say. The ends of the denied path are looked for there, and what is the same becomes
 * a deny of its own. */
static int find_other_names(struct owned *o, const struct policy_grant *grant,
                            struct nt_error *reterr)
{
    struct policy *p = &o->policy;
    size_t count = p->deny_count; /* without those that are found here */
    for (size_t i = 0; i < count; i++) {
        const struct file_id id = o->deny_ids[i];
        struct stat st;
        if (!id.ino || path_is_below(p->denies[i].path, grant->path))
            continue;
        for (const char *end = p->denies[i].path; end; end = strchr(end + 1, '/')) {
            if (!end[1] || fstatat(grant->fd, end + 1, &st, AT_SYMLINK_NOFOLLOW) < 0
                || st.st_ino != id.ino || st.st_dev != id.dev)
                continue;
            struct policy_deny row = p->denies[i];
            row.path =
                memory_format(&o->memory, "%s%s", strcmp(grant->path, "/") ? grant->path : "", end);
            if (!row.path)
                return memory_fail(&o->memory, reterr);
            if (add_row(o, &row, &id, reterr) < 0)
                return -1;
            break;
        }
    }
    return 0;
}

int mark_inside(struct owned *o, struct nt_error *reterr)
{
    struct policy *p = &o->policy;
    for (size_t i = 0; i < p->grant_count; i++) {
        const struct policy_grant *grant = &p->grants[i];
        bool is_named = !strcmp(grant->source, "user") || !strcmp(grant->source, "profile");
        if (is_named && !grant->is_file && grant->fd >= 0 && find_other_names(o, grant, reterr) < 0)
            return -1;
    }
    for (size_t i = 0; i < p->deny_count; i++) {
        struct policy_deny *deny = &p->denies[i];
        const struct policy_grant *above = NULL, *below = NULL;
        deny->is_inside = deny->is_inside_writable = false;
        for (size_t j = 0; j < p->grant_count; j++) {
            const struct policy_grant *grant = &p->grants[j];
            if (!grant->is_file && grant->fd >= 0 && path_is_below(deny->path, grant->path)) {
                above = grant;
                deny->is_inside = true;
                deny->is_inside_writable |= (grant->access & POLICY_WRITE) != 0;
            }
            if (path_is_below(grant->path, deny->path))
                below = grant; /* by a bypass */
        }
        if (above && below && below != above)
            return nt_fail(reterr, ENFORCE_E_PROTECTED,
                           "%s cannot be open while %s, which holds it, is hidden inside %s",
                           below->path, deny->path, above->path);
    }
    return 0;
}
