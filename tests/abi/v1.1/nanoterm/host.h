/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - what the core lends to a plugin.
 *
 * The plugin sees no symbol of the core: it gets this table in nt_plugin.start and in every call.
 * Unless a comment says *async*, a function *waits* and belongs to the main thread of a command.
 * Texts and bytes that come out live until the command returns, unless said otherwise. */
#ifndef NANOTERM_HOST_H
#define NANOTERM_HOST_H

#include "nanoterm/error.h"
#include "nanoterm/plugin.h"
#include "nanoterm/stream.h"

/* nt_call.personality: whose names and error forms apply. */
enum {
    NT_AS_NANOTERM = 0,
    NT_AS_NULLSPACE = 1,
    NT_AS_NONO = 2,
};

/* nt_call.flags: global flags of this invocation. */
#define NT_CALL_JSON 0x1u  /* --json */
#define NT_CALL_QUIET 0x2u /* --quiet */
#define NT_CALL_COLOR 0x4u /* stdout is a terminal that wants colour */
#define NT_CALL_STDIN_TTY 0x8u
#define NT_CALL_STDOUT_TTY 0x10u
#define NT_CALL_STDERR_TTY 0x20u

/* One running command. The core's own state follows it. Read-only for the plugin. */
struct nt_call {
    uint32_t size;
    uint32_t personality; /* NT_AS_* */
    const struct nt_host *host;
    const struct nt_command *command;
    uint32_t flags; /* NT_CALL_* */
    uint32_t reserved;
};

struct nt_header {
    const char *name;
    const char *value;
};

/* nt_request.flags */
#define NT_REQ_NO_AUTH 0x1u  /* send no credential */
#define NT_REQ_NO_RETRY 0x2u /* one attempt only */
#define NT_REQ_KEY 0x4u      /* carry this invocation's Idempotency-Key (implied by POST) */
/* nt_request only, for what asks again and again: the answer is valid until the next request with
 * this flag, and no longer. A host that does not know it keeps them all. */
#define NT_REQ_BRIEF 0x8u
/* since 1.1: nt_open of NT_OPEN_WS only: does not wait, and may be called in a callback. ret is set
 * before there is an answer; nothing can be written until `open` says that there is one, and
 * `close` alone, with the error, that there will be none. One attempt; ret_head is not filled. A
 * host that does not know it waits. */
#define NT_REQ_BEGIN 0x10u

/* One request to the API; borrowed for the call. */
struct nt_request {
    uint32_t size;
    uint32_t flags;
    const char *method;
    /* "/v1/...", percent-encoded by the caller (sdk/buf.h), with the query */
    const char *path;
    struct nt_bytes body;     /* sent with content_type; size 0: no body */
    const char *content_type; /* NULL: application/json */
    struct nt_table headers;  /* of struct nt_header: more headers */
    uint64_t max_body_bytes;  /* of the answer; 0: 8 MiB */
    int64_t timeout_ms;       /* of this request; 0: what is left of the command's deadline */
};

/* The answer. Valid until the command returns, but for NT_REQ_BRIEF. */
struct nt_response {
    uint32_t size;
    uint32_t status;
    struct nt_bytes body;   /* not NUL-terminated */
    const char *request_id; /* empty text: none */
    const void *headers;    /* for nt_host.header */
};

/* nt_open.kind */
enum {
    NT_OPEN_BODY = 0, /* bytes up as the request's body, bytes down as the answer's */
    NT_OPEN_WS = 1,   /* WebSocket messages both ways */
};

/* A conversation with the API that is longer than one answer. */
struct nt_open {
    uint32_t size;
    uint32_t kind;
    uint32_t flags; /* NT_REQ_* */
    uint32_t reserved;
    const char *method; /* NT_OPEN_BODY only */
    const char *path;
    struct nt_table headers; /* of struct nt_header */
    /* Content-Length of what will be written; -1: unknown (chunked); 0: none */
    int64_t body_bytes;
    const struct nt_stream_events *events;
    void *data; /* first argument of the events */
    /* since 1.1: NT_OPEN_BODY: the body as a whole, of body_bytes bytes (application/json unless a
     * header says otherwise). Nothing is written then, and a failed attempt may be repeated. Size
     * 0: the body is written. */
    struct nt_bytes body;
};

