/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - one HTTP/1.1 and WebSocket connection on libuv, both sides, over Unix sockets, TCP and
 * (client) https.
 *
 * The one public header of this library (nt_net, linked by the core and by plugins/serve). One
 * loop, one thread: every function and every callback belongs to the loop's thread. Callbacks run
 * later, never inside the call that caused them, and never after the last one of their list.
 * Everything is bounded (struct net_limits). Sources: RFC 9110, RFC 9112, RFC 6455. */
#ifndef NT_CORE_NET_H
#define NT_CORE_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <uv.h>

#include "nanoterm/error.h"
#include "nanoterm/stream.h"

/* --- the loop lent to plugins -------------------------------------------------------------- */

/* A struct nt_loop on top of a uv loop (borrowed). Free it after its timers and watches were
 * ended. */
struct nt_loop *net_loop_new(uv_loop_t *uv, struct nt_error *reterr);
/* Closes what is left; needs one more uv_run to finish; then calls freed (may be NULL). */
void net_loop_free(struct nt_loop *loop, void (*freed)(void *data), void *data);

/* --- limits, headers ----------------------------------------------------------------------- */

struct net_limits {
    /* request line or status line with all headers; more is 431. 0: 32 KiB */
    uint32_t head_bytes;
    uint32_t header_count; /* more is 431. 0: 100 */
    uint32_t connections;  /* server: accepted at once; more wait in the backlog. 0: 1024 */
    /* largest WebSocket message that may come in; more is close 1009. 0: 1 MiB */
    uint32_t message_bytes;
    uint32_t write_queue_bytes; /* credit of a writer: what may wait to be sent. 0: 1 MiB */
    uint32_t reserved;
    /* from the first byte to the whole head; slower is 408 and closed. 0: 30 s */
    int64_t head_ms;
    int64_t idle_ms; /* keep-alive without a request. 0: 75 s */
    /* a peer that takes nothing of what waits for so long is dropped. 0: 120 s; -1: never */
    int64_t stall_ms;
};

struct net_header {
    const char *name; /* as it came, or as it shall be sent */
    const char *value;
};

/* --- server -------------------------------------------------------------------------------- */

struct net_server;
struct net_request; /* one request and its answer; lives until its `done` callback has returned */
struct net_ws;

/* Callbacks about one request. */
struct net_request_events {
    /* A piece of the decoded body, at most what was granted with net_request_grant. */
    void (*body)(void *data, struct net_request *req, struct nt_bytes bytes);
    /* The body is complete. Not called when it had none. */
    void (*body_end)(void *data, struct net_request *req);
    /* The answer may be written again, up to `credit` bytes (after net_respond_write returned less
     * room). */
    void (*writable)(void *data, struct net_request *req, uint64_t credit);
    /* Last one, exactly once: answered and flushed, or lost (reason not NULL: peer gone, body cut,
     * limit). After it req is freed. It also comes when the peer closes while a handler is still at
     * work. */
    void (*done)(void *data, struct net_request *req, const struct nt_error *reason);
};

/* A certificate with its key. */
struct net_tls;
/* PEM texts, copied: the server's own certificate first, then the chain. NT_E_CONFIG: they cannot
 * be used. */
int net_tls_new(struct nt_bytes certificates, struct nt_bytes key, struct net_tls **ret,
                struct nt_error *reterr);
void net_tls_free(struct net_tls *tls); /* connections that are open go on */

struct net_server_options {
    struct net_limits limits;
    /* every connection is TLS 1.2 or later; borrowed, net_server_tls changes it. NULL: plain */
    struct net_tls *tls;
    /* A request's head is there and is well-formed (ambiguous lengths were answered 400, long heads
     * 431). The handler must, now or later, answer it exactly once (net_respond*, net_ws_accept,
     * net_upgrade). It sets its callbacks with net_request_handle, in this call. */
    void (*request)(void *data, struct net_request *req);
    /* A connection came or went; `open` is how many there are now. May be NULL. */
    void (*connections)(void *data, uint32_t open);
    void *data;
};

/* Serves the listening descriptor (takes it; bound and listening already, Unix or TCP). -1: no
 * listener, only what net_server_take brings. */
int net_server_new(uv_loop_t *uv, int listen_fd, const struct net_server_options *options,
                   struct net_server **ret, struct nt_error *reterr);
