/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.c - a third party's plugin that tries what its process could do: one attack per call, by
 * name. Needs no library. NEEDS is its declaration; MARK a file that its constructor tries to
 * make. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nanoterm/host.h"
#include "nanoterm/plugin.h"

static int at_load_read, at_load_write;

#ifdef MARK
static int make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), sys = errno;
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 0 : sys;
}

__attribute__((constructor)) static void at_load(void)
{
    int fd = open(SECRET, O_RDONLY | O_CLOEXEC);
    at_load_read = fd >= 0 ? 0 : errno;
    if (fd >= 0)
        close(fd);
    at_load_write = make(MARK);
    if (getenv("HOSTILE_WAITS")) /* not as its tables are read: that has no environment */
        pause();
}
#endif

static const char *argument(struct nt_call *call, uint32_t index)
{
    const char *text = call->host->text_at(call, "more", index);
    return text ? text : "";
}

/* 0: it went through; else an errno value. */
static int result_of(long value)
{
    int sys = errno;
    return value >= 0 ? 0 : sys;
}

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int sys = result_of(fd);
    if (fd >= 0)
        close(fd);
    return sys;
}

static int try_parent_memory(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)getppid());
    return try_open(path, O_RDONLY);
}

static int try_peek(void)
{
    char byte;
    struct iovec here = { &byte, 1 }, there = { (void *)environ, 1 };
    return result_of(syscall(SYS_process_vm_readv, getppid(), &here, 1ul, &there, 1ul, 0ul));
}

