/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

#include "router/clone.h"
#include "base/file.h"
#include "router/certificate.h"

#include <stdio.h>
#include <stdlib.h>

/* The fixture's own steps have to work: a test that stands on sand shows nothing. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct err err = { 0 };                                                                    \
        if (!(call)) {                                                                             \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, err.text);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the router's outside -------------------------------------------------------------------- */

static void fake_send(void *user, struct view message)
{
    struct wire *wire = user;

    buf_put_u32(&wire->out, (uint32_t)message.len);
    buf_put(&wire->out, message);
}

static void fake_send_event(void *user, struct parcel *parcel)
{
    struct wire *wire = user;

    wire->n_events++;
    wire->last_parcel = parcel;
    fake_send(wire, buf_view(&parcel->frame));
}

static size_t fake_queued(void *user)
{
    const struct wire *wire = user;

    return wire->queued;
}

static void fake_close(void *user, _unused_ const char *reason)
{
    struct wire *wire = user;

    wire->is_closed = true;
}

static void fake_trusted(void *user)
{
    struct wire *wire = user;

    wire->is_trusted = true;
}

static bool fake_keep(void *user, struct view records, struct err *err)
{
    struct world *w = user;

    if (w->fails_to_save)
        return err_set(err, ERR_SYSTEM, "revocations: No space left on device");
    buf_put(&w->kept_revocations, records);
    return true;
}

static void fake_ask(void *user, uint64_t nonce)
{
    struct wire *wire = user;

    wire->asked = nonce;
    wire->n_asked++;
}

static bool fake_read(void *user, struct buf *ret_file, _unused_ struct err *err)
{
    struct world *w = user;

    rpc_revoked_put_head(ret_file);
    buf_put(ret_file, buf_view(&w->kept_revocations));
    return true;
}

static bool fake_keep_netkeys(void *user, struct view records, struct err *err)
{
    struct world *w = user;

    if (w->fails_to_save)
        return err_set(err, ERR_SYSTEM, "netkeys: No space left on device");
    buf_put(&w->kept_netkeys, records);
    return true;
}

static bool fake_keep_acts(void *user, struct view records, bool is_all, struct err *err)
{
    struct world *w = user;

    if (w->fails_to_save)
        return err_set(err, ERR_SYSTEM, "acts: No space left on device");
    if (is_all)
        buf_clear(&w->kept_acts);
    buf_put(&w->kept_acts, records);
    w->n_acts_kept++;
    return true;
}

static bool fake_save(void *user, struct view bytes, struct err *err)
{
    struct world *world = user;

    if (world->fails_to_save)
        return err_set(err, ERR_SYSTEM, "trust: No space left on device");
    buf_clear(&world->saved);
    buf_put(&world->saved, bytes);
    world->n_saved++;
    return true;
}

static bool fake_install(void *user, _unused_ const struct view *chain, _unused_ size_t n,
                         _unused_ struct err *err)
{
    struct world *world = user;

    world->n_installed++;
    return true;
}

/* ---- the world ------------------------------------------------------------------------------- */

static void make_ca(struct world *w)
{
    struct pki_key *root_key, *key;

    MUST(pki_key_new(PKI_P384, &root_key, &err));
    MUST(pki_ca_new_root(WORLD_NETWORK, WORLD_WALL - DAY_MS, 3650 * DAY_MS, root_key, &w->root,
                         &err));
    MUST(pki_key_new(PKI_P256, &key, &err));
    MUST(pki_ca_new_intermediate(w->root, WORLD_NETWORK, WORLD_WALL - DAY_MS, 1000 * DAY_MS, key,
                                 &w->intermediate, &err));
    pki_cert_hash(pki_ca_cert(w->root), w->netid);
}

static struct rpc_key_entry entry(enum rpc_key_role role, const struct key *key)
{
    return (struct rpc_key_entry){ role, key_public_view(key), WORLD_WALL - DAY_MS,
                                   WORLD_WALL + 300 * DAY_MS };
}

