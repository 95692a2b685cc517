/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_test.c - what somebody could still do who was confined: tried from inside, in a child, as
 * root and as a normal user. Every attack is also run unconfined: one that fails there proves
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"

/* What a test shares with the child that it confines. */
static char inside[64], outside[64]; /* folders; only the first is granted */
static int inside_fd;
static uint32_t granted = ENFORCE_READ | ENFORCE_WRITE | ENFORCE_EXECUTE | ENFORCE_SPECIAL;
static uint16_t port; /* somebody unconfined listens there */
static char abstract_name[64];

static int setup(void **state)
{
    (void)state;
    snprintf(inside, sizeof(inside), "/tmp/nt-enforce-XXXXXX");
    snprintf(outside, sizeof(outside), "/tmp/nt-enforce-XXXXXX");
    if (!mkdtemp(inside) || !mkdtemp(outside))
        return -1;
    inside_fd = open(inside, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return inside_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[256];
    close(inside_fd);
    snprintf(command, sizeof(command), "rm -rf '%s' '%s'", inside, outside);
    return system(command);
}

/* The names of the layer and the errno, when it is not 0. */
static int tell(const char *step, int sys, enum enforce_layer layer)
{
    if (sys)
        fprintf(stderr, "%s: layer %s: %s\n", step, enforce_layer_name(layer), strerror(sys));
    return sys;
}

/* Runs the attack in a child, confined as `describe` says; its result, 99 when it could not be
 * confined. describe NULL: not confined. */
static int run(void (*describe)(struct enforce *e), int (*attack)(void))
{
    struct enforce e;
    enum enforce_layer layer = ENFORCE_LAYERS;
    enforce_init(&e);
    if (describe) {
        describe(&e);
        if (tell("prepare", enforce_prepare(&e, &layer), layer)) {
            enforce_done(&e);
            return 99;
        }
        if (e.files && enforce_path(&e, inside_fd, granted))
            return 99;
    }
    pid_t pid = fork();
    if (pid == 0) {
        if (describe && tell("enter", enforce_enter(&e, &layer), layer))
            _exit(99);
        _exit(attack());
    }
    int status = 0;
    waitpid(pid, &status, 0);
    enforce_done(&e);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* An attack returns 0 when it went through and 1 when it was refused. */
static void attacked(void (*describe)(struct enforce *e), int (*attack)(void), int line)
{
    int free = run(NULL, attack), held = run(describe, attack);
    if (free != 0 || held != 1)
        fail_msg("line %d: unconfined %d, confined %d", line, free, held);
}
#define ATTACKED(describe, attack) attacked((describe), (attack), __LINE__)

static bool can_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static const char *in(const char *folder, const char *name)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* --- files --------------------------------------------------------------------------------- */

static void only_files(struct enforce *e)
{
    e->files = true;
}

static int write_outside(void)
{
    return !can_open(in(outside, "made"), O_WRONLY | O_CREAT);
}

static int read_outside(void)
{
    return !can_open("/etc/passwd", O_RDONLY);
}

static int list_root(void)
{
    return !can_open("/", O_RDONLY | O_DIRECTORY);
}

static int write_by_symlink(void)
{
    unlink(in(inside, "link"));
    return symlinkat(outside, inside_fd, "link") < 0
           || !can_open(in(inside, "link/made"), O_WRONLY | O_CREAT);
}

static int write_by_dots(void)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/../%s/made", inside, strrchr(outside, '/') + 1);
    return !can_open(path, O_WRONLY | O_CREAT);
}

static int write_by_proc(void)
{
    char path[200];
    snprintf(path, sizeof(path), "/proc/self/root%s/made", outside);
    return !can_open(path, O_WRONLY | O_CREAT);
}

static int move_in(void)
{
    char from[160];
    snprintf(from, sizeof(from), "%s", in(outside, "secret"));
    int fd = openat(AT_FDCWD, from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    bool moved = rename(from, in(inside, "stolen")) == 0;
    return !moved;
}

static int link_in(void)
{
    return link("/etc/hostname", in(inside, "stolen")) < 0
           && linkat(AT_FDCWD, in(outside, "made"), inside_fd, "stolen", 0) < 0;
}

static int cut_outside(void)
{
    return truncate(in(outside, "made"), 0) < 0;
}

static int run_outside(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    return status != 0;
}

static int works_inside(void)
{
    if (!can_open(in(inside, "mine"), O_RDWR | O_CREAT)
        || !can_open(inside, O_RDONLY | O_DIRECTORY))
        return 1;
    return mkdirat(inside_fd, "sub", 0700) < 0 || unlink(in(inside, "mine")) < 0
           || rmdir(in(inside, "sub")) < 0;
}

static void files_beyond_the_grants_are_out_of_reach(void **state)
{
    (void)state;
    ATTACKED(only_files, write_outside);
    ATTACKED(only_files, read_outside);
    ATTACKED(only_files, list_root);
    ATTACKED(only_files, write_by_symlink);
    ATTACKED(only_files, write_by_dots);
    ATTACKED(only_files, write_by_proc);
    ATTACKED(only_files, cut_outside);
    ATTACKED(only_files, move_in);
    unlink(in(inside, "stolen"));
    assert_int_equal(run(only_files, link_in), 1); /* other file systems refuse it anyhow */
    ATTACKED(only_files, run_outside);
    assert_int_equal(run(only_files, works_inside), 0);
}

static int make_symlink(void)
{
    unlinkat(inside_fd, "link", 0);
    return symlinkat("/", inside_fd, "link") < 0;
}

static int make_pipe(void)
{
    unlinkat(inside_fd, "pipe", 0);
    return mkfifoat(inside_fd, "pipe", 0600) < 0;
}

/* Who reads the folder later must not be led elsewhere by what stands in it. */
static void special_files_are_a_grant_of_their_own(void **state)
{
    (void)state;
    granted &= ~ENFORCE_SPECIAL;
    ATTACKED(only_files, make_symlink);
    ATTACKED(only_files, make_pipe);
    assert_int_equal(run(only_files, works_inside), 0);
    granted |= ENFORCE_SPECIAL;
    assert_int_equal(run(only_files, make_symlink), 0);
    assert_int_equal(run(only_files, make_pipe), 0);
}

static int moved_and_made_anew(void)
{
    /* The granted folder is moved away and its name leads elsewhere. */
    char aside[96];
    snprintf(aside, sizeof(aside), "%s.aside", inside);
    return !can_open(in(inside, "passwd"), O_RDONLY);
}

static void a_grant_holds_the_folder_and_not_its_name(void **state)
{
    (void)state;
    char aside[96];
    struct enforce e;
    enum enforce_layer layer;
    enforce_init(&e);
    e.files = true;
    assert_int_equal(enforce_prepare(&e, &layer), 0);
    assert_int_equal(enforce_path(&e, inside_fd, ENFORCE_READ), 0);
    snprintf(aside, sizeof(aside), "%s.aside", inside);
    assert_int_equal(rename(inside, aside), 0);
    assert_int_equal(symlink("/etc", inside), 0);
    assert_int_equal(moved_and_made_anew(), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(enforce_enter(&e, &layer) ? 99 : moved_and_made_anew());
    int status = 0;
    waitpid(pid, &status, 0);
    enforce_done(&e);
    assert_int_equal(unlink(inside), 0);
    assert_int_equal(rename(aside, inside), 0);
    assert_int_equal(WEXITSTATUS(status), 1);
}

/* --- network ------------------------------------------------------------------------------- */

static void no_network(struct enforce *e)
{
    e->network = ENFORCE_NET_NONE;
}

static void no_ports(struct enforce *e)
{
    e->network = ENFORCE_NET_PORTS;
}

static int connect_tcp(int family)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    v4.sin_port = v6.sin6_port = htons(port);
    /* ::ffff:127.0.0.1, the other spelling */
    v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
    v6.sin6_addr.s6_addr[12] = 127, v6.sin6_addr.s6_addr[15] = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
                              : connect(fd, (struct sockaddr *)&v6, sizeof(v6));
    close(fd);
    return r < 0;
}

static int connect_v4(void)
{
    return connect_tcp(AF_INET);
}

static int connect_mapped(void)
{
    return connect_tcp(AF_INET6);
}

static int connect_fast_open(void)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n = sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&v4, sizeof(v4));
    close(fd);
    return n < 0;
}

