/* SPDX-License-Identifier: Apache-2.0 */
/* den is told which manifest this machine lives by: once for each, and once a day, as den may have been restored. A program that
 * ends before it came to that stays for it: some machines run nothing but short commands. */
#include "peer/core.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>

enum {
    STAY_MS = 1000,         /* for den's answer, and the certificate before it */
    STAY_AGAIN = MINUTE_MS, /* den may be away: not every command stays */
};

/* "MANIFEST TOLD-AT TRIED-AT\n", wall clock. */
static bool take_number(struct view *rest, uint64_t *ret_n)
{
    size_t len = 0;
    struct view digits;

    while (len < rest->len && rest->data[len] != ' ' && rest->data[len] != '\n')
        len++;
    digits = view_sub(*rest, 0, len);
    *rest = view_sub(*rest, len + 1, rest->len);
    return text_read_u64(digits, ret_n);
}

/* What cannot be read is told again. */
void acknowledge_load(struct core *core)
{
    uint64_t no, at, tried_at, now = clock_wall_ms();
    _buf_ text = { 0 };
    struct view rest;
    struct err ignored;
    bool exists;

    if (!state_read_if(core->state, STATE_ACKNOWLEDGED, &text, &exists, &ignored) || !exists)
        return;
    rest = buf_view(&text);
    if (!take_number(&rest, &no) || !take_number(&rest, &at) || !take_number(&rest, &tried_at))
        return;
    core->stayed_at = tried_at;
    if (at <= now && now - at < DAY_MS) {
        core->acknowledged_no = no;
        core->acknowledged_at = at;
    }
}

static void keep(const struct core *core)
{
    _buf_ text = { 0 };
    struct err ignored;

    buf_printf(&text, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", core->acknowledged_no,
               core->acknowledged_at, core->stayed_at);
    if (core->is_joined)
        state_write(core->state, STATE_ACKNOWLEDGED, buf_view(&text), &ignored);
}

static bool is_owed(const struct core *core)
{
    return core->id[0] && rpc_trust_manifest_no(core->trust) > core->acknowledged_no;
}

/* Once everything that the manifest brings is there. */
bool acknowledge_is_needed(const struct core *core)
{
    uint64_t no = rpc_trust_manifest_no(core->trust);

    return is_owed(core) && core->anchors_manifest_no == no && core->chain_manifest_no == no &&
           core->cert && follow_is_replaced(core);
}

static void on_acknowledged(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;

    if (outcome->what == RPC_RESULTED) {
        core->acknowledged_no = core->acknowledging_no;
        core->acknowledged_at = clock_wall_ms();
        keep(core);
    } else {
        err_wrap(&err, "acknowledging the manifest");
    }
    core_step_done(core, STEP_ACKNOWLEDGE, outcome->what == RPC_RESULTED ? NULL : &err);
}

void acknowledge_send(struct core *core)
{
    _buf_ body = { 0 };

    core->acknowledging_no = rpc_trust_manifest_no(core->trust);
    rpc_put_map(&body, 1);
    rpc_put_str(&body, "manifest");
    rpc_put_u64(&body, core->acknowledging_no);
    follow_request(core, STEP_ACKNOWLEDGE, "den.ca.acknowledge", buf_view(&body), on_acknowledged);
}

/* ---- before the end ----------------------------------------------------------------------------- */

/* Nothing that was tried failed, so that it is a matter of milliseconds. */
static bool is_on_its_way(const struct core *core)
{
    for (size_t i = 0; i < CORE_STEPS; i++) {
        if (core->steps[i].failures)
            return false;
    }
    return core->is_up && !core->has_failed && is_owed(core);
}

static bool is_over(void *user)
{
    return !is_on_its_way(user);
}

void acknowledge_before_end(struct core *core)
{
    uint64_t now = clock_wall_ms();

    if (!is_on_its_way(core) ||
        (core->stayed_at <= now && now - core->stayed_at < (uint64_t)STAY_AGAIN))
        return;
    core_settle(core);
    core_flush(core);
    loop_drain(core->loop, is_over, core, STAY_MS);
    if (!is_owed(core))
        return;
    core->stayed_at = now;
    keep(core);
}
