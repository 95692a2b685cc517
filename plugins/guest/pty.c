/* SPDX-License-Identifier: Apache-2.0 */
/* pty.c - makes and sizes terminals; see pty.h.
 *
 * /dev/ptmx is a link that programs inside can replace, with a FIFO for one. What is opened is the
 * ptmx beneath the devpts that was there at our start, with no link and no mount in between. */
#include "plugins/guest/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "plugins/guest/state.h"

#define TERM_MAX 64u

static int devpts = -1;

void pty_init(void)
{
    devpts = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int open_master(void)
{
    struct open_how how = { .flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
                            .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
    if (devpts < 0) {
        errno = ENODEV;
        return -1;
    }
    int fd = (int)syscall(SYS_openat2, devpts, "ptmx", &how, sizeof(how));
    if (fd < 0 && guest.is_test) /* the host's own may be closed to all but /dev/ptmx */
        fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    return fd;
}

/* What a person types is UTF-8: the kernel erases whole characters. */
static void set_utf8(int slave)
{
    struct termios t;
    if (tcgetattr(slave, &t) == 0) {
        t.c_iflag |= IUTF8;
        tcsetattr(slave, TCSANOW, &t);
    }
}

int pty_open(uint16_t cols, uint16_t rows, int *ret_master, int *ret_slave)
{
    int master = open_master(), locked = 0;
    if (master < 0)
        return -1;
    struct stat st;
    int slave = -1;
    if (fstat(master, &st) == 0 && S_ISCHR(st.st_mode) && ioctl(master, TIOCSPTLCK, &locked) == 0)
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        int sys = errno ? errno : ENOTTY;
        close(master);
        errno = sys;
        return -1;
    }
    set_utf8(slave);
    pty_resize(master, cols, rows);
    *ret_master = master;
    *ret_slave = slave;
    return 0;
}

void pty_resize(int master, uint16_t cols, uint16_t rows)
{
    struct winsize size = { .ws_row = rows, .ws_col = cols };
    ioctl(master, TIOCSWINSZ, &size);
}

void pty_redraw(int master)
{
    pid_t group = 0;
    if (ioctl(master, TIOCGPGRP, &group) == 0 && group > 1)
        kill(-group, SIGWINCH);
}

bool pty_is_term(const char *value)
{
    size_t size = strlen(value);
    return size && size <= TERM_MAX && value[0] != '.'
           && strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
                  == size;
}
