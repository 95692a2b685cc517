/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - the thread of a copy, and its conversation with the guest; see transfer.h. */
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/local.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PROGRESS_MS 100

/* --- the thread ---------------------------------------------------------------------------- */

static void *thread_main(void *data)
{
    struct transfer *t = data;
    if (t->run(t) < 0 && !t->error.code)
        copy_fail(&t->error, NT_GE_SYSTEM, 0, "the copy has failed");
    eventfd_write(t->event, 1);
    return NULL;
}

static void on_event(void *data, int fd, uint32_t events)
{
    (void)events;
    struct transfer *t = data;
    eventfd_t value;
    if (eventfd_read(fd, &value) == 0)
        t->done = 1;
}

static void on_progress(void *data)
{
    struct transfer *t = data;
    uint64_t moved = atomic_load(&t->moved);
    t->call->host->progress(t->call, t->label, moved, t->total > moved ? t->total : 0);
}

/* Signals are the main thread's. */
static int start(struct transfer *t, pthread_t *ret, struct nt_error *reterr)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int sys = pthread_create(ret, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return sys ? nt_fail_sys(reterr, sys, "cannot start a thread") : 0;
}

int transfer_wait(struct transfer *t, const uint32_t *also, struct nt_error *reterr)
{
    struct nt_loop *loop = t->call->host->loop(t->call);
    pthread_t thread;
    nt_autoclose int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return nt_fail_sys(reterr, errno, "cannot make an event");
    t->event = event;
    t->link.stop = &t->stop;
    t->link.moved = &t->moved;
    struct nt_watch *watch = loop->ops->watch(loop, event, NT_READABLE, on_event, t);
    struct nt_timer *timer = loop->ops->timer(loop, PROGRESS_MS, PROGRESS_MS, on_progress, t);
    int rc = watch ? start(t, &thread, reterr) : nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (rc == 0) {
        rc = t->call->host->wait(t->call, &t->done, reterr);
        if (rc < 0) { /* interrupted: the thread leaves its wait, and tidies up */
            atomic_store(&t->stop, 1);
            shutdown(t->link.fd, SHUT_RDWR);
        }
        pthread_join(thread, NULL);
        if (rc == 0 && also && !t->error.code)
            rc = t->call->host->wait(t->call, also, reterr);
    }
    loop->ops->timer_end(timer);
    loop->ops->watch_end(watch);
    uint64_t moved = atomic_load(&t->moved);
    if (moved)
        t->call->host->progress(t->call, t->label, moved, moved);
    return rc;
}

int transfer_failed(const struct transfer *t, struct nt_error *reterr)
{
    const struct copy_error *e = &t->error;
    uint32_t code = NT_E_SYSTEM;
    if (e->code && t->is_silent)
        return nt_fail(reterr, NT_E_UNAVAILABLE,
                       "the workspace is unreachable: its guest does not answer");
    switch (e->code) {
    case 0:
        return 0;
    case NT_GE_NOT_FOUND:
        code = NT_E_NOT_FOUND;
        break;
    case NT_GE_INVALID:
        code = e->sys == EPROTO || e->sys == EEXIST    ? NT_E_RESPONSE
               : e->sys == EISDIR || e->sys == ENOTDIR ? NT_E_CONFLICT
                                                       : NT_E_INVALID;
        break;
    case NT_GE_UNSUPPORTED:
        code = NT_E_UNSUPPORTED;
        break;
    case NT_GE_LIMIT:
        code = NT_E_LIMIT;
        break;
    case NT_GE_NOT_ALLOWED:
        code = NT_E_FORBIDDEN;
        break;
    case NT_GE_BAD_DESCRIPTOR:
        code = NT_E_RESPONSE;
        break;
    case NT_GE_MISMATCH:
        code = NT_E_BYTE_MISMATCH;
        break;
    case COPY_LOST:
        code = NT_E_CLOSED;
        break;
    case COPY_STOPPED:
        code = NT_E_CANCELLED;
        break;
    default:
        break;
    }
    nt_fail(reterr, code, "%s", e->message);
    reterr->sys = e->sys;
    reterr->request_sent = 1;
    return -1;
}

/* --- the guest itself ---------------------------------------------------------------------- */

