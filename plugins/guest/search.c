/* SPDX-License-Identifier: Apache-2.0 */
/* search.c - GREP and GLOB: walks a tree by descriptors and tells which lines or names match. Runs
 * in a helper process, so it may block.
 *
 * Programs may change the tree at any time: below the folder that was asked for no symbolic link is
 * followed, nothing but regular files is opened for reading (a FIFO would hang, a device might
 * act), and what the kernel makes up (/proc) is left out. A pattern can be hostile (an expression
 * that needs years or all memory), so time and memory are limited. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/magic.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "plugins/guest/helper.h"
#include "plugins/guest/search.h"

#define DEPTH_MAX 128
#define COUNT_MAX 100000u
#define CPU_S 10u
#define WALL_S 20u /* clients wait 30 s for a byte */
#define MEMORY_MAX (256u * 1024 * 1024)
#define LINE_MAX_BYTES NT_G_CHUNK /* what of a line is looked at */
#define TEXT_MAX_BYTES 4096u      /* what of it is told */

struct search {
    struct helper_io *io;
    struct search_pattern pattern; /* GREP */
    const char *glob;              /* GLOB */
    uint64_t count, max;
    size_t base; /* where the part below the start begins in path */
    char path[PATH_MAX];
};

static uint8_t memory[NT_G_HEAD + 16384];

/* --- limits -------------------------------------------------------------------------------- */

static struct helper_io *limit_io;
static volatile sig_atomic_t is_busy, is_late;

static void refuse_late(void)
{
    /* only stack and sendmsg: fine in a signal handler */
    io_refuse(limit_io, NT_GE_LIMIT, ETIME,
              "it takes too long: a smaller folder or a simpler pattern is needed");
}

static void on_late(int signo)
{
    (void)signo;
    if (is_busy)
        is_late = 1; /* not in the middle of a frame */
    else
        refuse_late();
}

void search_limit(struct helper_io *io)
{
    limit_io = io;
    struct sigaction act = { .sa_handler = on_late, .sa_flags = SA_RESTART };
    sigaction(SIGXCPU, &act, NULL);
    sigaction(SIGALRM, &act, NULL);
    setrlimit(RLIMIT_CPU, &(struct rlimit){ CPU_S, CPU_S + 2 });
    alarm(WALL_S);
    struct rlimit space;
    /* a sanitizer's address space is larger than any limit that would help here */
    if (!guest.is_test && getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur > MEMORY_MAX)
        setrlimit(RLIMIT_AS, &(struct rlimit){ MEMORY_MAX, MEMORY_MAX });
}

void search_hold(void)
{
    is_busy = 1;
}

void search_release(void)
{
    is_busy = 0;
    if (is_late)
        refuse_late();
}

static void send_frame(struct helper_io *io, struct nt_g_writer *w)
{
    search_hold();
    io_send(io, w);
    search_release();
}

/* --- patterns ------------------------------------------------------------------------------ */

void search_pattern_read(struct helper_io *io, const struct request *r, struct search_pattern *ret)
{
    static char text[SEARCH_PATTERN_MAX + 1];
    if (!request_text(r, NT_GT_PATTERN, text, sizeof(text)))
        io_refuse(io, NT_GE_INVALID, EINVAL, "the pattern must have 1 to 1024 bytes");
    ret->text = text;
    ret->size = strlen(text);
    int rc = regcomp(&ret->regex, text, REG_EXTENDED | REG_NEWLINE);
    if (rc == REG_ESPACE)
        io_refuse(io, NT_GE_LIMIT, ENOMEM, "the pattern needs too much memory");
    ret->is_regex = rc == 0;
}

