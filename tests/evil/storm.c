/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that was let in and then does what it likes: storm --state DIR [--seed N] [--messages M] [--fatal N] ID
 *
 * It dials in order, and once the link is up sends messages that no honest end sends: capabilities that were not granted, streams that
 * are reset at once, that are left open, that are written to without end, datagrams, statements that nobody signed, SWITCHes, signs of life.
 * One in N (default 2000) breaks the protocol: control frames and stream headers that are not any, CLOSE with any code, QUIC frames of any
 * kind, and right ones with bits turned over. The other side ends the link at one of those; it is dialled again, until M were sent.
 * First it behaves for a while, says "honest" and waits for a line, so that somebody can look at the other side. Prints a line of JSON. */
#include "base/own.h"
#include "peer/core.h"
#include "peer/include/peer.h"
#include "peer/link/inside.h"
#include "peer/session.h"
#include "tests/evil/thread.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PATIENCE_MS = 60000,
    AT_ONCE = 256,
    HONEST_STREAMS = 100,
    HONEST_BYTES = 64 << 10,
    DEAF_MS = 300,
    MAX_MUTATED = 1500
};

static uint64_t seed = 1;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % sides;
}

static void fill(uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)dice(256);
}

/* ---- what goes out instead of what QUIC meant ---- */

static enum { AS_IT_IS, BITS, FRAMES } mutation; /* of the next packet */

static size_t put_number(uint8_t *to) /* RFC 9000, 16; of any size */
{
    unsigned form = dice(4);
    size_t n = (size_t)1 << form;

    fill(to, n);
    if (dice(4) == 0)
        memset(to, dice(2) ? 0xff : 0, n);
    to[0] = (uint8_t)((to[0] & 0x3f) | form << 6);
    return n;
}

static void put_frames(uint8_t *to, size_t len)
{
    size_t at = 0, n = 1 + dice(12);

    memset(to, 0, len); /* PADDING */
    while (n-- && at + 64 < len) {
        to[at++] = (uint8_t)dice(dice(8) ? 0x32 : 0x40);
        for (unsigned i = dice(5); i; i--)
            at += put_number(to + at);
        if (dice(3) == 0 && at + 16 < len) {
            fill(to + at, 16);
            at += 16;
        }
    }
}

static int encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                   const ngtcp2_crypto_aead_ctx *context, const uint8_t *plaintext, size_t len,
                   const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    uint8_t bytes[MAX_MUTATED];

    if (mutation == AS_IT_IS || len > sizeof(bytes) || aad_len == 0 || aad[0] & 0x80)
        return ngtcp2_crypto_encrypt_cb(dest, aead, context, plaintext, len, nonce, nonce_len, aad,
                                        aad_len);
    memcpy(bytes, plaintext, len);
    if (mutation == FRAMES)
        put_frames(bytes, len);
    else
        for (unsigned i = 1 + dice(8); i; i--)
            bytes[dice((uint32_t)len)] ^= (uint8_t)(1u << dice(8));
    mutation = AS_IT_IS;
    return ngtcp2_crypto_encrypt_cb(dest, aead, context, bytes, len, nonce, nonce_len, aad,
                                    aad_len);
}

static bool anything_goes(void *user, bool outgoing, struct view cap)
{
    (void)user, (void)outgoing, (void)cap;
    return true;
}

/* What the linker puts in the place of link_new(): the link that libpeer makes here is one that does all this. */
bool __wrap_link_new(const struct link_config *config, uint64_t now_ns, struct link **ret_link,
                     struct err *err);
bool __wrap_link_new(const struct link_config *config, uint64_t now_ns, struct link **ret_link,
                     struct err *err)
{
    static struct tls_profile evil;
    struct link_config changed = *config;

    evil = tls_profile_link;
    evil.encrypt = encrypt;
    changed.may_open = anything_goes;
    return link_new_as(&changed, &evil, now_ns, ret_link, err);
}

/* ---- messages ---- */

struct storm {
    const char *id;
    uint64_t wanted, sent, fatal, n_fatal, n_links, n_blocked;
    uint64_t heard, heard_at; /* packets of this link, and when it was another number */
    struct link *link;
    bool is_up;
};

