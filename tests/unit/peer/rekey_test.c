/* SPDX-License-Identifier: Apache-2.0 */
/* The next identity key: on disk before den hears of it, used when den has taken it, and whoever is interrupted goes on. */
#include "tests/unit/peer/core_world.h"

struct statement { /* as it went to den */
    struct buf bytes, sig, new_sig;
    struct rpc_rekey k;
};

static void statement_deinit(struct statement *k)
{
    buf_free(&k->bytes);
    buf_free(&k->sig);
    buf_free(&k->new_sig);
}
#define _statement_ _cleanup_(statement_deinit) struct statement

static void read_statement(struct statement *k)
{
    struct rpc_fields f;
    struct err err;

    CHECK_STR(caught.procedure, "den.identity.rekey");
    rpc_fields_open(&f, buf_view(&caught.args));
    buf_put(&k->bytes, rpc_fields_bin(&f, "K", RPC_MAX_STATEMENT));
    buf_put(&k->sig, rpc_fields_fixed(&f, "signature", SIG_SIZE));
    buf_put(&k->new_sig, rpc_fields_fixed(&f, "new signature", SIG_SIZE));
    CHECK_OK(rpc_fields_end(&f, &err) &&
                 rpc_statement_read(RPC_W_REKEY, buf_view(&k->bytes), &k->k, &err),
             err);
}

static void answer_number(uint64_t number)
{
    struct buf args = { 0 };

    CHECK_STR(caught.procedure, "den.identity.keys");
    rpc_put_array(&args, 1);
    rpc_put_u64(&args, number);
    core_world_answer(&args);
}

static void begin(struct core_world *s, struct statement *k)
{
    s->core->wants_rekey = true;
    CHECK(rekey_is_needed(s->core));
    rekey_go_on(s->core);
    answer_number(4);
    read_statement(k);
}

static bool has_file(const struct core_world *s, enum state_file file)
{
    return file_exists(state_path(s->core->state, file));
}

/* The key that another process would find. */
static struct key *key_on_disk(const struct core_world *s)
{
    struct key *key = NULL;
    struct err err;

    CHECK(state_identity(s->core->state, false, &key, &err));
    return key;
}

static void admit(const struct core_world *s, struct view pk, const char *id, const struct key *by)
{
    const struct rpc_admission a = {
        .netid = VIEW_ARR(s->w.root.hash),
        .network = VIEW_LIT("corp.example"),
        .id = view_text(id),
        .client_pk = pk,
        .role = VIEW_LIT("peer"),
        .adm_no = 3,
        .issued_at = core_now(s->core),
        .not_after = core_now(s->core) + DAY_MS,
    };
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_ADMISSION, &a, by, &bytes, sig);
    core_world_answer_signed(buf_view(&bytes), sig);
}

TEST(a_new_key_is_signed_by_both_and_on_disk_before_den_hears_of_it)
{
    CORE_WORLD(s, "both");
    _statement_ k = { 0 };
    _cleanup_(key_freep) struct key *before = key_on_disk(&s), *still = NULL;

    begin(&s, &k);
    CHECK_VIEW(k.k.id, VIEW_LIT(WORLD_A));
    CHECK_VIEW(k.k.netid, VIEW_ARR(s.w.root.hash));
    CHECK_VIEW(k.k.old_pk, key_public_view(before));
    CHECK(!view_eq(k.k.new_pk, k.k.old_pk));
    CHECK_U64(k.k.rekey_no, 5);
    CHECK_U64(k.k.by.len, 0);
    CHECK(key_verify(k.k.old_pk, buf_view(&k.bytes), buf_view(&k.sig)));
    CHECK(key_verify(k.k.new_pk, buf_view(&k.bytes), buf_view(&k.new_sig)));
    CHECK(s.core->has_pending_rekey && has_file(&s, STATE_REKEY));
    still = key_on_disk(&s);
    CHECK_VIEW(key_public_view(still), key_public_view(before));
}

