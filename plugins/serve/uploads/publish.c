/* SPDX-License-Identifier: Apache-2.0 */
/* publish.c - puts a staged upload in place, once, however often that is asked for.
 *
 * Its steps: (worker) look into the archive; ask the guest what is there; have the guest write,
 * while a worker reads the next bytes and hashes them. The guest puts nothing in place before its
 * END, and that is sent only when the checksum of the whole was right. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "plugins/guest/copy/copy.h"
#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/guest_fields.h"
#include "plugins/serve/server.h"
#include "plugins/serve/uploads/uploads.h"
#include "sdk/error.h"

#define ROUND (256u * 1024) /* bytes that one round of the worker reads, at the most */
#define FRAMES_MAX (ROUND + 4 * FILE_FRAME_MEMORY)

struct waiter {
    struct waiter *next;
    void (*done)(void *data, struct upload *u, const struct upload_error *e);
    void *data;
};

enum step { LOOK, ASK, WRITE };

struct upload_publish {
    uv_work_t work;
    struct upload *upload;
    struct server *server;
    struct workspace ws;
    struct waiter *waiters;
    struct guest_op *op;
    enum step step;
    bool is_working; /* a worker has it */
    bool has_room, is_cancelled, has_failed, has_said_end, is_confirmed;
    bool has_target;
    uint64_t target_mode;
    char path[FILE_PATH_MAX];
    char whole[65]; /* of an archive */
    struct staged staged;
    struct archive_index index;
    size_t item;     /* whose turn it is */
    bool item_begun; /* its entry was sent */
    bool root_begun;
    uint64_t at; /* of the file, or of the item */
    uint64_t files, bytes;
    crypto_hash_sha256_state sha;
    uint8_t *frames;
    size_t frames_size;
    bool is_read; /* all of it */
    unsigned oks;
    struct upload_error error;
    struct upload_error worked; /* what the worker ended with */
    bool has_worked_badly;
};

static void finish(struct upload_publish *p)
{
    struct upload *u = p->upload;
    struct server *server = p->server;
    u->publish = NULL;
    if (!p->has_failed) {
        u->published_bytes = p->bytes;
        u->published_count = p->files;
        u->accepted = u->length;
        upload_end(u, UPLOAD_COMPLETED);
    } else if (!u->is_gone && p->error.status == 400 && p->error.reason) {
        upload_end(u, UPLOAD_FAILED); /* its bytes are wrong, and stay so */
    }
    while (p->waiters) {
        struct waiter *w = p->waiters;
        p->waiters = w->next;
        w->done(w->data, u, p->has_failed ? &p->error : NULL);
        free(w);
    }
    staged_done(&p->staged);
    archive_index_done(&p->index);
    free(p->frames);
    free(p);
    upload_unref(u);
    uploads_end_work(server);
}

/* The first failure stays. */
static void fail(struct upload_publish *p, const struct upload_error *e)
{
    if (!p->has_failed)
        p->error = *e;
    p->has_failed = true;
    if (p->op)
        guest_op_cancel(p->op);
}

/* Whether nothing more will come. */
static bool check(struct upload_publish *p)
{
    if (p->is_working || p->op || (!p->has_failed && !p->is_confirmed))
        return false;
    finish(p);
    return true;
}

static void fail_guest(struct upload_publish *p, const struct nt_error *error)
{
    struct guest_failure f = guest_failure_of(error, GUEST_FILE);
    struct upload_error e;
    if (error->attempt && (error->sys == EISDIR || error->sys == ENOTDIR)) {
        upload_refuse(&e, 409, "target_conflict", "%s", error->message);
    } else {
        upload_refuse(&e, f.status, NULL, "%s", error->message);
        e.code = f.code;
        e.retryable = f.status == 503;
    }
    fail(p, &e);
}

static void fail_text(struct upload_publish *p, uint32_t status, const char *reason,
                      const char *text)
{
    struct upload_error e;
    upload_refuse(&e, status, reason, "%s", text);
    fail(p, &e);
}

static void on_worked(uv_work_t *work, int status);

