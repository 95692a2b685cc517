/* SPDX-License-Identifier: Apache-2.0 */
/* order.c - what a tree's frames may say, and in which order; see copy.h. The bytes are foreign. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/guest/copy/copy.h"

#define NAME_SIZE_MAX 255u
#define TARGET_SIZE_MAX 4095u

/* One component after the other: not empty, not "." or "..", without a slash at either end. */
static bool is_inside(const char *path, size_t size)
{
    if (size > COPY_PATH_MAX || memchr(path, 0, size))
        return false;
    while (size) {
        const char *slash = memchr(path, '/', size);
        size_t n = slash ? (size_t)(slash - path) : size;
        if (n == 0 || n > NAME_SIZE_MAX || (n == 1 && path[0] == '.')
            || (n == 2 && path[0] == '.' && path[1] == '.') || (slash && n + 1 == size))
            return false;
        path += n + (slash ? 1 : 0);
        size -= n + (slash ? 1 : 0);
    }
    return true;
}

static void read_field(const struct nt_g_field *f, struct copy_entry *ret, int *ok)
{
    uint64_t sys;
    switch (f->tag) {
    case NT_GT_PATH:
        ret->path = (const char *)f->data;
        ret->path_size = f->size;
        break;
    case NT_GT_LINK:
        ret->link = (const char *)f->data;
        ret->link_size = f->size;
        ret->has_link = true;
        break;
    case NT_GT_TARGET:
        ret->target = (const char *)f->data;
        ret->target_size = f->size;
        ret->has_target = true;
        break;
    case NT_GT_MESSAGE:
        ret->message = (const char *)f->data;
        ret->message_size = f->size;
        break;
    case NT_GT_MODE:
        ret->mode = nt_g_number(f, ok);
        break;
    case NT_GT_SIZE:
        ret->size = nt_g_number(f, ok);
        break;
    case NT_GT_UID:
        ret->uid = nt_g_number(f, ok);
        break;
    case NT_GT_GID:
        ret->gid = nt_g_number(f, ok);
        break;
    case NT_GT_MTIME_NS:
        ret->mtime_ns = (int64_t)nt_g_number(f, ok);
        break;
    case NT_GT_ERRNO:
        sys = nt_g_number(f, ok);
        ret->sys = sys && sys < 4096 ? (int)sys : EIO;
        break;
    default:
        break;
    }
}

int copy_entry_read(const struct nt_g_frame *frame, struct copy_entry *ret, const char **ret_why)
{
    struct nt_g_field f;
    size_t at = 0;
    int rc, ok = 1;
    *ret = (struct copy_entry){ .path = NULL };
    while ((rc = nt_g_each(frame->payload, frame->size, &at, &f)) > 0)
        read_field(&f, ret, &ok);
    *ret_why = NULL;
    uint64_t type = ret->mode & S_IFMT;
    if (rc < 0 || !ok || !ret->path)
        *ret_why = "an entry is malformed";
    else if (!is_inside(ret->path, ret->path_size))
        *ret_why = "an entry's path leads out of the tree";
    else if (ret->has_link && (!ret->link_size || !is_inside(ret->link, ret->link_size)))
        *ret_why = "an entry's link leads out of the tree";
    else if (ret->message_size > 256)
        *ret_why = "an entry is malformed";
    else if (!ret->sys && (ret->mode > 0177777 || ret->size > INT64_MAX))
        *ret_why = "an entry's mode or size is out of range";
    else if (!ret->sys && type != S_IFREG && (ret->has_link || ret->size))
        *ret_why = "an entry that is no file has content";
    else if (!ret->sys && type == S_IFLNK
             && (!ret->target_size || ret->target_size > TARGET_SIZE_MAX
                 || memchr(ret->target, 0, ret->target_size)))
        *ret_why = "a symbolic link has no valid target";
    return *ret_why ? -1 : 0;
}

void copy_order_done(struct copy_order *o)
{
    free(o->folder);
    o->folder = NULL;
}