/* Another certificate for the connections to come (borrowed); of a server that had one. */
void net_server_tls(struct net_server *server, struct net_tls *tls);
/* Serves one connected descriptor (takes it), accepted elsewhere. */
int net_server_take(struct net_server *server, int fd, struct nt_error *reterr);
/* The same over TLS of its own, for a server that speaks for several names. */
struct net_take {
    struct net_tls *tls; /* borrowed for the call. NULL: the server's */
    void *link;          /* net_request_link of all its requests */
    /* Last, exactly once, also on failure (then in the call). NULL: nobody is told */
    void (*gone)(void *link);
};
int net_server_take_with(struct net_server *server, int fd, const struct net_take *take,
                         struct nt_error *reterr);
/* Takes no more connections and tells keep-alive peers to close; what was accepted is finished. The
 * descriptor is closed unless `keep` is set: then it is returned for a hand-over (else -1). Call
 * once. */
int net_server_stop(struct net_server *server, bool keep);
/* Closes every connection at once (after stop), then calls freed. */
void net_server_free(struct net_server *server, void (*freed)(void *data), void *data);
uint32_t net_server_connections(const struct net_server *server);
/* Breaks every connection whose holder that is (net_request_hold), whatever goes on in it, a
 * WebSocket too: those who serve it hear that the peer is lost. Not the connection `except` (of
 * net_request_connection; 0: none is spared). */
void net_server_cut(struct net_server *server, const char *holder, uint64_t except);

const char *net_request_method(const struct net_request *req);
/* The request target exactly as it came: "/v1/a%2Fb?x=1". */
const char *net_request_target(const struct net_request *req);
/* First header of that name, any case; NULL: none. */
const char *net_request_header(const struct net_request *req, const char *name);
/* The index-th header; false: no more. */
bool net_request_header_at(const struct net_request *req, uint32_t index, struct net_header *ret);
/* Bytes of the body by Content-Length; -1: chunked; 0: none. */
int64_t net_request_length(const struct net_request *req);
bool net_request_is_websocket(const struct net_request *req);
/* When the head was answered: does its connection stay open for another one? */
bool net_request_stays(const struct net_request *req);
/* A number of its connection, not given twice. */
uint64_t net_request_connection(const struct net_request *req);
/* Of net_server_take_with; NULL: the connection came in another way. */
void *net_request_link(const struct net_request *req);
/* The name that the peer asked for when TLS began (RFC 6066 section 3); NULL: it named none. */
const char *net_request_server_name(const struct net_request *req);
/* Notes in whose name its connection is used from now on, at most NET_HOLDER - 1 bytes; copied. */
#define NET_HOLDER 44
void net_request_hold(struct net_request *req, const char *holder);
/* What is known of the peer. is_unix: uid and pid are from SO_PEERCRED. address: "127.0.0.1:4242",
 * "unix". */
struct net_peer {
    bool is_unix;
    uid_t uid;
    pid_t pid;
    char address[64];
};
const struct net_peer *net_request_peer(const struct net_request *req);

/* Sets who hears about it. Without it (or a NULL member) the event is dropped and the body is
 * drained. When it is set anew and the body has ended before, body_end comes (again) later: an
 * empty body of unknown length needs no credit. */
void net_request_handle(struct net_request *req, const struct net_request_events *events,
                        void *data);
/* Allows `bytes` more of the body. "Expect: 100-continue" is answered at the first grant. */
void net_request_grant(struct net_request *req, uint64_t bytes);

/* Whole answer. Content-Length, Date, Connection and (with a body) Content-Type unless given are
 * added; HEAD, 204 and 304 get no body. Bytes are copied. */
void net_respond(struct net_request *req, uint32_t status, const struct net_header *headers,
                 uint32_t count, struct nt_bytes body);
/* Head of a streamed answer; length -1: chunked (to an HTTP/1.0 peer: until close). */
void net_respond_head(struct net_request *req, uint32_t status, const struct net_header *headers,
                      uint32_t count, int64_t length);
/* A piece; copied. Returns the credit left; 0: wait for writable before the next one (this one was
 * taken). */
uint64_t net_respond_write(struct net_request *req, struct nt_bytes bytes);
/* The same without a copy: `sent` is called (later) when the bytes may be reused. */
uint64_t net_respond_write_borrowed(struct net_request *req, struct nt_bytes bytes,
                                    void (*sent)(void *data), void *data);
/* The answer is complete. */
void net_respond_end(struct net_request *req);
/* The answer cannot be completed: the connection is closed so that the peer sees a broken
 * answer. */
void net_respond_abort(struct net_request *req);

/* Answers 101 with that header (NULL: none more; protocol NULL: 200, for CONNECT) and, when it is
 * flushed, calls taken with the connection's descriptor (close-on-exec, non-blocking; the
 * caller's), or with -1. Bytes that came behind the head are a violation: -1 and closed. `done`
 * follows. */
