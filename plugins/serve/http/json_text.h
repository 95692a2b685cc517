/* SPDX-License-Identifier: Apache-2.0 */
/* json_text.h - JSON from clients, with one tolerance: lone surrogate escapes. */
#ifndef NT_SERVE_HTTP_JSON_TEXT_H
#define NT_SERVE_HTTP_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* Replaces, in place, each lone surrogate escape of a JSON text ("\udc80") by "\ufffd". Python
 * clients send them for bytes that are not UTF-8; jansson refuses them. */
void json_text_join_surrogates(char *text, size_t size);

/* Parses a body: any JSON value, no duplicate keys, NUL allowed in texts. NULL: not JSON; text is
 * changed. */
json_t *json_text_parse(char *text, size_t size);

#endif
