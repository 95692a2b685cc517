/* SPDX-License-Identifier: Apache-2.0 */
/* drop.h - how the API process of root's server becomes nobody. */
#ifndef NT_SERVE_MONITOR_DROP_H
#define NT_SERVE_MONITOR_DROP_H

#include <stdint.h>

#include "nanoterm/error.h"

/* The uid and gid of the API process where there is no system user "nanoterm": nobody's, in no
 * passwd and no subuid range that distributions hand out. One below DISK_UID of engine-native. */
#define API_UID 1879048190u
#define API_USER "nanoterm"

struct drop {
    uint32_t uid, gid;
    int store_fd; /* the one folder that may be written to */
};

/* Goes through the steps, each applied and verified. For good; before there are threads. */
int drop_privileges(const struct drop *drop, struct nt_error *reterr);

/* confine.c: what file system and kernel still offer to nobody. 0 or errno. */
int confine_files(const struct drop *drop);
int confine_files_verify(const struct drop *drop);
int confine_calls(const struct drop *drop);
int confine_calls_verify(const struct drop *drop);

#endif
