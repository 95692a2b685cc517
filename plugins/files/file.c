/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - one file to or from a workspace on this machine: the guest opens it and gives us the
 * descriptor, so that its bytes go from file to file in the kernel (local.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "transfer.h"

#define REQUEST (NT_G_HEAD + 16 * 1024)
#define PIECE (256u * 1024)

struct file {
    const struct files_route *route;
    struct files_report *report;
    int local; /* in: what is read */
    struct stat st;
    const struct copy_target *target; /* out */
    bool is_folder;                   /* out: nothing was copied */
};

/* The descriptor that came with the frame before: used only when it is what it should be. */
static int take_fd(struct transfer *t, int access, int *ret)
{
    *ret = t->link.got_fd;
    t->link.got_fd = -1;
    if (*ret < 0)
        return 0;
    int flags = fcntl(*ret, F_GETFL);
    if (flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) == access && copy_is_plain(*ret))
        return 0;
    close(*ret);
    *ret = -1;
    return copy_fail(&t->error, NT_GE_BAD_DESCRIPTOR, EPROTO,
                     "the guest gave a descriptor that is no regular file");
}

static int fail_io(struct transfer *t, const char *what)
{
    return copy_fail_sys(&t->error, errno, what);
}

/* --- in ------------------------------------------------------------------------------------ */

static int send_frames(struct transfer *t, int fd, uint64_t *ret)
{
    *ret = 0;
    for (;;) {
        uint8_t *room = copy_link_room(&t->link, NT_G_HEAD + PIECE, &t->error);
        if (!room)
            return transfer_why(t);
        ssize_t n = read(fd, room + NT_G_HEAD, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_io(t, "cannot read the file");
        if (n == 0)
            return 0;
        nt_g_head(room, NT_G_DATA, (uint32_t)n);
        t->link.tx_size += NT_G_HEAD + (size_t)n;
        atomic_fetch_add(&t->moved, (uint64_t)n);
        *ret += (uint64_t)n;
    }
}

static int64_t time_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int say_write(struct transfer *t, const struct file *f)
{
    uint8_t memory[REQUEST];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_WRITE);
    nt_g_add_text(&w, NT_GT_PATH, f->route->path);
    if (f->route->name)
        nt_g_add_text(&w, NT_GT_NAME, f->route->name);
    nt_g_add_number(&w, NT_GT_MODE, f->st.st_mode & 07777);
    nt_g_add_number(&w, NT_GT_MTIME_NS, (uint64_t)time_of(&f->st));
    nt_g_add_number(&w, NT_GT_FLAGS, NT_GF_PARENTS | NT_GF_PASS_FD);
    return transfer_say(t, &w);
}

static int run_in(struct transfer *t)
{
    struct file *f = t->data;
    struct transfer_entry told;
    uint64_t sent = 0;
    if (transfer_greet(t, NT_GC_PASS_FD) < 0 || say_write(t, f) < 0
        || transfer_ok(t, NULL, &told) < 0)
        return -1;
    nt_autoclose int to = -1;
    if (take_fd(t, O_WRONLY, &to) < 0)
        return -1;
    if (to < 0 && send_frames(t, f->local, &sent) < 0)
        return -1;
    if (to >= 0 && copy_content(f->local, to, &t->stop, &t->moved, &sent) < 0)
        return fail_io(t, "cannot copy the file");
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    nt_g_add_number(&w, NT_GT_COUNT, sent);
    if (transfer_say(t, &w) < 0 || transfer_ok(t, NULL, &told) < 0)
        return -1;
    if (told.size != sent || told.mtime_ns != time_of(&f->st))
        return copy_fail(&t->error, NT_GE_MISMATCH, 0,
                         "size or time of the file that was written are not what was sent");
    f->report->moved.bytes = sent;
    memcpy(f->report->moved.path, told.path, sizeof(told.path));
    files_time(told.mtime_ns, f->report->moved.mtime);
    return 0;
}

int file_in(struct nt_call *call, const struct files_route *route, int local, const struct stat *st,
            struct files_report *report, struct nt_error *reterr)
{
    struct file f = { .route = route, .report = report, .local = local, .st = *st };
    struct transfer t = { .call = call,
                          .label = route->path,
                          .total = (uint64_t)st->st_size,
                          .run = run_in,
                          .data = &f };
    return transfer_direct(&t, route->id, reterr);
}

