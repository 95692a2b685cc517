/* SPDX-License-Identifier: Apache-2.0 */
/* script.c - what the first line of a script or the header of a program names; see script.h. */
#include "script.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"

#define LINE_MAX_BYTES SCRIPT_WORDS_MAX /* of the kernel (BINPRM_BUF_SIZE) */
#define HEADERS_MAX 64u                 /* a program has about a dozen */

_Static_assert(SCRIPT_PATH_MAX == PATH_MAX, "the kernel's limit");

/* #! PATH WORDS, where blanks at the end are none of the words. */
static bool of_script(const char *line, char ret[SCRIPT_PATH_MAX], char ret_words[SCRIPT_WORDS_MAX])
{
    const char *path = line + 2 + strspn(line + 2, " \t");
    size_t length = strcspn(path, " \t\n");
    const char *words = path + length + strspn(path + length, " \t");
    size_t rest = strcspn(words, "\n");
    while (rest && (words[rest - 1] == ' ' || words[rest - 1] == '\t'))
        rest--;
    memcpy(ret, path, length);
    ret[length] = '\0';
    memcpy(ret_words, words, rest);
    ret_words[rest] = '\0';
    return length > 0;
}

/* PT_INTERP of a program of 64 bits: others are refused before all else. */
static bool of_program(int file, const Elf64_Ehdr *head, char ret[SCRIPT_PATH_MAX])
{
    Elf64_Phdr rows[HEADERS_MAX];
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_phentsize != sizeof(rows[0])
        || head->e_phnum > HEADERS_MAX || head->e_phoff > INT64_MAX)
        return false;
    size_t size = head->e_phnum * sizeof(rows[0]);
    if (pread(file, rows, size, (off_t)head->e_phoff) != (ssize_t)size)
        return false;
    for (size_t i = 0; i < head->e_phnum; i++)
        if (rows[i].p_type == PT_INTERP)
            return rows[i].p_filesz > 1 && rows[i].p_filesz <= SCRIPT_PATH_MAX
                   && rows[i].p_offset <= INT64_MAX
                   && pread(file, ret, rows[i].p_filesz, (off_t)rows[i].p_offset)
                          == (ssize_t)rows[i].p_filesz
                   && !ret[rows[i].p_filesz - 1];
    return false;
}

bool script_runner(int file, char ret[SCRIPT_PATH_MAX])
{
    char words[SCRIPT_WORDS_MAX];
    return script_runner_words(file, ret, words);
}

bool script_runner_words(int file, char ret[SCRIPT_PATH_MAX], char ret_words[SCRIPT_WORDS_MAX])
{
    char name[64];
    union {
        char line[LINE_MAX_BYTES];
        Elf64_Ehdr head;
    } first;
    struct stat st;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
    if (fstat(file, &st) < 0 || !S_ISREG(st.st_mode)) /* others can block whoever opens them */
        return false;
    nt_autoclose int opened = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = opened < 0 ? -1 : pread(opened, first.line, sizeof(first.line) - 1, 0);
    if (size < 3)
        return false;
    first.line[size] = '\0';
    ret_words[0] = '\0';
    if (first.line[0] == '#' && first.line[1] == '!')
        return of_script(first.line, ret, ret_words);
    return size >= (ssize_t)sizeof(first.head) && memcmp(first.line, ELFMAG, SELFMAG) == 0
           && of_program(opened, &first.head, ret);
}
