/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/samples.h"

static struct view filled(size_t size, uint8_t with)
{
    static uint8_t bytes[256][32];

    memset(bytes[with], with, sizeof(bytes[with]));
    return VIEW(bytes[with], size);
}

static struct key *from_first(uint8_t first)
{
    uint8_t seed[SEED_SIZE];

    for (uint8_t i = 0; i < SEED_SIZE; i++)
        seed[i] = (uint8_t)(first + i);
    return key_from_seed(seed);
}

struct key *sample_identity(void)
{
    return from_first(0);
}

struct key *sample_den(void)
{
    return from_first(0x20);
}

static const struct rpc_items caps = {
    { { (const uint8_t *)"chat", 4 }, { (const uint8_t *)"call:files", 10 } }, 2
};

static struct rpc_manifest manifest(void)
{
    struct rpc_manifest m = {
        .netid = filled(32, 1),
        .network = VIEW_LIT("corp.example"),
        .manifest_no = 2,
        .previous = filled(32, 2),
        .roots = { { filled(32, 1) }, 1 },
        .intermediates = { { filled(32, 3) }, 1 },
        .issued_at = 1800000000000,
        .not_after = 1831536000000,
    };

    for (uint8_t role = RPC_KEY_DEN_LOGIN; role <= RPC_KEY_ROUTER; role++)
        m.keys.item[m.keys.n++] = (struct rpc_key_entry){
            (enum rpc_key_role)role,
            filled(32, (uint8_t)(0x10 + role)),
            1800000000000,
            1831536000000,
        };
    return m;
}

static struct rpc_netsign_proof proof(void)
{
    return (struct rpc_netsign_proof){
        .netid = filled(32, 1),
        .network = VIEW_LIT("corp.example"),
        .binding = VIEW_LIT("tls-exporter"),
        .binding_data = filled(32, 4),
        .nonce_router = filled(32, 5),
        .nonce_client = filled(32, 6),
        .router_pk = filled(32, 7),
        .client_pk = filled(32, 8),
        .hello_hash = filled(32, 9),
    };
}

