/* SPDX-License-Identifier: Apache-2.0 */
/* store_folder.c - hands the database to the uid of the API process.
 *
 * DATA itself stays root's: whoever may write there could put another folder in the place of the
 * engine's. Once the folder has been handed over, its content is hostile: it is changed hands only
 * while it still belongs to somebody else, file by file and by descriptor, and a file that has
 * another name somewhere is left alone. The folder goes last: until then the next start goes on. */
#include "store_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* The journal before its database: one without the other would lose what was committed. */
static int move_old(int data_fd, int store_fd, struct nt_error *reterr)
{
    static const char *const parts[] = { "nanoterm.db-wal", "nanoterm.db-shm", "nanoterm.db" };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (renameat2(data_fd, parts[i], store_fd, parts[i], RENAME_NOREPLACE) < 0
            && errno != ENOENT)
            return nt_fail_sys(reterr, errno, "cannot move %s into its folder", parts[i]);
    return 0;
}

static int hand_over(int store_fd, const char *name, uid_t from, uint32_t uid, uint32_t gid)
{
    struct stat st;
    nt_autoclose int fd = openat(store_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != from)
        return 0;
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? errno : 0;
}

static void close_dirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static int fail_chown(int sys, const char *what, uint32_t uid, struct nt_error *reterr)
{
    if (sys != EINVAL)
        return nt_fail_sys(reterr, sys, "cannot hand %s over", what);
    nt_fail(reterr, NT_E_UNAVAILABLE,
            "this root has no other users: uid %u is not mapped in its user namespace", uid);
    return nt_hint(reterr, "run it there as a user that is not root, or map more users");
}

static int hand_over_all(int store_fd, uid_t from, uint32_t uid, uint32_t gid,
                         struct nt_error *reterr)
{
    nt_autoclose int copy = openat(store_fd, ".", FOLDER);
    nt_auto(close_dirp) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return nt_fail_sys(reterr, errno, "cannot read the store's folder");
    copy = -1;
    for (struct dirent *entry; (entry = readdir(dir));) {
        int sys = entry->d_name[0] == '.' ? 0 : hand_over(store_fd, entry->d_name, from, uid, gid);
        if (sys)
            return fail_chown(sys, "the store", uid, reterr);
    }
    return 0;
}

int store_folder_open(const char *data_dir, uint32_t uid, uint32_t gid, struct nt_error *reterr)
{
    struct stat st;
    nt_autoclose int data_fd = open(data_dir, FOLDER);
    if (data_fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", data_dir);
    if (mkdirat(data_fd, "store", 0700) < 0 && errno != EEXIST)
        return nt_fail_sys(reterr, errno, "cannot make the store's folder");
    nt_autoclose int fd = openat(data_fd, "store", FOLDER);
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open the store's folder");
    if (st.st_uid == uid)
        return nt_take_fd(fd);
    if (st.st_uid == 0 && move_old(data_fd, fd, reterr) < 0)
        return -1;
    if (hand_over_all(fd, st.st_uid, uid, gid, reterr) < 0)
        return -1;
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, 0700) < 0 || fsync(data_fd) < 0)
        return fail_chown(errno, "the store's folder", uid, reterr);
    return nt_take_fd(fd);
}
