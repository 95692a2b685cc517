/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c - the group `auth`: stores, shows and forgets credentials, each for the API it was made
 * for. */
#include "auth.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/api/login.h"
#include "core/auth/login.h"
#include "core/cli/call.h"
#include "core/config/credentials.h"
#include "nanoterm/host.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define KEY_MAX 4096
#define STDIN_WAIT_MS 60000

/* The API that a credential is for; the embedded server has none. */
static int remote_origin(struct nt_call *call, const struct origin **ret, struct nt_error *reterr)
{
    const struct config *config = call_config(call);
    const struct origin *origin = NULL;
    if (config_origin(config, &origin, reterr) < 0 || config_require_trust(config, reterr) < 0)
        return -1;
    if (!origin) {
        nt_fail(reterr, NT_E_USAGE, "no API is set, and the embedded server needs no login");
        return nt_hint(reterr, "name one with --api URL, or: nanoterm config set api_url URL");
    }
    *ret = origin;
    return 0;
}

/* --- set-key ------------------------------------------------------------------------------- */

static void wipe(struct nt_buf *text)
{
    if (text->data)
        explicit_bzero(text->data, text->cap);
    nt_buf_done(text);
}

static int read_stdin(struct nt_call *call, struct nt_buf *text, struct nt_error *reterr)
{
    int fd = call->host->descriptor(call, 0);
    /* All the room at once: a buffer that grows would leave pieces of the key behind. */
    if (!nt_buf_room(text, KEY_MAX + 2))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (;;) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        int count = poll(&ready, 1, STDIN_WAIT_MS);
        if (count == 0)
            return nt_fail(reterr, NT_E_TIMEOUT, "no key came on stdin");
        size_t room = KEY_MAX + 2 - text->size;
        ssize_t got = count < 0 ? -1 : read(fd, text->data + text->size, room);
        if (got < 0)
            return errno == EINTR ? nt_fail(reterr, NT_E_CANCELLED, "interrupted")
                                  : nt_fail_sys(reterr, errno, "cannot read the key from stdin");
        if (got == 0)
            return 0;
        nt_buf_added(text, (size_t)got);
        if (text->size > KEY_MAX + 1)
            return nt_fail(reterr, NT_E_USAGE, "what came on stdin is too long for a key");
    }
}

static void trim_end(struct nt_buf *text)
{
    while (text->size > 0 && strchr(" \t\r\n", text->data[text->size - 1]))
        text->data[--text->size] = '\0';
}

static int get_key(struct nt_call *call, struct nt_buf *text, struct nt_error *reterr)
{
    const char *given = call->host->text(call, "key");
    bool is_asked = !given && (call->flags & NT_CALL_STDIN_TTY);
    if (given && strcmp(given, "-") != 0) {
        nt_buf_add(text, given);
        return nt_buf_ok(text) ? 0 : nt_fail(reterr, NT_E_USAGE, "the key is too long");
    }
    if (!is_asked) {
        if (read_stdin(call, text, reterr) < 0)
            return -1;
    } else {
        if (call->host->prompt(call, "API key", "the key on stdin", 1, &given, reterr) < 0)
            return -1;
        nt_buf_add(text, given);
    }
    trim_end(text);
    if (text->size == 0)
        return nt_fail(reterr, NT_E_USAGE, "no key was given");
    return strlen(nt_buf_text(text)) == text->size
               ? 0
               : nt_fail(reterr, NT_E_USAGE, "the key contains a NUL byte");
}

static void say(struct nt_call *call, uint32_t level, const char *text, const char *origin)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(4096);
    nt_buf_add(&line, text);
    nt_buf_add(&line, origin);
    call->host->message(call, level, nt_buf_text(&line));
}

static int run_set_key(struct nt_call *call, struct nt_error *reterr)
{
    const struct origin *origin = NULL;
    nt_auto(wipe) struct nt_buf key = NT_BUF(KEY_MAX + 2);
    if (remote_origin(call, &origin, reterr) < 0 || get_key(call, &key, reterr) < 0
        || config_check_key(nt_buf_text(&key), reterr) < 0)
        return -1;
    if (origin->kind == ORIGIN_HTTP && !origin_is_local(origin))
        say(call, NT_SAY_WARN,
            "the key will travel in the clear: this API is not https: ", origin->text);
    if (config_set_credential(call_config(call), origin, nt_buf_text(&key), reterr) < 0)
        return -1;
    say(call, NT_SAY_DONE, "Key saved for ", origin->text);
    const struct config_value *now = config_get(call_config(call), "api_key");
    if (now && now->origin != CONFIG_FILE)
        say(call, NT_SAY_WARN, "another key stays in force, from ", now->origin_text);
    return 0;
}

