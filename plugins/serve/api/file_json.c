/* SPDX-License-Identifier: Apache-2.0 */
/* file_json.c - FileInfo. Clients refuse an unknown key and compute is_dir from type, whose values
 * are a closed set: file, dir, symlink. Names that are not UTF-8 are shown with U+FFFD. */
#include "plugins/serve/api/file_json.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "plugins/serve/api/utf8_text.h"

#define YEAR_10000 INT64_C(253402300800)

int file_json_time(uint64_t mtime_ns, char ret[40])
{
    int64_t ns = (int64_t)mtime_ns;
    int64_t seconds = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        rest += 1000000000;
        seconds--;
    }
    time_t when = (time_t)seconds;
    struct tm tm;
    if (seconds >= YEAR_10000 || !gmtime_r(&when, &tm) || tm.tm_year < 0)
        return -1;
    char date[24];
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret, 40, "%s.%09dZ", date, (int)rest);
    return 0;
}

void file_json_mode(uint64_t mode, char ret[8])
{
    snprintf(ret, 8, "%04o", (unsigned)(mode & 07777));
}

/* The last component; "/" for the root. */
static struct nt_bytes name_of(struct nt_bytes path)
{
    const char *p = path.data;
    size_t end = path.size;
    while (end > 1 && p[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && p[start - 1] != '/')
        start--;
    if (start == end) /* "/" alone */
        return (struct nt_bytes){ p, end };
    return (struct nt_bytes){ p + start, end - start };
}

json_t *file_json(const struct guest_fields *f, bool wide)
{
    mode_t mode = (mode_t)f->mode;
    const char *type = S_ISDIR(mode) ? "dir" : S_ISLNK(mode) ? "symlink" : "file";
    char octal[8], time[40], number[24];
    file_json_mode(f->mode, octal);
    struct nt_bytes name = name_of(f->path);

    json_t *j = json_object();
    int bad = json_object_set_new(j, "name", utf8_json(name.data, name.size));
    bad |= json_object_set_new(j, "path", utf8_json(f->path.data, f->path.size));
    bad |= json_object_set_new(j, "is_dir", json_boolean(S_ISDIR(mode)));
    bad |= json_object_set_new(j, "size", json_integer((json_int_t)(f->size & INT64_MAX)));
    bad |= json_object_set_new(j, "type", json_string(type));
    bad |= json_object_set_new(j, "mode", json_string(octal));
    bad |= json_object_set_new(j, "permissions", json_string(octal));
    bad |= json_object_set_new(j, "owner", utf8_json(f->owner.data, f->owner.size));
    bad |= json_object_set_new(j, "group", utf8_json(f->group.data, f->group.size));
    bad |= json_object_set_new(j, "modified_time",
                               file_json_time(f->mtime_ns, time) == 0 ? json_string(time)
                                                                      : json_null());
    bad |= json_object_set_new(j, "symlink_target",
                               S_ISLNK(mode) ? utf8_json(f->target.data, f->target.size)
                                             : json_null());
    if (wide) {
        /* as text: more than a double holds */
        snprintf(number, sizeof(number), "%lld", (long long)f->mtime_ns);
        bad |= json_object_set_new(j, "mtime_ns", json_string(number));
        bad |= json_object_set_new(j, "uid", json_integer((json_int_t)(f->uid & UINT32_MAX)));
        bad |= json_object_set_new(j, "gid", json_integer((json_int_t)(f->gid & UINT32_MAX)));
    }
    if (bad) {
        json_decref(j);
        return NULL;
    }
    return j;
}