/* --- out ----------------------------------------------------------------------------------- */

static int take_frames(struct transfer *t, int fd, uint64_t *ret)
{
    uint64_t begun = 0;
    *ret = 0;
    for (;;) {
        struct nt_g_frame frame;
        if (copy_link_next(&t->link, &frame, &t->error) < 0)
            return -1;
        if (frame.type == NT_G_ERROR)
            return copy_link_refused(&frame, &t->error);
        if (frame.type == NT_G_END) {
            struct nt_g_field field;
            int ok = 1;
            uint64_t told = UINT64_MAX;
            for (size_t at = 0; nt_g_each(frame.payload, frame.size, &at, &field) > 0;)
                if (field.tag == NT_GT_OUT_BYTES)
                    told = nt_g_number(&field, &ok);
            return told == *ret ? 0
                                : copy_fail(&t->error, NT_GE_MISMATCH, 0,
                                            "the guest has sent another number of bytes than it "
                                            "says");
        }
        if (frame.type != NT_G_DATA)
            return copy_fail(&t->error, NT_GE_INVALID, EPROTO, "the guest broke the protocol");
        if (nt_write_all(fd, frame.payload, frame.size) < 0)
            return fail_io(t, "cannot write the file");
        *ret += frame.size;
        nt_write_out(fd, *ret, &begun);
        atomic_fetch_add(&t->moved, frame.size);
    }
}

static int receive(struct transfer *t, struct file *f, struct transfer_entry *told, int from)
{
    struct copy_place place;
    struct stat st;
    uint64_t got = 0;
    if (copy_may_replace(f->target, false, &t->error) < 0)
        return -1;
    if (copy_place_open(&place, f->target->dir) < 0)
        return fail_io(t, "cannot write beside the destination");
    int rc;
    if (from < 0)
        rc = take_frames(t, place.fd, &got);
    else if ((rc = copy_content(from, place.fd, &t->stop, &t->moved, &got)) < 0)
        fail_io(t, "cannot copy the file");
    /* No set-id bit comes out of a workspace. */
    if (rc == 0
        && (rc = copy_place_commit(&place, f->target->name, told->mode & 0777,
                                   told->has_mtime ? told->mtime_ns : INT64_MIN))
               < 0)
        fail_io(t, "cannot put the file in its place");
    else if (rc == 0 && (fstat(place.fd, &st) < 0 || (uint64_t)st.st_size != got))
        rc = copy_fail(&t->error, NT_GE_MISMATCH, 0, "the file is not what was written");
    copy_place_done(&place);
    f->report->moved.bytes = got;
    return rc;
}

static int run_out(struct transfer *t)
{
    struct file *f = t->data;
    uint8_t memory[REQUEST];
    struct transfer_entry told;
    struct stat st;
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_READ);
    nt_g_add_text(&w, NT_GT_PATH, f->route->path);
    nt_g_add_number(&w, NT_GT_FLAGS, NT_GF_PASS_FD);
    if (transfer_greet(t, NT_GC_PASS_FD) < 0 || transfer_say(t, &w) < 0)
        return -1;
    if (transfer_ok(t, NULL, &told) < 0) {
        f->is_folder = t->error.code == NT_GE_INVALID && t->error.sys == EISDIR;
        if (f->is_folder)
            t->error.code = 0;
        return f->is_folder ? 0 : -1;
    }
    nt_autoclose int from = -1;
    if (take_fd(t, O_RDONLY, &from) < 0)
        return -1;
    t->total = told.size;
    if (from >= 0 && fstat(from, &st) == 0) {
        told.mode = st.st_mode;
        told.mtime_ns = time_of(&st);
    }
    if (receive(t, f, &told, from) < 0)
        return -1;
    if (told.mode & 06000)
        copy_note(&f->report->notes, "", 0, 0, "its set-user-ID or set-group-ID bit");
    files_time(told.mtime_ns, f->report->moved.mtime);
    return 0;
}

int file_out(struct nt_call *call, const struct files_route *route,
             const struct copy_target *target, struct files_report *report, bool *ret_is_folder,
             struct nt_error *reterr)
{
    struct file f = { .route = route, .report = report, .local = -1, .target = target };
    struct transfer t = { .call = call, .label = route->path, .run = run_out, .data = &f };
    int rc = transfer_direct(&t, route->id, reterr);
    *ret_is_folder = f.is_folder;
    return rc;
}
