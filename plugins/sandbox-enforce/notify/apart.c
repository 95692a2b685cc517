/* SPDX-License-Identifier: Apache-2.0 */
/* apart.c - with --diagnose: what is not renamed or linked although both folders may be
 * written, because each was granted for itself (EXDEV).
 *
 * Two reasons: each grant is a mount of its own, where all else is read-only; and Landlock lets
 * nothing get more rights by its new place. Not told is what lies on two mounts outside, too, and
 * what the modes of the folders forbid. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"

#define CALL_FACCESSAT2 439

uint64_t files_mount_of(int file)
{
    struct statx st;
    return statx(file, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0 && st.stx_mask & STATX_MNT_ID
               ? st.stx_mnt_id
               : 0;
}

/* The mount of PATH as it is for us, if that is still the same file; 0: it is not known. */
static uint64_t mount_outside(const char *path, int file)
{
    struct stat st, there;
    nt_autoclose int here = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return here >= 0 && fstat(here, &st) == 0 && fstat(file, &there) == 0
                   && st.st_dev == there.st_dev && st.st_ino == there.st_ino
               ? files_mount_of(here)
               : 0;
}

/* POLICY_ bits of PATH. */
static uint32_t access_to(const struct policy *policy, const char *path)
{
    struct policy_answer answer;
    uint32_t access = 0;
    for (uint32_t bit = POLICY_READ; bit <= POLICY_WRITE; bit <<= 1) {
        policy_ask_canonical(policy, path, bit, &answer);
        access |= answer.is_allowed ? bit : 0;
    }
    return access;
}

/* This thread has the program's user and no more rights. */
static bool may_change(int folder)
{
    return syscall(CALL_FACCESSAT2, folder, "", W_OK | X_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

/* The folder that holds both, in TEXT. false: to grant it would open more than anybody means. */
static bool common_folder(const char *a, const char *b, char text[NOTIFY_PATH_MAX])
{
    size_t size = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == '/')
            size = i;
    if ((!a[i] || a[i] == '/') && (!b[i] || b[i] == '/'))
        size = i;
    memcpy(text, a, size);
    text[size] = '\0';
    const char *home = getenv("HOME");
    return size > 1 && strchr(text + 1, '/')
           && !(home && strncmp(home, text, size) == 0 && (!home[size] || home[size] == '/'));
}

static bool by_mounts(const struct apart *from, const struct apart *to, int file)
{
    uint64_t mount = file >= 0 ? files_mount_of(file) : files_mount_of(from->folder);
    if (!mount || !files_mount_of(to->folder) || mount == files_mount_of(to->folder))
        return false;
    uint64_t here =
        file >= 0 ? mount_outside(from->entry, file) : mount_outside(from->path, from->folder);
    return here && here == mount_outside(to->path, to->folder);
}

/* Would what lies at FROM/entry get a right by lying in TO? */
static bool gains(const struct policy *policy, const struct apart *from, const struct apart *to)
{
    return access_to(policy, to->path)
           & ~(access_to(policy, from->path) | access_to(policy, from->entry));
}

static bool by_rights(const struct policy *policy, const struct apart *from, const struct apart *to,
                      bool is_link, bool is_exchange)
{
    return gains(policy, from, to) || (is_exchange && gains(policy, to, from))
           || (is_link && !(access_to(policy, from->path) & POLICY_WRITE));
}

void apart_note(const struct notify_ask *ask, const struct apart *from, const struct apart *to,
                int file, bool is_exchange)
{
    const struct notify_options *options = notify_options_of(ask->n);
    const struct policy *policy = options->policy;
    char target[2 * NOTIFY_PATH_MAX + 4], common[NOTIFY_PATH_MAX];
    struct policy_answer answer = { .flag = "" };
    bool is_link = file >= 0, is_mounts = by_mounts(from, to, file);
    if (strcmp(from->path, to->path) == 0 || !(is_link || may_change(from->folder))
        || !may_change(to->folder))
        return;
    /* Two mounts of outside are two for everybody. */
    if (!is_mounts
        && (files_mount_of(from->folder) != files_mount_of(to->folder) || options->has_no_rules
            || !by_rights(policy, from, to, is_link, is_exchange)))
        return;
    if (!notify_is_valid(ask->n, ask->id))
        return;
    uint32_t access = POLICY_WRITE | access_to(policy, from->path) | access_to(policy, to->path);
    if (common_folder(from->path, to->path, common))
        policy_ask_path(policy, common, access, &answer);
    snprintf(target, sizeof(target), "%s -> %s", from->path, to->path);
    denials_add(options->denials,
                &(struct denial){ .source = DENIAL_TRACED,
                                  .act = is_link ? "link" : "rename",
                                  .target = target,
                                  .layer = is_mounts ? "mount" : "landlock",
                                  .rule = "granted apart: grant the folder that holds both",
                                  .grant = answer.deny || answer.pattern ? "" : answer.flag });
}
