/* SPDX-License-Identifier: Apache-2.0 */
/* A store that was taken back to an older state: noticed by what stands outside of it, and brought past
 * everything that was said since. */
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "den/audit.h"
#include "den/policy_kept.h"
#include "den/restored.h"
#include "den/web.h"
#include "tests/unit/den/world.h"

#include <stdio.h>
#include <unistd.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static struct err err;

/* ---- going back --------------------------------------------------------------------------------- */

/* As `warren-den backup` copies it, beside a den that runs. */
static struct buf snapshot(struct world *w)
{
    _free_ char *path = mem_format("%s-copy", w->store_path);
    struct buf bytes = { 0 };

    unlink(path);
    if (!store_copy(w->store, path, NULL, NULL, &err) || !file_read(path, 64 << 20, &bytes, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return bytes;
}

static void put_back(struct world *w, const struct buf *bytes)
{
    _free_ char *wal = mem_format("%s-wal", w->store_path);

    world_close(w);
    unlink(wal);
    CHECK_OK(file_write(w->store_path, buf_view(bytes), 0600, &err), err);
}

static void forget_anchor(const struct world *w)
{
    _free_ char *path = mem_format("%.*s.anchor", (int)strlen(w->store_path) - 3, w->store_path);

    unlink(path);
}

static bool put_item(void *user, const struct store_revocation *r)
{
    struct buf *items = user;

    rpc_put_array(items, 2);
    rpc_put_bin(items, r->statement);
    rpc_put_bin(items, r->sig);
    return true;
}

/* What the router was handed, from number `from` on, as it answers. */
static void put_kept(struct world *w, struct buf *items, uint32_t *ret_n)
{
    CHECK_OK(store_revocation_each(w->store, 1, put_item, items, &err), err);
    uint64_t n;
    CHECK_OK(store_revocation_last(w->store, &n, &err), err);
    *ret_n = (uint32_t)n;
}

static void answer_list(struct world *w, const struct buf *items, uint32_t n)
{
    struct world_call *call = world_pending(w, "network.revocations.list");
    struct buf answer = { 0 };

    if (!CHECK(call))
        return;
    rpc_put_array(&answer, 1);
    rpc_put_array(&answer, n);
    buf_put(&answer, buf_view(items));
    world_result(call, &answer);
}

static void hand_over(struct world *w, uint64_t has)
{
    struct world_call *call;

    while ((call = world_pending(w, "network.revocations.install"))) {
        struct buf answer = { 0 };
        rpc_put_array(&answer, 1);
        rpc_put_u64(&answer, has);
        world_result(call, &answer);
        CHECK_OK(store_revocation_last(w->store, &has, &err), err); /* it takes what it gets */
    }
}

/* den signs what it finds revoked, and the router has it, up to that number. */
static void look(struct world *w, uint64_t no)
{
    while (!den_core_look(w->core))
        continue;
    hand_over(w, no);
}

static void put_down(struct world *w, enum store_revoke kind, const char *id, struct view subject)
{
    struct store_revocation r = { .kind = kind, .subject_len = subject.len, .at = w->wall };
    bool is_new = false;

    memcpy(r.subject, subject.data, subject.len);
    snprintf(r.id, sizeof(r.id), "%s", id);
    CHECK(store_begin(w->store, &err) && store_revocation_add(w->store, &r, &r.no, &is_new, &err) &&
          store_commit(w->store, &err));
    CHECK(is_new);
    look(w, r.no);
}

/* A key that has an ID shows its admission, and den does not know it. */
static uint64_t show_before(struct world *w, const struct world_peer *peer, struct view before,
                            struct view before_sig)
{
    uint8_t nonce[RPC_NONCE16], sig[SIG_SIZE];
    struct rpc_enrol e = world_enrol(w, peer, NULL, nonce);
    struct buf args = { 0 };
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_ENROL, &e, peer->key, &bytes, sig);
    rpc_put_array(&args, 5);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    rpc_put_nil(&args);
    rpc_put_bin(&args, before);
    rpc_put_bin(&args, before_sig);
    return world_handle(w, "den.identity.admit", "router", NULL, &args);
}

/* An admission as den signed it for that peer, with that number. */
static void sign_admission(const struct world *w, const struct key *by,
                           const struct world_peer *peer, uint64_t adm_no, struct buf *ret_bytes,
                           uint8_t ret_sig[SIG_SIZE])
{
    const struct rpc_admission a = {
        .netid = rpc_trust_netid(w->trust),
        .network = VIEW_LIT(WORLD_NETWORK),
        .id = view_text(peer->id),
        .client_pk = key_public_view(peer->key),
        .role = VIEW_LIT("peer"),
        .adm_no = adm_no,
        .issued_at = w->wall,
        .not_after = w->wall + DAY_MS,
    };

    rpc_statement_sign(RPC_W_ADMISSION, &a, by, ret_bytes, ret_sig);
}

/* ---- noticing it -------------------------------------------------------------------------------- */

TEST(one_transaction_that_is_missing_is_noticed_and_nothing_is_written)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ old = snapshot(w);
    _buf_ after = { 0 };

