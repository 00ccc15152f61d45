/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the signer that nobody waits for: they are answered in their order, and ended by signer_look(). */
#include "den/signer_in.h"

#include "base/clock.h"

void signer_land(struct signer *s, enum flights how)
{
    struct flight *flight;
    bool is_there;

    LIST_EACH(flight, &s->flights, node) {
        if (flight->is_answered)
            continue;
        if (!s->road.receive(s->road.user, how == FLIGHTS_WAIT, &flight->answer, &is_there,
                             &flight->err) &&
            flight->err.code == ERR_NONE)
            err_set(&flight->err, ERR_INTERNAL, "the signer gave no answer");
        if (!is_there)
            return;
        if (flight->err.code == ERR_NONE)
            s->heard_at = clock_mono_ms();
        flight->is_answered = true;
        s->n_answered++;
    }
}

static void end(struct signer *s, struct flight *flight)
{
    struct vault_in in = { .rest = buf_view(&flight->answer) };

    list_remove(&flight->node);
    s->n_flights--;
    s->n_answered--;
    if (!flight->is_forgotten && flight->err.code == ERR_NONE &&
        vault_take_outcome(&in, &flight->err))
        flight->landed(flight, &in, NULL);
    else if (!flight->is_forgotten)
        flight->landed(flight, NULL, &flight->err);
    buf_free(&flight->answer);
    flight->free(flight);
}

void signer_end_last(struct signer *s)
{
    struct flight *flight = LIST_ITEM(s->flights.prev, struct flight, node);

    signer_land(s, FLIGHTS_WAIT);
    end(s, flight);
}

bool signer_look(struct signer *s)
{
    bool is_any;

    signer_land(s, FLIGHTS_LOOK);
    is_any = s->n_answered != 0;
    while (s->n_answered)
        end(s, LIST_ITEM(s->flights.next, struct flight, node));
    return is_any;
}

void signer_wait(struct signer *s)
{
    signer_land(s, FLIGHTS_WAIT);
    signer_look(s);
}

size_t signer_n_waiting(const struct signer *s)
{
    return s->n_flights;
}

bool signer_has_answer(const struct signer *s)
{
    return s->n_answered != 0 || !list_is_empty(&s->kept);
}

/* Their answers come all the same. */
void signer_forget(struct signer *s)
{
    struct flight *flight;

    LIST_EACH(flight, &s->flights, node)
        flight->is_forgotten = true;
}

void signer_take_off(struct signer *s, const struct buf *request, struct flight *flight)
{
    bool is_sent;

    signer_greet_soon(s); /* before it is one of those that wait */
    is_sent = s->road.send(s->road.user, buf_view(request), &flight->err);
    list_append(&s->flights, &flight->node);
    s->n_flights++;
    if (is_sent)
        return;
    flight->is_answered = true;
    s->n_answered++;
}
