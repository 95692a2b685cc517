/* SPDX-License-Identifier: Apache-2.0 */
/* privileges.c - nothing that is executed from now on gains privilege, and none is left. */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "layers.h"

int privileges_enter(struct enforce *e)
{
    (void)e;
    const struct rlimit none = { 0, 0 };
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return errno;
    /* Without CAP_SETPCAP the bounding set stays: under no_new_privs nothing comes out of it. */
    for (int cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        if (errno != EPERM && (errno != EINVAL || cap == 0)) /* EINVAL: behind the last one */
            return errno;
        break;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return errno;
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    const struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    return syscall(SYS_capset, &head, data) < 0 ? errno : 0;
}

int privileges_verify(struct enforce *e)
{
    (void)e;
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return errno;
    for (size_t i = 0; i < 2; i++)
        if (data[i].effective | data[i].permitted | data[i].inheritable)
            return ENOTRECOVERABLE;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : ENOTRECOVERABLE;
}
