/* SPDX-License-Identifier: Apache-2.0 */
/* expand.c - folders of the environment, and variables in paths. */
#include "plugins/sandbox-enforce/policy/expand.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* The folder that VARIABLE names, or BESIDE (below the home folder). */
static const char *folder(struct memory *m, const char *variable, const char *home,
                          const char *beside)
{
    const char *value = secure_getenv(variable);
    return value && value[0] == '/' ? memory_text(m, value)
                                    : memory_format(m, "%s%s", home, beside);
}

int places_find(struct memory *m, struct places *ret, struct nt_error *reterr)
{
    const char *home = secure_getenv("HOME");
    if (!home || home[0] != '/') {
        const struct passwd *user = getpwuid(getuid());
        home = user ? user->pw_dir : NULL;
    }
    if (!home || home[0] != '/')
        return nt_fail(reterr, NT_E_CONFIG, "there is no home folder: HOME is not set");
    char real[PATH_MAX];
    home = memory_text(m, realpath(home, real) ? real : home);
    if (home && strcmp(home, "/") == 0)
        home = ""; /* so that "%s/.ssh" is right */
    ret->home = home;
    ret->tmpdir = secure_getenv("TMPDIR");
    ret->tmpdir = ret->tmpdir && ret->tmpdir[0] == '/' ? memory_text(m, ret->tmpdir) : "/tmp";
    ret->uid = memory_format(m, "%u", (unsigned)getuid());
    ret->config = folder(m, "XDG_CONFIG_HOME", home, "/.config");
    ret->data = folder(m, "XDG_DATA_HOME", home, "/.local/share");
    ret->state = folder(m, "XDG_STATE_HOME", home, "/.local/state");
    ret->cache = folder(m, "XDG_CACHE_HOME", home, "/.cache");
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    ret->runtime = runtime && runtime[0] == '/' ? memory_text(m, runtime)
                                                : memory_format(m, "/run/user/%s", ret->uid);
    return m->failed ? memory_fail(m, reterr) : 0;
}

/* The value of NAME (size bytes); NULL: it is not set. */
static const char *value_of(struct memory *m, const struct places *places, const char *name,
                            size_t size)
{
    const struct {
        const char *name, *value;
    } known[] = {
        { "HOME", *places->home ? places->home : "/" },
        { "WORKDIR", places->workdir },
        { "TMPDIR", places->tmpdir },
        { "UID", places->uid },
        { "XDG_CONFIG_HOME", places->config },
        { "XDG_DATA_HOME", places->data },
        { "XDG_STATE_HOME", places->state },
        { "XDG_CACHE_HOME", places->cache },
        { "XDG_RUNTIME_DIR", places->runtime },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].name) == size && memcmp(known[i].name, name, size) == 0)
            return known[i].value;
    if (size == 11 && memcmp(name, "NONO_CONFIG", size) == 0)
        return memory_format(m, "%s/nono", places->config);
    if (size == 13 && memcmp(name, "NONO_PACKAGES", size) == 0)
        return memory_format(m, "%s/nono/packages", places->config);
    const char *copy = memory_bytes(m, name, size);
    return copy ? secure_getenv(copy) : NULL;
}

static bool is_name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'
           || (!first && c >= '0' && c <= '9');
}

const char *expand_home(struct memory *m, const struct places *places, const char *text)
{
    if (text[0] == '~' && (text[1] == '/' || !text[1]))
        return *places->home || text[1] ? memory_format(m, "%s%s", places->home, text + 1) : "/";
    return text;
}

const char *expand(struct memory *m, const struct places *places, const char *text,
                   const char **ret_missing)
{
    *ret_missing = NULL;
    if (!strchr(text, '$'))
        return expand_home(m, places, text);
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(PATH_MAX);
    text = expand_home(m, places, text);
    while (text && *text) {
        if (text[0] != '$' || (text[1] != '{' && !is_name_char(text[1], true))) {
            nt_buf_add_char(&b, *text++);
            continue;
        }
        bool braces = text[1] == '{';
        const char *name = text + (braces ? 2 : 1);
        size_t size = 0;
        while (is_name_char(name[size], size == 0))
            size++;
        bool is_whole = size && (!braces || name[size] == '}');
        const char *value = is_whole ? value_of(m, places, name, size) : NULL;
        if (!value) {
            *ret_missing = memory_bytes(m, name, size);
            return NULL;
        }
        nt_buf_add(&b, value);
        text = name + size + (braces ? 1 : 0);
    }
    if (nt_buf_ok(&b))
        return memory_text(m, nt_buf_text(&b));
    *ret_missing = "(too long)";
    return NULL;
}
