/* SPDX-License-Identifier: Apache-2.0 */
/* scope.c - cache_path_regex, by PCRE2: its expressions mean what those of nono's do. The library
 * is opened when a profile has one; the few functions of its stable interface (pcre2api(3)) stand
 * here, so that its headers are not needed to build. The path comes from the program: how long a
 * match may take is limited. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/capture.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/symbol.h"

enum { STEPS_MAX = 100000, DEPTH_MAX = 1000, HEAP_MAX_KIB = 256, NO_MATCH = -1 };
#define UNSET SIZE_MAX

struct pcre2 {
    void *(*compile)(const uint8_t *pattern, size_t size, uint32_t options, int *ret_error,
                     size_t *ret_at, void *context);
    void (*code_free)(void *code);
    int (*message)(int code, uint8_t *ret, size_t size);
    void *(*context_new)(void *general);
    void (*context_free)(void *context);
    int (*limit_steps)(void *context, uint32_t limit);
    int (*limit_depth)(void *context, uint32_t limit);
    int (*limit_heap)(void *context, uint32_t kib);
    void *(*data_new)(const void *code, void *general);
    void (*data_free)(void *data);
    int (*match)(const void *code, const uint8_t *text, size_t size, size_t start, uint32_t options,
                 void *data, void *context);
    size_t *(*pairs)(void *data);
};

struct scope {
    struct pcre2 api;
    void *code, *context, *data;
};

static int open_library(struct pcre2 *ret, struct nt_error *reterr)
{
    void *library = dlopen("libpcre2-8.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library && nt_symbol(library, "pcre2_compile_8", &ret->compile)
        && nt_symbol(library, "pcre2_code_free_8", &ret->code_free)
        && nt_symbol(library, "pcre2_get_error_message_8", &ret->message)
        && nt_symbol(library, "pcre2_match_context_create_8", &ret->context_new)
        && nt_symbol(library, "pcre2_match_context_free_8", &ret->context_free)
        && nt_symbol(library, "pcre2_set_match_limit_8", &ret->limit_steps)
        && nt_symbol(library, "pcre2_set_depth_limit_8", &ret->limit_depth)
        && nt_symbol(library, "pcre2_set_heap_limit_8", &ret->limit_heap)
        && nt_symbol(library, "pcre2_match_data_create_from_pattern_8", &ret->data_new)
        && nt_symbol(library, "pcre2_match_data_free_8", &ret->data_free)
        && nt_symbol(library, "pcre2_match_8", &ret->match)
        && nt_symbol(library, "pcre2_get_ovector_pointer_8", &ret->pairs))
        return 0;
    nt_fail(reterr, ENFORCE_E_PROFILE, "cache_path_regex needs PCRE2 (libpcre2-8.so.0)");
    return nt_hint(reterr, "install libpcre2-8-0 or pcre2, or leave the key out");
}

static void scope_freep(struct scope **scope)
{
    scope_free(*scope);
}

void scope_free(struct scope *s)
{
    if (!s)
        return;
    if (s->data)
        s->api.data_free(s->data);
    if (s->context)
        s->api.context_free(s->context);
    if (s->code)
        s->api.code_free(s->code);
    free(s);
}

int scope_new(const char *pattern, struct scope **ret, struct nt_error *reterr)
{
    nt_auto(scope_freep) struct scope *s = calloc(1, sizeof(*s));
    char why[128] = "";
    int error = 0;
    size_t at = 0;
    if (!s)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a pattern");
    if (open_library(&s->api, reterr) < 0)
        return -1;
    s->code = s->api.compile((const uint8_t *)pattern, strlen(pattern), 0, &error, &at, NULL);
    if (!s->code) {
        s->api.message(error, (uint8_t *)why, sizeof(why));
        return nt_fail(reterr, ENFORCE_E_PROFILE, "cache_path_regex, at character %zu: %s", at + 1,
                       why);
    }
    s->context = s->api.context_new(NULL);
    s->data = s->api.data_new(s->code, NULL);
    if (!s->context || !s->data)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a pattern");
    s->api.limit_steps(s->context, STEPS_MAX);
    s->api.limit_depth(s->context, DEPTH_MAX);
    s->api.limit_heap(s->context, HEAP_MAX_KIB);
    *ret = nt_take(s);
    return 0;
}

enum scope_answer scope_of(const struct scope *s, const char *path, char ret[CAPTURE_SCOPE_MAX])
{
    int count =
        s->api.match(s->code, (const uint8_t *)path, strlen(path), 0, 0, s->data, s->context);
    if (count == NO_MATCH)
        return SCOPE_NONE;
    if (count < 0)
        return SCOPE_TOO_LONG;
    const size_t *pairs = s->api.pairs(s->data);
    const size_t *pair = count > 1 && pairs[2] != UNSET ? pairs + 2 : pairs;
    if (pair[1] < pair[0] || pair[1] - pair[0] >= CAPTURE_SCOPE_MAX)
        return SCOPE_TOO_LONG;
    memcpy(ret, path + pair[0], pair[1] - pair[0]);
    ret[pair[1] - pair[0]] = '\0';
    return SCOPE_FOUND;
}
