/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_fuzz.c - the manifest beside a plugin. Whatever it holds, it is read within its bounds;
 * and one that is taken has one reading: written out and read again, it says the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/plugin/manifest.h"
#include "core/plugin/shape.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nt_auto(arena_done) struct arena arena = ARENA(MANIFEST_ARENA_MAX);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(MANIFEST_MAX_BYTES);
    struct manifest manifest, again;
    struct nt_error e = NT_ERROR_INIT;
    /* Alone at first: behind these texts lies nothing, so that the sanitizer sees who reads on. */
    nt_autofree char *alone = malloc(size ? size : 1);
    must(alone);
    memcpy(alone, data, size);
    (void)shape_read(alone, size, size / 2, &arena, &manifest.tables, &e);
    e = (struct nt_error)NT_ERROR_INIT;
    if (manifest_parse((const char *)data, size, &arena, &manifest, &e) < 0) {
        must(e.code != 0 && e.message[0]);
        return 0;
    }
    manifest_write(&manifest, &text);
    must(nt_buf_ok(&text));
    must(manifest_parse(nt_buf_text(&text), text.size, &arena, &again, &e) == 0);
    must(shape_is_equal(&manifest.tables, &again.tables));
    must(manifest.file_size == again.file_size && strcmp(manifest.build_id, again.build_id) == 0);
    return 0;
}
