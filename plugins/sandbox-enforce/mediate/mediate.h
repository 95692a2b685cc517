/* SPDX-License-Identifier: Apache-2.0 */
/* mediate.h - commands that a program inside starts and that run in sandboxes of their own
 * (policy/command_policies.h).
 *
 * Over the file of each lies a stand-in, in the program's own mounts; so every name of the command
 * leads to it, and nobody inside can read or copy what is beneath. The stand-in asks the broker,
 * which judges by the command, its words and variables - all of that is whatever a hostile program
 * says - and runs it beside the program's sandbox, not in it:
 *
 *   supervisor ─► keeper ─► program ─► stand-in ┐ connect, answered by notify/commands.c
 *        └─► broker ◄───────────────────────────┘
 *              └─► a supervisor for each command ─► keeper ─► command
 *
 * The broker is a fork of the supervisor from before its threads, and forks a process for each
 * request, which is then what `run` is for a program; whose commands have a broker of their own. So
 * the caller is known by who is asked. Nothing of what a program says is in the environment or the
 * words of a process outside before the command itself. */
#ifndef NT_ENFORCE_MEDIATE_H
#define NT_ENFORCE_MEDIATE_H

#include <limits.h>
#include <stdbool.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/policy/command_policies.h"
#include "plugins/sandbox-enforce/policy/policy.h"

#define MEDIATE_LINKS_MAX 256u

struct denials;
struct supervise;

/* Where a command is: found outside and before the program starts. */
struct mediate_place {
    const struct command *command;
    bool is_first;       /* what is executed, whichever of the command's places was asked for */
    char path[PATH_MAX]; /* canonical; a stand-in lies over it */
};

struct mediate {
    struct mediate_place *places; /* malloc'ed; a command has several when its name or file has */
    size_t place_count;
    const char **covered; /* malloc'ed; of places, those that are not the caller itself */
    size_t covered_count;
    char *more_path; /* folders for the program's PATH; NULL: none; malloc'ed */
    char stand_in[PATH_MAX];
    int stand_in_fd; /* O_PATH */
    pid_t broker;    /* 0: none runs */
    int socket;      /* to it, above 2; 0: none */
    int reports;     /* of what was refused to commands: the supervisor's end; 0: none */
    int report;      /* the commands' end; 0: it is the supervisor who looks at this */
};

/* --- places.c ------------------------------------------------------------------------------ */

/* Finds and checks what the policy names. *ret stays NULL when it names nothing. ENFORCE_E_PROFILE:
 * the program could choose what runs, or a second name would lead past the stand-in. */
int mediate_open(const struct supervise *s, struct mediate **ret, struct nt_error *reterr);
void mediate_free(struct mediate *m);
/* What is to be run for COMMAND: as it was found when the session began, its digest checked again.
 * ret has PATH_MAX bytes. */
int mediate_executable(const struct mediate *m, const struct command *command, char *ret,
                       struct nt_error *reterr);
/* The program of an intercept, checked as the files of commands are. */
int mediate_program(const struct policy *policy, const struct command *command, const char *path,
                    char *ret, struct nt_error *reterr);

/* --- links.c ------------------------------------------------------------------------------- */

/* Tells all names of the file PATH, its own too, that it has where anybody inside may read; none
 * when that is the only one. ENFORCE_E_PROFILE when some may have been missed. KEY is for errors.
 */
int mediate_links(const struct policy *policy, const char *key, const char *path,
                  int (*on_name)(void *data, const char *name, struct nt_error *reterr), void *data,
                  struct nt_error *reterr);

/* --- digest.c ------------------------------------------------------------------------------ */

/* Whether the file has that SHA-256 (64 digits, lower case). */
int mediate_check_digest(int fd, const char *path, const char *wanted, struct nt_error *reterr);

/* --- broker.c ------------------------------------------------------------------------------ */

/* For a process of one thread. */
int mediate_start(struct supervise *s, struct nt_error *reterr);
/* Of 0 to 2: so whoever reads or writes at their other ends sees them go with who else has them. */
void mediate_let_go(void);
/* Ends all commands that still run, and waits. */
void mediate_end(struct supervise *s);

/* --- report.c ------------------------------------------------------------------------------ */

/* For who has run COMMAND, or those that it has started; PLACE of the profile allows what it may.
 * Nothing waits any more once LEASH has hung up. */
void mediate_report(const struct mediate *m, int leash, const char *command, const char *place,
                    const struct denials *denials);
void mediate_report_refusal(const struct mediate *m, int leash, const char *command,
                            const char *rule);
/* For the supervisor, as often as `reports` is readable and at the end. */
void mediate_take_reports(struct mediate *m, struct denials *denials);

/* --- request.c: hostile bytes ---------------------------------------------------------------- */

struct mediate_request {
    const char *file, *folder;
    char **words, **variables; /* end with NULL; malloc'ed */
};

/* BYTES hold `head.size` of texts and are kept by the caller. -1: they are not what they say. */
struct mediate_head;
int mediate_parse(const struct mediate_head *head, char *bytes, struct mediate_request *ret);
void mediate_request_done(struct mediate_request *request);

/* --- serve.c: one command ------------------------------------------------------------------ */

/* CHANNEL, standard and GROUP are the requester's; LEASH hangs up when the session ends. */
_Noreturn void mediate_serve(struct supervise *outer, int channel, const int standard[3],
                             pid_t group, int leash);

#endif
