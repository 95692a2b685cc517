/* SPDX-License-Identifier: Apache-2.0 */
/* ioctl.c - with --diagnose: looks at each ioctl, and notes those that the policy denies: of
 * devices that may not be driven, and those that change attributes where all is read-only.
 *
 * As in files.c nothing is decided here. What a descriptor was opened on says who opened it:
 * Landlock minds only those of devices that the program opened itself, and they are on a mount of
 * its own namespace. Without one of its own nothing is told, as it could be wrong. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/sockios.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"

#ifndef FS_IOC_GETFSUUID
#define FS_IOC_GETFSUUID 0x80111500u
#endif
#ifndef FS_IOC_GETFSSYSFSPATH
#define FS_IOC_GETFSSYSFSPATH 0x80811501u
#endif
#define CALLS_OF_TERMINALS 'T'
#define FIRST_OF_PTS 136u /* to 143: their numbers of old, by the kernel's devices.txt */

static const uint32_t never[] = {
    /* What enforce's own rules answer: they come behind these. */
    TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP,
    /* What Landlock lets pass for all devices (is_masked_device_ioctl of its fs.c). */
    FIOCLEX, FIONCLEX, FIONBIO, FIOASYNC, FIOQSIZE, (uint32_t)FIFREEZE, (uint32_t)FITHAW,
    (uint32_t)_IOWR('f', 11, char[32]) /* FS_IOC_FIEMAP */, FIGETBSZ, FICLONE, FICLONERANGE,
    (uint32_t)FIDEDUPERANGE, FS_IOC_GETFSUUID, FS_IOC_GETFSSYSFSPATH
};

uint32_t ioctl_never_asked(size_t index)
{
    return index < sizeof(never) / sizeof(never[0]) ? never[index] : 0;
}

/* --- devices ------------------------------------------------------------------------------- */

/* Was it opened by way of the program's own mounts? */
static bool is_of_program(const struct notify_ask *ask, int file, const char *path)
{
    char again[NOTIFY_PATH_MAX];
    nt_autoclose int named = program_resolve(ask->pid, path, 0, again);
    uint64_t mount = files_mount_of(file);
    return named >= 0 && mount && files_mount_of(named) == mount;
}

static bool is_terminal(dev_t device)
{
    char name[64], text[256];
    if (major(device) >= FIRST_OF_PTS && major(device) < FIRST_OF_PTS + 8)
        return true;
    snprintf(name, sizeof(name), "/sys/dev/char/%u:%u/subsystem", major(device), minor(device));
    ssize_t size = readlink(name, text, sizeof(text));
    return size > 4 && memcmp(text + size - 4, "/tty", 4) == 0;
}

/* Programs ask many a file whether it is a terminal; others say no to that anyway. */
static bool is_idle_question(const struct stat *st, uint32_t request)
{
    return _IOC_TYPE(request) == CALLS_OF_TERMINALS
           && !(S_ISCHR(st->st_mode) && is_terminal(st->st_rdev));
}

/* Some grant beneath /dev covers it; see policy_is_driven. */
static bool may_be_driven(const struct policy *policy, const char *path)
{
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        size_t size = strlen(grant->path);
        bool is_covered = strncmp(path, grant->path, size) == 0
                          && (!path[size] || (path[size] == '/' && !grant->is_file));
        if (is_covered && policy_is_driven(grant))
            return true;
    }
    return false;
}

static void look_at_device(const struct notify_ask *ask, int file, const char *path)
{
    const struct notify_options *options = notify_options_of(ask->n);
    struct policy_answer answer;
    if (!options->has_device_rules || may_be_driven(options->policy, path)
        || !is_of_program(ask, file, path) || !notify_is_valid(ask->n, ask->id))
        return;
    policy_ask_path(options->policy, path, POLICY_WRITE, &answer);
    const char *rule = answer.is_allowed
                           ? "devices are driven in /dev alone, where they are granted "
                             "there for writing"
                           : "a device is driven where it may be written";
    denials_add(options->denials,
                &(struct denial){ .source = DENIAL_TRACED,
                                  .act = "ioctl",
                                  .target = path,
                                  .layer = "landlock",
                                  .rule = answer.deny ? answer.deny->source : rule,
                                  .grant = answer.flag });
}

/* --- attributes ---------------------------------------------------------------------------- */

/* How much the kernel reads before it asks the mount; 0: another request. */
static size_t size_of_change(uint32_t request)
{
    return request == (uint32_t)FS_IOC_SETFLAGS     ? sizeof(int)
           : request == (uint32_t)FS_IOC_FSSETXATTR ? sizeof(struct fsxattr)
                                                    : 0;
}

/* Others say that they know no such request, also where they may be written. */
static bool has_flags(int file)
{
    struct statx st;
    return statx(file, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0
           && st.stx_attributes_mask & STATX_ATTR_IMMUTABLE;
}

static void look_at_change(const struct notify_ask *ask, int file, size_t size)
{
    char bytes[sizeof(struct fsxattr)];
    if (has_flags(file) && program_read(ask->pid, ask->args[2], bytes, size) == 0)
        files_note_change(ask, (int)(uint32_t)ask->args[0]);
}

int64_t ioctl_answer(const struct notify_ask *ask)
{
    char path[NOTIFY_PATH_MAX];
    struct stat st;
    int number = (int)(uint32_t)ask->args[0];
    uint32_t request = (uint32_t)ask->args[1];
    if (number < 0 || !notify_options_of(ask->n)->is_readonly)
        return NOTIFY_NATIVE;
    nt_autoclose int file = program_descriptor(ask->pid, number, false, path);
    if (file < 0 || fstat(file, &st) < 0)
        return NOTIFY_NATIVE;
    size_t size = size_of_change(request);
    if ((S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && !is_idle_question(&st, request))
        look_at_device(ask, file, path);
    else if (size && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        look_at_change(ask, file, size);
    return NOTIFY_NATIVE;
}
