/* SPDX-License-Identifier: Apache-2.0 */
/* fence.c - from a policy to layers: what of the kernel keeps which act, what may be missing and
 * what may not, and the rows that tell it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "inner.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define ACCESS_READ (ENFORCE_READ | ENFORCE_EXECUTE)
#define ACCESS_WRITE (ENFORCE_WRITE | ENFORCE_SPECIAL)

bool fence_accepts(const struct supervise *s, const char *layer)
{
    for (size_t i = 0; i < s->options.weaker_count; i++)
        if (strcmp(s->options.weaker[i], layer) == 0)
            return true;
    return false;
}

static bool is_notified(const struct supervise *s)
{
    return !s->is_wrap && !s->no_notification;
}

static bool is_restricted(const struct supervise *s)
{
    return s->options.policy->network != POLICY_NET_OPEN;
}

void fence_want(struct supervise *s)
{
    const struct policy *policy = s->options.policy;
    if (s->hidden_count || s->mediate)
        s->needed |= ENFORCE_SPACE_MOUNT;
    if (s->is_wrap) {
        s->why = "wrap makes no namespaces: use run";
        s->has_spaces = true;
        return;
    }
    s->wanted = ENFORCE_SPACE_PID | ENFORCE_SPACE_MOUNT;
    if (!policy->abstract_sockets)
        s->wanted |= ENFORCE_SPACE_IPC;
    if (is_restricted(s))
        s->wanted |= ENFORCE_SPACE_NETWORK;
    uint32_t asked = (policy->isolate_network ? ENFORCE_SPACE_NETWORK : 0)
                     | (policy->isolate_ipc ? ENFORCE_SPACE_IPC : 0);
    s->wanted |= asked;
    s->needed |= asked;
}

const char *fence_needs_notification(const struct supervise *s)
{
    const struct policy *policy = s->options.policy;
    if (s->mediate)
        return "sandboxes of commands";
    if (policy->unix_count)
        return "the rules for local sockets";
    if (s->spaces & ENFORCE_SPACE_NETWORK && (policy->open_port_count || policy->listen_port_count))
        return "open and listening ports";
    if (is_restricted(s) && policy->connect_port_count)
        return "ports of other machines";
    return NULL;
}

/* --- what cannot be had -------------------------------------------------------------------- */

int fence_check_spaces(const struct supervise *s, struct nt_error *reterr)
{
    if (s->mediate && !(s->spaces & ENFORCE_SPACE_MOUNT)) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
                "layer namespaces: without a mount namespace nothing can stand in for the commands "
                "of command_policies");
        return nt_hint(reterr, "%.160s; or use a profile without them",
                       s->why ? s->why : "namespaces are refused here");
    }
    if (!(s->needed & ~s->spaces) || fence_accepts(s, SUPERVISE_WEAKER_NAMESPACES))
        return 0;
    if (!(s->needed & ENFORCE_SPACE_MOUNT)) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
                "layer namespaces: those of linux.isolate cannot be had");
        return nt_hint(reterr,
                       "%.160s; or leave them out, or --accept-weaker " SUPERVISE_WEAKER_NAMESPACES,
                       s->why ? s->why : "namespaces are refused here");
    }
    nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
            "layer namespaces: %.120s lies in a granted folder and cannot be hidden without a "
            "mount namespace",
            s->hidden_count ? s->hidden[0] : "");
    return nt_hint(reterr, "%.160s; or grant less, or --accept-weaker " SUPERVISE_WEAKER_NAMESPACES,
                   s->why ? s->why : "namespaces are refused here");
}

/* A denied path that is not there yet could be made by the program: no mount covers it. */
static int check_future(const struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    if (fence_accepts(s, SUPERVISE_WEAKER_NAMESPACES))
        return 0;
    for (size_t i = 0; i < policy->deny_count; i++) {
        const struct policy_deny *deny = &policy->denies[i];
        if (!deny->is_inside_writable || deny->is_there || hidden_is_to_come(deny))
            continue;
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
                "layer namespaces: %.120s is denied, not there yet, and the program could make it",
                deny->path);
        return nt_hint(reterr, "grant a smaller folder, make the path first, or --accept-weaker "
                               "namespaces");
    }
    return 0;
}

static int fail_layer(enum enforce_layer layer, int sys, struct nt_error *reterr)
{
    if (sys != EOPNOTSUPP)
        return nt_fail_sys(reterr, sys, "layer %s", enforce_layer_name(layer));
    nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "layer %s: this kernel does not have it",
            enforce_layer_name(layer));
    return nt_hint(reterr, "%s; or --accept-weaker %s", enforce_layer_remedy(layer),
                   enforce_layer_name(layer));
}

/* --- the layers ---------------------------------------------------------------------------- */