static void make_manifest(struct world *w)
{
    uint8_t zeros[HASH_SIZE] = { 0 }, intermediate[HASH_SIZE];
    struct rpc_manifest m = {
        .netid = VIEW_ARR(w->netid),
        .network = VIEW_LIT(WORLD_NETWORK),
        .manifest_no = 1,
        .previous = VIEW_ARR(zeros),
        .roots = { { VIEW_ARR(w->netid) }, 1 },
        .intermediates = { { VIEW_ARR(intermediate) }, 1 },
        .keys = { { entry(RPC_KEY_DEN_LOGIN, w->den_login), entry(RPC_KEY_DEN_SIGN, w->den_sign),
                    entry(RPC_KEY_ROUTER, w->router_key) },
                  3 },
        .issued_at = WORLD_WALL - DAY_MS,
        .not_after = WORLD_WALL + 300 * DAY_MS,
    };

    pki_cert_hash(pki_ca_cert(w->intermediate), intermediate);
    rpc_statement_write(RPC_W_MANIFEST, &m, &w->manifest);
    MUST(pki_key_sign(pki_ca_key(w->root), buf_view(&w->manifest), &w->manifest_sig, &err));
}

void world_roll_sign(struct world *w)
{
    uint8_t previous[HASH_SIZE];
    struct rpc_manifest m;
    _buf_ bytes = { 0 }, sig = { 0 };

    hash_sha256(buf_view(&w->manifest), previous);
    MUST(rpc_statement_read(RPC_W_MANIFEST, buf_view(&w->manifest), &m, &err));
    key_free(w->den_sign);
    w->den_sign = key_new();
    m.manifest_no++;
    m.previous = VIEW_ARR(previous);
    m.keys.item[1] = entry(RPC_KEY_DEN_SIGN, w->den_sign);
    rpc_statement_write(RPC_W_MANIFEST, &m, &bytes);
    MUST(pki_key_sign(pki_ca_key(w->root), buf_view(&bytes), &sig, &err));
    struct view by_root = buf_view(&sig);
    MUST(rpc_trust_add_manifest(w->router->trust, buf_view(&bytes), &by_root, 1, &err));
}

static struct rpc_trust *make_trust(struct world *w)
{
    struct rpc_trust *trust = rpc_trust_new(WORLD_NETWORK, w->netid, pki_verify_by_cert);
    struct view sig = buf_view(&w->manifest_sig);

    MUST(rpc_trust_add_root(trust, pki_cert_der(pki_ca_cert(w->root)), &err));
    MUST(rpc_trust_add_manifest(trust, buf_view(&w->manifest), &sig, 1, &err));
    return trust;
}

static struct rpc_revoked *load_revoked(struct world *w, const struct rpc_trust *trust)
{
    struct rpc_revoked *revoked = NULL;
    _buf_ file = { 0 };
    size_t len;

    rpc_revoked_put_head(&file);
    buf_put(&file, buf_view(&w->kept_revocations));
    MUST(rpc_revoked_load(buf_view(&file), trust, &revoked, &len, &err));
    return revoked;
}

static struct netkeys *load_netkeys(struct world *w)
{
    struct netkeys *keys = NULL;
    _buf_ file = { 0 };
    size_t len;

    netkeys_put_head(&file);
    buf_put(&file, buf_view(&w->kept_netkeys));
    MUST(netkeys_load(buf_view(&file), NETKEYS_MAX, &keys, &len, &err));
    return keys;
}

static void start(struct world *w, struct rpc_trust *trust)
{
    _buf_ acts = buf_dup(buf_view(&w->kept_acts));
    struct router_setup setup = {
        .config = &w->config,
        .key = w->router_key,
        .trust = trust,
        .revoked = load_revoked(w, trust),
        .netkeys = load_netkeys(w),
        .acts = buf_view(&acts),
        .outside = { fake_send, fake_queued, fake_close, fake_trusted, fake_save, fake_keep,
                     fake_read, fake_install, w, fake_send_event, NULL, fake_keep_netkeys,
                     fake_keep_acts, fake_ask },
    };

    if (w->realms)
        MUST(realms_read(w->realms, WORLD_NETWORK, &setup.realms, NULL, &err));
    MUST(pki_key_spki_hash(w->tls_key, setup.tls_spki, &err));
    w->router = router_new(&setup, w->now);
}

static struct world *make_world(const char *realms)
{
    struct world *w = mem_new(struct world);

    w->realms = mem_text(realms);
    MUST(key_init(&err));
    log_open("test", LOG_ERROR);
    MUST(router_config_parse("test", VIEW_LIT("host = localhost:7443\n"), &w->config, NULL, &err));
    w->now = (struct moment){ 1000000, WORLD_WALL };
    w->router_key = key_new();
    w->den_login = key_new();
    w->den_sign = key_new();
    MUST(pki_key_new(PKI_P256, &w->tls_key, &err));
    make_ca(w);
    make_manifest(w);
    start(w, make_trust(w));
    return w;
}

