/* SPDX-License-Identifier: Apache-2.0 */
/* setup.c - `setup`: is everything here that a sandbox needs, what does it protect, and the first
 * profiles to begin with. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/sandbox-enforce/enforce/namespaces.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/commands.h"
#include "plugins/sandbox-enforce/policy/find.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/memory.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/json.h"
#include "sdk/program.h"

/* One line of the report. */
struct check {
    const char *name;
    bool is_here, is_needed;
    const char *remedy; /* where it is missing */
};

#define CHECKS_MAX 12u

static bool has_listener(void)
{
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* What the kernel offers, found by asking it. */
static size_t look(struct check *ret)
{
    char strace[PATH_MAX];
    const char *why = "", *folders = NT_PROGRAM_USUAL_PATH;
    int landlock = enforce_landlock_version();
    uint32_t spaces =
        enforce_spaces_probe(ENFORCE_SPACE_MOUNT | ENFORCE_SPACE_PID | ENFORCE_SPACE_NETWORK, &why);
    const struct check all[] = {
        { "rules for files (Landlock)", landlock >= 1, true, enforce_layer_remedy(ENFORCE_FILES) },
        { "rules for TCP (Landlock 4)", landlock >= 4, false, enforce_layer_remedy(ENFORCE_TCP) },
        { "rules for devices (Landlock 5)", landlock >= 5, false, "needs Linux 6.10 or newer" },
        { "signals and abstract sockets (Landlock 6)", landlock >= 6, false,
          enforce_layer_remedy(ENFORCE_SCOPES) },
        { "records of denials for root (Landlock 7)", landlock >= 7, false,
          "needs Linux 6.15 or newer" },
        { "filters of calls (seccomp)", prctl(PR_GET_SECCOMP) >= 0, true,
          enforce_layer_remedy(ENFORCE_CALLS) },
        { "questions of the kernel (seccomp notification)", has_listener(), true,
          "needs Linux 5.0 or newer" },
        { "own processes (PID namespace)", (spaces & ENFORCE_SPACE_PID) != 0, false, why },
        { "hidden paths (mount namespace)", (spaces & ENFORCE_SPACE_MOUNT) != 0, false, why },
        { "own network (network namespace)", (spaces & ENFORCE_SPACE_NETWORK) != 0, false, why },
        { "learn (strace)", nt_program_next(&folders, "strace", strace) == 0, false,
          "apt install strace" },
    };
    _Static_assert(sizeof(all) / sizeof(all[0]) <= CHECKS_MAX, "too many checks");
    memcpy(ret, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

/* --- profiles to begin with ----------------------------------------------------------------- */

static const struct {
    const char *file, *text;
} examples[] = {
    { "example-agent.json",
      "{\n  // A coding agent: the folder it starts in, and the hosts that developers use.\n"
      "  \"meta\": { \"name\": \"example-agent\", \"version\": \"1.0.0\",\n"
      "            \"description\": \"A coding agent in one project\" },\n"
      "  \"groups\": { \"include\": [\"git_config\"] },\n"
      "  \"network\": { \"network_profile\": \"developer\" },\n"
      "  \"workdir\": { \"access\": \"readwrite\" }\n}\n" },
    { "offline-build.json", "{\n  // A build that must not need the network.\n"
                            "  \"meta\": { \"name\": \"offline-build\", \"version\": \"1.0.0\",\n"
                            "            \"description\": \"A build without a network\" },\n"
                            "  \"network\": { \"block\": true },\n"
                            "  \"workdir\": { \"access\": \"readwrite\" }\n}\n" },
    { "data-processing.json",
      "{\n  // Reads one folder, writes another.\n"
      "  \"meta\": { \"name\": \"data-processing\", \"version\": \"1.0.0\",\n"
      "            \"description\": \"Reads $WORKDIR/input, writes $WORKDIR/output\" },\n"
      "  \"filesystem\": { \"read\": [\"$WORKDIR/input\"], \"write\": [\"$WORKDIR/output\"] },\n"
      "  \"network\": { \"block\": true }\n}\n" },
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

/* One that is there already is the user's own by now. */
static int write_example(struct nt_call *call, const char *folder, size_t i, json_t *written,
                         struct nt_error *reterr)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(8192);
    nt_buf_addf(&line, "%s/%s", folder, examples[i].file);
    if (!nt_buf_ok(&line))
        return nt_fail(reterr, NT_E_LIMIT, "the path of the profiles is too long");
    bool is_new = profile_write(line.data, examples[i].text, false, &error) == 0;
    if (!is_new && error.code != NT_E_CONFLICT) {
        *reterr = error;
        return -1;
    }
    json_array_append_new(written, json_string(nt_buf_text(&line)));
    nt_buf_add(&line, is_new ? " was written" : " is there already, and stays");
    call->host->message(call, NT_SAY_DONE, nt_buf_text(&line));
    return 0;
}

static int write_examples(struct nt_call *call, json_t *written, struct nt_error *reterr)
{
    nt_auto(memory_done) struct memory m = { 0 };
    struct places places;
    if (profile_places(&m, &places, reterr) < 0)
        return -1;
    const char *folder = profile_folder(&m, &places, call->personality == NT_AS_NONO ? 1 : 0);
    if (!folder)
        return nt_fail(reterr, NT_E_CONFIG, "there is no home folder for profiles");
    for (size_t i = 0; i < EXAMPLES; i++)
        if (write_example(call, folder, i, written, reterr) < 0)
            return -1;
    return 0;
}

/* --- the report ---------------------------------------------------------------------------- */

static const char *program_of(const struct nt_call *call)
{
    return call->personality == NT_AS_NONO ? "nono" : "nanoterm enforce";
}

static void add_checks(struct nt_buf *b, const struct check *checks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        nt_buf_addf(b, "  %s  %s",
                    checks[i].is_here     ? "yes"
                    : checks[i].is_needed ? "NO "
                                          : "no ",
                    checks[i].name);
        if (!checks[i].is_here && *checks[i].remedy)
            nt_buf_addf(b, " - %s", checks[i].remedy);
        nt_buf_add_char(b, '\n');
    }
}

static void add_protections(struct nt_buf *b, bool is_long)
{
    for (size_t i = 0; i < group_count; i++) {
        size_t count = 0;
        for (const struct group_deny *d = groups[i].deny; d && d->path; d++)
            count++;
        if (count > 0)
            nt_buf_addf(b, "  %-26s %zu paths\n", groups[i].name, count);
        for (const struct group_deny *d = groups[i].deny; is_long && d && d->path; d++)
            nt_buf_addf(b, "    %-30s %s\n", d->path, d->about);
    }
}

static void add_profiles(struct nt_buf *b, const char *program, bool is_long)
{
    const char *name;
    nt_auto(memory_done) struct memory m = { 0 };
    for (size_t i = 0; (name = profile_builtin_at(i)); i++) {
        struct profile profile;
        if (!is_long)
            nt_buf_addf(b, "%s%s", i == 0 ? "  " : ", ", name);
        else if (profile_builtin(&m, name, &profile))
            nt_buf_addf(b, "  %-18s %s\n", name, profile.description);
    }
    nt_buf_addf(b, "%s  your own, and these: %s profile list\n", is_long ? "" : "\n", program);
}

static void add_shell(struct nt_buf *b, const char *program, const char *tool)
{
    nt_buf_addf(b,
                "Lines for ~/.bashrc, or with zsh for ~/.zshrc:\n"
                "  alias sandboxed='%s run --allow-cwd --'\n"
                "  alias offline='%s run --allow-cwd --block-net --'\n"
                "  eval \"$(%s completion bash)\"\n",
                program, program, tool);
}

static void add_report(struct nt_call *call, struct nt_buf *b, const struct check *checks,
                       size_t count)
{
    struct utsname kernel;
    uname(&kernel);
    nt_buf_addf(b, "[1/4] Installation\n  version %s, %s\n", NT_VERSION,
                call->host->path(call, NT_PATH_SELF));
    nt_buf_addf(b, "[2/4] What this kernel can enforce (Linux %s, Landlock %d)\n", kernel.release,
                enforce_landlock_version());
    add_checks(b, checks, count);
    nt_buf_add(b, "[3/4] What is denied to every program\n");
    bool is_long = call->host->number(call, "verbose") > 0;
    add_protections(b, is_long);
    nt_buf_add(b, "[4/4] Built-in profiles\n");
    add_profiles(b, program_of(call), is_long);
    if (call->host->number(call, "shell-integration"))
        add_shell(b, program_of(call), call->personality == NT_AS_NONO ? "nono" : "nanoterm");
}

static json_t *report_json(const struct check *checks, size_t count, bool is_usable,
                           json_t *written)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:b, s:s}", "name", checks[i].name, "available",
                                        checks[i].is_here, "required", checks[i].is_needed,
                                        "remedy", checks[i].is_here ? "" : checks[i].remedy));
    return json_pack("{s:s, s:i, s:b, s:o, s:O}", "version", NT_VERSION, "landlock",
                     enforce_landlock_version(), "usable", is_usable, "checks", list, "profiles",
                     written);
}

