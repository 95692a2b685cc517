/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - reads the fields of a request once, with all checks; see state.h. */
#include <string.h>

#include "plugins/guest/state.h"

/* Tags that are texts; all other known ones are numbers. */
static bool is_text(unsigned tag)
{
    switch (tag) {
    case NT_GT_MESSAGE:
    case NT_GT_ARG:
    case NT_GT_ENV:
    case NT_GT_CWD:
    case NT_GT_COMMAND:
    case NT_GT_PATH:
    case NT_GT_PATH2:
    case NT_GT_OWNER:
    case NT_GT_GROUP:
    case NT_GT_TARGET:
        return true;
    default:
        return false;
    }
}

int request_read(struct request *r, const struct nt_g_frame *frame)
{
    *r = (struct request){ .type = frame->type };
    struct nt_g_field f;
    size_t at = 0;
    int rc;
    while ((rc = nt_g_each(frame->payload, frame->size, &at, &f)) > 0) {
        if (f.tag == 0 || f.tag > NT_GT_NET_TX || f.tag == NT_GT_NONCE)
            continue; /* of a newer version */
        int ok = 1;
        if (is_text(f.tag)) {
            if (f.size && memchr(f.data, 0, f.size))
                return -1;
            r->text[f.tag] = (const char *)f.data;
            r->text_size[f.tag] = f.size;
        } else {
            r->number[f.tag] = nt_g_number(&f, &ok);
            if (!ok)
                return -1;
        }
        r->has |= (uint64_t)1 << f.tag;
    }
    return rc;
}

bool request_text(const struct request *r, unsigned tag, char *ret, size_t size)
{
    if (!request_has(r, tag) || r->text_size[tag] == 0 || r->text_size[tag] >= size)
        return false;
    memcpy(ret, r->text[tag], r->text_size[tag]);
    ret[r->text_size[tag]] = '\0';
    return true;
}