struct world *world_new(void)
{
    return make_world(NULL);
}

struct world *world_with_realms(const char *realms, const char *principals)
{
    _free_ char *path = file_path(check_dir(), "realms.conf");
    _free_ char *secrets = file_path(check_dir(), "principals");

    MUST(file_write(path, view_text(realms), 0644, &err));
    MUST(file_write(secrets, view_text(principals), 0600, &err));
    return make_world(path);
}

static void wire_free(struct wire *wire)
{
    if (wire->conn)
        router_closed(wire->conn, wire->world->now, "the test ends");
    buf_free(&wire->out);
    buf_free(&wire->frame);
    free(wire);
}

void world_drop_wires(struct world *w)
{
    for (size_t i = 0; i < w->n_wires; i++)
        wire_free(w->wires[i]);
    w->n_wires = 0;
}

void world_free(struct world *w)
{
    if (!w)
        return;
    world_drop_wires(w);
    CHECK_U64(dealer_n_registrations(w->router->home->dealer),
              0); /* nothing outlives its connection */
    CHECK_U64(dealer_n_calls(w->router->home->dealer), 0);
    CHECK_U64(broker_n_subscriptions(w->router->home->broker), 0);
    CHECK_U64(map_count(w->router->by_id), 0);
    router_free(w->router);
    router_config_deinit(&w->config);
    pki_ca_free(w->intermediate);
    pki_ca_free(w->root);
    key_free(w->router_key);
    key_free(w->den_login);
    key_free(w->den_sign);
    pki_key_free(w->tls_key);
    buf_free(&w->manifest);
    buf_free(&w->manifest_sig);
    buf_free(&w->saved);
    buf_free(&w->kept_revocations);
    buf_free(&w->kept_netkeys);
    buf_free(&w->kept_acts);
    free(w->wires);
    free(w->realms);
    free(w);
}

void world_restart(struct world *w)
{
    struct rpc_trust *trust = NULL;

    world_drop_wires(w);
    router_free(w->router);
    MUST(rpc_trust_load(buf_view(&w->saved), pki_verify_by_cert, &trust, &err));
    start(w, trust);
}

static void answer_pings(struct world *w)
{
    for (size_t i = 0; i < w->n_wires; i++) {
        struct wire *wire = w->wires[i];
        if (wire->is_alive && wire->asked && wire->conn)
            router_answered(wire->conn, w->now, wire->asked);
        if (wire->is_alive)
            wire->asked = 0;
    }
}

void world_pass(struct world *w, uint64_t ms)
{
    uint64_t end = w->now.mono + ms;

    for (;;) {
        uint64_t next = min_u64(end, router_deadline(w->router));
        if (next > w->now.mono) {
            w->now.wall += next - w->now.mono;
            w->now.mono = next;
            w->now.fine = next * 1000;
        }
        router_tick(w->router, w->now);
        answer_pings(w);
        if (next == end)
            return;
    }
}

/* ---- wires ----------------------------------------------------------------------------------- */

struct wire *wire_new(struct world *w, const char *address)
{
    struct wire *wire = mem_new(struct wire);

    w->wires = mem_resize(w->wires, w->n_wires + 1, sizeof(*w->wires));
    w->wires[w->n_wires++] = wire;
    wire->world = w;
    random_bytes(wire->exporter, sizeof(wire->exporter));
    random_bytes(wire->instance, sizeof(wire->instance));
    wire->conn = router_opened(w->router, w->now, wire, address, wire->exporter);
    return wire;
}

void wire_drop(struct wire *wire)
{
    router_closed(STEAL(wire->conn), wire->world->now, "connection reset");
}

void wire_answer(struct wire *wire)
{
    router_answered(wire->conn, wire->world->now, wire->asked);
}

void wire_say(struct wire *wire, struct view frame)
{
    _buf_ exact =
        buf_dup(frame); /* a copy of its own, so that a sanitizer sees a read past its end */

    router_input(wire->conn, wire->world->now, buf_view(&exact));
}

void wire_send(struct wire *wire, const struct rpc_msg *msg)
{
    _buf_ frame = { 0 };

    rpc_msg_write(msg, &frame);
    wire_say(wire, buf_view(&frame));
}

