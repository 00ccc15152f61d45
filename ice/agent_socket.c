/* SPDX-License-Identifier: Apache-2.0 */
/* A socket of our own for the packets of a direct UDP pair, beside libnice's on the same address: libnice takes one packet a system
 * call, this one takes and sends them by the batch (UDP_GRO, UDP_SEGMENT).
 *
 * Both are bound with SO_REUSEPORT. A filter of the kernel's tells packets apart: STUN, by its cookie (RFC 8489, section 5), stays
 * libnice's, and so does what is shorter than 8 bytes; all else is ours. Where the kernel refuses any of
 * it, what comes is libnice's to take, and what goes goes by the batch through libnice's own socket. */
#include "ice/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STUN_COOKIE = 0x2112a442,
    DATAGRAM = 65536, /* with UDP_GRO one read gives many packets, as large as this together */
    READS = 16,       /* datagrams of one system call */
    ROUNDS = 4,       /* system calls before others of the context have their turn */
    VIEWS = 1024,
    RUN = 64, /* packets of one datagram with UDP_SEGMENT: the kernel's UDP_MAX_SEGMENTS */
    RUN_BYTES = 65000,
    KNOWN_FOR_US = 1000000,
    MAX_KNOWN = 32,
};

struct agent_socket {
    struct ice_agent *agent;
    int fd;
    bool has_segments; /* UDP_SEGMENT works, as far as we know */
    GSource *readable, *room;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } local, remote;
    socklen_t len;
    NiceAddress known[MAX_KNOWN]; /* where libnice hears the other side from */
    size_t n_known;
    gint64 known_at;
};

/* What reading needs, once a thread. */
struct scratch {
    uint8_t bytes[READS][DATAGRAM];
    struct mmsghdr messages[READS];
    struct iovec vectors[READS];
    struct sockaddr_storage from[READS];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control[READS];
    struct view packets[VIEWS];
};
static GPrivate scratches = G_PRIVATE_INIT(free);

static struct scratch *scratch_get(void)
{
    struct scratch *scratch = g_private_get(&scratches);

    if (!scratch) {
        scratch =
            mem_resize(NULL, 1, sizeof(*scratch)); /* what no packet comes to is never touched */
        g_private_set(&scratches, scratch);
    }
    return scratch;
}

/* ---- packets in ---- */

static void read_known(struct agent_socket *s)
{
    GSList *all =
        nice_agent_get_remote_candidates(s->agent->nice, s->agent->stream, AGENT_COMPONENT);

    s->n_known = 0;
    for (GSList *at = all; at && s->n_known < MAX_KNOWN; at = at->next)
        s->known[s->n_known++] = ((NiceCandidate *)at->data)->addr;
    g_slist_free_full(all, (GDestroyNotify)nice_candidate_free);
    s->known_at = g_get_monotonic_time();
}

/* The other side may send from another of its addresses than we send to, while pairs change. */
static bool is_known(struct agent_socket *s, const struct sockaddr_storage *from, socklen_t len)
{
    NiceAddress address;

    if (len == s->len && memcmp(from, &s->remote, len) == 0)
        return true;
    nice_address_init(&address);
    nice_address_set_from_sockaddr(&address, (const struct sockaddr *)from);
    if (g_get_monotonic_time() - s->known_at > KNOWN_FOR_US)
        read_known(s);
    for (size_t i = 0; i < s->n_known; i++)
        if (nice_address_equal(&s->known[i], &address))
            return true;
    return false;
}

static size_t segment_of(struct msghdr *message, size_t len)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        int size;

        if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
            continue;
        memcpy(&size, CMSG_DATA(c), sizeof(size));
        return size > 0 ? (size_t)size : len;
    }
    return len;
}

static void prepare(struct scratch *scratch)
{
    for (size_t i = 0; i < READS; i++) {
        scratch->vectors[i] = (struct iovec){ scratch->bytes[i], DATAGRAM };
        scratch->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &scratch->from[i],
            .msg_namelen = sizeof(scratch->from[i]),
            .msg_iov = &scratch->vectors[i],
            .msg_iovlen = 1,
            .msg_control = &scratch->control[i],
            .msg_controllen = sizeof(scratch->control[i]),
        };
    }
}

