/* SPDX-License-Identifier: Apache-2.0 */
/* verb_new.c - `plugin new`: a whole project of a plugin, from the template of the SDK. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cli/call.h"
#include "core/plugin/check.h"
#include "core/plugin/files.h"
#include "core/plugin/reserved.h"
#include "core/plugin/verbs.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define MARK "@NAME@"
#define FILE_MAX_BYTES ((size_t)256 * 1024)
#define DEPTH_MAX 4u

/* Where the templates are: from the program's own place, so that a prefix can be moved. */
static int open_template(struct nt_call *call, const char *lang, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_autofree char *self = strdup(call->host->path(call, NT_PATH_SELF));
    for (int i = 0; self && i < 2; i++) { /* the file, then its folder */
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
    }
    nt_buf_addf(&path, "%s%s" NT_DATA_DIR "/template/%s",
                NT_DATA_DIR[0] == '/' || !self ? "" : self, NT_DATA_DIR[0] == '/' ? "" : "/", lang);
    int fd = nt_buf_ok(&path) ? open(nt_buf_text(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0)
        return fd;
    nt_fail_sys(reterr, errno, "cannot open the template %s", nt_buf_text(&path));
    return nt_hint(reterr, "it comes with the development files of nanoterm (libnanoterm-dev)");
}

static void add_filled(struct nt_buf *ret, const char *text, const char *name)
{
    for (const char *mark; (mark = strstr(text, MARK)); text = mark + strlen(MARK)) {
        nt_buf_add_bytes(ret, text, (size_t)(mark - text));
        nt_buf_add(ret, name);
    }
    nt_buf_add(ret, text);
}

/* In the template they have no dot, so that they say nothing to the tree that they stand in. */
static void add_file_name(struct nt_buf *ret, const char *file, const char *name)
{
    nt_buf_add(ret, strcmp(file, "gitignore") == 0 ? "." : "");
    add_filled(ret, file, name);
}

static int copy_file(int from, int to, const char *file, const char *name, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(FILE_MAX_BYTES);
    nt_auto(nt_buf_done) struct nt_buf filled = NT_BUF(FILE_MAX_BYTES);
    nt_auto(nt_buf_done) struct nt_buf out = NT_BUF(NAME_MAX);
    nt_autoclose int fd = openat(from, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        char *room = nt_buf_room(&text, 4096);
        n = room ? read(fd, room, 4096) : -1;
        nt_buf_added(&text, n > 0 ? (size_t)n : 0);
    }
    add_filled(&filled, nt_buf_text(&text), name);
    add_file_name(&out, file, name);
    if (n < 0 || !nt_buf_ok(&filled) || !nt_buf_ok(&out))
        return nt_fail_sys(reterr, errno, "cannot read %s of the template", file);
    return files_write(to, nt_buf_text(&out), nt_buf_text(&filled), filled.size, reterr);
}

static int copy_folder(int from, int to, const char *name, unsigned depth, struct nt_error *reterr)
{
    nt_autoclose int copy = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir)
        return nt_fail_sys(reterr, errno, "cannot list the template");
    copy = -1;
    int result = 0;
    for (const struct dirent *entry; result == 0 && (entry = readdir(dir));) {
        struct stat st;
        const char *file = entry->d_name;
        if (file[0] == '.')
            continue;
        if (fstatat(from, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            result = copy_file(from, to, file, name, reterr);
        } else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            nt_autoclose int below = openat(from, file, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            nt_autoclose int made = mkdirat(to, file, 0777) < 0
                                        ? -1
                                        : openat(to, file, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            result = below < 0 || made < 0 ? nt_fail_sys(reterr, errno, "cannot make %s", file)
                                           : copy_folder(below, made, name, depth + 1, reterr);
        }
    }
    closedir(dir);
    return result;
}

int verb_new(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    const char *name = host->text(call, "name"), *into = host->text(call, "into");
    const char *folder = into ? into : name;
    if (!check_is_plugin_name(name))
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not [a-z][a-z0-9-]* of at most 32 bytes", name);
    if (reserved_is_word(name, strlen(name)))
        return nt_fail(reterr, NT_E_USAGE, "the name '%s' is reserved for nanoterm itself", name);
    nt_autoclose int template = open_template(call, host->text(call, "lang"), reterr);
    if (template <0)
        return -1;
    if (mkdir(folder, 0777) < 0) {
        nt_fail_sys(reterr, errno, "cannot make the folder %s", folder);
        reterr->code = errno == EEXIST ? NT_E_CONFLICT : reterr->code;
        return -1;
    }
    nt_autoclose int to = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", folder);
    if (copy_folder(template, to, name, 0, reterr) < 0)
        return -1;
    const struct nt_value row[] = { { .type = NT_TEXT, .text = name },
                                    { .type = NT_TEXT, .text = host->text(call, "lang") },
                                    { .type = NT_TEXT, .text = folder } };
    nt_auto(nt_buf_done) struct nt_buf next = NT_BUF(8192);
    nt_buf_addf(&next, "build it: cmake -S %s -B %s/build && cmake --build %s/build", folder,
                folder, folder);
    host->message(call, NT_SAY_NOTE, nt_buf_text(&next));
    return host->emit(call, row, sizeof(row) / sizeof(row[0]), reterr);
}
