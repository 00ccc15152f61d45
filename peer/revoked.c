/* SPDX-License-Identifier: Apache-2.0 */
/* What den revoked: held whole, on disk, told to the other ends of our links, and acted on: links with whoever is named end. */
#include "peer/session.h"

enum { CALL_MS = 20000, MAX_PAGE = 4096 };

/* ---- on disk ------------------------------------------------------------------------------------- */

static bool write_anew(const struct core *core, struct view records, struct err *err)
{
    _buf_ file = { 0 };

    rpc_revoked_put_head(&file);
    buf_put(&file, records);
    return state_write(core->state, STATE_REVOCATIONS, buf_view(&file), err);
}

/* One that is damaged is fetched anew before any link is made: the heartbeat says how many there are. */
bool revoked_load(struct core *core, struct err *err)
{
    struct rpc_revoked *loaded;
    _buf_ bytes = { 0 };
    size_t len = 0;
    bool exists;

    if (!state_read_if(core->state, STATE_REVOCATIONS, &bytes, &exists, err))
        return false;
    if (!exists)
        return true;
    if (!rpc_revoked_load(buf_view(&bytes), core->trust, &loaded, &len, err))
        return write_anew(core, VIEW(NULL, 0), err);
    rpc_revoked_free(core->revoked);
    core->revoked = loaded;
    return len == bytes.len ||
           state_write(core->state, STATE_REVOCATIONS, view_sub(buf_view(&bytes), 0, len), err);
}

/* What the disk does not take is tried again with the next, and lost with a crash: then it is fetched again. */
static void keep(struct core *core, struct view bytes, struct view sig)
{
    struct view records;
    struct err err;
    bool is_kept;

    rpc_revoked_put_record(&core->revoked_unkept, bytes, sig);
    records = buf_view(&core->revoked_unkept);
    is_kept = state_append(core->state, STATE_REVOCATIONS, records, &err) ||
              (err.code == ERR_NOT_FOUND && write_anew(core, records, &err));
    if (is_kept)
        buf_free(&core->revoked_unkept);
}

/* ---- who is named -------------------------------------------------------------------------------- */

bool revoked_check_key(const struct core *core, const char *id, struct view pk, struct err *err)
{
    return !rpc_revoked_has(core->revoked, RPC_REVOKED_IDENTITY, pk) ||
           err_set(err, ERR_REVOKED, "the identity key of %s was revoked", id);
}

/* den signed it: there is no way back for this key. Where the next one waits for den's answer, that is what ended it. */
bool revoked_check_self(struct core *core)
{
    struct err err;

    if (!rpc_revoked_has(core->revoked, RPC_REVOKED_IDENTITY, key_public_view(core->key)))
        return true;
    if (rekey_take_over(core))
        return false;
    err_set(&err, ERR_REVOKED, "the identity key of this machine was revoked");
    core_fail(core, &err);
    return false;
}

bool revoked_check_leaf(const struct core *core, const struct pki_cert *leaf, struct err *err)
{
    uint8_t spki[HASH_SIZE];

    pki_cert_spki_hash(leaf, spki);
    if (rpc_revoked_has(core->revoked, RPC_REVOKED_SERIAL, pki_cert_serial(leaf)))
        return err_set(err, ERR_REVOKED, "its certificate was revoked");
    return !rpc_revoked_has(core->revoked, RPC_REVOKED_TLS_KEY, VIEW_ARR(spki)) ||
           err_set(err, ERR_REVOKED, "the key of its certificate was revoked");
}

static bool is_of_cert(const struct rpc_revocation *r, struct view serial, const uint8_t *spki)
{
    if (r->kind == RPC_REVOKED_SERIAL)
        return view_eq(r->subject, serial);
    return r->kind == RPC_REVOKED_TLS_KEY && view_eq(r->subject, VIEW(spki, HASH_SIZE));
}

static bool is_above_ours(const struct core *core, struct view least_no)
{
    struct rpc_admission a = { 0 };
    struct err ignored;
    uint64_t least = 0;

    return !rpc_statement_read(RPC_W_ADMISSION, buf_view(&core->admission), &a, &ignored) ||
           !view_take_u64(&least_no, &least) || least > a.adm_no;
}

static bool names_us(const struct session *session, const struct rpc_revocation *r)
{
    const struct core *core = session->core;

    if (r->kind == RPC_REVOKED_IDENTITY)
        return view_eq(r->subject, key_public_view(core->key));
    if (r->kind == RPC_REVOKED_ADMISSIONS)
        return view_eq_text(r->id, core->id) && is_above_ours(core, r->subject);
    return is_of_cert(r, pki_cert_serial(session->cert->leaf), session->cert->spki);
}

static bool names_them(const struct session *session, const struct rpc_revocation *r)
{
    if (r->kind == RPC_REVOKED_IDENTITY)
        return view_eq(r->subject, VIEW_ARR(session->remote_pk));
    if (r->kind == RPC_REVOKED_ADMISSIONS)
        return view_eq_text(r->id, session->remote_id);
    return is_of_cert(r, VIEW(session->leaf_serial, session->leaf_serial_len),
                      session->remote_spki);
}

