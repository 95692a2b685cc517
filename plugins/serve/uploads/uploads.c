/* SPDX-License-Identifier: Apache-2.0 */
/* uploads.c - the sessions that there are: who may have one, for how long, and what of them is on
 * the disk.
 *
 * A record is written beside and renamed, and never synced: it must survive a killed server, not a
 * lost disk cache, and what a power cut has damaged fails the checksum of the whole. The folder is
 * this server's alone (0700), and everything in it is opened below a descriptor, following
 * nothing. */
#include "plugins/serve/uploads/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <uv.h>

#include "plugins/serve/http/json_text.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define RECORD_MAX 65536
#define SWEEP_MS 60000
#define DISK_LEFT (256ull * 1024 * 1024) /* stays free for the server itself */
#define GONE "gone_"                     /* begins the name of a folder that is being removed */

struct uploads {
    struct upload *first;
    struct nt_timer *timer;
    int root;
    unsigned at_work;
};

static const char *const state_words[] = { "open", "completed", "aborted", "expired", "failed" };

int upload_refuse(struct upload_error *e, uint32_t status, const char *reason, const char *format,
                  ...)
{
    va_list args;
    *e = (struct upload_error)UPLOAD_ERROR_INIT;
    e->status = status;
    e->reason = reason;
    e->code = reason ? NULL : "internal_error";
    va_start(args, format);
    vsnprintf(e->message, sizeof(e->message), format, args);
    va_end(args);
    return -1;
}

void uploads_begin_work(struct server *server)
{
    server->uploads->at_work++;
}

void uploads_end_work(struct server *server)
{
    server->uploads->at_work--;
    server_wake(server);
}

bool uploads_is_at_work(const struct server *server)
{
    return server->uploads && server->uploads->at_work > 0;
}

/* --- removing what was staged: not on the loop's thread ------------------------------------ */

struct removal {
    uv_work_t work;
    struct server *server;
    int root;
    bool keeps_record;
    char name[64];
};

/* A folder of plain files. */
static void remove_folder(int root, const char *name, bool keeps_record)
{
    nt_autoclose int fd = openat(root, name, FOLDER);
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *en; (en = readdir(dir));)
        if (strcmp(en->d_name, ".") && strcmp(en->d_name, "..")
            && !(keeps_record && !strcmp(en->d_name, "record")))
            unlinkat(fd, en->d_name, 0);
    closedir(dir);
    if (!keeps_record)
        unlinkat(root, name, AT_REMOVEDIR);
}

static void removal_work(uv_work_t *work)
{
    struct removal *r = work->data;
    remove_folder(r->root, r->name, r->keeps_record);
}

static void removal_done(uv_work_t *work, int status)
{
    struct removal *r = work->data;
    (void)status;
    uploads_end_work(r->server);
    close(r->root);
    free(r);
}

static void remove_later(struct server *server, const char *name, bool keeps_record)
{
    struct removal *r = calloc(1, sizeof(*r));
    if (!r)
        return; /* the next start removes it */
    *r = (struct removal){ .work = { .data = r },
                           .server = server,
                           .keeps_record = keeps_record,
                           .root = fcntl(server->uploads->root, F_DUPFD_CLOEXEC, 0) };
    nt_copy_text(r->name, sizeof(r->name), name);
    if (r->root < 0 || uv_queue_work(server->uv, &r->work, removal_work, removal_done) < 0) {
        if (r->root >= 0)
            close(r->root);
        free(r);
        return;
    }
    uploads_begin_work(server);
}

/* The name is free at once. */
static void drop_folder(struct upload *u)
{
    struct uploads *all = u->server->uploads;
    char name[64], tail[9];
    snprintf(tail, sizeof(tail), "%08x", randombytes_random());
    snprintf(name, sizeof(name), GONE "%s%s", u->id, tail);
    if (renameat(all->root, u->id, all->root, name) == 0)
        remove_later(u->server, name, false);
}

/* --- one session --------------------------------------------------------------------------- */

struct upload *upload_ref(struct upload *u)
{
    u->refs++;
    return u;
}

