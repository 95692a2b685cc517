/* SPDX-License-Identifier: Apache-2.0 */
/* notify_files.c - with --diagnose: looks at each call that opens, starts or changes a file, and
 * notes what the policy denies.
 *
 * Nothing is decided here: the kernel makes the call in any case, and Landlock or a read-only mount
 * refuses it. So it does no harm that the program can change a path after it was read; it would
 * only spoil its own diagnosis. Not noted is what fails for another reason: a file that is not
 * there, or one that is there already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "notify_inner.h"
#include "sdk/cleanup.h"

enum kind {
    FILE_OPEN,     /* flags in the next argument */
    FILE_OPEN2,    /* flags in what the next argument points to */
    FILE_WRITE,    /* it is there, and is written */
    FILE_EXECUTE,  /* it is there, and is run */
    FILE_MAKE,     /* it is not there yet */
    FILE_REMOVE,   /* it is there */
    FILE_SET,      /* it is there, and its mode, owner, times or attributes are changed */
    FILE_SET_LINK, /* the same of what is not followed if it is a link */
};

#define CALL_FCHMODAT2 452 /* newer than some headers; one number on all architectures */
#define CALL_SETXATTRAT 463
#define CALL_REMOVEXATTRAT 466

/* Where the arguments are: the number of a folder's descriptor (-1: none), the path, flags that may
 * say AT_SYMLINK_NOFOLLOW (0: none). */
static const struct row {
    long call;
    enum kind kind;
    int folder, path, flags;
} rows[] = {
#ifdef SYS_open /* the newer architectures have only the calls with a folder */
    { SYS_open, FILE_OPEN, -1, 0, 0 },       { SYS_creat, FILE_MAKE, -1, 0, 0 },
    { SYS_mkdir, FILE_MAKE, -1, 0, 0 },      { SYS_rmdir, FILE_REMOVE, -1, 0, 0 },
    { SYS_unlink, FILE_REMOVE, -1, 0, 0 },   { SYS_rename, FILE_REMOVE, -1, 0, 0 },
    { SYS_rename, FILE_MAKE, -1, 1, 0 },     { SYS_link, FILE_MAKE, -1, 1, 0 },
    { SYS_symlink, FILE_MAKE, -1, 1, 0 },    { SYS_mknod, FILE_MAKE, -1, 0, 0 },
    { SYS_renameat, FILE_REMOVE, 0, 1, 0 },  { SYS_renameat, FILE_MAKE, 2, 3, 0 },
    { SYS_chmod, FILE_SET, -1, 0, 0 },       { SYS_chown, FILE_SET, -1, 0, 0 },
    { SYS_lchown, FILE_SET_LINK, -1, 0, 0 }, { SYS_utime, FILE_SET, -1, 0, 0 },
    { SYS_utimes, FILE_SET, -1, 0, 0 },      { SYS_futimesat, FILE_SET, 0, 1, 0 },
#endif
    { SYS_openat, FILE_OPEN, 0, 1, 0 },      { SYS_openat2, FILE_OPEN2, 0, 1, 0 },
    { SYS_execve, FILE_EXECUTE, -1, 0, 0 },  { SYS_execveat, FILE_EXECUTE, 0, 1, 0 },
    { SYS_truncate, FILE_WRITE, -1, 0, 0 },  { SYS_mkdirat, FILE_MAKE, 0, 1, 0 },
    { SYS_unlinkat, FILE_REMOVE, 0, 1, 0 },  { SYS_renameat2, FILE_REMOVE, 0, 1, 0 },
    { SYS_renameat2, FILE_MAKE, 2, 3, 0 },   { SYS_linkat, FILE_MAKE, 2, 3, 0 },
    { SYS_symlinkat, FILE_MAKE, 1, 2, 0 },   { SYS_mknodat, FILE_MAKE, 0, 1, 0 },
    { SYS_fchmodat, FILE_SET, 0, 1, 0 },     { CALL_FCHMODAT2, FILE_SET, 0, 1, 3 },
    { SYS_fchownat, FILE_SET, 0, 1, 4 },     { SYS_utimensat, FILE_SET, 0, 1, 3 },
    { SYS_setxattr, FILE_SET, -1, 0, 0 },    { SYS_lsetxattr, FILE_SET_LINK, -1, 0, 0 },
    { SYS_removexattr, FILE_SET, -1, 0, 0 }, { SYS_lremovexattr, FILE_SET_LINK, -1, 0, 0 },
    { CALL_SETXATTRAT, FILE_SET, 0, 1, 2 },  { CALL_REMOVEXATTRAT, FILE_SET, 0, 1, 2 },
};

long files_call(size_t index)
{
    return index < sizeof(rows) / sizeof(rows[0]) ? rows[index].call : -1;
}

bool files_is_call(int call)
{
    for (size_t i = 0; files_call(i) >= 0; i++)
        if (files_call(i) == call)
            return true;
    return false;
}

/* A path as the program says it, ended by NUL: up to the end of a page at a time, as more may not
 * be there. */
static int read_path(const struct notify_ask *ask, uint64_t at, char ret[NOTIFY_PATH_MAX])
{
    size_t size = 0, page = (size_t)sysconf(_SC_PAGESIZE);
    while (size < NOTIFY_PATH_MAX) {
        size_t piece = page - (at + size) % page;
        piece = piece < NOTIFY_PATH_MAX - size ? piece : NOTIFY_PATH_MAX - size;
        int sys = program_read(ask->pid, at + size, ret + size, piece);
        if (sys)
            return sys;
        if (memchr(ret + size, '\0', piece))
            return 0;
        size += piece;
    }
    return ENAMETOOLONG;
}

