/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - from lines of strace to what a program did; see trace.h.
 *
 * A call that another process interrupts is written in two halves, which are put together by pid.
 * Paths are relative to a folder that strace names (-y), or, in calls without one, to the working
 * folder of that process, which is followed through fork and chdir. */
#include "trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/explain/trace_dns.h"
#include "plugins/sandbox-enforce/explain/trace_text.h"
#include "plugins/sandbox-enforce/policy/policy.h"
#include "sdk/cleanup.h"

#define PROCESSES 1024u /* followed at once; beyond, the one heard of longest ago is forgotten */

struct process {
    int pid;
    uint64_t heard;
    bool is_forking; /* the first half of a fork was read */
    char *half;      /* of a call; NULL: none */
    size_t half_size;
    char *cwd; /* NULL: not known */
};

struct trace {
    void (*event)(void *data, const struct trace_event *event);
    void *data;
    struct process *processes; /* PROCESSES */
    size_t count;
    uint64_t lines;
    char cwd[PATH_MAX];
    char path[PATH_MAX], other[PATH_MAX], line[TRACE_LINE_MAX]; /* of the line at work */
};

/* --- processes ----------------------------------------------------------------------------- */

static void forget(struct process *p)
{
    free(p->half);
    free(p->cwd);
    *p = (struct process){ .pid = 0 };
}

static void go(struct process *p, const char *cwd)
{
    if (p->cwd && cwd && strcmp(p->cwd, cwd) == 0)
        return;
    free(p->cwd);
    p->cwd = cwd ? strdup(cwd) : NULL;
}

/* Whoever appears before the second half of its parent's fork has the folder of a parent that is
 * forking; of several, of the one heard of last. */
static const char *likely_cwd(const struct trace *t)
{
    const struct process *best = NULL;
    for (size_t i = 0; i < t->count; i++) {
        const struct process *p = &t->processes[i];
        if (p->pid && p->is_forking && (!best || p->heard > best->heard))
            best = p;
    }
    return best ? best->cwd : t->count == 0 ? t->cwd : NULL;
}

static struct process *process_of(struct trace *t, int pid)
{
    struct process *oldest = NULL;
    for (size_t i = 0; i < t->count; i++) {
        struct process *p = &t->processes[i];
        if (p->pid == pid) {
            p->heard = t->lines;
            return p;
        }
        if (!oldest || !p->pid || (oldest->pid && p->heard < oldest->heard))
            oldest = p;
    }
    nt_autofree char *cwd = likely_cwd(t) ? strdup(likely_cwd(t)) : NULL;
    struct process *p =
        t->count < PROCESSES && (!oldest || oldest->pid) ? &t->processes[t->count++] : oldest;
    forget(p);
    *p = (struct process){ .pid = pid, .heard = t->lines };
    go(p, cwd);
    return p;
}

/* --- paths --------------------------------------------------------------------------------- */

/* BASE/REST without "." and ".."; false: too long, or BASE is not known. */
static bool join(const char *base, const char *rest, char *ret)
{
    char whole[2 * PATH_MAX];
    size_t size = 0;
    if (rest[0] == '/')
        base = "";
    else if (base[0] != '/')
        return false;
    snprintf(whole, sizeof(whole), "%s/%s", base, rest);
    char *rest_at = whole;
    for (char *word; (word = strsep(&rest_at, "/"));) {
        size_t length = strlen(word);
        if (length == 0 || strcmp(word, ".") == 0)
            continue;
        if (strcmp(word, "..") == 0) {
            while (size > 0 && ret[--size] != '/')
                ;
            continue;
        }
        if (size + 1 + length >= PATH_MAX)
            return false;
        ret[size++] = '/';
        memcpy(ret + size, word, length);
        size += length;
    }
    if (size == 0)
        ret[size++] = '/';
    ret[size] = '\0';
    return true;
}

static bool text_of(struct trace_text t, char *ret)
{
    size_t size;
    return trace_bytes(t, ret, PATH_MAX, &size) && size > 0 && strlen(ret) == size;
}

/* What an open descriptor leads to. false: a pipe or the like, or it was removed. */
static bool path_of_open(struct trace_text argument, char *ret)
{
    static const char gone[] = "(deleted)";
    size_t size = strlen(gone);
    if (argument.size >= size
        && memcmp(argument.at + argument.size - size, gone, size) == 0) /* behind the path, or */
        return false;
    if (!text_of(trace_between(argument, "<", ">"), ret) || ret[0] != '/')
        return false;
    size_t length = strlen(ret); /* in it, as the kernel says it */
    return length < size || strcmp(ret + length - size, gone) != 0;
}

