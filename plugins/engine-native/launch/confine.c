/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - what the guest and all that it starts forbid themselves, by the library that
 * sandboxes use too (sandbox-enforce/enforce): each of these steps of the table asks it for its
 * part.
 *
 * clone, unshare and mount stay allowed: workspaces can be nested into, and the user namespace
 * holds them. 32-bit programs run. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "launch.h"
#include "plugins/sandbox-enforce/enforce/enforce.h"

#define EVERYTHING                                                                                 \
    (ENFORCE_READ | ENFORCE_EXECUTE | ENFORCE_WRITE | ENFORCE_DEVICE | ENFORCE_SPECIAL)

static int enter(struct enforce *e, const struct launch *granted,
                 int (*grant)(struct enforce *e, const struct launch *l))
{
    enum enforce_layer layer;
    int sys = enforce_prepare(e, &layer);
    if (!sys && grant)
        sys = grant(e, granted);
    if (!sys)
        sys = enforce_enter(e, &layer);
    enforce_done(e);
    return sys;
}

/* --- landlock: the second fence of a hardened workspace (--harden) ------------------------------
 */

/* The guest's program and the folder of its logs are on mounts of their own, outside of the
 * root. */
static int grant_root(struct enforce *e, const struct launch *l)
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

/* Everything beneath the workspace's root stays allowed; what the domain takes away is mounting
 * (and with it nesting), reaching into processes outside of the domain, and, where the kernel knows
 * scopes, abstract sockets and signals that leave it. A kernel without Landlock fails the launch:
 * it was asked for. */
int confine_landlock(struct launch *l)
{
    struct enforce e;
    if (!(l->flags & PLAN_HARDEN))
        return 0;
    enforce_init(&e);
    e.privileges = false; /* a step of its own, behind this one */
    e.files = e.signals = e.abstract_sockets = true;
    e.weaker = 1u << ENFORCE_SCOPES;
    return enter(&e, l, grant_root);
}

int confine_landlock_verify(struct launch *l)
{
    if (!(l->flags & PLAN_HARDEN))
        return 0;
    /* Allowed a moment ago, by the capabilities that are still held. */
    return mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0 && errno == EPERM ? 0 : ENOTRECOVERABLE;
}

/* --- capabilities --------------------------------------------------------------------------- */

int confine_capabilities(struct launch *l)
{
    struct enforce e;
    /* Securebits are left at their defaults for what is nested inside. */
    if (prctl(PR_SET_SECUREBITS, 0) < 0)
        return errno;
    enforce_init(&e);
    return enter(&e, l, NULL);
}

int confine_capabilities_verify(struct launch *l)
{
    (void)l;
    return sethostname("x", 1) < 0 ? 0 : ENOTRECOVERABLE;
}

/* --- calls that no program inside needs ------------------------------------------------------- */

int confine_calls(struct launch *l)
{
    struct enforce e;
    enforce_init(&e);
    e.privileges = false;
    e.other_architecture = true;
    e.calls = ENFORCE_CALLS_KERNEL | ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_URING;
    return enter(&e, l, NULL);
}
