/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_hooks_test.c - which scripts may run outside of the sandbox, where the start is refused
 * for what only this level can set up, and the file that a script writes to, under attack. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/supervise/hook.h"
#include "plugins/sandbox-enforce/policy/outside.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static char home[PATH_MAX];

static const char *at(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    assert_true(snprintf(path, PATH_MAX, "%.1000s/%.1000s", home, name) < PATH_MAX);
    return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
    nt_autoclose int fd = open(at(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0 && fchmod(fd, mode) == 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    char made[] = "/var/tmp/nt-hooks-XXXXXX";
    if (!mkdtemp(made) || !realpath(made, home))
        return -1;
    return mkdir(at("scripts"), 0755) + mkdir(at("shared"), 0755);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- the script ---------------------------------------------------------------------------- */

static const char *search = "/usr/bin:/bin"; /* PATH of the script */

/* "": it may run; else why not. */
static const char *asked(const struct policy *policy)
{
    static struct nt_error e;
    int fd = -1;
    e = (struct nt_error)NT_ERROR_INIT;
    const struct outside what = { .policy = policy,
                                  .key = "session_hooks.before",
                                  .path = policy->hooks[0].script,
                                  .file = policy->hooks[0].file,
                                  .search = search };
    if (outside_open(&what, &fd, &e) == 0) {
        struct stat st;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_PATH);
        assert_int_equal(fstat(fd, &st), 0);
        close(fd);
        return "";
    }
    assert_int_equal(e.code, ENFORCE_E_PROFILE);
    assert_non_null(strstr(e.message, "session_hooks.before"));
    return e.message;
}

static void one_of_the_persons_own_may_run(void **state)
{
    (void)state;
    put("scripts/good", "#!/bin/sh\n", 0700);
    put("profile.json", "{}", 0600);
    struct policy policy = { .hooks = { { at("scripts/good"), at("profile.json"), 0 } } };
    assert_string_equal(asked(&policy), "");
    policy.hooks[0] = (struct policy_hook){ "/bin/sh/", NULL, 0 };
    assert_string_not_equal(asked(&policy), "");
}

static void grants_close_it_by_name_and_by_inode(void **state)
{
    (void)state;
    put("scripts/mine", "#!/bin/sh\n", 0700);
    put("profile.json", "{}", 0600);
    struct policy_grant grant = { .path = at("scripts"), .source = "user", .access = POLICY_WRITE };
    struct policy policy = { .grants = &grant,
                             .grant_count = 1,
                             .hooks = { { at("scripts/mine"), at("profile.json"), 0 } } };
    nt_autoclose int scripts = open(at("scripts"), O_PATH | O_CLOEXEC);
    nt_autoclose int above = open(home, O_PATH | O_CLOEXEC);
    nt_autoclose int mine = open(at("scripts/mine"), O_PATH | O_CLOEXEC);
    nt_autoclose int other = open(at("shared"), O_PATH | O_CLOEXEC);
    nt_autoclose int profile = open(at("profile.json"), O_PATH | O_CLOEXEC);
    grant.fd = other;
    assert_non_null(strstr(asked(&policy), "may write"));
    /* Under another name: a bind mount of any folder above, of the file, of the profile. */
    grant.path = at("shared");
    const int same[] = { scripts, above, mine, profile };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        grant.fd = same[i];
        assert_non_null(strstr(asked(&policy), "may write"));
    }
    grant.access = POLICY_READ;
    assert_string_equal(asked(&policy), "");
    grant.access = POLICY_BOTH;
    grant.fd = other;
    assert_string_equal(asked(&policy), "");
    grant.fd = -1; /* what can only be named inside */
    assert_string_equal(asked(&policy), "");
    grant.path = at("profile.json");
    grant.is_file = true;
    assert_non_null(strstr(asked(&policy), "the profile"));
}

/* --- what runs it -------------------------------------------------------------------------- */

static const char *asked_with(const struct policy *policy, const char *line)
{
    char text[512];
    snprintf(text, sizeof(text), "%.400s\nexit 0\n", line);
    put("scripts/run", text, 0700);
    return asked(policy);
}

static void what_runs_a_script_is_asked_as_the_script_is(void **state)
{
    (void)state;
    char line[PATH_MAX], folders[2 * PATH_MAX], script[PATH_MAX], project[PATH_MAX];
    char real[PATH_MAX], profile[PATH_MAX];
    snprintf(script, sizeof(script), "%s", at("scripts/run"));
    snprintf(project, sizeof(project), "%s", at("project"));
    snprintf(profile, sizeof(profile), "%s", at("profile.json"));
    assert_int_equal(mkdir(project, 0755) + mkdir(at("project/bin"), 0755), 0);
    assert_true(realpath("/bin/sh", real));
    put("profile.json", "{}", 0600);
    put("project/bin/mine", "#!/bin/sh\n", 0700);
    put("project/bin/sh", "#!/bin/sh\n", 0700);
    put("scripts/good", "#!/bin/sh\n", 0700);
    struct policy_grant grant = {
        .path = project, .source = "user", .access = POLICY_BOTH, .fd = -1
    };
    struct policy policy = { .grants = &grant,
                             .grant_count = 1,
                             .hooks = { { script, profile, 0 } } };
    static const char *const fine[] = { "#!/bin/sh",
                                        "#! /bin/sh -e",
                                        "#!/usr/bin/env sh",
                                        "#!/usr/bin/env sh ",
                                        "#!/usr/bin/env -S sh -e",
                                        "#!/usr/bin/env",
                                        "#!/nothing/there",
                                        "#!/usr/bin/env nothing-of-that-name",
                                        "no script" };
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        assert_string_equal(asked_with(&policy, fine[i]), "");
    const struct {
        const char *format, *why;
    } refused[] = {
        { "#!@/bin/mine", "may write" },
        { "#!@/bin/mine x", "may write" },
        { "#!@/bin/not-yet", "may write" },
        { "#!@/../project/bin/mine", "may write" },
        { "#!/usr/bin/env @/bin/mine", "may write" },
        { "#!/usr/bin/env -S @/bin/mine x", "may write" },
        { "#!bin/sh", "depends on the folder" },
        { "#!/usr/bin/env bin/sh", "depends on the folder" },
        { "#!/usr/bin/env -i sh", "not plainly" },
        { "#!/usr/bin/env -S -i sh", "not plainly" },
        { "#!/usr/bin/env -S PATH=/x sh", "not plainly" },
        { "#!/usr/bin/env -S \"sh\"", "not plainly" },
        { "#!/usr/bin/env -S ${SHELL}", "not plainly" },
        { "#!/usr/bin/env --split-string=sh", "not plainly" },
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(sizeof(line));
        for (const char *c = refused[i].format; *c; c++)
            *c == '@' ? nt_buf_add(&b, project) : nt_buf_add_char(&b, *c);
        snprintf(line, sizeof(line), "%.400s", nt_buf_text(&b));
        const char *why = asked_with(&policy, line);
        if (!strstr(why, refused[i].why))
            fail_msg("%s: '%s'", line, why);
    }
    /* One that is run by another, and a link that the program could turn. */
    snprintf(line, sizeof(line), "#!%.200s/bin/mine", project);
    put("scripts/good", line, 0700);
    snprintf(line, sizeof(line), "#!%.200s", at("scripts/good"));
    assert_non_null(strstr(asked_with(&policy, line), "may write"));
    assert_int_equal(symlink("/bin/sh", at("project/link")), 0);
    snprintf(line, sizeof(line), "#!%.200s/link", project);
    assert_non_null(strstr(asked_with(&policy, line), "may write"));
    assert_int_equal(symlink(real, at("scripts/link")), 0);
    snprintf(line, sizeof(line), "#!%.200s", at("scripts/link"));
    assert_string_equal(asked_with(&policy, line), "");
    /* Others could put one there. */
    assert_int_equal(mkdir(at("sticky"), 0755) + chmod(at("sticky"), 01777), 0);
    snprintf(line, sizeof(line), "#!%.200s", at("sticky/sh"));
    assert_non_null(strstr(asked_with(&policy, line), "everybody"));
    /* The folders of PATH before it count, too. */
    const char *const unsafe[] = {
        project, at("project/bin"), at("project/none"), at("sticky"), ".", "", "bin"
    };
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++) {
        snprintf(folders, sizeof(folders), "%.200s:/usr/bin:/bin", unsafe[i]);
        search = folders;
        const char *why = asked_with(&policy, "#!/usr/bin/env sh");
        if (!strstr(why, "looked for in PATH"))
            fail_msg("%s: '%s'", folders, why);
        snprintf(folders, sizeof(folders), "/usr/bin:/bin:%.200s", unsafe[i]);
        assert_string_equal(asked_with(&policy, "#!/usr/bin/env sh"), "");
    }
    search = "/usr/bin:/bin";
    /* And who has the program started. */
    const struct policy below = { .above = &policy, .hooks = { { script, profile, 0 } } };
    snprintf(line, sizeof(line), "#!%.200s/bin/mine", project);
    assert_non_null(strstr(asked_with(&below, line), "may write"));
}

