/* SPDX-License-Identifier: Apache-2.0 */
/* tree_entries_fuzz.c - the frames of a tree, said by anyone: to the check that the server makes,
 * and to the writer, which makes real files in a folder of its own.
 *
 * The first byte picks replacing or merging. Whatever comes: nothing appears outside the
 * destination, and no stage is left. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"

static char top[] = "/tmp/nt-tree-fuzz-XXXXXX";
static int top_fd = -1;

static void leave(void)
{
    copy_remove(AT_FDCWD, top);
}

static void prepare(void)
{
    /* A file that says it is large is refused by the kernel, and not written. */
    const struct rlimit small = { 1 << 20, 1 << 20 };
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &small) < 0 || !mkdtemp(top)
        || (top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || atexit(leave) != 0)
        abort();
}

static void check_top(void)
{
    DIR *d = fdopendir(openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!d)
        abort();
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0
            && strcmp(e->d_name, "out") != 0)
            abort();
    closedir(d);
}

static void check_order(const uint8_t *data, size_t size)
{
    struct copy_order order = { .folder = NULL };
    struct nt_g_frame frame;
    int64_t took;
    for (size_t at = 0; (took = nt_g_next(data + at, size - at, &frame)) > 0; at += (size_t)took) {
        struct copy_entry entry;
        unsigned up;
        const char *why = NULL;
        unsigned depth = order.depth;
        if (copy_order_take(&order, &frame, &entry, &up, &why) < 0)
            break;
        if (order.depth > COPY_DEPTH_MAX + 1
            || (entry.path_size >= 3 && memcmp(entry.path, "../", 3) == 0))
            abort();
        if (up > depth)
            abort();
    }
    copy_order_done(&order);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (top_fd < 0)
        prepare();
    if (size < 1)
        return 0;
    check_order(data + 1, size - 1);
    int pair[2];
    struct copy_link link;
    struct copy_notes notes = { .frames = NULL };
    struct copy_totals totals;
    struct copy_error error = { 0 };
    const struct copy_target target = { top_fd, "out",
                                        COPY_NO_SET_ID | (data[0] & 1 ? COPY_MERGE : 0) };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0
        || copy_link_init(&link, pair[0], data + 1, size - 1) < 0)
        abort();
    close(pair[1]);
    int rc = copy_write(&link, &target, &notes, &totals, &error);
    if ((rc < 0) != (error.code != 0))
        abort();
    copy_link_done(&link);
    close(pair[0]);
    free(notes.frames);
    check_top();
    copy_remove(top_fd, "out");
    return 0;
}
