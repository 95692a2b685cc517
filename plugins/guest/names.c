/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - names of owners and groups, read from the files themselves: a static program has no
 * NSS. The files are the workspace's, so their content is only a text to look into. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/guest/helper.h"

#define FILE_MAX (1024u * 1024u)
#define NAME_MAX_BYTES 64

struct names {
    const char *path;
    char *text; /* NULL: not read yet */
    unsigned long last_id;
    char name[NAME_MAX_BYTES];
};

static void load(struct names *n)
{
    struct stat st;
    n->text = calloc(1, FILE_MAX + 1);
    int fd = open(n->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || !n->text || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    size_t size = 0;
    ssize_t got;
    while (size < FILE_MAX && (got = read(fd, n->text + size, FILE_MAX - size)) > 0)
        size += (size_t)got;
    close(fd);
}

/* Looks for a line "name:password:id". */
static const char *find(struct names *n, unsigned long id)
{
    if (n->text && n->name[0] && n->last_id == id)
        return n->name;
    if (!n->text)
        load(n);
    n->last_id = id;
    snprintf(n->name, sizeof(n->name), "%lu", id);
    char wanted[32];
    snprintf(wanted, sizeof(wanted), "%lu", id);
    for (const char *line = n->text ? n->text : ""; *line;) {
        size_t size = strcspn(line, "\n");
        size_t name = strcspn(line, ":\n");
        size_t rest = line[name] == ':' ? strcspn(line + name + 1, ":\n") : 0;
        const char *field =
            line[name] == ':' && line[name + 1 + rest] == ':' ? line + name + rest + 2 : "";
        size_t digits = strcspn(field, ":\n");
        if (name && name < sizeof(n->name) && digits == strlen(wanted)
            && memcmp(field, wanted, digits) == 0) {
            memcpy(n->name, line, name);
            n->name[name] = '\0';
            break;
        }
        line += size + (line[size] == '\n');
    }
    return n->name;
}

const char *owner_name(uid_t uid)
{
    static struct names owners = { .path = "/etc/passwd" };
    return find(&owners, uid);
}

const char *group_name(gid_t gid)
{
    static struct names groups = { .path = "/etc/group" };
    return find(&groups, gid);
}
