/* SPDX-License-Identifier: Apache-2.0 */
/* commands_schema.c - the schema of command_policies, put together from its parts. */
#include "plugins/sandbox-enforce/policy/show.h"

#include <stddef.h>

#define TEXTS "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define NAME                                                                                       \
    "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._+-]+$\",\"not\":{\"enum\":[\".\",\"..\","     \
    "\"session\"]}}"
#define NOTHING "{\"enum\":[null,false,[],{}]}" /* what is refused where it says something */
#define OBJECT(properties)                                                                         \
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" properties "}}"
#define NEEDS(required, properties)                                                                \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required                  \
    "],\"properties\":{" properties "}}"

#define VARIABLES                                                                                  \
    "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\",\"minProperties\":1,"      \
    "\"maxProperties\":1,\"additionalProperties\":false,\"properties\":{\"one_of\":" TEXTS         \
    ",\"equals\":{\"type\":\"string\"}}}}"
#define WORDS                                                                                      \
    "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1,\"additionalProperties\":false," \
    "\"properties\":{\"exact\":" TEXTS ",\"prefix\":" TEXTS ",\"contains\":" TEXTS "}}"
#define RULES                                                                                      \
    "{\"type\":\"array\",\"items\":" OBJECT("\"argv\":" WORDS ",\"env\":" VARIABLES                \
                                            ",\"reason\":{\"type\":\"string\"}") "}"
#define DECISION                                                                                   \
    "{\"anyOf\":[{\"enum\":[\"deny\",\"allow\"]}," NEEDS(                                          \
        "\"decision\"", "\"decision\":{\"enum\":[\"deny\",\"allow\"]}") "]}"
#define CREDENTIALS                                                                                \
    "{\"type\":\"array\",\"items\":{\"anyOf\":[" NAME                                              \
    "," NEEDS("\"name\"", "\"name\":" NAME ",\"endpoint_policy\":{\"type\":\"object\"}") "]}}"
#define SANDBOX                                                                                         \
    OBJECT(                                                                                             \
        "\"fs_read\":" TEXTS ",\"fs_read_file\":" TEXTS ",\"fs_write\":" TEXTS                          \
        ",\"fs_write_file\":" TEXTS ",\"unix_socket_bind\":" TEXTS ",\"argv_prepend\":" TEXTS           \
        ",\"use_credentials\":{\"type\":\"array\",\"items\":" NAME                                      \
        "},\"credentials\":" CREDENTIALS                                                                \
        ",\"allow_raw_file_credentials_in_chained_policy\":{\"type\":\"boolean\"}"                      \
        ",\"network\":" OBJECT(                                                                         \
            "\"allow_all\":{\"type\":\"boolean\"},\"allow_domain\":{\"type\":\"array\"}"                \
            ",\"tcp_connect_ports\":" NOTHING                                                           \
            ",\"tcp_bind_ports\":{\"type\":\"array\",\"items\":{\"type\":\"integer\","                  \
            "\"minimum\":1,\"maximum\":65535}}") ",\"environment\":" OBJECT("\"allow_"                  \
                                                                            "vars\":" TEXTS             \
                                                                            ",\"set_vars\":{"           \
                                                                            "\"type\":\"object\","      \
                                                                            "\"additionalProperti"      \
                                                                            "es\":{\"type\":"           \
                                                                            "\"string\"}}") ",\"r"      \
                                                                                            "esou"      \
                                                                                            "rces"      \
                                                                                            "\""        \
                                                                                            ":" NOTHING \
                                                                                            ",\"s"      \
                                                                                            "tdio"      \
                                                                                            "\""        \
                                                                                            ":" NOTHING \
                                                                                            ",\"k"      \
                                                                                            "eych"      \
                                                                                            "ain_"      \
                                                                                            "acce"      \
                                                                                            "ss\""      \
                                                                                            ":{},"      \
                                                                                            "\"al"      \
                                                                                            "low_"      \
                                                                                            "laun"      \
                                                                                            "ch_"       \
                                                                                            "serv"      \
                                                                                            "ices"      \
                                                                                            "\":{"      \
                                                                                            "},"        \
                                                                                            "\"un"      \
                                                                                            "safe"      \
                                                                                            "_mac"      \
                                                                                            "os_"       \
                                                                                            "seat"      \
                                                                                            "belt"      \
                                                                                            "_rul"      \
                                                                                            "es\""      \
                                                                                            ":{},"      \
                                                                                            "\"op"      \
                                                                                            "en_"       \
                                                                                            "urls"      \
                                                                                            "\":{"      \
                                                                                            "}")