static size_t cut(struct agent_socket *s, struct scratch *scratch, size_t n_messages)
{
    size_t n = 0;

    for (size_t i = 0; i < n_messages; i++) {
        struct msghdr *message = &scratch->messages[i].msg_hdr;
        struct view rest = VIEW(scratch->bytes[i], scratch->messages[i].msg_len);
        size_t segment = segment_of(message, rest.len);

        if (!is_known(s, &scratch->from[i], message->msg_namelen))
            continue;
        for (; rest.len && n < VIEWS; rest = view_sub(rest, segment, rest.len))
            scratch->packets[n++] = view_sub(rest, 0, segment);
    }
    return n;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    struct agent_socket *s = user;
    struct ice_agent *agent = s->agent;
    struct scratch *scratch = scratch_get();

    (void)condition;
    for (int round = 0; round < ROUNDS && !agent->is_closed; round++) {
        int n;
        size_t n_packets;

        prepare(scratch);
        n = recvmmsg(fd, scratch->messages, READS, MSG_DONTWAIT, NULL);
        if (n <= 0)
            break;
        n_packets = cut(s, scratch, (size_t)n);
        if (n_packets && agent->events.on_packets)
            agent->events.on_packets(agent->config.user, scratch->packets, n_packets);
        if (n < READS)
            break;
    }
    return G_SOURCE_CONTINUE;
}

/* ---- packets out ---- */

static gboolean on_room(gint fd, GIOCondition condition, gpointer user)
{
    struct agent_socket *s = user;
    struct ice_agent *agent = s->agent;

    (void)fd;
    (void)condition;
    source_drop(&s->room);
    if (!agent->is_closed && agent->events.on_writable)
        agent->events.on_writable(agent->config.user);
    return G_SOURCE_REMOVE;
}

static void wait_for_room(struct agent_socket *s)
{
    if (s->room)
        return;
    s->room = g_unix_fd_source_new(s->fd, G_IO_OUT);
    g_source_set_callback(s->room, G_SOURCE_FUNC(on_room), s, NULL);
    g_source_attach(s->room, s->agent->context);
}

/* How many of the first packets may go as one datagram: alike in size, but the last, which may be smaller. */
static size_t run_of(const struct view *packets, size_t n)
{
    size_t k = 1, bytes = packets[0].len;

    while (k < n && k < RUN && packets[k].len <= packets[0].len &&
           bytes + packets[k].len <= RUN_BYTES) {
        bytes += packets[k].len;
        k++;
        if (packets[k - 1].len < packets[0].len)
            break;
    }
    return k;
}

/* sendmsg() only reads what struct iovec has no const for. */
static struct iovec vector_of(struct view bytes)
{
    const union {
        const void *in;
        void *out;
    } same = { bytes.data };

    return (struct iovec){ same.out, bytes.len };
}

/* 0, or the error. */
static int send_run(struct agent_socket *s, const struct view *packets, size_t n)
{
    struct iovec vectors[RUN];
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = { 0 };
    uint16_t segment = (uint16_t)packets[0].len;
    struct msghdr message = {
        .msg_name = &s->remote,
        .msg_namelen = s->len,
        .msg_iov = vectors,
        .msg_iovlen = n,
    };

    for (size_t i = 0; i < n; i++)
        vectors[i] = vector_of(packets[i]);
    if (n > 1) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.head.cmsg_level = SOL_UDP;
        control.head.cmsg_type = UDP_SEGMENT;
        control.head.cmsg_len = CMSG_LEN(sizeof(segment));
        memcpy(CMSG_DATA(&control.head), &segment, sizeof(segment));
    }
    return sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

static bool is_full(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM;
}

/* One by one: what the system refuses for its own sake counts as sent and is lost, as on any path. How many. */
static size_t send_each(struct agent_socket *s, const struct view *packets, size_t n,
                        bool *ret_all_went)
{
    *ret_all_went = true;
    for (size_t i = 0; i < n; i++) {
        int error = send_run(s, packets + i, 1);

        if (is_full(error))
            return i;
        *ret_all_went &= error == 0;
    }
    return n;
}

size_t agent_socket_send(struct agent_socket *s, const struct view *packets, size_t n)
{
    size_t sent = 0;

    while (sent < n) {
        size_t k = s->has_segments ? run_of(packets + sent, n - sent) : n - sent;
        int error = s->has_segments ? send_run(s, packets + sent, k) : EOPNOTSUPP;
        bool all_went;

        if (error && !is_full(error)) { /* one of them is too large, or the kernel does not do it */
            size_t went = send_each(s, packets + sent, k, &all_went);
            s->has_segments &= k == 1 || !all_went;
            error = went < k ? EAGAIN : 0;
            sent += went;
        } else if (!error) {
            sent += k;
        }
        if (error) {
            wait_for_room(s);
            break;
        }
    }
    return sent;
}

