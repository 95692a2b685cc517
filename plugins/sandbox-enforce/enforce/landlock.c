/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.c - three layers of one set of rules: files, TCP ports, and what leaves the group of
 * the confined.
 *
 * The version of the interface is asked for by call. What it has is used in full; what it lacks of
 * what was asked for is an error that names the layer. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "layers.h"

/* Of linux/landlock.h, which is older than the kernel on the systems that we build on. */
struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));
struct port_rule {
    uint64_t allowed, port;
};

#define CREATE_VERSION 1u
#define RULE_PATH 1
#define RULE_PORT 2
#define FILES_VERSION 1
#define TCP_VERSION 4
#define SCOPES_VERSION 6
#define AUDIT_VERSION 7
#define AUDIT_NOT_OURS 1u /* LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF */
#define AUDIT_PROGRAMS 2u /* LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON */
#define SCOPE_ABSTRACT 1u
#define SCOPE_SIGNALS 2u
#define TCP_BIND 1u
#define TCP_CONNECT 2u

#define RIGHT(bit) (UINT64_C(1) << (bit))
#define EXECUTE RIGHT(0)
#define WRITE_FILE RIGHT(1)
#define READ_FILE RIGHT(2)
#define READ_DIR RIGHT(3)
#define CHANGE_DIR (RIGHT(4) | RIGHT(5) | RIGHT(7) | RIGHT(8)) /* remove and make */
#define MAKE_SPECIAL (RIGHT(6) | RIGHT(9) | RIGHT(10) | RIGHT(11) | RIGHT(12))
#define REFER RIGHT(13) /* link or move between folders */
#define TRUNCATE RIGHT(14)
#define IOCTL_DEV RIGHT(15)
#define OF_FILES (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV)

int enforce_landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return version < 0 ? 0 : (int)version;
}

/* All rights of files that this version knows: REFER came with 2, TRUNCATE with 3, IOCTL_DEV
 * with 5. */
static uint64_t rights_of(int version)
{
    return RIGHT(version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13) - 1;
}

/* Drops the layers that may be missing, names the first that may not. */
static int check_version(struct enforce *e, enum enforce_layer *ret_layer)
{
    static const struct {
        enum enforce_layer layer;
        int version;
    } needs[] = { { ENFORCE_FILES, FILES_VERSION },
                  { ENFORCE_TCP, TCP_VERSION },
                  { ENFORCE_SCOPES, SCOPES_VERSION } };
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        uint32_t bit = 1u << needs[i].layer;
        if (!(e->set & bit) || e->landlock >= needs[i].version)
            continue;
        *ret_layer = needs[i].layer;
        if (!(e->weaker & bit))
            return EOPNOTSUPP;
        e->set &= ~bit;
    }
    return 0;
}

/* A socket that a confined process must not reach: abstract, with a name that the kernel chose. */
static int make_stranger(struct enforce *e)
{
    const struct sockaddr_un any = { .sun_family = AF_UNIX };
    e->stranger = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->stranger < 0
        || bind(e->stranger, (const struct sockaddr *)&any, sizeof(any.sun_family)) < 0
        || listen(e->stranger, 1) < 0) {
        int sys = errno;
        if (e->stranger >= 0)
            close(e->stranger);
        e->stranger = -1;
        /* A sandbox around this one refuses them already: there is nothing to try. */
        return sys == EACCES || sys == EPERM ? 0 : sys;
    }
    return 0;
}

int landlock_prepare(struct enforce *e, enum enforce_layer *ret_layer)
{
    const uint32_t ours = 1u << ENFORCE_FILES | 1u << ENFORCE_TCP | 1u << ENFORCE_SCOPES;
    if (!(e->set & ours))
        return 0;
    e->landlock = enforce_landlock_version();
    int sys = check_version(e, ret_layer);
    if (sys || !(e->set & ours))
        return sys;
    if (enforce_layer_is_set(e, ENFORCE_FILES))
        e->handled_files = rights_of(e->landlock);
    /* Where there shall be no network at all, the filter of calls does it; this is the second
     * fence for a socket that came in from elsewhere. */
    if (e->network != ENFORCE_NET_OPEN && e->landlock >= TCP_VERSION)
        e->handled_ports = TCP_BIND | TCP_CONNECT;
    uint64_t scoped = 0;
    if (enforce_layer_is_set(e, ENFORCE_SCOPES))
        scoped = (e->abstract_sockets ? SCOPE_ABSTRACT : 0u) | (e->signals ? SCOPE_SIGNALS : 0u);
    struct ruleset_attr attr = { e->handled_files, e->handled_ports, scoped };
    size_t size = e->landlock >= SCOPES_VERSION ? sizeof(attr)
                  : e->landlock >= TCP_VERSION  ? offsetof(struct ruleset_attr, scoped)
                                                : offsetof(struct ruleset_attr, handled_access_net);
    e->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0u);
    if (e->ruleset < 0 && errno == EOPNOTSUPP && e->handled_ports) {
        /* A sandbox around this one makes connections itself: rules for them would not hold. */
        *ret_layer = ENFORCE_TCP;
        if (e->set & 1u << ENFORCE_TCP && !(e->weaker & 1u << ENFORCE_TCP))
            return EOPNOTSUPP;
        e->set &= ~(1u << ENFORCE_TCP);
        e->handled_ports = attr.handled_access_net = 0;
        e->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0u);
    }
    *ret_layer = enforce_layer_is_set(e, ENFORCE_FILES) ? ENFORCE_FILES : ENFORCE_SCOPES;
    if (e->ruleset < 0)
        return errno;
    *ret_layer = ENFORCE_SCOPES;
    return enforce_layer_is_set(e, ENFORCE_SCOPES) && e->abstract_sockets ? make_stranger(e) : 0;
}

