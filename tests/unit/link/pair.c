/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/link/pair.h"
#include "tests/unit/link/certs.h"

struct packet {
    struct list in_packets;
    uint64_t at;
    struct pair_end *to;
    size_t len;
    uint8_t bytes[];
};

/* ---- what a link asks of its owner ---- */

static bool on_judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    struct pair_end *end = user;

    end->n_judged++;
    if (end->side.judge_refuses)
        return err_set(err, ERR_BAD_CERTIFICATE, "the %s says no",
                       end->is_caller ? "caller" : "callee");
    if (end->side.judge)
        return end->side.judge(user, chain, n, err);
    return certs_judge(end->is_caller, chain, n, err);
}

static bool on_may_open(void *user, bool outgoing, struct view cap)
{
    struct pair_end *end = user;

    (void)outgoing;
    return !end->side.no_cap || !view_eq_text(cap, end->side.no_cap);
}

static unsigned dice(struct pair *pair, unsigned sides)
{
    pair->seed = pair->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(pair->seed >> 33) % sides;
}

static void put_packet(struct pair *pair, struct pair_end *to, struct view bytes, uint64_t at)
{
    struct packet *packet = mem_resize(NULL, 1, sizeof(struct packet) + bytes.len);
    struct list *before = pair->packets.prev;

    packet->at = at;
    packet->to = to;
    packet->len = bytes.len;
    memcpy(packet->bytes, bytes.data, bytes.len);
    while (before != &pair->packets && LIST_ITEM(before, struct packet, in_packets)->at > at)
        before = before->prev;
    list_append(before->next, &packet->in_packets); /* before the one after `before` */
}

static uint64_t through_bottleneck(struct pair *pair, struct pair_end *to, size_t len)
{
    uint64_t *free_at = &(pair->beside ? pair->beside : pair)->free_at[to->is_caller];
    uint64_t rate = pair->wire.bytes_per_s;

    if (!rate)
        return pair->now;
    if (*free_at < pair->now)
        *free_at = pair->now;
    if ((*free_at - pair->now) / 1000 * rate / 1000000 > 256 * 1024)
        return UINT64_MAX;
    *free_at += len * S_NS / rate;
    return *free_at;
}

static void carry(struct pair *pair, struct pair_end *to, struct view bytes)
{
    uint64_t at = through_bottleneck(pair, to, bytes.len);

    if (bytes.len > pair->largest)
        pair->largest = bytes.len;
    if (at == UINT64_MAX || dice(pair, 100) < pair->wire.loss_pct ||
        (pair->wire.mtu && bytes.len > pair->wire.mtu))
        return;
    at += pair->wire.delay_ns;
    if (dice(pair, 100) < pair->wire.late_pct)
        at += 2 * pair->wire.delay_ns;
    put_packet(pair, to, bytes, at);
    if (dice(pair, 100) < pair->wire.twice_pct)
        put_packet(pair, to, bytes, at + pair->wire.delay_ns);
}

static size_t on_send(void *user, const struct view *packets, size_t n)
{
    struct pair_end *end = user;
    struct pair *pair = end->pair;

    if (end->blocked_until > pair->now)
        return 0;
    if (pair->wire.takes && n > pair->wire.takes) {
        n = pair->wire.takes;
        end->blocked_until = pair->now + MS_NS / 10;
    }
    for (size_t i = 0; i < n; i++)
        carry(pair, end->is_caller ? &pair->callee : &pair->caller, packets[i]);
    pair->n_packets += n;
    return n;
}

static size_t on_packet_size(void *user)
{
    const struct pair_wire *wire = &((struct pair_end *)user)->pair->wire;

    return wire->said ? wire->said : wire->mtu ? wire->mtu : LINK_MAX_PACKET;
}

/* ---- events ---- */

uint8_t pattern_byte(uint64_t place)
{
    return (uint8_t)(place * 131 + (place >> 11));
}