bool wire_next(struct wire *wire, struct rpc_msg *ret_msg)
{
    struct view out = buf_view(&wire->out);
    uint32_t len;

    if (!view_take_u32(&out, &len))
        return false;
    buf_clear(&wire->frame);
    buf_put(&wire->frame, view_sub(out, 0, len));
    buf_drop_front(&wire->out, 4 + len);
    MUST(rpc_msg_read(buf_view(&wire->frame), ret_msg, &err));
    return true;
}

void wire_skip(struct wire *wire)
{
    buf_clear(&wire->out);
}

uint64_t wire_request(struct wire *wire)
{
    return ++wire->last_request;
}

/* ---- netsign --------------------------------------------------------------------------------- */

static void put_hello_extra(struct wire *wire, const struct key *key, struct buf *to)
{
    rpc_put_map(to, 6);
    rpc_put_str(to, "pubkey");
    rpc_put_bin(to, key_public_view(key));
    rpc_put_str(to, "nonce");
    rpc_put_bin(to, VIEW_ARR(wire->nonce));
    rpc_put_str(to, "binding");
    rpc_put_str(to, "tls-exporter");
    rpc_put_str(to, "instance");
    rpc_put_bin(to, VIEW_ARR(wire->instance));
    rpc_put_str(to, "manifest");
    rpc_put_u64(to, 0);
    rpc_put_str(to, "pin");
    rpc_put_bin(to, VIEW_ARR(wire->world->netid));
}

void wire_hello(struct wire *wire, const struct key *key)
{
    _buf_ frame = { 0 };
    _buf_ extra = { 0 };
    _buf_ methods = { 0 };
    struct rpc_msg msg = {
        .type = RPC_HELLO, .hello = { .realm = VIEW_LIT(WORLD_NETWORK), .agent = VIEW_LIT("test") }
    };

    random_bytes(wire->nonce, sizeof(wire->nonce));
    put_hello_extra(wire, key, &extra);
    rpc_put_array(&methods, 1);
    rpc_put_str(&methods, "netsign");
    msg.hello.authmethods = buf_view(&methods);
    msg.hello.authextra = buf_view(&extra);
    rpc_msg_write(&msg, &frame);
    wire->proof = (struct rpc_netsign){ .network = WORLD_NETWORK, .binding = "tls-exporter" };
    memcpy(wire->proof.netid, wire->world->netid, HASH_SIZE);
    memcpy(wire->proof.binding_data, wire->exporter, HASH_SIZE);
    memcpy(wire->proof.nonce_client, wire->nonce, RPC_NONCE32);
    memcpy(wire->proof.client_pk, key_public(key), KEY_SIZE);
    hash_sha256(buf_view(&frame), wire->proof.hello_hash);
    wire_say(wire, buf_view(&frame));
}

bool wire_challenge(struct wire *wire)
{
    struct rpc_msg msg;
    struct view pk, nonce, sig, heartbeat, bytes;
    struct rpc_fields f;
    struct err err = { 0 };

    if (!wire_next(wire, &msg) || msg.type != RPC_CHALLENGE)
        return false;
    if (!rpc_map_bin(msg.challenge.extra, "pubkey", &pk) ||
        !rpc_map_bin(msg.challenge.extra, "nonce", &nonce) ||
        !rpc_map_bin(msg.challenge.extra, "signature", &sig))
        return false;
    memcpy(wire->proof.router_pk, pk.data, KEY_SIZE);
    memcpy(wire->proof.nonce_router, nonce.data, RPC_NONCE32);
    if (rpc_map_get(msg.challenge.extra, "heartbeat", &heartbeat)) {
        rpc_fields_open(&f, heartbeat);
        bytes = rpc_fields_bin(&f, "heartbeat", RPC_MAX_STATEMENT);
        hash_sha256(bytes, wire->proof.heartbeat_hash);
        wire->proof.has_heartbeat = true;
    }
    return view_eq(pk, key_public_view(wire->world->router_key)) &&
           rpc_netsign_verify(&wire->proof, true, sig, &err);
}

void wire_authenticate(struct wire *wire, const struct key *key, struct view extra)
{
    uint8_t sig[SIG_SIZE];

    rpc_netsign_sign(&wire->proof, false, key, sig);
    wire_send(wire, &(struct rpc_msg){ .type = RPC_AUTHENTICATE,
                                       .authenticate = { VIEW_ARR(sig), extra } });
}

