/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_policy_test.c - what a policy opens and what stays closed: denied paths by name, by link,
 * from below and from above, in a home folder of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "plugins/sandbox-enforce/policy/policy.h"

static char home[64];

static const char *at(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", home, name);
    return path;
}

static void make_folder(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", at(name));
    for (char *slash = path + strlen(home) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static void make_file(const char *name)
{
    int fd = open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    /* Not beneath /tmp: the group that grants it would leave it out. */
    char made[] = "/var/tmp/nt-policy-XXXXXX";
    char real[PATH_MAX];
    if (!mkdtemp(made) || !realpath(made, real) || strlen(real) >= sizeof(home))
        return -1;
    memcpy(home, real, strlen(real) + 1);
    setenv("HOME", home, 1);
    static const char *const gone[] = { "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME",
                                        "XDG_CACHE_HOME",  "TMPDIR",         "XDG_RUNTIME_DIR" };
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        unsetenv(gone[i]);
    make_folder("project/src");
    make_folder(".ssh");
    make_file(".ssh/id_ed25519");
    make_file(".netrc");
    make_file("project/README");
    return chdir(at("project"));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return chdir("/") + nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define TEXTS(...)                                                                                 \
    {                                                                                              \
        .at = (const char *[]){ __VA_ARGS__ },                                                     \
        .count = sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)                          \
    }

static struct policy *make(const struct policy_request *request)
{
    struct nt_error e = NT_ERROR_INIT;
    struct policy *p = NULL;
    if (policy_make(request, &p, &e) < 0)
        fail_msg("%s", e.message);
    return p;
}

static uint32_t refused(const struct policy_request *request, const char *text)
{
    struct nt_error e = NT_ERROR_INIT;
    struct policy *p = NULL;
    assert_int_equal(policy_make(request, &p, &e), -1);
    assert_null(p);
    if (!strstr(e.message, text))
        fail_msg("\"%s\" does not speak of %s", e.message, text);
    return e.code;
}

static bool may(const struct policy *p, const char *path, uint32_t access)
{
    struct policy_answer answer;
    policy_ask_path(p, path, access, &answer);
    return answer.is_allowed;
}

static const char *why(const struct policy *p, const char *path, uint32_t access)
{
    static struct policy_answer answer;
    policy_ask_path(p, path, access, &answer);
    return answer.reason;
}

static const struct policy_deny *deny_at(const struct policy *p, const char *path)
{
    for (size_t i = 0; i < p->deny_count; i++)
        if (strcmp(p->denies[i].path, path) == 0)
            return &p->denies[i];
    return NULL;
}

static void the_default_opens_programs_and_no_home(void **state)
{
    (void)state;
    struct policy *p = make(&(struct policy_request){ 0 });
    assert_true(may(p, "/usr/bin/env", POLICY_READ));
    assert_true(may(p, "/dev/null", POLICY_BOTH));
    assert_true(may(p, "/tmp/new", POLICY_WRITE));
    assert_false(may(p, "/tmp/new", POLICY_READ));
    assert_true(may(p, "/proc/self/status", POLICY_READ));
    assert_false(may(p, "/proc/1/status", POLICY_READ));
    assert_false(may(p, "/etc/shadow", POLICY_READ));
    assert_string_equal(why(p, "/etc/shadow", POLICY_READ), "path_not_granted");
    assert_false(may(p, at("project"), POLICY_READ));
    assert_string_equal(why(p, at(".ssh/id_ed25519"), POLICY_READ), "sensitive_path");
    assert_int_equal(p->warnings.count, 0);
    assert_string_equal(p->workdir, at("project"));
    assert_int_equal(p->workdir_access, POLICY_READ);
    assert_false(p->is_workdir_covered);
    for (size_t i = 0; i < p->deny_count; i++)
        if (p->denies[i].is_inside)
            fail_msg("%s would have to be hidden on every start", p->denies[i].path);
    for (size_t i = 0; i < p->grant_count; i++)
        assert_true(p->grants[i].fd >= 0 || strcmp(p->grants[i].path, "/proc/self") == 0);
    policy_free(p);
}

static void grants_hold_what_they_say(void **state)
{
    (void)state;
    const struct policy_request request = { .read = TEXTS("."), .write = TEXTS("src") };
    struct policy *p = make(&request);
    assert_true(may(p, "README", POLICY_READ));
    assert_string_equal(why(p, "README", POLICY_WRITE), "insufficient_access");
    assert_true(may(p, "src/new.c", POLICY_BOTH)); /* the union of both grants */
    struct policy_answer answer;
    policy_ask_path(p, "README", POLICY_WRITE, &answer);
    char flag[PATH_MAX + 32];
    snprintf(flag, sizeof(flag), "--write-file %s", at("project/README"));
    assert_string_equal(answer.flag, flag);
    policy_free(p);
}

static void a_grant_of_a_missing_path_is_skipped_with_a_word(void **state)
{
    (void)state;
    const struct policy_request request = { .read = TEXTS("nothing-here") };
    struct policy *p = make(&request);
    assert_int_equal(p->warnings.count, 1);
    assert_non_null(strstr(p->warnings.at[0], "nothing-here"));
    policy_free(p);
}

static void files_and_folders_have_their_own_options(void **state)
{
    (void)state;
    assert_int_equal(refused(&(struct policy_request){ .allow = TEXTS("README") }, "--allow-file"),
                     NT_E_USAGE);
    assert_int_equal(refused(&(struct policy_request){ .read_file = TEXTS("src") }, "--read)"),
                     NT_E_USAGE);
}

static void a_denied_path_is_not_granted(void **state)
{
    (void)state;
    const struct policy_request requests[] = {
        { .allow = TEXTS("~/.ssh") },
        { .read = TEXTS("../.ssh") },
        { .read_file = TEXTS("~/.ssh/id_ed25519") },
        { .read_file = TEXTS("~/.netrc") },
        { .read = TEXTS("src/../../.ssh/.") },
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        assert_int_equal(refused(&requests[i], "deny_credentials"), ENFORCE_E_PROTECTED);
}

static void a_link_or_another_name_of_a_denied_path_is_not_granted(void **state)
{
    (void)state;
    assert_int_equal(symlink(at(".ssh"), at("project/keys")), 0);
    assert_int_equal(symlink("..", at("project/up")), 0);
    assert_int_equal(link(at(".netrc"), at("project/plain.txt")), 0);
    assert_int_equal(refused(&(struct policy_request){ .read = TEXTS("keys") }, ".ssh"),
                     ENFORCE_E_PROTECTED);
    assert_int_equal(
        refused(&(struct policy_request){ .read_file = TEXTS("keys/id_ed25519") }, ".ssh"),
        ENFORCE_E_PROTECTED);
    assert_int_equal(refused(&(struct policy_request){ .read = TEXTS("up/.ssh") }, ".ssh"),
                     ENFORCE_E_PROTECTED);
    assert_int_equal(refused(&(struct policy_request){ .read_file = TEXTS("plain.txt") }, "netrc"),
                     ENFORCE_E_PROTECTED);
    unlink(at("project/keys"));
    unlink(at("project/up"));
    unlink(at("project/plain.txt"));
}

static void a_denied_path_that_is_a_link_is_denied_in_both_places(void **state)
{
    (void)state;
    make_folder("elsewhere/aws");
    assert_int_equal(symlink(at("elsewhere/aws"), at(".aws")), 0);
    assert_int_equal(refused(&(struct policy_request){ .read = TEXTS("~/elsewhere/aws") }, "AWS"),
                     ENFORCE_E_PROTECTED);
    const struct policy_request request = { .allow = TEXTS("~") };
    struct policy *p = make(&request);
    const struct policy_deny *target = deny_at(p, at("elsewhere/aws")),
                             *name = deny_at(p, at(".aws"));
    assert_non_null(target);
    assert_true(target->is_there && target->is_inside);
    assert_non_null(name); /* or the program puts a link of its own there */
    assert_true(!name->is_there && name->is_inside_writable);
    policy_free(p);
    unlink(at(".aws"));
}

static void a_grant_above_marks_what_must_be_hidden(void **state)
{
    (void)state;
    const struct policy_request request = { .read = TEXTS("~") };
    struct policy *p = make(&request);
    const struct policy_deny *ssh = deny_at(p, at(".ssh")), *kube = deny_at(p, at(".kube"));
    assert_true(ssh->is_there && ssh->is_inside && !ssh->is_inside_writable);
    assert_true(!kube->is_there && kube->is_inside);
    assert_false(may(p, at(".ssh/id_ed25519"), POLICY_READ));
    assert_true(may(p, at("project/README"), POLICY_READ));
    policy_free(p);
}

/* A second mount of the home folder, in namespaces of a child's own. */
static void another_mount_shows_no_denied_path(void **state)
{
    (void)state;
    make_folder("second");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        uid_t uid = getuid();
        char map[64];
        if (unshare(CLONE_NEWNS) < 0) {
            if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                _exit(77);
            int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
            int size = snprintf(map, sizeof(map), "%u %u 1", uid, uid);
            if (fd < 0 || write(fd, map, (size_t)size) != size)
                _exit(77);
        }
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
            || mount(home, at("second"), NULL, MS_BIND, NULL) < 0)
            _exit(77);
        const struct policy_request request = { .read = TEXTS(at("second")) };
        struct policy *p = NULL;
        struct nt_error e = NT_ERROR_INIT;
        if (policy_make(&request, &p, &e) < 0)
            _exit(1);
        const struct policy_deny *deny = deny_at(p, at("second/.ssh"));
        bool is_closed = deny && deny->is_there && deny->is_inside
                         && !may(p, at("second/.ssh/id_ed25519"), POLICY_READ)
                         && may(p, at("second/project/README"), POLICY_READ);
        policy_free(p);
        _exit(is_closed ? 0 : 2);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void own_state_stays_closed(void **state)
{
    (void)state;
    make_folder(".nanoterm/server");
    make_folder(".local/state/nono");
    assert_int_equal(refused(&(struct policy_request){ .read = TEXTS("~/.nanoterm/server") },
                             "nanoterm's own state"),
                     ENFORCE_E_PROTECTED);
    const struct policy_request bypassed = { .read = TEXTS("~/.local/state/nono"),
                                             .bypass = TEXTS("~/.local/state/nono") };
    assert_int_equal(refused(&bypassed, "no bypass opens it"), ENFORCE_E_PROTECTED);
    const struct policy_request from_above = { .read = TEXTS("~/.nanoterm"), .bypass = TEXTS("~") };
    assert_int_equal(refused(&from_above, "nanoterm's own state"), ENFORCE_E_PROTECTED);
    setenv("XDG_RUNTIME_DIR", at("run"), 1);
    assert_int_equal(mkdir(at("run"), 0700) + mkdir(at("run/nanoterm"), 0700), 0);
    assert_int_equal(refused(&(struct policy_request){ .allow = TEXTS("~/run/nanoterm") }, "own"),
                     ENFORCE_E_PROTECTED);
    unsetenv("XDG_RUNTIME_DIR");
}

static void a_bypass_opens_one_path_and_needs_a_grant(void **state)
{
    (void)state;
    const struct policy_request alone = { .bypass = TEXTS("~/.ssh") };
    assert_int_equal(refused(&alone, "grants nothing"), ENFORCE_E_PROTECTED);
    const struct policy_request both = { .bypass = TEXTS("~/.ssh"), .read = TEXTS("~/.ssh") };
    struct policy *p = make(&both);
    assert_true(may(p, at(".ssh/id_ed25519"), POLICY_READ));
    assert_false(may(p, at(".netrc"), POLICY_READ));
    assert_int_equal(p->warnings.count, 1);
    policy_free(p);

    const struct policy_request beneath = { .bypass = TEXTS("~/.ssh/id_ed25519"),
                                            .read_file = TEXTS("~/.ssh/id_ed25519") };
    p = make(&beneath);
    assert_true(may(p, at(".ssh/id_ed25519"), POLICY_READ));
    assert_string_equal(why(p, at(".ssh/config"), POLICY_READ), "sensitive_path");
    policy_free(p);

    const struct policy_request hidden = { .bypass = TEXTS("~/.ssh/id_ed25519"),
                                           .read_file = TEXTS("~/.ssh/id_ed25519"),
                                           .read = TEXTS("~") };
    assert_int_equal(refused(&hidden, "is hidden"), ENFORCE_E_PROTECTED);
}

static void names_that_change_later_change_nothing(void **state)
{
    (void)state;
    make_folder("project/data");
    assert_int_equal(symlink("data", at("project/current")), 0);
    const struct policy_request request = { .read = TEXTS("current") };
    struct policy *p = make(&request);
    unlink(at("project/current"));
    assert_int_equal(symlink(at(".ssh"), at("project/current")), 0);
    struct stat now, then;
    assert_string_equal(p->grants[0].path, at("project/data"));
    assert_int_equal(fstat(p->grants[0].fd, &then), 0);
    assert_int_equal(stat(at("project/data"), &now), 0);
    assert_int_equal(then.st_ino, now.st_ino);
    assert_false(may(p, "current/id_ed25519", POLICY_READ));
    policy_free(p);
    unlink(at("project/current"));
}

/* Somebody puts a link to ~/.ssh in the place of a folder, and back, while policies are made. */
static void a_link_that_changes_all_the_time_opens_nothing(void **state)
{
    (void)state;
    make_folder("project/safe");
    assert_int_equal(symlink("safe", at("project/moving")), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || chdir(at("project")) < 0)
            _exit(1);
        for (;;) {
            (void)!symlink(at(".ssh"), "new");
            (void)!rename("new", "moving");
            (void)!symlink("safe", "new");
            (void)!rename("new", "moving");
        }
    }
    unsigned granted = 0, denied = 0;
    for (unsigned i = 0; i < 20000 && (granted < 50 || denied < 50); i++) {
        const struct policy_request request = { .read = TEXTS("moving") };
        struct nt_error e = NT_ERROR_INIT;
        struct policy *p = NULL;
        struct stat held, safe;
        if (policy_make(&request, &p, &e) < 0) {
            assert_int_equal(e.code, ENFORCE_E_PROTECTED);
            denied++;
            continue;
        }
        assert_string_equal(p->grants[0].path, at("project/safe"));
        assert_int_equal(fstat(p->grants[0].fd, &held), 0);
        assert_int_equal(stat(at("project/safe"), &safe), 0);
        assert_int_equal(held.st_ino, safe.st_ino);
        policy_free(p);
        granted++;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    unlink(at("project/moving"));
    unlink(at("project/new"));
    assert_true(granted && denied); /* both were seen */
}

static void the_working_folder_is_shared_when_asked(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    struct policy *p = make(&(struct policy_request){ 0 });
    assert_int_equal(policy_share_workdir(p, &e), 0);
    assert_true(may(p, "README", POLICY_READ));
    assert_false(may(p, "README", POLICY_WRITE));
    policy_free(p);

    p = make(&(struct policy_request){ .allow_cwd = true, .workdir = home });
    assert_true(p->is_workdir_covered);
    assert_true(deny_at(p, at(".ssh"))->is_inside);
    policy_free(p);

    assert_int_equal(
        refused(&(struct policy_request){ .allow_cwd = true, .workdir = at(".ssh") }, "SSH"),
        ENFORCE_E_PROTECTED);
}

static void temporary_files_are_not_granted_where_they_hold_the_home_folder(void **state)
{
    (void)state;
    setenv("TMPDIR", home, 1);
    struct policy *p = make(&(struct policy_request){ 0 });
    assert_false(may(p, at("project/README"), POLICY_WRITE));
    policy_free(p);
    unsetenv("TMPDIR");
}

static void a_stream_of_the_caller_is_no_way_into_a_folder(void **state)
{
    (void)state;
    int saved = dup(0), folder = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(saved >= 0 && folder >= 0 && dup2(folder, 0) == 0);
    struct policy *p = make(&(struct policy_request){ 0 });
    assert_false(may(p, at("project/README"), POLICY_READ));
    policy_free(p);
    dup2(saved, 0);
    close(saved);
    close(folder);
}

static void sockets_by_path(void **state)
{
    (void)state;
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    assert_int_equal(chdir(at("project")), 0);
    make_folder("project/sockets/deep");
    memcpy(name.sun_path, "sockets/one", sizeof("sockets/one"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);

    const struct policy_request one = { .block_net = true,
                                        .unix_socket = TEXTS("sockets/one"),
                                        .allow = TEXTS("src") };
    struct policy *p = make(&one);
    assert_true(policy_ask_unix(p, at("project/sockets/one"), false));
    assert_false(policy_ask_unix(p, at("project/sockets/one"), true));
    assert_false(policy_ask_unix(p, at("project/sockets/two"), false));
    assert_false(policy_ask_unix(p, at("project/src/x"), false)); /* a file grant is not enough */
    assert_true(may(p, "sockets/one", POLICY_READ));
    policy_free(p);

    const struct policy_request folder = { .block_net = true,
                                           .unix_socket_dir_bind = TEXTS("sockets") };
    p = make(&folder);
    assert_true(policy_ask_unix(p, at("project/sockets/any"), true));
    assert_false(policy_ask_unix(p, at("project/sockets/deep/any"), true));
    assert_false(policy_ask_unix(p, at("project/sockets"), true));
    policy_free(p);

    make_folder("project/sockets-not");
    const struct policy_request tree = { .block_net = true,
                                         .unix_socket_subtree = TEXTS("sockets"),
                                         .unix_socket_subtree_bind = TEXTS("sockets/deep") };
    p = make(&tree);
    assert_true(policy_ask_unix(p, at("project/sockets/one"), false));
    assert_true(policy_ask_unix(p, at("project/sockets/deep/er/any"), false));
    assert_false(policy_ask_unix(p, at("project/sockets/one"), true));
    assert_true(policy_ask_unix(p, at("project/sockets/deep/er/any"), true));
    assert_false(policy_ask_unix(p, at("project/sockets"), false));
    assert_false(policy_ask_unix(p, at("project/sockets-not/one"), false));
    assert_false(policy_ask_unix(p, at("project/one"), false));
    assert_true(may(p, "sockets", POLICY_READ) && !may(p, "sockets", POLICY_WRITE));
    assert_true(may(p, "sockets/deep", POLICY_BOTH));
    char *json = NULL;
    struct policy *again = NULL;
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(policy_to_json(p, &json, &e), 0);
    assert_int_equal(policy_from_json((struct nt_bytes){ json, strlen(json) }, &again, &e), 0);
    assert_true(policy_ask_unix(again, at("project/sockets/deep/er/any"), true));
    assert_false(policy_ask_unix(again, at("project/sockets/x/any"), true));
    free(json);
    policy_free(again);
    policy_free(p);

    const struct policy_request coming = { .block_net = true,
                                           .unix_socket_bind = TEXTS("src/new.sock") };
    p = make(&coming);
    assert_true(policy_ask_unix(p, at("project/src/new.sock"), true));
    assert_false(policy_ask_unix(p, at("project/src/other"), true));
    assert_true(may(p, "src", POLICY_WRITE));
    policy_free(p);

    p = make(&(struct policy_request){ 0 });
    assert_false(policy_ask_unix(p, "/tmp/tmux-0/default", false)); /* of a group: not enough */
    assert_true(policy_ask_unix(p, "/tmp/mine", true));
    policy_free(p);
    assert_int_equal(refused(&(struct policy_request){ .unix_socket = TEXTS("README") }, "socket"),
                     NT_E_USAGE);
    const struct policy_request wrapped = { .is_wrap = true, .unix_socket = TEXTS("sockets/one") };
    assert_int_equal(refused(&wrapped, "wrap"), NT_E_USAGE);
    close(fd);
}

static void commands_are_blocked_by_name(void **state)
{
    (void)state;
    const struct policy_request request = { .allow_command = TEXTS("rm"),
                                            .block_command = TEXTS("mine", "rm") };
    struct policy *p = make(&request);
    bool has_rm = false, has_dd = false, has_mine = false;
    for (size_t i = 0; i < p->blocked_commands.count; i++) {
        has_rm |= strcmp(p->blocked_commands.at[i], "rm") == 0;
        has_dd |= strcmp(p->blocked_commands.at[i], "dd") == 0;
        has_mine |= strcmp(p->blocked_commands.at[i], "mine") == 0;
    }
    assert_true(!has_rm && has_dd && has_mine);
    policy_free(p);
}

/* Each path of each deny group, as a grant of its own. */
static void every_deny_group_denies(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t i = 0; i < group_count; i++)
        for (const struct group_deny *deny = groups[i].deny; deny && deny->path; deny++, seen++) {
            bool was_there = false;
            assert_true(strncmp(deny->path, "~/", 2) == 0);
            char path[PATH_MAX];
            snprintf(path, sizeof(path), "%s", at(deny->path + 2));
            was_there = access(path, F_OK) == 0;
            if (!was_there)
                make_folder(deny->path + 2);
            const char *list[] = { path };
            struct policy_request request = { 0 };
            struct stat st;
            assert_int_equal(stat(path, &st), 0);
            if (S_ISDIR(st.st_mode))
                request.read = (struct policy_texts){ list, 1 };
            else
                request.read_file = (struct policy_texts){ list, 1 };
            assert_int_equal(refused(&request, groups[i].name), ENFORCE_E_PROTECTED);
            if (!was_there)
                rmdir(path);
        }
    assert_true(seen > 40);
}

static void metadata_addresses_in_every_spelling(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "[::ffff:169.254.169.254]",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "::169.254.169.254",
        "fd00:ec2::254",
        "2002:a9fe:a9fe::1",
        "fe80::1%eth0",
        "Metadata.Google.Internal",
        "metadata.google.internal.",
        "metadata.azure.internal",
        "025177524776",
        "169.254.170.2",
        "100.100.100.200",
    };
    static const char *const no[] = { "169.253.169.254",
                                      "example.com",
                                      "api.github.com",
                                      "127.0.0.1",
                                      "::1",
                                      "metadata.example.com",
                                      "" };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (!policy_is_metadata(yes[i]))
            fail_msg("%s is let through", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (policy_is_metadata(no[i]))
            fail_msg("%s is refused", no[i]);
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool matches;
    } rows[] = {
        { "**/.env", "/a/b/.env", true },
        { "**/.env", "/.env", true },
        { "**/.env", "/a/.env.local", false },
        { "**/.env*", "/a/.env.local", true },
        { ".env", "/a/b/.env", true },
        { "/a/*/c", "/a/b/c", true },
        { "/a/*/c", "/a/b/d/c", false },
        { "/a/**/c", "/a/b/d/c", true },
        { "/a/**/c", "/a/c", true },
        { "/a/**", "/a/b/c", true },
        { "/a/**", "/b", false },
        { "**/x/**/y", "/x/x/y/z/y", true },
        { "**/*.pem", "/k/a.pem", true },
        { "**/*.pem", "/k/a.pem/x", false },
        { "/a/?", "/a/b", true },
        { "/a/?", "/a/bc", false },
        { "**/a*b*c", "/q/axxbyyc", true },
        { "**/a*b*c", "/q/axxbyy", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (path_matches(rows[i].pattern, rows[i].path) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].path);
}

static void hosts_of_a_closed_network(void **state)
{
    (void)state;
    const uint16_t ports[] = { 3000 };
    const struct policy_request request = { .block_net = true,
                                            .open_ports = ports,
                                            .open_port_count = 1 };
    struct policy *p = make(&request);
    struct policy_answer answer;
    policy_ask_host(p, "example.com", 443, &answer);
    assert_false(answer.is_allowed);
    assert_string_equal(answer.reason, "network_blocked");
    policy_ask_host(p, "127.0.0.1", 3000, &answer);
    assert_true(answer.is_allowed);
    policy_ask_host(p, "localhost", 3001, &answer);
    assert_false(answer.is_allowed);
    assert_string_equal(answer.flag, "--open-port 3001");
    policy_ask_host(p, "192.0.2.1", 3000, &answer);
    assert_false(answer.is_allowed);
    policy_free(p);
    const struct policy_request both = { .block_net = true, .allow_net = true };
    assert_int_equal(refused(&both, "exclude"), NT_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_opens_programs_and_no_home),
        cmocka_unit_test(grants_hold_what_they_say),
        cmocka_unit_test(a_grant_of_a_missing_path_is_skipped_with_a_word),
        cmocka_unit_test(files_and_folders_have_their_own_options),
        cmocka_unit_test(a_denied_path_is_not_granted),
        cmocka_unit_test(a_link_or_another_name_of_a_denied_path_is_not_granted),
        cmocka_unit_test(a_denied_path_that_is_a_link_is_denied_in_both_places),
        cmocka_unit_test(a_grant_above_marks_what_must_be_hidden),
        cmocka_unit_test(another_mount_shows_no_denied_path),
        cmocka_unit_test(own_state_stays_closed),
        cmocka_unit_test(a_bypass_opens_one_path_and_needs_a_grant),
        cmocka_unit_test(names_that_change_later_change_nothing),
        cmocka_unit_test(a_link_that_changes_all_the_time_opens_nothing),
        cmocka_unit_test(the_working_folder_is_shared_when_asked),
        cmocka_unit_test(temporary_files_are_not_granted_where_they_hold_the_home_folder),
        cmocka_unit_test(a_stream_of_the_caller_is_no_way_into_a_folder),
        cmocka_unit_test(sockets_by_path),
        cmocka_unit_test(commands_are_blocked_by_name),
        cmocka_unit_test(every_deny_group_denies),
        cmocka_unit_test(metadata_addresses_in_every_spelling),
        cmocka_unit_test(globs),
        cmocka_unit_test(hosts_of_a_closed_network),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
