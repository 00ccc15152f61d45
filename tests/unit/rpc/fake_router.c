/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/fake_router.h"

#include "tests/check.h"

#include <stdio.h>

void fake_router_init(struct fake_router *r)
{
    uint8_t seed[SEED_SIZE];

    *r = (struct fake_router){ .hb_no = 7 };
    fake_root_init(&r->root, 1);
    fake_root_init(&r->other_root, 2);
    fake_manifest_make(&r->manifest,
                       &(struct fake_says){ 1, &r->root, NULL, { &r->root }, { &r->root } });
    fake_manifest_make(
        &r->other_manifest,
        &(struct fake_says){ 1, &r->other_root, NULL, { &r->other_root }, { &r->other_root } });
    r->router_key = fake_key(RPC_KEY_ROUTER);
    r->den_sign = fake_key(RPC_KEY_DEN_SIGN);
    r->den_login = fake_key(RPC_KEY_DEN_LOGIN);
    memset(seed, 0x55, sizeof(seed));
    r->stranger = key_from_seed(seed);
}

void fake_router_deinit(struct fake_router *r)
{
    fake_root_deinit(&r->root);
    fake_root_deinit(&r->other_root);
    fake_manifest_deinit(&r->manifest);
    fake_manifest_deinit(&r->other_manifest);
    key_free(r->router_key);
    key_free(r->den_sign);
    key_free(r->den_login);
    key_free(r->stranger);
}

struct rpc_trust *fake_router_trust(const struct fake_router *r)
{
    return rpc_trust_new("corp.example", r->root.hash, fake_judge);
}

uint64_t fake_wall(void)
{
    return FAKE_NOW;
}

void fake_router_send(struct fake_router *r, const struct rpc_msg *msg)
{
    _buf_ frame = { 0 };

    rpc_msg_write(msg, &frame);
    r->send(r->user, buf_view(&frame));
}

void fake_router_opened(struct fake_router *r, const uint8_t exporter[32])
{
    r->proof = (struct rpc_netsign){ 0 };
    r->has_proved = false;
    memcpy(r->proof.binding_data, exporter, 32);
}

/* ---- the handshake --------------------------------------------------------------------------- */

static void take_hello(struct fake_router *r, const struct rpc_hello *hello, struct view frame)
{
    struct view pk, nonce, binding, pin;
    uint64_t manifest = 99;

    snprintf(r->proof.network, sizeof(r->proof.network), "corp.example");
    memcpy(r->proof.netid, r->root.hash, HASH_SIZE);
    hash_sha256(frame, r->proof.hello_hash);
    memcpy(r->proof.router_pk, key_public(r->router_key), KEY_SIZE);
    random_bytes(r->proof.nonce_router, RPC_NONCE32);
    if (!CHECK(rpc_map_bin(hello->authextra, "pubkey", &pk) && pk.len == KEY_SIZE) ||
        !CHECK(rpc_map_bin(hello->authextra, "nonce", &nonce) && nonce.len == RPC_NONCE32) ||
        !CHECK(rpc_map_text(hello->authextra, "binding", &binding)) ||
        !CHECK(rpc_map_u64(hello->authextra, "manifest", &manifest)))
        return;
    CHECK_VIEW(hello->realm, VIEW_LIT("corp.example"));
    CHECK(manifest == 1 ||
          (rpc_map_bin(hello->authextra, "pin", &pin) && view_eq(pin, VIEW_ARR(r->root.hash))));
    memcpy(r->proof.client_pk, pk.data, pk.len);
    memcpy(r->proof.nonce_client, nonce.data, nonce.len);
    snprintf(r->proof.binding, sizeof(r->proof.binding), "%.*s", VIEW_FMT(binding));
}

