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
    NT_G_BEAT = 7,  /* ← nothing else was sent for BEAT_MS (of the request): the guest is alive */
    NT_G_HOLE = 8,  /* both: SIZE bytes of a file that are zero and not stored */

    /* Programs. EXEC starts one:
     * → ARG… ENV… CWD FLAGS(NT_GX_*) TIMEOUT_MS ID LOG COLS ROWS BEAT_MS
     * ← STARTED STDOUT/STDERR… EXIT
     * ID names it for ATTACH, LOGS, KILL, FEED ("job_…", "pty_…"; the server's choice; not given:
     * the guest makes one). LOG: a file of the workspace that gets both outputs as well (emptied
     * first); when the program has ended, `LOG.exit` is written exactly once: the status in decimal
     * and a newline. */
    NT_G_EXEC = 16,
    NT_G_STARTED = 17,   /* ← PID ID; after ATTACH also FLAGS OFFSET COLS ROWS */
    NT_G_STDIN = 18,     /* → bytes */
    NT_G_STDIN_END = 19, /* → end of file on its standard input */
    NT_G_STDOUT = 20,    /* ← bytes */
    NT_G_STDERR = 21,    /* ← bytes */
    /* → SIGNAL: to the process group of the program; NT_GX_TREE in FLAGS: SIGKILL to all its
     * tree; NT_GX_HANG_UP: its terminal is closed */
    NT_G_SIGNAL = 22,
    /* ← STATUS(0..255) REASON(NT_GR_*) SIGNAL OUT_BYTES ERR_BYTES HITS(NT_GH_*); ends the
     * operation */
    NT_G_EXIT = 23,
    /* → PID or ID (neither: the running program with NT_GX_AGENT), OFFSET, FLAGS(NT_GX_READ_ONLY),
     * COLS ROWS, BEAT_MS ← STARTED, its output from OFFSET (default: the first byte kept), then
     * live; EXIT. Never kills it. With a terminal STDIN and RESIZE are taken, unless read-only, and
     * what comes first makes the screen right: modes, then the output kept. */
    NT_G_ATTACH = 24,
    /* → PID or ID, OFFSET SIZE(at the most) ← STDOUT/STDERR… in the order written, END: RUNNING,
     * OFFSET (of what comes next), OUT_BYTES ERR_BYTES (kept from 0 on), MESSAGE when not all was
     * kept; fields of EXIT when it has ended */
    NT_G_LOGS = 25,
    /* ← ENTRY…: PID ID COMMAND RUNNING FLAGS STARTED_MS OUT_BYTES ERR_BYTES, LOG, COLS ROWS with a
     * terminal, ENDED_MS STATUS REASON SIGNAL HITS when it has ended, MESSAGE when not all of its
     * output was kept: programs started by EXEC, ended ones too; END */
    NT_G_PROCS = 26,
    /* → PID or ID, SIGNAL FLAGS(NT_GX_TREE) ← OK; the process is one of PROCS. TREE: OK when none
     * is left */
    NT_G_KILL = 27,
    /* → PID or ID, then STDIN…, END (STDIN_END before it closes its stdin) ← OK */
    NT_G_FEED = 28,
    /* → COLS ROWS: of the terminal of the program of this stream; what it has already: the program
     * is made to draw all of its screen */
    NT_G_RESIZE = 29,

    /* Files. Relative paths start at /workspace. */
    NT_G_STAT = 48, /* → PATH ← OK: entry fields */
    NT_G_LIST = 49, /* → PATH DEPTH(default 1) ← ENTRY…: entry fields with full PATH; END */
    /* → PATH OFFSET SIZE FLAGS(NT_GF_PASS_FD) ← OK: entry fields, ID (of the file itself, whatever
     * its name); DATA…; END: OUT_BYTES */
    NT_G_READ = 50,
    /* → PATH NAME MODE MTIME_NS FLAGS(NT_GF_*) ← OK → DATA…, END: COUNT (bytes sent) ← OK: entry fields.
     * NAME: its name when PATH is a folder or ends with a slash. Written beside, synced, renamed:
     * the old content stays until then */
    NT_G_WRITE = 51,
    NT_G_MKDIR = 52,  /* → PATH MODE ← OK; parents too; done when it is there */
    NT_G_REMOVE = 53, /* → PATH ← OK; folders with all that is in them */
    NT_G_RENAME = 54, /* → PATH PATH2 ← OK: entry fields */
    NT_G_CHMOD = 55,  /* → PATH MODE ← OK */
    /* Lines that match: → PATH PATTERN COUNT(at the most) ← ENTRY…: PATH LINE TEXT; END: COUNT.
     * PATTERN is a POSIX extended regular expression, else taken literally */
    NT_G_GREP = 56,
    NT_G_GLOB = 57,    /* names that match: → PATH PATTERN COUNT ← ENTRY…: PATH; END: COUNT */
    NT_G_REPLACE = 58, /* → ARG…(paths) PATTERN TEXT ← OK: COUNT (replacements) */
    /* → PATH FLAGS(NT_GF_RECURSIVE) TIMEOUT_MS BEAT_MS ← OK, ENTRY…: EVENT(NT_GW_*) NAME PATH; END
     * after TIMEOUT_MS */
    NT_G_WATCH = 59,
    /* A tree, or one file: → PATH ← OK: entry fields of PATH; for it and each below it, a folder
     * directly before what is in it: ENTRY: PATH relative to the request's ("" for itself), MODE
     * SIZE MTIME_NS UID GID, TARGET, LINK; a regular file without LINK is followed by DATA/HOLE…
     * up to its SIZE; END: COUNT OUT_BYTES (of entries, of content with holes).
     * LINK: the relative PATH, sent before, of which this is another name. MESSAGE: what of it is
     * not sent. An ENTRY with ERRNO and MESSAGE is none, and not counted: what is missing. */
    NT_G_TREE_READ = 60,
    /* → PATH NAME FLAGS(NT_GF_*) ← OK → the same entries…, END: COUNT OUT_BYTES ← ENTRY…: PATH
     * MESSAGE (could not be kept; with ERRNO: is missing), OK: PATH COUNT OUT_BYTES. NAME: its name
     * when PATH is a folder. Replaced when all is there, by renames. */
    NT_G_TREE_WRITE = 61,

    /* Ports. */
    /* ← ENTRY…: PORT ADDRESS PID COMMAND SINCE_MS of each listener inside; PORT HOST_PORT ADDRESS
     * of each published one; END */
    NT_G_PORTS = 64,
    /* → PORT HOST_PORT ADDRESS and one descriptor: a listening TCP socket of the host; each of its
     * connections goes to PORT on 127.0.0.1 (or ::1) inside ← OK. Once more for the same HOST_PORT
     * replaces it */
    NT_G_PUBLISH = 65,
    NT_G_UNPUBLISH = 66, /* → HOST_PORT ← OK; done when there is none */
    /* → PORT ← OK: connected to it inside. From there on the stream carries its bytes as they are,
     * both ways, with half-close, and no frames */
    NT_G_CONNECT = 67,

    /* The workspace. */
    NT_G_CONFIGURE = 80, /* → ENV… (of every later EXEC) TTL_MS (from now; 0: none) IDLE_MS ← OK */
    /* ← OK: CPU_US CPU_COUNT MEM_USED MEM_TOTAL DISK_USED DISK_TOTAL NET_RX NET_TX PIDS_USED
     * OOM_KILLS PIDS_REFUSED */
    NT_G_METRICS = 81,
    NT_G_SHUTDOWN = 82, /* → TIMEOUT_MS ← OK, when only the guest is left; then it ends */
    /* → one descriptor (SCM_RIGHTS): a connection that may do what local.h says ← OK */
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
/* a terminal of COLS by ROWS is its stdin, stdout and stderr; STDIN and RESIZE frames will come;
 * output comes as STDOUT. Without ARG: the user's login shell */