/* ---- life ---- */

void agent_socket_free(struct agent_socket *s)
{
    if (!s)
        return;
    source_drop(&s->readable);
    source_drop(&s->room);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

/* All of the group `fd` is in: what the filter returns counts the sockets in the order in which they were bound. */
static bool attach_filter(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STUN_COOKIE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 1),
    };
    struct sock_fprog program = { N_ELEMENTS(code), code };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) == 0;
}

/* In this order: the kernel takes a filter only for sockets that share an address already. What comes meanwhile may reach the wrong one
 * and is lost, as on any path. */
static bool share(int theirs, struct agent_socket *s)
{
    int one = 1;

    return setsockopt(theirs, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
           setsockopt(s->fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
           bind(s->fd, &s->local.any, s->len) == 0 && attach_filter(s->fd);
}

static void add_reader(struct agent_socket *s)
{
    int one = 1;

    (void)setsockopt(s->fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
    s->readable = g_unix_fd_source_new(s->fd, G_IO_IN);
    /* Nobody turns the loop inside a callback. GLib would take the descriptor out of its set before each one and put it back, and wake itself up for both. */
    g_source_set_can_recurse(s->readable, TRUE);
    g_source_set_callback(s->readable, G_SOURCE_FUNC(on_readable), s, NULL);
    g_source_attach(s->readable, s->agent->context);
}

static bool is_datagram_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM;
}

/* The selected pair's own addresses. False: it is not one that a socket of ours could serve. */
static bool read_pair(struct ice_agent *agent, struct agent_socket *s, int *ret_theirs)
{
    GSocket *socket = nice_agent_get_selected_socket(agent->nice, agent->stream, AGENT_COMPONENT);
    NiceCandidate *local = NULL, *remote = NULL;
    bool ok;

    if (!socket)
        return false; /* through a TURN server, or over TCP */
    *ret_theirs = g_socket_get_fd(socket);
    g_object_unref(socket); /* the agent has it */
    s->len = sizeof(s->local);
    ok = is_datagram_socket(*ret_theirs) && getsockname(*ret_theirs, &s->local.any, &s->len) == 0 &&
         nice_agent_get_selected_pair(agent->nice, agent->stream, AGENT_COMPONENT, &local,
                                      &remote) &&
         local->type != NICE_CANDIDATE_TYPE_RELAYED;
    if (!ok)
        return false;
    nice_address_copy_to_sockaddr(&remote->addr, &s->remote.any);
    return s->remote.any.sa_family == s->local.any.sa_family;
}

static struct agent_socket *open_beside(struct ice_agent *agent, const struct agent_socket *pair,
                                        int theirs)
{
    struct agent_socket *s = mem_new(struct agent_socket);

    *s = *pair;
    s->agent = agent;
    s->has_segments = true;
    s->fd = socket(s->local.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || !share(theirs, s)) {
        agent_socket_free(s);
        return NULL;
    }
    agent_tune_socket(s->fd);
    add_reader(s);
    return s;
}

/* For sending alone. */
static struct agent_socket *open_same(struct ice_agent *agent, const struct agent_socket *pair,
                                      int theirs)
{
    struct agent_socket *s = mem_new(struct agent_socket);

    *s = *pair;
    s->agent = agent;
    s->has_segments = true;
    s->fd = fcntl(theirs, F_DUPFD_CLOEXEC, 0); /* it may close its own at any time */
    if (s->fd < 0) {
        agent_socket_free(s);
        return NULL;
    }
    return s;
}

void agent_socket_follow(struct ice_agent *agent)
{
    struct agent_socket pair = { .fd = -1 };
    bool has_pair;
    int theirs = -1;

    has_pair = agent->state == ICE_READY && !agent->turn && read_pair(agent, &pair, &theirs);
    if (has_pair && agent->socket && pair.len == agent->socket->len &&
        memcmp(&pair.local, &agent->socket->local, pair.len) == 0) {
        agent->socket->remote = pair.remote;
        return;
    }
    agent_socket_free(STEAL(agent->socket));
    if (has_pair)
        agent->socket = open_beside(agent, &pair, theirs);
    if (has_pair && !agent->socket)
        agent->socket = open_same(agent, &pair, theirs);
}