static void what_runs_outside_gets_the_safe_folders_of_path(void **state)
{
    (void)state;
    char folders[8 * PATH_MAX];
    nt_autofree char *project = strdup(at("project")), *link = strdup(at("scripts/way"));
    nt_autofree char *safe = strdup(at("scripts")), *before = NULL, *path = NULL;
    struct nt_error e = NT_ERROR_INIT;
    assert_true(project && link && safe);
    if (getenv("PATH"))
        before = strdup(getenv("PATH"));
    assert_int_equal(symlink(project, link), 0);
    struct policy_grant grant = {
        .path = project, .source = "user", .access = POLICY_WRITE, .fd = -1
    };
    const struct policy policy = { .grants = &grant, .grant_count = 1 };
    snprintf(folders, sizeof(folders), ".:%s/bin:%s:%s::%s/none:/usr/bin:%s:bin:/bin:", project,
             link, safe, safe, at("sticky"));
    setenv("PATH", folders, 1);
    assert_int_equal(outside_path(&policy, NULL, &path, &e), 0);
    snprintf(folders, sizeof(folders), "%s:/usr/bin:/bin", safe);
    assert_string_equal(path, folders);
    /* A project's folder is none, whether the program may write there or not. */
    free(nt_take(path));
    assert_int_equal(outside_path(NULL, home, &path, &e), 0);
    assert_string_equal(path, "/usr/bin:/bin");
    free(nt_take(path));
    setenv("PATH", project, 1);
    assert_int_equal(outside_path(&policy, NULL, &path, &e), 0);
    assert_string_equal(path, "/dev/null"); /* an empty one would be the current folder */
    if (before)
        setenv("PATH", before, 1);
}