void upload_unref(struct upload *u)
{
    if (!u || --u->refs)
        return;
    free(u->target);
    free(u->user);
    free(u->key);
    free(u->have);
    free(u);
}

int upload_folder(const struct upload *u)
{
    return openat(u->server->uploads->root, u->id, FOLDER);
}

uint64_t upload_part_bytes(const struct upload *u, uint32_t part)
{
    uint64_t begin = (uint64_t)part * UPLOAD_PART_SIZE;
    return u->length - begin < UPLOAD_PART_SIZE ? u->length - begin : UPLOAD_PART_SIZE;
}

static struct upload *upload_new(struct server *server, const struct upload_wish *wish)
{
    struct upload *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    u->server = server;
    u->refs = 1;
    u->length = wish->length;
    u->part_count = (uint32_t)((wish->length + UPLOAD_PART_SIZE - 1) / UPLOAD_PART_SIZE);
    u->is_tar = wish->is_tar;
    u->target = strdup(wish->target);
    u->user = strdup(wish->user);
    u->key = strdup(wish->key);
    u->have = calloc(u->part_count + 1u, 1);
    nt_copy_text(u->source_kind, sizeof(u->source_kind), wish->source_kind);
    nt_copy_text(u->conflict, sizeof(u->conflict), wish->conflict);
    nt_copy_text(u->whole, sizeof(u->whole), wish->whole);
    if (u->target && u->user && u->key && u->have)
        return u;
    upload_unref(u);
    return NULL;
}

static int record_write(const struct upload *u)
{
    nt_autoclose int dir = upload_folder(u);
    json_t *record = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:s,s:I,s:I,s:I,s:I,s:I}", "org_id", u->org_id,
        "ws_id", u->ws_id, "target", u->target, "user", u->user, "key", u->key, "source_kind",
        u->source_kind, "conflict", u->conflict, "whole", u->whole, "length", (json_int_t)u->length,
        "is_tar", u->is_tar, "state", state_words[u->state], "created_ms",
        (json_int_t)u->created_ms, "updated_ms", (json_int_t)u->updated_ms, "expires_ms",
        (json_int_t)u->expires_ms, "published_bytes", (json_int_t)u->published_bytes,
        "published_count", (json_int_t)u->published_count);
    nt_autofree char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
    json_decref(record);
    if (dir < 0 || !text)
        return -1;
    nt_autoclose int fd =
        openat(dir, "record.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    size_t size = strlen(text);
    return fd < 0 || write(fd, text, size) != (ssize_t)size
                   || renameat(dir, "record.new", dir, "record") < 0
               ? -1
               : 0;
}

static void unlist(struct upload *u)
{
    for (struct upload **at = &u->server->uploads->first; *at; at = &(*at)->next)
        if (*at == u) {
            *at = u->next;
            u->is_gone = true;
            upload_unref(u);
            return;
        }
}

/* Nothing of it stays. */
static void forget(struct upload *u)
{
    upload_publish_cancel(u);
    drop_folder(u);
    unlist(u);
}

void upload_end(struct upload *u, enum upload_state state)
{
    u->state = state;
    u->updated_ms = server_unix_ms();
    if (state == UPLOAD_EXPIRED)
        u->expires_ms = u->updated_ms; /* told for as long again */
    if (u->is_gone)
        return;
    if (record_write(u) < 0)
        drop_folder(u); /* after a crash it is not known any more */
    else
        remove_later(u->server, u->id, true);
}

void upload_took(struct upload *u, uint32_t part)
{
    u->updated_ms = server_unix_ms();
    if (u->have[part])
        return;
    u->have[part] = 1;
    u->have_count++;
    u->accepted += upload_part_bytes(u, part);
}

int upload_is_open(const struct upload *u, struct upload_error *e)
{
    switch (u->state) {
    case UPLOAD_OPEN:
        return 0;
    case UPLOAD_COMPLETED:
        return upload_refuse(e, 409, "upload_already_completed", "%s is completed", u->id);
    case UPLOAD_EXPIRED:
        return upload_refuse(e, 410, "upload_expired", "%s has expired", u->id);
    case UPLOAD_ABORTED:
        return upload_refuse(e, 410, "upload_aborted", "%s was aborted", u->id);
    default:
        return upload_refuse(e, 410, "upload_aborted", "%s has failed", u->id);
    }
}

