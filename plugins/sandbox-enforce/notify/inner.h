/* SPDX-License-Identifier: Apache-2.0 */
/* inner.h - what the files of notify share: a question, the program that asks it, and those
 * that can only be answered later. */
#ifndef NT_ENFORCE_NOTIFY_INNER_H
#define NT_ENFORCE_NOTIFY_INNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include "plugins/sandbox-enforce/notify/notify.h"

/* Answers of a handler: a value that the call returns, or -errno, or one of these. */
#define NOTIFY_LATER INT64_MIN        /* wait_add has taken the question over */
#define NOTIFY_NATIVE (INT64_MIN + 1) /* the kernel may do it: for calls that decide nothing */
#define NOTIFY_NOBODY (INT64_MIN + 2) /* who asked is gone */
#define NOTIFY_PATH_MAX 4096u

/* A call of a program that waits for its answer. */
struct notify_ask {
    struct notify *n;
    uint64_t id;
    const uint64_t *args;
    pid_t pid; /* of the thread, as the supervisor sees it */
    int pidfd;
    int call; /* SYS_ */

    /* The socket of a connect, bind and so on: a copy, never the program's number. */
    int socket, domain, type, protocol;
};

/* A copied address. Bytes beyond `size` are 0. */
struct notify_address {
    union {
        struct sockaddr_storage any;
        unsigned char bytes[sizeof(struct sockaddr_storage)];
    };
    socklen_t size;
};

/* --- notify.c ------------------------------------------------------------------------------ */

/* Whether who asked still waits: what was read by its pid before that was its own. */
bool notify_is_valid(const struct notify *n, uint64_t id);
void notify_answer(const struct notify *n, uint64_t id, int64_t answer);
/* Puts FD under the program's NUMBER. 0 or errno. */
int notify_hand_in(const struct notify *n, uint64_t id, int fd, int number, bool close_on_exec);
const struct notify_options *notify_options_of(const struct notify *n);
/* false: the working folder and umask of notify's thread are those of the whole process. */
bool notify_has_own_folder(const struct notify *n);
/* Notes a denial; returns what the program gets: -EACCES. */
int64_t notify_deny(const struct notify *n, const char *act, const char *target, const char *rule,
                    const char *grant);

/* --- program.c: looking into the program; each may fail once it is gone ---------------- */

/* A pidfd of thread PID; -1 and errno. */
int program_open(pid_t pid);
/* Bytes of its memory. 0 or errno. */
int program_read(pid_t pid, uint64_t at, void *ret, size_t size);
int program_write(pid_t pid, uint64_t at, const void *bytes, size_t size);
/* The address that a call names in two arguments. 0 or errno. */
int program_address(pid_t pid, uint64_t at, uint64_t size, struct notify_address *ret);
/* 0 unless it is not there any more. */
int program_umask(pid_t pid, mode_t *ret);
/* true when a signal waits for the thread that it has a handler for. */
bool program_has_signal(pid_t pid);
/* Whether its descriptor NUMBER is closed by exec. */
bool program_closes_on_exec(pid_t pid, int number);
/* What PATH names for it, links followed: an O_PATH descriptor and its canonical path; -errno. */
int program_resolve(pid_t pid, const char *path, uint64_t flags,
                    char ret_canonical[NOTIFY_PATH_MAX]);
/* The same of a path that may not leave FOLDER (a number of its own, or AT_FDCWD): HOW is what it
 * gave openat2, with RESOLVE_IN_ROOT or RESOLVE_BENEATH. */
int program_resolve_within(pid_t pid, int folder, const char *path, uint64_t flags, uint64_t how,
                           char ret_canonical[NOTIFY_PATH_MAX]);
/* What its descriptor NUMBER leads to, while that has a path: an O_PATH descriptor, on the mount
 * that it was opened on, and the path; -errno. MAY_BE_PATH: also one that is O_PATH itself. */
int program_descriptor(pid_t pid, int number, bool may_be_path,
                       char ret_canonical[NOTIFY_PATH_MAX]);

/* --- by family: 0 or more, -errno, or NOTIFY_ ---------------------------------------------------
 */

int64_t inet_connect(const struct notify_ask *ask, struct notify_address *address);
int64_t inet_bind(const struct notify_ask *ask, struct notify_address *address);
int64_t inet_listen(const struct notify_ask *ask);
/* Whether a datagram may go there: 0 or -EACCES. */
int64_t inet_may_send(const struct notify_ask *ask, const struct notify_address *address);