/* Closes folders until the one that holds the entry is open. */
static int close_to(struct copy_order *o, const struct copy_entry *en, unsigned *ret_up)
{
    const char *slash = memrchr(en->path, '/', en->path_size);
    size_t parent = slash ? (size_t)(slash - en->path) : 0;
    if (!o->depth || parent > o->folder_size || (parent && memcmp(en->path, o->folder, parent) != 0)
        || (parent && parent < o->folder_size && o->folder[parent] != '/'))
        return -1;
    unsigned up = 0;
    if (o->folder_size > parent)
        up = 1;
    for (size_t i = parent + (parent ? 1 : 0); i < o->folder_size; i++)
        up += o->folder[i] == '/';
    o->folder_size = parent;
    o->depth -= up;
    *ret_up = up;
    return 0;
}

static int open_folder(struct copy_order *o, const struct copy_entry *en)
{
    char *grown = realloc(o->folder, en->path_size + 1);
    if (!grown)
        return -1;
    o->folder = grown;
    memcpy(grown, en->path, en->path_size);
    o->folder_size = en->path_size;
    o->depth++;
    return 0;
}

static const char *take_entry(struct copy_order *o, const struct copy_entry *en, unsigned *ret_up)
{
    if (o->left)
        return "a file has fewer bytes than its entry says";
    if (en->sys)
        return NULL;
    if (!o->has_root && en->path_size)
        return "the first entry is not the tree itself";
    if (o->has_root && (!en->path_size || close_to(o, en, ret_up) < 0))
        return "an entry does not lie in the folder that is open";
    if (!o->has_root && en->has_link)
        return "an entry links to what was not sent";
    o->has_root = true;
    o->count++;
    if (S_ISDIR((mode_t)en->mode)) {
        if (o->depth > COPY_DEPTH_MAX)
            return "the tree is too deep";
        if (open_folder(o, en) < 0)
            return "out of memory";
    } else if (S_ISREG((mode_t)en->mode) && !en->has_link) {
        if (__builtin_add_overflow(o->bytes, en->size, &o->bytes))
            return "the sizes are out of range";
        o->left = en->size;
    }
    return NULL;
}

static const char *take_bytes(struct copy_order *o, uint64_t size)
{
    if (size == 0 || size > o->left)
        return "a file has more bytes than its entry says";
    o->left -= size;
    return NULL;
}

static const char *take_end(struct copy_order *o, const struct nt_g_frame *frame)
{
    struct nt_g_field f;
    size_t at = 0;
    int rc, ok = 1;
    uint64_t count = UINT64_MAX, bytes = UINT64_MAX;
    while ((rc = nt_g_each(frame->payload, frame->size, &at, &f)) > 0) {
        if (f.tag == NT_GT_COUNT)
            count = nt_g_number(&f, &ok);
        else if (f.tag == NT_GT_OUT_BYTES)
            bytes = nt_g_number(&f, &ok);
    }
    if (rc < 0 || !ok || !o->has_root)
        return "the end of the tree is malformed";
    if (o->left || count != o->count || bytes != o->bytes)
        return "the tree is not what its end says";
    o->has_ended = true;
    return NULL;
}

static uint64_t hole_size(const struct nt_g_frame *frame)
{
    struct nt_g_field f;
    int ok = 1;
    uint64_t size = 0;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;)
        if (f.tag == NT_GT_SIZE)
            size = nt_g_number(&f, &ok);
    return ok ? size : 0;
}

int copy_order_take(struct copy_order *o, const struct nt_g_frame *frame, struct copy_entry *ret,
                    unsigned *ret_up, const char **ret_why)
{
    *ret_up = 0;
    *ret = (struct copy_entry){ .path = NULL };
    if (o->has_ended) {
        *ret_why = "something came after the end";
        return -1;
    }
    switch (frame->type) {
    case NT_G_ENTRY:
        if (copy_entry_read(frame, ret, ret_why) == 0)
            *ret_why = take_entry(o, ret, ret_up);
        break;
    case NT_G_DATA:
        *ret_why = take_bytes(o, frame->size);
        break;
    case NT_G_HOLE:
        ret->size = hole_size(frame);
        *ret_why = take_bytes(o, ret->size);
        break;
    case NT_G_END:
        *ret_why = take_end(o, frame);
        break;
    default:
        *ret_why = "a frame is out of order";
    }
    return *ret_why ? -1 : 0;
}
