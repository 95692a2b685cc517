/* SPDX-License-Identifier: Apache-2.0 */
/* commands_profile.c - profile list, show, diff, validate: what there is, and what it comes to. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/commands.h"
#include "plugins/sandbox-enforce/policy/find.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/networks.h"
#include "plugins/sandbox-enforce/policy/show.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/json.h"

#define PROFILES_MAX 1000u

/* --- shared ---------------------------------------------------------------------------------- */

int profile_emit(struct nt_call *call, json_t *object, struct nt_error *reterr)
{
    nt_auto_json json_t *owned = object;
    nt_autofree char *text = owned ? json_dumps(owned, JSON_COMPACT) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
}

int profile_print(struct nt_call *call, const char *text, struct nt_error *reterr)
{
    if (nt_write_all(call->host->descriptor(call, 1), text, strlen(text)) < 0)
        return nt_fail_sys(reterr, errno, "cannot write the output");
    return 0;
}

int profile_print_json(struct nt_call *call, json_t *value, struct nt_error *reterr)
{
    nt_auto_json json_t *owned = value;
    nt_autofree char *text = owned ? json_dumps(owned, JSON_INDENT(2)) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return profile_print(call, text, reterr) < 0 ? -1 : profile_print(call, "\n", reterr);
}

int profile_places(struct memory *m, struct places *ret, struct nt_error *reterr)
{
    nt_autofree char *here = getcwd(NULL, 0);
    if (places_find(m, ret, reterr) < 0)
        return -1;
    ret->workdir = memory_text(m, here ? here : "/");
    return ret->workdir ? 0 : memory_fail(m, reterr);
}

static json_t *extends_of(const struct profile *profile)
{
    json_t *array = json_array();
    for (size_t i = 0; i < profile->lists[PROFILE_EXTENDS].count; i++)
        json_array_append_new(array, json_string(profile->lists[PROFILE_EXTENDS].at[i]));
    return array;
}

/* --- list ------------------------------------------------------------------------------------ */

static int list_one(struct nt_call *call, const char *name, const struct profile *profile,
                    const char *source, const char *problem, struct nt_error *reterr)
{
    return profile_emit(call,
                        json_pack("{s:s, s:s, s:s?, s:o, s:s?, s:s?}", "name", name, "source",
                                  source, "description", profile ? profile->description : NULL,
                                  "extends", profile ? extends_of(profile) : json_array(), "file",
                                  profile ? profile->file : NULL, "problem", problem),
                        reterr);
}

