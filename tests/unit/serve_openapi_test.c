/* SPDX-License-Identifier: Apache-2.0 */
/* serve_openapi_test.c - the OpenAPI document against the tables of routes: each has what the other
 * has. What the answers look like is compared in tests/conformance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "plugins/serve/api/openapi.h"
#include "plugins/serve/http/router.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"

static const char *const methods[] = { "get", "head", "post", "put", "patch", "delete" };
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static int load(void **state)
{
    json_error_t error;
    json_t *document =
        json_loadb(openapi_document.data, openapi_document.size, JSON_REJECT_DUPLICATES, &error);
    if (!document)
        print_error("the document, line %d: %s\n", error.line, error.text);
    *state = document;
    return document ? 0 : -1;
}

static int unload(void **state)
{
    json_decref(*state);
    return 0;
}

/* "/v1/a/{id}/b" as "/v1/a/{}/b". */
static void pattern_of(const char *path, char *ret, size_t size)
{
    size_t at = 0;
    for (bool is_name = false; *path; path++) {
        if (*path == '}')
            is_name = false;
        if (!is_name && at + 1 < size)
            ret[at++] = *path;
        if (*path == '{')
            is_name = true;
    }
    ret[at] = '\0';
}

static json_t *operation_of(json_t *document, const struct route *row, const char **ret_path)
{
    char method[16] = "", pattern[200];
    for (size_t i = 0; row->method[i] && i + 1 < sizeof(method); i++)
        method[i] = (char)tolower((unsigned char)row->method[i]);
    const char *path;
    json_t *item;
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        pattern_of(path, pattern, sizeof(pattern));
        *ret_path = path;
        if (strcmp(pattern, row->pattern) == 0)
            return json_object_get(item, method);
    }
    return NULL;
}

static const struct route *route_of(const char *method, const char *path)
{
    char pattern[200];
    pattern_of(path, pattern, sizeof(pattern));
    for (const struct routes *const *table = router_tables; *table; table++)
        for (size_t i = 0; i < (*table)->count; i++)
            if (strcasecmp((*table)->rows[i].method, method) == 0
                && strcmp((*table)->rows[i].pattern, pattern) == 0)
                return &(*table)->rows[i];
    return NULL;
}

static void every_route_is_in_the_document(void **state)
{
    unsigned absent = 0;
    for (const struct routes *const *table = router_tables; *table; table++)
        for (size_t i = 0; i < (*table)->count; i++) {
            const struct route *row = &(*table)->rows[i];
            const char *path;
            if (operation_of(*state, row, &path))
                continue;
            absent++;
            print_error("ROUTE WITHOUT A DESCRIPTION: %s %s\n", row->method, row->pattern);
        }
    if (absent)
        fail_msg("%u routes are not in the OpenAPI document. Add each as an operation (summary, "
                 "parameters, requestBody, responses) to the file of its resource in "
                 "plugins/serve/api/openapi/; its README.md says how. A new file is listed in "
                 "plugins/serve/CMakeLists.txt (openapi_parts).",
                 absent);
}

static void every_operation_has_a_route(void **state)
{
    const char *path, *method;
    json_t *item, *operation;
    unsigned absent = 0, seen = 0;
    json_object_foreach(json_object_get(*state, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            if (strcmp(method, "parameters") == 0)
                continue;
            seen++;
            if (route_of(method, path))
                continue;
            absent++;
            print_error("DESCRIBED, BUT NO ROUTE: %s %s\n", method, path);
        }
    }
    assert_true(seen > 20);
    if (absent)
        fail_msg("%u operations of plugins/serve/api/openapi/ are in no table of "
                 "plugins/serve/http/router.c",
                 absent);
}

