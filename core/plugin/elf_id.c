/* SPDX-License-Identifier: Apache-2.0 */
/* elf_id.c - the build id of a shared object, read from its file without loading it. Source:
 * elf(5). */
#include "elf_id.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

#define SEGMENTS_MAX 64u
#define NOTES_MAX ((size_t)64 * 1024)

/* All bytes or false. */
static bool read_at(int fd, void *ret, size_t size, uint64_t offset)
{
    if (offset > INT64_MAX - size)
        return false;
    char *at = ret;
    while (size > 0) {
        ssize_t n = pread(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

static void to_hex(const unsigned char *bytes, size_t size, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret[2 * size] = '\0';
}

/* Looks for the note in one segment; the head of each note is 12 bytes, name and content are padded
 * to 4. */
static bool find_note(const unsigned char *notes, size_t size, char ret[ELF_ID_SIZE])
{
    size_t at = 0;
    while (size - at >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) head;
        memcpy(&head, notes + at, sizeof(head));
        at += sizeof(head);
        uint64_t name = ((uint64_t)head.n_namesz + 3) & ~3ull,
                 content = ((uint64_t)head.n_descsz + 3) & ~3ull;
        if (name > size - at || content > size - at - name)
            return false;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4
            && memcmp(notes + at, "GNU", 4) == 0 && head.n_descsz > 0
            && head.n_descsz <= (ELF_ID_SIZE - 1) / 2) {
            to_hex(notes + at + name, head.n_descsz, ret);
            return true;
        }
        at += (size_t)(name + content);
    }
    return false;
}

int elf_id_read(int fd, char ret[ELF_ID_SIZE], struct nt_error *reterr)
{
    ElfW(Ehdr) head;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot look at it");
    if (!read_at(fd, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "it is not an ELF file");
    unsigned char wanted = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    if (head.e_ident[EI_CLASS] != wanted || head.e_type != ET_DYN
        || head.e_phentsize != sizeof(ElfW(Phdr)))
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "it is not a shared object for this machine");
    if (head.e_phnum > SEGMENTS_MAX)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "it has %u segments, more than %u", head.e_phnum,
                       SEGMENTS_MAX);
    ret[0] = '\0';
    for (unsigned i = 0; i < head.e_phnum; i++) {
        ElfW(Phdr) segment;
        if (!read_at(fd, &segment, sizeof(segment), (uint64_t)head.e_phoff + i * sizeof(segment)))
            return nt_fail(reterr, NT_E_PLUGIN_ABI, "it is cut off");
        /* A mapping beyond the end of the file is SIGBUS in whoever loads it. */
        if (segment.p_type == PT_LOAD
            && (segment.p_offset > (uint64_t)st.st_size
                || segment.p_filesz > (uint64_t)st.st_size - segment.p_offset))
            return nt_fail(reterr, NT_E_PLUGIN_ABI, "it is cut off");
        if (segment.p_type != PT_NOTE || segment.p_filesz > NOTES_MAX || ret[0])
            continue;
        nt_autofree unsigned char *notes = malloc((size_t)segment.p_filesz + 1);
        if (!notes)
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        if (!read_at(fd, notes, (size_t)segment.p_filesz, segment.p_offset))
            return nt_fail(reterr, NT_E_PLUGIN_ABI, "it is cut off");
        find_note(notes, (size_t)segment.p_filesz, ret);
    }
    return 0;
}
