/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/path_inside.h"
#include "base/key.h"

#include <assert.h>

enum {
    ASK = 1,
    ANSWER = 2,
    MAX_MISSED = 2,      /* questions without an answer, of one that is believed to live */
    MIN_ANSWERS = 3,     /* of one that was dead, in a row */
    MAX_ANSWERS = 48,    /* the same, of one that came and went */
    QUICK_QUESTIONS = 40 /* to a dead one, before they get rare */
};
static const uint64_t most_silence = 3000 * MS;
static const uint64_t idle_pause = 5000 * MS;   /* between questions: to the one in use, ... */
static const uint64_t spare_pause = 15000 * MS; /* ... to one that stands by, ... */
static const uint64_t dead_pause = 250 * MS, long_pause = 1000 * MS; /* ... and to a dead one */
static const uint64_t switch_pause = 100 * MS;                       /* ten a second */
static const uint64_t stable = 10000 * MS; /* who lives so long is believed again at once */

const char *path_kind_name(enum path_kind kind)
{
    switch (kind) {
    case PATH_DIRECT:
        return "direct";
    case PATH_TURN:
        return "turn";
    case PATH_RELAY:
        return "relay";
    case PATH_KINDS:
        break;
    }
    return "unknown";
}

static uint64_t max_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t path_now(const struct path *path)
{
    return path->events.now ? path->events.now(path->user) : 0;
}

enum path_kind path_kind_of(const struct path_carrier *carrier)
{
    return carrier->ops->kind_of ? carrier->ops->kind_of(carrier) : carrier->ops->kind;
}

struct path *path_new(const struct path_events *events, bool is_caller, void *user)
{
    struct path *path = mem_new(struct path);

    path->events = *events;
    path->is_caller = is_caller;
    path->user = user;
    return path;
}

static void ignore(void *user)
{
    (void)user;
}

static void ignore_packets(void *user, const struct view *packets, size_t n)
{
    (void)user, (void)packets, (void)n;
}

void path_end(struct path *path)
{
    if (!path)
        return;
    path->events.on_packets = ignore_packets;
    path->events.on_usable = path->events.on_changed = path->events.on_lost = ignore;
    path->events.on_switch = NULL;
}

void path_free(struct path *path)
{
    free(path);
}

const struct slot *path_slot_seen(const struct path *path, const struct path_carrier *carrier)
{
    for (size_t i = 0; i < path->n_slots; i++) {
        if (path->slots[i].carrier == carrier)
            return &path->slots[i];
    }
    return NULL;
}

struct slot *path_slot(struct path *path, const struct path_carrier *carrier)
{
    const struct slot *found = path_slot_seen(path, carrier);

    return found ? &path->slots[found - path->slots] : NULL;
}

/* ---- which one ------------------------------------------------------------------------------- */

/* The living before the dead, then the better kind; of one kind the one that came later: it is there to take the other's place. */
static bool is_better(const struct path *path, const struct slot *a, const struct slot *b)
{
    if (a->is_dead != b->is_dead)
        return !a->is_dead;
    if (a->is_dead && (a->carrier == path->current || b->carrier == path->current))
        return a->carrier == path->current; /* all are: no flapping between them */
    if (path_kind_of(a->carrier) != path_kind_of(b->carrier))
        return path_kind_of(a->carrier) < path_kind_of(b->carrier);
    return a->age > b->age;
}

static struct path_carrier *best(const struct path *path)
{
    const struct slot *found = NULL;

    for (size_t i = 0; i < path->n_slots; i++) {
        if (!found || is_better(path, &path->slots[i], found))
            found = &path->slots[i];
    }
    return found ? found->carrier : NULL;
}

static bool has_switch_to_tell(const struct path *path)
{
    return path->must_tell && path->is_linked && path->current && path->events.on_switch;
}

static void tell_switch(struct path *path)
{
    uint64_t now = path_now(path);

    if (!has_switch_to_tell(path) || (path->told_at && now < path->told_at + switch_pause))
        return;
    path->must_tell = false;
    if (path->number && path->agreed == path_kind_of(path->current))
        return; /* it is what both know already */
    path->told_at = now;
    path->number++;
    path->is_ours = true;
    path->agreed = path_kind_of(path->current);
    path->events.on_switch(path->user, path->number, path->agreed);
}

/* How large packets may be there: asked when it is used. What was found another time may have changed. */
static void measure(struct path *path)
{
    struct slot *slot = path_slot(path, path->current);

    if (!slot || !path->is_linked || !path_has_mtu(slot))
        return;
    if (slot->mtu.phase == PLPMTU_IDLE)
        plpmtu_start(&slot->mtu, path_now(path));
    else
        plpmtu_doubt(&slot->mtu, path_now(path));
}

