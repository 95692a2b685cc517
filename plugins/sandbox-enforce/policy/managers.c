/* SPDX-License-Identifier: Apache-2.0 */
/* managers.c - runs the package managers once a day.
 *
 * They run in / and with a small environment, so that no file of a project steers them; those that
 * the program or a project could have put there are not run at all. The cache lies where no
 * sandboxed program can write (policy/denies.c closes it to all of them). */
#include "plugins/sandbox-enforce/policy/managers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/outside.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/io.h"
#include "sdk/program.h"

#define TIME_MS 4000
#define OUTPUT_MAX ((size_t)64 * 1024)
#define KEPT_SECONDS (24 * 60 * 60)

struct manager {
    const char *words[6]; /* ends with NULL */
    const char *origin;
    const char *only; /* lines with this word alone count; NULL: all */
};

static const struct manager managers[] = {
    { { "npm", "config", "get", "registry", NULL }, "npm config get registry", NULL },
    { { "pip3", "install", "--help", NULL }, "pip3 install --help", "(default" },
    { { "go", "env", "GOPROXY", "GOSUMDB", NULL }, "go env GOPROXY GOSUMDB", NULL },
    { { "gem", "sources", "--list", NULL }, "gem sources --list", NULL },
};
#define MANAGERS (sizeof(managers) / sizeof(managers[0]))

/* Below "/" all would lie. */
static const char *project_of(const struct places *places)
{
    return places->workdir && strcmp(places->workdir, "/") != 0 ? places->workdir : NULL;
}

struct asked {
    const char *path; /* NULL: not there */
    pid_t pid;        /* 0: not running */
    int fd;
    struct nt_buf said;
};

/* What is found in PATH tells whether an old answer is good still; it is not what is run. */
static void look(struct memory *m, struct asked asked[MANAGERS])
{
    for (size_t i = 0; i < MANAGERS; i++) {
        const char *list = getenv("PATH");
        char path[PATH_MAX];
        asked[i] = (struct asked){ .fd = -1, .said = { .max = OUTPUT_MAX } };
        if (nt_program_next(&list, managers[i].words[0], path) == 0)
            asked[i].path = memory_text(m, path);
    }
}

/* The same where nobody else can put anything: NULL, or its path. */
static const char *find_program(struct memory *m, const struct policy *policy,
                                const struct places *places, const char *search, const char *name)
{
    char path[PATH_MAX], real[PATH_MAX];
    struct nt_error why = NT_ERROR_INIT;
    const struct outside what = {
        .policy = policy, .key = name, .path = path, .search = search, .project = project_of(places)
    };
    const char *list = search;
    while (nt_program_next(&list, name, path) == 0)
        if (outside_find(&what, real, &why) == 0)
            return memory_text(m, path); /* by its name: some programs go by it */
    return NULL;
}

/* --- running --------------------------------------------------------------------------------- */

static void start(struct memory *m, const struct places *places, const struct manager *manager,
                  const char *path, struct asked *ret)
{
    char *home = memory_format(m, "HOME=%s", *places->home ? places->home : "/");
    char *search = memory_format(m, "PATH=%s", path);
    char *const environment[] = { home,
                                  search,
                                  memory_text(m, "LC_ALL=C"),
                                  memory_text(m, "NO_UPDATE_NOTIFIER=1"),
                                  memory_text(m, "PIP_DISABLE_PIP_VERSION_CHECK=1"),
                                  memory_text(m, "GOTOOLCHAIN=local"),
                                  memory_text(m, "COLUMNS=2000"), /* pip breaks lines */

                                  NULL };
    char *words[6] = { NULL };
    for (size_t i = 0; manager->words[i]; i++)
        words[i] = memory_text(m, manager->words[i]);
    int pipes[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    if (m->failed || pipe2(pipes, O_CLOEXEC) < 0)
        return;
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0) {
        close(pipes[0]);
        close(pipes[1]);
        return;
    }
    /* A group of its own: what it starts ends with it. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addchdir_np(&actions, "/");
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (posix_spawn(&ret->pid, ret->path, &actions, &attributes, words, environment) != 0)
        ret->pid = 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (ret->pid)
        ret->fd = pipes[0];
    else
        close(pipes[0]);
}

/* Reads until all have closed their outputs, or time is up; then ends what is left. */
static void finish(struct asked *asked)
{
    int64_t end = nt_now_ms() + TIME_MS;
    for (;;) {
        struct pollfd fds[MANAGERS];
        nfds_t open = 0;
        for (size_t i = 0; i < MANAGERS; i++) {
            fds[i] = (struct pollfd){ .fd = asked[i].fd, .events = POLLIN };
            open += asked[i].fd >= 0;
        }
        int64_t left = end - nt_now_ms();
        if (!open || left <= 0 || (poll(fds, MANAGERS, (int)left) < 0 && errno != EINTR))
            break;
        for (size_t i = 0; i < MANAGERS; i++) {
            char *room = fds[i].revents ? nt_buf_room(&asked[i].said, 4096) : NULL;
            ssize_t size = room ? read(asked[i].fd, room, 4096) : -1;
            if (fds[i].revents && size <= 0) {
                close(asked[i].fd);
                asked[i].fd = -1;
            } else if (fds[i].revents) {
                nt_buf_added(&asked[i].said, (size_t)size);
            }
        }
    }
    for (size_t i = 0; i < MANAGERS; i++) {
        if (asked[i].fd >= 0) {
            close(asked[i].fd);
            nt_buf_reset(&asked[i].said);
        }
        if (asked[i].pid) {
            kill(-asked[i].pid, SIGKILL);
            while (waitpid(asked[i].pid, NULL, 0) < 0 && errno == EINTR)
                ;
        }
    }
}

/* Only the lines with a certain word, for outputs with more than the answer. */
static void keep_lines(struct nt_buf *said, const char *only)
{
    nt_auto(nt_buf_done) struct nt_buf kept = NT_BUF(OUTPUT_MAX);
    for (const char *line = nt_buf_text(said); only && *line;) {
        size_t size = strcspn(line, "\n");
        if (memmem(line, size, only, strlen(only)))
            nt_buf_add_bytes(&kept, line, size + (line[size] == '\n'));
        line += size + (line[size] == '\n');
    }
    if (!only)
        return;
    nt_buf_reset(said);
    nt_buf_add(said, nt_buf_text(&kept));
}

/* --- the cache ------------------------------------------------------------------------------- */

/* What was found, when: another program, or one that was replaced, is asked again. */
static void add_key(struct nt_buf *b, const struct asked *asked)
{
    for (size_t i = 0; i < MANAGERS; i++) {
        struct stat st;
        if (asked[i].path && stat(asked[i].path, &st) == 0)
            nt_buf_addf(b, "%s %lld %lld;", asked[i].path, (long long)st.st_mtim.tv_sec,
                        (long long)st.st_size);
    }
    nt_buf_add_char(b, '\n');
}

/* Lines: the key; then for each manager its number and one line that it said. */
static bool read_cache(const char *path, const char *key, struct asked *asked)
{
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != getuid()
        || st.st_mode & 022 || st.st_size > (off_t)OUTPUT_MAX * 4)
        return false;
    time_t now = time(NULL);
    if (now < st.st_mtim.tv_sec || now - st.st_mtim.tv_sec > KEPT_SECONDS)
        return false;
    nt_autofree char *text = malloc((size_t)st.st_size + 1);
    ssize_t size = text ? read(fd, text, (size_t)st.st_size) : -1;
    if (size < 0)
        return false;
    text[size] = '\0';
    size_t length = strlen(key);
    if (strncmp(text, key, length) != 0)
        return false;
    for (char *line = text + length; *line;) {
        size_t rest = strcspn(line, "\n");
        size_t index = (size_t)(line[0] - '0');
        if (rest > 2 && index < MANAGERS) {
            nt_buf_add_bytes(&asked[index].said, line + 2, rest - 2);
            nt_buf_add_char(&asked[index].said, '\n');
        }
        line += rest + (line[rest] == '\n');
    }
    return true;
}

