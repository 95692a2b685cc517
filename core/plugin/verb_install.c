/* SPDX-License-Identifier: Apache-2.0 */
/* verb_install.c - `plugin install` and `plugin remove`: what lies in the user's own folder.
 *
 * The bytes are copied first and all checks are made on the copy, so that nobody can exchange the
 * file between the look and the use. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/cli/call.h"
#include "core/plugin/files.h"
#include "core/plugin/inspect.h"
#include "core/plugin/needs.h"
#include "core/plugin/registry.h"
#include "core/plugin/verbs.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/trust.h"

/* Makes the folder and those above it, as far as they are missing. */
static int make_folder(const char *path, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf part = NT_BUF(PATH_MAX);
    for (const char *at = path; at;) {
        at = strchr(at + 1, '/');
        nt_buf_reset(&part);
        nt_buf_add_bytes(&part, path, at ? (size_t)(at - path) : strlen(path));
        if (!nt_buf_ok(&part) || (mkdir(nt_buf_text(&part), 0755) < 0 && errno != EEXIST))
            return nt_fail_sys(reterr, errno, "cannot make the folder %s", nt_buf_text(&part));
    }
    return 0;
}

static int open_users_folder(bool make, struct nt_buf *ret_path, int *ret_fd,
                             struct nt_error *reterr)
{
    if (!registry_users_folder(ret_path))
        return nt_fail(reterr, NT_E_CONFIG, "there is no home folder: HOME is not set");
    if (make && make_folder(nt_buf_text(ret_path), reterr) < 0)
        return -1;
    return nt_trust_open_folder(nt_buf_text(ret_path), ret_fd, reterr);
}

/* The whole file in a descriptor that nobody else has. */
static int copy_bytes(int fd, struct nt_buf *ret, struct nt_error *reterr)
{
    for (off_t at = 0;;) {
        char *room = nt_buf_room(ret, 256u * 1024);
        ssize_t n = room ? pread(fd, room, 256u * 1024, at) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot read the plugin");
        if (n == 0)
            break;
        nt_buf_added(ret, (size_t)n);
        at += n;
    }
    return nt_buf_ok(ret) ? 0 : nt_fail(reterr, NT_E_LIMIT, "the plugin is larger than 64 MiB");
}

/* Who signed, if anybody; and whether that is who signed what is replaced. */
static int check_signer(struct nt_call *call, const char *file, int copy, const char *folder,
                        const char *name, struct nt_buf *ret_text, struct signature *ret,
                        struct nt_error *reterr)
{
    struct signature old = { .key = "" };
    bool had = files_read_signer(folder, name, &old) == 0;
    *ret = (struct signature){ .signer = "" };
    if (files_read_signature(file, ret_text, reterr) < 0) {
        if (reterr->code != NT_E_NOT_FOUND)
            return -1;
    } else if (signature_verify(nt_buf_text(ret_text), ret_text->size, copy, name, ret, reterr)
               < 0) {
        return -1;
    }
    if (!had || strcmp(old.key, ret->key) == 0 || call->host->number(call, "new-signer"))
        return 0;
    nt_fail(reterr, NT_E_FORBIDDEN,
            "the '%s' that is installed is signed by %s (key %s), this one %s", name, old.signer,
            old.key, ret->key[0] ? "by another key" : "is not signed");
    return nt_hint(reterr, "--new-signer takes it nevertheless");
}

static int emit_installed(struct nt_call *call, const struct inspected *inspected,
                          const char *folder, const struct signature *signature,
                          struct nt_error *reterr)
{
    const struct nt_plugin *tables = &inspected->manifest.tables;
    nt_auto(nt_buf_done) struct nt_buf file = NT_BUF(PATH_MAX);
    nt_buf_addf(&file, "%s/%s.so", folder, inspected->name);
    const struct nt_value row[] = {
        { .type = NT_TEXT, .text = inspected->name },
        { .type = NT_TEXT, .text = tables->version },
        { .type = NT_INT, .number = tables->commands.count },
        { .type = NT_TEXT, .is_null = !signature->signer[0], .text = signature->signer },
        { .type = NT_TEXT, .is_null = !signature->key[0], .text = signature->key },
        { .type = NT_TEXT, .text = nt_buf_text(&file) },
    };
    if (!signature->signer[0])
        call->host->message(call, NT_SAY_NOTE, "it is not signed: nobody vouches for it");
    return call->host->emit(call, row, sizeof(row) / sizeof(row[0]), reterr);
}

/* The plugin last: until its file is there, a manifest or a signature says nothing. */
static int put(int folder, const struct inspected *inspected, const struct nt_buf *bytes,
               const struct nt_buf *signature, struct nt_error *reterr)
{
    char so[NAME_MAX], manifest[NAME_MAX], sig[NAME_MAX];
    snprintf(so, sizeof(so), "%s.so", inspected->name);
    snprintf(manifest, sizeof(manifest), "%s.manifest", inspected->name);
    snprintf(sig, sizeof(sig), "%s.so.sig", inspected->name);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(MANIFEST_MAX_BYTES);
    manifest_write(&inspected->manifest, &text);
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "its manifest is too long");
    if (signature->size == 0 && unlinkat(folder, sig, 0) < 0 && errno != ENOENT)
        return nt_fail_sys(reterr, errno, "cannot remove %s", sig);
    if (files_write(folder, manifest, nt_buf_text(&text), text.size, reterr) < 0
        || (signature->size
            && files_write(folder, sig, nt_buf_text(signature), signature->size, reterr) < 0))
        return -1;
    return files_write(folder, so, bytes->data, bytes->size, reterr);
}