/* The only place that changes the current carrier, and tells. */
static void use(struct path *path, struct path_carrier *carrier)
{
    struct path_carrier *before = path->current;

    path->current = carrier;
    if (carrier == before)
        return;
    if (carrier)
        path->waiting_since = path_now(path);
    if (!carrier)
        path->events.on_lost(path->user);
    else if (before)
        path->events.on_changed(path->user);
    else
        path->events.on_usable(path->user);
    if (carrier && !before && path->was_lost)
        path->events.on_changed(path->user);
    path->was_lost |= !carrier;
    measure(path);
}

static void choose(struct path *path)
{
    struct path_carrier *before = path->current;

    use(path, best(path));
    if (path->current && path->current != before) {
        path->must_tell = true;
        tell_switch(path);
    }
}

void path_set_linked(struct path *path)
{
    path->is_linked = true;
    /* the relay is where both began: that needs no word, and must not overrule who has better */
    path->must_tell =
        path->current != NULL && path->number == 0 && path_kind_of(path->current) != PATH_RELAY;
    measure(path);
    tell_switch(path);
}

/* ---- life and death -------------------------------------------------------------------------- */

static uint64_t patience(const struct path *path)
{
    uint64_t late = path->pressure.late_ns;

    return late < PATH_SILENCE ? PATH_SILENCE : late > most_silence ? most_silence : late;
}

/* What answers, and carries nothing of QUIC's size. */
static bool is_narrow(const struct slot *slot)
{
    bool answers = slot->is_dead ? slot->n_answers > 0 : slot->last_in > slot->mtu.failed_at;

    return slot->mtu.has_failed && answers;
}

static uint64_t pause_of(const struct path *path, const struct slot *slot)
{
    if (slot->is_dead)
        return slot->n_missed < QUICK_QUESTIONS && !is_narrow(slot) ? dead_pause : long_pause;
    return slot->carrier == path->current ? idle_pause : spare_pause;
}

/* Whoever comes and goes has to answer more often each time. */
static unsigned wanted_after(const struct slot *slot, uint64_t now)
{
    bool is_stable = now - slot->alive_since >= stable || slot->n_wanted == 0;
    unsigned n = is_stable ? MIN_ANSWERS : slot->n_wanted * 2;

    return n < MAX_ANSWERS ? n : MAX_ANSWERS;
}

static void set_dead(struct path *path, struct slot *slot)
{
    uint64_t now = path_now(path);

    if (slot->is_dead)
        return;
    slot->is_dead = true;
    slot->dead_since = now;
    slot->n_answers = 0;
    slot->n_missed = 0;
    slot->asked_at = 0;
    slot->ask_at = now;
    plpmtu_reset(&slot->mtu);
    slot->n_wanted = wanted_after(slot, now);
    choose(path);
}

static void set_alive(struct path *path, struct slot *slot)
{
    const struct path_carrier *carrier = slot->carrier;
    bool carries = carrier == path->current;

    slot->is_dead = slot->is_new = false;
    slot->n_missed = 0;
    slot->alive_since = path_now(path);
    choose(path);
    if (carries && carrier == path->current)
        path->events.on_usable(path->user);
}

static bool all_are_dead(const struct path *path)
{
    for (size_t i = 0; i < path->n_slots; i++) {
        if (!path->slots[i].is_dead)
            return false;
    }
    return true;
}

static void send_sign(struct slot *slot, const uint8_t sign[PATH_SIGN])
{
    const struct view packet = VIEW(sign, PATH_SIGN);

    slot->carrier->ops->send(slot->carrier, &packet, 1);
}

static void ask(struct path *path, struct slot *slot)
{
    uint64_t now = path_now(path);

    slot->question[0] = ASK;
    random_bytes(slot->question + 1, PATH_SIGN - 1);
    slot->asked_at = now ? now : 1;
    slot->last_ask = now;
    slot->ask_at = now + pause_of(path, slot);
    send_sign(slot, slot->question);
}

/* One that is dead is alive again when it has answered often enough, and carries what QUIC sends; or it is all there is. */
static void look_for_life(struct path *path, struct slot *slot)
{
    bool has_shown =
        slot->n_answers >= slot->n_wanted && (!path_has_mtu(slot) || slot->mtu.is_proven);

    has_shown = has_shown && !(path->is_narrow_there && path_kind_of(slot->carrier) == PATH_DIRECT);
    if (slot->is_dead && (has_shown || all_are_dead(path)))
        set_alive(path, slot);
}

