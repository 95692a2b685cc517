/* @NAME@_test.c - runs the commands of @NAME@ with a fake host: no server, no nanoterm. */
#include <stdio.h>
#include <string.h>

#include "sdk/fake_host.h"

const struct nt_plugin *nt_plugin_v1(void);

static int failures;

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            failures++;                                                         \
        }                                                                       \
    } while (0)

static int is_text(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

static void greets_as_often_as_asked(void)
{
    struct nt_error error = NT_ERROR_INIT;
    struct fake_host *host = fake_host_new(nt_plugin_v1(), "@NAME@ greet", &error);
    CHECK(host != NULL);
    CHECK(fake_host_set(host, "who", "world", &error) == 0);
    CHECK(fake_host_set(host, "times", "2", &error) == 0);
    CHECK(fake_host_run(host, &error) == 0);
    CHECK(fake_host_rows(host) == 2);
    CHECK(is_text(fake_host_cell(host, 1, "number"), "2"));
    CHECK(is_text(fake_host_cell(host, 1, "text"), "Hello, world!"));
    fake_host_free(host);
}

static void refuses_what_is_out_of_bounds(void)
{
    struct nt_error error = NT_ERROR_INIT;
    struct fake_host *host = fake_host_new(nt_plugin_v1(), "@NAME@ greet", &error);
    CHECK(host != NULL);
    CHECK(fake_host_set(host, "times", "101", &error) < 0 && error.code == NT_E_USAGE);
    CHECK(fake_host_run(host, &error) < 0 && error.code == NT_E_USAGE); /* nobody was named */
    fake_host_free(host);
}

static void nobody_is_an_error_of_its_own(void)
{
    struct nt_error error = NT_ERROR_INIT;
    struct fake_host *host = fake_host_new(nt_plugin_v1(), "@NAME@ greet", &error);
    CHECK(host != NULL);
    CHECK(fake_host_set(host, "who", "", &error) == 0);
    CHECK(fake_host_run(host, &error) < 0 && error.code == NT_E_PLUGIN_FIRST);
    CHECK(fake_host_rows(host) == 0);
    fake_host_free(host);
}

int main(void)
{
    greets_as_often_as_asked();
    refuses_what_is_out_of_bounds();
    nobody_is_an_error_of_its_own();
    return failures ? 1 : 0;
}
