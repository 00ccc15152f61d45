/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the signer answers, found out without waiting for it. */
#include "den/signer_in.h"

#include "base/clock.h"
#include "base/log.h"

enum { /* ms */
       A_MOMENT = 50,
       SILENT_FOR = 1000,
};

/* ---- who it is ------------------------------------------------------------------------------------------- */

struct greeting {
    struct flight flight;
    struct signer *signer;
};

/* One that says that it is no signer of ours is not asked again until it is another one: each question shows it. */
static void on_hello(struct flight *flight, struct vault_in *in, const struct err *why)
{
    struct signer *s = CONTAINER(flight, struct greeting, flight)->signer;
    struct err err = why ? *why : (struct err){ 0 };

    if ((in && signer_take_hello(s, in, &err)) || err.code == ERR_BUSY)
        return;
    s->generation = signer_generation(s);
    if (!in)
        signer_is_strange(&err);
    log_event(LOG_ERROR, "signer.unusable", "code=%s cause=%s remedy=%s", err_code_name(err.code),
              log_quote_text(err.text), log_quote_text(err_remedy(&err)));
}

static void greeting_free(struct flight *flight)
{
    struct greeting *g = CONTAINER(flight, struct greeting, flight);

    g->signer->greeted = 0;
    free(g);
}

void signer_greet_soon(struct signer *s)
{
    uint64_t is = signer_generation(s);
    struct greeting *g;
    _buf_ request = { 0 };

    if (is == s->generation || is == s->greeted)
        return;
    s->greeted = is;
    g = mem_new(struct greeting);
    g->flight.landed = on_hello;
    g->flight.free = greeting_free;
    g->signer = s;
    signer_write_hello(&request);
    signer_take_off(s, &request, &g->flight);
}

/* ---- whether it answers ------------------------------------------------------------------------------------ */

struct trial {
    struct flight flight;
    struct signer *signer;
};

static void on_tried(_unused_ struct flight *flight, _unused_ struct vault_in *in,
                     _unused_ const struct err *why)
{
}

static void trial_free(struct flight *flight)
{
    struct trial *trial = CONTAINER(flight, struct trial, flight);

    trial->signer->is_tried = false;
    free(trial);
}

/* No statement is to be signed: an empty answer. */
static void try_it(struct signer *s)
{
    struct trial *trial = mem_new(struct trial);
    _buf_ request = { 0 };

    s->is_tried = true;
    trial->flight.landed = on_tried;
    trial->flight.free = trial_free;
    trial->signer = s;
    buf_put_u8(&request, VAULT_STATEMENTS);
    buf_put_u16(&request, 0);
    signer_take_off(s, &request, &trial->flight);
}

static bool was_heard(const struct signer *s, uint64_t within)
{
    return s->heard_at && clock_mono_ms() <= s->heard_at + within &&
           signer_generation(s) == s->generation;
}

bool signer_is_here(const struct signer *s)
{
    return !s->road.is_away;
}

bool signer_is_away(const struct signer *s, struct err *ret_why)
{
    return s->road.is_away && s->road.is_away(s->road.user, ret_why);
}

enum signer_mood signer_mood(struct signer *s, struct err *ret_why)
{
    if (signer_is_here(s))
        return SIGNER_ANSWERS;
    if (signer_is_away(s, ret_why))
        return SIGNER_AWAY;
    if (was_heard(s, A_MOMENT) &&
        s->n_heartbeats == 0) /* that one is not to be lost for somebody who cannot wait for it */
        return SIGNER_ANSWERS;
    if (!s->is_tried)
        try_it(s);
    return SIGNER_ASKED;
}

void signer_watch(struct signer *s)
{
    struct err unused;

    if (s->road.is_away && !signer_is_away(s, &unused) && !s->is_tried && !was_heard(s, SILENT_FOR))
        try_it(s);
}
