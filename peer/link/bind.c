/* SPDX-License-Identifier: Apache-2.0 */
/* The control stream: BIND ties the connection to the session, then come the frames.
 * PROTOCOL.md, section 2. */
#include "peer/link/inside.h"

enum { MAX_CONTROL_UNACKED = 128 * 1024 };

static void send_frame(struct link *link, enum control_type type, struct view payload)
{
    _buf_ frame = { 0 };

    control_write(&frame, type, payload);
    stream_put(link->control, buf_view(&frame));
}

static void send_bind(struct link *link)
{
    _buf_ frame = { 0 };

    if (link->has_sent_bind)
        return;
    control_write_bind(&frame, link->config.sid, link->config.grant_hash);
    stream_put(link->control, buf_view(&frame));
    link->has_sent_bind = true;
}

bool bind_begin(struct link *link, struct err *err)
{
    int64_t id;
    int rc;

    link->control = stream_new(link, 0);
    rc = ngtcp2_conn_open_bidi_stream(link->conn, &id, link->control);
    if (rc != 0)
        return err_set(err, ERR_BAD_WIRE, "the other side takes no control stream: %s",
                       ngtcp2_strerror(rc));
    send_bind(link);
    return true;
}

/* A newer one will follow every 30 s: one that would have to wait behind many is left out. */
void bind_send_heart(struct link *link)
{
    if (link->state == LINK_OPEN && link->heart.len && link->control->out.len < MAX_CONTROL_UNACKED)
        send_frame(link, CONTROL_HEART, buf_view(&link->heart));
}

void bind_send_revoke(struct link *link, struct view revocation)
{
    if (link->control->out.len < MAX_CONTROL_UNACKED)
        send_frame(link, CONTROL_REVOKE, revocation);
}

/* Before the bytes of other streams: they may be what does not get through. */
static void go_first(struct link *link)
{
    list_remove(&link->control->in_sending);
    list_append(link->sending[0].next, &link->control->in_sending); /* before the first */
}

bool bind_send_ice(struct link *link, uint64_t number, struct view text)
{
    _buf_ payload = { 0 };

    if (link->control->out.len >= MAX_CONTROL_UNACKED)
        return false;
    buf_put_u64(&payload, number);
    buf_put(&payload, text);
    send_frame(link, CONTROL_ICE, buf_view(&payload));
    go_first(link);
    return true;
}

void bind_send_switch(struct link *link, uint64_t number, uint8_t carrier)
{
    _buf_ payload = { 0 };

    buf_put_u64(&payload, number);
    buf_put_u8(&payload, carrier);
    send_frame(link, CONTROL_SWITCH, buf_view(&payload));
    go_first(link);
}

/* Never left out: it is the only one for this certificate. Our own certificates alone make it, one at a time. */
void bind_send_reauth(struct link *link, const struct link_reauth *reauth)
{
    _buf_ payload = { 0 };

    control_write_reauth(&payload, reauth);
    send_frame(link, CONTROL_REAUTH, buf_view(&payload));
}

void bind_send_sas(struct link *link, struct view bytes)
{
    send_frame(link, CONTROL_SAS, bytes);
}

void bind_send_report(struct link *link, struct view bytes)
{
    if (link->control->out.len < MAX_CONTROL_UNACKED)
        send_frame(link, CONTROL_REPORT, bytes);
}

void bind_check_up(struct link *link)
{
    struct link_stream *stream;

    if (link->state != LINK_SHAKING || !link->is_confirmed || !link->has_bind)
        return;
    link->state = LINK_OPEN;
    bind_send_heart(link);
    LIST_EACH(stream, &link->streams, in_streams)
        stream_look_at_header(stream);
}

static bool on_bind(struct link *link, struct view payload, struct err *err)
{
    struct view sid = view_sub(payload, 0, LINK_SID), hash = view_sub(payload, LINK_SID, HASH_SIZE);

    if (link->has_bind)
        return err_set(err, ERR_BAD_WIRE, "a second BIND");
    if (!view_eq_secret(sid, VIEW_ARR(link->config.sid)) ||
        !view_eq_secret(hash, VIEW_ARR(link->config.grant_hash))) {
        struct err wrong = { 0 };

        err_set(&wrong, ERR_BAD_WIRE, "the other side's BIND names another session");
        link_note_failure(link, LINK_CLOSE_BIND, &wrong);
        return true;
    }
    link->has_bind = true;
    send_bind(link);
    bind_check_up(link);
    return true;
}

static bool on_close(struct link *link, struct view payload, struct err *err_wire)
{
    struct err err = { 0 };
    struct view reason;
    uint64_t code = 0;

    if (!control_close_read(payload, &code, &reason))
        return err_set(err_wire, ERR_BAD_WIRE, "CLOSE: a code over 2^62 - 1");
    close_say(code, reason, &err);
    link->is_failure_theirs = !link->has_failure;
    link_note_failure(link, code, &err);
    return true;
}

static enum link_event_type note_of(enum control_type type)
{
    if (type == CONTROL_SWITCH)
        return LINK_SWITCH;
    if (type == CONTROL_HEART)
        return LINK_HEART;
    if (type == CONTROL_SAS)
        return LINK_SAS;
    if (type == CONTROL_REPORT)
        return LINK_REPORT;
    if (type == CONTROL_ICE)
        return LINK_ICE;
    return type == CONTROL_REVOKE ? LINK_REVOKE : LINK_REAUTH;
}

static bool on_frame(struct link *link, const struct control_frame *frame, struct err *err)
{
    if (!link->has_bind && frame->type != CONTROL_BIND)
        return err_set(err, ERR_BAD_WIRE, "%s before BIND", control_name(frame->type));
    switch (frame->type) {
    case CONTROL_BIND:
        return on_bind(link, frame->payload, err);
    case CONTROL_HEART:
    case CONTROL_REVOKE:
    case CONTROL_REAUTH:
    case CONTROL_SAS:
    case CONTROL_REPORT:
    case CONTROL_SWITCH:
    case CONTROL_ICE:
        if (link->n_notes == LINK_MAX_EVENTS)
            return err_set(err, ERR_BAD_WIRE, "more than %d control frames at once",
                           LINK_MAX_EVENTS);
        link_note(link, note_of(frame->type), frame->payload);
        return true;
    case CONTROL_CLOSE:
        return on_close(link, frame->payload, err);
    case CONTROL_NONE:
    case CONTROL_N_TYPES:
        break;
    }
    return err_set(err, ERR_BAD_WIRE, "control frame of unknown type");
}

bool bind_input(struct link *link, struct view bytes, struct err *err)
{
    struct control_frame frame;

    control_reader_input(&link->frames, bytes);
    while (!link->has_failure)
        switch (control_reader_next(&link->frames, &frame, err)) {
        case CONTROL_MORE:
            return true;
        case CONTROL_BAD:
            return false;
        case CONTROL_FRAME:
            if (!on_frame(link, &frame, err))
                return false;
        }
    return true;
}