    /* an enrolment, and no heartbeat after it */
    CHECK_OK(
        world_set_policy(w, "rules: [{from: any, to: any, can: [chat], consent: deny}]\n", &err),
        err);
    put_back(w, &old);
    CHECK_ERR(world_restart(w, &err), err, ERR_STALE);
    CHECK(strstr(err.text, "audit entry") != NULL && strstr(err.text, "--accept-rollback") != NULL);
    CHECK_OK(store_check(w->store, &err), err);
    world_close(w);
    CHECK_OK(file_read(w->store_path, 64 << 20, &after, &err), err);
    CHECK(view_eq(buf_view(&old), buf_view(&after)));
}

TEST(the_anchor_alone_tells)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 9, 0);
    _buf_ old = snapshot(w);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);

    /* enrolled after the newest heartbeat: nobody outside of this machine knows */
    world_take_id(w, world_admit(w, peer, token), peer);
    put_back(w, &old);
    CHECK_ERR(world_restart(w, &err), err, ERR_STALE);
    CHECK(strstr(err.text, "den.anchor") != NULL);
    forget_anchor(w);
    CHECK_OK(world_restart(w, &err), err);
}

TEST(writing_to_the_older_store_does_not_hide_it)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ old = snapshot(w);

    for (size_t i = 0; i < 3; i++)
        key_free(world_token(w, "peer", 1, 0)), world_pass(w, MINUTE_MS);
    CHECK_OK(
        world_set_policy(w, "rules: [{from: any, to: any, can: [chat], consent: deny}]\n", &err),
        err);
    put_back(w, &old);
    CHECK_OK(store_open(w->store_path, &w->store, &err), err);
    for (size_t i = 0; i < 9; i++)
        CHECK(store_begin(w->store, &err) &&
              audit_append(w->store, 1, "test.other", NULL, 0, &err) &&
              store_commit(w->store, &err));
    CHECK_ERR(world_restart(w, &err), err, ERR_STALE);
    CHECK(strstr(err.text, "another audit entry") != NULL);
}

TEST(only_the_router_knows_better)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ old = snapshot(w);
    _buf_ old_trust = buf_dup(buf_view(&w->saved_trust));
    const struct signer_anchor floor = w->config.crl_floor;
    enum rpc_heart heart;
    _buf_ newest = { 0 };
    uint8_t sig[SIG_SIZE];

    world_pass(w, 5 * MINUTE_MS);
    buf_put(&newest, rpc_trust_heartbeat_bytes(w->trust));
    memcpy(sig, rpc_trust_heartbeat_sig(w->trust).data, sizeof(sig));
    put_back(w, &old);
    forget_anchor(w);
    buf_clear(&w->saved_trust);
    buf_put(&w->saved_trust, buf_view(&old_trust));
    w->config.crl_floor = floor;
    size_t n = w->n_events;
    CHECK_OK(world_open(w, &err), err); /* nothing here shows it */
    CHECK_U64(w->n_events, n);          /* and nothing is said before the router was met */
    CHECK_OK(rpc_trust_add_heartbeat(w->trust, buf_view(&newest), VIEW_ARR(sig), w->mono, w->wall,
                                     &heart, &err),
             err);
    den_core_up(w->core);
    CHECK_U64(w->n_events, n);
    if (CHECK(den_core_fatal(w->core)))
        CHECK(strstr(den_core_fatal(w->core)->text, "the router") != NULL);
}