/* --- all of them --------------------------------------------------------------------------- */

/* What has had its time. A session is told as expired for as long again, then it is unknown. */
static void sweep(struct server *server)
{
    int64_t now = server_unix_ms();
    for (struct upload *u = server->uploads->first, *next; u; u = next) {
        next = u->next;
        if (u->publish || now < u->expires_ms)
            continue;
        if (u->state == UPLOAD_OPEN)
            upload_end(u, UPLOAD_EXPIRED);
        else if (u->state != UPLOAD_EXPIRED || now - u->expires_ms >= UPLOAD_LIFE_MS)
            forget(u);
    }
}

static void on_timer(void *data)
{
    struct server *server = data;
    struct uploads *all = server->uploads;
    sweep(server);
    if (all->first)
        return;
    server->loop->ops->timer_end(all->timer);
    all->timer = NULL;
}

static void enlist(struct server *server, struct upload *u)
{
    struct uploads *all = server->uploads;
    u->next = all->first;
    all->first = u;
    if (!all->timer)
        all->timer = server->loop->ops->timer(server->loop, SWEEP_MS, SWEEP_MS, on_timer, server);
}

struct upload *upload_find(struct server *server, const char *org_id, const char *ws_id,
                           const char *id)
{
    sweep(server);
    for (struct upload *u = server->uploads->first; u; u = u->next)
        if (!strcmp(u->id, id) && !strcmp(u->org_id, org_id) && !strcmp(u->ws_id, ws_id))
            return u;
    return NULL;
}

void uploads_forget_workspace(struct server *server, const char *ws_id)
{
    if (!server->uploads)
        return;
    for (struct upload *u = server->uploads->first, *next; u; u = next) {
        next = u->next;
        if (!strcmp(u->ws_id, ws_id))
            forget(u);
    }
}

/* Room by the rules and on the disk. */
static int check_room(struct server *server, const char *org_id, const char *ws_id, uint64_t length,
                      struct upload_error *e)
{
    uint64_t of_org = 0, of_ws = 0, to_come = 0;
    unsigned open = 0, kept = 0;
    struct statvfs disk;
    for (const struct upload *u = server->uploads->first; u; u = u->next) {
        bool is_ours = !strcmp(u->org_id, org_id);
        kept += is_ours;
        if (u->state != UPLOAD_OPEN)
            continue;
        to_come += u->length - u->accepted;
        open += is_ours;
        of_org += is_ours ? u->length : 0;
        of_ws += is_ours && !strcmp(u->ws_id, ws_id) ? u->length : 0;
    }
    if (length > UPLOAD_MAX_BYTES)
        return upload_refuse(e, 413, "size_limit_exceeded", "an upload has at most %llu bytes",
                             UPLOAD_MAX_BYTES);
    if (open >= UPLOAD_ORG_OPEN || kept >= UPLOAD_ORG_KEPT)
        return upload_refuse(e, 507, "insufficient_staging_space",
                             "this organisation has %u uploads, %u of them open", kept, open);
    if (of_ws + length > UPLOAD_WS_BYTES || of_org + length > UPLOAD_ORG_BYTES)
        return upload_refuse(e, 507, "insufficient_staging_space",
                             "the uploads that are open take all of the room there is for them");
    if (fstatvfs(server->uploads->root, &disk) < 0
        || disk.f_bavail * disk.f_frsize < to_come + length + DISK_LEFT)
        return upload_refuse(e, 507, "insufficient_staging_space",
                             "the server's disk has no room for it");
    return 0;
}

/* Those that are over make room for new ones, the oldest first. */
static void make_room(struct server *server, const char *org_id)
{
    unsigned kept = 0;
    struct upload *oldest = NULL;
    for (struct upload *u = server->uploads->first; u; u = u->next) {
        if (strcmp(u->org_id, org_id))
            continue;
        kept++;
        if (u->state != UPLOAD_OPEN && (!oldest || u->updated_ms < oldest->updated_ms))
            oldest = u;
    }
    if (kept >= UPLOAD_ORG_KEPT && oldest)
        forget(oldest);
}

