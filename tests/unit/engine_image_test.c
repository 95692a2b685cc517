/* SPDX-License-Identifier: Apache-2.0 */
/* engine_image_test.c - images from archives: an honest one becomes a workspace, a hostile one
 * reaches nothing. */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine_fixture.h"
#include "engine_loop.h"
#include "plugins/engine-native/native.h"
#include "sdk/error.h"

#define ID "ws_test0001"

static struct fixture f;
static char text[64 * 1024], tar_path[128];

struct item {
    const char *name, *content; /* content of a file, target of a link */
    unsigned type;              /* AE_IF*; 0: a hard link */
    unsigned mode;
};

static void add(struct archive *a, const struct item *item)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, item->name);
    archive_entry_set_filetype(e, item->type ? item->type : AE_IFREG);
    archive_entry_set_perm(e, (mode_t)item->mode);
    archive_entry_set_uid(e, 0);
    if (item->type == AE_IFLNK)
        archive_entry_set_symlink(e, item->content);
    else if (!item->type)
        archive_entry_set_hardlink(e, item->content);
    else if (item->type == AE_IFREG)
        archive_entry_set_size(e, (la_int64_t)strlen(item->content));
    if (item->type == AE_IFCHR)
        archive_entry_set_rdev(e, 0x103);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    if (item->type == AE_IFREG)
        assert_true(archive_write_data(a, item->content, strlen(item->content)) >= 0);
    archive_entry_free(e);
}

static void add_host_file(struct archive *a, const char *name, const char *from)
{
    struct archive_entry *e = archive_entry_new();
    struct stat st;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0755);
    archive_entry_set_size(e, st.st_size);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    ssize_t n;
    while ((n = read(fd, text, sizeof(text))) > 0)
        assert_int_equal(archive_write_data(a, text, (size_t)n), n);
    close(fd);
    archive_entry_free(e);
}