static void closedirp(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static int list_folder(struct nt_call *call, struct memory *m, const char *folder,
                       struct policy_texts *seen, struct nt_error *reterr)
{
    nt_auto(closedirp) DIR *open_folder = opendir(folder);
    struct policy_texts names = { 0 };
    const struct dirent *entry;
    while (open_folder && (entry = readdir(open_folder)) && names.count < PROFILES_MAX) {
        size_t size = profile_stem(entry->d_name);
        const char *name = size ? memory_bytes(m, entry->d_name, size) : NULL;
        if (name && profile_is_name(name) && !texts_have(seen, name))
            texts_add_new(m, &names, name);
    }
    for (size_t i = 1; i < names.count; i++) { /* by name */
        const char *name = names.at[i];
        size_t j = i;
        for (; j && strcmp(names.at[j - 1], name) > 0; j--)
            names.at[j] = names.at[j - 1];
        names.at[j] = name;
    }
    for (size_t i = 0; i < names.count; i++) {
        struct profile profile;
        struct nt_error e = NT_ERROR_INIT;
        const char *path = profile_path(m, folder, names.at[i]);
        if (!path)
            return memory_fail(m, reterr);
        bool is_fine = profile_read(m, path, &profile, NULL, &e) == 0;
        texts_add(m, seen, names.at[i]);
        if (list_one(call, names.at[i], is_fine ? &profile : NULL, "user",
                     is_fine ? NULL : e.message, reterr)
            < 0)
            return -1;
    }
    return m->failed ? memory_fail(m, reterr) : 0;
}

static int list(struct nt_call *call, struct memory *m, struct nt_error *reterr)
{
    struct places places;
    struct policy_texts seen = { 0 };
    const char *text;
    if (profile_places(m, &places, reterr) < 0)
        return -1;
    for (size_t i = 0; (text = profile_folder(m, &places, i)); i++)
        if (list_folder(call, m, text, &seen, reterr) < 0)
            return -1;
    for (size_t i = 0; (text = profile_builtin_at(i)); i++) {
        struct profile profile;
        if (!texts_have(&seen, text) && profile_builtin(m, text, &profile)
            && list_one(call, text, &profile, "built-in", NULL, reterr) < 0)
            return -1;
    }
    return m->failed ? memory_fail(m, reterr) : 0;
}

int profile_run_list(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(memory_done) struct memory m = { 0 };
    return list(call, &m, reterr);
}

/* --- show, diff ------------------------------------------------------------------------------ */

static json_t *resolved(struct nt_call *call, struct memory *m, const char *name, bool is_text,
                        struct nt_error *reterr)
{
    struct places places;
    struct profile profile;
    if (profile_places(m, &places, reterr) < 0
        || profile_resolve(m, &places, name, &profile, reterr) < 0)
        return NULL;
    for (size_t i = 0; i < profile.warnings.count; i++)
        call->host->message(call, NT_SAY_WARN, profile.warnings.at[i]);
    json_t *object = is_text ? profile_to_text(&profile) : profile_to_json(&profile);
    if (!object)
        nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (!is_text && object) {
        json_object_set_new(object, "name", json_string(profile.name));
        json_object_set_new(object, "description",
                            profile.description ? json_string(profile.description) : json_null());
        json_object_set_new(object, "source", json_string(profile.source));
    }
    return object;
}

int profile_run_show(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(memory_done) struct memory m = { 0 };
    bool is_json = call->flags & NT_CALL_JSON;
    json_t *object = resolved(call, &m, call->host->text(call, "name"), !is_json, reterr);
    if (!object)
        return -1;
    return is_json ? profile_emit(call, object, reterr) : profile_print_json(call, object, reterr);
}

/* "filesystem.read  + ~/go" */
static void add_side(struct nt_buf *b, const char *section, const char *key, char sign,
                     const json_t *values)
{
    size_t i;
    json_t *value;
    json_array_foreach((json_t *)(uintptr_t)values, i, value)
    {
        nt_autofree char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        const char *plain = json_string_value(value);
        nt_buf_addf(b, "%c %s%s%s: ", sign, section, *key ? "." : "", key);
        nt_buf_add_printable(b, plain ? plain : text ? text : "", false);
        nt_buf_add_char(b, '\n');
    }
}

static void add_difference(struct nt_buf *b, const char *section, const char *key,
                           const json_t *value)
{
    if (json_object_get(value, "added")) {
        add_side(b, section, key, '-', json_object_get(value, "removed"));
        add_side(b, section, key, '+', json_object_get(value, "added"));
        return;
    }
    nt_autofree char *from = json_dumps(json_object_get(value, "from"), JSON_ENCODE_ANY);
    nt_autofree char *to = json_dumps(json_object_get(value, "to"), JSON_ENCODE_ANY);
    nt_buf_addf(b, "~ %s%s%s: ", section, *key ? "." : "", key);
    nt_buf_add_printable(b, from ? from : "nothing", false);
    nt_buf_add(b, " -> ");
    nt_buf_add_printable(b, to ? to : "nothing", false);
    nt_buf_add_char(b, '\n');
}

static int print_differences(struct nt_call *call, const json_t *differences,
                             struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(4u * 1024 * 1024);
    const char *section, *key;
    json_t *value, *inner;
    json_object_foreach((json_t *)(uintptr_t)differences, section, value)
    {
        if (json_object_get(value, "added") || json_object_get(value, "to")) {
            add_difference(&b, section, "", value);
            continue;
        }
        json_object_foreach(value, key, inner) add_difference(&b, section, key, inner);
    }
    if (!b.size)
        nt_buf_add(&b, "They come to the same.\n");
    if (!nt_buf_ok(&b))
        return nt_fail(reterr, NT_E_LIMIT, "the differences are too long to print");
    return profile_print(call, nt_buf_text(&b), reterr);
}

int profile_run_diff(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(memory_done) struct memory m = { 0 };
    const char *names[] = { call->host->text(call, "a"), call->host->text(call, "b") };
    nt_auto_json json_t *a = resolved(call, &m, names[0], false, reterr);
    nt_auto_json json_t *b = a ? resolved(call, &m, names[1], false, reterr) : NULL;
    static const char *const own[] = { "name", "description", "source", "extends" };
    if (!b)
        return -1;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        json_object_del(a, own[i]);
        json_object_del(b, own[i]);
    }
    nt_auto_json json_t *differences = profile_compare(a, b);
    if (!(call->flags & NT_CALL_JSON))
        return print_differences(call, differences, reterr);
    /* As the reference has it, which knows no groups that are left out. */
    json_t *of_groups = json_object_get(differences, "groups");
    const json_t *included = json_object_get(of_groups, "include");
    if (included) {
        json_object_set(of_groups, "added", json_object_get(included, "added"));
        json_object_set(of_groups, "removed", json_object_get(included, "removed"));
    }
    json_object_set_new(differences, "profile1", json_string(names[0]));
    json_object_set_new(differences, "profile2", json_string(names[1]));
    return profile_emit(call, nt_take(differences), reterr);
}

/* --- validate -------------------------------------------------------------------------------- */

static void add_line(struct memory *m, struct policy_texts *lines, const char *text)
{
    texts_add_new(m, lines, memory_text(m, text));
}

