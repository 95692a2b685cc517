/* SPDX-License-Identifier: Apache-2.0 */
/* uploads.c - /v1/sandboxes/{}/uploads: sessions of uploads, their state, and their end
 * (../uploads/uploads.h does the work; parts come through upload_part.c). */
#include "plugins/serve/api/uploads.h"

#include <string.h>

#include "plugins/serve/api/file_request.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "sdk/error.h"

#define KEY_MAX 255u

bool upload_is_digest(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* --- JSON ---------------------------------------------------------------------------------- */

static const char *status_of(const struct upload *u)
{
    static const char *const words[] = { "created", "completed", "aborted", "expired", "failed" };
    if (u->state != UPLOAD_OPEN)
        return words[u->state];
    if (u->publish)
        return "completing";
    return u->have_count == u->part_count ? "staged" : u->have_count ? "uploading" : "created";
}

/* The lowest that is missing: clients take null for "all are there". */
static json_t *next_part(const struct upload *u)
{
    if (u->state == UPLOAD_COMPLETED)
        return json_null();
    for (uint32_t i = 0; i < u->part_count; i++)
        if (!u->have[i] || u->state != UPLOAD_OPEN)
            return json_integer(i);
    return json_null();
}

json_t *upload_json(const struct upload *u)
{
    json_t *session = json_pack(
        "{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:i,s:i,s:i,s:s,s:s,s:s}", "upload_id", u->id, "kind",
        u->is_tar ? "directory_tar" : "file", "source_kind", u->source_kind, "target_path",
        u->target, "content_length", (json_int_t)u->length, "accepted_bytes",
        (json_int_t)u->accepted, "reserved_staging_bytes",
        (json_int_t)(u->state == UPLOAD_OPEN ? u->length : 0), "part_size", (int)UPLOAD_PART_SIZE,
        "part_count", (int)u->part_count, "max_concurrency", (int)UPLOAD_CONCURRENCY, "status",
        status_of(u), "conflict", u->conflict, "checksum_algorithm", "sha256");
    json_object_set_new(session, "next_part", next_part(u));
    json_object_set_new(session, "archive_format", u->is_tar ? json_string("tar") : json_null());
    json_object_set_new(session, "whole_checksum_sha256",
                        *u->whole ? json_string(u->whole) : json_null());
    json_object_set_new(session, "limits",
                        json_pack("{s:I,s:I,s:i,s:I}", "max_upload_bytes",
                                  (json_int_t)UPLOAD_MAX_BYTES, "max_part_bytes",
                                  (json_int_t)UPLOAD_PART_SIZE, "max_concurrency",
                                  (int)UPLOAD_CONCURRENCY, "sandbox_staging_quota_bytes",
                                  (json_int_t)UPLOAD_WS_BYTES));
    json_object_set_new(session, "created_at", sandbox_time_json(u->created_ms));
    json_object_set_new(session, "updated_at", sandbox_time_json(u->updated_ms));
    json_object_set_new(session, "expires_at", sandbox_time_json(u->expires_ms));
    if (*u->user)
        json_object_set_new(session, "user", json_string(u->user));
    return session;
}

json_t *upload_error_json(const struct upload_error *e, const char *upload_id,
                          const char *request_id)
{
    json_t *body = json_object(), *detail = json_object();
    json_t *message = utf8_json(e->message, strlen(e->message));
    json_object_set(body, "error", message);
    json_object_set_new(body, "code", json_string(e->reason ? "file_upload_error" : e->code));
    json_object_set_new(body, "request_id", json_string(request_id));
    json_object_set_new(body, "retryable", json_boolean(e->retryable));
    json_object_set_new(detail, "reason", e->reason ? json_string(e->reason) : json_null());
    json_object_set_new(detail, "message", message);
    json_object_set_new(detail, "retryable", json_boolean(e->retryable));
    if (upload_id)
        json_object_set_new(detail, "upload_id", json_string(upload_id));
    if (e->part >= 0)
        json_object_set_new(detail, "part_number", json_integer(e->part));
    if (e->path[0])
        json_object_set_new(detail, "path", utf8_json(e->path, strlen(e->path)));
    if (e->reason)
        json_object_set(body, "error_detail", detail);
    json_decref(detail);
    return body;
}

void upload_fail(struct exchange *x, const struct upload_error *e, const char *upload_id)
{
    if (e->reason)
        exchange_send_json(x, e->status, upload_error_json(e, upload_id, exchange_request_id(x)));
    else
        exchange_fail(x, e->status, e->code, "%s", e->message);
}

static void invalid(struct exchange *x, const char *why)
{
    exchange_fail(x, 400, "invalid_request", "%s", why);
}

struct upload *upload_of(struct exchange *x, const struct workspace *ws)
{
    struct upload *u = upload_find(exchange_server(x), exchange_principal(x)->org_id, ws->id,
                                   exchange_param(x, 1));
    if (!u)
        exchange_fail(x, 404, "upload_not_found", "there is no such upload");
    return u;
}

/* --- create -------------------------------------------------------------------------------- */

/* One of the words; the fallback when it is absent; NULL: neither. */
static const char *word_of(json_t *body, const char *key, const char *const *words,
                           const char *fallback)
{
    json_t *value = json_object_get(body, key);
    const char *text = json_string_value(value);
    if (!value || json_is_null(value))
        return fallback;
    for (; text && *words; words++)
        if (!strcmp(*words, text))
            return *words;
    return NULL;
}

static bool has_other(json_t *body, const char *key, const char *wanted)
{
    json_t *value = json_object_get(body, key);
    const char *text = json_string_value(value);
    return value && !json_is_null(value) && (!text || strcmp(text, wanted));
}

/* What of the body is wrong; NULL: nothing. */
static const char *wish_read(json_t *body, struct upload_wish *ret)
{
    static const char *const kinds[] = { "file", "directory_tar", NULL };
    static const char *const sources[] = { "restartable_file", "spooled_stream",
                                           "directory_archive", NULL };
    static const char *const conflicts[] = { "merge", "replace", "error", NULL };
    json_t *length = json_object_get(body, "content_length");
    json_t *whole = json_object_get(body, "whole_checksum_sha256");
    json_t *target = json_object_get(body, "target_path"), *user = json_object_get(body, "user");
    const char *kind = word_of(body, "kind", kinds, NULL);
    if (!kind)
        return "kind is file or directory_tar";
    ret->is_tar = !strcmp(kind, "directory_tar");
    ret->source_kind = word_of(body, "source_kind", sources,
                               ret->is_tar ? "directory_archive" : "restartable_file");
    ret->conflict = word_of(body, "conflict", conflicts, "merge");
    ret->target = json_string_value(target);
    ret->user = json_is_string(user) ? json_string_value(user) : "";
    ret->whole = json_is_string(whole) ? json_string_value(whole) : "";
    if (!ret->source_kind)
        return "source_kind is restartable_file, spooled_stream or directory_archive";
    if (!ret->conflict)
        return "conflict is merge, replace or error";
    if (!json_is_integer(length) || json_integer_value(length) < 0)
        return "content_length is a number of bytes";
    ret->length = (uint64_t)json_integer_value(length);
    if (has_other(body, "archive_format", "tar"))
        return "archive_format is tar";
    if (has_other(body, "checksum_algorithm", "sha256"))
        return "checksum_algorithm is sha256";
    if ((whole && !json_is_null(whole) && !json_is_string(whole))
        || (*ret->whole && !upload_is_digest(ret->whole)))
        return "whole_checksum_sha256 has 64 lower-case hexadecimal digits";
    if ((user && !json_is_null(user) && !json_is_string(user)) || !file_user_is_fine(ret->user))
        return "a workspace has one user: agent";
    return NULL;
}

static void create_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct upload_error e = UPLOAD_ERROR_INIT;
    struct upload_wish wish = { .key = "" };
    char memory[FILE_PATH_MAX];
    (void)data;
    if (!exchange_request(x)) {
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
        return;
    }
    const char *key = net_request_header(exchange_request(x), "Idempotency-Key");
    const char *why = wish_read(exchange_json(x), &wish);
    json_t *target = json_object_get(exchange_json(x), "target_path");
    if (!why && !file_path_resolve(ws, wish.target, json_string_length(target), wish.user, memory))
        why = "target_path must be a path of 1 to 4095 bytes";
    if (!why && key && (!*key || strlen(key) > KEY_MAX))
        why = "Idempotency-Key must have 1 to 255 bytes";
    if (!why && key && !utf8_is_valid(key, strlen(key)))
        why = "Idempotency-Key must be UTF-8";
    if (why) {
        invalid(x, why);
        return;
    }
    wish.key = key ? key : "";
    struct upload *u =
        upload_create(exchange_server(x), exchange_principal(x)->org_id, ws->id, &wish, &e);
    if (u)
        exchange_send_json(x, 200, json_pack("{s:o}", "session", upload_json(u)));
    else
        upload_fail(x, &e, NULL);
}

