/* SPDX-License-Identifier: Apache-2.0 */
/* json_file.c - reads a small JSON file of others. */
#include "json_file.h"

#include <errno.h>
#include <unistd.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

json_t *json_file_read(int fd, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(JSON_FILE_MAX_BYTES);
    for (;;) {
        char *room = nt_buf_room(&text, 32 * 1024);
        if (!room)
            return nt_fail(reterr, NT_E_LIMIT, "it is longer than %zu bytes", JSON_FILE_MAX_BYTES),
                   NULL;
        ssize_t n = read(fd, room, 32 * 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot read it"), NULL;
        if (n == 0)
            break;
        nt_buf_added(&text, (size_t)n);
    }
    json_error_t at;
    json_t *json = json_loadb(nt_buf_text(&text), text.size, JSON_REJECT_DUPLICATES, &at);
    if (!json)
        nt_fail(reterr, NT_E_PLUGIN_FAILED, "line %d is not JSON: %s", at.line, at.text);
    return json;
}