static void read_stream(struct pair_end *end, struct link_stream *stream)
{
    uint8_t bytes[16384];
    uint64_t place = (uint64_t)(uintptr_t)link_stream_user(stream);
    bool is_end = false;
    size_t n;

    do {
        n = link_stream_read(stream, end->pair->now, bytes, sizeof(bytes), &is_end);
        for (size_t i = 0; i < n; i++)
            end->is_garbled = end->is_garbled || bytes[i] != pattern_byte(place + i);
        place += n;
        end->n_bytes += n;
        if (end->echoes)
            end->is_garbled = end->is_garbled || link_stream_write(stream, end->pair->now,
                                                                   VIEW(bytes, n), is_end) != n;
    } while (n && !is_end);
    end->n_ends += is_end;
    link_stream_set_user(stream, (void *)(uintptr_t)place);
}

void read_again(struct pair_end *end)
{
    struct link_stream *stream;

    LIST_EACH(stream, &end->link->streams, in_streams)
        if (stream->is_announced && !stream->is_in_done)
            read_stream(end, stream);
}

static void keep(struct buf *to, struct view bytes)
{
    buf_clear(to);
    buf_put(to, bytes);
}

static void on_end(struct pair_end *end, const struct link_event *event)
{
    end->err = event->err;
    end->code = event->code;
    end->by_remote = event->by_remote;
}

static void on_event(struct pair_end *end, const struct link_event *event)
{
    switch (event->type) {
    case LINK_UP:
        end->n_up++;
        break;
    case LINK_HEART:
        CHECK(end->n_up == 1);
        end->n_hearts++;
        keep(&end->heart, event->data);
        break;
    case LINK_SAS: /* nobody asks for it here */
        break;
    case LINK_ICE:
        end->n_ices++;
        keep(&end->ice, event->data);
        break;
    case LINK_REPORT:
        CHECK(end->n_up == 1);
        end->n_reports++;
        keep(&end->report, event->data);
        break;
    case LINK_SWITCH:
        end->n_switches++;
        CHECK(link_switch_read(event->data, &end->switch_number, &end->switch_carrier));
        break;
    case LINK_REAUTH:
        end->n_reauths++;
        keep(&end->reauth, event->data);
        break;
    case LINK_REVOKE:
        end->n_revokes++;
        break;
    case LINK_STREAM_OPENED:
        CHECK(end->n_up == 1);
        end->n_opened++;
        end->last = event->stream;
        if (end->keeps_credit)
            link_stream_keep_credit(event->stream);
        keep(&end->cap, event->cap);
        keep(&end->arg, event->arg);
        break;
    case LINK_STREAM_READABLE:
        if (!end->is_not_reading)
            read_stream(end, event->stream);
        break;
    case LINK_STREAM_WRITABLE:
        end->n_writable++;
        break;
    case LINK_STREAM_RESET:
        end->n_resets++;
        end->reset_code = event->code;
        break;
    case LINK_STREAM_CLOSED:
        end->n_closed++;
        break;
    case LINK_DATAGRAM:
        end->n_datagrams++;
        keep(&end->datagram, event->data);
        break;
    case LINK_DOWN:
        end->n_down++;
        on_end(end, event);
        break;
    case LINK_FAILED:
        CHECK(end->n_up == 0);
        end->n_failed++;
        on_end(end, event);
        break;
    }
}

static void drain(struct pair_end *end)
{
    struct link_event event;

    while (link_next_event(end->link, &event))
        on_event(end, &event);
}

/* ---- time ---- */

static uint64_t end_deadline(const struct pair_end *end)
{
    uint64_t at = link_deadline(end->link);

    return end->blocked_until > end->pair->now && end->blocked_until < at ? end->blocked_until : at;
}

static void deliver(struct pair_end *end)
{
    struct view views[256];
    struct packet *packets[256], *packet;
    size_t n = 0;

    LIST_EACH(packet, &end->pair->packets, in_packets) {
        if (packet->at > end->pair->now || n == N_ELEMENTS(views))
            break;
        if (packet->to != end)
            continue;
        list_remove(&packet->in_packets);
        packets[n] = packet;
        views[n++] = VIEW(packet->bytes, packet->len);
    }
    if (n)
        link_input(end->link, end->pair->now, views, n);
    for (size_t i = 0; i < n; i++)
        free(packets[i]);
}

static void act(struct pair_end *end)
{
    deliver(end);
    if (end->blocked_until && end->blocked_until <= end->pair->now) {
        end->blocked_until = 0;
        link_resume(end->link, end->pair->now);
    }
    if (link_deadline(end->link) <= end->pair->now)
        link_tick(end->link, end->pair->now);
    drain(end);
}

