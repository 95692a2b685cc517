/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_secret_test.c - where credentials come from, and which of them are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/proxy.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "sdk/error.h"

static char folder[] = "/tmp/nt-secret-XXXXXX";

static struct policy policy; /* of the program that they are for */

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void assert_secret(const char *reference, const char *value)
{
    struct nt_error e = NT_ERROR_INIT;
    char *got = NULL;
    if (secret_read(&policy, reference, &got, &e) < 0)
        print_error("%s: %s\n", reference, e.message);
    assert_non_null(got);
    assert_string_equal(got, value);
    secret_free(got);
}

/* No error tells a value. */
static void assert_refused(const char *reference, const char *text)
{
    struct nt_error e = NT_ERROR_INIT;
    char *got = NULL;
    assert_int_equal(secret_read(&policy, reference, &got, &e), -1);
    assert_null(got);
    assert_int_equal(e.code, ENFORCE_E_CREDENTIAL);
    if (!strstr(e.message, text))
        print_error("%s: %s\n", reference, e.message);
    assert_non_null(strstr(e.message, text));
    assert_null(strstr(e.message, "hunter2"));
    assert_null(strstr(e.hint, "hunter2"));
}

static void file_url(const char *name, char ret[300])
{
    snprintf(ret, 300, "file://%s/%s", folder, name);
}

static void variables_are_read(void **state)
{
    setenv("TEST_A", "hunter2", 1);
    setenv("TEST_EMPTY", "", 1);
    setenv("TEST_LINE", "hunter2\r\nX-Evil: 1", 1);
    assert_secret("env://TEST_A", "hunter2");
    assert_refused("env://TEST_NONE", "not set");
    assert_refused("env://TEST_EMPTY", "not set");
    assert_refused("env://TEST_LINE", "line end");
    assert_refused("apple-password://a/b", "apple-password://");
    assert_refused("cmd://echo hunter2x", "cmd://");
}

static void files_are_read_when_others_cannot_change_them(void **state)
{
    char url[300], dots[300];
    write_file("plain", "hunter2", 0600);
    write_file("newline", "hunter2\n", 0400);
    write_file("two", "hunter2\n\n", 0600);
    write_file("empty", "\n", 0600);
    write_file("group", "hunter2", 0620);
    write_file("all", "hunter2", 0646);
    file_url("plain", url);
    assert_secret(url, "hunter2");
    file_url("newline", url);
    assert_secret(url, "hunter2");
    file_url("two", url);
    assert_refused(url, "line end"); /* one newline is dropped, not all */
    file_url("empty", url);
    assert_refused(url, "empty");
    file_url("group", url);
    assert_refused(url, "changed by others");
    file_url("all", url);
    assert_refused(url, "changed by others");
    file_url("none", url);
    assert_refused(url, "cannot open");
    file_url("", url);
    assert_refused(url, "regular file");
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    file_url("pipe", url);
    assert_refused(url, "regular file"); /* and nobody waits for a writer */
    snprintf(dots, sizeof(dots), "file://%s/../%s/plain", folder, strrchr(folder, '/') + 1);
    assert_refused(dots, "without ..");
    assert_refused("file://plain", "absolute");
    assert_refused("file:///dev/zero", "regular file");
    assert_int_equal(truncate(path_of("plain"), SECRET_MAX + 1), 0);
    file_url("plain", url);
    assert_refused(url, "larger");
}

static void op_is_asked_without_a_shell(void **state)
{
    char script[1024], path[400];
    unsetenv("PATH");
    assert_refused("op://vault/item/field", "needs the program op");
    snprintf(script, sizeof(script),
             "#!/bin/sh\n[ $# = 3 ] && [ \"$1 $2\" = 'read --no-newline' ] || exit 9\n"
             "case $3 in op://v/slow/f) exec /bin/sleep 600;; op://v/bad/f) exit 1;;\n"
             "'op://v/$(id)/f') printf hunter2;; op://v/big/f) exec /bin/cat /dev/zero;; *) exit "
             "1;; esac\n");
    write_file("op", script, 0700);
    /* A folder of the project is no place to look for programs. */
    assert_int_equal(chdir(folder), 0);
    setenv("PATH", ".:relative:", 1);
    assert_refused("op://v/$(id)/f", "needs the program op");
    snprintf(path, sizeof(path), "/nonexistent:%s", folder);
    setenv("PATH", path, 1);
    assert_secret("op://v/$(id)/f", "hunter2");
    assert_refused("op://v/bad/f", "could not read");
    assert_refused("op://v/big/f", "gave no text");
    setenv("NONO_KEYRING_TIMEOUT_SECS", "1", 1);
    assert_refused("op://v/slow/f", "did not answer in 1 s");
    unsetenv("NONO_KEYRING_TIMEOUT_SECS");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
    assert_int_equal(errno, ECHILD);
    setenv("PATH", "/usr/bin:/bin", 1);
}

