/* SPDX-License-Identifier: Apache-2.0 */
/* local.c - the embedded server of this user: where it is, its token, and its start when it does
 * not run. */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/api/spawn.h"
#include "nanoterm/local.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define START_MS 30000
#define LOOK_AGAIN_MS 100 /* should an event of the folder be lost */
#define LOG_MAX (1024 * 1024)
#define LINE_MAX_BYTES 600
#define TOKEN_DIGITS 64

/* --- folders and files --------------------------------------------------------------------- */

static const char *runtime(struct nt_error *reterr)
{
    const char *folder = config_path(NT_PATH_RUNTIME);
    if (!folder) {
        nt_fail(reterr, NT_E_CONFIG, "there is no home folder for the embedded server");
        nt_hint(reterr, "set HOME, or name another API with --api URL");
    }
    return folder;
}

const char *local_socket(struct nt_error *reterr)
{
    static char path[PATH_MAX];
    const char *folder = runtime(reterr);
    if (!folder)
        return NULL;
    if ((size_t)snprintf(path, sizeof(path), "%s/" NT_LOCAL_SOCKET, folder) >= sizeof(path)) {
        nt_fail(reterr, NT_E_LIMIT, "the path of the runtime folder is too long");
        return NULL;
    }
    return path;
}

/* The folder as a descriptor, ours alone. -1: reterr, with sys ENOENT when it is not there. */
static int open_private(const char *folder, struct nt_error *reterr)
{
    struct stat st;
    nt_autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", folder);
    if (st.st_uid != geteuid()) {
        nt_fail(reterr, NT_E_CONFIG, "%s belongs to another user", folder);
        return nt_hint(reterr, "remove it: the embedded server uses a folder of your own only");
    }
    if ((st.st_mode & 0077) && fchmod(fd, 0700) < 0)
        return nt_fail_sys(reterr, errno, "cannot protect %s", folder);
    return nt_take_fd(fd);
}

int local_check_folder(struct nt_error *reterr)
{
    const char *folder = runtime(reterr);
    if (!folder)
        return -1;
    nt_autoclose int fd = open_private(folder, reterr);
    return fd >= 0 || reterr->sys == ENOENT ? 0 : -1;
}

/* Makes the folder and the missing ones above it, all 0700. */
static int make_private(const char *folder, struct nt_error *reterr)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", folder);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST && access(path, X_OK) < 0)
            return nt_fail_sys(reterr, errno, "cannot make %s", path);
        *slash = '/';
    }
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return nt_fail_sys(reterr, errno, "cannot make %s", folder);
    return open_private(folder, reterr);
}

int local_read_token(char *ret, size_t size, struct nt_error *reterr)
{
    const char *folder = runtime(reterr);
    char text[TOKEN_DIGITS + 2] = "";
    struct stat st;
    if (!folder)
        return -1;
    nt_autoclose int folder_fd = open_private(folder, reterr);
    if (folder_fd < 0)
        return -1;
    nt_autoclose int fd =
        openat(folder_fd, NT_LOCAL_TOKEN, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s/" NT_LOCAL_TOKEN, folder);
    ssize_t got = read(fd, text, sizeof(text) - 1);
    if (got > TOKEN_DIGITS && text[TOKEN_DIGITS] == '\n')
        text[TOKEN_DIGITS] = '\0';
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || strlen(text) != TOKEN_DIGITS
        || TOKEN_DIGITS >= size || strspn(text, "0123456789abcdef") != TOKEN_DIGITS) {
        explicit_bzero(text, sizeof(text));
        return nt_fail(reterr, NT_E_CONFIG,
                       "%s/" NT_LOCAL_TOKEN " is not the token of a server of yours", folder);
    }
    memcpy(ret, text, TOKEN_DIGITS + 1);
    explicit_bzero(text, sizeof(text));
    return 0;
}

