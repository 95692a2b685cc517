/* SPDX-License-Identifier: Apache-2.0 */
/* drop.h - how the API process of root's server becomes nobody. */
#ifndef NT_SERVE_MONITOR_DROP_H
#define NT_SERVE_MONITOR_DROP_H

#include <stdint.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/enforce/enforce.h"

/* The uid and gid of the API process where there is no system user "nanoterm": nobody's, in no
 * passwd and no subuid range that distributions hand out. One below DISK_UID of engine-native. */
#define API_UID 1879048190u
#define API_USER "nanoterm"

struct drop {
    uint32_t uid, gid;
    int store_fd;               /* the one folder that may be written to */
    enum enforce_layer without; /* set: what this kernel does not have; ENFORCE_LAYERS: has all */
};

/* Goes through the steps, each applied and verified. For good; before there are threads. */
int drop_privileges(struct drop *drop, struct nt_error *reterr);

/* confine.c: the last step, what file system and kernel still offer to nobody. */
int confine(struct drop *drop, struct nt_error *reterr);

#endif
