/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - with --diagnose: looks at each call that opens, starts or changes a file, and
 * notes what the policy denies.
 *
 * Nothing is decided here: the kernel makes the call in any case, and Landlock or a read-only mount
 * refuses it. So it does no harm that the program can change a path after it was read; it would
 * only spoil its own diagnosis. Not noted is what fails for another reason: a file that is not
 * there, or one that is there already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "plugins/sandbox-enforce/policy/script.h"
#include "sdk/cleanup.h"

enum kind {
    FILE_OPEN,     /* flags in the next argument */
    FILE_OPEN2,    /* flags in what the next argument points to */
    FILE_CREATE,   /* it is made, or emptied */
    FILE_WRITE,    /* it is there, and is written */
    FILE_EXECUTE,  /* it is there, and is run */
    FILE_ASK,      /* it is there; the next argument says what may be done with it */
    FILE_MAKE,     /* it is not there yet */
    FILE_REMOVE,   /* it is there */
    FILE_RENAME,   /* it is there; the next two arguments say what it becomes */
    FILE_LINK,     /* as much, and it stays */
    FILE_SET,      /* it is there, and its mode, owner, times or attributes are changed */
    FILE_SET_LINK, /* the same of what is not followed if it is a link */
    FILE_SET_OPEN, /* the same of an open descriptor, in place of a folder's */
};

/* Newer than some headers; one number on all architectures. */
#define CALL_FACCESSAT2 439
#define CALL_FCHMODAT2 452
#define CALL_SETXATTRAT 463
#define CALL_REMOVEXATTRAT 466
#define CALL_FILE_SETATTR 469

/* Where the arguments are: the number of a folder's descriptor (-1: none), the path, flags that may
 * say AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH (0: none). */
static const struct row {
    long call;
    enum kind kind;
    int folder, path, flags;
} rows[] = {
#ifdef SYS_open /* the newer architectures have only the calls with a folder */
    { SYS_open, FILE_OPEN, -1, 0, 0 },
    { SYS_creat, FILE_CREATE, -1, 0, 0 },
    { SYS_mkdir, FILE_MAKE, -1, 0, 0 },
    { SYS_rmdir, FILE_REMOVE, -1, 0, 0 },
    { SYS_unlink, FILE_REMOVE, -1, 0, 0 },
    { SYS_rename, FILE_RENAME, -1, 0, 0 },
    { SYS_link, FILE_LINK, -1, 0, 0 },
    { SYS_symlink, FILE_MAKE, -1, 1, 0 },
    { SYS_mknod, FILE_MAKE, -1, 0, 0 },
    { SYS_renameat, FILE_RENAME, 0, 1, 0 },
    { SYS_chmod, FILE_SET, -1, 0, 0 },
    { SYS_chown, FILE_SET, -1, 0, 0 },
    { SYS_lchown, FILE_SET_LINK, -1, 0, 0 },
    { SYS_utime, FILE_SET, -1, 0, 0 },
    { SYS_utimes, FILE_SET, -1, 0, 0 },
    { SYS_futimesat, FILE_SET, 0, 1, 0 },
    { SYS_access, FILE_ASK, -1, 0, 0 },
#endif
    { SYS_openat, FILE_OPEN, 0, 1, 0 },
    { SYS_openat2, FILE_OPEN2, 0, 1, 0 },
    { SYS_execve, FILE_EXECUTE, -1, 0, 0 },
    { SYS_execveat, FILE_EXECUTE, 0, 1, 4 },
    { SYS_faccessat, FILE_ASK, 0, 1, 0 },
    { CALL_FACCESSAT2, FILE_ASK, 0, 1, 3 },
    { SYS_truncate, FILE_WRITE, -1, 0, 0 },
    { SYS_mkdirat, FILE_MAKE, 0, 1, 0 },
    { SYS_unlinkat, FILE_REMOVE, 0, 1, 0 },
    { SYS_renameat2, FILE_RENAME, 0, 1, 4 },
    { SYS_linkat, FILE_LINK, 0, 1, 4 },
    { SYS_symlinkat, FILE_MAKE, 1, 2, 0 },
    { SYS_mknodat, FILE_MAKE, 0, 1, 0 },
    { SYS_fchmodat, FILE_SET, 0, 1, 0 },
    { CALL_FCHMODAT2, FILE_SET, 0, 1, 3 },
    { SYS_fchownat, FILE_SET, 0, 1, 4 },
    { SYS_utimensat, FILE_SET, 0, 1, 3 },
    { SYS_setxattr, FILE_SET, -1, 0, 0 },
    { SYS_lsetxattr, FILE_SET_LINK, -1, 0, 0 },
    { SYS_removexattr, FILE_SET, -1, 0, 0 },
    { SYS_lremovexattr, FILE_SET_LINK, -1, 0, 0 },
    { CALL_SETXATTRAT, FILE_SET, 0, 1, 2 },
    { CALL_REMOVEXATTRAT, FILE_SET, 0, 1, 2 },
    { CALL_FILE_SETATTR, FILE_SET, 0, 1, 4 },
    { SYS_fchmod, FILE_SET_OPEN, 0, 0, 0 },
    { SYS_fchown, FILE_SET_OPEN, 0, 0, 0 },
    { SYS_fsetxattr, FILE_SET_OPEN, 0, 0, 0 },
    { SYS_fremovexattr, FILE_SET_OPEN, 0, 0, 0 },
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

/* --- what a call names --------------------------------------------------------------------- */

/* A path, or an open descriptor itself. */
struct target {
    int descriptor;   /* -1: the path */
    bool may_be_path; /* a descriptor that is open as a path will do */
    int folder;       /* which the path may not leave, if `how` says so */
    uint64_t how;     /* RESOLVE_IN_ROOT, RESOLVE_BENEATH and so on, of openat2; 0: nothing */
    char path[NOTIFY_PATH_MAX];
};

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

/* FOLDER is the number of a descriptor: PATH becomes absolute. */
static int put_folder_before(const struct notify_ask *ask, int folder, char path[NOTIFY_PATH_MAX])
{
    char name[64], text[NOTIFY_PATH_MAX];
    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)ask->pid, folder);
    ssize_t size = readlink(name, text, sizeof(text) - 1);
    if (size < 0)
        return errno;
    text[size] = '\0';
    size_t rest = strlen(path);
    if (text[0] != '/' || (size_t)size + rest + 2 > NOTIFY_PATH_MAX)
        return ENAMETOOLONG;
    memmove(path + size + 1, path, rest + 1);
    memcpy(path, text, (size_t)size);
    path[size] = '/';
    return 0;
}

