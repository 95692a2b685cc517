/* SPDX-License-Identifier: Apache-2.0 */
/* pty_begin.c - the first message of channel=pty as a request to the guest: EXEC in a terminal, or
 * ATTACH; see pty_session.h. */
#include "plugins/serve/api/pty_session.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/exec_spec.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

static bool is_set(const json_t *m, const char *key)
{
    return json_is_true(json_object_get(m, key));
}

static void make_id(char ret[PTY_ID_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    memcpy(ret, "pty_", 4);
    for (int i = 4; i < 20; i++)
        ret[i] = letters[randombytes_uniform(sizeof(letters) - 1)];
    ret[20] = '\0';
}

/* Adds to a whole frame, whose memory has room for the largest. */
static int add_terminal(const struct pty_session *s, const json_t *m, struct nt_bytes *frame)
{
    struct nt_g_writer w = { (uint8_t *)(uintptr_t)frame->data, NT_G_HEAD + NT_G_FRAME_MAX,
                             frame->size, 0, 0 };
    const char *log = json_string_value(json_object_get(m, "log"));
    nt_g_add_text(&w, NT_GT_ID, s->row.id);
    nt_g_add_number(&w, NT_GT_COLS, s->row.cols);
    nt_g_add_number(&w, NT_GT_ROWS, s->row.rows);
    if (s->beat_ms)
        nt_g_add_number(&w, NT_GT_BEAT_MS, (uint64_t)s->beat_ms);
    if (s->is_wide && log)
        nt_g_add_text(&w, NT_GT_LOG, log);
    frame->size = nt_g_done(&w);
    return frame->size ? 0 : -1;
}

int pty_begin_start(struct pty_session *s, json_t *m, const struct guest_events *events,
                    struct nt_error *reterr)
{
    json_t *argv = s->is_wide ? json_object_get(m, "argv") : NULL;
    /* checked by the same rules as a command; it has a name there */
    nt_auto_json json_t *body =
        json_pack("{s:s,s:O*,s:O*,s:O*,s:i}", "command", "-", "args", argv, "cwd",
                  json_object_get(m, "cwd"), "envs", json_object_get(m, "envs"), "timeout_secs", 0);
    struct exec_spec spec;
    struct nt_bytes frame;
    if (exec_spec_read(body, &spec, reterr) < 0)
        return -1;
    spec.command = NULL;
    make_id(s->row.id);
    s->is_detached = s->is_wide && is_set(m, "detach");
    uint32_t flags = NT_GX_TTY;
    if (!s->is_wide || s->is_detached)
        flags |= NT_GX_BACKGROUND;
    s->hangs_up = s->is_wide && !s->is_detached && !is_set(m, "keep");
    if (s->is_wide && !s->is_detached)
        flags |= NT_GX_KEEP;
    if (s->is_wide && is_set(m, "agent"))
        flags |= NT_GX_AGENT;
    if (exec_spec_frame(&spec, s->server, &s->ws, &s->principal, NULL, flags, &frame, reterr) < 0)
        return -1;
    int rc = add_terminal(s, m, &frame) < 0
                 ? nt_fail(reterr, NT_E_INVALID, "the command is too long")
                 : workspace_guest(s->server, &s->ws, frame, events, s, &s->op, reterr);
    free((void *)(uintptr_t)frame.data);
    s->phase = flags & NT_GX_BACKGROUND ? PHASE_START : PHASE_ATTACH;
    return rc;
}

int pty_begin_attach(struct pty_session *s, const json_t *options,
                     const struct guest_events *events, struct nt_error *reterr)
{
    uint8_t memory[256];
    const char *id = json_string_value(json_object_get(options, "session_id"));
    json_int_t pid = json_integer_value(json_object_get(options, "pid"));
    const json_t *offset = json_object_get(options, "offset");
    if (!options)
        id = s->row.id;
    bool is_agent = !id && pid <= 0;
    if (is_agent && !s->is_wide)
        return nt_fail(reterr, NT_E_INVALID, "pty_connect needs a session_id or a pid");
    if (id && !pty_id_is_fine(id)) {
        nt_fail(reterr, NT_E_NOT_FOUND, "there is no such terminal");
        reterr->attempt = NT_GE_NOT_FOUND;
        return -1;
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ATTACH);
    if (id)
        nt_g_add_text(&w, NT_GT_ID, id);
    else if (!is_agent)
        nt_g_add_number(&w, NT_GT_PID, (uint64_t)pid);
    if (s->is_wide && json_is_integer(offset) && json_integer_value(offset) >= 0)
        nt_g_add_number(&w, NT_GT_OFFSET, (uint64_t)json_integer_value(offset));
    if (s->is_wide && is_set(options, "read_only"))
        nt_g_add_number(&w, NT_GT_FLAGS, NT_GX_READ_ONLY);
    if (options && s->row.cols && s->row.rows) {
        nt_g_add_number(&w, NT_GT_COLS, s->row.cols);
        nt_g_add_number(&w, NT_GT_ROWS, s->row.rows);
    }
    if (s->beat_ms)
        nt_g_add_number(&w, NT_GT_BEAT_MS, (uint64_t)s->beat_ms);
    s->phase = PHASE_ATTACH;
    return workspace_guest(s->server, &s->ws, (struct nt_bytes){ memory, nt_g_done(&w) }, events, s,
                           &s->op, reterr);
}
