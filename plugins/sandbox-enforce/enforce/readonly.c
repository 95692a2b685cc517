/* SPDX-License-Identifier: Apache-2.0 */
/* readonly.c - makes a mount namespace read-only but for some places, so that modes, owners, times
 * and attributes hold too, for which Landlock has no right.
 *
 * What may be written is cloned as it is, nested mounts and what of them was read-only before
 * included; then all that is mounted becomes read-only in one call, and the clones are put over
 * their own places. No mount is ever made writable again. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "layers.h"
#include "namespaces.h"

/* Devices, pipes and sockets are written on a read-only mount, too. What cannot be asked is told
 * when it is cloned. */
static bool needs_mount(const struct enforce_place *place)
{
    struct stat st;
    return fstat(place->fd, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

void spaces_close_place(struct enforce_place *place)
{
    if (place->at >= 0)
        close(place->at);
    if (place->tree >= 0)
        close(place->tree);
    place->at = place->tree = -1;
}

/* By its path, as the descriptor leads into the mounts of outside. What the path leads to by now
 * is left read-only when it is something else: rules of Landlock hold the old one, too. */
int spaces_clone_place(struct enforce_place *place)
{
    struct stat wanted, here;
    if (fstat(place->fd, &wanted) < 0)
        return errno;
    place->at = spaces_open_path(place->path);
    if (place->at < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? errno : 0;
    if (fstat(place->at, &here) < 0)
        return errno;
    if (here.st_dev == wanted.st_dev && here.st_ino == wanted.st_ino) {
        place->tree = (int)syscall(SYS_open_tree, place->at, "",
                                   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
                                       | (S_ISDIR(here.st_mode) ? AT_RECURSIVE : 0));
        if (place->tree < 0)
            return errno;
    }
    return 0;
}

/* Taking away what is not there changes nothing in any case, and whether the mount may be written
 * is asked before who may. */
static int verify(void)
{
    return removexattr("/", "user.nanoterm.none") < 0 && errno == EROFS ? 0 : ENOTRECOVERABLE;
}

int enforce_spaces_readonly(struct enforce_place *places, size_t count)
{
    const struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    bool is_set = false;
    int sys = 0;
    for (size_t i = 0; i < count; i++)
        places[i].at = places[i].tree = -1;
    for (size_t i = 0; i < count && !sys; i++)
        if (needs_mount(&places[i]))
            sys = spaces_clone_place(&places[i]);
    if (!sys) {
        is_set = syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) == 0;
        sys = is_set ? 0 : errno;
    }
    for (size_t i = 0; i < count && !sys; i++)
        sys = places[i].tree >= 0 ? spaces_attach(places[i].tree, places[i].at) : 0;
    for (size_t i = 0; i < count; i++)
        spaces_close_place(&places[i]);
    if (!sys)
        return verify();
    /* Not the machine's fault: it must not pass for "cannot be had". */
    if (is_set || sys == EMFILE || sys == ENFILE || sys == ENOMEM)
        return sys;
    return EOPNOTSUPP;
}

bool enforce_spaces_has_readonly(void)
{
    /* Nothing is asked for: known, and not refused by a filter, when the size is what it minds. */
    return syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) < 0 && errno == EINVAL
           && syscall(SYS_open_tree, -1, "", ~0u) < 0 && errno == EINVAL;
}