#define NT_GX_TTY 0x40u
/* when the stream is lost it goes on like a BACKGROUND one; its output is kept from the start */
#define NT_GX_KEEP 0x80u
#define NT_GX_AGENT 0x100u /* the long-running program that ATTACH takes when it names none */
#define NT_GX_READ_ONLY 0x200u
/* of SIGNAL, by who started it in a terminal: hang up as if the stream was lost, whatever KEEP
 * says */
#define NT_GX_HANG_UP 0x400u

/* FLAGS of file operations. */
#define NT_GF_PARENTS 0x1u /* make missing folders */
/* OK carries the descriptor of the regular file itself, read-only for READ (nothing follows then),
 * write-only for WRITE (END: COUNT follows, and no DATA). Nothing goes in: the guest's goes out */
#define NT_GF_PASS_FD 0x2u
#define NT_GF_RECURSIVE 0x4u
#define NT_GF_MERGE 0x8u /* TREE_WRITE: into the folder that is there, file by file */

/* EVENT of NT_G_WATCH. */
enum {
    NT_GW_CREATE = 1,
    NT_GW_WRITE = 2,
    NT_GW_REMOVE = 3,
    NT_GW_RENAME = 4,
    NT_GW_CHMOD = 5,
    NT_GW_RESYNC = 6, /* events were lost: look again */
};

