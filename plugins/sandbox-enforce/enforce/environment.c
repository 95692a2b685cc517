/* SPDX-License-Identifier: Apache-2.0 */
/* environment.c - variables that change what code a program runs. */
#include <string.h>

#include "enforce.h"

/* A star at the end stands for anything. */
static const char *const names[] = {
    /* the loader; LD_LIBRARY_PATH and all the others */
    "LD_*",
    "DYLD_*",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    /* shells */
    "BASH_ENV",
    "BASH_FUNC_*",
    "CDPATH",
    "ENV",
    "GLOBIGNORE",
    "IFS",
    "PROMPT_COMMAND",
    /* interpreters */
    "DOTNET_STARTUP_HOOKS",
    "GEM_HOME",
    "GEM_PATH",
    "GOFLAGS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "_JAVA_OPTIONS",
    /* the password manager that credentials may come from */
    "OP_CONNECT_HOST",
    "OP_CONNECT_TOKEN",
    "OP_SERVICE_ACCOUNT_TOKEN",
    "OP_SESSION_*",
};

bool enforce_variable_is_unsafe(const char *entry)
{
    size_t size = strcspn(entry, "=");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i]);
        bool is_prefix = names[i][length - 1] == '*';
        length -= is_prefix;
        if ((is_prefix ? size >= length : size == length) && memcmp(entry, names[i], length) == 0)
            return true;
    }
    return false;
}