static int make_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static int udp(void)
{
    return make_socket(AF_INET, SOCK_DGRAM, 0);
}

static int udp_with_flags(void)
{
    return make_socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP);
}

static int netlink(void)
{
    return make_socket(AF_NETLINK, SOCK_RAW, 0);
}

static int local_socket(void)
{
    return make_socket(AF_UNIX, SOCK_STREAM, 0);
}

static int high_bits(void) /* the kernel reads 32 of them */
{
    long fd = syscall(SYS_socket, 0x100000000l | AF_INET, 0x100000000l | SOCK_DGRAM, 0);
    if (fd >= 0)
        close((int)fd);
    return fd < 0;
}

static int listen_unbound(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r = listen(fd, 1);
    close(fd);
    return r < 0;
}

/* The first hop is where packets go, whatever address was allowed. */
static int route_away(void)
{
    unsigned char route[8] = { 1, 131, 7, 4, 192, 0, 2, 7 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof(route));
    close(fd);
    return r < 0;
}

static int route_away_v6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, NULL, 0);
    close(fd);
    return r < 0;
}

static int time_to_live(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), hops = 9;
    int r = setsockopt(fd, IPPROTO_IP, IP_TTL, &hops, sizeof(hops));
    close(fd);
    return r < 0;
}

static void no_listening(struct enforce *e)
{
    e->network = ENFORCE_NET_PORTS;
    e->calls = ENFORCE_CALLS_LISTEN;
}

