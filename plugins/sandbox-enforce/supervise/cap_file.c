/* SPDX-License-Identifier: Apache-2.0 */
/* cap_file.c - the file that tells the program what it may do (NONO_CAP_FILE). It is a courtesy to
 * the program, and no source of truth for anybody outside. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "temporary.h"

void cap_file_sweep(const struct supervise *s)
{
    temporary_sweep(s->cap_file);
}

void cap_file_make(struct supervise *s)
{
    if (temporary_name(TEMPORARY_CAP_FILE, s->cap_file))
        s->cap_fd = open(s->cap_file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->cap_fd < 0)
        s->cap_file[0] = '\0';
}

int cap_file_fill(struct supervise *s, struct nt_error *reterr)
{
    nt_autofree char *json = NULL;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1024 * 1024);
    if (s->cap_fd < 0)
        return 0;
    if (policy_to_json(s->options.policy, &json, reterr) < 0)
        return -1;
    temporary_add_owner(&text);
    nt_buf_add_char(&text, ',');
    nt_buf_add(&text, json[0] == '{' ? json + 1 : json);
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "too many grants for one file");
    const char *data = nt_buf_text(&text);
    for (size_t done = 0; done < text.size;) {
        ssize_t wrote = pwrite(s->cap_fd, data + done, text.size - done, (off_t)done);
        if (wrote < 0 && errno != EINTR)
            return nt_fail_sys(reterr, errno, "writing %.200s", s->cap_file);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

void cap_file_remove(struct supervise *s)
{
    if (s->cap_file[0] && temporary_is(s->cap_fd, s->cap_file))
        unlink(s->cap_file);
    if (s->cap_fd >= 0)
        close(s->cap_fd);
    s->cap_fd = -1;
    s->cap_file[0] = '\0';
}
