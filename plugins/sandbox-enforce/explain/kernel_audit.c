/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_audit.c - listens to the kernel's audit records; see kernel_audit.h.
 *
 * A refusal names its domain by a number; the record that says whose domain it is comes after the
 * first refusal. What was refused before that is kept until then. */
#include "kernel_audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/netlink.h>

#include "sdk/cleanup.h"

#define RECORD_ACCESS 1423 /* AUDIT_LANDLOCK_ACCESS: newer than Debian 12's headers */
#define RECORD_DOMAIN 1424 /* AUDIT_LANDLOCK_DOMAIN */
#define WAITING 64u
#define ANSWER_MS 500
#define FINISH_MS 100

struct kernel_audit {
    int fd;
    pid_t program;
    uint64_t domain; /* of the program; 0: not known yet */
    bool is_ended;
    struct kernel_record *waiting;
    size_t count;
};

/* --- text ---------------------------------------------------------------------------------- */

/* The value behind " NAME=", up to a space, or between quotes. */
static bool field(const char *text, const char *name, char *ret, size_t max)
{
    size_t length = strlen(name);
    for (const char *at = strstr(text, name); at; at = strstr(at + 1, name)) {
        if ((at != text && at[-1] != ' ') || at[length] != '=')
            continue;
        at += length + 1;
        bool is_quoted = *at == '"';
        at += is_quoted;
        size_t size = strcspn(at, is_quoted ? "\"" : " ");
        if (size >= max)
            return false;
        memcpy(ret, at, size);
        ret[size] = '\0';
        return true;
    }
    return false;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A path with spaces or bytes that are no text comes as hex digits, without quotes. */
static bool unhex(char *text)
{
    size_t size = strlen(text);
    if (size % 2 != 0)
        return false;
    for (size_t i = 0; i < size; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0 || high + low == 0)
            return false;
        text[i / 2] = (char)(high * 16 + low);
    }
    text[size / 2] = '\0';
    return true;
}

bool kernel_record_parse(uint16_t type, const char *text, size_t size, struct kernel_record *ret)
{
    char line[2 * PATH_MAX + 512], number[24], path[2 * PATH_MAX];
    *ret = (struct kernel_record){ .is_domain = type == RECORD_DOMAIN };
    if ((type != RECORD_ACCESS && type != RECORD_DOMAIN) || size >= sizeof(line))
        return false;
    memcpy(line, text, size);
    line[size] = '\0';
    if (!field(line, "domain", number, sizeof(number)))
        return false;
    ret->domain = strtoull(number, NULL, 16);
    if (ret->is_domain) {
        ret->is_end =
            field(line, "status", number, sizeof(number)) && strcmp(number, "deallocated") == 0;
        ret->pid = field(line, "pid", number, sizeof(number)) ? (pid_t)strtol(number, NULL, 10) : 0;
        return ret->domain != 0 && (ret->is_end || ret->pid > 0);
    }
    if (!field(line, "blockers", ret->blockers, sizeof(ret->blockers)))
        return false;
    if (field(line, "path", path, sizeof(path)) && (path[0] == '/' || unhex(path))
        && strlen(path) < sizeof(ret->path))
        memcpy(ret->path, path, strlen(path) + 1);
    if (field(line, "dest", number, sizeof(number)) || field(line, "src", number, sizeof(number)))
        ret->port = (unsigned)strtoul(number, NULL, 10);
    return ret->domain != 0;
}

/* --- records ------------------------------------------------------------------------------- */

static bool is_reading(const char *blockers)
{
    return strstr(blockers, "fs.read_") || strstr(blockers, "fs.execute");
}

static const char *act_of(const char *blockers)
{
    return is_reading(blockers)                    ? "read"
           : strcmp(blockers, "fs.ioctl_dev") == 0 ? "ioctl"
                                                   : "write";
}

