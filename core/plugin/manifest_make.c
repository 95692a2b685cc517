/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_make.c - loads a plugin to write its manifest: at build time, and for the cache in a
 * process of its own. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/confine/rules.h"
#include "core/plugin/check.h"
#include "core/plugin/load.h"
#include "core/plugin/manifest.h"
#include "core/plugin/plugins.h"
#include "core/plugin/shape.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/json.h"

/* Loads what is behind fd (see load.h), checks its tables and fills *ret. name: what it must be
 * called; NULL: any. */
static int make(int fd, const char *name, struct arena *arena, struct manifest *ret,
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
static int write_file(const char *out, const struct nt_buf *text, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_buf_addf(&path, "%s.XXXXXX", out);
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the path %s is too long", out);
    nt_autoclose int fd = mkostemp(path.data, O_CLOEXEC);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make a file beside %s", out);
    if (nt_write_all(fd, nt_buf_text(text), text->size) < 0) {
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

static int make_text(int fd, const char *file, struct nt_buf *ret, struct nt_error *reterr)
{
    nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
    struct manifest manifest;
    char name[64];
    if (make(fd, name_of_file(file, name, sizeof(name)) ? name : NULL, &arena, &manifest, reterr)
        < 0)
        return -1;
    manifest_write(&manifest, ret);
    return nt_buf_ok(ret) ? 0 : nt_fail(reterr, NT_E_LIMIT, "its manifest is too long");
}

/* What the process that asked understands (child.c). */
static char *answer_of(const struct nt_buf *manifest, const char *failed,
                       const struct nt_error *error)
{
    nt_auto_json json_t *json =
        failed ? json_pack("{s:s, s:s}", failed, error->message, "hint", error->hint)
               : json_pack("{s:s}", "manifest", nt_buf_text(manifest));
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
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
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(MANIFEST_MAX_BYTES);
    nt_autoclose int fd = -1;
    const char *failed = "failure";
    int result = open_file(file, &fd, reterr);
    if (result == 0) {
        /* It is loaded before anybody has asked for its commands: it gets nothing at all. */
        const struct rules rules = { .file = fd,
                                     .keep = { fd, answer },
                                     .keep_count = 2,
                                     .weaker = getenv(RULES_WEAKER_VARIABLE) };
        result = rules_enter(&rules, reterr);
        failed = result < 0 ? "unavailable" : failed;
    }
    if (result == 0 && make_text(fd, file, &text, reterr) == 0)
        failed = NULL;
    nt_autofree char *line = answer_of(&text, failed, reterr);
    if (!line)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return nt_write_all(answer, line, strlen(line)) < 0
               ? nt_fail_sys(reterr, errno, "cannot write the manifest")
               : 0;
}

int plugins_write_manifest(const char *file, const char *out, struct nt_error *reterr)
{
    if (strcmp(out, "-") == 0)
        return write_answer(file, reterr);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(MANIFEST_MAX_BYTES);
    nt_autoclose int fd = -1;
    if (open_file(file, &fd, reterr) < 0 || make_text(fd, file, &text, reterr) < 0)
        return nt_wrap(reterr, "plugin %s", file);
    return write_file(out, &text, reterr);
}
