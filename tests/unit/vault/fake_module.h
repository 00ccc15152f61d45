/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module whose token does what a test wants: what SoftHSM never does, and hardware does on its worst day. */
#pragma once

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

struct fake {
    /* what it is like */
    const char *pin;
    CK_FLAGS flags;    /* of the token, beside those that it always has */
    unsigned n_tokens; /* of the name "fake" */
    bool has_public, is_rsa, is_p384, is_raw_point, is_another_key, asks_each_time, has_key;
    /* what befalls it */
    bool is_away;       /* no slot has a token */
    bool is_lost;       /* away, and after that only a new start brings it back */
    CK_RV login_answer; /* CKR_OK: by the PIN */
    CK_RV sign_answer;  /* CKR_OK: it signs */
    CK_ULONG sig_len;   /* 0: as it should be */
    /* what was asked of it */
    unsigned n_starts, n_logins, n_each_time, n_signed, n_made;
};