/* The path in argument PATH of a call whose argument FOLDER is a descriptor, or -1. */
static bool path_of(struct process *p, const struct trace_call *c, int folder, size_t path,
                    char *ret)
{
    char name[PATH_MAX], base[PATH_MAX];
    snprintf(base, sizeof(base), "%s", p->cwd ? p->cwd : "");
    if (folder >= 0 && (size_t)folder < c->count) {
        struct trace_text at = trace_between(c->args[folder], "<", ">");
        if (at.size && text_of(at, base) && strncmp(c->args[folder].at, "AT_FDCWD", 8) == 0)
            go(p, base);
    }
    return path < c->count && text_of(c->args[path], name) && join(base, name, ret);
}

/* The same, or of the descriptor itself, where a call names no path. */
static bool path_or_open(struct process *p, const struct trace_call *c, int folder, size_t path,
                         char *ret)
{
    bool is_open = folder >= 0 && (size_t)folder < c->count && path < c->count
                   && (folder == (int)path || trace_is(c->args[path], "NULL")
                       || trace_is(c->args[path], "\"\""));
    return is_open ? path_of_open(c->args[folder], ret) : path_of(p, c, folder, path, ret);
}

/* --- calls --------------------------------------------------------------------------------- */

static int number_of(struct trace_text error)
{
    static const struct {
        const char *name;
        int number;
    } known[] = { { "ENOENT", ENOENT },
                  { "EACCES", EACCES },
                  { "EPERM", EPERM },
                  { "EEXIST", EEXIST },
                  { "ENOTDIR", ENOTDIR },
                  { "EROFS", EROFS },
                  { "EINPROGRESS", EINPROGRESS },
                  { "ECONNREFUSED", ECONNREFUSED } };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (trace_is(error, known[i].name))
            return known[i].number;
    return error.size ? EIO : 0;
}

static void tell(struct trace *t, struct trace_event e)
{
    t->event(t->data, &e);
}

static void on_open(struct trace *t, struct process *p, const struct trace_call *c, int folder,
                    size_t path, struct trace_text flags)
{
    struct trace_event e = { .act = TRACE_OPEN, .error = number_of(c->error) };
    if (!path_of(p, c, folder, path, t->path) || trace_has_flag(flags, "O_PATH"))
        return;
    e.access = trace_has_flag(flags, "O_RDWR")     ? POLICY_BOTH
               : trace_has_flag(flags, "O_WRONLY") ? POLICY_WRITE
                                                   : POLICY_READ;
    e.access |= trace_has_flag(flags, "O_TRUNC") ? POLICY_WRITE : 0;
    e.is_made = trace_has_flag(flags, "O_CREAT") || trace_has_flag(flags, "O_TMPFILE");
    e.is_folder = trace_has_flag(flags, "O_DIRECTORY");
    /* What the kernel opened is surer than what was asked for. */
    if (c->path.size && text_of(c->path, t->other) && t->other[0] == '/')
        snprintf(t->path, sizeof(t->path), "%s", t->other);
    e.path = t->path;
    tell(t, e);
}

static void on_change(struct trace *t, struct process *p, const struct trace_call *c, int folder,
                      size_t path)
{
    if (path_of(p, c, folder, path, t->path))
        tell(t, (struct trace_event){
                    .act = TRACE_CHANGE, .error = number_of(c->error), .path = t->path });
}

/* Mode, owner, times, attributes: of the file, which must be granted for writing; of a link itself
 * the folder that holds it, as a link cannot be. */
static void on_set(struct trace *t, struct process *p, const struct trace_call *c, int folder,
                   size_t path)
{
    bool is_link = false;
    for (size_t i = 0; i < c->count; i++) /* names are \xHH */
        is_link = is_link || trace_has_flag(c->args[i], "AT_SYMLINK_NOFOLLOW");
    if (path_or_open(p, c, folder, path, t->path))
        tell(t, (struct trace_event){ .act = is_link ? TRACE_CHANGE : TRACE_OPEN,
                                      .access = is_link ? 0 : POLICY_WRITE,
                                      .error = number_of(c->error),
                                      .path = t->path });
}