/* true when that very declaration was accepted before: it is the one of what is installed now. */
static bool was_asked(struct nt_call *call, const char *folder, const struct inspected *inspected)
{
    const struct plugins *plugins = call_plugins(call);
    for (uint32_t i = 0; i < plugins->count; i++) {
        const struct plugin *old = plugins->items[i];
        if (!old->is_skipped && old->folder && strcmp(old->folder, folder) == 0
            && strcmp(old->name, inspected->name) == 0)
            return needs_are_equal(old->tables, &inspected->manifest.tables);
    }
    return false;
}

/* Shows what it declares and asks; nothing declared, nothing to ask. */
static int ask_for_needs(struct nt_call *call, const char *folder,
                         const struct inspected *inspected, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(256u * 1024);
    nt_auto(nt_buf_done) struct nt_buf question = NT_BUF(256u * 1024 + 256);
    const char *answer = NULL;
    needs_add_lines(&inspected->manifest.tables, &text);
    if (text.size == 0 || call->host->number(call, "yes") || was_asked(call, folder, inspected))
        return 0;
    if (!(call->flags & NT_CALL_STDIN_TTY)) {
        nt_fail(reterr, NT_E_USAGE, "the plugin '%s' declares needs, and nobody can be asked",
                inspected->name);
        return nt_hint(reterr, "plugin check shows them; --yes allows them");
    }
    nt_buf_addf(&question, "The plugin '%s' declares that it needs:\n%sInstall it? [y/N]",
                inspected->name, nt_buf_text(&text));
    if (!nt_buf_ok(&question))
        return nt_fail(reterr, NT_E_LIMIT, "the declaration is too long");
    if (call->host->prompt(call, nt_buf_text(&question), "--yes", 0, &answer, reterr) < 0)
        return -1;
    if (strcmp(answer, "y") == 0 || strcmp(answer, "Y") == 0 || strcmp(answer, "yes") == 0)
        return 0;
    return nt_fail(reterr, NT_E_CANCELLED, "not installed");
}

static int install(struct nt_call *call, int copy, const struct nt_buf *bytes, const char *file,
                   struct inspected *inspected, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(SIGNATURE_MAX_BYTES + 1024u);
    nt_autoclose int folder = -1;
    struct signature signature;
    if (inspect(call_plugins(call), copy, file, NULL, NULL, inspected, reterr) < 0)
        return nt_wrap(reterr, "%s", file);
    if (open_users_folder(true, &path, &folder, reterr) < 0
        || check_signer(call, file, copy, nt_buf_text(&path), inspected->name, &text, &signature,
                        reterr)
               < 0
        || ask_for_needs(call, nt_buf_text(&path), inspected, reterr) < 0
        || put(folder, inspected, bytes, &text, reterr) < 0)
        return -1;
    return emit_installed(call, inspected, nt_buf_text(&path), &signature, reterr);
}

int verb_install(struct nt_call *call, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf file = NT_BUF(8192);
    nt_auto(nt_buf_done) struct nt_buf bytes = NT_BUF((size_t)FILES_PLUGIN_MAX);
    if (files_open(call->host->text(call, "path"), &fd, &file, reterr) < 0
        || copy_bytes(fd, &bytes, reterr) < 0)
        return -1;
    nt_autoclose int copy = memfd_create("plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0 || write(copy, bytes.data, bytes.size) != (ssize_t)bytes.size
        || fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return nt_fail_sys(reterr, errno, "cannot keep a copy of the plugin");
    struct inspected inspected = { .name = "" };
    int result = install(call, copy, &bytes, nt_buf_text(&file), &inspected, reterr);
    inspected_done(&inspected);
    return result;
}

int verb_remove(struct nt_call *call, struct nt_error *reterr)
{
    const char *name = call->host->text(call, "name");
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_autoclose int folder = -1;
    char file[NAME_MAX];
    static const char *const endings[] = { ".so", ".so.sig", ".manifest" };
    if (strlen(name) >= INSPECT_NAME_MAX || strchr(name, '/'))
        return nt_fail(reterr, NT_E_USAGE, "'%s' is not the name of a plugin", name);
    int opened = open_users_folder(false, &path, &folder, reterr);
    if (opened < 0 && reterr->code != NT_E_NOT_FOUND)
        return -1;
    for (size_t i = 0; opened == 0 && i < sizeof(endings) / sizeof(endings[0]); i++) {
        snprintf(file, sizeof(file), "%s%s", name, endings[i]);
        if (unlinkat(folder, file, 0) == 0)
            continue;
        if (i == 0 && errno == ENOENT) {
            opened = -1; /* it is not there, so that nothing of it is removed */
        } else if (errno != ENOENT) {
            return nt_fail_sys(reterr, errno, "cannot remove %s/%s", nt_buf_text(&path), file);
        }
    }
    if (opened == 0) {
        const struct nt_value row[] = { { .type = NT_TEXT, .text = name } };
        return call->host->emit(call, row, 1, reterr);
    }
    nt_fail(reterr, NT_E_NOT_FOUND, "there is no plugin '%s' in %s", name, nt_buf_text(&path));
    struct plugin_info info;
    for (uint32_t i = 0; plugins_info_at(call_plugins(call), i, &info); i++)
        if (strcmp(info.name, name) == 0)
            nt_hint(reterr, "%s was installed by other means: remove its package, or the file",
                    info.file ? info.file : "it is built in and");
    return -1;
}
