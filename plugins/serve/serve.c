/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the command `serve`: its table, and from its options to a running server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nanoterm/engine.h"
#include "nanoterm/host.h"
#include "nanoterm/plugin.h"
#include "plugins/serve/inherited.h"
#include "plugins/serve/listen.h"
#include "plugins/serve/monitor/api_process.h"
#include "plugins/serve/monitor/supervise.h"
#include "plugins/serve/server.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define LISTEN_MAX 16u
#define NAMES_MAX 16u

static int serve_run(struct nt_call *call, struct nt_error *reterr);

static const struct nt_opt serve_opts[] = {
    { .name = "listen",
      .type = NT_TEXT,
      .arg = "where",
      .flags = NT_MANY,
      .help =
          "unix:PATH, or HOST:PORT (default: the socket that the commands of this user look for)" },
    { .name = "data",
      .type = NT_PATH,
      .arg = "folder",
      .complete = "dirs",
      .help = "Where the database, the owner's key and the workspaces are" },
    { .name = "engine",
      .type = NT_TEXT,
      .arg = "name",
      .fallback = "native",
      .help = "What runs the workspaces" },
    { .name = "idle-exit",
      .type = NT_DURATION_MS,
      .arg = "time",
      .min = 0,
      .max = INT64_C(30) * 24 * 3600 * 1000,
      .help = "Leave after so long with nothing to do (default: 60s in the background, never in "
              "the foreground)" },
    { .name = "min-client",
      .type = NT_TEXT,
      .arg = "version",
      .help = "Refuse nanoterm clients older than this, and tell them how to update" },
    { .name = "tls-cert",
      .type = NT_PATH,
      .arg = "file",
      .complete = "files",
      .help =
          "Serve https with this certificate (PEM, the chain behind it); read again at SIGHUP" },
    { .name = "tls-key",
      .type = NT_PATH,
      .arg = "file",
      .complete = "files",
      .help = "Its key (PEM, without a password); nobody else may be able to read it" },
    { .name = "host-name",
      .type = NT_TEXT,
      .arg = "name",
      .flags = NT_MANY,
      .help = "A name under which clients reach this server, besides localhost and its addresses" },
    { .name = "insecure-listen",
      .type = NT_FLAG,
      .help = "Allow an address beyond this machine although the connection is not encrypted" },
    { .name = "embedded",
      .type = NT_FLAG,
      .flags = NT_HIDDEN,
      .help = "Started by a command, in the background" },
    { .name = "api-process",
      .type = NT_FLAG,
      .flags = NT_HIDDEN,
      .help = "Started by a server of root: reads the network, without privilege" },
    { .name = "listen-fd",
      .type = NT_INT,
      .arg = "number",
      .flags = NT_HIDDEN,
      .min = 3,
      .max = 1048576,
      .help = "Socket that is bound already, at a hand-over" },
};
static const struct nt_example serve_examples[] = {
    { "serve", "Serve the commands of this user, in the foreground" },
    { "serve --listen 127.0.0.1:8080 --data /srv/nanoterm",
      "Serve the API on this machine, with keys" },
    { "serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --host-name box.example",
      "Serve it to other machines" },
};
static const uint32_t serve_errors[] = { NT_E_CONFLICT, NT_E_CONFIG, NT_E_FORBIDDEN, NT_E_SYSTEM,
                                         NT_E_PLUGIN_MISSING };

static const struct nt_command commands[] = {
    { .path = "serve",
      .summary = "Run the API server",
      .run = serve_run,
      .opts = NT_TABLE(serve_opts),
      .description = "Without --listen it is the server that every command of this user starts by "
                     "itself when it needs "
                     "one, only in the foreground. With --listen it serves clients that have an "
                     "API key; the first start "
                     "on a data folder writes the owner's key to owner.key in it. Sockets that it "
                     "is started with (LISTEN_PID and LISTEN_FDS, as a socket unit of systemd "
                     "passes them) are served as if --listen named them.",
      .examples = NT_TABLE(serve_examples),
      .errors = NT_TABLE(serve_errors),
      .effects = NT_LOCAL | NT_RUNS,
      .timeout_ms = -1 },
};