/* A cell of a result row. */
struct nt_value {
    /* NT_TEXT, NT_INT (also sizes and durations), NT_BOOL, NT_REAL, NT_TIME, NT_JSON */
    uint32_t type;
    uint32_t is_null;
    const char *text; /* NT_TEXT, NT_TIME, NT_JSON */
    int64_t number;   /* NT_INT, NT_BOOL */
    double real;      /* NT_REAL */
};

/* nt_host.message: what kind of line. All go to stderr; --quiet drops DONE and NOTE. */
enum {
    NT_SAY_DONE = 0, /* "✓ Workspace removed" */
    NT_SAY_NOTE = 1,
    NT_SAY_WARN = 2,
};

/* nt_host.set_status: whose exit status it is. */
enum {
    NT_BY_TOOL = 0,
    NT_BY_RUNTIME = 1,
    NT_BY_PROGRAM = 2,
};

/* nt_host.set_limits: what the program may have failed of; bits. Since 1.1. */
#define NT_LIMIT_MEMORY 0x1u
#define NT_LIMIT_PIDS 0x2u
#define NT_LIMIT_DISK 0x4u

/* nt_host.path: folders and files. Absolute; the folder may not be there yet. */
enum {
    NT_PATH_HOME = 0,    /* the user's home */
    NT_PATH_CONFIG = 1,  /* ~/.nanoterm */
    NT_PATH_DATA = 2,    /* the embedded server's state */
    NT_PATH_RUNTIME = 3, /* the embedded server's socket, lock and token */
    NT_PATH_LIBEXEC = 4, /* helper programs (guest, launcher) */
    NT_PATH_SELF = 5,    /* the running nanoterm executable */
};

struct nt_host {
    uint32_t size;
    uint32_t abi;

    /* Arguments and options of this call, by the name in the table. Text as typed, or the fallback;
     * NULL when absent. With NT_MANY: the first. */
    const char *(*text)(struct nt_call *call, const char *name);
    /* Number of NT_INT, NT_DURATION_MS, NT_SIZE_BYTES; 0 or 1 of NT_FLAG; 0 when absent. */
    int64_t (*number)(struct nt_call *call, const char *name);
    /* How many values, fallback included; and one of them, NULL beyond the end. */
    uint32_t (*count)(struct nt_call *call, const char *name);
    const char *(*text_at)(struct nt_call *call, const char *name, uint32_t index);
    /* 1: the user gave it (words or environment); 0: it is the fallback or absent. */
    int (*is_given)(struct nt_call *call, const char *name);

    /* Sends one request and waits for the whole answer. Adds credential, organisation, idempotency
     * key, X-Nanoterm-Wire: 1 and X-Request-Id; retries as the contract allows; starts the embedded
     * server when that is the API. A status >= 400 is an error: reterr carries code, status,
     * request id. ret->size is the caller's. Errors: NT_E_CONNECT, NT_E_TIMEOUT, NT_E_CANCELLED,
     * NT_E_RESPONSE, or the row for the status. */
    int (*request)(struct nt_call *call, const struct nt_request *req, struct nt_response *ret,
                   struct nt_error *reterr);
    /* A header of an answer, by name in any case; NULL: not there. */
    const char *(*header)(struct nt_call *call, const struct nt_response *response,
                          const char *name);
    /* Opens a stream. Returns when the answer's head is there (NT_OPEN_WS, or NT_OPEN_BODY without
     * a body to write) or when the connection is (with one). `ret_head` gets status and headers,
     * and is filled later, before the data, when the head came later. A status >= 400 ends it with
     * that error. */
    int (*open)(struct nt_call *call, const struct nt_open *open, struct nt_stream **ret,
                struct nt_response *ret_head, struct nt_error *reterr);
    /* On the local server only: upgrades to `protocol` (local.h) and hands over the connection
     * (close-on-exec, non-blocking), with what was read beyond the head in ret_early.
     * NT_E_NOT_LOCAL: the API is not the local server; go the long way. */
    int (*upgrade_local)(struct nt_call *call, const char *path, const char *protocol, int *ret_fd,
                         struct nt_bytes *ret_early, struct nt_error *reterr);