#define INVOCATION                                                                                 \
    OBJECT("\"default\":" DECISION ",\"deny\":" RULES ",\"allow\":" RULES ",\"approve\":" NOTHING)
#define EDGE NEEDS("\"sandbox\"", "\"sandbox\":" SANDBOX ",\"invocation_policy\":" INVOCATION)
#define ACTION                                                                                     \
    "{\"anyOf\":[" NEEDS("\"type\"", "\"type\":{\"const\":\"passthrough\"}") "," NEEDS(            \
        "\"type\",\"stdout\"",                                                                     \
        "\"type\":{\"const\":\"respond\"},\"stdout\":{\"type\":"                                   \
        "\"string\"}") "," NEEDS("\"type\",\"command\"", "\"type\":{\"const\":\"exec\"},"          \
                                                         "\"command\":{\"type\":\"array\","        \
                                                         "\"minItems\":1,\"items\":{\"type\":"     \
                                                         "\"string\"}}") "]}"
#define INTERCEPT                                                                                  \
    "{\"oneOf\":[" NEEDS(                                                                          \
        "\"args\",\"action\"",                                                                     \
        "\"args\":" TEXTS                                                                          \
        ",\"action\":" ACTION) "," NEEDS("\"match\",\"action\"",                                   \
                                         "\"match\":" OBJECT(                                      \
                                             "\"argv\":" WORDS                                     \
                                             ",\"env\":" VARIABLES) ",\"action\":" ACTION) "]}"

/* A literal of C holds four thousand characters at least: so the rows are read apart. */
static const struct {
    const char *in, *name, *schema; /* in: NULL of the key itself, else of each command */
} rows[] = {
    { NULL, "executable_dirs", TEXTS },
    { NULL, "session_export_env", TEXTS },
    { NULL, "deny_direct_exec_bypass", TEXTS },
    { NULL, "entrypoint", NAME },
    { NULL, "allow_writable_executables", NOTHING },
    { NULL, "approval_backends", NOTHING },
    { NULL, "approval_defaults", NOTHING },
    { NULL, "credentials",
      "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\",\"required\":[\"type\"],"
      "\"properties\":{\"type\":{\"enum\":[\"local-socket\",\"raw-file\",\"proxy\"]}}}}" },
    { "command", "executable", "{\"type\":\"string\",\"pattern\":\"^[/~$]\"}" },
    { "command", "sha256", "{\"type\":\"string\",\"pattern\":\"^[0-9A-Fa-f]{64}$\"}" },
    { "command", "can_use", "{\"type\":\"array\",\"items\":" NAME "}" },
    { "command", "export_env", TEXTS },
    { "command", "sandbox", SANDBOX },
    { "command", "intercept", "{\"type\":\"array\",\"items\":" INTERCEPT "}" },
    { "command", "allow_writable_executable", NOTHING },
    { "command", "allow_direct_exec_bypass", NOTHING },
    { "command", "allow_direct_exec_bypass_with_credentials", NOTHING },
    { "command", "daemon_pid_source", "{}" },
    { "from", "edge", EDGE },
    { "from", "sandbox", SANDBOX },
};

static json_t *object_of(json_t *properties)
{
    return json_pack("{s:s, s:b, s:o}", "type", "object", "additionalProperties", 0, "properties",
                     properties);
}

json_t *command_policies_schema(void)
{
    json_t *whole = json_object(), *command = json_object(), *from = json_array();
    json_array_append_new(from, json_pack("{s:s}", "const", "deny"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *schema = json_loads(rows[i].schema, 0, NULL);
        if (!rows[i].in)
            json_object_set_new(whole, rows[i].name, schema);
        else if (rows[i].in[0] == 'c')
            json_object_set_new(command, rows[i].name, schema);
        else
            json_array_append_new(from, schema);
    }
    json_object_set_new(
        command, "from",
        json_pack("{s:s, s:{s:o}}", "type", "object", "additionalProperties", "anyOf", from));
    json_object_set_new(whole, "commands",
                        json_pack("{s:s, s:i, s:o}", "type", "object", "maxProperties", 128,
                                  "additionalProperties", object_of(command)));
    return object_of(whole);
}
