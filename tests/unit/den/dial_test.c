/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/den/scene.h"

/* ---- dials that are not what they should be ------------------------------------------------ */

static uint8_t wrong[HASH_SIZE] = { 1 };

static void other_stamp(struct dial *d, const struct scene *s)
{
    d->stamp = s->carol->id;
}
static void unknown_stamp(struct dial *d, const struct scene *s)
{
    (void)s;
    d->stamp = "999997";
}
static void other_signer(struct dial *d, const struct scene *s)
{
    d->key = s->carol->key;
}
static void other_pk(struct dial *d, const struct scene *s)
{
    d->d.a_pk = key_public_view(s->carol->key);
}
static void other_network(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.netid = VIEW_ARR(wrong);
}
static void old_beacon(struct dial *d, const struct scene *s)
{
    (void)s;
    d->beacon[0] ^= 1;
}
static void other_ice(struct dial *d, const struct scene *s)
{
    (void)s;
    d->ice.data[0] ^= 1;
}
static void other_spki(struct dial *d, const struct scene *s)
{
    d->d.a_spki = VIEW_ARR(s->carol->spki);
}
static void unknown_spki(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.a_spki = VIEW_ARR(wrong);
}
static void no_caps(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.caps.n = 0;
}
static void bad_cap(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.caps.item[0] = VIEW_LIT("-chat");
}
static void to_self(struct dial *d, const struct scene *s)
{
    d->d.b_id = view_text(s->alice->id);
}

TEST(a_dial_is_checked_before_anybody_hears_of_it)
{
    SCENE(s);
    static const struct {
        void (*spoil)(struct dial *d, const struct scene *s);
        enum err_code code;
        const char *why; /* its start */
    } cases[] = {
        { other_stamp, ERR_NOT_AUTHORIZED, "dial: of another ID than the caller's" },
        { unknown_stamp, ERR_NOT_AUTHORIZED, "dial: the caller has no ID in this network" },
        { other_signer, ERR_BAD_SIGNATURE, "dial: " },
        { other_pk, ERR_BAD_STATEMENT,
          "dial: for another network, or by another key than it names" },
        { other_network, ERR_BAD_STATEMENT,
          "dial: for another network, or by another key than it names" },
        { old_beacon, ERR_STALE, "dial: the beacon is not one of the last two" },
        { other_ice, ERR_BAD_STATEMENT, "dial: ICE description: not the one that was signed" },
        { other_spki, ERR_WRONG_KEY, "dial: its TLS key is not one that was certified for" },
        { unknown_spki, ERR_WRONG_KEY, "dial: its TLS key is not one that was certified for" },
        { no_caps, ERR_INVALID_ARGUMENT, "dial: capabilities: ask for 1 to 16" },
        { bad_cap, ERR_INVALID_ARGUMENT,
          "dial: capabilities: number 1 is not a capability's name" },
        { to_self, ERR_INVALID_ARGUMENT, "dial: this is your own ID" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        size_t n_calls = s.w->n_calls;
        cases[i].spoil(&dial, &s);
        uint64_t inv = scene_dial(s.w, &dial);
        if (!scene_check_refused_why(s.w, inv, cases[i].code, cases[i].why))
            continue;
        CHECK_U64(s.w->n_calls, n_calls);
    }
}

TEST(no_byte_of_a_dial_can_be_changed)
{
    SCENE(s);
    struct err err;

    s.w->config.rates[RATE_REQUEST].burst = 0;
    CHECK_OK(world_restart(s.w, &err), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_DIAL, &dial.d, dial.key, &bytes, sig);
    for (size_t i = 0; i < bytes.len; i++) {
        struct buf args = { 0 };
        bytes.data[i] ^= 0x20;
        rpc_put_array(&args, 4);
        rpc_put_bin(&args, buf_view(&bytes));
        rpc_put_bin(&args, VIEW_ARR(sig));
        rpc_put_bin(&args, buf_view(&dial.ice));
        rpc_put_nil(&args);
        uint64_t inv = world_handle(s.w, "den.session.open", "peer", s.alice->id, &args);
        bytes.data[i] ^= 0x20;
        if (!CHECK(world_answer(s.w, inv) && world_answer(s.w, inv)->what == WORLD_REFUSED))
            return;
    }
}

TEST(a_dial_is_good_once_and_for_two_beacons)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct err err;

    CHECK(scene_ring(s.w, &dial, s.bob, &inv) != NULL);
    scene_check_refused(s.w, scene_dial(s.w, &dial), ERR_REPLAYED,
                        "dial: it was used before under this beacon");
    DIAL(denied, s.w, s.alice, s.carol->id);
    scene_dial(s.w, &denied);
    scene_say_online(s.w, true);
    scene_check_refused(s.w, scene_dial(s.w, &denied), ERR_REPLAYED,
                        "dial: it was used before under this beacon");
    DIAL(early, s.w, s.alice, s.bob->id);
    world_pass(s.w, 60 * SECOND_MS);
    scene_check_refused(s.w, scene_dial(s.w, &early), ERR_STALE,
                        "dial: the beacon is not one of the last two");
    /* The number of a session is used up for ever, whatever beacon comes with it. */
    memcpy(dial.beacon, world_beacon(s.w).data, sizeof(dial.beacon));
    scene_check_refused(s.w, scene_dial(s.w, &dial), ERR_REPLAYED,
                        "dial: its session number was used before");
    DIAL(late, s.w, s.alice, s.bob->id);
    CHECK_OK(world_restart(s.w, &err), err);
    late.d.netid = rpc_trust_netid(s.w->trust);
    scene_check_refused(s.w, scene_dial(s.w, &late), ERR_STALE,
                        "dial: the beacon is not one of the last two");
}

TEST(an_expired_certificate_does_not_dial)
{
    SCENE(s);

    world_pass(s.w, DAY_MS);
    DIAL(dial, s.w, s.alice, s.bob->id);
    scene_check_refused(s.w, scene_dial(s.w, &dial), ERR_EXPIRED,
                        "dial: the certificate of its TLS key is out of time: get a new one");
}

TEST(one_caller_has_so_many_dials_at_once)
{
    SCENE(s);

    for (size_t i = 0; i < 8; i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        CHECK(!world_answer(s.w, scene_dial(s.w, &dial)));
    }
    DIAL(dial, s.w, s.alice, s.bob->id);
    scene_check_refused(s.w, scene_dial(s.w, &dial), ERR_LIMIT,
                        "dial: too many dials at once: wait for the others");
    DIAL(other, s.w, s.bob, s.alice->id);
    CHECK(!world_answer(s.w, scene_dial(s.w, &other)));
}