static void make_tar(const struct item *items, size_t count, const char *shell)
{
    struct archive *a = archive_write_new();
    unlink(tar_path);
    archive_write_set_format_pax_restricted(a);
    archive_write_add_filter_gzip(a);
    assert_int_equal(archive_write_open_filename(a, tar_path), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++)
        add(a, &items[i]);
    if (shell)
        add_host_file(a, "./bin/sh", shell);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static int extract(struct image *ret, struct nt_error *reterr)
{
    char name[160];
    struct disk disk;
    snprintf(name, sizeof(name), "file:%s", tar_path);
    *reterr = (struct nt_error)NT_ERROR_INIT;
    assert_int_equal(disk_open(&f.host, &disk, reterr), 0);
    int r = image_ready(&disk, name, ret, reterr);
    disk_done(&disk);
    return r;
}

static void a_hostile_archive_reaches_nothing(void **state)
{
    char outside[128], target[160];
    struct image image;
    struct nt_error error;
    struct stat st;
    (void)state;
    snprintf(outside, sizeof(outside), "%s/outside", f.folder);
    assert_int_equal(mkdir(outside, 0700), 0);
    snprintf(target, sizeof(target), "%s/victim", outside);
    const struct item dots[] = { { "../../../../../outside/victim", "x", AE_IFREG, 0644 } };
    const struct item through[] = { { "l", outside, AE_IFLNK, 0777 },
                                    { "l/victim", "x", AE_IFREG, 0644 } };
    const struct item hard[] = { { "h", "../../../../outside", 0, 0644 } };
    const struct item over[] = { { "d", outside, AE_IFLNK, 0777 },
                                 { "d/", "", AE_IFDIR, 0777 },
                                 { "d/victim", "x", AE_IFREG, 0644 } };
    const struct item etc[] = { { "etc", outside, AE_IFLNK, 0777 } };
    const struct item passwd[] = { { "etc/", "", AE_IFDIR, 0755 },
                                   { "etc/passwd", "/etc/hostname", AE_IFLNK, 0777 } };
    const struct {
        const struct item *items;
        size_t count;
        int refused;
    } archives[] = { { dots, 1, 1 }, { through, 2, 1 }, { hard, 1, 1 },
                     { over, 3, 0 }, { etc, 1, 1 },     { passwd, 2, 1 } };
    for (size_t i = 0; i < sizeof(archives) / sizeof(archives[0]); i++) {
        make_tar(archives[i].items, archives[i].count, NULL);
        int r = extract(&image, &error);
        if (archives[i].refused && r == 0)
            fail_msg("archive %zu was taken", i);
        assert_int_equal(stat(target, &st), -1);
        assert_int_equal(rmdir(outside), 0); /* empty */
        assert_int_equal(mkdir(outside, 0700), 0);
    }
    /* Half-made images are not left. */
    char images[128];
    snprintf(images, sizeof(images), "%s/images", f.data);
    DIR *list = opendir(images);
    struct dirent *e;
    while ((e = readdir(list)))
        assert_null(strstr(e->d_name, ".new"));
    closedir(list);
}

static void devices_and_modes_are_left_out(void **state)
{
    const struct item items[] = {
        { "./", "", AE_IFDIR, 0755 },         { "./dev/", "", AE_IFDIR, 0755 },
        { "./dev/null", "", AE_IFCHR, 0666 }, { "./su", "x", AE_IFREG, 04755 },
        { "./fifo", "", AE_IFIFO, 0666 },     { "./closed", "x", AE_IFREG, 0 },
        { "./ro/", "", AE_IFDIR, 0500 },      { "./ro/file", "x", AE_IFREG, 0444 },
        { "/abs", "x", AE_IFREG, 0644 },
    };
    struct image image;
    struct nt_error error;
    struct stat st;
    char path[4400];
    (void)state;
    make_tar(items, sizeof(items) / sizeof(items[0]), NULL);
    if (extract(&image, &error) < 0)
        fail_msg("%s", error.message);
    snprintf(path, sizeof(path), "%s/root/su", image.path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07000, 0);
    snprintf(path, sizeof(path), "%s/root/abs", image.path);
    assert_int_equal(stat(path, &st), 0);
    static const char *const absent[] = { "dev/null", "fifo" };
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/root/%s", image.path, absent[i]);
        assert_int_equal(stat(path, &st), -1);
    }
}

static void an_archive_becomes_a_workspace(void **state)
{
    const struct item items[] = {
        { "./", "", AE_IFDIR, 0755 },
        { "./bin/", "", AE_IFDIR, 0755 },
        { "./etc/", "", AE_IFDIR, 0755 },
        { "./etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", AE_IFREG, 0644 },
        { "./etc/group", "root:x:0:\n", AE_IFREG, 0644 },
        { "./etc/motd", "from the archive\n", AE_IFREG, 0644 },
    };
    struct outcome o;
    char name[160];
    (void)state;
    /* The shell is the tests' guest: it prints files. */
    make_tar(items, sizeof(items) / sizeof(items[0]), NT_TEST_GUEST);
    snprintf(name, sizeof(name), "file:%s", tar_path);
    fixture_create(&f, ID, name, 0, &o);
    if (o.outcome != NT_OP_DONE)
        fail_msg("%s", o.error.message);
    assert_int_equal(fixture_sh(&f, ID, "/etc/passwd", text, sizeof(text)), 0);
    assert_string_equal(
        text, "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/bash\n");
    fixture_sh(&f, ID, "/etc/motd", text, sizeof(text));
    assert_string_equal(text, "from the archive\n");
    fixture_call(&f, 'r', ID, &o);
    assert_int_equal(o.outcome, NT_OP_DONE);
}

int main(void)
{
    int r = fixture_make(&f);
    if (r)
        return r;
    snprintf(tar_path, sizeof(tar_path), "%s/image.tar.gz", f.folder);
    fixture_open(&f);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hostile_archive_reaches_nothing),
        cmocka_unit_test(devices_and_modes_are_left_out),
        cmocka_unit_test(an_archive_becomes_a_workspace),
    };
    r = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end(&f);
    return r;
}