void path_set_narrow_there(struct path *path, bool is_narrow)
{
    path->is_narrow_there = is_narrow;
}

static void on_answer(struct path *path, struct slot *slot, const uint8_t *sign)
{
    uint64_t now = path_now(path);

    if (slot->asked_at && memcmp(sign + 1, slot->question + 1, PATH_SIGN - 1) == 0) {
        slot->asked_at = 0;
        slot->n_missed = 0;
        slot->n_answers++;
        if (slot->is_dead && path_has_mtu(slot) && slot->mtu.phase == PLPMTU_IDLE)
            plpmtu_start(&slot->mtu, now);
    } else if (!plpmtu_answered(&slot->mtu, now, sign + 1)) {
        return;
    }
    look_for_life(path, slot);
}

static bool is_sign(struct view packet)
{
    if (packet.len == PATH_SIGN)
        return packet.data[0] == ASK || packet.data[0] == ANSWER;
    return packet.len >= PLPMTU_BASE && packet.data[0] == PLPMTU_QUESTION;
}

/* A question or an answer; false: it is the link's. */
static bool take_sign(struct path *path, struct slot *slot, struct view packet)
{
    uint8_t answer[PATH_SIGN];

    if (!is_sign(packet))
        return false;
    if (packet.data[0] == ANSWER) {
        on_answer(path, slot, packet.data);
        return true;
    }
    memcpy(answer, packet.data, PATH_SIGN);
    answer[0] = ANSWER;
    send_sign(slot, answer);
    return true;
}

/* Its last question was not answered in time. */
static void miss(struct path *path, struct slot *slot)
{
    slot->asked_at = 0;
    slot->n_missed++;
    slot->n_answers = 0;
    if (slot->is_dead) {
        plpmtu_reset(&slot->mtu);
        return;
    }
    if (slot->n_missed >= MAX_MISSED && path->n_slots > 1)
        set_dead(path, slot);
    else
        slot->ask_at = path_now(path);
}

/* Another one carries what this one does not. */
static void leave_narrow(struct path *path, struct slot *slot)
{
    if (slot && !slot->is_dead && slot->mtu.has_failed && path_has_other(path, slot->carrier))
        set_dead(path, slot);
}

/* ---- carriers -------------------------------------------------------------------------------- */

void path_carrier_up(struct path *path, struct path_carrier *carrier)
{
    uint64_t now = path_now(path);
    bool is_relay = path_kind_of(carrier) == PATH_RELAY;
    bool is_new = path_has_carrier(path, path_kind_of(carrier)) ||
                  (path->is_linked && !is_relay && path_has_other(path, carrier));

    if (path_slot(path, carrier)) { /* its kind may be another one now */
        choose(path);
        return;
    }
    assert(path->n_slots < PATH_CARRIERS);
    /* One that is to take a living one's place: when the other end has it too, and it carries what is to go there; answers
     * show both. */
    path->slots[path->n_slots] = (struct slot){
        .carrier = carrier,
        .last_in = now,
        .alive_since = now,
        .dead_since = now,
        .is_dead = is_new,
        .is_new = is_new,
        .n_wanted = is_new,
        .ask_at = now,
        .age = ++path->n_came,
    };
    plpmtu_init(&path->slots[path->n_slots].mtu);
    if (is_new && !is_relay)
        plpmtu_start(&path->slots[path->n_slots].mtu, now);
    path->n_slots++;
    choose(path);
    leave_narrow(path, path_slot(path, path->current));
}

void path_carrier_down(struct path *path, struct path_carrier *carrier)
{
    struct slot *slot = path_slot(path, carrier);

    if (!slot)
        return;
    *slot = path->slots[--path->n_slots];
    choose(path);
}

void path_carrier_writable(struct path *path, struct path_carrier *carrier)
{
    if (carrier == path->current)
        path->events.on_usable(path->user);
}

/* The other end does not get what we say over ours, or does not know yet: what it waits for goes both
 * ways, until a SWITCH says more. */
static void note_other_way(struct path *path, struct slot *slot, uint64_t now)
{
    const struct slot *current = path_slot(path, path->current);

    if (slot->is_dead && all_are_dead(path))
        set_alive(path, slot);
    if (slot->carrier == path->current || !current)
        return;
    if (now - current->last_in >= PATH_SILENCE / 2)
        path->twice_until = now + 2 * patience(path);
}

