/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - the fences around the API process of root's server: writes in the store's folder
 * only, reads where resolvers and the C library look, no other program, no namespaces, nothing of
 * the kernel that a server of HTTP does not need.
 *
 * The uid is the wall; these make what is behind it smaller. A kernel without Landlock is served
 * with the fence of system calls alone, and that is told. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/serve/monitor/drop.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define MAY_MISS (1u << ENFORCE_FILES | 1u << ENFORCE_SCOPES)

/* Names are resolved in this process: libraries and settings of the resolver, and the sockets of
 * local ones. */
static const char *const readable[] = {
    "/usr",         "/lib",      "/lib64",       "/etc",       "/run",          "/nix",
    "/var/lib/sss", "/dev/null", "/dev/urandom", "/proc/stat", "/proc/meminfo", "/proc/cpuinfo",
};

static int allow_paths(struct enforce *e, const struct drop *drop)
{
    /* No symbolic links, sockets or devices: the monitor looks into that folder as root. */
    int sys = enforce_path(e, drop->store_fd, ENFORCE_READ | ENFORCE_WRITE);
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]) && !sys; i++) {
        nt_autoclose int fd = open(readable[i], O_PATH | O_CLOEXEC);
        if (fd >= 0)
            sys = enforce_path(e, fd, ENFORCE_READ);
    }
    return sys;
}

static void enforce_donep(struct enforce *e)
{
    enforce_done(e);
}

int confine(struct drop *drop, struct nt_error *reterr)
{
    enum enforce_layer layer = ENFORCE_FILES;
    nt_auto(enforce_donep) struct enforce e;
    enforce_init(&e);
    e.files = e.signals = e.abstract_sockets = true;
    e.weaker = MAY_MISS;
    e.calls = ENFORCE_CALLS_KERNEL | ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_URING
              | ENFORCE_CALLS_NAMESPACES | ENFORCE_CALLS_PROGRAMS | ENFORCE_CALLS_PEEK
              | ENFORCE_CALLS_FAMILIES;
    int sys = enforce_prepare(&e, &layer);
    if (!sys)
        sys = allow_paths(&e, drop);
    if (!sys)
        sys = enforce_enter(&e, &layer);
    if (sys)
        return nt_fail_sys(reterr, sys, "the API process cannot be confined: layer '%s'",
                           enforce_layer_name(layer));
    drop->without = !enforce_layer_is_set(&e, ENFORCE_FILES)    ? ENFORCE_FILES
                    : !enforce_layer_is_set(&e, ENFORCE_SCOPES) ? ENFORCE_SCOPES
                                                                : ENFORCE_LAYERS;
    return 0;
}
