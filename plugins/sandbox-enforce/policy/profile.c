/* SPDX-License-Identifier: Apache-2.0 */
/* profile.c - the `default` profile, and how one profile is laid over another. */
#include "plugins/sandbox-enforce/policy/profile.h"

#include <string.h>

/* What every run gets, whatever profile it has. */
static const char *default_groups[] = {
    "deny_credentials",         "deny_keychains_linux",
    "deny_browser_data_linux",  "deny_shell_history",
    "deny_shell_configs",       "system_read_linux_core",
    "system_write_linux",       "user_tools",
    "homebrew_linux",           "dangerous_commands",
    "dangerous_commands_linux",
};

void profile_default(struct memory *m, struct profile *ret)
{
    *ret = (struct profile){ .name = "default", .source = "built-in" };
    ret->description = "Deny groups, programs and libraries to read, temporary files to write";
    for (size_t i = 0; i < sizeof(default_groups) / sizeof(default_groups[0]); i++)
        texts_add(m, &ret->lists[PROFILE_INCLUDE], default_groups[i]);
}
