/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions a second: 10 000 peers, 1 000 rules between pairs of groups and of peers, dials at random. Prints a line of
 * JSON; `scan` as argument: by looking at one rule after the other. */
#include "base/clock.h"
#include "base/key.h"
#include "den/policy.h"

#include <stdio.h>

enum { PEERS = 10000, GROUPS = 100, RULES = 1000, DIALS = 4096, BATCH = 64 };
static const uint64_t measured = 2000 * 1000 * (uint64_t)1000; /* ns */

struct asked {
    char from[16], to[16], from_groups[32], to_groups[32];
    struct policy_dial dial;
};

static void put_policy(struct buf *text, unsigned n_rules)
{
    buf_put_text(text, "machines:\n");
    for (unsigned i = 0; i < PEERS; i += 10)
        buf_printf(text, "  %u: {tags: [t%u]}\n", 100000 + i, i % 50);
    buf_put_text(text, "rules:\n");
    for (unsigned i = 0; i < n_rules; i++) {
        if (i % 2)
            buf_printf(text, "  - {from: group:g%u, to: group:g%u, can: [chat, tunnel:*]}\n",
                       random_below(GROUPS), random_below(GROUPS));
        else
            buf_printf(text, "  - {from: %u, to: [%u, tag:t%u], can: [chat, file, tunnel:3389]}\n",
                       100000 + random_below(PEERS), 100000 + random_below(PEERS),
                       random_below(50));
    }
    buf_put_text(text, "  - {from: any, to: any, can: [chat]}\n");
}

static void make_dial(struct asked *a, const struct view *cap)
{
    snprintf(a->from, sizeof(a->from), "%u", 100000 + random_below(PEERS));
    snprintf(a->to, sizeof(a->to), "%u", 100000 + random_below(PEERS));
    snprintf(a->from_groups, sizeof(a->from_groups), "g%u,staff", random_below(GROUPS));
    snprintf(a->to_groups, sizeof(a->to_groups), "g%u", random_below(GROUPS));
    a->dial = (struct policy_dial){ policy_party(a->from, a->from_groups),
                                    policy_party(a->to, a->to_groups), cap, 1, 1800000000000 };
}

int main(int argc, char **argv)
{
    const struct view chat = VIEW_LIT("chat");
    bool by_scan = argc > 1 && strcmp(argv[1], "scan") == 0;
    struct asked *asked = mem_array(struct asked, DIALS);
    uint64_t n = 0, n_allowed = 0, started, passed = 0;
    struct policy *policy = NULL;
    _buf_ text = { 0 };
    struct err err = { 0 };

    put_policy(&text, argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : RULES);
    if (!key_init(&err) || !policy_parse("policy.yaml", buf_view(&text), &policy, NULL, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < DIALS; i++)
        make_dial(&asked[i], &chat);
    started = clock_mono_ns();
    for (; passed < measured; n++) {
        struct policy_decision d;
        if (by_scan)
            policy_decide_by_scan(policy, &asked[n % DIALS].dial, &d);
        else
            policy_decide(policy, &asked[n % DIALS].dial, &d);
        n_allowed += d.verdict == POLICY_ALLOWED;
        if (n % BATCH == BATCH - 1)
            passed = clock_mono_ns() - started;
    }
    printf(
        "{\"suite\": \"den\", \"figure\": \"policy\", \"unit\": \"decisions/s\", \"value\": %.0f, "
        "\"allowed\": %.2f}\n",
        (double)n * 1e9 / (double)passed, (double)n_allowed / (double)n);
    policy_free(policy);
    free(asked);
    return 0;
}
