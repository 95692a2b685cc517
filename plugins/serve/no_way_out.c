/* SPDX-License-Identifier: Apache-2.0 */
/* no_way_out.c - a build without way-out/: no connection out of a workspace is taken. */
#include <unistd.h>

#include "plugins/serve/way-out/way_out.h"
#include "sdk/error.h"

int way_out_new(uv_loop_t *uv, const struct way_out_options *options, struct way_out **ret, struct nt_error *reterr)
{
    *ret = NULL;
    return 0;
}

void way_out_free(struct way_out *out, void (*freed)(void *data), void *data)
{
    freed(data);
}

void way_out_accept(struct way_out *out, const char *workspace_id, int fd)
{
    close(fd);
}

uint32_t way_out_connections(const struct way_out *out)
{
    return 0;
}

struct way_out_rule *way_out_allow(struct way_out *out, const char *workspace_id, const char *host, uint16_t port,
                                   bool private_too, struct nt_error *reterr)
{
    nt_fail(reterr, NT_E_UNAVAILABLE, "this server was built without a way out for workspaces");
    return NULL;
}

void way_out_forget(struct way_out_rule *rule)
{
}
