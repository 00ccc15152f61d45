/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/portmap.h"
#include "ice/source.h"

#include "base/mem.h"
#include "base/own.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_MS = 250, TRIES = 5, ADDRESS_OP = 128, MAP_UDP_OP = 129, MAX_ROUTES = 65536 };

/* ---- no I/O ---- */

bool portmap_read(struct view d, struct portmap_answer *ret)
{
    struct portmap_answer a = { 0 };
    uint8_t version, op;
    uint16_t result;
    uint32_t epoch;
    struct view address;

    if (!view_take_u8(&d, &version) || !view_take_u8(&d, &op) || !view_take_u16(&d, &result) ||
        !view_take_u32(&d, &epoch) || version != 0 || result != 0)
        return false;
    if (op == ADDRESS_OP) {
        a.is_address = true;
        if (!view_take(&d, 4, &address) || d.len)
            return false;
        memcpy(a.address, address.data, 4);
    } else if (op != MAP_UDP_OP || !view_take_u16(&d, &a.inner) || !view_take_u16(&d, &a.outer) ||
               !view_take_u32(&d, &a.life_s) || d.len || a.outer == 0 || a.life_s == 0) {
        return false;
    }
    *ret = a;
    return true;
}

void portmap_write(uint16_t inner, uint16_t outer, uint32_t life_s, uint8_t to[PORTMAP_ASK])
{
    _buf_ bytes = { 0 };

    buf_put_u16(&bytes, 1); /* version 0, map UDP */
    buf_put_u16(&bytes, 0);
    buf_put_u16(&bytes, inner);
    buf_put_u16(&bytes, outer);
    buf_put_u32(&bytes, life_s);
    memcpy(to, bytes.data, PORTMAP_ASK);
}

/* "eth0\t00000000\t0101A8C0\t0003..." : the address as the machine's own number, in hexadecimal. */
bool portmap_gateway(struct view text, uint8_t ret_address[4])
{
    _free_ char *copy = view_dup_text(text);
    char *rest = copy, *line;

    while ((line = strsep(&rest, "\n"))) {
        unsigned to, gateway, flags;
        char name[32];

        if (sscanf(line, "%31s %x %x %x", name, &to, &gateway, &flags) != 4 || to != 0 ||
            !(flags & 2) || gateway == 0)
            continue;
        memcpy(ret_address, &gateway, 4);
        return true;
    }
    return false;
}

bool portmap_is_outer(const uint8_t a[4])
{
    return !(a[0] == 0 || a[0] == 10 || a[0] == 127 || a[0] >= 224 ||
             (a[0] == 100 && (a[1] & 0xc0) == 64) || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
             (a[0] == 192 && a[1] == 168) || (a[0] == 169 && a[1] == 254));
}

/* ---- the socket ---- */

struct ice_portmap {
    GMainContext *context;
    GSource *readable, *timer;
    int fd;
    uint16_t port, outer;
    char address[INET_ADDRSTRLEN]; /* the outer one; "": not known */
    unsigned n_tries;
    guint pause;
    ice_on_portmap *on_mapped;
    void *user;
};

static void ask(const struct ice_portmap *portmap, uint32_t life_s)
{
    static const uint8_t address[2] = { 0, 0 };
    uint8_t map[PORTMAP_ASK];

    portmap_write(portmap->port, life_s ? portmap->outer : 0, life_s, map);
    if (life_s)
        (void)!send(portmap->fd, address, sizeof(address), 0);
    (void)!send(portmap->fd, map, sizeof(map), 0);
}

void ice_portmap_free(struct ice_portmap *portmap)
{
    if (!portmap)
        return;
    if (portmap->outer)
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

static gboolean on_timer(gpointer user)
{
    struct ice_portmap *portmap = user;

    if (portmap->n_tries++ == TRIES)
        return G_SOURCE_REMOVE; /* no such router */
    ask(portmap, PORTMAP_LIFE_S);
    wait_for(portmap, portmap->pause);
    portmap->pause *= 2;
    return G_SOURCE_REMOVE;
}

static void take(struct ice_portmap *portmap, const struct portmap_answer *a)
{
    bool was_known = portmap->outer && portmap->address[0];
    uint16_t outer = portmap->outer;
    char address[INET_ADDRSTRLEN];

    memcpy(address, portmap->address, sizeof(address));
    if (a->is_address && portmap_is_outer(a->address))
        inet_ntop(AF_INET, a->address, portmap->address, sizeof(portmap->address));
    if (!a->is_address && a->inner == portmap->port)
        portmap->outer = a->outer;
    if (!portmap->outer || portmap->address[0] == '\0')
        return;
    portmap->n_tries = 0; /* it is renewed in time */
    portmap->pause = FIRST_MS;
    wait_for(portmap, PORTMAP_LIFE_S / 2 * 1000);
    if (!was_known || outer != portmap->outer || strcmp(address, portmap->address) != 0)
        portmap->on_mapped(portmap->user, portmap->address, portmap->outer);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    struct ice_portmap *portmap = user;
    struct portmap_answer answer;
    uint8_t bytes[64];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    (void)condition;
    if (n > 0 && portmap_read(VIEW(bytes, (size_t)n), &answer))
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

struct ice_portmap *ice_portmap_new(void *context, const char *local, uint16_t port,
                                    ice_on_portmap *on_mapped, void *user)
{
    int fd = open_socket(local);
    struct ice_portmap *portmap;

    if (fd < 0)
        return NULL;
    portmap = mem_new(struct ice_portmap);
    portmap->context = g_main_context_ref(context);
    portmap->fd = fd;
    portmap->port = port;
    portmap->pause = FIRST_MS;
    portmap->on_mapped = on_mapped;
    portmap->user = user;
    portmap->readable = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_callback(portmap->readable, G_SOURCE_FUNC(on_readable), portmap, NULL);
    g_source_attach(portmap->readable, portmap->context);
    wait_for(portmap, 0);
    return portmap;
}