TEST(a_store_that_was_restored_waits_for_somebodys_word)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    CHECK(store_begin(w->store, &err) &&
          store_blob_set(w->store, "restored", VIEW_LIT("2026-11-21T16:00:00Z"), &err) &&
          store_commit(w->store, &err));
    CHECK_OK(world_restart(w, &err), err);
    CHECK(den_core_fatal(w->core) && den_core_fatal(w->core)->code == ERR_STALE);
    /* a router that shows the heartbeat that is here says that nothing came after it */
    world_close(w);
    CHECK_OK(world_open(w, &err), err);
    enum rpc_heart heart;
    CHECK_OK(rpc_trust_add_heartbeat(w->trust, rpc_trust_heartbeat_bytes(w->trust),
                                     rpc_trust_heartbeat_sig(w->trust), w->mono, w->wall, &heart,
                                     &err),
             err);
    den_core_up(w->core);
    CHECK(!den_core_fatal(w->core));
    /* a note as older versions left it is the time alone */
    CHECK_U64(world_audited(w, "what=store.restored\nrestored_at=2026-11-21T16:00:00Z\n", NULL), 1);
    CHECK_OK(world_restart(w, &err), err);
    CHECK(!den_core_fatal(w->core));
    CHECK_U64(world_audited(w, "what=store.restored", NULL), 1);
}

/* As `warren-den restore` leaves the store. */
static void leave_note(struct world *w, const struct store_anchor *replaced)
{
    const struct deed deed = { .by = "uid 1000", .source = "local", .at = w->wall };
    const struct restored what = { "/backups/monday\nwhat=other", &deed, replaced };

    CHECK_OK(store_open(w->store_path, &w->store, &err), err);
    CHECK_OK(store_begin(w->store, &err) && restored_note(w->store, &what, &err) &&
                 store_commit(w->store, &err),
             err);
}

/* The router has the heartbeat that is in the backup, and none that came after it. */
static bool goes_on_after_backup(bool has_den, bool starts_meanwhile)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    enum rpc_heart heart;
    bool ok;

    CHECK(store_begin(w->store, &err) && restored_note_backup(w->store, has_den, &err) &&
          store_commit(w->store, &err));
    if (starts_meanwhile) {
        CHECK(world_restart(w, &err));
        den_core_up(w->core);
        CHECK(den_core_is_at_work(w->core));
    }
    world_close(w);
    leave_note(w, NULL);
    store_free(STEAL(w->store));
    ok = world_open(w, &err) &&
         rpc_trust_add_heartbeat(w->trust, rpc_trust_heartbeat_bytes(w->trust),
                                 rpc_trust_heartbeat_sig(w->trust), w->mono, w->wall, &heart, &err);
    if (!ok)
        check_failed(__FILE__, __LINE__, "%s", err.text);
    den_core_up(w->core);
    if (!den_core_fatal(w->core))
        return true;
    CHECK_U64(den_core_fatal(w->core)->code, ERR_STALE);
    CHECK(strstr(den_core_fatal(w->core)->text, "made while den ran") != NULL);
    return false;
}

/* Between two heartbeats it gave IDs and certificates away of which the router knows nothing. */
TEST(who_crashed_soon_after_a_backup_did_something_after_it)
{
    CHECK(goes_on_after_backup(false, false));
    CHECK(!goes_on_after_backup(true, false));
    CHECK(!goes_on_after_backup(false, true)); /* before it was copied */
}

/* ---- accepting it ------------------------------------------------------------------------------- */

struct before { /* what the life that is over reached */
    struct rpc_heartbeat h;
    struct buf kept, heart; /* the router's revocations; what `h` borrows from */
    uint32_t n_kept;
};

static void note(struct world *w, struct before *b)
{
    buf_put(&b->heart, rpc_trust_heartbeat_bytes(w->trust));
    CHECK_OK(rpc_statement_read(RPC_W_HEARTBEAT, buf_view(&b->heart), &b->h, &err), err);
    put_kept(w, &b->kept, &b->n_kept);
}

