/* SPDX-License-Identifier: Apache-2.0 */
/* server_listen.c - where a server listens: its certificate, who may sign in, and the listeners,
 * its own or those that the monitor has passed. */
#include <string.h>

#include "plugins/serve/api/cli_auth.h"
#include "plugins/serve/life.h"
#include "plugins/serve/store/store.h"
#include "plugins/serve/tls_files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* --- TLS ----------------------------------------------------------------------------------- */

int server_use_tls(struct server *server, const struct tls_files *files, struct nt_error *reterr)
{
    struct net_tls *tls = NULL;
    if (net_tls_new((struct nt_bytes){ files->certificates.data, files->certificates.size },
                    (struct nt_bytes){ files->key.data, files->key.size }, &tls, reterr)
        < 0)
        return -1;
    for (struct listener *l = server->listeners; l; l = l->next)
        if (l->tls)
            net_server_tls(l->net, tls);
    net_tls_free(server->tls);
    server->tls = tls;
    return 0;
}

int server_read_tls(struct life *life, struct nt_error *reterr)
{
    nt_auto(tls_files_done) struct tls_files files = TLS_FILES_INIT;
    if (tls_files_read(life->options.tls_certificates, life->options.tls_key, &files, reterr) < 0)
        return -1;
    return server_use_tls(&life->server, &files, reterr);
}

static int begin_tls(struct life *life, struct nt_error *reterr)
{
    const struct server_given *given = life->options.given;
    if (given)
        return given->tls ? server_use_tls(&life->server, given->tls, reterr) : 0;
    return life->options.tls_certificates ? server_read_tls(life, reterr) : 0;
}

/* --- listeners ----------------------------------------------------------------------------- */

static int listen_given(struct server *server, const struct server_given *given,
                        struct nt_error *reterr)
{
    for (uint32_t i = 0; i < given->listener_count; i++)
        if (listen_serve(server, given->listener_fds[i], &given->listeners[i], reterr) < 0)
            return -1;
    given->ready();
    return 0;
}

static int listen_own(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    struct listener like;
    for (uint32_t i = 0; i < life->options.listen_count; i++) {
        int fd = listen_bind(life->options.listens[i], &life->options, &like, reterr);
        if (fd < 0 || listen_serve(server, fd, &like, reterr) < 0)
            return -1;
    }
    if (life->options.listen_count > 0)
        return 0;
    int fd = embedded_bind(&life->embedded, life->options.runtime_dir, life->options.listen_fd,
                           &like, reterr);
    return fd < 0 || listen_serve(server, fd, &like, reterr) < 0
               ? -1
               : embedded_name(&life->embedded, reterr);
}

/* Of listeners beyond the embedded one, which needs none. */
static int begin_logins(struct life *life, struct nt_error *reterr)
{
    const struct server_given *given = life->options.given;
    bool has_tcp = false;
    for (uint32_t i = 0; given && i < given->listener_count; i++)
        has_tcp = has_tcp || !given->listeners[i].is_unix;
    for (uint32_t i = 0; !given && i < life->options.listen_count; i++)
        has_tcp = has_tcp || strncmp(life->options.listens[i], "unix:", 5) != 0;
    if (!has_tcp)
        return 0;
    if (cli_auth_begin(&life->server, given ? STORE_HERE : life->options.data_dir, reterr) < 0)
        return -1;
    life_say(life, "The code to sign `nanoterm auth login` in with is in %s%s/sign-in",
             life->options.data_dir, given ? "/store" : "");
    return 0;
}

int server_listen(struct life *life, struct nt_error *reterr)
{
    int status = begin_tls(life, reterr);
    if (status == 0)
        status = begin_logins(life, reterr);
    if (status == 0)
        status = life->options.given ? listen_given(&life->server, life->options.given, reterr)
                                     : listen_own(life, reterr);
    for (const struct listener *l = life->server.listeners; status == 0 && l; l = l->next)
        life_say(life, "Listening on %s", l->text);
    return status;
}
