/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - what was refused to a command, told to the session that it is part of: one message for
 * each, from the process that has run it to the supervisor. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mediate.h"
#include "plugins/sandbox-enforce/supervise/inner.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"

#define REPORT_MAX (32u * 1024u)
#define TEXTS 6u

struct head {
    uint32_t source, count;
};

/* --- what would allow it ------------------------------------------------------------------- */

/* Options are for the program; a command has what its profile says. */
static void add_grant(struct nt_buf *b, const char *option, const char *place)
{
    static const struct {
        const char *option, *key;
    } keys[] = {
        { "--read ", "fs_read" },
        { "--read-file ", "fs_read_file" },
        { "--write ", "fs_write" },
        { "--write-file ", "fs_write_file" },
        { "--allow ", "fs_read and fs_write" },
        { "--allow-file ", "fs_read_file and fs_write_file" },
        { "--allow-domain ", "network.allow_domain" },
        { "--allow-unix-socket-bind ", "unix_socket_bind" },
        { "--listen-port ", "network.tcp_bind_ports" },
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t size = strlen(keys[i].option);
        if (strncmp(option, keys[i].option, size) == 0)
            nt_buf_addf(b, "%s: %s in %s", keys[i].key, option + size, place);
    }
}

/* --- sending ------------------------------------------------------------------------------- */

/* Waits for room while the session lasts. */
static void send_one(const struct mediate *m, int leash, const struct denial *d)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(REPORT_MAX);
    const struct head head = { d->source, d->count };
    const char *texts[TEXTS] = { d->act, d->target, d->layer, d->rule, d->grant, d->command };
    struct pollfd fds[] = { { .fd = m->report, .events = POLLOUT },
                            { .fd = leash, .events = POLLIN } };
    nt_buf_add_bytes(&b, &head, sizeof(head));
    for (size_t i = 0; i < TEXTS; i++)
        nt_buf_add_bytes(&b, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) + 1 : 1);
    while (
        nt_buf_ok(&b) && send(m->report, b.data, b.size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0
        && (errno == EINTR
            || (errno == EAGAIN && (poll(fds, 2, -1) > 0 || errno == EINTR) && !fds[1].revents))) {
    }
}

void mediate_report(const struct mediate *m, int leash, const char *command, const char *place,
                    const struct denials *denials)
{
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(denials, i)); i++) {
        nt_auto(nt_buf_done) struct nt_buf grant = NT_BUF(REPORT_MAX);
        struct denial told = *d;
        if (!*told.command) { /* of those that it has started, they have said it */
            add_grant(&grant, told.grant, place);
            told.command = command;
            told.grant = nt_buf_text(&grant);
        }
        send_one(m, leash, &told);
    }
}

void mediate_report_refusal(const struct mediate *m, int leash, const char *command,
                            const char *rule)
{
    send_one(m, leash,
             &(struct denial){ .source = DENIAL_NOTIFIED,
                               .act = "start",
                               .target = command,
                               .layer = "command_policies",
                               .rule = rule,
                               .count = 1 });
}

/* --- receiving ----------------------------------------------------------------------------- */

void mediate_take_reports(struct mediate *m, struct denials *denials)
{
    static char bytes[REPORT_MAX];
    ssize_t n;
    while (m && m->reports > 0 && (n = recv(m->reports, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
        struct head head;
        const char *texts[TEXTS], *at = bytes + sizeof(head), *end = bytes + n;
        if (n == 0) { /* nobody is there who could say more */
            close(m->reports);
            m->reports = 0;
            return;
        }
        size_t found = 0;
        for (const char *nul;
             found < TEXTS && at < end && (nul = memchr(at, '\0', (size_t)(end - at)));
             at = nul + 1)
            texts[found++] = at;
        if (found < TEXTS)
            continue;
        memcpy(&head, bytes, sizeof(head));
        denials_add(denials, &(struct denial){ .source = (enum denial_source)head.source,
                                               .act = texts[0],
                                               .target = texts[1],
                                               .layer = texts[2],
                                               .rule = texts[3],
                                               .grant = texts[4],
                                               .command = texts[5],
                                               .count = head.count });
    }
}