void kernel_record_tell(const struct kernel_record *r, struct denials *denials)
{
    char target[PATH_MAX + 16], grant[PATH_MAX + 32] = "";
    /* Else the right that a folder lacks would stand there, too: it is the pair that is refused. */
    bool is_apart = strcmp(r->blockers, "fs.refer") == 0;
    bool is_file = strncmp(r->blockers, "fs.", 3) == 0;
    bool is_connect = strncmp(r->blockers, "net.connect", 11) == 0;
    bool is_bind = strncmp(r->blockers, "net.bind", 8) == 0;
    snprintf(target, sizeof(target), "%s", r->path);
    if (is_connect || is_bind)
        snprintf(target, sizeof(target), "port %u", r->port);
    struct stat st;
    bool is_folder = is_file && stat(r->path, &st) == 0 && S_ISDIR(st.st_mode);
    if (is_file && !is_apart && r->path[0] == '/')
        snprintf(grant, sizeof(grant), "--%s%s %s", is_reading(r->blockers) ? "read" : "write",
                 is_folder ? "" : "-file", r->path);
    else if (is_connect || is_bind)
        snprintf(grant, sizeof(grant), "--%s-port %u", is_bind ? "listen" : "open", r->port);
    denials_add(denials, &(struct denial){
                             .source = DENIAL_KERNEL,
                             .act = is_apart     ? "link or rename"
                                    : is_file    ? act_of(r->blockers)
                                    : is_connect ? "connect"
                                    : is_bind    ? "bind"
                                                 : r->blockers,
                             .target = target,
                             .layer = "landlock",
                             .rule = is_apart ? "granted apart: grant the folder that holds both"
                                              : r->blockers,
                             .grant = grant });
}

static void on_record(struct kernel_audit *k, const struct kernel_record *r,
                      struct denials *denials)
{
    if (r->is_domain) {
        k->is_ended = k->is_ended || (r->is_end && r->domain == k->domain);
        if (!r->is_end && !k->domain && r->pid == k->program)
            k->domain = r->domain;
        for (size_t i = 0; i < k->count; i++)
            if (k->waiting[i].domain == r->domain) {
                if (r->domain == k->domain)
                    kernel_record_tell(&k->waiting[i], denials);
                k->waiting[i--] = k->waiting[--k->count];
            }
        return;
    }
    if (k->domain == r->domain)
        kernel_record_tell(r, denials);
    else if (!k->domain && k->count < WAITING)
        k->waiting[k->count++] = *r;
}

void kernel_audit_read(struct kernel_audit *k, struct denials *denials)
{
    char data[16384];
    struct kernel_record r;
    for (;;) {
        ssize_t got = recv(k->fd, data, sizeof(data), MSG_DONTWAIT);
        if (got < 0 && errno == ENOBUFS)
            continue; /* some were lost, as the kernel says */
        if (got < (ssize_t)NLMSG_HDRLEN)
            return;
        struct nlmsghdr head;
        memcpy(&head, data, sizeof(head));
        if (kernel_record_parse(head.nlmsg_type, data + NLMSG_HDRLEN, (size_t)got - NLMSG_HDRLEN,
                                &r))
            on_record(k, &r, denials);
    }
}

void kernel_audit_finish(struct kernel_audit *k, struct denials *denials)
{
    struct pollfd ready = { .fd = k->fd, .events = POLLIN };
    do
        kernel_audit_read(k, denials);
    while (!k->is_ended && poll(&ready, 1, FINISH_MS) > 0);
}

/* --- listening ----------------------------------------------------------------------------- */

static bool is_audit_on(int fd)
{
    struct {
        struct nlmsghdr head;
        struct audit_status status;
    } answer;
    struct nlmsghdr ask = { .nlmsg_len = NLMSG_HDRLEN,
                            .nlmsg_type = AUDIT_GET,
                            .nlmsg_flags = NLM_F_REQUEST };
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    if (send(fd, &ask, sizeof(ask), 0) < 0)
        return false;
    while (poll(&ready, 1, ANSWER_MS) > 0) {
        ssize_t got = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
        if (got >= (ssize_t)(NLMSG_HDRLEN + offsetof(struct audit_status, failure))
            && answer.head.nlmsg_type == AUDIT_GET)
            return answer.status.enabled != 0;
        if (got < 0 && errno != EAGAIN)
            return false;
    }
    return false;
}

struct kernel_audit *kernel_audit_open(void)
{
    struct sockaddr_nl at = { .nl_family = AF_NETLINK, .nl_groups = 1 }; /* AUDIT_NLGRP_READLOG */
    nt_autoclose int fd =
        geteuid() == 0 ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT) : -1;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || !is_audit_on(fd))
        return NULL;
    struct kernel_audit *k = calloc(1, sizeof(*k));
    if (k)
        k->waiting = calloc(WAITING, sizeof(*k->waiting));
    if (!k || !k->waiting) {
        free(k);
        return NULL;
    }
    k->fd = nt_take_fd(fd);
    return k;
}

int kernel_audit_fd(const struct kernel_audit *k)
{
    return k->fd;
}

void kernel_audit_of(struct kernel_audit *k, pid_t program)
{
    k->program = program;
}

void kernel_audit_close(struct kernel_audit *k)
{
    if (!k)
        return;
    close(k->fd);
    free(k->waiting);
    free(k);
}
