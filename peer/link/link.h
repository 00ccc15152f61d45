/* SPDX-License-Identifier: Apache-2.0 */
/* The link: QUIC v1 (RFC 9000) with TLS 1.3 (RFC 9001), ALPN "warren-link/1", certificates on
 * both sides, over whatever path there is. ngtcp2 and GnuTLS run the handshake and the records;
 * who the other side is, is decided by the `judge` alone, which is handed the raw chain.
 *
 * The core does no I/O: packets come in by link_input(), go out by the `send` of its config,
 * time is an argument in nanoseconds of one monotonic clock. Events come out of
 * link_next_event(). The control stream is QUIC stream 0, opened by the caller; the first frame
 * both ways is BIND, and no event but LINK_FAILED comes before both were right.
 * peer/link/PROTOCOL.md has stream header, control frames and close codes.
 *
 * Make it when the path is usable; a caller's first packet goes with the first link_resume() or
 * link_tick(). After any call: take link_next_event() until it is false, then be back with
 * link_tick() at link_deadline(). A callee that never sees a packet waits for ever: its owner
 * decides how long. What the config points to is called from inside and must not call the link. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

enum { LINK_SID = 16, LINK_MAX_CAP = 64, LINK_MAX_ARG = 1024 };
/* Codes travel as QUIC's integers (RFC 9000, 16); a higher one of ours is sent as this. */
#define LINK_MAX_CODE ((UINT64_C(1) << 62) - 1)

/* Application close codes. */
enum link_close {
    LINK_CLOSE_NORMAL = 0x00,
    LINK_CLOSE_PROTOCOL = 0x01, /* the other side broke PROTOCOL.md */
    LINK_CLOSE_REVOKED = 0x10,
    LINK_CLOSE_EXPIRED = 0x11,
    LINK_CLOSE_BIND = 0x12,
    LINK_CLOSE_CAPABILITY = 0x13,
    LINK_CLOSE_ADMIN = 0x14, /* den or the peer's operator ended the session */
    LINK_CLOSE_LIVE_UNTIL = 0x15,
};
extern const char link_over_remedy[]; /* of that last: err_advise() */

struct link_config {
    bool is_caller;                               /* the QUIC client */
    uint8_t sid[LINK_SID], grant_hash[HASH_SIZE]; /* what BIND must say */
    const struct view *chain;                     /* our certificates as DER, leaf first; copied */
    size_t n_chain;
    struct view key_der; /* our TLS key, PKCS#8 DER; copied into GnuTLS */
    /* Judges the other side's raw chain, leaf first. Called once, from inside link_input(). */
    bool (*judge)(void *user, const struct view *chain, size_t n, struct err *err);
    /* Whether a stream with this capability may be opened (by us: outgoing) or accepted. */
    bool (*may_open)(void *user, bool outgoing, struct view cap);
    /* Sends datagrams, each at most 1452 bytes; returns how many went; link_resume() when more
     * can. */
    size_t (*send)(void *user, const struct view *packets, size_t n);
    /* How large one may be just now, 1200 at least; NULL: 1452. Larger ones may have been made before. */
    size_t (*packet)(void *user);
    struct view heart; /* our newest heartbeat as link_signed_write() makes it; empty: none */
    void *user;
    uint64_t initial_rtt_ns; /* 0: unknown */
};

struct link;
struct link_stream;

