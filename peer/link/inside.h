/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a link, shared by the files of this folder. Who does what:
 *     link.c      the door, the order of events     quic.c      the connection: set-up, callbacks
 *     packets.c   packets in and out, timers        tls.c       the GnuTLS session and the judge
 *     close.c     how a link ends, in words         bind.c      the control stream and its order
 *     stream.c    streams                           datagram.c  datagrams
 *     rate.c      pace, and how much is under way
 * Calls that make ngtcp2 read or write packets are in packets.c and close.c alone. Its callbacks
 * never make them: they note a failure (link_note_failure), which packets.c acts on when ngtcp2
 * has returned. */
#pragma once

#include "base/list.h"
#include "peer/link/chunks.h"
#include "peer/link/control.h"
#include "peer/link/link.h"

#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#define MS_NS ((uint64_t)1000000)
#define S_NS  (1000 * MS_NS)

enum {
    LINK_MAX_CHAIN = 8,
    LINK_MAX_CERT = 16384,
    LINK_MIN_PACKET = 1200, /* RFC 9000, 14 */
    LINK_MAX_PACKET = 1452,
    LINK_BATCH = 64,            /* packets handed to `send` at once */
    LINK_MAX_UNACKED = 1 << 20, /* bytes a stream holds that were not sent yet */
    LINK_MOST_UNACKED =
        1 << 24, /* where all streams together hold so much, those under way count too */
    LINK_ROOM_AGAIN = 1 << 18, /* room that must be free before WRITABLE is told */
    LINK_MAX_STREAMS = 128,    /* opened by the other side, the control stream besides */
    LINK_MAX_EVENTS = 256,     /* hearts and revocations that wait for the owner */
    LINK_MAX_DATAGRAMS = 256,  /* each of a packet's size at most */
    LINK_MAX_REASON = 200,
    LINK_UP_WITHIN_S = 20,
    LINK_IDLE_S = 25,
    LINK_AHEAD_S = 90, /* so far after what came last link_hurry() sets our clock */
};
enum { /* which of a stream's events wait */
       STREAM_EV_OPENED = 1,
       STREAM_EV_READABLE = 2,
       STREAM_EV_WRITABLE = 4,
       STREAM_EV_RESET = 8,
       STREAM_EV_CLOSED = 16,
};

/* What a TLS session says beside the fixed rest. link_new() has one row; tests have others, to
 * be the other side that a link must refuse. */
struct tls_profile {
    const char *alpn; /* NULL: none is offered */
    bool has_chain;   /* false: no certificate is shown */
    bool is_cubic;    /* congestion control as TCP has it, and nothing of rate.c */
    ngtcp2_encrypt
        encrypt; /* instead of the right one: what it is given need not be what goes out. NULL: the right one */
};
extern const struct tls_profile tls_profile_link;

struct tls {
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    bool is_judged; /* the judge said yes */
};

enum link_state {
    LINK_WAITING, /* callee: no packet came yet */
    LINK_SHAKING, /* handshake, then BIND */
    LINK_OPEN,    /* up */
    LINK_OVER,    /* closed, failed or lost */
};

struct link_note { /* an event of the link as a whole, waiting */
    struct list in_notes;
    enum link_event_type type;
    struct buf data;
};

struct rate {                      /* rate.c */
    uint64_t paced_until;          /* what was sent has gone by then, at the pace */
    size_t n_unpaced;              /* bytes sent that are not in it yet */
    uint64_t bound;                /* bytes under way; UINT64_MAX: none but ngtcp2's own */
    uint64_t top, started, cut_at; /* where it was cut, from, to, and when */
    uint64_t recovery;             /* ngtcp2's, the last that was looked at */
    uint64_t least, least_before,
        least_since; /* round trips of this while, and of the one before */
    uint64_t round, round_before, round_since,
        n_round; /* the same, of the newest two round trips */
};

struct link_out { /* packets that `send` has not taken yet */
    uint8_t bytes[LINK_BATCH][LINK_MAX_PACKET];
    struct view packets[LINK_BATCH];
    size_t first, n;
};

