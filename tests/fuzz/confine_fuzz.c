/* SPDX-License-Identifier: Apache-2.0 */
/* confine_fuzz.c - frames and requests of a confined plugin. Whatever a frame holds, it is read
 * within its bounds; and a request that is taken has no second reading. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/confine/routes.h"
#include "core/confine/wire.h"

static const struct nt_need rows[] = {
    { "GET /v1/things/{}", "w", NT_NEED_ROUTE, 0 },
    { "ANY /v1/tree/{...}", "w", NT_NEED_ROUTE, 0 },
    { "api.example.com:443", "w", NT_NEED_HOST, 0 },
};
static const struct nt_table needs = NT_TABLE(rows);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_request(const char *method, const char *path)
{
    if (!routes_allow(&needs, method, path))
        return;
    size_t size = strcspn(path, "?");
    must(strncmp(path, "/v1/", 4) == 0 || strchr(path, '%')); /* also encoded, as servers read it */
    must(strcmp(method, "UPGRADE") != 0);
    for (size_t i = 0; i < size; i++) {
        must((unsigned char)path[i] > 0x1f && path[i] != '\\' && path[i] != '#' && path[i] != ';');
        must(strncasecmp(path + i, "%2f", 3) != 0 && strncasecmp(path + i, "%2e", 3) != 0
             && strncmp(path + i, "%25", 3) != 0 && strncmp(path + i, "%00", 3) != 0);
        must(strncmp(path + i, "//", 2) != 0 && strncmp(path + i, "/../", 4) != 0
             && strncmp(path + i, "/./", 3) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader r = { (const char *)data, size, false };
    const char *method = wire_need_text(&r, 16), *path = wire_need_text(&r, 4096);
    const char *header = wire_get_text(&r, 256);
    check_request(method, path);
    if (header)
        routes_allow_header(header, path);
    struct nt_bytes bytes = wire_get_bytes(&r);
    must(bytes.size <= size);
    routes_allow_host(&needs, path, wire_get_u32(&r));
    struct nt_error error;
    wire_get_error(&r, &error);
    must(memchr(error.message, '\0', sizeof(error.message)) != NULL);
    must(wire_get_u64(&r) == 0 || !r.failed);
    return 0;
}
