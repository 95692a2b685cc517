/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.c - the second fence of a hardened workspace (--harden): a Landlock domain around all of
 * its programs.
 *
 * Everything beneath the workspace's root stays allowed; what the domain takes away is mounting
 * (and with it nesting), reaching into processes outside of the domain, and, where the kernel knows
 * scopes, abstract sockets and signals that leave it. The newest interface is found by call. A
 * kernel without Landlock fails the launch: it was asked for. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/landlock.h, which is older than the kernel on the systems that we build on. */
struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

int landlock_apply(struct launch *l)
{
    if (!(l->flags & PLAN_HARDEN))
        return 0;
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (version < 1)
        return errno;
    /* Rights by version: 13 of files in 1, REFER in 2, TRUNCATE in 3, IOCTL_DEV in 5; scopes in
     * 6. */
    unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    struct ruleset_attr attr = { .handled_access_fs = (UINT64_C(1) << bits) - 1,
                                 .scoped = version >= 6 ? 3 : 0 };
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0u);
    if (ruleset < 0)
        return errno;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int sys = root < 0 ? errno : 0;
    /* The guest's program and the folder of its logs are on mounts of their own, outside of the
     * root. */
    const struct path_rule rules[] = {
        { attr.handled_access_fs, root },
        { attr.handled_access_fs, 6 },
        { 1u | 4u /* EXECUTE, READ_FILE */, l->guest_fd },
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && !sys; i++)
        if (syscall(SYS_landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rules[i],
                    0u)
            < 0)
            sys = errno;
    if (!sys
        && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
            || syscall(SYS_landlock_restrict_self, ruleset, 0u) < 0))
        sys = errno;
    if (root >= 0)
        close(root);
    close(ruleset);
    return sys;
}

int landlock_verify(struct launch *l)
{
    if (!(l->flags & PLAN_HARDEN))
        return 0;
    /* Allowed a moment ago, by the capabilities that are still held. */
    return mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0 && errno == EPERM ? 0 : ENOTRECOVERABLE;
}