struct link {
    struct link_config config; /* chain and key_der are of no use after link_new() */
    const struct tls_profile *profile;
    struct tls tls;
    ngtcp2_conn *conn; /* NULL: callee before the first packet */
    ngtcp2_crypto_conn_ref conn_ref;
    struct sockaddr_in local, remote; /* synthetic: the one path that QUIC knows */
    ngtcp2_path path;
    uint64_t now, up_by;
    uint64_t ahead;       /* of the owner's clock, by link_hurry(); modulo 2^64: link_waited() */
    uint64_t hurried_at;  /* by the owner's clock */
    unsigned n_hurried;   /* since something came */
    uint64_t heard_at;    /* packets */
    uint64_t alone_since; /* the same by the owner's clock: hurrying is no silence */
    uint64_t ticked_at;   /* ngtcp2's timers were looked at */
    enum link_state state;

    struct rate rate;
    struct link_out *out;
    bool is_blocked; /* `send` took less than all: nothing is made until it takes the rest */
    bool needs_flush;
    size_t n_credit;        /* for what was read, and not flushed yet */
    uint64_t blocked_until; /* tried again by then, should nobody say that the path takes more */

    bool is_confirmed, has_bind, has_sent_bind;
    struct link_stream *control;
    struct control_reader frames;
    struct buf heart;

    struct list streams; /* all but the control stream */
    struct list
        sending[LINK_URGENCIES]; /* those with something to send, in turn; the control stream too */
    struct list ready;           /* those with events */
    size_t n_unacked;            /* bytes that streams hold for sending */
    uint64_t n_kept_gone, n_kept_done,
        n_kept_given;         /* streams of theirs with is_credit_kept: freed here; done with by
                                                      * the owner; for which another one was allowed */
    struct link_stream *gone; /* its CLOSED was told: freed by the next link_next_event() */

    struct list notes;
    size_t n_notes;
    struct link_note *told; /* borrowed by the event told last */
    struct datagrams {
        struct list list; /* the oldest first */
        size_t n;
    } datagrams_in, datagrams_out;
    struct datagram *told_datagram;

    bool has_failure;       /* noted in a callback: close with failure_code */
    bool is_failure_theirs; /* they ended it, with a CLOSE frame */
    uint64_t failure_code;
    struct err failure;
    struct err judged; /* why the judge refused */

    bool has_ended, is_end_told, was_up, is_up_told;
    struct link_event end;
    uint8_t close_packet[LINK_MAX_PACKET];
    size_t close_len, n_close_packets;
    uint64_t closing_until;

    struct link_facts facts;
};

struct link_stream {
    struct link *link;
    struct list in_streams, in_sending, in_ready;
    int64_t id;
    void *user;
    unsigned urgency;
    struct chunks out, in;
    uint64_t out_acked, out_sent, out_written;    /* offsets; `out` begins at out_acked */
    bool is_end_wanted, is_end_sent, is_out_dead; /* dead: reset, by either side */
    bool has_end,
        is_in_done;      /* the other side's end came; our reader was told, or no longer wants it */
    bool is_announced;   /* the application knows it */
    bool is_credit_kept; /* link_stream_keep_credit() */
    bool is_blocked;     /* by the other side's credit for this stream */
    bool wants_room;
    bool is_quic_closed; /* ngtcp2 knows it no more */
    unsigned events;
    uint64_t reset_code;
    struct buf header; /* cap and arg, for OPENED */
    struct view cap, arg;
};

struct datagram {
    struct list in_queue;
    struct view bytes;
    uint8_t data[];
};

/* For libraries whose structs say that they might write where they only read. */
static inline uint8_t *unconst(const uint8_t *bytes)
{
    union {
        const uint8_t *from;
        uint8_t *to;
    } same = { bytes };

    return same.to;
}

/* link.c */
bool link_new_as(const struct link_config *config, const struct tls_profile *profile,
                 uint64_t now_ns, struct link **ret_link, struct err *err);
