/* SPDX-License-Identifier: Apache-2.0 */
#include "router/clone.h"
#include "router/network.h"
#include "router/revocations.h"

#include <inttypes.h>
#include <string.h>

enum {
    MAX_ASKED = 3,             /* sessions, one after the other, for one newcomer */
    SPARE_MS = 1000,           /* of the handshake's time, after the answer */
    TELL_AGAIN_MS = 60 * 1000, /* a newcomer that tries on is one */
};

static struct conn *in_the_way(const struct handshake *h)
{
    struct conn *before = router_find(h->conn->router, view_text(h->authid));

    return before && memcmp(before->instance, h->instance, sizeof(h->instance)) != 0 ? before
                                                                                     : NULL;
}

/* It was a while: what is revoked meanwhile stays out. */
static bool is_still_good(const struct handshake *h, struct err *err)
{
    const struct rpc_admission a = { .id = view_text(h->authid), .adm_no = h->adm_no };

    return h->role == ROLE_DEN ||
           revocations_check(h->conn->router, VIEW_ARR(h->netsign.client_pk), &a, err) ||
           err_wrap(err, "admission");
}

static void ask(struct handshake *h, struct conn *before)
{
    struct router *router = h->conn->router;
    uint64_t until = router->now.mono + CLONE_ANSWER_MS;

    h->n_asked++;
    h->asked = before->number;
    random_bytes(&h->nonce, sizeof(h->nonce));
    list_append(&before->doubters, &h->of_asked);
    deadline_set(&router->deadlines, &h->answer, until);
    if (h->conn->silence.at < until + SPARE_MS)
        deadline_set(&router->deadlines, &h->conn->silence, until + SPARE_MS);
    router->outside.ask(before->wire, h->nonce);
}

/* There was no answer, or nobody is there any more to give one. */
static void on_unanswered(struct deadline *deadline)
{
    struct handshake *h = CONTAINER(deadline, struct handshake, answer);
    struct conn *conn = h->conn, *before = in_the_way(h);
    struct err err = { 0 };

    list_remove(&h->of_asked);
    if (before && before->number != h->asked && h->n_asked < MAX_ASKED) {
        ask(h, before); /* another one was faster */
        return;
    }
    h->is_decided = true;
    if (!is_still_good(h, &err) || !conn_step(conn, EV_ADMITTED, NULL, &err))
        conn_abort(conn, &err);
}

bool clone_asks(struct handshake *h)
{
    struct conn *before = in_the_way(h);

    if (!before || !h->conn->router->outside.ask)
        return false;
    h->answer.on_passed = on_unanswered;
    ask(h, before);
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void tell(struct conn *before, const struct conn *newcomer)
{
    const struct router *router = before->router;

    if (before->clone_told_at && router->now.mono - before->clone_told_at < TELL_AGAIN_MS)
        return;
    before->clone_told_at = router->now.mono;
    network_say_clone(before, newcomer->address);
}

static void refuse(struct handshake *h, struct conn *before)
{
    struct conn *newcomer = h->conn;
    struct err err = { 0 };

    metrics_count(&before->router->metrics, METRIC_SESSIONS_CLONED);
    log_event(LOG_WARN, "clone", "id=%s address=%s other_address=%s", before->id, before->address,
              newcomer->address);
    tell(before, newcomer);
    err_set(&err, ERR_CLONE, "the key of %s is in use by another process, connected from %s",
            before->id, before->address);
    conn_abort(newcomer, &err);
}

void clone_answered(struct conn *before, uint64_t nonce)
{
    struct handshake *h;

    LIST_EACH(h, &before->doubters, of_asked) {
        if (h->nonce == nonce) {
            refuse(h, before);
            return;
        }
    }
}

void clone_is_gone(struct conn *before)
{
    struct deadlines *deadlines = &before->router->deadlines;
    struct handshake *h;

    LIST_EACH(h, &before->doubters, of_asked) {
        list_remove(&h->of_asked);
        deadline_set(deadlines, &h->answer, before->router->now.mono);
    }
}

void clone_forget(struct handshake *h)
{
    list_remove(&h->of_asked);
    deadline_clear(&h->conn->router->deadlines, &h->answer);
}