/* The number in a name of one of its own descriptors, which leads there past all folders; -1. */
static int number_in(const char *path)
{
    static const char *const folders[] = { "/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/" };
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        size_t size = strlen(folders[i]);
        if (strncmp(path, folders[i], size) != 0)
            continue;
        size_t digits = strspn(path + size, "0123456789");
        return digits > 0 && digits < 8 && !path[size + digits]
                   ? (int)strtoul(path + size, NULL, 10)
                   : -1;
    }
    return -1;
}

/* The one of argument PATH, beneath that of argument FOLDER. 0 or errno. FLAGS are those of AT_. */
static int target_of(const struct notify_ask *ask, int folder, int path, uint64_t flags,
                     struct target *ret)
{
    int number = folder < 0 ? AT_FDCWD : (int)(uint32_t)ask->args[folder];
    /* Those since setxattrat mean an open descriptor, and one that is no path. */
    bool is_newest = ask->call >= CALL_SETXATTRAT;
    *ret = (struct target){ .descriptor = -1, .folder = number };
    if (!ask->args[path]) {
        bool is_meant = is_newest ? flags & AT_EMPTY_PATH : ask->call == SYS_utimensat;
#ifdef SYS_futimesat
        is_meant = is_meant || ask->call == SYS_futimesat;
#endif
        ret->descriptor = number;
        return is_meant && number >= 0 ? 0 : EFAULT;
    }
    int sys = read_path(ask, ask->args[path], ret->path);
    if (sys)
        return sys;
    if (!ret->path[0]) {
        if (!(flags & AT_EMPTY_PATH))
            return ENOENT;
        ret->descriptor = number == AT_FDCWD ? -1 : number;
        ret->may_be_path = !is_newest;
        memcpy(ret->path, ".", 2);
        return number < 0 && number != AT_FDCWD ? EBADF : 0;
    }
    ret->descriptor = flags & AT_SYMLINK_NOFOLLOW ? -1 : number_in(ret->path);
    ret->may_be_path = true;
    return ret->path[0] == '/' || number == AT_FDCWD ? 0
                                                     : put_folder_before(ask, number, ret->path);
}

