/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - what the process of a third party may do; see rules.h.
 *
 * Files: what any program of this machine needs to run, the plugin itself, and what is declared. No
 * socket, no other process, no permission changed. What the core keeps for itself (credentials, the
 * server's state, the user's plugins) is in no grant, whatever is declared. */
#include "rules.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "core/config/config.h"
#include "core/plugin/needs.h"
#include "core/plugin/registry.h"
#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define UP_MAX 512 /* folders between a path and the root */

/* What a program of this machine reads to run: nothing of a user. */
static const char *const system_paths[] = { "/lib",
                                            "/lib32",
                                            "/lib64",
                                            "/usr/lib",
                                            "/usr/lib32",
                                            "/usr/lib64",
                                            "/usr/local/lib",
                                            "/usr/share",
                                            "/etc/ld.so.cache",
                                            "/etc/localtime",
                                            "/etc/locale.alias",
                                            "/proc/self",
                                            "/proc/meminfo",
                                            "/proc/cpuinfo",
                                            "/proc/sys/vm/overcommit_memory",
                                            "/sys/devices/system/cpu",
                                            "/dev/urandom",
                                            "/dev/random" };
/* Those of them that hold code: a program that may be started needs its loader and helpers. */
static const char *const code_paths[] = { "/lib",       "/lib32",     "/lib64",        "/usr/lib",
                                          "/usr/lib32", "/usr/lib64", "/usr/local/lib" };
static const char *const device_paths[] = { "/dev/null", "/dev/zero", "/dev/full" };
/* For TLS over a socket of nt_host.connect. */
static const char *const authority_paths[] = { "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
                                               "/etc/pki/tls/certs", "/etc/ca-certificates",
                                               "/etc/pki/ca-trust/extracted" };
static const char *const program_folders[] = { "/usr/local/bin", "/usr/bin", "/bin" };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int fail_rule(int sys, const char *path, struct nt_error *reterr)
{
    return nt_fail_sys(reterr, sys, "cannot allow %s", path);
}

/* What is not there needs no rule. */
static int allow_all(struct enforce *e, const char *const *paths, size_t count, uint32_t access,
                     struct nt_error *reterr)
{
    for (size_t i = 0; i < count; i++) {
        nt_autoclose int fd = open(paths[i], O_PATH | O_CLOEXEC);
        int sys = fd >= 0 ? enforce_path(e, fd, access) : 0;
        if (sys)
            return fail_rule(sys, paths[i], reterr);
    }
    return 0;
}

/* --- what stays the core's ------------------------------------------------------------------ */

static bool is_same(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Is `inner` the folder `outer`, or beneath it? Also true when that cannot be told. */
static bool is_beneath(int inner, int outer)
{
    nt_autoclose int at = fcntl(inner, F_DUPFD_CLOEXEC, 0);
    for (int i = 0; i < UP_MAX && at >= 0; i++) {
        if (is_same(at, outer))
            return true;
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0)
            return true;
        bool is_root = is_same(at, up);
        close(at);
        at = up;
        if (is_root)
            return false;
    }
    return true;
}

/* The folder, or the nearest above it that is there. */
static int open_nearest(const char *path, bool *ret_is_there)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(PATH_MAX);
    nt_buf_add(&text, path);
    *ret_is_there = true;
    while (nt_buf_ok(&text) && text.size) {
        int fd = open(nt_buf_text(&text), O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
        *ret_is_there = false;
        char *slash = strrchr(text.data, '/');
        if (!slash)
            return -1;
        text.size = (size_t)(slash - text.data);
        *slash = '\0';
    }
    return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* true when a grant of that folder or file would reach something of the core's. */
static bool reaches(int granted, const char *path)
{
    bool is_there;
    nt_autoclose int ours = path ? open_nearest(path, &is_there) : -1;
    struct stat st;
    if (ours < 0 || fstat(granted, &st) < 0)
        return path != NULL;
    if (S_ISDIR(st.st_mode))
        return is_beneath(ours, granted) || (is_there && is_beneath(granted, ours));
    return false; /* a file is judged by its folder, see open_declared */
}

static bool reaches_ours(int granted)
{
    static const uint32_t folders[] = { NT_PATH_CONFIG, NT_PATH_DATA, NT_PATH_RUNTIME };
    for (size_t i = 0; i < COUNT(folders); i++)
        if (config_path(folders[i]) && reaches(granted, config_path(folders[i])))
            return true;
    nt_auto(nt_buf_done) struct nt_buf plugins = NT_BUF(PATH_MAX);
    return registry_users_folder(&plugins) && reaches(granted, nt_buf_text(&plugins));
}

/* --- what is declared ----------------------------------------------------------------------- */

/* Beneath the current folder no link leads out of it: it may be a repository of others. */
static int open_beneath(const char *rest)
{
    const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, AT_FDCWD, *rest ? rest : ".", &how, sizeof(how));
}

