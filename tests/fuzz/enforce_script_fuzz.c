/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_script_fuzz.c - any file as a program that is started: what it says that runs it, and
 * with which words, is bounded text, and nothing breaks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    char path[SCRIPT_PATH_MAX], words[SCRIPT_WORDS_MAX];
    if (file < 0)
        file = memfd_create("program", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, 0) < 0 || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
    memset(path, 'x', sizeof(path));
    memset(words, 'x', sizeof(words));
    if (script_runner_words(file, path, words)
        && (!memchr(path, '\0', sizeof(path)) || !memchr(words, '\0', sizeof(words))))
        abort();
    return 0;
}