static int find(const struct notify_ask *ask, const struct target *target, uint64_t flags,
                char ret_canonical[NOTIFY_PATH_MAX])
{
    if (target->descriptor >= 0)
        return program_descriptor(ask->pid, target->descriptor, target->may_be_path, ret_canonical);
    if (target->how)
        return program_resolve_within(ask->pid, target->folder, target->path, flags, target->how,
                                      ret_canonical);
    return program_resolve(ask->pid, target->path, flags, ret_canonical);
}

static bool is_there(const struct notify_ask *ask, const struct target *target)
{
    char canonical[NOTIFY_PATH_MAX];
    nt_autoclose int fd = find(ask, target, O_NOFOLLOW, canonical);
    return fd >= 0;
}

/* --- what is noted ------------------------------------------------------------------------- */

/* true: it was denied. */
static bool note(const struct notify_ask *ask, const char *path, uint32_t access, const char *layer)
{
    const struct notify_options *options = notify_options_of(ask->n);
    struct policy_answer answer;
    /* Whose folder that is, and what of it is granted, depends on who asks. */
    if (strncmp(path, "/proc/", 6) == 0 && path[6] >= '0' && path[6] <= '9')
        return false;
    policy_ask_path(options->policy, path, access, &answer);
    if (answer.is_allowed || (options->has_no_rules && strcmp(layer, "landlock") == 0))
        return false;
    if (!notify_is_valid(ask->n, ask->id)) /* what was looked at may be somebody else's */
        return true;
    denials_add(options->denials,
                &(struct denial){ .source = DENIAL_TRACED,
                                  .act = access & POLICY_WRITE ? "write" : "read",
                                  .target = path,
                                  .layer = layer,
                                  .rule = answer.deny ? answer.deny->source : answer.reason,
                                  .grant = answer.flag });
    return true;
}

/* The folder that holds what TARGET names, which becomes TARGET; -errno. */
static int find_folder(const struct notify_ask *ask, struct target *target,
                       char ret[NOTIFY_PATH_MAX])
{
    for (size_t size = strlen(target->path); size > 1 && target->path[size - 1] == '/';)
        target->path[--size] = '\0';
    char *slash = strrchr(target->path, '/');
    if (slash)
        slash[slash == target->path] = '\0';
    else
        memcpy(target->path, ".", 2);
    target->descriptor = -1;
    return find(ask, target, O_DIRECTORY, ret);
}

/* Making and removing a name needs the right to write its folder. */
static void note_folder(const struct notify_ask *ask, struct target *target)
{
    char path[NOTIFY_PATH_MAX];
    nt_autoclose int folder = find_folder(ask, target, path);
    if (folder >= 0)
        note(ask, path, POLICY_WRITE, "landlock");
}

static void note_entry(const struct notify_ask *ask, struct target *target, bool must_be_there)
{
    if (is_there(ask, target) == must_be_there)
        note_folder(ask, target);
}

/* What a link leads to that leads to nothing is made in its place. false: there is no such link. */
static bool follow_link(const struct notify_ask *ask, struct target *target)
{
    char canonical[NOTIFY_PATH_MAX], text[NOTIFY_PATH_MAX];
    nt_autoclose int link = find(ask, target, O_NOFOLLOW, canonical);
    ssize_t size = link < 0 ? -1 : readlinkat(link, "", text, sizeof(text) - 1);
    if (size <= 0 || target->how)
        return false;
    text[size] = '\0';
    char *slash = text[0] == '/' ? NULL : strrchr(canonical, '/');
    size_t folder = slash ? (size_t)(slash - canonical) + 1 : 0;
    if (folder + (size_t)size >= sizeof(target->path))
        return false;
    memcpy(target->path, canonical, folder);
    memcpy(target->path + folder, text, (size_t)size + 1);
    return true;
}

