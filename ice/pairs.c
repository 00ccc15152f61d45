/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/pairs.h"

#include "base/clock.h"
#include "base/key.h"
#include "base/mem.h"
#include "base/own.h"
#include "base/text.h"
#include "ice/nat_core.h"
#include "ice/source.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <nice/interfaces.h>
#include <stdio.h>
#include <unistd.h>

enum {
    PACKET = 32,
    MARK = 16,
    GATHER_MS = 500,
    TRY_MS = 2500,
    TICK_MS = 20,
    SENDS = 9,
    MAX_READS = 32,
    MAX_PACKETS = 1024, /* answered, of the other end's: it has reason to send 64 * 9 */
};
/* When each ping of a pair goes out, ms after the start. */
static const uint16_t send_at[SENDS] = { 0, 60, 140, 260, 420, 660, 1000, 1400, 1900 };

struct spot {
    struct ice_pairs *pairs;
    int fd;
    GSource *source;
    union nat_address host, srflx; /* family 0: not known */
    uint8_t txid[NAT_TXID];
    unsigned n_asked;
};

struct remote {
    union nat_address address;
    enum ice_kind kind;
};

struct pair {
    size_t spot;
    union nat_address remote;
    enum ice_kind kind;
    unsigned n_sent;
    uint64_t since; /* ms */
    uint8_t nonces[SENDS][12];
    uint64_t sent_us[SENDS];
    bool has_answered, was_heard;
    uint64_t rtt_us;
};

struct ice_pairs {
    struct ice_pairs_config config;
    GMainContext *context;
    GSource *timer;
    uint64_t began_at; /* ms; of the phase */
    enum { GATHERING, GATHERED, TRYING, DONE } phase;
    union nat_address stun;
    struct spot spots[ICE_PAIRS_LOCAL];
    size_t n_spots;
    struct remote remotes[ICE_PAIRS_REMOTE];
    size_t n_remotes;
    struct pair pairs[ICE_PAIRS_MAX];
    size_t n_pairs;
    unsigned n_answered;
    bool is_inside, is_gone; /* a callback frees it */
};

void ice_pairs_free(struct ice_pairs *pairs)
{
    if (!pairs)
        return;
    pairs->is_gone = true;
    source_drop(&pairs->timer);
    for (size_t i = 0; i < pairs->n_spots; i++) {
        source_drop(&pairs->spots[i].source);
        if (pairs->spots[i].fd >= 0)
            close(pairs->spots[i].fd);
        pairs->spots[i].fd = -1;
    }
    if (pairs->is_inside)
        return; /* whoever is inside frees the rest */
    g_main_context_unref(pairs->context);
    mem_wipe(pairs, sizeof(*pairs));
    free(pairs);
}

/* False: it is gone. */
static bool leave(struct ice_pairs *pairs)
{
    pairs->is_inside = false;
    if (!pairs->is_gone)
        return true;
    ice_pairs_free(pairs);
    return false;
}

/* ---- datagrams ---- */

static uint8_t kind_of(const struct ice_pairs *pairs, bool is_ours, bool is_ping)
{
    return (uint8_t)((pairs->config.is_asking == is_ours ? 1 : 3) + !is_ping);
}

static void write_packet(const struct ice_pairs *pairs, bool is_ping, const uint8_t nonce[12],
                         uint8_t to[PACKET])
{
    uint8_t mac[HASH_SIZE];

    memcpy(to, "wp", 2);
    to[2] = kind_of(pairs, true, is_ping);
    to[3] = 0;
    memcpy(to + 4, nonce, 12);
    hmac_sha256(VIEW(pairs->config.key, ICE_PAIRS_KEY), VIEW(to, MARK), mac);
    memcpy(to + MARK, mac, PACKET - MARK);
}

static bool is_marked(const struct ice_pairs *pairs, const uint8_t *packet)
{
    uint8_t mac[HASH_SIZE];

    hmac_sha256(VIEW(pairs->config.key, ICE_PAIRS_KEY), VIEW(packet, MARK), mac);
    return view_eq_secret(VIEW(packet + MARK, PACKET - MARK), VIEW(mac, PACKET - MARK));
}

