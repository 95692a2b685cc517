/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - the table of keys, which the schema and `profile show` are made of, too; and what the
 * readers of profiles and manifests share: values of the expected type, a line for each other one.
 */
#ifndef NT_ENFORCE_POLICY_PARSE_H
#define NT_ENFORCE_POLICY_PARSE_H

#include <jansson.h>

#include "plugins/sandbox-enforce/policy/profile.h"
#include "plugins/sandbox-enforce/policy/when.h"

#define PARSE_ERRORS_MAX 64u

struct parser;

enum key_type {
    KEY_LIST,     /* texts; target: enum profile_list */
    KEY_TEXT,     /* one of `choices`, or any; target: enum profile_text */
    KEY_NULLABLE, /* the same, null clears */
    KEY_FLAG,     /* target: enum profile_flag */
    KEY_PORTS,    /* target: enum profile_list */
    KEY_RANGES,   /* pairs of ports; target: enum profile_list */
    KEY_META,     /* target: which member */
    KEY_FREE,     /* known, without effect on Linux or in this version: not looked at */
    KEY_REFUSED,  /* it would restrict or hand out what this version cannot: never ignored */
    KEY_OWN,      /* `read` */
};

struct key {
    const char *section, *name; /* section "": of the profile itself */
    enum key_type type;
    uint32_t target;
    const char *choices;   /* "a|b|c"; KEY_REFUSED, KEY_FREE: why, and what to do instead */
    const char *canonical; /* the key's name of today: this one is a legacy key */
    void (*read)(struct parser *, const char *, const json_t *);
};

struct parser {
    struct memory *m;
    struct profile *profile;
    struct policy_texts *errors;
    const char *prefix; /* of the places of errors and warnings; NULL: none */
    /* Filled when the first condition asks for it. */
    struct when_system *system;
};

/* The index-th key; NULL: no more. Sections stand together. */
const struct key *parse_key_at(size_t index);

/* "PATH: text". More than PARSE_ERRORS_MAX are dropped. */
void parse_error(struct parser *p, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A copy; NULL with an error when it is no text, empty, or has control characters. */
const char *parse_text(struct parser *p, const char *path, const json_t *value);
/* false with an error when it is neither true nor false. */
bool parse_bool(struct parser *p, const char *path, const json_t *value);
/* The text of a list's entry, or of {MEMBER: text, "when": condition}; NULL: there is none, or its
 * condition does not hold here. */
const char *parse_entry(struct parser *p, const char *path, const json_t *value,
                        const char *member);
/* Appends the texts of an array. */
void parse_texts(struct parser *p, const char *path, const json_t *value, struct policy_texts *ret);
/* [{method, path}] */
void parse_endpoints(struct parser *p, const char *path, const json_t *value,
                     struct policy_endpoint **ret, size_t *ret_count);
/* network.allow_domain, network.custom_credentials, env_credentials, environment.set_vars */
void parse_domains(struct parser *p, const char *path, const json_t *value);
void parse_no_proxy(struct parser *p, const char *path, const json_t *value);
/* Keys without effect here: a value of another type is an error all the same. */
void parse_inert(struct parser *p, const char *path, const json_t *value);
/* Of its schema; NULL: it is none of those. */
json_t *parse_inert_schema(const char *name);
void parse_services(struct parser *p, const char *path, const json_t *value);
void parse_env_credentials(struct parser *p, const char *path, const json_t *value);
/* The name of a service: also the first part of a path. */
bool profile_is_service_name(const char *name);
void parse_set_vars(struct parser *p, const char *path, const json_t *value);
/* aws_auth of a service; then, when all of it is read, with what upstream says. */
void parse_aws(struct parser *p, const char *path, const json_t *object, struct policy_route *ret);
void parse_aws_check(struct parser *p, const char *at, struct policy_route *row);
/* credential_capture */
void parse_captures(struct parser *p, const char *path, const json_t *value);
/* The name of a header that a service may set. */
bool profile_is_header(const char *name);
/* Appends ports, decimal. */
void parse_ports(struct parser *p, const char *path, const json_t *value, struct policy_texts *ret);
/* command_policies */
void parse_command_policies(struct parser *p, const char *path, const json_t *value);
/* session_hooks */
void parse_hooks(struct parser *p, const char *path, const json_t *value);

#endif
