/* SPDX-License-Identifier: Apache-2.0 */
/* secret_keyring.c - a credential from the desktop's keyring, by libsecret.
 *
 * A child asks and hands the value over a pipe: the library (with GLib, D-Bus and their threads)
 * never enters the supervisor, and a question that the desktop asks can be given up. libsecret is
 * opened when it is needed; the few types of its stable interface stand here, so that its headers
 * are not needed to build. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/symbol.h"

enum { CHILD_NO_LIBRARY = 10, CHILD_FAILED = 11, CHILD_NOTHING = 12 };

/* secret-schema.h */
struct secret_schema {
    const char *name;
    int flags;
    struct {
        const char *name;
        int type;
    } attributes[32];
    int reserved;
    void *reserved_pointers[7];
};
enum { SCHEMA_DONT_MATCH_NAME = 1 << 1, ATTRIBUTE_STRING = 0 };

/* What keyring-rs and secret-tool call them. */
static const struct secret_schema by_account = {
    .name = "org.freedesktop.Secret.Generic",
    .flags = SCHEMA_DONT_MATCH_NAME,
    .attributes = { { "service", ATTRIBUTE_STRING }, { "username", ATTRIBUTE_STRING } },
};

static void ask(const char *service, const char *account, int out)
{
    char *(*lookup)(const struct secret_schema *schema, void *cancellable, void **error, ...);
    void *library = dlopen("libsecret-1.so.0", RTLD_NOW | RTLD_LOCAL);
    void *error = NULL;
    if (!library || !nt_symbol(library, "secret_password_lookup_sync", &lookup))
        _exit(CHILD_NO_LIBRARY);
    char *value = lookup(&by_account, NULL, &error, "service", service, "username", account, NULL);
    if (error)
        _exit(CHILD_FAILED);
    if (!value)
        _exit(CHILD_NOTHING);
    _exit(nt_write_all(out, value, strlen(value)) == 0 ? 0 : CHILD_FAILED);
}

static int explain(int status, const char *service, const char *account, struct nt_error *reterr)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == CHILD_NO_LIBRARY) {
        nt_fail(reterr, ENFORCE_E_CREDENTIAL, "the keyring needs libsecret (libsecret-1.so.0)");
        return nt_hint(reterr, "install libsecret, or use env:// or file://");
    }
    if (code == CHILD_NOTHING) {
        nt_fail(reterr, ENFORCE_E_CREDENTIAL, "the keyring has no account %s of service %s",
                account, service);
        return nt_hint(reterr, "secret-tool store --label=%s service %s username %s", account,
                       service, account);
    }
    nt_fail(reterr, ENFORCE_E_CREDENTIAL, "the keyring cannot be asked for %s", account);
    return nt_hint(reterr, "is a session bus with a secret service there, and unlocked?");
}

int secret_of_keyring(const char *service, const char *account, char **ret, struct nt_error *reterr)
{
    int pipe_fds[2];
    if (!account[0])
        return nt_fail(reterr, ENFORCE_E_CREDENTIAL, "a credential without a name");
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    nt_autoclose int out = pipe_fds[0];
    nt_autoclose int in = pipe_fds[1];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return nt_fail_sys(reterr, errno, "cannot start a process for the keyring");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_DUMPABLE, 0);
        if (getppid() != parent)
            _exit(CHILD_FAILED);
        /* Its warnings would stand among the program's lines. */
        int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (nowhere >= 0) {
            dup2(nowhere, 0);
            dup2(nowhere, 1);
            dup2(nowhere, 2);
        }
        ask(service, account, in);
    }
    close(nt_take_fd(in));
    int status = 0;
    char *value = NULL;
    if (secret_collect(out, pid, "the keyring", &value, &status, reterr) < 0)
        return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        *ret = value;
        return 0;
    }
    secret_free(value);
    return explain(status, service, account, reterr);
}
