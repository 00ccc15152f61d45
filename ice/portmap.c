/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/portmap.h"
#include "ice/source.h"

#include "base/key.h"
#include "base/mem.h"
#include "base/own.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_MS = 250, TRIES = 6, LEAST_RENEW_S = 4, MAX_ROUTES = 65536 };

struct ice_portmap {
    GMainContext *context;
    GSource *readable, *timer;
    int fd;
    enum portmap_version version;    /* that is asked with */
    bool is_settled;                 /* a port came by it; until then they take turns */
    bool was_told;                   /* by the router that it is the wrong one */
    struct portmap_question mapping; /* outer, outer_address: 0: not known */
    unsigned n_tries;
    guint pause;
    ice_on_portmap *on_mapped;
    void *user;
};

static void ask(const struct ice_portmap *portmap, uint32_t life_s)
{
    static const uint8_t address[2] = { 0, 0 };
    struct portmap_question q = portmap->mapping;
    uint8_t bytes[PORTMAP_MAX_ASK];
    size_t len;

    q.life_s = life_s;
    if (!life_s) {
        q.outer = 0;
        memset(q.outer_address, 0, sizeof(q.outer_address));
    } else if (portmap->version == PORTMAP_PMP) {
        (void)!send(portmap->fd, address, sizeof(address), 0);
    }
    len = portmap_write(portmap->version, &q, bytes);
    (void)!send(portmap->fd, bytes, len, 0);
}

void ice_portmap_free(struct ice_portmap *portmap)
{
    if (!portmap)
        return;
    if (portmap->mapping.outer)
        ask(portmap, 0);
    source_drop(&portmap->readable);
    source_drop(&portmap->timer);
    close(portmap->fd);
    g_main_context_unref(portmap->context);
    free(portmap);
}

static gboolean on_timer(gpointer user);

static void wait_for(struct ice_portmap *portmap, guint ms)
{
    source_drop(&portmap->timer);
    portmap->timer = g_timeout_source_new(ms);
    g_source_set_callback(portmap->timer, on_timer, portmap, NULL);
    g_source_attach(portmap->timer, portmap->context);
}

static enum portmap_version other(enum portmap_version version)
{
    return version == PORTMAP_PCP ? PORTMAP_PMP : PORTMAP_PCP;
}

/* Routers that do not know a version are to say so (RFC 6886, 3.5; RFC 6887, 9); those that are silent are asked with the other one. */
static gboolean on_timer(gpointer user)
{
    struct ice_portmap *portmap = user;

    if (portmap->n_tries == TRIES)
        return G_SOURCE_REMOVE; /* no such router */
    if (portmap->n_tries++ > 0 && !portmap->is_settled && !portmap->was_told)
        portmap->version = other(portmap->version);
    ask(portmap, PORTMAP_LIFE_S);
    wait_for(portmap, portmap->pause);
    portmap->pause *= 2;
    return G_SOURCE_REMOVE;
}

/* Once: whoever says it of both has none. */
static void use_other(struct ice_portmap *portmap, enum portmap_version version)
{
    if (portmap->is_settled || portmap->was_told)
        return;
    portmap->was_told = true;
    if (version == portmap->version)
        return;
    portmap->version = version;
    portmap->n_tries = 0;
    portmap->pause = FIRST_MS;
    wait_for(portmap, 0);
}

static void renew_in_time(struct ice_portmap *portmap, uint32_t life_s)
{
    uint32_t wait_s = (life_s < PORTMAP_LIFE_S ? life_s : PORTMAP_LIFE_S) / 2;

    portmap->n_tries = 0;
    portmap->pause = FIRST_MS;
    wait_for(portmap, (wait_s > LEAST_RENEW_S ? wait_s : LEAST_RENEW_S) * 1000);
}

/* Of the mapping that was asked for, and by the version that gave it. */
static bool is_ours(const struct ice_portmap *portmap, const struct portmap_answer *a)
{
    const struct portmap_question *m = &portmap->mapping;

    if (a->has_port && a->inner != m->inner)
        return false;
    if (a->version == PORTMAP_PCP && memcmp(a->nonce, m->nonce, PORTMAP_NONCE) != 0)
        return false;
    return !portmap->is_settled || a->version == portmap->version;
}