bool wire_welcome(struct wire *wire)
{
    struct rpc_msg msg;

    if (!wire_next(wire, &msg) || msg.type != RPC_WELCOME)
        return false;
    wire->session = msg.welcome.session;
    snprintf(wire->id, sizeof(wire->id), "%.*s", VIEW_FMT(msg.welcome.authid));
    snprintf(wire->role, sizeof(wire->role), "%.*s", VIEW_FMT(msg.welcome.authrole));
    return true;
}

void world_admission(struct world *w, const struct key *key, const char *id, const char *role,
                     uint64_t not_after, struct buf *ret_bytes, uint8_t ret_sig[SIG_SIZE])
{
    struct rpc_admission a = {
        .netid = VIEW_ARR(w->netid),
        .network = VIEW_LIT(WORLD_NETWORK),
        .id = view_text(id),
        .client_pk = key_public_view(key),
        .role = view_text(role),
        .adm_no = 1,
        .issued_at = w->now.wall - 1000,
        .not_after = not_after,
    };

    rpc_statement_sign(RPC_W_ADMISSION, &a, w->den_sign, ret_bytes, ret_sig);
}

void put_admission_extra(struct buf *to, const char *what, struct view bytes, struct view sig)
{
    rpc_put_map(to, 1);
    rpc_put_str(to, what);
    rpc_put_array(to, 2);
    rpc_put_bin(to, bytes);
    rpc_put_bin(to, sig);
}

/* Whoever is there with the same key is another process, and gives no sign of life. */
static bool welcome(struct wire *wire)
{
    if (!wire->out.len)
        world_pass(wire->world, CLONE_ANSWER_MS);
    return wire_welcome(wire);
}

struct wire *join_with(struct world *w, const struct key *key, const char *id, const char *role)
{
    struct wire *wire = wire_new(w, "192.0.2.1");
    uint8_t sig[SIG_SIZE];
    _buf_ extra = { 0 };
    _buf_ bytes = { 0 };

    world_admission(w, key, id, role, w->now.wall + DAY_MS, &bytes, sig);
    put_admission_extra(&extra, "admission", buf_view(&bytes), VIEW_ARR(sig));
    wire_hello(wire, key);
    MUST(wire_challenge(wire));
    wire_authenticate(wire, key, buf_view(&extra));
    MUST(welcome(wire));
    return wire;
}

struct wire *join_peer(struct world *w, const char *id)
{
    _cleanup_(key_freep) struct key *key = key_new();

    return join_with(w, key, id, "peer");
}

struct wire *join_silent_den(struct world *w)
{
    struct wire *wire = wire_new(w, "127.0.0.1");
    _buf_ extra = { 0 };

    rpc_put_map(&extra, 0);
    wire_hello(wire, w->den_login);
    MUST(wire_challenge(wire));
    wire_authenticate(wire, w->den_login, buf_view(&extra));
    MUST(welcome(wire));
    return wire;
}

struct wire *join_den(struct world *w)
{
    struct wire *wire = join_silent_den(w);

    den_beat(wire);
    return wire;
}

/* ---- asking ---------------------------------------------------------------------------------- */

const char *answer_to(struct wire *wire)
{
    static char text[RPC_MAX_URI + 1];
    struct rpc_msg msg;

    text[0] = '\0';
    if (!wire_next(wire, &msg))
        return text;
    if (msg.type == RPC_ERROR)
        snprintf(text, sizeof(text), "%.*s", VIEW_FMT(msg.error.uri));
    else if (msg.type == RPC_ABORT || msg.type == RPC_GOODBYE)
        snprintf(text, sizeof(text), "%s %.*s", rpc_type_name(msg.type),
                 VIEW_FMT(msg.abort.reason));
    else
        snprintf(text, sizeof(text), "%s", rpc_type_name(msg.type));
    return text;
}

const char *try_register(struct wire *wire, const char *uri)
{
    struct rpc_register ask = { .request = wire_request(wire), .uri = view_text(uri) };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
    return answer_to(wire);
}

const char *try_subscribe(struct wire *wire, const char *uri)
{
    struct rpc_register ask = { .request = wire_request(wire), .uri = view_text(uri) };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_SUBSCRIBE, .subscribe = ask });
    return answer_to(wire);
}

const char *try_publish(struct wire *wire, const char *uri)
{
    struct rpc_publish ask = { .request = wire_request(wire),
                               .acknowledge = true,
                               .topic = view_text(uri) };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    return answer_to(wire);
}

void send_call(struct wire *wire, const char *procedure, struct view args)
{
    struct rpc_call call = { .request = wire_request(wire),
                             .procedure = view_text(procedure),
                             .payload = rpc_args(args) };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
}

