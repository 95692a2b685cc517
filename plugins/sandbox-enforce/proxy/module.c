/* SPDX-License-Identifier: Apache-2.0 */
/* module.c - the one symbol of enforce-proxy.so. */
#include "plugins/sandbox-enforce/proxy/module.h"

__attribute__((visibility("default"))) extern const struct proxy_ops *nt_enforce_proxy_v1(void);

const struct proxy_ops *nt_enforce_proxy_v1(void)
{
    return &proxy_module;
}