/* --- status -------------------------------------------------------------------------------- */

static int show(struct nt_call *call, json_t *status, const struct nt_buf *text,
                struct nt_error *reterr)
{
    if (!status || !nt_buf_ok(text))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (call->flags & NT_CALL_JSON) {
        char *json = json_dumps(status, JSON_COMPACT);
        if (!json)
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        int result = call->host->emit_json(call, (struct nt_bytes){ json, strlen(json) }, reterr);
        free(json);
        return result;
    }
    const char *at = nt_buf_text(text);
    size_t left = text->size;
    while (left > 0) {
        ssize_t put = write(call->host->descriptor(call, 1), at, left);
        if (put < 0 && errno != EINTR)
            return nt_fail_sys(reterr, errno, "cannot write the status");
        at += put < 0 ? 0 : put;
        left -= put < 0 ? 0 : (size_t)put;
    }
    return 0;
}

/* Texts that a file gave are made safe for the terminal. */
static void add_line(struct nt_buf *text, const char *title, const char *value, const char *from)
{
    nt_buf_add(text, title);
    nt_buf_add_printable(text, value, false);
    if (from) {
        nt_buf_add(text, "  (");
        nt_buf_add_printable(text, from, false);
        nt_buf_add_char(text, ')');
    }
    nt_buf_add_char(text, '\n');
}

static int show_local(struct nt_call *call, struct nt_error *reterr)
{
    const char *file = config_file(call_config(call));
    nt_auto_json json_t *status =
        json_pack("{s:b, s:s, s:n, s:n, s:n, s:n, s:s}", "authenticated", 1, "api", "local",
                  "api_origin", "key", "key_origin", "org_id", "config", file);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(64 * 1024);
    nt_buf_add(&text, "local, no login\n");
    add_line(&text, "API: ", "the embedded server of this machine", NULL);
    add_line(&text, "Config: ", file, NULL);
    return show(call, status, &text, reterr);
}

static int run_status(struct nt_call *call, struct nt_error *reterr)
{
    const struct config *config = call_config(call);
    const struct origin *origin = NULL;
    if (*config_warning(config))
        call->host->message(call, NT_SAY_WARN, config_warning(config));
    if (config_origin(config, &origin, reterr) < 0 || config_require_trust(config, reterr) < 0)
        return -1;
    if (!origin)
        return show_local(call, reterr);
    const struct config_value *url = config_get(config, "api_url"),
                              *key = config_get(config, "api_key");
    const struct config_value *org = config_get(config, "org_id");
    if (!key) {
        nt_fail(reterr, NT_E_AUTH, "not authenticated: there is no API key for %.150s",
                origin->text);
        return nt_hint(reterr, "nanoterm auth set-key (reads the key from stdin or asks for it)");
    }
    char masked[64];
    config_mask(key->value, masked, sizeof(masked));
    nt_auto_json json_t *status =
        json_pack("{s:b, s:s, s:s, s:s, s:s, s:s?, s:s}", "authenticated", 1, "api", url->value,
                  "api_origin", url->origin_text, "key", masked, "key_origin", key->origin_text,
                  "org_id", org ? org->value : NULL, "config", config_file(config));
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(64 * 1024);
    nt_buf_add(&text, "Authenticated\n");
    add_line(&text, "API: ", url->value, url->origin == CONFIG_FILE ? NULL : url->origin_text);
    add_line(&text, "Key: ", masked, key->origin == CONFIG_FILE ? NULL : key->origin_text);
    if (org)
        add_line(&text, "Org: ", org->value, org->origin == CONFIG_FILE ? NULL : org->origin_text);
    add_line(&text, "Config: ", config_file(config), NULL);
    return show(call, status, &text, reterr);
}

/* --- login --------------------------------------------------------------------------------- */

struct shown {
    struct nt_call *call;
    bool opens;
};

