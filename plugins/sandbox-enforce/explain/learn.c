/* SPDX-License-Identifier: Apache-2.0 */
/* learn.c - gathers what a program did, and makes a profile of it; see learn.h.
 *
 * A grant of a folder holds for all beneath it, so folders are granted only where files come and go
 * (a file that is to be made has no other grant), for the working folder, and for the trees of
 * software beneath /usr and /opt. Everything else is granted by file. */
#include "learn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plugins/sandbox-enforce/policy/script.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define PATHS_MAX 100000u
#define CROWD 5 /* files of one folder from which on the folder is granted, to be read */

struct learn {
    json_t *files;     /* path: POLICY_ bits */
    json_t *made;      /* path: made, removed or renamed */
    json_t *folders;   /* path: listed */
    json_t *outbound;  /* "address port": count */
    json_t *listening; /* "address port": count */
    json_t *names;     /* address: host */
    json_t *sockets;   /* path: connected (1) or bound (2) */
    json_t *unseen;    /* what is to be said of calls without a path: count */
    bool is_full;
};

struct learn *learn_new(void)
{
    struct learn *l = calloc(1, sizeof(*l));
    json_t **const all[] = { &l->files,     &l->made,  &l->folders, &l->outbound,
                             &l->listening, &l->names, &l->sockets, &l->unseen };
    bool ok = l != NULL;
    for (size_t i = 0; ok && i < sizeof(all) / sizeof(all[0]); i++)
        ok = (*all[i] = json_object()) != NULL;
    if (ok)
        return l;
    learn_free(l);
    return NULL;
}

void learn_free(struct learn *l)
{
    if (!l)
        return;
    json_t *const all[] = { l->files,     l->made,  l->folders, l->outbound,
                            l->listening, l->names, l->sockets, l->unseen };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        json_decref(all[i]);
    free(l);
}

static void add(struct learn *l, json_t *set, const char *key, json_int_t bits, bool is_count)
{
    json_t *old = json_object_get(set, key);
    json_int_t value = json_integer_value(old);
    if (!old && json_object_size(set) >= PATHS_MAX) {
        l->is_full = true;
        return;
    }
    /* Fails for a name that is no UTF-8, which a profile cannot hold either. */
    json_object_set_new(set, key, json_integer(is_count ? value + 1 : value | bits));
}

/* What belongs to one process, or to nobody. */
static bool is_passing(const char *path)
{
    static const char *const begins[] = { "/proc/", "/dev/pts/", "/dev/fd/", "/dev/std" };
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        if (strncmp(path, begins[i], strlen(begins[i])) == 0)
            return true;
    return path[0] != '/';
}

static void on_open(struct learn *l, const struct trace_event *e)
{
    static const char gone[] = " (deleted)";
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", e->path);
    size_t size = strlen(path);
    bool is_gone = size > strlen(gone) && strcmp(path + size - strlen(gone), gone) == 0;
    if (is_gone)
        path[size - strlen(gone)] = '\0';
    if (e->is_made || is_gone)
        add(l, l->made, path, 1, false);
    add(l, e->is_folder ? l->folders : l->files, path, e->access, false);
}

/* A program, and what runs it: its loader; of a script its interpreter, which has one in turn. */
static void on_execute(struct learn *l, const struct trace_event *e)
{
    char name[SCRIPT_PATH_MAX], whole[2 * PATH_MAX], real[PATH_MAX];
    add(l, l->files, e->path, POLICY_READ, false);
    nt_autoclose int file = open(e->path, O_PATH | O_CLOEXEC);
    for (int i = 0; i < SCRIPT_DEPTH && file >= 0 && script_runner(file, name); i++) {
        bool is_absolute = name[0] == '/';
        snprintf(whole, sizeof(whole), "%s%s%s", is_absolute || !e->cwd ? "" : e->cwd,
                 is_absolute ? "" : "/", name);
        if ((!is_absolute && !e->cwd) || !realpath(whole, real))
            return;
        add(l, l->files, real, POLICY_READ, false);
        close(file);
        file = open(real, O_PATH | O_CLOEXEC);
    }
}

static void on_address(struct learn *l, const struct trace_event *e)
{
    char key[INT8_MAX];
    if (e->path) {
        add(l, l->sockets, e->path, e->act == TRACE_BIND ? 2 : 1, false);
        return;
    }
    snprintf(key, sizeof(key), "%s %u", e->address, e->port);
    add(l, e->act == TRACE_BIND ? l->listening : l->outbound, key, 0, true);
}

