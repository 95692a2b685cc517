/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.h - what a plugin exports: one const descriptor made of tables.
 *
 * A plugin is a shared object with one exported function, nt_plugin_v1, which returns a descriptor.
 * Parsing, help, the catalog, completion and man pages are derived from its tables; its functions
 * are called with values already parsed, bounded and typed.
 *
 * Growth: members are added at the end with "since 1.N", never moved or retyped; zero means absent;
 * rows are read through their stride. A table or a text lives as long as the plugin is loaded (for
 * ever). */
#ifndef NANOTERM_PLUGIN_H
#define NANOTERM_PLUGIN_H

#include "nanoterm/error.h"
#include "nanoterm/stream.h"

#define NT_ABI 1u
#ifdef __cplusplus
#define NT_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define NT_EXPORT __attribute__((visibility("default")))
#endif

struct nt_call;
struct nt_host;

/* Types of arguments, options and result columns. An unknown type is treated as NT_TEXT. */
enum {
    NT_TEXT = 0, /* any text without NUL, as typed */
    NT_FLAG = 1, /* options only: present or not; `--no-NAME` unsets it */
    NT_INT = 2,  /* decimal, bounded by min and max when they differ */
    /* 250ms, 10s, 5m, 2h, a bare number is seconds; the value is milliseconds */
    NT_DURATION_MS = 3,
    NT_SIZE_BYTES = 4, /* 512, 64k, 10M, 2G (powers of 1024) */
    NT_CHOICE = 5,     /* one of `choices` */
    /* an id of this tool: prefix_ and [a-z0-9], or a name; at most 128 bytes, no slash */
    NT_ID = 6,
    NT_PATH = 7,  /* a path on this machine */
    NT_JSON = 8,  /* a JSON value */
    NT_BOOL = 9,  /* columns only */
    NT_TIME = 10, /* columns only: RFC 3339 UTC text */
    NT_REAL = 11, /* columns only */
};

/* options: may be repeated. arguments: takes all that remain, at least one. Since 1.1 also for
 * NT_FLAG: nt_host.number says how often it was given (-vvv) */
#define NT_MANY 0x1u
#define NT_OPTIONAL 0x2u  /* arguments: may be missing; with NT_MANY: none is fine */
#define NT_REST 0x4u      /* arguments: the words behind `--`, untouched; the last row */
#define NT_HIDDEN 0x8u    /* works, but is not shown in help */
#define NT_REQUIRED 0x10u /* options: must be given */
#define NT_SECRET 0x20u   /* the value is never logged or shown */
#define NT_WIDE 0x40u     /* columns: not in the table unless asked for with --fields */
/* Since 1.1: options: takes two words; with NT_MANY nt_host.text_at gives first, second, first,
 * second… `arg` names both ("ref> <var"). */
#define NT_PAIR 0x80u

/* A positional argument. */
struct nt_arg {
    const char *name; /* as in help and for nt_host.text: "workspace-id" */
    const char *help;
    const char *complete; /* offered: "ws.ids", "files", "dirs", ":word|word", "kind:word|word" */
    uint32_t type;
    uint32_t flags;
};

/* An option. Names are without dashes. */
struct nt_opt {
    const char *name;
    const char *help;
    const char *arg;      /* word for the value in help; NULL: the type's own */
    const char *fallback; /* default, as a user would type it; NULL: absent */
    const char *env;      /* environment variable read when the option is not given; NULL: none */
    const char *choices;  /* NT_CHOICE: "small|medium|large" */
    const char *complete;
    const char *conflicts; /* names of options that exclude this one, separated by spaces */
    int64_t min, max;      /* both bounds count; equal: unbounded */
    uint32_t letter;       /* short form, an ASCII letter; 0: none */
    uint32_t type;
    uint32_t flags;
    uint32_t reserved;
};

/* A line that a user can type, without the program's name, and why. Every example is run by a
 * test. */
struct nt_example {
    const char *command;
    const char *note;
};

