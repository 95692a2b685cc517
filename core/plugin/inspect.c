/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - looks at one plugin file as the loader would; see inspect.h. */
#include "core/plugin/inspect.h"

#include <fcntl.h>
#include <string.h>

#include "core/plugin/check.h"
#include "core/plugin/child.h"
#include "core/plugin/needs.h"
#include "core/plugin/registry.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

struct told {
    inspect_step *step;
    void *data;
};

static void tell(const struct told *told, const char *step, const char *detail)
{
    if (told->step)
        told->step(told->data, step, detail, NULL);
}

static int tell_failed(const struct told *told, const char *step, const struct nt_error *error)
{
    if (told->step)
        told->step(told->data, step, error->message, error);
    return -1;
}

static int read_name(const char *path, char ret[INSPECT_NAME_MAX], struct nt_error *reterr)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t length = strlen(base);
    if (length < 4 || strcmp(base + length - 3, ".so") != 0)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "its file is not called NAME.so");
    if (length - 3 < INSPECT_NAME_MAX) {
        memcpy(ret, base, length - 3);
        ret[length - 3] = '\0';
        if (check_is_plugin_name(ret))
            return 0;
    }
    return nt_fail(reterr, NT_E_PLUGIN_FAILED,
                   "its name is not [a-z][a-z0-9-]* of at most 32 bytes");
}

/* In a child: a plugin may crash or hang as it is loaded. */
static int read_tables(const struct plugins *plugins, int fd, struct inspected *ret,
                       struct nt_error *reterr)
{
    nt_autofree char *text =
        child_manifest(plugins->options.program ? plugins->options.program : "/proc/self/exe", fd,
                       registry_load_ms(plugins), reterr);
    if (!text || manifest_parse(text, strlen(text), &ret->arena, &ret->manifest, reterr) < 0)
        return -1;
    if (strcmp(ret->manifest.tables.name, ret->name) != 0)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "it calls itself '%s', but its file is '%s.so'",
                       ret->manifest.tables.name, ret->name);
    return 0;
}

int inspect(struct plugins *plugins, int fd, const char *path, inspect_step *step, void *data,
            struct inspected *ret, struct nt_error *reterr)
{
    const struct told told = { step, data };
    *ret = (struct inspected){ .arena = ARENA(MANIFEST_ARENA_MAX) };
    if (read_name(path, ret->name, reterr) < 0)
        return tell_failed(&told, "name", reterr);
    tell(&told, "name", ret->name);
    char id[ELF_ID_SIZE];
    if (elf_id_read(fd, id, reterr) < 0)
        return tell_failed(&told, "file", reterr);
    tell(&told, "file", id[0] ? id : "a shared object without a build id");
    if (read_tables(plugins, fd, ret, reterr) < 0)
        return tell_failed(&told, "tables", reterr);
    const struct nt_plugin *tables = &ret->manifest.tables;
    nt_auto(nt_buf_done) struct nt_buf counts = NT_BUF(2048);
    nt_buf_addf(&counts, "%u commands, %u groups, %u errors, %u services", tables->commands.count,
                tables->groups.count, tables->errors.count, tables->services.count);
    tell(&told, "tables", nt_buf_text(&counts));
    for (uint32_t i = 0; i < tables->needs.count; i++) {
        const struct nt_need *need = needs_at(&tables->needs, i);
        nt_buf_reset(&counts);
        nt_buf_addf(&counts, "%s %s", needs_kind(need->kind), need->value);
        tell(&told, "need", nt_buf_text(&counts));
    }
    if (own_may_join(plugins, ret->name, tables, reterr) < 0)
        return tell_failed(&told, "names", reterr);
    tell(&told, "names", "free, or its own already");
    return 0;
}

void inspected_done(struct inspected *inspected)
{
    arena_done(&inspected->arena);
}
