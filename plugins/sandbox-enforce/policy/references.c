/* SPDX-License-Identifier: Apache-2.0 */
/* references.c - checks the names of secrets and of variables. */
#include "plugins/sandbox-enforce/policy/references.h"

#include <string.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define REFERENCE_MAX 1024u

bool is_variable_name(const char *name)
{
    size_t size = strlen(name);
    return size && size <= 128 && !strchr(DIGITS, name[0])
           && strspn(name, LETTERS DIGITS "_") == size;
}

/* COUNT parts that are not empty, separated by slashes; no "." and "..". */
static bool has_parts(const char *text, unsigned least, unsigned most)
{
    unsigned parts = 0;
    while (*text) {
        size_t size = strcspn(text, "/");
        bool is_dots = (size == 1 && text[0] == '.') || (size == 2 && memcmp(text, "..", 2) == 0);
        if (!size || is_dots)
            return false;
        parts++;
        text += size;
        if (*text == '/' && !*++text)
            return false;
    }
    return parts >= least && parts <= most;
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

int reference_check(const char *reference, struct nt_error *reterr)
{
    static const struct {
        const char *scheme;
        unsigned least, most; /* parts; 0: a rule of its own */
    } schemes[] = { { "env://", 0, 0 },
                    { "file://", 0, 0 },
                    { "op://", 3, 4 },
                    { "keyring://", 2, 2 },
                    { "bw://", 1, 2 } };
    const char *end = strstr(reference, "://");
    if (!*reference || strlen(reference) > REFERENCE_MAX || !is_printable(reference))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL,
                       "the reference of a secret is empty, too long or not printable");
    if (!end) {
        if (strspn(reference, LETTERS DIGITS "_.-") == strlen(reference))
            return 0;
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL,
                       "\"%s\" is not an account of the keyring: letters, digits, _ . - only",
                       reference);
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t size = strlen(schemes[i].scheme);
        if (strncmp(reference, schemes[i].scheme, size) != 0)
            continue;
        const char *rest = reference + size;
        bool is_fine = schemes[i].most ? has_parts(rest, schemes[i].least, schemes[i].most)
                       : i == 0        ? is_variable_name(rest)
                                       : rest[0] == '/' && has_parts(rest + 1, 1, 256);
        if (is_fine)
            return 0;
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s has not the form %s", reference,
                       i == 0   ? "env://NAME"
                       : i == 1 ? "file:///absolute/path"
                       : i == 2 ? "op://vault/item/field"
                       : i == 3 ? "keyring://service/account"
                                : "bw://item or bw://item/field");
    }
    if (strncmp(reference, "apple-password://", 17) == 0) {
        nt_fail(reterr, ENFORCE_E_CREDENTIAL, "%s: Apple Passwords exist on macOS only", reference);
        return nt_hint(reterr, "use the keyring, op://, bw://, file:// or env://");
    }
    if (strncmp(reference, REFERENCE_CAPTURE, REFERENCE_CAPTURE_SIZE) == 0)
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL,
                       "%.64s: a command is run for requests, so it is the credential_key of a "
                       "service in network.custom_credentials, and nothing else",
                       reference);
    return nt_fail(reterr, ENFORCE_E_CREDENTIAL,
                   "%.*s:// is not known; there are env, file, op, bw, keyring, and plain accounts",
                   (int)(end - reference > 32 ? 32 : end - reference), reference);
}

int variable_check(const char *name, struct nt_error *reterr)
{
    static const char *const fixed[] = { "PATH",    "HOME", "SHELL",  "USER",
                                         "LOGNAME", "PWD",  "TMPDIR", "TERM" };
    bool is_fixed = strncmp(name, "NONO_", 5) == 0 || strncmp(name, "NANOTERM_", 9) == 0
                    || strncmp(name, "XDG_", 4) == 0;
    if (!is_variable_name(name))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "\"%s\" is not the name of a variable", name);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        is_fixed |= strcmp(fixed[i], name) == 0;
    if (is_fixed || enforce_variable_is_unsafe(name))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "no secret may go into the variable %s", name);
    return 0;
}
