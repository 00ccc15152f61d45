/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/plpmtu.h"
#include "base/key.h"

enum {
    MAX_TRIES = 3, /* RFC 8899, 5.1.2: MAX_PROBES */
    LARGE = 1000,  /* of packets where the base is all there is */
};
#define MS ((uint64_t)1000000)
static const uint64_t confirm_after = 2000 * MS;
static const uint64_t raise_after = 600000 * MS; /* RFC 8899, 5.1.1: PMTU_RAISE_TIMER */
static const uint64_t error_pause = 5000 * MS, most_error_pause = 300000 * MS;

/* What is found on the way: PPPoE; IPsec and others; WireGuard over IPv4, IPv6; tunnels in tunnels; IPv6's least, less the
 * headers of IPv4 and of IPv6. */
static const size_t rungs[PLPMTU_RUNGS] = { PLPMTU_MAX, 1444, 1412, 1392,       1372,
                                            1332,       1252, 1232, PLPMTU_BASE };

void plpmtu_init(struct plpmtu *p)
{
    *p = (struct plpmtu){
        .size = PLPMTU_BASE,
        .at = UINT64_MAX,
        .raise_at = UINT64_MAX,
        .error_pause = error_pause,
    };
}

void plpmtu_reset(struct plpmtu *p)
{
    if (p->phase != PLPMTU_ERROR)
        plpmtu_init(p);
}

static void enter(struct plpmtu *p, enum plpmtu_phase phase, uint64_t at)
{
    p->phase = phase;
    p->at = at;
    p->is_open = false;
    p->n_tries = 0;
    if (phase == PLPMTU_SEARCH || phase == PLPMTU_CONFIRM)
        random_bytes(p->nonce, sizeof(p->nonce));
}

void plpmtu_start(struct plpmtu *p, uint64_t now)
{
    enter(p, PLPMTU_SEARCH, now);
}

static void complete(struct plpmtu *p, uint64_t now)
{
    p->error_pause = error_pause;
    if (p->phase == PLPMTU_SEARCH)
        p->raise_at = p->size < PLPMTU_MAX ? now + raise_after : UINT64_MAX;
    enter(p, PLPMTU_COMPLETE, p->raise_at);
}

static void fail(struct plpmtu *p, uint64_t now)
{
    uint64_t pause = p->error_pause;

    p->is_proven = false;
    p->has_failed = true;
    p->failed_at = now;
    p->error_pause = pause * 2 < most_error_pause ? pause * 2 : most_error_pause;
    enter(p, PLPMTU_ERROR, now + pause);
}

uint64_t plpmtu_deadline(const struct plpmtu *p)
{
    bool may_confirm = p->phase == PLPMTU_COMPLETE && p->confirm_at;

    return may_confirm && p->confirm_at < p->at ? p->confirm_at : p->at;
}

/* The tries of a question are used up. */
static void give_up(struct plpmtu *p, uint64_t now)
{
    if (p->phase == PLPMTU_SEARCH && p->is_proven) {
        complete(p, now);
    } else if (p->phase == PLPMTU_CONFIRM && p->size > PLPMTU_BASE) {
        p->size = PLPMTU_BASE;
        p->is_proven = false;
        plpmtu_start(p, now);
    } else {
        fail(p, now);
    }
}

static bool asks_about(const struct plpmtu *p, size_t size)
{
    if (p->phase == PLPMTU_CONFIRM)
        return size == p->size;
    if (size == PLPMTU_BASE)
        return !p->is_proven;
    return size > p->size && (size == PLPMTU_MAX || p->n_tries > 0);
}

size_t plpmtu_tick(struct plpmtu *p, uint64_t now, uint64_t patience,
                   size_t ret_sizes[PLPMTU_RUNGS])
{
    size_t n = 0;

    if (now < plpmtu_deadline(p))
        return 0;
    if (p->is_open && ++p->n_tries >= MAX_TRIES)
        give_up(p, now);
    else if (p->phase == PLPMTU_COMPLETE && p->confirm_at && p->confirm_at <= now)
        enter(p, PLPMTU_CONFIRM, now);
    else if (p->phase == PLPMTU_COMPLETE || p->phase == PLPMTU_ERROR)
        plpmtu_start(p, now);
    if (p->phase != PLPMTU_SEARCH && p->phase != PLPMTU_CONFIRM)
        return 0;
    for (size_t i = 0; i < PLPMTU_RUNGS; i++) {
        if (asks_about(p, rungs[i]))
            ret_sizes[n++] = rungs[i];
    }
    p->is_open = true;
    p->at = now + patience;
    return n;
}

void plpmtu_question(const struct plpmtu *p, size_t size, uint8_t to[PLPMTU_MAX])
{
    memset(to, 0, size);
    to[0] = PLPMTU_QUESTION;
    memcpy(to + 1, p->nonce, sizeof(p->nonce));
    for (size_t i = 0; i < PLPMTU_RUNGS; i++) {
        if (rungs[i] == size)
            to[PLPMTU_SIGN - 1] = (uint8_t)i;
    }
}

bool plpmtu_answered(struct plpmtu *p, uint64_t now, const uint8_t repeated[PLPMTU_SIGN - 1])
{
    size_t rung = repeated[PLPMTU_SIGN - 2];

    if ((p->phase != PLPMTU_SEARCH && p->phase != PLPMTU_CONFIRM) || rung >= PLPMTU_RUNGS ||
        memcmp(repeated, p->nonce, sizeof(p->nonce)) != 0)
        return false;
    p->is_proven = true;
    p->has_failed = false;
    p->confirm_at = 0;
    if (rungs[rung] > p->size)
        p->size = rungs[rung];
    if (p->phase == PLPMTU_CONFIRM || p->size == PLPMTU_MAX)
        complete(p, now);
    return true;
}

void plpmtu_sent(struct plpmtu *p, uint64_t now, size_t size)
{
    bool is_large = size > PLPMTU_BASE || (p->size == PLPMTU_BASE && size > LARGE);

    if (is_large && p->phase == PLPMTU_COMPLETE && !p->confirm_at)
        p->confirm_at = now + confirm_after;
}

void plpmtu_doubt(struct plpmtu *p, uint64_t now)
{
    if (p->phase == PLPMTU_COMPLETE)
        p->confirm_at = now ? now : 1;
}
