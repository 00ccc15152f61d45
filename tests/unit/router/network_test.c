/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

/* The result's first value, of network.<name>. */
static bool ask(struct wire *wire, const char *procedure, struct view args, struct rpc_msg *msg,
                struct view *ret_value)
{
    struct rpc_fields f;

    send_call(wire, procedure, args);
    if (!CHECK(wire_next(wire, msg)) || !CHECK(msg->type == RPC_RESULT))
        return false;
    rpc_fields_open(&f, rpc_payload_args(msg->result.payload));
    *ret_value = rpc_fields_value(&f, "first");
    return CHECK(!f.has_failed);
}

static void put_text_args(struct buf *to, const char *text)
{
    rpc_put_array(to, 1);
    rpc_put_str(to, text);
}

TEST(info_whoami_and_ping)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    struct view value, text;
    struct rpc_msg msg;
    uint64_t n;

    if (!ask(alice, "network.info", VIEW_LIT(""), &msg, &value))
        return;
    CHECK(rpc_map_text(value, "network", &text) && view_eq_text(text, WORLD_NETWORK));
    CHECK(rpc_map_u64(value, "time", &n));
    CHECK_U64(n, w->now.wall);
    CHECK(rpc_map_bool(value, "den"));
    CHECK(rpc_map_get(value, "limits", &value) && rpc_map_u64(value, "pending", &n));
    CHECK_U64(n, 64);
    if (!ask(alice, "network.whoami", VIEW_LIT(""), &msg, &value))
        return;
    CHECK(rpc_map_text(value, "id", &text) && view_eq_text(text, "456000"));
    CHECK(rpc_map_text(value, "role", &text) && view_eq_text(text, "peer"));
    CHECK(rpc_map_u64(value, "session", &n));
    CHECK_U64(n, alice->session);
    wire_drop(den);
    world_pass(w, 1234);
    if (!ask(alice, "network.ping", VIEW_LIT(""), &msg, &value))
        return;
    CHECK(rpc_value_u64(value, &n));
    CHECK_U64(n, w->now.wall);
    if (ask(alice, "network.info", VIEW_LIT(""), &msg, &value))
        CHECK(!rpc_map_bool(value, "den"));
}

static void check_stun(struct wire *wire, const char *first, const char *second)
{
    struct rpc_fields f;
    struct view value;
    struct rpc_msg msg;

    if (!ask(wire, "network.info", VIEW_LIT(""), &msg, &value) ||
        !CHECK(rpc_map_get(value, "stun", &value)))
        return;
    rpc_fields_open(&f, value);
    CHECK(view_eq_text(rpc_fields_text(&f, "first", 64), first));
    if (second)
        CHECK(view_eq_text(rpc_fields_text(&f, "second", 64), second));
    CHECK(rpc_fields_end(&f, &(struct err){ 0 }));
}

TEST(info_says_where_stun_is)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    struct view value;
    struct rpc_msg msg;
    char *host = w->config.host;

    join_den(w);
    alice = join_peer(w, "456000");
    if (ask(alice, "network.info", VIEW_LIT(""), &msg, &value))
        CHECK(!rpc_map_get(value, "stun", &value));
    w->router->stun_port = 3478;
    w->config.host = (char[]){ "relay.corp.example:443" };
    check_stun(alice, "relay.corp.example:3478", NULL);
    w->config.host = (char[]){ "[2001:db8::1]:443" };
    w->router->stun_other_port = 3479;
    check_stun(alice, "[2001:db8::1]:3478", "[2001:db8::1]:3479");
    w->config.stun_host = (char[]){ "stun.corp.example:40000" };
    check_stun(alice, "stun.corp.example:40000", NULL);
    w->config.stun_host = NULL;
    w->config.host = host;
}

TEST(arguments_that_are_not_asked_for_are_refused)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    _buf_ args = { 0 };

    join_den(w);
    alice = join_peer(w, "456000");
    put_text_args(&args, "x");
    CHECK_STR(try_call(alice, "network.ping", buf_view(&args)), "wamp.error.invalid_argument");
    CHECK_STR(try_call(alice, "network.resolve", VIEW_LIT("")), "wamp.error.invalid_argument");
    CHECK(!alice->is_closed);
}

