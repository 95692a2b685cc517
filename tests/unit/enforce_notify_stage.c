/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_notify_stage.c - the program of a test of notify: a child with the filter, whose listener
 * its parent takes by pidfd_getfd, as the supervisor does. */
#include "enforce_notify_stage.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>
#include <net/if.h>

#include "sdk/io.h"

#define RULES_MAX 256
#define NOT_SET_UP 98

int stage_tell(const char *file, int line, const char *what)
{
    char text[32];
    snprintf(text, sizeof(text), "%s", strerror(errno));
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, text);
    return 1;
}

/* --- the stage ----------------------------------------------------------------------------- */

struct stage *stage_of(void **state)
{
    return *state;
}

int stage_setup(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    if (!s)
        return -1;
    snprintf(s->folder, sizeof(s->folder), "/tmp/nt-notify-XXXXXX");
    s->policy.network = POLICY_NET_BLOCKED;
    s->policy.unix_grants = s->unix_grants;
    s->policy.grants = s->grants;
    s->policy.open_ports = s->ports[0];
    s->policy.listen_ports = s->ports[1];
    s->policy.connect_ports = s->ports[2];
    *state = s;
    return mkdtemp(s->folder) ? 0 : -1;
}

int stage_teardown(void **state)
{
    struct stage *s = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", s->folder);
    for (size_t i = 0; i < s->policy.unix_count; i++)
        close(s->unix_grants[i].parent_fd), free((void *)(uintptr_t)s->unix_grants[i].path);
    for (size_t i = 0; i < s->policy.grant_count; i++)
        close(s->grants[i].fd), free((void *)(uintptr_t)s->grants[i].path);
    denials_free(s->denials);
    free(s);
    return system(command);
}

const char *stage_path(const struct stage *s, const char *name, char ret[108])
{
    snprintf(ret, 108, "%s/%s", s->folder, name);
    return ret;
}

void stage_grant_unix(struct stage *s, const char *path, bool may_bind, bool is_folder)
{
    s->unix_grants[s->policy.unix_count++] = (struct policy_unix){
        .path = strdup(path),
        .may_bind = may_bind,
        .is_folder = is_folder,
        .parent_fd = open(is_folder ? path : s->folder, O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
}

void stage_grant_write(struct stage *s, const char *path)
{
    s->grants[s->policy.grant_count++] = (struct policy_grant){
        .original = "",
        .path = strdup(path),
        .source = "user",
        .access = POLICY_BOTH,
        .fd = open(path, O_PATH | O_CLOEXEC),
    };
}

unsigned stage_denied(const struct stage *s, const char *act, const char *target, const char *grant)
{
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(s->denials, i)); i++)
        if (strcmp(d->act, act) == 0 && strcmp(d->target, target) == 0)
            return d->source == DENIAL_NOTIFIED && strcmp(d->layer, "notification") == 0
                           && strcmp(d->grant, grant) == 0
                       ? d->count
                       : 0;
    return 0;
}

/* --- the program --------------------------------------------------------------------------- */

/* A network of its own, with a loopback that is up. */
static bool leave_network(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    struct ifreq request = { .ifr_name = "lo" };
    request.ifr_flags = IFF_UP;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return is_up;
}

static bool leave_mounts(const char *writable)
{
    const struct mount_attr set = { .attr_set = MOUNT_ATTR_RDONLY };
    const struct mount_attr clear = { .attr_clr = MOUNT_ATTR_RDONLY };
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
           && mount(writable, writable, NULL, MS_BIND, NULL) == 0
           && syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &set, sizeof(set)) == 0
           && syscall(SYS_mount_setattr, AT_FDCWD, writable, 0, &clear, sizeof(clear)) == 0;
}

static int enter_filter(const struct stage *s)
{
    struct sock_filter rules[RULES_MAX];
    size_t count = 0;
    if (notify_filter(&s->policy, rules, RULES_MAX - 1, &count) != 0)
        return -1;
    size_t more = 0;
    if (s->is_diagnosed && notify_file_filter(rules + count, RULES_MAX - 1 - count, &more) != 0)
        return -1;
    count += more;
    rules[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = (unsigned short)count, .filter = rules };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                        &program);
}

