/* SPDX-License-Identifier: Apache-2.0 */
/* cp.c - `files cp` and `files write`: which side is the workspace, what the destination is called,
 * and what is said at the end. The rules of names are those of cp(1). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define WARNINGS_MAX 20
#define PATH_BYTES (16u * 1024)

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

/* --- the report ---------------------------------------------------------------------------- */

static void report_done(struct files_report *report)
{
    free(report->notes.frames);
}

/* Calls fn with each note that was kept, until it returns false. */
static void each_note(const struct files_report *report,
                      bool (*fn)(void *data, const char *path, const char *what, int sys),
                      void *data)
{
    struct nt_g_frame frame;
    int64_t took;
    for (size_t at = 0;
         (took = nt_g_next(report->notes.frames + at, report->notes.size - at, &frame)) > 0;
         at += (size_t)took) {
        struct copy_entry en;
        const char *why;
        nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(8 * COPY_PATH_MAX);
        nt_auto(nt_buf_done) struct nt_buf what = NT_BUF(4096);
        if (copy_entry_read(&frame, &en, &why) < 0)
            continue;
        nt_auto(nt_buf_done) struct nt_buf raw = NT_BUF(COPY_PATH_MAX + 1);
        nt_buf_add_bytes(&raw, en.path, en.path_size);
        nt_buf_add_printable(&path, en.path_size ? nt_buf_text(&raw) : ".", false);
        nt_buf_reset(&raw);
        nt_buf_add_bytes(&raw, en.message, en.message_size);
        nt_buf_add_printable(&what, nt_buf_text(&raw), false);
        if (!fn(data, nt_buf_text(&path), nt_buf_text(&what), en.sys))
            return;
    }
}

struct warnings {
    struct nt_call *call;
    unsigned count;
};

static bool warn_of(void *data, const char *path, const char *what, int sys)
{
    struct warnings *w = data;
    if (w->count == WARNINGS_MAX)
        return false;
    w->count++;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(9 * COPY_PATH_MAX);
    nt_buf_add(&line, sys ? "not copied: " : "not kept: ");
    nt_buf_add(&line, path);
    nt_buf_add(&line, ": ");
    nt_buf_add(&line, what);
    w->call->host->message(w->call, NT_SAY_WARN, nt_buf_text(&line));
    return true;
}

static bool add_note(void *data, const char *path, const char *what, int sys)
{
    json_t *rows = data;
    json_array_append_new(
        rows, json_pack("{s:s, s:s, s:b}", "path", path, "what", what, "is_content", sys != 0));
    return true;
}

static int emit(struct nt_call *call, const char *id, const char *path,
                const struct files_report *report, struct nt_error *reterr)
{
    nt_auto_json json_t *rows = json_array();
    each_note(report, add_note, rows);
    nt_autofree char *text = json_dumps(rows, JSON_COMPACT);
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the report");
    const char *mtime = report->moved.mtime;
    if (report->moved.path[0])
        path = report->moved.path;
    struct nt_value row[] = {
        { .type = NT_TEXT, .text = id },
        { .type = NT_TEXT, .text = path },
        { .type = NT_INT, .number = (int64_t)report->moved.bytes },
        { .type = NT_TIME, .text = mtime, .is_null = mtime[0] == '\0' },
        { .type = NT_INT, .number = (int64_t)report->entries },
        { .type = NT_JSON, .text = text },
        { .type = NT_INT, .number = (int64_t)report->notes.count },
    };
    return call->host->emit(call, row, sizeof(row) / sizeof(row[0]), reterr);
}

/* Attributes that could not be kept are told; content that is missing also makes the status 1, as
 * with cp. */
static int finish(struct nt_call *call, const char *id, const char *path,
                  const struct files_report *report, struct nt_error *reterr)
{
    struct warnings w = { .call = call };
    each_note(report, warn_of, &w);
    if (report->notes.count > w.count) {
        nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(256);
        nt_buf_addf(&line, "%llu more were not kept; --json names them",
                    (unsigned long long)(report->notes.count - w.count));
        call->host->message(call, NT_SAY_WARN, nt_buf_text(&line));
    }
    if (report->notes.lost)
        call->host->set_status(call, 1, NT_BY_TOOL);
    if (call->flags & NT_CALL_JSON)
        return emit(call, id, path, report, reterr);
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(256);
    if (report->entries > 1)
        nt_buf_addf(&line, "%llu entries copied, %llu bytes", (unsigned long long)report->entries,
                    (unsigned long long)report->moved.bytes);
    else
        nt_buf_add(&line, "File copied");
    call->host->message(call, NT_SAY_DONE, nt_buf_text(&line));
    return 0;
}

