/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_profile_test.c - profiles as people write them, what they extend, and the network that
 * they open; with a home folder and package managers of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/find.h"
#include "plugins/sandbox-enforce/policy/policy.h"
#include "plugins/sandbox-enforce/policy/when.h"
#include "plugins/sandbox-enforce/policy/references.h"
#include "sdk/cleanup.h"

static char home[64];

static const char *at(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", home, name);
    return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", at(name));
    for (char *slash = path + strlen(home) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0 && fchmod(fd, mode) == 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void profile(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), ".config/nono/profiles/%.64s.json", name);
    put(path, text, 0600);
}

static int set_up(void **state)
{
    (void)state;
    char made[] = "/var/tmp/nt-profile-XXXXXX", real[PATH_MAX];
    if (!mkdtemp(made) || !realpath(made, real) || strlen(real) >= sizeof(home))
        return -1;
    memcpy(home, real, strlen(real) + 1);
    setenv("HOME", home, 1);
    setenv("PATH", at("bin"), 1);
    static const char *const gone[] = {
        "XDG_CONFIG_HOME",     "XDG_STATE_HOME", "XDG_DATA_HOME",
        "XDG_CACHE_HOME",      "TMPDIR",         "XDG_RUNTIME_DIR",
        "npm_config_registry", "PIP_INDEX_URL",  "GOPROXY",
        "NPM_CONFIG_REGISTRY", "GOSUMDB",        "UV_INDEX_URL",
        "PIP_EXTRA_INDEX_URL", "UV_INDEX",       "UV_DEFAULT_INDEX"
    };
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        unsetenv(gone[i]);
    put("project/README", "", 0600);
    put("bin/none", "", 0600);
    return chdir(at("project"));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return chdir("/") + nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define TEXTS(...)                                                                                 \
    {                                                                                              \
        .at = (const char *[]){ __VA_ARGS__ },                                                     \
        .count = sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)                          \
    }

static struct policy *make(const struct policy_request *request)
{
    struct nt_error e = NT_ERROR_INIT;
    struct policy *p = NULL;
    if (policy_make(request, &p, &e) < 0)
        fail_msg("%s", e.message);
    return p;
}

static uint32_t refused(const struct policy_request *request, const char *text)
{
    struct nt_error e = NT_ERROR_INIT;
    struct policy *p = NULL;
    assert_int_equal(policy_make(request, &p, &e), -1);
    if (!strstr(e.message, text))
        fail_msg("\"%s\" does not speak of %s", e.message, text);
    return e.code;
}

static bool may(const struct policy *p, const char *path, uint32_t access)
{
    struct policy_answer answer;
    policy_ask_path(p, path, access, &answer);
    return answer.is_allowed;
}

static const char *host(const struct policy *p, const char *name)
{
    static struct policy_answer answer;
    policy_ask_host(p, name, 443, &answer);
    return answer.reason;
}

static bool has_text(const struct policy_texts *texts, const char *part)
{
    for (size_t i = 0; i < texts->count; i++)
        if (strstr(texts->at[i], part))
            return true;
    return false;
}

static void comments_and_last_commas_are_fine(void **state)
{
    (void)state;
    profile("commented",
            "// first\n{ /* two\nlines */ \"meta\": {\"name\": \"commented\",},\n"
            "  \"filesystem\": {\"read\": [\"~/project\", // why, with \"quotes\"\n ]},\n"
            "  \"environment\": {\"set_vars\": {\"URL\": \"http://x/ /* , ] */\"}},\n}\n");
    struct policy *p = make(&(struct policy_request){ .profile = "commented" });
    assert_true(may(p, at("project/README"), POLICY_READ));
    assert_string_equal(p->set_vars.at[0], "URL=http://x/ /* , ] */");
    assert_string_equal(p->profile, "commented");
    policy_free(p);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } rows[] = {
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"alow\":[]}}", "filesystem.alow" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"allow\":\"/a\"}}", "filesystem.allow" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"allow\":[7]}}", "a text is needed" },
        { "{\"meta\":{\"name\":\"x\"},\"security\":{\"signal_mode\":\"all\"}}", "signal_mode" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"open_port\":[0]}}", "open_port" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"connect_port\":[\"22\"]}}", "connect_port" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"open_port_range\":[[3, 2]]}}", "a pair" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"open_port_range\":[3]}}", "a pair" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"listen_port_range\":[[1, 65536]]}}",
          "a pair" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"listen_port_range\":[[0, 9]]}}", "a pair" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"listen_port_range\":[[1, 2, 3]]}}", "a pair" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"deny\":[{\"path\":\"/"
          "a\",\"when\":\"Linux\"}]}}",
          "begins with linux" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"deny\":[{\"path\":\"/a\",\"when\":[]}]}}",
          "empty list" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"deny\":[{\"path\":\"/a\",\"when\":3}]}}",
          "when" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"deny\":[{\"path\":\"/"
          "a\",\"if\":\"linux\"}]}}",
          "nothing else" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"deny\":[{\"when\":\"linux\"}]}}",
          "a text is needed" },
        { "{\"meta\":{\"name\":\"x\"},\"groups\":{\"include\":[{\"path\":\"git_config\"}]}}",
          "a text is needed" },
        { "{\"meta\":{\"name\":\"x\"},\"commands\":{\"deny\":[{\"name\":\"a\"}]}}",
          "a text is needed" },
        { "{\"meta\":{\"name\":\"x\"},\"platform_overrides\":{\"bsd\":{}}}", "no such system" },
        { "{\"meta\":{\"name\":\"x\"},\"platform_overrides\":{\"linux\":[]}}",
          "an object is needed" },
        { "{\"meta\":{\"name\":\"x\"},\"platform_overrides\":{\"linux\":{\"extends\":\"default\"}}"
          "}",
          "platform_overrides.linux.extends" },
        { "{\"meta\":{\"name\":\"x\"},\"platform_overrides\":{\"macos\":{\"platform_overrides\":{}}"
          "}}",
          "platform_overrides.macos.platform_overrides" },
        { "{\"meta\":{\"name\":\"x\"},\"platform_overrides\":{\"macos\":{\"filesystem\":{\"alow\":["
          "]}}}}",
          "platform_overrides.macos.filesystem.alow" },
        { "{\"meta\":{\"name\":\"x\"},\"nothing\":{}}", "nothing: there is no such key" },
        { "{\"meta\":{}}", "meta.name" },
        { "{\"meta\":{\"name\":\"x\"},\"meta\":{\"name\":\"y\"}}", "duplicate" },
        { "{\"meta\":{\"name\":\"x\"}", "line 1" },
        { "{\"meta\":{\"name\":\"x\"} /* ", "comment" },
        { "[]", "object" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"allow\":[,]}}", "line 1" },
        { "{\"meta\":{\"name\":\"x\"},\"command_policies\":[1]}", "object" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"tls_intercept\":{\"ca_validity\":\"1y\"}}}",
          "ca_validity" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"tls_intercept\":{\"ca_lifecycle\":\"trusted\"}"
          "}}",
          "macOS" },
        { "{\"meta\":{\"name\":\"x\"},\"groups\":{\"include\":[\"nothing\"]}}",
          "no group nothing" },
        { "{\"meta\":{\"name\":\"x\"},\"groups\":{\"exclude\":[\"deny_credentials\"]}}",
          "required" },
        { "{\"meta\":{\"name\":\"x\"},\"network\":{\"network_profile\":\"nothing\"}}",
          "no network profile" },
        { "{\"meta\":{\"name\":\"x\"},\"filesystem\":{\"deny\":[\"$NOT_SET_HERE/x\"]}}",
          "NOT_SET_HERE" },
        { "{\"meta\":{\"name\":\"x\"},\"environment\":{\"set_vars\":{\"LD_PRELOAD\":\"x\"}}}",
          "LD_PRELOAD" },
        { "{\"meta\":{\"name\":\"x\"},\"env_credentials\":{\"env://A\":\"PATH\"}}", "PATH" },
        { "{\"meta\":{\"name\":\"x\"},\"session_hooks\":{\"before\":{\"script\":\"a\"}}}",
          "absolute" },
        { "{\"meta\":{\"name\":\"x\"},\"session_hooks\":{\"before\":{\"script\":\"~a\"}}}",
          "not absolute" },
        { "{\"meta\":{\"name\":\"x\"},\"session_hooks\":{\"after\":{\"script\":\"$NO_SUCH/a\"}}}",
          "NO_SUCH" },
        { "{\"meta\":{\"name\":\"x\"},\"session_hooks\":{\"after\":{\"script\":\"/a\","
          "\"timeout_secs\":-1}}}",
          "at least 1" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{}}}", "not both" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"command\":[]}}}",
          "a list is needed" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"command\":[\"a\",7]}}}",
          "an argument" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"command\":[\"a/b\"]}}}",
          "absolute path" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"command\":[\"a\"],\"shell\":"
          "true}}}",
          "no such key" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"command\":[\"a\"],\"stdin\":"
          "\"all\"}}}",
          "request_json" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"command\":[\"a\"],\"cache_"
          "ttl_secs\":3601}}}",
          "from 0 to 3600" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"provider\":{\"command\":["
          "\"a\"],\"config\":[]}}}}",
          "config is an object" },
        { "{\"meta\":{\"name\":\"x\"},\"credential_capture\":{\"a\":{\"provider\":{}}}}",
          "a list is needed" },
        { "{\"meta\":{\"name\":\"x\"},\"linux\":{\"sandbox_policy\":\"external\"}}",
          "leave the program's network open" },
        { "{\"meta\":{\"name\":\"x\"},\"linux\":{\"sandbox_policy\":\"seccomp\"}}",
          "sandbox_policy" },
        { "{\"meta\":{\"name\":\"x\"},\"env_credentials\":{\"file:///a/../b\":\"A\"}}", "file://" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        profile("wrong", rows[i].text);
        assert_int_equal(refused(&(struct policy_request){ .profile = "wrong" }, rows[i].said),
                         ENFORCE_E_PROFILE);
    }
    assert_int_equal(refused(&(struct policy_request){ .profile = "nobody" }, "no profile nobody"),
                     ENFORCE_E_PROFILE);
    assert_int_equal(refused(&(struct policy_request){ .profile = "..;" }, "not the name"),
                     ENFORCE_E_PROFILE);
}