static void no_unix(struct enforce *e)
{
    e->network = ENFORCE_NET_NONE;
    e->calls = ENFORCE_CALLS_UNIX;
}

static int pair(void)
{
    int fds[2];
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0;
}

static void the_network_is_what_was_named(void **state)
{
    (void)state;
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    port = ntohs(any.sin_port);
    void (*const kinds[])(struct enforce * e) = { no_network, no_ports };
    for (size_t i = 0; i < 2; i++) {
        ATTACKED(kinds[i], connect_v4);
        ATTACKED(kinds[i], connect_mapped);
        ATTACKED(kinds[i], connect_fast_open);
        ATTACKED(kinds[i], udp);
        ATTACKED(kinds[i], udp_with_flags);
        ATTACKED(kinds[i], netlink);
        ATTACKED(kinds[i], high_bits);
        assert_int_equal(run(kinds[i], local_socket), 0);
    }
    if (geteuid() == 0) /* others may not in any case */
        ATTACKED(no_ports, route_away);
    ATTACKED(no_ports, route_away_v6);
    assert_int_equal(run(no_ports, time_to_live), 0);
    ATTACKED(no_listening, listen_unbound);
    ATTACKED(no_unix, local_socket);
    assert_int_equal(run(no_unix, pair), 0);
    close(fd);
}

static void a_port_that_was_named_is_reached(void **state)
{
    (void)state;
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    port = ntohs(any.sin_port);
    struct enforce e;
    enum enforce_layer layer;
    enforce_init(&e);
    e.network = ENFORCE_NET_PORTS;
    assert_int_equal(enforce_prepare(&e, &layer), 0);
    assert_int_equal(enforce_port(&e, 0, true, true), EINVAL);
    assert_int_equal(enforce_port(&e, port, true, false), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int r = enforce_enter(&e, &layer) ? 99 : connect_v4() ? 1 : 0;
        port++; /* and no other */
        _exit(r ? r : connect_v4() && errno == EACCES ? 0 : 2);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    enforce_done(&e);
    close(fd);
    assert_int_equal(status, 0);
}

/* --- processes and the kernel ---------------------------------------------------------------- */

static void all_calls(struct enforce *e)
{
    e->calls = ENFORCE_CALLS_KERNEL | ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_URING
               | ENFORCE_CALLS_NAMESPACES | ENFORCE_CALLS_PROGRAMS | ENFORCE_CALLS_PEEK
               | ENFORCE_CALLS_FAMILIES;
}

static void no_namespaces(struct enforce *e)
{
    e->calls = ENFORCE_CALLS_NAMESPACES;
}

static int fork_one(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 || waitpid(pid, NULL, 0) < 0;
}

static int exec_one(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static int new_user(void)
{
    return unshare(CLONE_NEWUSER) < 0;
}

static int clone_user(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return pid < 0 || waitpid((pid_t)pid, NULL, 0) < 0;
}

static int read_self(void)
{
    char from = 1, to = 0;
    struct iovec local = { &to, 1 }, remote = { &from, 1 };
    return syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0) < 0;
}

static int be_traced(void)
{
    return ptrace(PTRACE_TRACEME, 0, 0, 0) < 0;
}

static int session_keyring(void)
{
    return syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1) < 0;
}

static void *nothing(void *data)
{
    return data;
}