static void be_program(struct stage *s, int (*program)(struct stage *s), const int told[2],
                       const int go[2])
{
    char byte;
    if (s->own_network && !leave_network())
        _exit(NO_NAMESPACES);
    if (s->is_readonly && !leave_mounts(s->folder))
        _exit(NO_NAMESPACES);
    int listener = enter_filter(s);
    if (listener < 0 || nt_write_all(told[1], &listener, sizeof(listener)) < 0
        || read(go[0], &byte, 1) != 1)
        _exit(NOT_SET_UP);
    close(listener);
    close(told[0]);
    close(told[1]);
    close(go[0]);
    close(go[1]);
    _exit(program(s));
}

static int take_listener(pid_t pid, int from)
{
    int number;
    if (read(from, &number, sizeof(number)) != sizeof(number))
        return -1;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int listener = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    close(pidfd);
    return listener;
}

int stage_run(struct stage *s, int (*program)(struct stage *s),
              void (*meanwhile)(struct stage *s, pid_t pid))
{
    int told[2], go[2], status;
    const uint16_t *ports[] = { s->open_ports, s->listen_ports, s->connect_ports };
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 4; j++)
            s->ports[i][j] = (struct policy_ports){ ports[i][j], ports[i][j] };
    denials_free(s->denials);
    s->denials = denials_new();
    if (pipe(told) < 0 || pipe(go) < 0)
        return 99;
    fflush(stderr);
    pid_t pid = fork();
    if (pid == 0)
        be_program(s, program, told, go);
    close(told[1]);
    close(go[0]);
    struct notify *notify = NULL;
    struct nt_error error = { .size = sizeof(error) };
    struct notify_options options = { .policy = &s->policy,
                                      .denials = s->denials,
                                      .proxy_port = s->proxy_port,
                                      .is_readonly = s->is_readonly,
                                      .own_network = s->own_network };
    int listener = take_listener(pid, told[0]);
    if (listener >= 0 && notify_new(listener, &options, &notify, &error) == 0) {
        if (nt_write_all(go[1], "g", 1) == 0 && meanwhile)
            meanwhile(s, pid);
    }
    close(told[0]);
    close(go[1]);
    if (waitpid(pid, &status, 0) != pid)
        status = 97 << 8;
    notify_free(notify);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int do_nothing(struct stage *s)
{
    (void)s;
    return 0;
}

bool stage_is_possible(void)
{
    struct stage s = { .policy = { .network = POLICY_NET_OPEN } };
    int result = stage_run(&s, do_nothing, NULL);
    denials_free(s.denials);
    if (result == NOT_SET_UP)
        fputs("no program can be asked about here\n", stderr);
    return result != NOT_SET_UP;
}

/* --- sockets ------------------------------------------------------------------------------- */

int stage_listen_tcp(uint16_t *port, int backlog)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    at.sin_port = htons(*port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, backlog) < 0
        || getsockname(fd, (struct sockaddr *)&at, &size) < 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(at.sin_port);
    return fd;
}

static socklen_t name_of(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t size = strnlen(path, sizeof(ret->sun_path));
    memcpy(ret->sun_path, path, size);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

int stage_connect_unix(int fd, const char *path)
{
    struct sockaddr_un to;
    socklen_t size = name_of(path, &to);
    return connect(fd, (struct sockaddr *)&to, size);
}

int stage_bind_unix(int fd, const char *path)
{
    struct sockaddr_un at;
    socklen_t size = name_of(path, &at);
    return bind(fd, (struct sockaddr *)&at, size);
}

int stage_listen_unix(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stage_bind_unix(fd, path) < 0 || listen(fd, 16) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int stage_datagram_unix(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (stage_bind_unix(fd, path) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int stage_connect_tcp(int fd, const char *host, uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, host, &to.sin_addr);
    return connect(fd, (struct sockaddr *)&to, sizeof(to));
}
