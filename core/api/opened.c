/* SPDX-License-Identifier: Apache-2.0 */
/* opened.c - the functions of api.h in the program: opens api.so at the first api_new and forwards.
 *
 * The libraries of the network cost a fifth of a millisecond at each start; `--version`, `--help`,
 * `commands` and all that stays on this machine do without. Tests link the functions themselves
 * instead of this file. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/api/table.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/trust.h"

#define FILE_NAME "api.so"

static const struct api_table *table; /* NULL until the first api_new; it is never closed */

/* As with plugins: judged by descriptor, and loaded from that descriptor. */
static int open_module(const struct api_table **ret, struct nt_error *reterr)
{
    const char *path = config_path(NT_PATH_LIBEXEC);
    nt_autoclose int folder = -1;
    nt_autoclose int fd = -1;
    struct stat st;
    if (!path)
        return nt_fail(reterr, NT_E_SYSTEM, "cannot tell where this program is installed");
    if (nt_trust_open_folder(path, &folder, reterr) < 0
        || nt_trust_open_file(folder, FILE_NAME, &fd, &st, reterr) < 0)
        return -1;
    /* It stays open: the linker knows the object by this name, which must not come to mean another
     * file. */
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    if (kept < 0)
        return nt_fail_sys(reterr, errno, "cannot keep it open");
    char name[32];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", kept);
    /* The module binds itself at once (it is linked so); its libraries need not: of libuv a command
     * uses a quarter. */
    void *handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    const char *why = handle ? NULL : dlerror();
    if (!handle)
        return nt_fail(reterr, NT_E_SYSTEM, "%s", why ? why : "unknown reason");
    const struct api_table *found = dlsym(handle, API_TABLE_SYMBOL);
    if (!found || found->size != sizeof(*found) || strcmp(found->version, NT_VERSION) != 0)
        return nt_fail(reterr, NT_E_SYSTEM, "it is of another version than this program");
    *ret = found;
    return 0;
}

int api_new(const struct api_options *options, struct api **ret, struct nt_error *reterr)
{
    if (!table && open_module(&table, reterr) < 0) {
        /* not an error of the API that was asked for, nor of a plugin */
        reterr->code = NT_E_SYSTEM;
        nt_wrap(reterr, "opening %s of the installation", FILE_NAME);
        return nt_hint(reterr, "install nanoterm anew");
    }
    return table->make(options, ret, reterr);
}

/* From here on there is a struct api, so that there is a table. */
void api_free(struct api *api)
{
    if (api)
        table->free(api);
}

int api_request(struct api *api, const struct nt_request *req, struct nt_response *ret,
                struct nt_error *reterr)
{
    return table->request(api, req, ret, reterr);
}

const char *api_header(struct api *api, const struct nt_response *response, const char *name)
{
    return table->header(api, response, name);
}

bool api_header_at(struct api *api, const struct nt_response *response, uint32_t index,
                   const char **ret_name, const char **ret_value)
{
    return table->header_at(api, response, index, ret_name, ret_value);
}

int api_open(struct api *api, const struct nt_open *open, struct nt_stream **ret,
             struct nt_response *ret_head, struct nt_error *reterr)
{
    return table->open(api, open, ret, ret_head, reterr);
}

int api_upgrade_local(struct api *api, const char *path, const char *protocol, int *ret_fd,
                      struct nt_bytes *ret_early, struct nt_error *reterr)
{
    return table->upgrade_local(api, path, protocol, ret_fd, ret_early, reterr);
}

struct nt_loop *api_loop(struct api *api)
{
    return table->loop(api);
}

int api_wait(struct api *api, const uint32_t *done, struct nt_error *reterr)
{
    return table->wait(api, done, reterr);
}

int api_login(struct api *api, const struct api_login *login, char ret_key[LOGIN_KEY_MAX],
              struct nt_error *reterr)
{
    return table->login(api, login, ret_key, reterr);
}
