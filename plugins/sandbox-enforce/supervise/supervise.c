/* SPDX-License-Identifier: Apache-2.0 */
/* supervise.c - plans a sandbox and starts a program in it; in which process what happens is told
 * in supervise.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "session.h"

/* Where programs do not choose ports by themselves: below the range of the kernel. */
#define PROXY_PORT_FIRST 20000u
#define PROXY_PORTS 10000u
/* wrap leaves its file behind, and nobody waits who could look for others meanwhile. */
#define WRAPS_PER_SWEEP 8

static void supervise_freep(struct supervise **s)
{
    supervise_free(*s);
}

void supervise_free(struct supervise *s)
{
    if (!s)
        return;
    hooks_free(s->hooks);
    mediate_free(s->mediate);
    environment_free(s);
    cap_file_remove(s);
    bundle_free(s);
    hidden_free(s);
    captures_free(s);
    writable_free(s);
    if (s->proxy_listener >= 0)
        close(s->proxy_listener);
    explicit_bzero(s->proxy_token, sizeof(s->proxy_token));
    free(s);
}

static int make_token(struct supervise *s, struct nt_error *reterr)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[(PROXY_TOKEN_SIZE - 1) / 2];
    uint16_t port;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)
        || getrandom(&port, sizeof(port), 0) != (ssize_t)sizeof(port))
        return nt_fail_sys(reterr, errno, "random bytes");
    for (size_t i = 0; i < sizeof(random); i++) {
        s->proxy_token[2 * i] = digits[random[i] >> 4];
        s->proxy_token[2 * i + 1] = digits[random[i] & 15];
    }
    explicit_bzero(random, sizeof(random));
    s->proxy_port = s->options.policy->proxy_port;
    if (!s->proxy_port) /* nobody else is in that network */
        s->proxy_port = (uint16_t)(PROXY_PORT_FIRST + port % PROXY_PORTS);
    return 0;
}

/* A folder on 0, 1 or 2 would be a way round what is hidden in the program's own mounts. */
static int check_standard(struct nt_error *reterr)
{
    struct stat st;
    for (int fd = 0; fd <= 2; fd++)
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
            return nt_fail(reterr, NT_E_USAGE, "descriptor %d is a folder", fd);
    return 0;
}

static int check_options(const struct supervise_options *o, struct nt_error *reterr)
{
    const struct policy *policy = o->policy;
    if (!o->is_wrap)
        return 0;
    if (policy->network == POLICY_NET_FILTERED || policy->route_count)
        return nt_fail(reterr, NT_E_USAGE,
                       "wrap has no proxy, as no process stays outside: use run");
    if (policy->unix_count)
        return nt_fail(reterr, NT_E_USAGE,
                       "wrap cannot look at local sockets, as no process stays outside: use run");
    if (policy_has_hooks(policy))
        return nt_fail(reterr, NT_E_USAGE,
                       "the profile has session_hooks, and wrap runs none, as no process stays "
                       "outside: use run");
    return 0;
}

/* What a trial of namespaces in a child says; a start finds out by itself. */
static int try_spaces(struct supervise *s, struct nt_error *reterr)
{
    if (s->wanted && !s->has_spaces)
        s->spaces = enforce_spaces_probe(s->wanted, &s->why);
    /* They are made together, or not at all. */
    if (s->spaces != s->wanted)
        s->spaces = 0;
    s->is_readonly =
        s->spaces & ENFORCE_SPACE_MOUNT && !s->is_all_writable && enforce_spaces_has_readonly();
    s->has_spaces = true;
    return fence_check_spaces(s, reterr);
}

/* What runs outside is told of which session it is part. */
static int name_session(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    bool is_needed = policy_has_hooks(policy);
    uint64_t random;
    for (size_t i = 0; i < policy->route_count; i++)
        is_needed |= policy->routes[i].capture != NULL;
    if (!is_needed)
        return 0;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return nt_fail_sys(reterr, errno, "random bytes");
    snprintf(s->session_name, sizeof(s->session_name), "%016" PRIx64, random);
    return 0;
}

