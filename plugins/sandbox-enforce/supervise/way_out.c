/* SPDX-License-Identifier: Apache-2.0 */
/* way_out.c - opens the module that has the proxy and reads credentials: only for those who need
 * one of the two. */
#include <dlfcn.h>
#include <stdio.h>

#include "inner.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"
#include "sdk/symbol.h"

#define MODULE "enforce-proxy.so"
#define SYMBOL "nt_enforce_proxy_v1"

int way_out_open(struct supervise *s, struct nt_error *reterr)
{
    struct nt_call *call = s->options.call;
    char path[PATH_MAX];
    if (s->proxy_ops)
        return 0;
    int n = snprintf(path, sizeof(path), "%s/" MODULE, call->host->path(call, NT_PATH_LIBEXEC));
    void *module = n > 0 && (size_t)n < sizeof(path)
                       ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)
                       : NULL;
    const struct proxy_ops *(*get)(void);
    if (!module || !nt_symbol(module, SYMBOL, &get)) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "the proxy cannot be opened: %.180s", dlerror());
        return nt_hint(reterr, "install nanoterm-plugin-sandbox-enforce again, as a whole");
    }
    const struct proxy_ops *ops = get();
    if (!ops || ops->size < sizeof(*ops))
        return nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "the proxy is of another version");
    s->proxy_ops = ops;
    return 0;
}