/* A packet on any carrier of the path is taken; which one carries ours does not follow it. */
void path_carrier_received(struct path *path, struct path_carrier *carrier,
                           const struct view *packets, size_t n)
{
    struct slot *slot = path_slot(path, carrier);
    uint64_t now = path_now(path);
    size_t from = 0;

    if (!slot)
        return;
    slot->last_in = now;
    if (!slot->is_dead)
        slot->n_missed = 0;
    for (size_t i = 0; i < n; i++) {
        if (!take_sign(path, slot, packets[i]))
            continue;
        if (i > from)
            path->events.on_packets(path->user, packets + from, i - from);
        from = i + 1;
        slot = path_slot(path, carrier);
        if (!slot) /* its owner had enough */
            return;
    }
    if (from == n)
        return;
    note_other_way(path, slot, now);
    path->events.on_packets(path->user, packets + from, n - from);
}

/* What was found stays: the next carrier of that kind goes the same way, as long as none shows otherwise. */
static void note_narrow(struct path *path)
{
    for (size_t i = 0; i < path->n_slots; i++) {
        const struct slot *slot = &path->slots[i];
        bool *is = &path->is_narrow[path_kind_of(slot->carrier)];
        *is = (*is || is_narrow(slot)) && !slot->mtu.is_proven;
    }
}

bool path_is_narrow(const struct path *path, enum path_kind kind)
{
    return path->is_narrow[kind];
}

bool path_is_alive(const struct path *path, const struct path_carrier *carrier)
{
    const struct slot *slot = path_slot_seen(path, carrier);

    return slot && !slot->is_dead;
}

bool path_has_other(const struct path *path, const struct path_carrier *carrier)
{
    for (size_t i = 0; i < path->n_slots; i++) {
        if (path->slots[i].carrier != carrier && !path->slots[i].is_dead)
            return true;
    }
    return false;
}

uint64_t path_dead_for(const struct path *path, enum path_kind kind)
{
    uint64_t now = path_now(path), least = 0;

    for (size_t i = 0; i < path->n_slots; i++) {
        const struct slot *slot = &path->slots[i];
        uint64_t dead_for = now - slot->dead_since;
        if (path_kind_of(slot->carrier) != kind)
            continue;
        if (!slot->is_dead)
            return 0;
        if (least == 0 || dead_for < least)
            least = dead_for;
    }
    return least;
}

uint64_t path_silent_for(const struct path *path)
{
    uint64_t now = path_now(path), since = path->waiting_since;

    if (!path->pressure.is_waiting)
        return 0;
    for (size_t i = 0; i < path->n_slots; i++)
        since = max_of(since, path->slots[i].last_in);
    return now - since;
}

bool path_has_carrier(const struct path *path, enum path_kind kind)
{
    for (size_t i = 0; i < path->n_slots; i++) {
        if (path_kind_of(path->slots[i].carrier) == kind && !path->slots[i].is_dead)
            return true;
    }
    return false;
}

/* ---- for the link ---------------------------------------------------------------------------- */

bool path_is_usable(const struct path *path)
{
    return path->current != NULL;
}

/* Too many at once are no agreement: the newest that is taken decides, and time passes. */
static bool may_hear(struct path *path)
{
    uint64_t now = path_now(path);

    if (now - path->heard_since >= 1000 * MS) {
        path->heard_since = now;
        path->n_heard = 0;
    }
    return ++path->n_heard <= 10;
}

/* The newest of that kind. */
static struct slot *newest(struct path *path, enum path_kind kind)
{
    struct slot *found = NULL;

    for (size_t i = 0; i < path->n_slots; i++) {
        struct slot *slot = &path->slots[i];
        if (path_kind_of(slot->carrier) == kind && (!found || slot->age > found->age))
            found = slot;
    }
    return found;
}

/* The other end sends over that kind: it lives. If one of them lives already, it is that one. */
static struct path_carrier *revive(struct path *path, enum path_kind kind)
{
    struct slot *slot;

    for (size_t i = 0; i < path->n_slots; i++) {
        slot = &path->slots[i];
        if (path_kind_of(slot->carrier) == kind && !slot->is_dead) {
            slot->n_missed = 0;
            return slot->carrier;
        }
    }
    slot = newest(path, kind);
    if (!slot)
        return NULL;
    slot->is_dead = slot->is_new = false;
    slot->n_missed = 0;
    slot->alive_since = path_now(path);
    return slot->carrier;
}