#define ASKED "\"upstream\":\"https://a.example.com\",\"auth\":"
#define AUTH_START "{\"token_url\":\"https://a.example.com/t\","
#define AUTH_END "\"client_id\":\"me\",\"client_secret\":\"k\""
#define SERVICE "\"upstream\":\"https://a.example.com\",\"credential_key\":\"k\","
/* More than the name of a region or of a service may have. */
#define TOO_LONG "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

static void a_service_cannot_send_its_credential_elsewhere(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\"upstream\":\"http://api.example.com\",\"credential_key\":\"k\"",
        "\"upstream\":\"https://user@api.example.com\",\"credential_key\":\"k\"",
        "\"upstream\":\"https://169.254.169.254\",\"credential_key\":\"k\"",
        "\"upstream\":\"https://0xa9fea9fe/\",\"credential_key\":\"k\"",
        "\"upstream\":\"https://a.example.com:99999x\",\"credential_key\":\"k\"",
        "\"upstream\":\"https://a.example.com\",\"credential_key\":\"cmd://x\"",
        "\"upstream\":\"https://a.example.com\",\"credential_key\":\"cmd://../x\"",
        "\"upstream\":\"https://a.example.com\"",
        "\"upstream\":\"https://"
        "a.example.com\",\"credential_key\":\"k\",\"inject_header\":\"Host\"",
        "\"upstream\":\"https://"
        "a.example.com\",\"credential_key\":\"k\",\"inject_header\":\"a\\nb\"",
        "\"upstream\":\"https://"
        "a.example.com\",\"credential_key\":\"k\",\"credential_format\":\"x\"",
        "\"upstream\":\"https://"
        "a.example.com\",\"credential_key\":\"k\",\"env_var\":\"LD_PRELOAD\"",
        "\"upstream\":\"https://"
        "a.example.com\",\"credential_key\":\"k\",\"inject_mode\":\"url_path\"",
        "\"upstream\":\"https://a.example.com\",\"credential_key\":\"k\",\"auth\":{\"scope\":\"\"}",
        SERVICE "\"endpoint_policy\":{\"default\":\"ask\"}",
        SERVICE "\"endpoint_policy\":{\"default\":{\"decision\":\"approve\"}}",
        SERVICE "\"endpoint_policy\":{\"default\":{\"decision\":\"allow\",\"backend\":\"x\"}}",
        SERVICE "\"endpoint_policy\":{\"approve\":[{\"method\":\"GET\",\"path\":\"/a\"}]}",
        SERVICE "\"endpoint_policy\":{\"deny\":[{\"method\":\"GET\",\"path\":\"a\"}]}",
        SERVICE "\"endpoint_policy\":{\"denied\":[]}",
        SERVICE "\"endpoint_policy\":[]",
        SERVICE "\"endpoint_policy\":{},\"endpoint_rules\":[{\"method\":\"GET\",\"path\":\"/a\"}]",
        SERVICE "\"tls_client_cert\":\"/c.pem\"",
        SERVICE "\"tls_client_key\":\"/k.pem\"",
        SERVICE "\"tls_client_cert\":\"c.pem\",\"tls_client_key\":\"k.pem\"",
        SERVICE "\"tls_ca\":\"ca.pem\"",
        "\"upstream\":\"http://127.0.0.1:1\",\"credential_key\":\"k\",\"tls_client_cert\":\"/c\","
        "\"tls_client_key\":\"/k\"",
        SERVICE "\"aws_auth\":{}",
        "\"upstream\":\"a\",\"aws_auth\":{}",
        "\"upstream\":\"https://.amazonaws.com\",\"aws_auth\":{}",
        "\"upstream\":\"https://-.us-east-1.amazonaws.com:x\",\"aws_auth\":{}",
        "\"upstream\":\"https://s3.eu-w%st-1.amazonaws.com\",\"aws_auth\":{}",
        "\"upstream\":\"https://a_b.us-east-1.amazonaws.com\",\"aws_auth\":{}",
        "\"upstream\":\"https://s3." TOO_LONG "-west-1.amazonaws.com\",\"aws_auth\":{}",
        SERVICE "\"rate_limit\":{\"requests_per_minute\":1}",
        SERVICE "\"redeem_phantoms\":[\"a\"]",
        "\"upstream\":\"https://a.example.com\",\"spiffe\":{\"type\":\"jwt\"}",
        "\"upstream\":\"https://a.example.com\",\"aws_auth\":{}",
        "\"upstream\":\"https://s3.amazonaws.com\",\"aws_auth\":{\"region\":\"a/b\"}",
        "\"upstream\":\"https://s3.amazonaws.com\",\"aws_auth\":[]",
        SERVICE "\"auth\":" AUTH_START AUTH_END "}",
        ASKED AUTH_START "\"client_id\":\"me\"}",
        ASKED AUTH_START "\"client_secret\":\"k\"}",
        ASKED AUTH_START AUTH_END ",\"audience\":\"x\"}",
        ASKED AUTH_START AUTH_END ",\"extra_params\":{\"client_secret\":\"x\"}}",
        ASKED AUTH_START AUTH_END ",\"extra_params\":{\"a\":7}}",
        ASKED AUTH_START "\"client_id\":\"cmd://x\",\"client_secret\":\"k\"}",
        ASKED AUTH_START "\"client_id\":\"me\",\"client_secret\":\"cmd://x\"}",
        ASKED "{\"token_url\":\"http://a.example.com/t\"," AUTH_END "}",
        ASKED "{\"token_url\":\"https://169.254.169.254/t\"," AUTH_END "}",
        ASKED "{\"token_url\":\"https://a.example.com/t?x=1\"," AUTH_END "}",
        ASKED "{\"token_url\":\"https://user@a.example.com/t\"," AUTH_END "}",
        ASKED "7",
        SERVICE "\"proxy\":{\"inject_mode\":\"body\"}",
        SERVICE "\"proxy\":{\"inject_mode\":\"url_path\"}",
        SERVICE "\"proxy\":{\"inject_mode\":\"query_param\"}",
        SERVICE "\"proxy\":{\"inject_header\":\"Host\"}",
        SERVICE "\"proxy\":{\"path_pattern\":\"/x\"}",
        SERVICE "\"proxy\":{\"upstream\":\"https://b.example.com\"}",
        SERVICE "\"proxy\":\"localhost:1\"",
    };
    char text[512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text),
                 "{\"meta\":{\"name\":\"s\"},\"network\":{\"custom_credentials\":{\"mine\":{%s}}}}",
                 bad[i]);
        profile("service", text);
        assert_int_equal(refused(&(struct policy_request){ .profile = "service" }, "mine"),
                         ENFORCE_E_PROFILE);
    }
    profile("service",
            "{\"meta\":{\"name\":\"s\"},\"network\":{\"credentials\":[\"mine\"],"
            "\"custom_credentials\":{\"mine\":{\"upstream\":\"http://127.0.0.1:8080/v1\","
            "\"credential_key\":\"env://MY_KEY\",\"inject_header\":\"X-Key\","
            "\"endpoint_rules\":[{\"method\":\"GET\",\"path\":\"/v1/**\"}]}}}}");
    struct policy *p = make(&(struct policy_request){ .profile = "service" });
    assert_int_equal(p->network, POLICY_NET_FILTERED);
    assert_int_equal(p->route_count, 1);
    assert_string_equal(p->routes[0].format, "{}");
    assert_string_equal(p->routes[0].endpoints[0].path, "/v1/**");
    assert_string_equal(host(p, "127.0.0.1"), "endpoint_restricted");
    policy_free(p);
}

