/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - folders to and from a workspace: by the guest itself where it is on this machine, else
 * through /v1/sandboxes/{id}/tree, which carries the same frames. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "transfer.h"

#define REQUEST (NT_G_HEAD + 16 * 1024)

struct tree {
    const struct files_route *route;
    struct files_report *report;
    int local; /* in: the folder to read, taken by the thread */
    const struct copy_target *target;
};

static int is_same(struct transfer *t, const struct copy_totals *sent,
                   const struct transfer_entry *told)
{
    if (told->count == sent->count && told->bytes == sent->bytes)
        return 0;
    return copy_fail(&t->error, NT_GE_MISMATCH, 0,
                     "what was written is not what was sent: something between here and the "
                     "workspace has cut it short");
}

static int run_in(struct transfer *t)
{
    struct tree *tree = t->data;
    uint8_t memory[REQUEST];
    struct transfer_entry told;
    struct copy_totals sent;
    int fd = tree->local;
    tree->local = -1;
    if (t->is_direct) {
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_TREE_WRITE);
        nt_g_add_text(&w, NT_GT_PATH, tree->route->path);
        nt_g_add_number(&w, NT_GT_FLAGS, NT_GF_PARENTS | (tree->route->is_merge ? NT_GF_MERGE : 0));
        if (tree->route->name)
            nt_g_add_text(&w, NT_GT_NAME, tree->route->name);
        if (transfer_greet(t, NT_GC_TREES) < 0 || transfer_say(t, &w) < 0
            || transfer_ok(t, NULL, &told) < 0) {
            close(fd);
            return -1;
        }
    }
    if (copy_read(&t->link, fd, &sent, &t->error) < 0)
        return transfer_why(t);
    if (!t->is_direct)
        shutdown(t->link.fd, SHUT_WR); /* the end of the body */
    if (transfer_ok(t, &tree->report->notes, &told) < 0 || is_same(t, &sent, &told) < 0)
        return -1;
    tree->report->entries = sent.count;
    memcpy(tree->report->moved.path, told.path, sizeof(told.path));
    tree->report->moved.bytes = sent.bytes;
    return 0;
}

static int run_out(struct transfer *t)
{
    struct tree *tree = t->data;
    uint8_t memory[REQUEST];
    struct transfer_entry told;
    struct copy_totals got;
    if (t->is_direct) {
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_TREE_READ);
        nt_g_add_text(&w, NT_GT_PATH, tree->route->path);
        if (transfer_greet(t, NT_GC_TREES) < 0 || transfer_say(t, &w) < 0)
            return -1;
    }
    if (transfer_ok(t, NULL, &told) < 0
        || copy_write(&t->link, tree->target, &tree->report->notes, &got, &t->error) < 0)
        return -1;
    tree->report->entries = got.count;
    tree->report->moved.bytes = got.bytes;
    return 0;
}

/* First the guest itself, then the server; what a first try has reported is forgotten. */
static int go(struct transfer *t, const char *method, const struct files_route *route,
              struct nt_error *reterr)
{
    if (transfer_direct(t, route->id, reterr) == 0)
        return 0;
    bool is_elsewhere =
        reterr->code == NT_E_NOT_LOCAL || (reterr->code == NT_E_UNSUPPORTED && !t->is_direct);
    if (!is_elsewhere)
        return -1;
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(64 * 1024);
    if (files_target(&target, "/tree", route, reterr) < 0)
        return -1;
    t->is_direct = false;
    return transfer_remote(t, method, nt_buf_text(&target), reterr);
}

int tree_in(struct nt_call *call, const struct files_route *route, int local,
            struct files_report *report, struct nt_error *reterr)
{
    struct tree tree = { .route = route, .report = report, .local = local };
    struct transfer t = { .call = call, .label = route->path, .run = run_in, .data = &tree };
    int rc = go(&t, "PUT", route, reterr);
    if (tree.local >= 0)
        close(tree.local);
    return rc;
}

int tree_out(struct nt_call *call, const struct files_route *route,
             const struct copy_target *target, struct files_report *report, struct nt_error *reterr)
{
    struct tree tree = { .route = route, .report = report, .local = -1, .target = target };
    struct transfer t = { .call = call, .label = route->path, .run = run_out, .data = &tree };
    return go(&t, "GET", route, reterr);
}