static void write_cache(const char *above, const char *folder, const char *path, const char *key,
                        const struct asked *asked)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(OUTPUT_MAX * 4);
    nt_buf_add(&b, key);
    for (size_t i = 0; i < MANAGERS; i++)
        for (const char *line = nt_buf_text(&asked[i].said); *line;) {
            size_t size = strcspn(line, "\n");
            if (size)
                nt_buf_addf(&b, "%zu %.*s\n", i, (int)size, line);
            line += size + (line[size] == '\n');
        }
    char draft[PATH_MAX];
    int size = snprintf(draft, sizeof(draft), "%s.XXXXXX", path);
    if (!nt_buf_ok(&b) || size < 0 || (size_t)size >= sizeof(draft))
        return;
    if ((mkdir(above, 0700) < 0 && errno != EEXIST) || (mkdir(folder, 0700) < 0 && errno != EEXIST))
        return;
    nt_autoclose int fd = mkostemp(draft, O_CLOEXEC);
    if (fd < 0)
        return; /* asked again next time */
    if (nt_write_all(fd, nt_buf_text(&b), b.size) < 0 || rename(draft, path) < 0)
        unlink(draft);
}

/* --- all together ---------------------------------------------------------------------------- */

/* All that may run, side by side. */
static void run_all(struct memory *m, const struct policy *policy, const struct places *places,
                    struct asked asked[MANAGERS])
{
    struct nt_error ignored = NT_ERROR_INIT;
    nt_autofree char *search = NULL;
    if (outside_path(policy, project_of(places), &search, &ignored) < 0)
        return;
    for (size_t i = 0; i < MANAGERS; i++) {
        asked[i].path = find_program(m, policy, places, search, managers[i].words[0]);
        if (asked[i].path)
            start(m, places, &managers[i], search, &asked[i]);
    }
    finish(asked);
    for (size_t i = 0; i < MANAGERS; i++)
        keep_lines(&asked[i].said, managers[i].only);
}

void managers_ask(struct memory *m, const struct policy *policy, const struct places *places,
                  void (*fn)(void *, const char *, const char *), void *data)
{
    struct asked asked[MANAGERS];
    bool is_any = false;
    if (getauxval(AT_SECURE))
        return;
    look(m, asked);
    for (size_t i = 0; i < MANAGERS; i++)
        is_any |= asked[i].path != NULL;
    const char *folder = memory_format(m, "%s/nanoterm", places->cache);
    const char *path = memory_format(m, "%s/nanoterm/registries", places->cache);
    nt_auto(nt_buf_done) struct nt_buf key = NT_BUF(8192);
    add_key(&key, asked);
    if (!is_any || !folder || !path || !nt_buf_ok(&key))
        return;
    if (!read_cache(path, nt_buf_text(&key), asked)) {
        run_all(m, policy, places, asked);
        write_cache(places->cache, folder, path, nt_buf_text(&key), asked);
    }
    for (size_t i = 0; i < MANAGERS; i++) {
        fn(data, nt_buf_text(&asked[i].said), managers[i].origin);
        nt_buf_done(&asked[i].said);
    }
}
