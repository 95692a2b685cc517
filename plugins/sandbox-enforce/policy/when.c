/* SPDX-License-Identifier: Apache-2.0 */
/* when.c - reads the condition of an entry, and answers it for this machine.
 *
 * A word that is not known is an error and not just false: an entry may close something, and would
 * then be gone for a typing mistake. */
#include "plugins/sandbox-enforce/policy/when.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sdk/cleanup.h"

#define PARTS_MAX 4u
#define WORDS "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define DIGITS "0123456789"
#define FILE_SIZE 8192u

struct part {
    const char *at;
    size_t size;
};

static bool is_part(const struct part *part, const char *word)
{
    return part->size == strlen(word) && memcmp(part->at, word, part->size) == 0;
}

/* --- the text ------------------------------------------------------------------------------ */

/* How many, or 0: too many. */
static size_t split(const char *text, struct part ret[PARTS_MAX])
{
    size_t count = 0;
    for (;; count++) {
        if (count == PARTS_MAX)
            return 0;
        ret[count] = (struct part){ text, strcspn(text, ":") };
        text += ret[count].size;
        if (!*text)
            return count + 1;
        text++;
    }
}

static size_t operator_size(const struct part *part)
{
    static const char *const operators[] = { "==", ">=", "<=", ">", "<" };
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
        if (part->size >= strlen(operators[i])
            && memcmp(part->at, operators[i], strlen(operators[i])) == 0)
            return strlen(operators[i]);
    return 0;
}

static bool is_version(const struct part *part)
{
    return part->size && (operator_size(part) || strchr(DIGITS, part->at[0]));
}

/* Digits with single dots between them. */
static bool is_number(const char *at, size_t size)
{
    bool was_digit = false;
    for (size_t i = 0; i < size; i++) {
        bool is_digit = strchr(DIGITS, at[i]) != NULL;
        if (!is_digit && (at[i] != '.' || !was_digit))
            return false;
        was_digit = is_digit;
    }
    return was_digit;
}

const char *when_check(const char *text)
{
    static const char *const systems[] = { "linux",   "macos",   "windows",
                                           "freebsd", "openbsd", "netbsd" };
    struct part parts[PARTS_MAX];
    text += *text == '!';
    size_t count = split(text, parts), known = 0;
    if (!count)
        return "it has more than four parts";
    for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++)
        known += is_part(&parts[0], systems[i]);
    if (!known)
        return "it begins with linux, macos or windows, after a ! when it is to be none of them";
    for (size_t i = 1; i < count; i++) {
        const struct part *part = &parts[i];
        size_t skip = operator_size(part);
        bool may_be_version = i == 2 || (i == 1 && !is_part(&parts[0], "linux"));
        bool is_fine = may_be_version && is_version(part)
                           ? is_number(part->at + skip, part->size - skip)
                           : part->size && strspn(part->at, WORDS) >= part->size;
        if (!is_fine)
            return "its parts are a system, a distribution, a version and a variant, in small "
                   "letters: linux:fedora:>=43:workstation";
    }
    return NULL;
}

/* --- this machine -------------------------------------------------------------------------- */

/* KEY=value, or "value"; what is too long is left out. */
static void take(const char *line, size_t size, const char *key, char *ret, size_t max)
{
    size_t length = strlen(key);
    if (size <= length || memcmp(line, key, length) != 0 || line[length] != '=')
        return;
    line += length + 1, size -= length + 1;
    if (size >= 2 && (line[0] == '"' || line[0] == '\'') && line[size - 1] == line[0])
        line++, size -= 2;
    if (size >= max)
        return;
    memcpy(ret, line, size);
    ret[size] = '\0';
}

void when_read(const char *text, size_t size, struct when_system *ret)
{
    *ret = (struct when_system){ .id = "linux" }; /* os-release(5): when it is not said */
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        take(text + at, length, "ID", ret->id, sizeof(ret->id));
        take(text + at, length, "ID_LIKE", ret->like, sizeof(ret->like));
        take(text + at, length, "VERSION_ID", ret->version, sizeof(ret->version));
        take(text + at, length, "VARIANT_ID", ret->variant, sizeof(ret->variant));
        at += length + 1;
    }
}

void when_find(struct when_system *ret)
{
    char text[FILE_SIZE];
    nt_autoclose int fd = open("/etc/os-release", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        fd = open("/usr/lib/os-release", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text));
    when_read(text, size > 0 ? (size_t)size : 0, ret);
}

/* --- the answer ---------------------------------------------------------------------------- */

static bool is_like(const struct part *part, const struct when_system *system)
{
    size_t size = part->size - strlen("-like");
    if (part->size <= strlen("-like") || memcmp(part->at + size, "-like", strlen("-like")) != 0)
        return false;
    const struct part name = { part->at, size };
    if (is_part(&name, system->id))
        return true;
    for (const char *at = system->like; *at;) {
        size_t length = strcspn(at, " ");
        if (length == size && memcmp(at, name.at, size) == 0)
            return true;
        at += length + (at[length] == ' ');
    }
    return false;
}

/* The next number of a version, which ends at END; 0 where there is none. */
static unsigned long next_number(const char **at, const char *end)
{
    unsigned long number = 0;
    for (; *at < end && strchr(DIGITS, **at); (*at)++)
        if (number < 1000000000)
            number = number * 10 + (unsigned long)(**at - '0');
    while (*at < end && **at != '.')
        (*at)++; /* 23.11pre */
    *at += *at < end;
    return number;
}

static int compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    const char *a_end = a + a_size, *b_end = b + b_size;
    while (a < a_end || b < b_end) {
        unsigned long one = next_number(&a, a_end), other = next_number(&b, b_end);
        if (one != other)
            return one < other ? -1 : 1;
    }
    return 0;
}

static bool has_version(const struct part *part, const char *version)
{
    size_t skip = operator_size(part);
    if (!version[0] || !strchr(DIGITS, version[0]))
        return false; /* "rolling" is neither before nor after */
    int order = compare(version, strlen(version), part->at + skip, part->size - skip);
    char first = skip ? part->at[0] : '=';
    bool or_same = skip == 2;
    return first == '='   ? order == 0
           : first == '>' ? order > 0 || (or_same && order == 0)
                          : order < 0 || (or_same && order == 0);
}

bool when_holds(const char *text, const struct when_system *system)
{
    struct part parts[PARTS_MAX];
    bool is_not = *text == '!';
    size_t count = split(text + is_not, parts);
    bool holds = count && is_part(&parts[0], "linux");
    if (holds && count > 1)
        holds = is_part(&parts[1], system->id) || is_like(&parts[1], system);
    for (size_t i = 2; i < count && holds; i++)
        holds = i == 2 && is_version(&parts[i]) ? has_version(&parts[i], system->version)
                                                : is_part(&parts[i], system->variant);
    return holds != is_not;
}