int transfer_direct(struct transfer *t, const char *id, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    nt_buf_add(&path, "/v1/sandboxes/");
    nt_buf_add_url_part(&path, id);
    nt_buf_add(&path, "/fd");
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the workspace's id is too long");
    nt_autoclose int fd = -1;
    struct nt_bytes early = { NULL, 0 };
    if (t->call->host->upgrade_local(t->call, nt_buf_text(&path), NT_LOCAL_PROTOCOL, &fd, &early,
                                     reterr)
        < 0)
        return -1;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0
        || copy_link_init(&t->link, fd, early.data, early.size) < 0)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the connection to the workspace");
    t->is_direct = true;
    t->error.code = 0;
    int rc = transfer_wait(t, NULL, reterr);
    if (rc == 0)
        rc = transfer_failed(t, reterr);
    copy_link_done(&t->link);
    return rc;
}

/* --- frames -------------------------------------------------------------------------------- */

int transfer_greet(struct transfer *t, uint64_t caps)
{
    struct nt_g_frame frame;
    struct nt_g_field f;
    uint64_t has = 0;
    int ok = 1;
    if (copy_link_next(&t->link, &frame, &t->error) < 0) {
        if (t->error.code == COPY_LOST && t->is_direct)
            t->is_silent = true; /* the server waited for its HELLO in vain, and gave up */
        return -1;
    }
    if (frame.type != NT_G_HELLO)
        return copy_fail(&t->error, NT_GE_INVALID, EPROTO, "the guest broke the protocol");
    for (size_t at = 0; nt_g_each(frame.payload, frame.size, &at, &f) > 0;)
        if (f.tag == NT_GT_CAPS)
            has = nt_g_number(&f, &ok);
    if ((has & caps) == caps)
        return 0;
    return copy_fail(&t->error, NT_GE_UNSUPPORTED, 0,
                     "this workspace was started by an older nanoterm; restart it for that");
}

int transfer_say(struct transfer *t, struct nt_g_writer *w)
{
    size_t size = nt_g_done(w);
    if (!size)
        return copy_fail(&t->error, NT_GE_LIMIT, ENAMETOOLONG, "the path is too long");
    if (copy_link_put(&t->link, w->data, size, &t->error) < 0)
        return -1;
    return copy_link_flush(&t->link, &t->error) < 0 ? transfer_why(t) : 0;
}

int transfer_why(struct transfer *t)
{
    struct copy_error ignored;
    struct nt_g_frame frame;
    if (t->error.code != COPY_LOST)
        return -1;
    while (copy_link_next(&t->link, &frame, &ignored) == 0)
        if (frame.type == NT_G_ERROR)
            return copy_link_refused(&frame, &t->error);
    return -1;
}

static int read_entry(const struct nt_g_frame *frame, struct transfer_entry *ret)
{
    struct nt_g_field f;
    size_t at = 0;
    int rc, ok = 1;
    *ret = (struct transfer_entry){ .mode = 0 };
    while ((rc = nt_g_each(frame->payload, frame->size, &at, &f)) > 0) {
        if (f.tag == NT_GT_MODE)
            ret->mode = nt_g_number(&f, &ok);
        else if (f.tag == NT_GT_SIZE)
            ret->size = nt_g_number(&f, &ok);
        else if (f.tag == NT_GT_COUNT)
            ret->count = nt_g_number(&f, &ok);
        else if (f.tag == NT_GT_OUT_BYTES)
            ret->bytes = nt_g_number(&f, &ok);
        else if (f.tag == NT_GT_PATH && f.size < sizeof(ret->path))
            memcpy(ret->path, f.data, f.size);
        else if (f.tag == NT_GT_MTIME_NS) {
            ret->mtime_ns = (int64_t)nt_g_number(&f, &ok);
            ret->has_mtime = true;
        }
    }
    return rc < 0 || !ok ? -1 : 0;
}

int transfer_ok(struct transfer *t, struct copy_notes *notes, struct transfer_entry *ret)
{
    for (;;) {
        struct nt_g_frame frame;
        struct copy_entry en;
        const char *why;
        if (copy_link_next(&t->link, &frame, &t->error) < 0)
            return -1;
        if (frame.type == NT_G_ERROR)
            return copy_link_refused(&frame, &t->error);
        if (frame.type == NT_G_OK && read_entry(&frame, ret) == 0)
            return 0;
        if (frame.type == NT_G_BEAT)
            continue;
        if (frame.type != NT_G_ENTRY || !notes || copy_entry_read(&frame, &en, &why) < 0
            || !en.message_size)
            return copy_fail(&t->error, NT_GE_INVALID, EPROTO, "the guest broke the protocol");
        char text[300];
        snprintf(text, sizeof(text), "%.*s", (int)en.message_size, en.message);
        copy_note(notes, en.path, en.path_size, en.sys, text);
    }
}
