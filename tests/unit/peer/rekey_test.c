/* SPDX-License-Identifier: Apache-2.0 */
/* The next identity key: on disk before den hears of it, used when den has taken it, and whoever is interrupted goes on. */
#include "tests/unit/peer/core_world.h"

#include <stdio.h>

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

/* ---- a crash: from some write on nothing reaches the disk ---- */

enum { NEVER = 1000 };
static int writes_left = NEVER;

bool __real_state_write(const struct state *state, enum state_file file, struct view bytes,
                        struct err *err);
bool __wrap_state_write(const struct state *state, enum state_file file, struct view bytes,
                        struct err *err);
bool __real_state_remove(const struct state *state, enum state_file file, struct err *err);
bool __wrap_state_remove(const struct state *state, enum state_file file, struct err *err);
bool __real_state_replace_identity(const struct state *state, const uint8_t seed[SEED_SIZE],
                                   struct err *err);
bool __wrap_state_replace_identity(const struct state *state, const uint8_t seed[SEED_SIZE],
                                   struct err *err);

static bool may_write(struct err *err)
{
    return writes_left-- > 0 || err_set(err, ERR_SYSTEM, "it crashed");
}

bool __wrap_state_write(const struct state *state, enum state_file file, struct view bytes,
                        struct err *err)
{
    return may_write(err) && __real_state_write(state, file, bytes, err);
}

bool __wrap_state_remove(const struct state *state, enum state_file file, struct err *err)
{
    return may_write(err) && __real_state_remove(state, file, err);
}

bool __wrap_state_replace_identity(const struct state *state, const uint8_t seed[SEED_SIZE],
                                   struct err *err)
{
    return may_write(err) && __real_state_replace_identity(state, seed, err);
}

/* ---- den's answer ---- */

static void sign_admission(const struct core_world *s, struct view pk, const char *id,
                           const struct key *by, struct buf *bytes, uint8_t sig[SIG_SIZE])
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

    rpc_statement_sign(RPC_W_ADMISSION, &a, by, bytes, sig);
}

static void admit(const struct core_world *s, struct view pk, const char *id, const struct key *by)
{
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    sign_admission(s, pk, id, by, &bytes, sig);
    core_world_answer_signed(buf_view(&bytes), sig);
}

static void store_admission(const struct core_world *s, struct view pk)
{
    _buf_ bytes = { 0 }, both = { 0 };
    uint8_t sig[SIG_SIZE];
    struct err err;

    sign_admission(s, pk, WORLD_A, s->w.den, &bytes, sig);
    state_put_signed(&both, buf_view(&bytes), VIEW_ARR(sig));
    CHECK_OK(state_write(s->core->state, STATE_ADMISSION, buf_view(&both), &err), err);
}

/* As another process does: what peer_new() reads of the key and the admission. */
static void open_again(struct core_world *s)
{
    struct core *core = s->core;
    struct err err;

    writes_left = NEVER;
    state_free(STEAL(core->state));
    key_free(STEAL(core->key));
    buf_free(&core->admission);
    buf_free(&core->admission_sig);
    core->id[0] = '\0';
    core->has_failed = core->has_pending_rekey = core->wants_rekey = false;
    core->steps[STEP_REKEY].is_pending = false;
    CHECK_OK(state_open(s->dir, false, &core->state, &err), err);
    CHECK_OK(state_identity(core->state, false, &core->key, &err), err);
    rekey_load(core);
    CHECK_OK(join_load(core, &err), err);
    CHECK_STR(core->id, WORLD_A);
}

/* Whatever was on disk when it was opened: in the end the new key and its admission are all there is. */
static void go_on_to_the_end(struct core_world *s, struct view new_pk)
{
    struct core *core = s->core;
    bool is_new = view_eq(key_public_view(core->key), new_pk);
    struct rpc_admission a;
    struct err err;

    CHECK(core->has_pending_rekey == !is_new && rekey_is_needed(core) == !is_new);
    CHECK(core->admission.len || has_file(s, STATE_REKEY)); /* what lets it be without one */
    if (!is_new) {
        CHECK(core->admission.len); /* it connects with the key before */
        rekey_go_on(core);
        admit(s, new_pk, WORLD_A, s->w.den);
        CHECK_STR(core_world_event(s, PEER_EVENT_REKEYED), "");
    } else if (core->admission.len == 0) {
        store_admission(s, new_pk); /* of the enrolment, before it removes the file */
        open_again(s);
        CHECK(!core->has_pending_rekey && has_file(s, STATE_REKEY));
        CHECK_OK(state_remove(core->state, STATE_REKEY, &err), err);
    }
    open_again(s);
    CHECK_VIEW(key_public_view(core->key), new_pk);
    CHECK_OK(rpc_statement_read(RPC_W_ADMISSION, buf_view(&core->admission), &a, &err), err);
    CHECK_VIEW(a.client_pk, new_pk);
    CHECK(!core->has_pending_rekey);
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

    store_admission(&s, key_public_view(s.core->key));
    CHECK(!rekey_take_over(s.core));
    begin(&s, &k);
    core_world_refuse(ERR_NETWORK_FAILURE); /* den took it, and its answer was lost */
    core_world_event(&s, PEER_EVENT_REKEYED);
    CHECK(rekey_take_over(s.core) && has_file(&s, STATE_REKEY));
    CHECK_STR(core_world_event(&s, PEER_EVENT_REKEYED), "");
    now = key_on_disk(&s);
    CHECK_VIEW(key_public_view(now), k.k.new_pk);
    CHECK(!rekey_take_over(s.core));
    CHECK(s.core->has_failed); /* nothing more is begun with the key before */
    open_again(&s);
    go_on_to_the_end(&s, k.k.new_pk);
}

