/* SPDX-License-Identifier: Apache-2.0 */
/* download.c - a file of a workspace to a local path: written beside it, counted, synced, then
 * renamed over it. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define CREDIT (4u * 1024 * 1024)

/* On the heap until the stream's close: its callbacks may come after download has returned. */
struct download {
    struct nt_call *call;
    struct nt_stream *stream;
    struct nt_error error;
    const char *label;
    int fd;
    uint64_t received;
    uint64_t size; /* 0: not known */
    uint32_t done;
    bool abandoned;
};

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)flags;
    struct download *d = data;
    const char *at = bytes.data;
    size_t left = bytes.size;
    while (left > 0 && d->error.code == NT_OK && !d->abandoned) {
        ssize_t put = write(d->fd, at, left);
        if (put >= 0) {
            at += put;
            left -= (size_t)put;
        } else if (errno != EINTR) {
            nt_fail_sys(&d->error, errno, "cannot write %s", d->label);
            stream->ops->cancel(stream);
            return;
        }
    }
    d->received += bytes.size;
    d->call->host->progress(d->call, d->label, d->received, d->size);
    stream->ops->grant(stream, bytes.size);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct download *d = data;
    d->stream = NULL;
    d->done = 1;
    if (reason && d->error.code == NT_OK)
        memcpy(&d->error, reason,
               reason->size < sizeof(d->error) ? reason->size : sizeof(d->error));
    d->error.size = sizeof(d->error);
    if (d->abandoned)
        free(d);
}

/* A number in a header of the answer; `absent` when it is not there or not one. */
static uint64_t header_number(struct nt_call *call, const struct nt_response *head,
                              const char *name, uint64_t absent)
{
    const char *text = call->host->header(call, head, name);
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t value = absent;
    if (text)
        nt_parse_u64(text, 0, UINT64_MAX, &value, &ignored);
    return value;
}

/* Permissions, which the server writes in octal ("0644"). */
static mode_t header_mode(struct nt_call *call, const struct nt_response *head, mode_t absent)
{
    const char *text = call->host->header(call, head, "X-Nanoterm-Mode");
    mode_t mode = 0;
    if (!text || !*text || strlen(text) > 5 || strspn(text, "01234567") != strlen(text))
        return absent;
    for (; *text; text++)
        mode = mode << 3 | (mode_t)(*text - '0');
    return mode;
}

static int fetch(struct download *d, const char *target, struct nt_response *head,
                 struct nt_error *reterr)
{
    static const struct nt_stream_events events = { .size = sizeof(events),
                                                    .data = on_data,
                                                    .close = on_close };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = "GET",
                            .path = target,
                            .events = &events,
                            .data = d };
    if (d->call->host->open(d->call, &open, &d->stream, head, reterr) < 0)
        return -1;
    uint64_t told = header_number(d->call, head, "X-Nanoterm-Size", UINT64_MAX);
    d->size = told == UINT64_MAX ? 0 : told;
    if (d->stream)
        d->stream->ops->grant(d->stream, CREDIT);
    if (transfer_end(d->call, &d->done, &d->error, reterr) < 0)
        return -1;
    if (told != UINT64_MAX && told != 0
        && told != d->received) /* 0: a file of /proc, whose size nobody knows */
        return nt_fail(reterr, NT_E_BYTE_MISMATCH, "%llu bytes were announced, but %llu have come",
                       (unsigned long long)told, (unsigned long long)d->received);
    return 0;
}

/* Makes a file with a name of its own in the folder of the destination. The folder is held by a
 * descriptor, so that the rename at the end goes where the file was written. */
static int open_beside(const char *local, int *ret_folder, char name[32], struct nt_error *reterr)
{
    nt_autofree char *copy = strdup(local);
    if (!copy)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the path");
    *ret_folder = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_folder < 0)
        return nt_fail_sys(reterr, errno, "cannot open the folder of %s", local);
    unsigned long long random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return nt_fail_sys(reterr, errno, "cannot get random bytes");
    snprintf(name, 32, ".nanoterm.%016llx", random);
    int fd = openat(*ret_folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot write beside %s", local);
    return fd;
}

static int publish(int folder, const char *name, const char *local, int fd, uint64_t mode,
                   struct nt_error *reterr)
{
    nt_autofree char *copy = strdup(local);
    if (!copy)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the path");
    /* No set-id bit comes out of a workspace. */
    if (fchmod(fd, (mode_t)(mode & 0777)) < 0 || fsync(fd) < 0)
        return nt_fail_sys(reterr, errno, "cannot finish %s", local);
    if (renameat(folder, name, folder, basename(copy)) < 0)
        return nt_fail_sys(reterr, errno, "cannot replace %s", local);
    return 0;
}

int download(struct nt_call *call, const char *id, const char *path, const char *local,
             struct files_moved *ret, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(32 * 1024);
    if (file_path(&target, id, path, reterr) < 0)
        return -1;
    nt_autoclose int folder = -1;
    char name[32];
    nt_autoclose int fd = open_beside(local, &folder, name, reterr);
    if (fd < 0)
        return -1;
    struct download *d = calloc(1, sizeof(*d));
    if (!d) {
        unlinkat(folder, name, 0);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the download");
    }
    *d = (struct download){ .call = call, .error = NT_ERROR_INIT, .label = local, .fd = fd };
    struct nt_response head = { .size = sizeof(head) };
    int result = fetch(d, nt_buf_text(&target), &head, reterr);
    if (result == 0)
        result = publish(folder, name, local, fd, header_mode(call, &head, 0644), reterr);
    if (result < 0)
        unlinkat(folder, name, 0);
    else
        ret->bytes = d->received;
    if (!d->stream) {
        free(d);
        return result;
    }
    d->abandoned = true;
    d->stream->ops->cancel(d->stream);
    return result;
}