bool search_pattern_find(const struct search_pattern *p, const char *line, size_t size, size_t at,
                         size_t *ret_start, size_t *ret_end)
{
    if (!p->is_regex) {
        const char *hit = memmem(line + at, size - at, p->text, p->size);
        if (!hit)
            return false;
        *ret_start = (size_t)(hit - line);
        *ret_end = *ret_start + p->size;
        return true;
    }
    regmatch_t match = { .rm_so = (regoff_t)at, .rm_eo = (regoff_t)size };
    int flags = REG_STARTEND | (at ? REG_NOTBOL : 0);
    int rc = regexec(&p->regex, line, 1, &match, flags);
    if (rc == REG_ESPACE)
        io_refuse(limit_io, NT_GE_LIMIT, ENOMEM, "the pattern needs too much memory");
    if (rc != 0)
        return false;
    *ret_start = (size_t)match.rm_so;
    *ret_end = (size_t)match.rm_eo;
    return true;
}

/* Whether path is matched by pattern, part by part; the part "**" stands for any number of
 * folders. */
static bool path_matches(const char *pattern, const char *path)
{
    char part[NAME_MAX + 1], name[NAME_MAX + 1];
    size_t wanted = strcspn(pattern, "/"), size = strcspn(path, "/");
    if (wanted == 2 && memcmp(pattern, "**", 2) == 0) {
        const char *rest = pattern + wanted + (pattern[wanted] == '/');
        if (!*rest)
            return true;
        for (;; path += size + 1, size = strcspn(path, "/")) {
            if (path_matches(rest, path))
                return true;
            if (!path[size])
                return false;
        }
    }
    if (wanted > NAME_MAX || size > NAME_MAX)
        return false;
    memcpy(part, pattern, wanted);
    part[wanted] = '\0';
    memcpy(name, path, size);
    name[size] = '\0';
    if (fnmatch(part, name, 0) != 0)
        return false;
    if (!pattern[wanted] || !path[size])
        return !pattern[wanted] && !path[size];
    return path_matches(pattern + wanted + 1, path + size + 1);
}

/* A pattern with a slash is for the path below the start, any other for the name. */
static bool is_named(const struct search *s, const char *name)
{
    return strchr(s->glob, '/') ? path_matches(s->glob, s->path + s->base)
                                : fnmatch(s->glob, name, 0) == 0;
}

/* --- one file ------------------------------------------------------------------------------ */

static void end_search(struct search *s)
{
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    nt_g_add_number(&w, NT_GT_COUNT, s->count);
    search_hold(); /* nothing comes after it */
    io_send(s->io, &w);
    _exit(0);
}

static void tell(struct search *s, uint64_t line, const char *text, size_t size)
{
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ENTRY);
    nt_g_add_text(&w, NT_GT_PATH, s->path);
    if (line) {
        nt_g_add_number(&w, NT_GT_LINE, line);
        nt_g_add(&w, NT_GT_TEXT, text, size < TEXT_MAX_BYTES ? size : TEXT_MAX_BYTES);
    }
    send_frame(s->io, &w);
    if (++s->count >= s->max)
        end_search(s);
}

int search_open(int dir, const char *name, struct stat *ret)
{
    /* the first look keeps devices from being opened at all; the second is of what was opened */
    if (fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (!S_ISREG(ret->st_mode)) {
        errno = S_ISDIR(ret->st_mode) ? EISDIR : S_ISLNK(ret->st_mode) ? ELOOP : EINVAL;
        return -1;
    }
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode)) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

static void grep_line(struct search *s, uint64_t number, const char *line, size_t size)
{
    size_t start, end;
    if (size && line[size - 1] == '\r')
        size--;
    if (search_pattern_find(&s->pattern, line, size, 0, &start, &end))
        tell(s, number, line, size);
}

/* Takes fd. A file with a zero byte is binary: it ends there, so a hole costs nothing. Of a line
 * longer than LINE_MAX_BYTES the beginning is looked at. */