static void accept(struct world *w, const struct before *b)
{
    const struct buf none = { 0 };

    w->config.accepts_rollback = true;
    w->config.accepts_no_list = true;
    w->config.accepted_by = (struct deed){ .by = "uid 7", .source = "local" };
    CHECK_OK(world_restart(w, &err), err);
    answer_list(w, &b->kept, b->n_kept);
    if (b->n_kept)
        answer_list(w, &none, 0);
    hand_over(w, b->n_kept);
    if (den_core_fatal(w->core))
        check_failed(__FILE__, __LINE__, "%s", den_core_fatal(w->core)->text);
    w->config.accepts_rollback = false;
}

TEST(accepted_the_revoked_stay_revoked_and_nothing_is_numbered_again)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 9, 0);
    _buf_ old = snapshot(w);
    _cleanup_(world_peer_freep) struct world_peer *carol = world_peer_new(w);
    const struct world_answer *answer;
    struct store_identity was, is;
    enum store_found found;
    struct before b = { 0 };
    uint64_t n, bad, n_entries;

    put_down(w, STORE_REVOKE_IDENTITY, alice->id, key_public_view(alice->key));
    put_down(w, STORE_REVOKE_IDENTITY, carol->id, key_public_view(carol->key));
    put_down(w, STORE_REVOKE_TLS_KEY, bob->id, VIEW_ARR(bob->spki));
    uint8_t unknown[] = { 0x01, 0x22, 0x33 };
    put_down(w, STORE_REVOKE_SERIAL, "router", VIEW_ARR(unknown));
    world_pass(w, MINUTE_MS);
    note(w, &b);
    CHECK_OK(store_identity_by_id(w->store, view_text(bob->id), &found, &was, &err), err);
    put_back(w, &old);
    accept(w, &b);

    struct rpc_heartbeat h = world_heartbeat(w);
    CHECK(h.hb_no > b.h.hb_no && h.audit_no > b.h.audit_no && h.crl_no > b.h.crl_no);
    CHECK(h.policy_no > b.h.policy_no);
    _buf_ policy = { 0 };
    CHECK_OK(policy_kept_find(w->store, h.policy_no, &found, &n, &policy, &err), err);
    CHECK(found == STORE_FOUND);
    CHECK_VIEW(buf_view(&policy), VIEW_LIT(POLICY));
    CHECK_U64(h.rev_no, b.h.rev_no);
    CHECK_VIEW(h.rev_head, b.h.rev_head);
    CHECK_OK(audit_verify(w->store, &n, &bad, &n_entries, &err), err);
    CHECK_U64(bad, 0);
    CHECK(n > 1000000 && n_entries > 5 && n_entries < 1000); /* numbers were given up */
    CHECK_U64(world_audited(w, "what=" AUDIT_ROLLBACK, "given_up_from="), 1);

    CHECK_OK(store_identity_by_id(w->store, view_text(alice->id), &found, &is, &err), err);
    CHECK(is.is_revoked);
    CHECK_OK(store_identity_by_id(w->store, view_text(carol->id), &found, &is, &err), err);
    CHECK(found == STORE_FOUND && is.is_revoked); /* though the backup did not know it */
    CHECK_OK(store_identity_by_id(w->store, view_text(bob->id), &found, &is, &err), err);
    CHECK(!is.is_revoked && is.adm_no > was.adm_no);
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    CHECK_OK(store_certificate_by_serial(w->store, VIEW_ARR(unknown), &found, &c, &err), err);
    CHECK(found == STORE_FOUND && c.is_revoked && c.not_after > w->wall);
    /* tokens end: whether this one was spent is not known */
    _cleanup_(world_peer_freep) struct world_peer *dave = world_stranger_new(w);
    answer = world_answer(w, world_admit(w, dave, token));
    CHECK(answer && answer->what == WORLD_REFUSED && answer->err.code == ERR_BAD_TOKEN);
    /* and it does not need anybody's word again */
    CHECK_OK(world_restart(w, &err), err);
    CHECK(!den_core_fatal(w->core));
    buf_free(&b.kept);
    buf_free(&b.heart);
}

