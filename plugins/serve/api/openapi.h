/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.h - the OpenAPI document of all routes, as the build has joined it from openapi/. */
#ifndef NT_SERVE_OPENAPI_H
#define NT_SERVE_OPENAPI_H

#include "nanoterm/plugin.h"

extern const struct nt_bytes openapi_document;

#endif
