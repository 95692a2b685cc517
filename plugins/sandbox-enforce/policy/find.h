/* SPDX-License-Identifier: Apache-2.0 */
/* find.h - a profile by name or path, with all that it extends. */
#ifndef NT_ENFORCE_POLICY_FIND_H
#define NT_ENFORCE_POLICY_FIND_H

#include "plugins/sandbox-enforce/policy/expand.h"
#include "plugins/sandbox-enforce/policy/profile.h"

#define PROFILE_DEPTH_MAX 10u

/* Letters, digits, "_", "-" and "."; not a path. */
bool profile_is_name(const char *name);
/* The user's folders with profiles, in the order in which they are searched. NULL: no more. */
const char *profile_folder(struct memory *m, const struct places *places, size_t index);

/* How many bytes of the name of a file are those of its profile, without the suffix; 0: it is no
 * profile's. */
size_t profile_stem(const char *file);
/* FOLDER/NAME.jsonc or, if that is not there, FOLDER/NAME.json; also when neither is there. */
char *profile_path(struct memory *m, const char *folder, const char *name);

/* Reads the file of a profile: regular, at most 1 MiB, of the user or root, not writable by others.
 * ENFORCE_E_PROFILE with the first of its errors; *reterrs (may be NULL) gets all of them. */
int profile_read(struct memory *m, const char *path, struct profile *ret,
                 struct policy_texts *reterrs, struct nt_error *reterr);
/* The text of such a file, malloc'ed. */
int profile_text(const char *path, char **ret, size_t *ret_size, struct nt_error *reterr);

/* NAME alone: a path (with a slash, or ending in .json or .jsonc), or a name in BESIDE (may be
 * NULL), the user's folders, the built-in ones. */
int profile_find(struct memory *m, const struct places *places, const char *name,
                 const char *beside, struct profile *ret, struct nt_error *reterr);
/* The same with all that it extends, above `default`. */
int profile_resolve(struct memory *m, const struct places *places, const char *name,
                    struct profile *ret, struct nt_error *reterr);
/* PROFILE (found already) with all that it extends, above `default`. */
int profile_complete(struct memory *m, const struct places *places, const struct profile *profile,
                     struct profile *ret, struct nt_error *reterr);

#endif