/* A column of the result. `path` finds it in the object given to emit_json: keys separated by dots;
 * NULL: the same as name. */
struct nt_column {
    const char *name;  /* the key in --json and --fields */
    const char *title; /* the heading; NULL: the name in capitals */
    const char *path;
    const char *help;
    uint32_t type;
    uint32_t flags;
    /* since 1.1: NT_JSON: a JSON Schema of the value as text; null is allowed in any case. NULL:
     * any value */
    const char *schema;
};

/* Another spelling of a command: a whole path. */
struct nt_alias {
    const char *path;
    uint32_t flags; /* NT_HIDDEN */
    uint32_t reserved;
};

/* An error of this plugin. Its number starts at NT_E_PLUGIN_FIRST; its text is "vendor.code". */
struct nt_error_row {
    const char *text;
    const char *kind;
    const char *help; /* what the user can do */
    uint32_t number;
    uint32_t exit_status;
    uint32_t retry;
    uint32_t reserved;
};

/* nt_command.effects: what the command does to the world. */
#define NT_LOCAL 0x1u       /* reads or writes this machine */
#define NT_REMOTE 0x2u      /* talks to the API */
#define NT_WRITES 0x4u      /* changes something */
#define NT_DESTROYS 0x8u    /* what it removes cannot be had back */
#define NT_IDEMPOTENT 0x10u /* twice is the same as once */
#define NT_RUNS 0x20u       /* runs a program; the exit status can be the program's */

/* nt_command.result: what stdout carries with --json. */
enum {
    NT_RESULT_NONE = 0,   /* nothing, or bytes of a program */
    NT_RESULT_ONE = 1,    /* one object */
    NT_RESULT_LIST = 2,   /* one array */
    NT_RESULT_STREAM = 3, /* one JSON line per row, as it comes */
};

/* A command. */
struct nt_command {
    const char *path;        /* words separated by one space: "ws create" */
    const char *summary;     /* one line, no full stop */
    const char *description; /* paragraphs for --help; NULL: none */
    /* Runs it. Arguments are read with nt_host.text and friends. 0, or -1 with reterr filled. */
    int (*run)(struct nt_call *call, struct nt_error *reterr);
    struct nt_table args;     /* of struct nt_arg */
    struct nt_table opts;     /* of struct nt_opt */
    struct nt_table examples; /* of struct nt_example, at least one */
    struct nt_table columns;  /* of struct nt_column; the first is the id where there is one */
    struct nt_table errors;   /* of uint32_t: the codes it is known to end with */
    struct nt_table aliases;  /* of struct nt_alias */
    uint64_t effects;         /* NT_REMOTE | ... */
    uint32_t result;          /* NT_RESULT_* */
    uint32_t flags;           /* NT_HIDDEN */
    int64_t timeout_ms;       /* deadline unless --timeout; 0: the core's default; -1: none */
};

#define NT_GROUP_OPEN 0x1u /* other plugins may add subcommands */

/* A word that commands share: "ws". */
struct nt_group {
    const char *name;
    const char *summary;
    uint32_t flags;
    uint32_t reserved;
};

/* Something this plugin lends to others: "nanoterm.engine/1" with its const struct of functions. */
struct nt_service {
    const char *name;     /* interface and version */
    const char *instance; /* which one: "native" */
    const void *ops;
};

/* nt_need.kind; an unknown one allows nothing. What the value of each looks like: */
enum {
    /* "GET /v1/sandboxes/{}/files/{...}": a method, or ANY for all but UPGRADE; a path whose
     * segments may be {} (any one) and, as the last, {...} (any that follow, or none). UPGRADE is
     * what nt_host.upgrade_local and a WebSocket (NT_OPEN_WS) ask for. */
    NT_NEED_ROUTE = 1,
    NT_NEED_HOST = 2,  /* "api.example.com:443": for nt_host.connect */
    NT_NEED_READ = 3,  /* a file or a folder: "~/.config/foo", "$PWD", "/etc/foo.conf" */
    NT_NEED_WRITE = 4, /* the same, to read and write; what is not there yet cannot be allowed */
    NT_NEED_PROGRAM =
        5, /* a program to start: "git" (of /usr/local/bin, /usr/bin, /bin) or a path */
};

