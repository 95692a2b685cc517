/* SPDX-License-Identifier: Apache-2.0 */
/* symbol.h - functions of a library that is opened when it is needed. No library of ours. */
#ifndef NT_SDK_SYMBOL_H
#define NT_SDK_SYMBOL_H

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* Writes the function `name` of what dlopen gave to *ret, a pointer to a pointer to a function;
 * false: the library has none. By memcpy, as ISO C knows no cast from an object to a function. */
static inline bool nt_symbol(void *library, const char *name, void *ret)
{
    void *symbol = dlsym(library, name);
    memcpy(ret, &symbol, sizeof(symbol));
    return symbol != NULL;
}

#endif