static void send_to(const struct spot *spot, const union nat_address *to, const void *bytes,
                    size_t len)
{
    (void)!sendto(spot->fd, bytes, len, 0, &to->any, nat_address_size(to));
}

/* ---- pairs ---- */

static bool same(const union nat_address *a, const union nat_address *b)
{
    char one[64], two[64];

    nat_address_write(a, one);
    nat_address_write(b, two);
    return strcmp(one, two) == 0;
}

static struct pair *find_pair(struct ice_pairs *pairs, size_t spot, const union nat_address *remote)
{
    for (size_t i = 0; i < pairs->n_pairs; i++)
        if (pairs->pairs[i].spot == spot && same(&pairs->pairs[i].remote, remote))
            return &pairs->pairs[i];
    return NULL;
}

static struct pair *add_pair(struct ice_pairs *pairs, size_t spot, const union nat_address *remote,
                             enum ice_kind kind)
{
    struct pair *pair;

    if (pairs->n_pairs == ICE_PAIRS_MAX ||
        pairs->spots[spot].host.any.sa_family != remote->any.sa_family)
        return NULL;
    pair = &pairs->pairs[pairs->n_pairs++];
    pair->spot = spot;
    pair->remote = *remote;
    pair->kind = kind;
    pair->since = clock_mono_ms();
    random_bytes(pair->nonces, sizeof(pair->nonces));
    return pair;
}

static void send_due(struct ice_pairs *pairs)
{
    uint64_t now = clock_mono_ms();
    uint8_t packet[PACKET];

    for (size_t i = 0; i < pairs->n_pairs; i++) {
        struct pair *pair = &pairs->pairs[i];

        if (pair->n_sent == SENDS || now < pair->since + send_at[pair->n_sent])
            continue;
        write_packet(pairs, true, pair->nonces[pair->n_sent], packet);
        pair->sent_us[pair->n_sent++] = clock_mono_us();
        send_to(&pairs->spots[pair->spot], &pair->remote, packet, sizeof(packet));
    }
}

static void take_ping(struct ice_pairs *pairs, size_t spot, const union nat_address *from,
                      const uint8_t *packet)
{
    struct pair *pair = find_pair(pairs, spot, from);
    uint8_t answer[PACKET];

    if (pairs->n_answered++ >= MAX_PACKETS)
        return;
    write_packet(pairs, false, packet + 4, answer);
    send_to(&pairs->spots[spot], from, answer, sizeof(answer));
    if (!pair && pairs->phase == TRYING)
        pair = add_pair(pairs, spot, from, ICE_PRFLX);
    if (pair)
        pair->was_heard = true;
}

static void take_answer(struct ice_pairs *pairs, size_t spot, const union nat_address *from,
                        const uint8_t *packet)
{
    struct pair *pair = find_pair(pairs, spot, from);

    for (unsigned i = 0; pair && i < pair->n_sent; i++) {
        uint64_t us = clock_mono_us() - pair->sent_us[i];

        if (memcmp(packet + 4, pair->nonces[i], 12) != 0)
            continue;
        if (!pair->has_answered || us < pair->rtt_us)
            pair->rtt_us = us;
        pair->has_answered = true;
        return;
    }
}

/* ---- this end's addresses ---- */

static void ask_stun(struct ice_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n_spots; i++) {
        struct spot *spot = &pairs->spots[i];
        uint8_t request[20] = { 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42 };

        if (spot->host.any.sa_family != pairs->stun.any.sa_family || spot->srflx.any.sa_family)
            continue;
        memcpy(request + 8, spot->txid, NAT_TXID);
        send_to(spot, &pairs->stun, request, sizeof(request));
        spot->n_asked++;
    }
}

static void take_stun(struct ice_pairs *pairs, struct spot *spot, const union nat_address *from,
                      struct view packet)
{
    union nat_address mapped;

    if (same(from, &pairs->stun) && nat_answer_read(packet, spot->txid, &mapped))
        spot->srflx = mapped;
}

static bool knows_stun(const struct ice_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n_spots; i++)
        if (pairs->spots[i].host.any.sa_family == pairs->stun.any.sa_family &&
            !pairs->spots[i].srflx.any.sa_family)
            return false;
    return true;
}

