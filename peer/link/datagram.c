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

static bool has_room(size_t n, size_t n_bytes, size_t more)
{
    return n < LINK_MAX_DATAGRAMS && n_bytes + more <= LINK_MAX_DATAGRAM_BYTES;
}

void datagram_received(struct link *link, struct view bytes)
{
    struct datagram *datagram;

    if (link->state != LINK_OPEN ||
        !has_room(link->n_datagrams_in, link->datagram_bytes_in, bytes.len))
        return;
    datagram = datagram_new(bytes);
    list_append(&link->datagrams_in, &datagram->in_queue);
    link->n_datagrams_in++;
    link->datagram_bytes_in += bytes.len;
}

bool datagram_next_event(struct link *link, struct link_event *ret)
{
    struct datagram *datagram;

    if (list_is_empty(&link->datagrams_in))
        return false;
    datagram = LIST_ITEM(link->datagrams_in.next, struct datagram, in_queue);
    list_remove(&datagram->in_queue);
    link->n_datagrams_in--;
    link->datagram_bytes_in -= datagram->bytes.len;
    link->told_datagram = datagram;
    *ret = (struct link_event){ .type = LINK_DATAGRAM, .data = datagram->bytes };
    return true;
}

size_t link_datagram_max(const struct link *link)
{
    return link->state == LINK_OPEN
               ? ngtcp2_conn_get_path_max_tx_udp_payload_size(link->conn) - DATAGRAM_OVERHEAD
               : 0;
}

bool link_datagram_send(struct link *link, uint64_t now_ns, struct view bytes, struct err *err)
{
    struct datagram *datagram;

    if (link->state != LINK_OPEN)
        return err_set(err, ERR_CLOSED, "the link is not up");
    if (ngtcp2_conn_get_remote_transport_params(link->conn)->max_datagram_frame_size <
        LINK_MAX_PACKET)
        return err_set(err, ERR_CAPABILITY, "the other side takes no datagrams");
    if (bytes.len > link_datagram_max(link))
        return err_set(err, ERR_TOO_LARGE, "a datagram of %zu bytes: the path takes %zu", bytes.len,
                       link_datagram_max(link));
    if (!has_room(link->n_datagrams_out, link->datagram_bytes_out, bytes.len))
        return err_set(err, ERR_LIMIT, "%zu datagrams are waiting", link->n_datagrams_out);
    datagram = datagram_new(bytes);
    list_append(&link->datagrams_out, &datagram->in_queue);
    link->n_datagrams_out++;
    link->datagram_bytes_out += bytes.len;
    link->now = now_ns + link->ahead;
    packets_flush(link);
    return true;
}

struct datagram *datagram_to_send(struct link *link)
{
    if (list_is_empty(&link->datagrams_out))
        return NULL;
    return LIST_ITEM(link->datagrams_out.next, struct datagram, in_queue);
}

void datagram_sent(struct link *link, struct datagram *datagram)
{
    list_remove(&datagram->in_queue);
    link->n_datagrams_out--;
    link->datagram_bytes_out -= datagram->bytes.len;
    free(datagram);
}

void datagrams_free(struct link *link)
{
    struct datagram *datagram;

    LIST_EACH(datagram, &link->datagrams_in, in_queue)
        free(datagram);
    LIST_EACH(datagram, &link->datagrams_out, in_queue)
        free(datagram);
    free(link->told_datagram);
}
