/* SPDX-License-Identifier: Apache-2.0 */
/* exec_limits.c - says which limits a failed program ran into, by the counters of its workspace,
 * and what helps. */
#include "exec_limits.h"

#include <string.h>

#include "nanoterm/guest.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "ws.h"

#define ASK_MS 2000 /* for the sizes; without them the line has none */

_Static_assert(NT_GH_MEMORY == NT_LIMIT_MEMORY && NT_GH_PIDS == NT_LIMIT_PIDS
                   && NT_GH_DISK == NT_LIMIT_DISK,
               "the guest's bits are the host's");

static const struct {
    uint64_t hit;
    const char *word, *what, *member, *unit, *remedy;
} limits[] = {
    { NT_GH_MEMORY, "memory", "out of memory", "memory_mb", " MiB",
      "make a larger workspace: nanoterm ws create --size large" },
    { NT_GH_PIDS, "pids", "no more processes allowed", "pids", "",
      "end some of them, or make a larger workspace" },
    { NT_GH_DISK, "disk", "no space left on the disk", "disk_mb", " MiB",
      "remove files in the workspace, or make room on the server's disk" },
};

uint64_t exec_hits_of(const json_t *words)
{
    uint64_t hits = 0;
    for (size_t i = 0; i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        for (size_t k = 0; word && k < sizeof(limits) / sizeof(limits[0]); k++)
            if (strcmp(word, limits[k].word) == 0)
                hits |= limits[k].hit;
    }
    return hits;
}

/* What the workspace was made with; NULL: not to be had now. */
static json_t *ask_config(struct nt_call *call, const char *id)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    struct nt_error error = NT_ERROR_INIT;
    struct nt_response response = { .size = sizeof(response) };
    if (ws_path(&path, id, "?fields=config", &error) < 0)
        return NULL;
    struct nt_request request = { .size = sizeof(request),
                                  .flags = NT_REQ_NO_RETRY,
                                  .method = "GET",
                                  .path = nt_buf_text(&path),
                                  .timeout_ms = ASK_MS };
    if (call->host->request(call, &request, &response, &error) < 0)
        return NULL;
    nt_auto_json json_t *row = json_loadb(response.body.data, response.body.size, 0, NULL);
    return json_incref(json_object_get(row, "config"));
}

void exec_tell_limits(struct nt_call *call, const char *id, uint32_t reason, uint64_t hits)
{
    if (hits && NT_HAS(struct nt_host, call->host, set_limits) && call->host->set_limits)
        call->host->set_limits(call, (uint32_t)hits);
    if (reason == NT_GR_MEMORY) /* that is the error of the call */
        hits &= ~(uint64_t)NT_GH_MEMORY;
    if (!(hits & (NT_GH_MEMORY | NT_GH_PIDS | NT_GH_DISK)))
        return;
    nt_auto_json json_t *config = ask_config(call, id);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (!(hits & limits[i].hit))
            continue;
        nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(1024);
        const json_t *size = json_object_get(config, limits[i].member);
        nt_buf_addf(&line, "the program failed, and the workspace has hit a limit: %s",
                    limits[i].what);
        if (json_is_integer(size))
            nt_buf_addf(&line, " (limit %lld%s)", (long long)json_integer_value(size),
                        limits[i].unit);
        nt_buf_addf(&line, "; %s", limits[i].remedy);
        if (nt_buf_ok(&line))
            call->host->message(call, NT_SAY_WARN, nt_buf_text(&line));
    }
}
