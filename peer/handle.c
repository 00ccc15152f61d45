/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/handle.h"

struct peer_link *peer_link_new(struct peer *peer, struct hub *hub)
{
    struct peer_link *link = mem_new(struct peer_link);

    link->peer = peer;
    link->hub = hub;
    link->refs = 1;
    list_init(&link->node);
    list_init(&link->streams);
    list_init(&link->datagrams);
    return link;
}

struct peer_link *peer_link_ref(struct peer_link *link)
{
    __atomic_add_fetch(&link->refs, 1, __ATOMIC_RELAXED);
    return link;
}

void peer_link_unref(struct peer_link *link)
{
    if (!link || __atomic_sub_fetch(&link->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < HUB_CAPS; i++)
        free(link->outgoing[i]);
    datagrams_drop(link);
    free(link->grant_text);
    buf_free(&link->grant);
    buf_free(&link->dial);
    buf_free(&link->accept);
    free(link);
}

struct peer_stream *peer_stream_new(struct peer_link *link)
{
    struct peer_stream *stream = mem_new(struct peer_stream);

    stream->link = peer_link_ref(link);
    stream->hub = link->hub;
    stream->refs = 1;
    list_init(&stream->node);
    ring_init(&stream->in, STREAM_RING);
    ring_init(&stream->out, STREAM_RING);
    stream->high = STREAM_RING;
    stream->low = STREAM_RING / 2;
    return stream;
}

struct peer_stream *peer_stream_ref(struct peer_stream *stream)
{
    __atomic_add_fetch(&stream->refs, 1, __ATOMIC_RELAXED);
    return stream;
}

void peer_stream_unref(struct peer_stream *stream)
{
    if (!stream || __atomic_sub_fetch(&stream->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    ring_deinit(&stream->in);
    ring_deinit(&stream->out);
    peer_link_unref(stream->link);
    free(stream);
}