    /* The loop of this call. */
    struct nt_loop *(*loop)(struct nt_call *call);
    /* Runs the loop until *done is not 0. NT_E_CANCELLED after Ctrl-C or a lost terminal,
     * NT_E_TIMEOUT after the deadline: the streams of the call have then been ended, in order. */
    int (*wait)(struct nt_call *call, const uint32_t *done, struct nt_error *reterr);
    /* Milliseconds left of the deadline; -1: there is none. */
    int64_t (*left_ms)(struct nt_call *call);

    /* One result row; `values` in the order of the command's columns. */
    int (*emit)(struct nt_call *call, const struct nt_value *values, uint32_t count,
                struct nt_error *reterr);
    /* The same from a JSON object; each column is taken by its path, a missing one is null.
     * A JSON array emits each of its objects. */
    int (*emit_json)(struct nt_call *call, struct nt_bytes json, struct nt_error *reterr);
    /* A line for the person, on stderr. level is NT_SAY_*. */
    void (*message)(struct nt_call *call, uint32_t level, const char *text);
    /* Progress of long work on a terminal: done of total (0: unknown) in bytes or steps; label says
     * what. total == done ends it. Nothing is shown when stderr is no terminal. */
    void (*progress)(struct nt_call *call, const char *label, uint64_t done, uint64_t total);
    /* Asks; only on a terminal, else NT_E_USAGE naming the option to give instead. secret: no echo.
     * ret is valid until the command returns. */
    int (*prompt)(struct nt_call *call, const char *question, const char *instead, uint32_t secret,
                  const char **ret, struct nt_error *reterr);
    /* The exit status of the process when run returns 0. by is NT_BY_*. */
    void (*set_status)(struct nt_call *call, uint32_t status, uint32_t by);
    /* Descriptor 0, 1 or 2 for bytes of a program; borrowed. */
    int (*descriptor)(struct nt_call *call, uint32_t which);

    /* A setting, with origin already decided; NULL: not set. */
    const char *(*config)(struct nt_call *call, const char *key);
    /* A folder or file of this installation, NT_PATH_*; valid for ever. */
    const char *(*path)(struct nt_call *call, uint32_t which);
    /* The index-th service of that name over all plugins (all are loaded for it); NULL: no more.
     * ret_instance gets its instance name. *Any command may call it; a service's functions say if
     * they wait.* */
    const void *(*service)(struct nt_call *call, const char *name, uint32_t index,
                           const char **ret_instance);
    /* The same for one instance; NULL: none. */
    const void *(*service_named)(struct nt_call *call, const char *name, const char *instance);
    /* Debug line (NANOTERM_DEBUG=1): an event name and its fields as `key=value` text. No
     * secrets. */
    void (*debug)(struct nt_call *call, const char *event, const char *fields);
    /* since 1.1 */
    /* Connects by TCP to a host that the plugin declares (NT_NEED_HOST), and hands over the socket:
     * close-on-exec, blocking, the caller's to close. A plugin of others can make no socket itself.
     * A name that leads to this machine or its link is refused, unless it is "localhost" or an
     * address. Errors: NT_E_UNDECLARED, NT_E_CONNECT, NT_E_TIMEOUT, NT_E_CANCELLED. */
    int (*connect)(struct nt_call *call, const char *host, uint32_t port, int *ret_fd,
                   struct nt_error *reterr);
    /* The limits (NT_LIMIT_*) that the program has hit whose exit status it is, for the line of
     * --status-fd. NULL: nobody asks for them. */
    void (*set_limits)(struct nt_call *call, uint32_t limits);
};

#define NT_HOST_SIZE_1_0 200u
_Static_assert(offsetof(struct nt_host, connect) == NT_HOST_SIZE_1_0, "nt_host of 1.0 has moved");
_Static_assert(sizeof(struct nt_host) == 216, "nt_host of 1.1 has moved");
_Static_assert(sizeof(struct nt_call) == 32, "nt_call of 1.0 has moved");
_Static_assert(sizeof(struct nt_request) == 80, "nt_request of 1.0 has moved");
_Static_assert(sizeof(struct nt_response) == 40, "nt_response of 1.0 has moved");
#define NT_OPEN_SIZE_1_0 72u
_Static_assert(offsetof(struct nt_open, body) == NT_OPEN_SIZE_1_0, "nt_open of 1.0 has moved");
_Static_assert(sizeof(struct nt_open) == 88, "nt_open of 1.1 has moved");
_Static_assert(sizeof(struct nt_value) == 32, "nt_value of 1.0 has moved");

#endif