static void files_of_a_service_are_expanded_and_granted_to_nobody(void **state)
{
    (void)state;
    put("project/client.key", "k", 0600);
    profile("files", "{\"meta\":{\"name\":\"s\"},\"network\":{\"credentials\":[\"mine\"],"
                     "\"custom_credentials\":{\"mine\":{" SERVICE
                     "\"tls_ca\":\"/ca.pem\",\"tls_client_cert\":\"$HOME/project/client.pem\","
                     "\"tls_client_key\":\"~/project/client.key\"}}}}");
    struct policy *p = make(&(struct policy_request){ .profile = "files" });
    assert_string_equal(p->routes[0].tls_ca, "/ca.pem");
    assert_string_equal(p->routes[0].tls_certificate, at("project/client.pem"));
    assert_string_equal(p->routes[0].tls_key, at("project/client.key"));
    assert_false(may(p, at("project/client.key"), POLICY_READ));
    policy_free(p);
    profile("unset", "{\"meta\":{\"name\":\"s\"},\"network\":{\"credentials\":[\"mine\"],"
                     "\"custom_credentials\":{\"mine\":{" SERVICE
                     "\"tls_client_cert\":\"$NOT_SET_HERE/c\",\"tls_client_key\":\"/k\"}}}}");
    assert_int_equal(refused(&(struct policy_request){ .profile = "unset" }, "NOT_SET_HERE"),
                     ENFORCE_E_PROFILE);
}

static void a_service_may_ask_for_its_credential(void **state)
{
    (void)state;
    profile("asked", "{\"meta\":{\"name\":\"s\"},\"network\":{\"credentials\":[\"mine\"],"
                     "\"custom_credentials\":{\"mine\":{" ASKED AUTH_START AUTH_END
                     ",\"scope\":\"a b\",\"extra_params\":{\"audience\":\"x\"}}}}}}");
    struct policy *p = make(&(struct policy_request){ .profile = "asked" });
    const struct policy_auth *auth = p->routes[0].auth;
    assert_null(p->routes[0].key);
    assert_string_equal(auth->token_url, "https://a.example.com/t");
    assert_string_equal(auth->client_id, "me");
    assert_string_equal(auth->client_secret, "k");
    assert_string_equal(auth->scope, "a b");
    assert_int_equal(auth->extra.count, 2);
    assert_string_equal(auth->extra.at[0], "audience");
    assert_string_equal(auth->extra.at[1], "x");
    assert_string_equal(p->routes[0].format, "Bearer {}");
    policy_free(p);
}

static void the_place_of_the_token_is_that_of_the_credential_unless_it_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *proxy;
        bool has;
        enum policy_inject inject;
        const char *header, *format;
    } rows[] = {
        { "{}", false, POLICY_IN_HEADER, NULL, NULL },
        { "null", false, POLICY_IN_HEADER, NULL, NULL },
        { "{\"inject_header\":\"X-Mine\"}", true, POLICY_IN_HEADER, "X-Mine", "Bearer {}" },
        { "{\"inject_mode\":\"url_path\",\"path_pattern\":\"/{}/\"}", true, POLICY_IN_PATH,
          "Authorization", "Bearer {}" },
        { "{\"credential_format\":\"token {}\"}", true, POLICY_IN_HEADER, "Authorization",
          "token {}" },
    };
    char text[512];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text),
                 "{\"meta\":{\"name\":\"s\"},\"network\":{\"credentials\":[\"mine\"],"
                 "\"custom_credentials\":{\"mine\":{" SERVICE "\"proxy\":%s}}}}",
                 rows[i].proxy);
        profile("place", text);
        struct policy *p = make(&(struct policy_request){ .profile = "place" });
        const struct policy_place *place = p->routes[0].phantom;
        assert_int_equal(place != NULL, rows[i].has);
        assert_int_equal(p->routes[0].inject, POLICY_IN_HEADER);
        assert_string_equal(p->routes[0].header, "Authorization");
        if (place) {
            assert_int_equal(place->inject, rows[i].inject);
            assert_string_equal(place->header, rows[i].header);
            assert_string_equal(place->format, rows[i].format);
        }
        policy_free(p);
    }
}