enum link_event_type {
    LINK_UP,              /* handshake confirmed, BIND right on both sides */
    LINK_HEART,           /* the other side's newest heartbeat: link_signed_read(data) */
    LINK_REVOKE,          /* a revocation from the other side: link_signed_read(data) */
    LINK_SAS,             /* data: 32 bytes, a commitment or its opening */
    LINK_REPORT,          /* data: what it says of itself, 1 to 2048 bytes */
    LINK_SWITCH,          /* it sends over another carrier now: link_switch_read(data) */
    LINK_ICE,             /* another try at a direct path: link_ice_read(data) */
    LINK_REAUTH,          /* its next certificate: link_reauth_read(data) */
    LINK_STREAM_OPENED,   /* by the other side, with cap and arg */
    LINK_STREAM_READABLE, /* link_stream_read() gives bytes, or the end; told again when more came */
    LINK_STREAM_WRITABLE, /* room is back after link_stream_write() took less than all */
    LINK_STREAM_RESET,    /* by the other side: code */
    LINK_STREAM_CLOSED,   /* both directions done: the handle is gone with the next call */
    LINK_DATAGRAM,        /* data */
    LINK_DOWN,   /* it was up: err, code, by_remote. Streams can be read until link_free() */
    LINK_FAILED, /* it never came up; err says why */
};

struct link_event {
    enum link_event_type type;
    struct link_stream *stream;
    struct view cap, arg, data; /* valid until the next call of link_next_event() */
    uint64_t code;
    bool by_remote;
    struct err err;
};

struct link_facts { /* the handshake's result and statistics */
    char tls_version[16], cipher[40], group[24], alpn[24];
    /* The first is smoothed: of a quiet link it is that of the path before for long. The other is the newest one, if that is less. */
    uint64_t rtt_ns, least_rtt_ns;
    uint64_t bytes_sent, bytes_received, packets_sent, packets_received, cwnd, bytes_in_flight,
        delivery_rate, /* bytes a second */
        packets_lost; /* with bytes of streams, or a datagram, as RFC 9002, 6.1 takes them for lost */
};

bool link_new(const struct link_config *config, uint64_t now_ns, struct link **ret_link,
              struct err *err);
void link_free(struct link *link); /* says nothing to the other side: link_close() first */
OWN_FREEP(link, struct link)
/* Hands over datagrams, then flushes once. */
void link_input(struct link *link, uint64_t now_ns, const struct view *packets, size_t n);
void link_resume(struct link *link, uint64_t now_ns); /* the path takes packets (again): flush */
void link_tick(struct link *link, uint64_t now_ns);   /* call at link_deadline() */
/* A path is there again after silence: flushes, and what QUIC would probe with much later (its pauses double, RFC 9002, 6.2.1) goes now. */
void link_hurry(struct link *link, uint64_t now_ns);
/* Nobody could have answered its first packets before now: of the time since then no more than `most_ns` counts, as if a clock
 * had stood still. */
void link_waited(struct link *link, uint64_t now_ns, uint64_t most_ns);
/* A caller's that began before it knew the grant: before it is given the callee's first packet. */
void link_set_grant(struct link *link, const uint8_t grant_hash[HASH_SIZE]);
uint64_t link_deadline(const struct link *link); /* ns; UINT64_MAX: none */
bool link_has_event(const struct link *link);    /* link_next_event() may have one */
bool link_next_event(struct link *link, struct link_event *ret_event);
void link_close(struct link *link, uint64_t now_ns, uint64_t code, const char *reason);
bool link_is_up(const struct link *link);
void link_facts(const struct link *link, struct link_facts *ret_facts);
void link_send_heart(struct link *link, uint64_t now_ns, struct view heart);
/* A revocation, as link_signed_write() makes it. One that would have to wait behind much is left out. */
void link_send_revoke(struct link *link, uint64_t now_ns, struct view revocation);
/* The other side's next certificate, and its proof. Nothing here is verified. All views borrow. */
enum { LINK_MAX_TLS_SIG = 80, LINK_EXPORTER = 32 };
struct link_reauth {
    struct view statement, sig; /* `reauth`, and the identity key's signature over it */
    struct view tls_sig;        /* the new TLS key's over the same bytes: ECDSA, DER */
    struct view chain[8];       /* DER, leaf first */
    size_t n_chain;
};
void link_send_reauth(struct link *link, uint64_t now_ns, const struct link_reauth *reauth);
bool link_reauth_read(struct view bytes, struct link_reauth *ret_reauth);
/* What both ends alone know of this connection (RFC 8446, 7.5), without context. SYSTEM. */
#define LINK_EXPORTER_REAUTH "EXPORTER-warren-reauth"
#define LINK_EXPORTER_SAS    "EXPORTER-warren-sas"
bool link_exporter(const struct link *link, const char *label, uint8_t ret_exporter[LINK_EXPORTER],
                   struct err *err);