static int threads(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0;
}

#if defined(__x86_64__)
/* getpid through the gate of 32-bit programs: other numbers, unseen by a filter that does not ask
 * for the architecture first. */
static int old_gate(void)
{
    long r = 20;
    __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
    return r < 0;
}

static int x32_gate(void)
{
    return syscall(0x40000000 | SYS_getpid) < 0 && errno == ENOSYS;
}
#endif

static void the_kernel_is_behind_a_filter(void **state)
{
    (void)state;
    ATTACKED(all_calls, fork_one);
    ATTACKED(all_calls, exec_one);
    ATTACKED(all_calls, read_self);
    ATTACKED(all_calls, be_traced);
    ATTACKED(all_calls, session_keyring);
    assert_int_equal(run(all_calls, threads), 0);
    if (run(NULL, new_user) == 0) { /* not in a chroot, not where an administrator forbids it */
        ATTACKED(no_namespaces, new_user);
        ATTACKED(no_namespaces, clone_user);
    }
    assert_int_equal(run(no_namespaces, fork_one), 0);
#if defined(__x86_64__)
    assert_int_equal(run(no_namespaces, old_gate), 1);
    assert_int_equal(run(no_namespaces, x32_gate), 1);
#endif
}

/* --- terminals ---------------------------------------------------------------------------------
 */

static void no_typing(struct enforce *e)
{
    e->calls = ENFORCE_CALLS_TERMINAL;
}

/* What the kernel says of typing on a descriptor that is none: EBADF, unless it was never asked. */
static int type_high(void)
{
    return syscall(SYS_ioctl, -1, 0xdead00000000l | TIOCSTI, "x") < 0 && errno == EPERM;
}

static void nothing_is_typed_into_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, type_high), 0);
    assert_int_equal(run(no_typing, type_high), 1);
}

/* --- others ------------------------------------------------------------------------------------
 */

static void scopes(struct enforce *e)
{
    e->signals = e->abstract_sockets = true;
}

static int kill_parent(void)
{
    return kill(getppid(), 0) < 0;
}

static int connect_abstract(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t size = strlen(abstract_name);
    memcpy(address.sun_path + 1, abstract_name, size);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = connect(fd, (struct sockaddr *)&address,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size));
    close(fd);
    return r < 0;
}

static void others_are_not_reached(void **state)
{
    (void)state;
    if (enforce_landlock_version() < 6)
        skip();
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(abstract_name, sizeof(abstract_name), "nt-enforce-%d", (int)getpid());
    size_t size = strlen(abstract_name);
    memcpy(address.sun_path + 1, abstract_name, size);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size)),
                     0);
    assert_int_equal(listen(fd, 4), 0);
    ATTACKED(scopes, kill_parent);
    ATTACKED(scopes, connect_abstract);
    assert_int_equal(run(scopes, fork_one), 0);
    close(fd);
}

/* --- privileges and descriptors ------------------------------------------------------------------
 */

static int open_leak = -1;

static void no_descriptors(struct enforce *e)
{
    e->files = e->descriptors = true;
    e->keep[e->keep_count++] = 200;
    e->keep[e->keep_count++] = 3;
}

static int leaked(void)
{
    return fcntl(open_leak, F_GETFD) < 0;
}

static int kept(void)
{
    return fcntl(200, F_GETFD) < 0 || fcntl(3, F_GETFD) < 0;
}

static int leaked_high(void)
{
    return fcntl(201, F_GETFD) < 0;
}

static void inherited_descriptors_are_closed(void **state)
{
    (void)state;
    int low = fcntl(3, F_GETFD) < 0 ? dup2(1, 3) : -1; /* a number that is certain to be there */
    assert_int_equal(dup2(1, 200), 200);
    assert_int_equal(dup2(1, 201), 201);
    open_leak = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    assert_true(open_leak > 3);
    ATTACKED(no_descriptors, leaked);
    ATTACKED(no_descriptors, leaked_high);
    assert_int_equal(run(no_descriptors, kept), 0);
    close(open_leak);
    close(200);
    close(201);
    if (low >= 0)
        close(low);
}

/* Root can change its root, and anybody can leave a core. */
static int has_privilege(void)
{
    struct rlimit core;
    return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 && chroot("/") < 0;
}

static void nothing_beyond_the_default(struct enforce *e)
{
    (void)e;
}