static void put_heartbeat(struct fake_router *r, struct buf *to)
{
    static const uint8_t zeros[HASH_SIZE];
    struct rpc_heartbeat h = {
        .netid = VIEW_ARR(r->root.hash),
        .hb_no = r->hb_no,
        .time = FAKE_NOW,
        .next_in = 30000,
        .bound = 600000,
        .beacon = VIEW(zeros, RPC_BEACON),
        .crl_no = 1,
        .crl_hash = VIEW_ARR(zeros),
        .rev_head = VIEW_ARR(zeros),
        .manifest_no = 1,
        .policy_no = 1,
        .audit_no = 1,
        .audit_head = VIEW_ARR(zeros),
    };
    _buf_ bytes = { 0 };
    uint8_t sig[SIG_SIZE];

    rpc_statement_sign(RPC_W_HEARTBEAT, &h,
                       r->lie == LIE_HEARTBEAT_SIGNER ? r->stranger : r->den_sign, &bytes, sig);
    hash_sha256(buf_view(&bytes), r->proof.heartbeat_hash);
    r->proof.has_heartbeat = true;
    rpc_put_str(to, "heartbeat");
    rpc_put_array(to, 2);
    rpc_put_bin(to, buf_view(&bytes));
    rpc_put_bin(to, VIEW_ARR(sig));
}

static void sign_challenge(struct fake_router *r, uint8_t ret_sig[SIG_SIZE])
{
    struct rpc_netsign said = r->proof;

    said.binding_data[0] ^= r->lie == LIE_EXPORTER;
    said.nonce_client[0] ^= r->lie == LIE_NONCE;
    rpc_netsign_sign(&said, true,
                     r->lie == LIE_SIGNER || r->lie == LIE_KEY ? r->stranger : r->router_key,
                     ret_sig);
}

static void send_challenge(struct fake_router *r)
{
    const struct fake_root *root = r->lie == LIE_PIN ? &r->other_root : &r->root;
    const struct fake_manifest *manifest = r->lie == LIE_PIN ? &r->other_manifest : &r->manifest;
    struct rpc_msg msg = { .type = RPC_CHALLENGE };
    uint8_t sig[SIG_SIZE];
    _buf_ extra = { 0 };

    if (r->lie == LIE_KEY)
        memcpy(r->proof.router_pk, key_public(r->stranger), KEY_SIZE);
    sign_challenge(r, sig);
    rpc_put_map(&extra, 6u - (r->lie == LIE_NO_NONCE) - (r->lie == LIE_NO_HEARTBEAT));
    rpc_put_str(&extra, "pubkey");
    rpc_put_bin(&extra, VIEW_ARR(r->proof.router_pk));
    if (r->lie != LIE_NO_NONCE) {
        rpc_put_str(&extra, "nonce");
        rpc_put_bin(&extra, VIEW_ARR(r->proof.nonce_router));
    }
    rpc_put_str(&extra, "signature");
    rpc_put_bin(&extra, VIEW_ARR(sig));
    rpc_put_str(&extra, "roots");
    fake_put_roots(&extra, &root, 1);
    rpc_put_str(&extra, "manifests");
    fake_put_manifests(&extra, &manifest, 1);
    if (r->lie != LIE_NO_HEARTBEAT)
        put_heartbeat(r, &extra);
    msg.challenge.method = r->lie == LIE_METHOD ? VIEW_LIT("ticket") : VIEW_LIT("netsign");
    msg.challenge.extra = buf_view(&extra);
    fake_router_send(r, &msg);
}

static void put_admission(struct fake_router *r, struct buf *to)
{
    struct rpc_admission a = {
        .netid = VIEW_ARR(r->root.hash),
        .network = view_text("corp.example"),
        .id = r->lie == LIE_ADMISSION_ID ? VIEW_LIT("456001") : VIEW_LIT("456000"),
        .client_pk = VIEW_ARR(r->proof.client_pk),
        .role = r->lie == LIE_ADMISSION_ROLE ? VIEW_LIT("admin") : VIEW_LIT("peer"),
        .adm_no = 1,
        .issued_at = FAKE_ISSUED,
        .not_after = r->lie == LIE_ADMISSION_EXPIRED ? FAKE_NOW : FAKE_NOW + DAY_MS,
    };
    _buf_ bytes = { 0 };
    uint8_t sig[SIG_SIZE];

    if (r->lie == LIE_ADMISSION_PK)
        a.client_pk = key_public_view(r->stranger);
    if (r->lie == LIE_ADMISSION_NETWORK)
        a.network = view_text("other.example");
    rpc_statement_sign(RPC_W_ADMISSION, &a,
                       r->lie == LIE_ADMISSION_SIGNER ? r->stranger : r->den_sign, &bytes, sig);
    rpc_put_map(to, 1);
    rpc_put_str(to, "admission");
    rpc_put_array(to, 2);
    rpc_put_bin(to, buf_view(&bytes));
    rpc_put_bin(to, VIEW_ARR(sig));
}

