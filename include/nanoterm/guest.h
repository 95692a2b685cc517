/* SPDX-License-Identifier: Apache-2.0 */
/* guest.h - the guest protocol, version 1: what is spoken on a stream to nanoterm-guest, PID 1 of a
 * workspace.
 *
 * A stream carries one operation. The guest speaks first (NT_G_HELLO); the other side need not wait
 * for it. Then one request frame, the frames that belong to it, and the end of the stream. All
 * numbers are little-endian. A frame is a head of 8 bytes and `size` bytes of payload; NT_G_DATA,
 * _STDIN, _STDOUT and _STDERR carry raw bytes, all others a list of fields: tag (2), reserved (2,
 * zero), length (4), bytes. Numbers are fields of 8 bytes; texts are UTF-8 or, for paths and
 * arguments, any bytes without NUL.
 *
 * Growth: a reader skips tags that it does not know and answers an unknown request with
 * NT_GE_UNSUPPORTED; numbers are added, never changed; capability bits say what a guest can do. A
 * guest is never restarted by an upgrade, so a server must speak to every older guest of version 1.
 *
 * Foreign bytes: either side may be hostile to the other. A frame above NT_G_FRAME_MAX, a field
 * that runs over its frame, or a frame out of order ends the stream. */
#ifndef NANOTERM_GUEST_H
#define NANOTERM_GUEST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NT_G_VERSION 1u
#define NT_G_HEAD 8u
#define NT_G_FRAME_MAX (256u * 1024u) /* payload bytes */
#define NT_G_CHUNK (64u * 1024u)      /* what a sender of raw bytes should put in a frame */

/* Frame types. "→" to the guest, "←" from it. */
enum {
    NT_G_HELLO = 1, /* ← VERSION CAPS NONCE(16 bytes) PID */
    NT_G_OK = 2,    /* ← the request is done, or may go on; fields as said there */
    NT_G_ERROR = 3, /* ← CODE ERRNO MESSAGE; ends the operation */
    NT_G_END = 4,   /* both: no more raw bytes or entries; fields as said there */
    NT_G_ENTRY = 5, /* ← one entry of a listing */
    NT_G_DATA = 6,  /* both: bytes of a file */

    /* Programs. */
    NT_G_EXEC = 16, /* → ARG… ENV… CWD FLAGS(NT_GX_*) TIMEOUT_MS ← STARTED STDOUT/STDERR… EXIT */
    NT_G_STARTED = 17,   /* ← PID */
    NT_G_STDIN = 18,     /* → bytes */
    NT_G_STDIN_END = 19, /* → end of file on its standard input */
    NT_G_STDOUT = 20,    /* ← bytes */
    NT_G_STDERR = 21,    /* ← bytes */
    /* → SIGNAL: to the process group of the program; NT_GX_TREE in FLAGS: SIGKILL to all its
     * tree */
    NT_G_SIGNAL = 22,
    NT_G_EXIT =
        23, /* ← STATUS(0..255) REASON(NT_GR_*) SIGNAL OUT_BYTES ERR_BYTES; ends the operation */
    /* → PID ← STARTED, its output from the first byte, then live; EXIT. Never kills it */
    NT_G_ATTACH = 24,
    /* → PID ← STDOUT/STDERR… in the order written, END: RUNNING, STATUS when it has ended */
    NT_G_LOGS = 25,
    /* ← ENTRY…: PID COMMAND RUNNING STATUS: programs started by EXEC, ended ones too; END */
    NT_G_PROCS = 26,
    /* → PID SIGNAL FLAGS(NT_GX_TREE) ← OK; the process is one of PROCS. TREE: OK when none is
     * left */
    NT_G_KILL = 27,
    NT_G_FEED = 28, /* → PID, then STDIN…, END (STDIN_END before it closes its stdin) ← OK */

    /* Files. Relative paths start at /workspace. */
    NT_G_STAT = 48, /* → PATH ← OK: entry fields */
    NT_G_LIST = 49, /* → PATH DEPTH(default 1) ← ENTRY…: entry fields with full PATH; END */
    NT_G_READ = 50, /* → PATH OFFSET SIZE ← OK: entry fields; DATA…; END: OUT_BYTES */
    NT_G_WRITE = 51, /* → PATH MODE FLAGS(NT_GF_*) ← OK → DATA…, END: COUNT (bytes sent) ← OK: entry
                        fields. Written beside, synced, renamed: the old content stays until then */
    NT_G_MKDIR = 52,  /* → PATH MODE ← OK; parents too; done when it is there */
    NT_G_REMOVE = 53, /* → PATH ← OK; folders with all that is in them */
    NT_G_RENAME = 54, /* → PATH PATH2 ← OK: entry fields */

