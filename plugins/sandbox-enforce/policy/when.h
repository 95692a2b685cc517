/* SPDX-License-Identifier: Apache-2.0 */
/* when.h - the condition of an entry of a profile: on which systems it counts.
 *
 *   [!]SYSTEM[:DISTRIBUTION[:VERSION][:VARIANT]]
 *   linux, !linux:nixos, linux:rhel-like:>=9, linux:fedora:>=43:workstation, macos:>=15
 *
 * VERSION is a number with dots, after ==, >, >=, < or <=, or alone. A distribution ends in "-like"
 * when those that call themselves like it count, too (ID_LIKE of os-release(5)). */
#ifndef NT_ENFORCE_POLICY_WHEN_H
#define NT_ENFORCE_POLICY_WHEN_H

#include <stdbool.h>
#include <stddef.h>

/* What is asked about this machine. */
struct when_system {
    char id[64], like[256], version[64], variant[64]; /* empty: not said */
};

/* Of the text of an os-release file. */
void when_read(const char *text, size_t size, struct when_system *ret);
/* Of this machine's. */
void when_find(struct when_system *ret);

/* NULL when TEXT is a condition; else what is wrong with it, half a sentence. */
const char *when_check(const char *text);
/* Of one that when_check has passed. SYSTEM is a Linux. */
bool when_holds(const char *text, const struct when_system *system);

#endif
