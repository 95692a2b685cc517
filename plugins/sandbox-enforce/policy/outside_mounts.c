/* SPDX-License-Identifier: Apache-2.0 */
/* outside_mounts.c - the other names that a file has by mounts: a folder that is bound to a second
 * place (mount --bind) is written there as well as here. By /proc/self/mountinfo (proc(5)), which
 * says of each mount which part of its file system is where. */
#include "plugins/sandbox-enforce/policy/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"

struct mount {
    uint64_t id;
    unsigned major, minor;
    char root[PATH_MAX], point[PATH_MAX];
};

/* "\040" and its like, in place. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in; out++) {
        bool is_octal = in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0'
                        && in[2] <= '7' && in[3] >= '0' && in[3] <= '7';
        *out = is_octal ? (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0')) : *in;
        in += is_octal ? 4 : 1;
    }
    *out = '\0';
}

/* A word of LINE, which goes on behind it; false: too long. */
static bool take_word(const char **line, char ret[PATH_MAX])
{
    size_t size = strcspn(*line, " ");
    if (size == 0 || size >= PATH_MAX)
        return false;
    memcpy(ret, *line, size);
    ret[size] = '\0';
    unescape(ret);
    *line += size + ((*line)[size] == ' ');
    return true;
}

/* 36 35 98:0 /root /point … */
static bool parse(const char *line, struct mount *ret)
{
    int size = 0;
    if (sscanf(line, "%" SCNu64 " %*u %u:%u %n", &ret->id, &ret->major, &ret->minor, &size) != 3
        || size == 0)
        return false;
    line += size;
    return take_word(&line, ret->root) && take_word(&line, ret->point);
}

static bool is_same_system(const struct mount *a, const struct mount *b)
{
    return a->major == b->major && a->minor == b->minor;
}

/* PATH is BASE or beneath it; the rest becomes AT + rest. false: it is not, or too long. */
static bool rebase(const char *path, const char *base, const char *at, char ret[PATH_MAX])
{
    if (!path_is_below(path, base))
        return false;
    const char *rest = path + (base[1] ? strlen(base) : 0);
    rest += *rest == '/';
    int size = snprintf(ret, PATH_MAX, "%s%s%s", at[1] || !*rest ? at : "", *rest ? "/" : "", rest);
    return size > 0 && size < PATH_MAX;
}

/* The mount of FILE, by its number; false: it is not in the list, as in a chroot. */
static bool find_own(FILE *list, char **line, size_t *room, uint64_t id, struct mount *ret)
{
    rewind(list);
    while (getline(line, room, list) > 0)
        if (parse(*line, ret) && ret->id == id)
            return true;
    return false;
}

/* Where the list does not say which part of its file system FILE is: by what is mounted. */
static bool is_mounted_there(const struct mount *there, int file)
{
    struct stat st, other;
    if (fstat(file, &st) < 0 || major(st.st_dev) != there->major
        || minor(st.st_dev) != there->minor)
        return false;
    nt_autoclose int fd = open(there->point, O_PATH | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &other) == 0 && other.st_dev == st.st_dev
           && other.st_ino == st.st_ino;
}

int outside_other_names(int file, const char *path, int (*on_name)(void *data, const char *name),
                        void *data)
{
    struct mount own, other;
    struct statx st;
    char whole[PATH_MAX], name[PATH_MAX];
    nt_autofree char *line = NULL;
    size_t room = 0;
    if (statx(file, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
        return ENOSYS;
    FILE *list = fopen("/proc/self/mountinfo", "re");
    if (!list)
        return errno;
    bool is_known = find_own(list, &line, &room, st.stx_mnt_id, &own)
                    && rebase(path, own.point, own.root, whole);
    int status = 0;
    rewind(list);
    while (status == 0 && getline(&line, &room, list) > 0) {
        if (!parse(line, &other) || other.id == st.stx_mnt_id)
            continue;
        if (!is_known && is_mounted_there(&other, file))
            status = on_name(data, other.point);
        else if (is_known && is_same_system(&own, &other)
                 && rebase(whole, other.root, other.point, name))
            status = on_name(data, name);
    }
    if (status == 0 && ferror(list))
        status = EIO;
    fclose(list);
    return status;
}
