/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_secret_fake.c - stands where libsecret would: one account that is known, one that is not,
 * one that fails, and one that waits for a person. */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <stdlib.h>

__attribute__((visibility("default"))) char *
secret_password_lookup_sync(const void *schema, void *cancellable, void **error, ...);

char *secret_password_lookup_sync(const void *schema, void *cancellable, void **error, ...)
{
    static int failure;
    va_list args;
    const char *service = "", *account = "", *name;
    va_start(args, error);
    while ((name = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);
        if (strcmp(name, "service") == 0)
            service = value;
        else if (strcmp(name, "username") == 0)
            account = value;
    }
    va_end(args);
    if (strcmp(account, "slow") == 0)
        for (;;)
            pause();
    if (strcmp(account, "broken") == 0)
        *error = &failure;
    if (strcmp(account, "openai_api_key") != 0)
        return NULL;
    return strdup(strcmp(service, "nono") == 0 ? "of-nono" : service);
}
