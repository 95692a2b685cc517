/* SPDX-License-Identifier: Apache-2.0 */
/* upload_part.c - PUT /v1/sandboxes/{}/uploads/{}/parts/{}: the bytes of one part, to the disk.
 *
 * They are written and hashed by a worker, a piece at a time, into a file of its own, which gets
 * the part's name when all of it was right: a part that comes twice, or is cut short, or is wrong,
 * harms nothing that was accepted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/uploads.h"
#include "plugins/serve/server.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define WINDOW (512u * 1024) /* bytes of a part that are on their way */

struct part {
    uv_work_t work;
    struct net_request *req; /* NULL: done */
    struct upload *upload;
    char request_id[72];
    char temp[24];
    char wanted[65]; /* empty: no checksum was named */
    uint32_t number;
    int dir, fd;
    uint64_t received, size;
    struct nt_buf pending, writing; /* writing: the worker's, while is_working */
    crypto_hash_sha256_state sha;
    int sys; /* the worker's */
    bool is_working, is_over, is_answered;
};

static void part_check(struct part *t)
{
    if (t->req || t->is_working)
        return;
    struct server *server = t->upload->server;
    if (t->temp[0])
        unlinkat(t->dir, t->temp, 0);
    close(t->fd);
    close(t->dir);
    nt_buf_done(&t->pending);
    nt_buf_done(&t->writing);
    t->upload->writers--;
    upload_unref(t->upload);
    free(t);
    uploads_end_work(server);
}

static void part_fail(struct part *t, uint32_t status, const char *reason, const char *message)
{
    struct upload_error e;
    if (!t->req || t->is_answered)
        return;
    t->is_answered = true;
    upload_refuse(&e, status, reason, "%s", message);
    e.part = t->number;
    answer_raw_json(t->req, t->request_id, status,
                    upload_error_json(&e, t->upload->id, t->request_id));
}

/* All bytes are on the disk: they are the part, if they are right. */
static void part_finish(struct part *t)
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    char hex[65], name[16];
    struct upload *u = t->upload;
    struct upload_error e;
    crypto_hash_sha256_final(&t->sha, digest);
    upload_hex(digest, hex);
    if (t->received != t->size) {
        part_fail(t, 400, "part_size_mismatch", "the part has not the size that it must have");
        return;
    }
    if (t->wanted[0] && strcmp(hex, t->wanted)) {
        part_fail(t, 400, "invalid_part_checksum", "the SHA-256 of the part is another one");
        return;
    }
    if (upload_is_open(u, &e) < 0) {
        part_fail(t, e.status, e.reason, e.message);
        return;
    }
    snprintf(name, sizeof(name), "p%u", t->number);
    bool is_kept = u->publish && u->have[t->number]; /* it is being read */
    if (!is_kept && renameat(t->dir, t->temp, t->dir, name) < 0) {
        part_fail(t, 507, "insufficient_staging_space", "the part cannot be kept");
        return;
    }
    if (!is_kept)
        t->temp[0] = '\0';
    upload_took(u, t->number);
    t->is_answered = true;
    answer_raw_json(t->req, t->request_id, 200, upload_json(u));
}

static void part_work(uv_work_t *work)
{
    struct part *t = work->data;
    const char *at = nt_buf_text(&t->writing);
    size_t left = t->writing.size;
    crypto_hash_sha256_update(&t->sha, (const unsigned char *)at, left);
    while (left && !t->sys) {
        ssize_t n = write(t->fd, at, left);
        if (n < 0 && errno != EINTR)
            t->sys = errno;
        at += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
}

static void part_pump(struct part *t);

static void part_worked(uv_work_t *work, int status)
{
    struct part *t = work->data;
    uint64_t written = t->writing.size;
    (void)status;
    t->is_working = false;
    nt_buf_reset(&t->writing);
    if (t->sys)
        part_fail(t, 507, "insufficient_staging_space", strerror(t->sys));
    else if (t->req && !t->is_answered && !t->is_over)
        net_request_grant(t->req, written);
    part_pump(t);
    part_check(t);
}

static void part_pump(struct part *t)
{
    if (t->is_working || t->is_answered || !t->req)
        return;
    if (t->pending.size) {
        struct nt_buf swap = t->writing;
        t->writing = t->pending;
        t->pending = swap;
        t->is_working = uv_queue_work(t->upload->server->uv, &t->work, part_work, part_worked) == 0;
        if (!t->is_working)
            part_fail(t, 507, "insufficient_staging_space", "no worker for it");
    } else if (t->is_over) {
        part_finish(t);
    }
}

static void on_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct part *t = data;
    (void)req;
    if (t->is_answered)
        return;
    t->received += bytes.size;
    if (t->received > t->size) {
        part_fail(t, 400, "part_size_mismatch", "the part is larger than it may be");
        return;
    }
    nt_buf_add_bytes(&t->pending, bytes.data, bytes.size);
    if (!nt_buf_ok(&t->pending))
        part_fail(t, 507, "insufficient_staging_space", "out of memory");
    part_pump(t);
}