int supervise_plan(const struct supervise_options *options, struct supervise **ret,
                   struct nt_error *reterr)
{
    nt_auto(supervise_freep) struct supervise *s = calloc(1, sizeof(*s));
    if (!s)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    s->options = *options;
    s->is_wrap = options->is_wrap;
    s->proxy_listener = s->cap_fd = -1;
    s->no_notification = fence_accepts(s, SUPERVISE_WEAKER_NOTIFICATION);
    if (check_options(options, reterr) < 0 || check_standard(reterr) < 0
        || name_session(s, reterr) < 0
        || hooks_open(options->policy, options->call, options->is_silent, s->session_name,
                      &s->hooks, reterr)
               < 0
        || mediate_open(s, &s->mediate, reterr) < 0 || captures_find(s, reterr) < 0
        || hidden_find(s, reterr) < 0 || writable_find(s, reterr) < 0)
        return -1;
    fence_want(s);
    if (s->mediate && s->no_notification)
        return nt_fail(reterr, NT_E_USAGE,
                       "command_policies need the notification: nobody else tells who asks for a "
                       "command");
    if (options->policy->network == POLICY_NET_FILTERED && make_token(s, reterr) < 0)
        return -1;
    if (options->is_trial) {
        struct enforce e;
        int result = fence_prepare(s, &e, reterr);
        enforce_done(&e);
        if (result < 0)
            return -1;
    }
    if ((options->is_trial || s->is_wrap) && try_spaces(s, reterr) < 0)
        return -1;
    *ret = nt_take(s);
    return 0;
}

const struct supervise_row *supervise_rows(struct supervise *s, size_t *ret_count)
{
    struct nt_error unused = NT_ERROR_INIT;
    if (!s->has_spaces)
        (void)try_spaces(s, &unused);
    fence_describe(s);
    *ret_count = s->row_count;
    return s->rows;
}

static int get_ready(struct supervise *s, struct nt_error *reterr)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return nt_fail_sys(reterr, errno, "becoming not dumpable");
    cap_file_make(s);
    if (hidden_make(s, reterr) < 0 || (s->proxy_port && way_out_open(s, reterr) < 0))
        return -1;
    if (bundle_make(s, reterr) < 0 || environment_make(s, reterr) < 0
        || command_find(s, reterr) < 0)
        return -1;
    if (s->hooks && (hooks_before(s->hooks, reterr) < 0 || environment_add_lines(s, reterr) < 0))
        return -1;
    if (mediate_start(s, reterr) < 0)
        return -1;
    /* Not earlier: what the script has left running for the program is none of what ends with it.
     */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return nt_fail_sys(reterr, errno, "becoming a subreaper");
    return 0;
}

/* Once, or again without the notification. */
static int run(struct supervise *s, struct denials *denials, int *ret_status,
               struct nt_error *reterr)
{
    bool is_busy = false;
    int result = session_run(s, denials, ret_status, &is_busy, reterr);
    if (result == 0 || !is_busy)
        return result;
    const char *what = fence_needs_notification(s);
    if (what) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
                "layer " SUPERVISE_WEAKER_NOTIFICATION
                ": an outer sandbox has the one listener that there can be, and %s need it",
                what);
        return nt_hint(
            reterr,
            "start it outside of that sandbox, or --accept-weaker " SUPERVISE_WEAKER_NOTIFICATION);
    }
    /* Local sockets are refused as a whole then: nobody looks at their paths. */
    s->no_notification = true;
    return session_run(s, denials, ret_status, &is_busy, reterr);
}

bool supervise_has_run(const struct supervise *s)
{
    return s->has_run;
}

int supervise_run(struct supervise *s, struct denials *denials, int *ret_status,
                  struct nt_error *reterr)
{
    if (get_ready(s, reterr) < 0)
        return -1;
    int result = run(s, denials, ret_status, reterr);
    mediate_end(s);
    if (s->hooks && s->has_run)
        hooks_after(s->hooks, s->run_status);
    return result;
}

int supervise_wrap(struct supervise *s, struct nt_error *reterr)
{
    struct enforce e;
    enum enforce_layer layer = ENFORCE_PRIVILEGES;
    cap_file_make(s);
    if (cap_file_fill(s, reterr) < 0 || environment_make(s, reterr) < 0
        || command_find(s, reterr) < 0)
        return -1;
    if (getpid() % WRAPS_PER_SWEEP == 0)
        cap_file_sweep(s);
    const struct policy *policy = s->options.policy;
    int result = fence_prepare(s, &e, reterr);
    int sys = 0;
    if (result == 0 && (policy->is_workdir_covered ? fchdir(policy->workdir_fd) : chdir("/")) < 0)
        result = nt_fail_sys(reterr, errno, "the folder to start in");
    if (result == 0 && (sys = fence_add_inner(s, &e)) != 0)
        result = nt_fail_sys(reterr, sys, "/proc");
    if (result < 0) {
        enforce_done(&e);
        return -1;
    }
    signal(SIGPIPE, SIG_DFL); /* the core ignores it */
    sys = enforce_enter(&e, &layer);
    if (sys) {
        enforce_done(&e);
        return nt_fail_sys(reterr, sys, "layer %s", enforce_layer_name(layer));
    }
    execve(s->program, s->options.argv, s->environment);
    return command_fail(s, errno, reterr);
}