const char *try_call(struct wire *wire, const char *procedure, struct view args)
{
    send_call(wire, procedure, args);
    return answer_to(wire);
}

void world_revoke(struct world *w, enum rpc_revoked_kind kind, const char *id, struct view subject,
                  struct buf *ret_signed)
{
    uint8_t sig[SIG_SIZE];
    const struct rpc_revocation r = {
        .netid = VIEW_ARR(w->netid),
        .rev_no = ++w->rev_no,
        .previous = VIEW_ARR(w->rev_head),
        .kind = kind,
        .id = view_text(id),
        .subject = subject,
        .reason = 1,
        .at = w->now.wall,
    };
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_REVOKE, &r, w->den_sign, &bytes, sig);
    hash_sha256(buf_view(&bytes), w->rev_head);
    rpc_put_array(ret_signed, 2);
    rpc_put_bin(ret_signed, buf_view(&bytes));
    rpc_put_bin(ret_signed, VIEW_ARR(sig));
}

/* ---- den's statements ------------------------------------------------------------------------ */

void world_heartbeat(struct world *w, struct buf *ret_args)
{
    uint8_t zeros[HASH_SIZE] = { 0 }, sig[SIG_SIZE];
    struct rpc_heartbeat h = {
        .netid = VIEW_ARR(w->netid),
        .hb_no = ++w->hb_no,
        .time = w->now.wall,
        .next_in = 30 * SECOND_MS,
        .bound = 10 * MINUTE_MS,
        .beacon = VIEW_ARR(w->beacon),
        .crl_no = 1,
        .crl_hash = VIEW_ARR(zeros),
        .rev_no = w->rev_no,
        .rev_head = VIEW_ARR(w->rev_head),
        .manifest_no = 1,
        .policy_no = 1,
        .audit_no = 1,
        .audit_head = VIEW_ARR(zeros),
    };
    _buf_ bytes = { 0 };

    random_bytes(w->beacon, sizeof(w->beacon));
    rpc_statement_sign(RPC_W_HEARTBEAT, &h, w->den_sign, &bytes, sig);
    rpc_put_array(ret_args, 2);
    rpc_put_bin(ret_args, buf_view(&bytes));
    rpc_put_bin(ret_args, VIEW_ARR(sig));
}

void den_beat(struct wire *den)
{
    struct rpc_publish ask = { .request = wire_request(den),
                               .acknowledge = true,
                               .retain = true,
                               .topic = VIEW_LIT("den.heartbeat") };
    _buf_ args = { 0 };

    world_heartbeat(den->world, &args);
    ask.payload = rpc_args(buf_view(&args));
    wire_send(den, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    CHECK_STR(answer_to(den), "PUBLISHED");
}

static struct rpc_items one_cap(const char *cap)
{
    return cap ? (struct rpc_items){ { view_text(cap) }, 1 } : (struct rpc_items){ 0 };
}

void world_grant(struct world *w, const struct grant_facts *facts, const struct key *key,
                 struct buf *ret_args)
{
    uint8_t sid[RPC_SID], pk[KEY_SIZE] = { 7 }, hash[HASH_SIZE] = { 9 }, sig[SIG_SIZE];
    struct rpc_grant g = {
        .netid = VIEW_ARR(w->netid),
        .sid = VIEW_ARR(sid),
        .a_id = view_text(facts->a),
        .a_pk = VIEW_ARR(pk),
        .b_id = view_text(facts->b),
        .b_pk = VIEW_ARR(pk),
        .dial_hash = VIEW_ARR(hash),
        .caps = one_cap(facts->cap),
        .caps_back = one_cap(facts->cap_back),
        .issued_at = w->now.wall,
        .live_until = facts->live_until,
        .beacon = VIEW_ARR(w->beacon),
        .crl_no = 1,
        .policy_no = 1,
    };
    _buf_ bytes = { 0 };

    memset(sid, facts->sid, sizeof(sid));
    rpc_statement_sign(RPC_W_GRANT, &g, key ? key : w->den_sign, &bytes, sig);
    rpc_put_array(ret_args, 2);
    rpc_put_bin(ret_args, buf_view(&bytes));
    rpc_put_bin(ret_args, VIEW_ARR(sig));
}

const char *install_grant(struct wire *den, const struct grant_facts *facts)
{
    _buf_ args = { 0 };

    world_grant(den->world, facts, NULL, &args);
    return try_call(den, "network.grant.install", buf_view(&args));
}