static void send_welcome(struct fake_router *r)
{
    bool is_den = view_eq(VIEW_ARR(r->proof.client_pk), key_public_view(r->den_login));
    struct rpc_msg msg = { .type = RPC_WELCOME };
    _buf_ extra = { 0 };

    if (is_den || r->lie == LIE_NO_ADMISSION)
        rpc_put_map(&extra, 0);
    else
        put_admission(r, &extra);
    msg.welcome.session = r->session = 1000 + r->n_seen;
    msg.welcome.realm = view_text("corp.example");
    msg.welcome.authid = is_den ? VIEW_LIT("den") : VIEW_LIT("456000");
    msg.welcome.authrole = is_den ? VIEW_LIT("den") : VIEW_LIT("peer");
    msg.welcome.authmethod = view_text("netsign");
    msg.welcome.authextra = buf_view(&extra);
    fake_router_send(r, &msg);
}

static void send_abort(struct fake_router *r)
{
    struct rpc_msg msg = { .type = RPC_ABORT };

    msg.abort.reason = view_text("wamp.error.no_such_realm");
    fake_router_send(r, &msg);
}

static void answer_hello(struct fake_router *r, const struct rpc_hello *hello, struct view frame)
{
    take_hello(r, hello, frame);
    switch ((int)r->lie) {
    case LIE_WELCOME_AT_ONCE:
        send_welcome(r);
        break;
    case LIE_ABORT:
        send_abort(r);
        break;
    case LIE_NONSENSE:
        r->send(r->user, VIEW_LIT("\x93\x04"));
        break;
    case LIE_SILENCE:
        break;
    default:
        send_challenge(r);
    }
}

static void answer_authenticate(struct fake_router *r, const struct rpc_authenticate *a)
{
    struct err err;

    r->has_proved = rpc_netsign_verify(&r->proof, false, a->signature, &err);
    CHECK(r->has_proved);
    send_welcome(r);
}

/* ---- the session ----------------------------------------------------------------------------- */

static void send_error(struct fake_router *r, enum rpc_type type, uint64_t request,
                       const struct err *why)
{
    struct rpc_msg msg = { .type = RPC_ERROR };
    _buf_ uri = { 0 };
    _buf_ payload = { 0 };

    rpc_error_uri("den", why->code, &uri);
    rpc_error_put_payload(why, &payload);
    msg.error.request_type = type;
    msg.error.request = request;
    msg.error.uri = buf_view(&uri);
    msg.error.payload = (struct rpc_payload){ buf_view(&payload), 2 };
    fake_router_send(r, &msg);
}

static void send_result(struct fake_router *r, const struct rpc_call *call, bool is_progress)
{
    struct rpc_msg msg = { .type = RPC_RESULT };

    msg.result.request = call->request;
    msg.result.progress = is_progress;
    msg.result.payload = call->payload;
    fake_router_send(r, &msg);
}

static void answer_call(struct fake_router *r, const struct rpc_call *call)
{
    struct err why;

    if (view_eq_text(call->procedure, "a.steps")) {
        send_result(r, call, true);
        send_result(r, call, true);
    }
    if (view_eq_text(call->procedure, "a.steps") || view_eq_text(call->procedure, "a.echo"))
        send_result(r, call, false);
    err_set(&why, ERR_NOT_REACHABLE, "it is asleep");
    if (view_eq_text(call->procedure, "a.fail"))
        send_error(r, RPC_CALL, call->request, &why);
}

static void answer_register(struct fake_router *r, const struct rpc_register *reg,
                            bool is_subscription)
{
    struct rpc_msg msg = { .type = is_subscription ? RPC_SUBSCRIBED : RPC_REGISTERED };
    struct err why;

    err_set(&why, ERR_ALREADY_EXISTS, "an older session has it");
    if (r->refuses_registrations) {
        send_error(r, is_subscription ? RPC_SUBSCRIBE : RPC_REGISTER, reg->request, &why);
        return;
    }
    msg.ids.request = reg->request;
    msg.ids.second = 100 + reg->request;
    fake_router_send(r, &msg);
}