/* The one with `*left` before it; NULL: there are fewer, and so many are taken off. */
static const union nat_address *pick(const struct ice_pairs *pairs, bool is_srflx, size_t *left)
{
    for (size_t k = 0; k < pairs->n_spots; k++) {
        const struct spot *spot = &pairs->spots[k];
        const union nat_address *address = is_srflx ? &spot->srflx : &spot->host;

        if (!address->any.sa_family || (is_srflx && same(&spot->srflx, &spot->host)))
            continue;
        if ((*left)-- == 0)
            return address;
    }
    return NULL;
}

bool ice_pairs_local(const struct ice_pairs *pairs, size_t i, char to[80])
{
    size_t left = i;
    const union nat_address *srflx = pick(pairs, true, &left), /* the fewer */
        *address = srflx ? srflx : pick(pairs, false, &left);
    char text[64];

    if (!address)
        return false;
    nat_address_write(address, text);
    snprintf(to, 80, "%s %s", srflx ? "srflx" : "host", text);
    return i < ICE_PAIRS_REMOTE;
}

/* ---- theirs ---- */

static bool read_remote(struct view text, struct remote *ret)
{
    _free_ char *line = NULL, *copy = view_dup_text(text);
    char *port, *address = strchr(copy, ' ');
    struct err ignored;
    uint64_t number;
    size_t len;

    if (!address || (strncmp(copy, "host ", 5) != 0 && strncmp(copy, "srflx ", 6) != 0))
        return false;
    *address++ = '\0';
    port = strrchr(address, ':');
    if (!port || !text_read_u64(view_text(port + 1), &number) || number == 0 || number > 65535)
        return false;
    *port = '\0';
    len = strlen(address);
    if (address[0] == '[' && address[len - 1] == ']') {
        address[len - 1] = '\0';
        address++;
    }
    line = mem_format("candidate:1 1 UDP 1 %.63s %u typ host", address, (unsigned)number);
    ret->kind = strcmp(copy, "host") == 0 ? ICE_HOST : ICE_SRFLX;
    return ice_candidate_check(view_text(line), true, &ignored) &&
           nat_address_read(address, (uint16_t)number, &ret->address);
}