static const char *hex(struct view bytes, struct buf *to)
{
    buf_clear(to);
    text_put_hex(to, bytes);
    return buf_cstr(to);
}

/* Number, time and head of the newest entry are given to nothing else meanwhile: what the restoring wrote comes after those
 * that are given up. */
TEST(the_audit_says_who_restored_what_and_who_accepted_what_is_lost)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w);
    _buf_ old = snapshot(w), lost = { 0 }, back = { 0 };
    struct store_anchor before, is;
    struct before b = { 0 };
    uint64_t n, bad, n_entries;

    CHECK_OK(audit_head(w->store, &before.no, before.head, &err), err);
    put_down(w, STORE_REVOKE_IDENTITY, alice->id, key_public_view(alice->key));
    world_pass(w, MINUTE_MS);
    note(w, &b);
    CHECK_OK(audit_head(w->store, &is.no, is.head, &err), err);
    put_back(w, &old);
    leave_note(w, &is);
    accept(w, &b);

    char *accepted =
        mem_format("head_before=%s\nlost_audit_no=%llu\nlost_audit_head=%s\nby=uid 7\n",
                   hex(VIEW_ARR(before.head), &back), (unsigned long long)is.no,
                   hex(VIEW_ARR(is.head), &lost));
    CHECK_U64(world_audited(w, "what=" AUDIT_ROLLBACK "\n", accepted), 1);
    char *from = mem_format("\nbackup_audit_no=%llu\nbackup_audit_head=%s\n",
                            (unsigned long long)before.no, hex(VIEW_ARR(before.head), &back));
    CHECK_U64(world_audited(w, "what=store.restored\n", from), 1);
    CHECK_U64(world_audited(w, "file=/backups/monday\\x0awhat=other\n", "by=uid 1000\n"), 1);
    CHECK_U64(world_audited(w, "what=store.restored\n", hex(VIEW_ARR(is.head), &lost)), 1);
    CHECK_OK(audit_verify(w->store, &n, &bad, &n_entries, &err), err);
    CHECK_U64(bad, 0);
    free(accepted);
    free(from);
    buf_free(&b.kept);
    buf_free(&b.heart);
}

TEST(what_was_revoked_on_the_older_store_is_not_lost)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w),
                                                  *carol = world_peer_new(w);
    _buf_ old = snapshot(w);
    struct store_revocation r = { .kind = STORE_REVOKE_IDENTITY, .subject_len = KEY_SIZE };
    struct before b = { 0 };
    bool is_new;

    put_down(w, STORE_REVOKE_IDENTITY, alice->id, key_public_view(alice->key));
    put_down(w, STORE_REVOKE_IDENTITY, bob->id, key_public_view(bob->key));
    world_pass(w, MINUTE_MS);
    note(w, &b);
    put_back(w, &old);
    CHECK_OK(store_open(w->store_path, &w->store, &err), err);
    const struct world_peer *both[] = { bob, carol }; /* one of them again, in another order */
    for (size_t i = 0; i < N_ELEMENTS(both); i++) {
        snprintf(r.id, sizeof(r.id), "%s", both[i]->id);
        memcpy(r.subject, key_public(both[i]->key), KEY_SIZE);
        CHECK(store_begin(w->store, &err) &&
              store_revocation_add(w->store, &r, &r.no, &is_new, &err) &&
              store_commit(w->store, &err));
    }
    accept(w, &b);
    hand_over(w, 3);
    CHECK_U64(world_heartbeat(w).rev_no, 3);
    const char *ids[] = { alice->id, bob->id, carol->id };
    for (size_t i = 0; i < N_ELEMENTS(ids); i++) {
        struct store_identity who;
        enum store_found found;
        CHECK_OK(store_identity_by_id(w->store, view_text(ids[i]), &found, &who, &err), err);
        CHECK(found == STORE_FOUND && who.is_revoked);
    }
    buf_free(&b.kept);
    buf_free(&b.heart);
}

