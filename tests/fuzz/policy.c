/* SPDX-License-Identifier: Apache-2.0 */
/* den's policy.conf. What is taken decides about everybody without a fault. */
#include "den/policy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view caps[] = { VIEW_LIT("chat"), VIEW_LIT("tunnel:3389") };
    struct policy *policy = NULL;
    struct policy_decision decision;
    struct err err = { 0 };

    if (!policy_parse("policy.conf", VIEW(data, size), &policy, &err)) {
        if (!err.code || policy)
            abort();
        return 0;
    }
    policy_decide(policy, policy_party("456000", "staff"), policy_party("123456", ""), caps, 2,
                  &decision);
    policy_free(policy);
    return 0;
}
