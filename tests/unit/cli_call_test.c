/* SPDX-License-Identifier: Apache-2.0 */
/* cli_call_test.c - the host table as a plugin sees it, over stand-ins of the other rooms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cli_table.h"
#include "core/api/api.h"
#include "core/cli/call.h"
#include "core/cli/parse.h"
#include "core/output/output.h"
#include "core/plugin/plugins.h"
#include "sdk/error.h"

/* --- stand-ins: they replace the whole room, for the archive's own is then not linked ------ */

struct api {
    struct api_options options;
};
struct config {
    int any;
};

static unsigned made, freed, requests;
static bool api_fails;
static int64_t timeout_of_api_ms;

int api_new(const struct api_options *options, struct api **ret, struct nt_error *reterr)
{
    if (api_fails)
        return nt_fail(reterr, NT_E_CONNECT, "no server");
    made++;
    *ret = calloc(1, sizeof(**ret));
    assert_non_null(*ret);
    (*ret)->options = *options;
    timeout_of_api_ms = options->timeout_ms;
    return 0;
}

void api_free(struct api *api)
{
    freed += api != NULL;
    free(api);
}

int api_request(struct api *api, const struct nt_request *req, struct nt_response *ret,
                struct nt_error *reterr)
{
    (void)reterr;
    assert_non_null(api);
    assert_string_equal(req->path, "/v1/x");
    requests++;
    ret->status = 200;
    return 0;
}

const char *api_header(struct api *api, const struct nt_response *response, const char *name)
{
    (void)api;
    (void)response;
    return name;
}

int api_open(struct api *api, const struct nt_open *open, struct nt_stream **ret,
             struct nt_response *ret_head, struct nt_error *reterr)
{
    (void)api;
    (void)open;
    (void)ret;
    (void)ret_head;
    return nt_fail(reterr, NT_E_CLOSED, "closed");
}

int api_upgrade_local(struct api *api, const char *path, const char *protocol, int *ret_fd,
                      struct nt_bytes *ret_early, struct nt_error *reterr)
{
    (void)api;
    (void)path;
    (void)protocol;
    (void)ret_fd;
    (void)ret_early;
    return nt_fail(reterr, NT_E_NOT_LOCAL, "not local");
}

struct nt_loop *api_loop(struct api *api)
{
    (void)api;
    return NULL;
}

int api_wait(struct api *api, const uint32_t *done, struct nt_error *reterr)
{
    (void)api;
    (void)done;
    return nt_fail(reterr, NT_E_CANCELLED, "interrupted");
}

const struct config_value *config_get(const struct config *config, const char *key)
{
    static const struct config_value value = { .key = "org_id", .value = "org_1" };
    assert_non_null(config);
    return strcmp(key, "org_id") == 0 ? &value : NULL;
}

const char *config_path(uint32_t which)
{
    return which == NT_PATH_HOME ? "/home/x" : NULL;
}

const void *plugins_service(struct plugins *plugins, const char *name, uint32_t index,
                            const char **ret_instance)
{
    static const char *const instances[] = { "native", "podman" };
    (void)plugins;
    if (strcmp(name, "nanoterm.engine/1") != 0 || index >= 2)
        return NULL;
    *ret_instance = instances[index];
    return instances[index];
}

/* --- the tests ----------------------------------------------------------------------------- */

struct setting {
    struct parsed parsed;
    struct output *output;
    struct config config;
    struct nt_call *call;
};

static void begin(struct setting *s, const struct nt_command *command, int argc, char **argv)
{
    struct nt_error e = NT_ERROR_INIT;
    *s = (struct setting){ .output = NULL };
    made = freed = requests = 0;
    api_fails = false;
    if (parse_words(&table_tree, argc, argv, &s->parsed, &e) < 0)
        fail_msg("%s", e.message);
    struct output_options output = { 1, 2, NT_CALL_QUIET, NULL };
    assert_int_equal(output_new(&output, &s->output, &e), 0);
    struct call_options options = { .command = command,
                                    .parsed = &s->parsed,
                                    .output = s->output,
                                    .config = &s->config,
                                    .personality = NT_AS_NONO,
                                    .flags = NT_CALL_QUIET };
    s->call = call_new(&options, &e);
    assert_non_null(s->call);
}

static void end(struct setting *s)
{
    call_free(s->call);
    output_free(s->output);
    parsed_done(&s->parsed);
}

static char *words_exec[] = { (char[]){ "nanoterm" }, (char[]){ "exec" }, (char[]){ "ws_1" },
                              (char[]){ "-d" },       (char[]){ "--" },   (char[]){ "ls" },
                              (char[]){ "-la" } };
static char *words_list[] = { (char[]){ "nanoterm" }, (char[]){ "--timeout=7s" }, (char[]){ "ws" },
                              (char[]){ "list" } };

static void arguments_are_read_by_name(void **state)
{
    (void)state;
    struct setting s;
    begin(&s, &exec_command, 7, words_exec);
    const struct nt_host *host = s.call->host;
    assert_int_equal(host->size, sizeof(struct nt_host));
    assert_int_equal(s.call->personality, NT_AS_NONO);
    assert_string_equal(host->text(s.call, "workspace-id"), "ws_1");
    assert_string_equal(host->text(s.call, "cwd"), "/workspace");
    assert_int_equal(host->is_given(s.call, "cwd"), 0);
    assert_int_equal(host->is_given(s.call, "detach"), 1);
    assert_int_equal(host->number(s.call, "detach"), 1);
    assert_int_equal(host->number(s.call, "verbose"), 0);
    assert_int_equal(host->count(s.call, "command"), 2);
    assert_string_equal(host->text_at(s.call, "command", 1), "-la");
    assert_null(host->text_at(s.call, "command", 2));
    assert_null(host->text(s.call, "no-such"));
    assert_int_equal(host->count(s.call, "no-such"), 0);
    assert_int_equal(host->is_given(s.call, "no-such"), 0);
    end(&s);
}

