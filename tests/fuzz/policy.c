/* SPDX-License-Identifier: Apache-2.0 */
/* den's policy.yaml. What is taken decides about everybody without a fault. */
#include "den/policy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view caps[] = { VIEW_LIT("chat"), VIEW_LIT("tunnel:3389") };
    struct policy *policy = NULL;
    const struct policy_dial dial = { policy_party("456000", "staff"), policy_party("123456", ""),
                                      caps, 2, 1800000000000 };
    struct policy_decision decision, scanned;
    struct buf all = { 0 };
    struct err err = { 0 };

    if (!policy_parse("policy.yaml", VIEW(data, size), &policy, &all, &err)) {
        if (!err.code || policy || all.len == 0)
            abort();
        buf_free(&all);
        return 0;
    }
    policy_decide(policy, &dial, &decision);
    policy_decide_by_scan(policy, &dial, &scanned);
    if (decision.rule_no != scanned.rule_no)
        abort();
    policy_free(policy);
    return 0;
}