/* ---- what a router says ---- */

enum { MAX_UPLINKS = 8 };
static struct rpc_uplink_config
    uplinks[MAX_UPLINKS]; /* that were begun; the first is the machine's own */
static size_t n_uplinks, n_freed;

bool __wrap_rpc_uplink_new(const struct rpc_uplink_config *config, struct rpc_uplink **ret_uplink,
                           struct err *err);
void __wrap_rpc_uplink_free(struct rpc_uplink *uplink);
void __wrap_rpc_uplink_flush(struct rpc_uplink *uplink);
struct rpc_client *__wrap_rpc_uplink_client(struct rpc_uplink *uplink);

bool __wrap_rpc_uplink_new(const struct rpc_uplink_config *config, struct rpc_uplink **ret_uplink,
                           _unused_ struct err *err)
{
    if (!CHECK(n_uplinks < MAX_UPLINKS))
        return false;
    uplinks[n_uplinks++] = *config;
    *ret_uplink = (struct rpc_uplink *)(void *)uplinks;
    return true;
}

void __wrap_rpc_uplink_free(struct rpc_uplink *uplink)
{
    n_freed += uplink != NULL;
}

void __wrap_rpc_uplink_flush(_unused_ struct rpc_uplink *uplink)
{
}

struct rpc_client *__wrap_rpc_uplink_client(_unused_ struct rpc_uplink *uplink)
{
    return NULL;
}

static bool is_tried(void *user)
{
    const struct core *core = user;

    return !core->trial;
}

/* One of them ends: with that, and no signature. */
static void refuse(size_t at, enum err_code code)
{
    struct err why = { 0 };

    err_set(&why, code, "says a router");
    uplinks[at].on_retry(uplinks[at].client.user, &why, 60000);
}

/* den's admission of the next key, for what the newest uplink enrolled with. */
static bool admit_next(const struct core_world *s, const char *id, struct err *err)
{
    const struct rpc_client_config *client = &uplinks[n_uplinks - 1].client;
    uint8_t hash[HASH_SIZE], sig[SIG_SIZE];
    _buf_ extra = { 0 }, bytes = { 0 };
    struct view enrol;
    struct rpc_fields f;

    if (!client->credentials(client->user, &extra, err) ||
        !rpc_map_get(buf_view(&extra), "enrol", &enrol))
        return false;
    rpc_fields_open(&f, enrol);
    hash_sha256(rpc_fields_bin(&f, "E", RPC_MAX_STATEMENT), hash);
    const struct rpc_admission a = {
        .netid = VIEW_ARR(s->w.root.hash),
        .network = VIEW_LIT("corp.example"),
        .id = view_text(id),
        .client_pk = key_public_view(client->key),
        .role = VIEW_LIT("peer"),
        .adm_no = 4,
        .issued_at = core_now(s->core),
        .not_after = core_now(s->core) + DAY_MS,
        .enrol_hash = VIEW_ARR(hash),
    };
    rpc_statement_sign(RPC_W_ADMISSION, &a, s->w.den, &bytes, sig);
    return client->admitted(client->user, buf_view(&bytes), VIEW_ARR(sig), &a, err);
}

/* Its next key waits for den's answer, and a router says that the one before was revoked. */
static void hear_revoked(struct core_world *s, struct statement *k)
{
    struct err err;

    n_uplinks = n_freed = 0;
    store_admission(s, key_public_view(s->core->key));
    begin(s, k);
    core_world_refuse(ERR_NETWORK_FAILURE);
    core_world_event(s, PEER_EVENT_REKEYED);
    s->core->is_joined = true;
    s->core->join.n_hosts = 1;
    snprintf(s->core->join.network, sizeof(s->core->join.network), "corp.example");
    CHECK_OK(join_begin(s->core, &err), err);
    refuse(0, ERR_REVOKED);
    CHECK_U64(n_uplinks, 2);
    CHECK_VIEW(key_public_view(uplinks[1].client.key), k->k.new_pk);
}