static void note_open(const struct notify_ask *ask, struct target *target, uint64_t flags)
{
    char canonical[NOTIFY_PATH_MAX];
    struct stat st;
    if (flags & O_PATH)
        return;
    if (flags & O_NOFOLLOW)
        target->descriptor = -1;
    bool is_new = flags & O_CREAT && flags & O_EXCL;
    uint64_t mode = flags & O_ACCMODE;
    uint32_t access = mode == O_RDWR ? POLICY_BOTH : mode == O_WRONLY ? POLICY_WRITE : POLICY_READ;
    access |= flags & O_TRUNC ? POLICY_WRITE : 0;
    nt_autoclose int file = find(ask, target, flags & (O_NOFOLLOW | O_DIRECTORY), canonical);
    if (file >= 0) {
        if (!is_new && fstat(file, &st) == 0 && !S_ISLNK(st.st_mode))
            note(ask, canonical, access, "landlock");
        return;
    }
    if (!(flags & O_CREAT) || target->descriptor >= 0)
        return;
    for (int i = 0; i < 40 && !is_new && !(flags & O_NOFOLLOW) && follow_link(ask, target); i++)
        ;
    note_entry(ask, target, false);
}

static void note_open2(const struct notify_ask *ask, const struct row *row, struct target *target)
{
    struct open_how how = { .flags = 0 };
    if (program_read(ask->pid, ask->args[row->path + 1], &how, sizeof(how)) != 0)
        return;
    if (how.resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)) {
        target->how = how.resolve;
        target->descriptor = -1;
        if (read_path(ask, ask->args[row->path], target->path)) /* as it was, without the folder */
            return;
    }
    note_open(ask, target, how.flags);
}

static bool is_readonly(int file)
{
    struct statvfs fs;
    return fstatvfs(file, &fs) == 0 && fs.f_flag & ST_RDONLY;
}

/* Refused where all but what may be written is read-only; elsewhere nobody minds. A descriptor that
 * came from outside is on a mount of outside. */
static void note_set(const struct notify_ask *ask, struct target *target, bool is_link)
{
    char canonical[NOTIFY_PATH_MAX];
    struct stat st;
    if (!notify_options_of(ask->n)->is_readonly)
        return;
    nt_autoclose int file = find(ask, target, is_link ? O_NOFOLLOW : 0, canonical);
    if (file < 0 || fstat(file, &st) < 0 || !is_readonly(file))
        return;
    if (!S_ISLNK(st.st_mode)) {
        note(ask, canonical, POLICY_WRITE, "mount");
        return;
    }
    memcpy(target->path, canonical, strlen(canonical) + 1); /* a link is granted with its folder */
    note_folder(ask, target);
}

void files_note_change(const struct notify_ask *ask, int number)
{
    note_set(ask, &(struct target){ .descriptor = number }, false);
}

/* "May I write?" is answered by a read-only mount, too, once all else has agreed. This thread has
 * the program's user and no more rights, so it gets the program's answer. */
static void note_ask(const struct notify_ask *ask, const struct row *row,
                     const struct target *target, uint64_t flags)
{
    char canonical[NOTIFY_PATH_MAX];
    int mode = (int)(ask->args[row->path + 1] & 7u);
    if (!(mode & W_OK) || !notify_options_of(ask->n)->is_readonly)
        return;
    nt_autoclose int file =
        find(ask, target, flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0, canonical);
    if (file >= 0
        && syscall(CALL_FACCESSAT2, file, "", mode, AT_EMPTY_PATH | (int)(flags & AT_EACCESS)) < 0
        && errno == EROFS)
        note(ask, canonical, POLICY_WRITE, "mount");
}

/* The folder of TARGET (the descriptor is the caller's; -1: it is not found) and its last name. */
static struct apart *place_of(const struct notify_ask *ask, struct target *target,
                              struct apart *ret)
{
    char whole[NOTIFY_PATH_MAX];
    memcpy(whole, target->path, sizeof(whole));
    size_t size = strlen(whole);
    while (size > 1 && whole[size - 1] == '/')
        whole[--size] = '\0';
    const char *slash = strrchr(whole, '/'), *name = slash ? slash + 1 : whole;
    ret->folder = find_folder(ask, target, ret->path);
    if (ret->folder < 0)
        return ret;
    int length =
        snprintf(ret->entry, sizeof(ret->entry), "%s/%s", ret->path[1] ? ret->path : "", name);
    if (length < 0 || (size_t)length >= sizeof(ret->entry))
        ret->entry[0] = '\0';
    return ret;
}