static void answer_cancel(struct fake_router *r, uint64_t request)
{
    struct err why;

    err_set(&why, ERR_CANCELED, "as you wished");
    send_error(r, RPC_CALL, request, &why);
}

static void answer_publish(struct fake_router *r, const struct rpc_publish *publish)
{
    struct rpc_msg msg = { .type = RPC_PUBLISHED };
    struct err why;

    if (!publish->acknowledge)
        return;
    err_set(&why, ERR_NOT_AUTHORIZED, "not your topic");
    if (view_eq_text(publish->topic, "a.closed")) {
        send_error(r, RPC_PUBLISH, publish->request, &why);
        return;
    }
    msg.ids.request = publish->request;
    msg.ids.second = 77;
    fake_router_send(r, &msg);
}

static void note(struct fake_router *r, const struct rpc_msg *msg)
{
    struct view uri = { 0 };
    uint64_t request = 0;

    if (r->n_seen >= FAKE_SEEN)
        return;
    if (msg->type == RPC_CALL) {
        request = msg->call.request;
        uri = msg->call.procedure;
    } else if (msg->type == RPC_REGISTER || msg->type == RPC_SUBSCRIBE) {
        request = msg->reg.request;
        uri = msg->reg.uri;
    } else if (msg->type == RPC_PUBLISH) {
        request = msg->publish.request;
        uri = msg->publish.topic;
    } else if (msg->type == RPC_UNREGISTER || msg->type == RPC_UNSUBSCRIBE) {
        request = msg->ids.second;
    } else if (msg->type == RPC_CANCEL) {
        request = msg->cancel.request;
        uri = msg->cancel.mode;
    } else if (msg->type == RPC_YIELD) {
        request = msg->yield.request;
    } else if (msg->type == RPC_ERROR) {
        request = msg->error.request;
        uri = msg->error.uri;
    } else if (msg->type == RPC_ABORT || msg->type == RPC_GOODBYE) {
        uri = msg->abort.reason;
    }
    r->seen[r->n_seen].type = msg->type;
    r->seen[r->n_seen].request = request;
    snprintf(r->seen[r->n_seen].uri, sizeof(r->seen[0].uri), "%.*s", VIEW_FMT(uri));
    r->n_seen++;
}

void fake_router_input(struct fake_router *r, struct view frame)
{
    struct rpc_msg msg, bye = { .type = RPC_GOODBYE };
    struct err err;

    CHECK_OK(rpc_msg_read(frame, &msg, &err), err);
    note(r, &msg);
    bye.goodbye.reason = view_text("wamp.close.goodbye_and_out");
    switch ((int)msg.type) {
    case RPC_HELLO:
        answer_hello(r, &msg.hello, frame);
        break;
    case RPC_AUTHENTICATE:
        answer_authenticate(r, &msg.authenticate);
        break;
    case RPC_CALL:
        answer_call(r, &msg.call);
        break;
    case RPC_REGISTER:
    case RPC_SUBSCRIBE:
        answer_register(r, &msg.reg, msg.type == RPC_SUBSCRIBE);
        break;
    case RPC_CANCEL:
        answer_cancel(r, msg.cancel.request);
        break;
    case RPC_PUBLISH:
        answer_publish(r, &msg.publish);
        break;
    case RPC_GOODBYE:
        fake_router_send(r, &bye);
        break;
    default:
        break;
    }
}

void fake_router_invoke(struct fake_router *r, uint64_t registration, const char *authrole,
                        struct view args)
{
    struct rpc_msg msg = { .type = RPC_INVOCATION };

    msg.invocation.request = ++r->last_invocation;
    msg.invocation.registration = registration;
    msg.invocation.caller = authrole ? 4711 : 0;
    msg.invocation.caller_authid = authrole ? VIEW_LIT("123456") : VIEW_LIT("");
    msg.invocation.caller_authrole = view_text(authrole);
    msg.invocation.receive_progress = true;
    msg.invocation.payload = rpc_args(args);
    fake_router_send(r, &msg);
}

void fake_router_event(struct fake_router *r, uint64_t subscription, struct view args)
{
    struct rpc_msg msg = { .type = RPC_EVENT };

    msg.event.subscription = subscription;
    msg.event.publication = 5;
    msg.event.payload = rpc_args(args);
    fake_router_send(r, &msg);
}
