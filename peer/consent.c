/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/consent.h"

#include "base/key.h"
#include "base/text.h"
#include "peer/errand.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const words[] = {
    [PEER_CONSENT_NONE] = "none",
    [PEER_CONSENT_ASK] = "ask",
    [PEER_CONSENT_DENY] = "deny",
};

const char *consent_word(enum peer_consent consent)
{
    return words[consent];
}

enum { LINE = 64 };

static const char *line_of(const struct consent *consent, char to[LINE])
{
    char longest[32] = "";

    if (consent->longest_ms)
        snprintf(longest, sizeof(longest), " longest %" PRIu64, consent->longest_ms);
    snprintf(to, LINE, "%s%s%s\n", words[consent->floor],
             consent->is_unattended ? " unattended" : "", longest);
    return to;
}

/* What stands behind the last word of a line, if that is a number. */
static uint64_t last_number(struct view line)
{
    size_t end = line.len ? line.len - 1 : 0, start = end;
    uint64_t n = 0;

    while (start > 0 && line.data[start - 1] != ' ')
        start--;
    return text_read_u64(view_sub(line, start, end - start), &n) ? n : 0;
}

bool consent_read(const struct state *state, struct consent *ret_consent, struct err *err)
{
    _buf_ text = { 0 };
    char line[LINE];
    bool exists;

    *ret_consent = (struct consent){ PEER_CONSENT_NONE, false, 0 };
    if (!state_read_if(state, STATE_CONSENT, &text, &exists, err))
        return false;
    if (!exists) {
        *err = (struct err){ 0 };
        return true;
    }
    for (int i = 0; i < 2 * (int)N_ELEMENTS(words); i++) {
        const struct consent one = { (enum peer_consent)(i / 2), i % 2,
                                     last_number(buf_view(&text)) };
        if (!view_eq_text(buf_view(&text), line_of(&one, line)))
            continue;
        *ret_consent = one;
        return true;
    }
    return err_set(err, ERR_BAD_CONFIG,
                   "%s: expected a line such as \"ask\": `warren consent` writes it",
                   state_path(state, STATE_CONSENT));
}

bool consent_write(const struct state *state, const struct consent *consent, struct err *err)
{
    char line[LINE];

    return state_write(state, STATE_CONSENT, view_text(line_of(consent, line)), err);
}

enum peer_consent consent_for(const struct consent *consent, bool policy_asks)
{
    enum peer_consent of_policy = policy_asks ? PEER_CONSENT_ASK : PEER_CONSENT_NONE;

    if (consent->floor != PEER_CONSENT_DENY && consent->is_unattended)
        return of_policy;
    return consent->floor > of_policy ? consent->floor : of_policy;
}

/* ---- from outside: also while a program uses the folder ------------------------------------------- */

static bool look(const char *state_dir, struct state **ret_state, struct err *err)
{
    _free_ char *dir = NULL;

    return key_init(err) && state_default_dir(state_dir, &dir, err) &&
           state_look(dir, ret_state, err);
}

bool peer_consent_get(const char *state_dir, enum peer_consent *ret_floor, bool *ret_is_unattended,
                      struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    struct consent consent;
    struct err err = { 0 };

    if (!look(state_dir, &state, &err) || !consent_read(state, &consent, &err)) {
        errand_put_error(&err, ret_error);
        return false;
    }
    *ret_floor = consent.floor;
    *ret_is_unattended = consent.is_unattended;
    return true;
}

/* One that cannot be read is written anew: it is how that is mended. */
static bool read_or_begin(struct state *state, struct consent *ret_consent, struct err *err)
{
    return consent_read(state, ret_consent, err) || err->code == ERR_BAD_CONFIG;
}

bool peer_consent_set(const char *state_dir, enum peer_consent floor, bool is_unattended,
                      struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    struct consent consent = { 0 };
    struct err err = { 0 };

    if ((unsigned)floor >= N_ELEMENTS(words)) {
        err_set(&err, ERR_INVALID_ARGUMENT, "there is no such consent");
    } else if (look(state_dir, &state, &err) && read_or_begin(state, &consent, &err)) {
        consent.floor = floor;
        consent.is_unattended = is_unattended;
        if (consent_write(state, &consent, &err))
            return true;
    }
    errand_put_error(&err, ret_error);
    return false;
}

bool peer_consent_get_longest(const char *state_dir, unsigned long long *ret_ms,
                              struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    struct consent consent;
    struct err err = { 0 };

    if (!look(state_dir, &state, &err) || !consent_read(state, &consent, &err)) {
        errand_put_error(&err, ret_error);
        return false;
    }
    *ret_ms = consent.longest_ms;
    return true;
}

bool peer_consent_set_longest(const char *state_dir, unsigned long long ms,
                              struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    struct consent consent;
    struct err err = { 0 };

    if (ms > PEER_MAX_DURATION_MS) {
        err_set(&err, ERR_INVALID_ARGUMENT, "longest: over 400 days");
    } else if (look(state_dir, &state, &err) && consent_read(state, &consent, &err)) {
        consent.longest_ms = ms;
        if (consent_write(state, &consent, &err))
            return true;
    }
    errand_put_error(&err, ret_error);
    return false;
}
