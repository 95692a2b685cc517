/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - what the monitor (root) and the API process (nobody) say to each other.
 *
 * One message of a SOCK_SEQPACKET socketpair is one struct of this file, whole. Both processes are
 * the same program, started by one another: the layout is nobody's contract. What comes from the
 * API process is hostile to the monitor: wire_request is the one place where it is looked at before
 * it is used. No message to the monitor carries a descriptor. */
#ifndef NT_SERVE_MONITOR_WIRE_H
#define NT_SERVE_MONITOR_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nanoterm/engine.h"

#define WIRE_FD 3 /* the API process's end, when it is started */
#define WIRE_MAX 16384u
#define WIRE_LISTENERS 17u
#define WIRE_NAMES 16u
#define WIRE_WAIT_MS (INT64_C(24) * 3600 * 1000) /* the longest deadline and grace */

/* From the API process. */
enum wire_request_kind {
    WIRE_OWNER_KEY = 1, /* make or find DATA/owner.key; answered */
    WIRE_READY,         /* the sockets may get their names */
    WIRE_FAILED,        /* it cannot serve: why */
    WIRE_NOTE,          /* a line for people */
    WIRE_LEAVE,         /* take the embedded socket away: it drains */
    WIRE_HANDOVER,      /* go on as another program once it has drained; answered */
    WIRE_CREATE,
    WIRE_START,
    WIRE_STOP,
    WIRE_REMOVE,
    WIRE_INSPECT,
    WIRE_LIST,
    WIRE_CANCEL, /* the call of that number; not answered */
    WIRE_OPEN_STREAM,
    WIRE_KEEP,
    WIRE_RECALL,
    WIRE_LISTEN,   /* a socket that listens on a port below 1024; answered with SOCKET */
    WIRE_REQUESTS, /* how many there are, and one more */
};

/* From the monitor. */
enum wire_word_kind {
    WIRE_PLAN = 64, /* first of all; with the store's folder */
    WIRE_LISTENER,  /* with a listening socket */
    WIRE_NAME,      /* one more that a Host header may have */
    WIRE_TLS,       /* certificate and key, in a memory file; also later, when they are new */
    WIRE_BEGIN,     /* there are no more listeners */
    WIRE_ANSWER,    /* to OWNER_KEY and HANDOVER */
    WIRE_EACH,      /* one workspace of a list */
    WIRE_RECORD,    /* of a RECALL, before its RESULT */
    WIRE_RESULT,    /* how a call of the engine ended */
    WIRE_STREAM,    /* to OPEN_STREAM: a connection to the guest, or why not */
    WIRE_EVENT,     /* of the engine */
    WIRE_ACCEPTED,  /* a connection from inside to the way out, as a descriptor */
    WIRE_END,       /* begin to stop */
    WIRE_SOCKET,    /* to LISTEN: the socket, or why not (sys: what the kernel said) */
};

/* Head of every message. number: the caller's, for what is answered; never 0, never twice in
 * flight. */
struct wire_head {
    uint32_t kind;
    uint32_t reserved; /* 0 */
    uint64_t number;
};

/* An id and what every call of the engine carries. */
struct wire_call {
    struct wire_head head;
    int64_t wait_ms;  /* until its deadline; 0: the engine's own */
    int64_t grace_ms; /* STOP */
    char id[44];
    char key[132];
};

struct wire_create {
    struct wire_call call;
    uint32_t flags; /* NT_SPEC_* */
    uint32_t cpu_millis;
    uint32_t pids;
    uint32_t reserved;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    char hostname[64];
    char image[4104];
    char record[NT_RECORD_MAX]; /* empty: none */
};

struct wire_keep {
    struct wire_call call;
    char record[NT_RECORD_MAX];
};

struct wire_record {
    struct wire_head head;
    char record[NT_RECORD_MAX];
};

struct wire_listen {
    struct wire_head head;
    uint32_t port; /* 1 to 1023: all others the API process can have by itself */
    uint32_t reserved;
    char address[48];
};

struct wire_error {
    struct wire_head head;
    struct nt_error error;
};

struct wire_note {
    struct wire_head head;
    char text[4608];
};

struct wire_handover {
    struct wire_head head;
    char program[4096];
};

/* What the API process needs to know; texts of the foreground server are not among them. */
struct wire_plan {
    struct wire_head head;
    uint32_t caps; /* of the engine */
    uint32_t listeners;
    uint32_t uid, gid;
    uint32_t is_embedded;
    uint32_t reserved;
    int64_t idle_ms;
    int64_t list_ms;
    struct nt_engine_state abilities;
    char engine_name[68];
    char token[68];
    char min_client[24];
    char data_dir[4096];
};

struct wire_listener {
    struct wire_head head;
    uint32_t is_unix, is_embedded, is_loopback, port, tls;
    uint32_t reserved;
    char text[280];
};

struct wire_name {
    struct wire_head head;
    char name[256];
};

struct wire_tls {
    struct wire_head head;
    uint32_t certificates_size, key_size;
};

struct wire_answer {
    struct wire_head head;
    struct nt_error error; /* code 0: done */
    uint8_t hash[32];      /* OWNER_KEY */
    uint32_t made;
    uint32_t reserved;
};

struct wire_each {
    struct wire_head head;
    struct nt_engine_state state;
};

struct wire_result {
    struct wire_head head;
    uint32_t outcome; /* NT_OP_* */
    uint32_t receipt_size;
    struct nt_error error;
    struct nt_engine_state state;
    uint8_t receipt[256];
};

struct wire_event {
    struct wire_head head;
    uint32_t what; /* NT_ENGINE_EVENT_* */
    uint32_t reserved;
    char id[44];
    char reason[132];
};

struct wire_accepted {
    struct wire_head head;
    char id[44];
    uint32_t reserved;
};

/* Whether a message from the API process has the size of its kind, texts that end, an id that is
 * one, and numbers in range. NULL: yes; else what is wrong with it. */
const char *wire_request(const void *message, size_t size);
/* Copies a text of a message into a shorter one, cut. */
void wire_text(char *ret, size_t size, const char *text);
/* An id of a workspace: [a-z0-9] and, not first, '_'; 1 to 40. */
bool wire_is_id(const char *id);

#endif
