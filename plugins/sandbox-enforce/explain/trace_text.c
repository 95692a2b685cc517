/* SPDX-License-Identifier: Apache-2.0 */
/* trace_text.c - splits the text of one call; see trace_text.h. */
#include "trace_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool trace_is(struct trace_text t, const char *word)
{
    return t.size == strlen(word) && memcmp(t.at, word, t.size) == 0;
}

static const char *find(struct trace_text t, const char *word)
{
    return t.size ? memmem(t.at, t.size, word, strlen(word)) : NULL;
}

bool trace_has_flag(struct trace_text t, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = find(t, word); at;) {
        size_t before = (size_t)(at - t.at), after = before + size;
        bool begins = before == 0 || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        bool ends = after == t.size || !(isalnum((unsigned char)at[size]) || at[size] == '_');
        if (begins && ends)
            return true;
        at = find((struct trace_text){ at + 1, t.size - before - 1 }, word);
    }
    return false;
}

struct trace_text trace_between(struct trace_text t, const char *open, const char *close)
{
    const char *begin = find(t, open);
    if (!begin)
        return (struct trace_text){ NULL, 0 };
    begin += strlen(open);
    const char *end = find((struct trace_text){ begin, t.size - (size_t)(begin - t.at) }, close);
    return end ? (struct trace_text){ begin, (size_t)(end - begin) }
               : (struct trace_text){ NULL, 0 };
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool trace_bytes(struct trace_text t, char *ret, size_t max, size_t *ret_size)
{
    const char *quote = t.size ? memchr(t.at, '"', t.size) : NULL;
    if (quote) {
        const char *after = t.at + t.size;
        const char *end = memchr(quote + 1, '"', (size_t)(after - quote - 1));
        if (!end || (after - end >= 4 && memcmp(end + 1, "...", 3) == 0))
            return false;
        t = (struct trace_text){ quote + 1, (size_t)(end - quote - 1) };
    }
    if (t.size % 4 != 0 || t.size / 4 >= max)
        return false;
    for (size_t i = 0; i < t.size; i += 4) {
        int high = digit(t.at[i + 2]), low = digit(t.at[i + 3]);
        if (t.at[i] != '\\' || t.at[i + 1] != 'x' || high < 0 || low < 0)
            return false;
        ret[i / 4] = (char)(high * 16 + low);
    }
    ret[t.size / 4] = '\0';
    *ret_size = t.size / 4;
    return true;
}

/* The end of an argument: the next comma or the closing parenthesis that is not inside something
 * else. Strings are \xHH, so quotes and brackets are always strace's own. */
static size_t argument_size(const char *at, size_t size)
{
    int depth = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (at[i] == '"')
            is_quoted = !is_quoted;
        else if (is_quoted)
            continue;
        else if (strchr("([{<", at[i]))
            depth++;
        else if (depth > 0 && strchr(")]}>", at[i]))
            depth -= at[i] != '>' || (i > 0 && at[i - 1] != '-' && at[i - 1] != '=');
        else if (depth == 0 && (at[i] == ')' || at[i] == ','))
            return i;
    }
    return size;
}

static bool parse_result(const char *at, size_t size, struct trace_call *ret)
{
    char number[24] = "";
    size_t i = 0;
    while (i < size && at[i] == ' ')
        i++;
    if (i + 2 > size || at[i] != '=' || at[i + 1] != ' ')
        return false;
    i += 2;
    size_t begin = i;
    while (i < size && i - begin < sizeof(number) - 1
           && (isdigit((unsigned char)at[i]) || at[i] == '-'))
        i++;
    if (i == begin)
        return false; /* "?": the call did not return */
    memcpy(number, at + begin, i - begin);
    ret->result = strtol(number, NULL, 10);
    if (i < size && at[i] == '<')
        ret->path = trace_between((struct trace_text){ at + i, size - i }, "<", ">");
    if (ret->result >= 0 || i >= size || at[i] != ' ')
        return true;
    begin = ++i;
    while (i < size && (isupper((unsigned char)at[i]) || isdigit((unsigned char)at[i])))
        i++;
    ret->error = (struct trace_text){ at + begin, i - begin };
    return true;
}

bool trace_parse(const char *line, size_t size, struct trace_call *ret)
{
    *ret = (struct trace_call){ .count = 0 };
    size_t i = 0;
    while (i < size && (isalnum((unsigned char)line[i]) || line[i] == '_'))
        i++;
    if (i == 0 || i >= size || line[i] != '(')
        return false;
    ret->name = (struct trace_text){ line, i };
    for (i++; i < size; i++) {
        while (i < size && line[i] == ' ')
            i++;
        size_t length = argument_size(line + i, size - i);
        if (i + length >= size)
            return false;
        if (length > 0 && ret->count < TRACE_ARGS_MAX)
            ret->args[ret->count++] = (struct trace_text){ line + i, length };
        i += length;
        if (line[i] == ')')
            return parse_result(line + i + 1, size - i - 1, ret);
    }
    return false;
}
