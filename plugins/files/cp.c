/* SPDX-License-Identifier: Apache-2.0 */
/* cp.c - `files cp` and `files write`: which side is the workspace, and what the destination is
 * called. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* One argument of cp. */
struct side {
    char *id; /* NULL: a local path */
    const char *path;
};

static void side_done(struct side *side)
{
    free(side->id);
}

/* "ID:PATH" is the workspace's side. A local path with a colon is written with a slash before it:
 * ./a:b */
static int side_of(const char *text, struct side *ret, struct nt_error *reterr)
{
    const char *colon = strchr(text, ':');
    const char *slash = strchr(text, '/');
    *ret = (struct side){ .id = NULL, .path = text };
    if (!colon || colon == text || (slash && slash < colon))
        return 0;
    ret->id = strndup(text, (size_t)(colon - text));
    ret->path = colon + 1;
    return ret->id ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for the path");
}

static int report(struct nt_call *call, const char *id, const char *path,
                  const struct files_moved *moved, struct nt_error *reterr)
{
    call->host->message(call, NT_SAY_DONE, "File copied");
    if (!(call->flags & NT_CALL_JSON))
        return 0;
    struct nt_value row[] = {
        { .type = NT_TEXT, .text = id },
        { .type = NT_TEXT, .text = path },
        { .type = NT_INT, .number = (int64_t)moved->bytes },
        { .type = NT_TIME, .text = moved->mtime, .is_null = moved->mtime[0] == '\0' }
    };
    return call->host->emit(call, row, 4, reterr);
}

/* A destination that ends with a slash is a folder: the source's name is added. */
static char *with_name(const char *path, const char *source)
{
    nt_autofree char *copy = strdup(source);
    if (!copy)
        return NULL;
    nt_auto(nt_buf_done) struct nt_buf whole = NT_BUF(16 * 1024);
    nt_buf_add(&whole, path);
    if (whole.size > 0 && whole.data[whole.size - 1] == '/')
        nt_buf_add(&whole, basename(copy));
    return nt_buf_take(&whole);
}

static int cp_in(struct nt_call *call, const char *local, const struct side *to,
                 struct nt_error *reterr)
{
    nt_autoclose int fd = open(local, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", local);
    if (!S_ISREG(st.st_mode))
        return nt_fail(reterr, FILES_E_NOT_A_FILE, "%s is not a regular file", local);
    nt_autofree char *path = with_name(to->path, local);
    if (!path)
        return nt_fail(reterr, NT_E_LIMIT, "the path is too long");
    struct files_moved moved = { 0 };
    if (upload(call, to->id, path, fd, st.st_size, (int)(st.st_mode & 0777), &moved, reterr) < 0)
        return -1;
    return report(call, to->id, path, &moved, reterr);
}

static int cp_out(struct nt_call *call, const struct side *from, const char *local,
                  struct nt_error *reterr)
{
    struct stat st;
    bool is_folder = stat(local, &st) == 0 && S_ISDIR(st.st_mode);
    nt_auto(nt_buf_done) struct nt_buf folder = NT_BUF(16 * 1024);
    nt_buf_add(&folder, local);
    if (is_folder && folder.size > 0 && folder.data[folder.size - 1] != '/')
        nt_buf_add(&folder, "/");
    nt_autofree char *path = with_name(nt_buf_text(&folder), from->path);
    if (!path)
        return nt_fail(reterr, NT_E_LIMIT, "the path is too long");
    struct files_moved moved = { 0 };
    if (download(call, from->id, from->path, path, &moved, reterr) < 0)
        return -1;
    return report(call, from->id, path, &moved, reterr);
}

int files_cp(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(side_done) struct side from = { 0 };
    nt_auto(side_done) struct side to = { 0 };
    if (side_of(call->host->text(call, "src"), &from, reterr) < 0
        || side_of(call->host->text(call, "dst"), &to, reterr) < 0)
        return -1;
    if (from.id && !to.id)
        return cp_out(call, &from, to.path, reterr);
    if (to.id && !from.id)
        return cp_in(call, from.path, &to, reterr);
    nt_fail(reterr, NT_E_USAGE,
            from.id ? "both sides are in a workspace" : "neither side is in a workspace");
    return nt_hint(reterr, "write the workspace's side as ID:PATH");
}

int files_write(struct nt_call *call, struct nt_error *reterr)
{
    const char *id = call->host->text(call, "id"), *path = call->host->text(call, "path");
    struct files_moved moved = { 0 };
    if (upload(call, id, path, call->host->descriptor(call, 0), -1, -1, &moved, reterr) < 0)
        return -1;
    return report(call, id, path, &moved, reterr);
}