void net_upgrade(struct net_request *req, const char *protocol, const struct net_header *header,
                 void (*taken)(void *data, int fd), void *data);

/* --- WebSocket, both sides ----------------------------------------------------------------- */

struct net_ws_events {
    /* A piece of a message, in order; text is checked to be UTF-8. last: the message is complete.
     * The granted credit (net_ws_grant, in bytes of payload) is never exceeded; a connection starts
     * with none. */
    void (*message)(void *data, struct net_ws *ws, struct nt_bytes bytes, bool is_text, bool last);
    void (*writable)(void *data, struct net_ws *ws, uint64_t credit);
    /* Last one, exactly once. code: of the peer's close frame, 1005 none, 1006 lost. reason NULL:
     * clean. */
    void (*closed)(void *data, struct net_ws *ws, uint16_t code, const struct nt_error *reason);
};

/* Server: accepts the upgrade. The request's `done` comes after; the connection is ws's from then
 * on. */
struct net_ws *net_ws_accept(struct net_request *req, const struct net_ws_events *events,
                             void *data);
/* The same, naming the subprotocol that was chosen (NULL: none). */
struct net_ws *net_ws_accept_as(struct net_request *req, const char *protocol,
                                const struct net_ws_events *events, void *data);
void net_ws_grant(struct net_ws *ws, uint64_t bytes);
/* One whole message, copied. Returns the credit left; 0: wait for writable. */
uint64_t net_ws_send(struct net_ws *ws, struct nt_bytes message, bool is_text);
/* The same with a part of a message, the others of which come before and after it. */
uint64_t net_ws_send_part(struct net_ws *ws, struct nt_bytes part, bool is_text, bool is_first,
                          bool is_last);
/* One binary message of a first byte and borrowed bytes: `sent` is called (later) when they may be
 * reused. The client side masks (RFC 6455 section 5.3) and therefore copies. */
uint64_t net_ws_send_borrowed(struct net_ws *ws, uint8_t first, struct nt_bytes bytes,
                              void (*sent)(void *data), void *data);
/* Starts the closing handshake; a peer that does not answer in 5 s is dropped. May be called
 * twice. */
void net_ws_close(struct net_ws *ws, uint16_t code, const char *reason);
/* Sends a ping every interval; without any byte for two of them the connection counts as lost. 0:
 * off (default). */
void net_ws_keepalive(struct net_ws *ws, int64_t interval_ms);

/* --- digests ------------------------------------------------------------------------------- */

/* At most 32 bytes, without padding. False here and below: libnettle is not installed. */
bool net_base64url(const uint8_t data[32], size_t size, char ret[44]);
bool net_sha256_base64url(const char *text, char ret[44]);

/* --- client -------------------------------------------------------------------------------- */

struct net_client; /* one connection, requests one after the other */

enum {
    NET_UNIX = 1, /* address.host is the socket's path (any length) */
    NET_TCP = 2,
    /* libcurl is opened for this one only; it makes the connection (TLS, proxies), we speak HTTP */
    NET_HTTPS = 3,
};

/* Shown to an https server that asks who its client is; borrowed, like an address. */
struct net_identity {
    const char *name; /* two of the same name are the same to a net_pool */
    /* PEM texts: its certificate first, then the chain; the key, without a password */
    const char *certificates, *key;
};

struct net_address {
    uint32_t kind;
    uint16_t port;
    uint16_t reserved;
    const char *host; /* name or address; borrowed for the call */
    /* https: PEM file of the authorities; borrowed for the call. NULL: SSL_CERT_FILE, or libcurl's
     * own */
    const char *authorities;
    /* http and https: the numeric addresses that are connected to, whatever the name's are, with
     * commas between them: the first that answers. A certificate is still checked for host.
     * Borrowed. NULL: host is looked up */
    const char *pinned;
    /* https: "host:port" of a proxy that is asked by CONNECT; "" none. Borrowed. NULL: as libcurl's
     * own variables say */
    const char *proxy;
    const struct net_identity *identity; /* https; NULL: none */
};

/* Splits "http://host:port/prefix" or "https://…"; ret_prefix gets the path without trailing
 * slashes (""). The texts live in `memory`. NT_E_USAGE: not such a URL, or with user, query or
 * fragment. */
int net_parse_url(const char *url, char *memory, size_t size, struct net_address *ret,
                  const char **ret_prefix, struct nt_error *reterr);

