/* SPDX-License-Identifier: Apache-2.0 */
/* The link's QUIC connection (RFC 9000), on ngtcp2: its set-up and its callbacks. */
#include "peer/link/inside.h"

#include <arpa/inet.h>

enum { CID_LEN = 8, FIRST_DCID_LEN = 18 };

/* PROTOCOL.md, section 1. */
static const uint64_t stream_window = 1 << 20, max_stream_window = 16 << 20,
                      connection_window = 24 << 20;
static const uint64_t idle_timeout = (LINK_AHEAD_S + LINK_IDLE_S) * S_NS, keep_alive = 8 * S_NS,
                      handshake_timeout = 15 * S_NS;
/* Until it is measured. RFC 9002's third of a second would make the first loss cost a whole one. */
static const uint64_t usual_rtt = 100 * MS_NS;
/* ACKs are rare under load and quick without: 970 instead of 670 Mbit/s at 50 ms. */
static const size_t ack_threshold = 24;
static const uint64_t max_ack_delay = 8 * MS_NS;

/* ---- callbacks: they note, and never read or write packets ---- */

static int outcome(bool ok)
{
    return ok ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int fail(struct link *link, uint64_t code, const struct err *err)
{
    return outcome(link_note_failure(link, code, err));
}

static int on_completed(ngtcp2_conn *conn, void *user)
{
    struct link *link = user;
    struct err err = { 0 };

    (void)conn;
    if (!tls_is_right(link, &err))
        return fail(link, LINK_CLOSE_PROTOCOL, &err);
    tls_facts(&link->tls, &link->facts);
    if (!link->config.is_caller) {
        link->is_confirmed = true; /* RFC 9001, 4.1.2: to a server, completed is confirmed */
        return 0;
    }
    return bind_begin(link, &err) ? 0 : fail(link, LINK_CLOSE_PROTOCOL, &err);
}

static int on_confirmed(ngtcp2_conn *conn, void *user)
{
    struct link *link = user;

    (void)conn;
    link->is_confirmed = true;
    bind_check_up(link);
    return 0;
}

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user)
{
    struct link *link = user;
    struct link_stream *stream = stream_new(link, id);

    if (id == 0)
        link->control = stream;
    else
        list_append(&link->streams, &stream->in_streams);
    return ngtcp2_conn_set_stream_user_data(conn, id, stream) == 0 ? 0
                                                                   : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_control_data(struct link *link, struct view bytes, bool is_end)
{
    struct err err = { 0 };

    ngtcp2_conn_extend_max_stream_offset(link->conn, 0, bytes.len);
    ngtcp2_conn_extend_max_offset(link->conn, bytes.len);
    if (!bind_input(link, bytes, &err))
        return fail(link, LINK_CLOSE_PROTOCOL, &err);
    if (is_end) {
        err_set(&err, ERR_BAD_WIRE, "the other side ended the control stream");
        return fail(link, LINK_CLOSE_PROTOCOL, &err);
    }
    return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream_user)
{
    struct link *link = user;
    struct link_stream *stream = stream_user;
    bool is_end = flags & NGTCP2_STREAM_DATA_FLAG_FIN;

    (void)conn;
    (void)id;
    (void)offset;
    if (!stream || link->has_failure)
        return 0;
    if (stream == link->control)
        return on_control_data(link, VIEW(data, len), is_end);
    stream_received(stream, VIEW(data, len), is_end);
    return link->has_failure ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t len, void *user,
                    void *stream_user)
{
    (void)conn;
    (void)id;
    (void)user;
    if (stream_user)
        stream_acked(stream_user, offset + len);
    return 0;
}

/* The control stream lives as long as the link. */
static int control_is_gone(struct link *link)
{
    struct err err = { 0 };

    err_set(&err, ERR_BAD_WIRE, "the other side reset the control stream");
    return fail(link, LINK_CLOSE_PROTOCOL, &err);
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t final_size, uint64_t code,
                           void *user, void *stream_user)
{
    struct link *link = user;

    (void)conn;
    (void)id;
    (void)final_size;
    if (stream_user && stream_user == link->control)
        return control_is_gone(link);
    if (stream_user)
        stream_was_reset(stream_user, code);
    return 0;
}

static int on_lost_datagram(ngtcp2_conn *conn, uint64_t id, void *user)
{
    struct link *link = user;

    (void)conn, (void)id;
    link->facts.packets_lost++;
    return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code, void *user,
                           void *stream_user)
{
    struct link *link = user;

    link->facts.packets_lost += ngtcp2_conn_get_stream_loss_count(conn, id);
    if (stream_user && stream_user != link->control)
        stream_was_closed(stream_user,
                          flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET ? code : 0);
    return 0;
}

static int on_stream_credit(ngtcp2_conn *conn, int64_t id, uint64_t max, void *user,
                            void *stream_user)
{
    (void)conn;
    (void)id;
    (void)max;
    (void)user;
    if (stream_user)
        stream_unblocked(stream_user);
    return 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t len,
                       void *user)
{
    (void)conn;
    (void)flags;
    datagram_received(user, VIEW(data, len));
    return 0;
}

static void on_rand(uint8_t *to, size_t len, const ngtcp2_rand_ctx *context)
{
    (void)context;
    random_bytes(to, len);
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user)
{
    (void)conn;
    (void)user;
    random_bytes(cid->data, len);
    cid->datalen = len;
    random_bytes(
        token,
        NGTCP2_STATELESS_RESET_TOKENLEN); /* never used: the path below is the session's own */
    return 0;
}

static const ngtcp2_callbacks callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb,
    .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
    .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
    .handshake_completed = on_completed,
    .handshake_confirmed = on_confirmed,
    .encrypt = ngtcp2_crypto_encrypt_cb,
    .decrypt = ngtcp2_crypto_decrypt_cb,
    .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .rand = on_rand,
    .get_new_connection_id = on_new_cid,
    .update_key = ngtcp2_crypto_update_key_cb,
    .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
    .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
    .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
    .recv_stream_data = on_stream_data,
    .acked_stream_data_offset = on_acked,
    .stream_open = on_stream_open,
    .stream_close = on_stream_close,
    .stream_reset = on_stream_reset,
    .extend_max_stream_data = on_stream_credit,
    .recv_datagram = on_datagram,
    .lost_datagram = on_lost_datagram,
};