static void show_page(void *data, const char *url)
{
    const struct shown *shown = data;
    bool is_open = shown->opens && login_open_browser(url);
    /* Without it there is no way on: also where notes are not shown. */
    bool is_still = shown->call->flags & (NT_CALL_JSON | NT_CALL_QUIET);
    say(shown->call, is_still ? NT_SAY_WARN : NT_SAY_NOTE,
        is_open ? "Sign in on the page that opens in the browser, or open it yourself: "
                : "Open this page in a browser of this machine, and sign in: ",
        url);
}

static int run_login(struct nt_call *call, struct nt_error *reterr)
{
    const struct config *config = call_config(call);
    const struct origin *origin = NULL;
    if (config_origin(config, &origin, reterr) < 0 || config_require_trust(config, reterr) < 0)
        return -1;
    if (!origin)
        return show_local(call, reterr);
    if (origin->kind == ORIGIN_UNIX)
        return nt_fail(reterr, NT_E_USAGE, "a browser cannot reach %.200s", origin->text);
    if (origin->kind == ORIGIN_HTTP && !origin_is_local(origin))
        say(call, NT_SAY_WARN,
            "the key will travel in the clear: this API is not https: ", origin->text);
    char machine[65] = "", key[LOGIN_KEY_MAX] = "";
    if (gethostname(machine, sizeof(machine) - 1) < 0 || !machine[0])
        memcpy(machine, "unnamed", 8);
    struct shown shown = { call, !call->host->number(call, "no-browser") };
    const struct api_login login = { .machine = machine, .show = show_page, .data = &shown };
    struct api *api = call_api(call, reterr);
    if (!api || api_login(api, &login, key, reterr) < 0)
        return -1;
    int status = config_check_key(key, reterr);
    if (status == 0)
        status = config_set_credential(call_config(call), origin, key, reterr);
    explicit_bzero(key, sizeof(key));
    return status < 0 ? -1 : run_status(call, reterr);
}

/* --- logout, trust ------------------------------------------------------------------------- */

static int run_logout(struct nt_call *call, struct nt_error *reterr)
{
    const struct origin *origin = NULL;
    bool all = call->host->number(call, "all");
    if (!all && remote_origin(call, &origin, reterr) < 0)
        return -1;
    if (config_set_credential(call_config(call), origin, NULL, reterr) < 0)
        return -1;
    say(call, NT_SAY_DONE, "Stored credentials removed", all ? ": all of them" : "");
    const struct config_value *key = config_get(call_config(call), "api_key");
    if (key)
        say(call, NT_SAY_WARN, "a key is still in force, from ", key->origin_text);
    return 0;
}

static int run_trust(struct nt_call *call, struct nt_error *reterr)
{
    struct origin origin;
    bool remove = call->host->number(call, "remove");
    if (origin_parse(call->host->text(call, "url"), &origin, reterr) < 0
        || config_trust(call_config(call), &origin, !remove, reterr) < 0)
        return -1;
    say(call, NT_SAY_DONE, remove ? "No longer trusted: " : "Trusted: ", origin.text);
    return 0;
}

/* --- tables -------------------------------------------------------------------------------- */

static const struct nt_arg set_key_args[] = {
    { .name = "key",
      .help = "The key; - or nothing: read from stdin, or asked for on a terminal",
      .type = NT_TEXT,
      .flags = NT_OPTIONAL | NT_SECRET },
};
static const struct nt_arg trust_args[] = {
    { .name = "url",
      .help = "The API: http://HOST:PORT, https://HOST or unix:/PATH",
      .type = NT_TEXT },
};
static const struct nt_opt login_opts[] = {
    { .name = "no-browser", .help = "Only print the page's address", .type = NT_FLAG },
};
static const struct nt_opt logout_opts[] = {
    { .name = "all", .help = "For every API, not only the one in force", .type = NT_FLAG },
};
static const struct nt_opt trust_opts[] = {
    { .name = "remove", .help = "Take it out of the known ones", .type = NT_FLAG },
};
static const struct nt_column status_columns[] = {
    { .name = "authenticated",
      .help = "Always true: without a credential the command fails",
      .type = NT_BOOL },
    { .name = "api", .help = "URL of the API, or local for the embedded server", .type = NT_TEXT },
    { .name = "api_origin", .help = "Where the URL comes from", .type = NT_TEXT },
    { .name = "key", .help = "The beginning of the key", .type = NT_TEXT },
    { .name = "key_origin", .help = "Where the key comes from", .type = NT_TEXT },
    { .name = "org_id", .help = "The organisation", .type = NT_TEXT },
    { .name = "config", .help = "The config file", .type = NT_TEXT },
};
static const struct nt_example login_examples[] = {
    { "--api https://nanoterm.example.com auth login", "Sign in to an API, in the browser" },
};
static const struct nt_example set_key_examples[] = {
    { "--api http://127.0.0.1:7777 auth set-key - <key.txt",
      "Save a key for one API; it is not in the argument list" },
    { "--api http://127.0.0.1:7777 auth set-key nt_a1b2c3d4e5f6",
      "The same, visible to whoever lists processes" },
};
static const struct nt_example status_examples[] = { { "auth status",
                                                       "Who this tool is to the API in force" } };