/* --- mounts -------------------------------------------------------------------------------- */

#define NO_MOUNTS 77

static char names[4096];

static int keep_name(void *data, const char *name)
{
    size_t size = strlen(names);
    (void)data;
    snprintf(names + size, sizeof(names) - size, "%s\n", name);
    return 0;
}

static bool is_named(const char *name)
{
    char line[PATH_MAX + 2];
    snprintf(line, sizeof(line), "%s\n", name);
    return strstr(names, line) != NULL;
}

/* Where what is open has which names, without and with mounts. */
static int with_mounts(const struct policy *policy)
{
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return NO_MOUNTS;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return NO_MOUNTS;
    nt_autoclose int script = open(at("scripts/mine"), O_PATH | O_CLOEXEC);
    names[0] = '\0';
    if (outside_other_names(script, at("scripts/mine"), keep_name, NULL) != 0
        || strstr(names, home))
        return 1;
    if (mount(at("scripts"), at("shared/deep/a name"), NULL, MS_BIND, NULL) < 0
        || mount(home, at("shared/all"), NULL, MS_BIND, NULL) < 0
        || mount(at("scripts/mine"), at("shared/file"), NULL, MS_BIND, NULL) < 0
        || mount(at("other"), at("shared/none"), NULL, MS_BIND, NULL) < 0)
        return NO_MOUNTS;
    if (outside_other_names(script, at("scripts/mine"), keep_name, NULL) != 0
        || !is_named(at("shared/deep/a name/mine")) || !is_named(at("shared/all/scripts/mine"))
        || !is_named(at("shared/file")) || strstr(names, "none"))
        return 2;
    /* By the bound name it is the first one that is another. */
    nt_autoclose int again = open(at("shared/deep/a name/mine"), O_PATH | O_CLOEXEC);
    names[0] = '\0';
    if (outside_other_names(again, at("shared/deep/a name/mine"), keep_name, NULL) != 0
        || !is_named(at("scripts/mine")))
        return 3;
    /* Others than root seem to be strangers in a namespace of one's own: refused in any case. */
    return geteuid() != 0 || strstr(asked(policy), "by a second mount ") ? 0 : 4;
}

static void a_mount_in_a_writable_folder_closes_it(void **state)
{
    (void)state;
    int status = 0;
    put("scripts/mine", "#!/bin/sh\n", 0700);
    put("profile.json", "{}", 0600);
    put("shared/file", "", 0600);
    assert_int_equal(mkdir(at("shared/deep"), 0755) + mkdir(at("shared/deep/a name"), 0755)
                         + mkdir(at("shared/all"), 0755) + mkdir(at("shared/none"), 0755)
                         + mkdir(at("other"), 0755),
                     0);
    nt_autoclose int shared = open(at("shared"), O_PATH | O_CLOEXEC);
    /* Copies: what `at` says holds for a few calls only. */
    nt_autofree char *folder = strdup(at("shared")), *script = strdup(at("scripts/mine"));
    nt_autofree char *profile = strdup(at("profile.json"));
    assert_true(folder && script && profile);
    struct policy_grant grant = {
        .path = folder, .source = "user", .access = POLICY_WRITE, .fd = shared
    };
    const struct policy policy = { .grants = &grant,
                                   .grant_count = 1,
                                   .hooks = { { script, profile, 0 } } };
    assert_string_equal(asked(&policy), "");
    pid_t pid = fork();
    if (pid == 0)
        _exit(with_mounts(&policy));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_MOUNTS)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- its file ------------------------------------------------------------------------------ */

