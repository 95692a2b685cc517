/* SPDX-License-Identifier: Apache-2.0 */
/* module.c - the one symbol of api.so: the table of the functions of api.h. */
#include "core/api/table.h"

__attribute__((visibility("default"))) extern const struct api_table nt_api_table;

const struct api_table nt_api_table = {
    .size = sizeof(struct api_table),
    .version = NT_VERSION,
    .make = api_new,
    .free = api_free,
    .request = api_request,
    .header = api_header,
    .header_at = api_header_at,
    .open = api_open,
    .upgrade_local = api_upgrade_local,
    .loop = api_loop,
    .wait = api_wait,
    .login = api_login,
};
