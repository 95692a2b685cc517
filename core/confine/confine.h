/* SPDX-License-Identifier: Apache-2.0 */
/* confine.h - runs a third party's command in a process of its own, which can do nothing but what
 * the plugin declares; the host's services work across.
 *
 * Order matters: the process is forked before any credential is read, and the plugin's file is
 * mapped in it alone, behind its rules: constructors, start and run all happen there. This side
 * takes each question as that of an attacker. */
#ifndef NT_CORE_CONFINE_H
#define NT_CORE_CONFINE_H

#include "nanoterm/host.h"

struct confined;
struct parsed;
struct plugin;
struct plugins;

/* All is borrowed. */
struct confine_options {
    struct plugins *plugins;
    struct plugin *plugin; /* the owner of the command */
    const struct nt_command *command;
    const struct parsed *parsed;
};

/* Forks; the other process waits. confine_end is due after success. */
int confine_start(const struct confine_options *options, struct confined **ret,
                  struct nt_error *reterr);
/* Lets it go on and serves it until the command has ended; its rows and its exit status are those
 * of `call`. `weaker` is the setting plugin.weaker, or NULL. timeout_ms as of call_timeout_ms. */
int confine_serve(struct confined *confined, struct nt_call *call, const char *weaker,
                  int64_t timeout_ms, struct nt_error *reterr);
/* Ends the process, if it has not. NULL is nothing. */
void confine_end(struct confined *confined);

#endif