/* route.c: 0 when ADDRESS (IP) is one of another machine, by the kernel's own table; EACCES
 * when it is one of this machine, or of many; else why that is not known, or no way leads there. */
int route_leads_away(const struct sockaddr *address);

int64_t unix_connect(const struct notify_ask *ask, const struct notify_address *address);
int64_t unix_bind(const struct notify_ask *ask, const struct notify_address *address);
/* Turns the address of a datagram into one that names the checked socket itself, which *ret_fd
 * holds (-1: an abstract one). 0 or -errno. */
int64_t unix_may_send(const struct notify_ask *ask, struct notify_address *address, int *ret_fd);

/* --- commands.c: who asks for a command (mediate/protocol.h) --------------------------- */

/* NAME: abstract, with '@' in front. */
bool commands_is_asked(const struct notify_ask *ask, const char *name);
int64_t commands_connect(const struct notify_ask *ask);

/* --- names.c: the names under which sockets were bound, as the program wrote them ------ */

struct notify_names;
struct notify_names *names_new(void);
void names_free(struct notify_names *names);
struct notify_names *notify_names_of(const struct notify *n);
/* SOCKET was bound as SHORT_NAME; the program said PATH. */
void names_add(struct notify_names *names, int socket, const char *short_name, const char *path);
int64_t names_answer(const struct notify_ask *ask); /* getsockname */

/* --- moved.c: sockets that the program cannot have put where they are ----------------- */

struct notify_known;
/* Looks at what is there before the program starts. NULL: no memory. */
struct notify_known *known_new(const struct notify_options *options);
void known_free(struct notify_known *k);
struct notify_known *notify_known_of(const struct notify *n);
/* The program's socket was bound as NAME in FOLDER, not before SINCE (CLOCK_REALTIME_COARSE). */
void known_add(struct notify_known *k, int folder, const char *name, const struct timespec *since);
/* SOCKET, here and there: O_PATH. */
bool known_is_own(const struct notify_known *k, int socket);
/* SOCKET as the program sees it at CANONICAL. */
bool known_is_in_place(const struct notify_ask *ask, int socket, const char *canonical);

/* --- files.c: calls on files, with --diagnose ---------------------------------------- */

/* The calls that are looked at. -1: no more. */
long files_call(size_t index);
bool files_is_call(int call);
int64_t files_answer(const struct notify_ask *ask); /* NOTIFY_NATIVE */
/* Mode, times or attributes of what its descriptor NUMBER leads to are changed. */
void files_note_change(const struct notify_ask *ask, int number);

/* --- ioctl.c: as much for ioctl ------------------------------------------------------- */

/* The requests that are not looked at. 0: no more. */
uint32_t ioctl_never_asked(size_t index);
int64_t ioctl_answer(const struct notify_ask *ask); /* NOTIFY_NATIVE */

/* --- apart.c ------------------------------------------------------------------------ */

/* The mount that FILE was opened on; 0: not known. */
uint64_t files_mount_of(int file);
/* A folder of the program's, its canonical path, and that of a name in it. */
struct apart {
    int folder;
    char path[NOTIFY_PATH_MAX], entry[NOTIFY_PATH_MAX];
};
/* Notes it if something is not renamed from one to the other, or (FILE is it, else -1) not linked,
 * though the policy allows to write both. */
void apart_note(const struct notify_ask *ask, const struct apart *from, const struct apart *to,
                int file, bool is_exchange);

/* --- send.c ------------------------------------------------------------------------- */

int64_t send_answer(const struct notify_ask *ask); /* sendto, sendmsg, sendmmsg */
struct notify_message;
void message_free(struct notify_message *m);
/* Without waiting: how much was sent, or -errno; -EAGAIN: there is no room yet. */
int64_t message_try(struct notify_message *m, int socket);
/* What the program gets for that. */
int64_t message_end(const struct notify_message *m, pid_t pid, int pidfd, int64_t answer);

/* --- wait.c: calls that wait, all by one thread -----------------------------------------
 */

/* Connects ask->socket, or SOCKET in its place when that is not the same (then it is handed in
 * under the program's number; taken). PATH_FD (taken, or -1) is what ADDRESS names. */
int64_t wait_connect(const struct notify_ask *ask, const struct notify_address *address, int socket,
                     int path_fd);
/* Sends M (taken) once there is room. */
int64_t wait_send(const struct notify_ask *ask, struct notify_message *m);
bool notify_is_nonblocking(int socket);

#endif