static void note_two(const struct notify_ask *ask, const struct row *row, struct target *from,
                     uint64_t flags)
{
    struct target to;
    struct apart here, there;
    char canonical[NOTIFY_PATH_MAX];
    bool is_rename = row->kind == FILE_RENAME;
    int second = row->folder < 0 ? row->path + 1 : row->path + 2;
    uint64_t follows = !is_rename && flags & AT_SYMLINK_FOLLOW ? 0 : O_NOFOLLOW;
    if (is_rename)
        from->descriptor = -1;
    if (!is_there(ask, from)
        || target_of(ask, row->folder < 0 ? -1 : second - 1, second, 0, &to) != 0)
        return;
    to.descriptor = -1;
    bool has_to = is_there(ask, &to), may_have = is_rename && !(flags & RENAME_NOREPLACE);
    if ((has_to && !may_have) || (!has_to && is_rename && flags & RENAME_EXCHANGE))
        return;
    /* What a descriptor leads to may have come from outside. */
    bool is_path = from->descriptor < 0;
    nt_autoclose int file = is_rename || !is_path ? -1 : find(ask, from, follows, canonical);
    if (file >= 0)
        memcpy(from->path, canonical, sizeof(canonical));
    nt_autoclose int folder = is_path ? place_of(ask, from, &here)->folder : -1;
    nt_autoclose int other = place_of(ask, &to, &there)->folder;
    bool is_denied = is_rename && folder >= 0 && note(ask, here.path, POLICY_WRITE, "landlock");
    if (other >= 0 && !(is_denied && strcmp(here.path, there.path) == 0))
        is_denied = note(ask, there.path, POLICY_WRITE, "landlock") || is_denied;
    if (!is_denied && folder >= 0 && other >= 0 && (is_rename || file >= 0))
        apart_note(ask, &here, &there, file, is_rename && flags & RENAME_EXCHANGE);
}

/* What may be run is run by others, which must be granted, too: of a script its interpreter, which
 * may be one itself, and of a program its loader. */
static void note_interpreter(const struct notify_ask *ask, int program)
{
    char path[SCRIPT_PATH_MAX], canonical[NOTIFY_PATH_MAX];
    nt_autoclose int file = dup(program);
    for (int i = 0; i < SCRIPT_DEPTH && file >= 0 && script_runner(file, path); i++) {
        int next = program_resolve(ask->pid, path, 0, canonical);
        close(file);
        file = next;
        if (file >= 0 && note(ask, canonical, POLICY_READ, "landlock"))
            return;
    }
}

static void note_use(const struct notify_ask *ask, const struct row *row,
                     const struct target *target, uint64_t flags)
{
    char canonical[NOTIFY_PATH_MAX];
    bool is_run = row->kind == FILE_EXECUTE;
    nt_autoclose int file =
        find(ask, target, flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0, canonical);
    if (file >= 0 && !note(ask, canonical, is_run ? POLICY_READ : POLICY_WRITE, "landlock")
        && is_run)
        note_interpreter(ask, file);
}

/* --- the calls ----------------------------------------------------------------------------- */

static void look(const struct notify_ask *ask, const struct row *row)
{
    struct target target = { .descriptor = (int)(uint32_t)ask->args[0] };
    uint64_t flags = row->flags ? ask->args[row->flags] : 0;
    if (row->kind == FILE_SET_OPEN) {
        if (target.descriptor >= 0)
            note_set(ask, &target, false);
        return;
    }
    if (target_of(ask, row->folder, row->path, flags, &target) != 0)
        return;
    switch (row->kind) {
    case FILE_OPEN:
        note_open(ask, &target, ask->args[row->path + 1]);
        return;
    case FILE_CREATE:
        note_open(ask, &target, O_WRONLY | O_CREAT | O_TRUNC);
        return;
    case FILE_OPEN2:
        note_open2(ask, row, &target);
        return;
    case FILE_ASK:
        note_ask(ask, row, &target, flags);
        return;
    case FILE_MAKE:
    case FILE_REMOVE:
        target.descriptor = -1;
        note_entry(ask, &target, row->kind == FILE_REMOVE);
        return;
    case FILE_RENAME:
    case FILE_LINK:
        note_two(ask, row, &target, flags);
        return;
    case FILE_SET:
        note_set(ask, &target, flags & AT_SYMLINK_NOFOLLOW);
        return;
    case FILE_SET_LINK:
        target.descriptor = -1;
        note_set(ask, &target, true);
        return;
    case FILE_WRITE:
    case FILE_EXECUTE:
        note_use(ask, row, &target, flags);
        return;
    case FILE_SET_OPEN:
        return;
    }
}

int64_t files_answer(const struct notify_ask *ask)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].call == ask->call)
            look(ask, &rows[i]);
    return NOTIFY_NATIVE;
}