static void work_begin(struct upload_publish *p, void (*work)(uv_work_t *))
{
    p->is_working = uv_queue_work(p->server->uv, &p->work, work, on_worked) == 0;
    if (!p->is_working)
        fail_text(p, 500, NULL, "no worker for it");
}

/* --- frames: *worker* ---------------------------------------------------------------------- */

static int read_failed(struct upload_publish *p)
{
    p->has_worked_badly = true;
    return upload_refuse(&p->worked, 500, NULL, "the staged bytes cannot be read");
}

/* One DATA frame with at most `left` bytes at that place of what was staged. */
static ssize_t add_data(struct upload_publish *p, uint64_t at, uint64_t left)
{
    uint8_t *head = p->frames + p->frames_size;
    ssize_t n = staged_read(&p->staged, at, head + NT_G_HEAD,
                            left < NT_G_CHUNK ? (size_t)left : NT_G_CHUNK);
    if (n <= 0)
        return read_failed(p);
    nt_g_head(head, NT_G_DATA, (uint32_t)n);
    p->frames_size += NT_G_HEAD + (size_t)n;
    return n;
}

static void file_round(struct upload_publish *p)
{
    while (p->at < p->upload->length && p->frames_size < ROUND) {
        const uint8_t *begin = p->frames + p->frames_size + NT_G_HEAD;
        ssize_t n = add_data(p, p->at, p->upload->length - p->at);
        if (n < 0)
            return;
        crypto_hash_sha256_update(&p->sha, begin, (size_t)n);
        p->at += (uint64_t)n;
    }
    p->is_read = p->at == p->upload->length;
}

static void add_entry(struct upload_publish *p, const char *path, uint64_t mode, uint64_t size,
                      int64_t mtime_ns, const char *target)
{
    struct nt_g_writer w = nt_g_begin(p->frames + p->frames_size, FILE_FRAME_MEMORY, NT_G_ENTRY);
    nt_g_add_text(&w, NT_GT_PATH, path);
    nt_g_add_number(&w, NT_GT_MODE, mode);
    nt_g_add_number(&w, NT_GT_SIZE, size);
    nt_g_add_number(&w, NT_GT_MTIME_NS, (uint64_t)mtime_ns);
    if (target)
        nt_g_add_text(&w, NT_GT_TARGET, target);
    p->frames_size += nt_g_done(&w); /* two paths of 4095 bytes fit */
}

static void tree_round(struct upload_publish *p)
{
    if (!p->root_begun)
        add_entry(p, "", S_IFDIR | (S_ISDIR(p->target_mode) ? p->target_mode & 07777 : 0755), 0,
                  server_unix_ms() * 1000000, NULL);
    p->root_begun = true;
    while (p->item < p->index.count && p->frames_size < ROUND) {
        const struct archive_item *item = &p->index.items[p->item];
        if (!p->item_begun)
            add_entry(p, item->path, item->mode, item->size, item->mtime_ns, item->target);
        p->item_begun = true;
        if (p->at < item->size) {
            ssize_t n = add_data(p, item->offset + p->at, item->size - p->at);
            if (n < 0)
                return;
            p->at += (uint64_t)n;
            p->bytes += (uint64_t)n;
        }
        if (p->at < item->size)
            continue;
        p->files += !S_ISDIR(item->mode);
        p->item++;
        p->at = 0;
        p->item_begun = false;
    }
    p->is_read = p->item == p->index.count;
}

static void round_work(uv_work_t *work)
{
    struct upload_publish *p = work->data;
    p->frames_size = 0;
    if (p->upload->is_tar)
        tree_round(p);
    else
        file_round(p);
}

static void look_work(uv_work_t *work)
{
    struct upload_publish *p = work->data;
    if (archive_index_read(&p->staged, &p->index, p->whole, &p->worked) < 0)
        p->has_worked_badly = true;
}

/* --- writing ------------------------------------------------------------------------------- */