bool pair_step(struct pair *pair, uint64_t end)
{
    uint64_t caller = end_deadline(&pair->caller), callee = end_deadline(&pair->callee);
    uint64_t at = caller < callee ? caller : callee;

    if (!list_is_empty(&pair->packets) &&
        LIST_ITEM(pair->packets.next, struct packet, in_packets)->at < at)
        at = LIST_ITEM(pair->packets.next, struct packet, in_packets)->at;
    if (at > end)
        at = end;
    if (at > pair->now)
        pair->now = at;
    if (++pair->steps > 20000000) {
        check_failed(__FILE__, __LINE__, "the links turn in place at %llu ns",
                     (unsigned long long)pair->now);
        return false;
    }
    act(&pair->caller);
    act(&pair->callee);
    return true;
}

bool pair_up(struct pair *pair)
{
    return PAIR_UNTIL(pair, 30 * S_NS, pair->caller.n_up && pair->callee.n_up);
}

/* ---- life ---- */

static bool init_end(struct pair *pair, struct pair_end *end, bool is_caller,
                     const struct pair_side *side, struct err *err)
{
    struct link_config config = {
        .judge = on_judge,
        .may_open = on_may_open,
        .send = on_send,
        .packet = on_packet_size,
        .user = end,
        .heart = side->heart,
    };

    if (!certs_fill(&config, is_caller, err))
        return false;

    end->pair = pair;
    end->is_caller = is_caller;
    end->side = *side;
    if (side->chain) {
        config.chain = side->chain;
        config.n_chain = side->n_chain;
        config.key_der = side->key_der;
    }
    memset(config.sid, side->wrong_sid ? 7 : 1, sizeof(config.sid));
    memset(config.grant_hash, side->wrong_grant ? 7 : 2, sizeof(config.grant_hash));
    return link_new_as(&config, side->profile ? side->profile : &tls_profile_link, pair->now,
                       &end->link, err);
}

struct pair *pair_new(const struct pair_options *options)
{
    struct pair *pair = mem_new(struct pair);
    struct err err = { 0 };

    list_init(&pair->packets);
    pair->wire = options->wire;
    pair->now = 1000 * S_NS;
    pair->seed = options->seed + 12345;
    if (!init_end(pair, &pair->caller, true, &options->caller, &err) ||
        !init_end(pair, &pair->callee, false, &options->callee, &err))
        check_failed(__FILE__, __LINE__, "pair: %s", err.text);
    return pair;
}

static void deinit_end(struct pair_end *end)
{
    link_free(end->link);
    buf_free(&end->heart);
    buf_free(&end->report);
    buf_free(&end->reauth);
    buf_free(&end->ice);
    buf_free(&end->cap);
    buf_free(&end->arg);
    buf_free(&end->datagram);
}

void pair_free(struct pair *pair)
{
    struct packet *packet;

    if (!pair)
        return;
    deinit_end(&pair->caller);
    deinit_end(&pair->callee);
    LIST_EACH(packet, &pair->packets, in_packets)
        free(packet);
    free(pair);
}

/* ---- streams ---- */

struct link_stream *pair_open(struct pair_end *end, const char *cap, const char *arg)
{
    struct link_stream *stream = NULL;
    struct err err = { 0 };

    if (!link_stream_open(end->link, end->pair->now, view_text(cap), view_text(arg), &stream, &err))
        check_failed(__FILE__, __LINE__, "open: %s", err.text);
    return stream;
}

void pair_write_pattern(struct pair *pair, struct link_stream *stream, uint64_t *place,
                        uint64_t total)
{
    uint8_t bytes[16384];
    size_t want, took;

    do {
        want = total - *place < sizeof(bytes) ? (size_t)(total - *place) : sizeof(bytes);
        for (size_t i = 0; i < want; i++)
            bytes[i] = pattern_byte(*place + i);
        took = link_stream_write(stream, pair->now, VIEW(bytes, want), *place + want == total);
        *place += took;
    } while (took == want && *place < total);
}

struct view pair_heart(char fill)
{
    static uint8_t bytes[4 + 100 + SIG_SIZE];

    memset(bytes, fill, sizeof(bytes));
    bytes[0] = bytes[1] = bytes[2] = 0;
    bytes[3] = 100;
    return VIEW_ARR(bytes);
}
