/* SPDX-License-Identifier: Apache-2.0 */
/* config_test.c - where settings come from, what a hostile .env gets, and how the config file is
 * changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/config/credentials.h"
#include "core/config/dotenv.h"
#include "core/config/paths.h"
#include "nanoterm/host.h"
#include "sdk/error.h"

static char home[64];
static char project[96];

static const char *const variables[] = { "NANOTERM_API_URL",         "NANOTERM_API_KEY",
                                         "NANOTERM_ORG_ID",          "NULLSPACE_API_URL",
                                         "NULLSPACE_BASE_URL",       "NULLSPACE_API_KEY",
                                         "NANOTERM_NO_UPDATE_CHECK", "NANOTERM_UPDATE_URL",
                                         "XDG_STATE_HOME",           "XDG_RUNTIME_DIR" };

static int setup(void **state)
{
    (void)state;
    snprintf(home, sizeof(home), "/tmp/nt-config-XXXXXX");
    assert_non_null(mkdtemp(home));
    snprintf(project, sizeof(project), "%s/project", home);
    assert_int_equal(mkdir(project, 0755), 0);
    assert_int_equal(chdir(project), 0);
    setenv("HOME", home, 1);
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    config_paths_reset();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const left[] = {
        "project/.env",          "project/real", "project", ".nanoterm/config.json",
        ".nanoterm/config.lock", ".nanoterm",    "run"
    };
    assert_int_equal(chdir("/"), 0);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s/%s", home, left[i]);
        if (unlink(path) < 0)
            rmdir(path);
    }
    return rmdir(home); /* fails when a temporary file was left */
}

static void put_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void put_config(const char *text)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/.nanoterm", home);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/.nanoterm/config.json", home);
    put_file(path, text, 0600);
}

static struct config *load_with(uint32_t personality, const char *api)
{
    struct config *config = NULL;
    struct nt_error e = NT_ERROR_INIT;
    const struct config_options options = { .personality = personality, .flag_api = api };
    if (config_load(&options, &config, &e) < 0)
        fail_msg("%s", e.message);
    return config;
}

static struct config *load(void)
{
    return load_with(NT_AS_NANOTERM, NULL);
}

static const char *value(const struct config *config, const char *key)
{
    const struct config_value *found = config_get(config, key);
    return found ? found->value : NULL;
}

static void each_source_beats_the_next(void **state)
{
    (void)state;
    put_config("{\"api_url\": \"http://file\", \"org_id\": \"org_file\"}");
    struct config *config = load();
    assert_string_equal(value(config, "api_url"), "http://file");
    assert_int_equal(config_get(config, "api_url")->origin, CONFIG_FILE);
    assert_string_equal(value(config, "output.color"), "auto");
    assert_int_equal(config_get(config, "output.color")->origin, CONFIG_DEFAULT);
    config_free(config);
    put_file(".env",
             "# a comment\nNANOTERM_API_URL = 'http://file/prefix'\nNANOTERM_ORG_ID=\"org_env\"\n",
             0644);
    config = load();
    assert_string_equal(value(config, "api_url"), "http://file/prefix");
    assert_int_equal(config_get(config, "api_url")->origin, CONFIG_DOTENV);
    assert_string_equal(value(config, "org_id"), "org_env");
    config_free(config);
    setenv("NANOTERM_API_URL", "http://environment", 1);
    config = load();
    assert_string_equal(config_get(config, "api_url")->origin_text, "environment NANOTERM_API_URL");
    /* that of the .env belongs to another API */
    assert_string_equal(value(config, "org_id"), "org_file");
    config_free(config);
    config = load_with(NT_AS_NANOTERM, "http://flag");
    assert_string_equal(value(config, "api_url"), "http://flag");
    config_free(config);
}

static void the_nullspace_names_are_a_fallback(void **state)
{
    (void)state;
    setenv("NULLSPACE_API_URL", "http://two", 1);
    setenv("NULLSPACE_API_KEY", "key_two", 1);
    setenv("NANOTERM_API_URL", "", 1);
    struct config *config = load();
    assert_string_equal(value(config, "api_url"), "http://two");
    assert_string_equal(value(config, "api_key"), "key_two");
    config_free(config);
    setenv("NANOTERM_API_URL", "http://one", 1);
    config = load();
    assert_string_equal(value(config, "api_url"), "http://one");
    assert_null(value(config, "api_key")); /* it belongs to http://two */
    config_free(config);
    config = load_with(NT_AS_NULLSPACE, NULL);
    assert_string_equal(value(config, "api_url"), "http://two");
    config_free(config);
}

