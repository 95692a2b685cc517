/* SPDX-License-Identifier: Apache-2.0 */
/* paths.c - the folders of this user and this installation. Makes none of them. */
#include "paths.h"

#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config/config.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"

#define PATHS 6
#define PASSWD_MAX (16 * 1024)

static char paths[PATHS][PATH_MAX];
static bool is_ready;

/* An absolute path from the environment; NULL: unset, empty or relative (which XDG says to
 * ignore). */
static const char *environment_path(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

static void set(uint32_t which, const char *folder, const char *rest)
{
    if (!*folder || (size_t)snprintf(paths[which], PATH_MAX, "%s%s", folder, rest) >= PATH_MAX)
        paths[which][0] = '\0'; /* too long: as if there were none */
}

static void find_home(void)
{
    const char *home = environment_path("HOME");
    if (home) {
        set(NT_PATH_HOME, home, "");
    } else {
        struct passwd entry, *found = NULL;
        nt_autofree char *memory = malloc(PASSWD_MAX);
        if (memory && getpwuid_r(geteuid(), &entry, memory, PASSWD_MAX, &found) == 0 && found
            && found->pw_dir && found->pw_dir[0] == '/')
            set(NT_PATH_HOME, found->pw_dir, "");
    }
    size_t size = strlen(paths[NT_PATH_HOME]);
    while (size > 1 && paths[NT_PATH_HOME][size - 1] == '/')
        paths[NT_PATH_HOME][--size] = '\0';
}

/* Only a folder that is ours alone: a socket in a shared one could be another user's. */
static bool is_our_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid()
           && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static void find_program(void)
{
    /* what the kernel adds when a new version took the place */
    static const char gone[] = " (deleted)";
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (size <= 0)
        return;
    self[size] = '\0';
    size_t mark = sizeof(gone) - 1;
    if ((size_t)size > mark && access(self, F_OK) < 0
        && strcmp(self + (size_t)size - mark, gone) == 0)
        self[(size_t)size - mark] = '\0';
    set(NT_PATH_SELF, self, "");
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    slash = strrchr(self, '/');
    if (NT_LIBEXEC_DIR[0] == '/')
        set(NT_PATH_LIBEXEC, NT_LIBEXEC_DIR, "");
    else if (slash) {
        *slash = '\0'; /* <prefix>/bin/nanoterm: the prefix can be moved as a whole */
        if (*self)
            set(NT_PATH_LIBEXEC, self, "/" NT_LIBEXEC_DIR);
        else
            set(NT_PATH_LIBEXEC, "/", NT_LIBEXEC_DIR);
    }
}

static void find_all(void)
{
    for (size_t i = 0; i < PATHS; i++)
        paths[i][0] = '\0';
    find_home();
    set(NT_PATH_CONFIG, paths[NT_PATH_HOME],
        strcmp(paths[NT_PATH_HOME], "/") == 0 ? ".nanoterm" : "/.nanoterm");
    const char *state = environment_path("XDG_STATE_HOME");
    if (state)
        set(NT_PATH_DATA, state, "/nanoterm/server");
    else
        set(NT_PATH_DATA, paths[NT_PATH_CONFIG], "/server");
    const char *runtime = environment_path("XDG_RUNTIME_DIR");
    if (runtime && is_our_folder(runtime))
        set(NT_PATH_RUNTIME, runtime, "/nanoterm");
    else
        set(NT_PATH_RUNTIME, paths[NT_PATH_DATA], "/run");
    find_program();
    is_ready = true;
}

const char *config_path(uint32_t which)
{
    if (!is_ready)
        find_all();
    return which < PATHS && paths[which][0] ? paths[which] : NULL;
}

void config_paths_reset(void)
{
    is_ready = false;
}
