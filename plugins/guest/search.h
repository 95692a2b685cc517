/* SPDX-License-Identifier: Apache-2.0 */
/* search.h - what GREP, GLOB (search.c) and REPLACE (replace.c) share. In a helper process only. */
#ifndef GUEST_SEARCH_H
#define GUEST_SEARCH_H

#include <regex.h>

#include "plugins/guest/helper.h"

#define SEARCH_PATTERN_MAX 1024

/* A POSIX extended regular expression; what is not one is taken literally. */
struct search_pattern {
    const char *text;
    size_t size;
    bool is_regex;
    regex_t regex;
};

/* PATTERN of the request; the process ends when it is missing or too long. */
void search_pattern_read(struct helper_io *io, const struct request *r, struct search_pattern *ret);
/* The first match at or after `at`. line needs no zero byte at its end, and holds none. */
bool search_pattern_find(const struct search_pattern *p, const char *line, size_t size, size_t at,
                         size_t *ret_start, size_t *ret_end);

/* From here on the helper has 10 s of the processor, 20 s in all and 256 MiB; then it answers
 * NT_GE_LIMIT and ends, but not between hold and release: there a frame is sent or a file is put in
 * its place. */
void search_limit(struct helper_io *io);
void search_hold(void);
void search_release(void);
/* Opens a regular file for reading and nothing else; never follows a link. -1: errno. */
int search_open(int dir, const char *name, struct stat *ret);

void search_serve(struct helper_io *io, const struct request *r);
void replace_serve(struct helper_io *io, const struct request *r);
void watch_serve(struct helper_io *io, const struct request *r);

#endif