TEST(an_id_that_only_its_admission_knows_comes_back_and_is_nobody_elses)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ old = snapshot(w);
    _cleanup_(world_peer_freep) struct world_peer *erin = world_peer_new(w),
                                                  *mallory = world_stranger_new(w);
    struct store_identity who;
    enum store_found found;
    struct before b = { 0 };
    uint8_t sig[SIG_SIZE];
    _buf_ a = { 0 };

    sign_admission(w, w->sign, erin, 1, &a, sig);
    world_pass(w, MINUTE_MS);
    note(w, &b);
    put_back(w, &old);
    accept(w, &b);
    /* of another key, and by another signer */
    world_check_refused(w, show_before(w, mallory, buf_view(&a), VIEW_ARR(sig)), ERR_BAD_STATEMENT);
    snprintf(mallory->id, sizeof(mallory->id), "%s", erin->id);
    _buf_ forged = { 0 };
    uint8_t forged_sig[SIG_SIZE];
    sign_admission(w, w->login, mallory, 9, &forged, forged_sig);
    world_check_refused(w, show_before(w, mallory, buf_view(&forged), VIEW_ARR(forged_sig)),
                        ERR_BAD_SIGNATURE);
    CHECK_OK(store_identity_by_id(w->store, view_text(erin->id), &found, &who, &err), err);
    CHECK(found == STORE_NONE);
    struct world_peer back = { .key = erin->key };
    CHECK_STR(world_take_id(w, show_before(w, erin, buf_view(&a), VIEW_ARR(sig)), &back), erin->id);
    CHECK_OK(store_identity_by_id(w->store, view_text(erin->id), &found, &who, &err), err);
    CHECK(found == STORE_FOUND && who.kind == STORE_COMMITTED && who.adm_no > 1);
    CHECK_U64(world_audited(w, "what=identity.taken_back", erin->id), 1);
    /* others are drawn where it cannot be: with a digit more */
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 5, 0);
    _cleanup_(world_peer_freep) struct world_peer *frank = world_stranger_new(w);
    CHECK_U64(strlen(world_take_id(w, world_admit(w, frank, token), frank)), 7);
    buf_free(&b.kept);
    buf_free(&b.heart);
}

/* Its key is the second that it had: what the store forgot the signer's book knows, and the third one follows. */
TEST(an_id_that_comes_back_has_the_number_of_its_key)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ old = snapshot(w);
    _cleanup_(world_peer_freep) struct world_peer *erin = world_peer_new(w),
                                                  *second = world_stranger_new(w),
                                                  *third = world_stranger_new(w);
    struct before b = { 0 };
    uint8_t sig[SIG_SIZE];
    _buf_ a = { 0 };

    CHECK_STR(world_take_id(w, world_rekey(w, erin, second, 1), second), erin->id);
    look(w, 1);
    sign_admission(w, w->sign, second, 2, &a, sig);
    world_pass(w, MINUTE_MS);
    note(w, &b);
    put_back(w, &old);
    accept(w, &b);
    struct world_peer back = { .key = second->key };
    CHECK_STR(world_take_id(w, show_before(w, second, buf_view(&a), VIEW_ARR(sig)), &back),
              erin->id);
    CHECK_STR(world_take_id(w, world_rekey(w, second, third, 2), third), erin->id);
    buf_free(&b.kept);
    buf_free(&b.heart);
}

TEST(a_revoked_admission_brings_nothing_back)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ old = snapshot(w);
    _cleanup_(world_peer_freep) struct world_peer *erin = world_peer_new(w);
    uint8_t sig[SIG_SIZE], below[8] = { 0, 0, 0, 0, 0, 0, 0, 4 };
    struct before b = { 0 };
    _buf_ a = { 0 };

    sign_admission(w, w->sign, erin, 3, &a, sig);
    put_down(w, STORE_REVOKE_ADMISSIONS, erin->id, VIEW_ARR(below));
    world_pass(w, MINUTE_MS);
    note(w, &b);
    put_back(w, &old);
    accept(w, &b);
    world_check_refused(w, show_before(w, erin, buf_view(&a), VIEW_ARR(sig)), ERR_REVOKED);
    buf_free(&b.kept);
    buf_free(&b.heart);
}

