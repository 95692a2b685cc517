/* SPDX-License-Identifier: Apache-2.0 */
/* serve_data_stage.h - a stage for the handlers of what happens inside a workspace: an exchange, a
 * connection, a guest and a loop that do nothing by themselves. A test plays the peer and the
 * guest, and looks at what was done. */
#ifndef NT_TESTS_SERVE_DATA_STAGE_H
#define NT_TESTS_SERVE_DATA_STAGE_H

#include "plugins/serve/server.h"
#include "sdk/buf.h"

struct stage {
    /* The request; set before stage_call. */
    const char *method;
    const char *params[2];
    const char *query_path, *query_mode, *query_channel;
    const char *upgrade;
    int64_t length;
    bool wide, local, is_running;
    json_t *json; /* taken */

    /* The answer of an exchange. */
    unsigned answers;
    uint32_t status;
    json_t *body;
    bool held_open, detached;
    void (*lost)(void *data);
    void *lost_data;

    /* The answer on the request itself. */
    uint32_t raw_status;
    int64_t raw_length;
    struct nt_buf raw;
    bool raw_ended, raw_aborted;
    uint64_t granted;
    uint64_t credit; /* what the next write returns */
    struct net_request_events req_events;
    void *req_data;
    void (*lent)(void *data); /* borrowed bytes are out */
    void *lent_data;
    int upgraded_fd; /* given to `taken` */

    /* The WebSocket. */
    struct net_ws_events ws_events;
    void *ws_data;
    struct nt_buf texts;  /* messages, one per line */
    struct nt_buf binary; /* payloads with their first bytes */
    uint64_t ws_granted;
    uint16_t ws_close_code;

    /* The way out. */
    unsigned rules, forgotten;
};

extern struct stage stage;

void stage_open(void);
/* Checks that nothing is left: operations ended, timers ended. */
void stage_close(void);
/* Calls the handler of that method and pattern. */
void stage_call(const struct routes *routes, const char *method, const char *pattern);

/* The guest's operation that is open; NULL: none. */
struct guest_op *stage_op(void);
uint16_t stage_op_type(void);             /* of its request */
const char *stage_op_texts(uint16_t tag); /* its texts of that tag, each followed by '|' */
uint64_t stage_op_number(uint16_t tag);
const char *stage_op_sent(void); /* "20:abc 4:" type and raw payload of what was sent after it */
bool stage_op_cancelled(void);
uint32_t stage_op_beats_ms(void); /* how long it may be silent; 0: for ever */
bool stage_op_waits(void);        /* bytes were given and not consumed */
void stage_op_full(bool full);    /* guest_op_send says: wait */
/* The guest speaks. */
struct stage_field {
    uint16_t tag;
    uint64_t number;
    const char *text; /* NULL: the number */
};
void stage_hello(uint64_t caps);
void stage_frame(uint16_t type, const struct stage_field *fields, unsigned count);
#define STAGE_FRAME(type, ...)                                                                     \
    stage_frame(type, (const struct stage_field[]){ __VA_ARGS__ },                                 \
                sizeof((const struct stage_field[]){ __VA_ARGS__ }) / sizeof(struct stage_field))
void stage_bytes(uint16_t type, const char *bytes, size_t size);
void stage_sent(void);
/* The operation ends: code 0 well; else guest_code NT_GE_* (0: the connection) and sys. A cancelled
 * one ends so. */
void stage_end(uint32_t code, uint32_t guest_code, int sys);

/* The peer. */
void stage_message(const char *bytes, size_t size, bool is_text, bool last);
void stage_ws_closed(void);
void stage_lent_back(void);
void stage_timers(void); /* all that run fire */

#endif