static uint32_t calls_of(const struct supervise *s)
{
    const struct policy *policy = s->options.policy;
    /* No other families: an open network is that of IP, not the machine that this one runs in. */
    uint32_t calls = ENFORCE_CALLS_KERNEL | ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_URING
                     | ENFORCE_CALLS_NAMESPACES | ENFORCE_CALLS_FAMILIES;
    /* What namespaces keep apart where they are to be had; until that is known, they are. */
    uint32_t spaces = s->has_spaces ? s->spaces : s->wanted;
    if (!(spaces & ENFORCE_SPACE_PID) && !policy->signals_leave)
        calls |= ENFORCE_CALLS_LIMITS;
    if (!(spaces & ENFORCE_SPACE_IPC) && !policy->abstract_sockets)
        calls |= ENFORCE_CALLS_IPC;
    /* Without somebody who looks at each path, no local socket can be told from another. */
    if (!is_notified(s))
        return calls | ENFORCE_CALLS_UNIX;
    return policy->unix_count ? calls : calls | ENFORCE_CALLS_DATAGRAMS;
}

/* Sockets of IP are of use where some port is; with the notification they are given all the same,
 * so that a connection is refused by its address, and told. */
static enum enforce_network network_of(const struct supervise *s)
{
    const struct policy *policy = s->options.policy;
    if (!is_restricted(s))
        return ENFORCE_NET_OPEN;
    bool has_ports = s->proxy_port || policy->open_port_count || policy->listen_port_count
                     || policy->connect_port_count;
    return has_ports || is_notified(s) ? ENFORCE_NET_PORTS : ENFORCE_NET_NONE;
}

static int add_range(struct enforce *e, const struct policy_ports *ports, size_t count,
                     bool connect, bool listen)
{
    int sys = 0;
    for (size_t i = 0; i < count && !sys; i++)
        for (uint32_t port = ports[i].first; port <= ports[i].last && !sys; port++)
            sys = enforce_port(e, (uint16_t)port, connect, listen);
    return sys;
}

static int add_ports(const struct supervise *s, struct enforce *e)
{
    const struct policy *policy = s->options.policy;
    int sys = 0;
    if (s->proxy_port)
        sys = enforce_port(e, s->proxy_port, true, false);
    if (!sys)
        sys = add_range(e, policy->open_ports, policy->open_port_count, true, true);
    if (!sys)
        sys = add_range(e, policy->listen_ports, policy->listen_port_count, false, true);
    return sys ? sys : add_range(e, policy->connect_ports, policy->connect_port_count, true, false);
}

static uint32_t access_of(const struct policy_grant *grant)
{
    uint32_t access = (grant->access & POLICY_READ ? ACCESS_READ : 0)
                      | (grant->access & POLICY_WRITE ? ACCESS_WRITE : 0);
    return access | (policy_is_driven(grant) ? ENFORCE_DEVICE : 0);
}

/* Files of /proc are those of another mount inside. */
static bool is_of_proc(const struct policy_grant *grant)
{
    return grant->fd < 0 || strcmp(grant->path, "/proc") == 0
           || strncmp(grant->path, "/proc/", 6) == 0;
}

static int add_paths(const struct supervise *s, struct enforce *e)
{
    const struct policy *policy = s->options.policy;
    int sys = 0;
    for (size_t i = 0; i < policy->grant_count && !sys; i++)
        if (!is_of_proc(&policy->grants[i]))
            sys = enforce_path(e, policy->grants[i].fd, access_of(&policy->grants[i]));
    /* By what it is: so it can be executed wherever it lies. */
    if (!sys && s->mediate)
        sys = enforce_path(e, s->mediate->stand_in_fd, ACCESS_READ);
    if (!sys && s->cap_fd >= 0)
        sys = enforce_path(e, s->cap_fd, ENFORCE_READ);
    if (!sys && bundle_folder(s) >= 0)
        sys = enforce_path(e, bundle_folder(s), ENFORCE_READ);
    return sys;
}

static int add_inner_path(struct enforce *e, const char *path, uint32_t access)
{
    nt_autoclose int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : errno;
    return enforce_path(e, fd, access);
}

int fence_add_inner(const struct supervise *s, struct enforce *e)
{
    const struct policy *policy = s->options.policy;
    /* A /proc of one's own shows nobody else; /proc/self alone is no use to what the program
     * starts. */
    int sys = s->has_own_proc ? add_inner_path(e, "/proc", ENFORCE_READ) : 0;
    if (!sys && s->has_own_terminals)
        sys = add_inner_path(e, "/dev/pts", ENFORCE_READ | ENFORCE_WRITE | ENFORCE_DEVICE);
    for (size_t i = 0; i < policy->grant_count && !sys; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        if (is_of_proc(grant) && strcmp(grant->path, "/proc/self/fd") != 0)
            sys = add_inner_path(e, grant->path, access_of(grant));
    }
    return sys;
}

