/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.h - what the files of this group share. */
#ifndef NT_PROXY_H
#define NT_PROXY_H

#include <stdbool.h>

#include "nanoterm/host.h"
#include "sdk/relay.h"

#define CARRIED_MAX 1000u /* connections at a time; more are refused by closing */

enum {
    PROXY_E_UNREACHABLE = NT_E_PLUGIN_FIRST,
    PROXY_E_PORT_TAKEN,
    PROXY_E_GONE,
};

/* How the workspace is, as the server said it last. */
enum {
    STATE_UNKNOWN = 0,
    STATE_RUNS,
    STATE_RESTS, /* stopped, or being made: connections are refused */
    STATE_GONE,
    STATE_REFUSED, /* the credential may not see it any more: proxy.state_error */
};

/* One `proxy` at work. */
struct proxy {
    struct nt_call *call;
    struct nt_loop *loop;
    const char *id;
    uint16_t port;
    struct nt_relay_pipes pipes;
    struct carried *carried;
    uint32_t count;
    bool has_suspicion;           /* a connection was lost: look at the workspace */
    struct teller *teller;        /* state.c; NULL: nobody tells how the workspace is */
    struct nt_timer *state_timer; /* until it is asked */
    uint32_t state;               /* STATE_* */
    bool is_state_told, is_look_due;
    struct nt_error state_error;
    uint32_t wake; /* the loop shall return: there is something to do that waits */
};

/* A connection that is carried; its own part follows it. */
struct carried {
    struct carried *next, *prev;
    struct proxy *proxy;
    void (*end)(struct carried *c); /* closes and frees */
};
void carried_add(struct proxy *p, struct carried *c, void (*end)(struct carried *c));
void carried_remove(struct carried *c);

/* Asks the server to tell how the workspace is, until the command ends: state and is_look_due
 * change, and wake is set. */
uint32_t state_of(const char *status); /* NULL: not known */
void state_begin(struct proxy *p);
void state_end(struct proxy *p);

/* Carries a connection (fd is taken, in any case) to the port; client -1: pre-flight only, the
 * port is dialled, waited for and let go. NT_E_NOT_LOCAL: there is no short way here (fd is not
 * taken then). Neither waits for the port: 0 says that it is dialled, and a refusal resets the
 * client later. The long way waits for nothing and is for callbacks, too. */
int carry_local(struct proxy *p, int fd, struct nt_error *reterr);
int carry_remote(struct proxy *p, int fd, struct nt_error *reterr);

/* Listens on ADDR:PORT text, or NULL: loopback. port 0: any; is_wish: any when it is taken. Returns
 * the descriptor, the text of where, and whether it is another port than wished. */
int listen_here(const char *listen, uint16_t port, bool is_wish, char *ret_where, size_t size,
                bool *ret_is_other, struct nt_error *reterr);

#endif