TEST(den_resolves_while_it_is_there)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000"), *bob = join_peer(w, "456001");
    struct view value;
    struct rpc_msg msg;
    uint64_t n;
    _buf_ args = { 0 };
    _buf_ peer = { 0 };

    put_text_args(&args, "den");
    put_text_args(&peer, "456000"); /* an ID: for itself and den */
    if (!ask(alice, "network.resolve", buf_view(&args), &msg, &value))
        return;
    CHECK(rpc_value_u64(value, &n));
    CHECK_U64(n, den->session);
    CHECK_STR(try_call(bob, "network.resolve", buf_view(&peer)), "network.error.not_reachable");
    CHECK_STR(try_call(alice, "network.resolve", buf_view(&peer)), "RESULT");
    if (!ask(den, "network.resolve", buf_view(&peer), &msg, &value))
        return;
    CHECK(rpc_value_u64(value, &n));
    CHECK_U64(n, alice->session);
    wire_drop(den);
    CHECK_STR(try_call(alice, "network.resolve", buf_view(&args)), "network.error.not_reachable");
}

TEST(den_asks_who_is_online)
{
    static const struct {
        const char *id;
        bool is_online;
    } cases[] = { { "456000", true }, { "123456", false }, { "den", false }, { "", false } };
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);
    struct view value;
    struct rpc_msg msg;

    join_peer(w, "456000");
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ args = { 0 };
        put_text_args(&args, cases[i].id);
        if (ask(den, "network.peer.get", buf_view(&args), &msg, &value))
            CHECK(rpc_map_bool(value, "online") == cases[i].is_online);
    }
}

/* ---- the router's certificate ---------------------------------------------------------------- */

struct order {
    enum pki_profile profile;
    const char *label;
    struct pki_key *key;
    uint64_t now;
};

static void put_certificate_args(struct world *w, const struct order *order, struct buf *to)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct pki_order what = { .profile = order->profile,
                              .label = order->label,
                              .network = WORLD_NETWORK,
                              .now = order->now,
                              .life_ms = order->profile == PKI_ROUTER ? 30 * DAY_MS : DAY_MS };
    struct err err = { 0 };
    _buf_ der = { 0 };

    pki_serial_new(what.serial, &what.serial_len);
    CHECK_OK(pki_csr_new(order->key, &der, &err), err);
    CHECK_OK(pki_csr_read(buf_view(&der), &csr, &err), err);
    CHECK_OK(pki_ca_issue(w->intermediate, csr, &what, &cert, &err), err);
    rpc_put_array(to, 2);
    rpc_put_array(to, 2);
    rpc_put_bin(to, pki_cert_der(cert));
    rpc_put_bin(to, pki_cert_der(pki_ca_cert(w->intermediate)));
    rpc_put_array(to, 0);
}

TEST(den_renews_the_routers_certificate)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);
    struct view value, bytes;
    struct rpc_msg msg;
    uint64_t n;
    _buf_ args = { 0 };

    put_certificate_args(w, &(struct order){ PKI_ROUTER, "router", w->tls_key, w->now.wall },
                         &args);
    CHECK_STR(try_call(den, "network.router.certificate", buf_view(&args)), "RESULT");
    CHECK_U64(w->n_installed, 1);
    if (!ask(den, "network.router.status", VIEW_LIT(""), &msg, &value))
        return;
    CHECK(rpc_map_bin(value, "pk", &bytes) && view_eq(bytes, key_public_view(w->router_key)));
    CHECK(rpc_map_bin(value, "spki", &bytes) && view_eq(bytes, VIEW_ARR(w->router->tls_spki)));
    CHECK(rpc_map_u64(value, "not_after", &n) && n > w->now.wall + 29 * DAY_MS);
    CHECK(rpc_map_u64(value, "manifest", &n) && n == 1);
}

