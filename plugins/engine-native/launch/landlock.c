/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.c - the second fence of a hardened workspace (--harden): a Landlock domain around all of
 * its programs.
 *
 * Everything beneath the workspace's root stays allowed; what the domain takes away is mounting
 * (and with it nesting), reaching into processes outside of the domain, and, where the kernel knows
 * scopes, abstract sockets and signals that leave it. A kernel without Landlock fails the launch:
 * it was asked for. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"

#define EVERYTHING                                                                                 \
    (ENFORCE_READ | ENFORCE_EXECUTE | ENFORCE_WRITE | ENFORCE_DEVICE | ENFORCE_SPECIAL)

/* The guest's program and the folder of its logs are on mounts of their own, outside of the
 * root. */
static int allow(struct enforce *e, const struct launch *l)
{
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return errno;
    int sys = enforce_path(e, root, EVERYTHING);
    close(root);
    if (!sys)
        sys = enforce_path(e, GUEST_FD_JOBS, EVERYTHING);
    return sys ? sys : enforce_path(e, l->guest_fd, ENFORCE_READ | ENFORCE_EXECUTE);
}

int landlock_apply(struct launch *l)
{
    enum enforce_layer layer;
    struct enforce e;
    if (!(l->flags & PLAN_HARDEN))
        return 0;
    enforce_init(&e);
    e.privileges = false; /* a step of its own, behind this one */
    e.files = e.signals = e.abstract_sockets = true;
    e.weaker = 1u << ENFORCE_SCOPES;
    int sys = enforce_prepare(&e, &layer);
    if (!sys)
        sys = allow(&e, l);
    if (!sys)
        sys = enforce_enter(&e, &layer);
    enforce_done(&e);
    return sys;
}

int landlock_verify(struct launch *l)
{
    if (!(l->flags & PLAN_HARDEN))
        return 0;
    /* Allowed a moment ago, by the capabilities that are still held. */
    return mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0 && errno == EPERM ? 0 : ENOTRECOVERABLE;
}
