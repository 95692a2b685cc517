/* SPDX-License-Identifier: Apache-2.0 */
/* script.h - which program runs a script: the kernel opens it by itself, so no call names it. */
#ifndef NT_ENFORCE_SCRIPT_H
#define NT_ENFORCE_SCRIPT_H

#include <stdbool.h>

#define SCRIPT_NAME_MAX 256u /* of the kernel (BINPRM_BUF_SIZE) */

/* FILE may be open as a path only. false: it is no script, or may not be read. */
bool script_interpreter(int file, char ret[SCRIPT_NAME_MAX]);

#endif
