/* SPDX-License-Identifier: Apache-2.0 */
/* footer.c - tells what was denied; see footer.h. */
#include "footer.h"

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"

#define TEXT_MAX (256u * 1024u)

static const char *const sources[] = { "notified", "kernel", "traced", "inferred" };

/* --- what a program says itself ------------------------------------------------------------- */

/* Where a line says one of WORDS, which NULL ends; NULL: it does not. */
static const char *find_word(const char *line, size_t size, const char *const *words)
{
    for (; *words; words++) {
        const char *at = memmem(line, size, *words, strlen(*words));
        if (at)
            return at;
    }
    return NULL;
}

/* As the C library and its kin say EACCES and EPERM, and what a read-only mount answers. */
static const char *const refused_words[] = { "ermission denied",       "EACCES",       "EPERM",
                                             "peration not permitted", "ccess denied", NULL };
static const char *const readonly_words[] = { "ead-only file system", "EROFS", NULL };

static bool is_about_writing(const char *line, size_t size)
{
    static const char *const words[] = { "creat", "writ",  "remov", "renam", "delet", "mov",
                                         "touch", "mkdir", "sav",   "link",  "mknod" };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (memmem(line, size, words[i], strlen(words[i])))
            return true;
    return false;
}

/* It is known already, by a source that does not guess, or as that of a command, whose words these
 * are. */
static bool is_known(const struct denials *denials, const char *canonical)
{
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(denials, i)); i++)
        if ((d->source != DENIAL_INFERRED || *d->command) && strcmp(d->target, canonical) == 0)
            return true;
    return false;
}

/* PATH was refused: what would the policy say? What does not exist yet is asked for by its folder.
 * A read-only mount refuses writing alone. What is relative is so to where the program started. */
static void infer(const struct policy *policy, const char *path, bool is_writing, bool is_readonly,
                  struct denials *denials)
{
    struct policy_answer answer;
    char name[PATH_MAX], canonical[PATH_MAX];
    struct stat st;
    bool is_absolute = path[0] == '/', is_shared = policy->is_workdir_covered;
    int size =
        snprintf(name, sizeof(name), "%s%s%s", is_absolute || !is_shared ? "" : policy->workdir,
                 is_absolute ? "" : "/", path);
    if (size < 0 || (size_t)size >= sizeof(name))
        return;
    if (lstat(name, &st) < 0) {
        char *slash = strrchr(name, '/');
        if (!is_writing || !slash || slash == name)
            return;
        *slash = '\0';
    }
    if (!realpath(name, canonical))
        return;
    const char *act = "read";
    policy_ask_path(policy, name, POLICY_READ, &answer);
    if (is_readonly || (answer.is_allowed && is_writing)) {
        act = "write";
        policy_ask_path(policy, name, POLICY_WRITE, &answer);
    }
    if (answer.is_allowed || is_known(denials, canonical))
        return;
    denials_add(denials, &(struct denial){ .source = DENIAL_INFERRED,
                                           .act = act,
                                           .target = canonical,
                                           .layer = is_readonly ? "mount" : "landlock",
                                           .rule = answer.reason,
                                           .grant = is_absolute || is_shared ? answer.flag
                                                    : policy->workdir_access ? "--allow-cwd"
                                                                             : "" });
}

static bool is_path(const char *word, size_t size)
{
    return size > 1 && size < PATH_MAX && !memchr(word, '\0', size)
           && (word[0] == '/' || memcmp(word, "./", 2) == 0
               || (size > 2 && memcmp(word, "../", 3) == 0));
}

/* A quotation mark there: its size; 0: none. Where UTF-8 is spoken, the GNU tools have their own.
 */
static size_t quote_size(const char *text, size_t left)
{
    if (left > 0 && (*text == '\'' || *text == '"' || *text == '`'))
        return 1;
    bool is_wide = left > 2 && memcmp(text, "\xe2\x80", 2) == 0;
    return is_wide && memchr("\x98\x99\x9c\x9d", text[2], 4) ? 3 : 0;
}

/* An apostrophe opens nothing. */
static size_t opening_size(const char *line, size_t size, size_t at)
{
    return at > 0 && isalnum((unsigned char)line[at - 1]) ? 0 : quote_size(line + at, size - at);
}

/* The path that LINE is about: "prog: cannot open 'PATH': Permission denied", "sh: 1: PATH:
 * Permission denied", "Permission denied: 'PATH'": the first one behind the refusal, else the last
 * one before. Between quotes it may be relative and hold spaces. */
static bool find_path(const char *line, size_t size, const char *refusal, char ret[PATH_MAX])
{
    bool is_found = false;
    for (size_t i = 0; i < size;) {
        size_t quote = opening_size(line, size, i);
        const char *begin = line + i + quote;
        size_t left = size - i - quote, length = 0;
        while (length < left
               && (quote ? !quote_size(begin + length, left - length)
                         : !isspace((unsigned char)begin[length]) && begin[length] != ':'
                               && !strchr("'\"`,;()", begin[length])))
            length++;
        if ((quote && length > 0 && length < PATH_MAX && length < left
             && !memchr(begin, '\0', length))
            || is_path(begin, length)) {
            snprintf(ret, PATH_MAX, "%.*s", (int)length, begin);
            is_found = true;
            if (begin > refusal)
                break;
        }
        i += length + (quote ? 2 * quote : 1);
    }
    return is_found;
}

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t length = strlen(end);
    return size >= length && memcmp(text + size - length, end, length) == 0;
}