static void a_key_is_never_for_another_origin(void **state)
{
    (void)state;
    put_config("{\"api_url\": \"http://one\", \"api_key\": \"old_key\","
               " \"credentials\": {\"http://two:80\": {\"api_key\": \"key_two\", \"org_id\": "
               "\"org_two\"}}}");
    struct config *config = load();
    assert_string_equal(value(config, "api_key"), "old_key");
    config_free(config);
    config = load_with(NT_AS_NANOTERM, "HTTP://TWO/prefix");
    assert_string_equal(value(config, "api_key"), "key_two");
    assert_string_equal(value(config, "org_id"), "org_two");
    config_free(config);
    static const char *const others[] = { "https://two", "http://two:81", "http://two.one",
                                          "https://one" };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        config = load_with(NT_AS_NANOTERM, others[i]);
        assert_null(value(config, "api_key"));
        config_free(config);
    }
    setenv("NANOTERM_API_URL", "http://three", 1);
    setenv("NANOTERM_API_KEY", "key_three", 1);
    config = load_with(NT_AS_NANOTERM, "http://four");
    assert_null(value(config, "api_key"));
    config_free(config);
}

static void a_hostile_dotenv_is_not_trusted(void **state)
{
    (void)state;
    put_config("{\"api_url\": \"https://good\"}");
    put_file(".env",
             "NANOTERM_API_URL=https://evil\nNANOTERM_API_KEY=evil\nPATH=/evil\nHOME=/evil\n",
             0644);
    setenv("NANOTERM_API_KEY", "my_key", 1);
    struct config *config = load();
    struct nt_error e = NT_ERROR_INIT;
    assert_false(config_api_is_trusted(config));
    assert_null(value(config, "api_key"));
    assert_int_equal(config_require_trust(config, &e), -1);
    assert_int_equal(e.code, NT_E_UNTRUSTED_API);
    assert_non_null(strstr(e.hint, "auth trust https://evil"));
    struct origin origin;
    assert_int_equal(origin_parse("https://evil:443/x", &origin, &e), 0);
    assert_int_equal(config_trust(config, &origin, true, &e), 0);
    assert_true(config_api_is_trusted(config));
    assert_int_equal(config_trust(config, &origin, false, &e), 0);
    assert_false(config_api_is_trusted(config));
    config_free(config);
    config = load_with(NT_AS_NANOTERM, "https://evil"); /* the user says it: known */
    assert_true(config_api_is_trusted(config));
    config_free(config);
    assert_string_equal(getenv("HOME"), home);
}

static void a_key_of_dotenv_stays_with_its_url(void **state)
{
    (void)state;
    put_config("{\"trusted_apis\": [\"https://evil:443\"], \"api_url\": \"https://good\"}");
    put_file(".env", "NANOTERM_API_URL=https://evil\nNANOTERM_API_KEY=theirs\n", 0600);
    struct config *config = load();
    assert_string_equal(value(config, "api_key"), "theirs");
    config_free(config);
    config = load_with(NT_AS_NANOTERM, "https://good");
    assert_null(value(config, "api_key"));
    config_free(config);
}

static void a_dotenv_that_is_not_fit_is_not_read(void **state)
{
    (void)state;
    static const mode_t modes[] = { 0666, 0664, 0602 };
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        put_file(".env", "NANOTERM_API_URL=http://x\n", modes[i]);
        struct config *config = load();
        assert_null(value(config, "api_url"));
        assert_non_null(strstr(config_warning(config), "others can write"));
        config_free(config);
        unlink(".env");
    }
    assert_int_equal(mkfifo(".env", 0600), 0);
    struct config *config = load(); /* returns at all */
    assert_null(value(config, "api_url"));
    config_free(config);
    unlink(".env");
    put_file("real", "NANOTERM_API_URL=http://x\n", 0600);
    assert_int_equal(symlink("real", ".env"), 0);
    config = load();
    assert_null(value(config, "api_url"));
    config_free(config);
    unlink(".env");
    char *big = malloc(70 * 1024);
    assert_non_null(big);
    memset(big, '#', 70 * 1024 - 1);
    memcpy(big, "NANOTERM_API_URL=http://x\n", 26);
    big[70 * 1024 - 1] = '\0';
    put_file(".env", big, 0600);
    free(big);
    config = load();
    assert_null(value(config, "api_url"));
    config_free(config);
}

static void odd_lines_of_a_dotenv(void **state)
{
    (void)state;
    static const char text[] =
        "=\n\n==\nNANOTERM_API_KEY\nexport NANOTERM_ORG_ID=no\nNANOTERM_API_URL=a\tb\n"
        "XNANOTERM_API_URL=no\n NANOTERM_API_KEY = \"q\" \r\nNANOTERM_ORG_ID=\0x";
    struct dotenv dotenv = { .path = "" };
    dotenv_parse(&dotenv, text, sizeof(text) - 1);
    assert_null(dotenv_get(&dotenv, "NANOTERM_API_URL")); /* a control character inside */
    assert_string_equal(dotenv_get(&dotenv, "NANOTERM_API_KEY"), "q");
    assert_null(dotenv_get(&dotenv, "NANOTERM_ORG_ID"));
    assert_null(dotenv_get(&dotenv, "PATH"));
    dotenv_done(&dotenv);
}

