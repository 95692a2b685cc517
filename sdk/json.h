/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - cleanup for jansson values and texts. Include it only where jansson is linked. */
#ifndef NT_SDK_JSON_H
#define NT_SDK_JSON_H

#include <jansson.h>

#include "sdk/cleanup.h"

static inline void nt_json_freep(json_t **value)
{
    json_decref(*value);
}

/* `nt_auto_json json_t *body = json_pack(...)`: one reference, dropped at the end of the scope. */
#define nt_auto_json nt_auto(nt_json_freep)

/* A text of an object, or NULL when it is missing or of another type. */
static inline const char *nt_json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

#endif
