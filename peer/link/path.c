/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/path.h"
#include "base/key.h"

#include <assert.h>

enum {
    /* Two direct and two TURN ones while one takes the place of another, the relay, and the calls that a link begins over. */
    MAX_CARRIERS = 6,
    SIGN = 9, /* bytes of a sign of life: QUIC has no packet as short (RFC 9001, 5.4.2) */
    ASK = 1,
    ANSWER = 2,
    MAX_MISSED = 2,      /* questions without an answer, of one that is believed to live */
    MIN_ANSWERS = 3,     /* of one that was dead, in a row */
    MAX_ANSWERS = 48,    /* the same, of one that came and went */
    QUICK_QUESTIONS = 40 /* to a dead one, before they get rare */
};
#define MS ((uint64_t)1000000)
static const uint64_t silence = 250 * MS; /* of a carrier that should answer */
static const uint64_t most_silence = 3000 * MS;
static const uint64_t idle_pause = 5000 * MS;   /* between questions: to the one in use, ... */
static const uint64_t spare_pause = 15000 * MS; /* ... to one that stands by, ... */
static const uint64_t dead_pause = 250 * MS, long_pause = 1000 * MS; /* ... and to a dead one */
static const uint64_t switch_pause = 100 * MS;                       /* ten a second */
static const uint64_t stable = 10000 * MS; /* who lives so long is believed again at once */

struct slot {
    struct path_carrier *carrier;
    bool is_dead;     /* as far as we know */
    uint64_t last_in; /* when something came over it */
    uint64_t ask_at;  /* the next question, to one that is dead or missed one */
    uint64_t last_ask;
    uint64_t asked_at; /* 0: none is open */
    uint8_t question[SIGN];
    unsigned n_missed, n_answers, n_wanted;
    uint64_t alive_since, dead_since;
    uint64_t age; /* of two of one kind the one with the higher number came later */
};

struct path {
    struct path_events events;
    void *user;
    bool is_caller, is_linked, was_lost;
    struct slot slots[MAX_CARRIERS]; /* those that are up */
    size_t n_slots;
    struct path_carrier *current; /* the one that sends; NULL: none */
    uint64_t n_came;              /* carriers, so far */

    uint64_t number; /* of the newest SWITCH */
    bool is_ours;    /* it was our word */
    enum path_kind agreed;
    bool must_tell;
    uint64_t told_at;
    unsigned n_heard; /* SWITCHes in this second */
    uint64_t heard_since;

    struct path_pressure pressure;
    uint64_t waiting_since;
    uint64_t twice_until; /* packets came another way: ours go both, until it is clear */
};

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

static uint64_t now_of(const struct path *path)
{
    return path->events.now ? path->events.now(path->user) : 0;
}

static enum path_kind kind_of(const struct path_carrier *carrier)
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

static const struct slot *see(const struct path *path, const struct path_carrier *carrier)
{
    for (size_t i = 0; i < path->n_slots; i++) {
        if (path->slots[i].carrier == carrier)
            return &path->slots[i];
    }
    return NULL;
}

static struct slot *find(struct path *path, const struct path_carrier *carrier)
{
    const struct slot *found = see(path, carrier);

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
    if (kind_of(a->carrier) != kind_of(b->carrier))
        return kind_of(a->carrier) < kind_of(b->carrier);
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
    uint64_t now = now_of(path);

    if (!has_switch_to_tell(path) || (path->told_at && now < path->told_at + switch_pause))
        return;
    path->must_tell = false;
    if (path->number && path->agreed == kind_of(path->current))
        return; /* it is what both know already */
    path->told_at = now;
    path->number++;
    path->is_ours = true;
    path->agreed = kind_of(path->current);
    path->events.on_switch(path->user, path->number, path->agreed);
}

/* The only place that changes the current carrier, and tells. */
static void use(struct path *path, struct path_carrier *carrier)
{
    struct path_carrier *before = path->current;

    path->current = carrier;
    if (carrier == before)
        return;
    if (carrier)
        path->waiting_since = now_of(path);
    if (!carrier)
        path->events.on_lost(path->user);
    else if (before)
        path->events.on_changed(path->user);
    else
        path->events.on_usable(path->user);
    if (carrier && !before && path->was_lost)
        path->events.on_changed(path->user);
    path->was_lost |= !carrier;
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
        path->current != NULL && path->number == 0 && kind_of(path->current) != PATH_RELAY;
    tell_switch(path);
}

/* ---- life and death -------------------------------------------------------------------------- */

