/* SPDX-License-Identifier: Apache-2.0 */
/* What a den that was taken over may ask for, and does not get: keys, statements; and the book. */
#include "tests/unit/vault/scene.h"

#include <stdio.h>
#include <unistd.h>

static bool claim(struct scene *s, const char *id, const struct key *key, enum vault_claim *ret)
{
    scene_begin(s, VAULT_CLAIM);
    vault_put_text(&s->request, id);
    vault_put(&s->request, key_public_view(key));
    if (!scene_asked(s))
        return false;
    *ret = (enum vault_claim)vault_u8(&s->in);
    return true;
}

static void check_claim(struct scene *s, const char *id, const struct key *key,
                        enum vault_claim wanted)
{
    enum vault_claim is = VAULT_KEY_USED;

    CHECK_OK(claim(s, id, key, &is), err);
    CHECK_U64(is, wanted);
}

static struct rpc_admission admission(const struct scene *s, const struct key *key)
{
    return (struct rpc_admission){
        .netid = VIEW_ARR(s->netid),
        .network = VIEW_LIT(NETWORK),
        .id = VIEW_LIT("456000"),
        .client_pk = key_public_view(key),
        .role = VIEW_LIT("peer"),
        .adm_no = 1,
        .issued_at = s->now,
        .not_after = s->now + 7 * DAY_MS,
    };
}

/* ---- keys of IDs ---------------------------------------------------------------------------------------- */

TEST(the_first_key_of_an_id_is_its_key_also_after_a_restart)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456000", s.other, VAULT_ID_TAKEN);
    check_claim(&s, "456001", s.peer, VAULT_KEY_HAS_ID);
    scene_reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_ID_TAKEN);
    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
}

TEST(an_admission_is_of_the_key_that_the_id_has)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct rpc_admission a = admission(&s, s.peer);
    uint8_t foreign[HASH_SIZE] = { 9 };

    CHECK_OK(scene_sign(&s, RPC_W_ADMISSION, &a), err);
    a.client_pk = key_public_view(s.other);
    CHECK_ERR(scene_sign(&s, RPC_W_ADMISSION, &a), err, ERR_WRONG_KEY);
    scene_reopen(&s);
    CHECK_ERR(scene_sign(&s, RPC_W_ADMISSION, &a), err, ERR_WRONG_KEY);
    a = admission(&s, s.peer);
    CHECK_OK(scene_sign(&s, RPC_W_ADMISSION, &a), err);
    a.netid = VIEW_ARR(foreign);
    CHECK_ERR(scene_sign(&s, RPC_W_ADMISSION, &a), err, ERR_BAD_STATEMENT);
    a = admission(&s, s.peer);
    a.not_after += 100 * DAY_MS;
    CHECK_ERR(scene_sign(&s, RPC_W_ADMISSION, &a), err, ERR_BAD_STATEMENT);
    a = admission(&s, s.peer);
    a.issued_at -= HOUR_MS;
    CHECK_ERR(scene_sign(&s, RPC_W_ADMISSION, &a), err, ERR_EXPIRED);
}

static struct rpc_rekey rekey(const struct scene *s, const char *by)
{
    return (struct rpc_rekey){
        .netid = VIEW_ARR(s->netid),
        .id = VIEW_LIT("456000"),
        .old_pk = key_public_view(s->peer),
        .new_pk = key_public_view(s->other),
        .rekey_no = 1,
        .at = s->now,
        .by = view_text(by),
    };
}

static bool move(struct scene *s, const struct rpc_rekey *k, const struct key *old,
                 const struct key *new)
{
    uint8_t sig[SIG_SIZE], new_sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_REKEY, k, old, &bytes, sig);
    key_sign(new, buf_view(&bytes), new_sig);
    scene_begin(s, VAULT_MOVE);
    vault_put(&s->request, buf_view(&bytes));
    vault_put(&s->request, VIEW_ARR(sig));
    vault_put(&s->request, VIEW_ARR(new_sig));
    return scene_asked(s);
}

