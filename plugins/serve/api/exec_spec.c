/* SPDX-License-Identifier: Apache-2.0 */
/* exec_spec.c - checks what a client wants to run and writes it as a frame. Nothing is quoted or
 * split here: an argument stays one argument; only `shell` hands one line to a shell inside the
 * workspace. */
#include "plugins/serve/api/exec_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nanoterm/guest.h"
#include "plugins/serve/api/exec_env.h"
#include "plugins/serve/server.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define TIMEOUT_MAX_S (INT64_C(30) * 24 * 3600)

static bool is_plain_text(const json_t *json)
{
    return json_is_string(json) && strlen(json_string_value(json)) == json_string_length(json);
}

/* A text without NUL, or absent (null counts). */
static int text_of(json_t *json, const char *key, const char **ret, struct nt_error *reterr)
{
    json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value)) {
        *ret = NULL;
        return 0;
    }
    if (!is_plain_text(value))
        return nt_fail(reterr, NT_E_INVALID, "%s must be a text without NUL", key);
    *ret = json_string_value(value);
    return 0;
}

static int flag_of(json_t *json, const char *key, bool *ret, struct nt_error *reterr)
{
    json_t *value = json_object_get(json, key);
    if (value && !json_is_null(value) && !json_is_boolean(value))
        return nt_fail(reterr, NT_E_INVALID, "%s must be true or false", key);
    *ret = json_is_true(value);
    return 0;
}

static int texts_of(json_t *json, const char *key, json_t **ret, struct nt_error *reterr)
{
    json_t *list = json_object_get(json, key);
    if (!list || json_is_null(list)) {
        *ret = NULL;
        return 0;
    }
    if (!json_is_array(list))
        return nt_fail(reterr, NT_E_INVALID, "%s must be a list of texts", key);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_plain_text(json_array_get(list, i)))
            return nt_fail(reterr, NT_E_INVALID, "%s must be a list of texts without NUL", key);
    *ret = list;
    return 0;
}

static int envs_of(json_t *json, const char *key, json_t **ret, struct nt_error *reterr)
{
    json_t *envs = json_object_get(json, key);
    if (!envs || json_is_null(envs)) {
        *ret = NULL;
        return 0;
    }
    if (!json_is_object(envs))
        return nt_fail(reterr, NT_E_INVALID, "%s must be an object of texts", key);
    const char *name;
    json_t *value;
    json_object_foreach(envs, name, value)
    {
        if (!*name || strchr(name, '='))
            return nt_fail(reterr, NT_E_INVALID, "%s: a name must not be empty or contain '='",
                           key);
        if (!is_plain_text(value))
            return nt_fail(reterr, NT_E_INVALID, "%s: %s must be a text without NUL", key, name);
    }
    *ret = envs;
    return 0;
}

/* A number of units as milliseconds; absent: fallback. */
static int limit_of(json_t *json, const char *key, double unit_ms, int64_t fallback_ms,
                    int64_t *ret, struct nt_error *reterr)
{
    json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value)) {
        *ret = fallback_ms;
        return 0;
    }
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (!(number >= 0) || number * unit_ms > (double)TIMEOUT_MAX_S * 1000)
        return nt_fail(reterr, NT_E_INVALID, "%s must be a number from 0 (no limit) to 30 days",
                       key);
    *ret = (int64_t)(number * unit_ms);
    if (number > 0 && *ret == 0)
        *ret = 1; /* less than a millisecond is still a limit */
    return 0;
}

int exec_spec_read(json_t *json, struct exec_spec *ret, struct nt_error *reterr)
{
    struct exec_spec spec = { 0 };
    if (!json_is_object(json))
        return nt_fail(reterr, NT_E_INVALID, "the body must be a JSON object");
    if (text_of(json, "command", &spec.command, reterr) < 0
        || texts_of(json, "args", &spec.argv, reterr) < 0
        || text_of(json, "cwd", &spec.cwd, reterr) < 0
        || envs_of(json, "envs", &spec.envs, reterr) < 0
        || flag_of(json, "shell", &spec.shell, reterr) < 0
        || flag_of(json, "background", &spec.background, reterr) < 0
        || limit_of(json, "timeout_secs", 1000, EXEC_DEFAULT_TIMEOUT_MS, &spec.timeout_ms, reterr)
               < 0)
        return -1;
    if (!spec.command || !*spec.command)
        return nt_fail(reterr, NT_E_INVALID, "command must not be empty");
    if (spec.cwd && !*spec.cwd)
        spec.cwd = NULL;
    *ret = spec;
    return 0;
}

/* Bytes that came as text, a character of U+0001 to U+00FF for each. */
static json_t *bytes_of(const char *text)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(NT_G_FRAME_MAX);
    for (; *text; text++) {
        uint8_t first = (uint8_t)*text;
        if (first > 0xC3) /* jansson has checked that it is UTF-8 */
            return NULL;
        nt_buf_add_char(&b,
                        (char)(first < 0x80 ? first : first << 6 | ((uint8_t) * ++text & 0x3F)));
    }
    return nt_buf_ok(&b) ? json_stringn_nocheck(nt_buf_text(&b), b.size) : NULL;
}