static bool is_same_wish(const struct upload *u, const struct upload_wish *wish)
{
    return u->is_tar == wish->is_tar && u->length == wish->length
           && !strcmp(u->target, wish->target) && !strcmp(u->user, wish->user)
           && !strcmp(u->conflict, wish->conflict) && !strcmp(u->source_kind, wish->source_kind);
}

struct upload *upload_create(struct server *server, const char *org_id, const char *ws_id,
                             const struct upload_wish *wish, struct upload_error *e)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct uploads *all = server->uploads;
    sweep(server);
    for (struct upload *u = all->first; u && *wish->key; u = u->next)
        if (!strcmp(u->org_id, org_id) && !strcmp(u->ws_id, ws_id) && !strcmp(u->key, wish->key)) {
            if (is_same_wish(u, wish))
                return u;
            upload_refuse(e, 409, NULL, "this Idempotency-Key was used for another request");
            e->code = "conflict";
            return NULL;
        }
    make_room(server, org_id);
    if (check_room(server, org_id, ws_id, wish->length, e) < 0)
        return NULL;
    struct upload *u = upload_new(server, wish);
    if (!u) {
        upload_refuse(e, 500, NULL, "out of memory");
        return NULL;
    }
    nt_copy_text(u->org_id, sizeof(u->org_id), org_id);
    nt_copy_text(u->ws_id, sizeof(u->ws_id), ws_id);
    nt_copy_text(u->id, sizeof(u->id), "up_");
    for (size_t i = 3; i < 35; i++)
        u->id[i] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
    u->created_ms = u->updated_ms = server_unix_ms();
    u->expires_ms = u->created_ms + UPLOAD_LIFE_MS;
    if (mkdirat(all->root, u->id, 0700) < 0 || record_write(u) < 0) {
        upload_refuse(e, 507, "insufficient_staging_space", "the upload cannot be kept: %s",
                      strerror(errno));
        drop_folder(u);
        upload_unref(u);
        return NULL;
    }
    enlist(server, u);
    return u;
}

/* --- the start and the end ----------------------------------------------------------------- */

static bool text_of(json_t *record, const char *key, char *ret, size_t size)
{
    const char *text = json_string_value(json_object_get(record, key));
    if (!text || strlen(text) >= size)
        return false;
    nt_copy_text(ret, size, text);
    return true;
}

static int64_t number_of(json_t *record, const char *key)
{
    json_t *value = json_object_get(record, key);
    return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value)
                                                                    : -1;
}

static struct upload *record_parse(struct server *server, json_t *record)
{
    struct upload_wish wish = {
        .target = json_string_value(json_object_get(record, "target")),
        .user = json_string_value(json_object_get(record, "user")),
        .key = json_string_value(json_object_get(record, "key")),
        .source_kind = json_string_value(json_object_get(record, "source_kind")),
        .conflict = json_string_value(json_object_get(record, "conflict")),
        .whole = json_string_value(json_object_get(record, "whole")),
        .is_tar = json_is_true(json_object_get(record, "is_tar")),
    };
    const char *state = json_string_value(json_object_get(record, "state"));
    int64_t length = number_of(record, "length");
    if (!wish.target || !wish.user || !wish.key || !wish.source_kind || !wish.conflict
        || !wish.whole || !state || length < 0 || (uint64_t)length > UPLOAD_MAX_BYTES)
        return NULL;
    wish.length = (uint64_t)length;
    struct upload *u = upload_new(server, &wish);
    if (!u)
        return NULL;
    unsigned i = 0;
    while (i < sizeof(state_words) / sizeof(state_words[0]) && strcmp(state, state_words[i]))
        i++;
    u->state = (enum upload_state)i;
    u->created_ms = number_of(record, "created_ms");
    u->updated_ms = number_of(record, "updated_ms");
    u->expires_ms = number_of(record, "expires_ms");
    u->published_bytes = (uint64_t)number_of(record, "published_bytes");
    u->published_count = (uint64_t)number_of(record, "published_count");
    if (i < sizeof(state_words) / sizeof(state_words[0]) && u->created_ms > 0 && u->expires_ms > 0
        && u->updated_ms > 0 && u->published_bytes <= INT64_MAX && u->published_count <= INT64_MAX
        && text_of(record, "org_id", u->org_id, sizeof(u->org_id))
        && text_of(record, "ws_id", u->ws_id, sizeof(u->ws_id)))
        return u;
    upload_unref(u);
    return NULL;
}

