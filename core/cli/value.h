/* SPDX-License-Identifier: Apache-2.0 */
/* value.h - checks one word against the type, the choices and the bounds of its row. */
#ifndef NT_CORE_VALUE_H
#define NT_CORE_VALUE_H

#include "nanoterm/plugin.h"

/* Longest id in bytes. */
#define VALUE_ID_MAX 128u

struct value_rule {
    uint32_t type;
    const char *choices; /* "a|b"; NULL: none */
    int64_t min, max;    /* equal: unbounded */
};

/* 0 and *ret_number (0 for texts), or -1 with NT_E_USAGE and a message about the word alone. */
int value_check(const struct value_rule *rule, const char *text, int64_t *ret_number,
                struct nt_error *reterr);
/* The word for a value of that type in help: "text", "number", "time". */
const char *value_type_word(uint32_t type);

#endif
