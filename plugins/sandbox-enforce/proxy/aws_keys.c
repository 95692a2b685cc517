/* SPDX-License-Identifier: Apache-2.0 */
/* aws_keys.c - where the person's AWS keys are: in the environment, or in the two files of AWS's
 * own programs, of which only keys that stand there are taken. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/aws.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* --- files ----------------------------------------------------------------------------------- */

struct line {
    const char *at;
    size_t size;
};

static struct line trim(const char *at, size_t size)
{
    while (size && strchr(" \t\r", at[size - 1]))
        size--;
    while (size && strchr(" \t", *at)) {
        at++;
        size--;
    }
    return (struct line){ at, size };
}

static bool is_word(struct line l, const char *word)
{
    return l.size == strlen(word) && strncasecmp(l.at, word, l.size) == 0;
}

/* "[name]"; in the other file "[profile name]", but for "[default]". */
static bool is_section(struct line l, const char *profile, bool is_config)
{
    const char *end = memchr(l.at, ']', l.size);
    if (!end)
        return false;
    l = trim(l.at + 1, (size_t)(end - l.at) - 1);
    bool has_word = l.size > 8 && strncmp(l.at, "profile", 7) == 0 && strchr(" \t", l.at[7]);
    if (is_config && has_word)
        l = trim(l.at + 8, l.size - 8);
    else if (is_config && strcmp(profile, "default") != 0)
        return false;
    return l.size == strlen(profile) && memcmp(l.at, profile, l.size) == 0;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void take(struct line name, struct line value, struct aws_file *ret)
{
    static const char *const others[] = { "sso_session",        "sso_start_url",
                                          "credential_process", "role_arn",
                                          "source_profile",     "web_identity_token_file",
                                          "login_session" };
    const struct {
        const char *name;
        char **to;
    } keys[] = { { "aws_access_key_id", &ret->id },
                 { "aws_secret_access_key", &ret->key },
                 { "aws_session_token", &ret->session } };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (is_word(name, keys[i].name) && !*keys[i].to && value.size)
            *keys[i].to = strndup(value.at, value.size);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (is_word(name, others[i]) && !ret->other)
            ret->other = others[i];
}

/* A comment may stand behind a value. */
static struct line value_of(const char *at, size_t size)
{
    for (size_t i = 1; i < size; i++)
        if (strchr("#;", at[i]) && strchr(" \t", at[i - 1]))
            size = i;
    return trim(at, size);
}

bool aws_file_read(const char *text, const char *profile, bool is_config, struct aws_file *ret)
{
    bool is_ours = false, is_there = false;
    while (*text) {
        size_t size = strcspn(text, "\n");
        struct line l = trim(text, size);
        const char *equals = l.size ? memchr(l.at, '=', l.size) : NULL;
        /* What is indented belongs to the line before: settings of single services. */
        bool is_nested = strchr(" \t", text[0]) != NULL;
        if (l.size && l.at[0] == '[') {
            is_ours = is_section(l, profile, is_config);
            is_there |= is_ours;
        } else if (is_ours && equals && !is_nested && !strchr("#;", l.at[0])) {
            size_t name = (size_t)(equals - l.at);
            take(trim(l.at, name), value_of(equals + 1, l.size - name - 1), ret);
        }
        text += size + (text[size] == '\n');
    }
    return is_there;
}

void aws_file_done(struct aws_file *file)
{
    wipe(file->id);
    wipe(file->key);
    wipe(file->session);
    *file = (struct aws_file){ 0 };
}

/* --- the chain ------------------------------------------------------------------------------- */

/* One that is not there says nothing. */
static int read_file(const char *variable, const char *name, const char *profile, bool is_config,
                     struct aws_file *ret, bool *ret_there, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(4096);
    const char *given = getenv(variable), *home = getenv("HOME");
    char *text = NULL;
    struct stat st;
    if (given && *given)
        nt_buf_add(&path, given);
    else
        nt_buf_addf(&path, "%s/.aws/%s", home ? home : "", name);
    if (stat(nt_buf_text(&path), &st) < 0 && errno == ENOENT)
        return 0;
    if (secret_of_file(nt_buf_text(&path), &text, reterr) < 0)
        return -1;
    *ret_there |= aws_file_read(text, profile, is_config, ret);
    secret_free(text);
    return 0;
}

static bool is_value(const char *text)
{
    size_t size = strlen(text);
    for (const char *c = text; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            return false;
    return size && size <= 8192;
}

static int keep(const char *id, const char *key, const char *session, struct aws_keys *ret,
                struct nt_error *reterr)
{
    if (!is_value(id) || strpbrk(id, "/,=") || !is_value(key) || (session && !is_value(session)))
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "the AWS keys are not what such keys are");
    if (secret_keep(&ret->id, id, reterr) < 0 || secret_keep(&ret->key, key, reterr) < 0)
        return -1;
    return session ? secret_keep(&ret->session, session, reterr) : 0;
}

static int of_files(const char *profile, struct aws_keys *ret, struct nt_error *reterr)
{
    nt_auto(aws_file_done) struct aws_file file = { 0 };
    bool is_there = false;
    if (read_file("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile, false, &file, &is_there,
                  reterr)
        < 0)
        return -1;
    /* The first file that has both of them counts. */
    if ((!file.id || !file.key)
        && read_file("AWS_CONFIG_FILE", "config", profile, true, &file, &is_there, reterr) < 0)
        return -1;
    if (file.id && file.key)
        return keep(file.id, file.key, file.session, ret, reterr);
    if (!is_there)
        nt_fail(reterr, ENFORCE_E_CREDENTIAL, "there is no AWS profile %.64s", profile);
    else
        nt_fail(reterr, ENFORCE_E_CREDENTIAL, "the AWS profile %.64s has no keys%s%s%s", profile,
                file.other ? " (" : "", file.other ? file.other : "",
                file.other ? " is not asked)" : "");
    return nt_hint(reterr,
                   "eval \"$(aws configure export-credentials --profile %.64s --format "
                   "env)\" before the start, and leave profile out",
                   profile);
}

int aws_keys_read(const struct policy_aws *policy, struct aws_keys *ret, struct nt_error *reterr)
{
    const char *id = getenv("AWS_ACCESS_KEY_ID"), *key = getenv("AWS_SECRET_ACCESS_KEY");
    const char *session = getenv("AWS_SESSION_TOKEN"), *profile = getenv("AWS_PROFILE");
    int result;
    if (!policy->profile && id && *id && key && *key)
        result = keep(id, key, session && *session ? session : NULL, ret, reterr);
    else
        result = of_files(policy->profile       ? policy->profile
                          : profile && *profile ? profile
                                                : "default",
                          ret, reterr);
    if (result < 0)
        aws_keys_done(ret);
    return result;
}

void aws_keys_done(struct aws_keys *keys)
{
    secret_done(&keys->id);
    secret_done(&keys->key);
    secret_done(&keys->session);
}
