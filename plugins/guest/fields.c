/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - reads the fields of a request once, with all checks; see state.h. */
#include <string.h>

#include "plugins/guest/state.h"

int request_read(struct request *r, const struct nt_g_frame *frame)
{
    *r = (struct request){ .type = frame->type,
                           .payload = frame->payload,
                           .payload_size = frame->size };
    struct nt_g_field f;
    size_t at = 0;
    int rc;
    while ((rc = nt_g_each(frame->payload, frame->size, &at, &f)) > 0) {
        if (f.tag == 0 || f.tag > NT_GT_LAST || f.tag == NT_GT_NONCE)
            continue; /* of a newer version */
        int ok = 1;
        if (nt_g_is_text(f.tag)) {
            if (f.size && memchr(f.data, 0, f.size))
                return -1;
            r->text[f.tag] = (const char *)f.data;
            r->text_size[f.tag] = f.size;
        } else {
            r->number[f.tag] = nt_g_number(&f, &ok);
            if (!ok)
                return -1;
        }
        r->has[f.tag] = true;
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