/* The parts that are whole; what was coming is removed. */
static void find_parts(struct upload *u, int dir)
{
    struct stat st;
    char name[16];
    for (uint32_t i = 0; i < u->part_count; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
            && (uint64_t)st.st_size == upload_part_bytes(u, i)) {
            u->have[i] = 1;
            u->have_count++;
            u->accepted += upload_part_bytes(u, i);
        }
    }
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *en; (en = readdir(list));)
        if (en->d_name[0] == 't') /* part.c */
            unlinkat(dir, en->d_name, 0);
    closedir(list);
}

/* NULL: of no use. */
static struct upload *load(struct server *server, int root, const char *id)
{
    nt_autofree char *text = malloc(RECORD_MAX);
    nt_autoclose int dir = openat(root, id, FOLDER);
    nt_autoclose int fd = dir < 0 ? -1 : openat(dir, "record", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t size = fd < 0 || !text ? -1 : read(fd, text, RECORD_MAX);
    json_t *record = size > 0 ? json_text_parse(text, (size_t)size) : NULL;
    struct upload *u = record && strlen(id) < sizeof(u->id) ? record_parse(server, record) : NULL;
    json_decref(record);
    if (!u)
        return NULL;
    nt_copy_text(u->id, sizeof(u->id), id);
    if (u->state == UPLOAD_OPEN)
        find_parts(u, dir);
    else
        u->accepted = u->state == UPLOAD_COMPLETED ? u->length : 0;
    return u;
}

/* The folder, ours and nobody else's. One that is not (its files were another user's before the
 * store changed hands) is of no use: it is put aside, with the uploads in it. */
static int open_root(int store)
{
    struct stat st;
    for (int i = 0; i < 2; i++) {
        if (mkdirat(store, "uploads", 0700) < 0 && errno != EEXIST)
            return -1;
        nt_autoclose int fd = openat(store, "uploads", FOLDER);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 077))
            return nt_take_fd(fd);
        char name[32];
        snprintf(name, sizeof(name), "uploads.old-%08x", randombytes_random());
        if (renameat2(store, "uploads", store, name, RENAME_NOREPLACE) < 0)
            return -1;
    }
    errno = EPERM;
    return -1;
}

int uploads_open(struct server *server, const char *dir, struct nt_error *reterr)
{
    nt_autoclose int store = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", dir);
    struct uploads *all = calloc(1, sizeof(*all));
    if (!all)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for uploads");
    server->uploads = all;
    all->root = open_root(store);
    int copy = all->root < 0 ? -1 : openat(all->root, ".", FOLDER);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        int sys = errno;
        if (copy >= 0)
            close(copy);
        return nt_fail_sys(reterr, sys, "cannot read the folder of uploads");
    }
    for (struct dirent *en; (en = readdir(list));) {
        if (en->d_name[0] == '.')
            continue;
        struct upload *u =
            strncmp(en->d_name, "up_", 3) == 0 ? load(server, all->root, en->d_name) : NULL;
        if (u)
            enlist(server, u);
        if (u && u->state != UPLOAD_OPEN)
            remove_later(server, en->d_name, true);
        else if (!u)
            remove_later(server, en->d_name, false);
    }
    closedir(list);
    sweep(server);
    return 0;
}

void uploads_close(struct server *server)
{
    struct uploads *all = server->uploads;
    if (!all)
        return;
    for (struct upload *u = all->first; u; u = u->next)
        upload_publish_cancel(u);
    server->loop->ops->timer_end(all->timer);
    all->timer = NULL;
}

void uploads_free(struct server *server)
{
    struct uploads *all = server->uploads;
    if (!all || all->at_work) /* a disk that hangs: a thread still has it */
        return;
    while (all->first)
        unlist(all->first);
    if (all->root >= 0)
        close(all->root);
    free(all);
    server->uploads = NULL;
}