/* Never silent: the profile may lack what such a call needs. */
static void on_unseen(struct learn *l, const struct trace_event *e)
{
    char reason[192];
    if (*e->call)
        snprintf(reason, sizeof(reason),
                 "%s (call %u, of Linux %s) was made, and this strace cannot show on which file: a "
                 "newer one can, and `run --diagnose` tells what is denied",
                 e->call, e->number, e->since);
    else
        snprintf(reason, sizeof(reason),
                 "call %u was made, which is newer than this strace and this program: `run "
                 "--diagnose` may tell what it needs",
                 e->number);
    add(l, l->unseen, reason, 0, true);
}

void learn_event(void *data, const struct trace_event *e)
{
    struct learn *l = data;
    if (e->act == TRACE_UNSEEN) {
        on_unseen(l, e);
        return;
    }
    if (e->act == TRACE_NAME) {
        json_object_set_new(l->names, e->address, json_string(e->host));
        return;
    }
    if (e->act == TRACE_CONNECT || e->act == TRACE_BIND) {
        if (e->error == 0 || e->error == EINPROGRESS || e->error == ECONNREFUSED)
            on_address(l, e);
        return;
    }
    if (e->error || is_passing(e->path))
        return; /* what is not there, and what was refused, is not needed */
    if (e->act == TRACE_OPEN)
        on_open(l, e);
    else if (e->act == TRACE_EXECUTE)
        on_execute(l, e);
    else
        add(l, l->made, e->path, 1, false);
}

/* --- the profile --------------------------------------------------------------------------- */

struct making {
    const struct policy *policy;
    json_t *folders; /* path: POLICY_ bits, to be granted with all beneath */
    json_t *files;   /* path: POLICY_ bits */
    json_t *skipped; /* [{path, reason}] */
    bool is_all;
};

/* PATH "": of no file in particular. */
static void skip(struct making *m, const char *path, const char *reason)
{
    size_t i;
    json_t *old;
    json_array_foreach(m->skipped, i,
                       old) if (*path && strcmp(nt_json_text(old, "path"), path) == 0) return;
    json_array_append_new(m->skipped, json_pack("{s:s, s:s}", "path", path, "reason", reason));
}

static bool is_beneath(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0
           && (path[size] == '/' || !path[size] || (size == 1 && folder[0] == '/'));
}

/* Granting FOLDER would also open more than anybody means: somebody's whole home, the system, or
 * the place of a secret. */
static bool is_too_much(const struct making *m, const char *folder)
{
    static const char *const never[] = { "/",    "/home", "/root", "/etc",  "/var", "/usr",
                                         "/opt", "/run",  "/dev",  "/proc", "/sys" };
    const char *home = getenv("HOME");
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        if (strcmp(folder, never[i]) == 0)
            return true;
    if (home && *home && is_beneath(home, folder))
        return true;
    for (size_t i = 0; i < m->policy->deny_count; i++)
        if (is_beneath(m->policy->denies[i].path, folder))
            return true;
    return false;
}

static bool is_denied(const struct making *m, const char *path)
{
    for (size_t i = 0; i < m->policy->deny_count; i++)
        if (is_beneath(path, m->policy->denies[i].path))
            return true;
    return false;
}

static void want(json_t *set, const char *path, json_int_t bits)
{
    bits |= json_integer_value(json_object_get(set, path));
    json_object_set_new(set, path, json_integer(bits));
}

static bool parent_of(const char *path, char *ret)
{
    snprintf(ret, PATH_MAX, "%s", path);
    char *slash = strrchr(ret, '/');
    if (!slash || slash == ret)
        return false;
    *slash = '\0';
    return true;
}

/* /usr/include/x/y.h: /usr/include. */
static bool tree_of(const char *path, char *ret)
{
    static const char *const roots[] = { "/usr/local/", "/usr/", "/opt/" };
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        size_t size = strlen(roots[i]);
        const char *slash = strncmp(path, roots[i], size) == 0 ? strchr(path + size, '/') : NULL;
        if (slash) {
            snprintf(ret, PATH_MAX, "%.*s", (int)(slash - path), path);
            return true;
        }
    }
    return false;
}

/* A file that comes or goes is granted by its folder. */
static void want_parent(struct making *m, const char *path, json_int_t bits)
{
    char parent[PATH_MAX];
    if (!parent_of(path, parent) || is_too_much(m, parent)) {
        skip(m, path, "it is made or removed in a folder that is too much to grant");
        return;
    }
    struct stat st;
    /* Of folders that are gone again, the first that is there. */
    if (stat(parent, &st) < 0) {
        want_parent(m, parent, bits);
        return;
    }
    want(m->folders, parent, bits);
}

static size_t siblings(const json_t *files, const char *folder)
{
    size_t count = 0;
    char parent[PATH_MAX];
    const char *path;
    json_t *unused;
    json_object_foreach((json_t *)files, path, unused) count +=
        parent_of(path, parent) && strcmp(parent, folder) == 0;
    return count;
}

