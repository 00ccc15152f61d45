/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/why.h"
#include "tests/check.h"

static const struct ice_nat none = { .udp = ICE_UDP_OPEN,
                                     .mapping = ICE_MAPPING_NONE,
                                     .filtering = ICE_FILTERING_NONE };
static const struct ice_nat port = { .udp = ICE_UDP_OPEN,
                                     .mapping = ICE_MAPPING_ENDPOINT,
                                     .filtering = ICE_FILTERING_PORT };
static const struct ice_nat symmetric = { .udp = ICE_UDP_OPEN,
                                          .mapping = ICE_MAPPING_PORT,
                                          .filtering = ICE_FILTERING_PORT };
static const struct ice_nat blocked = { .udp = ICE_UDP_BLOCKED };

static struct why_end with(const struct ice_nat *v4, const struct ice_nat *v6)
{
    struct why_end end = { .policy = PEER_PATH_AUTO };

    if (v4) {
        end.nat[0] = *v4;
        end.has[0] = true;
    }
    if (v6) {
        end.nat[1] = *v6;
        end.has[1] = true;
    }
    return end;
}

static const char *code(enum path_kind kind, struct why_end ours, struct why_end theirs,
                        bool is_searching)
{
    struct why why;

    why_path(kind, &ours, &theirs, is_searching, &why);
    CHECK(strlen(why.code) <= 24 && why.text[0] != '\0' && why.remedy);
    CHECK((kind == PATH_DIRECT) == (strcmp(why.code, "direct") == 0));
    return why.code;
}

TEST(each_reason_has_its_code)
{
    struct why_end easy = with(&none, NULL), hard = with(&symmetric, NULL), nat = with(&port, NULL),
                   shut = with(&blocked, NULL);

    CHECK_STR(code(PATH_DIRECT, easy, hard, false), "direct");
    CHECK_STR(code(PATH_RELAY, hard, hard, false), "nats");
    CHECK_STR(code(PATH_TURN, hard, nat, false), "nats");
    CHECK_STR(code(PATH_RELAY, nat, nat, false), "no_answer");
    CHECK_STR(code(PATH_RELAY, nat, nat, true), "searching");
    CHECK_STR(code(PATH_RELAY, shut, nat, false), "udp_blocked_here");
    CHECK_STR(code(PATH_RELAY, nat, shut, false), "udp_blocked_there");
    CHECK_STR(code(PATH_RELAY, shut, shut, false), "udp_blocked_both");
    CHECK_STR(code(PATH_RELAY, with(NULL, &none), nat, false), "no_common_family");
    CHECK_STR(code(PATH_RELAY, with(&symmetric, &none), with(&symmetric, &none), false),
              "no_answer");
    CHECK_STR(code(PATH_RELAY, with(NULL, NULL), nat, false), "unknown");
    /* IPv6 where IPv4 is shut */
    CHECK_STR(code(PATH_RELAY, with(&blocked, &none), with(&none, &none), false), "no_answer");
}

TEST(a_direct_path_that_carries_too_little_is_no_nats_fault)
{
    struct why_end nat = with(&port, NULL), narrow = nat;

    narrow.is_narrow = true;
    CHECK_STR(code(PATH_RELAY, narrow, nat, false), "narrow");
    CHECK_STR(code(PATH_TURN, nat, narrow, true), "narrow");
    CHECK_STR(code(PATH_DIRECT, narrow, nat, true), "direct");
}

TEST(policy_comes_before_all_else)
{
    struct why_end easy = with(&none, NULL), shy = easy;

    shy.policy = PEER_PATH_RELAY;
    CHECK_STR(code(PATH_RELAY, shy, easy, true), "policy_here");
    CHECK_STR(code(PATH_RELAY, easy, shy, false), "policy_there");
    shy.policy = PEER_PATH_TURN;
    CHECK_STR(code(PATH_TURN, shy, easy, false), "policy_here");
}

TEST(the_texts_fit_where_they_go)
{
    const struct ice_nat long_one = { .udp = ICE_UDP_OPEN,
                                      .mapping = ICE_MAPPING_NONE,
                                      .filtering = ICE_FILTERING_PORT };
    struct why_end end = with(&long_one, NULL);
    struct why why;

    why_path(PATH_RELAY, &end, &end, false, &why);
    CHECK(strstr(why.text, "but no address answered") != NULL);
}
