/* SPDX-License-Identifier: Apache-2.0 */
/* registries.c - reads where packages come from: variables of the environment, the settings of the
 * package managers, host lists of the machine and the user. Settings of a project are not read: a
 * foreign project would choose its own way out. */
#include "plugins/sandbox-enforce/policy/registries.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/policy/managers.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define FILE_BYTES_MAX ((size_t)256 * 1024)
#define HOSTS_MAX 256u
#define SYSTEM_LISTS "/etc/nanoterm/hosts.d"

struct finder {
    struct memory *m;
    const struct places *places;
    struct policy_texts *hosts, *origins;
};

/* --- hosts ----------------------------------------------------------------------------------- */

static void add_host(struct finder *f, const char *text, size_t size, const char *origin)
{
    char host[HOST_MAX], plain[HOST_MAX];
    if (size == 0 || size >= sizeof(host) || f->hosts->count >= HOSTS_MAX)
        return;
    memcpy(host, text, size);
    host[size] = '\0';
    if (!host_pattern(host, plain) || (plain[0] == '*' && !strchr(plain + 2, '.'))
        || policy_is_metadata(plain) || host_is_loopback(plain) || texts_have(f->hosts, plain))
        return;
    if (texts_add(f->m, f->hosts, memory_text(f->m, plain)))
        texts_add(f->m, f->origins, memory_text(f->m, origin));
}

/* Every http(s) URL in SIZE bytes of TEXT. */
static void add_urls(struct finder *f, const char *text, size_t size, const char *origin)
{
    const char *end = text + size;
    while (text < end) {
        const char *start = memmem(text, (size_t)(end - text), "://", 3);
        if (!start)
            return;
        bool is_http = (start - text >= 4 && memcmp(start - 4, "http", 4) == 0)
                       || (start - text >= 5 && memcmp(start - 5, "https", 5) == 0);
        start += 3;
        size_t length = 0, authority = 0;
        while (start + length < end && !strchr("/?# \t\r\n\"'<>,|;)", start[length]))
            length++;
        for (size_t i = 0; i < length; i++) /* behind a user and a password */
            if (start[i] == '@')
                authority = i + 1;
        const char *host = start + authority;
        size_t host_size = length - authority;
        const char *colon = host_size && host[0] != '[' ? memchr(host, ':', host_size) : NULL;
        if (is_http)
            add_host(f, host, colon ? (size_t)(colon - host) : host_size, origin);
        text = start + length;
    }
}

/* --- files ----------------------------------------------------------------------------------- */

/* A file of root or the user that others cannot write; NULL: there is none. */
static char *read_file(const char *path, size_t *ret_size)
{
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_mode & S_IWOTH
        || (st.st_uid != 0 && st.st_uid != getuid()) || st.st_size > (off_t)FILE_BYTES_MAX)
        return NULL;
    nt_autofree char *text = malloc((size_t)st.st_size + 1);
    ssize_t size = text ? read(fd, text, (size_t)st.st_size) : -1;
    if (size < 0)
        return NULL;
    text[size] = '\0';
    *ret_size = (size_t)size;
    return nt_take(text);
}

/* The settings of the package managers: in which file, and behind which keys of it. A key matches
 * the start of a line; a line that starts with blanks goes on with the one before. */
static const struct {
    const char *path; /* a pattern of glob(3), expanded */
    const char *keys; /* separated by "|"; NULL: every line counts */
} files[] = {
    { "/etc/npmrc", "registry|@" },
    { "~/.npmrc", "registry|@" },
    { "~/.yarnrc.yml", "npmRegistryServer|npmScopes" },
    { "~/.yarnrc", "registry" },
    { "/etc/pip.conf", "index-url|extra-index-url" },
    { "~/.pip/pip.conf", "index-url|extra-index-url" },
    { "$XDG_CONFIG_HOME/pip/pip.conf", "index-url|extra-index-url" },
    { "$XDG_CONFIG_HOME/uv/uv.toml", "index-url|extra-index-url|url|default" },
    { "~/.cargo/config.toml", "registry|index|replace-with" },
    { "~/.cargo/config", "registry|index|replace-with" },
    { "~/.cargo/registry/index/*/config.json", NULL },
    { "$XDG_CONFIG_HOME/go/env", "GOPROXY|GOSUMDB" },
    { "/usr/local/go/go.env", "GOPROXY|GOSUMDB" },
    { "/usr/lib/go*/go.env", "GOPROXY|GOSUMDB" },
    { "/usr/share/go*/go.env", "GOPROXY|GOSUMDB" },
    { "~/go/env", "GOPROXY|GOSUMDB" },
    { "/etc/maven/settings.xml", "<url" },
    { "~/.m2/settings.xml", "<url" },
    { "~/.gradle/init.gradle", "url|maven" },
    { "/etc/gemrc", "-|:sources|sources" },
    { "~/.gemrc", "-|:sources|sources" },
    { "~/.bundle/config", "BUNDLE_MIRROR" },
};

static bool has_key(const char *keys, const char *line, size_t size)
{
    while (keys) {
        size_t key = strcspn(keys, "|");
        if (size >= key && memcmp(line, keys, key) == 0)
            return true;
        keys = keys[key] ? keys + key + 1 : NULL;
    }
    return false;
}

