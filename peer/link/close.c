/* SPDX-License-Identifier: Apache-2.0 */
/* How a link ends, and the words for it. PROTOCOL.md, section 5. */
#include "peer/link/inside.h"

enum { MAX_CLOSE_PACKETS = 32 };

static const struct {
    uint64_t code;
    enum err_code err;
    const char *text;
} codes[] = {
    { LINK_CLOSE_NORMAL, ERR_CLOSED, "the other side closed the link" },
    { LINK_CLOSE_PROTOCOL, ERR_BAD_WIRE, "the other side says that we broke the protocol" },
    { LINK_CLOSE_REVOKED, ERR_REVOKED,
      "the other side closed the link: one of the ends was revoked" },
    { LINK_CLOSE_EXPIRED, ERR_EXPIRED, "the other side closed the link: a certificate ran out" },
    { LINK_CLOSE_BIND, ERR_BAD_WIRE, "the other side closed the link: BIND names another session" },
    { LINK_CLOSE_CAPABILITY, ERR_CAPABILITY,
      "the other side closed the link: a capability is not in the session" },
    { LINK_CLOSE_ADMIN, ERR_CLOSED,
      "the other side closed the link: the session was ended by den or an operator" },
    { LINK_CLOSE_LIVE_UNTIL, ERR_EXPIRED,
      "the other side closed the link: the session's time is over" },
};

const char link_over_remedy[] =
    "nothing is wrong: policy, or whoever was called, allowed it for so long; dial again to go on";

void close_say(uint64_t code, struct view reason, struct err *err)
{
    reason = view_sub(reason, 0, LINK_MAX_REASON);
    for (size_t i = 0; i < N_ELEMENTS(codes); i++)
        if (codes[i].code == code) {
            err_set(err, codes[i].err, reason.len ? "%s: %.*s" : "%s", codes[i].text,
                    VIEW_FMT(reason));
            if (code == LINK_CLOSE_LIVE_UNTIL)
                err_advise(err, link_over_remedy);
            return;
        }
    err_set(err, ERR_CLOSED, "the other side closed the link with code %llu: %.*s",
            (unsigned long long)code, VIEW_FMT(reason));
}

/* What an alert of theirs means to a person here. */
static void say_their_alert(unsigned alert, struct err *err)
{
    const char *name = tls_alert_name(alert);

    if (alert >= 42 && alert <= 49)
        err_set(err, ERR_BAD_CERTIFICATE, "the other side refused our certificate (TLS alert %s)",
                name);
    else if (alert == 116)
        err_set(err, ERR_BAD_CERTIFICATE, "the other side requires a certificate (TLS alert %s)",
                name);
    else if (alert == 120)
        err_set(err, ERR_BAD_WIRE, "the other side does not speak %s (TLS alert %s)",
                tls_profile_link.alpn, name);
    else
        err_set(err, ERR_BAD_WIRE, "the other side ended the handshake (TLS alert %s)", name);
}

static void say_our_alert(unsigned alert, struct err *err)
{
    const char *name = tls_alert_name(alert);

    if (alert == 116)
        err_set(err, ERR_BAD_CERTIFICATE, "the other side sent no certificate (TLS alert %s)",
                name);
    else if (alert == 120)
        err_set(err, ERR_BAD_WIRE, "the other side does not speak %s (TLS alert %s)",
                tls_profile_link.alpn, name);
    else
        err_set(err, ERR_BAD_WIRE, "the TLS handshake failed (alert %s)", name);
}

/* The end's event, once. */
static void end(struct link *link, bool by_remote, uint64_t code, const struct err *err)
{
    if (link->has_ended)
        return;
    link->has_ended = true;
    link->was_up = link->state == LINK_OPEN;
    link->state = LINK_OVER;
    link->end = (struct link_event){
        .type = link->was_up ? LINK_DOWN : LINK_FAILED,
        .code = code,
        .by_remote = by_remote,
        .err = *err,
    };
}

void close_quietly(struct link *link, const struct err *err)
{
    end(link, false, LINK_CLOSE_NORMAL, err);
}

/* The packet is kept: it is the answer to whatever else arrives (RFC 9000, 10.2.1), and goes
 * again when the path was blocked. */
void close_repeat(struct link *link)
{
    struct view packet = VIEW(link->close_packet, link->close_len);

    if (link->close_len && link->now < link->closing_until &&
        link->n_close_packets++ < MAX_CLOSE_PACKETS)
        link->is_blocked = link->config.send(link->config.user, &packet, 1) == 0;
}