static void an_endpoint_policy_is_read_and_shown(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        enum policy_others others;
        size_t denied, allowed;
    } rows[] = {
        { "{\"default\":\"allow\",\"deny\":[{\"method\":\"DELETE\",\"path\":\"/**\","
          "\"reason\":\"no way back\"}]}",
          POLICY_OTHERS_CARRIED, 1, 0 },
        { "{\"default\":{\"decision\":\"deny\"},\"allow\":[{\"path\":\"/a\"}]}",
          POLICY_OTHERS_REFUSED, 0, 1 },
        { "{\"approve\":[]}", POLICY_OTHERS_REFUSED, 0, 0 },
        { "null", POLICY_OTHERS_BY_RULES, 0, 0 },
    };
    char text[512];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text),
                 "{\"meta\":{\"name\":\"s\"},\"network\":{\"credentials\":[\"mine\"],"
                 "\"custom_credentials\":{\"mine\":{" SERVICE "\"endpoint_policy\":%s}}}}",
                 rows[i].policy);
        profile("policy", text);
        struct policy *p = make(&(struct policy_request){ .profile = "policy" });
        assert_int_equal(p->routes[0].others, rows[i].others);
        assert_int_equal(p->routes[0].denied_count, rows[i].denied);
        assert_int_equal(p->routes[0].endpoint_count, rows[i].allowed);
        policy_free(p);
        /* A flag that limits does so also where the profile lets the rest through. */
        const char *credential = "mine", *only = "mine:GET:/b";
        p = make(&(struct policy_request){
            .profile = "policy", .credentials = { &credential, 1 }, .endpoints = { &only, 1 } });
        assert_int_not_equal(p->routes[0].others, POLICY_OTHERS_CARRIED);
        assert_int_equal(p->routes[0].endpoint_count, rows[i].allowed + 1);
        policy_free(p);
    }
}

static void legacy_keys_work_and_are_named_once(void **state)
{
    (void)state;
    profile("old", "{\"meta\":{\"name\":\"old\"},\"security\":{\"groups\":[\"git_config\"],"
                   "\"allowed_commands\":[\"rm\"]},\"policy\":{\"add_allow_read\":[\"~/project\"],"
                   "\"add_deny_access\":[\"~/project/no\"],\"add_deny_commands\":[\"mine\"]}}");
    put("project/no", "", 0600);
    struct policy *p = make(&(struct policy_request){ .profile = "old" });
    assert_true(may(p, at("project/README"), POLICY_READ));
    assert_false(may(p, at("project/no"), POLICY_READ));
    assert_true(has_text(&p->warnings, "policy.add_allow_read"));
    assert_true(has_text(&p->warnings, "write filesystem.deny"));
    assert_true(has_text(&p->allowed_commands, "rm"));
    assert_true(has_text(&p->blocked_commands, "mine"));
    assert_int_equal(p->warnings.count, 5);
    policy_free(p);
}

static void profiles_extend_each_other(void **state)
{
    (void)state;
    profile("base", "{\"meta\":{\"name\":\"base\"},\"filesystem\":{\"read\":[\"~/project\"]},"
                    "\"workdir\":{\"access\":\"readwrite\"},"
                    "\"network\":{\"credentials\":[\"openai\"],\"network_profile\":\"minimal\"},"
                    "\"environment\":{\"set_vars\":{\"A\":\"1\",\"B\":\"1\"}}}");
    profile("other", "{\"meta\":{\"name\":\"other\"},\"groups\":{\"include\":[\"git_config\"]},"
                     "\"environment\":{\"set_vars\":{\"B\":\"2\"}}}");
    profile("child", "{\"extends\":[\"base\",\"other\"],\"meta\":{\"name\":\"child\"},"
                     "\"workdir\":{\"access\":\"none\"},"
                     "\"network\":{\"credentials\":[],\"network_profile\":null}}");
    struct policy *p = make(&(struct policy_request){ .profile = "child" });
    assert_true(may(p, at("project/README"), POLICY_READ));
    assert_int_equal(p->workdir_access, POLICY_BOTH);
    assert_int_equal(p->network, POLICY_NET_OPEN);
    assert_true(has_text(&p->set_vars, "A=1") && has_text(&p->set_vars, "B=2"));
    assert_false(has_text(&p->set_vars, "B=1"));
    policy_free(p);

    p = make(&(struct policy_request){ .profile = "base" });
    assert_int_equal(p->network, POLICY_NET_FILTERED);
    assert_int_equal(p->route_count, 1);
    assert_string_equal(host(p, "claude.ai"), "proxy_allowed");
    assert_string_equal(host(p, "api.openai.com"), "endpoint_restricted");
    assert_string_equal(host(p, "example.com"), "proxy_filtered");
    policy_free(p);

    p = make(&(struct policy_request){ .profile = "base", .allow_net = true });
    assert_int_equal(p->network, POLICY_NET_OPEN);
    assert_int_equal(p->route_count, 0);
    policy_free(p);
    assert_int_equal(
        refused(&(struct policy_request){ .profile = "base", .is_wrap = true }, "wrap"),
        NT_E_USAGE);
}

static void a_childs_script_replaces_its_parents(void **state)
{
    (void)state;
    profile("parent", "{\"meta\":{\"name\":\"parent\"},\"linux\":{\"sandbox_policy\":\"landlock\"},"
                      "\"session_hooks\":{\"before\":{\"script\":\"/a\",\"timeout_secs\":5},"
                      "\"after\":{\"script\":\"~/b\",\"timeout_secs\":null}}}");
    profile("child", "{\"extends\":\"parent\",\"meta\":{\"name\":\"child\"},"
                     "\"session_hooks\":{\"before\":{\"script\":\"$WORKDIR/c\"},\"after\":null}}");
    struct policy *p = make(&(struct policy_request){ .profile = "child" });
    assert_string_equal(p->hooks[POLICY_HOOK_BEFORE].script, at("project/c"));
    assert_int_equal(p->hooks[POLICY_HOOK_BEFORE].timeout_s, 0);
    assert_string_equal(p->hooks[POLICY_HOOK_BEFORE].file, at(".config/nono/profiles/child.json"));
    assert_string_equal(p->hooks[POLICY_HOOK_AFTER].script, at("b"));
    assert_string_equal(p->hooks[POLICY_HOOK_AFTER].file, at(".config/nono/profiles/parent.json"));
    assert_true(policy_has_hooks(p) && p->landlock_network);
    assert_string_equal(p->own_state, at(".local/state/nanoterm"));
    assert_int_equal(p->warnings.count, 0);
    policy_free(p);
    profile("auto", "{\"extends\":\"parent\",\"meta\":{\"name\":\"auto\"},"
                    "\"linux\":{\"sandbox_policy\":\"auto\"}}");
    p = make(&(struct policy_request){ .profile = "auto" });
    assert_false(p->landlock_network);
    policy_free(p);
    p = make(&(struct policy_request){ 0 });
    assert_false(policy_has_hooks(p));
    policy_free(p);
}

static void cycles_and_long_chains_are_errors(void **state)
{
    (void)state;
    profile("a", "{\"extends\":\"b\",\"meta\":{\"name\":\"a\"}}");
    profile("b", "{\"extends\":[\"a\"],\"meta\":{\"name\":\"b\"}}");
    assert_int_equal(refused(&(struct policy_request){ .profile = "a" }, "extends itself"),
                     ENFORCE_E_PROFILE);
    for (int i = 0; i < 12; i++) {
        char name[16], text[128];
        snprintf(name, sizeof(name), "d%d", i);
        snprintf(text, sizeof(text), "{\"extends\":\"d%d\",\"meta\":{\"name\":\"d%d\"}}", i + 1, i);
        profile(name, text);
    }
    profile("d12", "{\"meta\":{\"name\":\"d12\"}}");
    assert_int_equal(refused(&(struct policy_request){ .profile = "d0" }, "more than 10"),
                     ENFORCE_E_PROFILE);
    struct policy *p = make(&(struct policy_request){ .profile = "d5" });
    policy_free(p);
    /* A user's own layer above a built-in profile of the same name. */
    profile("go-dev", "{\"extends\":\"go-dev\",\"meta\":{\"name\":\"go-dev\"},"
                      "\"filesystem\":{\"read\":[\"~/project\"]}}");
    p = make(&(struct policy_request){ .profile = "go-dev" });
    assert_int_equal(p->workdir_access, POLICY_BOTH);
    assert_true(may(p, at("project/README"), POLICY_READ));
    policy_free(p);
}

