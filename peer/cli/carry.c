/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

bool carry_is_full(const struct carry *carry)
{
    return carry->n_pumps == CARRY_PUMPS;
}

void carry_add(struct carry *carry, struct pump *pump)
{
    carry->pump[carry->n_pumps++] = pump;
}

/* Of a pump that is over the library tells nothing any more. */
static void on_event(struct carry *carry, const struct peer_event *event)
{
    bool is_broken = event->error.name[0] != '\0';

    if (event->type == PEER_EVENT_STREAM_CLOSED && peer_stream_user(event->stream))
        pump_stream_over(peer_stream_user(event->stream), is_broken);
    for (unsigned long i = 0; event->type == PEER_EVENT_LINK_DOWN && i < carry->n_pumps; i++) {
        if (carry->pump[i]->link == event->link)
            pump_stream_over(carry->pump[i], true);
    }
    line_event(&carry->line, event);
    carry->on_event(carry, event);
}

struct wait {
    struct pollfd fds[2 + CARRY_LISTENERS + 2 * CARRY_PUMPS];
    unsigned long n, question, listener, of_pump[CARRY_PUMPS], n_of_pump[CARRY_PUMPS], n_pumps;
};

static void fill(const struct carry *carry, struct wait *w)
{
    int question = line_question(&carry->line);

    w->n = 0;
    w->fds[w->n++] = (struct pollfd){ peer_fd(carry->line.peer), POLLIN, 0 };
    w->question = w->n;
    if (question >= 0)
        w->fds[w->n++] = (struct pollfd){ question, POLLIN, 0 };
    w->listener = w->n;
    for (unsigned long i = 0; carry->listens && !carry_is_full(carry) && i < carry->n_listeners;
         i++)
        w->fds[w->n++] = (struct pollfd){ carry->listener[i], POLLIN, 0 };
    w->n_pumps = carry->n_pumps;
    for (unsigned long i = 0; i < carry->n_pumps; i++) {
        w->of_pump[i] = w->n;
        w->n_of_pump[i] = pump_fds(carry->pump[i], &w->fds[w->n]);
        w->n += w->n_of_pump[i];
    }
}

static void turn_pumps(struct carry *carry, const struct wait *w)
{
    unsigned long n_left = 0;

    for (unsigned long i = 0; i < carry->n_pumps; i++) {
        struct pump *pump = carry->pump[i];
        bool is_new = i >= w->n_pumps;
        if (pump_turn(pump, is_new ? NULL : &w->fds[w->of_pump[i]], is_new ? 0 : w->n_of_pump[i])) {
            carry->pump[n_left++] = pump;
            continue;
        }
        if (carry->on_pump_over)
            carry->on_pump_over(carry, pump);
        pump_free(pump);
    }
    carry->n_pumps = n_left;
}

static void turn(struct carry *carry)
{
    static struct wait w;
    struct peer_event event;
    unsigned long first_pump;

    fill(carry, &w);
    first_pump = w.n_pumps ? w.of_pump[0] : w.n;
    if (cli_poll(w.fds, w.n, line_left(&carry->line)) < 0) {
        for (unsigned long i = 0; i < w.n; i++)
            w.fds[i].revents = 0;
    }
    if (w.question < w.listener && w.fds[w.question].revents)
        line_answer(&carry->line);
    while (!carry->line.is_over && cli_next_event(carry->line.peer, &event))
        on_event(carry, &event);
    turn_pumps(carry, &w);
    for (unsigned long i = w.listener; i < first_pump && !carry_is_full(carry); i++) {
        if (w.fds[i].revents)
            carry->on_listener(carry, i - w.listener);
    }
}

int carry_run(struct carry *carry)
{
    struct line *line = &carry->line;

    while (!line->is_over && !cli_stopped()) {
        turn(carry);
        line_check(line);
    }
    if (!line->is_over)
        line_end(line, 128 + cli_stopped());
    while (carry->n_pumps)
        pump_free(carry->pump[--carry->n_pumps]);
    while (carry->n_listeners)
        close(carry->listener[--carry->n_listeners]);
    peer_free(line->peer);
    return line->status;
}