TEST(a_key_moves_on_by_the_key_before)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct rpc_rekey k = rekey(&s, "");

    CHECK_ERR(move(&s, &k, s.peer, s.other), err, ERR_NOT_FOUND);
    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    CHECK_ERR(move(&s, &k, s.other, s.other), err, ERR_BAD_SIGNATURE);
    CHECK_ERR(move(&s, &k, s.peer, s.peer), err, ERR_BAD_SIGNATURE);
    k.rekey_no = 2;
    CHECK_ERR(move(&s, &k, s.peer, s.other), err, ERR_BAD_STATEMENT);
    k = rekey(&s, "operator");
    CHECK_ERR(move(&s, &k, s.peer, s.other), err, ERR_NOT_AUTHORIZED);
    k = rekey(&s, "");
    CHECK_OK(move(&s, &k, s.peer, s.other), err);
    CHECK_OK(move(&s, &k, s.peer, s.other), err); /* den had not recorded it */
    scene_reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_CLAIMED);
    check_claim(&s, "456000", s.peer, VAULT_ID_TAKEN);
    CHECK_ERR(claim(&s, "456002", s.peer, &(enum vault_claim){ 0 }), err, ERR_WRONG_KEY);
}

static bool re_enrol(struct scene *s, const struct key *token, const struct key *e_token_signer)
{
    const struct rpc_rekey k = rekey(s, "operator");
    uint8_t nonce[RPC_NONCE16] = { 7 }, sig[SIG_SIZE], token_sig[SIG_SIZE];
    const struct rpc_enrol e = {
        .netid = VIEW_ARR(s->netid),
        .network = VIEW_LIT(NETWORK),
        .client_pk = key_public_view(s->other),
        .beacon = VIEW_ARR(s->beacon),
        .nonce = VIEW_ARR(nonce),
        .token_pk = key_public_view(token),
        .host = VIEW_LIT("host"),
    };
    _buf_ k_bytes = { 0 }, e_bytes = { 0 };

    rpc_statement_write(RPC_W_REKEY, &k, &k_bytes);
    rpc_statement_sign(RPC_W_ENROL, &e, s->other, &e_bytes, sig);
    key_sign(e_token_signer, buf_view(&e_bytes), token_sig);
    scene_begin(s, VAULT_RE_ENROL);
    vault_put(&s->request, buf_view(&k_bytes));
    vault_put(&s->request, buf_view(&e_bytes));
    vault_put(&s->request, VIEW_ARR(sig));
    vault_put(&s->request, VIEW_ARR(token_sig));
    return scene_asked(s) && (key_verify(key_public_view(s->sign), buf_view(&k_bytes),
                                         vault_fixed(&s->in, SIG_SIZE)) ||
                              err_set(&err, ERR_INTERNAL, "another signature"));
}

TEST(an_operator_orders_a_new_key_and_den_alone_cannot)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(key_freep) struct key *token = key_new(), *dens = key_new();

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    scene_beat(&s);
    CHECK_ERR(re_enrol(&s, dens, dens), err, ERR_NOT_AUTHORIZED);
    CHECK_OK(vault_order_add(s.dir, "456001", key_public_view(token), NOW + DAY_MS, &err), err);
    CHECK_ERR(re_enrol(&s, token, token), err, ERR_NOT_AUTHORIZED); /* another ID's */
    CHECK_OK(vault_order_add(s.dir, "456000", key_public_view(token), NOW - 1, &err), err);
    CHECK_ERR(re_enrol(&s, token, token), err, ERR_NOT_AUTHORIZED); /* over */
    CHECK_OK(vault_order_add(s.dir, "456000", key_public_view(token), NOW + DAY_MS, &err), err);
    CHECK_ERR(re_enrol(&s, token, dens), err, ERR_BAD_SIGNATURE);
    CHECK_ERR(re_enrol(&s, dens, dens), err, ERR_NOT_AUTHORIZED);
    CHECK_OK(vault_order_end(s.dir, key_public_view(token), &err),
             err); /* revoked before it was used */
    CHECK_ERR(re_enrol(&s, token, token), err, ERR_NOT_AUTHORIZED);
    CHECK_OK(vault_order_add(s.dir, "456000", key_public_view(token), NOW + DAY_MS, &err), err);
    CHECK_OK(re_enrol(&s, token, token), err);
    CHECK_OK(re_enrol(&s, token, token), err); /* the same again: den had not recorded it */
    scene_reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_CLAIMED);
    check_claim(&s, "456000", s.peer, VAULT_ID_TAKEN);
}

/* After a restore den has to go on from what the book has. */
TEST(the_book_says_which_key_an_id_has)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    scene_begin(&s, VAULT_WHO);
    vault_put_text(&s.request, "456000");
    CHECK(scene_asked(&s));
    CHECK_VIEW(vault_fixed(&s.in, KEY_SIZE), key_public_view(s.peer));
    CHECK_U64(vault_u64(&s.in), 0);
    CHECK(vault_end(&s.in));
    scene_begin(&s, VAULT_WHO);
    vault_put_text(&s.request, "456001");
    CHECK_ERR(scene_asked(&s), err, ERR_NOT_FOUND);
}

