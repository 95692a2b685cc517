/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_profile_fuzz.c - a profile, a manifest or the file of a policy that anybody wrote. The
 * first byte says which; what is accepted must come through `profile show`, a comparison with
 * itself and questions. No file is opened but those that a manifest is looked at for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/show.h"
#include "sdk/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_profile(struct nt_bytes text, bool is_manifest)
{
    struct memory m = { 0 };
    struct profile profile, merged = { 0 };
    struct policy_texts errors = { 0 };
    struct nt_error e = NT_ERROR_INIT;
    int parsed = is_manifest ? manifest_parse(&m, text, &profile, &errors, &e)
                             : profile_parse(&m, text, &profile, &errors, &e);
    if (parsed == 0 && errors.count == 0) {
        profile_default(&m, &merged);
        profile_merge(&m, &merged, &profile);
        nt_auto_json json_t *shown = profile_to_json(&merged);
        nt_auto_json json_t *written = profile_to_text(&profile);
        nt_auto_json json_t *same = profile_compare(shown, shown);
        if (!shown || !written || json_object_size(same) != 0)
            abort();
        /* What is written can be read, and says the same. */
        nt_autofree char *again = json_dumps(written, JSON_COMPACT);
        struct policy_texts none = { 0 };
        struct profile second;
        if (!is_manifest && again
            && (profile_parse(&m, (struct nt_bytes){ again, strlen(again) }, &second, &none, &e) < 0
                || none.count))
            abort();
    }
    memory_done(&m);
}

static void try_file(struct nt_bytes text)
{
    struct policy *policy = NULL;
    struct nt_error e = NT_ERROR_INIT;
    struct policy_answer answer;
    if (policy_from_json(text, &policy, &e) < 0)
        return;
    policy_ask_canonical(policy, "/etc/shadow", POLICY_READ, &answer);
    policy_ask_host(policy, "example.com", 443, &answer);
    (void)policy_ask_unix(policy, "/run/a/b", true);
    nt_autofree char *again = NULL;
    struct policy *second = NULL;
    if (policy_to_json(policy, &again, &e) == 0
        && policy_from_json((struct nt_bytes){ again, strlen(again) }, &second, &e) < 0)
        abort();
    policy_free(second);
    policy_free(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct nt_bytes text = { data + 1, size - 1 };
    if (data[0] % 3 == 2)
        try_file(text);
    else
        try_profile(text, data[0] % 3 == 1);
    return 0;
}