static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,        .name = "serve",
    .version = NT_VERSION, .summary = "The API server, embedded or on its own",
    .vendor = "nanoterm",  .commands = NT_TABLE(commands),
};
NT_PLUGIN(plugin);

static void say(void *data, const char *line)
{
    struct nt_call *call = data;
    call->host->message(call, NT_SAY_NOTE, line);
}

static void debug(void *data, const char *event, const char *fields)
{
    struct nt_call *call = data;
    call->host->debug(call, event, fields);
}

/* Time without work after which it leaves: option, setting, or what fits the way it was started. */
static int idle_of(struct nt_call *call, bool embedded, int64_t *ret, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    *ret = embedded ? 60000 : 0;
    if (host->is_given(call, "idle-exit")) {
        *ret = host->number(call, "idle-exit");
        return 0;
    }
    const char *setting = embedded ? host->config(call, "server.idle_ms") : NULL;
    if (setting && nt_parse_i64(setting, 0, INT64_C(30) * 24 * 3600 * 1000, ret, reterr) < 0)
        return nt_wrap(reterr, "the setting server.idle_ms");
    return 0;
}

/* A path as the server will need it after it went to "/". */
static int absolute(const char *path, char **ret, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf whole = NT_BUF(4000);
    if (path[0] != '/') {
        nt_autofree char *here = getcwd(NULL, 0);
        if (!here)
            return nt_fail_sys(reterr, errno, "cannot tell the current folder");
        nt_buf_addf(&whole, "%s/", here);
    }
    nt_buf_add(&whole, path);
    *ret = nt_buf_take(&whole);
    return *ret ? 0 : nt_fail(reterr, NT_E_LIMIT, "the path %.100s is too long", path);
}

/* Certificate and key, both or none. */
static int find_tls(struct nt_call *call, uint32_t listen_count, char **ret_certificates,
                    char **ret_key, struct nt_error *reterr)
{
    const char *certificates = call->host->text(call, "tls-cert");
    const char *key = call->host->text(call, "tls-key");
    if (!certificates != !key)
        return nt_fail(reterr, NT_E_USAGE, "--tls-cert and --tls-key belong together");
    if (!certificates)
        return 0;
    if (listen_count == 0)
        return nt_fail(reterr, NT_E_USAGE, "--tls-cert is for --listen HOST:PORT");
    return absolute(certificates, ret_certificates, reterr) < 0
                   || absolute(key, ret_key, reterr) < 0
               ? -1
               : 0;
}

static int find_names(struct nt_call *call, const char *ret[NAMES_MAX], uint32_t *ret_count,
                      struct nt_error *reterr)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    uint32_t count = call->host->count(call, "host-name");
    if (count > NAMES_MAX)
        return nt_fail(reterr, NT_E_USAGE, "--host-name can be given %u times", NAMES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        ret[i] = call->host->text_at(call, "host-name", i);
        size_t size = strlen(ret[i]);
        if (size == 0 || size > 253 || strspn(ret[i], letters) != size)
            return nt_fail(reterr, NT_E_USAGE, "--host-name takes a name without a port, not %s",
                           ret[i]);
    }
    *ret_count = count;
    return 0;
}

static const struct nt_engine_ops *find_engine(struct nt_call *call, const char *name,
                                               struct nt_error *reterr)
{
    const struct nt_engine_ops *ops = call->host->service_named(call, NT_ENGINE_SERVICE, name);
    if (!ops)
        nt_fail(reterr, NT_E_PLUGIN_MISSING, "there is no engine %s; is its plugin installed?",
                name);
    else if (!NT_HAS(struct nt_engine_ops, ops, abilities)) {
        nt_fail(reterr, NT_E_PLUGIN_ABI, "the engine %s is too old for this server", name);
        return NULL;
    }
    return ops;
}