static void send_close(struct link *link, const ngtcp2_connection_close_error *error)
{
    ngtcp2_pkt_info info = { 0 };
    ngtcp2_ssize len;

    if (!link->conn || ngtcp2_conn_is_in_closing_period(link->conn) ||
        ngtcp2_conn_is_in_draining_period(link->conn))
        return;
    len = ngtcp2_conn_write_connection_close(link->conn, NULL, &info, link->close_packet,
                                             sizeof(link->close_packet), error, link->now);
    if (len <= 0)
        return;
    link->close_len = (size_t)len;
    link->closing_until = link->now + 3 * ngtcp2_conn_get_pto(link->conn);
    close_repeat(link);
}

void close_by_us(struct link *link, uint64_t code, const char *reason, const struct err *err)
{
    ngtcp2_connection_close_error error;
    struct view text = view_sub(view_text(reason), 0, LINK_MAX_REASON);

    if (link->state == LINK_OVER)
        return;
    code = code < LINK_MAX_CODE ? code : LINK_MAX_CODE; /* ngtcp2 aborts on more */
    ngtcp2_connection_close_error_set_application_error(&error, code, text.data, text.len);
    send_close(link, &error);
    end(link, link->is_failure_theirs, code, err);
}

static void read_their_close(struct link *link, uint64_t *ret_code, struct err *err)
{
    ngtcp2_connection_close_error error;
    uint64_t code;

    ngtcp2_conn_get_connection_close_error(link->conn, &error);
    *ret_code = code = error.error_code;
    if (error.type == NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION)
        close_say(code, VIEW(error.reason, error.reasonlen), err);
    else if (code >= NGTCP2_CRYPTO_ERROR && code <= NGTCP2_CRYPTO_ERROR + 0xff)
        say_their_alert((unsigned)(code - NGTCP2_CRYPTO_ERROR), err);
    else if (code == NGTCP2_APPLICATION_ERROR || code == NGTCP2_NO_ERROR)
        err_set(err, ERR_CLOSED,
                "the other side closed during the handshake"); /* RFC 9000, 10.2.3 hides why */
    else
        err_set(err, ERR_BAD_WIRE, "the other side ended the connection: QUIC error 0x%llx",
                (unsigned long long)code);
}

/* Our TLS refused: the judge's words, if it was the judge. */
static void refuse_handshake(struct link *link)
{
    ngtcp2_connection_close_error error;
    uint8_t alert = ngtcp2_conn_get_tls_alert(link->conn);
    struct err err = { 0 };

    if (link->judged.code != ERR_NONE)
        err = link->judged;
    else
        say_our_alert(alert, &err);
    ngtcp2_connection_close_error_set_transport_error_tls_alert(&error, alert, NULL, 0);
    send_close(link, &error);
    end(link, false, NGTCP2_CRYPTO_ERROR + alert, &err);
}

static void refuse_wire(struct link *link, int rc)
{
    ngtcp2_connection_close_error error;
    struct err err = { 0 };

    err_set(&err, ERR_BAD_WIRE, "QUIC: %s", ngtcp2_strerror(rc));
    ngtcp2_connection_close_error_set_transport_error_liberr(&error, rc, NULL, 0);
    send_close(link, &error);
    end(link, false, error.error_code, &err);
}

void close_by_quic_error(struct link *link, int rc)
{
    struct err err = { 0 };
    uint64_t code = 0;

    switch (rc) {
    case NGTCP2_ERR_DRAINING:
        read_their_close(link, &code, &err);
        end(link, true, code, &err);
        break;
    case NGTCP2_ERR_CRYPTO:
        refuse_handshake(link);
        break;
    case NGTCP2_ERR_IDLE_CLOSE:
        err_set(&err, ERR_TIMEOUT, "nothing came from the other side for 25 s");
        close_quietly(link, &err);
        break;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        err_set(&err, ERR_TIMEOUT, "the handshake took too long");
        close_quietly(link, &err);
        break;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RETRY:
    case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
    case NGTCP2_ERR_CLOSING:
        err_set(&err, ERR_BAD_WIRE, "QUIC: %s", ngtcp2_strerror(rc));
        close_quietly(link, &err);
        break;
    default:
        refuse_wire(link, rc);
    }
}
