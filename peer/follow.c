/* SPDX-License-Identifier: Apache-2.0 */
/* A new manifest, as a peer lives through it: other CAs are trusted, so that links are looked at again; a certificate of the
 * intermediate that is in use now; an admission by den's key that is in use now; and den is told who has come so far
 * (acknowledge.c). */
#include "peer/session.h"

enum {
    CALL_MS = 20000,
    SPREAD_MS = 20000,     /* so that not everybody asks for a certificate at once */
    SPREAD_FAST_MS = 5000, /* the one we have counts for nobody any more */
    AGAIN_MS = 60000,      /* den gave one, but still of the intermediate before */
    NOTICE_MS = 45000,     /* for the other end of a link to show a certificate that holds */
};

/* ---- the certificate ------------------------------------------------------------------------- */

/* Where the intermediate above our leaf stands in the manifest's list; 0: it is the one in use. */
static size_t rank(const struct core *core, const struct rpc_manifest *manifest)
{
    uint8_t hash[HASH_SIZE];
    size_t i = 0;

    if (core->cert->n_chain < 2)
        return 0;
    hash_sha256(buf_view(&core->cert->chain[1]), hash);
    while (i < manifest->intermediates.n &&
           !view_eq(manifest->intermediates.item[i], VIEW_ARR(hash)))
        i++;
    return i;
}

bool follow_is_replaced(const struct core *core)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);

    return !manifest || !core->cert || rank(core, manifest) == 0;
}

bool follow_is_listed(const struct core *core)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);

    return !manifest || !core->cert || core->cert->n_chain < 2 ||
           rank(core, manifest) < manifest->intermediates.n;
}

bool follow_must_replace(const struct core *core)
{
    return !follow_is_replaced(core) && clock_mono_ms() >= core->replace_at;
}

void follow_got_cert(struct core *core)
{
    if (!follow_is_replaced(core))
        core->replace_at = clock_mono_ms() + AGAIN_MS;
}

/* ---- what is trusted now ------------------------------------------------------------------------ */

static bool lists(const struct rpc_manifest *manifest, struct view der)
{
    uint8_t hash[HASH_SIZE];

    hash_sha256(der, hash);
    for (size_t i = 0; i < manifest->intermediates.n; i++) {
        if (view_eq(manifest->intermediates.item[i], VIEW_ARR(hash)))
            return true;
    }
    return false;
}

static void drop_unlisted(struct core *core, const struct rpc_manifest *manifest)
{
    size_t n = 0;

    for (size_t i = 0; i < core->n_intermediates; i++) {
        if (lists(manifest, buf_view(&core->intermediates[i])))
            core->intermediates[n++] = core->intermediates[i];
        else
            buf_free(&core->intermediates[i]);
    }
    memset(&core->intermediates[n], 0, (core->n_intermediates - n) * sizeof(struct buf));
    core->n_intermediates = n;
}

/* A link whose other end is of a CA that is out has some time to prove itself anew. */
static void judge_again(struct session *session)
{
    struct view chain[PKI_MAX_CHAIN];
    uint64_t until = core_now(session->core) + NOTICE_MS;
    struct err err;

    for (size_t i = 0; i < session->n_chain; i++)
        chain[i] = buf_view(&session->chain[i]);
    if (session->n_chain == 0 || session_chain_holds(session, chain, session->n_chain, &err))
        return;
    if (session->ends_at && session->ends_at <= until)
        return;
    session->ends_at = until;
    session->close_code = LINK_CLOSE_EXPIRED;
    session_set_up(session);
}

void follow_changed(struct core *core)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);
    struct session *session;

    drop_unlisted(core, manifest);
    if (core->cert && rank(core, manifest) > 0) {
        uint32_t spread = follow_is_listed(core) ? SPREAD_MS : SPREAD_FAST_MS;
        /* who comes back after a while comes alone */
        uint32_t pause = core->was_ready ? random_below(spread) : 0;
        core->replace_at = clock_mono_ms() + pause;
        if (core->settle_timer)
            loop_timer_in(core->settle_timer, pause);
    }
    reauth_judge_all(core);
    LIST_EACH(session, &core->sessions, node) {
        if (session->state == SESSION_UP)
            judge_again(session);
    }
}

/* Signed by roots that we know: nobody else has to vouch for it. */
void follow_on_manifest(void *user, const struct rpc_event *event)
{
    struct core *core = user;
    uint64_t before = rpc_trust_manifest_no(core->trust);
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view roots = rpc_fields_array(&f, "roots");
    struct view manifests = rpc_fields_array(&f, "manifests");
    rpc_fields_skip_rest(&f);
    if (rpc_fields_end(&f, &err) &&
        rpc_trust_take_challenge(core->trust, roots, manifests, clock_wall_ms(), &err) &&
        rpc_trust_manifest_no(core->trust) > before)
        trust_moved(core);
}

/* ---- the admission ----------------------------------------------------------------------------- */

/* By another key of den's than the one in use it counts only until that is out. */
bool follow_needs_admission(const struct core *core)
{
    struct view pk;

    return core->id[0] && core->admission.len &&
           rpc_trust_den_sign(core->trust, core_now(core), &pk) &&
           !key_verify(pk, buf_view(&core->admission), buf_view(&core->admission_sig));
}

static bool take_admission(struct core *core, struct rpc_payload payload, struct err *err)
{
    struct rpc_admission a;
    struct rpc_fields f;
    _buf_ bytes = { 0 };

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view admission = rpc_fields_bin(&f, "admission", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err) ||
        !rpc_trust_open(core->trust, RPC_W_ADMISSION, admission, sig, core_now(core), &a, err))
        return false;
    if (!view_eq(a.client_pk, key_public_view(core->key)) || !view_eq_text(a.id, core->id))
        return err_set(err, ERR_BAD_STATEMENT, "admission: of another key or ID");
    state_put_signed(&bytes, admission, sig);
    if (!state_write(core->state, STATE_ADMISSION, buf_view(&bytes), err))
        return false;
    buf_free(&core->admission);
    buf_free(&core->admission_sig);
    core->admission = buf_dup(admission);
    core->admission_sig = buf_dup(sig);
    return true;
}

static void on_admission(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok;

    if (core->has_failed) /* the key may be the one before */
        return;
    ok = outcome->what == RPC_RESULTED && take_admission(core, outcome->payload, &err);
    if (!ok)
        err_wrap(&err, "admission");
    core_step_done(core, STEP_ADMISSION, ok ? NULL : &err);
}

void follow_request(struct core *core, enum step step, const char *procedure, struct view body,
                    rpc_on_outcome *on_outcome)
{
    _buf_ args = { 0 };
    struct err err;

    if (identity_put_request(core, procedure, body, &args, &err))
        rpc_client_call(core->client, clock_mono_ms(), procedure, buf_view(&args), CALL_MS, false,
                        on_outcome, core);
    else
        core_step_done(core, step, &err);
}

void follow_fetch_admission(struct core *core)
{
    _buf_ body = { 0 };

    rpc_put_map(&body, 0);
    follow_request(core, STEP_ADMISSION, "den.identity.refresh", buf_view(&body), on_admission);
}