/* Three numbers with dots. */
static bool is_version(const char *text)
{
    for (int i = 0; i < 3; i++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 6 || text[digits] != (i < 2 ? '.' : '\0'))
            return false;
        text += digits + 1;
    }
    return true;
}

/* The places of --listen, then those of inherited sockets that it does not name. */
static int find_listens(struct nt_call *call, const struct inherited *inherited,
                        const char *ret[LISTEN_MAX + INHERITED_MAX], uint32_t *ret_count,
                        struct nt_error *reterr)
{
    uint32_t count = call->host->count(call, "listen");
    if (count > LISTEN_MAX)
        return nt_fail(reterr, NT_E_USAGE, "--listen can be given %u times", LISTEN_MAX);
    for (uint32_t i = 0; i < count; i++)
        ret[i] = call->host->text_at(call, "listen", i);
    uint32_t asked = count;
    for (uint32_t i = 0; i < inherited->count; i++) {
        uint32_t j = 0;
        while (j < asked && !listen_is_at(ret[j], inherited->where[i]))
            j++;
        if (j == asked)
            ret[count++] = inherited->where[i];
    }
    if (count > LISTEN_MAX)
        return nt_fail(reterr, NT_E_USAGE, "--listen and LISTEN_FDS can name %u places",
                       LISTEN_MAX);
    *ret_count = count;
    return 0;
}

static int serve_run(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    if (host->number(call, "api-process"))
        return api_process_run(debug, call, reterr);
    const char *listens[LISTEN_MAX + INHERITED_MAX];
    uint32_t listen_count = 0;
    nt_auto(inherited_done) struct inherited inherited = { .count = 0 };
    if (!host->number(call, "embedded") && inherited_take(&inherited, reterr) < 0)
        return -1;
    if (find_listens(call, &inherited, listens, &listen_count, reterr) < 0)
        return -1;

    struct server_options options = {
        .engine_name = host->text(call, "engine"),
        .runtime_dir = host->path(call, NT_PATH_RUNTIME),
        .libexec_dir = host->path(call, NT_PATH_LIBEXEC),
        .listens = listens,
        .listen_count = listen_count,
        .inherited = &inherited,
        .min_client = host->text(call, "min-client"),
        .insecure_listen = host->number(call, "insecure-listen") != 0,
        .embedded = host->number(call, "embedded") != 0,
        .listen_fd = host->is_given(call, "listen-fd") ? (int)host->number(call, "listen-fd") : -1,
        .say = say,
        .debug = debug,
        .data = call,
    };
    if (options.min_client && !is_version(options.min_client))
        return nt_fail(reterr, NT_E_USAGE, "--min-client: '%.40s' is not a version like 1.2.3",
                       options.min_client);
    if (options.embedded && listen_count > 0)
        return nt_fail(reterr, NT_E_USAGE, "--embedded and --listen exclude each other");
    const char *data = host->text(call, "data");
    if (!data)
        data = host->path(call, NT_PATH_DATA);
    if (!data || !options.runtime_dir)
        return nt_fail(reterr, NT_E_CONFIG,
                       "there is no home folder for the server's data; give --data");
    const char *names[NAMES_MAX];
    nt_autofree char *data_dir = NULL;
    nt_autofree char *certificates = NULL;
    nt_autofree char *key = NULL;
    if (absolute(data, &data_dir, reterr) < 0
        || find_tls(call, listen_count, &certificates, &key, reterr) < 0
        || find_names(call, names, &options.host_name_count, reterr) < 0
        || idle_of(call, options.embedded, &options.idle_ms, reterr) < 0)
        return -1;
    options.data_dir = data_dir;
    options.tls_certificates = certificates;
    options.tls_key = key;
    options.host_names = names;
    if (options.embedded)
        options.say = NULL;
    options.engine_ops = find_engine(call, options.engine_name, reterr);
    if (options.engine_ops)
        return geteuid() == 0 ? supervise_run(&options, reterr) : server_run(&options, reterr);
    if (options.embedded && options.listen_fd < 0)
        server_refuse(reterr);
    return -1;
}