/* What the flags of a route say is what the document says. */
static void credentials_bodies_and_websockets_agree(void **state)
{
    for (const struct routes *const *table = router_tables; *table; table++)
        for (size_t i = 0; i < (*table)->count; i++) {
            const struct route *row = &(*table)->rows[i];
            const char *path;
            json_t *operation = operation_of(*state, row, &path);
            if (!operation)
                continue; /* the test above */
            json_t *security = json_object_get(operation, "security");
            json_t *body = json_object_get(
                json_object_get(json_object_get(operation, "requestBody"), "content"),
                "application/json");
            bool is_open = security && json_array_size(security) == 0;
            if (is_open != ((row->flags & ROUTE_OPEN) != 0))
                fail_msg("%s %s: \"security\": [] is for open routes", row->method, path);
            if (body && !(row->flags & ROUTE_JSON))
                fail_msg("%s %s: a JSON body is described that is not read", row->method, path);
            if ((json_object_get(operation, "x-nanoterm-websocket") != NULL)
                != ((row->flags & ROUTE_WEBSOCKET) != 0))
                fail_msg("%s %s: x-nanoterm-websocket is for WebSockets", row->method, path);
        }
}

/* Each {name} of a path is a parameter of the item or the operation. */
static bool has_parameter(json_t *document, json_t *list, const char *name, size_t size)
{
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value)
    {
        const char *ref = nt_json_text(value, "$ref");
        if (ref && strrchr(ref, '/'))
            value = json_object_get(
                json_object_get(json_object_get(document, "components"), "parameters"),
                strrchr(ref, '/') + 1);
        const char *in = nt_json_text(value, "in"), *have = nt_json_text(value, "name");
        if (in && have && strcmp(in, "path") == 0 && strlen(have) == size
            && memcmp(have, name, size) == 0)
            return true;
    }
    return false;
}

static void check_parameters(json_t *document, const char *path, json_t *item, json_t *operation)
{
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        size_t size = strcspn(at + 1, "}");
        if (!has_parameter(document, json_object_get(item, "parameters"), at + 1, size)
            && !has_parameter(document, json_object_get(operation, "parameters"), at + 1, size))
            fail_msg("%s: {%.*s} is no parameter", path, (int)size, at + 1);
    }
}

static void operations_are_whole(void **state)
{
    nt_auto_json json_t *ids = json_object();
    const char *path;
    json_t *item;
    json_object_foreach(json_object_get(*state, "paths"), path, item)
    {
        for (size_t i = 0; i < METHODS; i++) {
            json_t *operation = json_object_get(item, methods[i]);
            if (!operation)
                continue;
            const char *id = nt_json_text(operation, "operationId");
            if (!id || !nt_json_text(operation, "summary")
                || json_object_size(json_object_get(operation, "responses")) == 0)
                fail_msg("%s %s needs operationId, summary and responses", methods[i], path);
            if (json_object_get(ids, id))
                fail_msg("%s %s: the operationId %s is there twice", methods[i], path, id);
            json_object_set_new(ids, id, json_true());
            check_parameters(*state, path, item, operation);
        }
    }
}

static unsigned follow(json_t *document, json_t *value)
{
    unsigned count = 0;
    size_t i;
    const char *name;
    json_t *member;
    json_array_foreach(value, i, member) count += follow(document, member);
    json_object_foreach(value, name, member) count += follow(document, member);
    const char *ref = nt_json_text(value, "$ref");
    if (!ref)
        return count;
    if (strncmp(ref, "#/", 2) != 0)
        fail_msg("%s does not begin with #/", ref);
    json_t *found = document;
    for (const char *at = ref + 1; *at == '/'; at += 1 + strcspn(at + 1, "/")) {
        char part[100];
        snprintf(part, sizeof(part), "%.*s", (int)strcspn(at + 1, "/"), at + 1);
        found = json_object_get(found, part);
    }
    if (!found)
        fail_msg("%s: there is no such thing in the document", ref);
    return count + 1;
}

static void references_lead_somewhere(void **state)
{
    assert_true(follow(*state, *state) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_in_the_document),
        cmocka_unit_test(every_operation_has_a_route),
        cmocka_unit_test(credentials_bodies_and_websockets_agree),
        cmocka_unit_test(operations_are_whole),
        cmocka_unit_test(references_lead_somewhere),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
