/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the way in for the build: writes a plugin's manifest. */
#include <stdio.h>
#include <string.h>

#include "core/plugin/plugins.h"

int main(int argc, char **argv)
{
    struct nt_error e = NT_ERROR_INIT;
    if (argc != 4 || strcmp(argv[1], "--internal-manifest") != 0)
        return 2;
    if (plugins_write_manifest(argv[2], argv[3], &e) == 0)
        return 0;
    fprintf(stderr, "nanoterm: %s\n", e.message);
    return 1;
}