static void send_end(struct upload_publish *p)
{
    uint8_t memory[96];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    nt_g_add_number(&w, NT_GT_COUNT, p->upload->is_tar ? p->index.count + 1 : p->upload->length);
    if (p->upload->is_tar)
        nt_g_add_number(&w, NT_GT_OUT_BYTES, p->bytes);
    p->has_said_end = true;
    guest_op_send(p->op, 0, (struct nt_bytes){ memory, nt_g_done(&w) });
}

static bool is_whole(struct upload_publish *p)
{
    if (!p->upload->is_tar) {
        uint8_t digest[crypto_hash_sha256_BYTES];
        crypto_hash_sha256_final(&p->sha, digest);
        upload_hex(digest, p->whole);
        p->bytes = p->upload->length;
        p->files = 1;
    }
    return !*p->upload->whole || !strcmp(p->whole, p->upload->whole);
}

#define MISMATCH "the SHA-256 of all bytes is not the one that was named"

static void pass_on(struct upload_publish *p)
{
    if (p->frames_size)
        p->has_room = guest_op_send(p->op, 0, (struct nt_bytes){ p->frames, p->frames_size });
    if (!p->is_read) {
        if (p->has_room)
            work_begin(p, round_work);
    } else if (is_whole(p)) {
        send_end(p);
    } else {
        fail_text(p, 400, "whole_checksum_mismatch", MISMATCH);
    }
}

static void write_sent(void *data)
{
    struct upload_publish *p = data;
    if (p->has_room)
        return;
    p->has_room = true;
    if (p->oks && !p->is_working && !p->is_read && !p->has_failed)
        work_begin(p, round_work);
}

static void write_frame(void *data, const struct nt_g_frame *frame)
{
    struct upload_publish *p = data;
    struct copy_entry note;
    const char *why;
    if (p->has_failed)
        return;
    if (frame->type == NT_G_OK && ++p->oks == 1) {
        p->has_room = true;
        work_begin(p, round_work);
        return;
    }
    if (frame->type == NT_G_OK) {
        p->is_confirmed = p->has_said_end;
        return;
    }
    if (frame->type != NT_G_ENTRY || copy_entry_read(frame, &note, &why) < 0 || !note.sys)
        return; /* a mode that could not be kept is no reason to fail */
    struct upload_error e;
    upload_refuse(&e, 400, NULL, "not all of it could be kept: %.*s: %.*s", (int)note.path_size,
                  note.path, (int)note.message_size, note.message ? note.message : "");
    e.code = "file_error";
    fail(p, &e);
}

static void write_end(void *data, const struct nt_error *error)
{
    struct upload_publish *p = data;
    p->op = NULL;
    if (p->is_cancelled || (error && !p->has_failed))
        fail_guest(p, error ? error : &(struct nt_error){ .code = NT_E_CANCELLED });
    else if (!p->is_confirmed && !p->has_failed)
        fail_text(p, 502, NULL, "the workspace did not confirm the upload");
    check(p);
}

static const struct guest_events write_events = { .frame = write_frame,
                                                  .sent = write_sent,
                                                  .end = write_end };

static void ask_guest(struct upload_publish *p, uint16_t type, uint64_t flags,
                      const struct guest_events *events)
{
    struct nt_error error = NT_ERROR_INIT;
    uint8_t memory[FILE_FRAME_MEMORY];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), type);
    nt_g_add_text(&w, NT_GT_PATH, p->path);
    if (flags)
        nt_g_add_number(&w, NT_GT_FLAGS, flags);
    p->op = NULL;
    if (p->is_cancelled)
        fail_text(p, 503, NULL, "the server is leaving, or the upload is gone");
    else if (workspace_guest(p->server, &p->ws, (struct nt_bytes){ memory, nt_g_done(&w) }, events,
                             p, &p->op, &error)
             < 0)
        fail_guest(p, &error);
}

static void begin_write(struct upload_publish *p)
{
    bool is_merge = p->upload->is_tar && strcmp(p->upload->conflict, "replace") != 0;
    p->step = WRITE;
    p->frames = malloc(FRAMES_MAX);
    if (!p->frames)
        fail_text(p, 500, NULL, "out of memory");
    else
        ask_guest(p, p->upload->is_tar ? NT_G_TREE_WRITE : NT_G_WRITE,
                  NT_GF_PARENTS | (is_merge ? NT_GF_MERGE : 0), &write_events);
}