static void on_body_end(void *data, struct net_request *req)
{
    struct part *t = data;
    (void)req;
    t->is_over = true;
    part_pump(t);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct part *t = data;
    (void)req;
    (void)reason;
    t->req = NULL;
    part_check(t);
}

static const struct net_request_events request_events = { .body = on_body,
                                                          .body_end = on_body_end,
                                                          .done = on_done };

static void refuse(struct exchange *x, const struct upload *u, int64_t part, uint32_t status,
                   const char *reason, const char *why)
{
    struct upload_error e;
    upload_refuse(&e, status, reason, "%s", why);
    e.part = part;
    upload_fail(x, &e, u->id);
}

/* The bytes go into a file of their own until they were checked. */
static struct part *part_new(struct upload *u, uint32_t number)
{
    struct part *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    snprintf(t->temp, sizeof(t->temp), "t%08x%08x", randombytes_random(), randombytes_random());
    t->work.data = t;
    t->number = number;
    t->size = upload_part_bytes(u, number);
    t->pending = (struct nt_buf)NT_BUF(2 * WINDOW);
    t->writing = (struct nt_buf)NT_BUF(2 * WINDOW);
    crypto_hash_sha256_init(&t->sha);
    t->dir = upload_folder(u);
    t->fd = t->dir < 0 ? -1
                       : openat(t->dir, t->temp,
                                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (t->fd < 0) {
        if (t->dir >= 0)
            close(t->dir);
        free(t);
        return NULL;
    }
    t->upload = upload_ref(u);
    u->writers++;
    uploads_begin_work(u->server);
    return t;
}

void upload_part_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct upload_error e;
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t number;
    (void)data;
    if (!exchange_request(x)) {
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
        return;
    }
    struct upload *u = upload_of(x, ws);
    if (!u)
        return;
    struct net_request *req = exchange_request(x);
    const char *wanted = net_request_header(req, "X-Nullspace-Part-Sha256");
    int64_t length = net_request_length(req);
    if (upload_is_open(u, &e) < 0) {
        upload_fail(x, &e, u->id);
        return;
    }
    if (nt_parse_u64(exchange_param(x, 2), 0, UINT32_MAX, &number, &ignored) < 0
        || number >= u->part_count) {
        refuse(x, u, -1, 400, "part_out_of_range", "there is no part of that number");
        return;
    }
    if (wanted && !upload_is_digest(wanted)) {
        refuse(x, u, (int64_t)number, 400, "invalid_part_checksum",
               "the checksum has 64 lower-case hexadecimal digits");
        return;
    }
    if (length >= 0 && (uint64_t)length != upload_part_bytes(u, (uint32_t)number)) {
        refuse(x, u, (int64_t)number, 400, "part_size_mismatch",
               "the part has not the size that it must have");
        return;
    }
    if (u->publish && !u->have[number]) {
        exchange_fail(x, 409, "conflict", "%s is being put in place", u->id);
        return;
    }
    if (u->writers >= 2 * UPLOAD_CONCURRENCY) {
        exchange_fail(x, 429, "rate_limit_exceeded", "too many parts of this upload at once");
        return;
    }
    struct part *t = part_new(u, (uint32_t)number);
    if (!t) {
        refuse(x, u, (int64_t)number, 507, "insufficient_staging_space", "it cannot be kept");
        return;
    }
    t->req = req;
    nt_copy_text(t->wanted, sizeof(t->wanted), wanted ? wanted : "");
    nt_copy_text(t->request_id, sizeof(t->request_id), exchange_request_id(x));
    exchange_detach(x);
    net_request_handle(req, &request_events, t);
    net_request_grant(req, WINDOW);
}