static int try_run(const char *path)
{
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0) {
        execl(path, path, (char *)NULL);
        _exit(errno);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int try_unix(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof(to.sun_path), "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? errno : result_of(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int try_datagram(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fds[2];
    snprintf(to.sun_path, sizeof(to.sun_path), "%.100s", path);
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0)
        return errno;
    return result_of(sendto(fds[0], "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
}

static int try_tcp(const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_addr = { htonl(INADDR_LOOPBACK) },
                              .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? errno : result_of(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int contains(const char *data, size_t size, const char *needle, size_t length)
{
    return memmem(data, size, needle, length) != NULL;
}

/* The needle comes backwards, so that it does not find itself. It is put together on the stack, and
 * what is read is compared from behind its own copy. */
static int try_find(const char *backwards)
{
    size_t length = strlen(backwards);
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (maps < 0 || mem < 0)
        return errno;
    FILE *list = fdopen(maps, "r");
    char line[512];
    int found = 0;
    char *needle = malloc(length + 1), *data = malloc(65536);
    for (size_t i = 0; i < length; i++)
        needle[i] = (char)(backwards[length - 1 - i] ^ 1);
    while (fgets(line, sizeof(line), list)) {
        unsigned long from, to;
        char mode[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[0] != 'r'
            || to - from > (64ul << 20))
            continue;
        for (unsigned long at = from; at < to; at += 32768) {
            ssize_t n = pread(mem, data, 65536 < to - at ? 65536 : to - at, (off_t)at);
            for (ssize_t i = 0; i < n; i++)
                data[i] ^= 1;
            found += n > 0 && contains(data, (size_t)n, needle, length);
            memset(data, 0, 65536);
        }
    }
    fclose(list);
    close(mem);
    return found ? 0 : ENOENT;
}

static int channel(void)
{
    for (int fd = 3; fd < 64; fd++) {
        int type;
        socklen_t size = sizeof(type);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0)
            return fd;
    }
    return -1;
}

static void send_head(uint32_t type, uint32_t size)
{
    const uint32_t head[2] = { type, size };
    (void)!write(channel(), head, sizeof(head));
}

static void flood(void)
{
    char bytes[4096];
    memset(bytes, 0x41, sizeof(bytes));
    for (;;)
        if (write(channel(), bytes, sizeof(bytes)) < 0)
            _exit(3);
}

static int open_descriptors(char *ret, size_t size)
{
    size_t at = 0;
    ret[0] = '\0';
    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            at += (size_t)snprintf(ret + at, size - at, "%d ", fd);
    return 0;
}

static int emit(struct nt_call *call, const char *what, int sys, const char *text,
                struct nt_error *reterr)
{
    const struct nt_value row[] = { { .type = NT_TEXT, .text = what },
                                    { .type = NT_TEXT, .text = sys ? "denied" : "done" },
                                    { .type = NT_INT, .number = sys },
                                    { .type = NT_TEXT, .is_null = !text, .text = text } };
    return call->host->emit(call, row, 4, reterr);
}

static int try_request(struct nt_call *call, struct nt_error *reterr)
{
    char text[4096];
    struct nt_header header = { argument(call, 2), argument(call, 3) };
    struct nt_request req = { .size = sizeof(req),
                              .method = argument(call, 0),
                              .path = argument(call, 1) };
    if (*header.name)
        req.headers = (struct nt_table){ &header, 1, sizeof(header) };
    struct nt_response answer = { .size = sizeof(answer) };
    if (call->host->request(call, &req, &answer, reterr) < 0)
        return -1;
    const char *type = call->host->header(call, &answer, "x-peer");
    snprintf(text, sizeof(text), "%u %s %.*s", answer.status, type ? type : "-",
             (int)answer.body.size, (const char *)answer.body.data);
    return emit(call, "request", 0, text, reterr);
}

static int try_connect(struct nt_call *call, struct nt_error *reterr)
{
    int fd = -1;
    char text[256] = "";
    uint32_t port = (uint32_t)strtoul(argument(call, 1), NULL, 10);
    if (call->host->connect(call, argument(call, 0), port, &fd, reterr) < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    struct sockaddr none = { .sa_family = AF_UNSPEC };
    int sys = result_of(connect(fd, &none, sizeof(none))); /* to be used for another host */
    text[n > 0 ? n : 0] = '\0';
    close(fd);
    return emit(call, "connect", sys, text, reterr);
}

static int fail(struct nt_error *reterr, uint32_t code, const char *text)
{
    reterr->code = code;
    snprintf(reterr->message, sizeof(reterr->message), "%s", text);
    return -1;
}

/* The guest of a workspace speaks first. */
static int try_upgrade(struct nt_call *call, struct nt_error *reterr)
{
    int fd = -1;
    char text[64];
    struct nt_bytes early = { NULL, 0 };
    if (call->host->upgrade_local(call, argument(call, 0), "nanoterm-fd/1", &fd, &early, reterr)
        < 0)
        return -1;
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    ssize_t n = early.size ? (ssize_t)early.size : 0;
    if (n == 0 && poll(&ready, 1, 20000) == 1)
        n = read(fd, text, sizeof(text));
    close(fd);
    return emit(call, "upgrade", n > 0 ? 0 : EIO, NULL, reterr);
}

static int try_prompt(struct nt_call *call, struct nt_error *reterr)
{
    const char *answer = NULL;
    if (call->host->prompt(call, argument(call, 0), "--mine", 0, &answer, reterr) < 0)
        return -1;
    return emit(call, "prompt", 0, answer, reterr);
}

static int try_stdio(struct nt_call *call, struct nt_error *reterr)
{
    char text[256];
    ssize_t n = read(call->host->descriptor(call, 0), text, sizeof(text));
    if (n < 0 || write(call->host->descriptor(call, 1), text, (size_t)n) != n)
        return fail(reterr, NT_E_SYSTEM, "standard streams");
    call->host->set_status(call, 9, NT_BY_PROGRAM);
    return 0;
}

static int run_try(struct nt_call *call, struct nt_error *reterr)
{
    const char *what = call->host->text(call, "what"), *first = argument(call, 0);
    char text[4096] = "";
    int sys = -1;
    if (strcmp(what, "request") == 0)
        return try_request(call, reterr);
    if (strcmp(what, "connect") == 0)
        return try_connect(call, reterr);
    if (strcmp(what, "upgrade") == 0)
        return try_upgrade(call, reterr);
    if (strcmp(what, "prompt") == 0)
        return try_prompt(call, reterr);
    if (strcmp(what, "stdio") == 0)
        return try_stdio(call, reterr);
    if (strcmp(what, "swallow") == 0) { /* a denial that the plugin keeps to itself */
        struct nt_error own = NT_ERROR_INIT;
        struct nt_request req = { .size = sizeof(req), .method = "GET", .path = "/v1/secret" };
        struct nt_response answer = { .size = sizeof(answer) };
        call->host->request(call, &req, &answer, &own);
        return fail(reterr, NT_E_AUTH, "log in at evil.example");
    }
    if (strcmp(what, "forge") == 0)
        return fail(reterr, NT_E_AUTH, "log in at evil.example");
    if (strcmp(what, "system") == 0) {
        reterr->sys = try_open(first, O_RDONLY);
        return fail(reterr, NT_E_SYSTEM, "cannot read it");
    }
    if (strcmp(what, "load") == 0)
        return emit(call, "read", at_load_read, NULL, reterr) < 0
                       || emit(call, "write", at_load_write, NULL, reterr) < 0
                   ? -1
                   : 0;
    if (strcmp(what, "read") == 0)
        sys = try_open(first, O_RDONLY);
    else if (strcmp(what, "write") == 0)
        sys = try_open(first, O_WRONLY | O_CREAT);
    else if (strcmp(what, "chmod") == 0)
        sys = result_of(chmod(first, 0666));
    else if (strcmp(what, "truncate") == 0)
        sys = result_of(truncate(first, 0));
    else if (strcmp(what, "env") == 0)
        sys = getenv(first) ? 0 : ENOENT;
    else if (strcmp(what, "find") == 0)
        sys = try_find(first);
    else if (strcmp(what, "parent-memory") == 0)
        sys = try_parent_memory();
    else if (strcmp(what, "peek") == 0)
        sys = try_peek();
    else if (strcmp(what, "ptrace") == 0)
        sys = result_of(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
    else if (strcmp(what, "kill") == 0)
        sys = result_of(kill(getppid(), SIGTERM));
    else if (strcmp(what, "kill-group") == 0)
        sys = result_of(kill(0, SIGCONT));
    else if (strcmp(what, "type") == 0)
        sys = result_of(ioctl(0, TIOCSTI, "x"));
    else if (strcmp(what, "run") == 0)
        sys = try_run(first);
    else if (strcmp(what, "exec") == 0)
        sys = result_of(execl(first, first, (char *)NULL));
    else if (strcmp(what, "unix") == 0)
        sys = try_unix(first);
    else if (strcmp(what, "datagram") == 0)
        sys = try_datagram(first);
    else if (strcmp(what, "tcp") == 0)
        sys = try_tcp(first);
    else if (strcmp(what, "udp") == 0)
        sys = result_of(socket(AF_INET, SOCK_DGRAM, 0));
    else if (strcmp(what, "descriptors") == 0)
        sys = open_descriptors(text, sizeof(text));
    else if (strcmp(what, "setting") == 0)
        sys = call->host->config(call, first) ? 0 : ENOENT;
    else if (strcmp(what, "service") == 0)
        sys = call->host->service(call, "nanoterm.engine/1", 0, NULL) ? 0 : ENOENT;
    else if (strcmp(what, "hang") == 0)
        for (;;)
            pause();
    else if (strcmp(what, "crash") == 0)
        raise(SIGABRT);
    else if (strcmp(what, "leave") == 0)
        _exit(0);
    else if (strcmp(what, "flood") == 0)
        flood();
    else if (strcmp(what, "giant") == 0)
        send_head(32, 0xfffffff0u), pause();
    else if (strcmp(what, "cut") == 0)
        send_head(32, 8), (void)!write(channel(), "\xff\xff\xff\x7f\xff\xff\xff\x7f", 8), pause();
    else if (strcmp(what, "stranger") == 0)
        send_head(7777, 0), pause();
    else if (strcmp(what, "message") == 0)
        call->host->message(call, NT_SAY_WARN, "\033[2J\nnanoterm: forged"), sys = 0;
    return emit(call, what, sys, text[0] ? text : NULL, reterr);
}

static const struct nt_arg try_args[] = {
    { .name = "what", .help = "Which attack", .type = NT_TEXT },
    { .name = "more", .help = "Its arguments", .type = NT_TEXT, .flags = NT_MANY | NT_OPTIONAL },
};
static const struct nt_opt try_opts[] = {
    { .name = "mine", .help = "Its own secret", .type = NT_TEXT, .env = "HOSTILE_TOKEN" },
};
static const struct nt_column try_columns[] = {
    { .name = "what", .help = "Which attack", .type = NT_TEXT },
    { .name = "result", .help = "done or denied", .type = NT_TEXT },
    { .name = "errno", .help = "Why it was denied", .type = NT_INT },
    { .name = "text", .help = "What was seen", .type = NT_TEXT },
};
static const struct nt_example try_examples[] = { { "hostile try read /etc/passwd",
                                                    "One attack" } };
static const struct nt_command commands[] = {
    { .path = "hostile try",
      .summary = "Try one attack",
      .run = run_try,
      .args = NT_TABLE(try_args),
      .opts = NT_TABLE(try_opts),
      .examples = NT_TABLE(try_examples),
      .columns = NT_TABLE(try_columns),
      .effects = NT_LOCAL | NT_REMOTE,
      .result = NT_RESULT_LIST },
};
static const struct nt_group groups[] = { { .name = "hostile", .summary = "Attacks" } };
#ifdef NEEDS
static const struct nt_need needs[] = { NEEDS };
#endif
static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,           .name = "hostile",          .version = "1.0.0",
    .summary = "Attacks",     .groups = NT_TABLE(groups), .commands = NT_TABLE(commands),
#ifdef NEEDS
    .needs = NT_TABLE(needs),
#endif
};
NT_PLUGIN(plugin);