static void grep_fd(struct search *s, int fd)
{
    static char buffer[LINE_MAX_BYTES + 1];
    size_t have = 0;
    uint64_t number = 1;
    bool skips = false; /* the rest of a long line */
    for (;;) {
        ssize_t n = read(fd, buffer + have, LINE_MAX_BYTES - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || memchr(buffer + have, 0, (size_t)n)) {
            if (n == 0 && have && !skips)
                grep_line(s, number, buffer, have);
            break;
        }
        have += (size_t)n;
        size_t at = 0;
        for (char *end; (end = memchr(buffer + at, '\n', have - at)); number++) {
            size_t next = (size_t)(end - buffer) + 1;
            if (!skips)
                grep_line(s, number, buffer + at, next - 1 - at);
            skips = false;
            at = next;
        }
        memmove(buffer, buffer + at, have - at);
        have -= at;
        if (have == LINE_MAX_BYTES) {
            if (!skips)
                grep_line(s, number, buffer, have);
            skips = true;
            have = 0;
        }
    }
    close(fd);
}

/* --- the tree ------------------------------------------------------------------------------ */

static bool is_made_up(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return true;
    switch ((unsigned long)fs.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
        return true;
    default:
        return false;
    }
}

static void walk(struct search *s, int fd, size_t path_size, int depth);

static void visit(struct search *s, int dir, const struct dirent *d, size_t path_size, int depth)
{
    if (s->glob && is_named(s, d->d_name))
        tell(s, 0, NULL, 0);
    if (!s->glob && (d->d_type == DT_REG || d->d_type == DT_UNKNOWN)) {
        struct stat st;
        int fd = search_open(dir, d->d_name, &st);
        if (fd >= 0)
            grep_fd(s, fd);
    }
    if ((d->d_type != DT_DIR && d->d_type != DT_UNKNOWN) || depth >= DEPTH_MAX)
        return;
    int sub = openat(dir, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (sub >= 0 && is_made_up(sub))
        close(sub);
    else if (sub >= 0)
        walk(s, sub, path_size, depth + 1);
}

/* Takes fd. What cannot be opened is left out, as it is in a listing. */
static void walk(struct search *s, int fd, size_t path_size, int depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        int n = snprintf(s->path + path_size, sizeof(s->path) - path_size, "%s%s",
                         path_size && s->path[path_size - 1] == '/' ? "" : "/", d->d_name);
        if (n > 0 && (size_t)n < sizeof(s->path) - path_size)
            visit(s, dirfd(dir), d, path_size + (size_t)n, depth);
    }
    closedir(dir);
}

/* The start itself may be a link: it was asked for by name. */
static void search_start(struct search *s)
{
    size_t size = strlen(s->path);
    s->base = size + (s->path[size - 1] != '/');
    int fd = open(s->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        walk(s, fd, size, 1);
    else if (errno != ENOTDIR)
        io_fail(s->io, errno, "cannot open the folder");
    else if (s->glob)
        io_refuse(s->io, NT_GE_INVALID, ENOTDIR, "that is not a folder");
    else {
        struct stat st;
        fd = search_open(AT_FDCWD, s->path, &st);
        if (fd < 0)
            io_fail(s->io, errno, "cannot open the file");
        grep_fd(s, fd);
    }
    end_search(s);
}

void search_serve(struct helper_io *io, const struct request *r)
{
    static struct search s;
    static char glob[SEARCH_PATTERN_MAX + 1];
    s.io = io;
    s.max = request_number(r, NT_GT_COUNT, COUNT_MAX);
    s.max = s.max && s.max < COUNT_MAX ? s.max : COUNT_MAX;
    io_path(io, r, NT_GT_PATH, s.path);
    search_limit(io);
    if (r->type == NT_G_GREP) {
        search_pattern_read(io, r, &s.pattern);
    } else {
        if (!request_text(r, NT_GT_PATTERN, glob, sizeof(glob)))
            io_refuse(io, NT_GE_INVALID, EINVAL, "the pattern must have 1 to 1024 bytes");
        s.glob = glob;
    }
    search_start(&s);
}
