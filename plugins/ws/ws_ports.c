/* SPDX-License-Identifier: Apache-2.0 */
/* ws_ports.c - `ws ports`, `ws publish`, `ws unpublish`, and the mapping that `ws create -p` takes
 * too. */
#include "ws.h"

#include <stdio.h>
#include <string.h>

#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

/* Cuts the last part off "a:b:c"; NULL: there is none. */
static const char *last_part(char *text)
{
    char *colon = strrchr(text, ':');
    if (!colon)
        return NULL;
    *colon = '\0';
    return colon + 1;
}

int port_mapping(const char *text, char **ret, struct nt_error *reterr)
{
    char memory[96];
    uint64_t port = 0, host_port = 0;
    if (strlen(text) >= sizeof(memory))
        return nt_fail(reterr, NT_E_USAGE, "the port mapping is too long");
    memcpy(memory, text, strlen(text) + 1);
    const char *inside = last_part(memory), *host = inside ? last_part(memory) : NULL;
    const char *address = NULL;
    if (!inside) {
        inside = memory;
    } else if (!host) {
        host = memory;
    } else {
        size_t size = strlen(memory);
        address = memory;
        if (memory[0] == '[' && size > 2 && memory[size - 1] == ']') {
            memory[size - 1] = '\0';
            address++;
        }
    }
    /* "address::container" picks a free one there */
    if (nt_parse_u64(inside, 1, 65535, &port, reterr) < 0
        || (host && *host && nt_parse_u64(host, 1, 65535, &host_port, reterr) < 0)) {
        nt_wrap(reterr, "port mapping %s", text);
        return nt_hint(reterr, "write 3000, 13000:3000 or 0.0.0.0:13000:3000");
    }
    nt_auto_json json_t *body =
        json_pack("{s:I, s:s*}", "port", (json_int_t)port, "address", address);
    if (body && host_port)
        json_object_set_new(body, "host_port", json_integer((json_int_t)host_port));
    *ret = body ? json_dumps(body, JSON_COMPACT) : NULL;
    return *ret ? 0 : nt_fail(reterr, NT_E_USAGE, "the port mapping is not valid text");
}

int ws_ports(struct nt_call *call, struct nt_error *reterr)
{
    const char *id = call->host->text(call, "id");
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, id, "/ports", reterr) < 0)
        return -1;
    nt_auto_json json_t *answer = NULL;
    if (ws_get(call, nt_buf_text(&path), &answer, reterr) < 0)
        return -1;
    const json_t *items = json_object_get(answer, "items");
    nt_autofree char *text = json_is_array(items) ? json_dumps(items, JSON_COMPACT) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_RESPONSE, "the server's answer is not a list of ports");
    if (call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr) < 0)
        return -1;
    char line[256];
    snprintf(line, sizeof(line), "Forward an unmapped port: nanoterm proxy %.128s <port>", id);
    call->host->message(call, NT_SAY_NOTE, line);
    return 0;
}

int ws_publish(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    nt_autofree char *body = NULL;
    if (ws_path(&path, call->host->text(call, "id"), "/ports", reterr) < 0
        || port_mapping(call->host->text(call, "mapping"), &body, reterr) < 0)
        return -1;
    /* once: the server would find the port of a first attempt in use */
    struct nt_request request = { .size = sizeof(request),
                                  .flags = NT_REQ_NO_RETRY,
                                  .method = "POST",
                                  .path = nt_buf_text(&path),
                                  .body = { body, strlen(body) } };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return -1;
    return call->host->emit_json(call, response.body, reterr);
}

int ws_unpublish(struct nt_call *call, struct nt_error *reterr)
{
    char rest[32];
    int64_t port = call->host->number(call, "host-port");
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (port < 1 || port > 65535)
        return nt_fail(reterr, NT_E_USAGE, "a port is a number from 1 to 65535");
    snprintf(rest, sizeof(rest), "/ports/%d", (int)port);
    if (ws_path(&path, call->host->text(call, "id"), rest, reterr) < 0)
        return -1;
    struct nt_request request = { .size = sizeof(request),
                                  .method = "DELETE",
                                  .path = nt_buf_text(&path) };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return -1;
    call->host->message(call, NT_SAY_DONE, "Port unpublished");
    return 0;
}