/* A step of the short authentication string: sas.h says which. */
void link_send_sas(struct link *link, uint64_t now_ns, const uint8_t bytes[HASH_SIZE]);
/* What the other end is to know of this one, as a msgpack map that the link does not look into: 1 to 2048 bytes. One that
 * would have to wait behind much is left out. */
enum { LINK_MAX_REPORT = 2048 };
void link_send_report(struct link *link, uint64_t now_ns, struct view report);
/* Over which carrier we send from now on, by number; goes before all else. */
void link_send_switch(struct link *link, uint64_t now_ns, uint64_t number, uint8_t carrier);
bool link_switch_read(struct view data, uint64_t *ret_number, uint8_t *ret_carrier);
/* A description of ours, or later candidates, for the try of that number (PROTOCOL.md, section 7); at most LINK_MAX_ICE bytes. Goes
 * before all else. False: much waits already, nothing was said. */
enum { LINK_MAX_ICE = 2048 };
bool link_send_ice(struct link *link, uint64_t now_ns, uint64_t number, struct view text);
bool link_ice_read(struct view data, uint64_t *ret_number, struct view *ret_text);
/* What it has to say about its path. */
struct link_pressure {
    bool is_waiting;  /* something that was sent is not acknowledged yet */
    bool is_probing;  /* RFC 9002, 6.2: the last acknowledgement is late */
    uint64_t late_ns; /* after so long it is; 0: not known */
};
void link_pressure(const struct link *link, struct link_pressure *ret_pressure);
/* A statement with its signature, as heartbeats and revocations are exchanged. Neither is
 * verified here. */
void link_signed_write(struct buf *to, struct view statement, const uint8_t sig[SIG_SIZE]);
bool link_signed_read(struct view bytes, struct view *ret_statement, struct view *ret_sig);

/* Streams: ordered, reliable. The header {cap, arg} is written by open and checked by the side
 * that accepts. */
bool link_stream_open(struct link *link, uint64_t now_ns, struct view cap, struct view arg,
                      struct link_stream **ret_stream, struct err *err);
/* Takes as much as its buffer has room for (1 MiB a stream until acknowledged) and returns how
 * much. `is_end` closes our direction once everything was taken. */
size_t link_stream_write(struct link_stream *stream, uint64_t now_ns, struct view bytes,
                         bool is_end);
/* Copies up to `size` bytes out and gives the other side credit for them. *ret_end: nothing will
 * follow. */
size_t link_stream_read(struct link_stream *stream, uint64_t now_ns, void *to, size_t size,
                        bool *ret_end);
/* Of a stream that the other side opened: it may open another one not already when this one is gone, but when the owner has said
 * link_give_stream() for it as well. */
void link_stream_keep_credit(struct link_stream *stream);
void link_give_stream(struct link *link, uint64_t now_ns);
void link_stream_reset(struct link_stream *stream, uint64_t now_ns, uint64_t code);
/* Which streams go first when not all can: 0 the most urgent, 7 the least (RFC 9218, 4.1). A stream sends while none that is more
 * urgent has anything to send; those alike take turns. New ones have LINK_URGENCY. */
enum { LINK_URGENCIES = 8, LINK_URGENCY = 3 };
void link_stream_set_urgency(struct link_stream *stream, unsigned urgency);
uint64_t link_stream_id(const struct link_stream *stream);
void link_stream_set_user(struct link_stream *stream, void *user);
void *link_stream_user(const struct link_stream *stream);
/* Unreliable; TOO_LARGE when it does not fit the path's present size, LIMIT when the queue is
 * full. */
bool link_datagram_send(struct link *link, uint64_t now_ns, struct view bytes, struct err *err);
size_t link_datagram_max(const struct link *link);