static uint8_t garbage[4096];

static struct link_stream *some_stream(struct link *link)
{
    struct link_stream *stream, *found = NULL;
    unsigned n = 0;

    LIST_EACH(stream, &link->streams, in_streams) {
        if (dice(++n) == 0)
            found = stream;
    }
    return found;
}

static void reset_all(struct link *link)
{
    struct link_stream *stream;

    LIST_EACH(stream, &link->streams, in_streams)
        link_stream_reset(stream, clock_mono_ns(), dice(4) ? dice(1000) : LINK_MAX_CODE);
}

static bool send_datagram(struct link *link)
{
    struct err err;

    return link_datagram_send(link, clock_mono_ns(), VIEW(garbage, dice(1100)), &err);
}

static bool open_one(struct link *link, bool is_granted)
{
    static const char *const others[] = { "chat2", "cha",  "chatchat", "rpc", "shell",
                                          "*",     "CHAT", "chat.",    "~" };
    struct view cap = view_text(is_granted ? "chat" : others[dice(N_ELEMENTS(others))]);
    struct link_stream *stream;
    uint64_t now = clock_mono_ns();
    struct err err;

    if (!link_stream_open(link, now, cap, VIEW(garbage, dice(10) ? 0 : dice(1025)), &stream,
                          &err)) {
        reset_all(link); /* as many as there may be: they are open */
        return false;
    }
    link_stream_set_urgency(stream, dice(8));
    link_stream_write(stream, now, VIEW(garbage, dice(dice(4) ? 64 : sizeof(garbage))),
                      dice(4) == 0);
    if (dice(3) == 0)
        link_stream_reset(stream, now, dice(1 << 20));
    return true;
}

static bool write_more(struct link *link)
{
    struct link_stream *stream = some_stream(link);

    return stream && link_stream_write(stream, clock_mono_ns(),
                                       VIEW(garbage, dice(sizeof(garbage))), dice(20) == 0) > 0;
}

static bool reset_one(struct link *link)
{
    struct link_stream *stream = some_stream(link);

    if (stream)
        link_stream_reset(stream, clock_mono_ns(), dice(1 << 30));
    return stream != NULL;
}

static void put_frame(struct link *link, uint8_t type, uint32_t said, size_t len)
{
    _buf_ frame = { 0 };

    buf_put_u8(&frame, type);
    buf_put_u32(&frame, said);
    buf_put(&frame, VIEW(garbage, len));
    stream_put(link->control, buf_view(&frame));
    link_resume(link, clock_mono_ns());
}

/* Right in form; nobody signed it. */
static bool send_statement(struct link *link)
{
    uint8_t bytes[512], sig[SIG_SIZE];
    _buf_ payload = { 0 };

    if (link->control->out.len > 65536)
        return false;
    fill(bytes, sizeof(bytes));
    fill(sig, sizeof(sig));
    link_signed_write(&payload, VIEW(bytes, 1 + dice(sizeof(bytes))), sig);
    if (dice(2))
        link_send_heart(link, clock_mono_ns(), buf_view(&payload));
    else
        link_send_revoke(link, clock_mono_ns(), buf_view(&payload));
    return true;
}

static bool send_switch(struct link *link)
{
    if (link->control->out.len > 65536)
        return false;
    link_send_switch(link, clock_mono_ns(), dice(2) ? dice(1 << 20) : UINT64_MAX - dice(9),
                     (uint8_t)dice(5));
    return true;
}

static bool send_sign(struct session *session)
{
    struct view packet = VIEW(garbage + dice(64), dice(8) ? 9 : 1 + dice(40));

    return session->path && path_send(session->path, &packet, 1) == 1;
}