/* HITS of NT_G_EXIT: limits that this workspace ran into while the program ran, by the counters of
 * the kernel. */
#define NT_GH_MEMORY 0x1u
#define NT_GH_PIDS 0x2u
#define NT_GH_DISK 0x4u

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
    NT_GT_VERSION = 1,       /* N */
    NT_GT_CAPS = 2,          /* N, NT_GC_* */
    NT_GT_NONCE = 3,         /* 16 bytes, new at every start of the guest */
    NT_GT_PID = 4,           /* N, as seen inside */
    NT_GT_CODE = 5,          /* N, NT_GE_* */
    NT_GT_ERRNO = 6,         /* N */
    NT_GT_MESSAGE = 7,       /* T */
    NT_GT_ARG = 8,           /* T, repeated */
    NT_GT_ENV = 9,           /* T "NAME=value", repeated */
    NT_GT_CWD = 10,          /* T */
    NT_GT_FLAGS = 11,        /* N */
    NT_GT_TIMEOUT_MS = 12,   /* N, 0: none */
    NT_GT_SIGNAL = 13,       /* N */
    NT_GT_STATUS = 14,       /* N */
    NT_GT_REASON = 15,       /* N */
    NT_GT_OUT_BYTES = 16,    /* N */
    NT_GT_ERR_BYTES = 17,    /* N */
    NT_GT_COMMAND = 18,      /* T */
    NT_GT_RUNNING = 19,      /* N 0/1 */
    NT_GT_PATH = 20,         /* T */
    NT_GT_PATH2 = 21,        /* T */
    NT_GT_OFFSET = 22,       /* N */
    NT_GT_SIZE = 23,         /* N */
    NT_GT_MODE = 24,         /* N, st_mode (with type in entries) */
    NT_GT_MTIME_NS = 25,     /* N, since 1970 */
    NT_GT_UID = 26,          /* N */
    NT_GT_GID = 27,          /* N */
    NT_GT_OWNER = 28,        /* T */
    NT_GT_GROUP = 29,        /* T */
    NT_GT_TARGET = 30,       /* T, of a symbolic link */
    NT_GT_DEPTH = 31,        /* N */
    NT_GT_COUNT = 32,        /* N */
    NT_GT_TTL_MS = 33,       /* N */
    NT_GT_IDLE_MS = 34,      /* N */
    NT_GT_CPU_US = 35,       /* N */
    NT_GT_CPU_COUNT = 36,    /* N */
    NT_GT_MEM_USED = 37,     /* N bytes */
    NT_GT_MEM_TOTAL = 38,    /* N bytes */
    NT_GT_DISK_USED = 39,    /* N bytes */
    NT_GT_DISK_TOTAL = 40,   /* N bytes */
    NT_GT_NET_RX = 41,       /* N bytes */
    NT_GT_NET_TX = 42,       /* N bytes */
    NT_GT_COLS = 43,         /* N, 1..65535 */
    NT_GT_ROWS = 44,         /* N, 1..65535 */
    NT_GT_BEAT_MS = 45,      /* N, 0: none */
    NT_GT_ID = 46,           /* T, at most 40 of a-z 0-9 _ */
    NT_GT_LOG = 47,          /* T, a path */
    NT_GT_STARTED_MS = 48,   /* N, unix milliseconds */
    NT_GT_ENDED_MS = 49,     /* N, unix milliseconds */
    NT_GT_HITS = 50,         /* N, NT_GH_* */
    NT_GT_PATTERN = 51,      /* T */
    NT_GT_TEXT = 52,         /* T */
    NT_GT_LINE = 53,         /* N, from 1 */
    NT_GT_EVENT = 54,        /* N, NT_GW_* */
    NT_GT_NAME = 55,         /* T */
    NT_GT_LINK = 56,         /* T */
    NT_GT_PORT = 57,         /* N, inside */
    NT_GT_HOST_PORT = 58,    /* N, on the host */
    NT_GT_ADDRESS = 59,      /* T, "127.0.0.1", "::" */
    NT_GT_SINCE_MS = 60,     /* N, unix milliseconds */
    NT_GT_PIDS_USED = 61,    /* N */
    NT_GT_OOM_KILLS = 62,    /* N, since the workspace has started */
    NT_GT_PIDS_REFUSED = 63, /* N, the same */
    NT_GT_LAST = 63,
};
/* Output has one numbering: OFFSET counts the bytes of both streams in the order in which they were
 * read, from 0. EXIT after ATTACH counts what was kept, from 0: OFFSET of STARTED and what came
 * after it are OUT_BYTES and ERR_BYTES together. */