static void what_the_program_could_write_is_not_asked(void **state)
{
    char path[400], plain[PATH_MAX], other[128];
    struct policy_grant grant = {
        .path = plain, .source = "user", .access = POLICY_WRITE, .fd = -1
    };
    assert_non_null(realpath(folder, plain));
    write_file("op", "#!/bin/sh\nprintf hunter2; printf \"$PATH\" > $HOME/path\n", 0700);
    snprintf(other, sizeof(other), "%.100s/other", plain);
    assert_int_equal(mkdir(other, 0700), 0);
    snprintf(path, sizeof(path), "%s:.:%.100s:/usr/bin:/bin", other, plain);
    setenv("PATH", path, 1);
    setenv("HOME", plain, 1);
    policy = (struct policy){ .grants = &grant, .grant_count = 1 };
    assert_refused("op://v/a/f", "may write");
    grant.path = other; /* another folder of PATH: it is not asked there, nor does it look there */
    assert_secret("op://v/a/f", "hunter2");
    char *text = NULL;
    struct nt_error e = NT_ERROR_INIT;
    snprintf(path, sizeof(path), "%.100s/path", plain);
    assert_int_equal(secret_of_file(path, &text, &e), 0);
    snprintf(path, sizeof(path), "%.100s:/usr/bin:/bin", plain);
    assert_string_equal(text, path);
    secret_free(text);
    /* What runs it. */
    snprintf(path, sizeof(path), "#!%s/sh\n", other);
    write_file("op", path, 0700);
    assert_refused("op://v/a/f", "may write");
    policy = (struct policy){ 0 };
    write_file("op", "#!/bin/sh\nprintf hunter2\n", 0702);
    assert_refused("op://v/a/f", "written by everybody");
    setenv("PATH", "/usr/bin:/bin", 1);
}

static void bw_is_asked_for_an_item_or_its_field(void **state)
{
    static const char item[] =
        "{\"login\":{\"password\":\"hunter2\",\"username\":\"me\",\"totp\":null,"
        "\"uris\":[{\"uri\":\"https://a\"}]},\"notes\":\"n\",\"fields\":[7,{\"name\":\"totp\","
        "\"value\":\"mine\"},{\"name\":\"password\",\"value\":\"other\"},{\"name\":\"key\","
        "\"value\":\"k\"},{\"name\":\"number\",\"value\":1}]}";
    static const char *const rows[][2] = { { "password", "hunter2" }, { "username", "me" },
                                           { "uri", "https://a" },    { "notes", "n" },
                                           { "totp", "mine" },        { "key", "k" },
                                           { "number", NULL },        { "none", NULL } };
    static const char *const bad[] = { "", "[]", "7", "{\"login\":7,\"fields\":{}}", "{" };
    char script[1024];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *value = secret_bw_field(item, rows[i][0]);
        if (rows[i][1])
            assert_string_equal(value, rows[i][1]);
        else
            assert_null(value);
        secret_free(value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(secret_bw_field(bad[i], "password"));
    setenv("PATH", "/nonexistent", 1);
    assert_refused("bw://item", "needs the program bw");
    snprintf(script, sizeof(script),
             "#!/bin/sh\n[ $# = 4 ] && [ \"$1 $3\" = 'get --' ] || exit 9\n"
             "case $2:$4 in 'password:-x $(id)') echo hunter2;; item:i) echo '%s';; *) exit 1;; "
             "esac\n",
             item);
    write_file("bw", script, 0700);
    setenv("PATH", folder, 1);
    assert_secret("bw://-x $(id)", "hunter2");
    assert_secret("bw://i/key", "k");
    assert_refused("bw://i/none", "no such field");
    assert_refused("bw://other", "bw could not read");
    setenv("PATH", "/usr/bin:/bin", 1);
}

/* By a library of the test's own under the name of libsecret. */
static void the_keyring_is_asked_in_a_child(void **state)
{
    assert_secret("openai_api_key", "of-nono");
    assert_secret("keyring://elsewhere/openai_api_key", "elsewhere");
    assert_refused("no_such_key", "has no account no_such_key of service nono");
    assert_refused("broken", "cannot be asked");
    assert_refused("keyring://only", "keyring://SERVICE/ACCOUNT");
    assert_refused("keyring:///x", "keyring://SERVICE/ACCOUNT");
    assert_refused("", "without a name");
    setenv("NONO_KEYRING_TIMEOUT_SECS", "1", 1);
    assert_refused("slow", "did not answer in 1 s");
    unsetenv("NONO_KEYRING_TIMEOUT_SECS");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    /* The library did not come into this process. */
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        assert_null(strstr(line, "libsecret"));
    fclose(maps);
}

static void kept_values_are_wiped_and_not_inherited(void **state)
{
    struct nt_error e = NT_ERROR_INIT;
    struct secret s = { 0 };
    assert_int_equal(secret_keep(&s, "hunter2", &e), 0);
    assert_string_equal(s.text, "hunter2");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* Reading it there must end the child. */
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        char *volatile at = s.text;
        int pipes[2];
        /* By the kernel, so that a sanitizer's own handler has no say: EFAULT. */
        _exit(pipe(pipes) == 0 && write(pipes[1], at, 7) < 0 && errno == EFAULT ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    secret_done(&s);
    assert_null(s.text);
    secret_done(&s);
}

static bool has(const struct policy_texts *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->at[i], text) == 0)
            return true;
    return false;
}