void sample_statement(enum rpc_word word, union rpc_any_statement *ret_any)
{
    memset(ret_any, 0, sizeof(*ret_any));
    switch (word) {
    case RPC_W_MANIFEST:
        ret_any->manifest = manifest();
        return;
    case RPC_W_NETSIGN_CLIENT:
        ret_any->proof = proof();
        ret_any->proof.heartbeat_hash = filled(32, 10);
        return;
    case RPC_W_NETSIGN_ROUTER:
        ret_any->proof = proof();
        return;
    case RPC_W_ENROL:
        ret_any->enrol = (struct rpc_enrol){
            filled(32, 1),
            VIEW_LIT("corp.example"),
            filled(32, 8),
            filled(16, 0x11),
            filled(16, 0x22),
            filled(32, 12),
            VIEW_LIT("Alice's laptop"),
        };
        return;
    case RPC_W_ADMISSION:
        ret_any->admission = (struct rpc_admission){
            filled(32, 1),      VIEW_LIT("corp.example"),
            VIEW_LIT("456000"), filled(32, 8),
            VIEW_LIT("peer"),   1,
            1800000000000,      1800604800000,
            filled(32, 13),
        };
        return;
    case RPC_W_REQUEST:
        ret_any->request = (struct rpc_request){
            filled(32, 1),    filled(32, 0x12), VIEW_LIT("456000"), VIEW_LIT("den.ca.sign"),
            filled(16, 0x11), filled(16, 0x22), filled(32, 14),
        };
        return;
    case RPC_W_DIAL:
        ret_any->dial = (struct rpc_dial){
            filled(32, 1),  filled(16, 0x33),   VIEW_LIT("456000"),
            filled(32, 8),  VIEW_LIT("123456"), caps,
            filled(32, 15), filled(32, 16),     filled(16, 0x11),
        };
        return;
    case RPC_W_GRANT:
        ret_any->grant = (struct rpc_grant){
            .netid = filled(32, 1),
            .sid = filled(16, 0x33),
            .a_id = VIEW_LIT("456000"),
            .a_pk = filled(32, 8),
            .b_id = VIEW_LIT("123456"),
            .b_pk = filled(32, 17),
            .dial_hash = filled(32, 18),
            .caps = caps,
            .consent = 1,
            .issued_at = 1800000000000,
            .beacon = filled(16, 0x11),
            .crl_no = 3,
            .policy_no = 4,
            .relay = { { VIEW_LIT("relay.corp.example:443") }, 1 },
        };
        return;
    case RPC_W_ACCEPT:
        ret_any->accept = (struct rpc_accept){
            filled(32, 1), filled(16, 0x33), filled(32, 19), VIEW_LIT("123456"), filled(32, 17),
            caps,          filled(32, 20),   filled(32, 21),
        };
        return;
    case RPC_W_HEARTBEAT:
        ret_any->heartbeat = (struct rpc_heartbeat){
            .netid = filled(32, 1),
            .hb_no = 7,
            .time = 1800000000000,
            .next_in = 30000,
            .bound = 600000,
            .beacon = filled(16, 0x11),
            .crl_no = 3,
            .crl_hash = filled(32, 22),
            .rev_head = filled(32, 0),
            .manifest_no = 2,
            .policy_no = 4,
            .audit_no = 5,
            .audit_head = filled(32, 23),
        };
        return;
    case RPC_W_TIME:
        ret_any->time = (struct rpc_time){ filled(32, 1), filled(16, 0x22), 1800000000000 };
        return;
    case RPC_W_REVOKE:
        ret_any->revocation = (struct rpc_revocation){
            .netid = filled(32, 1),
            .rev_no = 2,
            .previous = filled(32, 24),
            .kind = RPC_REVOKED_IDENTITY,
            .id = VIEW_LIT("456000"),
            .subject = filled(32, 8),
            .reason = 1,
            .at = 1800000000000,
        };
        return;
    case RPC_W_REAUTH:
        ret_any->reauth = (struct rpc_reauth){
            filled(32, 1), filled(16, 0x33), VIEW_LIT("456000"), filled(32, 25), filled(32, 26), 1,
        };
        return;
    case RPC_W_NAME:
        ret_any->name = (struct rpc_name){
            filled(32, 1), VIEW_LIT("alice-laptop"), VIEW_LIT("456000"), filled(32, 8), 3,
            1800086400000,
        };
        return;
    case RPC_W_REKEY:
        ret_any->rekey = (struct rpc_rekey){
            filled(32, 1), VIEW_LIT("456000"),   filled(32, 8), filled(32, 0x1b), 1,
            1800000000000, VIEW_LIT("operator"),
        };
        return;
    case RPC_W_END:
        ret_any->end = (struct rpc_end){
            filled(32, 1),      filled(16, 0x33), VIEW_LIT("456000"),
            VIEW_LIT("123456"), 1800000000000,    VIEW_LIT("policy does not allow it any more"),
        };
        return;
    case RPC_W_RELAY:
        ret_any->relay = (struct rpc_relay){
            filled(32, 1),    filled(16, 0x33), filled(32, 19),           1,
            filled(32, 17),   filled(32, 27),   VIEW_LIT("tls-exporter"), filled(32, 0x2d),
            filled(32, 0x22),
        };
        return;
    case RPC_W_PERMIT:
        ret_any->permit = (struct rpc_permit){
            filled(32, 1),
            filled(16, 0x44),
            VIEW_LIT("456000"),
            filled(32, 8),
            VIEW_LIT("123456"),
            filled(32, 17),
            { .item = { VIEW_LIT("chat") }, .n = 1 },
            { .n = 0 },
            1800000000000,
            1800028800000,
            28800000,
        };
        return;
    case RPC_W_WHO:
        ret_any->who = (struct rpc_who){
            filled(32, 1),
            filled(16, 0x33),
            VIEW_LIT("456000"),
            VIEW_LIT("anna-laptop,anna@corp.example"),
            VIEW_LIT("support,staff"),
        };
        return;
    case RPC_N_WORDS:
        abort();
    }
}