static void every_built_in_profile_makes_a_policy(void **state)
{
    (void)state;
    const char *name;
    for (size_t i = 0; (name = profile_builtin_at(i)); i++) {
        struct policy *p = make(&(struct policy_request){ .profile = name });
        assert_string_equal(p->profile, name);
        assert_true(may(p, "/usr/bin/env", POLICY_READ));
        policy_free(p);
    }
}

static void a_profile_that_others_may_write_decides_nothing(void **state)
{
    (void)state;
    put(".config/nono/profiles/open.json", "{\"meta\":{\"name\":\"open\"}}", 0666);
    assert_int_equal(refused(&(struct policy_request){ .profile = "open" }, "others"),
                     ENFORCE_E_PROFILE);
    assert_int_equal(mkfifo(at("project/pipe.json"), 0600), 0);
    assert_int_equal(
        refused(&(struct policy_request){ .profile = at("project/pipe.json") }, "not a file"),
        ENFORCE_E_PROFILE);
}

static void patterns_deny_what_is_not_there_yet(void **state)
{
    (void)state;
    profile("pattern", "{\"meta\":{\"name\":\"p\"},\"filesystem\":{\"allow\":[\"~/project\"],"
                       "\"deny\":[\"**/.env\"]}}");
    struct policy *p = make(&(struct policy_request){ .profile = "pattern" });
    assert_int_equal(p->pattern_count, 1);
    assert_true(may(p, at("project/new"), POLICY_BOTH));
    struct policy_answer answer;
    policy_ask_path(p, at("project/sub/.env"), POLICY_READ, &answer);
    assert_false(answer.is_allowed);
    assert_ptr_equal(answer.pattern, &p->patterns[0]);
    char flag[256];
    snprintf(flag, sizeof(flag), "--bypass-protection %s --read %s", at("project/sub/.env"),
             at("project"));
    assert_string_equal(answer.flag, flag);
    /* What a matching folder holds is closed with it. */
    assert_false(may(p, at("project/.env/deep/file"), POLICY_READ));
    policy_free(p);
    put("project/.env", "", 0600);
    const struct policy_request named = { .profile = "pattern", .read_file = TEXTS(".env") };
    assert_int_equal(refused(&named, "pattern **/.env"), ENFORCE_E_PROTECTED);
    const struct policy_request opened = { .profile = "pattern",
                                           .read_file = TEXTS(".env"),
                                           .bypass = TEXTS(".env") };
    p = make(&opened);
    assert_true(may(p, at("project/.env"), POLICY_READ));
    policy_free(p);
}

static void domains_in_all_their_forms(void **state)
{
    (void)state;
    const struct policy_request request = {
        .domains = TEXTS("Example.COM.", "*.example.org", "gitlab", "https://api.example.net/v1/**",
                         "plain.example.net:8443")
    };
    struct policy *p = make(&request);
    assert_string_equal(host(p, "example.com"), "proxy_allowed");
    assert_string_equal(host(p, "www.example.com"), "proxy_filtered");
    assert_string_equal(host(p, "a.b.example.org"), "proxy_allowed");
    assert_string_equal(host(p, "example.org"), "proxy_filtered");
    assert_string_equal(host(p, "badexample.org"), "proxy_filtered");
    assert_string_equal(host(p, "gitlab.com"), "proxy_allowed");
    assert_string_equal(host(p, "api.example.net"), "endpoint_restricted");
    assert_string_equal(host(p, "plain.example.net"), "proxy_allowed");
    assert_string_equal(host(p, "169.254.169.254"), "proxy_filtered");
    assert_true(has_text(&p->warnings, ":8443"));
    policy_free(p);
    static const char *const bad[] = { "*",          "a*b.example.com", "*.",
                                       "http://",    "exa mple.com",    "169.254.169.254",
                                       "2852039166", "host/x y:z@" };
    for (size_t i = 0; i < 7; i++) {
        const char *list[] = { bad[i] };
        struct policy_request wrong = { .domains = { list, 1 } };
        assert_int_equal(refused(&wrong, ""), NT_E_USAGE);
    }
}

static void endpoints_need_their_credential(void **state)
{
    (void)state;
    const struct policy_request request = { .credentials = TEXTS("github"),
                                            .endpoints = TEXTS("github:GET:/repos/*/issues/**",
                                                               "github:*:/user") };
    struct policy *p = make(&request);
    assert_int_equal(p->routes[0].endpoint_count, 2);
    assert_string_equal(p->routes[0].endpoints[0].method, "GET");
    assert_string_equal(p->routes[0].format, "token {}");
    assert_string_equal(host(p, "127.0.0.1"), "proxy_filtered"); /* an empty list is not here */
    policy_free(p);
    const struct policy_request without = { .credentials = TEXTS("openai"),
                                            .endpoints = TEXTS("github:GET:/x") };
    assert_int_equal(refused(&without, "github"), NT_E_USAGE);
    const struct policy_request broken = { .credentials = TEXTS("github"),
                                           .endpoints = TEXTS("github:GET") };
    assert_int_equal(refused(&broken, "SERVICE:METHOD"), NT_E_USAGE);
    const struct policy_request unknown = { .credentials = TEXTS("nothing") };
    assert_int_equal(refused(&unknown, "no service nothing"), ENFORCE_E_PROFILE);
}

static void an_upstream_proxy_and_its_bypass(void **state)
{
    (void)state;
    const struct policy_request request = { .upstream_proxy = "squid.corp:3128",
                                            .upstream_bypass = TEXTS("*.Private.net") };
    struct policy *p = make(&request);
    assert_string_equal(p->upstream_proxy, "squid.corp:3128");
    assert_string_equal(p->upstream_bypass.at[0], "*.private.net");
    policy_free(p);
    const struct policy_request alone = { .upstream_bypass = TEXTS("a.example.com") };
    assert_int_equal(refused(&alone, "--upstream-proxy"), NT_E_USAGE);
    assert_int_equal(refused(&(struct policy_request){ .upstream_proxy = "squid" }, "host:port"),
                     NT_E_USAGE);
    assert_int_equal(
        refused(&(struct policy_request){ .upstream_proxy = "169.254.169.254:80" }, "proxy"),
        NT_E_USAGE);
}