TEST(a_certificate_that_is_not_for_this_router_is_refused)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(pki_key_freep) struct pki_key *other = NULL;
    struct wire *den = join_den(w);
    struct err err = { 0 };
    _buf_ foreign_key = { 0 };
    _buf_ peers = { 0 };
    _buf_ expired = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &other, &err), err);
    put_certificate_args(w, &(struct order){ PKI_ROUTER, "router", other, w->now.wall },
                         &foreign_key);
    CHECK_STR(try_call(den, "network.router.certificate", buf_view(&foreign_key)),
              "network.error.wrong_key");
    put_certificate_args(w, &(struct order){ PKI_PEER, "456000", w->tls_key, w->now.wall }, &peers);
    CHECK_STR(try_call(den, "network.router.certificate", buf_view(&peers)),
              "network.error.name_mismatch");
    put_certificate_args(w, &(struct order){ PKI_ROUTER, "router", w->tls_key, w->now.wall },
                         &expired);
    world_pass(w, 31 * DAY_MS);
    CHECK_STR(try_call(den, "network.router.certificate", buf_view(&expired)),
              "network.error.expired");
    CHECK_U64(w->n_installed, 0);
}

/* ---- who is here ----------------------------------------------------------------------------- */

/* The IDs on a page of network.peer.list, with spaces between; *ret_next is 0 after the last. */
static void list_peers(struct wire *wire, uint64_t cursor, uint64_t limit, struct buf *ret_ids,
                       uint64_t *ret_next)
{
    struct rpc_fields page, peers;
    struct rpc_msg msg;
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_u64(&args, cursor);
    rpc_put_u64(&args, limit);
    send_call(wire, "network.peer.list", buf_view(&args));
    *ret_next = 0;
    if (!CHECK(wire_next(wire, &msg)) || !CHECK(msg.type == RPC_RESULT))
        return;
    rpc_fields_open(&page, rpc_payload_args(msg.result.payload));
    rpc_fields_open(&peers, rpc_fields_array(&page, "peers"));
    while (rpc_fields_more(&peers)) {
        struct view id, peer = rpc_fields_map(&peers, "peer");
        CHECK(rpc_map_text(peer, "id", &id));
        buf_printf(ret_ids, "%.*s ", VIEW_FMT(id));
    }
    rpc_value_u64(rpc_fields_value(&page, "next"), ret_next);
}

TEST(peers_are_listed_by_page_whoever_leaves_meanwhile)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    uint64_t next;
    _buf_ ids = { 0 };

    join_peer(w, "456001");
    join_peer(w, "456002");
    list_peers(den, 0, 2, &ids, &next);
    CHECK_STR(buf_cstr(&ids), "den 456000 ");
    CHECK(next > 0);
    wire_drop(alice);
    buf_clear(&ids);
    list_peers(den, next, 2, &ids, &next);
    CHECK_STR(buf_cstr(&ids), "456001 456002 ");
    buf_clear(&ids);
    list_peers(den, next, 2, &ids, &next);
    CHECK_STR(buf_cstr(&ids), "");
    CHECK_U64(next, 0);
}

TEST(a_peer_is_kicked_by_an_admin_alone)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *admin, *alice, *bob;
    struct rpc_msg msg;
    _buf_ args = { 0 };
    _buf_ own = { 0 };

    join_den(w);
    admin = join_with(w, key, "100000", "admin");
    alice = join_peer(w, "456000");
    bob = join_peer(w, "456001");
    put_text_args(&args, "456000");
    put_text_args(&own, "100000");
    CHECK_STR(try_call(bob, "network.peer.kick", buf_view(&args)), "wamp.error.not_authorized");
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&own)), "wamp.error.invalid_argument");
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), "RESULT");
    CHECK(wire_next(alice, &msg) && msg.type == RPC_GOODBYE);
    CHECK_VIEW(msg.goodbye.reason, VIEW_LIT("network.close.kicked"));
    CHECK(alice->is_closed && !bob->is_closed);
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), "network.error.not_found");
}