static void check_keeps(const struct core_world *s, struct view pk)
{
    _cleanup_(key_freep) struct key *now = key_on_disk(s);

    CHECK_VIEW(key_public_view(now), pk);
    CHECK(!s->core->has_failed);
}

TEST(no_router_takes_the_key_away_by_its_word)
{
    CORE_WORLD(s, "word");
    _statement_ k = { 0 };

    hear_revoked(&s, &k);
    check_keeps(&s, k.k.old_pk);
    CHECK(!core_world_event(&s, PEER_EVENT_OFFLINE) && !core_world_last()); /* not yet */
    refuse(1, ERR_PENDING);
    CHECK_STR(core_world_event(&s, PEER_EVENT_OFFLINE), "says a router");
    loop_drain(s.core->loop, is_tried, s.core, 1000);
    CHECK_U64(n_freed, 1);
    refuse(0, ERR_REVOKED); /* it is tried again, and nobody waits for it */
    CHECK_STR(core_world_event(&s, PEER_EVENT_OFFLINE), "says a router");
    CHECK_U64(n_uplinks, 3);
    check_keeps(&s, k.k.old_pk);
    CHECK(s.core->has_pending_rekey && has_file(&s, STATE_REKEY));
    join_end(s.core);
    CHECK_U64(n_freed, 3);
}

TEST(den_s_admission_of_the_next_key_makes_it_the_key)
{
    CORE_WORLD(s, "tried");
    _statement_ k = { 0 };
    struct err err;

    hear_revoked(&s, &k);
    CHECK(!admit_next(&s, WORLD_A, &err) && err.code == ERR_CLOSED); /* this peer is over */
    CHECK_STR(core_world_event(&s, PEER_EVENT_REKEYED), "");
    CHECK(s.core->has_failed && !has_file(&s, STATE_REKEY));
    join_end(s.core);
    open_again(&s);
    CHECK_VIEW(key_public_view(s.core->key), k.k.new_pk);
    CHECK(s.core->admission.len != 0);
}

TEST(a_next_key_that_has_another_id_is_given_up)
{
    CORE_WORLD(s, "elsewhere");
    _statement_ k = { 0 };
    struct err err;

    hear_revoked(&s, &k);
    CHECK(!admit_next(&s, WORLD_B, &err) && err.code == ERR_BAD_STATEMENT);
    check_keeps(&s, k.k.old_pk);
    CHECK(!s.core->has_pending_rekey && !has_file(&s, STATE_REKEY));
    join_end(s.core);
    open_again(&s);
    CHECK(s.core->admission.len != 0);
}

/* The ends of it: den's answer came; it was lost. */
static int end_with_crash(const char *name, bool is_answered, int n_writes)
{
    CORE_WORLD(s, name);
    _cleanup_(key_freep) struct key *before = key_on_disk(&s);
    _statement_ k = { 0 };
    int n_left;

    store_admission(&s, key_public_view(before));
    begin(&s, &k);
    if (!is_answered)
        core_world_refuse(ERR_NETWORK_FAILURE);
    writes_left = n_writes;
    if (is_answered)
        admit(&s, k.k.new_pk, WORLD_A, s.w.den);
    else
        rekey_take_over(s.core);
    n_left = writes_left;
    while (core_world_event(&s, PEER_EVENT_REKEYED))
        ;
    open_again(&s);
    CHECK(view_eq(key_public_view(s.core->key), key_public_view(before)) == (n_writes == 0));
    go_on_to_the_end(&s, k.k.new_pk);
    return n_left;
}

TEST(after_a_crash_at_any_write_the_folder_opens_and_goes_on)
{
    for (int is_answered = 0; is_answered < 2; is_answered++) {
        int n = 0, n_left;
        do {
            _free_ char *name = mem_format("crash-%d-%d", is_answered, n);
            n_left = end_with_crash(name, is_answered, n++);
        } while (n_left < 0 && n < 10);
        CHECK(n == (is_answered ? 4 : 2)); /* key, admission, the file; the key alone */
    }
}

TEST(an_admission_of_another_key_without_a_rekey_is_refused)
{
    CORE_WORLD(s, "other-key");
    struct err err;

    store_admission(&s, key_public_view(s.w.b));
    rekey_load(s.core);
    CHECK(!join_load(s.core, &err) && err.code == ERR_BAD_CONFIG);
    CHECK(strstr(err.text, "admission: is for another key than identity.key"));
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