/* ---- statements ------------------------------------------------------------------------------------------- */

TEST(den_sign_says_its_own_words_alone)
{
    static const enum rpc_word never[] = {
        RPC_W_MANIFEST, RPC_W_NETSIGN_ROUTER, RPC_W_NETSIGN_CLIENT, RPC_W_ENROL, RPC_W_REQUEST,
        RPC_W_DIAL,     RPC_W_ACCEPT,         RPC_W_REAUTH,         RPC_W_REKEY
    };
    _cleanup_(scene_deinit) struct scene s = scene_new();
    const struct rpc_admission a = admission(&s, s.peer);
    _buf_ bytes = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(never); i++)
        CHECK_ERR(scene_sign_bytes(&s, (uint8_t)never[i], VIEW_LIT("anything")), err,
                  ERR_NOT_AUTHORIZED);
    CHECK_ERR(scene_sign_bytes(&s, 200, VIEW_LIT("anything")), err, ERR_BAD_WIRE);
    rpc_statement_write(RPC_W_ADMISSION, &a, &bytes);
    CHECK_ERR(scene_sign_bytes(&s, RPC_W_NAME, buf_view(&bytes)), err, ERR_BAD_STATEMENT);
    buf_put_u8(&bytes, 0);
    CHECK_ERR(scene_sign_bytes(&s, RPC_W_ADMISSION, buf_view(&bytes)), err, ERR_BAD_STATEMENT);
}

TEST(a_grant_names_both_ends_by_the_keys_that_they_have)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(key_freep) struct key *thief = key_new();
    uint8_t sid[RPC_SID] = { 1 }, hash[HASH_SIZE] = { 2 };

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
    scene_beat(&s);
    struct rpc_grant g = {
        .netid = VIEW_ARR(s.netid),
        .sid = VIEW_ARR(sid),
        .a_id = VIEW_LIT("456000"),
        .a_pk = key_public_view(s.peer),
        .b_id = VIEW_LIT("456001"),
        .b_pk = key_public_view(s.other),
        .dial_hash = VIEW_ARR(hash),
        .issued_at = s.now,
        .beacon = VIEW_ARR(s.beacon),
        .caps = { { VIEW_LIT("chat") }, 1 },
    };
    CHECK_OK(scene_sign(&s, RPC_W_GRANT, &g), err);
    g.b_pk = key_public_view(thief);
    CHECK_ERR(scene_sign(&s, RPC_W_GRANT, &g), err, ERR_WRONG_KEY);
    g.b_pk = key_public_view(s.other);
    g.a_pk = key_public_view(thief);
    CHECK_ERR(scene_sign(&s, RPC_W_GRANT, &g), err, ERR_WRONG_KEY);
    g.a_pk = key_public_view(s.peer);
    g.beacon = VIEW_ARR(sid);
    CHECK_ERR(scene_sign(&s, RPC_W_GRANT, &g), err, ERR_STALE);
}