static uint64_t patience(const struct path *path)
{
    uint64_t late = path->pressure.late_ns;

    return late < silence ? silence : late > most_silence ? most_silence : late;
}

static uint64_t pause_of(const struct path *path, const struct slot *slot)
{
    if (slot->is_dead)
        return slot->n_missed < QUICK_QUESTIONS ? dead_pause : long_pause;
    return slot->carrier == path->current ? idle_pause : spare_pause;
}

static void set_dead(struct path *path, struct slot *slot)
{
    uint64_t now = now_of(path);

    if (slot->is_dead)
        return;
    slot->is_dead = true;
    slot->dead_since = now;
    slot->n_answers = 0;
    slot->n_missed = 0;
    slot->asked_at = 0;
    slot->ask_at = now;
    slot->n_wanted =
        now - slot->alive_since >= stable || slot->n_wanted == 0 ? MIN_ANSWERS : slot->n_wanted * 2;
    if (slot->n_wanted > MAX_ANSWERS)
        slot->n_wanted = MAX_ANSWERS;
    choose(path);
}

static void set_alive(struct path *path, struct slot *slot)
{
    const struct path_carrier *carrier = slot->carrier;
    bool carries = carrier == path->current;

    slot->is_dead = false;
    slot->n_missed = 0;
    slot->alive_since = now_of(path);
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

static void send_sign(struct slot *slot, const uint8_t sign[SIGN])
{
    const struct view packet = VIEW(sign, SIGN);

    slot->carrier->ops->send(slot->carrier, &packet, 1);
}

static void ask(struct path *path, struct slot *slot)
{
    uint64_t now = now_of(path);

    slot->question[0] = ASK;
    random_bytes(slot->question + 1, SIGN - 1);
    slot->asked_at = now ? now : 1;
    slot->last_ask = now;
    slot->ask_at = now + pause_of(path, slot);
    send_sign(slot, slot->question);
}

static void on_answer(struct path *path, struct slot *slot, const uint8_t *sign)
{
    if (!slot->asked_at || memcmp(sign + 1, slot->question + 1, SIGN - 1) != 0)
        return;
    slot->asked_at = 0;
    slot->n_missed = 0;
    if (slot->is_dead && (++slot->n_answers >= slot->n_wanted || all_are_dead(path)))
        set_alive(path, slot);
}

/* A question or an answer; false: it is the link's. */
static bool take_sign(struct path *path, struct slot *slot, struct view packet)
{
    uint8_t answer[SIGN];

    if (packet.len != SIGN || (packet.data[0] != ASK && packet.data[0] != ANSWER))
        return false;
    if (packet.data[0] == ANSWER) {
        on_answer(path, slot, packet.data);
        return true;
    }
    memcpy(answer, packet.data, SIGN);
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
    if (slot->is_dead)
        return;
    if (slot->n_missed >= MAX_MISSED && path->n_slots > 1)
        set_dead(path, slot);
    else
        slot->ask_at = now_of(path);
}

/* ---- carriers -------------------------------------------------------------------------------- */

void path_carrier_up(struct path *path, struct path_carrier *carrier)
{
    uint64_t now = now_of(path);
    bool is_second = path_has_carrier(path, kind_of(carrier));

    if (find(path, carrier)) { /* its kind may be another one now */
        choose(path);
        return;
    }
    assert(path->n_slots < MAX_CARRIERS);
    /* One that is to take a living one's place: when the other end has it too, which an answer shows. */
    path->slots[path->n_slots] = (struct slot){
        .carrier = carrier,
        .last_in = now,
        .alive_since = now,
        .dead_since = now,
        .is_dead = is_second,
        .n_wanted = is_second,
        .ask_at = now,
        .age = ++path->n_came,
    };
    path->n_slots++;
    choose(path);
}

void path_carrier_down(struct path *path, struct path_carrier *carrier)
{
    struct slot *slot = find(path, carrier);

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
    const struct slot *current = find(path, path->current);

    if (slot->is_dead && all_are_dead(path))
        set_alive(path, slot);
    if (slot->carrier == path->current || !current)
        return;
    if (now - current->last_in >= silence / 2)
        path->twice_until = now + 2 * patience(path);
}

/* A packet on any carrier of the path is taken; which one carries ours does not follow it. */
void path_carrier_received(struct path *path, struct path_carrier *carrier,
                           const struct view *packets, size_t n)
{
    struct slot *slot = find(path, carrier);
    uint64_t now = now_of(path);
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
        slot = find(path, carrier);
        if (!slot) /* its owner had enough */
            return;
    }
    if (from == n)
        return;
    note_other_way(path, slot, now);
    path->events.on_packets(path->user, packets + from, n - from);
}

