/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_script_fuzz.c - any file as a program that is started: what it says that runs it is a
 * bounded text, and nothing breaks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/explain/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    char path[SCRIPT_PATH_MAX];
    if (file < 0)
        file = memfd_create("program", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, 0) < 0 || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
    memset(path, 'x', sizeof(path));
    if (script_runner(file, path) && !memchr(path, '\0', sizeof(path)))
        abort();
    return 0;
}