static void secrets_for_variables(void **state)
{
    (void)state;
    const struct policy_request request = {
        .env_credential =
            "openai_api_key,env://GITHUB_TOKEN,op://Dev/Open AI/credential=MY_KEY,bw://a-b/c=BW",
        .env_credential_map = TEXTS("file:///etc/token", "TOKEN")
    };
    struct policy *p = make(&request);
    assert_int_equal(p->env_credential_count, 5);
    assert_string_equal(p->env_credentials[0].variable, "TOKEN");
    assert_string_equal(p->env_credentials[1].variable, "OPENAI_API_KEY");
    assert_string_equal(p->env_credentials[2].variable, "GITHUB_TOKEN");
    assert_string_equal(p->env_credentials[3].reference, "op://Dev/Open AI/credential");
    policy_free(p);
    static const char *const bad[] = { "op://a/b/c",    "file:///x",
                                       "env://1X",      "env://A=LD_PRELOAD",
                                       "env://A=PATH",  "apple-password://x/y=Z",
                                       "bw://x/y/z=Y",  "bw:///x=Y",
                                       "bw://x",        "cmd://id=Y",
                                       "file://../x=Y", "a b",
                                       "op://a/../c=Y", "env://A=HOME" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(refused(&(struct policy_request){ .env_credential = bad[i] }, ""),
                         ENFORCE_E_CREDENTIAL);
}

static void registries_come_from_the_package_managers(void **state)
{
    (void)state;
    put(".npmrc",
        "registry=https://npm.example.com/\n@me:registry=https://scope.example.com:8443/x\n"
        "//npm.example.com/:_authToken=secret\nproxy=http://proxy.example.com\n"
        "# registry=https://comment.example.com\n",
        0600);
    put(".config/pip/pip.conf",
        "[global]\nindex-url = https://u:p@pip.example.com/simple\n"
        "extra-index-url =\n    https://one.example.com/s\n"
        "    https://two.example.com/s\ntimeout = 10\n",
        0600);
    put(".config/nanoterm/hosts.d/mine.hosts",
        "# mine\nlist.example.com  # a note\n*.cdn.example.com\n"
        "169.254.169.254\nnot a host!\n",
        0600);
    put(".cargo/registry/index/index.example.com-0123456789abcdef/config.json",
        "{\"dl\":\"https://static.example.com/crates\"}", 0600);
    put("project/.npmrc", "registry=https://hostile.example.com/\n", 0600);
    put("bin/go",
        "#!/bin/sh\ntest \"$PWD\" = / || exit 1\n"
        "echo \"https://proxy.example.com/go,direct\"; echo sum.example.com\n"
        "echo once >>\"$HOME/asked\"\n",
        0755);
    put("project/bin/npm", "#!/bin/sh\necho https://hostile.example.com/\n", 0755);
    char search[2 * PATH_MAX];
    snprintf(search, sizeof(search), "%s:relative:%s", at("project/bin"), at("bin"));
    setenv("PATH", search, 1);
    const struct policy_request request = { .network_profile = "developer" };
    for (int i = 0; i < 2; i++) {
        struct policy *p = make(&request);
        static const char *const yes[] = {
            "npm.example.com",    "scope.example.com", "pip.example.com",   "one.example.com",
            "two.example.com",    "list.example.com",  "a.cdn.example.com", "index.example.com",
            "static.example.com", "proxy.example.com", "sum.example.com",   "github.com"
        };
        static const char *const no[] = { "hostile.example.com", "comment.example.com",
                                          "169.254.169.254", "cdn.example.com" };
        for (size_t j = 0; j < sizeof(yes) / sizeof(yes[0]); j++)
            if (strcmp(host(p, yes[j]), "proxy_allowed") != 0)
                fail_msg("%s is not found", yes[j]);
        for (size_t j = 0; j < sizeof(no) / sizeof(no[0]); j++)
            if (strcmp(host(p, no[j]), "proxy_filtered") != 0)
                fail_msg("%s is let through", no[j]);
        policy_free(p);
    }
    struct stat st;
    assert_int_equal(stat(at("asked"), &st), 0);
    assert_int_equal(st.st_size, strlen("once\n")); /* the second time from the cache */
    /* A cache that others may have written is not read. */
    assert_int_equal(chmod(at(".cache/nanoterm/registries"), 0666), 0);
    struct policy *again = make(&request);
    policy_free(again);
    assert_int_equal(stat(at("asked"), &st), 0);
    assert_int_equal(st.st_size, 2 * strlen("once\n"));
    setenv("PATH", at("bin"), 1);
    unlink(at("bin/go"));
}

static void conditions_are_those_of_the_system(void **state)
{
    (void)state;
    static const char fedora[] = "NAME=\"Fedora Linux\"\nID=fedora\nID_LIKE=\"rhel centos\"\n"
                                 "VERSION_ID='43.1'\nVARIANT_ID=workstation";
    static const struct {
        const char *text;
        bool holds;
    } rows[] = {
        { "linux", true },
        { "macos", false },
        { "!macos", true },
        { "!linux", false },
        { "linux:fedora", true },
        { "linux:debian", false },
        { "!linux:debian", true },
        { "linux:rhel-like", true },
        { "linux:centos-like", true },
        { "linux:fedora-like", true },
        { "linux:cent-like", false },
        { "linux:rhel", false },
        { "linux:fedora:43", false },
        { "linux:fedora:43.1", true },
        { "linux:fedora:==43.1.0", true },
        { "linux:fedora:>=43", true },
        { "linux:fedora:>43.1", false },
        { "linux:fedora:<=43.1", true },
        { "linux:fedora:<43.10", true },
        { "linux:fedora:<100", true },
        { "linux:fedora:>=9", true },
        { "linux:fedora:>=43:workstation", true },
        { "linux:fedora:>=43:server", false },
        { "!linux:fedora:>=43:server", true },
        { "linux:fedora:workstation", true },
        { "macos:>=15", false },
        { "windows:10", false },
    };
    struct when_system system;
    when_read(fedora, strlen(fedora), &system);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (when_check(rows[i].text) || when_holds(rows[i].text, &system) != rows[i].holds)
            fail_msg("%s", rows[i].text);
    when_read("BUILD=1\nVERSION_ID=rolling\n", 28, &system);
    assert_true(when_holds("linux:linux", &system)); /* os-release(5) */
    assert_false(when_holds("linux:linux:>=1", &system) || when_holds("linux:linux:<1", &system));
    static const char *const wrong[] = { "",
                                         "!",
                                         "!!linux",
                                         "bsd",
                                         "Linux",
                                         "linux:",
                                         "linux::12",
                                         "linux: debian",
                                         "linux:Debian",
                                         "linux:debian:>=",
                                         "linux:debian:>=x",
                                         "linux:debian:1..2",
                                         "linux:debian:12.",
                                         "linux:debian:=12",
                                         "linux:>=3",
                                         "linux:a:1:b:c",
                                         "linux:a:b:>=3",
                                         "macos:>=x" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (!when_check(wrong[i]))
            fail_msg("%s", wrong[i]);
}

static void what_is_for_another_system_does_not_count(void **state)
{
    (void)state;
    profile("base", "{\"meta\":{\"name\":\"base\"},\"platform_overrides\":{\"linux\":{\"network\":"
                    "{\"block\":true},\"filesystem\":{\"deny\":[\"src/base\"]},"
                    "\"workdir\":{\"access\":\"write\"}}}}");
    profile(
        "systems",
        "{\"meta\":{\"name\":\"systems\"},\"extends\":\"base\",\"workdir\":{\"access\":\"read\"},"
        "\"groups\":{\"include\":[{\"name\":\"git_config\",\"when\":\"linux\"},"
        "{\"name\":\"not_there\",\"when\":\"macos\"}]},"
        "\"env_credentials\":{\"env://A\":{\"env_var\":\"A\",\"when\":\"windows\"},"
        "\"env://B\":{\"env_var\":\"B\",\"when\":[\"windows\",\"linux\"]}},"
        "\"filesystem\":{\"read\":[{\"path\":\".\"}],"
        "\"write\":[{\"path\":\"src\",\"when\":\"!linux\"}],"
        "\"deny\":[{\"path\":\"src/secret\",\"when\":[\"macos\",\"linux\"]}]},"
        "\"platform_overrides\":{\"macos\":{\"filesystem\":{\"allow\":[\"/\"]}},\"windows\":null,"
        "\"linux\":{\"filesystem\":{\"deny\":[\"src/own\"]},\"meta\":{\"name\":\"other\"}}}}");
    setenv("B", "b", 1);
    struct policy *p = make(&(struct policy_request){ .profile = "systems" });
    assert_string_equal(p->profile, "systems");
    assert_true(may(p, "src/x", POLICY_READ));
    assert_false(may(p, "src/x", POLICY_WRITE));
    assert_false(may(p, "src/secret", POLICY_READ));
    assert_false(may(p, "src/base", POLICY_READ));
    assert_false(may(p, "src/own", POLICY_READ));
    assert_int_equal(p->network, POLICY_NET_BLOCKED);
    assert_int_equal(p->workdir_access, POLICY_WRITE); /* laid over all, also over the child */
    assert_int_equal(p->env_credential_count, 1);
    assert_string_equal(p->env_credentials[0].variable, "B");
    policy_free(p);
    unsetenv("B");
}

static void ports_and_ranges_of_ports(void **state)
{
    (void)state;
    profile("ports", "{\"meta\":{\"name\":\"ports\"},\"network\":{\"block\":true,"
                     "\"open_port\":[4000, 3011],\"open_port_range\":[[3000, 3010], [3005, 3008]],"
                     "\"listen_port_range\":[[8000, 8100], [65000, 65535]],"
                     "\"connect_port\":[22, 5432]}}");
    const uint16_t typed[] = { 443 };
    struct policy *p = make(&(struct policy_request){
        .profile = "ports", .connect_ports = typed, .connect_port_count = 1 });
    char *text = NULL;
    struct nt_error e = NT_ERROR_INIT;
    struct policy *back = NULL;
    assert_int_equal(policy_to_json(p, &text, &e), 0);
    assert_int_equal(policy_from_json((struct nt_bytes){ text, strlen(text) }, &back, &e), 0);
    free(text);
    const struct policy *both[] = { p, back };
    for (size_t i = 0; i < 2; i++) {
        const struct policy *q = both[i];
        assert_int_equal(q->open_port_count, 2);
        assert_int_equal(q->open_ports[0].first, 3000);
        assert_int_equal(q->open_ports[0].last, 3011);
        assert_false(policy_has_port(q->open_ports, q->open_port_count, 2999));
        assert_false(policy_has_port(q->open_ports, q->open_port_count, 3012));
        assert_true(policy_has_port(q->open_ports, q->open_port_count, 4000));
        assert_true(policy_has_port(q->listen_ports, q->listen_port_count, 65535));
        assert_true(policy_has_port(q->listen_ports, q->listen_port_count, 8050));
        assert_false(policy_has_port(q->listen_ports, q->listen_port_count, 7999));
        assert_true(policy_ask_connect(q, "192.0.2.1", 22));
        assert_true(policy_ask_connect(q, "2001:db8::1", 443));
        assert_false(policy_ask_connect(q, "192.0.2.1", 23));
        /* Not the machine itself, cloud metadata or names, in any spelling. */
        static const char *const closed[] = {
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0177.1",
            "localhost",
            "example.com",
            "0",
            "::1",
            "::ffff:7f00:1",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "[fd00:ec2::254]",
            "fe80::1%lo",
            "metadata.google.internal",
            "255.255.255.255",
        };
        for (size_t j = 0; j < sizeof(closed) / sizeof(closed[0]); j++)
            if (policy_ask_connect(q, closed[j], 22))
                fail_msg("%s", closed[j]);
        struct policy_answer answer;
        policy_ask_network(q, "192.0.2.1", 22, &answer);
        assert_true(answer.is_allowed);
        /* The proxy asks this one: ports of the program are none of its. */
        policy_ask_host(q, "192.0.2.1", 22, &answer);
        assert_false(answer.is_allowed);
    }
    policy_free(back);
    policy_free(p);
    p = make(&(struct policy_request){ .profile = "ports", .allow_net = true });
    assert_false(policy_ask_connect(p, "192.0.2.1", 22)); /* nothing to open */
    assert_non_null(strstr(p->warnings.at[0], "close none"));
    policy_free(p);
    assert_int_equal(
        refused(&(struct policy_request){ .profile = "ports", .is_wrap = true }, "wrap"),
        NT_E_USAGE);
}

static void hosts_with_endpoints_are_opened(void **state)
{
    static const char *const opened[] = { "api.example.com", "*.wide.example", "near.wide.example",
                                          "up.example" };
    char name[POLICY_HOST_MAX];
    struct policy_answer answer;
    (void)state;
    profile(
        "opened",
        "{\"meta\":{\"name\":\"o\"},\"network\":{\"allow_domain\":[\"open.example\","
        "{\"domain\":\"api.example.com\",\"endpoints\":[{\"method\":\"GET\",\"path\":\"/a\"}]},"
        "{\"domain\":\"*.wide.example\",\"endpoints\":[{\"method\":\"*\",\"path\":\"/**\"}]},"
        "\"https://near.wide.example/x\",\"https://API.example.com./v1/\"],"
        "\"tls_intercept\":{\"ca_validity\":\"90m\",\"leaf_validity\":\"30\","
        "\"ca_env_vars\":[\"MY_CA\"]},\"credentials\":[\"mine\"],\"custom_credentials\":{\"mine\":"
        "{\"upstream\":\"https://Up.example:8443/v1\",\"credential_key\":\"env://K\"}}}}");
    struct policy *p = make(&(struct policy_request){ .profile = "opened" });
    for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++)
        assert_string_equal(policy_intercepted(p, i, name), opened[i]);
    assert_null(policy_intercepted(p, sizeof(opened) / sizeof(opened[0]), name));
    assert_true(policy_intercepts(p, "API.example.com", 443));
    assert_true(policy_intercepts(p, "a.wide.example.", 8443));
    assert_true(policy_intercepts(p, "up.example", 8443));
    assert_false(policy_intercepts(p, "up.example", 443)); /* another server */
    assert_false(policy_intercepts(p, "open.example", 443));
    assert_false(policy_intercepts(p, "other.example", 443));
    assert_false(policy_intercepts(p, "169.254.169.254", 443));
    /* Lists for the same host are one; the nearest entry counts. */
    policy_ask_host(p, "api.example.com", 443, &answer);
    assert_int_equal(answer.limited->endpoint_count, 2);
    assert_string_equal(answer.limited->endpoints[1].path, "/v1/**");
    policy_ask_host(p, "near.wide.example", 443, &answer);
    assert_string_equal(answer.limited->endpoints[0].path, "/x");
    policy_ask_host(p, "up.example", 443, &answer);
    assert_true(answer.route && !answer.is_open);
    assert_int_equal(p->intercept.ca_s, 90 * 60);
    assert_int_equal(p->intercept.leaf_s, 30);
    assert_string_equal(p->intercept.variables.at[0], "MY_CA");
    policy_free(p);
    p = make(&(struct policy_request){ .profile = "opened", .ca_days = 3 });
    assert_int_equal(p->intercept.ca_s, 3 * 24 * 3600);
    policy_free(p);
    p = make(&(struct policy_request){ 0 });
    assert_int_equal(p->intercept.ca_s, 24 * 3600);
    assert_int_equal(p->intercept.leaf_s, 15 * 60);
    assert_false(policy_intercepts(p, "api.example.com", 443)); /* the network is open */
    policy_free(p);
}

static void a_policy_goes_through_its_file(void **state)
{
    (void)state;
    const uint16_t ports[] = { 3000 };
    const struct policy_request request = {
        .read = TEXTS("."),
        .open_ports = ports,
        .open_port_count = 1,
        .domains = TEXTS("example.com", "https://api.example.net/v1"),
        .credentials = TEXTS("github"),
        .env_credential = "env://VERY_SECRET_NAME",
    };
    struct policy *p = make(&request), *back = NULL;
    struct nt_error e = NT_ERROR_INIT;
    char *text = NULL;
    assert_int_equal(policy_to_json(p, &text, &e), 0);
    assert_non_null(strstr(text, "\"net_blocked\":true"));
    assert_null(strstr(text, "VERY_SECRET_NAME"));
    assert_null(strstr(text, "GITHUB_TOKEN"));
    assert_int_equal(policy_from_json((struct nt_bytes){ text, strlen(text) }, &back, &e), 0);
    static const char *const paths[] = { "/usr/bin/env", "/etc/shadow", "/tmp/x",
                                         "/proc/self/status", "/nowhere" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        for (uint32_t access = POLICY_READ; access <= POLICY_BOTH; access++)
            assert_int_equal(may(p, paths[i], access), may(back, paths[i], access));
    assert_true(may(back, "README", POLICY_READ));
    assert_false(may(back, at(".ssh"), POLICY_READ));
    assert_string_equal(host(back, "example.com"), "proxy_allowed");
    assert_string_equal(host(back, "api.example.net"), "endpoint_restricted");
    assert_string_equal(host(back, "api.github.com"), "endpoint_restricted");
    policy_free(back);
    policy_free(p);

    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"fs\":[],\"nanoterm\":{}}",
        "{\"fs\":[{\"path\":\"x\"}],\"nanoterm\":{\"network\":\"open\",\"workdir\":\"/\"}}",
        "{\"fs\":[7],\"nanoterm\":{\"network\":\"open\",\"workdir\":\"/\"}}",
        "{\"fs\":[],\"nanoterm\":{\"network\":\"open\",\"workdir\":\"/\",\"open_ports\":[70000]}}",
        "{\"fs\":[],\"nanoterm\":{\"network\":\"open\",\"workdir\":\"here\"}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(policy_from_json((struct nt_bytes){ bad[i], strlen(bad[i]) }, &back, &e),
                         -1);
        assert_int_equal(e.code, ENFORCE_E_CAP_FILE);
    }
    /* A cut file is never half a policy. */
    for (size_t size = 0; size < strlen(text); size += 97)
        assert_int_equal(policy_from_json((struct nt_bytes){ text, size }, &back, &e), -1);
    free(text);
}

