/* SPDX-License-Identifier: Apache-2.0 */
/* talk.h - the conversation of a raw call: input up, answer down, one deadline. */
#ifndef NT_CORE_RAW_TALK_H
#define NT_CORE_RAW_TALK_H

#include "core/raw/request.h"
#include "core/raw/show.h"

/* `input` is a descriptor to send as the body, -1: the request's own body. Waits until the answer
 * is shown. */
int raw_talk(struct nt_call *call, const struct raw_request *request, int input,
             struct raw_show *show, struct nt_error *reterr);

#endif
