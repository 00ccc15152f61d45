/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/consent.h"

#include "base/file.h"
#include "tests/check.h"

static struct err err;

TEST(policy_raises_the_floor_and_does_not_lower_it)
{
    static const struct {
        enum peer_consent floor;
        bool is_unattended, policy_asks;
        enum peer_consent wanted;
    } cases[] = {
        { PEER_CONSENT_NONE, false, false, PEER_CONSENT_NONE },
        { PEER_CONSENT_NONE, false, true, PEER_CONSENT_ASK },
        { PEER_CONSENT_ASK, false, false, PEER_CONSENT_ASK },
        { PEER_CONSENT_ASK, false, true, PEER_CONSENT_ASK },
        { PEER_CONSENT_ASK, true, false, PEER_CONSENT_NONE },
        { PEER_CONSENT_ASK, true, true, PEER_CONSENT_ASK },
        { PEER_CONSENT_DENY, false, false, PEER_CONSENT_DENY },
        { PEER_CONSENT_DENY, true, false, PEER_CONSENT_DENY },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const struct consent own = { cases[i].floor, cases[i].is_unattended };
        CHECK_U64(consent_for(&own, cases[i].policy_asks), cases[i].wanted);
    }
}

TEST(it_is_kept_and_what_cannot_be_read_is_refused)
{
    _free_ char *dir = file_path(check_dir(), "kept");
    _cleanup_(state_freep) struct state *state = NULL;
    struct consent own;

    CHECK_OK(state_open(dir, true, &state, &err), err);
    CHECK_OK(consent_read(state, &own, &err), err);
    CHECK(own.floor == PEER_CONSENT_NONE && !own.is_unattended);
    CHECK(err.code == ERR_NONE);
    for (int i = 0; i < 6; i++) {
        const struct consent next = { (enum peer_consent)(i / 2), i % 2 };
        CHECK_OK(consent_write(state, &next, &err), err);
        CHECK_OK(consent_read(state, &own, &err), err);
        CHECK(own.floor == next.floor && own.is_unattended == next.is_unattended);
    }
    CHECK_OK(state_write(state, STATE_CONSENT, VIEW_LIT("asks\n"), &err), err);
    CHECK_ERR(consent_read(state, &own, &err), err, ERR_BAD_CONFIG);
    CHECK_OK(file_write(state_path(state, STATE_CONSENT), VIEW_LIT("none\n"), 0666, &err), err);
    CHECK_ERR(consent_read(state, &own, &err), err, ERR_EXPOSED);
}
