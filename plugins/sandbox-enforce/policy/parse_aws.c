/* SPDX-License-Identifier: Apache-2.0 */
/* parse_aws.c - aws_auth of a service: whose keys sign its requests, and for which region and
 * service, which the name of its host says in most cases. */
#include <string.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/policy/parse.h"
#include "sdk/json.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

enum { NAME_MAX_SIZE = 64, LABELS_MAX = 16 };

static bool is_name(const char *text)
{
    size_t size = strlen(text);
    return size && size <= NAME_MAX_SIZE && strspn(text, LOWER DIGITS "-") == size;
}

/* "us-east-1", "us-gov-west-1" */
static bool is_region(const char *text)
{
    size_t word = strspn(text, LOWER);
    const char *last = strrchr(text, '-');
    return is_name(text) && word >= 2 && text[word] == '-' && last[1]
           && strspn(last + 1, DIGITS) == strlen(last + 1) && last > text + word;
}

/* What a signature calls a service, where its hosts have another name. */
static const char *signed_name(const char *label)
{
    static const struct {
        const char *label, *name;
    } rows[] = {
        { "bedrock-runtime", "bedrock" },
        { "bedrock-agent", "bedrock" },
        { "bedrock-agent-runtime", "bedrock" },
        { "email", "ses" },
        { "lambda-url", "lambda" },
        { "s3-accelerate", "s3" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].label, label) == 0)
            return rows[i].name;
    return label;
}

/* The labels of the host before what all of AWS's hosts end with; 0: it is none. */
static size_t split(char *host, const char *labels[LABELS_MAX])
{
    static const char *const ends[] = { ".amazonaws.com", ".amazonaws.com.cn", ".api.aws",
                                        ".on.aws" };
    size_t size = strlen(host), count = 0;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t end = strlen(ends[i]);
        if (size <= end || strcmp(host + size - end, ends[i]) != 0)
            continue;
        host[size - end] = '\0';
        for (char *at = host; at && count < LABELS_MAX;) {
            labels[count++] = at;
            at = strchr(at, '.');
            if (at)
                *at++ = '\0';
        }
        return count;
    }
    return 0;
}

/* "SERVICE.REGION…", with anything before; "SERVICE…" alone is of all regions. */
static void guess(struct parser *p, const char *url, struct policy_aws *ret)
{
    const char *labels[LABELS_MAX], *region = NULL;
    char plain[HOST_MAX];
    if (!host_of_url(url, plain, NULL))
        return; /* has been told */
    char *host = memory_text(p->m, plain);
    size_t count = host ? split(host, labels) : 0;
    if (count && is_region(labels[count - 1]))
        region = labels[--count];
    if (count && strcmp(labels[count - 1], "dualstack") == 0)
        count--;
    if (!count)
        return;
    char *service = memory_text(p->m, labels[count - 1]);
    if (!service)
        return;
    size_t size = strlen(service);
    if (strncmp(service, "s3-", 3) == 0 && is_region(service + 3)) {
        region = service + 3;
        service = memory_text(p->m, "s3");
    } else if (size > 5 && strcmp(service + size - 5, "-fips") == 0) {
        service[size - 5] = '\0';
    }
    if (!service || !is_name(service))
        return;
    if (!ret->service)
        ret->service = signed_name(service);
    if (!ret->region)
        ret->region = region ? region : "us-east-1";
}

void parse_aws(struct parser *p, const char *path, const json_t *object, struct policy_route *ret)
{
    struct policy_aws *aws = memory_room(p->m, sizeof(*aws));
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        parse_error(p, path, "an object is needed: {} or {\"profile\": …, \"region\": …}");
        return;
    }
    if (!aws)
        return;
    *aws = (struct policy_aws){ 0 };
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool is_profile = strcmp(name, "profile") == 0, is_region_key = strcmp(name, "region") == 0;
        const char **to = is_profile                     ? &aws->profile
                          : is_region_key                ? &aws->region
                          : strcmp(name, "service") == 0 ? &aws->service
                                                         : NULL;
        if (!to)
            parse_error(p, path, "there is no such key: %.64s", name);
        else if (!json_is_null(value))
            *to = parse_text(p, path, value);
        if (to && *to && !is_profile && !is_name(*to))
            parse_error(p, path, "%s is a name of small letters, digits and -", name);
    }
    ret->aws = aws;
}

void parse_aws_check(struct parser *p, const char *at, struct policy_route *row)
{
    if (row->header || row->format || row->path_pattern || row->path_replacement || row->query_name
        || row->inject != POLICY_IN_HEADER)
        parse_error(p, at, "aws_auth signs requests: inject_… and the like have no place in it");
    struct policy_aws *aws = memory_room(p->m, sizeof(*aws));
    if (!aws || !row->upstream)
        return;
    *aws = *row->aws;
    if (!aws->region || !aws->service)
        guess(p, row->upstream, aws);
    if (!aws->region || !aws->service)
        parse_error(p, at,
                    "aws_auth: the host of upstream does not tell the region and the service: "
                    "write region and service");
    row->aws = aws;
}
