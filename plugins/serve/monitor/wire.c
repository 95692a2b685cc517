/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - looks at what the API process sent, before anything else does. */
#include "wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "sdk/error.h"

static bool is_text(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool is_filled(const char *text, size_t size)
{
    return is_text(text, size) && text[0];
}

bool wire_is_id(const char *id)
{
    size_t size = strnlen(id, 41);
    return size >= 1 && size <= 40 && id[0] != '_'
           && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

/* Anything that could be a second line, an escape or another path in somebody's eyes. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static bool is_image(const char *image)
{
    return strcmp(image, "host") == 0 || (strncmp(image, "file:/", 6) == 0 && is_plain(image));
}

static bool is_hostname(const char *name)
{
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
}

static const char *check_call(const void *message)
{
    const struct wire_call *m = message;
    if (m->head.number == 0)
        return "a call without a number";
    if (!is_text(m->id, sizeof(m->id)) || !is_text(m->key, sizeof(m->key)) || !is_plain(m->key))
        return "a text that does not end";
    bool is_for_all = m->head.kind == WIRE_LIST || m->head.kind == WIRE_CANCEL;
    if (is_for_all ? m->id[0] != '\0' : !wire_is_id(m->id))
        return "not an id";
    if (m->wait_ms < 0 || m->wait_ms > WIRE_WAIT_MS || m->grace_ms < 0
        || m->grace_ms > WIRE_WAIT_MS)
        return "a time out of range";
    return NULL;
}

static const char *check_create(const void *message)
{
    const struct wire_create *m = message;
    const char *wrong = check_call(message);
    if (wrong)
        return wrong;
    if (!is_filled(m->hostname, sizeof(m->hostname)) || !is_hostname(m->hostname))
        return "not a host name";
    if (!is_filled(m->image, sizeof(m->image)) || !is_image(m->image))
        return "not an image";
    if (!is_text(m->record, sizeof(m->record)))
        return "a record that does not end";
    if (m->flags & ~(NT_SPEC_REQUIRE_LIMITS | NT_SPEC_HARDEN | NT_SPEC_WAY_OUT) || m->reserved)
        return "unknown flags";
    return NULL;
}

static const char *check_keep(const void *message)
{
    const struct wire_keep *m = message;
    const char *wrong = check_call(message);
    if (wrong)
        return wrong;
    return is_filled(m->record, sizeof(m->record)) ? NULL : "not a record";
}

static const char *check_error(const void *message)
{
    const struct wire_error *m = message;
    const struct nt_error *e = &m->error;
    if (e->size != sizeof(*e) || !is_filled(e->message, sizeof(e->message))
        || !is_text(e->hint, sizeof(e->hint)) || e->code == 0 || e->code >= NT_E_PLUGIN_FIRST)
        return "not an error";
    return NULL;
}

static const char *check_note(const void *message)
{
    const struct wire_note *m = message;
    return is_filled(m->text, sizeof(m->text)) ? NULL : "not a line";
}

static const char *check_handover(const void *message)
{
    const struct wire_handover *m = message;
    if (m->head.number == 0 || !is_filled(m->program, sizeof(m->program)) || m->program[0] != '/'
        || !is_plain(m->program))
        return "not a program";
    return NULL;
}

static const char *check_listen(const void *message)
{
    const struct wire_listen *m = message;
    if (m->head.number == 0 || m->reserved)
        return "a request without a number";
    if (m->port < 1 || m->port >= 1024)
        return "not a port that needs privilege";
    struct in6_addr any; /* room for both kinds */
    if (!is_filled(m->address, sizeof(m->address))
        || (inet_pton(AF_INET, m->address, &any) != 1
            && inet_pton(AF_INET6, m->address, &any) != 1))
        return "not an address";
    return NULL;
}

static const char *check_numbered(const void *message)
{
    const struct wire_head *m = message;
    return m->number ? NULL : "a request without a number";
}

static const struct {
    size_t size;
    const char *(*check)(const void *message); /* NULL: the size is all */
} requests[WIRE_REQUESTS] = {
    [WIRE_OWNER_KEY] = { sizeof(struct wire_head), check_numbered },
    [WIRE_READY] = { sizeof(struct wire_head), NULL },
    [WIRE_FAILED] = { sizeof(struct wire_error), check_error },
    [WIRE_NOTE] = { sizeof(struct wire_note), check_note },
    [WIRE_LEAVE] = { sizeof(struct wire_head), NULL },
    [WIRE_HANDOVER] = { sizeof(struct wire_handover), check_handover },
    [WIRE_CREATE] = { sizeof(struct wire_create), check_create },
    [WIRE_START] = { sizeof(struct wire_call), check_call },
    [WIRE_STOP] = { sizeof(struct wire_call), check_call },
    [WIRE_REMOVE] = { sizeof(struct wire_call), check_call },
    [WIRE_INSPECT] = { sizeof(struct wire_call), check_call },
    [WIRE_LIST] = { sizeof(struct wire_call), check_call },
    [WIRE_CANCEL] = { sizeof(struct wire_call), check_call },
    [WIRE_OPEN_STREAM] = { sizeof(struct wire_call), check_call },
    [WIRE_KEEP] = { sizeof(struct wire_keep), check_keep },
    [WIRE_RECALL] = { sizeof(struct wire_call), check_call },
    [WIRE_LISTEN] = { sizeof(struct wire_listen), check_listen },
};

const char *wire_request(const void *message, size_t size)
{
    struct wire_head head;
    if (size < sizeof(head))
        return "a message without a head";
    memcpy(&head, message, sizeof(head));
    if (head.kind == 0 || head.kind >= WIRE_REQUESTS || head.reserved)
        return "an unknown request";
    if (size != requests[head.kind].size)
        return "a request of the wrong size";
    return requests[head.kind].check ? requests[head.kind].check(message) : NULL;
}

void wire_text(char *ret, size_t size, const char *text)
{
    nt_copy_text(ret, size, text ? text : "");
}
