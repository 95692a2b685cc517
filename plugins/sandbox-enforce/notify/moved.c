/* SPDX-License-Identifier: Apache-2.0 */
/* moved.c - whether a local socket may have been moved to where it is found.
 *
 * A path that was granted says nothing about a socket that the program itself has renamed or linked
 * to it, or that lies in a folder which it has put there: of a terminal's server in /tmp, say. So
 * where the program may write, a socket must be known: bound for the program, or there when it
 * began; or nothing on its mount may be out of reach, since what is on another is not moved here
 * (rename(2), EXDEV). */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"

#define KNOWN 1024u      /* of those that are bound, the oldest is forgotten */
#define KNOWN_FIRST 512u /* of those that were there */
#define LOOKED_AT 8192u  /* names in folders */
#define DEPTH 8u

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000u
#endif
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

/* A number of a file is used again when that is gone; the time when it was made is not. Where the
 * file system does not tell that (tmpfs before Linux 5.18), it is 0. */
struct known {
    uint64_t inode;
    int64_t born_s;
    uint32_t born_ns, major, minor; /* of the device */
};

struct notify_known {
    size_t first, next; /* how many were there; how many came, also those that are forgotten */
    struct known known[KNOWN];
};

static bool is_equal(const struct known *a, const struct known *b)
{
    return a->inode == b->inode && a->born_s == b->born_s && a->born_ns == b->born_ns
           && a->major == b->major && a->minor == b->minor;
}

/* NAME in FOLDER, or (empty) FOLDER itself. false: no socket. */
static bool look(int folder, const char *name, struct known *ret)
{
    struct statx st;
    if (statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH,
              STATX_TYPE | STATX_INO | STATX_BTIME, &st)
            < 0
        || !S_ISSOCK(st.stx_mode))
        return false;
    *ret =
        (struct known){ .inode = st.stx_ino, .major = st.stx_dev_major, .minor = st.stx_dev_minor };
    if (st.stx_mask & STATX_BTIME)
        ret->born_s = st.stx_btime.tv_sec, ret->born_ns = st.stx_btime.tv_nsec;
    return true;
}

/* --- those that are known ------------------------------------------------------------------ */

static void add_first(struct notify_known *k, int folder, const char *name)
{
    if (k->first < KNOWN_FIRST && look(folder, name, &k->known[k->first]))
        k->next = ++k->first;
}

/* What lies in FOLDER, and DEPTH folders deeper. */
static void add_folder(struct notify_known *k, int folder, unsigned depth, unsigned *left)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (!list && fd >= 0)
        close(fd);
    while (list && k->first < KNOWN_FIRST && *left && (entry = readdir(list))) {
        --*left;
        if (entry->d_type == DT_SOCK || entry->d_type == DT_UNKNOWN)
            add_first(k, folder, entry->d_name);
        if (!depth || entry->d_type != DT_DIR || !strcmp(entry->d_name, ".")
            || !strcmp(entry->d_name, ".."))
            continue;
        nt_autoclose int deeper =
            openat(folder, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (deeper >= 0)
            add_folder(k, deeper, depth - 1, left);
    }
    if (list)
        closedir(list);
}

static bool is_writable(const struct policy *policy, const char *folder)
{
    struct policy_answer answer;
    policy_ask_canonical(policy, folder, POLICY_WRITE, &answer);
    return answer.is_allowed;
}

struct notify_known *known_new(const struct notify_options *options)
{
    const struct policy *policy = options->policy;
    struct notify_known *k = calloc(1, sizeof(*k));
    unsigned left = LOOKED_AT;
    for (size_t i = 0; k && i < policy->unix_count; i++) {
        const struct policy_unix *row = &policy->unix_grants[i];
        if (!row->is_folder)
            add_first(k, row->parent_fd, strrchr(row->path, '/') + 1);
        else if (is_writable(policy, row->path))
            add_folder(k, row->parent_fd, row->is_tree && !options->has_mounts ? DEPTH : 0, &left);
    }
    /* Into mounts of their own nothing is moved. */
    for (size_t i = 0; k && !options->has_mounts && i < policy->grant_count; i++)
        if (!policy->grants[i].is_file && policy_covers_sockets(policy, policy->grants[i].path))
            add_folder(k, policy->grants[i].fd, 0, &left);
    return k;
}

void known_free(struct notify_known *k)
{
    free(k);
}

void known_add(struct notify_known *k, int folder, const char *name, const struct timespec *since)
{
    struct known known;
    if (!look(folder, name, &known))
        return;
    /* Another one, which the program has put in its place by now? */
    if (known.born_s
        && (known.born_s < since->tv_sec
            || (known.born_s == since->tv_sec && (long)known.born_ns < since->tv_nsec)))
        return;
    k->known[k->first + (k->next - k->first) % (KNOWN - k->first)] = known;
    k->next++;
}

static bool is_among(const struct notify_known *k, size_t first, const struct known *known)
{
    for (size_t i = first; i < KNOWN && i < k->next; i++)
        if (is_equal(&k->known[i], known))
            return true;
    return false;
}

bool known_is_own(const struct notify_known *k, int socket)
{
    struct known known;
    /* Without its time another one may have been taken for it. */
    return look(socket, "", &known) && known.born_s && is_among(k, k->first, &known);
}

/* --- the mount ----------------------------------------------------------------------------- */

/* Whether FOLDER is the root of mount ID, as the program sees it: there is but one. */
static bool is_root_of(const struct notify_ask *ask, const char *folder, uint64_t id)
{
    char canonical[NOTIFY_PATH_MAX];
    struct statx st;
    nt_autoclose int fd = program_resolve(ask->pid, folder, O_DIRECTORY | O_NOFOLLOW, canonical);
    return fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0
           && st.stx_mask & STATX_MNT_ID && st.stx_mnt_id == id
           && st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* Whether all sockets on the mount of SOCKET may be connected to. PATH is shortened. */
static bool is_mount_open(const struct notify_ask *ask, int socket, char *path)
{
    struct statx st;
    if (statx(socket, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
        return false;
    for (char *slash; (slash = strrchr(path, '/')) && path[1];) {
        slash[slash == path] = '\0'; /* "/" stays */
        if (is_root_of(ask, path, st.stx_mnt_id))
            return policy_covers_sockets(notify_options_of(ask->n)->policy, path);
    }
    return false;
}

bool known_is_in_place(const struct notify_ask *ask, int socket, const char *canonical)
{
    const struct policy *policy = notify_options_of(ask->n)->policy;
    const struct notify_known *known = notify_known_of(ask->n);
    struct known it;
    char path[NOTIFY_PATH_MAX];
    size_t size = (size_t)(strrchr(canonical, '/') - canonical);
    memcpy(path, canonical, size ? size : 1);
    path[size ? size : 1] = '\0';
    if (!is_writable(policy, path) || (look(socket, "", &it) && is_among(known, 0, &it)))
        return true;
    memcpy(path, canonical, strlen(canonical) + 1);
    return is_mount_open(ask, socket, path);
}