static int open_log(struct nt_error *reterr)
{
    const char *folder = config_path(NT_PATH_DATA);
    struct stat st;
    if (!folder)
        return nt_fail(reterr, NT_E_CONFIG, "there is no home folder for the embedded server");
    nt_autoclose int folder_fd = make_private(folder, reterr);
    if (folder_fd < 0)
        return -1;
    if (fstatat(folder_fd, "server.log", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > LOG_MAX)
        /* if it fails the log grows, no more */
        renameat(folder_fd, "server.log", folder_fd, "server.log.1");
    int fd = openat(folder_fd, "server.log",
                    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    return fd < 0 ? nt_fail_sys(reterr, errno, "cannot open %s/server.log", folder) : fd;
}

/* --- waiting ------------------------------------------------------------------------------- */

/* True when somebody takes connections, and it is this user. */
static bool is_up(void)
{
    struct nt_error unused = NT_ERROR_INIT;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    const char *path = local_socket(&unused);
    nt_autoclose int fd = path ? net_unix_connect(path, &unused) : -1;
    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
           && peer.uid == geteuid();
}

struct watcher {
    uint32_t done;
    bool timed;
};

static void on_event(void *data, int fd, uint32_t events)
{
    (void)events;
    char dropped[4096];
    struct watcher *w = data;
    while (read(fd, dropped, sizeof(dropped)) > 0)
        continue;
    w->done = 1;
}

static void on_timer(void *data)
{
    struct watcher *w = data;
    w->done = 1;
}

/* Waits until something happens in the runtime folder. The watch was made before the state was
 * looked at. */
static int wait_for_change(struct api *api, int inotify, int64_t until_ms, struct nt_error *reterr)
{
    struct nt_loop *loop = &api->loop.head;
    struct watcher w = { .done = 0 };
    struct nt_watch *watch = loop->ops->watch(loop, inotify, NT_READABLE, on_event, &w);
    struct nt_timer *timer = loop->ops->timer(loop, LOOK_AGAIN_MS, 0, on_timer, &w);
    int status = watch && timer ? api_pump(api, &w.done, until_ms, reterr)
                                : nt_fail(reterr, NT_E_MEMORY, "out of memory");
    loop->ops->watch_end(watch);
    loop->ops->timer_end(timer);
    return status;
}

/* --- starting ------------------------------------------------------------------------------ */

struct ready {
    uint32_t done;
    size_t size;
    char line[LINE_MAX_BYTES + 1];
};

static void on_ready(void *data, int fd, uint32_t events)
{
    (void)events;
    struct ready *r = data;
    ssize_t got = read(fd, r->line + r->size, LINE_MAX_BYTES - r->size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0)
        r->size += (size_t)got;
    r->line[r->size] = '\0';
    if (got <= 0 || strchr(r->line, '\n') || r->size == LINE_MAX_BYTES)
        r->done = 1;
}

/* The server's line: number, message and hint of its error; or just a text of whatever came to run
 * instead. */
static int not_started(char *line, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf safe = NT_BUF(4 * LINE_MAX_BYTES + 1);
    char *message = strchr(line, '\t'), *hint = message ? strchr(message + 1, '\t') : NULL;
    uint64_t code = NT_E_CONNECT;
    if (hint) {
        *message++ = *hint++ = '\0';
        if (nt_parse_u64(line, 1, UINT32_MAX, &code, reterr) < 0
            || !nt_error_row_of((uint32_t)code))
            code = NT_E_CONNECT;
    } else {
        message = line;
    }
    nt_buf_add_printable(&safe, *message ? message : "it ended before it was ready", false);
    nt_fail(reterr, (uint32_t)code, "the embedded server could not start: %.200s",
            nt_buf_text(&safe));
    reterr->retryable = 0; /* the next one would say the same */
    if (!hint || !*hint)
        return nt_hint(reterr, "see %.200s/server.log", config_path(NT_PATH_DATA));
    nt_buf_reset(&safe);
    nt_buf_add_printable(&safe, hint, false);
    return nt_hint(reterr, "%.250s", nt_buf_text(&safe));
}

/* With the lock: nobody else is starting or running one. */
static int start_here(struct api *api, int lock, int64_t until_ms, struct nt_error *reterr)
{
    const char *program =
        api->options.server_program ? api->options.server_program : config_path(NT_PATH_SELF);
    if (!program)
        return nt_fail(reterr, NT_E_INTERNAL, "this program does not know its own path");
    nt_autoclose int log = open_log(reterr);
    nt_autoclose int ready_fd = -1;
    if (log < 0 || spawn_server(program, lock, log, &ready_fd, reterr) < 0)
        return -1;
    api_debug(api, "local.start", "program=%s", program);
    struct ready ready = { .done = 0 };
    struct nt_loop *loop = &api->loop.head;
    struct nt_watch *watch = loop->ops->watch(loop, ready_fd, NT_READABLE, on_ready, &ready);
    int status = watch ? api_pump(api, &ready.done, until_ms, reterr)
                       : nt_fail(reterr, NT_E_MEMORY, "out of memory");
    loop->ops->watch_end(watch);
    if (status < 0)
        return reterr->code == NT_E_TIMEOUT
                   ? nt_wrap(reterr, "waiting for the embedded server to start")
                   : -1;
    char *end = strchr(ready.line, '\n');
    if (end)
        *end = '\0';
    return end && strcmp(ready.line, "ready") == 0 ? 0 : not_started(ready.line, reterr);
}

static int refuse_inside(struct nt_error *reterr)
{
    const char *inside = getenv("NANOTERM_WORKSPACE");
    if ((!inside || !*inside) && access("/run/nanoterm/workspace", F_OK) < 0)
        return 0;
    nt_fail(reterr, NT_E_UNSUPPORTED, "this is a workspace; no embedded server is started in one");
    return nt_hint(reterr, "name an API with --api URL or NANOTERM_API_URL");
}

int local_start(struct api *api, int64_t until_ms, struct nt_error *reterr)
{
    const char *folder = runtime(reterr);
    if (!folder || refuse_inside(reterr) < 0)
        return -1;
    nt_autoclose int folder_fd = make_private(folder, reterr);
    if (folder_fd < 0)
        return -1;
    nt_autoclose int lock = openat(folder_fd, NT_LOCAL_LOCK,
                                   O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    nt_autoclose int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (lock < 0 || inotify < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s/" NT_LOCAL_LOCK, folder);
    /* The socket appears by rename; the end of a holder closes the lock file. */
    if (inotify_add_watch(inotify, folder,
                          IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | IN_ONLYDIR)
        < 0)
        return nt_fail_sys(reterr, errno, "cannot watch %s", folder);
    int64_t until = api_earlier(until_ms, api_now_ms(api) + START_MS);
    for (;;) {
        if (flock(lock, LOCK_EX | LOCK_NB) == 0)
            return start_here(api, lock, until, reterr);
        if (errno != EWOULDBLOCK && errno != EINTR)
            return nt_fail_sys(reterr, errno, "cannot lock %s/" NT_LOCAL_LOCK, folder);
        if (is_up())
            return 0;
        if (wait_for_change(api, inotify, until, reterr) < 0)
            return reterr->code == NT_E_TIMEOUT
                       ? nt_wrap(reterr, "waiting for the embedded server that another starts")
                       : -1;
    }
}