/* One that the other side cannot let pass; but some, by chance, it can. */
static void break_it(struct link *link)
{
    static const uint8_t long_header[] = { 65, 'a', 0, 0 }, no_cap[] = { 0, 0, 0 },
                         long_arg[] = { 1, 'a', 4, 1 };
    static const struct view headers[] = { VIEW_ARR(long_header), VIEW_ARR(no_cap),
                                           VIEW_ARR(long_arg) };
    struct link_stream *stream;
    struct err err;
    uint64_t now = clock_mono_ns();

    switch (dice(6)) {
    case 0:
        mutation = BITS;
        write_more(link);
        send_datagram(link);
        break;
    case 1:
    case 2:
        mutation = FRAMES;
        link_datagram_send(link, now, VIEW(garbage, 1000), &err);
        break;
    case 3:
        put_frame(link, (uint8_t)dice(dice(2) ? 10 : 256), dice(2) ? dice(70000) : dice(1u << 31),
                  dice(sizeof(garbage)));
        break;
    case 4:
        put_frame(link, CONTROL_CLOSE, 8, 8); /* any code */
        break;
    default:
        if (!link_stream_open(link, now, view_text("chat"), (struct view){ 0 }, &stream, &err))
            return;
        stream = stream_new(link, -1);
        if (ngtcp2_conn_open_bidi_stream(link->conn, &stream->id, stream) != 0) {
            stream->is_quic_closed = true;
            stream->id = 0;
            stream_free(stream);
            return;
        }
        stream->is_announced = true;
        list_append(&link->streams, &stream->in_streams);
        stream_put(stream, headers[dice(3)]);
        link_resume(link, now);
    }
}

static bool send_one(struct storm *s, struct session *session)
{
    struct link *link = session->link;
    unsigned kind = dice(10);
    bool went;

    if (s->fatal && dice((uint32_t)s->fatal) == 0) {
        break_it(link);
        s->n_fatal++;
        return true;
    }
    switch (kind) {
    case 0:
    case 1:
        went = send_datagram(link);
        break;
    case 2:
    case 3:
        went = open_one(link, false);
        break;
    case 4:
        went = open_one(link, true);
        break;
    case 5:
    case 6:
        went = write_more(link);
        break;
    case 7:
        went = reset_one(link);
        break;
    case 8:
        went = dice(2) ? send_statement(link) : send_switch(link);
        break;
    default:
        went = send_sign(session);
    }
    return went;
}

static struct session *session_up(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        if (session->state == SESSION_UP && session->link && link_is_up(session->link))
            return session;
    }
    return NULL;
}

/* Some of what breaks the protocol makes the other side end the link without a word. */
static bool is_deaf(struct storm *s, struct link *link)
{
    if (s->link != link || s->heard != link->facts.packets_received) {
        s->link = link;
        s->heard = link->facts.packets_received;
        s->heard_at = clock_mono_ms();
    }
    return clock_mono_ms() - s->heard_at > DEAF_MS;
}

static void send_some(struct core *core, void *user)
{
    struct storm *s = user;
    struct session *session = session_up(core);

    for (unsigned i = 0; i < AT_ONCE && session && link_is_up(session->link) && s->sent < s->wanted;
         i++) {
        bool went = send_one(s, session);
        s->sent += went;
        s->n_blocked += !went;
    }
    if (session && is_deaf(s, session->link))
        session_close(session, 0, "", &(struct err){ 0 });
    else if (session)
        session_pump(session);
}

/* ---- the peer ---- */

static void on_event(struct storm *s, const struct peer_event *event)
{
    if (event->type == PEER_EVENT_LINK_UP) {
        s->is_up = true;
        s->n_links++;
    } else if (event->type == PEER_EVENT_LINK_DOWN) {
        s->is_up = false;
    } else if (event->type == PEER_EVENT_FAILED) {
        fprintf(stderr, "storm: %s\n", event->error.text);
        exit(2);
    }
}

/* Until an event of this type, 0: those that are there. */
static bool wait_event(struct peer *peer, struct storm *s, unsigned wanted, int patience_ms)
{
    uint64_t until = clock_mono_ms() + (uint64_t)patience_ms;
    struct peer_event event;
    bool found = false;

    do {
        struct pollfd fd = { peer_fd(peer), POLLIN, 0 };
        poll(&fd, 1, wanted ? 100 : patience_ms);
        while (peer_next_event(peer, &event)) {
            on_event(s, &event);
            found |= (unsigned)event.type == wanted;
        }
    } while (wanted && !found && clock_mono_ms() < until);
    return found;
}