static void privilege_is_gone(void **state)
{
    (void)state;
    ATTACKED(nothing_beyond_the_default, has_privilege);
}

/* --- what is missing -------------------------------------------------------------------------- */

/* A kernel without Landlock is one where its calls are unknown: an earlier filter makes it so. */
static int old_kernel(void)
{
    struct sock_filter code[] = {
        { BPF_LD | BPF_W | BPF_ABS, 0, 0, 0 },
        { BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_landlock_create_ruleset },
        { BPF_RET | BPF_K, 0, 0, 0x00050000u /* SECCOMP_RET_ERRNO */ | ENOSYS },
        { BPF_RET | BPF_K, 0, 0, 0x7fff0000u /* SECCOMP_RET_ALLOW */ },
    };
    struct sock_fprog program = { 4, code };
    struct enforce e;
    enum enforce_layer layer = ENFORCE_LAYERS;
    if (syscall(SYS_prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0) < 0
        || syscall(SYS_seccomp, 1, 0, &program) < 0)
        return 2;
    enforce_init(&e);
    e.files = e.signals = true;
    if (enforce_landlock_version() != 0 || enforce_prepare(&e, &layer) != EOPNOTSUPP
        || layer != ENFORCE_FILES)
        return 3;
    enforce_done(&e);
    enforce_init(&e);
    e.files = e.signals = true;
    e.weaker = 1u << ENFORCE_FILES; /* one of two */
    if (enforce_prepare(&e, &layer) != EOPNOTSUPP || layer != ENFORCE_SCOPES)
        return 4;
    enforce_done(&e);
    enforce_init(&e);
    e.files = e.signals = true;
    e.calls = ENFORCE_CALLS_TERMINAL;
    e.weaker = 1u << ENFORCE_FILES | 1u << ENFORCE_SCOPES;
    if (enforce_prepare(&e, &layer) != 0 || enforce_layer_is_set(&e, ENFORCE_FILES)
        || !enforce_layer_is_set(&e, ENFORCE_CALLS))
        return 5;
    return enforce_enter(&e, &layer) ? 6 : 0;
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, old_kernel), 0);
    for (enum enforce_layer i = 0; i < ENFORCE_LAYERS; i++)
        assert_true(*enforce_layer_name(i)
                    && (i == ENFORCE_PRIVILEGES || *enforce_layer_remedy(i)));
}

/* --- one process alone ---------------------------------------------------------------------- */

static int (*attack_within)(void);
static uint32_t calls_within;

/* As run, but prepared in the process itself. */
static int confine_and_attack(void)
{
    struct enforce e;
    enum enforce_layer layer = ENFORCE_LAYERS;
    enforce_init(&e);
    e.network = calls_within & ENFORCE_CALLS_CONNECT ? ENFORCE_NET_NONE : ENFORCE_NET_OPEN;
    e.calls = calls_within;
    if (tell("prepare", enforce_prepare(&e, &layer), layer)
        || tell("enter", enforce_enter(&e, &layer), layer))
        return 99;
    return attack_within();
}

static void attacked_within(uint32_t calls, int (*attack)(void), int line)
{
    attack_within = attack;
    calls_within = calls;
    int free = run(NULL, attack), held = run(NULL, confine_and_attack);
    if (free != 0 || held != 1)
        fail_msg("line %d: unconfined %d, confined %d", line, free, held);
}
#define ATTACKED_WITHIN(calls, attack) attacked_within((calls), (attack), __LINE__)

static int signal_parent(void)
{
    return kill(getppid(), 0) < 0;
}

static int signal_group(void)
{
    return kill(0, 0) < 0;
}

static int signal_thread(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0) < 0;
}

/* Bytes that arrive send a signal to whoever is called the owner. */
static int own_by_parent(void)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return 2;
    pid_t parent = getppid();
    int by_fcntl = fcntl(fds[0], F_SETOWN, parent), by_ioctl = ioctl(fds[0], FIOSETOWN, &parent);
    return by_fcntl < 0 && by_ioctl < 0;
}

static int limit_parent(void)
{
    struct rlimit old;
    return syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &old) < 0;
}

static int open_to_all(void)
{
    return chmod(in(outside, "mode"), 0666) < 0;
}

static int open_by_descriptor(void)
{
    int fd = open(in(outside, "mode"), O_RDONLY | O_CLOEXEC), r = fchmod(fd, 0666);
    close(fd);
    return r < 0;
}

