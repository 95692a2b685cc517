/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the tables of one plugin as JSON, and writing them to a file at build time. */
#include "manifest.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/confine/rules.h"
#include "core/plugin/check.h"
#include "core/plugin/load.h"
#include "core/plugin/plugins.h"
#include "core/plugin/shape.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/json.h"

/* Of the layout of a manifest, not of the plugin's tables. */
#define FORMAT 1

json_t *manifest_to_json(const struct manifest *manifest)
{
    return json_pack("{s:i, s:i, s:I, s:s, s:b, s:o}", "manifest", FORMAT, "abi", (int)NT_ABI,
                     "size", (json_int_t)manifest->file_size, "build_id", manifest->build_id,
                     "shipped", 1, "plugin", shape_to_json(&manifest->tables));
}

int manifest_from_json(const json_t *json, struct arena *arena, struct manifest *ret,
                       struct nt_error *reterr)
{
    const json_t *format = json_object_get(json, "manifest"), *abi = json_object_get(json, "abi");
    const json_t *size = json_object_get(json, "size");
    const char *id = nt_json_text(json, "build_id");
    if (json_integer_value(format) != FORMAT || json_integer_value(abi) != NT_ABI)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "it is not a manifest of format %d and ABI %u",
                       FORMAT, NT_ABI);
    if (!json_is_integer(size) || json_integer_value(size) <= 0 || !id
        || strlen(id) >= sizeof(ret->build_id))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "it does not name the file");
    *ret = (struct manifest){ .file_size = (uint64_t)json_integer_value(size) };
    memcpy(ret->build_id, id, strlen(id) + 1);
    if (shape_from_json(json_object_get(json, "plugin"), arena, &ret->tables, reterr) < 0)
        return -1;
    return check_tables(&ret->tables, false, reterr);
}

json_t *manifest_read(int fd, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(MANIFEST_MAX_BYTES);
    for (;;) {
        char *room = nt_buf_room(&text, 32 * 1024);
        if (!room)
            return nt_fail(reterr, NT_E_LIMIT, "it is longer than %zu bytes", MANIFEST_MAX_BYTES),
                   NULL;
        ssize_t n = read(fd, room, 32 * 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot read it"), NULL;
        if (n == 0)
            break;
        nt_buf_added(&text, (size_t)n);
    }
    json_error_t at;
    json_t *json = json_loadb(nt_buf_text(&text), text.size, JSON_REJECT_DUPLICATES, &at);
    if (!json)
        nt_fail(reterr, NT_E_PLUGIN_FAILED, "line %d is not JSON: %s", at.line, at.text);
    return json;
}

int manifest_make(int fd, const char *name, struct arena *arena, struct manifest *ret,
                  struct nt_error *reterr)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot look at it");
    if (!S_ISREG(st.st_mode))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "it is not a regular file");
    *ret = (struct manifest){ .file_size = (uint64_t)st.st_size };
    if (load_tables(fd, arena, &ret->tables, ret->build_id, reterr) < 0
        || check_tables(&ret->tables, true, reterr) < 0)
        return -1;
    if (name && strcmp(name, ret->tables.name) != 0)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "it calls itself '%s', but its file is '%s.so'",
                       ret->tables.name, name);
    return 0;
}

/* Beside `out` and renamed, so that nobody reads half of one. */
static int write_file(const char *out, const char *text, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_buf_addf(&path, "%s.XXXXXX", out);
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the path %s is too long", out);
    nt_autoclose int fd = mkostemp(path.data, O_CLOEXEC);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make a file beside %s", out);
    if (nt_write_all(fd, text, strlen(text)) < 0) {
        nt_fail_sys(reterr, errno, "cannot write %s", path.data);
        unlink(path.data);
        return -1;
    }
    if (fchmod(fd, 0644) < 0 || rename(path.data, out) < 0) {
        nt_fail_sys(reterr, errno, "cannot write %s", out);
        unlink(path.data);
        return -1;
    }
    return 0;
}

/* The name that the file gives to its plugin; false: the path does not end with NAME.so. */
static bool name_of_file(const char *file, char *ret, size_t size)
{
    const char *slash = strrchr(file, '/');
    const char *base = slash ? slash + 1 : file;
    size_t length = strlen(base);
    if (length < 4 || length - 3 >= size || strcmp(base + length - 3, ".so") != 0)
        return false;
    memcpy(ret, base, length - 3);
    ret[length - 3] = '\0';
    return true;
}

static int open_file(const char *file, int *ret_fd, struct nt_error *reterr)
{
    *ret_fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return *ret_fd < 0 ? nt_fail_sys(reterr, errno, "cannot open it") : 0;
}

static int make_text(int fd, const char *file, char **ret_text, struct nt_error *reterr)
{
    nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
    struct manifest manifest;
    char name[64];
    if (manifest_make(fd, name_of_file(file, name, sizeof(name)) ? name : NULL, &arena, &manifest,
                      reterr)
        < 0)
        return -1;
    nt_auto_json json_t *json = manifest_to_json(&manifest);
    *ret_text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    return *ret_text ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

/* For the process that fills the cache (child.c): the answer goes to what was descriptor 1, so that
 * a plugin that prints while it is loaded cannot disturb it; a failure is an answer, too. */
static int write_answer(const char *file, struct nt_error *reterr)
{
    const struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none); /* a plugin that crashes here is expected */
    nt_autoclose int answer = fcntl(1, F_DUPFD_CLOEXEC, 10);
    nt_autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (answer < 0 || null < 0 || dup2(null, 1) < 0)
        return nt_fail_sys(reterr, errno, "cannot set the answer aside");
    nt_autofree char *text = NULL;
    nt_autoclose int fd = -1;
    const char *key = "failure";
    int result = open_file(file, &fd, reterr);
    if (result == 0) {
        /* It is loaded before anybody has asked for its commands: it gets nothing at all. */
        const struct rules rules = { .file = fd,
                                     .keep = { fd, answer },
                                     .keep_count = 2,
                                     .weaker = getenv(RULES_WEAKER_VARIABLE) };
        result = rules_enter(&rules, reterr);
        key = result < 0 ? "unavailable" : key;
    }
    if (result < 0 || make_text(fd, file, &text, reterr) < 0) {
        nt_auto_json json_t *failure =
            json_pack("{s:s, s:s}", key, reterr->message, "hint", reterr->hint);
        text = failure ? json_dumps(failure, JSON_COMPACT) : NULL;
        if (!text)
            return -1;
    }
    return nt_write_all(answer, text, strlen(text)) < 0
               ? nt_fail_sys(reterr, errno, "cannot write the manifest")
               : 0;
}

int plugins_write_manifest(const char *file, const char *out, struct nt_error *reterr)
{
    if (strcmp(out, "-") == 0)
        return write_answer(file, reterr);
    nt_autofree char *text = NULL;
    nt_autoclose int fd = -1;
    if (open_file(file, &fd, reterr) < 0 || make_text(fd, file, &text, reterr) < 0)
        return nt_wrap(reterr, "plugin %s", file);
    return write_file(out, text, reterr);
}
