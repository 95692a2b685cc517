/* SPDX-License-Identifier: Apache-2.0 */
/* stock.c - the list of our packages; see stock.h. */
#include "stock.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "core/config/config.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define FILE_MAX_BYTES ((size_t)64 * 1024)

/* Adds the path of the installation's file: from the program's own place, so that a prefix can be
 * moved. */
static void add_path(struct nt_buf *ret)
{
    const char *self = config_path(NT_PATH_SELF);
    if (NT_DATA_DIR[0] == '/') {
        nt_buf_add(ret, NT_DATA_DIR "/stock");
        return;
    }
    size_t length = self ? strlen(self) : 0;
    for (int i = 0; i < 2; i++) { /* the file, then its folder */
        while (length > 0 && self[length - 1] != '/')
            length--;
        if (length == 0)
            return;
        length--;
    }
    nt_buf_add_bytes(ret, self, length);
    nt_buf_add(ret, "/" NT_DATA_DIR "/stock");
}

void stock_read(const char *file, struct nt_buf *ret)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(FILE_MAX_BYTES);
    nt_autoclose int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char piece[4096];
    ssize_t got;
    while (fd >= 0 && nt_buf_ok(&text) && (got = read(fd, piece, sizeof(piece))) > 0)
        nt_buf_add_bytes(&text, piece, (size_t)got);
    if (nt_buf_ok(&text))
        nt_buf_add_bytes(ret, nt_buf_text(&text), text.size);
}

/* The next field of a line; false: missing, too long, or not what names are made of. */
static bool take_field(const char **at, char *ret, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
    size_t length = strspn(*at, allowed);
    if (length == 0 || length >= size || ((*at)[length] != ' ' && (*at)[length] != '\n'))
        return false;
    memcpy(ret, *at, length);
    ret[length] = '\0';
    *at += length + ((*at)[length] == ' ');
    return true;
}

bool stock_find(const char *text, const char *word, struct stock *ret)
{
    while (*text) {
        char name[64];
        const char *at = text;
        struct stock found;
        if (take_field(&at, name, sizeof(name)) && strcmp(name, word) == 0
            && take_field(&at, found.plugin, sizeof(found.plugin))
            && take_field(&at, found.package, sizeof(found.package)) && *at == '\n') {
            *ret = found;
            return true;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return false;
}

int stock_check(const char *file, const char *path, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(FILE_MAX_BYTES);
    nt_auto(nt_buf_done) struct nt_buf own = NT_BUF(PATH_MAX);
    struct stock stock;
    char word[64];
    size_t length = strcspn(path, " ");
    if (length == 0 || length >= sizeof(word))
        return 0;
    memcpy(word, path, length);
    word[length] = '\0';
    if (!file)
        add_path(&own);
    stock_read(file ? file : nt_buf_text(&own), &text);
    if (!nt_buf_ok(&text) || !stock_find(nt_buf_text(&text), word, &stock))
        return 0;
    nt_fail(reterr, NT_E_PLUGIN_MISSING, "'%s' needs the plugin '%s', which is not installed", word,
            stock.plugin);
    return nt_hint(reterr, "install the package %s: apt install %s", stock.package, stock.package);
}