static void the_environment_has_phantoms_only(void **state)
{
    struct policy_route routes[] = {
        { .name = "open-ai", .key = "env://TEST_A", .variable = "OPENAI_API_KEY" },
        { .name = "b", .key = "some_account" },
    };
    struct policy_env_credential own[] = { { "env://TEST_B", "B" }, { "file:///x", "X" } };
    struct policy p = {
        .routes = routes, .route_count = 2, .env_credentials = own, .env_credential_count = 2
    };
    struct policy_texts list = { 0 }, names = { 0 };
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(proxy_environment(&p, 4242, "TOKEN", &list, &e), 0);
    assert_true(has(&list, "HTTP_PROXY=http://nono:TOKEN@127.0.0.1:4242"));
    assert_true(has(&list, "HTTPS_PROXY=http://nono:TOKEN@127.0.0.1:4242"));
    assert_true(has(&list, "http_proxy=http://nono:TOKEN@127.0.0.1:4242"));
    assert_true(has(&list, "https_proxy=http://nono:TOKEN@127.0.0.1:4242"));
    assert_true(has(&list, "no_proxy=localhost,127.0.0.1"));
    assert_true(has(&list, "NONO_PROXY_TOKEN=TOKEN"));
    assert_true(has(&list, "NODE_USE_ENV_PROXY=1"));
    assert_true(has(&list, "OPEN_AI_BASE_URL=http://127.0.0.1:4242/open-ai"));
    assert_true(has(&list, "B_BASE_URL=http://127.0.0.1:4242/b"));
    assert_true(has(&list, "OPENAI_API_KEY=TOKEN"));
    assert_int_equal(list.count, 11);
    assert_int_equal(proxy_secret_names(&p, &names, &e), 0);
    assert_int_equal(names.count, 2);
    assert_true(has(&names, "TEST_A") && has(&names, "TEST_B"));
    for (size_t i = 0; i < list.count; i++)
        free((void *)list.at[i]);
    free(list.at);
    free(names.at);
}

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "plain", "newline", "two", "empty", "group", "all",
                                         "pipe",  "op",      "bw",  "path",  "other" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove(path_of(names[i]));
    return chdir("/") == 0 ? rmdir(folder) : -1;
}

int main(int argc, char **argv)
{
    /* Read by the loader when a program starts; a sanitizer's dlopen knows no RPATH of ours. */
    const char *libraries = getenv("LD_LIBRARY_PATH");
    if (!libraries || strcmp(libraries, FAKE_FOLDER) != 0) {
        setenv("LD_LIBRARY_PATH", FAKE_FOLDER, 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_read),
        cmocka_unit_test(files_are_read_when_others_cannot_change_them),
        cmocka_unit_test(op_is_asked_without_a_shell),
        cmocka_unit_test(what_the_program_could_write_is_not_asked),
        cmocka_unit_test(bw_is_asked_for_an_item_or_its_field),
        cmocka_unit_test(the_keyring_is_asked_in_a_child),
        cmocka_unit_test(kept_values_are_wiped_and_not_inherited),
        cmocka_unit_test(the_environment_has_phantoms_only),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