/* Entry fields: PATH MODE SIZE MTIME_NS UID GID OWNER GROUP, TARGET for a symbolic link. */

/* NT_GT_CAPS */
#define NT_GC_EXEC 0x1u
#define NT_GC_FILES 0x2u
#define NT_GC_ADOPT 0x4u
#define NT_GC_JOBS 0x8u     /* ID, LOG, OFFSET, NT_GX_KEEP */
#define NT_GC_TTY 0x10u     /* NT_GX_TTY, NT_GX_AGENT, NT_G_RESIZE */
#define NT_GC_SEARCH 0x20u  /* NT_G_CHMOD, _GREP, _GLOB, _REPLACE, _WATCH */
#define NT_GC_TREES 0x40u   /* NT_G_TREE_READ, _WRITE, NT_G_HOLE */
#define NT_GC_PASS_FD 0x80u /* NT_GF_PASS_FD */
#define NT_GC_PORTS 0x100u
#define NT_GC_BEAT 0x200u    /* BEAT_MS is honoured */
#define NT_GC_HANG_UP 0x400u /* NT_GX_HANG_UP */

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

/* What a known tag holds: 1 text (never NUL), 0 a number. The nonce is neither, but counts as
 * text. */
static inline int nt_g_is_text(uint16_t tag)
{
    switch (tag) {
    case NT_GT_NONCE:
    case NT_GT_MESSAGE:
    case NT_GT_ARG:
    case NT_GT_ENV:
    case NT_GT_CWD:
    case NT_GT_COMMAND:
    case NT_GT_PATH:
    case NT_GT_PATH2:
    case NT_GT_OWNER:
    case NT_GT_GROUP:
    case NT_GT_TARGET:
    case NT_GT_ID:
    case NT_GT_LOG:
    case NT_GT_PATTERN:
    case NT_GT_TEXT:
    case NT_GT_NAME:
    case NT_GT_LINK:
    case NT_GT_ADDRESS:
        return 1;
    default:
        return 0;
    }
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