    /* The workspace. */
    NT_G_CONFIGURE = 80, /* → ENV… (of every later EXEC) TTL_MS (from now; 0: none) IDLE_MS ← OK */
    /* ← OK: CPU_US CPU_COUNT MEM_USED MEM_TOTAL DISK_USED DISK_TOTAL NET_RX NET_TX */
    NT_G_METRICS = 81,
    NT_G_SHUTDOWN = 82, /* → TIMEOUT_MS ← OK, when only the guest is left; then it ends */
    /* → one descriptor (SCM_RIGHTS): a connection that may do one foreground EXEC ← OK */
    NT_G_ADOPT = 83,
    /* ← OK with one descriptor: the listener of the way out; NT_GE_NOT_FOUND: none */
    NT_G_LISTENER = 84,
    NT_G_PING = 85, /* ← OK */
};

/* FLAGS of NT_G_EXEC, NT_G_SIGNAL, NT_G_KILL. */
/* output is kept for LOGS; lives on when the stream closes after STARTED */
#define NT_GX_BACKGROUND 0x1u
/* STDIN frames will come; without it (and without FD_STDIN) stdin is empty */
#define NT_GX_STDIN 0x2u
#define NT_GX_FD_STDIN 0x4u /* SCM_RIGHTS carries this one; a pipe in the right direction */
#define NT_GX_FD_STDOUT 0x8u
#define NT_GX_FD_STDERR 0x10u
#define NT_GX_TREE 0x20u

/* FLAGS of NT_G_WRITE. */
#define NT_GF_PARENTS 0x1u /* make missing folders */

/* NT_GT_CODE: what NT_G_ERROR means. */
enum {
    NT_GE_SYSTEM = 1, /* see ERRNO */
    NT_GE_NOT_FOUND = 2,
    NT_GE_INVALID = 3,
    NT_GE_UNSUPPORTED = 4,
    NT_GE_LIMIT = 5,
    /* the program could not be started: ERRNO of exec or chdir. ENOENT: 127, else 126 */
    NT_GE_NOT_STARTED = 6,
    NT_GE_BAD_DESCRIPTOR = 7,
    NT_GE_NOT_ALLOWED = 8, /* not on an adopted connection */
    NT_GE_MISMATCH = 9,    /* COUNT of END is not what came */
};

/* NT_GT_REASON of NT_G_EXIT. */
enum {
    NT_GR_EXITED = 1,
    NT_GR_SIGNALED = 2,
    NT_GR_TIMEOUT = 3, /* TIMEOUT_MS passed; the whole tree is gone */
    NT_GR_KILLED = 4,  /* by NT_G_KILL or NT_G_SIGNAL with NT_GX_TREE */
    NT_GR_MEMORY = 5,  /* killed for memory, by the counters */
    NT_GR_LOST = 6,    /* its supervisor was killed: the status is not known */
};

/* Tags. N: number of 8 bytes, T: text or bytes. */
enum {
    NT_GT_VERSION = 1,     /* N */
    NT_GT_CAPS = 2,        /* N, NT_GC_* */
    NT_GT_NONCE = 3,       /* 16 bytes, new at every start of the guest */
    NT_GT_PID = 4,         /* N, as seen inside */
    NT_GT_CODE = 5,        /* N, NT_GE_* */
    NT_GT_ERRNO = 6,       /* N */
    NT_GT_MESSAGE = 7,     /* T */
    NT_GT_ARG = 8,         /* T, repeated */
    NT_GT_ENV = 9,         /* T "NAME=value", repeated */
    NT_GT_CWD = 10,        /* T */
    NT_GT_FLAGS = 11,      /* N */
    NT_GT_TIMEOUT_MS = 12, /* N, 0: none */
    NT_GT_SIGNAL = 13,     /* N */
    NT_GT_STATUS = 14,     /* N */
    NT_GT_REASON = 15,     /* N */
    NT_GT_OUT_BYTES = 16,  /* N */
    NT_GT_ERR_BYTES = 17,  /* N */
    NT_GT_COMMAND = 18,    /* T */
    NT_GT_RUNNING = 19,    /* N 0/1 */
    NT_GT_PATH = 20,       /* T */
    NT_GT_PATH2 = 21,      /* T */
    NT_GT_OFFSET = 22,     /* N */
    NT_GT_SIZE = 23,       /* N */
    NT_GT_MODE = 24,       /* N, st_mode (with type in entries) */
    NT_GT_MTIME_NS = 25,   /* N, since 1970 */
    NT_GT_UID = 26,        /* N */
    NT_GT_GID = 27,        /* N */
    NT_GT_OWNER = 28,      /* T */
    NT_GT_GROUP = 29,      /* T */
    NT_GT_TARGET = 30,     /* T, of a symbolic link */
    NT_GT_DEPTH = 31,      /* N */
    NT_GT_COUNT = 32,      /* N */
    NT_GT_TTL_MS = 33,     /* N */
    NT_GT_IDLE_MS = 34,    /* N */
    NT_GT_CPU_US = 35,     /* N */
    NT_GT_CPU_COUNT = 36,  /* N */
    NT_GT_MEM_USED = 37,   /* N bytes */
    NT_GT_MEM_TOTAL = 38,  /* N bytes */
    NT_GT_DISK_USED = 39,  /* N bytes */
    NT_GT_DISK_TOTAL = 40, /* N bytes */
    NT_GT_NET_RX = 41,     /* N bytes */
    NT_GT_NET_TX = 42,     /* N bytes */
};
/* Entry fields: PATH MODE SIZE MTIME_NS UID GID OWNER GROUP, TARGET for a symbolic link. */

