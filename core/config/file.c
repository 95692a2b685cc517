/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - the config file: checked before it is read, changed whole or not at all. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define FILE_NAME "config.json"
#define LOCK_NAME "config.lock"
#define FILE_MAX (1024 * 1024)
#define LOCK_TRIES 250 /* of 20 ms: a writer holds the lock for milliseconds */

static void wipe_text(const json_t *text)
{
    const char *value = json_string_value(text);
    char *memory;
    if (!value)
        return;
    memcpy(&memory, &value, sizeof(memory)); /* ours alone, and dropped right after */
    explicit_bzero(memory, json_string_length(text));
}

void config_file_drop(json_t **root)
{
    const char *origin;
    json_t *credential;
    if (!*root)
        return;
    wipe_text(json_object_get(*root, "api_key"));
    json_object_foreach(json_object_get(*root, "credentials"), origin, credential)
        wipe_text(json_object_get(credential, "api_key"));
    json_decref(*root);
    *root = NULL;
}

/* The folder as a descriptor; -1 with errno. */
static int open_folder(const char *folder)
{
    return open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int read_all(int fd, const char *folder, struct nt_buf *text, struct nt_error *reterr)
{
    /* All the room at once: a buffer that grows would leave pieces of a secret behind. */
    if (!nt_buf_room(text, FILE_MAX + 1))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    while (text->size <= FILE_MAX) {
        ssize_t got = read(fd, text->data + text->size, FILE_MAX + 1 - text->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return nt_fail_sys(reterr, errno, "cannot read %s/" FILE_NAME, folder);
        if (got == 0)
            return 0;
        nt_buf_added(text, (size_t)got);
    }
    return nt_fail(reterr, NT_E_CONFIG, "%s/" FILE_NAME " is longer than 1 MiB", folder);
}

static int check_file(int fd, const char *folder, bool *ret_is_shared, struct nt_error *reterr)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot look at %s/" FILE_NAME, folder);
    if (!S_ISREG(st.st_mode))
        return nt_fail(reterr, NT_E_CONFIG, "%s/" FILE_NAME " is not a file", folder);
    if (st.st_uid != geteuid()) {
        nt_fail(reterr, NT_E_CONFIG, "%s/" FILE_NAME " belongs to another user", folder);
        return nt_hint(reterr, "remove it, or run with HOME set to your own home");
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        nt_fail(reterr, NT_E_CONFIG, "others can write %s/" FILE_NAME, folder);
        return nt_hint(reterr, "check what is in it, then run: chmod 600 %s/" FILE_NAME, folder);
    }
    *ret_is_shared = st.st_mode & (S_IRGRP | S_IROTH);
    return 0;
}

static int parse(const struct nt_buf *text, const char *folder, json_t **ret_root,
                 struct nt_error *reterr)
{
    json_error_t at;
    json_t *root = text->size ? json_loadb(text->data, text->size, JSON_REJECT_DUPLICATES, &at)
                              : json_object();
    if (!root) {
        /* jansson's own text is not shown: it quotes the file, which holds keys. */
        nt_fail(reterr, NT_E_CONFIG, "%s/" FILE_NAME " is not valid JSON at line %d, column %d",
                folder, at.line, at.column);
        return nt_hint(reterr, "correct that line, or move the file away to start anew");
    }
    if (!json_is_object(root)) {
        json_decref(root);
        nt_fail(reterr, NT_E_CONFIG, "%s/" FILE_NAME " line 1: not a JSON object", folder);
        return nt_hint(reterr, "it starts with { and ends with }");
    }
    *ret_root = root;
    return 0;
}

static int read_at(int folder_fd, const char *folder, json_t **ret_root, bool *ret_is_shared,
                   struct nt_error *reterr)
{
    nt_autoclose int fd =
        openat(folder_fd, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    *ret_is_shared = false;
    if (fd < 0 && errno == ENOENT) {
        *ret_root = json_object();
        return *ret_root ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    if (fd < 0 && errno == ELOOP)
        return nt_fail(reterr, NT_E_CONFIG, "%s/" FILE_NAME " is a link, which is not followed",
                       folder);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s/" FILE_NAME, folder);
    if (check_file(fd, folder, ret_is_shared, reterr) < 0)
        return -1;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(FILE_MAX + 2);
    int status = read_all(fd, folder, &text, reterr);
    if (status == 0)
        status = parse(&text, folder, ret_root, reterr);
    if (text.data)
        explicit_bzero(text.data, text.size);
    return status;
}

int config_file_read(const char *folder, json_t **ret_root, bool *ret_is_shared,
                     struct nt_error *reterr)
{
    nt_autoclose int folder_fd = open_folder(folder);
    if (folder_fd >= 0)
        return read_at(folder_fd, folder, ret_root, ret_is_shared, reterr);
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES && errno != ELOOP)
        return nt_fail_sys(reterr, errno, "cannot open %s", folder);
    /* A sandbox of ours closes this folder to all inside: there are no settings there. */
    bool is_inside = errno == EACCES && getenv("NONO_CAP_FILE");
    if (errno != ENOENT && !is_inside)
        return nt_fail(reterr, NT_E_CONFIG, "%s is not a folder of yours that can be opened",
                       folder);
    *ret_is_shared = false;
    *ret_root = json_object();
    return *ret_root ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

/* Writes all of it to a new file beside the old one and puts it in its place. */
static int write_at(int folder_fd, const char *folder, const char *text, size_t size,
                    struct nt_error *reterr)
{
    uint64_t random;
    char name[40];
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return nt_fail_sys(reterr, errno, "cannot get random bytes");
    snprintf(name, sizeof(name), ".config.%016llx", (unsigned long long)random);
    nt_autoclose int fd =
        openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot write in %s", folder);
    int status = 0;
    if (fchmod(fd, 0600) < 0) /* whatever the umask takes away */
        status = nt_fail_sys(reterr, errno, "cannot protect the new " FILE_NAME " in %s", folder);
    while (status == 0 && size > 0) {
        ssize_t put = write(fd, text, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            status = nt_fail_sys(reterr, errno, "cannot write in %s", folder);
        else {
            text += put;
            size -= (size_t)put;
        }
    }
    if (status == 0 && (fsync(fd) < 0 || renameat(folder_fd, name, folder_fd, FILE_NAME) < 0))
        status = nt_fail_sys(reterr, errno, "cannot replace %s/" FILE_NAME, folder);
    if (status < 0)
        unlinkat(folder_fd, name, 0);
    else
        fsync(folder_fd); /* the rename itself; the file is whole with or without it */
    return status;
}

static int take_lock(int folder_fd, const char *folder, struct nt_error *reterr)
{
    nt_autoclose int fd =
        openat(folder_fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s/" LOCK_NAME, folder);
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || i == LOCK_TRIES)
            return nt_fail_sys(reterr, errno, "cannot lock %s/" LOCK_NAME, folder);
        poll(NULL, 0, 20); /* flock has no wait with a deadline */
    }
    return nt_take_fd(fd);
}

static int make_folder(const char *folder, struct nt_error *reterr)
{
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return nt_fail_sys(reterr, errno, "cannot make %s", folder);
    nt_autoclose int fd = open_folder(folder);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", folder);
    if (st.st_uid != geteuid())
        return nt_fail(reterr, NT_E_CONFIG, "%s belongs to another user", folder);
    if ((st.st_mode & 0777) != 0700 && fchmod(fd, 0700) < 0)
        return nt_fail_sys(reterr, errno, "cannot protect %s", folder);
    return nt_take_fd(fd);
}

int config_file_update(const char *folder,
                       int (*change)(json_t *root, void *data, struct nt_error *reterr), void *data,
                       struct nt_error *reterr)
{
    nt_autoclose int folder_fd = make_folder(folder, reterr);
    if (folder_fd < 0)
        return -1;
    nt_autoclose int lock = take_lock(folder_fd, folder, reterr);
    if (lock < 0)
        return -1;
    nt_auto(config_file_drop) json_t *root = NULL;
    bool is_shared;
    if (read_at(folder_fd, folder, &root, &is_shared, reterr) < 0 || change(root, data, reterr) < 0)
        return -1;
    char *text = json_dumps(root, JSON_INDENT(2));
    if (!text)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    size_t size = strlen(text);
    text[size] = '\n'; /* in the place of the NUL: a text file ends with a newline */
    int status = size >= FILE_MAX
                     ? nt_fail(reterr, NT_E_LIMIT, "%s/" FILE_NAME " would become too long", folder)
                     : write_at(folder_fd, folder, text, size + 1, reterr);
    explicit_bzero(text, size);
    free(text);
    return status;
}