static bool is_loopback(const union nat_address *a)
{
    return a->any.sa_family == AF_INET ? (ntohl(a->in.sin_addr.s_addr) >> 24) == 127
                                       : IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool ice_pairs_add_remote(struct ice_pairs *pairs, struct view text)
{
    struct remote remote;

    if (pairs->n_remotes == ICE_PAIRS_REMOTE || text.len > 79 || !read_remote(text, &remote) ||
        (is_loopback(&remote.address) && !pairs->config.allow_loopback))
        return false;
    pairs->remotes[pairs->n_remotes++] = remote;
    return true;
}

void ice_pairs_start(struct ice_pairs *pairs)
{
    if (pairs->phase >= TRYING)
        return;
    pairs->phase = TRYING;
    pairs->began_at = clock_mono_ms();
    for (size_t r = 0; r < pairs->n_remotes; r++)
        for (size_t i = 0; i < pairs->n_spots; i++)
            if (!find_pair(pairs, i, &pairs->remotes[r].address))
                add_pair(pairs, i, &pairs->remotes[r].address, pairs->remotes[r].kind);
}

bool ice_pairs_result(const struct ice_pairs *pairs, size_t i, struct ice_pair *ret)
{
    const struct pair *pair = &pairs->pairs[i < pairs->n_pairs ? i : 0];
    const struct spot *spot = &pairs->spots[pair->spot];

    if (i >= pairs->n_pairs)
        return false;
    *ret = (struct ice_pair){ .remote_kind = pair->kind,
                              .local_kind =
                                  spot->srflx.any.sa_family && !same(&spot->srflx, &spot->host)
                                      ? ICE_SRFLX
                                      : ICE_HOST,
                              .has_answered = pair->has_answered,
                              .was_heard = pair->was_heard,
                              .rtt_us = pair->rtt_us };
    nat_address_write(&spot->host, ret->local);
    nat_address_write(&pair->remote, ret->remote);
    return true;
}

/* ---- the loop ---- */

static void tell(struct ice_pairs *pairs, void (*callback)(void *user))
{
    pairs->is_inside = true;
    callback(pairs->config.user);
    leave(pairs);
}

static gboolean on_tick(gpointer user)
{
    struct ice_pairs *pairs = user;
    uint64_t passed = clock_mono_ms() - pairs->began_at;

    if (pairs->phase == GATHERING && (knows_stun(pairs) || passed > GATHER_MS)) {
        pairs->phase = GATHERED;
        tell(pairs, pairs->config.on_gathered); /* may free it */
        return G_SOURCE_CONTINUE;
    }
    if (pairs->phase == GATHERING && passed / 100 >= pairs->spots[0].n_asked)
        ask_stun(pairs);
    if (pairs->phase == TRYING)
        send_due(pairs);
    if (pairs->phase == TRYING && passed > TRY_MS) {
        pairs->phase = DONE;
        tell(pairs, pairs->config.on_done);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    struct spot *spot = user;
    struct ice_pairs *pairs = spot->pairs;
    size_t i = (size_t)(spot - pairs->spots);

    (void)condition;
    for (int n = 0; n < MAX_READS; n++) {
        union nat_address from = { 0 };
        socklen_t from_len = sizeof(from);
        uint8_t bytes[NAT_MAX_PACKET + 1];
        ssize_t len = recvfrom(fd, bytes, sizeof(bytes), 0, &from.any, &from_len);

        if (len < 0)
            break;
        if (len != PACKET || memcmp(bytes, "wp", 2) != 0)
            take_stun(pairs, spot, &from, VIEW(bytes, (size_t)len));
        else if (is_marked(pairs, bytes) && bytes[2] == kind_of(pairs, false, true))
            take_ping(pairs, i, &from, bytes);
        else if (is_marked(pairs, bytes) && bytes[2] == kind_of(pairs, false, false))
            take_answer(pairs, i, &from, bytes);
    }
    return G_SOURCE_CONTINUE;
}

static void open_spot(struct ice_pairs *pairs, const char *address)
{
    struct spot *spot = &pairs->spots[pairs->n_spots];
    socklen_t len = sizeof(spot->host);
    union nat_address host;

    if (pairs->n_spots == ICE_PAIRS_LOCAL || !nat_address_read(address, 0, &host) ||
        (host.any.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&host.in6.sin6_addr)))
        return;
    spot->fd = socket(host.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (spot->fd < 0)
        return;
    if (bind(spot->fd, &host.any, nat_address_size(&host)) != 0 ||
        getsockname(spot->fd, &spot->host.any, &len) != 0) {
        close(spot->fd);
        return;
    }
    spot->pairs = pairs;
    random_bytes(spot->txid, sizeof(spot->txid));
    spot->source = g_unix_fd_source_new(spot->fd, G_IO_IN);
    g_source_set_callback(spot->source, G_SOURCE_FUNC(on_readable), spot, NULL);
    g_source_attach(spot->source, pairs->context);
    pairs->n_spots++;
}

struct ice_pairs *ice_pairs_new(const struct ice_pairs_config *config)
{
    struct ice_pairs *pairs = mem_new(struct ice_pairs);
    GList *all = nice_interfaces_get_local_ips(config->allow_loopback);

    pairs->config = *config;
    pairs->config.stun = NULL; /* the caller's */
    pairs->context = g_main_context_ref(config->context);
    if (config->stun && config->stun[0])
        nat_address_read(config->stun, config->stun_port, &pairs->stun);
    for (GList *at = all; at; at = at->next)
        open_spot(pairs, at->data);
    g_list_free_full(all, g_free);
    if (pairs->n_spots == 0) {
        ice_pairs_free(pairs);
        return NULL;
    }
    pairs->began_at = clock_mono_ms();
    ask_stun(pairs);
    pairs->timer = g_timeout_source_new(TICK_MS);
    g_source_set_callback(pairs->timer, on_tick, pairs, NULL);
    g_source_attach(pairs->timer, pairs->context);
    return pairs;
}