/* Since 1.1: something beyond its own memory that the plugin uses, and why. Whoever installs the
 * plugin is shown it; a plugin of others gets nothing else. */
struct nt_need {
    const char *value;
    const char *why; /* one line for the person who is asked */
    uint32_t kind;   /* NT_NEED_* */
    uint32_t reserved;
};

/* The descriptor. */
struct nt_plugin {
    uint32_t size; /* NT_PLUGIN_HEAD sets both */
    uint32_t abi;
    const char *name; /* [a-z][a-z0-9-]*, at most 32 bytes; the file is NAME.so */
    const char *version;
    const char *summary;
    const char *vendor;       /* who made it; NULL: unknown */
    struct nt_table groups;   /* of struct nt_group */
    struct nt_table commands; /* of struct nt_command */
    struct nt_table errors;   /* of struct nt_error_row */
    struct nt_table services; /* of struct nt_service */
    /* Called once after loading, before anything else; keeps the pointer. NULL: nothing to do. Must
     * not start threads, open descriptors or print. */
    int (*start)(const struct nt_host *host, struct nt_error *reterr);
    /* since 1.1 */
    struct nt_table needs; /* of struct nt_need */
};

#define NT_PLUGIN_HEAD .size = sizeof(struct nt_plugin), .abi = NT_ABI
#define NT_PLUGIN(desc)                                                                            \
    NT_EXPORT const struct nt_plugin *nt_plugin_v1(void);                                          \
    NT_EXPORT const struct nt_plugin *nt_plugin_v1(void)                                           \
    {                                                                                              \
        return &(desc);                                                                            \
    }                                                                                              \
    _Static_assert(sizeof(desc) == sizeof(struct nt_plugin), "not a plugin descriptor")

/* Sizes of 1.0: a shorter descriptor is refused; shorter rows are refused. */
#define NT_PLUGIN_SIZE_1_0 112u
#define NT_COMMAND_SIZE_1_0 152u
#define NT_OPT_SIZE_1_0 96u
#define NT_ARG_SIZE_1_0 32u
_Static_assert(offsetof(struct nt_plugin, needs) == NT_PLUGIN_SIZE_1_0, "nt_plugin has moved");
_Static_assert(sizeof(struct nt_plugin) == 128, "nt_plugin of 1.1 has moved");
_Static_assert(sizeof(struct nt_need) == 24, "nt_need of 1.1 has moved");
_Static_assert(sizeof(struct nt_command) == NT_COMMAND_SIZE_1_0, "nt_command of 1.0 has moved");
_Static_assert(sizeof(struct nt_opt) == NT_OPT_SIZE_1_0, "nt_opt of 1.0 has moved");
_Static_assert(sizeof(struct nt_arg) == NT_ARG_SIZE_1_0, "nt_arg of 1.0 has moved");
#define NT_COLUMN_SIZE_1_0 40u
_Static_assert(offsetof(struct nt_column, schema) == NT_COLUMN_SIZE_1_0, "nt_column has moved");
_Static_assert(sizeof(struct nt_column) == 48, "nt_column of 1.1 has moved");
_Static_assert(sizeof(struct nt_error_row) == 40, "nt_error_row of 1.0 has moved");
_Static_assert(sizeof(struct nt_alias) == 16, "nt_alias of 1.0 has moved");
_Static_assert(sizeof(struct nt_group) == 24, "nt_group of 1.0 has moved");
_Static_assert(sizeof(struct nt_service) == 24, "nt_service of 1.0 has moved");
_Static_assert(sizeof(struct nt_example) == 16, "nt_example of 1.0 has moved");

#endif