/* --- get, delete --------------------------------------------------------------------------- */

static void get_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct upload *u = upload_of(x, ws);
    (void)data;
    if (u)
        exchange_send_json(x, 200, upload_json(u));
}

static void remove_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct upload *u = upload_of(x, ws);
    struct upload_error e;
    (void)data;
    if (!u)
        return;
    if (u->publish) {
        exchange_fail(x, 409, "conflict", "%s is being put in place", u->id);
    } else if (u->state == UPLOAD_COMPLETED) {
        upload_is_open(u, &e);
        upload_fail(x, &e, u->id);
    } else {
        if (u->state == UPLOAD_OPEN)
            upload_end(u, UPLOAD_ABORTED);
        exchange_send_empty(x, 204);
    }
}

/* --- complete ------------------------------------------------------------------------------ */

static void completed(void *data, struct upload *u, const struct upload_error *e)
{
    struct exchange *x = data;
    if (e)
        upload_fail(x, e, u->id);
    else
        exchange_send_json(x, 200,
                           json_pack("{s:o,s:I,s:I}", "session", upload_json(u), "published_bytes",
                                     (json_int_t)u->published_bytes, "published_file_count",
                                     (json_int_t)u->published_count));
}

static void complete_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct upload *u = upload_of(x, ws);
    struct upload_error e;
    char memory[FILE_PATH_MAX];
    json_t *whole = json_object_get(exchange_json(x), "whole_checksum_sha256");
    const char *digest = json_string_value(whole);
    (void)data;
    if (!u)
        return;
    if ((whole && !json_is_null(whole) && !digest) || (digest && !upload_is_digest(digest))) {
        invalid(x, "whole_checksum_sha256 has 64 lower-case hexadecimal digits");
        return;
    }
    if (digest && *u->whole && strcmp(digest, u->whole)) {
        upload_refuse(&e, 400, "whole_checksum_mismatch",
                      "this is not the SHA-256 that was named before");
        upload_fail(x, &e, u->id);
    } else if (u->state == UPLOAD_COMPLETED) {
        completed(x, u, NULL);
    } else if (upload_is_open(u, &e) < 0) {
        upload_fail(x, &e, u->id);
    } else if (u->have_count < u->part_count) {
        upload_refuse(&e, 409, "missing_parts", "%u of %u parts are there", u->have_count,
                      u->part_count);
        upload_fail(x, &e, u->id);
    } else {
        if (digest)
            nt_copy_text(u->whole, sizeof(u->whole), digest);
        const char *path = file_path_resolve(ws, u->target, strlen(u->target), u->user, memory);
        if (path)
            upload_publish(u, ws, path, completed, x);
        else
            invalid(x, "target_path has become too long");
    }
}

/* --- routes -------------------------------------------------------------------------------- */

static void create_handler(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), create_found, NULL);
}

static void get_handler(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), get_found, NULL);
}

static void remove_handler(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), remove_found, NULL);
}

static void complete_handler(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), complete_found, NULL);
}

static void part_handler(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), upload_part_found, NULL);
}

static const struct route rows[] = {
    { "POST", "/v1/sandboxes/{}/uploads", create_handler, ROUTE_JSON, 0 },
    { "GET", "/v1/sandboxes/{}/uploads/{}", get_handler, 0, 0 },
    { "DELETE", "/v1/sandboxes/{}/uploads/{}", remove_handler, 0, 0 },
    { "POST", "/v1/sandboxes/{}/uploads/{}/complete", complete_handler, ROUTE_JSON, 0 },
    { "PUT", "/v1/sandboxes/{}/uploads/{}/parts/{}", part_handler, ROUTE_RAW, 0 },
};
const struct routes upload_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