static void a_broken_file_names_its_line_and_not_its_text(void **state)
{
    (void)state;
    static const char *const broken[] = { "{\n \"api_key\": \"nt_secret\",\n nt_secret }", "[]",
                                          "{\"a\":1,\"a\":2}", "nul" };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        put_config(broken[i]);
        struct config *config = NULL;
        struct nt_error e = NT_ERROR_INIT;
        const struct config_options options = { .personality = NT_AS_NANOTERM };
        assert_int_equal(config_load(&options, &config, &e), -1);
        assert_int_equal(e.code, NT_E_CONFIG);
        assert_non_null(strstr(e.message, "config.json"));
        assert_null(strstr(e.message, "nt_secret"));
        assert_non_null(strstr(e.message, i == 0 ? "line 3" : "line 1"));
        assert_true(e.hint[0]);
    }
}

static void unknown_keys_and_order_stay(void **state)
{
    (void)state;
    put_config("{\"zebra\": {\"b\": 1, \"a\": [2]}, \"org_id\": \"x\", \"apple\": null}");
    struct config *config = load();
    struct nt_error e = NT_ERROR_INIT;
    struct stat st;
    char path[160], text[512] = "";
    assert_int_equal(config_set(config, "output.color", "never", &e), 0);
    assert_string_equal(value(config, "output.color"), "never");
    assert_int_equal(config_set(config, "org_id", NULL, &e), 0);
    assert_null(value(config, "org_id"));
    snprintf(path, sizeof(path), "%s/.nanoterm/config.json", home);
    int fd = open(path, O_RDONLY);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(strstr(text, "zebra") < strstr(text, "apple")
                && strstr(text, "apple") < strstr(text, "output.color"));
    assert_true(strstr(text, "\"b\"") < strstr(text, "\"a\""));
    config_free(config);
}

static void values_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[][2] = { { "nope", "x" },
                                            { "output.color", "red" },
                                            { "server.idle_ms", "1x" },
                                            { "server.idle_ms", "-5" },
                                            { "api_url", "ftp://x" },
                                            { "org_id", "a\nb" },
                                            { "api_key", "nt_x" },
                                            { "credentials", "x" } };
    struct config *config = load();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct nt_error e = NT_ERROR_INIT;
        assert_int_equal(config_set(config, wrong[i][0], wrong[i][1], &e), -1);
        assert_int_equal(e.code, NT_E_USAGE);
    }
    config_free(config);
}

