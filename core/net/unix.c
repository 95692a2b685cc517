/* SPDX-License-Identifier: Apache-2.0 */
/* unix.c - Unix sockets at paths of any length. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/net/net.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* sun_path holds 108 bytes. A longer path is named by its folder's descriptor, which must stay open
 * for the call. */
static int fill_address(const char *path, struct sockaddr_un *ret, int *ret_folder,
                        struct nt_error *reterr)
{
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    *ret_folder = -1;
    size_t size = strlen(path);
    if (size == 0)
        return nt_fail(reterr, NT_E_USAGE, "the path of a socket is empty");
    if (size < sizeof(ret->sun_path)) {
        memcpy(ret->sun_path, path, size + 1);
        return 0;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (size >= PATH_MAX || !name[0])
        return nt_fail_sys(reterr, ENAMETOOLONG, "not the path of a socket");
    char folder[PATH_MAX];
    size_t n = slash ? (size_t)(slash - path) : 0;
    memcpy(folder, path, n);
    memcpy(folder + n, slash == path ? "/" : slash ? "" : ".", slash && slash != path ? 1 : 2);
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", folder);
    int length = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd, name);
    if (length < 0 || (size_t)length >= sizeof(ret->sun_path)) {
        close(fd);
        return nt_fail_sys(reterr, ENAMETOOLONG, "the name of the socket %s is too long", name);
    }
    *ret_folder = fd;
    return 0;
}

int net_unix_connect(const char *path, struct nt_error *reterr)
{
    struct sockaddr_un address;
    nt_autoclose int folder = -1;
    if (fill_address(path, &address, &folder, reterr) < 0)
        return -1;
    nt_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int sys = errno;
        char name[32];
        nt_fail_sys(reterr, sys, "cannot connect to %s", path);
        reterr->code = NT_E_CONNECT;
        reterr->retryable = 1;
        nt_copy_text(reterr->upstream, sizeof(reterr->upstream),
                     nt_errno_name(sys, name, sizeof(name)));
        return -1;
    }
    return nt_take_fd(fd);
}

int net_unix_listen(const char *path, struct nt_error *reterr)
{
    struct sockaddr_un address;
    nt_autoclose int folder = -1;
    if (fill_address(path, &address, &folder, reterr) < 0)
        return -1;
    nt_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot make a socket");
    /* The mode of the descriptor is that of the file which bind makes (less the umask): never
     * wider, not even for a moment. */
    if (fchmod(fd, 0600) < 0)
        return nt_fail_sys(reterr, errno, "cannot set the mode of %s", path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 512) < 0)
        return nt_fail_sys(reterr, errno, "cannot listen at %s", path);
    return nt_take_fd(fd);
}
