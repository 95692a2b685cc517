/* SPDX-License-Identifier: Apache-2.0 */
/* inside.c - what is done in new namespaces before the program: /proc, loopback, a listener. Hidden
 * paths stand in hide.c. */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "namespaces.h"

#define LISTEN_QUEUE 128

int enforce_spaces_proc(bool is_readonly)
{
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (is_readonly ? MS_RDONLY : 0);
    return mount("proc", "/proc", "proc", flags, NULL) < 0 ? errno : 0;
}

int enforce_spaces_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), sys = 0;
    if (fd < 0)
        return errno;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        sys = errno;
    close(fd);
    return sys;
}

int enforce_spaces_listen(uint16_t *port, int *ret_fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(*port),
                                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, LISTEN_QUEUE) < 0
        || getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        int sys = errno;
        close(fd);
        return sys;
    }
    *port = ntohs(address.sin_port);
    *ret_fd = fd;
    return 0;
}