/* Notes grants that make a trial of landlock_files_verify pointless. */
static void note_grant(struct enforce *e, const struct stat *st, uint32_t access)
{
    struct stat root;
    if (access & ENFORCE_WRITE && S_ISDIR(st->st_mode))
        e->anywhere_writable = true;
    if (access & ENFORCE_READ && S_ISDIR(st->st_mode) && stat("/", &root) == 0
        && root.st_dev == st->st_dev && root.st_ino == st->st_ino)
        e->root_readable = true;
}

int enforce_path(struct enforce *e, int fd, uint32_t access)
{
    struct stat st;
    if (!enforce_layer_is_set(e, ENFORCE_FILES))
        return 0;
    if (fstat(fd, &st) < 0)
        return errno;
    uint64_t rights = 0;
    if (access & ENFORCE_READ)
        rights |= READ_FILE | READ_DIR;
    if (access & ENFORCE_EXECUTE)
        rights |= EXECUTE;
    if (access & ENFORCE_WRITE)
        rights |= WRITE_FILE | TRUNCATE | CHANGE_DIR | REFER;
    if (access & ENFORCE_SPECIAL)
        rights |= MAKE_SPECIAL;
    if (access & ENFORCE_DEVICE)
        rights |= IOCTL_DEV;
    if (!S_ISDIR(st.st_mode))
        rights &= OF_FILES;
    const struct path_rule rule = { rights & e->handled_files, fd };
    if (!rule.allowed)
        return 0;
    if (syscall(SYS_landlock_add_rule, e->ruleset, RULE_PATH, &rule, 0u) < 0)
        return errno;
    note_grant(e, &st, access);
    return 0;
}

int enforce_port(struct enforce *e, uint16_t port, bool connect_to, bool listen_on)
{
    if (!port)
        return EINVAL; /* would be "whichever is free" */
    if (!enforce_layer_is_set(e, ENFORCE_TCP))
        return 0;
    const struct port_rule rule = { (connect_to ? TCP_CONNECT : 0u) | (listen_on ? TCP_BIND : 0u),
                                    port };
    if (!rule.allowed)
        return 0;
    return syscall(SYS_landlock_add_rule, e->ruleset, RULE_PORT, &rule, 0u) < 0 ? errno : 0;
}

/* Called for each of the three layers: the first call enters, and that is for all. */
int landlock_enter(struct enforce *e)
{
    if (e->ruleset < 0)
        return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return errno;
    unsigned flags =
        e->audit && e->landlock >= AUDIT_VERSION ? AUDIT_NOT_OURS | AUDIT_PROGRAMS : 0u;
    if (syscall(SYS_landlock_restrict_self, e->ruleset, flags) < 0)
        return errno;
    close(e->ruleset);
    e->ruleset = -1;
    return 0;
}

static int must_fail(int fd)
{
    int sys = errno;
    if (fd >= 0)
        close(fd);
    return fd < 0 && (sys == EACCES || sys == EPERM) ? 0 : ENOTRECOVERABLE;
}

int landlock_files_verify(struct enforce *e)
{
    /* Everybody may list the one and cut the other, but for the rules. Who was given both has
     * nothing left that could be tried without side effects. */
    if (!e->root_readable)
        return must_fail(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!e->anywhere_writable)
        return must_fail(open("/proc/self/comm", O_WRONLY | O_CLOEXEC));
    return 0;
}

int landlock_tcp_verify(struct enforce *e)
{
    (void)e;
    /* Port 0 takes any port, and no rule gives it: enforce_port knows ports by number. */
    const struct sockaddr_in any = { .sin_family = AF_INET,
                                     .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0; /* a machine without IP */
    int r = bind(fd, (const struct sockaddr *)&any, sizeof(any)), sys = errno;
    close(fd);
    return r < 0 && sys == EACCES ? 0 : ENOTRECOVERABLE;
}

int landlock_scopes_verify(struct enforce *e)
{
    if (e->stranger >= 0) {
        struct sockaddr_un address;
        socklen_t size = sizeof(address);
        if (getsockname(e->stranger, (struct sockaddr *)&address, &size) < 0)
            return errno;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            return errno;
        int r = connect(fd, (struct sockaddr *)&address, size), sys = errno;
        close(fd);
        close(e->stranger);
        e->stranger = -1;
        /* Abstract names belong to a network namespace: in another one nobody has it. */
        if (r == 0 || (sys != EPERM && sys != ECONNREFUSED))
            return ENOTRECOVERABLE;
    }
    /* Signal 0 asks for permission only. A parent of another pid namespace has number 0, which
     * would be this process group. */
    pid_t parent = getppid();
    if (e->signals && parent > 0 && (kill(parent, 0) == 0 || errno != EPERM))
        return ENOTRECOVERABLE;
    return 0;
}