/* den lets a machine dial so often: until it does. The link; NULL: it stood. */
static struct peer_link *dial(struct peer *peer, struct storm *s)
{
    struct peer_error error;
    struct peer_link *link = NULL;
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (!s->is_up) {
        link = peer_dial(peer, s->id, (const char *const[]){ "chat", NULL }, &error);
        struct peer_event event;
        bool is_over = false;

        if (!link || clock_mono_ms() >= until) {
            fprintf(stderr, "storm: %s\n", link ? "no link any more" : error.text);
            exit(2);
        }
        while (!s->is_up && !is_over) {
            struct pollfd fd = { peer_fd(peer), POLLIN, 0 };
            poll(&fd, 1, 100);
            while (peer_next_event(peer, &event)) {
                on_event(s, &event);
                if (event.type == PEER_EVENT_LINK_DOWN && event.link == link) {
                    is_over = true;
                    if (getenv("STORM_TELLS"))
                        fprintf(stderr, "storm: %s: %s\n", event.error.name, event.error.text);
                }
            }
        }
        if (is_over)
            poll(NULL, 0, 100);
    }
    return link;
}

/* As any busy application would: a hundred streams at once, with something on each, there and back. */
static void behave(struct peer *peer, struct storm *s)
{
    struct peer_error error;
    struct peer_link *link = dial(peer, s);
    struct peer_stream *streams[HONEST_STREAMS];
    size_t sent[HONEST_STREAMS] = { 0 }, back = 0;
    bool has_ended;
    char line[4096];

    for (size_t i = 0; i < HONEST_STREAMS; i++)
        streams[i] = peer_stream_open(link, "chat", "", &error);
    while (back < (size_t)HONEST_STREAMS * HONEST_BYTES) {
        for (size_t i = 0, n; i < HONEST_STREAMS; i++) {
            n = HONEST_BYTES - sent[i] < sizeof(garbage) ? HONEST_BYTES - sent[i] : sizeof(garbage);
            sent[i] += peer_stream_write(streams[i], garbage, n);
            while (sent[i] == HONEST_BYTES &&
                   (n = peer_stream_read(streams[i], line, sizeof(line), &has_ended)))
                back += n;
        }
        wait_event(peer, s, 0, 5);
    }
    printf("honest\n");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        exit(2);
    peer_link_close(link, "");
    wait_event(peer, s, PEER_EVENT_LINK_DOWN, PATIENCE_MS);
}

static void rage(struct peer *peer, struct storm *s)
{
    while (s->sent < s->wanted) {
        dial(peer, s);
        on_thread(peer, send_some, s);
        wait_event(peer, s, 0, dice(16) ? 0 : 2);
    }
}

int main(int argc, char **argv)
{
    struct peer_config config = { .size = sizeof(config), .allow_loopback = true };
    struct storm storm = { .wanted = 10000, .fatal = 2000 };
    struct peer_error error;
    struct peer *peer;

    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--state") == 0)
            config.state_dir = next, i++;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(next, NULL, 10), i++;
        else if (strcmp(argv[i], "--messages") == 0)
            storm.wanted = strtoull(next, NULL, 10), i++;
        else if (strcmp(argv[i], "--fatal") == 0)
            storm.fatal = strtoull(next, NULL, 10), i++;
        else
            storm.id = argv[i];
    }
    peer = storm.id && config.state_dir ? peer_new(&config, &error) : NULL;
    if (!peer) {
        fprintf(stderr, "usage: storm --state DIR [--seed N] [--messages M] [--fatal N] ID\n");
        return 2;
    }
    fill(garbage, sizeof(garbage));
    if (!wait_event(peer, &storm, PEER_EVENT_JOINED, PATIENCE_MS))
        return 2;
    behave(peer, &storm);
    rage(peer, &storm);
    printf("{\"messages\": %lu, \"breaking\": %lu, \"links\": %lu, \"kept_back\": %lu}\n",
           storm.sent, storm.n_fatal, storm.n_links, storm.n_blocked);
    peer_free(peer);
    return 0;
}