TEST(it_is_used_when_den_has_admitted_it)
{
    CORE_WORLD(s, "admitted");
    _cleanup_(key_freep) struct key *now = NULL;
    _statement_ k = { 0 };
    _buf_ kept = { 0 };
    struct rpc_admission a;
    struct view bytes, sig;
    struct err err;

    begin(&s, &k);
    core_world_progress();
    admit(&s, k.k.new_pk, WORLD_A, s.w.den);
    CHECK_STR(core_world_event(&s, PEER_EVENT_REKEYED), "");
    CHECK(!core_world_last()->event.remote_id);
    CHECK(!s.core->has_pending_rekey && !has_file(&s, STATE_REKEY) && !rekey_is_needed(s.core));
    now = key_on_disk(&s);
    CHECK_VIEW(key_public_view(now), k.k.new_pk);
    CHECK_OK(state_read(s.core->state, STATE_ADMISSION, &kept, &err), err);
    CHECK(state_read_signed(buf_view(&kept), &bytes, &sig));
    CHECK_OK(rpc_statement_open(RPC_W_ADMISSION, key_public_view(s.w.den), bytes, sig, &a, &err),
             err);
    CHECK_VIEW(a.client_pk, k.k.new_pk);
}

TEST(an_answer_that_does_not_admit_it_changes_nothing)
{
    CORE_WORLD(s, "not-admitted");
    _cleanup_(key_freep) struct key *before = key_on_disk(&s), *still = NULL;
    _statement_ first = { 0 };
    enum { OLD_KEY, OTHER_ID, STRANGER, NOTHING, REFUSED, N_CASES };

    begin(&s, &first);
    for (int i = 0; i < N_CASES; i++) {
        _statement_ k = { 0 };
        struct buf args = { 0 };
        if (i > 0) { /* the next try: the same statement, as den may have it */
            CHECK(rekey_is_needed(s.core));
            rekey_go_on(s.core);
        }
        read_statement(&k);
        CHECK_VIEW(buf_view(&k.bytes), buf_view(&first.bytes));
        CHECK_VIEW(buf_view(&k.new_sig), buf_view(&first.new_sig));
        if (i == OLD_KEY)
            admit(&s, k.k.old_pk, WORLD_A, s.w.den);
        if (i == OTHER_ID)
            admit(&s, k.k.new_pk, WORLD_B, s.w.den);
        if (i == STRANGER)
            admit(&s, k.k.new_pk, WORLD_A, s.w.stranger);
        if (i == NOTHING) {
            rpc_put_array(&args, 0);
            core_world_answer(&args);
        }
        if (i == REFUSED)
            core_world_refuse(ERR_BUSY);
        const char *told = core_world_event(&s, PEER_EVENT_REKEYED);
        CHECK(told && *told);
        CHECK(s.core->steps[STEP_REKEY].failures == (unsigned)i + 1);
        CHECK(has_file(&s, STATE_REKEY) && !has_file(&s, STATE_ADMISSION));
    }
    still = key_on_disk(&s);
    CHECK_VIEW(key_public_view(still), key_public_view(before));
}

TEST(a_file_of_it_that_is_damaged_is_named_and_not_sent)
{
    CORE_WORLD(s, "damaged");
    _statement_ k = { 0 };
    _buf_ whole = { 0 };
    struct err err;

    begin(&s, &k);
    core_world_refuse(ERR_BUSY);
    core_world_event(&s, PEER_EVENT_REKEYED);
    CHECK_OK(state_read(s.core->state, STATE_REKEY, &whole, &err), err);
    unsigned n = caught.n;
    for (size_t n_less = 0; n_less <= whole.len; n_less += 7) {
        _buf_ cut = { 0 };
        buf_put(&cut, view_sub(buf_view(&whole), 0, whole.len - n_less));
        if (n_less == 0)
            buf_put_u8(&cut, 0); /* one too many */
        CHECK_OK(state_write(s.core->state, STATE_REKEY, buf_view(&cut), &err), err);
        rekey_go_on(s.core);
        const char *told = core_world_event(&s, PEER_EVENT_REKEYED);
        CHECK(told && strstr(told, "rekey: damaged"));
        CHECK(!rekey_take_over(s.core));
    }
    CHECK_U64(caught.n, n);
}

