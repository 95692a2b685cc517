/* SPDX-License-Identifier: Apache-2.0 */
/* multipart.h - takes a multipart/form-data body apart as it comes (RFC 7578), strictly: no
 * preamble, no nesting, no transfer encodings. Keeps no bytes: the caller's buffer holds what is
 * not used yet. */
#ifndef NT_SERVE_API_MULTIPART_H
#define NT_SERVE_API_MULTIPART_H

#include "nanoterm/stream.h"

#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046 section 5.1.1 */
#define MULTIPART_NAME_MAX 127

enum multipart_event {
    MULTIPART_MORE,     /* nothing can be told before more bytes have come */
    MULTIPART_PART,     /* a part begins; see name */
    MULTIPART_DATA,     /* bytes of it */
    MULTIPART_PART_END, /* it is whole */
    MULTIPART_END,      /* the body is whole; what may follow is only a line end */
    MULTIPART_BROKEN,
};

struct multipart {
    char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1]; /* "\r\n--boundary" */
    size_t delimiter_size;
    char name[MULTIPART_NAME_MAX + 1]; /* of the current part */
    unsigned state;
};

/* From a Content-Type. -1: not multipart/form-data with a boundary of the allowed characters. */
int multipart_init(struct multipart *m, const char *content_type);
/* Looks at what has come and is not used yet. ret_used: bytes at the front that are done with after
 * this event; ret_data points into data. */
enum multipart_event multipart_next(struct multipart *m, const char *data, size_t size,
                                    size_t *ret_used, struct nt_bytes *ret_data);

#endif
