/* SPDX-License-Identifier: Apache-2.0 */
/* module.h - what the module lends; module.c exports it. */
#ifndef NT_ENFORCE_PROXY_MODULE_H
#define NT_ENFORCE_PROXY_MODULE_H

#include "plugins/sandbox-enforce/proxy/proxy.h"

extern const struct proxy_ops proxy_module;

#endif
