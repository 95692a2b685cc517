/* SPDX-License-Identifier: Apache-2.0 */
/* script.h - what runs a program: the interpreter of a script, the loader of a program that is
 * linked to libraries. The kernel opens them by itself, so no call names them. */
#ifndef NT_ENFORCE_SCRIPT_H
#define NT_ENFORCE_SCRIPT_H

#include <stdbool.h>

#define SCRIPT_PATH_MAX 4096u /* of a loader; of an interpreter less than 256 */
#define SCRIPT_WORDS_MAX 256u
#define SCRIPT_DEPTH 6 /* so many scripts that are run by scripts, and a loader: the kernel's */

/* The path as FILE says it, which may be open as a path only. false: nothing runs it, or it may not
 * be read. Hostile files: bounded, and none that could block. */
bool script_runner(int file, char ret[SCRIPT_PATH_MAX]);
/* The same, and what an interpreter gets as its first argument: the rest of the line; "": nothing.
 */
bool script_runner_words(int file, char ret[SCRIPT_PATH_MAX], char ret_words[SCRIPT_WORDS_MAX]);

#endif
