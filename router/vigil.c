/* SPDX-License-Identifier: Apache-2.0 */
#include "router/vigil.h"
#include "router/dealer.h"
#include "router/router.h"

#include <inttypes.h>

static void watch(struct conn *den, uint64_t ms)
{
    deadline_set(&den->router->deadlines, &den->vigil.due, den->router->now.mono + ms);
}

static void start(struct conn *den)
{
    den->vigil.since = den->router->now.mono;
    den->vigil.is_asking = false;
    watch(den, VIGIL_ASK_MS);
}

static void ask(struct conn *den)
{
    uint64_t nonce;

    random_bytes(&nonce, sizeof(nonce));
    den->vigil.is_asking = true;
    den->router->outside.ask(den->wire, nonce);
    watch(den, VIGIL_ANSWER_MS);
}

static bool is_owing(const struct vigil *vigil)
{
    return vigil->answered_at && vigil->heard_at <= vigil->answered_at;
}

static void give_up(struct conn *den)
{
    bool is_owing_now = is_owing(&den->vigil);

    den->vigil.is_mute = true;
    log_event(LOG_WARN, "den_silent", "for_ms=%" PRIu64,
              den->router->now.mono - den->vigil.heard_at);
    dealer_abandon(den, is_owing_now, ERR_DEN_AWAY, DEN_SILENT);
}

static void on_due(struct deadline *due)
{
    struct vigil *vigil = CONTAINER(due, struct vigil, due);
    struct conn *den = CONTAINER(vigil, struct conn, vigil);

    if (!dealer_is_awaited(den) && !is_owing(vigil))
        return;
    if (vigil->heard_at > vigil->since)
        start(den);
    else if (vigil->is_asking)
        give_up(den);
    else
        ask(den);
}

void vigil_begin(struct conn *callee)
{
    if (callee->role != ROLE_DEN || callee->vigil.due.place || !callee->router->outside.ask)
        return;
    callee->vigil.due.on_passed = on_due;
    start(callee);
}

void vigil_answered(struct conn *caller)
{
    if (caller->role == ROLE_DEN)
        caller->vigil.answered_at = caller->router->now.mono;
    vigil_begin(caller);
}

void vigil_heard(struct conn *conn)
{
    conn->vigil.heard_at = conn->router->now.mono;
    if (!conn->vigil.is_mute)
        return;
    conn->vigil.is_mute = false;
    log_event(LOG_INFO, "den_answers", "id=%s", conn->id);
}

void vigil_end(struct conn *conn)
{
    deadline_clear(&conn->router->deadlines, &conn->vigil.due);
}

bool vigil_is_well(const struct conn *callee)
{
    return !callee->vigil.is_mute;
}
