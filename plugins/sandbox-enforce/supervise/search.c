/* SPDX-License-Identifier: Apache-2.0 */
/* search.c - finds programs; see search.h. */
#include "search.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"
#include "sdk/program.h"

/* PATH is where NAME was found, if it was. */
static int fail(const char *name, const char *path, int sys, struct nt_error *reterr)
{
    struct stat st;
    if (sys == EACCES) {
        bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        nt_fail(reterr, ENFORCE_E_REFUSED, "'%.150s' is not executable", name);
        return nt_hint(reterr, "%s",
                       is_folder ? "it is a folder"
                                 : "make it so (chmod +x), or put what runs it "
                                   "before it");
    }
    nt_fail(reterr, ENFORCE_E_COMMAND, "'%.150s' is not there", name);
    if (strchr(name, '/'))
        return nt_hint(reterr, "look at its path, which begins in the current folder unless it is "
                               "absolute");
    if (access(name, F_OK) == 0)
        return nt_hint(reterr, "it is in no folder of the PATH; the one here is ./%.150s", name);
    return nt_hint(reterr, "it is in no folder of the PATH: install it, or give its path");
}

/* The program starts in another folder: what is relative here is made absolute. */
static int take_path(const char *name, char ret[PATH_MAX], struct nt_error *reterr)
{
    char folder[PATH_MAX] = "";
    const char *typed = name;
    while (name[0] == '.' && name[1] == '/')
        name += 1 + strspn(name + 1, "/");
    if (name[0] != '/' && !getcwd(folder, sizeof(folder)))
        return nt_fail_sys(reterr, errno, "the current folder");
    int n = snprintf(ret, PATH_MAX, "%s%s%s", folder, *folder ? "/" : "", name);
    if (n < 0 || n >= PATH_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "the program's path is too long");
    int sys = nt_program_try(ret);
    return sys ? fail(typed, ret, sys, reterr) : 0;
}

int search_program(const char *name, const char *path, char ret[PATH_MAX], struct nt_error *reterr)
{
    if (!*name)
        return nt_fail(reterr, ENFORCE_E_COMMAND, "the program's name is empty");
    if (strchr(name, '/'))
        return take_path(name, ret, reterr);
    if (!path)
        path = NT_PROGRAM_USUAL_PATH;
    int sys = nt_program_next(&path, name, ret);
    return sys ? fail(name, "", sys, reterr) : 0;
}