bool fence_owns_terminals(const struct supervise *s)
{
    const struct policy *policy = s->options.policy;
    for (size_t i = 0; i < policy->grant_count; i++)
        if (strcmp(policy->grants[i].path, "/dev/pts") == 0)
            return false;
    return policy->own_terminals && s->spaces & ENFORCE_SPACE_MOUNT;
}

/* Names of --accept-weaker that are layers of the library. */
static uint32_t weaker_of(const struct supervise *s)
{
    uint32_t weaker = 0;
    for (unsigned i = 0; i < ENFORCE_LAYERS; i++)
        if (fence_accepts(s, enforce_layer_name((enum enforce_layer)i)))
            weaker |= 1u << i;
    return weaker;
}

static int check_weaker_names(const struct supervise *s, struct nt_error *reterr)
{
    for (size_t i = 0; i < s->options.weaker_count; i++) {
        const char *name = s->options.weaker[i];
        bool is_known = strcmp(name, SUPERVISE_WEAKER_NAMESPACES) == 0
                        || strcmp(name, SUPERVISE_WEAKER_NOTIFICATION) == 0
                        || strcmp(name, SUPERVISE_WEAKER_PATTERNS) == 0;
        for (unsigned j = 0; j < ENFORCE_LAYERS; j++)
            is_known = is_known || strcmp(name, enforce_layer_name((enum enforce_layer)j)) == 0;
        if (!is_known)
            return nt_fail(reterr, NT_E_USAGE, "--accept-weaker: there is no layer '%.60s'", name);
    }
    return 0;
}

int fence_prepare(struct supervise *s, struct enforce *e, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    struct sock_filter front[FRONT_MAX];
    enum enforce_layer layer = ENFORCE_FILES;
    enforce_init(e);
    if (check_weaker_names(s, reterr) < 0 || check_future(s, reterr) < 0)
        return -1;
    e->files = true;
    e->network = network_of(s);
    e->signals = !policy->signals_leave;
    e->abstract_sockets = !policy->abstract_sockets;
    e->calls = calls_of(s);
    e->descriptors = true;
    e->audit = true;
    e->weaker = weaker_of(s);
    if (is_notified(s)) {
        size_t more = 0;
        int full = notify_filter(policy, front, FRONT_MAX, &e->front_count);
        if (!full && s->options.is_diagnosed)
            full = notify_file_filter(front + e->front_count, FRONT_MAX - e->front_count, &more);
        /* Every connect, bind and listen is answered by the supervisor, by the same rules and the
         * host besides; Landlock's are a second line where there are some. */
        e->weaker |= 1u << ENFORCE_TCP;
        if (full)
            return nt_fail(reterr, NT_E_INTERNAL, "the filter of notifications is too long");
        e->front_count += more;
        e->front = front;
        e->notify = true;
    }
    int sys = enforce_prepare(e, &layer);
    if (sys)
        return fail_layer(layer, sys, reterr);
    if (policy->landlock_network && is_restricted(s) && !enforce_handles_ports(e)
        && !fence_accepts(s, enforce_layer_name(ENFORCE_TCP))) {
        fail_layer(ENFORCE_TCP, EOPNOTSUPP, reterr);
        return nt_wrap(reterr, "linux.sandbox_policy landlock");
    }
    sys = add_ports(s, e);
    if (sys)
        return fail_layer(ENFORCE_TCP, sys, reterr);
    sys = add_paths(s, e);
    return sys ? fail_layer(ENFORCE_FILES, sys, reterr) : 0;
}

/* --- the rows ------------------------------------------------------------------------------ */

static void row(struct supervise *s, const char *act, const char *layer, const char *rule)
{
    if (s->row_count < ROWS_MAX)
        s->rows[s->row_count++] = (struct supervise_row){ act, layer, rule };
}