/* What only the whole shows: names of groups, services and profiles that are not there. */
static void check_names(struct memory *m, const struct places *places, const struct profile *own,
                        struct policy_texts *errors)
{
    struct profile all;
    struct nt_error e = NT_ERROR_INIT;
    if (profile_complete(m, places, own, &all, &e) < 0) {
        add_line(m, errors, e.message);
        return;
    }
    for (size_t i = 0; i < all.lists[PROFILE_INCLUDE].count; i++)
        if (!group_find(all.lists[PROFILE_INCLUDE].at[i]))
            texts_add(m, errors,
                      memory_format(m, "groups.include: there is no group %s",
                                    all.lists[PROFILE_INCLUDE].at[i]));
    for (size_t i = 0; i < all.lists[PROFILE_EXCLUDE].count; i++) {
        const struct group *group = group_find(all.lists[PROFILE_EXCLUDE].at[i]);
        if (!group || group->is_required)
            texts_add(m, errors,
                      memory_format(m, "groups.exclude: %s %s", all.lists[PROFILE_EXCLUDE].at[i],
                                    group ? "is required" : "is not a group"));
    }
    const char *network = all.texts[PROFILE_NETWORK_PROFILE];
    if (network && *network && !network_profile_find(network))
        texts_add(m, errors, memory_format(m, "network.network_profile: there is no %s", network));
    for (size_t i = 0; i < all.lists[PROFILE_CREDENTIALS].count; i++) {
        const char *name = all.lists[PROFILE_CREDENTIALS].at[i];
        bool is_known = network_service_find(name) != NULL;
        for (size_t j = 0; j < all.service_count; j++)
            is_known |= strcmp(all.services[j].name, name) == 0;
        if (!is_known)
            texts_add(m, errors,
                      memory_format(m, "network.credentials: there is no service %s", name));
    }
    for (size_t i = 0; i < all.service_count; i++)
        if (profile_check_capture(&all, &all.services[i], &e) < 0)
            add_line(m, errors, e.message);
    if (all.flags & PROFILE_BLOCK && ((network && *network) || all.domain_count))
        texts_add(m, errors, "network.block excludes network_profile and allow_domain");
}

static json_t *lines_of(const struct policy_texts *lines)
{
    json_t *array = json_array();
    for (size_t i = 0; i < lines->count; i++)
        json_array_append_new(array, json_string(lines->at[i]));
    return array;
}

static int print_verdict(struct nt_call *call, const char *file, const struct policy_texts *errors,
                         const struct profile *profile, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024 * 1024);
    for (size_t i = 0; i < errors->count; i++) {
        nt_buf_add(&b, "error: ");
        nt_buf_add_printable(&b, errors->at[i], false);
        nt_buf_add_char(&b, '\n');
    }
    for (size_t i = 0; i < profile->warnings.count; i++) {
        nt_buf_add(&b, "warning: ");
        nt_buf_add_printable(&b, profile->warnings.at[i], false);
        nt_buf_add_char(&b, '\n');
    }
    nt_buf_add_printable(&b, file, false);
    nt_buf_add(&b,
               errors->count ? " is not a profile that can be used\n" : " is a valid profile\n");
    return nt_buf_ok(&b) ? profile_print(call, nt_buf_text(&b), reterr)
                         : nt_fail(reterr, NT_E_LIMIT, "too much to print");
}

int profile_run_validate(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(memory_done) struct memory m = { 0 };
    const char *file = call->host->text(call, "file");
    struct places places;
    struct profile profile = { 0 };
    struct policy_texts errors = { 0 };
    struct nt_error e = NT_ERROR_INIT;
    if (profile_places(&m, &places, reterr) < 0)
        return -1;
    bool is_name = profile_is_name(file) && access(file, F_OK) < 0;
    int read = is_name ? profile_find(&m, &places, file, NULL, &profile, &e)
                       : profile_read(&m, file, &profile, &errors, &e);
    if (read < 0 && !errors.count) {
        *reterr = e; /* it could not be read at all */
        return -1;
    }
    if (read == 0)
        check_names(&m, &places, &profile, &errors);
    if (m.failed)
        return memory_fail(&m, reterr);
    bool is_strict = call->host->number(call, "strict") != 0;
    uint32_t status = errors.count ? 1 : is_strict && profile.deprecated.count ? 2 : 0;
    call->host->set_status(call, status, NT_BY_TOOL);
    if (!(call->flags & NT_CALL_JSON))
        return print_verdict(call, file, &errors, &profile, reterr);
    return profile_emit(call,
                        json_pack("{s:s, s:b, s:o, s:o, s:o}", "file", file, "valid",
                                  errors.count == 0, "errors", lines_of(&errors), "warnings",
                                  lines_of(&profile.warnings), "deprecated_keys",
                                  lines_of(&profile.deprecated)),
                        reterr);
}