/* The name before the refusal, as shells say it: "sh: 1: cannot create NAME: Read-only file
 * system", "bash: line 1: NAME: Permission denied". */
static bool find_name(const char *line, const char *refusal, char ret[PATH_MAX])
{
    const char *end = refusal;
    while (end > line && end[-1] != ' ')
        end--;
    if (!ends_with(line, (size_t)(end - line), ": "))
        return false;
    end -= 2;
    const char *begin = end;
    while (begin > line && begin[-1] != ' ')
        begin--;
    size_t before = (size_t)(begin - line), length = (size_t)(end - begin);
    if (length == 0 || length >= PATH_MAX || memchr(begin, '\0', length)
        || (before && !ends_with(line, before, ": ") && !ends_with(line, before, "create ")
            && !ends_with(line, before, "open ")))
        return false;
    snprintf(ret, PATH_MAX, "%.*s", (int)length, begin);
    return true;
}

void footer_infer(const struct policy *policy, bool has_readonly, const char *text, size_t size,
                  struct denials *denials)
{
    char path[PATH_MAX];
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        const char *refusal = find_word(text, length, refused_words);
        bool is_readonly = !refusal && has_readonly;
        if (is_readonly)
            refusal = find_word(text, length, readonly_words);
        if (refusal && (find_path(text, length, refusal, path) || find_name(text, refusal, path)))
            infer(policy, path, is_readonly || is_about_writing(text, length), is_readonly,
                  denials);
        text += length + (end != NULL);
        size -= length + (end != NULL);
    }
}

/* --- printing ------------------------------------------------------------------------------ */

static void add_meaning(struct nt_buf *b, int status)
{
    nt_buf_addf(b, "The program ended with status %d", status);
    if (status == 126)
        nt_buf_add(b, ": it could not be executed");
    else if (status == 127)
        nt_buf_add(b, ": a program was not found");
    else if (status > 128 && status < 128 + NSIG && sigabbrev_np(status - 128))
        nt_buf_addf(b, ": SIG%s", sigabbrev_np(status - 128));
    nt_buf_add(b, ".\n");
}

static bool is_guess(const struct denial *d)
{
    return d->source == DENIAL_INFERRED;
}

static size_t add_list(struct nt_buf *b, const struct denials *denials, bool guesses,
                       const char *title)
{
    size_t count = 0;
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(denials, i)); i++) {
        if (is_guess(d) != guesses)
            continue;
        if (count++ == 0)
            nt_buf_addf(b, "%s\n", title);
        nt_buf_add(b, "  ");
        if (*d->command)
            nt_buf_addf(b, "%s: ", d->command);
        nt_buf_addf(b, "%s ", d->act);
        nt_buf_add_printable(b, d->target, false);
        if (d->count > 1)
            nt_buf_addf(b, " (%u times)", d->count);
        nt_buf_addf(b, "  [%s: ", d->layer);
        nt_buf_add_printable(b, d->rule, false);
        nt_buf_addf(b, "; %s]", sources[d->source]);
        if (d->grant && *d->grant) {
            nt_buf_add(b, "  allow: ");
            nt_buf_add_printable(b, d->grant, false);
        }
        nt_buf_add_char(b, '\n');
    }
    return count;
}

/* Nothing of the program's own went wrong: somebody ended it, or nobody reads it any more. */
static bool is_told_to_end(int status)
{
    return status == 128 + SIGINT || status == 128 + SIGPIPE || status == 128 + SIGTERM
           || status == 128 + SIGHUP;
}

static void add_advice(struct nt_buf *b, const struct policy *policy, bool is_traced)
{
    nt_buf_add(b, "No denial was seen: the cause may have nothing to do with the sandbox.\n");
    if (!is_traced)
        nt_buf_add(b,
                   "Calls on files are watched with --diagnose only: it tells what was refused.\n");
    if (policy->network == POLICY_NET_BLOCKED)
        nt_buf_add(b, "The network is blocked.\n");
    if (policy->network == POLICY_NET_FILTERED)
        nt_buf_add(b, "The network is filtered: a program that does not use HTTPS_PROXY finds no "
                      "host by its name.\n");
}

void footer_print(struct nt_call *call, const struct policy *policy, const struct denials *denials,
                  bool is_traced, int status)
{
    if (status == 0)
        return;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(TEXT_MAX);
    add_meaning(&text, status);
    size_t known = add_list(&text, denials, false, "Denied by the sandbox:");
    size_t guessed = add_list(&text, denials, true, "Probably denied, going by what it said last:");
    if (known + guessed == 0 && is_told_to_end(status))
        return;
    if (denials_dropped(denials))
        nt_buf_addf(&text, "  and %llu more\n", (unsigned long long)denials_dropped(denials));
    if (known + guessed == 0)
        add_advice(&text, policy, is_traced);
    else
        nt_buf_add(&text,
                   "`why --path PATH --op read|write` and `why --host HOST` explain more.\n");
    if (!nt_buf_ok(&text))
        return;
    /* One message a line: the core puts its own mark before each. */
    char *rest = (char *)text.data;
    for (char *line; (line = strsep(&rest, "\n")) && (*line || rest);)
        if (*line)
            call->host->message(call, NT_SAY_WARN, line);
}
