/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - opens a shared object by its descriptor and takes a checked copy of its tables. */
#include "load.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>

#include "core/plugin/shape.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/symbol.h"

/* The text of dlerror without the path, which says nothing: "/proc/self/fd/7: undefined symbol:
 * x". */
static const char *why(const char *path)
{
    const char *text = dlerror();
    if (!text)
        return "unknown reason";
    size_t length = strlen(path);
    return strncmp(text, path, length) == 0 && strncmp(text + length, ": ", 2) == 0
               ? text + length + 2
               : text;
}

int load_file(int fd, const struct nt_plugin **ret, char ret_build_id[ELF_ID_SIZE],
              struct nt_error *reterr)
{
    nt_autoclose int kept = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    if (kept < 0)
        return nt_fail_sys(reterr, errno, "cannot keep it open");
    if (elf_id_read(kept, ret_build_id, reterr) < 0)
        return -1;
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", kept);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s", why(path));
    kept = -1; /* loaded, so it stays: no dlclose, also when its tables are wrong */
    const struct nt_plugin *(*get)(void);
    if (!nt_symbol(handle, "nt_plugin_v1", &get))
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "it has no symbol nt_plugin_v1");
    *ret = get();
    return 0;
}

int load_tables(int fd, struct arena *arena, struct nt_plugin *ret, char ret_build_id[ELF_ID_SIZE],
                struct nt_error *reterr)
{
    const struct nt_plugin *theirs;
    if (load_file(fd, &theirs, ret_build_id, reterr) < 0)
        return -1;
    return shape_adopt(theirs, arena, ret, reterr);
}