/* Attributes of a file; a device that is driven, but for what all may be asked. */
static void on_ioctl(struct trace *t, struct process *p, const struct trace_call *c)
{
    static const char *const changes[] = { "FS_IOC_SETFLAGS", "FS_IOC_FSSETXATTR",
                                           "EXT2_IOC_SETFLAGS", "XFS_IOC_FSSETXATTR" };
    static const char *const idle[] = { "FIOCLEX", "FIONCLEX", "FIONBIO", "FIOASYNC", "FIGETBSZ" };
    if (c->count < 2)
        return;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        if (trace_has_flag(c->args[1], changes[i])) {
            on_set(t, p, c, 0, 0);
            return;
        }
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
        if (trace_has_flag(c->args[1], idle[i]))
            return;
    if (path_of_open(c->args[0], t->path) && strncmp(t->path, "/dev/", 5) == 0)
        tell(t, (struct trace_event){ .act = TRACE_OPEN,
                                      .access = POLICY_WRITE,
                                      .error = number_of(c->error),
                                      .path = t->path });
}

static void on_address(struct trace *t, enum trace_act act, const struct trace_call *c,
                       struct trace_text address)
{
    struct trace_event e = { .act = act, .error = number_of(c->error) };
    struct trace_text port = trace_between(address, "_port=htons(", ")");
    struct trace_text ip = trace_between(address, "sin_addr=inet_addr(", ")");
    struct trace_text ip6 = trace_between(address, "inet_pton(AF_INET6, ", ",");
    struct trace_text local = trace_between(address, "sun_path=", "}");
    if (port.size)
        e.port = (uint16_t)strtoul(port.at, NULL, 10);
    if (local.size && local.at[0] == '"' && text_of(local, t->path))
        e.path = t->path;
    else if ((ip.size && text_of(ip, t->path)) || (ip6.size && text_of(ip6, t->path)))
        e.address = t->path;
    else
        return;
    tell(t, e);
}

static void on_name(void *data, const char *host, const char *address)
{
    struct trace *t = data;
    tell(t, (struct trace_event){ .act = TRACE_NAME, .address = address, .host = host });
}

/* How the arguments of a call lie: descriptor of a folder (-1: none), and path; the same: of what
 * is changed, open. */
enum kind {
    OPEN,
    CREAT,
    EXECUTE,
    CHANGE,
    SET,
    IOCTL,
    CHDIR,
    FCHDIR,
    FORK,
    CONNECT,
    BIND,
    SEND,
    RECEIVE
};
static const struct call_row {
    const char *name;
    enum kind kind;
    int folder, path, folder2, path2; /* a second pair: -2: none */
} calls[] = {
    { "open", OPEN, -1, 0, -2, 0 },           { "openat", OPEN, 0, 1, -2, 0 },
    { "openat2", OPEN, 0, 1, -2, 0 },         { "creat", CREAT, -1, 0, -2, 0 },
    { "execve", EXECUTE, -1, 0, -2, 0 },      { "execveat", EXECUTE, 0, 1, -2, 0 },
    { "mkdir", CHANGE, -1, 0, -2, 0 },        { "mkdirat", CHANGE, 0, 1, -2, 0 },
    { "rmdir", CHANGE, -1, 0, -2, 0 },        { "unlink", CHANGE, -1, 0, -2, 0 },
    { "unlinkat", CHANGE, 0, 1, -2, 0 },      { "rename", CHANGE, -1, 0, -1, 1 },
    { "renameat", CHANGE, 0, 1, 2, 3 },       { "renameat2", CHANGE, 0, 1, 2, 3 },
    { "link", CHANGE, -1, 1, -2, 0 },         { "linkat", CHANGE, 2, 3, -2, 0 },
    { "symlink", CHANGE, -1, 1, -2, 0 },      { "symlinkat", CHANGE, 1, 2, -2, 0 },
    { "mknod", CHANGE, -1, 0, -2, 0 },        { "mknodat", CHANGE, 0, 1, -2, 0 },
    { "truncate", CREAT, -1, 0, -2, 0 },      { "chmod", SET, -1, 0, -2, 0 },
    { "fchmodat", SET, 0, 1, -2, 0 },         { "fchmodat2", SET, 0, 1, -2, 0 },
    { "chown", SET, -1, 0, -2, 0 },           { "lchown", CHANGE, -1, 0, -2, 0 },
    { "fchownat", SET, 0, 1, -2, 0 },         { "utime", SET, -1, 0, -2, 0 },
    { "utimes", SET, -1, 0, -2, 0 },          { "futimesat", SET, 0, 1, -2, 0 },
    { "utimensat", SET, 0, 1, -2, 0 },        { "setxattr", SET, -1, 0, -2, 0 },
    { "lsetxattr", CHANGE, -1, 0, -2, 0 },    { "removexattr", SET, -1, 0, -2, 0 },
    { "lremovexattr", CHANGE, -1, 0, -2, 0 }, { "chdir", CHDIR, -1, 0, -2, 0 },
    { "fchdir", FCHDIR, -1, 0, -2, 0 },       { "fork", FORK, -1, 0, -2, 0 },
    { "vfork", FORK, -1, 0, -2, 0 },          { "clone", FORK, -1, 0, -2, 0 },
    { "clone3", FORK, -1, 0, -2, 0 },         { "connect", CONNECT, -1, 0, -2, 0 },
    { "bind", BIND, -1, 0, -2, 0 },           { "sendto", SEND, -1, 0, -2, 0 },
    { "recvfrom", RECEIVE, -1, 0, -2, 0 },    { "fchmod", SET, 0, 0, -2, 0 },
    { "fchown", SET, 0, 0, -2, 0 },           { "fsetxattr", SET, 0, 0, -2, 0 },
    { "fremovexattr", SET, 0, 0, -2, 0 },     { "setxattrat", SET, 0, 1, -2, 0 },
    { "removexattrat", SET, 0, 1, -2, 0 },    { "file_setattr", SET, 0, 1, -2, 0 },
    { "ioctl", IOCTL, 0, 0, -2, 0 },
};