/* Blanks out XML comments: settings.xml comes with examples in them. */
static void drop_comments(char *text)
{
    for (char *start = text; (start = strstr(start, "<!--"));) {
        char *end = strstr(start, "-->");
        size_t size = end ? (size_t)(end + 3 - start) : strlen(start);
        for (size_t i = 0; i < size; i++)
            start[i] = start[i] == '\n' ? '\n' : ' ';
        start += size;
    }
}

static void add_of_lines(struct finder *f, const char *text, const char *keys, const char *origin)
{
    bool goes_on = false;
    while (*text) {
        size_t size = strcspn(text, "\n"), blanks = strspn(text, " \t");
        const char *line = text + (blanks > size ? size : blanks);
        size_t rest = size - (size_t)(line - text);
        bool is_comment = rest && (line[0] == '#' || line[0] == ';');
        bool has = !keys || has_key(keys, line, rest);
        goes_on = has || (goes_on && blanks && rest && !memchr(line, '=', rest));
        if (goes_on && !is_comment)
            add_urls(f, line, rest, origin);
        text += size + (text[size] == '\n');
    }
}

/* GOSUMDB names a host without a scheme. */
static void add_sumdb(struct finder *f, const char *value, const char *origin)
{
    size_t size = strcspn(value, "+ \t\r\n");
    if (memchr(value, '.', size))
        add_host(f, value, size, origin);
}

static void globfreep(glob_t *found)
{
    globfree(found);
}

static void add_of_files(struct finder *f)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *missing, *pattern = expand(f->m, f->places, files[i].path, &missing);
        nt_auto(globfreep) glob_t found = { 0 };
        if (!pattern || glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc && j < 16; j++) {
            size_t size = 0;
            nt_autofree char *text = read_file(found.gl_pathv[j], &size);
            const char *sumdb = text ? strstr(text, "GOSUMDB=") : NULL;
            if (text && strstr(files[i].path, ".xml"))
                drop_comments(text);
            if (text)
                add_of_lines(f, text, files[i].keys, found.gl_pathv[j]);
            if (sumdb && files[i].keys && strstr(files[i].keys, "GOSUMDB"))
                add_sumdb(f, sumdb + 8, found.gl_pathv[j]);
        }
    }
}

/* ~/.cargo/registry/index/HOST-0123456789abcdef: where cargo has fetched from. */
static void add_of_cargo(struct finder *f)
{
    const char *pattern = expand_home(f->m, f->places, "~/.cargo/registry/index/*-*");
    nt_auto(globfreep) glob_t found = { 0 };
    if (!pattern || glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc && i < 16; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/') + 1, *dash = strrchr(name, '-');
        if (memchr(name, '.', (size_t)(dash - name)))
            add_host(f, name, (size_t)(dash - name), found.gl_pathv[i]);
    }
}

static void add_of_environment(struct finder *f)
{
    static const char *const names[] = {
        "npm_config_registry",
        "NPM_CONFIG_REGISTRY",
        "YARN_NPM_REGISTRY_SERVER",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "GOPROXY",
        "CARGO_REGISTRIES_CRATES_IO_INDEX",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = secure_getenv(names[i]);
        if (value)
            add_urls(f, value, strlen(value), names[i]);
    }
    const char *sumdb = secure_getenv("GOSUMDB");
    if (sumdb)
        add_sumdb(f, sumdb, "GOSUMDB");
}

static void closedirp(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* Files NAME.hosts: a host or *.suffix on each line, "#" starts a comment. */
static void add_of_lists(struct finder *f, const char *folder)
{
    nt_auto(closedirp) DIR *open_folder = opendir(folder);
    const struct dirent *entry;
    while (open_folder && (entry = readdir(open_folder))) {
        size_t length = strlen(entry->d_name), size = 0;
        if (entry->d_name[0] == '.' || length < 7
            || strcmp(entry->d_name + length - 6, ".hosts") != 0)
            continue;
        const char *path = memory_format(f->m, "%s/%s", folder, entry->d_name);
        nt_autofree char *text = path ? read_file(path, &size) : NULL;
        for (const char *line = text; line && *line;) {
            size_t rest = strcspn(line, "\n"), blanks = strspn(line, " \t");
            size_t host = strcspn(line + blanks, " \t\r\n#");
            add_host(f, line + blanks, host, path);
            line += rest + (line[rest] == '\n');
        }
    }
}

static void add_said(void *data, const char *text, const char *origin)
{
    struct finder *f = data;
    const char *sumdb = strncmp(origin, "go ", 3) == 0 ? strchr(text, '\n') : NULL;
    add_urls(f, text, strlen(text), origin);
    if (sumdb)
        add_sumdb(f, sumdb + 1, origin);
}

int registries_find(struct memory *m, const struct policy *policy, const struct places *places,
                    struct policy_texts *ret_hosts, struct policy_texts *ret_origins,
                    struct nt_error *reterr)
{
    struct finder f = { m, places, ret_hosts, ret_origins };
    const char *own = memory_format(m, "%s/nanoterm/hosts.d", places->config);
    add_of_lists(&f, SYSTEM_LISTS);
    if (own)
        add_of_lists(&f, own);
    add_of_environment(&f);
    add_of_files(&f);
    add_of_cargo(&f);
    managers_ask(m, policy, places, add_said, &f);
    return m->failed ? memory_fail(m, reterr) : 0;
}