static void choose(struct making *m, const struct learn *l, const char *path, json_int_t bits)
{
    char folder[PATH_MAX];
    struct policy_answer answer;
    struct stat st;
    policy_ask_canonical(m->policy, path, (uint32_t)bits, &answer);
    if (answer.is_allowed && !m->is_all)
        return;
    if (is_denied(m, path)) {
        skip(m, path, "it is denied by a group");
        return;
    }
    bool is_made = json_object_get(l->made, path) != NULL;
    if (is_made || stat(path, &st) < 0) {
        want_parent(m, path, bits | (is_made ? POLICY_WRITE : 0));
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        if (is_too_much(m, path))
            skip(m, path, "listing it would need a grant of all beneath it");
        else
            want(m->folders, path, bits);
        return;
    }
    if (m->policy->workdir && is_beneath(path, m->policy->workdir)
        && !is_too_much(m, m->policy->workdir))
        want(m->folders, m->policy->workdir, bits);
    else if (bits == POLICY_READ && tree_of(path, folder) && !is_too_much(m, folder))
        want(m->folders, folder, bits);
    else if (bits == POLICY_READ && parent_of(path, folder) && !is_too_much(m, folder)
             && siblings(l->files, folder) >= CROWD)
        want(m->folders, folder, bits);
    else
        want(m->files, path, bits);
}

/* Is PATH beneath another folder that grants as much? */
static bool is_covered(const json_t *folders, const char *path, json_int_t bits)
{
    const char *folder;
    json_t *granted;
    json_object_foreach((json_t *)folders, folder,
                        granted) if (strcmp(folder, path) != 0 && is_beneath(path, folder)
                                     && (json_integer_value(granted) & bits) == bits) return true;
    return false;
}

static int append(json_t *filesystem, const char *key, const char *path)
{
    char text[PATH_MAX];
    const char *home = getenv("HOME");
    size_t size = home ? strlen(home) : 0;
    if (size > 1 && is_beneath(path, home))
        snprintf(text, sizeof(text), "~%s", path + size);
    else
        snprintf(text, sizeof(text), "%s", path);
    json_t *list = json_object_get(filesystem, key);
    return json_array_append_new(list, json_string(text));
}

static json_t *filesystem_of(const struct making *m)
{
    static const char *const names[2][4] = { { "", "read", "write", "allow" },
                                             { "", "read_file", "write_file", "allow_file" } };
    json_t *const sets[2] = { m->folders, m->files };
    json_t *ret = json_pack("{s:[], s:[], s:[], s:[], s:[], s:[]}", "allow", "read", "write",
                            "allow_file", "read_file", "write_file");
    for (int i = 0; i < 2 && ret; i++) {
        const char *path;
        json_t *bits;
        json_object_foreach(sets[i], path,
                            bits) if (!is_covered(m->folders, path, json_integer_value(bits)))
            append(ret, names[i][json_integer_value(bits) & 3], path);
    }
    return ret;
}

static json_t *addresses_of(const json_t *set, const json_t *names)
{
    json_t *ret = json_array(), *count;
    const char *key;
    json_object_foreach((json_t *)set, key, count)
    {
        const char *space = strchr(key, ' ');
        char address[64];
        snprintf(address, sizeof(address), "%.*s", (int)(space - key), key);
        json_t *row =
            json_pack("{s:s, s:i, s:O}", "addr", address, "port", atoi(space + 1), "count", count);
        const char *host = nt_json_text(names, address);
        if (host)
            json_object_set_new(row, "hostname", json_string(host));
        json_array_append_new(ret, row);
    }
    return ret;
}

int learn_result(const struct learn *l, const struct policy *policy, const char *name, bool is_all,
                 json_t **ret, struct nt_error *reterr)
{
    nt_auto_json json_t *folders = json_object(), *files = json_object(), *skipped = json_array();
    struct making m = { policy, folders, files, skipped, is_all };
    const char *path;
    json_t *bits;
    if (!folders || !files || !skipped)
        return nt_fail(reterr, NT_E_MEMORY, "no memory");
    json_object_foreach(l->files, path, bits) choose(&m, l, path, json_integer_value(bits));
    json_object_foreach(l->folders, path, bits) choose(&m, l, path, POLICY_READ);
    json_object_foreach(l->made, path, bits) if (!json_object_get(l->files, path))
        want_parent(&m, path, POLICY_WRITE);
    if (l->is_full)
        skip(&m, "", "more files than are remembered");
    json_object_foreach(l->unseen, path, bits) skip(&m, "", path);
    *ret = json_pack("{s:{s:s}, s:o, s:{s:o, s:o}, s:O}", "meta", "name", name, "filesystem",
                     filesystem_of(&m), "network", "outbound", addresses_of(l->outbound, l->names),
                     "listening", addresses_of(l->listening, l->names), "skipped", skipped);
    return *ret ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory");
}
