/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - the functions of api.h as the rows of a table: what api.so gives the program, opened at
 * the first request.
 *
 * Both are of one build: a table of another size or version is refused, so that it has no rules of
 * growth. */
#ifndef NT_CORE_API_TABLE_H
#define NT_CORE_API_TABLE_H

#include "core/api/api.h"
#include "core/api/login.h"

#define API_TABLE_SYMBOL "nt_api_table"

struct api_table {
    uint32_t size;
    uint32_t reserved;
    const char *version;
    __typeof__(api_new) *make;
    __typeof__(api_free) *free;
    __typeof__(api_request) *request;
    __typeof__(api_header) *header;
    __typeof__(api_header_at) *header_at;
    __typeof__(api_open) *open;
    __typeof__(api_upgrade_local) *upgrade_local;
    __typeof__(api_loop) *loop;
    __typeof__(api_wait) *wait;
    __typeof__(api_login) *login;
};

#endif