static void describe_network(struct supervise *s, const struct enforce *e)
{
    const struct policy *policy = s->options.policy;
    bool has_space = s->spaces & ENFORCE_SPACE_NETWORK;
    if (!is_restricted(s)) {
        row(s, "connect by TCP", "none", "the network is open");
        row(s, "make a socket of another family", "seccomp", "only local ones, IP and netlink");
    } else {
        if (has_space)
            row(s, "reach the network", "namespace", "an own network with loopback alone");
        if (e->network == ENFORCE_NET_NONE)
            row(s, "make a socket of IP", "seccomp", "no family but local sockets");
        else
            row(s, "send datagrams and raw packets", "seccomp", "no socket of IP but TCP");
        if (e->network == ENFORCE_NET_PORTS && enforce_layer_is_set(e, ENFORCE_TCP))
            row(s, "connect by TCP to another port", "landlock", "only ports that were granted");
        if (is_notified(s))
            row(s, "connect by TCP to another host", "notification", "every connect is asked for");
        if (is_notified(s) && policy->connect_port_count)
            row(s, "connect by an opened port to this machine or metadata", "notification",
                "only addresses of other machines");
        if (policy->network == POLICY_NET_FILTERED)
            row(s, "reach another host", "proxy", "the allow-list");
        char host[POLICY_HOST_MAX];
        if (policy_intercepted(policy, 0, host))
            row(s, "make another request to a limited host", "proxy",
                "its TLS ends at the proxy, which looks at each request");
    }
    if (!is_notified(s))
        row(s, "make a local socket", "seccomp", "no socket of that family; pairs stay");
    else
        row(s, "connect to a local socket", "notification", "only paths that were granted");
}

static void describe_files(struct supervise *s, bool has_landlock)
{
    if (has_landlock) {
        row(s, "read outside the grants", "landlock", "rules for files");
        row(s, "write outside the grants", "landlock", "rules for files");
        row(s, "execute outside the grants", "landlock", "rules for files");
    } else if (s->is_readonly) {
        row(s, "read outside the grants", "none", "accepted: --accept-weaker files");
        row(s, "write outside the grants", "mount", "all else is read-only, but for devices");
    } else {
        row(s, "read and write outside the grants", "none", "accepted: --accept-weaker files");
    }
    /* Landlock has no right for these, and a filter that refused them would break every copy. */
    row(s, "change modes, times and attributes outside", s->is_readonly ? "mount" : "none",
        s->is_readonly ? "all but what may be written is read-only"
                       : "only the permissions of the file protect it");
}

void fence_describe(struct supervise *s)
{
    const struct policy *policy = s->options.policy;
    struct nt_error unused = NT_ERROR_INIT;
    struct enforce e;
    s->row_count = 0;
    bool is_ready = fence_prepare(s, &e, &unused) == 0;
    bool has_landlock = is_ready && enforce_layer_is_set(&e, ENFORCE_FILES);
    describe_files(s, has_landlock);
    if (s->hidden_count)
        row(s, "open a denied path in a grant", s->spaces & ENFORCE_SPACE_MOUNT ? "mount" : "none",
            s->spaces & ENFORCE_SPACE_MOUNT
                ? "covered in an own mount namespace; again when replaced outside"
                : "accepted: --accept-weaker namespaces");
    describe_network(s, &e);
    if (policy->pattern_count)
        row(s, "open a file to come that a pattern denies", "none",
            "accepted: --accept-weaker patterns");
    bool has_scopes = enforce_layer_is_set(&e, ENFORCE_SCOPES);
    bool owns_terminals = fence_owns_terminals(s);
    row(s, "open a terminal that was not given",
        owns_terminals ? "mount"
        : has_landlock ? "landlock"
                       : "none",
        owns_terminals ? "a /dev/pts of its own" : "rules for files");
    if (!policy->signals_leave)
        row(s, "signal a process outside",
            s->spaces & ENFORCE_SPACE_PID ? "namespace"
            : has_scopes                  ? "landlock"
                                          : "none",
            s->spaces & ENFORCE_SPACE_PID ? "processes outside have no number" : "scopes");
    if (!policy->signals_leave)
        row(s, "limit a process outside", s->spaces & ENFORCE_SPACE_PID ? "namespace" : "seccomp",
            s->spaces & ENFORCE_SPACE_PID ? "processes outside have no number"
                                          : "refused for other processes");
    if (!policy->abstract_sockets)
        row(s, "share memory with a process outside",
            s->spaces & ENFORCE_SPACE_IPC ? "namespace" : "seccomp",
            s->spaces & ENFORCE_SPACE_IPC ? "numbers of its own" : "refused calls");
    if (!policy->abstract_sockets)
        row(s, "connect to an abstract socket", has_scopes || is_notified(s) ? "landlock" : "none",
            "scopes");
    if (s->mediate)
        row(s, "start a command of command_policies itself", "mount",
            "a stand-in lies over it, which asks for its own sandbox");
    row(s, "trace or read a process outside", "landlock", "only processes of the same sandbox");
    row(s, "gain privileges", "privileges", "no_new_privs, no capabilities");
    row(s, "make namespaces and mounts", "seccomp", "refused calls");
    row(s, "use io_uring", "seccomp", "refused calls");
    row(s, "type into the terminal", "seccomp", "TIOCSTI and TIOCLINUX");
    row(s, "use calls of another architecture", "seccomp", "refused before all else");
    row(s, "use an inherited descriptor", "descriptors", "closed but 0, 1 and 2");
    enforce_done(&e);
}