static bool is_not_here(const struct nt_error *error)
{
    return error->code == NT_E_NOT_LOCAL || error->code == NT_E_UNSUPPORTED;
}

/* The last component of a path; NULL: it has none of its own ("/", "a/.", ".."): what is meant is
 * what lies in it. */
static char *own_name(const char *path)
{
    size_t end = strlen(path);
    while (end && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin && path[begin - 1] != '/')
        begin--;
    char *name = strndup(path + begin, end - begin);
    if (!name || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        free(name);
        return NULL;
    }
    return name;
}

/* --- into a workspace ---------------------------------------------------------------------- */

static int64_t time_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int cp_in(struct nt_call *call, const char *local, const struct side *to,
                 struct nt_error *reterr)
{
    bool is_exact = call->host->number(call, "no-target-directory");
    bool is_stdin = strcmp(local, "-") == 0;
    nt_auto(report_done) struct files_report report = { .entries = 1 };
    nt_autofree char *name = own_name(local);
    struct files_route route = { .id = to->id,
                                 .path = to->path,
                                 .name = is_exact || is_stdin ? NULL : name,
                                 .is_merge = call->host->number(call, "merge") || !name };
    if (is_stdin) {
        if (upload(call, &route, call->host->descriptor(call, 0), -1, -1, INT64_MIN, &report.moved,
                   reterr)
            < 0)
            return -1;
        return finish(call, to->id, to->path, &report, reterr);
    }
    nt_autoclose int fd = open(local, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", local);
    int rc;
    if (S_ISDIR(st.st_mode)) {
        rc = tree_in(call, &route, nt_take_fd(fd), &report, reterr);
    } else if (!S_ISREG(st.st_mode)) {
        return nt_fail(reterr, FILES_E_NOT_A_FILE, "%s is neither a regular file nor a folder",
                       local);
    } else {
        rc = file_in(call, &route, fd, &st, &report, reterr);
        if (rc < 0 && is_not_here(reterr))
            rc = upload(call, &route, fd, st.st_size, (int)(st.st_mode & 07777), time_of(&st),
                        &report.moved, reterr);
    }
    return rc < 0 ? -1 : finish(call, to->id, to->path, &report, reterr);
}

/* --- out of a workspace -------------------------------------------------------------------- */

/* A local destination: the folder that holds it, and its name there. */
struct place {
    int dir;
    char *name;
    bool wants_folder; /* it ends with a slash, and is not there */
    bool is_inside;    /* local is the folder that holds it */
};

static void place_done(struct place *place)
{
    nt_closep(&place->dir);
    free(place->name);
}

static int open_place(const char *local, const char *name, bool is_exact, bool is_merge,
                      struct place *ret, struct nt_error *reterr)
{
    struct stat st;
    bool is_folder = stat(local, &st) == 0 && S_ISDIR(st.st_mode);
    size_t size = strlen(local);
    nt_autofree char *whole = NULL;
    if (is_folder && ((name && !is_exact) || is_merge)) {
        ret->is_inside = name && !is_exact;
        ret->name = strdup(ret->is_inside ? name : ".");
        whole = strdup(local);
    } else if (is_folder) { /* itself is replaced: where it is, and not what leads there */
        whole = realpath(local, NULL);
    } else {
        whole = strdup(local);
        while (whole && size > 1 && whole[size - 1] == '/')
            whole[--size] = '\0';
        ret->wants_folder = whole && size < strlen(local);
    }
    if (whole && !ret->name) {
        ret->name = own_name(whole);
        if (!ret->name)
            return nt_fail(reterr, NT_E_USAGE, "%s cannot be replaced", local);
        char *slash = strrchr(whole, '/');
        if (!slash)
            memcpy(whole, ".", size ? 2 : 1);
        else
            slash[slash == whole ? 1 : 0] = '\0';
    }
    if (!whole || !ret->name)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the path");
    ret->dir = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ret->dir < 0)
        return nt_fail_sys(reterr, errno, "cannot open the folder of %s", local);
    return 0;
}

