/* SPDX-License-Identifier: Apache-2.0 */
/* trees.c - TREE_READ and TREE_WRITE: the guest's end of copy/copy.h. Runs in a helper process. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"
#include "plugins/guest/helper.h"

static void link_to(struct helper_io *io, struct copy_link *l)
{
    if (copy_link_init(l, io->fd, io->rx + io->used, io->rx_size - io->used) < 0)
        io_refuse(io, NT_GE_SYSTEM, ENOMEM, "out of memory");
}

/* Ends the process, with NT_G_ERROR when there is someone to hear it. */
static void refuse(struct helper_io *io, const struct copy_error *e)
{
    if (e->code >= COPY_LOST)
        _exit(1);
    io_refuse(io, e->code, e->sys, e->message);
}

void trees_read(struct helper_io *io, const struct request *r)
{
    char path[PATH_MAX];
    struct copy_link link;
    struct copy_error error;
    struct copy_totals totals;
    struct stat st;
    io_path(io, r, NT_GT_PATH, path);
    if (stat(path, &st) < 0)
        io_fail(io, errno, "cannot find it");
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        io_refuse(io, NT_GE_INVALID, EINVAL, "that is neither a folder nor a regular file");
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        io_fail(io, errno, "cannot open it");
    entry_send(io, path);
    link_to(io, &link);
    if (copy_read(&link, fd, &totals, &error) < 0)
        refuse(io, &error);
}

void trees_write(struct helper_io *io, const struct request *r)
{
    static struct destination to = { .dir = -1 };
    uint64_t flags = request_number(r, NT_GT_FLAGS, 0);
    destination_path(io, r, true, to.path);
    if (strcmp(to.path, "/") == 0)
        io_refuse(io, NT_GE_INVALID, EBUSY, "the root cannot be replaced");
    struct stat st;
    if (flags & NT_GF_MERGE && stat(to.path, &st) == 0 && S_ISDIR(st.st_mode)) {
        to.dir = open(to.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        to.name = ".";
        if (to.dir < 0)
            io_fail(io, errno, "cannot write there");
    } else if (destination_open(&to, flags & NT_GF_PARENTS) < 0)
        io_fail(io, errno, "cannot write there");
    static uint8_t memory[PATH_MAX + 128];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    io_send(io, &w);
    struct copy_link link;
    struct copy_error error;
    struct copy_notes notes = { .frames = NULL };
    struct copy_totals totals;
    struct copy_target target = { to.dir, to.name, flags & NT_GF_MERGE ? COPY_MERGE : 0 };
    link_to(io, &link);
    if (copy_write(&link, &target, &notes, &totals, &error) < 0)
        refuse(io, &error);
    w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    nt_g_add_text(&w, NT_GT_PATH, to.path);
    nt_g_add_number(&w, NT_GT_COUNT, totals.count);
    nt_g_add_number(&w, NT_GT_OUT_BYTES, totals.bytes);
    if (copy_link_put(&link, notes.frames, notes.size, &error) < 0
        || copy_link_put(&link, memory, nt_g_done(&w), &error) < 0
        || copy_link_flush(&link, &error) < 0)
        _exit(1);
}
