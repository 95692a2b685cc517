/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - looks for a program in the folders of a PATH; see program.h. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int nt_program_try(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return errno == EACCES ? EACCES : ENOENT;
    if (!S_ISREG(st.st_mode))
        return EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? EACCES : 0;
}

int nt_program_next(const char **path, const char *name, char ret[PATH_MAX])
{
    int seen = ENOENT;
    while (*path) {
        const char *folder = *path;
        size_t length = strcspn(folder, ":");
        *path = folder[length] ? folder + length + 1 : NULL;
        int n = folder[0] == '/' && length < PATH_MAX
                    ? snprintf(ret, PATH_MAX, "%.*s/%s", (int)length, folder, name)
                    : -1;
        int sys = n > 0 && n < PATH_MAX ? nt_program_try(ret) : ENOENT;
        if (sys == 0)
            return 0;
        if (sys == EACCES)
            seen = EACCES;
    }
    return seen;
}