/* Who has no ID (a guest, a script) is reached by the address of its session. */
TEST(a_session_is_kicked_by_its_address)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *admin, *alice;
    const struct {
        double number; /* as clients have it whose numbers are float64 */
        const char *answer;
    } cases[] = {
        { 0.5, "wamp.error.invalid_argument" },
        { 0, "wamp.error.invalid_argument" },
        { 1, "network.error.not_found" },
        { -1, "wamp.error.invalid_argument" },
    };
    struct rpc_msg msg;

    join_den(w);
    admin = join_with(w, key, "100000", "admin");
    alice = join_peer(w, "456000");
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ args = { 0 };
        rpc_put_array(&args, 1);
        rpc_put_double(&args, cases[i].number);
        CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), cases[i].answer);
    }
    for (size_t i = 0; i < 3; i++) {
        uint64_t session = i == 0 ? admin->session : alice->session;
        _buf_ args = { 0 };
        rpc_put_array(&args, 2);
        rpc_put_u64(&args, session);
        rpc_put_str(&args, "enough");
        CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)),
                  i == 0   ? "wamp.error.invalid_argument"
                  : i == 1 ? "RESULT"
                           : "network.error.not_found");
    }
    CHECK(wire_next(alice, &msg) && msg.type == RPC_GOODBYE);
    CHECK_VIEW(msg.goodbye.reason, VIEW_LIT("network.close.kicked"));
    CHECK_VIEW(msg.goodbye.message, VIEW_LIT("enough"));
    CHECK(alice->is_closed && !admin->is_closed);
}

TEST(who_comes_and_goes_is_told_to_den)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice;
    struct rpc_fields f;
    struct view value;
    struct rpc_msg msg;

    CHECK_STR(try_subscribe(den, "network.peer.on_join"), "SUBSCRIBED");
    CHECK_STR(try_subscribe(den, "network.peer.on_leave"), "SUBSCRIBED");
    alice = join_peer(w, "456000");
    if (!CHECK(wire_next(den, &msg)) || !CHECK(msg.type == RPC_EVENT))
        return;
    rpc_fields_open(&f, rpc_payload_args(msg.event.payload));
    CHECK(rpc_map_text(rpc_fields_map(&f, "peer"), "id", &value));
    CHECK_VIEW(value, VIEW_LIT("456000"));
    wire_drop(alice);
    if (!CHECK(wire_next(den, &msg)) || !CHECK(msg.type == RPC_EVENT))
        return;
    rpc_fields_open(&f, rpc_payload_args(msg.event.payload));
    CHECK_VIEW(rpc_fields_text(&f, "id", 24), VIEW_LIT("456000"));
    CHECK(!wire_next(den, &msg));
}

TEST(sessions_are_named_to_those_who_may_know)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000"), *bob = join_peer(w, "456001");
    const struct {
        struct wire *asker;
        uint64_t session;
        const char *answer;
    } cases[] = {
        { bob, den->conn->session, "RESULT" },
        { bob, alice->session, "network.error.not_reachable" },
        { alice, alice->session, "RESULT" },
        { den, alice->session, "RESULT" },
        { den, 1, "network.error.not_reachable" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ args = { 0 };
        rpc_put_array(&args, 1);
        rpc_put_u64(&args, cases[i].session);
        CHECK_STR(try_call(cases[i].asker, "network.reverse", buf_view(&args)), cases[i].answer);
    }
}

TEST(grants_and_figures_are_shown_to_den)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    struct rpc_fields f;
    struct view value;
    struct rpc_msg msg;
    uint64_t n = 0;

    CHECK_STR(install_grant(den, &(struct grant_facts){ 7, "456000", "456001", "chat", "chat", 0 }),
              "RESULT");
    if (!ask(den, "network.stats", VIEW_LIT(""), &msg, &value))
        return;
    CHECK(rpc_map_u64(value, "grants", &n));
    CHECK_U64(n, 1);
    CHECK(rpc_map_u64(value, "peers", &n));
    CHECK_U64(n, 2);
    if (!ask(den, "network.grant.list", VIEW_LIT(""), &msg, &value))
        return;
    rpc_fields_open(&f, value);
    CHECK(rpc_map_text(rpc_fields_map(&f, "grant"), "b", &value));
    CHECK_VIEW(value, VIEW_LIT("456001"));
    CHECK(!rpc_fields_more(&f));
    CHECK_STR(try_call(alice, "network.grant.list", (struct view){ 0 }),
              "wamp.error.not_authorized");
}