static const struct call_row *row_of(struct trace_text name)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (trace_is(name, calls[i].name))
            return &calls[i];
    return NULL;
}

static void on_fork(struct trace *t, struct process *p, const struct trace_call *c)
{
    p->is_forking = false;
    if (c->result <= 0 || c->result > INT_MAX)
        return;
    nt_autofree char *cwd = p->cwd ? strdup(p->cwd) : NULL;
    struct process *child = process_of(t, (int)c->result); /* which may be where p was */
    if (!child->cwd)
        go(child, cwd);
}

static void on_chdir(struct trace *t, struct process *p, const struct trace_call *c, bool is_fd)
{
    if (c->result != 0 || c->count < 1)
        return;
    bool is_known = is_fd ? text_of(trace_between(c->args[0], "<", ">"), t->path)
                          : path_of(p, c, -1, 0, t->path);
    go(p, is_known ? t->path : NULL);
}

static void on_received(struct trace *t, const struct trace_call *c)
{
    size_t size;
    if (c->count > 1 && c->result > 0 && trace_bytes(c->args[1], t->line, sizeof(t->line), &size))
        trace_dns_answer((const unsigned char *)t->line, size, on_name, t);
}

/* Calls that strace writes as numbers: from 424 on they are the same on all architectures. Told are
 * those that open or change a file, and those that are newer than this list. */
#define NEWEST_CALL 469u
static const struct newer_row {
    unsigned number;
    const char *call, *since;
} newer[] = {
    { 437, "openat2", "5.6" },       { 452, "fchmodat2", "6.6" },
    { 463, "setxattrat", "6.13" },   { 466, "removexattrat", "6.13" },
    { 469, "file_setattr", "6.17" },
};

/* "syscall_0x1c4": 0x1c4. 0: it has a name. */
static unsigned unnamed(struct trace_text name)
{
    static const char prefix[] = "syscall_0x";
    char digits[8] = "";
    size_t size = strlen(prefix);
    if (name.size <= size || name.size - size >= sizeof(digits)
        || memcmp(name.at, prefix, size) != 0)
        return 0;
    memcpy(digits, name.at + size, name.size - size);
    char *end;
    unsigned long number = strtoul(digits, &end, 16);
    return *end ? 0 : (unsigned)number;
}

/* Also of those whose name strace knows, and nothing more. */
static void on_unseen(struct trace *t, const struct trace_call *c)
{
    struct trace_event e = { .act = TRACE_UNSEEN, .number = unnamed(c->name) };
    if (c->error.size)
        return;
    for (size_t i = 0; i < sizeof(newer) / sizeof(newer[0]); i++)
        if (newer[i].number == e.number || trace_is(c->name, newer[i].call)) {
            e.number = newer[i].number;
            e.call = newer[i].call;
            e.since = newer[i].since;
        }
    if (!e.call && e.number > NEWEST_CALL)
        e.call = e.since = "";
    if (e.call)
        tell(t, e);
}

