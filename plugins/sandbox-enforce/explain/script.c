/* SPDX-License-Identifier: Apache-2.0 */
/* script.c - the program that the first line of a script names; see script.h. */
#include "script.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"

bool script_interpreter(int file, char ret[SCRIPT_NAME_MAX])
{
    char name[64], line[SCRIPT_NAME_MAX];
    struct stat st;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
    if (fstat(file, &st) < 0 || !S_ISREG(st.st_mode)) /* others can block whoever opens them */
        return false;
    nt_autoclose int script = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = script < 0 ? -1 : read(script, line, sizeof(line) - 1);
    if (size < 3 || line[0] != '#' || line[1] != '!')
        return false;
    line[size] = '\0';
    const char *path = line + 2 + strspn(line + 2, " \t");
    size_t length = strcspn(path, " \t\n");
    memcpy(ret, path, length);
    ret[length] = '\0';
    return length > 0;
}