/* ---- set-up ---- */

static ngtcp2_callbacks callbacks_of(const struct link *link)
{
    ngtcp2_callbacks all = callbacks;

    if (link->profile->encrypt)
        all.encrypt = link->profile->encrypt;
    return all;
}

static void fill_settings(const struct link *link, ngtcp2_settings *to)
{
    ngtcp2_settings_default(to);
    /* CUBIC falls to a fiftieth at 0.1 % loss and 50 ms */
    to->cc_algo = link->profile->is_cubic ? NGTCP2_CC_ALGO_CUBIC : NGTCP2_CC_ALGO_BBR;
    to->initial_ts = link->now;
    to->initial_rtt = link->config.initial_rtt_ns ? link->config.initial_rtt_ns : usual_rtt;
    /* the path knows what its carriers take (plpmtu.h): QUIC's own discovery would find that of the one in use then */
    to->no_pmtud = to->no_tx_udp_payload_size_shaping = 1;
    to->max_tx_udp_payload_size = LINK_MAX_PACKET;
    to->max_window = connection_window;
    to->max_stream_window = max_stream_window;
    to->ack_thresh = ack_threshold;
    to->handshake_timeout = handshake_timeout;
}

static void fill_params(const struct link *link, ngtcp2_transport_params *to)
{
    ngtcp2_transport_params_default(to);
    to->initial_max_stream_data_bidi_local = stream_window;
    to->initial_max_stream_data_bidi_remote = stream_window;
    to->initial_max_data = connection_window;
    to->initial_max_streams_bidi = LINK_MAX_STREAMS + (link->config.is_caller ? 0 : 1);
    to->initial_max_streams_uni = 0;
    to->max_idle_timeout = idle_timeout;
    to->max_ack_delay = max_ack_delay;
    to->max_datagram_frame_size = 65535;
    to->disable_active_migration = 1;
}

static void random_cid(ngtcp2_cid *cid, size_t len)
{
    random_bytes(cid->data, len);
    cid->datalen = len;
}

static void make_path(struct link *link)
{
    link->local = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(1) };
    link->remote = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(2) };
    link->local.sin_addr.s_addr = link->remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link->path = (ngtcp2_path){
        .local = { .addr = (ngtcp2_sockaddr *)&link->local, .addrlen = sizeof(link->local) },
        .remote = { .addr = (ngtcp2_sockaddr *)&link->remote, .addrlen = sizeof(link->remote) },
    };
}

static bool started(struct link *link, int rc, struct err *err)
{
    if (rc != 0)
        return err_set(err, ERR_SYSTEM, "QUIC connection: %s", ngtcp2_strerror(rc));
    if (!tls_session_new(link, err))
        return false;
    ngtcp2_conn_set_keep_alive_timeout(link->conn, keep_alive);
    link->state = LINK_SHAKING;
    link->up_by = link->now + LINK_UP_WITHIN_S * S_NS;
    return true;
}

bool quic_start_caller(struct link *link, struct err *err)
{
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_callbacks all = callbacks_of(link);
    ngtcp2_cid dcid, scid;

    make_path(link);
    fill_settings(link, &settings);
    fill_params(link, &params);
    random_cid(&dcid, FIRST_DCID_LEN);
    random_cid(&scid, CID_LEN);
    link->needs_flush = true;
    return started(link,
                   ngtcp2_conn_client_new(&link->conn, &dcid, &scid, &link->path,
                                          NGTCP2_PROTO_VER_V1, &all, &settings, &params, NULL,
                                          link),
                   err);
}

/* False, and nothing happened: the packet does not begin a connection. */
bool quic_start_callee(struct link *link, struct view packet, struct err *err)
{
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_callbacks all = callbacks_of(link);
    ngtcp2_cid scid;
    ngtcp2_pkt_hd header;

    if (ngtcp2_accept(&header, packet.data, packet.len) != 0 ||
        header.version != NGTCP2_PROTO_VER_V1)
        return false;
    make_path(link);
    fill_settings(link, &settings);
    fill_params(link, &params);
    params.original_dcid = header.dcid;
    random_cid(&scid, CID_LEN);
    return started(link,
                   ngtcp2_conn_server_new(&link->conn, &header.scid, &scid, &link->path,
                                          header.version, &all, &settings, &params, NULL, link),
                   err);
}