static void a_foreign_or_shared_file_is_refused_or_told(void **state)
{
    (void)state;
    char path[160];
    struct config *config = NULL;
    struct nt_error e = NT_ERROR_INIT;
    const struct config_options options = { .personality = NT_AS_NANOTERM };
    snprintf(path, sizeof(path), "%s/.nanoterm/config.json", home);
    put_config("{}");
    assert_int_equal(chmod(path, 0644), 0);
    config = load();
    assert_non_null(strstr(config_warning(config), "others can read"));
    assert_int_equal(config_set(config, "org_id", "o", &e), 0); /* writing makes it 0600 */
    assert_string_equal(config_warning(config), "");
    config_free(config);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(config_load(&options, &config, &e), -1);
    assert_int_equal(e.code, NT_E_CONFIG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(config_load(&options, &config, &e), -1);
    assert_int_equal(e.code, NT_E_CONFIG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(config_load(&options, &config, &e), -1);
    if (geteuid() == 0) {
        assert_int_equal(unlink(path), 0);
        put_config("{}");
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(config_load(&options, &config, &e), -1);
        assert_non_null(strstr(e.message, "another user"));
    }
}

static void writers_take_turns(void **state)
{
    (void)state;
    pid_t pids[6];
    for (int i = 0; i < 6; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct config *config = load();
            struct nt_error e = NT_ERROR_INIT;
            struct origin origin;
            char url[32];
            int bad = 0;
            for (int n = 0; n < 5; n++) {
                snprintf(url, sizeof(url), "http://h%d-%d", i, n);
                bad |= origin_parse(url, &origin, &e) < 0
                       || config_set_credential(config, &origin, "nt_key", &e) < 0;
            }
            config_free(config);
            _exit(bad);
        }
    }
    for (int i = 0; i < 6; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < 6; i++)
        for (int n = 0; n < 5; n++) {
            char url[32];
            snprintf(url, sizeof(url), "http://h%d-%d", i, n);
            struct config *config = load_with(NT_AS_NANOTERM, url);
            assert_string_equal(value(config, "api_key"), "nt_key");
            config_free(config);
        }
}

static void credentials_come_and_go(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    struct origin origin;
    put_config("{\"api_url\": \"http://one\", \"api_key\": \"old\"}");
    struct config *config = load();
    assert_int_equal(origin_parse("http://one", &origin, &e), 0);
    assert_int_equal(config_set_credential(config, &origin, "new_key", &e), 0);
    assert_string_equal(value(config, "api_key"), "new_key");
    assert_int_equal(config_set_credential(config, &origin, "with space", &e), -1);
    assert_int_equal(config_set_credential(config, &origin, "a\r\nX: y", &e), -1);
    assert_int_equal(config_set_credential(config, &origin, NULL, &e), 0);
    assert_null(value(config, "api_key")); /* the older place is emptied too */
    config_free(config);
}

static void urls_that_could_be_read_in_two_ways_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        "http:/x",
        "http://",
        "http:///x",
        "http://a@b",
        "http://a:b@c/",
        "http://a\\@b",
        "http://a%2fb",
        "http://a:0",
        "http://a:65536",
        "http://a:",
        "http://a:1x",
        "http://[::1",
        "http://[::1]x",
        "http://[fe80::1%eth0]",
        "http://a b",
        "http://a/?q",
        "http://a/#f",
        "http://\xc3\xa4",
        "unix:",
        "unix:relative",
        "unix:/",
        "https://a:b",
        "ftp://a",
        "http://a/\x7f",
        "http://a\n",
        "unix:/a\nb",
    };
    struct origin origin;
    struct nt_error e = NT_ERROR_INIT;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (origin_parse(bad[i], &origin, &e) == 0)
            fail_msg("'%s' was taken as %s", bad[i], origin.text);
    assert_int_equal(origin_parse("HTTPS://Exa-mple.COM/a//", &origin, &e), 0);
    assert_string_equal(origin.text, "https://exa-mple.com:443");
    assert_string_equal(origin.prefix, "/a");
    assert_int_equal(origin_parse("http://[0:0::1]:8/", &origin, &e), 0);
    assert_string_equal(origin.text, "http://[::1]:8");
    assert_string_equal(origin.host, "::1");
    assert_true(origin_is_local(&origin));
    assert_false(origin_is_same("http://a", "https://a"));
}

static void secrets_are_masked(void **state)
{
    (void)state;
    char text[64];
    config_mask("nt_a1b2c3d4e5f6g7h8", text, sizeof(text));
    assert_string_equal(text, "nt_a1b2c3d4...");
    config_mask("short", text, sizeof(text));
    assert_string_equal(text, "...");
    config_mask("nt_a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", text, sizeof(text));
    assert_string_equal(text, "nt_a1b2c3d4e5f6...");
}

static void folders_follow_xdg(void **state)
{
    (void)state;
    char path[160];
    snprintf(path, sizeof(path), "%s/.nanoterm/server/run", home);
    assert_string_equal(config_path(NT_PATH_RUNTIME), path);
    snprintf(path, sizeof(path), "%s/run", home);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(chmod(path, 0777), 0);
    setenv("XDG_RUNTIME_DIR", path, 1);
    setenv("XDG_STATE_HOME", "/somewhere", 1);
    config_paths_reset();
    /* others can write run */
    assert_string_equal(config_path(NT_PATH_RUNTIME), "/somewhere/nanoterm/server/run");
    assert_int_equal(chmod(path, 0700), 0);
    config_paths_reset();
    snprintf(path, sizeof(path), "%s/run/nanoterm", home);
    assert_string_equal(config_path(NT_PATH_RUNTIME), path);
    setenv("HOME", "relative", 1);
    config_paths_reset();
    const char *folder = config_path(NT_PATH_CONFIG); /* NULL for a user who is in no list */
    assert_true(getpwuid(getuid()) ? folder && folder[0] == '/' : !folder);
    assert_null(config_path(99));
    assert_non_null(strstr(config_path(NT_PATH_LIBEXEC), "/libexec/nanoterm"));
    setenv("HOME", home, 1);
    config_paths_reset();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_source_beats_the_next),
        TEST(the_nullspace_names_are_a_fallback),
        TEST(a_key_is_never_for_another_origin),
        TEST(a_hostile_dotenv_is_not_trusted),
        TEST(a_key_of_dotenv_stays_with_its_url),
        TEST(a_dotenv_that_is_not_fit_is_not_read),
        TEST(odd_lines_of_a_dotenv),
        TEST(a_broken_file_names_its_line_and_not_its_text),
        TEST(unknown_keys_and_order_stay),
        TEST(values_are_checked),
        TEST(a_foreign_or_shared_file_is_refused_or_told),
        TEST(writers_take_turns),
        TEST(credentials_come_and_go),
        TEST(urls_that_could_be_read_in_two_ways_are_refused),
        TEST(secrets_are_masked),
        TEST(folders_follow_xdg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
