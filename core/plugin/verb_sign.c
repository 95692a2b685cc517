/* SPDX-License-Identifier: Apache-2.0 */
/* verb_sign.c - `plugin sign`: puts a signature beside a plugin. */
#include <fcntl.h>
#include <string.h>

#include "core/cli/call.h"
#include "core/plugin/files.h"
#include "core/plugin/inspect.h"
#include "core/plugin/verbs.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* Writes FILE.sig beside the file. */
static int write_signature(const char *file, const char *text, struct nt_error *reterr)
{
    const char *slash = strrchr(file, '/');
    nt_auto(nt_buf_done) struct nt_buf folder = NT_BUF(8192);
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(512);
    nt_buf_add_bytes(&folder, slash ? file : ".", slash ? (size_t)(slash - file) + 1 : 1);
    nt_buf_addf(&name, "%s.sig", slash ? slash + 1 : file);
    nt_autoclose int fd = open(nt_buf_text(&folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !nt_buf_ok(&folder) || !nt_buf_ok(&name))
        return nt_fail_sys(reterr, errno, "cannot open the folder of %s", file);
    return files_write(fd, nt_buf_text(&name), text, strlen(text), reterr);
}

int verb_sign(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf file = NT_BUF(8192);
    if (files_open(host->text(call, "file"), &fd, &file, reterr) < 0)
        return -1;
    struct inspected inspected;
    int result =
        inspect(call_plugins(call), fd, nt_buf_text(&file), NULL, NULL, &inspected, reterr);
    nt_autofree char *text = NULL;
    struct signature signature;
    if (result == 0)
        result =
            signature_make(fd, inspected.name, host->text(call, "signer"), host->text(call, "key"),
                           (int)host->number(call, "new-key"), &text, &signature, reterr);
    if (result == 0)
        result = write_signature(nt_buf_text(&file), text, reterr);
    const struct nt_value row[] = { { .type = NT_TEXT, .text = inspected.name },
                                    { .type = NT_TEXT, .text = signature.signer },
                                    { .type = NT_TEXT, .text = signature.key } };
    if (result == 0)
        result = host->emit(call, row, sizeof(row) / sizeof(row[0]), reterr);
    inspected_done(&inspected);
    return result;
}