static void the_api_is_made_once_and_only_when_needed(void **state)
{
    (void)state;
    struct setting s;
    struct nt_error e = NT_ERROR_INIT;
    begin(&s, &list_command, 4, words_list);
    const struct nt_host *host = s.call->host;
    struct nt_request request = { .size = sizeof(request), .method = "GET", .path = "/v1/x" };
    struct nt_response response = { .size = sizeof(response) };
    assert_null(host->header(s.call, &response, "x"));
    int64_t left = host->left_ms(s.call);
    assert_in_range(left, 1, 7000);
    const struct timespec moment = { .tv_nsec = 2 * 1000 * 1000 };
    nanosleep(&moment, NULL); /* the clock runs without the API, too */
    assert_true(host->left_ms(s.call) < left);
    assert_int_equal(made, 0);
    assert_int_equal(host->request(s.call, &request, &response, &e), 0);
    assert_int_equal(host->request(s.call, &request, &response, &e), 0);
    assert_int_equal(made, 1);
    assert_int_equal(requests, 2);
    assert_string_equal(host->header(s.call, &response, "x"), "x");
    end(&s);
    assert_int_equal(freed, 1);

    begin(&s, &list_command, 4, words_list);
    api_fails = true;
    assert_int_equal(host->request(s.call, &request, &response, &e), -1);
    assert_int_equal(e.code, NT_E_CONNECT);
    assert_null(host->loop(s.call));
    assert_int_equal(host->wait(s.call, &s.call->flags, &e), -1);
    end(&s);
    assert_int_equal(freed, 0);
}

static void one_clock_runs_from_the_start_of_the_command(void **state)
{
    (void)state;
    struct setting s;
    struct nt_error e = NT_ERROR_INIT;
    api_fails = false;
    begin(&s, &list_command, 4, words_list);
    const struct nt_host *host = s.call->host;
    struct nt_request request = { .size = sizeof(request), .method = "GET", .path = "/v1/x" };
    struct nt_response response = { .size = sizeof(response) };
    int64_t left = host->left_ms(s.call);
    const struct timespec moment = { .tv_nsec = 2 * 1000 * 1000 };
    nanosleep(&moment, NULL); /* what a command does before it opens the API counts */
    assert_int_equal(host->request(s.call, &request, &response, &e), 0);
    assert_true(timeout_of_api_ms < left);
    left = timeout_of_api_ms;
    nanosleep(&moment, NULL);
    assert_int_equal(host->request(s.call, &request, &response, &e), 0);
    assert_true(host->left_ms(s.call) < left);
    end(&s);
}

static void the_deadline_comes_from_words_table_or_default(void **state)
{
    (void)state;
    struct parsed none = { .globals = GLOBALS_INIT }, given = { .globals = { .timeout_ms = 5 } };
    struct nt_command command = { .effects = NT_REMOTE };
    assert_int_equal(call_timeout_ms(&command, &none), 120000);
    assert_int_equal(call_timeout_ms(&command, &given), 5);
    command.timeout_ms = 9;
    assert_int_equal(call_timeout_ms(&command, &none), 9);
    assert_int_equal(call_timeout_ms(&command, &given), 5);
    command.timeout_ms = -1;
    assert_int_equal(call_timeout_ms(&command, &none), -1);
    assert_int_equal(call_timeout_ms(&(struct nt_command){ .effects = NT_REMOTE | NT_RUNS }, &none),
                     -1);
    assert_int_equal(call_timeout_ms(&(struct nt_command){ .effects = NT_LOCAL }, &none), -1);
}

static void status_config_path_and_service(void **state)
{
    (void)state;
    struct setting s;
    struct nt_error e = NT_ERROR_INIT;
    begin(&s, &list_command, 4, words_list);
    const struct nt_host *host = s.call->host;
    uint32_t status = 9, by = 9;
    assert_false(call_status(s.call, &status, &by));
    host->set_status(s.call, 0x103, NT_BY_PROGRAM);
    assert_true(call_status(s.call, &status, &by));
    assert_int_equal(status, 3); /* what a parent can see */
    assert_int_equal(by, NT_BY_PROGRAM);
    assert_string_equal(host->config(s.call, "org_id"), "org_1");
    assert_null(host->config(s.call, "api_url"));
    assert_string_equal(host->path(s.call, NT_PATH_HOME), "/home/x");
    const char *instance = NULL;
    assert_non_null(host->service(s.call, "nanoterm.engine/1", 1, &instance));
    assert_string_equal(instance, "podman");
    assert_non_null(host->service_named(s.call, "nanoterm.engine/1", "native"));
    assert_null(host->service_named(s.call, "nanoterm.engine/1", "lxd"));
    assert_null(host->service_named(s.call, "other/1", "native"));
    assert_int_equal(host->descriptor(s.call, 2), 2);
    assert_int_equal(host->descriptor(s.call, 3), -1);
    const char *answer;
    assert_int_equal(host->prompt(s.call, "Key?", "--key-stdin", 1, &answer, &e), -1);
    assert_int_equal(e.code, NT_E_USAGE);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_are_read_by_name),
        cmocka_unit_test(the_api_is_made_once_and_only_when_needed),
        cmocka_unit_test(one_clock_runs_from_the_start_of_the_command),
        cmocka_unit_test(the_deadline_comes_from_words_table_or_default),
        cmocka_unit_test(status_config_path_and_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