struct net_client_events {
    /* Connected; requests may have been queued before. */
    void (*connected)(void *data, struct net_client *client);
    /* The answer's head. status 101 only for net_client_ws and net_client_upgrade. */
    void (*head)(void *data, struct net_client *client, uint32_t status);
    /* A piece of the decoded body, at most what was granted (net_client_grant; starts with
     * none). */
    void (*body)(void *data, struct net_client *client, struct nt_bytes bytes);
    /* The answer is complete; the next request may be sent when `reusable`. */
    void (*answered)(void *data, struct net_client *client, bool reusable);
    void (*writable)(void *data, struct net_client *client, uint64_t credit);
    /* Last one, exactly once, also after net_client_close (NT_E_CANCELLED). NT_E_CONNECT: never
     * connected. In the error request_sent says whether a byte of the current request was handed to
     * the kernel, upstream names the errno. */
    void (*closed)(void *data, struct net_client *client, const struct nt_error *reason);
};

/* Connects; all outcomes come as events. connect_ms 0: 10 s. */
int net_client_new(uv_loop_t *uv, const struct net_address *address,
                   const struct net_limits *limits, int64_t connect_ms,
                   const struct net_client_events *events, void *data, struct net_client **ret,
                   struct nt_error *reterr);

struct net_client_request {
    const char *method;
    const char *target; /* "/v1/…" as it goes on the wire */
    /* Host, Content-Length, Transfer-Encoding, Connection are made here */
    const struct net_header *headers;
    uint32_t count;
    uint32_t reserved;
    int64_t length;       /* of the body; -1: chunked; 0: none */
    struct nt_bytes body; /* when all of it is known (size == length); copied */
};

/* Sends a request; one at a time. */
int net_client_request(struct net_client *client, const struct net_client_request *request,
                       struct nt_error *reterr);
uint64_t net_client_write(struct net_client *client,
                          struct nt_bytes bytes); /* like net_respond_write */
void net_client_write_end(struct net_client *client);
void net_client_grant(struct net_client *client, uint64_t bytes);
/* Header of the current answer; NULL: none. Valid until `answered`. */
const char *net_client_header(const struct net_client *client, const char *name);
bool net_client_header_at(const struct net_client *client, uint32_t index, struct net_header *ret);
/* True when a byte of the current request was handed to the kernel (or to TLS). */
bool net_client_was_sent(const struct net_client *client);

/* Asks for a WebSocket. On 101 `head` comes with 101 and *the client's further events stop*: the
 * connection is ws's, and ws gets them. On any other status the answer comes as of a request. The
 * ws object is made by the call. */
int net_client_ws(struct net_client *client, const struct net_client_request *request,
                  const struct net_ws_events *events, void *data, struct net_ws **ret,
                  struct nt_error *reterr);
/* Asks for another protocol. On 101 `head` comes with 101; in it net_client_take gives the
 * descriptor. */
int net_client_upgrade(struct net_client *client, const struct net_client_request *request,
                       const char *protocol, struct nt_error *reterr);
/* In `head` with 101 only: the connection's descriptor (the caller's) and the bytes that came
 * behind the head (valid until the callback returns). The client is gone afterwards, without
 * `closed`. */
int net_client_take(struct net_client *client, struct nt_bytes *ret_early);
/* Ends it; `closed` still comes. May be called twice. */
void net_client_close(struct net_client *client);

/* --- going out for others ------------------------------------------------------------------ */

/* A proxy looks a name up once, judges the addresses, and connects to what was judged: a name that
 * means something else a moment later gains nothing. */
#define NET_ADDRESSES_MAX 8u

struct net_lookup;
struct net_lookup_options {
    const char *host; /* a name or a numeric address; borrowed for the call */
    uint16_t port;
    int64_t timeout_ms; /* 0: 30 s */
    /* May this address be connected to? NULL: any. */
    bool (*may)(void *data, const struct sockaddr *address);
    /* Once, later; the lookup is gone after it. Those that may, in order; `refused` counts the
     * others. error not NULL: there are none at all. */
    void (*done)(void *data, const struct sockaddr_storage *addresses, uint32_t count,
                 uint32_t refused, const struct nt_error *error);
    void *data;
};
/* Those addresses as net_address.pinned; false: not enough room. */
#define NET_PINNED_MAX (NET_ADDRESSES_MAX * 48u)
bool net_pinned_text(const struct sockaddr_storage *addresses, uint32_t count,
                     char ret[NET_PINNED_MAX]);
/* Back from it, with that port: how many; 0: not such a text. */
uint32_t net_pinned_read(const char *text, uint16_t port,
                         struct sockaddr_storage ret[NET_ADDRESSES_MAX]);