/* What the file is for must get through whatever a name holds; what is no text is left out. */
static void names_of_every_kind_go_through_the_file(void **state)
{
    (void)state;
    static const char *const names[] = { "/plain",
                                         "/\"quoted\"",
                                         "/back\\slash",
                                         "/line\nfeed",
                                         "/\x1b[2J\x01\x7f",
                                         "/gr\xc3\xbc\xc3\x9f",
                                         "/\xf0\x9f\x92\xa9",
                                         "/no\xfftext",
                                         "/last" };
    enum { COUNT = sizeof(names) / sizeof(names[0]), BAD = COUNT - 2 };
    struct policy_grant grants[COUNT] = { 0 };
    struct policy_deny denies[COUNT] = { 0 };
    for (size_t i = 0; i < COUNT; i++) {
        grants[i] = (struct policy_grant){ .original = names[i],
                                           .path = names[i],
                                           .source = "user",
                                           .access = POLICY_READ + (uint32_t)i % 3,
                                           .is_file = i % 2 };
        denies[i] = (struct policy_deny){
            .path = names[i], .source = "group:x", .about = names[i], .is_absolute = i % 2
        };
    }
    for (size_t count = 0; count <= COUNT; count++) {
        const struct policy p = { .grants = grants,
                                  .grant_count = count,
                                  .denies = denies,
                                  .deny_count = COUNT - count,
                                  .workdir = "/" };
        struct nt_error e = NT_ERROR_INIT;
        nt_autofree char *text = NULL;
        struct policy *back = NULL;
        if (policy_to_json(&p, &text, &e) < 0
            || policy_from_json((struct nt_bytes){ text, strlen(text) }, &back, &e) < 0)
            fail_msg("%s", e.message);
        assert_int_equal(back->grant_count, count - (count > BAD));
        assert_int_equal(back->deny_count, COUNT - count - (COUNT - count > BAD));
        for (size_t i = 0; i < back->grant_count; i++) {
            const struct policy_grant *wanted = &grants[i < BAD ? i : i + 1];
            assert_string_equal(back->grants[i].original, wanted->original);
            assert_string_equal(back->grants[i].path, wanted->path);
            assert_string_equal(back->grants[i].source, wanted->source);
            assert_int_equal(back->grants[i].access, wanted->access);
            assert_int_equal(back->grants[i].is_file, wanted->is_file);
        }
        for (size_t i = 0; i < back->deny_count; i++) {
            const struct policy_deny *wanted = &denies[i < BAD ? i : i + 1];
            assert_string_equal(back->denies[i].path, wanted->path);
            assert_string_equal(back->denies[i].about, wanted->about);
            assert_int_equal(back->denies[i].is_absolute, wanted->is_absolute);
        }
        policy_free(back);
    }
}