/* The better ones do not work for the other end: they have to show first that they do. */
static void follow(struct path *path, enum path_kind kind)
{
    struct path_carrier *found = revive(path, kind);
    uint64_t now = path_now(path);

    for (size_t i = 0; i < path->n_slots; i++) {
        struct slot *slot = &path->slots[i];
        if (path_kind_of(slot->carrier) >= kind || slot->is_dead)
            continue;
        slot->is_dead = true;
        slot->dead_since = now;
        slot->n_answers = slot->n_missed = 0;
        slot->n_wanted = wanted_after(slot, now);
        slot->asked_at = 0;
        slot->ask_at = now + dead_pause;
        plpmtu_reset(&slot->mtu);
    }
    if (found)
        use(path, found);
}

void path_switched(struct path *path, uint64_t number, enum path_kind kind)
{
    bool is_newer =
        number > path->number || (number == path->number && path->is_ours && !path->is_caller);

    if (!may_hear(path) || !is_newer || number > path->number + 1000000)
        return;
    path->number = number;
    path->is_ours = false;
    path->agreed = kind;
    path->must_tell = false;
    path->twice_until = 0;
    follow(path, kind);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* When the current carrier has been silent for too long, though something was sent. */
static uint64_t silent_at(const struct path *path)
{
    const struct slot *slot = path->current ? path_slot_seen(path, path->current) : NULL;

    if (!slot || slot->is_dead || path->n_slots < 2 || !path->pressure.is_waiting)
        return UINT64_MAX;
    return max_of(path->waiting_since, slot->last_in) + patience(path);
}

/* One that is alone is not asked: the link's own keep-alive does that. */
static uint64_t slot_deadline(const struct path *path, const struct slot *slot)
{
    uint64_t idle_at = max_of(slot->last_in, slot->last_ask) + pause_of(path, slot);

    if (path->n_slots < 2 || !path->is_linked)
        return UINT64_MAX;
    if (slot->asked_at)
        return slot->asked_at + (slot->is_dead ? pause_of(path, slot) : patience(path));
    return slot->is_dead || slot->n_missed ? slot->ask_at : idle_at;
}

/* Of the one in use, and of those that show what they carry. */
static uint64_t mtu_deadline(const struct path *path, const struct slot *slot)
{
    bool is_asked = slot->carrier == path->current || slot->is_dead;

    return path->is_linked && is_asked && path_has_mtu(slot) ? plpmtu_deadline(&slot->mtu)
                                                             : UINT64_MAX;
}

uint64_t path_deadline(const struct path *path)
{
    uint64_t at = silent_at(path);

    for (size_t i = 0; i < path->n_slots; i++) {
        uint64_t slot_at = slot_deadline(path, &path->slots[i]),
                 mtu_at = mtu_deadline(path, &path->slots[i]);
        at = slot_at < at ? slot_at : at;
        at = mtu_at < at ? mtu_at : at;
    }
    if (has_switch_to_tell(path) && path->told_at + switch_pause < at)
        at = path->told_at + switch_pause;
    return at;
}

static void look_at(struct path *path, struct slot *slot, uint64_t now)
{
    if (slot_deadline(path, slot) > now)
        return;
    if (slot->asked_at && slot->last_in > slot->asked_at && !slot->is_dead)
        slot->asked_at = 0; /* whatever came is an answer */
    else if (slot->asked_at)
        miss(path, slot);
    if (slot_deadline(path, slot) <= now && !slot->asked_at)
        ask(path, slot);
}

static void look_at_mtu(struct path *path, struct slot *slot, uint64_t now)
{
    struct path_carrier *carrier = slot->carrier;
    size_t sizes[PLPMTU_RUNGS], n = 0;
    uint8_t bytes[PLPMTU_MAX];

    if (mtu_deadline(path, slot) <= now)
        n = plpmtu_tick(&slot->mtu, now, patience(path), sizes);
    for (size_t i = 0; i < n && slot; i++) {
        const struct view packet = VIEW(bytes, sizes[i]);

        plpmtu_question(&slot->mtu, sizes[i], bytes);
        carrier->ops->send(carrier, &packet, 1);
        slot = path_slot(path, carrier);
    }
    leave_narrow(path, slot);
}

void path_tick(struct path *path)
{
    uint64_t now = path_now(path);

    if (silent_at(path) <= now)
        set_dead(path, path_slot(path, path->current));
    for (size_t i = 0; i < path->n_slots; i++)
        look_at(path, &path->slots[i], now);
    for (size_t i = 0; i < path->n_slots; i++)
        look_at_mtu(path, &path->slots[i], now);
    note_narrow(path);
    tell_switch(path);
}