static int print(struct nt_call *call, const struct check *checks, size_t count, bool is_usable,
                 json_t *written, struct nt_error *reterr)
{
    if (call->flags & NT_CALL_JSON) {
        nt_auto_json json_t *object = report_json(checks, count, is_usable, written);
        nt_autofree char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        if (!text)
            return nt_fail(reterr, NT_E_MEMORY, "no memory");
        return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
    }
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(65536);
    add_report(call, &text, checks, count);
    if (nt_write_all(call->host->descriptor(call, 1), nt_buf_text(&text), text.size) < 0)
        return nt_fail_sys(reterr, errno, "cannot write the report");
    return 0;
}

int setup_run(struct nt_call *call, struct nt_error *reterr)
{
    struct check checks[CHECKS_MAX];
    size_t count = look(checks);
    bool is_usable = true;
    for (size_t i = 0; i < count; i++)
        is_usable = is_usable && (checks[i].is_here || !checks[i].is_needed);
    nt_auto_json json_t *written = json_array();
    bool writes = call->host->number(call, "profiles") && !call->host->number(call, "check-only");
    if (writes && write_examples(call, written, reterr) < 0)
        return -1;
    if (print(call, checks, count, is_usable, written, reterr) < 0)
        return -1;
    if (is_usable)
        return 0;
    nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "this machine cannot confine programs");
    return nt_hint(reterr, "see the lines marked NO");
}