int net_lookup_new(uv_loop_t *uv, const struct net_lookup_options *options, struct net_lookup **ret,
                   struct nt_error *reterr);
/* Nobody is told any more. NULL is nothing. */
void net_lookup_cancel(struct net_lookup *lookup);

/* Connects to the first address that answers. `done` comes once, later, with a descriptor
 * (close-on-exec, non-blocking, without Nagle's delay; the receiver's), or -1 and why. */
struct net_dial;
int net_dial_new(uv_loop_t *uv, const struct sockaddr_storage *addresses, uint32_t count,
                 int64_t timeout_ms, void (*done)(void *data, int fd, const struct nt_error *error),
                 void *data, struct net_dial **ret, struct nt_error *reterr);
void net_dial_cancel(struct net_dial *dial);

/* Carries bytes between two stream sockets, both ways, by splice, with half-close; a reset of one
 * resets the other. Without a byte for an hour it ends. SIGPIPE must be ignored or blocked. Takes
 * both descriptors (connected, non-blocking), also on failure (NULL). `ended` comes once, later,
 * after which the tunnel is gone. */
struct net_tunnel;
struct net_tunnel *net_tunnel_new(uv_loop_t *uv, int inside, int outside, void (*ended)(void *data),
                                  void *data);
void net_tunnel_close(struct net_tunnel *tunnel);

/* Connections to servers that stay open after an answer, for the next request of the same peer
 * connection only: to the peer it is as if it spoke with the server itself. 10 s each. */
struct net_pool;
int net_pool_new(uv_loop_t *uv, struct net_pool **ret, struct nt_error *reterr);
/* Closes them; needs the loop once more. NULL is nothing. */
void net_pool_free(struct net_pool *pool);
/* The pinned addresses of one that waits for this peer and this server (to->pinned is not looked
 * at): a next request needs no lookup. Whoever uses them judges them again. How many; 0: none. */
uint32_t net_pool_addresses(const struct net_pool *pool, const struct net_request *req,
                            const struct net_address *to,
                            struct sockaddr_storage ret[NET_ADDRESSES_MAX]);

/* Carries a request to another server, and its answer back, both streamed. */
struct net_forward;
struct net_forward_options {
    struct net_pool *pool; /* NULL: each request has a connection of its own */
    struct net_address to; /* borrowed for the call */
    int64_t connect_ms;    /* 0: 10 s */
    const char *target;    /* as it goes on the wire; borrowed for the call */
    /* Those of the request without the ones for one hop (net_request_is_hop) unless they are
     * changed on their way. Host is the receiver's unless it is among them. Borrowed. */
    const struct net_header *headers;
    uint32_t count;
    uint32_t limit_status; /* answered to a body that is larger than body_max; 0: 413 */
    uint64_t body_max;     /* of the request; 0: any */
    struct nt_bytes body;  /* has_body: all of it, read before; borrowed for the call */
    bool has_body;
    /* A header of the answer: false leaves it out; value may be changed to a text that lives until
     * `done`. NULL: all pass. */
    bool (*header)(void *data, struct net_header *header);
    /* There will be no answer from there: one must be given now (net_respond). Not called when a
     * connection that stayed open turns out to be closed: then the peer's is closed, too, which it
     * knows how to take. */
    void (*failed)(void *data, struct net_request *req, const struct nt_error *reason);
    /* Last, exactly once; forward and request are gone after it. answered: its status, 0: none. */
    void (*done)(void *data, uint32_t answered);
    void *data;
};
/* Takes the request's callbacks. On failure nothing was changed. */
int net_forward_new(uv_loop_t *uv, struct net_request *req,
                    const struct net_forward_options *options, struct net_forward **ret,
                    struct nt_error *reterr);
/* Ends it at once; `done` still comes. */
void net_forward_cancel(struct net_forward *forward);
/* True for headers that are meant for the next hop only (RFC 9110 section 7.6.1), those that the
 * request's own Connection names, and those that the connection makes itself (Host, lengths,
 * Expect). */
bool net_request_is_hop(const struct net_request *req, const char *name);

/* Connects or binds a Unix socket of any path length (through /proc/self/fd when it is longer than
 * sun_path). Blocking connect is immediate for Unix sockets. Close-on-exec. -1 with errno as
 * error. */
int net_unix_connect(const char *path, struct nt_error *reterr);
int net_unix_listen(const char *path, struct nt_error *reterr); /* mode 0600, backlog 512 */

#endif
