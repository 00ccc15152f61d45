/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams (RFC 9221), in and out, in bounded queues. PROTOCOL.md, section 4. */
#include "peer/link/inside.h"

/* Short header 1, connection ID 8, packet number 4, frame type 1, length 2, tag 16, and two to
 * spare: a larger one ngtcp2 would neither send nor refuse, ever. */
enum { DATAGRAM_OVERHEAD = 34 };

static struct datagram *datagram_new(struct view bytes)
{
    struct datagram *datagram = mem_zero(1, sizeof(struct datagram) + bytes.len);

    if (bytes.len)
        memcpy(datagram->data, bytes.data, bytes.len);
    datagram->bytes = VIEW(datagram->data, bytes.len);
    list_init(&datagram->in_queue);
    return datagram;
}

static struct datagram *take_first(struct datagrams *queue)
{
    struct datagram *datagram = LIST_ITEM(queue->list.next, struct datagram, in_queue);

    list_remove(&datagram->in_queue);
    queue->n--;
    return datagram;
}

/* Where there is no room the oldest goes: whoever sends datagrams wants the newest to arrive. */
static void put(struct datagrams *queue, struct view bytes)
{
    struct datagram *datagram = datagram_new(bytes);

    if (queue->n == LINK_MAX_DATAGRAMS)
        free(take_first(queue));
    list_append(&queue->list, &datagram->in_queue);
    queue->n++;
}

void datagram_received(struct link *link, struct view bytes)
{
    if (link->state == LINK_OPEN && bytes.len <= LINK_MAX_PACKET) /* nobody honest sends more */
        put(&link->datagrams_in, bytes);
}

bool datagram_next_event(struct link *link, struct link_event *ret)
{
    if (link->datagrams_in.n == 0)
        return false;
    link->told_datagram = take_first(&link->datagrams_in);
    *ret = (struct link_event){ .type = LINK_DATAGRAM, .data = link->told_datagram->bytes };
    return true;
}

size_t link_datagram_max(const struct link *link)
{
    return link->state == LINK_OPEN ? packets_size(link) - DATAGRAM_OVERHEAD : 0;
}

bool link_datagram_send(struct link *link, uint64_t now_ns, struct view bytes, struct err *err)
{
    if (link->state != LINK_OPEN)
        return err_set(err, ERR_CLOSED, "the link is not up");
    if (ngtcp2_conn_get_remote_transport_params(link->conn)->max_datagram_frame_size <
        LINK_MAX_PACKET)
        return err_set(err, ERR_CAPABILITY, "the other side takes no datagrams");
    if (bytes.len > link_datagram_max(link))
        return err_set(err, ERR_TOO_LARGE, "a datagram of %zu bytes: the path takes %zu", bytes.len,
                       link_datagram_max(link));
    put(&link->datagrams_out, bytes);
    link->now = now_ns + link->ahead;
    packets_flush(link);
    return true;
}

/* Those that were taken when packets could be larger are lost, as on any path. */
struct datagram *datagram_to_send(struct link *link, size_t size)
{
    while (link->datagrams_out.n) {
        struct datagram *first =
            LIST_ITEM(link->datagrams_out.list.next, struct datagram, in_queue);
        if (first->bytes.len + DATAGRAM_OVERHEAD <= size)
            return first;
        link->facts.packets_lost++;
        free(take_first(&link->datagrams_out));
    }
    return NULL;
}

void datagram_sent(struct link *link)
{
    free(take_first(&link->datagrams_out));
}

void datagrams_init(struct link *link)
{
    list_init(&link->datagrams_in.list);
    list_init(&link->datagrams_out.list);
}

void datagrams_free(struct link *link)
{
    struct datagram *datagram;

    LIST_EACH(datagram, &link->datagrams_in.list, in_queue)
        free(datagram);
    LIST_EACH(datagram, &link->datagrams_out.list, in_queue)
        free(datagram);
    free(link->told_datagram);
}
