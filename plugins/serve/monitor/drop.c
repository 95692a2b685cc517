/* SPDX-License-Identifier: Apache-2.0 */
/* drop.c - the ordered table of steps by which the API process of root's server gives its privilege
 * up. Each step is applied, then verified by trying what must now fail; confine.c is the last. */
#include "drop.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sdk/error.h"

#define CAPS_MAX 64

static int groups_apply(const struct drop *d)
{
    (void)d;
    return setgroups(0, NULL) < 0 ? errno : 0;
}

static int groups_verify(const struct drop *d)
{
    (void)d;
    return getgroups(0, NULL) == 0 ? 0 : ENOTRECOVERABLE;
}

/* What no program that is executed could get back. Before the uid: it needs CAP_SETPCAP. */
static int bounding_apply(const struct drop *d)
{
    (void)d;
    for (unsigned long cap = 0; cap < CAPS_MAX; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ? errno : 0;
}

static int bounding_verify(const struct drop *d)
{
    (void)d;
    for (unsigned long cap = 0; cap < CAPS_MAX; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            return ENOTRECOVERABLE;
    return 0;
}

static int gid_apply(const struct drop *d)
{
    return setresgid(d->gid, d->gid, d->gid) < 0 ? errno : 0;
}

static int gid_verify(const struct drop *d)
{
    gid_t real, effective, saved;
    if (getresgid(&real, &effective, &saved) < 0)
        return errno;
    return real == d->gid && effective == d->gid && saved == d->gid && d->gid ? 0 : ENOTRECOVERABLE;
}

static int uid_apply(const struct drop *d)
{
    return setresuid(d->uid, d->uid, d->uid) < 0 ? errno : 0;
}

static int uid_verify(const struct drop *d)
{
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) < 0)
        return errno;
    if (real != d->uid || effective != d->uid || saved != d->uid || !d->uid)
        return ENOTRECOVERABLE;
    return setresuid((uid_t)-1, 0, (uid_t)-1) < 0 && setresgid((gid_t)-1, 0, (gid_t)-1) < 0
               ? 0
               : ENOTRECOVERABLE;
}

/* A new uid makes a process readable by its own kind again, and forgets the signal of its parent's
 * death: so after the uid. */
static int quiet_apply(const struct drop *d)
{
    (void)d;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0
               ? errno
               : 0;
}

static int quiet_verify(const struct drop *d)
{
    (void)d;
    int signo = 0;
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_PDEATHSIG, &signo, 0, 0, 0) == 0
                   && signo == SIGKILL
               ? 0
               : ENOTRECOVERABLE;
}

static const struct {
    const char *name;
    int (*apply)(const struct drop *d);
    int (*verify)(const struct drop *d);
} steps[] = {
    { "groups", groups_apply, groups_verify }, { "bounding set", bounding_apply, bounding_verify },
    { "gid", gid_apply, gid_verify },          { "uid", uid_apply, uid_verify },
    { "silence", quiet_apply, quiet_verify },
};

int drop_privileges(struct drop *drop, struct nt_error *reterr)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int sys = steps[i].apply(drop);
        if (sys == 0)
            sys = steps[i].verify(drop);
        if (sys == 0)
            continue;
        nt_fail_sys(reterr, sys, "the API process cannot give up its privilege: step '%s'",
                    steps[i].name);
        return nt_hint(reterr, "make a system user " API_USER ", or run the server as a user");
    }
    return confine(drop, reterr);
}
