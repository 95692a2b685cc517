/* SPDX-License-Identifier: Apache-2.0 */
/* layers.h - what the files of this library share: the steps of each layer. All return 0 or an
 * errno value; see enforce.h for what may run after a fork. */
#ifndef NT_ENFORCE_LAYERS_H
#define NT_ENFORCE_LAYERS_H

#include "enforce.h"

/* privileges.c */
int privileges_enter(struct enforce *e);
int privileges_verify(struct enforce *e);

/* landlock.c: one set of rules for three layers; it is entered with the first of them. */
int landlock_prepare(struct enforce *e, enum enforce_layer *ret_layer);
int landlock_enter(struct enforce *e);
int landlock_files_verify(struct enforce *e);
int landlock_tcp_verify(struct enforce *e);
int landlock_scopes_verify(struct enforce *e);

/* filter.c */
int calls_prepare(struct enforce *e);
int calls_enter(struct enforce *e);
int calls_verify(struct enforce *e);

/* hide.c: an O_PATH descriptor of a canonical path, or -1 with errno; ELOOP for symbolic links. */
int spaces_open_path(const char *path);
/* hide.c: puts the tree of a descriptor of open_tree over what AT is. 0 or errno. */
int spaces_attach(int tree, int at);

/* readonly.c: clones what is mounted at PLACE->path, when that is still what PLACE->fd was. 0 with
 * tree -1 when it is not; errno. spaces_close_place in any case. */
struct enforce_place;
int spaces_clone_place(struct enforce_place *place);
void spaces_close_place(struct enforce_place *place);

/* descriptors.c */
int descriptors_enter(struct enforce *e);
int descriptors_verify(struct enforce *e);

#endif