/* -1 and errno: ENOENT is fine. */
static int open_declared(const char *value)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    if (strncmp(value, "$PWD", 4) == 0)
        return open_beneath(value[4] == '/' ? value + 5 : "");
    if (value[0] == '~') {
        const char *home = config_path(NT_PATH_HOME);
        if (!home) {
            errno = ENOENT;
            return -1;
        }
        nt_buf_add(&path, home);
        value++;
    }
    nt_buf_add(&path, value);
    return open(nt_buf_text(&path), O_PATH | O_CLOEXEC);
}

/* The folder that a file lies in, by the path that the kernel knows. */
static bool is_file_of_ours(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    if (size <= 0)
        return true;
    path[size] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return true;
    *slash = '\0';
    nt_autoclose int folder = open(*path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return true;
    static const uint32_t folders[] = { NT_PATH_CONFIG, NT_PATH_DATA, NT_PATH_RUNTIME };
    for (size_t i = 0; i < COUNT(folders); i++) {
        const char *ours_path = config_path(folders[i]);
        nt_autoclose int ours = ours_path ? open(ours_path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        if (ours >= 0 && is_beneath(folder, ours))
            return true;
    }
    return false;
}

static int allow_declared(struct enforce *e, const struct nt_need *need, struct nt_error *reterr)
{
    uint32_t access =
        need->kind == NT_NEED_WRITE ? ENFORCE_READ | ENFORCE_WRITE : (uint32_t)ENFORCE_READ;
    nt_autoclose int fd = open_declared(need->value);
    struct stat st;
    if (fd < 0)
        return 0; /* it is not there, or not for this user: then no rule could allow it */
    if (fstat(fd, &st) < 0)
        return fail_rule(errno, need->value, reterr);
    if (S_ISDIR(st.st_mode) ? reaches_ours(fd) : is_file_of_ours(fd)) {
        nt_fail(reterr, NT_E_FORBIDDEN,
                "the plugin declares '%s', which reaches files of nanoterm itself here",
                need->value);
        return nt_hint(reterr, "run it in a folder that does not contain ~/.nanoterm");
    }
    int sys = enforce_path(e, fd, access);
    return sys ? fail_rule(sys, need->value, reterr) : 0;
}

static int allow_program(struct enforce *e, const char *name, struct nt_error *reterr)
{
    const uint32_t access = ENFORCE_READ | ENFORCE_EXECUTE;
    for (size_t i = 0; i < COUNT(program_folders); i++) {
        nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
        if (name[0] == '/')
            nt_buf_add(&path, name);
        else
            nt_buf_addf(&path, "%s/%s", program_folders[i], name);
        const char *text = nt_buf_text(&path);
        if (allow_all(e, &text, 1, access, reterr) < 0)
            return -1;
        if (name[0] == '/')
            break;
    }
    return 0;
}

/* A script is run by what its first line names; by `env`, that is its first word. */
static int allow_interpreter(struct enforce *e, int file, struct nt_error *reterr)
{
    char line[256];
    ssize_t size = pread(file, line, sizeof(line) - 1, 0);
    if (size < 3 || memcmp(line, "#!", 2) != 0)
        return 0;
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *at = line + 2 + strspn(line + 2, " \t");
    char *rest = at + strcspn(at, " \t");
    if (*rest)
        *rest++ = '\0';
    if (at[0] == '/' && allow_program(e, at, reterr) < 0)
        return -1;
    const char *slash = strrchr(at, '/');
    if (strcmp(slash ? slash + 1 : at, "env") != 0)
        return 0;
    rest += strspn(rest, " \t");
    if (strncmp(rest, "-S", 2) == 0)
        rest += 2 + strspn(rest + 2, " \t");
    rest[strcspn(rest, " \t")] = '\0';
    return *rest ? allow_program(e, rest, reterr) : 0;
}

static int allow(struct enforce *e, const struct rules *rules, bool runs_programs,
                 struct nt_error *reterr)
{
    const struct nt_table none = { NULL, 0, 0 };
    const struct nt_table *needs = rules->needs ? rules->needs : &none;
    if (allow_all(e, system_paths, COUNT(system_paths), ENFORCE_READ, reterr) < 0
        || allow_all(e, device_paths, COUNT(device_paths), ENFORCE_READ | ENFORCE_WRITE, reterr) < 0
        || (needs_has_kind(needs, NT_NEED_HOST)
            && allow_all(e, authority_paths, COUNT(authority_paths), ENFORCE_READ, reterr) < 0)
        || (runs_programs
            && allow_all(e, code_paths, COUNT(code_paths), ENFORCE_READ | ENFORCE_EXECUTE, reterr)
                   < 0))
        return -1;
    uint32_t own = rules->is_program ? ENFORCE_READ | ENFORCE_EXECUTE : (uint32_t)ENFORCE_READ;
    int sys = rules->file >= 0 ? enforce_path(e, rules->file, own) : 0;
    if (sys && sys != EBADFD) /* a copy in memory has no path, which no rule forbids */
        return fail_rule(sys, "the plugin's file", reterr);
    if (rules->is_program && allow_interpreter(e, rules->file, reterr) < 0)
        return -1;
    for (uint32_t i = 0; i < needs->count; i++) {
        const struct nt_need *need = needs_at(needs, i);
        if ((need->kind == NT_NEED_READ || need->kind == NT_NEED_WRITE)
                ? allow_declared(e, need, reterr) < 0
                : need->kind == NT_NEED_PROGRAM && allow_program(e, need->value, reterr) < 0)
            return -1;
    }
    return 0;
}

/* --- all of it ------------------------------------------------------------------------------ */

/* Bits of the layers in the list; false: an unknown word. Without the filter of calls nothing
 * holds: it cannot be waived. */
static bool read_layers(const char *list, uint32_t *ret)
{
    static const enum enforce_layer waivable[] = { ENFORCE_FILES, ENFORCE_SCOPES };
    *ret = 0;
    while (list && *list) {
        size_t size = strcspn(list, ",");
        bool is_known = false;
        for (size_t i = 0; i < COUNT(waivable); i++) {
            const char *name = enforce_layer_name(waivable[i]);
            if (strlen(name) == size && memcmp(name, list, size) == 0) {
                *ret |= 1u << waivable[i];
                is_known = true;
            }
        }
        if (!is_known)
            return false;
        list += size;
        list += *list == ',';
    }
    return true;
}

bool rules_are_layers(const char *list)
{
    uint32_t unused;
    return read_layers(list, &unused);
}

static int fail_layer(int sys, enum enforce_layer layer, struct nt_error *reterr)
{
    if (sys != EOPNOTSUPP && sys != ENOSYS) {
        nt_fail_sys(reterr, sys, "cannot confine the plugin (%s)", enforce_layer_name(layer));
        reterr->code = NT_E_UNAVAILABLE;
        return -1;
    }
    nt_fail(reterr, NT_E_UNAVAILABLE, "this kernel cannot confine the plugin: %s",
            enforce_layer_name(layer));
    if (layer == ENFORCE_FILES || layer == ENFORCE_SCOPES)
        return nt_hint(reterr, "%s; or do without it: " RULES_WEAKER_VARIABLE "=%s",
                       enforce_layer_remedy(layer), enforce_layer_name(layer));
    return nt_hint(reterr, "%s", enforce_layer_remedy(layer));
}

int rules_enter(const struct rules *rules, struct nt_error *reterr)
{
    struct enforce e;
    enum enforce_layer layer = ENFORCE_LAYERS;
    bool runs_programs =
        rules->is_program || (rules->needs && needs_has_kind(rules->needs, NT_NEED_PROGRAM));
    enforce_init(&e);
    e.files = e.signals = e.abstract_sockets = e.descriptors = true;
    e.network = ENFORCE_NET_NONE;
    e.calls = ENFORCE_CALLS_KERNEL | ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_URING
              | ENFORCE_CALLS_NAMESPACES | ENFORCE_CALLS_PEEK | ENFORCE_CALLS_UNIX
              | ENFORCE_CALLS_LISTEN | ENFORCE_CALLS_CONNECT | ENFORCE_CALLS_OWNERS
              | ENFORCE_CALLS_IPC;
    if (!read_layers(rules->weaker, &e.weaker))
        return nt_fail(reterr, NT_E_CONFIG, "plugin.weaker: '%s' is not files or scopes",
                       rules->weaker);
    if (!runs_programs) {
        /* Alone it has nobody to signal: the filter does what Landlock's scopes do, on any kernel.
         */
        e.calls |= ENFORCE_CALLS_PROGRAMS | ENFORCE_CALLS_SIGNALS;
        e.weaker |= 1u << ENFORCE_SCOPES;
    }
    memcpy(e.keep, rules->keep, rules->keep_count * sizeof(e.keep[0]));
    e.keep_count = rules->keep_count;
    int sys = enforce_prepare(&e, &layer);
    int result = sys ? fail_layer(sys, layer, reterr) : allow(&e, rules, runs_programs, reterr);
    if (result == 0 && (sys = enforce_enter(&e, &layer)) != 0)
        result = fail_layer(sys, layer, reterr);
    enforce_done(&e);
    return result;
}