/* --- what is there ------------------------------------------------------------------------- */

static void stat_frame(void *data, const struct nt_g_frame *frame)
{
    struct upload_publish *p = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (frame->type != NT_G_OK || guest_fields_read(frame, &f, &error) < 0)
        return;
    p->has_target = true;
    p->target_mode = f.mode;
}

static void stat_end(void *data, const struct nt_error *error)
{
    struct upload_publish *p = data;
    p->op = NULL;
    bool is_absent =
        error && (error->attempt == NT_GE_NOT_FOUND || (error->attempt && error->sys == ENOENT));
    if (error && !is_absent)
        fail_guest(p, error);
    else if (p->has_target && !strcmp(p->upload->conflict, "error"))
        fail_text(p, 409, "target_conflict", "the target is there already");
    else if (!p->has_failed)
        begin_write(p);
    check(p);
}

static const struct guest_events stat_events = { .frame = stat_frame, .end = stat_end };

static void begin_ask(struct upload_publish *p)
{
    p->step = ASK;
    ask_guest(p, NT_G_STAT, 0, &stat_events);
}

static void go_on(struct upload_publish *p)
{
    if (p->step == LOOK && *p->upload->whole && strcmp(p->whole, p->upload->whole))
        fail_text(p, 400, "whole_checksum_mismatch", MISMATCH);
    else if (p->step == LOOK)
        begin_ask(p);
    else if (p->op)
        pass_on(p);
}

static void on_worked(uv_work_t *work, int status)
{
    struct upload_publish *p = work->data;
    (void)status;
    p->is_working = false;
    if (p->has_worked_badly)
        fail(p, &p->worked);
    if (p->is_cancelled && !p->has_failed)
        fail_text(p, 503, NULL, "the server is leaving, or the upload is gone");
    if (p->has_failed && p->op)
        guest_op_cancel(p->op);
    else if (!p->has_failed)
        go_on(p);
    check(p);
}

/* --- the contract -------------------------------------------------------------------------- */

void upload_publish_cancel(struct upload *u)
{
    struct upload_publish *p = u->publish;
    if (!p || p->is_cancelled)
        return;
    p->is_cancelled = true;
    if (p->op && !p->has_said_end)
        fail_text(p, 503, NULL, "the server is leaving, or the upload is gone");
}

static struct upload_publish *publish_new(struct upload *u, const struct workspace *ws,
                                          const char *path)
{
    struct upload_publish *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->work.data = p;
    p->server = u->server;
    p->upload = upload_ref(u);
    p->ws = workspace_without_texts(ws);
    p->staged = (struct staged){ .dir = upload_folder(u), .fd = -1, .length = u->length };
    p->error = (struct upload_error)UPLOAD_ERROR_INIT;
    nt_copy_text(p->path, sizeof(p->path), path);
    crypto_hash_sha256_init(&p->sha);
    u->publish = p;
    uploads_begin_work(u->server);
    return p;
}

void upload_publish(struct upload *u, const struct workspace *ws, const char *path,
                    void (*done)(void *data, struct upload *u, const struct upload_error *e),
                    void *data)
{
    bool is_first = !u->publish;
    struct upload_error e;
    struct waiter *w = calloc(1, sizeof(*w));
    struct upload_publish *p = w && is_first ? publish_new(u, ws, path) : u->publish;
    if (!w || !p) {
        free(w);
        upload_refuse(&e, 500, NULL, "out of memory");
        done(data, u, &e);
        return;
    }
    *w = (struct waiter){ .next = p->waiters, .done = done, .data = data };
    p->waiters = w;
    if (!is_first)
        return;
    if (u->is_tar)
        work_begin(p, look_work);
    else if (!strcmp(u->conflict, "error"))
        begin_ask(p);
    else
        begin_write(p);
    check(p);
}