static bool is_replaced(const struct rpc_revocation *r)
{
    return r->kind == RPC_REVOKED_IDENTITY && r->reason == RPC_SUPERSEDED;
}

static void end_sessions(struct core *core, const struct rpc_revocation *r)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        struct err why = { 0 };
        if (session->state == SESSION_CLOSING)
            continue;
        if (names_them(session, r))
            err_set(&why, ERR_REVOKED,
                    is_replaced(r) ? "the identity key of %s has been replaced: dial again"
                                   : "%s was revoked",
                    session->remote_id);
        else if (names_us(session, r))
            err_set(&why, ERR_REVOKED, "this machine was revoked");
        else
            continue;
        session_close(session, LINK_CLOSE_REVOKED, why.text, &why);
    }
}

/* ---- telling --------------------------------------------------------------------------------------- */

/* The newest few, for links whose other end lacks them; whoever lacks more hears so from the heartbeat. */
static void remember(struct core *core, struct view bytes, struct view sig)
{
    struct buf *slot = &core->recent[rpc_revoked_no(core->revoked) % CORE_RECENT_REVOCATIONS];

    buf_clear(slot);
    state_put_signed(slot, bytes, sig);
}

void revoked_tell(struct session *session, uint64_t known_no)
{
    const struct core *core = session->core;
    uint64_t newest = rpc_revoked_no(core->revoked), no = session->told_rev_no;

    no = known_no > no ? known_no : no;
    if (newest > CORE_RECENT_REVOCATIONS && no < newest - CORE_RECENT_REVOCATIONS)
        no = newest - CORE_RECENT_REVOCATIONS;
    for (no++; session->state == SESSION_UP && no <= newest; no++) {
        const struct buf *said = &core->recent[no % CORE_RECENT_REVOCATIONS];
        if (said->len) /* those from before this process are not kept here */
            link_send_revoke(session->link, clock_mono_ns(), buf_view(said));
        session->told_rev_no = no;
    }
}

static void tell_all(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        if (session->state != SESSION_UP)
            continue;
        revoked_tell(session, 0);
        session_pump(session);
    }
}

/* ---- taking ---------------------------------------------------------------------------------------- */

/* Their ends hear of it before their links go. */
static void act(struct core *core, struct view bytes, struct view sig,
                const struct rpc_revocation *r)
{
    keep(core, bytes, sig);
    remember(core, bytes, sig);
    tell_all(core);
    end_sessions(core, r);
    revoked_check_self(core);
}

bool revoked_take(struct core *core, struct view bytes, struct view sig, struct err *err)
{
    struct rpc_revoked_news news;

    if (!rpc_revoked_add(core->revoked, core->trust, bytes, sig, core_now(core), &news, err)) {
        if (news.is_fork)
            trust_on_fork(core, bytes, sig, err);
        return false;
    }
    if (news.step == RPC_REVOKED_TAKEN)
        act(core, bytes, sig, &news.revocation);
    return news.step != RPC_REVOKED_GAP ||
           err_set(err, ERR_STALE, "revocation %llu is the newest that is known here",
                   (unsigned long long)rpc_revoked_no(core->revoked));
}

void revoked_on_event(void *user, const struct rpc_event *event)
{
    struct core *core = user;
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view bytes = rpc_fields_bin(&f, "revocation", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (rpc_fields_end(
            &f, &err)) /* one that den did not sign is passed over; what is missing is fetched */
        revoked_take(core, bytes, sig, &err);
}

/* ---- fetching what is missing ------------------------------------------------------------------------ */

bool revoked_is_behind(const struct core *core)
{
    return rpc_revoked_is_behind(core->revoked, core->trust);
}

static bool take_page(struct core *core, struct rpc_payload payload, struct err *err)
{
    uint64_t before = rpc_revoked_no(core->revoked);
    struct rpc_fields f, all;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view list = rpc_fields_array(&f, "revocations");
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return false;
    rpc_fields_open(&all, list);
    for (size_t n = 0; n < MAX_PAGE && rpc_fields_more(&all); n++) {
        struct rpc_fields one;
        rpc_fields_open(&one, rpc_fields_array(&all, "revocation"));
        struct view bytes = rpc_fields_bin(&one, "statement", RPC_MAX_STATEMENT);
        struct view sig = rpc_fields_fixed(&one, "signature", SIG_SIZE);
        if (!rpc_fields_end(&one, err) || !revoked_take(core, bytes, sig, err))
            return false;
    }
    return rpc_fields_end(&all, err) &&
           (rpc_revoked_no(core->revoked) > before ||
            err_set(err, ERR_STALE, "den's answer brings none that is missing"));
}

static void on_page(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok = outcome->what == RPC_RESULTED && take_page(core, outcome->payload, &err);

    if (!ok)
        err_wrap(&err, "revocations");
    core_step_done(core, STEP_REVOKED, ok ? NULL : &err);
    if (ok)
        listen_settle(core);
}

void revoked_fetch(struct core *core)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_u64(&args, rpc_revoked_no(core->revoked) + 1);
    rpc_client_call(core->client, clock_mono_ms(), "den.ca.revocations", buf_view(&args), CALL_MS,
                    false, on_page, core);
}