/* NT_GT_CAPS */
#define NT_GC_EXEC 0x1u
#define NT_GC_FILES 0x2u
#define NT_GC_ADOPT 0x4u

/* --- writing ------------------------------------------------------------------------------- */

/* Builds one frame in memory of the caller. A failure sticks; nt_g_done returns 0 then. */
struct nt_g_writer {
    uint8_t *data;
    size_t cap;
    size_t size;
    uint32_t failed;
    uint32_t reserved;
};

static inline void nt_g_store(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t nt_g_load(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

/* Starts a frame of that type. cap should be NT_G_HEAD + NT_G_FRAME_MAX, less where the fields are
 * known. */
static inline struct nt_g_writer nt_g_begin(void *memory, size_t cap, uint16_t type)
{
    struct nt_g_writer w = { (uint8_t *)memory, cap, NT_G_HEAD, 0, 0 };
    if (cap < NT_G_HEAD) {
        w.failed = 1;
        return w;
    }
    memset(w.data, 0, NT_G_HEAD);
    nt_g_store(w.data + 4, type, 2);
    return w;
}

static inline void nt_g_add(struct nt_g_writer *w, uint16_t tag, const void *bytes, size_t size)
{
    if (w->failed || size > NT_G_FRAME_MAX || w->cap - w->size < 8 || w->cap - w->size - 8 < size
        || w->size - NT_G_HEAD + 8 + size > NT_G_FRAME_MAX) {
        w->failed = 1;
        return;
    }
    nt_g_store(w->data + w->size, tag, 2);
    nt_g_store(w->data + w->size + 2, 0, 2);
    nt_g_store(w->data + w->size + 4, size, 4);
    if (size)
        memcpy(w->data + w->size + 8, bytes, size);
    w->size += 8 + size;
}

static inline void nt_g_add_text(struct nt_g_writer *w, uint16_t tag, const char *text)
{
    nt_g_add(w, tag, text, strlen(text));
}

static inline void nt_g_add_number(struct nt_g_writer *w, uint16_t tag, uint64_t value)
{
    uint8_t bytes[8];
    nt_g_store(bytes, value, 8);
    nt_g_add(w, tag, bytes, sizeof(bytes));
}

/* Finishes the frame: the number of bytes to send, head included; 0: it did not fit. */
static inline size_t nt_g_done(struct nt_g_writer *w)
{
    if (w->failed)
        return 0;
    nt_g_store(w->data, w->size - NT_G_HEAD, 4);
    return w->size;
}

/* Head of a frame of raw bytes. */
static inline void nt_g_head(uint8_t head[NT_G_HEAD], uint16_t type, uint32_t size)
{
    nt_g_store(head, size, 4);
    nt_g_store(head + 4, type, 2);
    nt_g_store(head + 6, 0, 2);
}

/* --- reading ------------------------------------------------------------------------------- */

/* One frame in a buffer. */
struct nt_g_frame {
    const uint8_t *payload;
    uint32_t size; /* of the payload */
    uint16_t type;
    uint16_t reserved;
};

/* Looks at the frame at the start of the buffer: bytes it takes, 0: more is needed, -1: not a
 * frame. */
static inline int64_t nt_g_next(const uint8_t *data, size_t size, struct nt_g_frame *ret)
{
    if (size < NT_G_HEAD)
        return 0;
    uint32_t length = (uint32_t)nt_g_load(data, 4);
    if (length > NT_G_FRAME_MAX)
        return -1;
    if (size - NT_G_HEAD < length)
        return 0;
    ret->payload = data + NT_G_HEAD;
    ret->size = length;
    ret->type = (uint16_t)nt_g_load(data + 4, 2);
    ret->reserved = 0;
    return (int64_t)NT_G_HEAD + length;
}

/* One field. */
struct nt_g_field {
    const uint8_t *data;
    uint32_t size;
    uint16_t tag;
    uint16_t reserved;
};

/* Walks the fields of a payload; *at starts at 0. 1: one came, 0: the end, -1: malformed. */
static inline int nt_g_each(const uint8_t *payload, size_t size, size_t *at, struct nt_g_field *ret)
{
    if (*at == size)
        return 0;
    if (*at > size || size - *at < 8)
        return -1;
    uint32_t length = (uint32_t)nt_g_load(payload + *at + 4, 4);
    if (length > size - *at - 8)
        return -1;
    ret->tag = (uint16_t)nt_g_load(payload + *at, 2);
    ret->reserved = 0;
    ret->size = length;
    ret->data = payload + *at + 8;
    *at += 8 + (size_t)length;
    return 1;
}

/* The number in a field; a field of another size counts as malformed and gives 0 with *ok
 * cleared. */
static inline uint64_t nt_g_number(const struct nt_g_field *field, int *ok)
{
    if (field->size != 8) {
        *ok = 0;
        return 0;
    }
    return nt_g_load(field->data, 8);
}

#endif