static void on_call(struct trace *t, struct process *p, const struct trace_call *c)
{
    static const struct trace_text truncating = { "O_WRONLY|O_CREAT|O_TRUNC", 24 };
    const struct call_row *row = row_of(c->name);
    if (!row) {
        on_unseen(t, c);
        return;
    }
    size_t path = (size_t)row->path;
    switch (row->kind) {
    case OPEN:
        if (path + 1 < c->count)
            on_open(t, p, c, row->folder, path, c->args[path + 1]);
        break;
    case CREAT:
        on_open(t, p, c, row->folder, path, truncating);
        break;
    case EXECUTE:
        if (path_or_open(p, c, row->folder, path, t->path))
            tell(t, (struct trace_event){ .act = TRACE_EXECUTE,
                                          .error = number_of(c->error),
                                          .path = t->path,
                                          .cwd = p->cwd });
        break;
    case CHANGE:
        on_change(t, p, c, row->folder, path);
        if (row->folder2 > -2)
            on_change(t, p, c, row->folder2, (size_t)row->path2);
        break;
    case SET:
        if (path < c->count && c->args[path].size > 2 && memcmp(c->args[path].at, "0x", 2) == 0)
            on_unseen(t, c);
        else
            on_set(t, p, c, row->folder, path);
        break;
    case IOCTL:
        on_ioctl(t, p, c);
        break;
    case CHDIR:
        on_chdir(t, p, c, false);
        break;
    case FCHDIR:
        on_chdir(t, p, c, true);
        break;
    case FORK:
        on_fork(t, p, c);
        break;
    case CONNECT:
    case BIND:
        if (c->count > 1)
            on_address(t, row->kind == BIND ? TRACE_BIND : TRACE_CONNECT, c, c->args[1]);
        break;
    case SEND:
        if (c->count > 4)
            on_address(t, TRACE_CONNECT, c, c->args[4]);
        break;
    case RECEIVE:
        on_received(t, c);
        break;
    }
}

/* --- lines --------------------------------------------------------------------------------- */

static bool ends_with(const char *line, size_t size, const char *end)
{
    size_t length = strlen(end);
    return size >= length && memcmp(line + size - length, end, length) == 0;
}

static void keep_half(struct process *p, const char *line, size_t size)
{
    const char *open = memchr(line, '(', size);
    const struct trace_text name = { line, open ? (size_t)(open - line) : 0 };
    const struct call_row *row = row_of(name);
    free(p->half);
    p->half = NULL;
    p->is_forking = row && row->kind == FORK;
    if (!row && !unnamed(name))
        return;
    p->half = malloc(size + 1);
    if (!p->half)
        return;
    memcpy(p->half, line, size);
    p->half_size = size;
}

static void on_text(struct trace *t, struct process *p, const char *line, size_t size)
{
    static const char unfinished[] = " <unfinished ...>", resumed[] = " resumed>";
    struct trace_call c;
    nt_autofree char *whole = NULL;
    if (ends_with(line, size, unfinished)) {
        keep_half(p, line, size - strlen(unfinished));
        return;
    }
    if (size > 5 && memcmp(line, "<... ", 5) == 0) {
        const char *rest = memmem(line, size, resumed, strlen(resumed));
        if (!rest || !p->half)
            return;
        rest += strlen(resumed);
        size_t rest_size = size - (size_t)(rest - line);
        whole = malloc(p->half_size + rest_size);
        if (!whole)
            return;
        memcpy(whole, p->half, p->half_size);
        memcpy(whole + p->half_size, rest, rest_size);
        size = p->half_size + rest_size;
        line = whole;
        free(p->half);
        p->half = NULL;
    }
    if (trace_parse(line, size, &c))
        on_call(t, p, &c);
}

void trace_line(struct trace *t, const char *line, size_t size)
{
    char *rest;
    char number[16] = "";
    if (size == 0 || size > TRACE_LINE_MAX || memchr(line, '\0', size))
        return;
    memcpy(number, line, size < sizeof(number) - 1 ? size : sizeof(number) - 1);
    long pid = strtol(number, &rest, 10);
    size_t begin = (size_t)(rest - number);
    if (begin == 0 || pid <= 0 || pid > INT_MAX)
        return;
    while (begin < size && line[begin] == ' ')
        begin++;
    t->lines++;
    struct process *p = process_of(t, (int)pid);
    if (size - begin > 4 && memcmp(line + begin, "+++ ", 4) == 0)
        forget(p);
    else
        on_text(t, p, line + begin, size - begin);
}

struct trace *trace_new(const char *cwd, void (*event)(void *data, const struct trace_event *event),
                        void *data)
{
    struct trace *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->processes = calloc(PROCESSES, sizeof(*t->processes));
    t->event = event;
    t->data = data;
    snprintf(t->cwd, sizeof(t->cwd), "%s", cwd);
    if (!t->processes) {
        free(t);
        return NULL;
    }
    return t;
}

void trace_free(struct trace *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        forget(&t->processes[i]);
    free(t->processes);
    free(t);
}