static const struct nt_example logout_examples[] = { { "auth logout --all",
                                                       "Forget every stored key" } };
static const struct nt_example trust_examples[] = {
    { "auth trust https://nanoterm.example.com", "Accept this API when a project's .env names it" },
};
static const uint32_t login_errors[] = { NT_E_CONNECT, NT_E_TIMEOUT, NT_E_CONFIG,
                                         NT_E_UNTRUSTED_API, NT_E_FORBIDDEN };
static const uint32_t set_key_errors[] = { NT_E_USAGE, NT_E_CONFIG, NT_E_UNTRUSTED_API };
static const uint32_t status_errors[] = { NT_E_AUTH, NT_E_CONFIG, NT_E_UNTRUSTED_API };
static const uint32_t trust_errors[] = { NT_E_USAGE, NT_E_CONFIG };

static const struct nt_command commands[] = {
    { .path = "auth login",
      .summary = "Sign in to the API in force, in the browser",
      .description =
          "Opens the API's /cli-auth page (by $BROWSER or xdg-open; its address is printed, too) "
          "and "
          "waits up to 5 minutes on a port of loopback for the answer. The key that is made for "
          "this machine is stored for that API and sent to that one only. The page of a server "
          "of your own asks for the code in the file that `nanoterm serve` names when it starts. "
          "The embedded server needs no login.",
      .run = run_login,
      .opts = NT_TABLE(login_opts),
      .examples = NT_TABLE(login_examples),
      .columns = NT_TABLE(status_columns),
      .errors = NT_TABLE(login_errors),
      .effects = NT_REMOTE | NT_WRITES,
      .result = NT_RESULT_ONE,
      .timeout_ms = LOGIN_WAIT_MS + 30000 },
    { .path = "auth set-key",
      .summary = "Save an API key",
      .description =
          "The key is stored for the API in force (--api, NANOTERM_API_URL or api_url) and sent to "
          "that one "
          "only. Give it on stdin: an argument can be seen by other users of this machine.",
      .run = run_set_key,
      .args = NT_TABLE(set_key_args),
      .examples = NT_TABLE(set_key_examples),
      .errors = NT_TABLE(set_key_errors),
      .effects = NT_LOCAL | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_NONE },
    { .path = "auth status",
      .summary = "Show which API and which key are in force",
      .description = "Looks at the settings of this machine; the API is not asked. Without a key "
                     "for the API in force "
                     "it fails with status 4.",
      .run = run_status,
      .examples = NT_TABLE(status_examples),
      .columns = NT_TABLE(status_columns),
      .errors = NT_TABLE(status_errors),
      .effects = NT_LOCAL | NT_IDEMPOTENT,
      .result = NT_RESULT_ONE },
    { .path = "auth logout",
      .summary = "Forget the stored key of the API in force",
      .run = run_logout,
      .opts = NT_TABLE(logout_opts),
      .examples = NT_TABLE(logout_examples),
      .errors = NT_TABLE(set_key_errors),
      .effects = NT_LOCAL | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_NONE },
    { .path = "auth trust",
      .summary = "Accept an API that a project's .env names",
      .description = "A .env is written by whoever made the project. Until its API is known, "
                     "commands that would send "
                     "something refuse.",
      .run = run_trust,
      .args = NT_TABLE(trust_args),
      .opts = NT_TABLE(trust_opts),
      .examples = NT_TABLE(trust_examples),
      .errors = NT_TABLE(trust_errors),
      .effects = NT_LOCAL | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_NONE },
};

static const struct nt_group groups[] = { { .name = "auth",
                                            .summary = "Credentials and known APIs" } };

const struct nt_plugin auth_plugin = {
    NT_PLUGIN_HEAD,
    .name = "auth",
    .version = NT_VERSION,
    .summary = "Credentials",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
};