TEST(where_den_has_it_already_it_is_taken_over)
{
    CORE_WORLD(s, "taken-over");
    _cleanup_(key_freep) struct key *now = NULL;
    _statement_ k = { 0 };

    CHECK(!rekey_take_over(s.core));
    begin(&s, &k);
    core_world_refuse(ERR_NETWORK_FAILURE); /* den took it, and its answer was lost */
    core_world_event(&s, PEER_EVENT_REKEYED);
    CHECK(rekey_take_over(s.core));
    CHECK_STR(core_world_event(&s, PEER_EVENT_REKEYED), "");
    now = key_on_disk(&s);
    CHECK_VIEW(key_public_view(now), k.k.new_pk);
    CHECK(!has_file(&s, STATE_REKEY) && !rekey_take_over(s.core));
}

TEST(a_number_that_is_none_begins_nothing)
{
    CORE_WORLD(s, "number");
    struct buf args = { 0 };

    s.core->wants_rekey = true;
    rekey_go_on(s.core);
    rpc_put_array(&args, 1);
    rpc_put_str(&args, "4");
    core_world_answer(&args);
    const char *told = core_world_event(&s, PEER_EVENT_REKEYED);
    CHECK(told && *told);
    CHECK(!has_file(&s, STATE_REKEY) && !s.core->has_pending_rekey && !caught.is_open);
    CHECK(rekey_is_needed(s.core)); /* it is still wanted */
}

/* ---- what an administrator ordered --------------------------------------------------------------------- */

enum bent { GOOD, NETWORK, OTHER_ID, OTHER_KEY, NOBODY, STRANGER, N_BENT };

static void answer_order(const struct core_world *s, enum bent bent)
{
    struct rpc_rekey k = {
        .netid = VIEW_ARR(s->w.root.hash),
        .id = VIEW_LIT(WORLD_A),
        .old_pk = key_public_view(s->w.b),
        .new_pk = key_public_view(s->core->key),
        .rekey_no = 2,
        .at = core_now(s->core),
        .by = VIEW_LIT(WORLD_B),
    };
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    if (bent == NETWORK)
        k.netid = VIEW_ARR(s->w.other);
    if (bent == OTHER_ID)
        k.id = VIEW_LIT(WORLD_B);
    if (bent == OTHER_KEY)
        k.new_pk = key_public_view(s->w.a);
    if (bent == NOBODY)
        k.by = VIEW(NULL, 0);
    CHECK_STR(caught.procedure, "den.identity.unsigned");
    rpc_statement_sign(RPC_W_REKEY, &k, bent == STRANGER ? s->w.stranger : s->w.den, &bytes, sig);
    core_world_answer_signed(buf_view(&bytes), sig);
}

TEST(an_order_about_this_machines_key_alone_is_signed)
{
    CORE_WORLD(s, "order");

    for (enum bent bent = N_BENT; bent-- > GOOD;) {
        struct buf args = { 0 };
        s.core->may_be_unsigned = true;
        rekey_go_on(s.core);
        answer_order(&s, bent);
        CHECK(caught.is_open == (bent == GOOD));
        CHECK(s.core->may_be_unsigned);
        if (bent != GOOD)
            continue;
        _statement_ k = { 0 };
        read_statement(&k);
        CHECK(key_verify(key_public_view(s.w.den), buf_view(&k.bytes), buf_view(&k.sig)));
        CHECK(key_verify(key_public_view(s.core->key), buf_view(&k.bytes), buf_view(&k.new_sig)));
        rpc_put_array(&args, 0);
        core_world_answer(&args);
        CHECK(!s.core->may_be_unsigned && !rekey_is_needed(s.core));
    }
}

TEST(without_an_order_nothing_is_signed)
{
    CORE_WORLD(s, "no-order");
    struct buf args = { 0 };

    s.core->may_be_unsigned = true;
    rekey_go_on(s.core);
    rpc_put_array(&args, 0);
    core_world_answer(&args);
    CHECK(!caught.is_open && !s.core->may_be_unsigned);
    s.core->may_be_unsigned = true;
    rekey_go_on(s.core);
    core_world_refuse(ERR_BUSY);
    CHECK(s.core->may_be_unsigned); /* asked again */
}