void link_note(struct link *link, enum link_event_type type, struct view data);
/* For callbacks: close with this application code as soon as ngtcp2 has returned. The first one
 * counts. Returns false. */
bool link_note_failure(struct link *link, uint64_t code, const struct err *err);

/* quic.c */
bool quic_start_caller(struct link *link, struct err *err);
/* False with an empty err: the packet does not begin a connection, and nothing happened. */
bool quic_start_callee(struct link *link, struct view packet, struct err *err);

/* packets.c */
void packets_input(struct link *link, struct view packet);
void packets_flush(struct link *link); /* makes and sends whatever may be sent now */
void packets_tick(struct link *link);
size_t packets_size(const struct link *link); /* of the next ones, at most; in bytes */
uint64_t packets_deadline(const struct link *link);

/* rate.c */
void rate_init(struct rate *rate);
size_t rate_burst(const struct link *link); /* bytes that may go at once */
void rate_sent(struct link *link, size_t n);
uint64_t rate_paced_until(const struct link *link); /* UINT64_MAX: the pace holds nothing back */
uint64_t rate_flying(const struct link *link);      /* bytes */
void rate_heard(struct link *link, uint64_t flying_before); /* packets came */
bool rate_has_room(const struct link *link);                /* for new bytes of streams */

/* tls.c */
bool tls_credentials_new(struct tls *tls, const struct link_config *config,
                         const struct tls_profile *profile, struct err *err);
bool tls_session_new(struct link *link, struct err *err);
void tls_deinit(struct tls *tls);
bool tls_is_right(struct link *link,
                  struct err *err); /* once the handshake is complete: version, ALPN, judged */
bool tls_exporter(const struct tls *tls, const char *label, uint8_t ret_exporter[LINK_EXPORTER],
                  struct err *err);
void tls_facts(const struct tls *tls, struct link_facts *to);
const char *tls_alert_name(unsigned alert);

/* close.c */
void close_by_us(struct link *link, uint64_t code, const char *reason, const struct err *err);
void close_by_quic_error(struct link *link, int rc); /* what ngtcp2 returned */
void close_quietly(struct link *link, const struct err *err);
void close_repeat(struct link *link);
void close_say(uint64_t code, struct view reason,
               struct err *err); /* their application code, for people */

/* bind.c */
bool bind_begin(struct link *link, struct err *err); /* the caller's handshake is complete */
bool bind_input(struct link *link, struct view bytes, struct err *err);
void bind_check_up(struct link *link);
void bind_send_heart(struct link *link);
void bind_send_revoke(struct link *link, struct view revocation);
void bind_send_sas(struct link *link, struct view bytes);
void bind_send_report(struct link *link, struct view bytes);
void bind_send_switch(struct link *link, uint64_t number, uint8_t carrier);
bool bind_send_ice(struct link *link, uint64_t number, struct view text);
void bind_send_reauth(struct link *link, const struct link_reauth *reauth);

/* stream.c */
struct link_stream *stream_new(struct link *link, int64_t id);
void stream_free(struct link_stream *stream);
void stream_put(struct link_stream *stream,
                struct view bytes); /* for sending; the caller knows that there is room */
void stream_received(struct link_stream *stream, struct view bytes, bool is_end);
void stream_look_at_header(struct link_stream *stream);
void stream_acked(struct link_stream *stream, uint64_t until);
void stream_look_for_room(struct link_stream *stream); /* some was sent */
void stream_was_reset(struct link_stream *stream, uint64_t code);
void stream_was_closed(struct link_stream *stream, uint64_t code);
void stream_unblocked(struct link_stream *stream);
bool stream_next_event(struct link *link, struct link_event *ret);

/* datagram.c */
void datagram_received(struct link *link, struct view bytes);
bool datagram_next_event(struct link *link, struct link_event *ret);
/* That fits into a packet of that size; NULL: none. */
struct datagram *datagram_to_send(struct link *link, size_t size);
void datagram_sent(struct link *link); /* that one */
void datagrams_init(struct link *link);
void datagrams_free(struct link *link);
