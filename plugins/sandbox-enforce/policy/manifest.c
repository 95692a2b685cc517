/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the capability manifest of --config, read into a profile. */
#include "plugins/sandbox-enforce/policy/parse.h"

#include <string.h>
#include <sys/stat.h>

#include "plugins/sandbox-enforce/policy/jsonc.h"
#include "sdk/json.h"

#define MANIFEST_VERSION "0.1.0"

/* {path, access}. The lists of a profile know files from folders, a manifest does not. */
static void read_grant(struct parser *p, const json_t *item)
{
    static const char path_of[] = "filesystem.grants";
    static const struct {
        const char *access;
        enum profile_list folder, file;
    } kinds[] = { { "readwrite", PROFILE_ALLOW, PROFILE_ALLOW_FILE },
                  { "read", PROFILE_READ, PROFILE_READ_FILE },
                  { "write", PROFILE_WRITE, PROFILE_WRITE_FILE } };
    const char *access = nt_json_text(item, "access");
    const char *path = parse_text(p, path_of, json_object_get(item, "path"));
    struct stat st;
    if (!json_is_object(item) || json_object_size(item) != 2 || !access) {
        parse_error(p, path_of, "each has a path and an access, nothing else");
        return;
    }
    for (size_t i = 0; path && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].access, access) == 0) {
            bool is_file = stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
            texts_add_new(p->m, &p->profile->lists[is_file ? kinds[i].file : kinds[i].folder],
                          path);
            return;
        }
    parse_error(p, path_of, "\"%.32s\" is not one of read, write, readwrite", access);
}

static void read_filesystem(struct parser *p, const json_t *object)
{
    const char *name;
    json_t *value, *item;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (strcmp(name, "grants") == 0 && json_is_array(value)) {
            json_array_foreach(value, i, item) read_grant(p, item);
        } else if (strcmp(name, "deny") == 0) {
            parse_texts(p, "filesystem.deny", value, &p->profile->lists[PROFILE_DENY]);
        } else {
            parse_error(p, "filesystem", "grants (a list) and deny are its keys, not %.64s", name);
        }
    }
}

static void read_network(struct parser *p, const json_t *object)
{
    const char *name;
    json_t *value;
    const char *mode = nt_json_text(object, "mode");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (strcmp(name, "allow_domains") == 0)
            parse_domains(p, "network.allow_domains", value);
        else if (strcmp(name, "mode") != 0)
            parse_error(p, "network", "mode and allow_domains are its keys, not %.64s", name);
    }
    if (mode && strcmp(mode, "blocked") == 0)
        p->profile->flags |= PROFILE_BLOCK;
    else if (mode && strcmp(mode, "allowed") != 0 && strcmp(mode, "proxy") != 0
             && strcmp(mode, "filtered") != 0)
        parse_error(p, "network.mode", "it is blocked, allowed or filtered");
    bool is_filtered = mode && (strcmp(mode, "proxy") == 0 || strcmp(mode, "filtered") == 0);
    if (is_filtered != (p->profile->domain_count != 0))
        parse_error(p, "network", "allow_domains and the mode \"filtered\" need each other");
}

int manifest_parse(struct memory *m, struct nt_bytes text, struct profile *ret,
                   struct policy_texts *errors, struct nt_error *reterr)
{
    *ret = (struct profile){ .source = "file" };
    struct parser p = { .m = m, .profile = ret, .errors = errors };
    struct nt_error e = NT_ERROR_INIT;
    nt_auto_json json_t *object = NULL;
    if (jsonc_parse(text, &object, &e) < 0) {
        texts_add(m, errors, memory_text(m, e.message));
        return m->failed ? memory_fail(m, reterr) : 0;
    }
    const char *name, *version = nt_json_text(object, "version");
    json_t *value;
    if (!version || strcmp(version, MANIFEST_VERSION) != 0)
        parse_error(&p, "version", "\"" MANIFEST_VERSION "\" is the one that is known");
    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "filesystem") == 0 && json_is_object(value))
            read_filesystem(&p, value);
        else if (strcmp(name, "network") == 0 && json_is_object(value))
            read_network(&p, value);
        else if (strcmp(name, "credentials") == 0)
            parse_texts(&p, "credentials", value, &ret->lists[PROFILE_CREDENTIALS]);
        else if (strcmp(name, "version") != 0 && strcmp(name, "$schema") != 0
                 && strcmp(name, "rollback") != 0)
            parse_error(&p, name, "there is no such key, or it is no object");
    }
    return m->failed ? memory_fail(m, reterr) : 0;
}
