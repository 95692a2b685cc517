/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - words to a request; see request.h. */
#include "request.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

#define PATH_BYTES (48u * 1024)
#define BODY_BYTES (1024u * 1024)
#define HEADER_BYTES (32u * 1024)

static int read_method(const char *word, char ret[8], struct nt_error *reterr)
{
    static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcasecmp(word, known[i]) == 0) {
            nt_copy_text(ret, 8, known[i]);
            return 0;
        }
    nt_fail(reterr, NT_E_USAGE, "'%.20s' is not a method of the API", word);
    return nt_hint(reterr, "GET, HEAD, POST, PUT, PATCH and DELETE are");
}

static int read_path(const char *word, struct nt_buf *path, struct nt_error *reterr)
{
    if (strstr(word, "://")) {
        nt_fail(reterr, NT_E_USAGE, "a path is needed, not a URL");
        return nt_hint(reterr, "give the path alone, as in /v1/sandboxes; --api names another API");
    }
    nt_buf_add(path, word[0] == '/' ? "" : "/");
    for (const unsigned char *at = (const unsigned char *)word; *at; at++) {
        if (*at <= 0x20 || *at >= 0x7f || *at == '#')
            return nt_fail(reterr, NT_E_USAGE,
                           "the path has a character that must be percent-encoded");
        nt_buf_add_char(path, (char)*at);
    }
    return nt_buf_ok(path) ? 0 : nt_fail(reterr, NT_E_USAGE, "the path is too long");
}

/* --- headers ------------------------------------------------------------------------------- */

static int read_headers(struct nt_call *call, struct raw_request *r, struct nt_error *reterr)
{
    uint32_t count = call->host->count(call, "header");
    size_t starts[RAW_HEADERS][2];
    if (count > RAW_HEADERS)
        return nt_fail(reterr, NT_E_USAGE, "more than %d headers", RAW_HEADERS);
    for (uint32_t i = 0; i < count; i++) {
        const char *word = call->host->text_at(call, "header", i);
        const char *colon = strchr(word, ':');
        if (!colon || colon == word) {
            nt_fail(reterr, NT_E_USAGE, "--header: '%.60s' is not NAME: VALUE", word);
            return nt_hint(reterr, "write it as in --header 'Accept: text/plain'");
        }
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        starts[i][0] = r->texts.size;
        nt_buf_add_bytes(&r->texts, word, (size_t)(colon - word));
        nt_buf_add_bytes(&r->texts, "", 1);
        starts[i][1] = r->texts.size;
        nt_buf_add_bytes(&r->texts, value, strlen(value) + 1);
    }
    if (!nt_buf_ok(&r->texts))
        return nt_fail(reterr, NT_E_USAGE, "the headers are too long");
    for (uint32_t i = 0; i < count; i++) {
        r->headers[i].name = nt_buf_text(&r->texts) + starts[i][0];
        r->headers[i].value = nt_buf_text(&r->texts) + starts[i][1];
    }
    r->header_count = count;
    return 0;
}

/* --- fields -------------------------------------------------------------------------------- */

/* true, false, null and whole numbers are what they look like; all else is text. */
static json_t *typed(const char *value)
{
    int64_t number;
    struct nt_error unused = NT_ERROR_INIT;
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        return json_boolean(value[0] == 't');
    if (strcmp(value, "null") == 0)
        return json_null();
    if (nt_parse_i64(value, INT64_MIN, INT64_MAX, &number, &unused) == 0)
        return json_integer(number);
    return json_string(value);
}

static void add_query(struct nt_buf *path, const char *key, size_t key_size, const char *value)
{
    nt_buf_add_char(path, strchr(nt_buf_text(path), '?') ? '&' : '?');
    nt_buf_add_url_bytes(path, key, key_size);
    nt_buf_add_char(path, '=');
    nt_buf_add_url_part(path, value);
}

static int read_field(struct raw_request *r, const char *option, const char *word, json_t *body,
                      struct nt_error *reterr)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word) {
        nt_fail(reterr, NT_E_USAGE, "--%s: '%.60s' is not KEY=VALUE", option, word);
        return nt_hint(reterr, "write it as in --%s name=build", option);
    }
    if (!body) {
        add_query(&r->path, word, (size_t)(equals - word), equals + 1);
        return nt_buf_ok(&r->path) ? 0 : nt_fail(reterr, NT_E_USAGE, "the path is too long");
    }
    json_t *value = strcmp(option, "field") == 0 ? typed(equals + 1) : json_string(equals + 1);
    if (!value || json_object_setn_new(body, word, (size_t)(equals - word), value) < 0)
        return nt_fail(reterr, NT_E_USAGE, "--%s: '%.60s' is not valid UTF-8", option, word);
    return 0;
}

static int read_fields(struct nt_call *call, struct raw_request *r, struct nt_error *reterr)
{
    static const char *const options[] = { "field", "raw-field" };
    bool has_body = strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0
                    || strcmp(r->method, "PATCH") == 0;
    nt_auto_json json_t *body = has_body ? json_object() : NULL;
    uint32_t given = 0;
    if (has_body && !body)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (size_t i = 0; i < 2; i++)
        for (uint32_t j = 0; j < call->host->count(call, options[i]); j++, given++)
            if (read_field(r, options[i], call->host->text_at(call, options[i], j), body, reterr)
                < 0)
                return -1;
    if (!body || given == 0)
        return 0;
    nt_autofree char *text = json_dumps(body, JSON_COMPACT);
    nt_buf_add(&r->body, text ? text : "");
    return text && nt_buf_ok(&r->body) ? 0 : nt_fail(reterr, NT_E_LIMIT, "the fields are too long");
}

int raw_request_make(struct nt_call *call, struct raw_request *ret, struct nt_error *reterr)
{
    *ret = (struct raw_request){ .path = NT_BUF(PATH_BYTES),
                                 .body = NT_BUF(BODY_BYTES),
                                 .texts = NT_BUF(HEADER_BYTES) };
    if (read_method(call->host->text(call, "method"), ret->method, reterr) < 0
        || read_path(call->host->text(call, "path"), &ret->path, reterr) < 0
        || read_headers(call, ret, reterr) < 0)
        return -1;
    return read_fields(call, ret, reterr);
}

void raw_request_done(struct raw_request *request)
{
    nt_buf_done(&request->path);
    nt_buf_done(&request->body);
    if (request->texts.data) /* a header can be a secret of the caller */
        explicit_bzero(request->texts.data, request->texts.cap);
    nt_buf_done(&request->texts);
}