TEST(numbers_of_heartbeats_do_not_fall_also_after_a_restart)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct rpc_heartbeat h;

    for (unsigned i = 0; i < 3; i++)
        scene_beat(&s);
    scene_reopen(&s);
    h = scene_heartbeat(&s);
    h.hb_no = 3;
    CHECK_ERR(scene_sign(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.hb_no = 4;
    h.audit_no = 2;
    CHECK_ERR(scene_sign(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.audit_no = 4;
    h.manifest_no = 1;
    CHECK_ERR(scene_sign(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.manifest_no = 2;
    h.policy_no = 1;
    CHECK_ERR(scene_sign(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.policy_no = 2;
    h.crl_no = 5;
    CHECK_ERR(scene_sign(&s, RPC_W_HEARTBEAT, &h), err, ERR_BAD_STATEMENT);
    h.crl_no = 0;
    h.time += HOUR_MS;
    CHECK_ERR(scene_sign(&s, RPC_W_HEARTBEAT, &h), err, ERR_EXPIRED);
    h.time = s.now;
    h.hb_no = UINT64_MAX;
    CHECK_ERR(scene_sign(&s, RPC_W_HEARTBEAT, &h), err, ERR_BAD_STATEMENT);
    h.hb_no = 4;
    CHECK_OK(scene_sign(&s, RPC_W_HEARTBEAT, &h), err);
}

TEST(revocations_are_one_chain_and_end_a_key)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    static const uint8_t zeros[HASH_SIZE], forged[HASH_SIZE] = { 5 };
    uint8_t head[HASH_SIZE];
    struct rpc_revocation v = scene_revocation(&s, 1, zeros);
    const struct rpc_admission a = admission(&s, s.peer);
    _buf_ bytes = { 0 };

    CHECK_OK(scene_sign(&s, RPC_W_ADMISSION, &a), err);
    CHECK_OK(scene_sign(&s, RPC_W_REVOKE, &v), err);
    CHECK_OK(scene_sign(&s, RPC_W_REVOKE, &v), err); /* the answer was lost */
    rpc_statement_write(RPC_W_REVOKE, &v, &bytes);
    hash_sha256(buf_view(&bytes), head);
    v.reason = 1;
    CHECK_ERR(scene_sign(&s, RPC_W_REVOKE, &v), err, ERR_STALE); /* another one under its number */
    v = scene_revocation(&s, 2, forged);
    CHECK_ERR(scene_sign(&s, RPC_W_REVOKE, &v), err, ERR_STALE);
    v = scene_revocation(&s, 3, head);
    CHECK_ERR(scene_sign(&s, RPC_W_REVOKE, &v), err, ERR_BAD_STATEMENT);
    scene_reopen(&s);
    CHECK_ERR(scene_sign(&s, RPC_W_ADMISSION, &a), err, ERR_REVOKED);
    v = scene_revocation(&s, 2, head);
    CHECK_OK(scene_sign(&s, RPC_W_REVOKE, &v), err);
}

/* ---- frames and the book -------------------------------------------------------------------------------------- */

TEST(junk_is_noticed_as_that)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    static const char *const frames[] = { "",           "00",     "ff",      "0102",
                                          "02ffff",     "020001", "03",      "0300000001",
                                          "06ffffffff", "0700",   "09000000" };

    for (size_t i = 0; i < N_ELEMENTS(frames); i++) {
        uint8_t bytes[16];
        size_t len = strlen(frames[i]) / 2;
        CHECK(text_read_hex(view_text(frames[i]), bytes, len));
        buf_clear(&s.request);
        buf_put(&s.request, VIEW(bytes, len));
        if (i == 3) { /* another version: a refusal that says so */
            CHECK_ERR(scene_asked(&s), err, ERR_BAD_WIRE);
            continue;
        }
        CHECK_U64(scene_send(&s), VAULT_JUNK);
        CHECK_U64(s.answer.len, 0);
    }
}

TEST(nothing_leaves_that_could_not_be_written)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    const struct rpc_admission a = admission(&s, s.peer);
    enum vault_claim is;

    scene_disk_fails = true;
    CHECK(!scene_sign(&s, RPC_W_ADMISSION, &a));
    CHECK_U64(s.answer.len, 0);
    scene_disk_fails = false;
    CHECK(!claim(&s, "456009", s.other, &is)); /* a disk that failed is not believed again */
    scene_reopen(&s);
    CHECK_OK(scene_sign(&s, RPC_W_ADMISSION, &a), err);
}

static void change_book(const struct scene *s, struct buf *to, struct view text)
{
    _free_ char *path = file_path(s->dir, "signer.book");

    buf_clear(to);
    buf_put(to, text);
    CHECK_OK(file_write(path, text, 0600, &err), err);
}

TEST(a_book_that_was_changed_is_noticed_and_a_cut_line_is_dropped)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *path = file_path(s.dir, "signer.book");
    _buf_ book = { 0 }, changed = { 0 };

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
    vault_free(STEAL(s.vault));
    CHECK_OK(file_read(path, 65536, &book, &err), err);
    for (size_t i = 0; i + 1 < book.len; i++) { /* each byte but the last line's end */
        book.data[i] ^= 1;
        change_book(&s, &changed, buf_view(&book));
        CHECK_ERR(vault_open(s.dir, VAULT_ASKED_BY_DEN, &s.vault, &err), err, ERR_BAD_CONFIG);
        book.data[i] ^= 1;
    }
    change_book(&s, &changed,
                view_sub(buf_view(&book), 0, book.len - 9)); /* killed while it wrote */
    scene_reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_ID_TAKEN);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
    scene_reopen(&s);
    check_claim(&s, "456001", s.peer, VAULT_ID_TAKEN);
}

TEST(a_book_has_one_writer)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct vault *second;

    CHECK_ERR(vault_open(s.dir, VAULT_ASKED_BY_DEN, &second, &err), err, ERR_BUSY);
}
