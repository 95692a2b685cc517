/* SPDX-License-Identifier: Apache-2.0 */
/* environment.c - what of the environment no third party shall see. */
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/confine/rules.h"
#include "core/plugin/needs.h"
#include "plugins/sandbox-enforce/enforce/enforce.h"

/* Parts of a name, between underscores or at its ends; a star: the word may go on. */
static const char *const words[] = {
    "KEY",     "APIKEY",      "TOKEN*",      "SECRET*", "PASSWORD*", "PGPASSWORD",
    "PASSWD*", "PASSPHRASE*", "CREDENTIAL*", "COOKIE*", "SESSION*",  "AUTH",
    "DSN",     "PAT",         "PASS",        "PWDHASH",
};
/* Words that say where a desktop or a shell is, and hold no secret. */
static const char *const harmless[] = { "XDG_SESSION_TYPE", "XDG_SESSION_CLASS",
                                        "XDG_SESSION_DESKTOP", "DESKTOP_SESSION" };

static bool is_word(const char *part, size_t size)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);
        bool goes_on = words[i][length - 1] == '*';
        length -= goes_on;
        if ((goes_on ? size >= length : size == length) && strncasecmp(part, words[i], length) == 0)
            return true;
    }
    return false;
}

/* "scheme://user:password@host": a proxy, a database. */
static bool holds_login(const char *value)
{
    for (const char *at = value; (at = strstr(at, "://")); at += 3)
        if (at[3 + strcspn(at + 3, "/@ ")] == '@')
            return true;
    return false;
}

bool rules_is_secret(const char *entry)
{
    size_t size = strcspn(entry, "=");
    if (needs_is_core_variable(entry) || (entry[size] && holds_login(entry + size)))
        return true;
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        if (strlen(harmless[i]) == size && memcmp(entry, harmless[i], size) == 0)
            return false;
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        while (at + length < size && entry[at + length] != '_')
            length++;
        if (is_word(entry + at, length))
            return true;
        at += length + 1;
    }
    return false;
}

/* true when one of the texts lies in the entry. */
static bool is_spared(const char *entry, const char *const *spares, size_t count)
{
    const char *end = entry + strlen(entry);
    for (size_t i = 0; i < count; i++)
        if (spares[i] >= entry && spares[i] <= end)
            return true;
    return false;
}

void rules_clean_environment(const char *const *spares, size_t spare_count)
{
    size_t kept = 0;
    for (char **at = environ; at && *at; at++) {
        bool is_secret = rules_is_secret(*at);
        if (!is_secret && !enforce_variable_is_unsafe(*at)) {
            environ[kept++] = *at;
            continue;
        }
        /* The text of the environment is memory like any other: /proc/self/environ shows it. */
        if (is_secret && !is_spared(*at, spares, spare_count))
            explicit_bzero(*at, strlen(*at));
    }
    if (environ)
        environ[kept] = NULL;
}