static void make(struct hook_file *file)
{
    struct nt_error e = NT_ERROR_INIT;
    if (hook_file_make(at("a/b/state"), file, &e) < 0)
        fail_msg("%s", e.message);
}

static void the_file_is_private_and_goes_with_its_folders(void **state)
{
    (void)state;
    struct hook_file file, second;
    struct stat st;
    size_t size = 0;
    const char *why = "unset";
    make(&file);
    assert_true(stat(file.path, &st) == 0 && (st.st_mode & 07777) == 0600 && st.st_size == 0);
    assert_true(stat(at("a/b/state"), &st) == 0 && (st.st_mode & 07777) == 0700);
    assert_null(hook_file_read(&file, &size, &why));
    assert_null(why);
    nt_autoclose int fd = open(file.path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "A=1\n", 4), 4);
    nt_autofree char *text = hook_file_read(&file, &size, &why);
    assert_null(why);
    assert_int_equal(size, 4);
    assert_memory_equal(text, "A=1\n", 4);
    make(&second); /* sweeps, and the first one stays */
    assert_int_equal(access(file.path, F_OK), 0);
    hook_file_remove(&second);
    assert_int_equal(access(file.path, F_OK), 0);
    hook_file_remove(&file);
    assert_int_equal(access(at("a"), F_OK), -1);
}

static void another_file_in_its_place_is_not_read(void **state)
{
    (void)state;
    struct hook_file file;
    char path[PATH_MAX];
    size_t size = 0;
    const char *why = NULL;
    put("secret", "SECRET=1\n", 0600);
    make(&file);
    memcpy(path, file.path, sizeof(path));
    assert_int_equal(unlink(path) + symlink(at("secret"), path), 0);
    assert_null(hook_file_read(&file, &size, &why));
    assert_non_null(why);
    hook_file_remove(&file);
    struct stat st;
    assert_int_equal(lstat(path, &st), -1);
    assert_int_equal(access(at("secret"), F_OK), 0);
}

static void too_much_is_nothing(void **state)
{
    (void)state;
    struct hook_file file;
    size_t size = 0;
    const char *why = NULL;
    make(&file);
    assert_int_equal(ftruncate(file.fd, HOOK_FILE_MAX), 0);
    nt_autofree char *all = hook_file_read(&file, &size, &why);
    assert_true(all && size == HOOK_FILE_MAX && !why);
    assert_int_equal(ftruncate(file.fd, HOOK_FILE_MAX + 1), 0);
    assert_null(hook_file_read(&file, &size, &why));
    assert_non_null(strstr(why, "64 KiB"));
    hook_file_remove(&file);
}

static void what_a_killed_one_left_goes_with_the_next(void **state)
{
    (void)state;
    struct hook_file file;
    assert_int_equal(mkdir(at("a"), 0700) + mkdir(at("a/b"), 0700) + mkdir(at("a/b/state"), 0700),
                     0);
    put("a/b/state/hook-0123456789abcdef", "A=1\n", 0600);
    put("a/b/state/hook-of-somebody", "", 0600);
    make(&file);
    assert_int_equal(access(at("a/b/state/hook-0123456789abcdef"), F_OK), -1);
    assert_int_equal(access(at("a/b/state/hook-of-somebody"), F_OK), 0);
    hook_file_remove(&file);
    assert_int_equal(access(at("a/b/state"), F_OK), 0); /* it was there */
    assert_int_equal(unlink(at("a/b/state/hook-of-somebody")), 0);
    assert_int_equal(rmdir(at("a/b/state")) + rmdir(at("a/b")) + rmdir(at("a")), 0);
}

static void a_folder_of_others_is_refused(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    struct hook_file file;
    assert_int_equal(mkdir(at("open"), 0700) + chmod(at("open"), 0777), 0);
    assert_int_equal(hook_file_make(at("open"), &file, &e), -1);
    assert_int_equal(e.sys, EPERM);
    assert_int_equal(rmdir(at("open")) + symlink(at("scripts"), at("open")), 0);
    assert_int_equal(hook_file_make(at("open"), &file, &e), -1);
    assert_int_equal(unlink(at("open")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_the_persons_own_may_run),
        cmocka_unit_test(grants_close_it_by_name_and_by_inode),
        cmocka_unit_test(what_runs_a_script_is_asked_as_the_script_is),
        cmocka_unit_test(what_runs_outside_gets_the_safe_folders_of_path),
        cmocka_unit_test(a_mount_in_a_writable_folder_closes_it),
        cmocka_unit_test(the_file_is_private_and_goes_with_its_folders),
        cmocka_unit_test(another_file_in_its_place_is_not_read),
        cmocka_unit_test(too_much_is_nothing),
        cmocka_unit_test(what_a_killed_one_left_goes_with_the_next),
        cmocka_unit_test(a_folder_of_others_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