static void note(struct ice_portmap *portmap, const struct portmap_answer *a)
{
    struct portmap_question *m = &portmap->mapping;

    if (a->has_address && portmap_is_outer(a->address))
        memcpy(m->outer_address, a->address, sizeof(m->outer_address));
    if (!a->has_port)
        return;
    portmap->is_settled = true;
    portmap->version = a->version;
    m->outer = a->outer;
    m->life_s = a->life_s;
}

static void take(struct ice_portmap *portmap, const struct portmap_answer *a)
{
    const struct portmap_question before = portmap->mapping, *m = &portmap->mapping;
    bool was_known = before.outer && before.outer_address[0];
    char text[INET_ADDRSTRLEN];

    note(portmap, a);
    if (!m->outer || !m->outer_address[0])
        return;
    if (a->has_port || !was_known) /* of two answers the address alone keeps no port */
        renew_in_time(portmap, m->life_s);
    if (was_known && before.outer == m->outer &&
        memcmp(before.outer_address, m->outer_address, sizeof(m->outer_address)) == 0)
        return;
    inet_ntop(AF_INET, m->outer_address, text, sizeof(text));
    portmap->on_mapped(portmap->user, text, m->outer);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    struct ice_portmap *portmap = user;
    struct portmap_answer answer;
    uint8_t bytes[PORTMAP_MAX_ANSWER + 1];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    (void)condition;
    if (n <= 0 || !portmap_read(VIEW(bytes, (size_t)n), &answer))
        return G_SOURCE_CONTINUE;
    if (answer.is_other)
        use_other(portmap, answer.version);
    else if (is_ours(portmap, &answer))
        take(portmap, &answer);
    return G_SOURCE_CONTINUE;
}

static bool read_gateway(uint8_t ret_address[4])
{
    _free_ char *text = mem_array(char, MAX_ROUTES);
    int fd = open("/proc/net/route", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, MAX_ROUTES);

    if (fd >= 0)
        close(fd);
    return n > 0 && portmap_gateway(VIEW(text, (size_t)n), ret_address);
}

/* Only the gateway's own answers come to it. */
static int open_socket(const char *local)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORTMAP_PORT) }, own = { 0 },
                       wanted = { 0 };
    socklen_t len = sizeof(own);
    int fd;

    if (!read_gateway((uint8_t *)&to.sin_addr) ||
        inet_pton(AF_INET, local, &wanted.sin_addr) != 1 ||
        portmap_is_outer((const uint8_t *)&wanted.sin_addr))
        return -1;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
        own.sin_addr.s_addr == wanted.sin_addr.s_addr)
        return fd;
    close(fd);
    return -1;
}

struct ice_portmap *ice_portmap_over(void *context, int fd, const uint8_t local[4], uint16_t port,
                                     ice_on_portmap *on_mapped, void *user)
{
    struct ice_portmap *portmap = mem_new(struct ice_portmap);

    portmap->context = g_main_context_ref(context);
    portmap->fd = fd;
    portmap->version = PORTMAP_PCP;
    memcpy(portmap->mapping.local, local, 4);
    random_bytes(portmap->mapping.nonce, PORTMAP_NONCE);
    portmap->mapping.inner = port;
    portmap->pause = FIRST_MS;
    portmap->on_mapped = on_mapped;
    portmap->user = user;
    portmap->readable = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_callback(portmap->readable, G_SOURCE_FUNC(on_readable), portmap, NULL);
    g_source_attach(portmap->readable, portmap->context);
    wait_for(portmap, 0);
    return portmap;
}

struct ice_portmap *ice_portmap_new(void *context, const char *local, uint16_t port,
                                    ice_on_portmap *on_mapped, void *user)
{
    uint8_t address[4];
    int fd = open_socket(local);

    if (fd < 0)
        return NULL;
    inet_pton(AF_INET, local, address);
    return ice_portmap_over(context, fd, address, port, on_mapped, user);
}
