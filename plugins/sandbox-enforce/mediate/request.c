/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - what a stand-in, or whoever says that it is one, asks for. */
#include <stdlib.h>
#include <string.h>

#include "mediate.h"
#include "protocol.h"

void mediate_request_done(struct mediate_request *request)
{
    free(request->words);
    free(request->variables);
    *request = (struct mediate_request){ 0 };
}

/* The next text; NULL: there is none. */
static char *next(char **at, const char *end)
{
    char *text = *at, *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
    if (!nul)
        return NULL;
    *at = nul + 1;
    return text;
}

static char **take_list(char **at, const char *end, uint32_t count)
{
    char **list = calloc((size_t)count + 1, sizeof(*list));
    for (uint32_t i = 0; list && i < count; i++)
        if (!(list[i] = next(at, end))) {
            free(list);
            return NULL;
        }
    return list;
}

int mediate_parse(const struct mediate_head *head, char *bytes, struct mediate_request *ret)
{
    char *at = bytes;
    const char *end = bytes + head->size;
    struct mediate_request request = { 0 };
    if (head->magic != MEDIATE_MAGIC || head->size > MEDIATE_SIZE_MAX
        || head->words > MEDIATE_WORDS_MAX || head->variables > MEDIATE_VARIABLES_MAX)
        return -1;
    request.file = next(&at, end);
    request.folder = next(&at, end);
    request.words = take_list(&at, end, head->words);
    request.variables = request.words ? take_list(&at, end, head->variables) : NULL;
    bool is_whole = request.file && request.folder && request.variables && at == end;
    for (char **entry = request.variables; is_whole && *entry; entry++)
        is_whole = strchr(*entry, '=') && **entry != '=';
    if (!is_whole) {
        mediate_request_done(&request);
        return -1;
    }
    *ret = request;
    return 0;
}