/* Puts what argv_latin1 means in the place of argv. */
static int read_latin1(json_t *json, struct nt_error *reterr)
{
    json_t *list;
    if (texts_of(json, "argv_latin1", &list, reterr) < 0)
        return -1;
    if (!list)
        return 0;
    nt_auto_json json_t *argv = json_array();
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_array_append_new(argv, bytes_of(json_string_value(json_array_get(list, i)))) < 0)
            return nt_fail(reterr, NT_E_INVALID, "argv_latin1: a character stands for a byte");
    json_object_set(json, "argv", argv);
    return 0;
}

int exec_spec_read_wide(json_t *json, struct exec_spec *ret, struct nt_error *reterr)
{
    struct exec_spec spec = { 0 };
    if (read_latin1(json, reterr) < 0 || texts_of(json, "argv", &spec.argv, reterr) < 0
        || text_of(json, "cwd", &spec.cwd, reterr) < 0
        || envs_of(json, "env", &spec.envs, reterr) < 0
        || limit_of(json, "timeout_ms", 1, 0, &spec.timeout_ms, reterr) < 0
        || flag_of(json, "background", &spec.background, reterr) < 0
        || flag_of(json, "keep", &spec.keep, reterr) < 0
        || text_of(json, "log", &spec.log, reterr) < 0
        || limit_of(json, "beat_ms", 1, 0, &spec.beat_ms, reterr) < 0)
        return -1;
    if (spec.log && !*spec.log)
        return nt_fail(reterr, NT_E_INVALID, "log must not be empty");
    if (!json_array_size(spec.argv) || !*json_string_value(json_array_get(spec.argv, 0)))
        return nt_fail(reterr, NT_E_INVALID, "argv must name a program");
    if (spec.cwd && !*spec.cwd)
        spec.cwd = NULL;
    *ret = spec;
    return 0;
}

const char *exec_shell(unsigned attempt)
{
    return attempt == 0 ? "bash" : attempt == 1 ? "sh" : NULL;
}

const char *exec_spec_name(const struct exec_spec *spec)
{
    if (spec->shell)
        return exec_shell(1);
    return spec->command ? spec->command : json_string_value(json_array_get(spec->argv, 0));
}

bool exec_shell_is_missing(const struct exec_spec *spec, const struct nt_error *error)
{
    return spec->shell && error && error->attempt == NT_GE_NOT_STARTED && error->sys == ENOENT;
}

static void emit_env(void *data, const char *name, const char *value)
{
    struct nt_g_writer *w = data;
    struct nt_buf line = NT_BUF(NT_G_FRAME_MAX);
    nt_buf_add(&line, name);
    nt_buf_add_char(&line, '=');
    nt_buf_add(&line, value);
    if (nt_buf_ok(&line))
        nt_g_add(w, NT_GT_ENV, line.data, line.size);
    else
        w->failed = 1;
    nt_buf_done(&line);
}

int exec_spec_frame(const struct exec_spec *spec, struct server *server, const struct workspace *ws,
                    const struct principal *principal, const char *shell, uint32_t flags,
                    struct nt_bytes *ret, struct nt_error *reterr)
{
    size_t cap = NT_G_HEAD + NT_G_FRAME_MAX;
    nt_autofree uint8_t *memory = malloc(cap);
    if (!memory)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    struct nt_g_writer w = nt_g_begin(memory, cap, NT_G_EXEC);

    if (spec->shell) {
        nt_g_add_text(&w, NT_GT_ARG, shell);
        nt_g_add_text(&w, NT_GT_ARG, "-c");
    }
    if (spec->command)
        nt_g_add_text(&w, NT_GT_ARG, spec->command);
    if (spec->shell && json_array_size(spec->argv))
        nt_g_add_text(&w, NT_GT_ARG, shell); /* $0: the arguments start at $1 */
    for (size_t i = 0; i < json_array_size(spec->argv); i++)
        nt_g_add_text(&w, NT_GT_ARG, json_string_value(json_array_get(spec->argv, i)));

    if (exec_environment(server, ws, principal, emit_env, &w, reterr) < 0)
        return -1;
    const char *name;
    json_t *value;
    json_object_foreach(spec->envs, name, value)
    {
        emit_env(&w, name, json_string_value(value));
    }
    const char *cwd = spec->cwd ? spec->cwd : ws->cwd;
    if (*cwd)
        nt_g_add_text(&w, NT_GT_CWD, cwd);
    nt_g_add_number(&w, NT_GT_FLAGS, flags);
    if (spec->log)
        nt_g_add_text(&w, NT_GT_LOG, spec->log);
    if (spec->beat_ms)
        nt_g_add_number(&w, NT_GT_BEAT_MS, (uint64_t)spec->beat_ms);
    if (spec->timeout_ms)
        nt_g_add_number(&w, NT_GT_TIMEOUT_MS, (uint64_t)spec->timeout_ms);
    size_t size = nt_g_done(&w);
    if (!size)
        return nt_fail(reterr, NT_E_INVALID,
                       "command, arguments and environment together exceed 256 KiB");
    *ret = (struct nt_bytes){ nt_take(memory), size };
    return 0;
}