static void a_manifest_is_a_policy(void **state)
{
    (void)state;
    char text[512];
    snprintf(
        text, sizeof(text),
        "{\"version\":\"0.1.0\",\"filesystem\":{\"grants\":[{\"path\":\"%s\",\"access\":\"read\"},"
        "{\"path\":\"%s\",\"access\":\"readwrite\"}],\"deny\":[\"~/project/no\"]},"
        "\"network\":{\"mode\":\"blocked\"}}",
        at("project"), at("project/README"));
    put("manifest.json", text, 0600);
    struct policy *p = make(&(struct policy_request){ .config = at("manifest.json") });
    assert_true(may(p, at("project/README"), POLICY_BOTH));
    assert_false(may(p, at("project/other"), POLICY_WRITE));
    assert_int_equal(p->network, POLICY_NET_BLOCKED);
    policy_free(p);
    put("manifest.json", "{\"version\":\"9\"}", 0600);
    assert_int_equal(refused(&(struct policy_request){ .config = at("manifest.json") }, "version"),
                     ENFORCE_E_PROFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comments_and_last_commas_are_fine),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(a_service_cannot_send_its_credential_elsewhere),
        cmocka_unit_test(files_of_a_service_are_expanded_and_granted_to_nobody),
        cmocka_unit_test(a_service_may_ask_for_its_credential),
        cmocka_unit_test(the_place_of_the_token_is_that_of_the_credential_unless_it_is_said),
        cmocka_unit_test(an_endpoint_policy_is_read_and_shown),
        cmocka_unit_test(legacy_keys_work_and_are_named_once),
        cmocka_unit_test(profiles_extend_each_other),
        cmocka_unit_test(a_childs_script_replaces_its_parents),
        cmocka_unit_test(cycles_and_long_chains_are_errors),
        cmocka_unit_test(every_built_in_profile_makes_a_policy),
        cmocka_unit_test(a_profile_that_others_may_write_decides_nothing),
        cmocka_unit_test(patterns_deny_what_is_not_there_yet),
        cmocka_unit_test(domains_in_all_their_forms),
        cmocka_unit_test(endpoints_need_their_credential),
        cmocka_unit_test(an_upstream_proxy_and_its_bypass),
        cmocka_unit_test(secrets_for_variables),
        cmocka_unit_test(registries_come_from_the_package_managers),
        cmocka_unit_test(conditions_are_those_of_the_system),
        cmocka_unit_test(what_is_for_another_system_does_not_count),
        cmocka_unit_test(ports_and_ranges_of_ports),
        cmocka_unit_test(hosts_with_endpoints_are_opened),
        cmocka_unit_test(a_policy_goes_through_its_file),
        cmocka_unit_test(names_of_every_kind_go_through_the_file),
        cmocka_unit_test(a_manifest_is_a_policy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
