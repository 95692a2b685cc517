/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - what else a workspace needs of this machine: room, a folder for the socket, a clock,
 * and somebody who does not end it at logout. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define ROOM_LEAST (UINT64_C(64) << 20)
#define ROOM_FINE (UINT64_C(1) << 30)
#define CLOCK_LEAST 1704067200 /* 2024-01-01: earlier than this program */

/* The file system of a folder that may not be there yet: of the nearest one above it. */
static bool room_of(const char *folder, struct statvfs *ret)
{
    char path[4096];
    nt_copy_text(path, sizeof(path), folder);
    while (statvfs(path, ret) < 0) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return false;
        if (slash == path)
            return statvfs("/", ret) == 0;
        *slash = '\0';
    }
    return true;
}

static int say_room(struct nt_call *call, struct nt_error *reterr)
{
    char detail[4200];
    struct statvfs fs;
    const char *folder = call->host->path(call, NT_PATH_DATA);
    if (!room_of(folder, &fs))
        return doctor_say(call, "disk space", WARN, "cannot be counted", "", -1, reterr);
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    snprintf(detail, sizeof(detail), "%llu MiB free for %s", (unsigned long long)(free_bytes >> 20),
             folder);
    bool is_full = free_bytes < ROOM_LEAST || (fs.f_files && !fs.f_favail);
    return doctor_say(call, "disk space",
                      is_full                  ? FAIL
                      : free_bytes < ROOM_FINE ? WARN
                                               : FINE,
                      detail, is_full || free_bytes < ROOM_FINE ? "make room there" : "", -1,
                      reterr);
}

static int say_runtime(struct nt_call *call, struct nt_error *reterr)
{
    struct stat st;
    const char *folder = call->host->path(call, NT_PATH_RUNTIME);
    if (stat(folder, &st) < 0)
        return doctor_say(call, "runtime folder", errno == ENOENT ? FINE : FAIL,
                          errno == ENOENT ? "made when it is needed" : strerrordesc_np(errno),
                          errno == ENOENT ? "" : "let this user enter the folders above it", -1,
                          reterr);
    bool is_ours = S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077);
    return doctor_say(call, "runtime folder", is_ours ? FINE : FAIL, folder,
                      is_ours ? "" : "it must be this user's own, with mode 0700", -1, reterr);
}

static int say_clock(struct nt_call *call, struct nt_error *reterr)
{
    char text[40] = "";
    struct tm tm;
    time_t now = time(NULL);
    if (gmtime_r(&now, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    bool is_fine = now > CLOCK_LEAST;
    return doctor_say(call, "clock", is_fine ? FINE : WARN, text,
                      is_fine ? "" : "set it: certificates and times to live depend on it", -1,
                      reterr);
}

static int say_fuse(struct nt_call *call, struct nt_error *reterr)
{
    nt_autoclose int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    return doctor_say(call, "fuse", fd >= 0 ? FINE : WARN,
                      fd >= 0 ? "/dev/fuse opens" : "/dev/fuse does not open",
                      fd >= 0 ? "" : "only file systems in user space need it: modprobe fuse", -1,
                      reterr);
}

/* What would end workspaces behind our back. */
static int say_session(struct nt_call *call, struct nt_error *reterr)
{
    char path[4096];
    if (access("/run/systemd/system", F_OK) < 0)
        return doctor_say(call, "logout", FINE, "no systemd here: nothing ends workspaces", "", -1,
                          reterr);
    if (geteuid() == 0)
        return doctor_say(call, "logout", FINE, "root's processes are not ended", "", -1, reterr);
    const struct passwd *user = getpwuid(geteuid());
    snprintf(path, sizeof(path), "/var/lib/systemd/linger/%s", user ? user->pw_name : "");
    bool lingers = user && access(path, F_OK) == 0;
    snprintf(path, sizeof(path), "/run/user/%u/systemd/private", geteuid());
    bool has_manager = access(path, F_OK) == 0;
    return doctor_say(call, "logout", lingers ? FINE : WARN,
                      lingers       ? "this user lingers: workspaces outlive the session"
                      : has_manager ? "the end of the last session may end workspaces"
                                    : "no manager of this user answers, and it does not linger",
                      lingers ? "" : "loginctl enable-linger", -1, reterr);
}

int doctor_machine(struct nt_call *call, struct nt_error *reterr)
{
    if (say_room(call, reterr) < 0 || say_runtime(call, reterr) < 0 || say_clock(call, reterr) < 0
        || say_fuse(call, reterr) < 0 || say_session(call, reterr) < 0)
        return -1;
    return 0;
}