/* The path of a call's argument, absolute where it is relative to a folder's descriptor. */
static int path_of(const struct notify_ask *ask, const struct row *row, char ret[NOTIFY_PATH_MAX])
{
    char name[64], text[NOTIFY_PATH_MAX];
    int sys = read_path(ask, ask->args[row->path], ret);
    int folder = row->folder < 0 ? AT_FDCWD : (int)(uint32_t)ask->args[row->folder];
    if (sys || ret[0] == '/' || folder == AT_FDCWD)
        return sys;
    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)ask->pid, folder);
    ssize_t size = readlink(name, text, sizeof(text) - 1);
    if (size < 0)
        return errno;
    text[size] = '\0';
    size_t rest = strlen(ret);
    if (text[0] != '/' || (size_t)size + rest + 2 > NOTIFY_PATH_MAX)
        return ENAMETOOLONG;
    memmove(ret + size + 1, ret, rest + 1);
    memcpy(ret, text, (size_t)size);
    ret[size] = '/';
    return 0;
}

static void note(const struct notify_ask *ask, const char *path, uint32_t access, const char *layer)
{
    const struct notify_options *options = notify_options_of(ask->n);
    struct policy_answer answer;
    /* Whose folder that is, and what of it is granted, depends on who asks. */
    if (strncmp(path, "/proc/", 6) == 0 && path[6] >= '0' && path[6] <= '9')
        return;
    policy_ask_path(options->policy, path, access, &answer);
    if (answer.is_allowed)
        return;
    denials_add(options->denials,
                &(struct denial){ .source = DENIAL_TRACED,
                                  .act = access & POLICY_WRITE ? "write" : "read",
                                  .target = path,
                                  .layer = layer,
                                  .rule = answer.deny ? answer.deny->source : answer.reason,
                                  .grant = answer.flag });
}

/* Making and removing a name needs the right to write its folder. */
static void note_entry(const struct notify_ask *ask, char path[NOTIFY_PATH_MAX], bool is_there)
{
    char canonical[NOTIFY_PATH_MAX];
    nt_autoclose int entry = program_resolve(ask->pid, path, O_NOFOLLOW, canonical);
    if ((entry >= 0) != is_there)
        return;
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    nt_autoclose int folder = program_resolve(ask->pid, slash ? path : ".", O_DIRECTORY, canonical);
    if (folder >= 0)
        note(ask, canonical, POLICY_WRITE, "landlock");
}

static void note_open(const struct notify_ask *ask, char path[NOTIFY_PATH_MAX], uint64_t flags)
{
    char canonical[NOTIFY_PATH_MAX];
    if (flags & O_PATH)
        return;
    uint64_t mode = flags & O_ACCMODE;
    uint32_t access = mode == O_RDWR ? POLICY_BOTH : mode == O_WRONLY ? POLICY_WRITE : POLICY_READ;
    access |= flags & O_TRUNC ? POLICY_WRITE : 0;
    nt_autoclose int file = program_resolve(ask->pid, path, 0, canonical);
    if (file >= 0)
        note(ask, canonical, access, "landlock");
    else if (flags & O_CREAT)
        note_entry(ask, path, false);
}

/* Refused where all but what may be written is read-only; elsewhere nobody minds. */
static void note_set(const struct notify_ask *ask, const struct row *row,
                     char path[NOTIFY_PATH_MAX])
{
    char canonical[NOTIFY_PATH_MAX];
    bool is_link =
        row->kind == FILE_SET_LINK || (row->flags && ask->args[row->flags] & AT_SYMLINK_NOFOLLOW);
    if (!notify_options_of(ask->n)->is_readonly)
        return;
    nt_autoclose int file = program_resolve(ask->pid, path, is_link ? O_NOFOLLOW : 0, canonical);
    struct stat st;
    if (file < 0 || fstat(file, &st) < 0)
        return;
    if (S_ISLNK(st.st_mode)) /* which is granted with its folder */
        note_entry(ask, path, true);
    else
        note(ask, canonical, POLICY_WRITE, "mount");
}

static void look(const struct notify_ask *ask, const struct row *row)
{
    char path[NOTIFY_PATH_MAX], canonical[NOTIFY_PATH_MAX];
    struct open_how how = { .flags = 0 };
    if (path_of(ask, row, path))
        return;
    switch (row->kind) {
    case FILE_OPEN:
        note_open(ask, path, ask->args[row->path + 1]);
        return;
    case FILE_OPEN2:
        if (program_read(ask->pid, ask->args[row->path + 1], &how, sizeof(how)) == 0)
            note_open(ask, path, how.flags);
        return;
    case FILE_MAKE:
        note_entry(ask, path, false);
        return;
    case FILE_REMOVE:
        note_entry(ask, path, true);
        return;
    case FILE_SET:
    case FILE_SET_LINK:
        note_set(ask, row, path);
        return;
    case FILE_WRITE:
    case FILE_EXECUTE:
        break;
    }
    nt_autoclose int file = program_resolve(ask->pid, path, 0, canonical);
    if (file >= 0)
        note(ask, canonical, row->kind == FILE_WRITE ? POLICY_WRITE : POLICY_READ, "landlock");
}

int64_t files_answer(const struct notify_ask *ask)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].call == ask->call)
            look(ask, &rows[i]);
    return NOTIFY_NATIVE;
}
