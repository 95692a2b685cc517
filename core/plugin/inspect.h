/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - looks at one plugin file as the loader would, before it is installed. */
#ifndef NT_CORE_INSPECT_H
#define NT_CORE_INSPECT_H

#include "core/plugin/manifest.h"
#include "core/plugin/plugins.h"

#define INSPECT_NAME_MAX 40u

/* What was found. Its tables lie in the arena. */
struct inspected {
    struct arena arena;
    struct manifest manifest;
    char name[INSPECT_NAME_MAX]; /* as the file is called, without .so */
};

/* One thing that was looked at: "loads", "tables", …; error NULL: it is fine. */
typedef void inspect_step(void *data, const char *step, const char *detail,
                          const struct nt_error *error);

/**
 * Reads the file behind fd: is it a shared object of this machine, does it load (in a child, with
 * the loader's time limit), are its tables good, would its names be free here.
 *
 * @param path  what it is called; the last part must be NAME.so
 * @param step  told of each step as it is done; NULL: nobody
 * @param ret   inspected_done frees it, also after a failure
 * @return -1 with the reason of the first step that failed; the ones behind it are not tried
 */
int inspect(struct plugins *plugins, int fd, const char *path, inspect_step *step, void *data,
            struct inspected *ret, struct nt_error *reterr);
void inspected_done(struct inspected *inspected);

#endif