/* To standard output. */
static int cp_print(struct nt_call *call, const struct files_route *route, struct nt_error *reterr)
{
    struct files_moved moved = { 0 };
    bool is_folder = false;
    if (download(call, route, NULL, call->host->descriptor(call, 1), &moved, &is_folder, reterr)
        < 0)
        return -1;
    if (is_folder)
        return nt_fail(reterr, FILES_E_NOT_A_FILE, "%s is a folder", route->path);
    return 0;
}

static int cp_out(struct nt_call *call, const struct side *from, const char *local,
                  struct nt_error *reterr)
{
    nt_autofree char *name = own_name(from->path);
    struct files_route route = { .id = from->id, .path = from->path };
    if (strcmp(local, "-") == 0)
        return cp_print(call, &route, reterr);
    bool is_merge = call->host->number(call, "merge") || !name, is_folder = false;
    nt_auto(place_done) struct place place = { .dir = -1 };
    nt_auto(report_done) struct files_report report = { .entries = 1 };
    if (open_place(local, name, call->host->number(call, "no-target-directory"), is_merge, &place,
                   reterr)
        < 0)
        return -1;
    struct copy_target target = { place.dir, place.name,
                                  COPY_NO_SET_ID | (is_merge ? COPY_MERGE : 0)
                                      | (place.wants_folder ? COPY_FOLDER : 0) };
    int rc = 0;
    if (!place.wants_folder) {
        rc = file_out(call, &route, &target, &report, &is_folder, reterr);
        if (rc < 0 && is_not_here(reterr))
            rc = download(call, &route, &target, -1, &report.moved, &is_folder, reterr);
    }
    if (rc == 0 && (is_folder || place.wants_folder))
        rc = tree_out(call, &route, &target, &report, reterr);
    if (place.is_inside)
        snprintf(report.moved.path, sizeof(report.moved.path), "%s%s%s", local,
                 local[strlen(local) - 1] == '/' ? "" : "/", place.name);
    return rc < 0 ? -1 : finish(call, from->id, local, &report, reterr);
}

int files_cp(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(side_done) struct side from = { 0 };
    nt_auto(side_done) struct side to = { 0 };
    if (side_of(call->host->text(call, "src"), &from, reterr) < 0
        || side_of(call->host->text(call, "dst"), &to, reterr) < 0)
        return -1;
    const struct side *inside = from.id ? &from : &to;
    if (!!from.id == !!to.id) {
        nt_fail(reterr, NT_E_USAGE,
                from.id ? "both sides are in a workspace" : "neither side is in a workspace");
        return nt_hint(reterr, "write the workspace's side as ID:PATH");
    }
    if (!*inside->path)
        return nt_fail(reterr, NT_E_USAGE,
                       "the workspace side is ID:PATH, and neither may be empty");
    return from.id ? cp_out(call, &from, to.path, reterr) : cp_in(call, from.path, &to, reterr);
}

/* Octal, at most 7777; -1: not given. */
static int mode_option(struct nt_call *call, int *ret, struct nt_error *reterr)
{
    const char *text = call->host->text(call, "mode");
    *ret = -1;
    if (!text)
        return 0;
    size_t size = strlen(text);
    if (size == 0 || size > 5 || strspn(text, "01234567") != size)
        return nt_fail(reterr, NT_E_USAGE, "--mode is octal, at most 7777");
    int mode = 0;
    for (; *text; text++)
        mode = mode * 8 + (*text - '0');
    if (mode > 07777)
        return nt_fail(reterr, NT_E_USAGE, "--mode is octal, at most 7777");
    *ret = mode;
    return 0;
}

int files_write(struct nt_call *call, struct nt_error *reterr)
{
    int mode;
    nt_auto(report_done) struct files_report report = { .entries = 1 };
    struct files_route route = { .id = call->host->text(call, "id"),
                                 .path = call->host->text(call, "path") };
    if (mode_option(call, &mode, reterr) < 0
        || upload(call, &route, call->host->descriptor(call, 0), -1, mode, INT64_MIN, &report.moved,
                  reterr)
               < 0)
        return -1;
    return finish(call, route.id, route.path, &report, reterr);
}