bool path_is_alive(const struct path *path, const struct path_carrier *carrier)
{
    const struct slot *slot = see(path, carrier);

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
    uint64_t now = now_of(path), least = 0;

    for (size_t i = 0; i < path->n_slots; i++) {
        const struct slot *slot = &path->slots[i];
        uint64_t dead_for = now - slot->dead_since;
        if (kind_of(slot->carrier) != kind)
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
    uint64_t now = now_of(path), since = path->waiting_since;

    if (!path->pressure.is_waiting)
        return 0;
    for (size_t i = 0; i < path->n_slots; i++)
        since = max_of(since, path->slots[i].last_in);
    return now - since;
}

bool path_has_carrier(const struct path *path, enum path_kind kind)
{
    for (size_t i = 0; i < path->n_slots; i++) {
        if (kind_of(path->slots[i].carrier) == kind && !path->slots[i].is_dead)
            return true;
    }
    return false;
}

/* ---- for the link ---------------------------------------------------------------------------- */

bool path_is_usable(const struct path *path)
{
    return path->current != NULL;
}

/* The second way for what goes twice. */
static struct path_carrier *other(const struct path *path)
{
    const struct slot *found = NULL;

    for (size_t i = 0; i < path->n_slots; i++) {
        const struct slot *slot = &path->slots[i];
        if (slot->carrier != path->current &&
            (!found || (found->is_dead && !slot->is_dead) ||
             (found->is_dead == slot->is_dead && slot->last_in > found->last_in)))
            found = slot;
    }
    return found ? found->carrier : NULL;
}

static bool goes_twice(const struct path *path)
{
    return path->pressure.is_probing || now_of(path) < path->twice_until;
}

bool path_is_straight(const struct path *path)
{
    return path->current && kind_of(path->current) == PATH_DIRECT && !goes_twice(path);
}

size_t path_send(struct path *path, const struct view *packets, size_t n)
{
    struct path_carrier *second = goes_twice(path) ? other(path) : NULL;
    size_t went, went_second;

    if (!path->current)
        return 0;
    went = path->current->ops->send(path->current, packets, n);
    if (!second)
        return went;
    went_second = second->ops->send(second, packets, n);
    return went > went_second ? went : went_second;
}

bool path_facts(const struct path *path, struct path_facts *ret)
{
    if (!path->current || !path->current->ops->facts(path->current, ret))
        return false;
    ret->kind = kind_of(path->current);
    return true;
}

void path_set_pressure(struct path *path, const struct path_pressure *pressure)
{
    if (pressure->is_waiting && !path->pressure.is_waiting)
        path->waiting_since = now_of(path);
    path->pressure = *pressure;
}

/* Too many at once are no agreement: the newest that is taken decides, and time passes. */
static bool may_hear(struct path *path)
{
    uint64_t now = now_of(path);

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
        if (kind_of(slot->carrier) == kind && (!found || slot->age > found->age))
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
        if (kind_of(slot->carrier) == kind && !slot->is_dead) {
            slot->n_missed = 0;
            return slot->carrier;
        }
    }
    slot = newest(path, kind);
    if (!slot)
        return NULL;
    slot->is_dead = false;
    slot->n_missed = 0;
    return slot->carrier;
}

/* The better ones do not work for the other end: they have to show first that they do. */
static void follow(struct path *path, enum path_kind kind)
{
    struct path_carrier *found = revive(path, kind);
    uint64_t now = now_of(path);

    for (size_t i = 0; i < path->n_slots; i++) {
        struct slot *slot = &path->slots[i];
        if (kind_of(slot->carrier) >= kind || slot->is_dead)
            continue;
        slot->is_dead = true;
        slot->dead_since = now;
        slot->n_answers = slot->n_missed = 0;
        slot->n_wanted = MIN_ANSWERS;
        slot->asked_at = 0;
        slot->ask_at = now + dead_pause;
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
    const struct slot *slot = path->current ? see(path, path->current) : NULL;

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

uint64_t path_deadline(const struct path *path)
{
    uint64_t at = silent_at(path);

    for (size_t i = 0; i < path->n_slots; i++) {
        uint64_t slot_at = slot_deadline(path, &path->slots[i]);
        at = slot_at < at ? slot_at : at;
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

void path_tick(struct path *path)
{
    uint64_t now = now_of(path);

    if (silent_at(path) <= now)
        set_dead(path, find(path, path->current));
    for (size_t i = 0; i < path->n_slots; i++)
        look_at(path, &path->slots[i], now);
    tell_switch(path);
}
