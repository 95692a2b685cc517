/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - what the readers of profiles and manifests share: values of the expected type, and a
 * line for each that is not. */
#ifndef NT_ENFORCE_POLICY_PARSE_H
#define NT_ENFORCE_POLICY_PARSE_H

#include <jansson.h>

#include "plugins/sandbox-enforce/policy/profile.h"

#define PARSE_ERRORS_MAX 64u

struct parser {
    struct memory *m;
    struct profile *profile;
    struct policy_texts *errors;
};

/* "PATH: text". More than PARSE_ERRORS_MAX are dropped. */
void parse_error(struct parser *p, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A copy; NULL with an error when it is no text, empty, or has control characters. */
const char *parse_text(struct parser *p, const char *path, const json_t *value);
/* false with an error when it is neither true nor false. */
bool parse_bool(struct parser *p, const char *path, const json_t *value);
/* Appends the texts of an array. */
void parse_texts(struct parser *p, const char *path, const json_t *value, struct policy_texts *ret);
/* [{method, path}] */
void parse_endpoints(struct parser *p, const char *path, const json_t *value,
                     struct policy_endpoint **ret, size_t *ret_count);
/* network.allow_domain, network.custom_credentials, env_credentials, environment.set_vars */
void parse_domains(struct parser *p, const char *path, const json_t *value);
void parse_services(struct parser *p, const char *path, const json_t *value);
void parse_env_credentials(struct parser *p, const char *path, const json_t *value);
/* The name of a service: also the first part of a path. */
bool profile_is_service_name(const char *name);
void parse_set_vars(struct parser *p, const char *path, const json_t *value);

#endif
