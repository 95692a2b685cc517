/* SPDX-License-Identifier: Apache-2.0 */
/* guide.h - how to write a profile: the text of `profile guide`. */
#ifndef NT_ENFORCE_POLICY_GUIDE_H
#define NT_ENFORCE_POLICY_GUIDE_H

/* Lines with their ends; NULL ends them. */
extern const char *const profile_guide[];

#endif