TEST(without_a_rollback_an_admission_proves_nothing_to_den)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *erin = world_stranger_new(w);
    uint8_t sig[SIG_SIZE];
    _buf_ a = { 0 };

    snprintf(erin->id, sizeof(erin->id), "456000");
    sign_admission(w, w->sign, erin, 3, &a, sig);
    world_check_refused(w, show_before(w, erin, buf_view(&a), VIEW_ARR(sig)), ERR_BAD_TOKEN);
}

/* Carol's certificate is on the list alone: the store is from before it was issued. */
TEST(without_the_newest_list_it_is_refused)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _buf_ old = snapshot(w), list = { 0 };
    _cleanup_(world_peer_freep) struct world_peer *carol = world_peer_new(w);
    const struct buf none = { 0 };
    struct before b = { 0 };

    put_down(w, STORE_REVOKE_IDENTITY, carol->id, key_public_view(carol->key));
    world_pass(w, MINUTE_MS);
    buf_put(&list, den_core_crl(w->core));
    note(w, &b);
    put_back(w, &old);
    w->config.accepts_rollback = true;
    size_t n_accepted = world_logged("rollback.accepted", NULL);
    for (int has_list = 0; has_list < 2; has_list++) {
        w->config.crl_kept = has_list ? buf_view(&list) : VIEW(NULL, 0);
        CHECK_OK(world_restart(w, &err), err);
        answer_list(w, &b.kept, b.n_kept);
        answer_list(w, &none, 0);
        if (!has_list) {
            CHECK(den_core_fatal(w->core) &&
                  strstr(den_core_fatal(w->core)->text, "crl.der in the state folder"));
            CHECK_U64(world_logged("rollback.accepted", NULL), n_accepted);
            continue;
        }
        hand_over(w, b.n_kept);
        CHECK(!den_core_fatal(w->core));
    }
    buf_free(&b.kept);
    buf_free(&b.heart);
}

/* The page's status, and 1000 more where it is not `list`. */
static unsigned list_of(struct world *w, const struct pki_cert *issuer, struct view list)
{
    char digits[PKI_KEY_DIGITS + 1];
    struct web_page page = { 0 };
    bool is_same;

    pki_cert_key_digits(issuer, digits);
    _free_ char *path = mem_format("/crl/%s", digits);
    web_serve(w->core, false, view_text(path), VIEW(NULL, 0), VIEW_LIT("192.0.2.1"), &page);
    is_same = view_eq(buf_view(&page.body), list);
    buf_free(&page.body);
    return is_same ? page.status : page.status + 1000;
}

/* Until the router was met there is the list that was published last, and it may be of an intermediate before. */
TEST(the_list_that_was_published_is_of_who_signed_it)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY), *earlier = world_new(POLICY);
    _buf_ old = snapshot(w), list = { 0 }, empty = { 0 };

    buf_put(&list, den_core_crl(earlier->core));
    world_pass(w, MINUTE_MS);
    put_back(w, &old);
    w->config.accepts_rollback = true;
    w->config.crl_kept = buf_view(&list);
    CHECK_OK(world_restart(w, &err), err);
    CHECK_U64(list_of(w, signer_cert(earlier->signer), buf_view(&list)), 200);
    CHECK_U64(list_of(w, signer_cert(w->signer), buf_view(&empty)), 1503);
}

TEST(a_router_that_lacks_some_of_them_is_waited_for)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w);
    _buf_ old = snapshot(w);
    const struct buf none = { 0 };
    struct before b = { 0 };

    put_down(w, STORE_REVOKE_IDENTITY, alice->id, key_public_view(alice->key));
    world_pass(w, MINUTE_MS);
    note(w, &b);
    put_back(w, &old);
    w->config.accepts_rollback = w->config.accepts_no_list = true;
    size_t n = w->n_events;
    CHECK_OK(world_restart(w, &err), err);
    answer_list(w, &none, 0);
    CHECK_U64(w->n_events, n); /* den says nothing */
    CHECK(!den_core_fatal(w->core));
    world_pass(w, 3 * SECOND_MS);
    answer_list(w, &b.kept, b.n_kept);
    answer_list(w, &none, 0);
    hand_over(w, 1);
    CHECK(w->n_events > n);
    buf_free(&b.kept);
    buf_free(&b.heart);
}