static int shared_memory(void)
{
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    if (id >= 0)
        shmctl(id, IPC_RMID, NULL);
    return id < 0;
}

static int send_to_path(void)
{
    int fds[2];
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/log", outside);
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0)
        return 1;
    return sendto(fds[0], "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0;
}

static int given_socket; /* connected to `port` */

static int connect_elsewhere(void)
{
    struct sockaddr none = { .sa_family = AF_UNSPEC };
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_addr = { htonl(INADDR_LOOPBACK) },
                              .sin_port = htons(port) };
    int left = connect(given_socket, &none, sizeof(none));
    int there = connect(given_socket, (struct sockaddr *)&to, sizeof(to));
    return left < 0 && there < 0;
}

static int signal_itself(void)
{
    struct rlimit own;
    return kill(getpid(), 0) < 0 || getrlimit(RLIMIT_NOFILE, &own) < 0;
}

static void a_process_alone_reaches_no_other(void **state)
{
    (void)state;
    int file = open(in(outside, "mode"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
    ATTACKED_WITHIN(ENFORCE_CALLS_SIGNALS, signal_parent);
    ATTACKED_WITHIN(ENFORCE_CALLS_SIGNALS, signal_group);
    ATTACKED_WITHIN(ENFORCE_CALLS_SIGNALS, signal_thread);
    ATTACKED_WITHIN(ENFORCE_CALLS_SIGNALS, own_by_parent);
    ATTACKED_WITHIN(ENFORCE_CALLS_SIGNALS, limit_parent);
    ATTACKED_WITHIN(ENFORCE_CALLS_OWNERS, open_to_all);
    ATTACKED_WITHIN(ENFORCE_CALLS_OWNERS, open_by_descriptor);
    ATTACKED_WITHIN(ENFORCE_CALLS_IPC, shared_memory);
    attack_within = signal_itself;
    calls_within = ENFORCE_CALLS_SIGNALS;
    assert_int_equal(run(NULL, confine_and_attack), 0);

    struct sockaddr_un log = { .sun_family = AF_UNIX };
    snprintf(log.sun_path, sizeof(log.sun_path), "%s/log", outside);
    int logger = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(logger, (struct sockaddr *)&log, sizeof(log)), 0);
    ATTACKED_WITHIN(ENFORCE_CALLS_UNIX, send_to_path);
    close(logger);

    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    port = ntohs(any.sin_port);
    for (int confined = 0; confined < 2; confined++) { /* a shared socket: one for each */
        given_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(given_socket, (struct sockaddr *)&any, sizeof(any)), 0);
        attack_within = connect_elsewhere;
        calls_within = ENFORCE_CALLS_CONNECT;
        assert_int_equal(run(NULL, confined ? confine_and_attack : connect_elsewhere), confined);
        close(given_socket);
    }
    close(fd);
}

static void unsafe_variables_are_known(void **state)
{
    (void)state;
    static const char *const unsafe[] = {
        "LD_PRELOAD=/x",   "LD_AUDIT", "BASH_ENV=x", "IFS= ", "BASH_FUNC_ls%%=() { :; }",
        "OP_SESSION_me=1", "ENV="
    };
    static const char *const safe[] = { "PATH=/bin", "LDAP=1", "ENVIRONMENT=x", "HOME",
                                        "L=LD_X",    "",       "=LD_PRELOAD" };
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
        assert_true(enforce_variable_is_unsafe(unsafe[i]));
    for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
        assert_false(enforce_variable_is_unsafe(safe[i]));
}

int main(void)
{
    if (enforce_landlock_version() < 4) {
        fprintf(stderr, "skipped: this kernel has no Landlock, or an old one\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_beyond_the_grants_are_out_of_reach),
        cmocka_unit_test(special_files_are_a_grant_of_their_own),
        cmocka_unit_test(a_grant_holds_the_folder_and_not_its_name),
        cmocka_unit_test(the_network_is_what_was_named),
        cmocka_unit_test(a_port_that_was_named_is_reached),
        cmocka_unit_test(the_kernel_is_behind_a_filter),
        cmocka_unit_test(nothing_is_typed_into_a_terminal),
        cmocka_unit_test(others_are_not_reached),
        cmocka_unit_test(inherited_descriptors_are_closed),
        cmocka_unit_test(privilege_is_gone),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(a_process_alone_reaches_no_other),
        cmocka_unit_test(unsafe_variables_are_known),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
