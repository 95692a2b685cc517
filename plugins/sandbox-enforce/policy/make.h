/* SPDX-License-Identifier: Apache-2.0 */
/* make.h - what the parts of policy_make share while one policy is made. */
#ifndef NT_ENFORCE_POLICY_MAKE_H
#define NT_ENFORCE_POLICY_MAKE_H

#include <sys/types.h>

#include "plugins/sandbox-enforce/policy/expand.h"
#include "plugins/sandbox-enforce/policy/profile.h"

struct file_id {
    dev_t dev;
    ino_t ino; /* 0: nothing is there */
};

struct known_folder {
    const char *name, *real; /* as expanded, canonical */
};

/* What policy_make hands out: the policy stands first. */
struct owned {
    struct policy policy;
    struct memory memory;
    struct file_id *deny_ids, *grant_ids; /* parallel to denies and grants */
    struct known_folder folders[8];       /* of denied names that are missing */
    size_t next_folder;
    bool is_final;                        /* paths of the profile are taken without links */
    const struct command_policies *known; /* is_final: links of groups that are taken, too */
    bool has_skipped;                     /* a grant that somebody named, as nothing is there */
};

struct maker {
    struct owned *owned;
    struct policy *policy;
    struct memory *m;
    const struct policy_request *request;
    struct profile profile; /* with all that it extends, and `default` */
    struct places places;
    size_t typed_bypasses; /* the first of the policy's; the rest is the profile's */
};

/* A path of the profile with its variables put in. Those of an overlay stand as they are. */
const char *expand_written(struct maker *k, const char *text, const char **ret_missing);

enum grant_kind { GRANT_ANY, GRANT_FOLDER, GRANT_FILE };

/* grants.c: 0 or -1 */
int make_grants(struct maker *k, struct nt_error *reterr);
/* denies.c. Before grants. */
int make_denies(struct maker *k, struct nt_error *reterr);
/* Bypasses take denies away; after denies, before grants. */
int make_bypasses(struct maker *k, struct nt_error *reterr);
/* Each bypass must have a grant. After grants. */
int check_bypasses(struct maker *k, struct nt_error *reterr);
/* Marks what lies inside grants, and finds other names of it there. */
int mark_inside(struct owned *o, struct nt_error *reterr);
/* sockets.c */
int make_sockets(struct maker *k, struct nt_error *reterr);
/* network.c */
int make_network(struct maker *k, struct nt_error *reterr);
/* credentials.c */
int make_env_credentials(struct maker *k, struct nt_error *reterr);
/* The command that a service's credential_key names, if it names one. */
int make_capture(struct maker *k, struct policy_route *route, struct nt_error *reterr);
/* hooks.c */
int make_hooks(struct maker *k, struct nt_error *reterr);
/* commands_make.c. After denies. */
int make_command_policies(struct maker *k, struct nt_error *reterr);
/* gpu.c */
int make_gpu(struct maker *k, struct nt_error *reterr);

/* Grants PATH relative to BASE. *ret_path, when not NULL, is then its canonical form; NULL: it was
 * skipped. */
int add_grant(struct owned *o, int base, const char *original, const char *path, uint32_t access,
              const char *source, enum grant_kind kind, const char **ret_path,
              struct nt_error *reterr);
/* The deny that closes PATH, or ID wherever it is. NULL: none does. */
const struct policy_deny *deny_of(const struct owned *o, const char *path,
                                  const struct file_id *id);
/* The same for the patterns. */
const struct policy_pattern *pattern_of(const struct policy *p, const char *path);

void warn(struct owned *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
